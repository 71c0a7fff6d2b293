"""Whether a neuron's phases add up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import has_neurons, reads_two_operands
from interp.errors import NothingToSay
from interp.figures import Bars, Curves, Points
from interp.findings import Bar, Claims, Finding, UndefinedError
from interp.machine import devices
from interp.measures.neuron_spectrum import CLEAR
from interp.measures.shared.cyclic import Cyclic, cyclic
from interp.measures.shared.when_asked import WhenAsked

CIRCLES = 6
"""The largest clusters are drawn."""


@dataclass(frozen=True)
class PhaseAlignment:
    path: tuple[str, ...]
    """What the operands' phases were read from"""
    phase: Float[Tensor, " phase"]
    """φ_a + φ_b − φ_c [degrees]"""
    alignment: Float[Tensor, "path neuron"]
    """φ_a + φ_b − φ_c of each neuron at its own frequency [radians]"""
    neurons: Float[Tensor, "path phase"]
    """Neurons with this φ_a + φ_b − φ_c"""
    mean_alignment: Float[Tensor, " path"]
    """Circular mean of φ_a + φ_b − φ_c over the neurons [radians]"""
    concentration: Float[Tensor, " path"]
    """Length of the neurons' mean unit vector: 1 where all agree, 0 where they are spread evenly"""
    clear_mean_alignment: Float[Tensor, " path"]
    """Circular mean of φ_a + φ_b − φ_c over the neurons that one frequency explains to more than 85% [radians]"""
    clear_concentration: Float[Tensor, " path"]
    """Length of the mean unit vector of the neurons that one frequency explains to more than 85%"""
    concentration_chance: Float[Tensor, " path"]
    """Length that the mean unit vector of as many random phases exceeds in one case of 20"""
    clear_concentration_chance: Float[Tensor, " path"]
    """Length that the mean unit vector of as many random phases as there are clear neurons exceeds in one case of 20"""
    agreement: Float[Tensor, ""]
    """Length of the neurons' mean unit vector, their phases read from the pre-activation"""
    miss: Float[Tensor, ""]
    """How far the circular mean of φ_a + φ_b − φ_c, read from the pre-activation, is from 0 [radians]"""
    cluster: Int[Tensor, " neuron"]
    """Frequency that explains the neuron to more than 85%; 0 where none does"""
    vote: Float[Tensor, " neuron"]
    """φ_c of each neuron at its own frequency [radians]"""


def phase_alignment(checkpoint: Checkpoint, bins: PositiveInt = 36) -> PhaseAlignment:
    r"""A neuron that fires for cos(w_k a + φ_a) and cos(w_k b + φ_b) votes for cos(w_k c + φ_a + φ_b).

    Expect no order at first, and a peak at 0 in a network that multiplies waves: there the neurons' random phases
    cancel, and what is left votes for the right answer.

    The phases of each neuron are taken at its own frequency (`neuron_spectrum`); where it has none, it has no phases.
    φ_c is the phase of what it gives the logits, W_out·W_U or an MLP's W_U. φ_a and φ_b are read twice: from the
    "weights", an MLP's embeddings times its half of W_in or a transformer's W_E·W_in; and from the "pre-activation",
    averaged over the other operand. For an MLP of one layer the two are the same; in a transformer an operand reaches
    the neurons through attention, which W_E·W_in leaves out, and only the second shows the peak. For differences φ_b
    counts negative. A norm on the way is folded: centring and weight are linear, and what is left of it, 1/σ at its
    mean over the pairs, is positive and moves no phase. Gated neurons have two inputs, and no phases.

    Formula: N_a(x) \sim \cos(w_k x + \varphi_a), \quad N_b(x) \sim \cos(w_k x + \varphi_b),
        \quad W_L(c) \sim \cos(w_k c + \varphi_c)

    Paper: Gromov 2023, arXiv 2301.02679
    """
    order, architecture = cyclic(checkpoint), reads_two_operands(checkpoint.run.architecture)
    if "hook_pre_linear" in {name.rpartition(".")[2] for name in checkpoint.activations}:
        raise NothingToSay("the neurons are gated: each has two inputs, and no phase of its own for an operand")
    spectrum = checkpoint.measure("neuron_spectrum")
    own, clear = spectrum.own_freq, spectrum.own_share > CLEAR
    weights = {name: devices.float64(weight) for name, weight in checkpoint.weights.items()}
    phi_c = _phases(order.readout(checkpoint).T, own)
    inputs = architecture.neuron_inputs(weights, WhenAsked(checkpoint))
    by_path = [None if inputs is None else inputs.cpu()[:, order.axis], _mean_inputs(checkpoint, order)]
    angles = torch.full((2, len(own)), torch.nan, dtype=torch.float64)  # [path, neuron]
    for path, rows in enumerate(by_path):
        if rows is not None:
            angles[path] = _wrapped(_phases(rows[0], own) + order.sign * _phases(rows[1], own) - phi_c)
    width = 2 * math.pi / bins
    places = torch.arange(bins) - bins // 2
    counts = [
        torch.bincount((angle[angle.isfinite()] / width).round().long() % bins, minlength=bins)[places % bins]
        for angle in angles
    ]
    mean_alignment, concentration = _circular_mean(angles)
    clear_mean_alignment, clear_concentration = _circular_mean(angles[:, clear])
    return PhaseAlignment(
        path=("weights", "pre-activation"),
        phase=places.double() * 360 / bins,
        alignment=angles,
        neurons=torch.stack(counts).double().where(concentration[:, None].isfinite(), torch.nan),
        mean_alignment=mean_alignment,
        concentration=concentration,
        clear_mean_alignment=clear_mean_alignment,
        clear_concentration=clear_concentration,
        concentration_chance=_chance(angles),
        clear_concentration_chance=_chance(angles[:, clear]),
        agreement=concentration[1],
        miss=mean_alignment[1].abs(),
        cluster=own.long() * clear,
        vote=phi_c.float(),
    )


