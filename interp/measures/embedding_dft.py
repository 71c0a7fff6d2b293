"""The spectrum of the embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claims, Finding, UndefinedError
from interp.maths import fourier
from interp.maths.concentration import gini
from interp.measures.shared.cyclic import residues

MULTIPLE = 3
"""What stands out holds more than so many even shares."""


@dataclass(frozen=True)
class EmbeddingDFT:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    basis: tuple[str, ...]
    """Direction of the Fourier basis"""
    power: Float[Tensor, " freq"]
    """Share of ‖W_E‖² at each frequency; that at 0 is of the mean over the residues"""
    gini: Float[Tensor, ""]
    """Gini coefficient of the norms of the Fourier components but the constant one, cos and sin counted apart"""
    coefficient: Float[Tensor, "basis d_model"]
    """W_E in the Fourier basis"""


def embedding_dft(checkpoint: Checkpoint) -> EmbeddingDFT:
    r"""The embedding as waves over the residues: a few frequencies win, and not all that win early stay.

    Expect every frequency to hold the same share at initialisation, a slow rise of a few while the
    circuit forms, and a cleanup in which the others fade.

    The rows 0…p-1 of W_E are taken in the order in which the task is cyclic: for products by discrete logarithm, and
    without 0.

    Formula: \mathrm{power}_k = \lVert F_k W_E \rVert_F^2 \,/\, \lVert W_E \rVert_F^2

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    axis = residues(checkpoint.task)
    n, rows = len(axis), checkpoint.embedding[axis]
    coefficient = fourier.basis(n).to(rows) @ rows  # [basis, d_model]
    if not coefficient.any():
        raise NothingToSay("the embedding is zero, so it has no spectrum")
    squares = (coefficient / coefficient.abs().max()).square().sum(dim=1)  # [basis]; none overflows, or is lost
    return EmbeddingDFT(
        freq=torch.arange(n // 2 + 1),
        basis=tuple(_direction(row) for row in range(n)),
        power=fourier.by_freq(squares) / squares.sum(),
        gini=gini(squares[1:].sqrt()),
        coefficient=coefficient.float(),
    )


def _direction(row: int) -> str:
    """The name of a row of the Fourier basis: "1", "cos 1", "sin 1", "cos 2", …."""
    if row == 0:
        return "1"
    return f"{'cos' if row % 2 else 'sin'} {(row + 1) // 2}"


@dataclass(frozen=True)
class Winners:
    stands_out: Bool[np.ndarray, " freq"]
    """The frequency holds three times an even share or more of the non-constant power at the last step"""
    given_up: Bool[np.ndarray, " freq"]
    """The frequency held that much at some step, and does not at the last"""
    highest_power: Float[np.ndarray, " freq"]
    """Largest share of ‖W_E‖² that the frequency holds at any step"""
    highest_step: Int[np.ndarray, " freq"]
    """Step at which the frequency holds its largest share"""
    even_power: Float[np.ndarray, ""]
    """Share of ‖W_E‖² that each frequency would hold at the last step, were the non-constant power even"""


def over_run(result: xr.Dataset) -> Winners:
    power = result.power.values  # [step, freq]
    varying = power[:, 1:].sum(axis=1, keepdims=True)
    above = power > MULTIPLE * varying / (power.shape[1] - 1) * (1 - 1e-9)  # not by the last bit
    above[:, 0] = False
    return Winners(
        stands_out=above[-1],
        given_up=above.any(axis=0) & ~above[-1],
        highest_power=power.max(axis=0),
        highest_step=result.step.values[power.argmax(axis=0)],
        even_power=np.array(varying[-1, 0] / (power.shape[1] - 1)),
    )


def figure(result: xr.Dataset) -> list[Heatmap | Bars | Curves]:
    varying = result.isel(freq=slice(1, None))
    coefficient = result.coefficient.rename(d_model="residual_dimension")
    return [
        Heatmap("Embedding spectrum over training", varying.power, x="step", y="freq"),
        Bars(
            "Spectrum at this step",
            varying.power,
            highlight={"accent": varying.stands_out, "abandoned": varying.given_up},
            percent=True,
            width="half",
        ),
        Curves("Concentration", {"all": result.gini}, width="half"),
        Heatmap("W_E in the Fourier basis", coefficient, x="residual_dimension", y="basis"),
    ]


def summary(result: xr.Dataset) -> Finding:
    if result.sizes["freq"] - 1 <= MULTIPLE:
        raise UndefinedError("so few frequencies cannot stand out")
    claims = Claims(result, "Spectrum at this step")
    records = {"gini_start": claims.start("gini"), "gini": claims.end("gini")}
    records["stands_out"] = strong = claims.end("stands_out", "labels")
    records["strong"] = claims.end("stands_out", "count")
    records["given_up"] = gone = claims.end("given_up", "labels")
    if not strong.value:
        sentence = "No frequency stands out in the embedding at the end: none holds three times an even share"
    else:
        bar = Bar("an even share", array="even_power", times=len(strong.value))
        records["held"] = claims.end("power", "sum", bar, freq=list(strong.value))
        which = "{stands_out:frequency}" if len(strong.value) <= 8 else "{strong:frequency}"
        sentence = (
            f"The embedding ends with {{held:%}} of its power on {which}, where even shares would be {{held.bar:%}}"
        )
    if gone.value:
        claims.panel = "Embedding spectrum over training"
        records["lost"] = claims.end("highest_power", "label", freq=list(gone.value))
        freq = records["lost"].value
        records["lost_power"] = claims.end("highest_power", freq=freq)
        records["lost_step"] = claims.step("highest_step", freq=freq)
        sentence += "; {lost:frequency} held {lost_power:%} at {lost_step:step} and stands out no more"
    return Finding(f"{sentence}.", records, chapter="what", rank=20)
