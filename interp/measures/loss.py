"""Loss and accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.task import Task
from interp.figures import Curves
from interp.maths.cross_entropy import cross_entropy
from interp.summaries import Phase, Summary

GENERALISED = 0.99
"""More of the test pairs than this are answered right."""


@dataclass(frozen=True)
class Loss:
    train_loss: Float[Tensor, ""]
    """Cross-entropy on the training pairs [nats]"""
    test_loss: Float[Tensor, ""]
    """Cross-entropy on the other pairs [nats]"""
    all_loss: Float[Tensor, ""]
    """Cross-entropy on all pairs [nats]"""
    novel_loss: Float[Tensor, ""]
    """Cross-entropy on the test pairs whose mirror was not trained on [nats]"""
    train_accuracy: Float[Tensor, ""]
    """Share of the training pairs answered right"""
    test_accuracy: Float[Tensor, ""]
    """Share of the other pairs answered right"""
    all_accuracy: Float[Tensor, ""]
    """Share of all pairs answered right"""
    novel_accuracy: Float[Tensor, ""]
    """Share answered right of the test pairs whose mirror was not trained on"""


def loss(checkpoint: Checkpoint) -> Loss:
    r"""Grokking is a test loss that falls long after the train loss.

    Expect the train loss to collapse at once, the test loss to climb, and to fall late and fast. On a
    symmetric operation many test pairs (a, b) can be answered from their mirror (b, a) alone; the
    *novel* ones, whose mirror is not in the training set with the same answer, cannot.

    Losses are taken in float64 over every logit the network was trained with. Where the split of a run
    is unknown, only the curves over all pairs are numbers.

    Formula: \mathcal{L} = -\frac{1}{|S|} \sum_{(a,b) \in S}
        \log \frac{e^{z_{c}(a,b)}}{\sum_{c'} e^{z_{c'}(a,b)}}

    Paper: Power et al. 2022, arXiv 2201.02177; Nanda et al. 2023, arXiv 2301.05217
    """
    task = checkpoint.task
    answers = task.targets.to(checkpoint.logits.device)
    losses = cross_entropy(checkpoint.logits, answers)
    right = (checkpoint.logits.argmax(dim=-1) == answers).double()
    everything = torch.ones(len(answers), dtype=torch.bool)
    nothing = torch.zeros(len(answers), dtype=torch.bool)
    train = nothing if task.train is None else task.train
    test = nothing if task.train is None else ~task.train
    sets = {"train": train, "test": test, "all": everything, "novel": test & ~_mirrored(task)}
    return Loss(
        **{f"{name}_loss": losses[chosen].mean() for name, chosen in sets.items()},
        **{f"{name}_accuracy": right[chosen].mean() for name, chosen in sets.items()},
    )


def _mirrored(task: Task) -> Bool[Tensor, " pair"]:
    """True where (b, a) is a training pair with the same answer as (a, b)."""
    if task.train is None:
        return torch.zeros(len(task.targets), dtype=torch.bool)
    trained_answer = torch.full((task.p, task.p), -1)
    trained = task.pairs[task.train]
    trained_answer[trained[:, 0], trained[:, 1]] = task.targets[task.train]
    return trained_answer[task.pairs[:, 1], task.pairs[:, 0]] == task.targets


def figure(result: xr.Dataset) -> list[Curves]:
    if not result.train_loss.notnull().any():
        return [
            Curves("Loss", {"all": result.all_loss}, log=True),
            Curves("Accuracy", {"all": result.all_accuracy}, percent=True),
        ]
    return [
        Curves("Loss", {"train": result.train_loss, "test": result.test_loss}, log=True),
        Curves(
            "Accuracy",
            {"train": result.train_accuracy, "test": result.test_accuracy, "novel": result.novel_accuracy},
            percent=True,
        ),
    ]


def summary(result: xr.Dataset) -> Summary:
    memorised = _first(result, result.train_accuracy == 1)
    generalised = generalised_step(result)
    last = int(result.step[-1])
    values = {"memorised_step": memorised, "generalised_step": generalised, "last_step": last}
    if not result.train_accuracy.notnull().any():
        right = float(result.all_accuracy[-1])
        sentence = f"At step {last:,} it answers **{right:.1%}** of all pairs; which it was trained on is unknown."
    elif memorised is None:
        share = float(result.train_accuracy.max())
        sentence = f"It never knew the whole training set: at best **{share:.1%}** of it, up to step {last:,}."
    elif not result.test_accuracy.notnull().any():
        sentence = f"It knew the training set, which is all pairs, by **step {memorised:,}**."
    elif generalised is None:
        share = float(result.test_accuracy[-1])
        sentence = (
            f"It knew the training set by **step {memorised:,}** and had not generalised by step {last:,}: "
            f"**{share:.1%}** of the test pairs are right."
        )
    else:
        times = f", **{generalised / memorised:.0f} times** later" if memorised and generalised >= 2 * memorised else ""
        sentence = (
            f"It knew the training set by **step {memorised:,}** and generalised at **step {generalised:,}**{times}."
        )
    return Summary(sentence, values, _phases(int(result.step[0]), memorised, generalised, last))


def generalised_step(result: xr.Dataset) -> int | None:
    """The first at which all but 1 % of the test pairs are answered right; None where there is none."""
    return _first(result, result.test_accuracy > GENERALISED)


def _first(result: xr.Dataset, holds: xr.DataArray) -> int | None:
    return int(result.step[int(holds.values.argmax())]) if bool(holds.any()) else None


def _phases(first: int, memorised: int | None, generalised: int | None, last: int) -> tuple[Phase, ...]:
    if memorised is None:
        return ()
    if generalised is None or generalised <= memorised:
        return (Phase("memorisation", first, memorised),)
    return (
        Phase("memorisation", first, memorised),
        Phase("circuit formation", memorised, generalised),
        Phase("cleanup", generalised, last),
    )
