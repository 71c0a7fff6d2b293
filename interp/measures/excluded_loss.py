"""The loss without the logits' waves at the key frequencies."""

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


def excluded_loss(checkpoint: Checkpoint, keys: Keys = "final") -> FreqLosses:
    r"""Without the circuit the network falls back on what it memorised, until that too is gone.

    From each logit, as a function of the pair, cos w_k(a+b) and sin w_k(a+b) of the key frequencies are taken away,
    and nothing is added back. Expect the train loss to stay small while the network lives from memory, to rise
    as the circuit forms, and to end above what guessing costs.

    `keys` says which frequencies count, by the rules that `restricted_loss` explains: *final*, *checkpoint*, *ever*,
    *logits*, *traced*, or a list. The choice matters. With a checkpoint's own keys, which before grokking are almost
    all frequencies, nearly everything is taken away, and the early loss is an artefact; with the final ones a frequency
    that the network used and gave up stays in.

    The loss is the cross-entropy of the first p logits, whichever loss the run was trained with; for products the pairs
    are those of the non-zero residues, in the order of their discrete logarithms. At frequency 0 nothing is taken away.
    Where the split is unknown only the losses on all pairs are numbers. Where logits are so large that rounding alone
    decides what is left of them there is no loss.

    Formula: \mathcal{L}\Big(Z - \sum_{k \in K} P_k Z\Big), \quad
        (P_k Z)(a, b) = \frac{2}{n^2} \sum_{a', b'} \cos\big(w_k(a+b-a'-b')\big)\, Z(a', b')

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    order = cyclic(checkpoint)
    key = key_mask(checkpoint, order, keys)
    logits = order.by_answer(order.logits(checkpoint))
    _, rounding = scale_and_rounding(logits, order.n)
    removed = with_keys_together(projections.onto_answer_waves(logits.mean(1), rounding), key)
    return freq_losses(checkpoint, order, key, excluded_log_odds(logits, removed), rounding[None])


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    return excluded_figure("Excluded loss", result)


def summary(result: xr.Dataset) -> Finding:
    return excluded_summary(result)
