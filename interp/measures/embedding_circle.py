"""The residues as points on the circle of a frequency."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import InterpError
from interp.figures import Curves, Points
from interp.maths import fourier
from interp.measures.shared.cyclic import residues


@dataclass(frozen=True)
class EmbeddingCircle:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    token: Int[Tensor, " token"]
    """Residue"""
    x: Float[Tensor, "freq token"]
    """Position of each residue along the cosine direction of W_E"""
    y: Float[Tensor, "freq token"]
    """Position of each residue along the sine direction of W_E"""
    spread: Float[Tensor, " freq"]
    """Standard deviation of the residues' distance from the centre over its mean, which is 0 on a circle"""


def embedding_circle(checkpoint: Checkpoint, count: int = 4, freqs: list[int] | None = None) -> EmbeddingCircle:
    r"""At a frequency the network uses, the residues lie on a circle.

    The embedding of each residue is projected on the plane in which the frequency lives, which the directions of W_E's
    cosine and sine coefficient span. A frequency k that the network has learnt gives a circle run through k times; one
    that it has not gives a cloud.

    The frequencies shown are `freqs`, or else the `count` that hold most of the embedding at the last checkpoint, the
    strongest first, and of those that hold as much the lowest.

    Formula: (x_t, y_t) = W_E[t] \cdot Q_k, \quad Q_k = \mathrm{orth}(W_E^\top \cos w_k,\; W_E^\top \sin w_k)

    Paper: Nanda et al. 2023, arXiv 2301.05217; Zhong et al. 2023, arXiv 2306.17844
    """
    axis = residues(checkpoint.task)
    last = checkpoint.run.final.measure("embedding_dft")
    top = len(last.power) - 1
    if count < 1:
        raise InterpError(f"embedding_circle: count is {count}; at least 1 circle can be shown")
    if wrong := [freq for freq in freqs or [] if not 1 <= freq <= top]:
        raise InterpError(f"embedding_circle: freqs has {wrong[0]}; the frequencies here are 1 to {top}")
    shown = freqs or [place + 1 for place in fourier.strongest(last.power[1:], count)]
    spectrum = checkpoint.measure("embedding_dft").coefficient.double()
    rows = checkpoint.embedding[axis]
    planes = []
    for freq in shown:
        direction = spectrum[2 * freq - 1 : 2 * freq + 1]  # [cos or sin, d_model]
        plane = torch.linalg.qr(direction.T).Q  # [d_model, cos or sin]
        turned = plane * torch.sign((plane * direction.T).sum(0))
        planes.append(torch.nn.functional.pad(rows @ turned, (0, 2 - turned.shape[1])))
    points = torch.stack(planes)  # [freq, token, 2]
    radius = points.norm(dim=-1)
    return EmbeddingCircle(
        torch.tensor(shown), axis, points[..., 0], points[..., 1], radius.std(dim=1, correction=0) / radius.mean(dim=1)
    )


def figure(result: xr.Dataset) -> list[Points | Curves]:
    return [
        Points("Residues on the circle of a frequency", result.x, result.y, choice="freq", width="half"),
        Curves(
            "Distance from a circle",
            {f"freq {freq}": result.spread.sel(freq=freq) for freq in result.freq.values},
            width="half",
        ),
    ]
