"""Which irreducible representations the logits are made of, and in which order they are learnt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves, Heatmap
from interp.findings import Bar, Claims, Finding, UndefinedError
from interp.measures.shared.composed import composed
from interp.measures.shared.irreps import KEY, characters, names
from interp.summaries import listed

TITLE = "Trace similarity over training"


@dataclass(frozen=True)
class IrrepOrder:
    irrep: tuple[str, ...]
    """Irreducible representation"""
    trace_similarity: Float[Tensor, " irrep"]
    """Cosine between the logits, centred over c, and the character of a·b·c⁻¹"""
    key: Bool[Tensor, " irrep"]
    """The trace similarity is above 0.005"""
    logit_norm: Float[Tensor, ""]
    """Root of the sum of the squares of all logits, centred over c [logits]"""
    learnt_from: float
    """Trace similarity from which an irrep counts as learnt"""


def irrep_order(checkpoint: Checkpoint, learnt_from: float = 0.05) -> IrrepOrder:
    r"""A network that composes in a group learns its representations one after another.

    The logits of the answers are, in Chughtai's account, a sum over a few irreducible representations of the character
    of a·b·c⁻¹, which is largest where c is the answer. The trace similarity of one is the cosine between the logits,
    less each pair's mean, and that character, over all pairs and all c. The order is that of the first steps at which
    it is `learnt_from` or more, among the irreps that are key at the last step, with more than 0.005.

    The answer need not be a·b: it may be a·b⁻¹, a·b·a⁻¹ or a·b·a, in the place of a·b. Irreps are those over the reals:
    a pair of complex ones that are each other's conjugates is one, for cyclic groups a frequency. They have the names
    that Chughtai et al. gave them. Others have their dimension over the reals and their place among those of it,
    "9d_2", in the order of their characters' values on one conjugacy class after another, the larger first; classes are
    in the order of their elements' orders, then of their sizes, then of the numbers of their first elements.

    Formula: s_\rho = \frac{\langle Z_c, T_\rho \rangle}{\lVert Z_c \rVert \lVert T_\rho \rVert}, \quad
        T_\rho(a, b, c) = \chi_\rho(a b c^{-1})

    Paper: Chughtai et al. 2023, arXiv 2302.03025
    """
    order = composed(checkpoint)
    table = torch.zeros(order.n, order.n, dtype=torch.float64)  # [answer, c]: summed over the answer's pairs
    square = torch.zeros((), dtype=torch.float64)
    for block in order.blocks(checkpoint):
        logits = block.of_pairs(block.centred_logits)
        table.index_add_(0, block.pairs[:, 1], logits)
        square += torch.linalg.vector_norm(logits).square()
    if not square > 0:
        raise NothingToSay("the logits of each pair are all alike")
    chi = characters(order.group)
    by_quotient = torch.zeros(order.n, dtype=torch.float64)
    by_quotient.index_add_(0, order.group.quotient.flatten(), table.flatten())
    similarity = chi @ by_quotient / (order.n * chi.norm(dim=1) * square.sqrt())
    return IrrepOrder(names(order.group), similarity, similarity > KEY, square.sqrt(), learnt_from)


@dataclass(frozen=True)
class Learnt:
    learnt_step: Float[np.ndarray, " irrep"]
    """First step at which the trace similarity was as high as was asked; NaN where it never was, or is not key"""
    place: Float[np.ndarray, " irrep"]
    """Place in the order of these steps, from 1; NaN where there is none"""


def over_run(result: xr.Dataset) -> Learnt:
    similarity = result.trace_similarity.values  # [step, irrep]
    above = similarity >= float(result.learnt_from[-1])
    there = above.any(0) & result.key.values[-1] & (result.irrep.values != "trivial")
    steps = np.where(there, result.step.values[above.argmax(0)], np.nan)
    first_to_last = np.lexsort((-similarity[-1], steps))[: int(there.sum())]  # NaN comes last
    place = np.full(len(steps), np.nan)
    place[first_to_last] = np.arange(1, len(first_to_last) + 1)
    return Learnt(steps, place)


def figure(result: xr.Dataset) -> list[Curves | Heatmap]:
    key = result.irrep.values[result.key.values[-1]]
    shown = {str(name): result.trace_similarity.sel(irrep=name) for name in key[:12]}
    curves = [Curves("Trace similarity of the key irreps", shown)] if shown else []
    return [*curves, Heatmap(TITLE, result.trace_similarity.isel(irrep=slice(1, None)), x="step", y="irrep")]


MOST_NAMED = 6


def summary(result: xr.Dataset) -> Finding:
    if result.sizes["step"] == 1:
        raise UndefinedError("one checkpoint has no order")
    claims = Claims(result, TITLE)
    ranked = [str(result.irrep.values[at]) for at in np.argsort(result.place.values)]
    ranked = ranked[: int(result.place.notnull().sum())]
    if not ranked:
        records = {"highest": claims.highest("trace_similarity", "max"), "bar": claims.end("learnt_from")}
        sentence = "No irrep that is key at the end has come to a trace similarity of {bar}"
        return Finding(
            f"{sentence}; the largest of any at any step is {{highest:2}}.", records, chapter="when", rank=45
        )
    named = ranked[:MOST_NAMED]
    records = {f"step_{at}": claims.step("learnt_step", irrep=name) for at, name in enumerate(named)}
    records["last"] = claims.end("trace_similarity", "max")
    records["learnt"] = claims.end("place", "count", Bar("any place", 0.5))
    told = []
    for step in dict.fromkeys(records[f"step_{at}"].value for at in range(len(named))):
        alike = [at for at in range(len(named)) if records[f"step_{at}"].value == step]
        there = "from the start" if step == int(result.step[0]) else f"by {{step_{alike[0]}:step}}"
        told.append(f"{listed([named[at] for at in alike])} {there}")
    several = "{learnt:irrep}, among them " if len(ranked) > MOST_NAMED else ""
    return Finding(f"The logits take up {several}{listed(told)}.", records, chapter="when", rank=45)
