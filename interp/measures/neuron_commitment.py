"""Which frequency each neuron is committed to, over training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claim, Claims, Finding
from interp.measures.neuron_spectrum import CLEAR
from interp.summaries import listed


@dataclass(frozen=True)
class NeuronCommitment:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    committed_to: Int[Tensor, " neuron"]
    """Frequency that explains more than 85% of the neuron's variance; -1 where none does"""
    active: Bool[Tensor, " neuron"]
    """The neuron varies over the pairs"""
    neurons: Float[Tensor, " freq"]
    """Neurons committed to this frequency"""
    committed_share: Float[Tensor, ""]
    """Share of all neurons that are committed"""
    clear_chance: float
    """The same share of neurons whose waves of a and of b are random"""


def neuron_commitment(checkpoint: Checkpoint) -> NeuronCommitment:
    r"""Neurons commit to a frequency one by one; some switch, and whole frequencies are given up.

    A neuron is committed to a frequency that explains more than 85% of its variance over all pairs. It has settled
    at the step from which its frequency never changes again. A frequency rose and fell if more than 2% of the
    neurons were once committed to it, and fewer than half as many are at the last step; its neurons at its peak are
    then found again at the last step: with it still, committed to another, to none, or never varying any more.

    Formula: \text{committed to } k: \quad \mathrm{FVE}_k > 0.85

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    spectrum = checkpoint.measure("neuron_spectrum")
    return NeuronCommitment(
        freq=spectrum.freq,
        committed_to=spectrum.own_freq.where(spectrum.own_share > CLEAR, -1),
        active=spectrum.own_freq >= 0,
        neurons=spectrum.cluster_size,
        committed_share=spectrum.clear_share,
        clear_chance=spectrum.clear_chance,
    )


@dataclass(frozen=True)
class Commitments:
    settled_step: Int[np.ndarray, " neuron"]
    """Step from which the neuron's frequency never changes; -1 where it is committed to none at the last step"""
    switches: Int[np.ndarray, " neuron"]
    """How often the neuron committed to another frequency than the one before"""
    peak_step: Int[np.ndarray, " freq"]
    """Step at which most neurons were committed to this frequency, its peak"""
    peak_neurons: Int[np.ndarray, " freq"]
    """Neurons committed to this frequency at its peak"""
    rose_and_fell: Bool[np.ndarray, " freq"]
    """The frequency once had more than 2% of the neurons, and at the last step has fewer than half as many"""
    stayed: Int[np.ndarray, " freq"]
    """Neurons of the frequency's peak that are committed to it at the last step"""
    joined_another: Int[np.ndarray, " freq"]
    """Neurons of the frequency's peak that are committed to another frequency at the last step"""
    uncommitted: Int[np.ndarray, " freq"]
    """Neurons of the frequency's peak that vary, and are committed to none, at the last step"""
    dead: Int[np.ndarray, " freq"]
    """Neurons of the frequency's peak that do not vary at the last step"""
    switched: int
    """Neurons that committed to another frequency than the one before, at least once"""
    half_settled_step: float
    """Step from which half of the neurons committed at the last step are so for good; NaN where none is"""


def over_run(result: xr.Dataset) -> Commitments:
    steps, committed, active = result.step.values, result.committed_to.values, result.active.values[-1]
    freqs = result.freq.values
    neurons = (committed[:, :, None] == freqs).sum(axis=1)  # [step, freq]
    peak, most = neurons.argmax(axis=0), neurons.max(axis=0)
    of_peak = committed[peak] == freqs[:, None]  # [freq, neuron]
    last = committed[-1]
    same = last == freqs[:, None]
    settled_step, switches = np.where(last > 0, steps[_first_of_last_run(committed)], -1), _switches(committed)
    settled = settled_step[settled_step >= 0]
    return Commitments(
        settled_step=settled_step,
        switches=switches,
        peak_step=steps[peak],
        peak_neurons=most,
        rose_and_fell=(most > 0.02 * committed.shape[1]) & (2 * neurons[-1] < most),
        stayed=(of_peak & same).sum(axis=1),
        joined_another=(of_peak & ~same & (last > 0)).sum(axis=1),
        uncommitted=(of_peak & (last < 0) & active).sum(axis=1),
        dead=(of_peak & (last < 0) & ~active).sum(axis=1),
        switched=int((switches > 0).sum()),
        half_settled_step=float(np.quantile(settled, 0.5, method="lower")) if len(settled) else np.nan,
    )


