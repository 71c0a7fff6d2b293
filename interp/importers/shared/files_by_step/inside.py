"""What one file holds: which parts of it are networks, and at which steps they were.

1. A network is a map from names to tensors, two of them matrices at least; flax's maps within maps are one too.
2. Several of equal shapes in a list or a map are checkpoints, where their steps are told: by the keys, by a list of as
   many numbers beside them, or by each of them. Where they are not told, they are asked for.
3. Of a network beside an average of it the one with a usual name is read, and the other told; where no name is usual,
   which one is asked for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interp.contracts.imported import Arrays
from interp.errors import InterpError, shown
from interp.importers.shared.files_by_step import contents, told_steps
from interp.importers.shared.files_by_step.places import Asked, NoWeights, Route, Unit, listed
from interp.importers.shared.files_by_step.proposals import option_line
from interp.importers.shared.files_by_step.step_words import EPOCH, STEP, key_step, unit_of

USUAL_KEYS = ("model", "state_dict", "model_state_dict", "net", "network", "params", "weights")
"""Under which the network that is trained lies, beside others."""


@dataclass(frozen=True)
class Inside:
    """The networks in one file."""

    routes: list[tuple[int | None, Route, int | None]]
    """Step, where in the content, and row of each; one of an unknown step where there is one network alone."""
    unit: Unit | None = None
    """What the steps of several count."""
    told: dict[str, int] = field(default_factory=dict)
    """What is said of the step of one, by "step" and "epoch"."""
    notes: tuple[str, ...] = ()

    @property
    def series(self) -> bool:
        """Whether these are checkpoints with steps of their own."""
        return self.routes[0][0] is not None


def look(content: Any, asked: Asked, source: str) -> Inside:
    """Find the networks in the content of a file, or in that part of it which `asked.entry` names.

    Raises NoWeights where there are none, and InterpError, with the line to add, where it is not told which of several
    is meant or at which steps they were.
    """
    route: Route = contents.route_to(content, asked.entry, source) if asked.entry else ()
    found = _Search(content, asked, source).at(route, 0)
    if found is None:
        raise NoWeights(f"{source} {contents.what_it_is(contents.at(content, route))}")
    if found.series or asked.at_steps is None:
        return found
    raise InterpError(f"{source}: it holds one network; leave out steps, which are those of several in one file")


class _Search:
    def __init__(self, content: Any, asked: Asked, source: str) -> None:
        self._content, self._asked, self._source = content, asked, source

    def at(self, route: Route, level: int) -> Inside | None:
        """The networks in this part of the content; None where there are none."""
        value = contents.at(self._content, route)
        if level > contents.MAX_LEVELS:
            return None
        if isinstance(value, list | tuple):
            return self._listed(route, value, level)
        if not isinstance(value, Mapping) or "param_groups" in value:
            return None
        value = contents.grouped(value)
        if (by_step := self._by_step(route, value, level)) is not None:
            return by_step
        return self._in_map(route, value, level)

    def _in_map(self, route: Route, value: Mapping[Any, Any], level: int) -> Inside | None:
        children = {key: part for key, part in value.items() if contents.may_hold(key, part)}
        inside: dict[Any, Inside] = {}
        flat = contents.own_tensors(value)
        for key in children:
            found = self.at((*route, key), level + 1)
            if found is not None:
                inside[key] = found
        series = {key: found for key, found in inside.items() if found.series}
        if series:
            return self._chosen_series(route, series, [key for key in inside if key not in series])
        if contents.is_network(flat):
            return self._flat(route, flat)
        networks = {key: found for key, found in inside.items() if contents.is_network(self._shapes_of(found))}
        if networks:
            return self._one_of(route, value, networks)
        tree = contents.all_tensors(value)
        if contents.has_matrix(tree) and not contents.are_curves(tree):
            return self._single(route)
        return next(iter(inside.values()), None)

    def _line(self, route: Route) -> str:
        """The line of a run.yaml that chooses this part, which is known to lead there."""
        entry = contents.entry(route)
        assert contents.route_to(self._content, entry, self._source) == route
        return option_line({"entry": entry})

    # One network.

    def _single(self, route: Route, notes: tuple[str, ...] = ()) -> Inside:
        return Inside([(None, route, None)], told=told_steps.told_step(self._content, route), notes=notes)

    def _flat(self, route: Route, flat: Arrays) -> Inside:
        """A state dict by itself: checkpoints on a first axis, two networks by what their names begin with, or one."""
        if (stacked := self._stacked(route, flat)) is not None:
            return stacked
        groups = _by_first_part(flat)
        if groups:
            return self._among(route, {key: self._single((*route, key)) for key in groups})
        return self._single(route)

    def _one_of(self, route: Route, value: Mapping[Any, Any], networks: dict[Any, Inside]) -> Inside:
        """The network among the parts of a map, some of which are networks by themselves."""
        known = next((key for key in USUAL_KEYS if key in networks), None)
        with_matrices = [
            key
            for key, part in value.items()
            if contents.may_hold(key, part) and contents.has_matrix(contents.all_tensors(part))
        ]
        if known is not None or len(with_matrices) == 1:
            return self._among(route, networks)
        shapes = {key: contents.shapes(self._shapes_of(found)) for key, found in networks.items()}
        if len(networks) == len(with_matrices) and len({frozenset(each.items()) for each in shapes.values()}) == 1:
            return self._among(route, networks)
        note = f"The parts {listed(with_matrices)} of {self._source} are read as one network."
        return self._single(route, (note,) if any("." in name for name in contents.all_tensors(value)) else ())

    def _among(self, route: Route, networks: dict[Any, Inside]) -> Inside:
        """The one with a usual name, or the only one. Raises InterpError where it is not told which."""
        known = next((key for key in USUAL_KEYS if key in networks), None)
        if known is None and len(networks) > 1:
            raise InterpError(self._which(route, networks))
        key = known if known is not None else next(iter(networks))
        ours = contents.shapes(self._shapes_of(networks[key]))
        others = [
            other for other in networks if other != key and contents.shapes(self._shapes_of(networks[other])) == ours
        ]
        note = (
            f"{self._source} holds {len(others) + 1} networks of the same shapes; {shown(key)} is read, and "
            f"{listed(others)} left out ({self._line((*route, others[0]))} reads that)."
            if others
            else ""
        )
        return Inside(
            networks[key].routes, networks[key].unit, networks[key].told, (*networks[key].notes, *_some(note))
        )

    def _which(self, route: Route, networks: dict[Any, Inside]) -> str:
        lines = [f"{self._source} holds {len(networks)} networks of the same shapes, and which is meant is not told"]
        for key, found in networks.items():
            shapes = contents.shapes(self._shapes_of(found))
            lines.append(f"  {shown(key)}: " + listed(f"{name} {list(shape)}" for name, shape in shapes.items()))
        lines.append("Say which in a run.yaml beside the files, one of")
        return "\n".join([*lines, *(f"  {self._line((*route, key))}" for key in networks)])

    def _shapes_of(self, found: Inside) -> Arrays:
        return contents.all_tensors(contents.at(self._content, found.routes[0][1]))

    # Several checkpoints.

    def _chosen_series(self, route: Route, series: dict[Any, Inside], singles: list[Any]) -> Inside:
        if len(series) > 1:
            usual = [key for key in series if not contents.AVERAGED.search(str(key).lower())]
            if len(usual) != 1:
                lines = [f"  {self._line((*route, key))}" for key in series]
                what = f"{self._source} holds {len(series)} runs, or series of checkpoints: {listed(series)}"
                raise InterpError("\n".join([f"{what}; each is opened by itself, by one of", *lines]))
            singles = [*singles, *(key for key in series if key != usual[0])]
            series = {usual[0]: series[usual[0]]}
        ((key, found),) = series.items()
        last = contents.tensors(self._content, *found.routes[-1][1:])
        left = [other for other in singles if not self._same((*route, other), last)]
        note = (
            f"Beside the checkpoints in {shown(key)} {self._source} holds {listed(left)}, which is left out: "
            f"its step is not told ({self._line((*route, left[0]))} reads it)."
            if left
            else ""
        )
        return Inside(found.routes, found.unit, notes=(*found.notes, *_some(note)))

    def _same(self, route: Route, other: Arrays) -> bool:
        try:
            found = contents.tensors(self._content, *self._search_one(route))
        except InterpError:
            return False
        return found.keys() == other.keys() and all(
            _known(found[name]) and np.array_equal(found[name], array) for name, array in other.items()
        )

    def _search_one(self, route: Route) -> tuple[Route, int | None]:
        found = self.at(route, 0)
        if found is None:
            raise NoWeights("none")
        return found.routes[-1][1:]

    def _elements(self, routes: list[Route], level: int) -> list[Inside] | None:
        """The one network in each of these parts, if each has one and their shapes are equal; else None."""
        found = []
        for route in routes:
            each = self.at(route, level + 1)
            if each is None or each.series or not contents.is_network(self._shapes_of(each)):
                return None
            found.append(each)
        shapes = {frozenset(contents.shapes(self._shapes_of(each)).items()) for each in found}
        return found if len(shapes) == 1 else None

    def _by_step(self, route: Route, value: Mapping[Any, Any], level: int) -> Inside | None:
        """Checkpoints by their steps: {0: …}, {"epoch_0": …}."""
        holding = [key for key, part in value.items() if contents.may_hold(key, part)]
        steps = {key: step for key in holding if (step := key_step(key)) is not None}
        if not steps or len(steps) < len(holding) or len(set(steps.values())) < len(steps):
            return None
        found = self._elements([(*route, key) for key in holding], level)
        if found is None:
            return None
        placed = sorted((steps[key], *each.routes[0][1:]) for key, each in zip(holding, found, strict=True))
        return Inside(list(placed), unit_of(str(holding[0])), notes=found[0].notes)

    def _listed(self, route: Route, value: list[Any] | tuple[Any, ...], level: int) -> Inside | None:
        """Checkpoints in a list, whose steps are told beside it, by each, or by the user."""
        if (paired := self._with_their_steps(route, value, level)) is not None:
            return paired
        if not value or not all(isinstance(part, Mapping) for part in value):
            return self._single(route) if contents.is_network(contents.all_tensors(value)) else None
        found = self._elements([(*route, place) for place in range(len(value))], level)
        if found is None:
            return self._single(route) if contents.is_network(contents.all_tensors(value)) else None
        steps, unit = self._steps_of(route, len(value), [each.told for each in found])
        routes = [(step, *each.routes[0][1:]) for step, each in zip(steps, found, strict=True)]
        return Inside(list(routes), unit, notes=found[0].notes)

    def _with_their_steps(self, route: Route, value: list[Any] | tuple[Any, ...], level: int) -> Inside | None:
        """Checkpoints in a list of tuples that begin with a step: [(0, …), (100, …)]; None of any other list."""
        if not value or not all(isinstance(part, list | tuple) and part for part in value):
            return None
        steps = [told_steps.whole_number(part[0]) for part in value]
        places = [
            [place for place, each in enumerate(part) if contents.has_matrix(contents.all_tensors(each))]
            for part in value
        ]
        known = [step for step in steps if step is not None]
        if len(known) < len(value) or not _ascend(known) or any(len(each) != 1 for each in places):
            return None
        found = self._elements([(*route, n, place) for n, (place,) in enumerate(places)], level + 1)
        if found is None:
            return None
        routes = [(step, *each.routes[0][1:]) for step, each in zip(known, found, strict=True)]
        return Inside(list(routes), unit_of(str(route[-1])) if route else "step", notes=found[0].notes)

    def _steps_of(
        self, route: Route, n: int, told: list[dict[str, int]], stacked: bool = False
    ) -> tuple[list[int], Unit]:
        """The steps of n checkpoints that lie one after another. Raises InterpError where they are not told."""
        if (said := self._asked.steps_of(n, self._source)) is not None:
            return said, "step"
        for unit in ("step", "epoch"):
            own = [each[unit] for each in told if unit in each]
            if len(own) == n and _ascend(own):
                return own, unit
        name = str(route[-1]) if route else ""
        beside = list(self._lists_beside(route if stacked else route[:-1], n))
        if beside:
            best = max(beside, key=lambda item: (unit_of(item[0]) == "step", _stem(item[0]) == _stem(name)))
            alike = [item for item in beside if _stem(item[0]) == _stem(name)]
            chosen = alike[0] if len(alike) == 1 else best
            return chosen[1], unit_of(chosen[0])
        where = f"under {shown(contents.entry(route))}" if route else "one after another"
        where += " on the first axis of every tensor" if stacked else ""
        settings = told_steps.saved_every(self._content, route, Path(self._source))
        said, every = (f"; {settings[0]} is {settings[1]:,} in its settings", settings[1]) if settings else ("", 100)
        raise InterpError(
            f"{self._source} holds {n:,} checkpoints {where}, and at which steps is not told{said}. Say it in a "
            f"run.yaml beside the files, as a list of {n:,} steps or as the first and how many lie between two"
            f"{', where the first was saved before any update' if settings else ', such as'}\n"
            f"  {option_line({'at_steps': {'start': 0, 'every': every}})}"
        )

    def _lists_beside(self, route: Route, n: int) -> Iterator[tuple[str, list[int]]]:
        """Every list of n ascending whole numbers whose name speaks of steps, from the nearest map outwards."""
        for depth in range(len(route), -1, -1):
            around = contents.at(self._content, route[:depth])
            found = []
            for key, part in around.items() if isinstance(around, Mapping) else ():
                if (STEP.search(str(key).lower()) or EPOCH.search(str(key).lower())) and not isinstance(part, Mapping):
                    numbers = told_steps.whole_numbers(part)
                    if len(numbers) == n and _ascend(numbers):
                        found.append((str(key), numbers))
            yield from found
            if found:
                return

    def _stacked(self, route: Route, flat: Arrays) -> Inside | None:
        """Checkpoints stacked on the first axis of every tensor, where that is told or unmistakable."""
        lengths = {array.shape[:1] for array in flat.values()}
        if len(lengths) != 1 or not any(array.ndim > contents.MOST_CURVES for array in flat.values()):
            return None
        (n,) = next(iter(lengths))
        unmistakable = len(flat) > 2 and all(array.ndim > 1 for array in flat.values())
        told = bool(list(self._lists_beside(route, n))) or self._asked.at_steps is not None
        if n < 2 or not (told or unmistakable):
            return None
        steps, unit = self._steps_of(route, n, [], stacked=True)
        return Inside([(step, route, row) for row, step in enumerate(steps)], unit)


def _by_first_part(flat: Arrays) -> dict[str, Arrays]:
    """Networks of equal shapes by what their names begin with, where that speaks of an average or a role; else none."""
    groups: dict[str, Arrays] = {}
    for name, array in flat.items():
        first, mark, rest = name.partition(".")
        if not mark and array.size == 1:
            continue  # a counter beside them
        if not mark:
            return {}
        groups.setdefault(first, {})[
            rest.removeprefix("module.") if contents.AVERAGED.search(first.lower()) else rest
        ] = array
    shapes = {
        frozenset((name, shape) for name, shape in contents.shapes(group).items() if shape) for group in groups.values()
    }
    spoken = any(contents.AVERAGED.search(first.lower()) for first in groups)
    return (
        groups
        if len(groups) > 1 and spoken and len(shapes) == 1 and contents.is_network(next(iter(groups.values())))
        else {}
    )


def _known(array: np.ndarray) -> bool:
    """Whether its numbers were read."""
    return array.size < 2 or any(array.strides)


def _stem(name: str) -> str:
    """What is left of a name without its word for steps, or for several: that of checkpoint_epochs is checkpoint."""
    return re.sub(r"_?(global_?)?(steps?|epochs?|iters?|iterations?|its?|updates?)$", "", name.lower()).rstrip("s")


def _ascend(numbers: list[int]) -> bool:
    return all(one < other for one, other in itertools.pairwise(numbers))


def _some(note: str) -> tuple[str, ...]:
    return (note,) if note else ()