def _circular_mean(angles: Float[Tensor, "path neuron"]) -> tuple[Float[Tensor, " path"], Float[Tensor, " path"]]:
    """The direction and the length of the mean unit vector of the angles that are known; NaN where none is."""
    known = angles.isfinite()
    vector = torch.polar(known.double(), angles.nan_to_num()).sum(dim=1) / known.sum(dim=1)
    return vector.angle(), vector.abs()


def _chance(angles: Float[Tensor, "path neuron"]) -> Float[Tensor, " path"]:
    """What the concentration of as many random angles exceeds in one case of 20: P(R > r) is about exp(-n r²)."""
    count = angles.isfinite().sum(dim=1)
    return (-math.log(0.05) / count).sqrt().clip(max=1).where(count > 0, torch.nan)


def _mean_inputs(checkpoint: Checkpoint, order: Cyclic) -> Float[Tensor, "operand n neuron"]:
    """The pre-activations as functions of a, averaged over b, and of b, averaged over a."""
    hook = has_neurons(checkpoint.run.architecture).neurons.replace("hook_post", "hook_pre")
    table = order.table(checkpoint.activations[hook])  # [a, b, neuron]
    return torch.stack([table.mean(dim=1), table.mean(dim=0)])


def _phases(rows: Float[Tensor, "n neuron"], freqs: Int[Tensor, " neuron"]) -> Float[Tensor, " neuron"]:
    """The phase φ of the wave cos(w_k x + φ) in each neuron's row at its frequency k; NaN where there is none."""
    n = len(rows)
    angle = 2 * math.pi * ((torch.arange(n)[:, None] * freqs) % n).double() / n
    cosine, sine = (rows * angle.cos()).sum(dim=0), (rows * angle.sin()).sum(dim=0)
    there = (freqs > 0) & (torch.hypot(cosine, sine) > 1e-10 * rows.abs().sum(dim=0))
    return torch.atan2(-sine, cosine).where(there, torch.nan)


def _wrapped(angle: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The angle between -π and π that differs by whole turns."""
    return torch.atan2(angle.sin(), angle.cos())


def figure(result: xr.Dataset) -> list[Bars | Curves | Points]:
    return [
        *(
            Bars(f"φ_a + φ_b − φ_c, from the {path}", result.neurons.sel(path=path), width="half")
            for path in _told(result)
        ),
        Curves(
            "Agreement of the phases",
            {f"{path}": result.concentration.sel(path=path) for path in _told(result)}
            | {f"{path}, clear neurons": result.clear_concentration.sel(path=path) for path in _told(result)},
            percent=True,
        ),
        *_circles(result),
    ]


def _circles(result: xr.Dataset) -> list[Points]:
    """A panel of the neurons of each of the largest final clusters, placed on a circle by the answer they vote for."""
    known = result.cluster.values[(result.cluster.values >= 0).any(axis=1)]  # not those of weights that are not finite
    sizes = np.bincount(known[-1]) if len(known) else np.zeros(1, np.int64)
    sizes[0] = 0
    freqs = [int(freq) for freq in np.argsort(-sizes, kind="stable")[:CIRCLES] if sizes[freq]]
    if not freqs:
        return []
    vote, cluster = result.vote.values, result.cluster.values  # [step, neuron]
    angle = np.stack([np.where(cluster == freq, vote, np.nan) for freq in freqs], axis=1)
    coordinates = {"step": result.step.values, "freq": ("freq", freqs, {"long_name": "Frequency"})}
    x, y = (xr.DataArray(wave, coordinates, ("step", "freq", "neuron")) for wave in (np.cos(angle), np.sin(angle)))
    return [Points("The clear neurons of a frequency, by the answer they vote for", x, y, "freq")]


def _told(result: xr.Dataset) -> list[str]:
    """The paths for which there are numbers; all of them where there are none."""
    known = result.concentration.notnull().any("step")
    return [str(path) for path in result.path.values[known.values]] or [str(path) for path in result.path.values]


def summary(result: xr.Dataset) -> Finding:
    paths = [path for path in _told(result) if result.concentration.sel(path=path)[-1].notnull()]
    if not paths:
        raise UndefinedError("no neuron has a phase")
    claims, records, path = Claims(result, "Agreement of the phases"), {}, paths[-1]
    for name in ("", "clear_"):
        chance = Bar("what random phases exceed in one case of 20", array=f"{name}concentration_chance")
        if result[f"{name}concentration"].sel(path=path)[-1].notnull():
            records[f"{name}agreement"] = claims.end(f"{name}concentration", bar=chance, path=path)
            records[f"{name}miss"] = claims.end(f"{name}mean_alignment", path=path)
    agreement = records["agreement"]
    if agreement.value <= agreement.bar.value:
        sentence = (
            f"The neurons' phases φ_a + φ_b − φ_c, from the {path}, agree no more than random ones at the end: to "
            "{agreement:%}, where random ones agree to {agreement.bar:%} in one case of 20."
        )
        return Finding(sentence, records, chapter="what", rank=55)
    sentence = (
        f"At the end the operands' phases, from the {path}, miss the answer's by {{miss:°}} on average; the neurons "
        "agree to {agreement:%}"
    )
    clear = records.get("clear_agreement")
    if clear and clear.value > clear.bar.value:  # one neuron agrees with itself
        sentence += ", the clear ones to {clear_agreement:%}"
    sentence += " (random phases to {agreement.bar:%} in one case of 20)."
    return Finding(sentence, records, chapter="what", rank=55)
