"""The activations of a few neurons on all pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import InterpError, NothingToSay
from interp.figures import Heatmap
from interp.maths import fourier
from interp.measures.neuron_spectrum import NeuronSpectrum
from interp.measures.shared.cyclic import cyclic


@dataclass(frozen=True)
class NeuronActivation:
    example: Int[Tensor, " example"]
    """Neuron"""
    example_freq: Int[Tensor, " example"]
    """The neuron's own frequency at this step; 0 where two explain it as much, -1 where it never varies"""
    example_share: Float[Tensor, " example"]
    """Largest share of the neuron's variance that one frequency explains"""
    activation: Float[Tensor, "example a b"]
    """Activation of the neuron on each pair"""


def neuron_activation(
    checkpoint: Checkpoint, count: PositiveInt = 6, neurons: list[int] | None = None
) -> NeuronActivation:
    r"""A neuron of the circuit is a wave over both operands, its stripes as many as its frequency.

    Expect noise at first, and stripes or a chequered pattern of one frequency once the circuit has formed.

    The neurons shown are `neurons`, or else one for each of the `count` frequencies that have most clear neurons at the
    last checkpoint: the neuron that the frequency explains best. Operands are in the order in which the task is cyclic.

    Formula: N_i(a, b) = \sigma(z_i(a, b)), \quad z_i \text{ its pre-activation}

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    width = checkpoint.neurons.shape[1]
    if wrong := [neuron for neuron in neurons or [] if not 0 <= neuron < width]:
        raise InterpError(f"neuron_activation: neurons has {wrong[0]}; the neurons here are 0 to {width - 1}")
    shown = neurons or _clearest(checkpoint.run.final.measure("neuron_spectrum"), count)
    if not shown:
        raise NothingToSay("no neuron has a frequency of its own at the last checkpoint")
    spectrum = checkpoint.measure("neuron_spectrum")
    table = cyclic(checkpoint).table(checkpoint.neurons[:, shown])  # [a, b, example]
    return NeuronActivation(
        torch.tensor(shown), spectrum.own_freq[shown], spectrum.own_share[shown], table.movedim(-1, 0).float()
    )


def _clearest(spectrum: NeuronSpectrum, count: int) -> list[int]:
    """The neurons that the `count` strongest frequencies explain best, one for each."""
    own, share = spectrum.own_freq, spectrum.own_share.nan_to_num(-1)
    freqs = own[own > 0].unique().tolist()
    strongest = sorted(freqs, key=lambda freq: (-float(spectrum.cluster_size[freq]), -int((own == freq).sum()), freq))
    of_freq = [share.where(own == freq, -1.0) for freq in strongest[:count]]
    return [int((one > one.max() - fourier.TIE).int().argmax()) for one in of_freq]  # of those alike, the first


def figure(result: xr.Dataset) -> list[Heatmap]:
    known = result.activation.notnull().any(["example", "a", "b"]).values
    last = result.isel(step=int(np.flatnonzero(known)[-1]) if known.any() else -1)
    return [
        Heatmap(_title(int(neuron), int(freq)), result.activation.sel(example=neuron), x="b", y="a", width="third")
        for neuron, freq in zip(result.example.values, last.example_freq.values, strict=True)
    ]


def _title(neuron: int, freq: int) -> str:
    return f"Neuron {neuron}: " + (f"frequency {freq}" if freq > 0 else "never varies" if freq else "no frequency")
