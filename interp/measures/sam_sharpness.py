"""How far one step uphill takes the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from jaxtyping import Float
from pydantic import PositiveFloat

from interp.checkpoints import Checkpoint
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.maths.landscape import rounding_error, value_and_gradient
from interp.maths.rises import rise_along_gradient
from interp.measures.shared.told_apart import remark
from interp.measures.shared.train_loss import train_loss
from interp.measures.shared.trained_with import in_units, titled, units


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


@dataclass(frozen=True)
class Changes:
    changes: int
    """Steps of which there is a rise, less one"""
    not_told_apart: int
    """How many of these rises differ from the one before by no more than rounding"""


def over_run(result: xr.Dataset) -> Changes:
    known = np.isfinite(result.rise.values)
    rise, rounding = result.rise.values[known], result.rounding.values[known]
    return Changes(max(len(rise) - 1, 0), int((np.abs(np.diff(rise)) <= rounding[1:] + rounding[:-1]).sum()))


def figure(result: xr.Dataset) -> list[Curves]:
    title = titled("Rise of the loss one step uphill", result)
    return [
        Curves(title, {"all": in_units(result.rise, result)}, log=True, width="half"),
        Curves("The rise as a multiple of the loss", {"all": result.relative_rise}, log=True, width="half"),
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, titled("Rise of the loss one step uphill", result), units(result))
    told, records = course(claims, "rise", "2", units(result))
    sentence = f"The rise of the train loss one step uphill {told}"
    relative = claims.maybe("relative_rise")
    if relative and relative.step == records["end"].step:
        records["relative"] = replace(relative, unit="", panel="The rise as a multiple of the loss")
        one = f"{records['relative']:2}" == "1"
        sentence += ", about the loss itself" if one else ", {relative:2} times the loss itself"
    return Finding(
        f"{sentence}.{remark(claims, records, 'the rises differ by no more than rounding')}",
        records,
        chapter="how",
        rank=70,
    )
