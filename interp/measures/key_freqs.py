"""The frequencies the neurons compute with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Bars, Curves, Heatmap
from interp.measures.shared.cyclic import cyclic
from interp.summaries import Summary

USED = 0.01
"""The share of the logits' varying power from which they use a frequency."""
BY_CHANCE = 3
"""How many times the share that a frequency has in random logits it has to hold."""


@dataclass(frozen=True)
class KeyFreqs:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    key: Bool[Tensor, " freq"]
    """The frequency is some neuron's own"""
    neurons: Float[Tensor, " freq"]
    """Neurons whose own frequency this is"""
    clear_neurons: Float[Tensor, " freq"]
    """Neurons of this frequency that it explains to more than 85 %"""
    clear_share: Float[Tensor, ""]
    """Share of all neurons that one frequency explains to more than 85 %"""
    logit_power: Float[Tensor, " freq"]
    """Share of the logits' varying power in cos w_k(a+b) and sin w_k(a+b), the waves of the answer"""
    logit_key: Bool[Tensor, " freq"]
    """The logits use the frequency: its waves of the answer hold `logit_bar` of their varying power, or more"""
    logit_bar: Float[Tensor, ""]
    """Share of the logits' varying power from which they use a frequency: 1%, or three times chance if that is more"""


def key_freqs(checkpoint: Checkpoint) -> KeyFreqs:
    r"""Every neuron comes to compute with one frequency; the key frequencies are those any neuron has.

    A neuron's activations on all pairs are centred and written as waves in both operands; its own frequency is the one
    whose eight waves carry most of its variance. Before grokking the neurons mix many frequencies, and almost every
    frequency is some neuron's largest: read the counts, not the set.

    Neurons that never vary have no frequency, nor have those that two frequencies explain as much (`neuron_spectrum`).
    Frequency p//2 is one of the frequencies.

    What the logits use need not be what most of a neuron's variance is: a rectified wave has overtones, which can be
    read, and in a network of several layers neurons can be passed by. So the logits are asked too (`logit_spectrum`).
    They use a frequency whose waves of the answer, cos w_k(a+b) and sin w_k(a+b), hold at least 1% of their varying
    power. By chance, in random logits, each frequency holds 2/(n²-1) of it; on few residues, where that is much, three
    times as much is asked for. Neurons and logits of one network can so have different frequencies.

    Formula: \mathrm{FVE}_k = \frac{1}{\lVert N \rVert^2} \sum_{(f,g) \neq (1,1)} \langle N, f \otimes g \rangle^2,
        \quad f, g \in \{1, \cos w_k, \sin w_k\}

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    spectrum = checkpoint.measure("neuron_spectrum")
    own = spectrum.own_freq[spectrum.own_freq > 0]
    neurons = torch.bincount(own, minlength=len(spectrum.freq)).double()
    logits = checkpoint.measure("logit_spectrum")
    bar = _used_from(cyclic(checkpoint).n)
    return KeyFreqs(
        freq=spectrum.freq,
        key=neurons > 0,
        neurons=neurons,
        clear_neurons=spectrum.cluster_size,
        clear_share=spectrum.clear_share,
        logit_power=logits.answer_power,
        logit_key=logits.answer_power >= bar,
        logit_bar=torch.tensor(bar, dtype=torch.float64),
    )


def _used_from(n: int) -> float:
    """The share of the power of logits on n residues from which they use a frequency."""
    return max(USED, BY_CHANCE * 2 / (n**2 - 1))


@dataclass(frozen=True)
class GivenUp:
    given_up: Bool[np.ndarray, " freq"]
    """The frequency once had more than 2 % of the neurons clearly, and has none at the last step"""
    most_neurons: Float[np.ndarray, " freq"]
    """Most neurons that the frequency clearly had at any step"""
    most_step: Int[np.ndarray, " freq"]
    """Step at which the frequency clearly had most neurons"""


def over_run(result: xr.Dataset) -> GivenUp:
    clear, width = result.clear_neurons.values, result.neurons.values.sum(axis=1).max()  # [step, freq]
    most = clear.max(axis=0)
    return GivenUp(
        given_up=(most > 0.02 * width) & (clear[-1] == 0),
        most_neurons=most,
        most_step=result.step.values[clear.argmax(axis=0)],
    )


def figure(result: xr.Dataset) -> list[Heatmap | Bars | Curves]:
    varying = result.isel(freq=slice(1, None))
    return [
        Heatmap("Neurons of each frequency over training", varying.clear_neurons, x="step", y="freq"),
        Bars(
            "Neurons of each frequency at this step",
            varying.neurons,
            highlight={"accent": varying.key.isel(step=-1), "abandoned": varying.given_up},
            width="half",
        ),
        Curves("Neurons explained by one frequency", {"all": result.clear_share}, percent=True, width="half"),
    ]


def summary(result: xr.Dataset) -> Summary:
    keys = [int(freq) for freq in result.freq.values[result.key[-1].values]]
    gone = [int(freq) for freq in result.freq.values[result.given_up.values]]
    values = {"key_freqs": keys, "given_up": gone, "clear_share": float(result.clear_share[-1])}
    if values["clear_share"] < 0.5:
        sentence = (
            f"No circuit on a few frequencies: one frequency explains only **{values['clear_share']:.0%}** "
            "of the neurons clearly."
        )
    else:
        listed = ", ".join(map(str, keys))
        sentence = (
            f"The circuit ends on frequencies **{listed}**; they explain **{values['clear_share']:.0%}** "
            "of the neurons clearly."
        )
    for freq in gone[:3]:
        place = result.sel(freq=freq)
        sentence = sentence[:-1] + (
            f"; frequency {freq} had **{int(place.most_neurons)} neurons** at step {int(place.most_step):,} "
            "and was given up."
        )
    return Summary(sentence, values)
