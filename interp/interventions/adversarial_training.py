"""Training on inputs that were moved against the network: what it answers has to hold in a neighbourhood."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from interp.contracts.intervention import Examples, Intervention, Training
from interp.contracts.task import Task
from interp.errors import InterpError


def adversarial_training(
    epsilon: PositiveFloat = 0.1,
    steps: PositiveInt = 10,
    step_size: PositiveFloat | None = None,
    start: NonNegativeInt = 0,
    stop: NonNegativeInt | None = None,
) -> Intervention:
    r"""Move each update's inputs uphill on the loss, no coordinate further than `epsilon`, and train on these.

    Projected gradient ascent from the inputs themselves: `steps` times each coordinate moves by `step_size`, which is
    2.5·epsilon/steps where it is not given, in the direction that raises the loss. One step of the size epsilon is the
    fast gradient sign method. For inputs that are numbers, not tokens: raises InterpError for others.

    Formula: x \leftarrow \Pi_{\lVert x - x_0 \rVert_\infty \le \epsilon}\left(x + \alpha \,
        \mathrm{sign} \, \nabla_x \ell\right)

    Paper: Madry et al. 2018, arXiv 1706.06083
    """
    by = 2.5 * epsilon / steps if step_size is None else step_size

    def examples(training: Training, seen: Examples) -> Examples:
        weights = {name: weight.detach() for name, weight in training.weights.items()}
        moved = seen.inputs.detach()
        for _ in range(steps):
            with torch.enable_grad():
                at = moved.requires_grad_()
                loss = training.loss.mean(training.architecture.outputs(weights, at), seen.targets)
                (slope,) = torch.autograd.grad(loss, at)
            ahead = at.detach() + by * slope.sign()
            moved = torch.maximum(torch.minimum(ahead, seen.inputs + epsilon), seen.inputs - epsilon)
        return seen._replace(inputs=moved)

    return Intervention(examples=examples, check=_check, start=start, stop=stop)


def _check(task: Task) -> None:
    if not task.inputs.is_floating_point():
        raise InterpError(
            f"adversarial_training moves inputs that are numbers, and those of {task.description} are tokens; take it "
            "off, or a task with continuous inputs"
        )
