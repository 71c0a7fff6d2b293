"""Where the work of an analysis is done: a name of `--executor` is a file here."""

GIVEN = ("jobs",)
"""Parameters that are ours: every other one is an option."""
