"""Cycles in which the last layer grows, the train loss leaps up, and the features move: slingshots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import xarray as xr
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.maths.spikes import spikes
from interp.measures.shared.trained_with import in_units, titled, units

NORM, CHANGE, LOSS = "Norm of the last layer's weights", "Relative change of the features", "Train loss and its spikes"
OUTPUTS = "outputs"
Times = Annotated[float, Field(gt=1)]


@dataclass(frozen=True)
class Slingshots:
    site: tuple[str, ...]
    """Hidden layer, or the outputs"""
    feature_change: Float[Tensor, " site"]
    """Change of a layer's activations since the checkpoint before, over their size there; NaN at the first"""
    last_norm: Float[Tensor, ""]
    """L2 norm of the last matrix of weights"""
    last_layer: str
    """That matrix"""
    train_loss: Float[Tensor, ""]
    """Loss on the training examples"""
    times: float
    """How many times the lowest train loss since the last spike makes a spike"""
    growth: float
    """By which share the last layer's norm has to have grown before a spike to make a cycle of it"""
    floor: float
    """Train losses below this count as no smaller"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""


def slingshots(
    checkpoint: Checkpoint, times: Times = 10.0, growth: PositiveFloat = 0.02, floor: PositiveFloat = 1e-6
) -> Slingshots:
    r"""Under Adam without decay, the last layer grows until the loss leaps up, again and again; then networks may grok.

    Thilak et al. call one such cycle a slingshot: the norm of the last layer grows, the train loss has a spike, in
    which the features of all layers move, and the norm rests. A *spike* is where the train loss comes to `times` the
    lowest since the one before or more, until it is back within √times of it; losses below `floor` count as that. A
    *cycle* is a spike before which the last layer's norm grew by the share `growth` or more: from its lowest, since
    the spike before or the first checkpoint, to where the loss is lowest. The last layer is the last parameter with
    two axes or more.

    The relative change of the features is that of each hidden layer's activations, and of the outputs, on all examples,
    from the checkpoint before, of all that are saved, to this one. So it is the larger the further checkpoints lie
    apart, and spikes that rise and fall between two of them are not seen. A checkpoint of the run that ships takes
    0.08 s.

    Formula: \frac{\lVert h_t - h_{t-1} \rVert}{\lVert h_{t-1} \rVert}, \quad \lVert W_\text{last} \rVert_2, \quad
        \mathcal{L}_t \ge \kappa \min_{t_0 \le s < t} \mathcal{L}_s

    Paper: Thilak et al. 2022, arXiv 2206.04817
    """
    losses = checkpoint.measure("loss")
    if losses.train_loss.isnan():
        raise NothingToSay("there is no train loss: no example was trained on, or nobody knows which")
    matrices = [name for name, value in checkpoint.weights.items() if value.ndim > 1]
    if not matrices:
        raise NothingToSay("the network has no matrix among its weights")
    here = _features(checkpoint)
    steps = checkpoint.run.steps
    place = steps.index(checkpoint.step)
    before = _features(checkpoint.run[steps[place - 1]]) if place else None
    change = [math.nan if before is None else _relative(value, before[site]) for site, value in here.items()]
    return Slingshots(
        site=tuple(here),
        feature_change=torch.tensor(change, dtype=torch.float64),
        last_norm=checkpoint.weights[matrices[-1]].double().norm().cpu(),
        last_layer=matrices[-1],
        train_loss=losses.train_loss,
        times=times,
        growth=growth,
        floor=floor,
        loss_name=losses.loss_name,
        loss_units=losses.loss_units,
    )


def _features(checkpoint: Checkpoint) -> dict[str, Float[Tensor, "example ..."]]:
    """The activations of each hidden layer, by the layer's name, and the outputs."""
    layers = {
        name.removesuffix(".hook_post"): value
        for name, value in checkpoint.activations.items()
        if name.endswith(".hook_post")
    }
    return layers | {OUTPUTS: checkpoint.activations["logits"]}


def _relative(value: Float[Tensor, "..."], before: Float[Tensor, "..."]) -> float:
    size = float(before.norm())
    return float((value - before).norm()) / size if size > 0 else math.nan


@dataclass(frozen=True)
class Cycles:
    spikes: int
    """Spikes of the train loss"""
    cycles: int
    """How many of them the last layer's norm had grown before"""
    first_spike: float
    """Step at which the first spike is highest; NaN where there is none"""
    largest_spike: float
    """How many times the train loss before it the largest spike is; NaN where there is none"""
    largest_spike_step: float
    """Step at which it is highest; NaN where there is none"""


def over_run(result: xr.Dataset) -> Cycles:
    steps, norm = result.step.values, result.last_norm.values
    last = result.isel(step=-1)
    found = list(spikes(result.train_loss.values, float(last.times), float(last.floor)))
    since = [0, *(one.end for one in found[:-1])]
    grown = [
        norm[one.before] >= (1 + float(last.growth)) * norm[start : one.before + 1].min()
        for start, one in zip(since, found, strict=False)
    ]
    largest = max(found, key=lambda one: one.times, default=None)
    return Cycles(
        spikes=len(found),
        cycles=int(sum(grown)),
        first_spike=float(steps[found[0].peak]) if found else math.nan,
        largest_spike=largest.times if largest else math.nan,
        largest_spike_step=float(steps[largest.peak]) if largest else math.nan,
    )


def figure(result: xr.Dataset) -> list[Curves]:
    change = {str(site): result.feature_change.sel(site=site) for site in result.site.values}
    known = {site: curve for site, curve in change.items() if curve.notnull().any()}
    return [
        Curves(titled(LOSS, result), {"train": in_units(result.train_loss, result)}, log=True),
        Curves(NORM, {"all": result.last_norm}, width="half"),
        *([Curves(CHANGE, known, log=True, width="half")] if known else []),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    title = titled(LOSS, result)
    claims, norm = Claims(result, title, units(result)), Claims(result, NORM)
    of_spikes = Claims(result, title, "")
    records = {name: of_spikes.end(name) for name in ("spikes", "cycles", "times")}
    if records["spikes"].value:
        records |= {"largest": of_spikes.end("largest_spike"), "at": claims.step("largest_spike_step")}
        sentence = (
            "The train loss has {spikes:spike} to {times:2} times what it had come down to, the largest to {largest:2} "
            "times at {at:step}; before {cycles} of them the last layer had grown"
        )
    else:
        sentence = "The train loss never leaps to {times:2} times what it had come down to"
    told, of_norm = course(norm, "last_norm")
    return [
        Finding(f"{sentence}.", records, chapter="how", rank=91),
        Finding(f"The norm of the last layer's weights {told}.", of_norm, chapter="how", rank=92),
    ]
