"""How fast the training pairs of a sum pull its numbers into line."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from interp.checkpoints import Checkpoint, Run
from interp.contracts.sums import has_embedding, sums
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding
from interp.machine import devices
from interp.measures.shared.parallelograms import Parallelograms

ZERO = 1e-8
"""An eigenvalue below this share of the largest is that of a direction without a pull."""


@dataclass(frozen=True)
class GrokkingRate:
    rate: float
    """Grokking rate λ₃, of embeddings with Σ|E|² = 1"""
    time: float
    """1/λ₃ for the sizes of this checkpoint's embedding, in steps times the learning rate"""
    free: int
    """Directions without a pull; two, where the training pairs leave the numbers nothing but a line"""


def grokking_rate(checkpoint: Checkpoint) -> GrokkingRate:
    r"""The more the training pairs say of one another, the sooner the representation forms.

    Were the numbers moved by nothing but the parallelograms of the training pairs, they would follow the slope of an
    effective loss, which is quadratic but for their size Z₀. Shifting all numbers, and stretching the line on which
    they lie, costs nothing, so two eigenvalues of its Hessian are 0; the third, λ₃, is the slowest rate at which
    anything else dies out. Where it is 0 too, the training pairs leave the numbers free to lie elsewhere than on a
    line, and the network cannot come to know all sums. Expect a network to need some three times 1/(λ₃η) steps at the
    learning rate η of its embedding. The rate depends on the training pairs alone, and is of Z₀ = 1; the time is of
    this checkpoint's Z₀, the sum over the numbers of the squared distance from their mean.

    Formula: \ell_{\mathrm{eff}} = \frac{1}{Z_0} \sum_{P_0(D)} \frac{|E_i + E_n - E_j - E_m|^2}{|P_0(D)|}, \quad
        H = \nabla^2 \ell_{\mathrm{eff}} = \frac{2 A^\top A}{|P_0(D)| Z_0}, \quad
        n_h = \frac{1}{\lambda_3 \eta}

    Paper: Liu et al. 2022, arXiv 2205.10343
    """
    task, network = sums(checkpoint.task), has_embedding(checkpoint.run.architecture)
    of = Parallelograms.of(task)
    A = of.rows(task.p)[of.trained]
    if not len(A):
        raise NothingToSay("no two training pairs have one sum")
    values = np.linalg.eigvalsh(2 * A.T @ A / len(A))  # ascending
    free = int((values < ZERO * values[-1]).sum())
    rate = float(values[2]) if free == 2 else 0.0
    E = devices.float64(network.embedding(checkpoint.weights)).cpu()
    size = float((E - E.mean(dim=0)).square().sum())
    return GrokkingRate(rate, size / rate if rate else math.inf, free)


def steps(run: Run) -> list[int]:
    return sorted({run.steps[0], run.steps[-1]})


def figure(result: xr.Dataset) -> list[Curves]:
    return [Curves("Grokking rate λ₃", {"all": result.rate}, width="half")]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Grokking rate λ₃")
    records = {name: claims.end(name) for name in ("rate", "free")}
    if int(result.free[-1]) > 2:
        sentence = "The training pairs leave {free} directions of the numbers without a pull: more than a line is left"
        return Finding(f"{sentence}, and the grokking rate is {{rate:2}}.", records, chapter="how", rank=60)
    sentence = "The training pairs pull the numbers into line at a grokking rate λ₃ of {rate:3}."
    return Finding(sentence, records, chapter="how", rank=60)
