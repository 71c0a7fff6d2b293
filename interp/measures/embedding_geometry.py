"""What the embedding and the unembedding look like: a number line, a circle, a cloud."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.contracts.architecture import reads_two_operands
from interp.contracts.task import two_operands
from interp.errors import NothingToSay
from interp.figures import Curves, Points
from interp.findings import Claims, Finding, course
from interp.machine import devices
from interp.maths import fourier
from interp.maths.rank_correlation import spearman
from interp.measures.shared.around_grokking import around_grokking

FEWEST = 4
"""Residues of which a picture can be made."""
DRAWS = 20
SHARES: tuple[str, ...] = ("plane", "line", "circle")
PICTURES: tuple[str, ...] = ("first", "second", "tsne_x", "tsne_y")
PLANE, FIRST, TSNE = "Share of the first two components", "First two principal components", "t-SNE"


@dataclass(frozen=True)
class EmbeddingGeometry:
    table: tuple[str, ...]
    """Parameter"""
    residue: Int[Tensor, " residue"]
    """Residue, in the task's cyclic order where it has one"""
    plane: Float[Tensor, " table"]
    """Share of the variance over the residues in the first two principal components"""
    plane_by_chance: Float[Tensor, " table"]
    """The same share of as many random vectors of this width, the mean of twenty draws"""
    line: Float[Tensor, " table"]
    """Size of Spearman's rank correlation between the first component and the residues in order"""
    line_by_chance: Float[Tensor, " table"]
    """The same of random vectors"""
    circle: Float[Tensor, " table"]
    """Largest share of the first two components that one frequency holds"""
    circle_by_chance: Float[Tensor, " table"]
    """The same of random vectors"""
    first: Float[Tensor, "table residue"]
    """First principal component"""
    second: Float[Tensor, "table residue"]
    """Second principal component"""
    tsne_x: Float[Tensor, "table residue"]
    """First coordinate of the t-SNE"""
    tsne_y: Float[Tensor, "table residue"]
    """Second coordinate of the t-SNE"""


def embedding_geometry(
    checkpoint: Checkpoint, perplexity: PositiveFloat = 10.0, seed: NonNegativeInt = 0
) -> EmbeddingGeometry:
    r"""A network that has understood a sum lays out its numbers as it computes with them.

    Each residue has a vector in the embedding and one in the unembedding. Power et al. see a circle in the t-SNE of the
    output weights of a network that adds modulo p, in the order of powers of a root for products; Liu et al. a line for
    sums that are not modular. A picture can deceive, so numbers stand beside it: the share of the variance that two
    principal components hold, and what the same share is of random vectors; how far the first component puts the
    residues in order; and how much of the plane is one wave of the residues, a star polygon where its frequency is not
    1. A network with several frequencies has circles in several planes, and the first two components may mix them.

    The t-SNE is scikit-learn's, from the principal components, of this `perplexity`, or a third of the number of
    residues where that is less; its points lie at a distance of 1 from 0 on average.

    Formula: X - \bar X = U \Sigma V^\top, \quad \frac{\sigma_1^2 + \sigma_2^2}{\sum_j \sigma_j^2}, \quad
        \max_k \frac{\lVert F_k \, U_{12} \Sigma_{12} \rVert^2}{\lVert U_{12} \Sigma_{12} \rVert^2}

    Paper: Power et al. 2022, arXiv 2201.02177; Liu et al. 2022, arXiv 2205.10343
    """
    network, task = reads_two_operands(checkpoint.run.architecture), two_operands(checkpoint.task)
    if task.p < FEWEST:
        raise NothingToSay(f"there are {task.p} residues, too few for a picture")
    weights = {name: devices.float64(value) for name, value in checkpoint.weights.items()}
    order = torch.arange(task.p) if task.elements is None else task.elements
    tables = {
        name if len(of_one) == 1 else f"{name} of {operand}": rows[order.to(rows.device)].cpu()
        for name, of_one in network.residue_tables(weights).items()
        for operand, rows in zip("ab", of_one, strict=False)
    }
    if not tables:
        raise NothingToSay("no parameter has a vector for each residue")
    looked = [_looked_at(rows, perplexity, seed) | _by_chance(*rows.shape, seed) for rows in tables.values()]
    return EmbeddingGeometry(
        table=tuple(tables),
        residue=order,
        **{name: torch.stack([one[name] for one in looked]) for name in looked[0]},
    )


