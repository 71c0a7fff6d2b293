"""What is measured at a checkpoint, over a run, or over several runs: a name in YAML is a file here."""

GIVEN = ("checkpoint", "run", "runs", "previous")
"""Parameters that are ours: every other one is an option."""
