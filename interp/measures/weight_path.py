"""The path of a run's weights: how long it is, how it turns, and what it looks like."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import NothingToSay
from interp.figures import Curves, Scatter
from interp.findings import Claims, Finding
from interp.machine import devices
from interp.maths.landscape import flattened, has_length
from interp.maths.principal_path import principal_path

LENGTH, ANGLE, SEEN = "Length of the path so far", "Angle between one move and the next", "Along principal components"
MOST_AT_ONCE = 200
"""Checkpoints whose weights are held at once, at most."""


@dataclass(frozen=True)
class WeightPath:
    checkpoint_step: Int[Tensor, " checkpoint_step"]
    """Training step of a checkpoint of the path"""
    component: Int[Tensor, " component"]
    """Principal component, the one along which the path is widest first"""
    coordinate: Float[Tensor, "checkpoint_step component"]
    """Distance from the mean of all checkpoints along each component"""
    explained: Float[Tensor, " component"]
    """Share of the squared distances from that mean along each; NaN where the weights never change"""
    length: Float[Tensor, " checkpoint_step"]
    """Length of the path up to there, straight from checkpoint to checkpoint"""
    distance: Float[Tensor, " checkpoint_step"]
    """Distance from the first checkpoint"""
    angle: Float[Tensor, " checkpoint_step"]
    """Angle between the move to the checkpoint and that from it; NaN at the ends and where nothing moved [degrees]"""
    arc_length: float
    """Length of the whole path"""
    end_to_end: float
    """Distance between its ends"""
    straightness: float
    """The one over the other: 1 of a straight path; NaN where the weights never change"""
    mean_angle: float
    """Mean angle between one move and the next [degrees]"""
    plane: float
    """Share of the squared distances from the mean along the first two components"""


def weight_path(run: Run, components: PositiveInt = 3) -> WeightPath:
    r"""Training moves the weights along a path with few directions, which turns where the network changes its mind.

    The principal components are those of all weights of all checkpoints that were looked at, in one basis for the
    whole run: the first two explain most of a smooth path, and even a random walk's look like cosines of time, so a
    curve seen there is no finding by itself (Antognini & Sohl-Dickstein 2018). The arc length is the sum of the moves
    from checkpoint to checkpoint, a lower bound of that of all updates; its ratio to the distance between the ends
    tells how straight the path is. The angle between one move and the next is 0° where it goes straight on and 90° for
    moves that have nothing in common, as those of noise. Lengths and angles depend on how densely checkpoints are
    saved, and where that changes they do.

    At most 200 checkpoints are looked at, spread evenly. The run that ships takes 1.4 s altogether.

    Formula: s_t = \sum_{i \le t} \lVert \theta_i - \theta_{i-1} \rVert, \quad
        \cos \alpha_t = \frac{(\theta_t - \theta_{t-1}) \cdot (\theta_{t+1} - \theta_t)}
        {\lVert \theta_t - \theta_{t-1} \rVert \lVert \theta_{t+1} - \theta_t \rVert}, \quad
        \theta_t \approx \bar\theta + \sum_k c_{tk} v_k

    Paper: Li et al. 2018, arXiv 1712.09913; Antognini & Sohl-Dickstein 2018, arXiv 1806.08805
    """
    asked = [step for step in run.asked if run[step].finite]
    if not asked:
        raise NothingToSay("no checkpoint has weights that are finite numbers")
    count = min(len(asked), MOST_AT_ONCE)
    steps = [asked[round(place * (len(asked) - 1) / max(count - 1, 1))] for place in range(count)]
    weights = {step: _weights(run[step]) for step in steps}
    steps = [step for step in steps if has_length(weights[step])]
    if not steps:
        raise NothingToSay("the weights are too large for their lengths to be numbers")
    points = torch.stack([weights[step] for step in steps])  # [checkpoint_step, weight]
    path = principal_path(points, components)
    moves = points.diff(dim=0)
    sizes = moves.norm(dim=1)
    length = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    angle = torch.full_like(length, torch.nan)
    units = moves / sizes[:, None]  # NaN where nothing moved
    angle[1:-1] = 2 * torch.atan2((units[1:] - units[:-1]).norm(dim=1), (units[1:] + units[:-1]).norm(dim=1)).rad2deg()
    distance = (points - points[0]).norm(dim=1)
    known = angle[angle.isfinite()]
    return WeightPath(
        checkpoint_step=torch.tensor(steps),
        component=torch.arange(1, components + 1),
        coordinate=path.coordinates,
        explained=path.explained,
        length=length,
        distance=distance,
        angle=angle,
        arc_length=float(length[-1]),
        end_to_end=float(distance[-1]),
        straightness=float(distance[-1] / length[-1]),
        mean_angle=float(known.mean()),
        plane=float(path.explained[:2].sum()),
    )


def _weights(checkpoint: Checkpoint) -> Float[Tensor, " weight"]:
    return flattened({name: devices.float64(value).cpu() for name, value in checkpoint.weights.items()})


def figure(result: xr.Dataset) -> list[Curves | Scatter]:
    panels: list[Curves | Scatter] = [
        Curves(LENGTH, {"path": result.length, "straight": result.distance}, width="half"),
        Curves(ANGLE, {"all": result.angle}, width="half"),
    ]
    if result.sizes["component"] > 1:
        shares = [f"{float(share):.0%}" if share == share else "" for share in result.explained.values]
        x, y = (
            result.coordinate.isel(component=place).assign_attrs(
                long_name=f"Component {place + 1} ({shares[place]})", units=""
            )
            for place in (0, 1)
        )
        panels.append(Scatter(SEEN, x, y, colour=result.checkpoint_step.astype(float), width="half"))
    return panels


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, LENGTH)
    records = {name: claims.end(name) for name in ("arc_length", "end_to_end", "straightness")}
    claims.panel = SEEN if result.sizes["component"] > 1 else LENGTH
    records["plane"] = claims.end("plane")
    sentence = (
        "The path of the weights is {arc_length:3} long and its ends are {end_to_end:3} apart, a ratio of "
        "{straightness:2}; its first two principal components hold {plane:.1%} of the squared distances from its mean"
    )
    claims.panel = ANGLE
    if mean := claims.maybe("mean_angle"):
        records["mean_angle"] = mean
        sentence += ", and one move and the next are at {mean_angle:3}° on average"
    return Finding(f"{sentence}.", records, chapter="how", rank=42)
