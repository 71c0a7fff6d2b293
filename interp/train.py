"""python -m interp.train checkpoints/<run>: train the run whose recipe is in its run.yaml."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from interp import terminal
from interp.errors import AlreadyDoneError, InterpError
from interp.summaries import listed_steps


def main(
    run: Annotated[Path, typer.Argument(help="A folder with a run.yaml.")],
    set_: Annotated[
        list[str],
        typer.Option("--set", help="Change an option: training.seed=3. A range, 0..7, trains a family."),
    ] = [],  # noqa: B006 (typer reads the default)
    dense: Annotated[
        list[str],
        typer.Option(help="Add the checkpoints of a window, 12000:14000:10 (start:stop:every), to a finished run."),
    ] = [],  # noqa: B006
) -> None:
    """Train a run from the recipe in its run.yaml; one that was stopped goes on, exactly.

    With --set training.seed=0..7 it trains RUN/seed=0 … RUN/seed=7, each with a run.yaml of its own.
    With --dense it trains a finished run a second time, and adds checkpoints that the first did not keep. A finished
    run whose weights are damaged is trained a second time to put them right.
    """
    from interp.recipes import run_recipe

    path = run / run_recipe.FILE
    if not path.is_file():
        raise InterpError(f"{run} holds no {run_recipe.FILE}; write one (the README shows how), then train")
    family = list(itertools.product(*map(_spread, set_)))
    for chosen in family:
        run_recipe.check_names(path, chosen)

    import torch

    torch.set_flush_denormal(True)  # before torch starts its threads, which inherit it
    members = [_member(path, chosen) for chosen in family]
    finished = []
    for folder in members:
        try:
            train(folder, dense)
        except AlreadyDoneError as done:
            finished.append(done)
            if len(members) > 1:
                print(done)
    if len(finished) == len(members):
        raise finished[-1]


def train(folder: Path, dense: Sequence[str] = ()) -> None:
    """Train the run in `folder`, or add the checkpoints of the windows `dense` to it, or put its damaged ones right.

    Raises InterpError where its recipe has mistakes or does not train.
    """
    from interp.recipes import run_recipe
    from interp.training import loop
    from interp.training.again import add, damaged, gaps, mend
    from interp.training.plan import Plan

    plan = Plan.of(run_recipe.read_to_train(folder / run_recipe.FILE))
    what = f"{folder}: {plan.task.description}; {plan.architecture.description}"
    if dense:
        lacking = gaps(folder, plan.steps, dense)
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
    loop.train(folder, plan, _progress(plan.steps))
    print(f"trained: {folder}\nlook at it with: python -m interp.run analyses/fourier.yaml --run {folder}")


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


def _member(path: Path, chosen: tuple[str, ...]) -> Path:
    """The folder to train of the recipe at `path`: its own, or that of a member of its family, whose recipe is written.

    Raises InterpError where the recipe has mistakes, or another one is there.
    """
    from interp.files.writing import write_text
    from interp.recipes import run_recipe
    from interp.recipes.document import read_document

    if not chosen:
        return path.parent
    document = read_document(path)
    for assignment in chosen:
        document.set(assignment)
    for option, written in run_recipe.files_beside(document).items():
        if not Path(written).is_absolute() and written[:1] not in "$~":
            document.set(f"{option}={Path('..', written).as_posix()}")
    folder = path.parent / ",".join(map(_folder_name, chosen))
    own = folder / run_recipe.FILE
    if own.exists() and read_document(own).content != document.content:
        raise InterpError(f"{own} is another recipe than {path} with {', '.join(chosen)}; remove it")
    if not own.exists():
        run_recipe.read(path, chosen)
        write_text(own, document.dump())
    return folder


def _folder_name(assignment: str) -> str:
    """training.seed=3 -> seed=3, whatever stands in the value."""
    name, _, value = assignment.partition("=")
    return f"{name.rpartition('.')[2]}={re.sub(r'[^0-9A-Za-z_.+*-]', '_', value)}"


def _spread(assignment: str) -> list[str]:
    """training.seed=0..7 -> training.seed=0, …, training.seed=7."""
    name, equals, value = assignment.partition("=")
    if not equals or not name:
        raise InterpError(f"--set {assignment} is not of the form name.option=value")
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", value)
    if not ends:
        return [assignment]
    first, last = int(ends[1]), int(ends[2])
    if last < first:
        raise InterpError(f"--set {assignment}: the range ends before it begins")
    return [f"{name}={number}" for number in range(first, last + 1)]


if __name__ == "__main__":
    terminal.command(main)