def _first_of_last_run(committed: Int[np.ndarray, "step neuron"]) -> Int[np.ndarray, " neuron"]:
    """The place of the first step from which each neuron's frequency is what it is at the end."""
    differs = committed != committed[-1]
    return np.where(differs.any(axis=0), len(committed) - differs[::-1].argmax(axis=0), 0)


def _switches(committed: Int[np.ndarray, "step neuron"]) -> Int[np.ndarray, " neuron"]:
    """How often each neuron changes from one frequency to another, whatever lies between."""
    before, count = committed[0], np.zeros(committed.shape[1], np.int64)
    for now in committed[1:]:
        count += (now > 0) & (before > 0) & (now != before)
        before = np.where(now > 0, now, before)
    return count


def figure(result: xr.Dataset) -> list[Heatmap | Bars | Curves]:
    varying = result.isel(freq=slice(1, None))
    top = result.peak_neurons.values.argsort(kind="stable")[::-1][:6]
    shown = [int(place) for place in sorted(top) if result.peak_neurons[place] > 0]
    by_end = np.lexsort((result.settled_step.values, result.committed_to.values[-1]))
    axis = "neuron, sorted by its last frequency"
    frequency = result.committed_to.where(result.committed_to > 0).isel(neuron=by_end).rename(neuron=axis)
    panels: list[Heatmap | Bars | Curves] = [
        Heatmap("Frequency of each neuron over training", frequency, x="step", y=axis, paper=-0.5 * len(result.freq))
    ]
    if shown:
        panels.append(
            Curves(
                "Neurons committed to a frequency",
                {f"freq {int(result.freq[place])}": result.neurons.isel(freq=place) for place in shown},
                width="half",
            )
        )
    return [
        *panels,
        Curves("Committed neurons", {"all": result.committed_share}, percent=True, width="half"),
        Bars(
            "Most neurons ever committed",
            varying.peak_neurons,
            highlight={"accent": varying.neurons.isel(step=-1) > 0, "abandoned": varying.rose_and_fell},
        ),
    ]


MOST_FALLEN = 3


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Committed neurons")
    chance = Bar("what neurons of random waves give", array="clear_chance")
    records = {"committed_share": claims.end("committed_share", bar=chance), "switched": claims.end("switched")}
    sentence = "At the end {committed_share:%} of the neurons are committed to a frequency"
    if not records["committed_share"].value:
        sentence = "At the end no neuron is committed to a frequency"
    if claims.end("clear_chance").value >= 0.01:
        sentence += " (were their waves random, {committed_share.bar:%} would be)"
    if float(result.half_settled_step) < result.step.values[-1]:  # at the last step all are as they are there
        records["half_settled_step"] = claims.step("half_settled_step")
        sentence += "; half of these are so for good from {half_settled_step:step} on"
    if records["switched"].value:
        sentence += "; {switched:neuron} switched frequency on the way"
    sentence += "."
    claims.panel = "Most neurons ever committed"
    fallen = result.isel(freq=result.rose_and_fell.values).sortby("peak_neurons", ascending=False)
    records["rose_and_fell"] = claims.end("rose_and_fell", "labels")
    for freq in fallen.freq.values[:MOST_FALLEN].tolist():
        told, found = _what_became(claims, freq)
        sentence += told
        records |= found
    return Finding(sentence, records, chapter="how", rank=20)


def _what_became(claims: Claims, freq: int) -> tuple[str, dict[str, Claim]]:
    """A sentence on the neurons that a frequency had at its peak."""
    fates = {
        "stayed": "{0:is.} with it still",
        "joined_another": "{0:has.} joined another",
        "uncommitted": "{0:is.} committed to none",
        "dead": "no longer {0:varies.}",
    }
    records = {f"peak_{freq}": claims.end("peak_neurons", freq=freq)}
    records[f"peak_step_{freq}"] = claims.step("peak_step", freq=freq)
    told = []
    for fate, words in fates.items():
        record = claims.end(fate, freq=freq)
        records[f"{fate}_{freq}"] = record
        if record.value:
            told.append(f"{{{fate}_{freq}}} {words.replace('{0', f'{{{fate}_{freq}')}")
    had = f"Frequency {freq} had {{peak_{freq}:neuron}} at {{peak_step_{freq}:step}}"
    if records[f"peak_{freq}"].value == 1:
        return f" {had}, which at the end {told[0].partition(' ')[2]}.", records
    return f" {had}, of which at the end {listed(told)}.", records
