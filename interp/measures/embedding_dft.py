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
from interp.maths import fourier
from interp.maths.concentration import gini
from interp.measures.shared.cyclic import residues
from interp.summaries import Summary


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
    squares = coefficient.square().sum(dim=1)  # [basis]
    if not squares.any():
        raise NothingToSay("the embedding is zero, so it has no spectrum")
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
    """The frequency holds more than three times an even share of the non-constant power at the last step"""
    given_up: Bool[np.ndarray, " freq"]
    """The frequency held that much at some step, and does not at the last"""
    highest_power: Float[np.ndarray, " freq"]
    """Largest share of ‖W_E‖² that the frequency holds at any step"""
    highest_step: Int[np.ndarray, " freq"]
    """Step at which the frequency holds its largest share"""


def over_run(result: xr.Dataset) -> Winners:
    power = result.power.values  # [step, freq]
    varying = power[:, 1:].sum(axis=1, keepdims=True)
    above = power > 3 * varying / (power.shape[1] - 1)
    above[:, 0] = False
    return Winners(
        stands_out=above[-1],
        given_up=above.any(axis=0) & ~above[-1],
        highest_power=power.max(axis=0),
        highest_step=result.step.values[power.argmax(axis=0)],
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


def summary(result: xr.Dataset) -> Summary | None:
    strong = [int(freq) for freq in result.freq.values[result.stands_out.values]]
    values = {
        "stands_out": strong,
        "given_up": [int(freq) for freq in result.freq.values[result.given_up.values]],
        "gini_first": float(result.gini[0]),
        "gini_final": float(result.gini[-1]),
    }
    if not strong:
        return Summary("**No frequency** stands out in the embedding.", values)
    held = float(result.power[-1].sel(freq=strong).sum())
    kind = "frequency" if len(strong) == 1 else "frequencies"
    listed = ", ".join(map(str, strong)) if len(strong) <= 8 else str(len(strong))
    sentence = f"The embedding ends with **{held:.0%}** of its power on {kind} **{listed}**."
    gone = result.highest_power.where(result.given_up, -1.0)
    if values["given_up"]:
        freq = int(gone.values.argmax())
        sentence = sentence[:-1] + (
            f"; frequency {freq} held **{float(result.highest_power[freq]):.0%}** at step "
            f"{int(result.highest_step[freq]):,} and was given up."
        )
    return Summary(sentence, values)
