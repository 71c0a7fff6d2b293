"""The logits as cosines of a+b-c: how much of each frequency, and how much of them that explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claims, Finding
from interp.maths import fourier, projections
from interp.maths.rounding import beyond, scale_and_rounding
from interp.measures.shared.cyclic import cyclic


@dataclass(frozen=True)
class CosineFit:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    coefficient: Float[Tensor, " freq"]
    """α_k in logits ≈ Σ α_k cos w_k(a+b-c) [logits]"""
    trace_similarity: Float[Tensor, " freq"]
    """Cosine between the logits, centred over c, and cos w_k(a+b-c)"""
    explained_by_freq: Float[Tensor, " freq"]
    """Share of the centred logits' square in cos w_k(a+b-c)"""
    explained: Float[Tensor, ""]
    """Share of the centred logits' square in all cos w_k(a+b-c)"""
    pizza_coefficient: Float[Tensor, " freq"]
    """β_k in logits ≈ Σ β_k |cos(w_k(a-b)/2)| cos w_k(a+b-c) [logits]"""
    pizza_similarity: Float[Tensor, " freq"]
    """Cosine between the logits, centred over c, and |cos(w_k(a-b)/2)| cos w_k(a+b-c)"""
    pizza_explained_by_freq: Float[Tensor, " freq"]
    """Share of the centred logits' square in |cos(w_k(a-b)/2)| cos w_k(a+b-c)"""
    pizza_explained: Float[Tensor, ""]
    """Share of the centred logits' square in all |cos(w_k(a-b)/2)| cos w_k(a+b-c)"""
    distance: Int[Tensor, " distance"]
    """c minus the answer"""
    along_c: Float[Tensor, " distance"]
    """Centred logit of the c at this distance from the answer, mean over all pairs [logits]"""


def cosine_fit(checkpoint: Checkpoint) -> CosineFit:
    r"""The logits end as a sum of a few cosines of a+b-c: the circuit's closed form, with its amplitudes.

    Clock networks answer every pair alike, with α_k cos w_k(a+b-c); Pizza networks answer a pair the more quietly
    the nearer w_k(a-b) is to π, with β_k |cos(w_k(a-b)/2)| cos w_k(a+b-c). Each form is fitted on its own, by least
    squares. Within a form the frequencies are orthogonal (summed over c, on every pair), so each
    coefficient stands alone and the shares add up; the two forms of one frequency are not orthogonal to each other.

    The logits are the first p, centred over c on each pair; on x-y, b counts as -b; on products, the residues but 0 are
    taken by discrete logarithm. For even n the frequency n/2 is (-1)^(a+b-c), the sign representation. At frequency 0
    all is 0: the constant is no wave. A coefficient no larger than rounding may make it, n ε times the largest logit,
    is 0.

    Formula: \alpha_k = \frac{\langle Z, C_k \rangle}{\lVert C_k \rVert^2}, \quad
        s_k = \frac{\langle Z_c, C_k \rangle}{\lVert Z_c \rVert \lVert C_k \rVert}, \quad C_k = \cos w_k(a+b-c)

    Formula: Q_k = \left|\cos \tfrac{w_k(a-b)}{2}\right| \cos w_k(a+b-c)

    Paper: Chughtai et al. 2023, arXiv 2302.03025; Zhong et al. 2023, arXiv 2306.17844
    """
    order = cyclic(checkpoint)
    n = order.n
    logits = order.by_answer(order.logits(checkpoint))  # [answer, a, c]
    scale, rounding = scale_and_rounding(logits, n)
    rounding = rounding / scale
    logits = logits / scale  # so that no square overflows, or is lost
    logits = beyond(logits - logits.mean(2, keepdim=True), rounding)
    size = logits.norm()
    if not size > 0:
        raise NothingToSay("the logits of each pair are all alike")
    wave_square = projections.wave_square(n)
    coefficient = beyond(projections.cosine_coefficients(logits.mean(1)), rounding)
    similarity = coefficient * n * wave_square.nan_to_num(posinf=0).sqrt() / size

    ones = torch.ones(n // 2 + 1, dtype=torch.float64)
    onto_waves = logits @ projections.cosine_logits(ones, n)  # [answer, a, freq]: Σ_c Z cos w_k(a+b-c)
    place = torch.arange(n)
    loudness = projections.pizza_weights(n)[(2 * place - place[:, None]) % n]  # a-b is 2a - (a+b)
    pizza_square = loudness.square().sum((0, 1)) * wave_square
    pizza_coefficient = beyond((onto_waves * loudness).sum((0, 1)) / pizza_square, rounding)
    pizza_similarity = pizza_coefficient * pizza_square.nan_to_num(posinf=0).sqrt() / size
    return CosineFit(
        torch.arange(order.n_freqs),
        coefficient * scale,
        similarity,
        similarity.square(),
        similarity.square().sum(),
        pizza_coefficient * scale,
        pizza_similarity,
        pizza_similarity.square(),
        pizza_similarity.square().sum(),
        place,
        _along_c(logits.mean(1)) * scale,
    )


def _along_c(mean: Float[Tensor, "answer c"]) -> Float[Tensor, " distance"]:
    """The mean over the answers of their logits, each centred, and turned so that the answer's own comes first."""
    place = torch.arange(len(mean))
    turned = mean[place[:, None], (place[:, None] + place) % len(mean)]  # [answer, distance]
    return (turned - turned.mean(1, keepdim=True)).mean(0)


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    varying = result.isel(freq=slice(1, None))
    return [
        Curves(
            "Share of the logits explained",
            {"cosines": result.explained, "fading cosines": result.pizza_explained},
            percent=True,
        ),
        Heatmap("Coefficients of the cosines over training", varying.coefficient, x="step", y="freq"),
        Bars("Coefficients at this step", varying.coefficient, width="half"),
        Bars("Trace similarity at this step", varying.trace_similarity, width="half"),
        Bars("Logits along c", result.along_c, width="half"),
        _sorted_along_c(result),
    ]


def _sorted_along_c(result: xr.Dataset) -> Bars:
    """The logits along c in the order of k(c - a - b), where k is the strongest frequency at the end.

    So sorted, the logits of a circuit of one frequency are one period of its cosine.
    """
    n = result.sizes["distance"]
    size = torch.from_numpy(np.abs(result.coefficient[-1].values[1:]))
    freq = fourier.strongest(size, 1)[0] + 1
    turns = (freq * result.distance.values + n // 2) % n - n // 2
    order = np.argsort(turns, kind="stable")
    sorted_by = f"{freq}(c − a − b) mod {n}"
    array = result.along_c.isel(distance=order).assign_coords(distance=turns[order]).rename(distance=sorted_by)
    return Bars(f"Logits along c, sorted by {sorted_by}", array, width="half")


STRONG = Bar("1% of the centred logits", 0.01)


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Share of the logits explained")
    records = {
        "explained": claims.end("explained"),
        "pizza_explained": claims.end("pizza_explained"),
        "frequencies": claims.end("explained_by_freq", "labels", STRONG),
        "strong": claims.end("explained_by_freq", "count", STRONG),
    }
    sentence = "Cosines of the answer less c explain {explained:.1%} of the centred logits at the end"
    if 0 < records["strong"].value <= 12:
        sentence += ", at {frequencies:frequency} more than {frequencies.bar:%}"
        sentence += " each" if records["strong"].value > 1 else ""
    elif records["strong"].value:
        sentence += ", at {strong:frequency} more than {strong.bar:%} each"
    sentence += "; cosines that fade where the operands lie across the circle from each other, {pizza_explained:.1%}."
    return Finding(sentence, records, chapter="what", rank=30)
