"""Small results that travel with a recipe, in the place of weights: `checkpoints/<sweep>/results/<measure>.nc`.

A file holds of one measure what figures draw, at 60 steps at most, compressed. What a measure says of a whole run is
that of all its steps, to the last bit. Along the steps floating-point numbers are rounded to 14 bits behind the leading
one, so that each is still written with the same four digits, as tables and figures do.

Beside the arrays stands what they were made from: measure and options, recipe, code, versions, how each run ended, and
what it takes to train them again. Nothing is computed from these files but what can be read in them.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr

from interp.catalogue.options import changed_options
from interp.errors import InterpError, command_line, shown
from interp.files.writing import writing
from interp.maths.four_digits import to_four_digits
from interp.recipes import step_choice
from interp.recipes.asks import Ask
from interp.recipes.step_choice import Steps
from interp.results import schema
from interp.results.account import NOTHING, STORED, Silent
from interp.results.code_notes import WORDS, answer_of_code, is_of_code
from interp.results.result_file import ABOUT, DIGEST, MOST_AT_ONCE, TEXTS, ResultFile, opened
from interp.results.rows import Key
from interp.summaries import listed

RESULTS = "results"
"""The folder of these files, beside the recipe."""
MOST_STEPS = 60
MOST_ENDS = 20
"""Where runs end at so many steps or fewer, all these steps are kept."""
MADE_FROM = "_made_from"
"""The variable that holds, as JSON in bytes, what the arrays were made from."""
THINNED = "thinned"
"""The attribute of a result that was read from such a file: how many of its steps are there."""
MOST_TOLD = 3

Label = int | float | str
Place = tuple[Label, ...]


@dataclass(frozen=True)
class Trained:
    """What is to be known of trained runs whose weights do not travel."""

    recipe: Mapping[str, str]
    """What stands in the recipe, axes too, by dotted keys."""
    described: tuple[tuple[str, str], ...]
    """Task and model in words, as a page tells them."""
    ends: Mapping[Place, tuple[int, str]]
    """By the labels of each run, () of a single one: its last step, and "finished", "diverged" or "stopped"."""
    minutes: float
    """Those of one processor that training them takes, as it was estimated where they were trained."""


@dataclass(frozen=True)
class MadeFrom:
    """What a file was made from."""

    call: str
    """The measure and its options."""
    trained: Trained
    code: Mapping[str, str]
    """Question -> answer of the code that the rows were computed with."""
    steps: tuple[int, int]
    """How many there are here, of how many; (1, 1) of what has none."""
    asked: Any
    """Which of the checkpoints the measure was computed at."""
    versions: Mapping[str, str]

    @property
    def is_earlier(self) -> bool:
        """Whether code that can change a number has changed since."""
        return any(answer_of_code(question) != answer for question, answer in self.code.items())

    def answers(self, ask: Ask) -> bool:
        """Whether it is of this measure with these options; one that it had not yet has to be as it is by itself."""
        measure, options = json.loads(self.call)
        own = json.loads(call(ask))[1]
        changed = changed_options("measures", ask.measure, ask.options)
        return measure == ask.measure and all(
            own[name] == options[name] if name in options else name not in changed for name in own
        )

    def packed(self) -> bytes:
        ends = [[list(place), *end] for place, end in self.trained.ends.items()]
        content = vars(self) | {"trained": vars(self.trained) | {"ends": ends}}
        return json.dumps(content, sort_keys=True).encode()

    @classmethod
    def unpacked(cls, text: bytes) -> MadeFrom:
        """Raises whatever comes of a text that is another."""
        content = json.loads(text)
        told = content["trained"]
        ends = {tuple(place): (int(step), str(end)) for place, step, end in told["ends"]}
        described = tuple((str(strong), str(rest)) for strong, rest in told["described"])
        trained = Trained(dict(told["recipe"]), described, ends, float(told["minutes"]))
        return cls(**content | {"trained": trained, "steps": tuple(content["steps"])})


# Writing.


def ship(kept: Path, ask: Ask, trained: Trained, steps: Steps, axes: Sequence[str]) -> tuple[xr.Dataset, MadeFrom]:
    """What travels of the result of `ask` in the folder `kept`, which was computed at `steps`; `axes` are a sweep's.

    Raises InterpError where there is no such result.
    """
    file = kept / f"{ask.label}.nc"
    if not file.is_file():
        raise InterpError(f"{file} is not there: of runs whose labels or sizes differ there is no result to ship")
    with contextlib.closing(ResultFile(file, schema.schemas_of(ask.measure))) as rows:
        about = rows.about
    code = {
        question: answer
        for reads, _ in about.values()
        for question, answer in reads.items()
        if is_of_code(question) and not question.startswith(WORDS)
    }
    with opened(file) as result:
        if all(reason is not None for _, reason in about.values()):
            reasons = dict.fromkeys(str(reason) for _, reason in about.values())
            small, count = xr.Dataset(attrs={"measure": ask.measure, NOTHING: "; ".join(reasons)}), 1
        else:
            count = result.sizes.get("step", 1)
            small = _drawn(result, tuple(axes))
            small = (_thinned(small, about) if schema.subject(ask.measure) == "checkpoint" else small).load()
    small.attrs.pop(TEXTS, None)
    for array in small.variables.values():
        array.attrs.pop(DIGEST, None)  # of the file that it was read from
    versions = {name: version(name) for name in ("interp", "torch", "numpy")} | {"python": platform.python_version()}
    spec = ask.steps if ask.steps is not None else steps
    return small, MadeFrom(call(ask), trained, code, (small.sizes.get("step", 1), count), spec, versions)


def says_anything(small: xr.Dataset) -> bool:
    """Whether something is left to travel: an array, or the reason for which there is none."""
    return bool(small.data_vars) or NOTHING in small.attrs


def call(ask: Ask) -> str:
    """The measure and its options."""
    return json.dumps([ask.measure, ask.options], sort_keys=True, default=str)


def _drawn(result: xr.Dataset, axes: tuple[str, ...]) -> xr.Dataset:
    """What is drawn or counted: of a sweep one number or word a run, or a run and step; of one run everything."""
    if not axes or "run" in result.dims:
        return result
    return result[
        [
            name
            for name, array in result.data_vars.items()
            if array.dims in (axes, (*axes, "step")) and array.dtype.kind in "fibUO"
        ]
    ]


def _thinned(result: xr.Dataset, keys: Iterable[Key]) -> xr.Dataset:
    """At 60 steps at most, along which numbers are rounded; `keys` are the places of all rows, the step last."""
    lasts: dict[Key, int] = {}
    for *run, step in keys:
        lasts[tuple(run)] = max(int(step), lasts.get(tuple(run), 0))
    kept = kept_steps(result.step.values.tolist(), set(lasts.values()))
    small = result.sel(step=kept)
    rounded = {
        name: array.copy(data=to_four_digits(array.values))
        for name, array in small.data_vars.items()
        if "step" in array.dims and array.dtype.kind == "f"
    }
    return small.assign(rounded)


def kept_steps(steps: Sequence[int], ends: Collection[int] = ()) -> list[int]:
    """At most 60 of the steps (ascending), as evenly spaced as those allow; the first and the last among them.

    So are the steps at which runs end, `ends`, where they are few.
    """
    wanted = {steps[0], steps[-1], *(ends if len(ends) <= MOST_ENDS else ())}
    if len(steps) <= MOST_STEPS:
        return list(steps)
    apart = (steps[-1] - steps[0]) / (MOST_STEPS - len(wanted) + 1)
    kept, last = set(wanted), steps[0]
    for step in steps:
        if step - last >= apart:
            kept.add(step)
            last = step
    return sorted(kept)


def joined(
    small: xr.Dataset, made_from: MadeFrom, before: Shipped | None, ask: Ask, axes: Sequence[str]
) -> tuple[xr.Dataset, MadeFrom, str]:
    """What `ship` gives, with what shipped before in the places of a sweep's runs that are not there now.

    So a sweep can be trained in parts, one after another or on several machines, each of which ships what it has. In
    the end stands what was left out, and why: runs of which something ships that was made from other code or options,
    or that has other labels or steps, for their numbers do not stand beside those of the runs that are there.
    """
    kept = before.kept(ask) if before and axes else None
    if kept is None:
        return small, made_from, ""
    earlier, told = kept
    ends = {place: end for place, end in told.trained.ends.items() if place not in made_from.trained.ends}
    if not ends:
        return small, made_from, ""
    left_out = f"of {len(ends):,} run{'s' * (len(ends) > 1)} whose weights are not here what shipped before is left out"
    if (told.call, told.code, told.steps, told.asked) != (
        made_from.call,
        made_from.code,
        made_from.steps,
        made_from.asked,
    ):
        return small, made_from, f"{left_out}, for other code or options made it"
    if _kinds(earlier) != _kinds(small) or any(not _alike(earlier[axis], small[axis]) for axis in small.coords):
        return small, made_from, f"{left_out}, for its labels or steps are others"
    places = itertools.product(*(small[axis].values.tolist() for axis in axes))
    now = np.array([place in made_from.trained.ends for place in places])
    here = xr.DataArray(now.reshape([small.sizes[axis] for axis in axes]), dims=tuple(axes))
    both = {
        name: xr.where(here, array, _as_read(earlier[name]), keep_attrs=True).transpose(*array.dims)
        for name, array in small.data_vars.items()
    }
    trained = replace(made_from.trained, ends={**made_from.trained.ends, **ends})
    return small.assign(both), replace(made_from, trained=trained), ""


def _as_read(array: xr.DataArray) -> xr.DataArray:
    """Texts come from a file as objects."""
    return array.astype(str) if array.dtype.kind in "OS" else array


def _alike(one: xr.DataArray, other: xr.DataArray) -> bool:
    return np.array_equal(_as_read(one).values, _as_read(other).values)


def _kinds(dataset: xr.Dataset) -> dict[Any, str]:
    return {name: _as_read(array).dtype.kind for name, array in dataset.data_vars.items()}


def write(file: Path, result: xr.Dataset, made_from: MadeFrom) -> None:
    """Write a file to travel; for the same numbers it is the same, byte for byte."""
    text = np.frombuffer(made_from.packed(), np.uint8)
    whole = result.assign({MADE_FROM: ((f"{MADE_FROM}_byte",), text)})
    encoding = {name: _encoding(variable) for name, variable in whole.variables.items()}
    content = bytes(whole.drop_encoding().to_netcdf(engine="h5netcdf", encoding=encoding))
    with writing(file) as temporary:
        temporary.write_bytes(content)


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    """Compressed, with a checksum; texts as characters, for nothing else of them can be compressed."""
    own: dict[str, Any] = {"dtype": "S1"} if variable.dtype.kind in "UO" else {}
    if variable.dtype.kind == "f":
        own["_FillValue"] = None
    if variable.ndim and variable.size:
        own |= {"zlib": True, "complevel": 9, "shuffle": True, "fletcher32": True}
        if own.get("dtype") != "S1" and variable.nbytes <= MOST_AT_ONCE:
            own["chunksizes"] = variable.shape
    return own


# Reading.


class Shipped:
    """The results in the folder `results` of a run or sweep whose weights are not there."""

    def __init__(self, folder: Path, recipe: Mapping[str, str], chosen: Mapping[str, list[Label] | Label]) -> None:
        """`folder` is that of the run; `recipe` what its recipe says now; `chosen` are labels of a sweep's axes:
        some along each that is left, the one on each that a choice took away."""
        self.folder, self.recipe, self.chosen = folder, recipe, dict(chosen)

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / RESULTS).glob("*.nc"))

    def result(self, ask: Ask, steps: Steps) -> xr.Dataset | Silent:
        """What is there of a measure, at those of the steps asked for that are; its reason where it has no answer.

        Raises InterpError where it was made from another recipe, or cannot be read.
        """
        file = self._file_of(ask)
        if file is None:
            there = listed([f"`{each.stem}`" for each in self.files])
            return Silent(
                ask.label, ask.measure, f"the results that ship are those of {there}, with their options; {self.again}"
            )
        made_from = self._made_from[file]
        result = self._read(file)
        if NOTHING in result.attrs and not result.data_vars:
            return Silent(ask.label, ask.measure, str(result.attrs[NOTHING]))
        along = {axis: labels for axis, labels in self.chosen.items() if axis in result.dims}
        result = result.sel(along, drop=True)
        if "step" in result.dims:
            spec = ask.steps if ask.steps is not None else steps
            asked = "all" if spec == made_from.asked else spec
            kept = step_choice.choose(asked, result.step.values.tolist(), f"{self.folder / RESULTS}")
            result = result.sel(step=kept)
            here, of = made_from.steps
            if here < of:
                result.attrs |= {THINNED: f"{here:,} of {of:,} steps ship", STORED: "all steps"}
        return result

    def kept(self, ask: Ask) -> tuple[xr.Dataset, MadeFrom] | None:
        """All that is there of a measure with these options; None where nothing is, or of another recipe."""
        try:
            file = self._file_of(ask)
            return None if file is None else (self._read(file), self._made_from[file])
        except InterpError:
            return None

    def has(self, ask: Ask) -> bool:
        """Whether a measure with these options is among them."""
        return self._file_of(ask) is not None

    @property
    def trained(self) -> Trained:
        """What is known of the training, the same in every file. Raises InterpError as `result` does."""
        (first, *_) = self._made_from.values()
        return first.trained

    @property
    def again(self) -> str:
        """What trains the runs anew, and how long that takes."""
        minutes = max(1, round(self.trained.minutes))
        return f"`--again` trains anew (about {minutes:,} minute{'s' * (minutes > 1)})"

    def remarks(self, asks: Iterable[Ask]) -> list[str]:
        """What is to be said of where these measures come from: that they ship, and which an earlier version made."""
        files = {ask.label: self._file_of(ask) for ask in asks}
        there = {label: self._made_from[file] for label, file in files.items() if file}
        if not there:
            return []
        (one, *_) = there.values()
        made_with = f"interp {one.versions.get('interp')}, torch {one.versions.get('torch')}"
        said = [f"From the results that ship with its recipe (made with {made_with}); its weights are not here."]
        earlier = [f"`{label}`" for label, made_from in there.items() if made_from.is_earlier]
        if earlier:
            said.append(f"{listed(earlier)}: made by an earlier version; {self.again}.")
        return said

    def _file_of(self, ask: Ask) -> Path | None:
        """The file of a measure with these options, under the same label or another."""
        alike = [file for file, made_from in self._made_from.items() if made_from.answers(ask)]
        return next((file for file in alike if file.stem == ask.label), alike[0] if alike else None)

    @functools.cached_property
    def _made_from(self) -> dict[Path, MadeFrom]:
        """What each file was made from, held against the recipe."""
        found = {file: self._told_by(file) for file in self.files}
        for file, made_from in found.items():
            then, now = made_from.trained.recipe, self.recipe
            keys = [key for key in dict.fromkeys([*now, *then]) if now.get(key) != then.get(key)]
            if keys:
                told = [f"{key} was {then.get(key, 'not said')} and is {now.get(key, 'not said')}" for key in keys]
                more = f", and {len(told) - MOST_TOLD} keys more" if len(told) > MOST_TOLD else ""
                raise InterpError(
                    f"{file} was made from another recipe: {'; '.join(told[:MOST_TOLD])}{more}; put it back, "
                    f"remove the file, or train: {command_line('train', self.folder)}"
                )
        return found

    def _told_by(self, file: Path) -> MadeFrom:
        with self._reading(file), h5netcdf.File(file, "r") as content:
            return MadeFrom.unpacked(bytes(content.variables[MADE_FROM][...]))

    def _read(self, file: Path) -> xr.Dataset:
        with self._reading(file):
            dataset = xr.open_dataset(
                file, engine="h5netcdf", drop_variables=[MADE_FROM, ABOUT], decode_timedelta=False
            )
            with dataset:
                return dataset.load()

    @contextlib.contextmanager
    def _reading(self, file: Path) -> Any:
        try:
            yield
        except Exception as error:  # damaged HDF5 can raise anything
            raise InterpError(
                f"{file} is damaged ({shown(error)}); restore it from where it came, or train: "
                f"{command_line('train', self.folder)}"
            ) from error


def shipped(folder: Path, recipe: Mapping[str, str], chosen: Mapping[str, list[Label] | Label]) -> Shipped | None:
    """The results that ship in a folder, as for `Shipped`; None where there are none."""
    found = Shipped(folder, recipe, chosen)
    return found if found.files else None
