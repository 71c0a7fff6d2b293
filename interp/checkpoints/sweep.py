"""Many runs of one recipe, or of one folder: on named axes, each opened when it is asked for.

What is there is told by the sweep's recipe and one listing of its folder; the recipes of its runs are not read.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import html
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.checkpoints.folder import WEIGHTS
from interp.checkpoints.run import Run, described, told_recipe
from interp.errors import InterpError, command_line, near_misses
from interp.recipes import run_recipe
from interp.recipes.document import leaves, read_document
from interp.recipes.grid import GRID, Axis, Grid, label_of, text_of
from interp.recipes.run_paths import Source, run_name
from interp.results.series import SeriesGrid
from interp.results.shipping import Shipped, Trained, shipped
from interp.summaries import listed
from interp.training.standing import standing
from interp.training.sweep import steps_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Label = int | float | str
Place = tuple[Label, ...]
MOST_ROWS = 60
"""So many members are shown in a notebook."""


@dataclass(frozen=True)
class Member:
    """One run of a sweep: its labels along all axes of the recipe, and where it lies."""

    labels: Mapping[str, Label]
    path: Path
    there: bool
    """Whether its folder is."""
    steps: int | None = None
    """The updates of its training, where the recipe of the sweep says so."""
    stamped: tuple[Path, ...] = ()
    """Files beside the sweep's recipe that it is made from."""

    @property
    def has_checkpoints(self) -> bool:
        """Whether weights of it are kept; a run read by an importer has them elsewhere."""
        return self.there and (self.steps is None or (self.path / WEIGHTS / "index.json").is_file())


