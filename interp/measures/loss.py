"""Loss and accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.task import Task, TwoOperands
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.maths.rounding import NEGLIGIBLE, settled
from interp.measures.shared.generalised import GENERALISED
from interp.measures.shared.trained_with import in_units, titled
from interp.summaries import Phase, Summary, number


@dataclass(frozen=True)
class Loss:
    train_loss: Float[Tensor, ""]
    """Loss on the training examples"""
    test_loss: Float[Tensor, ""]
    """Loss on the other examples"""
    all_loss: Float[Tensor, ""]
    """Loss on all examples"""
    novel_loss: Float[Tensor, ""] | None
    """Loss on the test pairs whose mirror was not trained on"""
    train_accuracy: Float[Tensor, ""] | None
    """Share of the training examples answered right"""
    test_accuracy: Float[Tensor, ""] | None
    """Share of the other examples answered right"""
    all_accuracy: Float[Tensor, ""] | None
    """Share of all examples answered right"""
    novel_accuracy: Float[Tensor, ""] | None
    """Share answered right of the test pairs whose mirror was not trained on"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""


def loss(checkpoint: Checkpoint) -> Loss:
    r"""Grokking is a test loss that falls long after the train loss.

    Expect the train loss to collapse at once, the test loss to climb, and to fall late and fast. On a symmetric
    operation of two operands many test pairs (a, b) can be answered from their mirror (b, a) alone; the *novel* ones,
    whose mirror is not in the training set with the same answer, cannot.

    The loss is the one that the run was trained with, which is cross-entropy unless its recipe says otherwise. It is
    taken in float64 over every output that the network was trained with; a cross-entropy below 5e-324 is 0, and where
    the outputs are so large that their rounding decides a loss it is no number. Where the split of a run is unknown,
    only the curves over all examples are numbers; where the task asks for values and not for classes, there are no
    accuracies.

    Formula: \mathcal{L} = \frac{1}{|S|} \sum_{i \in S} \ell(z_i, y_i), \quad
        \text{cross-entropy: } \ell(z, y) = -\log \frac{e^{z_y}}{\sum_{y'} e^{z_{y'}}}

    Paper: Power et al. 2022, arXiv 2201.02177; Nanda et al. 2023, arXiv 2301.05217
    """
    task, outputs = checkpoint.task, checkpoint.logits
    losses = checkpoint.loss.per_example(outputs, task.targets.to(outputs.device))
    right = _right(task, outputs)
    nothing = torch.zeros(len(task), dtype=torch.bool)
    train, test = (nothing, nothing) if task.train is None else (task.train, ~task.train)
    novel = test & ~_mirrored(task) if isinstance(task, TwoOperands) else None
    least, most = _bounds(checkpoint, losses)

    def mean(examples: Bool[Tensor, " example"]) -> Float[Tensor, ""]:
        return settled(losses[examples].mean(), least[examples].mean(), most[examples].mean())

    return Loss(
        train_loss=mean(train),
        test_loss=mean(test),
        all_loss=mean(torch.ones_like(nothing)),
        novel_loss=None if novel is None else mean(novel),
        train_accuracy=None if right is None else right[train].mean(),
        test_accuracy=None if right is None else right[test].mean(),
        all_accuracy=None if right is None else right.mean(),
        novel_accuracy=None if right is None or novel is None else right[novel].mean(),
        loss_name=checkpoint.loss.name,
        loss_units=checkpoint.loss.units,
    )


def _bounds(
    checkpoint: Checkpoint, losses: Float[Tensor, " example"]
) -> tuple[Float[Tensor, " example"], Float[Tensor, " example"]]:
    """The least and the most that the losses may be if the right answer's output, of several, is off by rounding."""
    outputs, targets = checkpoint.logits, checkpoint.task.targets
    rounding = torch.finfo(outputs.dtype).eps * outputs.abs().amax(1, keepdim=True)  # [example, 1]
    if targets.is_floating_point() or outputs.shape[1] == 1 or not rounding.max() > NEGLIGIBLE:
        return losses, losses
    answer = targets.to(outputs.device)[:, None]
    moved = (outputs.scatter_add(1, answer, sign * 2 * rounding) for sign in (1, -1))
    least, most = (checkpoint.loss.per_example(one, answer[:, 0]) for one in moved)
    return least, most


