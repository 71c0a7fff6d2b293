"""The singular values of every matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Curves, Heatmap
from interp.machine import devices
from interp.maths.spectra import matrices, spectral_entropy, stable_rank
from interp.measures.shared.parameter_names import short_names
from interp.summaries import Summary

MOST_LINES = 6
"""A panel has at most so many curves."""
LEAST_CHANGE = 0.001
"""A change of an effective rank, as a share of the full rank, that is no rounding."""
ONE = 1.5
"""An effective rank below this is one direction."""


@dataclass(frozen=True)
class Spectral:
    matrix: tuple[str, ...]
    singular_value: Float[Tensor, "matrix component"]
    """Singular values, largest first; NaN beyond the matrix's last"""
    stable_rank: Float[Tensor, " matrix"]
    """Stable rank, the squared Frobenius norm over the squared largest singular value"""
    spectral_entropy: Float[Tensor, " matrix"]
    """Entropy of the singular values divided by their sum [nats]"""
    effective_rank: Float[Tensor, " matrix"]
    """Effective rank, exp of the entropy"""
    effective_share: Float[Tensor, " matrix"]
    """Effective rank over the number of singular values"""


def spectral(checkpoint: Checkpoint) -> Spectral:
    r"""A circuit on a few frequencies needs matrices of low rank; memory does not.

    Expect the effective ranks of the embedding and of the MLP to stay high while the training set is memorised, and to
    fall as the circuit takes over. The entropy is that of the singular values themselves divided by their sum, as in
    Roy & Vetterli 2007, not of their squares; a matrix of n equal singular values has effective rank n.

    Every parameter with two axes is a matrix; a head's weights are matrices of their own, `W_Q.0`, `W_Q.1`, …; biases
    are left out. A matrix of zeros has no rank: NaN.

    Formula: H = -\sum_i \bar\sigma_i \ln \bar\sigma_i, \quad \bar\sigma_i = \frac{\sigma_i}{\sum_j \sigma_j}, \quad
        \text{effective rank} = e^H, \quad \text{stable rank} = \frac{\sum_i \sigma_i^2}{\sigma_1^2}

    Paper: DeMoss et al. 2024, arXiv 2412.09810; Roy & Vetterli 2007
    """
    found = matrices({name: devices.float64(value) for name, value in checkpoint.weights.items()})
    values = {name: torch.linalg.svdvals(matrix).cpu() for name, matrix in found.items()}
    entropy = torch.stack([spectral_entropy(one) for one in values.values()])
    counts = torch.tensor([len(one) for one in values.values()])
    return Spectral(
        matrix=tuple(values),
        singular_value=torch.nn.utils.rnn.pad_sequence(
            list(values.values()), batch_first=True, padding_value=torch.nan
        ).float(),
        stable_rank=torch.stack([stable_rank(one) for one in values.values()]),
        spectral_entropy=entropy,
        effective_rank=entropy.exp(),
        effective_share=entropy.exp() / counts,
    )


def figure(result: xr.Dataset) -> list[Curves | Heatmap]:
    groups = {name: lines for name, lines in _lines(result).items() if lines}
    width = "half" if len(groups) > 1 else "full"
    curves = [
        Curves(f"{title}{name}", {line: array[field] for line, array in lines.items()}, width=width, percent=percent)
        for field, title, percent in (
            ("effective_share", "Effective rank, share of the full", True),
            ("stable_rank", "Stable rank", False),
        )
        for name, lines in groups.items()
    ]
    shape = result.singular_value / result.singular_value.isel(component=0)
    names = {
        "matrix": short_names(result.matrix.values.tolist()),
        "component": np.arange(1, result.sizes["component"] + 1),
    }
    return [
        *curves,
        Heatmap("Singular values, the largest as 1", shape.assign_coords(names), x="component", y="matrix"),
    ]


def _lines(result: xr.Dataset) -> dict[str, dict[str, xr.Dataset]]:
    """The curves by name, in two groups: those of the largest matrices, and means over the heads of an attention.

    A group's key is what its panels' titles say of it.
    """
    names = result.matrix.values.tolist()
    short = dict(zip(names, short_names(names), strict=True))
    counts = result.singular_value.notnull().any("step").sum("component")
    largest = sorted((name for name in names if not _of_head(name)), key=lambda name: -int(counts.sel(matrix=name)))
    by_parameter: dict[str, list[str]] = {}
    for name in filter(_of_head, names):
        by_parameter.setdefault(name.rpartition(".")[0], []).append(name)
    heads = dict(zip(by_parameter, short_names(list(by_parameter)), strict=True))
    return {
        "": {short[name]: result.sel(matrix=name) for name in names if name in largest[:MOST_LINES]},
        " (mean over heads)": {
            heads[parameter]: result.sel(matrix=members).mean("matrix")
            for parameter, members in list(by_parameter.items())[:MOST_LINES]
        },
    }


def _of_head(name: str) -> bool:
    """Whether a matrix is one head's, as "blocks.0.attn.W_Q.0" is."""
    return name.rpartition(".")[2].isdigit()


def summary(result: xr.Dataset) -> Summary:
    heads = [name for name in result.matrix.values.tolist() if _of_head(name)]
    others = result.drop_sel(matrix=heads)
    share = others.effective_share.dropna("step", how="all")
    if not share.size:
        return Summary("Its matrices are zeros, which have no rank.")
    ends = share.isel(step=-1).dropna("matrix")
    change = (ends - share.isel(step=0)).dropna("matrix")
    fell = bool((change < -LEAST_CHANGE).any())
    lowest = change if fell else ends
    name = str(lowest.matrix[int(lowest.values.argmin())].item())
    matrix = short_names(result.matrix.values.tolist())[result.matrix.values.tolist().index(name)]
    rank = others.effective_rank.sel(matrix=name).dropna("step")
    full = int(others.singular_value.sel(matrix=name).isel(step=-1).count())
    first, last = float(rank[0]), float(rank[-1])
    values = {"matrix": name, "first": first, "final": last, "fell": int((change < -LEAST_CHANGE).sum())}
    flat = int((result.effective_rank.sel(matrix=heads).isel(step=-1) < ONE).sum())
    of_heads = f" Of the heads' matrices **{flat} of {len(heads)}** end with one direction." if flat else ""
    if not fell:
        return Summary(
            f"The effective rank of {matrix} is **{last:.1f}** of {full}, the lowest for its size.{of_heads}", values
        )
    values["half_step"] = half = int(rank.step[int((rank.values <= (first + last) / 2).argmax())])
    return Summary(
        f"The effective rank fell furthest in {matrix}: from **{first:.1f}** to **{last:.1f}** of {full}, "
        f"half of it by step **{half:,}**.{of_heads}",
        values,
    )