@dataclass(eq=False, repr=False, kw_only=True)
class Sweep(SeriesGrid):
    """Many runs: `sweep.axes`, `sweep.members`, `sweep.sel(seed=3)`, `sweep.run(seed=3)`, `for run in sweep`.

    A sweep is what was there when it was opened; `len(sweep)` counts its runs with checkpoints.
    """

    path: Path
    members: tuple[Member, ...]
    """All, the first axis outermost, those among them that were not trained."""
    along: Mapping[str, tuple[Label, ...]]
    """The labels of each axis."""
    opener: Callable[[Source, str], Run]
    """What opens a run: source, device -> run."""
    device: str = "cpu"
    text: str = ""
    recipe: Mapping[str, str] = field(default_factory=dict)
    """What stands in the recipe of the whole sweep, its axes too, by dotted keys; of unrelated runs nothing."""
    called: str = ""
    """What an analysis calls it; without that, it is called by its path."""
    _opened: dict[Place, Run] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.called or run_name(self.path)

    def __repr__(self) -> str:
        axes = " × ".join(f"{len(labels):,} {axis}" for axis, labels in self.along.items())
        there = f"{len(self):,} of {len(self.members):,} runs are there"
        return f"Sweep({self.name}: {axes or 'one run'}; {there}{', their results ship' if self.shipped else ''})"

    @property
    def axes(self) -> dict[str, list[Label]]:
        """The labels along each axis, in the recipe's order."""
        return {axis: list(labels) for axis, labels in self.along.items()}

    @functools.cached_property
    def _by_place(self) -> dict[Place, Member]:
        return {tuple(member.labels[axis] for axis in self.along): member for member in self.members}

    @functools.cached_property
    def _there(self) -> dict[Place, Member]:
        return {place: member for place, member in self._by_place.items() if member.has_checkpoints}

    @property
    def places(self) -> list[Place]:
        """Where there is a run with checkpoints: a label of each axis."""
        return list(self._there)

    def __len__(self) -> int:
        return len(self._there)

    def __iter__(self) -> Iterator[Run]:
        return (self.opened(place) for place in self._there)

    # Choosing.

    def sel(self, **labels: Any) -> Sweep:
        """The part of the sweep with these labels: one, which takes its axis away, a list of some, or a slice.

        Raises InterpError where there is no such axis or label.
        """
        return self._at({axis: self._places_of(axis, wanted) for axis, wanted in labels.items()})

    def isel(self, **places: Any) -> Sweep:
        """The part of the sweep at these places along axes: a number, a list of numbers, or a slice."""
        chosen: dict[str, int | list[int]] = {}
        for axis, wanted in places.items():
            numbers = range(len(self._along(axis)))
            try:
                chosen[axis] = (
                    list(numbers[wanted])
                    if isinstance(wanted, slice)
                    else [numbers[one] for one in wanted]
                    if isinstance(wanted, Sequence)
                    else numbers[wanted]
                )
            except (IndexError, TypeError):
                raise InterpError(f"{self.name}: {axis} has {len(numbers)} places; {wanted!r} is none") from None
        return self._at(chosen)

    def run(self, **labels: Any) -> Run:
        """The one run with these labels. Raises InterpError where there are several, or it was not trained."""
        chosen = self.sel(**labels)
        if len(chosen.members) != 1:
            left = {axis: len(along) for axis, along in chosen.along.items() if len(along) > 1}
            axes = ", ".join(f"{axis} ({count})" for axis, count in left.items())
            raise InterpError(f"{self.name}: {len(chosen.members):,} runs are meant; say also {axes}")
        (place,) = chosen._by_place
        return chosen.opened(place)

    def _along(self, axis: str) -> tuple[Label, ...]:
        if axis not in self.along:
            raise InterpError(f"{self.name} has no axis {axis!r}{near_misses(axis, self.along)}")
        return self.along[axis]

    def _places_of(self, axis: str, wanted: Any) -> int | list[int]:
        labels = self._along(axis)
        texts = [text_of(label) for label in labels]
        if isinstance(wanted, slice):
            ends = [None if end is None else self._place(axis, texts, end) for end in (wanted.start, wanted.stop)]
            return list(range(ends[0] or 0, (len(labels) - 1 if ends[1] is None else ends[1]) + 1))
        if isinstance(wanted, Sequence) and not isinstance(wanted, str):
            return [self._place(axis, texts, one) for one in wanted]
        return self._place(axis, texts, wanted)

    def _place(self, axis: str, texts: list[str], wanted: Any) -> int:
        text = text_of(label_of(wanted))
        if text not in texts:
            raise InterpError(f"{self.name}: {axis} has no {text}{near_misses(text, texts)}")
        return texts.index(text)

    def _at(self, chosen: Mapping[str, int | list[int]]) -> Sweep:
        kept = {axis: [self._along(axis)[place] for place in _listed(places)] for axis, places in chosen.items()}
        along = {
            axis: tuple(kept.get(axis, labels)) for axis, labels in self.along.items() if not _is_one(chosen.get(axis))
        }
        wanted = {axis: set(labels) for axis, labels in kept.items()}
        members = [one for one in self.members if all(one.labels[axis] in some for axis, some in wanted.items())]
        order = {axis: {label: place for place, label in enumerate(labels)} for axis, labels in along.items()}
        members.sort(key=lambda one: [places[one.labels[axis]] for axis, places in order.items()])
        found = dataclasses.replace(self, members=tuple(members), along=along, _opened={})
        if kept and not members:
            raise InterpError(f"{self.name} has no run at {dict(kept)}")
        return found

    # What results ask.

    def opened(self, place: Place) -> Run:
        """The run at a place, a label of each axis; opened once."""
        if place not in self._opened:
            member = self._by_place[place]
            if not member.there:
                raise InterpError(
                    f"{member.path} was not trained yet; train it with: "
                    + command_line("train", self.path, "--only", _written(member.labels))
                )
            self._opened[place] = self.opener(Source(member.path), self.device)
        return self._opened[place]

    def stamp(self, place: Place) -> str:
        """What changes whenever a file of the run does; "" of one that is read from elsewhere."""
        member = self._by_place[place]
        if member.steps is None:
            return ""
        state = [(str(file), *_state(file)) for file in (member.path / run_recipe.FILE, *member.stamped)]
        with os.scandir(member.path / WEIGHTS) as files:
            state += sorted((file.name, *_state(file)) for file in files if not file.name.startswith("."))
        return hashlib.blake2b(repr(state).encode(), digest_size=16).hexdigest()

    # Results that ship.

    @functools.cached_property
    def shipped(self) -> Shipped | None:
        """The results that stand in the place of its runs' weights, where none of those is there."""
        return None if self._there else self.beside

    @property
    def beside(self) -> Shipped | None:
        """The results that lie beside its recipe, read or not."""
        if not self.recipe:
            return None
        (first, *_) = self.members
        return shipped(self.path, self.recipe, {**first.labels, **self.axes})

    def trained(self, minutes: float) -> Trained:
        """What is to be known of its runs where their results travel; `minutes` is what training them takes.

        Raises InterpError where no run is there, or they have no recipe in common.
        """
        if not self.recipe or not self._there:
            raise InterpError(f"{self.path} has no runs of one recipe here whose results could ship; train them first")
        first = self.opened(self.places[0])
        found = {tuple(one.labels.values()): standing(one.path, one.steps or 0) for one in self._there.values()}
        ends = {labels: (one.step, one.end) for labels, one in found.items() if one}
        return Trained(self.recipe, described(first), ends, minutes)

    # Tables.

    def to_dataframe(self, results: xr.Dataset | xr.DataTree | None = None) -> pd.DataFrame:
        """One row a member: its labels, how far it is, and, of `results` over the sweep, the last values.

        `step` is the last that is kept, `end` says "finished", "diverged" (`step` is then that whose loss was not
        finite), "stopped", "unfinished" or "not begun". Of results, what `over_steps` gives for the sweep, each number
        at the last step that has one is a column; what has more axes than those of sweep and step is left out.
        """
        import pandas as pd

        rows = []
        for member in self.members:
            step, end = self._standing(member)
            rows.append({**member.labels, "member": member.path.name, "step": step, "end": end})
        frame = pd.DataFrame(rows).convert_dtypes()
        for name, values in _last_values(results, tuple(self.along)).items():
            frame[name] = [
                values.get(tuple(text_of(label_of(member.labels[axis])) for axis in self.along))
                for member in self.members
            ]
        return frame

    def _standing(self, member: Member) -> tuple[int | None, str]:
        """The last step of a member, and how it ended; of those whose results ship, as it was then."""
        if self.shipped:
            return self.shipped.trained.ends.get(tuple(member.labels.values()), (None, "not begun"))
        found = standing(member.path, member.steps or 0) if member.has_checkpoints else None
        if found is None:
            return None, "not begun"
        return found.step, found.end if member.steps is not None else ""

    def _repr_html_(self) -> str:
        """The table of its members, as a notebook shows it."""
        shown = dataclasses.replace(self, members=self.members[:MOST_ROWS], _opened={})
        table = shown.to_dataframe().to_html(index=False, border=0, na_rep="")
        more = len(self.members) - MOST_ROWS
        return f"<p>{html.escape(repr(self))}</p>{table}" + (f"<p>… and {more:,} more</p>" if more > 0 else "")


