"""What is done to a training beside its updates: a name in YAML is a file here."""

GIVEN = ()
"""Parameters that are ours: there are none, each is an option."""
