"""Whether the embedding is made of circles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.machine import devices
from interp.measures.shared.cyclic import cyclic
from interp.summaries import Summary

COMPONENTS = 4
"""Principal components looked at, two to a circle."""


@dataclass(frozen=True)
class Circularity:
    circularity: Float[Tensor, ""]
    """Mean, over the first four principal components of W_E, of the largest share that one frequency holds"""


def circularity(checkpoint: Checkpoint, rows: Literal["residues", "all"] = "residues") -> Circularity:
    r"""An embedding made of circles has waves for principal components.

    Each of the first four principal components of W_E is a vector over the residues; the largest share of it that a
    single frequency holds is taken, and the mean of the four. Expect values near 1 where two circles dominate, in
    a clock as in a pizza, and less before, or where several circles of one size share components.

    `rows` says of which tokens the principal components are: "residues", of the rows of W_E for the residues, those of
    a where b has tokens of its own; or "all", of the whole vocabulary, from which the rows of the residues are then
    taken, as the release did. Where singular values lie close together, different solvers differ by 1e-4.

    Formula: \frac{1}{4} \sum_{j=1}^{4} \max_k \frac{2}{p} \left|\sum_t v^{(j)}_t e^{2\pi i k t/p}\right|^2,
        \quad \lVert v^{(j)} \rVert = 1

    Paper: Zhong et al. 2023, arXiv 2306.17844
    """
    order = cyclic(checkpoint)
    axis = order.axis.to(checkpoint.embedding.device)
    if rows == "all" and "embed.W_E" in checkpoint.weights:
        components = _components(devices.float64(checkpoint.weights["embed.W_E"]))[axis]
    else:
        components = _components(checkpoint.embedding[axis])
    if not components.numel():
        raise NothingToSay("the embedding is the same for all residues, so it has no principal components")
    power = torch.fft.rfft(components, dim=0)[1:].abs().square() * 2 / order.n  # [freq, component]
    if order.n % 2 == 0:
        power[-1] /= 2  # the wave (-1)^t has one direction, not two
    return Circularity(power.amax(dim=0).clip(max=1).mean())


def _components(W_E: Float[Tensor, "token d_model"]) -> Float[Tensor, "token component"]:
    """The scores of the first principal components, each of unit length; components of rounding alone are left out."""
    vectors, size, _ = torch.linalg.svd(W_E - W_E.mean(dim=0), full_matrices=False)
    real = size > 1e-12 * W_E.norm()
    return vectors[:, real][:, :COMPONENTS]


def figure(result: xr.Dataset) -> list[Curves]:
    return [Curves("Circularity", {"all": result.circularity})]


def summary(result: xr.Dataset) -> Summary:
    values = {"first": float(result.circularity[0]), "final": float(result.circularity[-1])}
    return Summary(f"The circularity of the embedding ends at **{values['final']:.3f}**.", values)