def _written(labels: Mapping[str, Label]) -> str:
    return ",".join(f"{axis}={text_of(label)}" for axis, label in labels.items())


def _is_one(places: int | list[int] | None) -> bool:
    return isinstance(places, int)


def _listed(places: int | list[int]) -> list[int]:
    return [places] if isinstance(places, int) else places


def _state(file: Path | os.DirEntry[str]) -> tuple[int, int]:
    state = file.stat()
    return state.st_size, state.st_mtime_ns


def _last_values(results: Any, axes: tuple[str, ...]) -> dict[str, dict[tuple[str, ...], Any]]:
    """Column -> label texts along the axes -> value, of what has no other axes than these and the step."""
    found: dict[str, dict[tuple[str, ...], Any]] = {}
    datasets: dict[str, Any] = {}
    if results is not None:
        children = getattr(results, "children", None)
        datasets = {f"{label} ": node for label, node in children.items()} if children else {"": results}
    for prefix, dataset in datasets.items():
        for name, array in dataset.data_vars.items():
            if not set(axes) <= set(array.dims) <= {*axes, "step"} or array.dtype.kind not in "fi":
                continue
            last = _last(array.transpose(*axes, ...).values, "step" in array.dims)
            found[f"{prefix}{name}"] = dict(zip(_product(array, axes), last.ravel().tolist(), strict=True))
    return found


def _last(values: np.ndarray, stepped: bool) -> np.ndarray:
    """[…, step] or […]: what stands at the last step that is not blank; NaN where all are."""
    numbers = np.where(values == -1, np.nan, values) if values.dtype.kind == "i" else values
    if not stepped:
        return numbers
    last = numbers.shape[-1] - 1 - np.isfinite(numbers[..., ::-1]).argmax(-1)
    return np.take_along_axis(numbers, last[..., None], -1)[..., 0]


