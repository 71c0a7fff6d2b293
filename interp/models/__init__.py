"""The networks, made for a task: a name in YAML is a file here."""

GIVEN = ("task",)
"""Parameters that are ours: every other one is an option."""
