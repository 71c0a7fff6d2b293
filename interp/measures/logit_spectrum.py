"""The spectrum of the logits over the operands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claims, Finding, course
from interp.maths import projections
from interp.measures.shared.cyclic import cyclic
from interp.measures.shared.used import used_from


@dataclass(frozen=True)
class LogitSpectrum:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    block_power: Float[Tensor, " freq"]
    """Share of the logits' varying power in products of a wave of a and a wave of b, both of this frequency"""
    answer_power: Float[Tensor, " freq"]
    """Share of the logits' varying power in cos w_k(a+b) and sin w_k(a+b), the waves of the answer"""
    difference_power: Float[Tensor, " freq"]
    """Share of the logits' varying power in cos w_k(a-b) and sin w_k(a-b)"""
    operand_power: Float[Tensor, " freq"]
    """Share of the logits' varying power in waves of a alone and of b alone"""
    answer_share: Float[Tensor, ""]
    """Share of the logits' varying power in the waves of the answer, all frequencies together"""
    elsewhere: Float[Tensor, ""]
    """Share of the logits' varying power in products of waves of two frequencies"""
    even_share: float
    """What share the waves of the answer would hold, were the power even over all waves of a and b"""


def logit_spectrum(checkpoint: Checkpoint) -> LogitSpectrum:
    r"""As functions of a and b the logits end as waves of a+b: of each frequency's block two directions in four.

    Each of the first p logits is written as waves of both operands; its mean over the pairs is left out. What a pair
    adds to all logits alike changes no answer, so each pair's mean over all logits is taken away first. The block of
    frequency k is spanned by four products of a wave of a and a wave of b, or as well by cos and sin of w_k(a+b) and of
    w_k(a-b). A network that adds needs the first two of these alone; expect the others, the waves of single operands
    and the products of two frequencies to fade in cleanup.

    On x-y the answer's waves are those of a-b, and b counts as -b in all that is said here; on products the residues
    but 0 are taken by discrete logarithm. For even n the block of n/2 has one direction, a wave of the answer.

    Formula: \mathrm{power}_k = \frac{\sum_c \sum_{f,g} \langle Z_c, f \otimes g \rangle^2}
        {\sum_c \lVert Z_c - \bar Z_c \rVert^2}, \quad f, g \in \{\cos w_k, \sin w_k\}

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    order = cyclic(checkpoint)
    logits = order.centred_logits(checkpoint)  # [a, b, c]
    place = torch.arange(order.n)
    pairs_of_difference = logits[place, order.sign * (place - place[:, None]) % order.n]  # [difference, a, c]
    total = (logits - logits.mean((0, 1))).square().sum()
    if not total > 1e-20 * logits.square().sum():  # no more than rounding
        raise NothingToSay("the logits are the same on all pairs")
    answer, difference, of_a, of_b = (
        projections.power_of_waves(mean) / total
        for mean in (order.by_answer(logits).mean(1), pairs_of_difference.mean(1), logits.mean(1), logits.mean(0))
    )
    if order.n % 2 == 0:
        difference[-1] = 0  # (-1)^(a-b) is (-1)^(a+b)
    accounted = (answer + difference + of_a + of_b).sum()
    return LogitSpectrum(
        torch.arange(order.n_freqs),
        answer + difference,
        answer,
        difference,
        of_a + of_b,
        answer.sum(),
        1 - accounted,
        1 / (order.n + 1),
    )


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    varying = result.isel(freq=slice(1, None))
    return [
        Heatmap("Waves of the answer in the logits over training", varying.answer_power, x="step", y="freq"),
        Curves(
            "Where the logits' power lies",
            {
                "waves of the answer": result.answer_share,
                "the block's other waves": result.difference_power.sum("freq", skipna=False),
                "one operand": result.operand_power.sum("freq", skipna=False),
                "two frequencies": result.elsewhere,
            },
            percent=True,
        ),
        Bars("Waves of the answer at this step", varying.answer_power, percent=True, width="half"),
        Bars("The whole block at this step", varying.block_power, percent=True, width="half"),
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Where the logits' power lies")
    told, records = course(claims, "answer_share", "%")
    records["at_the_end"] = claims.end("answer_share", bar=Bar("an even share", array="even_share"))
    claims.panel = "Waves of the answer at this step"
    used = Bar("what the logits use", used_from(round(1 / float(result.even_share[-1])) - 1))
    records["frequencies"] = strong = claims.end("answer_power", "labels", used)
    records["strong"] = claims.end("answer_power", "count", used)
    sentence = (
        f"The share of the logits' varying power in waves of the answer {told}; were it even, it would be "
        "{at_the_end.bar:%}"
    )
    if 0 < len(strong.value) <= 12:
        records["held"] = claims.end("answer_power", "sum", freq=list(strong.value))
        each = ", each above" if len(strong.value) > 1 else ", above"
        sentence += f"; {{frequencies:frequency}}{each} {{strong.bar:%}}, {{strong:holds.}} {{held:%}}"
    return Finding(f"{sentence}.", records, chapter="what", rank=35)
