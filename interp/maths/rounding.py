"""What rounding alone may have made: sums that are to be 0, and losses of logits so large that they are not resolved.

The rule is one for all: an amplitude of a fit that is no larger than its rounding is 0, and a loss that its rounding
could double or undo is NaN.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

NEGLIGIBLE = 0.2
"""A rounding r of the logits that leaves a cross-entropy uncertain by less than itself, e^2r - e^-2r = 0.82."""


def scale_and_rounding(logits: Float[Tensor, "..."], terms: int) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The largest absolute value of the logits, 1 where all are 0, and what rounding may make of means of them.

    The rounding is ε times the number of terms that a logit, or a mean of logits, is a sum of, times the largest.
    """
    largest = logits.abs().max()
    return torch.where(largest > 0, largest, 1.0), terms * torch.finfo(logits.dtype).eps * largest


def beyond(values: Float[Tensor, "..."], rounding: Float[Tensor, ""] | float) -> Float[Tensor, "..."]:
    """The values, 0 where they are no larger than `rounding`."""
    return torch.where(values.abs() > rounding, values, 0.0)


def settled(
    value: Float[Tensor, "..."], least: Float[Tensor, "..."], most: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """The values, NaN where what lies between the least and the most that they may be is more than they are."""
    return torch.where(most - least <= value, value, torch.nan)
