"""How the weights are moved by their gradients: a name in YAML is a file here."""

GIVEN = ("parameters",)
"""Parameters that are ours: every other one is an option."""
