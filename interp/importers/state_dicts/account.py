"""What a network does under a task and a model, held against what its authors left beside the weights.

The split is the one that the user or a file tells, else that of the task's own rule, else the one under which the
recorded train and test loss are the weights' own. Losses are taken to be cross-entropies, else one of the few others
that people record, where that one agrees. Of activations that answer alike, one under which nothing that was recorded
is contradicted is taken, the usual before the others.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from interp.catalogue.names import find
from interp.contracts.imported import Arrays
from interp.contracts.task import TwoOperands, two_operands
from interp.importers.shared import configuration, splits
from interp.importers.shared.agreement import Disagreement, disagreements
from interp.importers.shared.guessing.guess import EXPLAINED, Guess, spelt
from interp.importers.shared.recorded import Recorded
from interp.importers.state_dicts import training_pairs
from interp.maths.cross_entropy import cross_entropy
from interp.summaries import number

SWAPPED = "The training pairs look swapped"
WORSE = 2
"""Training pairs whose loss, mean and median, is this many times that of the others, and of which no more are answered
right, look swapped."""
SAME_WEIGHTS = 0.002
"""Relative: recorded losses as near as that are those of these very weights, under the activation they had."""
FAR_NEARER = 10
"""The usual activation gives way to one of the same weights whose losses are this many times as near."""


@dataclass(frozen=True)
class Beside:
    """What is known but for the weights."""

    train: np.ndarray | None
    """The training pairs that the user tells, over the whole table, [pair]."""
    content: Any
    """The content of the file that stands for the run."""
    recorded: Recorded


@dataclass(frozen=True)
class Opened:
    """A network with its task and model, to be asked what it does."""

    found: Guess
    load: Callable[[int], Arrays]
    steps: list[int]
    """Those at which it can be asked; the last stands for the run."""

    @functools.cached_property
    def task(self) -> TwoOperands:
        return two_operands(find("tasks", self.found.task[0])(**self.found.task[1]))

    @functools.cached_property
    def _answers(self) -> dict[int, Answers]:
        return {}

    def answers(self, step: int) -> Answers:
        """What the network says to each pair at a step; computed once."""
        if step not in self._answers:
            self._answers[step] = self._computed(step)
        return self._answers[step]

    def _computed(self, step: int) -> Answers:
        architecture = find("models", self.found.model[0])(self.task, **self.found.model[1])
        weights = {name: torch.from_numpy(array).double() for name, array in self.load(step).items()}
        with torch.no_grad():
            logits = architecture.outputs(weights, self.task.inputs)
        right = logits.argmax(dim=1) == self.task.targets
        squares = (logits - torch.nn.functional.one_hot(self.task.targets, logits.shape[1])).square()
        return Answers(
            cross_entropy(logits, self.task.targets).numpy(),
            squares.mean(dim=1).numpy(),
            logits.shape[1],
            right.numpy(),
        )

    @property
    def last(self) -> Answers:
        return self.answers(self.steps[-1])


@dataclass(frozen=True)
class Answers:
    """A pair's cross-entropy in nats, the mean of its squared errors over the outputs, and whether it is right.

    All are [pair], the losses in float64.
    """

    cross_entropy: np.ndarray
    squared_error: np.ndarray
    n_outputs: int
    right: np.ndarray


@dataclass(frozen=True)
class Loss:
    """A loss that people record."""

    called: str
    of_pairs: Callable[[Answers], np.ndarray]
    summed: bool = False
    """Over the pairs; else their mean."""


CROSS_ENTROPY = Loss("the cross-entropy", lambda answers: answers.cross_entropy)
OTHER_LOSSES = (
    Loss("the mean squared error", lambda answers: answers.squared_error),
    Loss("the squared error summed over the outputs", lambda answers: answers.squared_error * answers.n_outputs),
    Loss("the cross-entropy summed over the pairs", lambda answers: answers.cross_entropy, summed=True),
)


@dataclass(frozen=True)
class Account:
    """A task and a model, the training pairs, what is to be said of them, and what contradicts them."""

    found: Guess
    train: np.ndarray | None
    """The training pairs, [example]; None where the task's own rule or nobody tells."""
    notes: list[str]
    wrong: list[Disagreement]
    distance: float | None = None
    """The largest relative difference from the losses recorded last; None where the training pairs are unknown."""
    compared: int = 0
    """How many numbers that were recorded of the last checkpoint are its own."""
    drawn: dict[str, Any] | None = None
    """The options of the task that draw the training pairs, where there are any."""
    learned: float | None = None
    """The share of the training pairs that the last checkpoint answers right; None where they are unknown."""

    @property
    def warnings(self) -> list[str]:
        """What stands before everything else that is said."""
        return [note for note in self.notes if note.startswith(SWAPPED)]

    @property
    def others(self) -> list[str]:
        """The notes that are no warnings."""
        return [note for note in self.notes if note not in self.warnings]

    @property
    def agrees(self) -> bool:
        """Whether what was recorded of the last checkpoint is so."""
        return self.compared > 0 and not self.wrong

    @property
    def logits_known(self) -> bool:
        """Whether recorded losses show that the logits are the network's own."""
        return self.agrees and self.distance is not None

    @property
    def explained(self) -> bool:
        """Whether it answers as was recorded, or knows its training pairs, so that no other architecture is needed."""
        return self.agrees or (not self.wrong and self.learned is not None and self.learned >= EXPLAINED)