def _right(task: Task, outputs: Float[Tensor, "example output"]) -> Float[Tensor, " example"] | None:
    """1 where the example is answered right, else 0; None where the task does not ask for classes."""
    try:
        return task.correct(outputs).double()
    except NothingToSay:
        return None


def _mirrored(task: TwoOperands) -> Bool[Tensor, " pair"]:
    """True where (b, a) is a training pair with the same answer as (a, b)."""
    if task.train is None:
        return torch.zeros(len(task), dtype=torch.bool)
    trained_answer = torch.full((task.p, task.p), -1)  # [a, b]
    trained = task.pairs[task.train]
    trained_answer[trained[:, 0], trained[:, 1]] = task.targets[task.train]
    return trained_answer[task.pairs[:, 1], task.pairs[:, 0]] == task.targets


def figure(result: xr.Dataset) -> list[Curves]:
    split = bool(result.train_loss.notnull().any())
    losses = {name: in_units(result[f"{name}_loss"], result) for name in (("train", "test") if split else ("all",))}
    shares = {name: result[f"{name}_accuracy"] for name in (("train", "test", "novel") if split else ("all",))}
    shares = {name: share for name, share in shares.items() if share.notnull().any()}
    panels = [Curves(titled("Loss", result), losses, log=True)]
    return [*panels, Curves("Accuracy", shares, percent=True)] if shares else panels


def summary(result: xr.Dataset) -> Summary:
    memorised = _first(result, result.train_accuracy == 1)
    generalised = generalised_step(result)
    last = int(result.step[-1])
    values = {"memorised_step": memorised, "generalised_step": generalised, "last_step": last}
    if not result.all_accuracy.notnull().any():
        sentence = _losses_told(result.isel(step=-1), last)
    elif not result.train_accuracy.notnull().any():
        right = float(result.all_accuracy[-1])
        sentence = f"At step {last:,} it answers **{right:.1%}** of all examples; which it was trained on is unknown."
    elif memorised is None:
        share = float(result.train_accuracy.max())
        sentence = f"It never knew the whole training set: at best **{share:.1%}** of it, up to step {last:,}."
    elif not result.test_accuracy.notnull().any():
        sentence = f"It knew the training set, which is all examples, by **step {memorised:,}**."
    elif generalised is None:
        share = float(result.test_accuracy[-1])
        sentence = (
            f"It knew the training set by **step {memorised:,}** and had not generalised by step {last:,}: "
            f"**{share:.1%}** of the test examples are right."
        )
    else:
        times = f", **{generalised / memorised:.0f} times** later" if memorised and generalised >= 2 * memorised else ""
        sentence = (
            f"It knew the training set by **step {memorised:,}** and generalised at **step {generalised:,}**{times}."
        )
    return Summary(sentence, values, _phases(int(result.step[0]), memorised, generalised, last))


def _losses_told(row: xr.Dataset, step: int) -> str:
    """The losses at the last step, of a task without accuracies."""
    told = {"training examples": row.train_loss, "other examples": row.test_loss, "examples": row.all_loss}
    known = [f"**{number(float(loss))}** on the {name}" for name, loss in told.items() if loss.notnull()]
    return f"At step {step:,} the loss is {', '.join(known)}."


def generalised_step(result: xr.Dataset) -> int | None:
    """The first step at which all but 1 % of the test examples are answered right; None where there is none."""
    return _first(result, result.test_accuracy > GENERALISED)


def _first(result: xr.Dataset, holds: xr.DataArray) -> int | None:
    """The first step at which `holds` is true; None where it never is."""
    return int(result.step[int(holds.values.argmax())]) if bool(holds.any()) else None


def _phases(first: int, memorised: int | None, generalised: int | None, last: int) -> tuple[Phase, ...]:
    """The phases of training that these steps bound."""
    if memorised is None:
        return ()
    if generalised is None or generalised <= memorised:
        return (Phase("memorisation", first, memorised),)
    return (
        Phase("memorisation", first, memorised),
        Phase("circuit formation", memorised, generalised),
        Phase("cleanup", generalised, last),
    )
