"""Whether the way downhill only makes the weights larger: naive loss minimisation, parameter by parameter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Curves
from interp.findings import Bar, Claims, Finding, course, literal
from interp.maths import landscape
from interp.maths.landscape import value_and_gradient
from interp.measures.shared.parameter_names import short_names
from interp.measures.shared.train_loss import trained
from interp.measures.shared.trained_with import in_units, titled

PANEL = "Cosine between each parameter and its way downhill"
TOTAL = "Cosine between all weights and the way downhill"
FALL = "Fall of the train loss as all weights grow"
MOST_LINES = 6
"""The panel by parameter shows at most so many."""
MOSTLY = 0.9
"""Above this the way downhill is nearly that of the weights."""


@dataclass(frozen=True)
class NlmAlignment:
    parameter: tuple[str, ...]
    alignment: Float[Tensor, " parameter"]
    """Cosine between each parameter and the train loss's negative gradient in it; NaN where one of them is 0"""
    total: Float[Tensor, ""]
    """Cosine between all weights and the negative gradient"""
    share: Float[Tensor, ""]
    """Share of the gradient's square that lies along the parameters, each taken by itself"""
    fall: Float[Tensor, ""]
    """By how much the train loss falls as all weights grow, for the relative growth"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""


def nlm_alignment(checkpoint: Checkpoint) -> NlmAlignment:
    r"""A network that knows its training examples can lower its loss by growing alone, and learns nothing more.

    Where the outputs are homogeneous in the weights, larger weights give larger outputs and no other answers: the
    direction of naive loss minimisation. After memorisation and without weight decay the way downhill turns into it,
    until rounding ends the gradients (`softmax_collapse`), in Prieto et al.'s account. Expect cosines near 0 at first,
    and near 1 in a network that never generalises; the last layer's alone tells where there are biases, for with them
    outputs are homogeneous in that layer only.

    `share` is how much of the gradient ⊥Grad, which takes this direction off each parameter, would take off. The fall
    of the loss per relative growth is -θ·∇L: times 0.01 it is what one per cent of growth brings. The loss is the one
    that the run was trained with, its gradient is taken in float64, and of one that is 0 there is no direction. A
    checkpoint of the run that ships takes 0.05 s.

    Formula: \cos(-\nabla_{W} \mathcal{L}, W) \;\; \text{of each parameter } W, \quad
        \frac{\sum_W \lVert \nabla_W \mathcal{L} \rVert^2 \cos^2_W}{\sum_W \lVert \nabla_W \mathcal{L} \rVert^2}, \quad
        -\theta \cdot \nabla \mathcal{L} = -\frac{d \mathcal{L}(c\,\theta)}{d \ln c} \Big|_{c = 1}

    Paper: Prieto et al. 2025, arXiv 2501.04697
    """
    found = trained(checkpoint)
    _, gradient = value_and_gradient(found.mean_loss, found.weights)
    shapes = {name: value.shape for name, value in checkpoint.weights.items()}
    downhill, weights = (landscape.unflattened(vector, shapes) for vector in (-gradient, found.weights))
    cosines = torch.stack([_cosine(downhill[name], weights[name]) for name in shapes])
    squares = torch.stack([downhill[name].square().sum() for name in shapes])
    along = (squares * cosines.nan_to_num().square()).sum() / squares.sum()  # NaN where the gradient is 0
    return NlmAlignment(
        parameter=tuple(shapes),
        alignment=cosines.cpu(),
        total=_cosine(-gradient, found.weights).cpu(),
        share=along.cpu(),
        fall=(-gradient @ found.weights).cpu(),
        loss_name=checkpoint.loss.name,
        loss_units=checkpoint.loss.units,
    )


def _cosine(one: Float[Tensor, "..."], other: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """NaN where one is 0; lengths that vanish in squares are brought to 1 first."""
    scale = one.abs().max() * other.abs().max()
    if not scale > 0:
        return torch.full_like(scale, torch.nan)
    u, v = one / one.abs().max(), other / other.abs().max()
    return (u * v).sum() / (u.norm() * v.norm())


def figure(result: xr.Dataset) -> list[Curves]:
    lines = {"all": result.total, "share of the square along each": result.share}
    panels = [Curves(TOTAL, lines, width="half")]
    if result.alignment.notnull().any():
        last = result.alignment.dropna("step", how="all").isel(step=-1).values
        largest = sorted(range(len(last)), key=lambda place: -last[place] if np.isfinite(last[place]) else np.inf)
        short = short_names(result.parameter.values.tolist())
        shown = {short[place]: result.alignment.isel(parameter=place) for place in sorted(largest[:MOST_LINES])}
        panels.append(Curves(PANEL, shown, width="half"))
    return [*panels, Curves(titled(FALL, result), {"all": in_units(result.fall, result)}, width="half")]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, TOTAL)
    told, records = course(claims, "total", "2")
    sentence = f"The cosine between all weights and the way downhill {told}"
    if since := claims.when("above for good", "total", Bar("nearly that of the weights", MOSTLY)):
        records["since"] = since
        sentence += "; it is above {since.bar:2} from {since:step} on"
    claims.panel = PANEL
    largest = claims.end("alignment", "label")
    names = result.parameter.values.tolist()
    short = dict(zip(names, short_names(names), strict=True))[largest.value]
    told, of_one = course(claims, "alignment", "2", parameter=largest.value)
    return [
        Finding(f"{sentence}.", records, chapter="how", rank=62),
        Finding(
            f"Of single parameters it ends largest in {literal(short)}: there it {told}.",
            {"largest": largest, **of_one},
            chapter="how",
            rank=63,
        ),
    ]
