"""The singular values of every matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves, Heatmap
from interp.findings import Claims, Finding, course, literal
from interp.machine import devices
from interp.maths.spectra import matrices, spectral_entropy, stable_rank
from interp.measures.shared.parameter_names import short_names

MOST_LINES = 6
"""A panel has at most so many curves."""
LEAST_CHANGE = 0.005
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
    values = {
        name: torch.linalg.svdvals(devices.float64(matrix)).cpu()
        for parameter, value in checkpoint.weights.items()  # which may be read one at a time
        for name, matrix in matrices({parameter: value}).items()
    }
    if not values:
        raise NothingToSay("the network has no matrix among its weights")
    if not any(one.any() for one in values.values()):
        raise NothingToSay("all its matrices are zeros, which have no rank")
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


@dataclass(frozen=True)
class Ranks:
    full_rank: Int[np.ndarray, " matrix"]
    """Singular values of each matrix"""
    final_share: Float[np.ndarray, " matrix"]
    """Effective rank over their number at the last step; NaN of a head's matrix, and of zeros"""
    change: Float[np.ndarray, " matrix"]
    """How much that share changed since the first step; NaN of a head's matrix"""
    half_step: Float[np.ndarray, " matrix"]
    """First step at which the effective rank is past the middle between its first and last; NaN where it never is"""
    falling: int
    """Matrices, but those of heads, whose share fell by more than 0.005"""
    heads: int
    """Matrices of heads"""
    one_direction: int
    """How many of them end with an effective rank below 1.5"""


def over_run(result: xr.Dataset) -> Ranks:
    head = np.array([_of_head(name) for name in result.matrix.values.tolist()])
    rank, share = result.effective_rank.values, result.effective_share.values  # [step, matrix]
    first, last = _ends(rank)
    first_share, last_share = (np.where(head, np.nan, end) for end in (_ends(share)[0], share[-1]))
    past = (rank <= (first + last) / 2) & (last < first)  # [step, matrix]
    change = last_share - first_share
    return Ranks(
        full_rank=result.singular_value.notnull().any("step").sum("component").values,
        final_share=last_share,
        change=change,
        half_step=np.where(past.any(axis=0), result.step.values[past.argmax(axis=0)].astype(float), np.nan),
        falling=int((change < -LEAST_CHANGE).sum()),
        heads=int(head.sum()),
        one_direction=int((last[head] < ONE).sum()),
    )


def _ends(
    series: Float[np.ndarray, "step matrix"],
) -> tuple[Float[np.ndarray, " matrix"], Float[np.ndarray, " matrix"]]:
    """The first and the last number of each column; NaN where it has none."""
    known = np.isfinite(series)
    places = np.arange(series.shape[1])
    return series[known.argmax(axis=0), places], series[len(series) - 1 - known[::-1].argmax(axis=0), places]


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


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(
        result, next(f"Effective rank, share of the full{name}" for name, lines in _lines(result).items() if lines)
    )
    names = result.matrix.values.tolist()
    label = dict(zip(names, short_names(names), strict=True))
    records, several = {"falling": claims.end("falling")}, result.sizes["step"] > 1
    apart = "apart from the heads' matrices " if result.heads else ""
    if records["falling"].value:
        fell = claims.end("change", "lowest label")
        told, course_records = course(claims, "effective_rank", "3", matrix=fell.value)
        records |= {"matrix": fell, **course_records, "full": claims.end("full_rank", matrix=fell.value)}
        records["half_step"] = claims.step("half_step", matrix=fell.value)
        matrix = literal(label[fell.value])
        sentence = (
            f"As a share of the full one {apart}the effective rank fell furthest in {matrix}: it {told} of {{full}}, "
            "and passed half of that way at {half_step:step}."
        )
    else:
        lowest = claims.end("final_share", "lowest label")
        records |= {"matrix": lowest, "end": claims.end("effective_rank", matrix=lowest.value)}
        records["full"] = claims.end("full_rank", matrix=lowest.value)
        none = "no effective rank fell by more than 0.5% of the full one; " if several else ""
        rank = f"{apart}{none}the lowest effective rank for its size is that of {literal(label[lowest.value])}"
        sentence = f"{rank[:1].upper()}{rank[1:]}, {{end:3}} of {{full}}."
    records |= {"one_direction": claims.end("one_direction"), "heads": claims.end("heads")}
    if records["one_direction"].value:
        sentence += " Of the heads' {heads:matrix} {one_direction} {one_direction:ends.} with one direction."
    return Finding(sentence, records, chapter="how", rank=45)
