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
from typing import Any

import numpy as np

from interp.contracts.imported import STATE_DICT_KEYS, Arrays
from interp.errors import InterpError, shown
from interp.importers.shared.files_by_step.places import Asked, NoWeights, Route, Unit, listed
from interp.importers.shared.files_by_step.proposals import option_line
from interp.importers.shared.files_by_step.step_words import EPOCH, STEP, key_step, unit_of

MAX_LEVELS = 4
OTHER = re.compile(
    r"(^|_)(optim\w*|opt|opt_states?|sched\w*|lr_sched\w*|rng\w*|scaler|exp_avg\w*|grads?|mu|nu|m|v)(_|$)"
)
"""Keys under which an optimiser's state lies, not a network."""
SETTINGS = re.compile(
    r"(^|_)(config|cfg|args|hparams|hyper_?parameters|params_dict|settings|options|loops|callbacks)(_|$)"
)
AVERAGED = re.compile(
    r"(^|_)(ema|swa|avg|averaged?|polyak|shadow|teacher|student|target|online|momentum|slow|fast)(_|$)"
)
RECORD = re.compile(
    r"loss|accurac|metric|curve|history|perplex|error|freq|(^|[_./])(acc|ppl|lrs?|norms?|epochs?|steps?|iters?|its)($|[_./])"
)
"""Names of what is recorded in training, not trained."""
NEVER_TRAINED = re.compile(r"loss|accurac|curve|history|perplex|(^|[_./])(acc|ppl|epochs?|steps?|iters?|its)$")
"""Those among them that no vector of a network has."""
NO_PARAMETERS = {
    "n_averaged",
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
    "momentum_buffer",
    "square_avg",
    "acc_delta",
    "sum",
}
"""Last parts of the names of an average's count, and of what torch's optimisers keep."""
WRAPPERS = {"module", "_orig_mod", "model", "_model", "net", "_net", "network", "_forward_module"}
MOST_CURVES = 2
"""Axes of a curve: over steps, and of what was recorded."""


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
    route: Route = _route(content, asked.entry, source) if asked.entry else ()
    found = _Search(content, asked, source).at(route, 0)
    if found is None:
        raise NoWeights(f"{source} {_what_it_is(_at(content, route))}")
    if found.series or asked.at_steps is None:
        return found
    raise InterpError(f"{source}: it holds one network; leave out steps, which are those of several in one file")


def tensors(content: Any, route: Route, row: int | None = None) -> Arrays:
    """Return the network that lies there, by its names; flax's maps within maps as params/Dense_0/kernel.

    What wrappers put before every name ("module.", "model.") is left out, and what is recorded beside the weights.
    """
    flat = _network(_at(content, route))
    if route and route[-1] == "params" and any("/" in name for name in flat):
        flat = {f"params/{name}": array for name, array in flat.items()}
    while flat and len({name.split(".", 1)[0] for name in flat}) == 1 and all("." in name for name in flat):
        first = next(iter(flat)).split(".", 1)[0]
        if first not in WRAPPERS:
            break
        flat = {name.split(".", 1)[1]: array for name, array in flat.items()}
    return flat if row is None else {name: array[row] for name, array in flat.items()}


def numbers_beside(content: Any, route: Route) -> dict[str, Any]:
    """Return what lies beside the network: the entries of the maps around it that are no tensors of it."""
    found: dict[str, Any] = {}
    for depth in range(len(route) + 1):
        around = _at(content, route[:depth])
        if isinstance(around, Mapping):
            network = _network(around) if depth == len(route) else {}
            ours = {*network, *(re.split(r"[./]", name)[0] for name in network if name not in around)}
            inner = route[depth] if depth < len(route) else None
            found |= {
                str(key): value
                for key, value in around.items()
                if key != inner and key not in ours and not OTHER.search(str(key).lower())
            }
    return found


