"""What a network computes with one circle alone: the embedding reduced to its mean and one frequency."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.maths import closed_forms, fourier
from interp.measures.mechanism.forms import Explained, fit_forms
from interp.measures.shared import ablation
from interp.measures.shared.cyclic import Cyclic

FAINT = 0.01
"""A circle that carries no more of what the closed forms explain is not looked at."""


@dataclass(frozen=True)
class LoneCircles:
    mask: Bool[Tensor, " freq"]
    """The circles looked at."""
    explained: Explained
    """The share of their logits that each closed form explains at the circle's own frequency."""
    clock_share: Float[Tensor, ""]
    """The power of the Clock over that of Clock and Pizza, of all circles together."""
    clock_by_freq: Float[Tensor, " freq"]
    pizza_by_freq: Float[Tensor, " freq"]
    clock_share_by_freq: Float[Tensor, " freq"]


def lone_circles(checkpoint: Checkpoint, found: Cyclic, whole: closed_forms.Fit, count: int) -> LoneCircles:
    """Leave alone each of the `count` circles that carry most of the logits, to all of which `whole` was fitted."""
    strongest = [place + 1 for place in fourier.strongest(whole.explained, count)]
    by_freq = torch.full((4, found.n_freqs), torch.nan, dtype=torch.float64)  # [form, freq]
    clock_share, mask = by_freq[0].clone(), torch.zeros(found.n_freqs, dtype=torch.bool)
    explained, power, variance = (torch.zeros(size, dtype=torch.float64) for size in (4, 2, 1))
    for freq in strongest:
        if whole.explained[freq - 1] <= FAINT * whole.explained.sum():
            continue
        logits = _logits_of_lone_circle(checkpoint, found, freq)
        fits, own_variance = fit_forms(logits, found), logits.square().sum()
        own = fits.explained_by_freq()[:, freq - 1]  # [form]
        mask[freq] = True
        if own_variance > 0:
            by_freq[:, freq] = own / own_variance
        if own[-1] > fourier.TIE * own_variance:  # else it is rounding that the Clock has a share of
            own_power = torch.stack([fits.both.clock_power[freq - 1], fits.both.pizza_power[freq - 1]])
            clock_share[freq], power = own_power[0] / own_power.sum(), power + own_power
        explained, variance = explained + own, variance + own_variance
    shares = (explained / variance).tolist() if variance > 0 else [0.0] * 4
    return LoneCircles(mask, Explained(*shares), power[0] / power.sum(), by_freq[0], by_freq[1], clock_share)


def _logits_of_lone_circle(checkpoint: Checkpoint, found: Cyclic, freq: int) -> Float[Tensor, "a b c"]:
    """Return the logits with one circle alone, less what is the same for all pairs or for all answers."""
    of_row = fourier.freq_of_row(found.n)
    kept = fourier.basis(found.n)[(of_row == 0) | (of_row == freq)]

    def alone(E: Float[Tensor, "p d_model"]) -> Float[Tensor, "p d_model"]:
        axis, rows = found.axis.to(E.device), kept.to(E)
        return E.index_copy(0, axis, rows.T @ (rows @ E[axis]))

    logits = found.table(ablation.after_embedding(checkpoint, alone)[:, found.axis])
    logits = logits - logits.mean(-1, keepdim=True)
    varying = logits - logits.mean((0, 1))
    rounding = 1e-20 * logits.square().sum()
    return varying if varying.square().sum() > rounding else torch.zeros_like(varying)
