"""Cross-entropy after something that depends on the answer alone is taken from the logits, for many such at once."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.maths.cross_entropy import of_log_odds

SMALLEST = math.log(torch.finfo(torch.float64).tiny) + 1
"""exp takes ten times as long where it underflows."""
TRUSTED = 1e-290
"""A sum this large has all its digits: what was cut off is below e·n·1e-307."""
ENTRIES_AT_ONCE = 10_000


def excluded_cross_entropy(
    logits: Float[Tensor, "answer a c"], removed: Float[Tensor, "answer c freq"]
) -> Float[Tensor, "answer a freq"]:
    """-log softmax(logits[s, a] - removed[s, :, k])_s, for every k, of the pairs [s, a] whose answer is s. float64."""
    return of_log_odds(excluded_log_odds(logits, removed))


def excluded_log_odds(
    logits: Float[Tensor, "answer a c"],
    removed: Float[Tensor, "answer c freq"],
    answers: Int[Tensor, " answer"] | None = None,
) -> Float[Tensor, "answer a freq"]:
    """The logarithms of the odds against the answer, whose softplus is the cross-entropy.

    The answers are 0, 1, …, or where they are only some of them `answers`.

    exp(z - r) is a product, so the sums over the wrong answers for all k are one product of matrices an answer: no
    array [answer, a, c, freq] is made. They run over the wrong answers alone, as in `cross_entropy`: losses of 1e-9
    keep their digits. Where the factors span more than a float can, the sum is taken from the exponents.
    """
    place = torch.arange(len(logits))
    answers = place if answers is None else answers
    wrong = _wrong(logits, answers)  # [answer, a, c]
    less = _wrong(removed.transpose(1, 2), answers)  # [answer, freq, c]
    less = less.nan_to_num(neginf=0.0)  # the answer itself is counted out once, by `wrong`
    top, top_less = wrong.amax(2, keepdim=True), (-less).amax(2, keepdim=True)
    factor = (wrong - top).clamp_min_(SMALLEST).exp_()
    factor[place, :, answers] = 0.0
    factor_less = (-less - top_less).clamp_min_(SMALLEST).exp_()
    sums = factor @ factor_less.transpose(1, 2)  # [answer, a, freq]
    margins = sums.log().add_(top).add_(top_less.transpose(1, 2))
    lost = (sums < TRUSTED).nonzero()
    for entries in lost.split(ENTRIES_AT_ONCE):
        s, a, k = entries.unbind(1)
        margins[s, a, k] = (wrong[s, a] - less[s, k]).logsumexp(1)
    return margins


def _wrong(values: Float[Tensor, "answer row c"], answers: Int[Tensor, " answer"]) -> Float[Tensor, "answer row c"]:
    """Each answer's values relative to the right one's, which itself is -∞."""
    place = torch.arange(len(values))
    relative = values - values[place, :, answers][:, :, None]
    relative[place, :, answers] = -torch.inf
    return relative
