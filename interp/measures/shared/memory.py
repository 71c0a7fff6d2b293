"""What speaks for memory: a lookup table knows its training examples, and of the novel ones no more than chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from interp.checkpoints import Checkpoint
from interp.contracts.task import TwoOperands
from interp.contracts.vector_answers import classes
from interp.measures.shared.conditions import Condition, above, below
from interp.measures.shared.generalised import GENERALISED
from interp.measures.shared.novel import novel_examples

ABOVE_CHANCE = 0.25
"""The share of what chance leaves below which what is known of novel examples is no more than memory."""


@dataclass(frozen=True)
class OfMemory:
    """What speaks for memory."""

    train_accuracy: float
    """NaN where nobody knows the training examples; of random labels that of all examples then."""
    novel_accuracy: float
    """NaN where there are no novel examples."""
    chance: float
    """The share of the examples that have the commonest answer."""
    random_labels: bool
    """Whether there is no rule to find."""
    novel_examples: int = 0
    """How many examples a lookup table of the training examples cannot know."""

    @property
    def can_be_told(self) -> bool:
        """Whether memory can be told from a rule."""
        return self.random_labels or not math.isnan(self.train_accuracy + self.novel_accuracy)

    @property
    def bar(self) -> float:
        """The novel accuracy from which a network knows more than it was shown."""
        return self.chance + ABOVE_CHANCE * (1 - self.chance)

    @property
    def conditions(self) -> list[Condition]:
        """What has to hold of a network that has memorised, but for what tells it from an algorithm."""
        known = above("train accuracy", self.train_accuracy, GENERALISED)
        if self.random_labels:
            return [known]
        return [below("novel accuracy", self.novel_accuracy, self.bar, self.chance), known]


def memory(checkpoint: Checkpoint) -> OfMemory:
    """Return what speaks for memory. Raises NothingToSay where the task does not ask for classes."""
    task = checkpoint.task
    right, novel = task.correct(checkpoint.logits).double().cpu(), novel_examples(task)
    random_labels = isinstance(task, TwoOperands) and task.random_labels
    trained = torch.full_like(novel, random_labels) if task.train is None else task.train
    return OfMemory(
        train_accuracy=float(right[trained].mean()),
        novel_accuracy=float(right[novel].mean()),
        chance=int(classes(task).unique(return_counts=True)[1].max()) / len(task),
        random_labels=random_labels,
        novel_examples=int(novel.sum()),
    )


def why_not(checkpoint: Checkpoint) -> str:
    """Why memory cannot be told of a network of which `can_be_told` is false."""
    if checkpoint.task.train is None:
        return "nobody knows which examples were trained on, so memory cannot be told"
    return "no example is novel, so memory cannot be told from a rule"
