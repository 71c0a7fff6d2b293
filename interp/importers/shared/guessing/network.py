"""Somebody's tensors, what they answer under a model, and how much of a task that is."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.catalogue.names import find
from interp.contracts.architecture import Architecture
from interp.contracts.imported import Arrays, Given
from interp.contracts.task import TwoOperands, two_operands
from interp.errors import InterpError
from interp.importers.shared.guessing.guess import Guess, frozen, made_task
from interp.importers.shared.layouts import Layout, in_our_layout
from interp.maths.cross_entropy import cross_entropy
from interp.tasks.modular_arithmetic import modular_arithmetic

SAMPLE = 600
"""Pairs on which structures are compared."""
FEW_PAIRS = 120
"""A model that answers none of the tasks on so many pairs above chance is compared on no more of them: it would be
nothing found, which takes `CHANCE` times what chance would."""


@dataclass(frozen=True)
class Network:
    """Somebody's tensors at one step, and how they are laid out."""

    arrays: Arrays
    layout: Layout
    source: str
    judged: dict[tuple[Any, ...], Guess | None] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """What was found of it already, by what was tried: one search often asks what another has."""

    @property
    def holds_a_causal_mask(self) -> bool:
        """Whether a square of two values is beside the weights, of which one stands wherever a later position is."""
        return any(_is_causal_mask(self.arrays[name]) for name in self.layout.names.ignored if name in self.arrays)

    def read_as(self, model: Given, p: int) -> tuple[Architecture, dict[str, Tensor]]:
        """Return the architecture of `model` and its weights, in float32.

        Raises ValueError, saying what does not fit, where shapes differ.
        """
        architecture = _made_by(model[0])(plain_task(p), **model[1])
        ours = in_our_layout(self.arrays, self.layout.fitted(model), self.source)
        for name, shape in architecture.shapes.items():
            if name not in ours or ours[name].shape != shape:
                found = f"has shape {list(ours[name].shape)}" if name in ours else "is not there"
                raise ValueError(f"{name} {found}; the model expects {list(shape)}")
        if left := sorted(ours.keys() - architecture.shapes.keys()):
            raise ValueError(f"{left[0]} {list(ours[left[0]].shape)} has no place in the model")
        return architecture, {name: torch.from_numpy(np.asarray(array, np.float32)) for name, array in ours.items()}

    def logits(self, model: Given, p: int, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair output"]:
        """Return the outputs under `model`. Raises ValueError, saying what does not fit, where shapes differ."""
        architecture, weights = self.read_as(model, p)
        with torch.no_grad():
            return architecture.outputs(weights, pairs)

    def judged_as(self, found: Guess, model: Given | None = None) -> Guess | None:
        """Return what was found, or its task under another model, judged on a sample of the pairs."""
        model, pairs = model or found.model, sample(found.p)
        return judged_on(self.logits(model, found.p, pairs), pairs, found.task, model, found.p)


def _is_causal_mask(array: np.ndarray) -> bool:
    """Whether each of its last two axes is over positions, and it is one value up to the diagonal and another above."""
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.shape[-1] < 2:
        return False
    later = np.triu(np.ones(array.shape[-2:], bool), 1)
    seen, unseen = array[..., ~later], array[..., later]
    return bool((seen == seen.flat[0]).all() and (unseen == unseen.flat[0]).all() and seen.flat[0] != unseen.flat[0])


def changed(model: Given, options: Mapping[str, Any]) -> Given:
    return model[0], {**model[1], **options}


def without_p(model: Given) -> Given:
    return model[0], {name: value for name, value in model[1].items() if name != "p"}


def judged_on(
    logits: Float[Tensor, "pair output"], pairs: Int[Tensor, "pair 2"], task: Given, model: Given, p: int
) -> Guess | None:
    """How much of the task the logits answer right; None where there is no such task modulo p."""
    answers = _answers(*frozen(task))
    if answers is None:
        return None
    right = answers[pairs[:, 0], pairs[:, 1]]
    valid = right >= 0
    said, right = logits[valid], right[valid]
    hit = said.argmax(dim=1) == right
    losses = cross_entropy(said[hit], right[hit])  # those of pairs answered wrong may be anything
    accuracy = float(hit.double().mean()) if len(hit) else 0.0
    return Guess(task, without_p(model), p, accuracy, float(losses.median()) if len(losses) else math.inf)


@functools.lru_cache(maxsize=64)
def _answers(name: str, options: tuple[tuple[str, Any], ...]) -> Int[Tensor, "a b"] | None:
    """The answer to each pair, -1 where it has none; None where there is no such task."""
    try:
        task = made_task(name, options)
    except InterpError:  # p is not prime, and the task divides
        return None
    made = two_operands(task)
    table = torch.full((made.p, made.p), -1)
    table[made.pairs[:, 0], made.pairs[:, 1]] = made.targets
    return table


@functools.cache
def _made_by(model: str) -> Callable[..., Any]:
    return find("models", model)


@functools.cache
def plain_task(p: int) -> TwoOperands:
    return modular_arithmetic(p=p, split="unknown")


@functools.cache
def sample(p: int) -> Int[Tensor, "pair 2"]:
    return plain_task(p).pairs[_order(p)[:SAMPLE].sort().values]


@functools.cache
def few(p: int) -> Int[Tensor, "pair 2"]:
    return plain_task(p).pairs[_order(p)[:FEW_PAIRS].sort().values]


def _order(p: int) -> Int[Tensor, " pair"]:
    return torch.randperm(p * p, generator=torch.Generator().manual_seed(0))


def table_of(task: Given) -> str:
    """What the answers of a task depend on."""
    return repr((task[0], {name: value for name, value in task[1].items() if name not in ("split", "frac_train")}))
