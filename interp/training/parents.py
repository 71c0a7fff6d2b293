"""What a run takes over from its parent: the weights of a checkpoint, and what the parent's next update depends on.

A run keeps its weights at many steps, but the state of its optimiser at its last alone. Where that of another step is
asked for, the parent is trained a second time up to there, in memory: nothing is written, least of all in the parent's
folder. Every checkpoint that is passed on the way is compared with the parent's, every bit of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from interp.contracts.optimiser import UpdateRule
from interp.errors import InterpError, Stopped, command_line
from interp.files.arrays import arrays_digest
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.machine import process
from interp.recipes import run_recipe
from interp.recipes.call import Call
from interp.recipes.document import read_document
from interp.recipes.grid import GRID
from interp.recipes.parent import Parent
from interp.recipes.step_choice import not_there
from interp.summaries import listed
from interp.training.plan import Plan
from interp.training.stack import Stack
from interp.training.state import STATE, WEIGHTS, GoesOn, Inherited, Training, about_state, threads_of

MOST_TOLD = 3
"""Weights that differ are named, so many of them."""


def inherited(plan: Plan, interrupted: Callable[[], bool]) -> Inherited | None:
    """What the training takes over; None where it starts from fresh weights.

    It may take as long as the parent's training took. Raises InterpError as `check` does, and where the parent, trained
    again, has other weights; Stopped where Ctrl-C was pressed.
    """
    if plan.parent is None:
        return None
    parent, of_parent = plan.parent, check(plan)
    assert of_parent is not None  # there is a parent
    same = _in_both(of_parent.training.interventions, plan.training.interventions)
    if not parent.optimiser:
        arrays = CheckpointBlocks(parent.folder / WEIGHTS).load(parent.step)
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Inherited(weights, frozenset(same))
    with process.threads(threads_of(parent.folder, of_parent)):
        training = _at_step(parent, of_parent, interrupted)
    chosen, own = of_parent.training, plan.training
    same_batches = (chosen.batch_size, chosen.seed, _rows(of_parent)) == (own.batch_size, own.seed, _rows(plan))
    more = GoesOn(
        optimiser=training.optimiser.state(),
        counts_from=training.counts_from,
        batches=training.batches.state() if same_batches else None,
        memories={place: training.interventions[of_it].state for place, of_it in same.items()},
    )
    return Inherited(training.weights, frozenset(same), more)


@dataclass
class Inheritance:
    """What several trainings take over, each parent trained a second time only once."""

    interrupted: Callable[[], bool]
    _found: dict[str, Inherited | None] = field(default_factory=dict)

    def of(self, plan: Plan) -> Inherited | None:
        """Raises what `inherited` does."""
        chosen = plan.training
        key = repr((plan.parent, chosen.interventions, chosen.batch_size, chosen.seed, _rows(plan), plan.stacks_with))
        if key not in self._found:
            self._found[key] = inherited(plan, self.interrupted)
        return self._found[key]


def check(plan: Plan) -> Plan | None:
    """The plan of its parent; None where it has none.

    Raises InterpError, one line that begins with where it stands in the recipe, where the parent is no run that was
    trained here, has no checkpoint at that step or other weights than this network, or where an optimiser is to go on
    that is of another kind.
    """
    parent = plan.parent
    if parent is None:
        return None
    of_parent = _plan_of(parent)
    blocks = CheckpointBlocks(parent.folder / WEIGHTS)
    if not blocks.steps:
        told = f"{parent.run} has no checkpoints yet; train it first: {command_line('train', parent.folder)}"
        raise InterpError(parent.told("run", told))
    if parent.step not in blocks.steps:
        window = f"{parent.step}:{parent.step}:1"
        more = f"take one of these, or add it: {command_line('train', parent.folder, '--dense', window)}"
        last = max(blocks.steps)
        more = more if parent.step < last else f"its last is {last:,}"
        raise InterpError(parent.told("step", f"{not_there(parent.step, blocks.steps, parent.run)}; {more}"))
    _check_shapes(parent, blocks.shapes(parent.step), plan.architecture.shapes)
    if parent.optimiser and _kind(of_parent) != _kind(plan):
        names = [one.training.optimiser.name for one in (of_parent, plan)]
        what = f"{names[0]}" if names[0] != names[1] else f"{names[0]} with options that keep another state"
        told = f"{parent.run} has the optimiser {what}, whose state cannot go on in this run's {names[1]}"
        raise InterpError(parent.told("optimiser", f"{told}; take optimiser: false, or the optimiser of the parent"))
    return of_parent


def _plan_of(parent: Parent) -> Plan:
    """The parent's plan. Raises InterpError where it is no run that is trained here."""
    if parent.is_gone:
        told = f"{parent.run} is no run: {parent.folder} holds no {run_recipe.FILE}"
        raise InterpError(parent.told("run", f"{told}; a path is relative to the folder of this recipe"))
    path = parent.folder / run_recipe.FILE
    content = read_document(path).content
    if GRID in content:
        told = f"{parent.run} is a sweep; name one of its runs: {parent.run}/seed=0"
        raise InterpError(parent.told("run", told))
    if "training" not in content:
        raise InterpError(parent.told("run", f"{parent.run} was not trained here; a run starts from one that was"))
    return Plan.of(run_recipe.read_to_train(path))


