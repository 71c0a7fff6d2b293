"""The frequencies of what the neurons give the logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import has_neurons
from interp.errors import InterpError
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Claims, Finding, UndefinedError
from interp.maths import fourier
from interp.measures.shared.cyclic import cyclic
from interp.measures.shared.when_asked import WhenAsked


@dataclass(frozen=True)
class NeuronLogitSpectrum:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    key: Bool[Tensor, " freq"]
    """The frequency counts as a key frequency, and is left out of the residual"""
    power: Float[Tensor, " freq"]
    """Share of ‖W_L‖² at each frequency; that at 0 is of the mean over the answers, less that over all logits"""
    residual: Float[Tensor, ""]
    """Share of ‖W_L‖² outside the key frequencies"""
    even_residual: float
    """What share would lie outside, were the power even over all waves"""
    variance_explained: Float[Tensor, "neuron freq"]
    """Share of the variance, over the answers, of what a neuron gives the logits that one frequency explains"""
    own_freq: Int[Tensor, " neuron"]
    """Frequency that explains most of what the neuron gives the logits; 0 where two do, -1 where it gives all alike"""
    own_share: Float[Tensor, " neuron"]
    """Largest share of the variance of what the neuron gives the logits that one frequency explains"""
    neurons: Float[Tensor, " freq"]
    """Neurons whose own frequency this is"""
    norm_factor: Float[Tensor, ""] | None
    """Mean over the pairs of 1/σ of the norm between neurons and logits, at which it is folded; blank without one"""


def neuron_logit_spectrum(checkpoint: Checkpoint, freqs: list[int] | None = None) -> NeuronLogitSpectrum:
    r"""The map from neurons to logits has waves over the answers at the key frequencies, and next to nothing else.

    Expect the residual, what the key frequencies leave of W_L, to fall from nearly 1 to below a hundredth.

    The map W_L is W_out·W_U, or the W_U of an MLP. What a neuron gives all logits alike changes no answer, so its mean
    over all of them is taken away; then the columns are those of the first p logits, in the order in which the task is
    cyclic. Where two frequencies explain a neuron as much, up to a millionth, it has none of its own. The key
    frequencies are `freqs`, or else those of the last checkpoint (`key_freqs`). A norm before the logits is folded into
    W_L: its centring and its weight are linear, and 1/σ is taken at its mean over the pairs (`norm_factor`).

    Formula: \mathrm{residual} = 1 - \sum_{k \in K} \lVert P_k W_L \rVert_F^2 \,/\, \lVert W_L \rVert_F^2

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    order = cyclic(checkpoint)
    n_freqs = order.n_freqs
    if wrong := [freq for freq in freqs or [] if not 1 <= freq < n_freqs]:
        raise InterpError(f"neuron_logit_spectrum: freqs has {wrong[0]}; the frequencies here are 1 to {n_freqs - 1}")
    freq = torch.arange(n_freqs)
    key = torch.isin(freq, torch.tensor(freqs)) if freqs else checkpoint.run.final.measure("key_freqs").key
    rows = order.readout(checkpoint).T  # [c, neuron]
    power = fourier.by_freq((fourier.basis(order.n) @ rows).square())  # [freq, neuron]
    explained, _ = fourier.row_variance_explained(rows)
    share, own = fourier.leading(explained)
    total = power.sum()
    return NeuronLogitSpectrum(
        freq=freq,
        key=key,
        power=power.sum(dim=1) / total,
        residual=1 - power[key].sum() / total,
        even_residual=_even_residual(key, order.n),
        variance_explained=explained.T.float(),
        own_freq=own,
        own_share=share,
        neurons=torch.bincount(own[own > 0], minlength=n_freqs).double(),
        norm_factor=has_neurons(checkpoint.run.architecture).readout_factor(WhenAsked(checkpoint)),
    )


def _even_residual(key: Bool[Tensor, " freq"], n: int) -> float:
    waves = torch.bincount(fourier.freq_of_row(n)).double()  # [freq]
    waves[0] = 0  # rows are centred
    return float(waves[~key].sum() / waves.sum())


def figure(result: xr.Dataset) -> list[Heatmap | Bars | Curves]:
    varying = result.isel(freq=slice(1, None))
    return [
        Heatmap("Spectrum of W_L over training", varying.power, x="step", y="freq"),
        Bars(
            "Spectrum of W_L at this step",
            varying.power,
            highlight={"accent": varying.key.isel(step=-1)},
            percent=True,
            width="half",
        ),
        Curves("W_L outside the key frequencies", {"all": result.residual}, log=True, width="half"),
    ]


MOST_NAMED = 8


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "W_L outside the key frequencies")
    records = {"residual": claims.end("residual"), "key_freqs": claims.end("key", "labels")}
    records["even"] = claims.end("even_residual")
    records["keys"] = keys = claims.end("key", "count")
    records["all"] = claims.end("key", "count", freq=list(result.freq.values[1:].tolist()))
    if keys.value in (0, result.sizes["freq"] - 1):
        raise UndefinedError("no frequency is key, or each is, and nothing is told by the others")
    which = "{key_freqs:frequency}" if keys.value <= MOST_NAMED else "{keys:frequency}"
    sentence = f"Of the map from neurons to logits {{residual:.2%}} lies outside the key {which}; "
    sentence += "{even:.0%} would, were all waves alike."
    return Finding(sentence, records, chapter="what", rank=50)