class _Search:
    def __init__(self, content: Any, asked: Asked, source: str) -> None:
        self._content, self._asked, self._source = content, asked, source

    def at(self, route: Route, level: int) -> Inside | None:
        """The networks in this part of the content; None where there are none."""
        value = _at(self._content, route)
        if level > MAX_LEVELS:
            return None
        if isinstance(value, list | tuple):
            return self._listed(route, value, level)
        if not isinstance(value, Mapping) or "param_groups" in value:
            return None
        value = _grouped(value)
        if (by_step := self._by_step(route, value, level)) is not None:
            return by_step
        return self._in_map(route, value, level)

    def _in_map(self, route: Route, value: Mapping[Any, Any], level: int) -> Inside | None:
        children = {key: part for key, part in value.items() if _may_hold(key, part)}
        inside: dict[Any, Inside] = {}
        flat = _flat(value)
        for key in children:
            found = self.at((*route, key), level + 1)
            if found is not None:
                inside[key] = found
        series = {key: found for key, found in inside.items() if found.series}
        if series:
            return self._chosen_series(route, series, [key for key in inside if key not in series])
        if _is_network(flat):
            return self._flat(route, flat)
        networks = {key: found for key, found in inside.items() if _is_network(self._shapes_of(found))}
        if networks:
            return self._one_of(route, value, networks)
        tree = _network(value)
        if _has_matrix(tree) and not _are_curves(tree):
            return self._single(route)
        return next(iter(inside.values()), None)

    def _line(self, route: Route) -> str:
        """The line of a run.yaml that chooses this part, which is known to lead there."""
        entry = _entry(route)
        assert _route(self._content, entry, self._source) == route
        return option_line({"entry": entry})

    # One network.

    def _single(self, route: Route, notes: tuple[str, ...] = ()) -> Inside:
        return Inside([(None, route, None)], told=told_step(self._content, route), notes=notes)

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
        known = next((key for key in STATE_DICT_KEYS if key in networks), None)
        with_matrices = [key for key, part in value.items() if _may_hold(key, part) and _has_matrix(_network(part))]
        if known is not None or len(with_matrices) == 1:
            return self._among(route, networks)
        shapes = {key: _shapes(self._shapes_of(found)) for key, found in networks.items()}
        if len(networks) == len(with_matrices) and len({frozenset(each.items()) for each in shapes.values()}) == 1:
            return self._among(route, networks)
        note = f"The parts {listed(with_matrices)} of {self._source} are read as one network."
        return self._single(route, (note,) if any("." in name for name in _network(value)) else ())

    def _among(self, route: Route, networks: dict[Any, Inside]) -> Inside:
        """The one with a usual name, or the only one. Raises InterpError where it is not told which."""
        known = next((key for key in STATE_DICT_KEYS if key in networks), None)
        if known is None and len(networks) > 1:
            raise InterpError(self._which(route, networks))
        key = known if known is not None else next(iter(networks))
        ours = _shapes(self._shapes_of(networks[key]))
        others = [other for other in networks if other != key and _shapes(self._shapes_of(networks[other])) == ours]
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
            shapes = _shapes(self._shapes_of(found))
            lines.append(f"  {shown(key)}: " + listed(f"{name} {list(shape)}" for name, shape in shapes.items()))
        lines.append("Say which in a run.yaml beside the files, one of")
        return "\n".join([*lines, *(f"  {self._line((*route, key))}" for key in networks)])

    def _shapes_of(self, found: Inside) -> Arrays:
        return _network(_at(self._content, found.routes[0][1]))

    # Several checkpoints.

    def _chosen_series(self, route: Route, series: dict[Any, Inside], singles: list[Any]) -> Inside:
        if len(series) > 1:
            usual = [key for key in series if not AVERAGED.search(str(key).lower())]
            if len(usual) != 1:
                lines = [f"  {self._line((*route, key))}" for key in series]
                what = f"{self._source} holds {len(series)} runs, or series of checkpoints: {listed(series)}"
                raise InterpError("\n".join([f"{what}; each is opened by itself, by one of", *lines]))
            singles = [*singles, *(key for key in series if key != usual[0])]
            series = {usual[0]: series[usual[0]]}
        ((key, found),) = series.items()
        last = tensors(self._content, *found.routes[-1][1:])
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
            found = tensors(self._content, *self._search_one(route))
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

    def _elements(self, route: Route, keys: list[Any], level: int) -> list[Inside] | None:
        """The one network in each of these parts, if each has one and their shapes are equal; else None."""
        found = []
        for key in keys:
            each = self.at((*route, key), level + 1)
            if each is None or each.series or not _is_network(self._shapes_of(each)):
                return None
            found.append(each)
        shapes = {frozenset(_shapes(self._shapes_of(each)).items()) for each in found}
        return found if len(shapes) == 1 else None

    def _by_step(self, route: Route, value: Mapping[Any, Any], level: int) -> Inside | None:
        """Checkpoints by their steps: {0: …}, {"epoch_0": …}."""
        holding = [key for key, part in value.items() if _may_hold(key, part)]
        steps = {key: step for key in holding if (step := key_step(key)) is not None}
        if not steps or len(steps) < len(holding) or len(set(steps.values())) < len(steps):
            return None
        found = self._elements(route, holding, level)
        if found is None:
            return None
        placed = sorted((steps[key], *each.routes[0][1:]) for key, each in zip(holding, found, strict=True))
        return Inside(list(placed), unit_of(str(holding[0])), notes=found[0].notes)

    def _listed(self, route: Route, value: list[Any] | tuple[Any, ...], level: int) -> Inside | None:
        """Checkpoints in a list, whose steps are told beside it, by each, or by the user."""
        if not value or not all(isinstance(part, Mapping) for part in value):
            return self._single(route) if _is_network(_network(value)) else None
        found = self._elements(route, list(range(len(value))), level)
        if found is None:
            return self._single(route) if _is_network(_network(value)) else None
        steps, unit = self._steps_of(route, len(value), [each.told for each in found])
        routes = [(step, *each.routes[0][1:]) for step, each in zip(steps, found, strict=True)]
        return Inside(list(routes), unit, notes=found[0].notes)

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
        where = f"under {shown(_entry(route))}" if route else "one after another"
        where += " on the first axis of every tensor" if stacked else ""
        raise InterpError(
            f"{self._source} holds {n:,} checkpoints {where}, and at which steps is not told; say it in a run.yaml "
            f"beside the files, as a list of {n:,} steps or as the first and how many lie between two, such as\n"
            f"  {option_line({'at_steps': {'start': 0, 'every': 100}})}"
        )

    def _lists_beside(self, route: Route, n: int) -> Iterator[tuple[str, list[int]]]:
        """Every list of n ascending whole numbers whose name speaks of steps, from the nearest map outwards."""
        for depth in range(len(route), -1, -1):
            around = _at(self._content, route[:depth])
            found = []
            for key, part in around.items() if isinstance(around, Mapping) else ():
                if (STEP.search(str(key).lower()) or EPOCH.search(str(key).lower())) and not isinstance(part, Mapping):
                    numbers = whole_numbers(part)
                    if len(numbers) == n and _ascend(numbers):
                        found.append((str(key), numbers))
            yield from found
            if found:
                return

    def _stacked(self, route: Route, flat: Arrays) -> Inside | None:
        """Checkpoints stacked on the first axis of every tensor, where that is told or unmistakable."""
        lengths = {array.shape[:1] for array in flat.values()}
        if len(lengths) != 1 or not any(array.ndim > MOST_CURVES for array in flat.values()):
            return None
        (n,) = next(iter(lengths))
        unmistakable = len(flat) > 2 and all(array.ndim > 1 for array in flat.values())
        told = bool(list(self._lists_beside(route, n))) or self._asked.at_steps is not None
        if n < 2 or not (told or unmistakable):
            return None
        steps, unit = self._steps_of(route, n, [], stacked=True)
        return Inside([(step, route, row) for row, step in enumerate(steps)], unit)