def _check_shapes(parent: Parent, there: Mapping[str, tuple[int, ...]], here: Mapping[str, tuple[int, ...]]) -> None:
    """Raises InterpError where the weights of the two have other names or shapes."""
    wrong = [
        f"{name} is {_shape(there, name)} there and {_shape(here, name)} here"
        for name in dict.fromkeys([*there, *here])
        if there.get(name) != here.get(name)
    ]
    if wrong:
        more = [f"{len(wrong) - MOST_TOLD} more differ"] if len(wrong) > MOST_TOLD else []
        told = f"the weights of {parent.run} are not those of this model: {listed([*wrong[:MOST_TOLD], *more])}"
        raise InterpError(parent.told("run", f"{told}; give this run the model of its parent, and a task of its size"))


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
    return str(list(shapes[name])) if name in shapes else "not"


def _rows(plan: Plan) -> int:
    """How many examples it is trained on; 0 where nobody knows."""
    return 0 if plan.task.train is None else int(plan.task.train.sum())


def _kind(plan: Plan) -> tuple[object, ...]:
    """What two optimisers have in common of which one can go on with the other's state."""
    made = plan.training.optimiser_of({"one weight": torch.zeros(1)})
    rule = (made.operations, made.kept, made.draws is None) if isinstance(made, UpdateRule) else ()
    return plan.training.optimiser.name, type(made), rule


def _in_both(of_parent: tuple[Call, ...], own: tuple[Call, ...]) -> dict[int, int]:
    """Place of an intervention -> that of the parent's which is the same, each of these once."""
    left = dict(enumerate(of_parent))
    found: dict[int, int] = {}
    for place, call in enumerate(own):
        at = next((at for at, other in left.items() if other == call), None)
        if at is not None:
            found[place] = at
            del left[at]
    return found


def _at_step(parent: Parent, plan: Plan, interrupted: Callable[[], bool]) -> Training:
    """The parent's training at the step, from its state where that is of this step, else trained a second time."""
    folder, state = parent.folder, parent.folder / STATE
    training = Training.fresh(folder, folder, plan)
    stack = Stack([training])
    kept = set(training.checkpoints.steps)
    if state.exists() and about_state(state, folder, plan.recipe)["step"] == parent.step:
        training.load_state()
    else:
        training.begin(inherited(plan, interrupted))
    _compare(parent, training)
    while training.step < parent.step:
        if stack.update():
            _refuse(parent, training.step)
        if training.step in kept:
            _compare(parent, training)
        if interrupted():
            raise Stopped(
                f"stopped at step {training.step:,} of {parent.step:,} of the second training of {folder}, which the "
                "state of its optimiser takes; the same command begins it again"
            )
    return training


def _compare(parent: Parent, training: Training) -> None:
    """Raises InterpError where the weights at the present step are not those that the parent has there."""
    if training.step in training.checkpoints.steps:
        digest = arrays_digest(training.checkpoints.load(training.step))
        if digest != arrays_digest(training.arrays):
            _refuse(parent, training.step)


def _refuse(parent: Parent, step: int) -> None:
    """Raises InterpError."""
    last = max(CheckpointBlocks(Path(parent.folder) / WEIGHTS).steps)
    told = (
        f"{parent.run} keeps the state of its optimiser at its last step alone, and trained again its weights at step "
        f"{step:,} are not those that it has (another machine, torch {torch.__version__} or number of threads)"
    )
    raise InterpError(parent.told("optimiser", f"{told}; take optimiser: false, or start at step {last:,}"))
