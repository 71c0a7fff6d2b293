"""Whether rounding has stopped the learning: training examples whose softmax is 1, or whose loss is 0."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Bar, Claims, Finding, course
from interp.losses.stablemax import StableMax, log_terms
from interp.maths.landscape import value_and_gradient
from interp.measures.shared.reached import reached
from interp.measures.shared.train_loss import trained

MOST = 0.5
PANEL = "Training examples that rounding has finished"


@dataclass(frozen=True)
class SoftmaxCollapse:
    collapsed: float
    """Share of the training examples whose largest output is the whole sum of the softmax, as rounded in training"""
    zero_loss: float
    """Share of the training examples whose cross-entropy, or StableMax's, is 0, as rounded in training"""
    along_weights: Float[Tensor, ""]
    """Cosine of the angle between the weights and the direction downhill, all weights together"""
    precision: str
    """Type of numbers that the network was trained in"""
    normalised_by: str
    """What makes shares of the outputs: softmax, or StableMax where the run was trained with it"""


def softmax_collapse(checkpoint: Checkpoint) -> SoftmaxCollapse:
    r"""A network that knows its training examples makes its outputs larger, until rounding ends its gradients.

    A softmax whose largest term is the whole sum, in the numbers that the network was trained in, has collapsed: the
    right class's gradient is 0, and where all examples are so nothing is learnt any more but by the decay. Without
    weight decay that is what keeps networks from generalising, in Prieto et al.'s account; expect the share to stay
    small where a network groks. The direction that only makes outputs larger is that of the weights themselves: where
    the cosine nears 1, training moves along it. Both are of the outputs rounded to the precision of the weights.

    Of a run that was trained with StableMax the terms are its own, s(z) in the place of the exponentials. Rounding
    makes one of them the whole sum only where outputs are in the ten thousands.

    With one output, the two terms are those of 0 and of the output. Tasks that ask for values have no softmax.

    Formula: \frac{1}{|S|} \left|\left\{ i \in S : \textstyle\sum_k e^{z_{ik} - \max_j z_{ij}} \doteq 1
        \right\}\right|, \quad \cos(-\nabla \mathcal{L}, \theta)

    Paper: Prieto et al. 2025, arXiv 2501.04697
    """
    found, task = trained(checkpoint), checkpoint.task
    if task.targets.is_floating_point():
        raise NothingToSay("the task asks for values, not for classes, so there is no softmax")
    assert task.train is not None  # `trained` has seen to it
    dtype = next(iter(checkpoint.weights.values())).dtype
    z = checkpoint.logits.cpu()[task.train].to(dtype)
    z = torch.cat([torch.zeros_like(z), z], dim=1) if z.shape[1] == 1 else z  # [example, class]
    stable = isinstance(checkpoint.loss, StableMax)
    terms = log_terms(z).exp() if stable else (z - z.amax(dim=1, keepdim=True)).exp()
    total = terms.sum(dim=1)
    right = terms.gather(1, task.targets[task.train][:, None])[:, 0]
    _, gradient = value_and_gradient(found.mean_loss, found.weights)
    size = gradient.norm() * found.weights.norm()
    return SoftmaxCollapse(
        collapsed=float((terms.amax(dim=1) == total).double().mean()),
        zero_loss=float((right == total).double().mean()),
        along_weights=(-(gradient @ found.weights) / size).cpu()
        if size > 0
        else torch.tensor(torch.nan, dtype=torch.float64),
        precision=str(dtype).removeprefix("torch."),
        normalised_by="StableMax" if stable else "softmax",
    )


@dataclass(frozen=True)
class Collapse:
    half_step: float
    """First step at which the largest share was 1 of half of the training examples or more; NaN where there is none"""


def over_run(result: xr.Dataset) -> Collapse:
    return Collapse(reached(result.collapsed, MOST).step)


def figure(result: xr.Dataset) -> list[Curves]:
    shares = {"largest share is 1": result.collapsed, "loss is 0": result.zero_loss}
    return [
        Curves(PANEL, shares, percent=True, width="half"),
        Curves("Cosine between the weights and the way downhill", {"all": result.along_weights}, width="half"),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, PANEL)
    precision, by = (str(result[name].values.flat[0]) for name in ("precision", "normalised_by"))
    told, records = course(claims, "collapsed", "%")
    sentence = f"In {precision}, the share of training examples whose {by} is rounded to certainty {told}"
    if since := claims.when("above for good", "collapsed", Bar("half", MOST)):
        records["since"] = since
        sentence += "; it is above {since.bar:%} from {since:step} on"
    return [Finding(f"{sentence}.", records, chapter="how", rank=60)]