def _product(array: Any, axes: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    labels = [[text_of(label_of(label)) for label in array[axis].values.tolist()] for axis in axes]
    return itertools.product(*labels)


def sweep_of_grid(grid: Grid, opener: Callable[[Source, str], Run], device: str, text: str) -> Sweep:
    """The sweep of a recipe with a grid."""
    with os.scandir(grid.path) as entries:
        there = {entry.name for entry in entries if not entry.name.startswith(".")}
    names = [axis.name for axis in grid.axes]
    stamped = _beside(grid)
    members = tuple(
        Member(
            dict(zip(names, member.labels, strict=True)),
            grid.path / member.folder,
            member.folder in there,
            steps_of(grid, member),
            stamped,
        )
        for member in grid.members
    )
    along = {axis.name: axis.labels for axis in grid.axes}
    recipe = told_recipe(grid.document.content) | {f"{GRID}.{axis.name}": _told_axis(axis) for axis in grid.axes}
    return Sweep(path=grid.path, members=members, along=along, opener=opener, device=device, text=text, recipe=recipe)


def _told_axis(axis: Axis) -> str:
    """Tell an axis of the grid: its labels and keys, or label and values where a label does not tell its value."""
    told = {text_of(label): own for label, own in zip(axis.labels, axis.settings, strict=True)}
    plain = all(text_of(label_of(value)) == label for label, own in told.items() for _, value in own)
    return f"{listed(told)} of {listed(axis.keys)}" if plain else str(told)


def _beside(grid: Grid) -> tuple[Path, ...]:
    """The files beside the recipe that any of its runs are made from."""
    ends = [grid.members[0], grid.members[-1]]
    files = {file for member in ends for file in run_recipe.files_beside(grid.recipe(member)).values()}
    return tuple(grid.path / os.path.expandvars(file) for file in sorted(files))


def sweep_of_folder(folder: Path, opener: Callable[[Source, str], Run], device: str) -> Sweep:
    """The runs in the folders below one, on axes of what differs between their recipes.

    Where these axes would leave most places empty, or do not tell all runs apart, there is one axis, `run`, of names.
    """
    contents = {path.parent: read_document(path).content for path in sorted(folder.glob(f"*/{run_recipe.FILE}"))}
    flat = {place: dict(leaves(content)) for place, content in contents.items() if GRID not in content}
    places = list(flat)
    differing = _differing(list(flat.values()))
    along = {
        name: tuple(
            sorted({label_of(one.get(key)) for one in flat.values()}, key=lambda label: (isinstance(label, str), label))
        )
        for name, key in differing.items()
    }
    told = {place: {name: label_of(one.get(key)) for name, key in differing.items()} for place, one in flat.items()}
    distinct = len({tuple(labels.items()) for labels in told.values()}) == len(places)
    size = math.prod(map(len, along.values()))
    if not differing or not distinct or size > 4 * len(places):
        along = {"run": tuple(place.name for place in places)}
        told = {place: {"run": place.name} for place in places}
    along = {axis: _one_kind(labels) for axis, labels in along.items()}
    as_written = {axis: {text_of(label): label for label in labels} for axis, labels in along.items()}
    members = [
        Member(
            {axis: as_written[axis][text_of(label)] for axis, label in told[place].items()},
            place,
            True,
            _steps(flat[place]),
        )
        for place in places
    ]
    order = {axis: {label: number for number, label in enumerate(labels)} for axis, labels in along.items()}
    members.sort(key=lambda one: [order[axis][label] for axis, label in one.labels.items()])
    return Sweep(path=folder, members=tuple(members), along=along, opener=opener, device=device)


def _steps(flat: Mapping[str, Any]) -> int | None:
    """The updates of a run that is trained here; None of one that others trained."""
    steps = flat.get("training.steps")
    return steps if isinstance(steps, int) else None


def _one_kind(labels: tuple[Label, ...]) -> tuple[Label, ...]:
    return tuple(map(text_of, labels)) if any(isinstance(label, str) for label in labels) else labels


def _differing(recipes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name of an axis -> the dotted key whose value differs; named by the last part, by more where two end alike."""
    keys = list(dict.fromkeys(key for recipe in recipes for key in recipe))
    differ = [key for key in keys if len({text_of(label_of(recipe.get(key))) for recipe in recipes}) > 1]
    last = [key.rpartition(".")[2] for key in differ]
    taken = ("step", "run", "member")
    return {
        name if last.count(name) == 1 and name not in taken else key.replace(".", "_"): key
        for name, key in zip(last, differ, strict=True)
    }
