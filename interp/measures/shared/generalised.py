"""What counts as having generalised."""

GENERALISED = 0.99
"""A network has generalised that answers more of the test examples than this share right."""
