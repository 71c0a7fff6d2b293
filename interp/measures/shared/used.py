"""From which share of their power on logits use a frequency: more than it has in random ones."""

USED = 0.01
"""The share of the logits' varying power from which they use a frequency."""
BY_CHANCE = 3
"""How many times the share that a frequency has in random logits it has to hold."""


def used_from(n: int) -> float:
    """The share of the power of logits on n residues from which they use a frequency."""
    return max(USED, BY_CHANCE * 2 / (n**2 - 1))
