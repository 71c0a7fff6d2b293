"""The loss of the logits' waves at the key frequencies alone."""

from __future__ import annotations

import xarray as xr

from interp.checkpoints import Checkpoint
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Finding
from interp.maths import projections
from interp.maths.excluded_cross_entropy import excluded_log_odds
from interp.maths.rounding import beyond, scale_and_rounding
from interp.measures.shared.cyclic import cyclic
from interp.measures.shared.frequency_losses import (
    FreqLosses,
    freq_losses,
    restricted_figure,
    restricted_summary,
    with_keys_together,
)
from interp.measures.shared.key_frequencies import Keys, key_mask


def restricted_loss(checkpoint: Checkpoint, keys: Keys = "final") -> FreqLosses:
    r"""The circuit alone answers long before the network shows it.

    Of each logit, as a function of the pair, only cos w_k(a+b) and sin w_k(a+b) of the key frequencies are kept, and
    its mean over all pairs. Expect this loss to fall far below the test loss while the circuit forms under what
    was memorised, and to stay a little below it in the end.

    `keys` says which frequencies count: *final*, those that some neuron has for its own at the last checkpoint
    (`key_freqs`); *checkpoint*, those that some neuron has at the checkpoint that is measured; *ever*, those that were
    clear in more than 2% of the neurons at some checkpoint the analysis visits; *logits*, those that the logits use at
    the last checkpoint, whichever the neurons have (`key_freqs`); *traced*, those of trace similarity above 0.005 at
    the last checkpoint (`cosine_fit`); or a list of them. The choice matters. Before grokking almost
    every frequency is some neuron's own, so with a checkpoint's own keys nearly nothing is left out, and the early loss
    is an artefact; with the final ones a frequency that the network used and gave up is missed.

    The loss is the cross-entropy of the first p logits on all pairs, whichever loss the run was trained with. For
    products the pairs are those of the non-zero residues, in the order of their discrete logarithms. At frequency 0
    the mean alone is kept. What is no larger than rounding may make it, n ε times the largest logit, counts as 0.

    Formula: \mathcal{L}\Big(\bar Z + \sum_{k \in K} P_k Z\Big), \quad
        (P_k Z)(a, b) = \frac{2}{n^2} \sum_{a', b'} \cos\big(w_k(a+b-a'-b')\big)\, Z(a', b')

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    order = cyclic(checkpoint)
    key = key_mask(checkpoint, order, keys)
    logits = order.by_answer(order.logits(checkpoint))
    _, rounding = scale_and_rounding(logits, order.n)
    mean = (logits - logits.mean(2, keepdim=True)).mean(1)
    waves = projections.onto_answer_waves(mean, rounding)
    kept = with_keys_together(waves, key)
    mean_alone = beyond(mean.mean(0), rounding).expand(order.n, 1, order.n)  # one pair an answer: its pairs are alike
    in_waves = (waves != 0).any(0).any(0) * rounding  # [freq]
    uncertain = (mean_alone != 0).any() * rounding + with_keys_together(in_waves[None, None], key)[0, 0]
    log_odds = excluded_log_odds(mean_alone, -kept).expand(-1, order.n, -1)
    return freq_losses(checkpoint, order, key, log_odds, uncertain)


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    return restricted_figure("Restricted loss", result)


def summary(result: xr.Dataset) -> Finding:
    return restricted_summary(result)
