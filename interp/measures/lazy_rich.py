"""Whether training has left the neighbourhood of its start, in which a network is linear in its weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.machine import devices
from interp.maths import landscape
from interp.maths.tangent_kernel import directions, similarity, tangent_kernel
from interp.measures.shared.around_grokking import around_grokking


@dataclass(frozen=True)
class LazyRich:
    weight_change: float
    """Distance of the weights from those of the first checkpoint, over the norm of these"""
    alignment: float
    """Cosine between the tangent kernel and that of the targets, 0 to 1"""
    kernel_change: float
    """One less the cosine between the tangent kernel and that of the first checkpoint"""
    kernel: Float[Tensor, "example other"]
    """Tangent kernel of the examples looked at"""


def lazy_rich(
    checkpoint: Checkpoint, examples: PositiveInt = 64, outputs: PositiveInt = 8, seed: NonNegativeInt = 0
) -> LazyRich:
    r"""A network that memorises by its fresh features is lazy; it generalises once it learns features of its own.

    While weights hardly move, a network is linear in them, and its tangent kernel K, the products of its examples'
    gradients, stays what it was. Kumar et al. grok where training begins so and the kernel of the start is not aligned
    with the targets: expect the weights and the kernel to leave their start, and the alignment to rise, as the test
    loss falls.

    The kernel is that of so many `examples`, of the test set where it is known, drawn by `seed` once for a run; it is
    summed over all outputs, or where there are more than `outputs` estimated along so many random directions of them.
    The targets are one-hot vectors less their mean, -1 or +1 for one output, and values as they are. The start is the
    run's first checkpoint.

    Formula: K_{ij} = \sum_k \nabla f_k(x_i) \cdot \nabla f_k(x_j), \quad
        \frac{\langle K, YY^\top \rangle}{\lVert K \rVert \lVert YY^\top \rVert}, \quad
        \frac{\lVert \theta - \theta_0 \rVert}{\lVert \theta_0 \rVert}

    Paper: Kumar et al. 2023, arXiv 2310.06110
    """
    task, first = checkpoint.task, checkpoint.run.first
    if not len(task):
        raise NothingToSay("nothing is known of the task")
    places = _drawn(checkpoint, examples, seed)
    weights = {name: devices.float64(value) for name, value in checkpoint.weights.items()}
    flat, shapes = landscape.flattened(weights), {name: value.shape for name, value in weights.items()}
    start = landscape.flattened({name: devices.float64(value) for name, value in first.weights.items()})
    inputs = task.inputs[places].to(flat.device)

    def of_examples(vector: Float[Tensor, " weight"]) -> Float[Tensor, "example output"]:
        return checkpoint.run.architecture.activations(landscape.unflattened(vector, shapes), inputs)["logits"]

    n_outputs = checkpoint.logits.shape[1]
    along = directions(n_outputs, outputs, seed)
    kernel = tangent_kernel(of_examples, flat, along)
    asked = {"examples": examples, "outputs": outputs, "seed": seed}
    fresh = kernel if checkpoint.step == first.step else first.measure("lazy_rich", **asked).kernel.to(kernel)
    Y = _targets(task.targets[places], n_outputs).to(flat)
    return LazyRich(
        weight_change=float((flat - start).norm() / start.norm()) if start.any() else float("nan"),
        alignment=similarity(kernel, Y @ Y.T),
        kernel_change=0.0 if fresh is kernel else 1 - similarity(kernel, fresh),
        kernel=kernel.cpu(),
    )


def _drawn(checkpoint: Checkpoint, count: int, seed: int) -> Tensor:
    """The numbers of so many examples, of those that were not trained on where these are known and there are any."""
    task = checkpoint.task
    known = torch.arange(len(task)) if task.train is None or task.train.all() else (~task.train).nonzero()[:, 0]
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
    return known[order[:count].sort().values]


def _targets(targets: Tensor, n_outputs: int) -> Float[Tensor, "example output"]:
    if targets.is_floating_point():
        return targets.double().reshape(len(targets), -1)
    if n_outputs == 1:
        return 2 * targets.double()[:, None] - 1
    return torch.nn.functional.one_hot(targets, n_outputs).double() - 1 / n_outputs


def steps(run: Run) -> list[int]:
    return around_grokking(run)


def figure(result: xr.Dataset) -> list[Curves]:
    return [
        Curves("Distance of the weights from their start", {"all": result.weight_change}, width="half"),
        Curves(
            "Tangent kernel",
            {"alignment with the targets": result.alignment, "change since the start": result.kernel_change},
            width="half",
        ),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, "Distance of the weights from their start")
    found = []
    if claims.known("weight_change"):
        told, records = course(claims, "weight_change")
        sentence = f"The distance of the weights from their start, over the norm that they had there, {told}."
        found.append(Finding(sentence, records, chapter="how", rank=65))
    claims.panel = "Tangent kernel"
    if claims.known("alignment"):
        told, records = course(claims, "alignment", "2")
        sentence = f"The alignment of the tangent kernel with the targets {told}"
        if claims.known("kernel_change"):
            records["moved"] = claims.end("kernel_change")
            sentence += "; at the end the kernel differs from the first one by {moved:2}, where 1 is nothing in common"
        found.append(Finding(f"{sentence}.", records, chapter="how", rank=66))
    return found
