"""The loss without the logits' cosines of a+b-c at the key frequencies."""

from __future__ import annotations

import xarray as xr

from interp.checkpoints import Checkpoint
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Finding
from interp.maths import projections
from interp.maths.excluded_cross_entropy import excluded_log_odds
from interp.maths.rounding import scale_and_rounding
from interp.measures.shared.cyclic import cyclic
from interp.measures.shared.frequency_losses import (
    FreqLosses,
    excluded_figure,
    excluded_summary,
    freq_losses,
    with_keys_together,
)
from interp.measures.shared.key_frequencies import Keys, key_mask


def trace_excluded_loss(checkpoint: Checkpoint, keys: Keys = "final") -> FreqLosses:
    r"""Without the ideal circuit's share of the logits a network that has the circuit cannot answer.

    From the logits α_k cos w_k(a+b-c) is taken away at the key frequencies, with the α_k of `cosine_fit`. As with
    `excluded_loss` expect the train loss to stay small while the network lives from memory, and to end near or above
    what guessing costs; where it ends lower, the circuit's logits are not these cosines alone.

    `keys`, the pairs, the logits and the loss are those of `excluded_loss`; Chughtai et al. sum over the frequencies of
    the rule *traced*. At frequency 0 nothing is taken away. Where the split is unknown only the losses on all pairs are
    numbers. Where logits are so large that rounding alone decides what is left of them there is no loss.

    Formula: \mathcal{L}\Big(Z - \sum_{k \in K} \alpha_k \cos w_k(a+b-c)\Big)

    Paper: Chughtai et al. 2023, arXiv 2302.03025; Nanda et al. 2023, arXiv 2301.05217
    """
    order = cyclic(checkpoint)
    key = key_mask(checkpoint, order, keys)
    coefficient = checkpoint.measure("cosine_fit").coefficient
    removed = with_keys_together(projections.cosine_logits(coefficient, order.n), key)
    logits = order.by_answer(order.logits(checkpoint))
    _, rounding = scale_and_rounding(logits, order.n)
    return freq_losses(checkpoint, order, key, excluded_log_odds(logits, removed), rounding[None])


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    return excluded_figure("Excluded loss, by trace", result)


def summary(result: xr.Dataset) -> Finding:
    return excluded_summary(result, "ideal cosines at ")
