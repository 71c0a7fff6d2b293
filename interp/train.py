"""interp train FOLDER: train the run, or the many runs, whose recipe is in its run.yaml."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp import terminal
from interp.catalogue.names import check_name
from interp.errors import AlreadyDoneError, InterpError, command_line
from interp.summaries import listed_steps

if TYPE_CHECKING:
    from interp.recipes.grid import Grid, Member
    from interp.training.outcome import Outcome
    from interp.training.sweep import Failure, Present, Progress

MOST_NAMED = 8
"""So many members are named in a line; of more it says how many."""


def main(
    run: Annotated[Path, typer.Argument(help="A folder with a run.yaml.")],
    set_: Annotated[
        list[str],
        typer.Option("--set", help="Change an option: training.seed=3. A range, 0..7, trains that many runs."),
    ] = [],  # noqa: B006 (typer reads the default)
    only: Annotated[
        list[str],
        typer.Option(help="Of many runs these alone: seed=3, or seed=0..3,weight_decay=0.1; may be given repeatedly."),
    ] = [],  # noqa: B006
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes; the weights do not depend on it.")] = 1,
    executor: Annotated[
        str | None, typer.Option(help="What works the pieces off, a name; else by the number of jobs.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="The dask cluster that works the pieces off: tcp://… of its scheduler.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say how many runs, minutes and bytes it would be; train nothing.")
    ] = False,
    dense: Annotated[
        list[str],
        typer.Option(help="Add the checkpoints of a window, 12000:14000:10 (start:stop:every), to a finished run."),
    ] = [],  # noqa: B006
) -> None:
    """Train a run from the recipe in its run.yaml; one that was stopped goes on, exactly.

    \b
    A run.yaml to begin with, which takes a minute:
      task: {modular_arithmetic: {p: 31, operation: x+y, frac_train: 0.6}}
      model: {transformer: {d_model: 32, n_heads: 2, d_mlp: 64}}
      training: {steps: 1_000, optimiser: {adamw: {lr: 3e-3, weight_decay: 2}}, save: {every: 50}}

    A recipe with a grid is that of many runs, RUN/seed=0 … RUN/seed=7, each with a run.yaml of its own; what is not
    finished is trained. --set training.seed=0..7 makes the same folders without one.
    With --dense it trains a finished run a second time, and adds checkpoints that the first did not keep. A finished
    run whose weights are damaged is trained a second time to put them right.
    """
    if executor:
        check_name("executors", executor)
    if scheduler and ("://" not in scheduler or executor not in (None, "dask")):
        raise InterpError(f"--scheduler {scheduler} is for --executor dask, and an address such as tcp://host:8786")
    _work(run, tuple(set_), tuple(only), _Way(jobs, scheduler or executor, plan, tuple(dense)))


def train_what_is_left(folder: Path, jobs: int = 1, executor: str | None = None) -> None:
    """Train what is not finished of the run or the sweep in `folder`; where nothing is left, say so.

    Raises InterpError where it is none that is trained here.
    """
    try:
        _work(folder, (), (), _Way(jobs, executor, False, ()))
    except AlreadyDoneError as done:
        print(done)


def minutes_to_train(folder: Path) -> float:
    """The processor minutes that training all of the run or the sweep in `folder` takes, from fifty timed updates.

    Nothing is written. Raises InterpError where its recipe has mistakes or does not train.
    """
    from interp.recipes import run_recipe
    from interp.recipes.grid import read_grid
    from interp.training import sweep
    from interp.training.estimate import plan_of_stack
    from interp.training.plan import Plan, PlannedRun

    grid = read_grid(folder / run_recipe.FILE)
    if grid:
        return sweep.estimate(grid, sweep.Present(dict.fromkeys(grid.members), ())).seconds / 60
    plan = Plan.of(run_recipe.read_to_train(folder / run_recipe.FILE))
    return plan_of_stack([PlannedRun(folder, plan)]).seconds / 60


def _work(run: Path, assigned: tuple[str, ...], only: tuple[str, ...], way: _Way) -> None:
    """Train one run or many; names are checked first, without loading torch. Raises InterpError."""
    from interp.recipes import run_recipe
    from interp.recipes.grid import read_grid

    path = run / run_recipe.FILE
    if not path.is_file():
        raise InterpError(f"{run} holds no {run_recipe.FILE}; write one; {command_line('train', '--help')} shows how")
    grid = read_grid(path, assigned)
    if grid:
        chosen = grid.chosen(only)
        grid.check_names()
        work = functools.partial(_train_many, grid, chosen, way)
    else:
        if only or way.plan:
            raise InterpError(f"{path} is the recipe of one run; --only and --plan are for those with a grid")
        run_recipe.check_names(path)
        work = functools.partial(train, run, way.dense)

    from interp.machine.denormals import flushed

    with flushed():  # before torch starts its threads, which inherit it
        work()


class _Way:
    """How many runs are trained."""

    def __init__(self, jobs: int, executor: str | None, plan: bool, dense: tuple[str, ...]) -> None:
        self.jobs, self.executor, self.plan, self.dense = jobs, executor, plan, dense


def _train_many(grid: Grid, chosen: Sequence[Member], way: _Way) -> None:
    """Train what is not finished of the members chosen. Raises InterpError, before anything trains, of mistakes."""
    from interp.executors.shared.working import working
    from interp.training import sweep

    grid.check()
    state = sweep.present(grid, chosen)
    sweep.check_parents(grid, state)
    _tell_what_is_there(grid, state)
    if way.plan:
        _tell_plan(grid, state, way.jobs)
        return
    if way.dense or not state.left:
        _train_again(grid, state, way.dense)
        return
    line = terminal.ProgressLine()

    def progress(now: Progress) -> None:
        left = "" if now.seconds_left is None else f"   {terminal.duration(now.seconds_left)} left"
        rate = f"   {now.rate:,.0f} networks × steps/s" if now.rate else ""
        failed = f", {now.failed:,} failed" if now.failed else ""
        line.show(f"{now.done:,} of {now.total:,} done{failed}{rate}{left}", last=now.done + now.failed == now.total)

    with working(grid.path, "training", way.jobs, way.executor) as executor:
        found = sweep.train(grid, state, executor, way.jobs, sweep.Meter(grid, state, progress))
    _tell_what_became(grid, found)


def _tell_what_is_there(grid: Grid, state: Present) -> None:
    total, left = len(state.standing), len(state.left)
    along = " × ".join(f"{len(axis.labels)} {axis.name}" for axis in grid.axes)
    print(f"{grid.path}: {total:,} runs ({along}); {total - left:,} finished, {left:,} to train")
    diverged = [one.folder.name for one in state.standing.values() if one and one.end == "diverged"]
    if diverged:
        print(f"diverged, and not tried again: {_named(diverged)}")
    if state.gone:
        print(f"no longer in the recipe, and left as they are: {_named(state.gone)}")


def _named(folders: Sequence[str]) -> str:
    more = f" and {len(folders) - MOST_NAMED:,} more" if len(folders) > MOST_NAMED else ""
    return " ".join(folders[:MOST_NAMED]) + more


def _tell_plan(grid: Grid, state: Present, jobs: int) -> None:
    from interp.training import sweep

    found = sweep.estimate(grid, state)
    workers = f"{jobs} jobs" if jobs > 1 else "one job"
    print(
        f"in {found.stacks:,} stacks; about {terminal.duration(found.seconds / jobs)} with {workers} "
        f"({found.seconds / 60:.1f} processor minutes, from 50 timed updates of each stack); "
        f"{found.bytes / 1e6:,.1f} MB of checkpoints"
    )


def _tell_what_became(grid: Grid, found: Sequence[Outcome | Failure]) -> None:
    """Name those that did not come to their end. Raises InterpError where some could not be trained."""
    from interp.recipes.first_look import OF_A_SWEEP
    from interp.training.sweep import Failure

    failed = [one for one in found if isinstance(one, Failure)]
    for one in found:
        if not isinstance(one, Failure) and one.end != "finished":
            print(one.sentence)
    if failed:
        raise InterpError("\n".join(one.reason for one in failed))
    print(f"trained: {grid.path}\nlook at them with: {command_line('run', OF_A_SWEEP, '--run', grid.path)}")


def _train_again(grid: Grid, state: Present, dense: Sequence[str]) -> None:
    """Add checkpoints to the members that are finished, or put damaged ones right.

    Raises AlreadyDoneError where nothing was to do.
    """
    from interp.training.again import damaged
    from interp.training.sweep import steps_of

    done = 0
    for member in state.standing:
        folder = grid.path / member.folder
        if member in state.left or not (dense or damaged(folder, steps_of(grid, member)).missing):
            continue
        try:
            train(folder, dense)
            done += 1
        except AlreadyDoneError:
            continue
    if not done:
        raise AlreadyDoneError(f"{grid.path} is finished: all its {len(state.standing):,} runs are")


def train(folder: Path, dense: Sequence[str] = ()) -> None:
    """Train the run in `folder`, or add the checkpoints of the windows `dense` to it, or put its damaged ones right.

    Raises InterpError where its recipe has mistakes or does not train.
    """
    from interp.recipes import run_recipe
    from interp.recipes.first_look import first_look
    from interp.training import loop
    from interp.training.again import add, damaged, gaps, mend
    from interp.training.plan import Plan

    plan = Plan.of(run_recipe.read_to_train(folder / run_recipe.FILE))
    what = f"{folder}: {plan.task.description}; {plan.architecture.description}"
    if dense:
        lacking = gaps(folder, plan, dense)
        if lacking.missing:
            print(f"{what}; {len(lacking.missing)} checkpoints to add: training again to step {lacking.end:,}")
        add(folder, plan, dense, _progress(lacking.end))
        print(f"added to {folder}: {len(lacking.missing)} checkpoints, those of its training bit for bit")
        return
    broken = damaged(folder, plan.steps)
    if broken.missing:
        print(f"{what}; damaged at {listed_steps(broken.missing)}: training again to step {broken.end:,}")
        mend(folder, plan, _progress(broken.end))
        print(
            f"put right in {folder}: the weights at {listed_steps(broken.missing)}, those of its training bit for bit"
        )
        return
    print(f"{what}; {len(plan.save)} checkpoints")
    if plan.parent:
        print(plan.parent.sentence)
    loop.train(folder, plan, _progress(plan.steps))
    print(f"trained: {folder}\nlook at it with: {command_line('run', first_look(plan.task), '--run', folder)}")


def _progress(steps: int) -> Callable[[int, float, float, float], None]:
    """What shows a training up to `steps` on the terminal."""
    line = terminal.ProgressLine()

    def progress(step: int, train_loss: float, test_loss: float, steps_per_second: float) -> None:
        losses = f"step {step:,} of {steps:,}   train loss {train_loss:.2e}"
        if not math.isnan(test_loss):
            losses += f"   test loss {test_loss:.2e}"
        if not steps_per_second:
            line.show(losses)
            return
        left = terminal.duration((steps - step) / steps_per_second)
        line.show(f"{losses}   {steps_per_second:.0f} steps/s   {left} left", last=step == steps)

    return progress


if __name__ == "__main__":
    terminal.command(main)
