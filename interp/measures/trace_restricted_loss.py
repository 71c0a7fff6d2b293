"""The loss of the logits' cosines of a+b-c at the key frequencies alone."""

from __future__ import annotations

import torch
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
    freq_losses,
    restricted_figure,
    restricted_summary,
    with_keys_together,
)
from interp.measures.shared.key_frequencies import Keys, key_mask


def trace_restricted_loss(checkpoint: Checkpoint, keys: Keys = "final") -> FreqLosses:
    r"""The ideal circuit, α_k cos w_k(a+b-c) with the network's amplitudes, ends by losing no more than the network.

    This is stricter than `restricted_loss`: of all logits one number is kept for each frequency, the α_k of
    `cosine_fit`, so that what is left is the algorithm of the papers with a gain that the network sets. All pairs have
    the same loss.

    `keys`, the pairs, the logits and the loss are those of `restricted_loss`; Chughtai et al. sum over the frequencies
    of the rule *traced*. At frequency 0 nothing is kept, which costs ln n. For even n the frequency n/2 is the sign
    representation.

    Formula: \mathcal{L}\Big(\sum_{k \in K} \alpha_k \cos w_k(a+b-c)\Big)
        = \log \sum_g e^{\sum_{k \in K} \alpha_k (\cos w_k g - 1)}

    Paper: Chughtai et al. 2023, arXiv 2302.03025; Nanda et al. 2023, arXiv 2301.05217
    """
    order = cyclic(checkpoint)
    key = key_mask(checkpoint, order, keys)
    coefficient = checkpoint.measure("cosine_fit").coefficient
    kept = with_keys_together(projections.cosine_logits(coefficient, order.n), key)
    nothing = torch.zeros(order.n, 1, order.n, dtype=kept.dtype)  # one pair an answer: its n pairs are alike
    log_odds = excluded_log_odds(nothing, -kept).expand(-1, order.n, -1)
    _, rounding = scale_and_rounding(order.logits(checkpoint), order.n)
    uncertain = with_keys_together((coefficient != 0)[None, None] * rounding, key)[0, 0]
    return freq_losses(checkpoint, order, key, log_odds, uncertain)


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    return restricted_figure("Restricted loss, by trace", result)


def summary(result: xr.Dataset) -> Finding:
    return restricted_summary(result, "ideal cosines at ")
