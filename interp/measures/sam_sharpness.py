"""How far one step uphill takes the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from pydantic import PositiveFloat

from interp.checkpoints import Checkpoint
from interp.figures import Curves
from interp.maths.landscape import rounding_error, value_and_gradient
from interp.maths.rises import rise_along_gradient
from interp.measures.shared.told_apart import remark
from interp.measures.shared.train_loss import train_loss
from interp.measures.shared.trained_with import in_units, titled, units
from interp.summaries import Summary, number


@dataclass(frozen=True)
class SamSharpness:
    rise: Float[np.ndarray, ""]
    """Rise of the train loss one step uphill"""
    relative_rise: Float[np.ndarray, ""]
    """The rise as a multiple of the train loss; NaN where the loss is 0, or rounding alone may make the rise"""
    rounding: Float[np.ndarray, ""]
    """Rise that rounding alone may make"""
    gradient_norm: Float[np.ndarray, ""]
    """L2 norm of the train loss's gradient"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""


def sam_sharpness(checkpoint: Checkpoint, rho: PositiveFloat = 0.05) -> SamSharpness:
    r"""A network in a flat valley loses little by one step in the worst direction.

    The step has length `rho` along the gradient of the train loss: the worst one in a ball of that radius, as far as
    the loss is linear there; 0.05 is the usual radius. After memorisation expect a rise that falls with the loss
    itself, which is why it is shown as a multiple of the loss too: only the multiple tells flatter from merely fitted.

    A step at which the rise sticks out by decades need not be a sharp one. The radius stays what it is while the loss
    becomes tiny, and where the step is long enough to turn a single training example, the whole rise is that one's.

    The loss is the one that the run was trained with, cross-entropy unless its recipe says otherwise, on the training
    examples and in float64; `rounding` is what that leaves uncertain of the rise. Where the loss overflows there is no
    rise.

    Formula: \mathcal{L}\left(\theta + \rho \frac{\nabla \mathcal{L}(\theta)}
        {\lVert \nabla \mathcal{L}(\theta) \rVert_2}\right) - \mathcal{L}(\theta)

    Paper: Foret et al. 2021, arXiv 2010.01412
    """
    loss, x = train_loss(checkpoint)
    value, gradient = value_and_gradient(loss, x)
    rise = rise_along_gradient(loss, x, rho)
    rise = rise if math.isfinite(rise) else math.nan
    rounding = 2 * rounding_error(loss, x)
    return SamSharpness(
        rise=np.array(rise),
        relative_rise=np.array(rise / value if value and abs(rise) > rounding else np.nan),
        rounding=np.array(rounding),
        gradient_norm=gradient.norm().cpu().numpy(),
        loss_name=checkpoint.loss.name,
        loss_units=checkpoint.loss.units,
    )


def figure(result: xr.Dataset) -> list[Curves]:
    title = titled("Rise of the loss one step uphill", result)
    return [
        Curves(title, {"all": in_units(result.rise, result)}, log=True, width="half"),
        Curves("The rise as a multiple of the loss", {"all": result.relative_rise}, log=True, width="half"),
    ]


def summary(result: xr.Dataset) -> Summary:
    known = result.dropna("step", subset=["rise"])
    if not known.sizes["step"]:
        return Summary("There is no rise, since the train loss overflows.")
    rise, rounding = known.rise.values, known.rounding.values
    alike = int((np.abs(np.diff(rise)) <= rounding[1:] + rounding[:-1]).sum())
    values = {"first": float(rise[0]), "final": float(rise[-1]), "not_told_apart": alike}
    relative = float(known.relative_rise[-1])
    in_words = f" {units(result)}" if units(result) else ""
    multiple = f", **{number(relative)} times** the loss itself" if np.isfinite(relative) else ""
    changed = abs(rise[0] - rise[-1]) > 0.01 * abs(rise[-1])
    started = f" (at step {int(known.step[0]):,}: **{number(rise[0])}**)" if changed else ""
    return Summary(
        f"One step uphill raises the train loss by **{number(rise[-1])}**{in_words}{multiple}{started}."
        + remark(alike, len(rise) - 1, "the rises differ by no more than rounding"),
        values,
    )