def _looked_at(rows: Float[Tensor, "residue d"], perplexity: float, seed: int) -> dict[str, Tensor]:
    """The numbers and both pictures of one table; no numbers where all its vectors are the same."""
    n = len(rows)
    centred = rows - rows.mean(dim=0)
    if not centred.any() or min(centred.shape) < 2:
        nothing = torch.full((n,), torch.nan, dtype=torch.float64)
        return dict.fromkeys(SHARES, nothing[0]) | dict.fromkeys(PICTURES, nothing)
    plane = _plane(centred)
    x, y = _tsne(plane, centred, perplexity, seed)
    return _shares(centred) | {"first": plane[:, 0], "second": plane[:, 1], "tsne_x": x, "tsne_y": y}


def _plane(centred: Float[Tensor, "residue d"]) -> Float[Tensor, "residue component"]:
    U, S, _ = torch.linalg.svd(centred, full_matrices=False)
    return U[:, :2] * S[:2]


def _shares(centred: Float[Tensor, "residue d"]) -> dict[str, Tensor]:
    """The three numbers of `SHARES`."""
    n, plane = len(centred), _plane(centred)
    power = fourier.by_freq((fourier.basis(n).to(plane) @ plane).square().sum(dim=1))
    rho = spearman(plane[:, 0].numpy(), np.arange(n, dtype=np.float64))
    numbers = (
        plane.square().sum() / centred.square().sum(),
        torch.tensor(abs(rho), dtype=torch.float64),
        power[1:].max() / power.sum(),
    )
    return dict(zip(SHARES, numbers, strict=True))


def _tsne(
    plane: Float[Tensor, "residue 2"], rows: Float[Tensor, "residue d"], perplexity: float, seed: int
) -> tuple[Float[Tensor, " residue"], Float[Tensor, " residue"]]:
    from sklearn.manifold import TSNE

    start: Any = (plane / plane.std() * 1e-4).numpy()  # an array, which the annotations of scikit-learn leave out
    made = TSNE(perplexity=min(perplexity, (len(rows) - 1) / 3), init=start, random_state=seed, learning_rate="auto")
    points = torch.from_numpy(made.fit_transform((rows / rows.abs().max()).numpy())).double()  # [residue, 2]
    x, y = (points / points.square().sum(dim=1).mean().sqrt()).unbind(1)
    return x, y


@functools.lru_cache(maxsize=16)
def _by_chance(n: int, width: int, seed: int) -> dict[str, Tensor]:
    """The mean of the three numbers over draws of n Gaussian vectors."""
    generator = torch.Generator().manual_seed(seed)
    draws = [torch.randn(n, width, generator=generator, dtype=torch.float64) for _ in range(DRAWS)]
    found = [_shares(one - one.mean(dim=0)) for one in draws]
    return {f"{name}_by_chance": torch.stack([one[name] for one in found]).mean() for name in SHARES}


def steps(run: Run) -> list[int]:
    return around_grokking(run)


def figure(result: xr.Dataset) -> list[Curves | Points]:
    tables = [str(name) for name in result.table.values]
    shares = {name: result.plane.sel(table=name) for name in tables}
    return [
        Curves(PLANE, shares, percent=True, width="half"),
        Curves(
            "One wave in these components",
            {name: result.circle.sel(table=name) for name in tables},
            percent=True,
            width="half",
        ),
        Points(FIRST, result["first"], result["second"], choice="table", axes=("first", "second")),
        Points(TSNE, result.tsne_x, result.tsne_y, choice="table", axes=("", "")),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    found = []
    for name in result.table.values.tolist():
        claims = Claims(result, PLANE)
        if claims.maybe("plane", table=name) is None:
            continue
        told, records = course(claims, "plane", "%", table=name)
        records |= {which: claims.end(which, table=name) for which in ("circle", "line")}
        records |= {f"random_{which}": claims.end(f"{which}_by_chance", table=name) for which in SHARES}
        sentence = (
            f"The share of {name} in its first two components {told}, where random vectors have {{random_plane:%}}; "
            "of these components {circle:%} are one wave of the residues at the end ({random_circle:%} by chance), and "
            "the first puts them in order with a rank correlation of {line:2} ({random_line:2} by chance)."
        )
        found.append(Finding(sentence, records, chapter="how", rank=68))
    return found
