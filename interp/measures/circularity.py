"""Whether the embedding is made of circles."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Bar, Claims, Finding, UndefinedError, course
from interp.machine import devices
from interp.maths import fourier
from interp.measures.shared.cyclic import residues

ALIKE = 1e-7
"""Singular values that differ by less than this share of the largest coincide."""
COMPONENTS = 4
"""Principal components looked at, two to a circle."""


@dataclass(frozen=True)
class Circularity:
    circularity: Float[Tensor, ""]
    """Mean, over the first four principal components of W_E, of the largest share that one frequency holds"""
    chance: float
    """Largest share that one frequency holds of a random vector over the residues, on average"""


def circularity(checkpoint: Checkpoint, rows: Literal["residues", "all"] = "residues") -> Circularity:
    r"""An embedding made of circles has waves for principal components.

    Each of the first four principal components of W_E is a vector over the residues; the largest share of it that a
    single frequency holds is taken, and the mean of the four. Expect values near 1 where two circles dominate, in
    whatever the network computes with them, and less before, or where several circles of one size share components.

    `rows` says of which tokens the principal components are: "residues", of the rows of W_E for the residues, those of
    a where b has tokens of its own; or "all", of the whole vocabulary, from which the rows of the residues are then
    taken, as the release did. Components whose singular values coincide may be any of a plane's directions: those are
    taken that hold a single frequency, as far as there are any.

    Formula: \frac{1}{4} \sum_{j=1}^{4} \max_k \frac{2}{p} \left|\sum_t v^{(j)}_t e^{2\pi i k t/p}\right|^2,
        \quad \lVert v^{(j)} \rVert = 1

    Paper: Zhong et al. 2023, arXiv 2306.17844
    """
    axis = residues(checkpoint.task).to(checkpoint.embedding.device)
    n = len(axis)
    if rows == "all" and "embed.W_E" in checkpoint.weights:
        components = _components(devices.float64(checkpoint.weights["embed.W_E"]), axis)
    else:
        components = _components(checkpoint.embedding[axis], torch.arange(n, device=axis.device))
    if not components.numel():
        raise NothingToSay("the embedding is the same for all residues, so it has no principal components")
    power = torch.fft.rfft(components, dim=0)[1:].abs().square() * 2 / n  # [freq, component]
    if n % 2 == 0:
        power[-1] /= 2  # the wave (-1)^t has one direction, not two
    return Circularity(power.amax(dim=0).clip(max=1).mean(), _chance(len(power)))


def _chance(n_freqs: int) -> float:
    """The mean of the largest of n exponential variables over their sum, which is H_n / n."""
    return sum(1 / k for k in range(1, n_freqs + 1)) / n_freqs


def _components(
    W_E: Float[Tensor, "token d_model"], axis: Int[Tensor, " residue"]
) -> Float[Tensor, "residue component"]:
    """The scores of the first principal components, each of unit length over the tokens, at the residues.

    Components of rounding alone are left out.
    """
    W_E = W_E / W_E.abs().max().clip(min=torch.finfo(W_E.dtype).tiny)  # so that no square overflows
    vectors, size, _ = torch.linalg.svd(W_E - W_E.mean(dim=0), full_matrices=False)
    real = size > 1e-12 * W_E.norm()
    vectors, size = vectors[:, real], size[real]
    if not len(size):
        return vectors[axis]
    ends = [0, *((size[:-1] - size[1:] > ALIKE * size[0]).nonzero().flatten() + 1).tolist(), len(size)]
    alike = [vectors[:, start:end][axis] for start, end in itertools.pairwise(ends) if start < COMPONENTS]
    return torch.cat([_by_frequency(plane) for plane in alike], dim=1)[:, :COMPONENTS]


def _by_frequency(plane: Float[Tensor, "residue component"]) -> Float[Tensor, "residue component"]:
    """Turn components of one singular value so that each holds few frequencies, that of the lowest first.

    They become the eigenvectors of the mean frequency, Σ_k k·P_k with P_k the projection on the waves of k.
    """
    if plane.shape[1] == 1:
        return plane
    n = len(plane)
    waves = fourier.basis(n).to(plane)  # [wave, residue]
    freq = fourier.freq_of_row(n).to(plane)
    through = waves @ plane  # [wave, component]
    return plane @ torch.linalg.eigh(through.T @ (freq[:, None] * through)).eigenvectors


def figure(result: xr.Dataset) -> list[Curves]:
    return [Curves("Circularity", {"all": result.circularity})]


def summary(result: xr.Dataset) -> Finding:
    if float(result.chance[-1]) == 1:
        raise UndefinedError("there is one frequency, which holds everything")
    claims = Claims(result, "Circularity")
    told, records = course(claims, "circularity")
    chance = {"at_the_end": claims.end("circularity", bar=Bar("what a random embedding gives", array="chance"))}
    sentence = f"The circularity of the embedding {told}; that of a random embedding is about {{at_the_end.bar:2}}."
    return Finding(sentence, records | chance, chapter="what", rank=60)
