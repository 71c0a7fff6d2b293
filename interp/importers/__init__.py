"""What reads somebody else's run: a name in YAML is a file here."""

GIVEN = ("path", "task", "model")
"""Parameters that are ours: every other one is an option."""
