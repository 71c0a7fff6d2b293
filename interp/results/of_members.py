"""What measures say of the runs of a sweep, one number or word of each: what measures of `results` are called on.

Such a measure looks at no run, but at what the other measures of an analysis found: it costs nothing, and is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from interp.catalogue.names import find
from interp.errors import InterpError, NothingToSay, near_misses
from interp.recipes.asks import Ask
from interp.recipes.grid import Label, label_of, text_of
from interp.results import schema
from interp.results.account import Silent

OF_RESULTS = "results"
"""The first parameter of measures of this kind."""


@dataclass(frozen=True)
class OfMembers:
    """The axes of a sweep, and what measures found of its runs: `of("weight_decay")`, `of("outcome.loss_class")`.

    A field with one axis more has a number of each run at a place of it: `of("irrep_logits.trace_similarity[sign]")`.
    """

    axes: Mapping[str, Sequence[Label]]
    found: Mapping[str, xr.Dataset]
    """Label -> the result over the sweep, its axes in front."""
    silent: Mapping[str, str] = field(default_factory=dict)
    """Label -> why that measure has nothing to say of any run."""

    @property
    def names(self) -> list[str]:
        """Everything that each run has one of: the axes, and the fields of measures without other axes than steps."""
        return [*self.axes, *(f"{label}.{name}" for label, array in self._fields() for name in [array.name])]

    def _fields(self) -> Iterator[tuple[str, xr.DataArray]]:
        for label, result in self.found.items():
            for array in result.data_vars.values():
                if set(self.axes) <= set(array.dims) <= {*self.axes, "step"}:
                    yield label, array

    def of(self, name: str) -> xr.DataArray:
        """[axis of the sweep, …]: each run's label along an axis, or `measure.field` at the last step that has one.

        Numbers are floats, NaN where there is none; words are "" where there is none. Raises InterpError where no run
        has anything of that name, NothingToSay where its measure says nothing.
        """
        coords = {axis: list(labels) for axis, labels in self.axes.items()}
        if name in self.axes:
            labels = np.array(list(self.axes[name]))
            shape = [-1 if axis == name else 1 for axis in self.axes]
            values = np.broadcast_to(labels.reshape(shape), [len(one) for one in self.axes.values()])
            attributes = {"long_name": name.replace("_", " ")}
        else:
            label = name.partition("[")[0].rpartition(".")[0]
            if label in self.silent:
                raise NothingToSay(f"{label} has nothing to say: {self.silent[label]}")
            array = next((one for own, one in self._fields() if f"{own}.{one.name}" == name), None)
            array = self._at_a_place(name) if array is None else array
            if array is None:
                near = near_misses(name, self.names)
                raise InterpError(
                    f"{name!r} is neither an axis of the sweep nor measure.field, of a measure of the analysis, with "
                    f"one value a run or a step{near}"
                )
            values, attributes = at_the_end(array.transpose(*self.axes, ...)), dict(array.attrs)
            if array.dtype.kind == "b":
                values = np.where(_answered(self.found[label], tuple(self.axes)), values, np.nan)
        if values.dtype.kind not in "UO":
            values = values.astype(float)
        return xr.DataArray(values.copy(), coords, tuple(self.axes), name=name, attrs=attributes)

    def _at_a_place(self, name: str) -> xr.DataArray | None:
        """What "measure.field[label]" asks for; None where there is no such field with one axis more.

        Raises InterpError where the axis has no such label.
        """
        match = re.fullmatch(r"(.+)\.(\w+)\[(.+)\]", name)
        array = self.found[match[1]].get(match[2]) if match and match[1] in self.found else None
        if match is None or array is None:
            return None
        more = [str(dim) for dim in array.dims if dim not in (*self.axes, "step")]
        if len(more) != 1 or not set(self.axes) <= set(array.dims):
            return None
        if not array.sizes[more[0]]:  # nothing has been measured yet
            return xr.DataArray(np.full([len(one) for one in self.axes.values()], np.nan), dims=tuple(self.axes))
        texts = [text_of(label_of(one)) for one in array[more[0]].values.tolist()]
        if match[3] not in texts:
            raise InterpError(f"{match[1]}.{match[2]} has no {match[3]}{near_misses(match[3], texts)}")
        return array.isel({more[0]: texts.index(match[3])})

    def numbers(self, name: str) -> xr.DataArray:
        """Return what `of` returns, where that is numbers. Raises InterpError where they are words."""
        array = self.of(name)
        if array.dtype.kind in "UO":
            raise InterpError(f"{name} is a word of each run; expected a number")
        return array

    def members(self) -> list[str]:
        """Each run by its labels, in the order of the arrays: "weight_decay=0.1, seed=3"."""
        places = np.ndindex(*map(len, self.axes.values()))
        along = [(axis, list(labels)) for axis, labels in self.axes.items()]
        return [
            ", ".join(f"{axis}={text_of(labels[at])}" for (axis, labels), at in zip(along, place, strict=True))
            for place in places
        ]

    def where(self, at: Mapping[str, Any]) -> np.ndarray:
        """[axis of the sweep, …] Whether a run has these labels: one for each axis, or a list. Raises InterpError."""
        chosen = np.ones([len(labels) for labels in self.axes.values()], bool)
        for axis, wanted in at.items():
            if axis not in self.axes:
                raise InterpError(f"the sweep has no axis {axis!r}{near_misses(axis, self.axes)}")
            texts = [text_of(label_of(label)) for label in self.axes[axis]]
            some = [text_of(label_of(one)) for one in (wanted if isinstance(wanted, list) else [wanted])]
            for text in some:
                if text not in texts:
                    raise InterpError(f"{axis} has no {text}{near_misses(text, texts)}")
            shape = [-1 if each == axis else 1 for each in self.axes]
            chosen &= np.array([text in some for text in texts]).reshape(shape)
        return chosen


def at_the_end(array: xr.DataArray) -> np.ndarray:
    """[…] What stands at the last step that is not blank, of […, step]; NaN, or "", where all are."""
    values = array.values
    if values.dtype.kind == "i":
        values = np.where(values == -1, np.nan, values)
    if "step" not in array.dims:
        return values
    there = np.isfinite(values) if values.dtype.kind == "f" else values != ""
    last = values.shape[-1] - 1 - there[..., ::-1].argmax(-1)
    return np.take_along_axis(values, last[..., None], -1)[..., 0]


def _answered(result: xr.Dataset, axes: tuple[str, ...]) -> np.ndarray:
    """[axis, …] Whether the measure says anything else of a run, so that its truth values are told."""
    known = np.zeros([result.sizes[axis] for axis in axes], bool)
    for array in result.data_vars.values():
        if set(axes) <= set(array.dims) and array.dtype.kind in "fU":
            there = array.notnull() if array.dtype.kind == "f" else array != ""
            known |= there.any([dim for dim in array.dims if dim not in axes]).transpose(*axes).values
    return known


def is_of_results(ask: Ask) -> bool:
    """Whether a measure looks at what others found of the runs of a sweep."""
    return schema.subject(ask.measure) == OF_RESULTS


def check(asks: Sequence[Ask], *sweeps: Mapping[str, Sequence[Label]]) -> None:
    """Raises InterpError, before anything is measured, where a measure of results asks for what no run will have.

    Each sweep is given by its axes; what one of several has may be asked for.
    """
    for ask in filter(is_of_results, asks):
        refusals = []
        for axes in sweeps:
            blank = {
                one.label: _blank(one, axes) for one in asks if schema.subject(one.measure) in ("checkpoint", "run")
            }
            try:
                _answer(ask, OfMembers(axes, blank))
            except InterpError as refusal:
                refusals.append(refusal)
        if refusals and len(refusals) == len(sweeps):
            raise refusals[0]


def _blank(ask: Ask, axes: Mapping[str, Sequence[Label]]) -> xr.Dataset:
    """A result over a sweep of which nothing is known but what it will hold of every run."""
    schemas = [*schema.schemas_of(ask.measure).values(), *schema.schemas_joined(ask.measure)]
    shape = [len(labels) for labels in axes.values()]
    fields = [field for own in schemas for field in own.variables if len(field.axes) < 2]
    return xr.Dataset(
        {
            field.name: ((*axes, *field.axes), np.full([*shape, *(0 for _ in field.axes)], field.blank))
            for field in fields
        }
    )


def answers(
    asks: Sequence[Ask],
    found: Mapping[str, xr.Dataset | Silent],
    axes: Mapping[str, Sequence[Label]],
    among_others: bool = False,
) -> dict[str, xr.Dataset | Silent]:
    """What measures of results say, by label; `found` is what the others found of the runs of a sweep.

    `among_others`: the analysis is of several sweeps. What this one does not have another has, and a measure that
    asks for it is left out here.
    """
    silent = {label: one.reason for label, one in found.items() if isinstance(one, Silent)}
    of_members = OfMembers(axes, {label: one for label, one in found.items() if isinstance(one, xr.Dataset)}, silent)
    answered: dict[str, xr.Dataset | Silent] = {}
    for ask in filter(is_of_results, asks):
        try:
            answered[ask.label] = _answer(ask, of_members)
        except InterpError:
            if not among_others:
                raise
    return answered


def _answer(ask: Ask, results: OfMembers) -> xr.Dataset | Silent:
    try:
        record = find("measures", ask.measure)(results, **ask.options)
    except NothingToSay as reason:
        return Silent(ask.label, ask.measure, str(reason))
    except InterpError as error:
        raise InterpError(f"{ask.label}: {error}") from None
    own = schema.schema_of(type(record))
    values = schema.values(own, record, ask.measure)
    arrays = {field.name: (field.axes, values[field.name], field.attributes) for field in own.variables}
    labels = {field.name: (field.axes, values[field.name], field.attributes) for field in own.labels}
    return xr.Dataset(arrays, labels, {"measure": ask.measure})


def of_one_run(asks: Sequence[Ask]) -> dict[str, xr.Dataset | Silent]:
    """What measures of results say where there is one run."""
    reason = "it compares the runs of a sweep, and this is one run"
    return {ask.label: Silent(ask.label, ask.measure, reason) for ask in asks if is_of_results(ask)}
