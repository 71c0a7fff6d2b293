"""How few frequencies a neuron's weights hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import xarray as xr
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import reads_two_operands
from interp.errors import NothingToSay
from interp.figures import Curves, Heatmap
from interp.findings import Bar, Claims, Finding, course
from interp.machine import devices
from interp.maths import fourier
from interp.measures.shared.cyclic import cyclic
from interp.measures.shared.when_asked import WhenAsked


@dataclass(frozen=True)
class InverseParticipation:
    side: tuple[str, ...]
    """Weights from a, from b, or to the answer c"""
    ipr: Float[Tensor, "side neuron"]
    """Inverse participation ratio of each neuron's weights over the residues; NaN where there are no such weights"""
    mean_ipr: Float[Tensor, " side"]
    """Inverse participation ratio, mean over the neurons"""
    overall: Float[Tensor, ""]
    """Inverse participation ratio, mean over neurons and sides"""
    chance: float
    """Mean inverse participation ratio of random weights"""


def inverse_participation(checkpoint: Checkpoint, r: Annotated[float, Field(gt=1)] = 2.0) -> InverseParticipation:
    r"""A neuron's weights come to hold a single frequency.

    The ratio is 1 where all amplitude lies at one frequency, whatever its phase, and one over the number of
    frequencies where all hold the same. Expect a slow growth, a sharp one at grokking, and saturation.

    A neuron's weights from a, from b and to the answers are taken as functions of the residue in cyclic order. For an
    MLP they are the embeddings times its half of W_in, and W_U; for a transformer W_E·W_in, and W_out·W_U. cos and sin
    of a frequency are one amplitude, and so is the constant, as published: of the weights to c it is what a neuron
    gives all answers alike, which changes none of them. Where another layer lies between the residues and the neurons,
    or the neurons are gated, there are no numbers of a and b. A norm on the way is folded: centring and weight are
    linear, and what is left of it, 1/σ at its mean over the pairs, multiplies all of a side alike and moves no ratio.

    Formula: \mathrm{IPR}_r = \sum_k \left( \lvert \tilde w_k \rvert^2 \,/\,
        \textstyle\sum_l \lvert \tilde w_l \rvert^2 \right)^r

    Paper: Gromov 2023, arXiv 2301.02679
    """
    order, architecture = cyclic(checkpoint), reads_two_operands(checkpoint.run.architecture)
    weights = {name: devices.float64(weight) for name, weight in checkpoint.weights.items()}
    activations = WhenAsked(checkpoint)
    logits = architecture.neuron_logits(weights, activations).T[None]
    inputs = architecture.neuron_inputs(weights, activations)
    inputs = torch.full_like(logits, torch.nan).expand(2, -1, -1) if inputs is None else inputs
    rows = torch.cat([inputs, logits]).cpu()[:, order.axis]  # [side, residue, neuron]
    ipr = _ratio(rows, r)
    if ipr.isnan().all():
        raise NothingToSay("the neurons' weights are all zero")
    return InverseParticipation(("a", "b", "c"), ipr, ipr.nanmean(dim=1), ipr.nanmean(), _chance(order.n, r))


def _chance(n: int, r: float) -> float:
    """The mean ratio of n independent Gaussian weights, of which each frequency's share has a beta distribution."""
    rows = torch.bincount(fourier.freq_of_row(n))  # [freq]: one row or two
    log = (rows / 2 + r).lgamma() - (rows / 2).lgamma() + math.lgamma(n / 2) - math.lgamma(n / 2 + r)
    return float(log.exp().sum())


def _ratio(rows: Float[Tensor, "side n neuron"], r: float) -> Float[Tensor, "side neuron"]:
    """The inverse participation ratio of order `r` over the frequencies of each neuron's weights."""
    squares = fourier.by_freq((fourier.basis(rows.shape[1]) @ rows).square().movedim(1, 0))  # [freq, side, neuron]
    return (squares / squares.sum(dim=0)).pow(r).sum(dim=0)


def figure(result: xr.Dataset) -> list[Curves | Heatmap]:
    ways = {side: f"from {side}" if side != "c" else "to c" for side in result.side.values}
    ways = {side: way for side, way in ways.items() if side in _sides(result)}
    return [
        Curves("Inverse participation ratio", {way: result.mean_ipr.sel(side=side) for side, way in ways.items()}),
        *(
            Heatmap(f"Each neuron's, {way}", result.ipr.sel(side=side), x="step", y="neuron", width="third")
            for side, way in ways.items()
        ),
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Inverse participation ratio")
    told, records = course(claims, "overall", "2")
    bar = Bar("what random weights give", array="chance")
    records |= {"at_the_end": claims.end("overall", bar=bar)}
    records |= {f"end_{side}": claims.end("mean_ipr", side=side) for side in _sides(result)}
    sentence = (
        f"The mean inverse participation ratio of the neurons' weights {told}; that of random weights is about "
        "{at_the_end.bar:2}."
    )
    return Finding(sentence, records, chapter="what", rank=65)


def _sides(result: xr.Dataset) -> list[str]:
    """The sides of which there are numbers."""
    known = result.mean_ipr.notnull().any("step")
    return [str(side) for side in result.side.values[known.values]]
