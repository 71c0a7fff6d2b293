"""What a network was to learn and what its shapes leave open, told by what its last checkpoint answers.

Every task and model of its sizes is tried; the one under which it answers most pairs right is taken, and what its
answers hardly tell apart is said.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.catalogue.names import find
from interp.contracts.imported import Arrays, Given
from interp.contracts.task import two_operands
from interp.errors import InterpError
from interp.importers.shared.layouts import Layout, in_our_layout
from interp.maths.cross_entropy import cross_entropy
from interp.tasks.modular_arithmetic import Operation, modular_arithmetic

HEADS = (4, 8, 2, 1, 16, 3, 6, 12, 5, 10, 7, 9, 11, 13, 14, 15)
"""Tried in this order where the heads are merged into one matrix."""
ROWS = ("a b =", "a b")
CHANCE = 5
"""An operation counts as found where it is answered this many times as often as chance would."""
ALIKE = 0.005
"""Models whose accuracies differ by no more than this are not told apart by it."""


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

    @property
    def found(self) -> bool:
        """Whether the answers are far above chance."""
        return self.accuracy > CHANCE / self.p

    def sentence(self, task_told: bool) -> str:
        """What was taken for granted, and why, for the report."""
        operation = f"{self.task[1].get('operation', self.task[0])} mod {self.p}"
        answers = f"the last checkpoint answers {self.accuracy:.1%} of all pairs so."
        taken = "The model is the one that fits best" if task_told else f"The task was taken to be {operation}"
        return f"{taken}: {answers} {self.ambiguity}".rstrip()


def guess(arrays: Arrays, layout: Layout, source: str, task: Given | None, model: Given | None) -> Guess:
    """Return the task and the model under which `arrays`, the last checkpoint, answers most; those given are kept.

    Among models that answer alike, the first whose loss is at most twice the least is taken.
    Raises InterpError where the sizes are those of no network on two residues.
    """
    guesses: list[Guess] = []
    misfits: list[str] = []
    for candidate in [model] if model else _models(layout):
        for p in [task[1].get("p", 113)] if task else _moduli(layout, candidate[1]):
            logits = _logits(arrays, layout, source, candidate, p, misfits)
            if logits is not None:
                judged = [_judged(logits, given, candidate, p) for given in ([task] if task else _tasks(p))]
                guesses += [one for one in judged if one is not None]
    if not guesses:
        raise InterpError(
            f"{source}: {misfits[0]}"
            if misfits
            else f"{source}: {_sizes(layout)} fit no network on two residues; "
            "interp's read [a, b] or [a, b, =] and answer with a residue"
        )
    best = max(guesses, key=lambda one: (one.accuracy, -one.loss))
    alike = [
        one
        for one in guesses
        if one.task == best.task and one.accuracy >= best.accuracy - ALIKE and one.loss <= 2 * best.loss
    ]
    chosen = next((one for one in alike if one.accuracy == best.accuracy), best)
    return dataclasses.replace(chosen, ambiguity=_ambiguity(alike or [best]))


def _ambiguity(alike: list[Guess]) -> str:
    """Say which options the answers hardly settle; "" where they settle all."""
    tried = {name: {one.model[1].get(name) for one in alike} for name in alike[0].model[1]}
    open_options = {name: values for name, values in tried.items() if len(values) > 1}
    if not open_options:
        return ""
    listed = "; ".join(f"{name} {' or '.join(sorted(map(str, values)))}" for name, values in open_options.items())
    return f"Its answers hardly tell {listed} apart; say which in a run.yaml."


def _sizes(layout: Layout) -> str:
    positions = f", {layout.n_ctx} positions" if layout.n_ctx else ""
    return f"a vocabulary of {layout.d_vocab} in and {layout.d_vocab_out} out{positions}"


def _tasks(p: int) -> Iterator[Given]:
    """Every operation on residues modulo p but random labels."""
    for operation in get_args(Operation):
        if operation != "random":
            yield "modular_arithmetic", {"p": p, "operation": operation, "split": "unknown"}


def _models(layout: Layout) -> Iterator[Given]:
    """Every model of these shapes."""
    names = layout.names
    if not names.is_transformer:
        for act_fn in ("relu", "gelu"):
            yield (
                "mlp",
                {
                    "d_model": layout.d_model,
                    "d_mlp": layout.d_hidden,
                    "n_layers": 2 if "mlp2.W_in" in names.theirs else 1,
                    "shared_embedding": "embed.W_E" in names.theirs,
                    "combine": "concatenated" if layout.concatenated else "added",
                    "biases": layout.biases,
                    "act_fn": act_fn,
                },
            )
        return
    heads = [layout.n_heads] if layout.n_heads else [n for n in HEADS if layout.d_inner % n == 0]
    causal = (True, False) if names.n_layers > 1 else (True,)
    either = (True, False)
    for row, shared, n_heads, act_fn, masked in itertools.product(ROWS, either, heads, ("relu", "gelu"), causal):
        if layout.n_ctx is None or layout.n_ctx >= len(row.split()):
            yield (
                "transformer",
                {
                    "n_layers": names.n_layers,
                    "d_model": layout.d_model,
                    "n_heads": n_heads,
                    "d_mlp": layout.d_hidden,
                    "act_fn": act_fn,
                    "causal": masked,
                    "row": row,
                    "shared_vocab": shared,
                    "biases": layout.biases,
                    **({"d_vocab_out": layout.d_vocab_out} if layout.d_vocab_out != layout.d_vocab else {}),
                },
            )


def _moduli(layout: Layout, options: dict[str, Any]) -> list[int]:
    """The moduli for which the vocabulary has the sizes there are: one or none."""
    if not layout.names.is_transformer:
        return [layout.d_vocab] if layout.d_vocab == layout.d_vocab_out else []
    residues, rest = divmod(layout.d_vocab - ("=" in options["row"]), 1 if options["shared_vocab"] else 2)
    return [residues] if not rest and residues >= 3 and layout.d_vocab_out in (residues, layout.d_vocab) else []


def _logits(
    arrays: Arrays, layout: Layout, source: str, model: Given, p: int, misfits: list[str]
) -> Float[Tensor, "a b d_vocab_out"] | None:
    """Return the logits of every pair; None, with the reason added to `misfits`, where the model has other shapes."""
    task = modular_arithmetic(p=p, split="unknown")
    try:
        architecture = find("models", model[0])(task, **model[1])
    except ValueError as error:
        misfits.append(str(error))
        return None
    ours = in_our_layout(arrays, layout.fitted(model), source)
    for name, shape in architecture.shapes.items():
        if name not in ours or ours[name].shape != shape:
            found = f"has shape {list(ours[name].shape)}" if name in ours else "is not there"
            misfits.append(f"{name} {found}; the model expects {list(shape)}")
            return None
    weights = {name: torch.from_numpy(np.asarray(array, np.float32)) for name, array in ours.items()}
    with torch.no_grad():
        return architecture.outputs(weights, task.pairs).unflatten(0, (p, p))  # [a, b, d_vocab_out]


def _judged(logits: Float[Tensor, "a b d_vocab_out"], task: Given, model: Given, p: int) -> Guess | None:
    """Return how much of the task the logits answer right; None where there is no such task modulo p."""
    try:
        made = two_operands(find("tasks", task[0])(**task[1]))
    except ValueError:  # p is not prime, and the task divides
        return None
    said = logits[made.pairs[:, 0], made.pairs[:, 1]]  # [pair, d_vocab_out]
    right = said.argmax(dim=1) == made.targets
    losses = cross_entropy(said, made.targets)[right]  # those of pairs answered wrong may be anything
    return Guess(task, model, p, float(right.double().mean()), float(losses.median()) if len(losses) else math.inf)
