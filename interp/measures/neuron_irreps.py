"""The irreducible representation of each neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.group import NORMS
from interp.errors import NothingToSay
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claims, Finding
from interp.maths import fourier
from interp.measures.shared.composed import composed
from interp.measures.shared.hidden_parts import hidden_parts
from interp.measures.shared.irreps import names

CLEAR = 0.85
"""The share above which a neuron counts to an irrep's cluster, as Nanda et al. have it of frequencies."""


@dataclass(frozen=True)
class NeuronIrreps:
    irrep: tuple[str, ...]
    """Irreducible representation"""
    share: Float[Tensor, "neuron irrep"]
    """Share of what each neuron has in functions of a, of b or of the answer alone that is in each irrep"""
    one_variable: Float[Tensor, " neuron"] | None
    """Share of each neuron's variance in functions of a, of b or of the answer alone"""
    own_irrep: Int[Tensor, " neuron"]
    """Number of the irrep that holds most; 0, the trivial one's, where two hold as much, -1 where nothing varies"""
    own_share: Float[Tensor, " neuron"]
    """Largest share that one irrep holds"""
    cluster_size: Float[Tensor, " irrep"]
    """Neurons of which this irrep holds more than 85%, its cluster"""
    clear_share: Float[Tensor, ""]
    """Share of all neurons of which one irrep holds more than 85%"""
    even_share: Float[Tensor, " irrep"]
    """Share that each irrep would hold of a random function of the group, but for its mean"""


def neuron_irreps(checkpoint: Checkpoint) -> NeuronIrreps:
    r"""Neurons come to belong to irreducible representations, each to one, or to what goes with a coset.

    A neuron's activations on all pairs, centred, have a part in each irrep: functions of a, of b and of the answer. Its
    shares are of these three together, and sum to 1. In Chughtai's account each neuron follows one irrep, as neurons
    follow one frequency in modular addition; in Stander's they follow cosets of a subgroup, whose functions are in
    several irreps at once, so that no irrep need hold more than 85% of a neuron. A neuron that never varies has none.
    Where the answer is a·b·a⁻¹ or a·b·a functions of b and of the answer overlap, and what they have in common is
    counted in both.

    Formula: \frac{\sum_{v \in \{a, b, ab\}} \lVert P_\rho \bar h_v \rVert^2}
        {\sum_{\rho'} \sum_v \lVert P_{\rho'} \bar h_v \rVert^2}, \quad \bar h_v \text{ the mean over pairs of equal } v

    Paper: Chughtai et al. 2023, arXiv 2302.03025; Stander et al. 2023, arXiv 2312.06581
    """
    order = composed(checkpoint)
    parts = hidden_parts(order, checkpoint)
    if not (parts.variance > 0).any():
        raise NothingToSay("no neuron ever varies")
    by_irrep = torch.stack(list(parts.power.values())).sum(0)  # [irrep, neuron]
    of_one = by_irrep.sum(0)
    there = of_one > 1e-12 * parts.variance
    shares = by_irrep / of_one.where(there & (parts.variance > 0), torch.nan)
    own_share, own = fourier.leading(shares)
    clear = own_share > CLEAR
    group = order.group
    even = torch.tensor([irrep.dimension**2 / NORMS[irrep.kind] for irrep in group.irreps], dtype=torch.float64)
    even[0] = 0
    return NeuronIrreps(
        irrep=names(group),
        share=shares.T.float(),
        one_variable=of_one / parts.variance.where(parts.variance > 0, torch.nan) if order.both_ways else None,
        own_irrep=own,
        own_share=own_share,
        cluster_size=torch.bincount(own[clear], minlength=len(group.irreps)).double(),
        clear_share=clear.double().mean(),
        even_share=even / max(order.n - 1, 1),
    )


@dataclass(frozen=True)
class Order:
    order: Int[np.ndarray, " neuron"]
    """Neurons sorted by their own irrep at the last step, the clearest of each first"""


def over_run(result: xr.Dataset) -> Order:
    last = result.isel(step=-1)
    return Order(np.lexsort((-last.own_share.fillna(0).values, last.own_irrep.values)))


def figure(result: xr.Dataset) -> list[Heatmap | Bars | Curves]:
    varying = result.isel(irrep=slice(1, None))
    in_order = varying.share.isel(neuron=result.order.values)
    title = "neuron, sorted by its last irrep"
    return [
        Heatmap("Neurons by irrep", in_order.rename(neuron=title), x=title, y="irrep"),
        Bars("Neurons of each irrep at this step", varying.cluster_size, width="half"),
        Curves("Neurons of one irrep", {"above 85%": result.clear_share}, percent=True, width="half"),
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Neurons of one irrep")
    records = {"clear_share": claims.end("clear_share")}
    claims.panel = "Neurons of each irrep at this step"
    some = Bar("one neuron", 0.5)
    records["clusters"] = clusters = claims.end("cluster_size", "labels", some)
    records["cluster_count"] = claims.end("cluster_size", "count", some)
    if not clusters.value:
        return Finding("At the end no irrep holds more than 85% of a neuron.", records, chapter="what", rank=42)
    which = "{clusters:irrep}" if len(clusters.value) <= 8 else "{cluster_count:irrep}"
    sentence = f"At the end {{clear_share:%}} of the neurons have more than 85% of themselves in one irrep: {which}."
    return Finding(sentence, records, chapter="what", rank=42)