def most_consistent(opened: Opened, beside: Beside) -> Account:
    """The account of the guess, or of one with another activation where that contradicts less of what was recorded."""
    first = _with_any_loss(opened, beside)
    if not beside.recorded.curves or (first.agrees and (first.distance is None or first.distance < SAME_WEIGHTS)):
        return first
    agreeing: list[Account] = []
    for others in _nearest_first(opened.found):
        accounts = (_with_any_loss(dataclasses.replace(opened, found=other), beside) for other in others)
        agreeing = sorted((one for one in accounts if one.logits_known), key=_distance)
        if agreeing or first.agrees:
            break
    if opened.found.settled:
        agreeing = [one for one in agreeing if _distance(one) < SAME_WEIGHTS]
    if not agreeing:
        return first
    best, *rest = agreeing
    if first.agrees and not (_distance(best) < SAME_WEIGHTS and FAR_NEARER * _distance(best) < _distance(first)):
        return first
    too = [one for one in rest if _distance(one) < max(splits.APART * _distance(best), SAME_WEIGHTS)]
    combination = best.found.model[1].get("combine")
    other = combination != first.found.model[1].get("combine")
    said = [_called(one.found, other) for one in too]
    too_with = f"; so they are with {', '.join(said)}" if said else ""
    so = f", the two embeddings {combination}," if other else ""
    by = f"with it{so} the recorded losses are those of the weights{too_with}"
    usual = _called(first.found, other)
    usual += ", which the configuration says," if first.found.settled else ""
    by += f", and with {usual} they are not" if not first.agrees else f", and with {usual} less nearly"
    return dataclasses.replace(best, found=dataclasses.replace(best.found, act_fn_by=by))


def _nearest_first(found: Guess) -> tuple[list[Guess], list[Guess]]:
    """The others that differ in one option, and those that differ in two: each is a search for the split."""
    combination = found.model[1].get("combine")
    one = [each for each in found.others if each.model[1].get("combine") == combination]
    one += [each for each in found.others if each.is_but_for_combination(found)]
    return one, [each for each in found.others if each not in one]


def _called(found: Guess, combination: bool) -> str:
    """Its activation and, where that tells it from others, how both embeddings become one vector."""
    act_fn = spelt(found.model[1].get("act_fn"))
    return f"{act_fn} and the two embeddings {found.model[1].get('combine')}" if combination else act_fn


def _distance(account: Account) -> float:
    return np.inf if account.distance is None else account.distance


def _with_any_loss(opened: Opened, beside: Beside) -> Account:
    """The account with cross-entropies, or with another loss where only that agrees with what was recorded."""
    first = _account(opened, beside, CROSS_ENTROPY)
    recorded = any("loss" in name for name in beside.recorded.curves)
    if not recorded or (first.distance is not None and not first.wrong):
        return first
    for loss in OTHER_LOSSES:
        other = _account(opened, beside, loss)
        if other.agrees and other.distance is not None:
            return dataclasses.replace(other, notes=[f"The recorded losses are {loss.called}.", *other.notes])
    return first


def _account(opened: Opened, beside: Beside, loss: Loss) -> Account:
    pairs = _split(opened, beside, loss)
    own = opened.task.train
    mask = pairs.train if pairs.train is not None else None if own is None else own.numpy()

    def computed(step: int) -> dict[str, float]:
        answers = opened.answers(step)
        losses = loss.of_pairs(answers)
        if mask is None or mask.all() or not mask.any():
            if loss.summed:
                return {"accuracy": float(answers.right.mean())}
            return {"loss": float(losses.mean()), "accuracy": float(answers.right.mean())}
        return {
            f"{name}_{quantity}": float(values[chosen].sum() if summed else values[chosen].mean())
            for name, chosen in {"train": mask, "test": ~mask}.items()
            for quantity, values, summed in (("loss", losses, loss.summed), ("accuracy", answers.right, False))
        }

    curves = beside.recorded.curves
    wrong = disagreements(curves, opened.steps, computed) if curves else []
    compared, distance = int(mask is None and _between(curves, float(opened.last.right.mean()))), None
    if mask is not None and curves:
        last = {name: value for name, value in computed(opened.steps[-1]).items() if name in curves}
        compared = len(last)
        apart = [
            _apart(value, _latest(curves[name], opened.steps[-1])) for name, value in last.items() if "loss" in name
        ]
        distance = max(apart, default=None)
    learned = None if mask is None or not mask.any() else float(opened.last.right[mask].mean())
    return Account(opened.found, pairs.train, pairs.notes, wrong, distance, compared, pairs.drawn, learned)