def told_step(content: Any, route: Route) -> dict[str, int]:
    """What the maps around a network, and a small one beside it, say of its step: by "step" and "epoch"."""
    found: dict[str, int] = {}
    for depth in range(len(route), -1, -1):
        around = _at(content, route[:depth])
        if not isinstance(around, Mapping):
            continue
        beside = [
            part
            for key, part in around.items()
            if isinstance(part, Mapping)
            and len(part) <= 64
            and key not in route
            and not SETTINGS.search(str(key).lower())
            and not OTHER.search(str(key).lower())
            and not _has_matrix(_network(part))
        ]
        for each in (around, *beside):
            found = _step_in(each) | found
    return found


def updates_made(content: Any, level: int = 0) -> int | None:
    """How many updates an optimiser whose state lies in the content has made; None where none says so."""
    if isinstance(content, list | tuple) and len(content) < 16:
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or level > MAX_LEVELS:
        return None
    state = content.get("state")
    if "param_groups" in content and isinstance(state, Mapping):
        steps = [whole_number(each.get("step")) for each in state.values() if isinstance(each, Mapping)]
        return max((step for step in steps if step is not None), default=None)
    within = (updates_made(part, level + 1) for part in content.values() if isinstance(part, Mapping | list | tuple))
    return next((step for step in within if step is not None), None)


