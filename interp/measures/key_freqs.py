"""The frequencies the neurons compute with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claim, Claims, Finding
from interp.measures.shared.cyclic import cyclic
from interp.measures.shared.used import used_from
from interp.summaries import listed


@dataclass(frozen=True)
class KeyFreqs:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    key: Bool[Tensor, " freq"]
    """The frequency is some neuron's own"""
    neurons: Float[Tensor, " freq"]
    """Neurons whose own frequency this is"""
    clear_neurons: Float[Tensor, " freq"]
    """Neurons of this frequency that it explains to more than 85%"""
    clear_share: Float[Tensor, ""]
    """Share of all neurons that one frequency explains to more than 85%"""
    clear_chance: float
    """The same share of neurons whose waves of a and of b are random"""
    logit_power: Float[Tensor, " freq"]
    """Share of the logits' varying power in cos w_k(a+b) and sin w_k(a+b), the waves of the answer"""
    logit_key: Bool[Tensor, " freq"]
    """The logits use the frequency: its waves of the answer hold `logit_bar` of their varying power, or more"""
    logit_bar: Float[Tensor, ""]
    """Share of the logits' varying power from which they use a frequency: 1%, or three times chance if that is more"""
    clear_freqs: int
    """Frequencies that some neuron follows clearly"""
    logit_freqs: int
    """Frequencies that the logits use"""


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
    logit_power = _logit_power(checkpoint)
    bar = used_from(cyclic(checkpoint).n)
    return KeyFreqs(
        freq=spectrum.freq,
        key=neurons > 0,
        neurons=neurons,
        clear_neurons=spectrum.cluster_size,
        clear_share=spectrum.clear_share,
        clear_chance=spectrum.clear_chance,
        logit_power=logit_power,
        logit_key=logit_power >= bar,
        logit_bar=torch.tensor(bar, dtype=torch.float64),
        clear_freqs=int((spectrum.cluster_size > 0).sum()),
        logit_freqs=int((logit_power >= bar).sum()),
    )


def _logit_power(checkpoint: Checkpoint) -> Float[Tensor, " freq"]:
    """The power of the answer's waves at each frequency; NaN where the logits are the same on all pairs."""
    try:
        return checkpoint.measure("logit_spectrum").answer_power
    except NothingToSay:
        return torch.full((cyclic(checkpoint).n_freqs,), torch.nan, dtype=torch.float64)


@dataclass(frozen=True)
class GivenUp:
    given_up: Bool[np.ndarray, " freq"]
    """The frequency once had more than 2% of the neurons clearly, and has none at the last step"""
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


MOST_NAMED = 8


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Neurons explained by one frequency")
    chance = Bar("what neurons of random waves give", array="clear_chance")
    records = {"clear_share": claims.end("clear_share", bar=chance), "key_freqs": claims.end("key", "labels")}
    claims.panel = "Neurons of each frequency at this step"
    records["clear_freqs"] = clear = claims.end("clear_neurons", "labels", Bar("one neuron", 0.5))
    records["clear_count"] = claims.end("clear_neurons", "count", Bar("one neuron", 0.5))
    sentence = "{clear_share:%} of the neurons follow one frequency clearly, which explains more than 85% of each"
    if not clear.value:
        sentence = "No neuron follows one frequency clearly, so that it would explain more than 85% of the neuron"
    elif len(clear.value) <= MOST_NAMED:
        named = []
        for freq in clear.value:
            records[f"neurons_{freq}"] = claims.end("clear_neurons", freq=freq)
            named.append(f"{freq} ({{neurons_{freq}:neuron}})")
        sentence += f": {'frequency' if len(named) == 1 else 'frequencies'} {listed(named)}"
    else:
        sentence += ", {clear_count:frequency} in all"
    if clear.value and claims.end("clear_chance").value >= 0.01:
        sentence += "; were their waves random, {clear_share.bar:%} would"
    told, found = _of_logits(claims, clear.value)
    sentence, records = sentence + told, records | found
    claims.panel = "Neurons of each frequency over training"
    gone = claims.end("given_up", "labels")
    records["given_up"] = gone
    for freq in gone.value[:3]:
        records[f"most_{freq}"] = claims.end("most_neurons", freq=freq)
        records[f"most_step_{freq}"] = claims.step("most_step", freq=freq)
        sentence += (
            f"; frequency {freq} had {{most_{freq}:neuron}} at {{most_step_{freq}:step}} and has none at the end"
        )
    return Finding(f"{sentence}.", records, chapter="what", rank=10)


def _of_logits(claims: Claims, clear: tuple[int, ...]) -> tuple[str, dict[str, Claim]]:
    """Tell which frequencies the logits use, in the same words where neurons follow these clearly and no others."""
    if not claims.known("logit_power"):
        return "", {}
    bar = Bar("what the logits use", array="logit_bar")
    records = {"logit_freqs": claims.end("logit_key", "labels"), "logit_count": claims.end("logit_key", "count")}
    records["logit_power"] = claims.end("logit_power", "max", bar)
    used = records["logit_freqs"].value
    if not used:
        return "; the logits use none", records
    if used == clear:
        return "; the logits use the same", records
    which = "{logit_freqs:frequency}" if len(used) <= MOST_NAMED else "{logit_count:frequency}"
    each = ", each of" if len(used) > 1 else ", with"
    return f"; the logits use {which}{each} {{logit_power.bar:%}} of their varying power or more", records
