"""How the weights are moved by their gradients: a name in YAML is a file here."""

GIVEN = ("weights",)
"""A parameter that is ours, where a function has it: every other one is an option."""