INSIDE_STEP = (
    "global_step", "step", "train_step", "training_step", "current_step", "steps", "iteration", "iterations", "iter",
    "iters", "it", "its", "update", "updates", "num_updates", "n_updates", "step_num", "iter_num",
)  # fmt: skip
INSIDE_EPOCH = ("epoch", "current_epoch", "epochs", "epoch_num", "ep")


def _step_in(around: Mapping[Any, Any]) -> dict[str, int]:
    names = {str(key).lower(): value for key, value in around.items()}
    found = {}
    for unit, words in (("step", INSIDE_STEP), ("epoch", INSIDE_EPOCH)):
        numbers = [whole for word in words if (whole := whole_number(names.get(word))) is not None]
        if numbers:
            found[unit] = numbers[0]
    return found


def whole_number(value: Any) -> int | None:
    """A step, whatever number it is written as: 3, 3.0, an array that holds it; None of anything else."""
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iuf":
        value = value.reshape(-1)[0].item()
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != value // 1:
        return None
    return int(value) if value < 2**62 else None


def whole_numbers(value: Any) -> list[int]:
    """The steps in a list or an array of one axis; none where not all are."""
    values = (
        value.tolist() if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf" else value
    )
    if not isinstance(values, list | tuple):
        return []
    numbers = [whole_number(each) for each in values]
    return [each for each in numbers if each is not None] if None not in numbers else []


# Parts of a content.


def _at(content: Any, route: Route) -> Any:
    """The part of the content that lies there; a key may also be what names begin with."""
    for key in route:
        if isinstance(content, list | tuple):
            content = content[int(key)]
        elif isinstance(content, Mapping) and key in content:
            content = content[key]
        elif isinstance(content, Mapping):
            content = _beginning(content, str(key))
        else:
            return None
    return content


def _beginning(content: Mapping[Any, Any], start: str) -> dict[str, Any]:
    names = [str(name) for name in content if str(name).startswith((f"{start}.", f"{start}/"))]
    return {name[len(start) + 1 :]: content[name] for name in names}


def _route(content: Any, entry: str, source: str) -> Route:
    """The keys that "a.b" names, one of which may itself have a dot. Raises InterpError where they are not there."""
    found: list[str | int] = []
    rest = entry
    while rest:
        parts = rest.split(".")
        for n in range(len(parts), 0, -1):
            key = ".".join(parts[:n])
            part = _step_into(content, key)
            if part is not None:
                found.append(part)
                content, rest = _at(content, (part,)), ".".join(parts[n:])
                break
        else:
            there = (
                content
                if isinstance(content, Mapping)
                else range(len(content))
                if isinstance(content, list | tuple)
                else ()
            )
            within = f" within {'.'.join(map(str, found))}" if found else ""
            raise InterpError(f"{source} holds no {shown(entry)}: expected{within} one of {listed(there)}")
    return tuple(found)


def _step_into(content: Any, key: str) -> str | int | None:
    if isinstance(content, Mapping):
        own = next((each for each in content if str(each) == key), None)
        return own if own is not None else key if _beginning(content, key) else None
    return int(key) if isinstance(content, list | tuple) and key.isdigit() and int(key) < len(content) else None


def _entry(route: Route) -> str:
    return ".".join(map(str, route))


