"""By how much the training examples are right, at the least, for the size of the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.measures.shared.train_loss import trained

LARGER = 1.01
"""The factor on all weights by which the outputs' order of growth is measured."""
PANEL = "Smallest margin over the norm of the weights to the order of growth"


@dataclass(frozen=True)
class Margin:
    margin: Float[Tensor, ""]
    """Smallest margin of a training example: the right class's output less the largest other one"""
    normalised: Float[Tensor, ""]
    """The smallest margin over the L2 norm of all weights to the power of `order`"""
    order: float
    """Order of growth of the outputs with the weights, measured at the last checkpoint"""


def margin(checkpoint: Checkpoint) -> Margin:
    r"""A network that keeps training after all is right widens its margin: in the end to the largest for its norm.

    Lyu et al. prove that gradient flow with a small decay leaves the kernel regime for a solution with the largest
    margin for its norm, late and at once, and call it grokking: expect the normalised margin to rise with the test
    accuracy. It is negative while an example is answered wrong. With one output the margin is how far it lies on the
    right side of 0.

    A network of L layers without biases grows as the L-th power of its weights, so that the margin over the norm to
    that power is free of scale. The order is measured by making all weights of the last checkpoint one per cent larger;
    with biases, attention or norms it is no whole number, and the same for every step.

    Formula: \gamma = \min_{i \in S} \left(z_{i y_i} - \max_{k \ne y_i} z_{ik}\right), \quad
        \bar\gamma = \frac{\gamma}{\lVert\theta\rVert_2^{L}}, \quad
        L = \frac{\ln \lVert z(c\theta) \rVert - \ln \lVert z(\theta) \rVert}{\ln c}

    Paper: Lyu et al. 2023, arXiv 2311.18817
    """
    found, task = trained(checkpoint), checkpoint.task
    if task.targets.is_floating_point():
        raise NothingToSay("the task asks for values, not for classes, so there is no margin")
    assert task.train is not None  # `trained` has seen to it
    z, right = checkpoint.logits.cpu()[task.train], task.targets[task.train]
    smallest = _margins(z, right).min()
    norm, order = found.weights.norm().cpu(), _order(checkpoint.run.final)
    known = math.isfinite(order) and norm > 0
    return Margin(smallest, smallest / norm**order if known else torch.tensor(torch.nan, dtype=torch.float64), order)


def _margins(z: Float[Tensor, "example output"], right: Tensor) -> Float[Tensor, " example"]:
    if z.shape[1] == 1:
        return torch.where(right > 0, z[:, 0], -z[:, 0])
    others = z.scatter(1, right[:, None], -torch.inf).amax(dim=1)
    return z.gather(1, right[:, None])[:, 0] - others


def _order(last: Checkpoint) -> float:
    """NaN where the outputs are 0."""
    found = trained(last)
    with torch.no_grad():
        here, there = (float(found.outputs(by * found.weights).norm()) for by in (1.0, LARGER))
    return math.log(there / here) / math.log(LARGER) if here > 0 and there > 0 else math.nan


def figure(result: xr.Dataset) -> list[Curves]:
    return [
        Curves("Smallest margin of a training example", {"all": result.margin}, width="half"),
        Curves(PANEL, {"all": result.normalised}, width="half"),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, "Smallest margin of a training example")
    told, records = course(claims, "margin")
    found = [Finding(f"The smallest margin of a training example {told}.", records, chapter="how", rank=63)]
    if claims.known("normalised"):
        claims.panel = PANEL
        told, records = course(claims, "normalised")
        records["order"] = claims.end("order")
        sentence = f"Over the norm of the weights to the power of {{order:3}}, with which the outputs grow, it {told}."
        found.append(Finding(sentence, records, chapter="how", rank=64))
    return found
