"""interp describe PATH: what a file or folder seems to be, and the run.yaml that opens it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp import terminal
from interp.errors import InterpError, command_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from interp.checkpoints import Run, Sweep
    from interp.importers.shared import files_by_step

LAST_RESORT = "state_dicts"
"""The importer that reads what no other recognises."""
MOST_LABELS = 12
"""So many labels of an axis are written out."""
WEIGHTS = "weights"
"""The one that opens the weights of what none can read as a network."""


def main(path: Annotated[Path, typer.Argument(help="A run, a weight file, or a folder of them.")]) -> None:
    """Say what a file or folder seems to be: format, tensors, sizes, steps, task and model.

    Prints the run.yaml that opens it.
    """
    print(terminal.printable("\n\n".join(describe(path))))


def describe(path: Path) -> list[str]:
    """The description, a paragraph each. Raises InterpError where nothing is there, or nothing can be read."""
    if not path.exists():
        raise InterpError(f"{path} does not exist")

    from interp.checkpoints import Sweep, open_run
    from interp.recipes import run_recipe

    if (path / run_recipe.FILE).is_file() or next(path.glob(f"*/{run_recipe.FILE}"), None):
        run = open_run(path)
        if isinstance(run, Sweep):
            return _sweep(path, run)
        tensors = _tensors(run.final.arrays)
        return [f"{path} is a run.", _facts(run), tensors, *run.notes, _use(run, "--run", path)]
    importer = _importer(path)
    paragraphs = [_contents(path)]
    try:
        run = open_run(path, importer)
    except InterpError as error:
        refused = f"It could not be opened by the importer {importer}:\n{error}"
        told = [] if str(error) in paragraphs else paragraphs
        return [*told, refused, *_weights_alone(path)]
    tensors = [] if run.read_as else [_tensors(run.final.arrays)]
    return [
        *paragraphs,
        f"The importer {importer} opens it.",
        _facts(run),
        *tensors,
        *_opened_so(path, importer, run),
    ]


def _sweep(path: Path, sweep: Sweep) -> list[str]:
    """What a recipe with a grid is that of."""
    from interp.recipes.first_look import OF_A_SWEEP

    there = f"{len(sweep):,} of {len(sweep.members):,} runs have checkpoints"
    axes = [f"  {axis}: {', '.join(map(str, labels[:MOST_LABELS]))}" for axis, labels in sweep.axes.items()]
    more = [
        f"{line}, …" if len(labels) > MOST_LABELS else line
        for line, labels in zip(axes, sweep.axes.values(), strict=True)
    ]
    if sweep.shipped:
        there += f", the results of {len(sweep.shipped.trained.ends):,} ship with the recipe"
    first = next(iter(sweep)) if len(sweep) else None
    one = _facts(first) if first else "none is trained yet"
    use = f"analyse them:\n\n  {command_line('run', OF_A_SWEEP, '--run', path)}"
    return [f"{path} is a sweep; {there}.", "\n".join(["axes", *more]), f"the first of them\n{one}", use]


def _opened_so(path: Path, importer: str, run: Run) -> list[str]:
    """What is to be known of a run that an importer opened, and how to open it."""
    use = _use(run, "--run", path, "--importer", importer)
    table = [_read_as(path, run)] if run.read_as else []
    return [*run.notes, use, _recipe(path, importer, run), *table]


def _importer(path: Path) -> str:
    """The one that recognises it: the most general comes last."""
    from interp.catalogue.names import known_names, module_of

    for name in sorted(known_names("importers"), key=lambda name: name == LAST_RESORT):
        recognises = getattr(module_of("importers", name), "recognises", None)
        if recognises and recognises(path):
            return name
    return LAST_RESORT


def _weights_alone(path: Path) -> list[str]:
    """What opens the weights of a network that is not recognised; nothing where not even they can be read."""
    from interp.checkpoints import open_run

    try:
        run = open_run(path, WEIGHTS)
    except InterpError:
        return []
    return [f"The importer {WEIGHTS} opens its weights alone.", _facts(run), *_opened_so(path, WEIGHTS, run)]


def _contents(path: Path) -> str:
    """What lies there, and the tensors of the last file, as its authors named them."""
    from interp.files import foreign
    from interp.importers.shared import files_by_step

    try:
        places = dict(files_by_step.find(path).places)
    except InterpError as error:
        if path.is_file():
            raise
        return str(error)  # another importer may know these files
    last = _readable(places)
    files = f"{len(places):,} weight file{'s' * (len(places) > 1)}"
    kind = "a file" if path.is_file() else f"a folder of {files}, steps {_span(sorted(places))}"
    content = foreign.read(last.path)
    lines = [f"{path} is {kind}; {last.path.name} ({last.path.stat().st_size:,} bytes) holds"]
    if isinstance(content, dict):
        others = [(key, value) for key, value in content.items() if not _is_array(value)]
        lines += [f"  {str(key)[:60]}: {_kind_of(value)}" for key, value in others[:40]]
    tensors = files_by_step.arrays_at(last, lambda _: content)
    return "\n".join([*lines, *_table(tensors)])


def _readable(places: dict[int, files_by_step.Place]) -> files_by_step.Place:
    """The last that can be read. Raises the reason for the last one where none can."""
    from interp.importers.shared import files_by_step

    reasons: list[InterpError] = []
    for step in sorted(places, reverse=True):
        try:
            files_by_step.arrays_at(places[step])
            return places[step]
        except InterpError as error:
            reasons.append(error)
    raise reasons[0]


def _facts(run: Run) -> str:
    split = "the split is unknown" if run.task.train is None else f"{int(run.task.train.sum()):,} training pairs"
    steps = run.steps
    return (
        f"task   {run.task.description}; {split}\n"
        f"model  {run.model_call.name}: {run.architecture.description}\n"
        f"steps  {_span(steps)}, {len(steps):,} checkpoint{'s' * (len(steps) > 1)}"
    )


def _read_as(path: Path, run: Run) -> str:
    """Each tensor as its authors named it, its shape, and what it was read as."""
    from interp.importers.shared import files_by_step, layouts

    places = files_by_step.find(path).places
    shapes = {
        name: str(list(array.shape))
        for name, array in layouts.heads_together(files_by_step.arrays_at(_readable(dict(places)))).items()
    }
    names = {name: ours for name, ours in run.read_as.items() if name in shapes}
    widths = [max(map(len, column)) for column in (names, (shapes[name] for name in names))]
    rows = [f"  {name:<{widths[0]}}  {shapes[name]:<{widths[1]}}  {ours}" for name, ours in names.items()]
    return "\n".join([f"  {'tensor':<{widths[0]}}  {'shape':<{widths[1]}}  read as", *rows])


def _tensors(arrays: Mapping[str, np.ndarray]) -> str:
    return "\n".join(["weights, as interp names them", *_table(arrays)])


def _table(arrays: Mapping[str, np.ndarray]) -> list[str]:
    width = max(len(name) for name in arrays)
    total = sum(array.size for array in arrays.values())
    rows = [f"  {name:<{width}}  {list(array.shape)} {array.dtype}" for name, array in arrays.items()]
    return [*rows, f"  {total:,} numbers in {len(arrays)} tensors"]


def _recipe(path: Path, importer: str, run: Run) -> str:
    """A run.yaml that opens it, from anywhere; beside the files it needs no path."""
    from interp.catalogue.names import singular
    from interp.catalogue.options import changed_options
    from interp.contracts.task import UnknownTask
    from interp.recipes.document import dump_yaml

    content = {
        singular(call.kind): {call.name: changed_options(call.kind, call.name, call.options)}
        for call in (run.task_call, run.model_call)
        if not isinstance(run.task, UnknownTask)  # what nobody knows need not be written
    }
    content["importer"] = {importer: {"path": str(path.resolve())}}
    lines = dump_yaml(content).rstrip().replace("\n", "\n  ")
    return f"run.yaml that opens it (in the folder of the files, leave out the path):\n\n  {lines}"


def _use(run: Run, *arguments: object) -> str:
    from interp.recipes.first_look import first_look

    return f"analyse it:\n\n  {command_line('run', first_look(run.task), *arguments)}"


def _span(steps: list[int]) -> str:
    return f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _kind_of(value: Any) -> str:
    if isinstance(value, dict):
        return f"{len(value)} entries"
    if isinstance(value, list | tuple):
        return f"a list of {len(value):,}"
    return str(value)[:60]


if __name__ == "__main__":
    terminal.command(main)
