"""Whether the logits depend on how far apart the operands are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.maths.rounding import scale_and_rounding
from interp.measures.shared.cyclic import Cyclic, cyclic


@dataclass(frozen=True)
class DistanceIrrelevance:
    correct_logit: Float[Tensor, ""]
    """Distance irrelevance of the correct logit; NaN where it is the same on all pairs, but for rounding"""
    best_wrong_logit: Float[Tensor, ""]
    """Distance irrelevance of the largest wrong logit; NaN where it is the same on all pairs, but for rounding"""


def distance_irrelevance(checkpoint: Checkpoint) -> DistanceIrrelevance:
    r"""A pizza is less sure where the operands lie across a circle from each other; a clock does not mind.

    The pairs are sorted by the distance a - b of their operands; where the task is a difference that is a + b, and for
    products it is the distance of the discrete logarithms. The standard deviation of the correct logit among the pairs
    of one distance, averaged over the distances, is divided by that among all pairs. It is near 0 where distance
    explains the logit, and near 1 where it does not matter. Zhong et al. find 0 to 0.4 for pizzas, 0.4 to 1 for clocks.

    The paper defines it by the correct logit; the values that its release recorded for a sweep are of the largest
    wrong logit. They differ by up to 0.1. Both are of the logit as the network gives it, as published: what a pair adds
    to all its logits alike changes no answer, but it counts here.

    Formula: q = \frac{\frac{1}{p} \sum_d \mathrm{std}_i\left(L_{i,\,i-d}\right)}{\mathrm{std}(L)}

    Paper: Zhong et al. 2023, arXiv 2306.17844
    """
    order = cyclic(checkpoint)
    logits = order.table(checkpoint.logits)  # [a, b, logit]
    answers = order.axis[order.answer][..., None]
    correct = logits.gather(2, answers)[..., 0]
    best_wrong = logits.scatter(2, answers, -torch.inf).amax(dim=2)
    scale, rounding = scale_and_rounding(logits, order.n)
    return DistanceIrrelevance(
        *(_irrelevance(table / scale, order, rounding / scale) for table in (correct, best_wrong))
    )


def _irrelevance(table: Float[Tensor, "a b"], order: Cyclic, rounding: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The mean standard deviation among the pairs of one distance, over the standard deviation among all pairs.

    NaN where the latter is no more than `rounding`.
    """
    place = torch.arange(order.n)
    by_distance = table[place, (order.sign * (place - place[:, None])) % order.n]  # [distance, a]
    spread = table.std(correction=0)
    return by_distance.std(dim=1, correction=0).mean() / torch.where(spread > rounding, spread, torch.nan)


def figure(result: xr.Dataset) -> list[Curves]:
    lines = {"correct logit": result.correct_logit, "best wrong logit": result.best_wrong_logit}
    return [Curves("Distance irrelevance", lines)]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Distance irrelevance")
    told, records = course(claims, "correct_logit", "2")
    sentence = f"The distance irrelevance of the correct logit {told}"
    wrong = claims.maybe("best_wrong_logit")
    if wrong and wrong.step == records["end"].step:
        records["wrong"] = wrong
        sentence += "; that of the largest wrong logit is {wrong:2} there"
    return Finding(f"{sentence}.", records, chapter="what", rank=70)
