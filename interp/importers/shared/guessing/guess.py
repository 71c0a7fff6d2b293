"""What a network is taken to be, and what is said of it: task, model, and how much they explain."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interp.catalogue.names import find
from interp.contracts.imported import Given
from interp.contracts.task import Task
from interp.errors import InterpError
from interp.importers.shared import candidates

CHANCE = 5
"""An operation counts as found where it is answered this many times as often as chance would."""
ABOVE_CHANCE = 3
"""A guess that answers less than this many times what chance would tells nothing."""
EXPLAINED = 0.95
"""A share of all pairs; with fewer answered right, another architecture may have been trained."""
ALIKE = 0.005
"""Models whose accuracies differ by no more than this are not told apart by it."""
SURER = 0.6
"""One reading is far surer than another where the loss of the right answers is less than this share of the other's."""
CLEARLY, NEARLY_ALL, NOT_ALL = 0.05, 0.99, 0.97
"""An unusual option is taken where it answers so much more of the pairs, or nearly all where the usual does not."""


@dataclass(frozen=True)
class Known:
    """What need not be guessed: from the user's run.yaml, or from a configuration beside the weights."""

    task: Given | None = None
    model: Given | None = None
    p: int | None = None
    operation: str | None = None
    act_fn: str | None = None
    norm_eps: float | None = None
    """What is added to the variance in the norms."""
    n_heads: int | None = None
    unknown_act_fn: str | None = None
    """What a configuration calls the activation, where interp has none of that name."""

    @property
    def everything(self) -> bool:
        """Whether the user's own run.yaml settles task and model."""
        return self.task is not None and self.model is not None

    @property
    def source_of_act_fn(self) -> str:
        """Why the activation is the one it is, where nothing that was computed or recorded tells."""
        if self.act_fn:
            return "as the configuration says"
        return self.unread_act_fn + ("" if self.unknown_act_fn else ", and the answers hardly tell")

    @property
    def unread_act_fn(self) -> str:
        if self.unknown_act_fn:
            return f"the configuration says {self.unknown_act_fn}, which interp does not know; its losses are not these"
        return "no file says which"

    @property
    def modulus(self) -> int | None:
        """How many residues there are. Raises InterpError where the task that is told cannot be."""
        return self.p if self.task is None else getattr(made_task(*frozen(self.task)), "p", None)


@dataclass(frozen=True)
class Guess:
    """A task and a model, and how much of the task's table the network answers right under them."""

    task: Given
    model: Given
    p: int
    accuracy: float
    loss: float
    """The median cross-entropy over the pairs it answers right, in nats."""
    ambiguity: str = ""
    """The options that the answers hardly settle, in words."""
    tried: str = ""
    """What was tried, in words."""
    act_fn_by: str = ""
    """What settled the activation, in words; "" where nothing but the answers did."""
    others: tuple[Guess, ...] = ()
    """The same with other activations."""
    settled: bool = False
    """Whether a configuration says the activation."""
    instead: Guess | None = None
    """What explains the answers, where the task that is told does not."""

    @property
    def found(self) -> bool:
        """Whether the answers are far above chance."""
        return self.accuracy > CHANCE / self.p

    @property
    def above_chance(self) -> bool:
        """Whether more is answered than chance would, if not enough to be sure of it."""
        return self.accuracy > ABOVE_CHANCE / self.p

    @property
    def to_chance(self) -> str:
        """How the share of right answers of a guess that is not found stands to chance."""
        return f"little above chance, which is {1 / self.p:.1%}" if self.above_chance else "at chance"

    @property
    def explained(self) -> bool:
        """Whether nearly all answers are right; with an unusual activation, which was chosen for it, still more."""
        usual = self.model[1].get("act_fn", "relu") in (*candidates.USUAL, *candidates.USUAL_GATED)
        return self.accuracy >= (EXPLAINED if usual else NEARLY_ALL)

    def is_but_for_combination(self, other: Guess) -> bool:
        """Whether two perceptrons differ in this alone, that one adds the embeddings and the other averages them."""
        ours, theirs = (dict(one.model[1]) for one in (self, other))
        return (ours.pop("combine", None) != theirs.pop("combine", None)) and ours == theirs

    @property
    def combination(self) -> str:
        """What is said of the way in which a perceptron makes one vector of both embeddings; "" where no other fits."""
        twin = next((one for one in self.others if one.is_but_for_combination(self)), None)
        if twin is None:
            return ""
        taken, other = self.model[1]["combine"], twin.model[1]["combine"]
        if abs(self.accuracy - twin.accuracy) > ALIKE:
            right = f"{twin.accuracy:.1%} of the answers would be right"
            return f"The two embeddings are taken to be {taken}; {other}, {right}."
        return (
            "The scale of the logits cannot be known from the weights alone: the two embeddings are taken to be "
            f"{taken}, and {other} they answer alike, but every loss is another; where you know it, say combine in a "
            "run.yaml."
        )

    @property
    def operation(self) -> str:
        return made_task(*frozen(self.task)).description

    @property
    def said_instead(self) -> str:
        return f"As {self.instead.operation} {self.instead.accuracy:.1%} are." if self.instead else ""

    def sentences(self, told: Known, agrees: bool = False) -> list[str]:
        """What was taken for granted, and why, for the report; `agrees` where what is known of it explains the rest."""
        if not self.found:
            first = f"The answers are {self.to_chance}: {self.accuracy:.1%} of all pairs are right as {self.operation}."
            first += f" {self.said_instead}" if self.instead else ""
        else:
            taken = "The model is the one that fits best" if told.task else f"The task was taken to be {self.operation}"
            first = f"{taken}: the last checkpoint answers {self.accuracy:.1%} of all pairs so."
        said = [f"{first} {self.ambiguity}".rstrip()]
        if not self.explained and not told.model and not agrees:
            said.insert(0, f"{'Another task?' if self.instead else 'Another architecture?'} {first} {self.tried}")
            said[1] = self.ambiguity
        act_fn = self.model[1].get("act_fn")
        if act_fn and not told.model:
            said.append(f"The activation was taken to be {spelt(act_fn)}: {self.act_fn_by or told.source_of_act_fn}.")
        return [sentence for sentence in said if sentence]


@functools.lru_cache(maxsize=64)
def made_task(name: str, options: tuple[tuple[str, Any], ...]) -> Task:
    """Return the task of this name with these options. Raises InterpError where it cannot be."""
    try:
        return find("tasks", name)(**dict(options))
    except ValueError as error:
        raise InterpError(f"{name}: {error}") from None


def frozen(task: Given) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """Return a task's name and options in a form that can be remembered by."""
    return task[0], tuple(sorted(task[1].items()))


def undecided(alike: list[Guess]) -> str:
    """Say which options the answers hardly settle; "" where they settle all. The activation is spoken of anyway."""
    options = set().union(*(one.model[1] for one in alike)) - {"act_fn", "p"}
    tried = {name: {spelt(one.model[1].get(name)) for one in alike} for name in sorted(options)}
    open_options = {name: values for name, values in tried.items() if len(values) > 1}
    if not open_options:
        return ""
    listed = "; ".join(f"{name} {' or '.join(sorted(values))}" for name, values in open_options.items())
    return f"Its answers hardly tell {listed} apart; say which in a run.yaml."


def spelt(value: Any) -> str:
    """An option's value in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return {True: "true", False: "false", None: "left out", "relu": "ReLU", "gelu": "GELU", "silu": "SiLU"}.get(
        value, str(value)
    )


NOT_OURS = (
    "The model `module` runs a network of your own (docs/checkpoints.md), and the importer weights opens any for what "
    "its weights alone tell"
)
