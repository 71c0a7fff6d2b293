"""What is measured at a checkpoint, over a run or several, or of results: a name in YAML is a file here."""

GIVEN = ("checkpoint", "run", "runs", "results", "previous")
"""Parameters that are ours: every other one is an option."""