def _between(curves: Mapping[str, Mapping[int, float]], accuracy: float) -> bool:
    """Whether the accuracy over all pairs lies where a share of training pairs puts it between the two recorded."""
    recorded = [_latest(curves.get(f"{name}_accuracy", {}), 2**62) for name in ("train", "test")]
    if recorded[0] is None or recorded[1] is None or recorded[0] <= recorded[1]:
        return False
    share = (accuracy - recorded[1]) / (recorded[0] - recorded[1])
    return splits.SHARES[0] <= share <= splits.SHARES[-1]


def _apart(value: float, recorded: float | None) -> float:
    """The relative difference; two losses that are both rounding have none."""
    if recorded is None or max(abs(value), abs(recorded)) < splits.ROUNDING:
        return 0.0
    return abs(value - recorded) / max(abs(recorded), splits.ROUNDING)


@dataclass(frozen=True)
class Pairs:
    """The training pairs, [example], None where the task's rule or nobody tells, and what is to be said of them."""

    train: np.ndarray | None
    notes: list[str]
    drawn: dict[str, Any] | None = None
    """The options of the task that draw the same pairs, where there are any."""


def _split(opened: Opened, beside: Beside, loss: Loss) -> Pairs:
    task, p, given = opened.task, opened.found.p, beside.train
    inside = training_pairs.recorded(beside.content, p) if given is None else None
    notes = [inside[1]] if inside else []
    if inside is not None:
        given = inside[0]
    if given is not None:
        mask = given.reshape(p, p)[task.pairs[:, 0].numpy(), task.pairs[:, 1].numpy()]  # [a, b] -> [pair]
        return Pairs(mask, _swapped(opened, mask) + notes)
    if task.train is not None:
        return Pairs(None, _swapped(opened, task.train.numpy()) + notes)
    curves = beside.recorded.curves
    recorded = [_latest(curves.get(f"{name}_loss", {}), opened.steps[-1]) for name in ("train", "test")]
    train_loss, test_loss = recorded
    if train_loss is None or test_loss is None or not min(train_loss, test_loss) > 0 or loss.summed:
        return Pairs(None, notes)
    losses = loss.of_pairs(opened.last)
    ways = [
        splits.Ways(seeds=splits.SEEDS + seeds, shares=shares)
        for share, seeds in [configuration.split(beside.recorded.config)]
        for shares in ([(share,)] if share else []) + [splits.SHARES]
    ]
    found = (splits.split_by_losses(losses, (train_loss, test_loss), p, each) for each in ways)
    split = next((one for one in found if one is not None), None)
    if split is None:
        return Pairs(None, notes)
    mask, options = split.mask(len(losses), p), split.options
    name, own = opened.found.task
    drawn = None if options is None else find("tasks", name)(**{**own, **options})
    same = drawn is not None and drawn.train is not None and np.array_equal(drawn.train.numpy(), mask)
    return Pairs(mask, [split.sentence, *notes], options if same else None)


def _latest(curve: Mapping[int, float], step: int) -> float | None:
    """What was recorded last up to a step; of a curve that begins later, whose steps count otherwise, its last."""
    if not curve:
        return None
    return curve[max((at for at in curve if at <= step), default=max(curve))]


def _swapped(opened: Opened, mask: np.ndarray) -> list[str]:
    """Say so where the training pairs are answered far worse than the others."""
    if mask.all() or not mask.any():
        return []
    losses, right = opened.last.cross_entropy, opened.last.right
    train, rest = float(losses[mask].mean()), float(losses[~mask].mean())
    shares = [f"{right[chosen].mean():.1%} right" for chosen in (mask, ~mask)]
    usually = np.median(losses[mask]) > WORSE * np.median(losses[~mask])
    if math.inf > train > WORSE * rest and usually and right[mask].mean() <= right[~mask].mean():
        return [
            f"{SWAPPED} with the others: their loss is {number(train, 3)}, {shares[0]}; that of the "
            f"others {number(rest, 3)}, {shares[1]}. Where a file lists the test pairs, say "
            "test: instead of train:."
        ]
    return []
