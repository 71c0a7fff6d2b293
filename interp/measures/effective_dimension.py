"""In how many dimensions an embedding lies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.sums import has_embedding
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.machine import devices
from interp.maths.spectra import spectral_entropy

PANEL = "Effective dimension of the embedding"


@dataclass(frozen=True)
class EffectiveDimension:
    dimension: Float[Tensor, ""]
    """Effective dimension of the embedding"""
    dimensions: int
    """Dimensions that it could have"""


def effective_dimension(checkpoint: Checkpoint) -> EffectiveDimension:
    r"""Numbers that are added well lie on a line or on few circles; those that are memorised lie anywhere.

    The shares of the variance over the numbers that the embedding's principal components hold are taken for
    probabilities, and the effective dimension is e to their entropy: n where n components hold equal shares and the
    others nothing. Expect it to fall as the representation forms; a line has 1, a circle 2. It is of the variances,
    which are the squares of the singular values; `spectral` has the singular values themselves. Separate embeddings of
    a and b count side by side.

    Formula: \exp\left(-\sum_i p_i \ln p_i\right), \quad p_i = \frac{\sigma_i^2}{\sum_j \sigma_j^2}, \quad
        E - \bar E = U \mathrm{diag}(\sigma) V^\top

    Paper: Liu et al. 2022, arXiv 2205.10343
    """
    network = has_embedding(checkpoint.run.architecture)
    E = devices.float64(network.embedding(checkpoint.weights)).cpu()
    values = torch.linalg.svdvals(E - E.mean(dim=0))
    if not values.any() or values[0] <= torch.finfo(E.dtype).eps * E.norm():
        raise NothingToSay("the embedding is the same for all that is looked up")
    return EffectiveDimension(spectral_entropy(values.square()).exp(), min(len(E) - 1, E.shape[1]))


def figure(result: xr.Dataset) -> list[Curves]:
    return [Curves(PANEL, {"all": result.dimension}, width="half")]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, PANEL)
    told, records = course(claims, "dimension")
    records["could"] = claims.end("dimensions")
    return Finding(
        f"The effective dimension of the embedding, of {{could}} at the most, {told}.", records, chapter="how", rank=63
    )