def _grouped(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Names such as step_100/W_E by their step: the names that begin so are a map of their own."""
    firsts = dict.fromkeys(_first(name) for name, part in value.items() if isinstance(part, np.ndarray) and part.ndim)
    if None in firsts or len(firsts) < 1 or any(key_step(first) is None for first in firsts):
        return value
    others = {name: part for name, part in value.items() if _first(name) not in firsts}
    return others | {first: _beginning(value, str(first)) for first in firsts}


def _first(name: Any) -> str | None:
    """What a name begins with, up to a slash, or, where that speaks of steps, up to a dot."""
    for mark in "/.":
        first, found, _ = str(name).partition(mark)
        if found and (mark == "/" or not first.isdigit()):
            return first
    return None


def _may_hold(key: Any, part: Any) -> bool:
    """Whether networks may lie in a part under this key."""
    name = str(key).lower()
    return isinstance(part, Mapping | list | tuple) and not OTHER.search(name) and not SETTINGS.search(name)


def _flat(value: Mapping[Any, Any]) -> Arrays:
    """The tensors of a map by itself, without what is recorded in training and numbers by themselves."""
    arrays = {name: part for name, part in value.items() if isinstance(name, str) and isinstance(part, np.ndarray)}
    return {
        name: array
        for name, array in arrays.items()
        if array.dtype.kind in "fiubc"
        and name.rpartition(".")[2] not in NO_PARAMETERS
        and not (array.ndim <= 1 and NEVER_TRAINED.search(name.lower()))
    }


def _network(value: Any) -> Arrays:
    """The tensors of a map, and of the maps and lists within it, by their names joined."""
    if isinstance(value, Mapping):
        found = _flat(value)
        nested = {str(key): part for key, part in value.items() if _may_hold(key, part)}
    elif isinstance(value, list | tuple) and not any(isinstance(part, np.ndarray) for part in value):
        found, nested = {}, {str(place): part for place, part in enumerate(value)}
    elif isinstance(value, tuple):
        return {str(place): part for place, part in enumerate(value) if isinstance(part, np.ndarray)}
    else:
        return {}
    for key, part in nested.items():
        inside = _network(part)
        mark = (
            "." if any("." in name or (name in ("weight", "bias") and "weight" in inside) for name in inside) else "/"
        )
        found |= {f"{key}{mark}{name}": array for name, array in inside.items()}
    return found


def _shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _matrices(arrays: Arrays) -> list[np.ndarray]:
    return [array for array in arrays.values() if array.ndim > 1 and array.dtype.kind in "fc"]


def _has_matrix(arrays: Arrays) -> bool:
    return bool(_matrices(arrays))


def _is_network(arrays: Arrays) -> bool:
    return len(_matrices(arrays)) > 1 and not _are_curves(arrays)


def _are_curves(arrays: Arrays) -> bool:
    """Whether all are over one axis, the steps, and named as what is recorded."""
    lengths = {array.shape[:1] for array in arrays.values()}
    named = any(RECORD.search(name.lower()) for name in arrays)
    return len(lengths) == 1 and named and all(array.ndim <= MOST_CURVES for array in arrays.values())


def _what_it_is(value: Any) -> str:
    """What a content without a network is, for a message."""
    found = dict(_named_numbers(value))
    if found:
        shown_ = listed(f"{name} {list(shape)}" for name, shape in found.items())
        return f"holds no weights: these look like curves ({shown_})"
    if isinstance(value, np.ndarray):
        return f"holds one tensor, {list(value.shape)}; expected a state dict, names and tensors, or one under 'model'"
    what = (
        f"a dictionary of {listed(map(repr, map(str, value)))}"
        if isinstance(value, Mapping)
        else f"a {type(value).__name__}"
    )
    return f"holds {what}; expected a state dict, names and tensors, or one under 'model'"


def _named_numbers(value: Any, name: str = "", level: int = 0) -> Iterator[tuple[str, tuple[int, ...]]]:
    if isinstance(value, np.ndarray) and value.ndim and name:
        yield name, value.shape
    elif isinstance(value, list | tuple) and value and name and all(isinstance(each, int | float) for each in value):
        yield name, (len(value),)
    elif isinstance(value, Mapping) and level < MAX_LEVELS:
        for key, part in value.items():
            if not OTHER.search(str(key).lower()):
                yield from _named_numbers(part, f"{name}.{key}" if name else str(key), level + 1)


def _by_first_part(flat: Arrays) -> dict[str, Arrays]:
    """Networks of equal shapes by what their names begin with, where that speaks of an average or a role; else none."""
    groups: dict[str, Arrays] = {}
    for name, array in flat.items():
        first, mark, rest = name.partition(".")
        if not mark:
            return {}
        groups.setdefault(first, {})[rest.removeprefix("module.") if AVERAGED.search(first.lower()) else rest] = array
    shapes = {frozenset((name, shape) for name, shape in _shapes(group).items() if shape) for group in groups.values()}
    spoken = any(AVERAGED.search(first.lower()) for first in groups)
    return (
        groups if len(groups) > 1 and spoken and len(shapes) == 1 and _is_network(next(iter(groups.values()))) else {}
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
