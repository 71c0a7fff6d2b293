"""The parts of what a file held: what lies at a route of keys, and which tensors of it are a network's.

A network is a map from names to tensors; those that an optimiser keeps, and curves recorded in training, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from interp.contracts.imported import Arrays
from interp.errors import InterpError, shown
from interp.importers.shared.files_by_step.places import Route, listed
from interp.importers.shared.files_by_step.step_words import key_step

MAX_LEVELS = 4
SAVED_SO = "Weights are saved by torch.save(network.state_dict(), 'step_100.pt')"
"""What to do about a file without weights."""
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
OF_OPTIMISER = re.compile(r"(optim\w*|opt_states?|lr_scheduler)[./]")
"""What the names of an optimiser's tensors begin with, where its state lies flat beside the weights."""
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


def tensors(content: Any, route: Route, row: int | None = None) -> Arrays:
    """Return the network that lies there, by its names; flax's maps within maps as params/Dense_0/kernel.

    What wrappers put before every name ("module.", "model.") is left out, and what is recorded beside the weights.
    """
    flat = all_tensors(at(content, route))
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
        around = at(content, route[:depth])
        if isinstance(around, Mapping):
            network = all_tensors(around) if depth == len(route) else {}
            ours = {*network, *(re.split(r"[./]", name)[0] for name in network if name not in around)}
            inner = route[depth] if depth < len(route) else None
            found |= {
                str(key): value
                for key, value in around.items()
                if key != inner and key not in ours and not OTHER.search(str(key).lower())
            }
    return found


def at(content: Any, route: Route) -> Any:
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


def route_to(content: Any, entry: str, source: str) -> Route:
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
                content, rest = at(content, (part,)), ".".join(parts[n:])
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


def entry(route: Route) -> str:
    return ".".join(map(str, route))


def grouped(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
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


def may_hold(key: Any, part: Any) -> bool:
    """Whether networks may lie in a part under this key."""
    name = str(key).lower()
    return isinstance(part, Mapping | list | tuple) and not OTHER.search(name) and not SETTINGS.search(name)


def own_tensors(value: Mapping[Any, Any]) -> Arrays:
    """The tensors of a map by itself, without what is recorded in training and numbers by themselves."""
    arrays = {name: part for name, part in value.items() if isinstance(name, str) and isinstance(part, np.ndarray)}
    return {
        name: array
        for name, array in arrays.items()
        if array.dtype.kind in "fiubc"
        and name.rpartition(".")[2] not in NO_PARAMETERS
        and not OF_OPTIMISER.match(name)
        and not (array.ndim <= 1 and NEVER_TRAINED.search(name.lower()))
    }


def all_tensors(value: Any) -> Arrays:
    """The tensors of a map, and of the maps and lists within it, by their names joined."""
    if isinstance(value, Mapping):
        found = own_tensors(value)
        nested = {str(key): part for key, part in value.items() if may_hold(key, part)}
    elif isinstance(value, list | tuple) and not any(isinstance(part, np.ndarray) for part in value):
        found, nested = {}, {str(place): part for place, part in enumerate(value)}
    elif isinstance(value, tuple) and _is_layer(value):
        return {"kernel": value[0], "bias": value[1]}
    elif isinstance(value, tuple):
        return {str(place): part for place, part in enumerate(value) if isinstance(part, np.ndarray)}
    else:
        return {}
    for key, part in nested.items():
        inside = all_tensors(part)
        mark = (
            "." if any("." in name or (name in ("weight", "bias") and "weight" in inside) for name in inside) else "/"
        )
        found |= {f"{key}{mark}{name}": array for name, array in inside.items()}
    return found


def _is_layer(value: tuple[Any, ...]) -> bool:
    """Whether it is a layer as in JAX's own examples: a matrix [in, out] and a vector [out], applied as x @ W + b."""
    return (
        len(value) == 2
        and all(isinstance(part, np.ndarray) for part in value)
        and value[0].ndim == 2
        and value[1].shape == value[0].shape[1:]
    )


def shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _matrices(arrays: Arrays) -> list[np.ndarray]:
    return [array for array in arrays.values() if array.ndim > 1 and array.dtype.kind in "fc"]


def has_matrix(arrays: Arrays) -> bool:
    return bool(_matrices(arrays))


def is_network(arrays: Arrays) -> bool:
    return len(_matrices(arrays)) > 1 and not are_curves(arrays)


def are_curves(arrays: Arrays) -> bool:
    """Whether all are over one axis, the steps, and named as what is recorded."""
    lengths = {array.shape[:1] for array in arrays.values()}
    named = any(RECORD.search(name.lower()) for name in arrays)
    return len(lengths) == 1 and named and all(array.ndim <= MOST_CURVES for array in arrays.values())


def what_it_is(value: Any) -> str:
    """What a content without a network is, for a message."""
    found = dict(_named_numbers(value))
    if found:
        shown_ = listed(f"{name} {list(shape)}" for name, shape in found.items())
        return f"holds no weights: these look like curves ({shown_}). {SAVED_SO}"
    if isinstance(value, np.ndarray):
        one = f"holds one tensor, {list(value.shape)}; expected a state dict, names and tensors, or one under 'model'"
        return f"{one}. {SAVED_SO}"
    what = (
        f"a dictionary of {listed(map(repr, map(str, value)))}"
        if isinstance(value, Mapping)
        else f"a {type(value).__name__}"
    )
    return f"holds {what}; expected a state dict, names and tensors, or one under 'model'. {SAVED_SO}"


def _named_numbers(value: Any, name: str = "", level: int = 0) -> Iterator[tuple[str, tuple[int, ...]]]:
    if isinstance(value, np.ndarray) and value.ndim and name:
        yield name, value.shape
    elif isinstance(value, list | tuple) and value and name and all(isinstance(each, int | float) for each in value):
        yield name, (len(value),)
    elif isinstance(value, Mapping) and level < MAX_LEVELS:
        for key, part in value.items():
            if not OTHER.search(str(key).lower()):
                yield from _named_numbers(part, f"{name}.{key}" if name else str(key), level + 1)
