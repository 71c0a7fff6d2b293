"""What lies beside somebody's weights: the configuration they were trained with, and the curves that were recorded.

1. In the weight files themselves: a configuration, lists over training, and numbers beside each checkpoint.
2. In files beside them: JSON, YAML, CSV (Lightning's metrics.csv, the Trainer's trainer_state.json), arrays; they are
   called as records are, or as the weights themselves. Numbers there are of the only checkpoint, where there is one.

Names are made alike: train_losses, training_loss and loss/train are train_loss; val_acc is test_accuracy where nothing
else is; an accuracy in percent is a share. What cannot be read says nothing.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interp.errors import InterpError
from interp.files import foreign
from interp.importers.shared.files_by_step import Asked, Found, NoWeights, find
from interp.importers.shared.files_by_step.contents import OTHER, RECORD, numbers_beside
from interp.importers.shared.files_by_step.inside import look
from interp.importers.shared.files_by_step.names import SUFFIXES
from interp.importers.shared.files_by_step.step_words import EPOCH, STEP
from interp.importers.shared.files_by_step.told_steps import whole_number, whole_numbers
from interp.recipes.document import parse_value

CONFIGS = re.compile(r"config|cfg|args|hparams|hyper_?param(eter)?s|settings|options|kwargs")
CONFIG_FILES = re.compile(
    r"(config|cfg|args|hparams|hyper_?param(eter)?s|settings|params|options|metadata)\w*\.(json|ya?ml)"
)
NOT_OURS = {"run.yaml", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
STEPS = ("global_step", "step", "steps", "iteration", "iter", "its", "update", "epoch", "epochs", "_step")
WITHIN = {"checkpoints", "checkpoint", "ckpts", "ckpt", "weights", "models", "saved_models", "snapshots"}
"""Folders of weights, in whose parent the records lie."""
RECORD_FILES = re.compile(
    r"loss|acc|metric|curve|histor|log|record|result|stat|progress|perplex|norm|training_args|trainer_state"
)
LARGEST = 2**22
"""Bytes of a list over training that is read where the weights lie in a file or two."""
MAX_BYTES = 64 * 2**20
MAX_LEVELS = 4
SPLITS = {"train": "train", "training": "train", "tr": "train", "test": "test", "heldout": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "eval", "dev"), "val"
)
QUANTITIES = {"loss": "loss", "losses": "loss", "nll": "loss"} | dict.fromkeys(
    ("acc", "accs", "accuracy", "accuracies"), "accuracy"
)
FILLING = {
    "epoch",
    "step",
    "mean",
    "avg",
    "average",
    "per",
    "history",
    "curve",
    "list",
    "log",
    "logs",
    "values",
    "all",
    "s",
    "final",
    "last",
}

Curves = dict[str, dict[int, float]]


@dataclass(frozen=True)
class Recorded:
    """What was recorded of a training beside its weights."""

    config: dict[str, Any]
    """The settings, by their own names; one within another both as "model.d_model" and, where nothing else is called
    so, as "d_model"."""
    curves: Curves
    """Name -> step -> value. The steps are counted as the records count them."""

    def at(self, name: str, step: int) -> float | None:
        """The value of a curve at a step; None where none was recorded there."""
        return self.curves.get(name, {}).get(step)


def records_beside(path: Path, asked: Asked | None = None, found: Found | None = None) -> Recorded:
    """Return what lies beside the weights at `path`, a file or a folder; its checkpoints may be given as `found`.

    Raises InterpError where there are no checkpoints.
    """
    found = found or find(path, asked)
    gathered = _Gathered(sorted(found.places))
    weights = dict.fromkeys(place.path for place in found.places.values())
    gathered.largest = LARGEST if len(weights) < 3 else foreign.SMALL
    for file in weights:
        gathered.weight_file(file, {step: place.route for step, place in found.places.items() if place.path == file})
    for file in _beside(path, weights):
        if file not in weights:
            gathered.file(file)
    return Recorded(gathered.config(), gathered.named_curves())


def _beside(path: Path, weights: Iterable[Path]) -> Iterator[Path]:
    """The files that may be records: in the folder, in those of the weights, and between the two."""
    top = path if path.is_dir() else path.parent
    folders = {top}
    for file in weights:
        folders |= {parent for parent in file.parents if parent == top or top in parent.parents}
    if top.name.lower() in WITHIN:
        folders.add(top.parent)
    suffixes = (".json", ".jsonl", ".csv", ".yaml", ".yml", *SUFFIXES)
    stems = {file.stem.lower() for file in top.iterdir() if file.suffix.lower() in SUFFIXES and path.is_file()}
    stems = {stem for stem in stems if not RECORD_FILES.search(stem)}
    own = {file.stem.lower() for file in weights}
    for folder in sorted(folders):
        for file in sorted(folder.iterdir()):
            name = file.name.lower()
            named = CONFIG_FILES.fullmatch(name) or RECORD_FILES.search(name) or file.stem.lower() in own
            others = [stem for stem in stems if stem in name and stem not in own]
            told = named and file.suffix.lower() in suffixes and name not in NOT_OURS and not others
            if told and file.is_file() and file.stat().st_size <= MAX_BYTES:
                yield file


class _Gathered:
    def __init__(self, steps: list[int]) -> None:
        self._steps = steps
        self.largest = foreign.SMALL
        self._curves: dict[str, dict[int, float]] = defaultdict(dict)
        self._configs: list[Mapping[Any, Any]] = []

    def config(self) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        short: dict[str, Any] = {}
        for each in self._configs:
            for name, value in _flattened(each):
                flat.setdefault(name, value)
                short.setdefault(name.rpartition(".")[2], value)
        return short | flat

    def named_curves(self) -> Curves:
        """The curves by names made alike; of two of one name the longer has it."""
        alike: dict[str, list[str]] = defaultdict(list)
        for name in self._curves:
            alike[_alike(name)].append(name)
        found: Curves = {}
        for name, names in alike.items():
            if name.startswith("val_"):
                name = name if f"test_{name[4:]}" in alike else f"test_{name[4:]}"
            first, *others = sorted(names, key=lambda each: -len(self._curves[each]))
            found[name] = _shares(name, self._curves[first])
            for other in others:
                if self._curves[other] != self._curves[first]:
                    found.setdefault(other, _shares(name, self._curves[other]))
        return {name: dict(sorted(curve.items())) for name, curve in found.items()}

    # Where they come from.

    def weight_file(self, file: Path, routes: Mapping[int, tuple[Any, ...]]) -> None:
        """What a weight file holds beside each of its checkpoints, told without reading its weights."""
        try:
            content = foreign.outline(file, self.largest)
        except InterpError:
            return
        for step, route in routes.items():
            around = numbers_beside(content, route)
            self._settings(around)
            self._content({key: value for key, value in around.items() if not CONFIGS.fullmatch(key.lower())}, step)
            if len(routes) > 1 and not any(isinstance(value, int | float) for value in around.values()):
                break  # all of them have the same around them
        if foreign.is_safetensors(file):
            metadata = dict(foreign.TensorsOneByOne(file).metadata)
            self._configs.append({key: _plain(value) for key, value in metadata.items() if key != "format"})

    def file(self, file: Path) -> None:
        """What a file beside the weights records."""
        name = file.name.lower()
        content = _content(file)
        if CONFIG_FILES.fullmatch(name) and isinstance(content, Mapping):
            self._configs.append(content)
        elif name == "trainer_state.json" and isinstance(content, Mapping):
            rows = content.get("log_history")
            renamed = [
                {("train_loss" if key == "loss" else key): value for key, value in row.items()}
                for row in (rows if isinstance(rows, list) else [])
                if isinstance(row, Mapping)
            ]
            self._rows("", renamed)
        elif isinstance(content, Mapping):
            self._settings(content)
            self._content(content, self._only_step(content))
        elif isinstance(content, list) and all(isinstance(row, Mapping) for row in content):
            self._rows("", content)
        elif (numbers := _numbers(content)) is not None:
            self._list(file.stem, numbers, {file.stem: content}, None)

    def _only_step(self, content: Mapping[Any, Any]) -> int | None:
        """The step of numbers in a file beside the weights: that of the only checkpoint, or the one that it tells.

        None where there are several checkpoints, or where the file has numbers of one name twice, of several runs.
        """
        names = list(_names_of_numbers(content))
        if len(self._steps) != 1 or len(names) > len(set(names)):
            return None
        told = (whole_number(_plain(content.get(key))) for key in STEPS)
        return next((step for step in told if step is not None), self._steps[0])

    # What they are.

    def _settings(self, content: Mapping[Any, Any]) -> None:
        for key, value in content.items():
            if CONFIGS.fullmatch(str(key).lower()) and isinstance(value, Mapping):
                self._configs.append(value)
        own = {
            key: value
            for key, value in content.items()
            if isinstance(value, str | bool | int | float)
            and not _is_quantity(str(key))
            and str(key).lower() not in STEPS
        }
        self._configs.append(own)

    def _content(self, content: Mapping[Any, Any], step: int | None, level: int = 0) -> None:
        for key, value in content.items():
            name = str(key)
            if CONFIGS.fullmatch(name.lower()) or OTHER.search(name.lower()):
                continue
            if isinstance(value, Mapping) and value and all(whole_number(_plain(each)) is not None for each in value):
                for each, one in value.items():
                    at, number = whole_number(_plain(each)), _number(one)
                    if at is not None and number is not None:
                        self._curves[name][at] = number
            elif isinstance(value, Mapping) and level < MAX_LEVELS:
                inner = {f"{name}.{each}" if _needs(name, str(each)) else str(each): one for each, one in value.items()}
                self._content(inner, step, level + 1)
            elif isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
                self._rows(name, value)
            elif step is not None and _is_quantity(name) and (number := _number(value)) is not None:
                self._curves[name][step] = number
            elif _is_recorded(name) and (numbers := _numbers(value)) is not None:
                self._list(name, numbers, content, step)

    def _rows(self, name: str, rows: Iterable[Mapping[Any, Any]]) -> None:
        for row in rows:
            told = {str(key).lower(): _plain(value) for key, value in row.items()}
            step = next((whole for key in STEPS if (whole := whole_number(told.get(key))) is not None), None)
            for key, value in row.items():
                number = _number(value)
                if step is not None and str(key).lower() not in STEPS and number is not None:
                    self._curves[f"{name}.{key}" if _needs(name, str(key)) else str(key)][step] = number

    def _list(self, name: str, numbers: list[float], around: Mapping[Any, Any], step: int | None) -> None:
        """A list over training: at the steps of a list of as many beside it, or one a step."""
        beside = [
            steps
            for key, value in around.items()
            if any(word in str(key).lower() for word in ("step", "epoch", "iter", "its"))
            and str(key) != name
            and len(steps := whole_numbers(value)) == len(numbers)
            and steps == sorted(set(steps))
        ]
        last = self._steps[-1] if step is None or len(self._steps) > 1 else step
        if last == 0:
            last = max(len(_numbers(value) or "") for key, value in around.items() if _is_recorded(str(key))) - 1
        if beside:
            steps = beside[0]
        elif len(numbers) == len(self._steps) and len(numbers) > 2:
            steps = self._steps
        elif len(numbers) in (last, last + 1):
            steps = list(range(len(numbers)))
        elif every := _every(len(numbers), last + 1):
            steps = [every * place for place in range(len(numbers))]
        else:
            return
        self._curves[name] = dict(zip(steps, numbers, strict=True))


def _names_of_numbers(content: Mapping[Any, Any], around: str = "", level: int = 0) -> Iterator[str]:
    """The names made alike of the losses and accuracies that are one number each."""
    for key, value in content.items():
        name = f"{around}.{key}" if _needs(around, str(key)) else str(key)
        if isinstance(value, Mapping) and level < MAX_LEVELS:
            yield from _names_of_numbers(value, name, level + 1)
        elif _is_quantity(name) and _number(value) is not None:
            yield _alike(name)


def _every(n: int, steps: int) -> int | None:
    """How many steps lie between n that were recorded from 0 on, with the last or without; None where both may be."""
    fitting = set()
    if n > 1 and (steps - 1) % (n - 1) == 0:
        fitting.add((steps - 1) // (n - 1))
    if n > 1 and steps % n == 0:
        fitting.add(steps // n)
    return fitting.pop() if len(fitting) == 1 else None


def _content(file: Path) -> Any:
    """What a file beside the weights holds; None where it cannot be read."""
    try:
        match file.suffix.lower():
            case ".json":
                return json.loads(file.read_text(encoding="utf-8"))
            case ".jsonl":
                return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
            case ".yaml" | ".yml":
                return parse_value(file.read_text(encoding="utf-8"))
            case ".csv":
                with open(file, encoding="utf-8", newline="") as lines:
                    return list(csv.DictReader(lines))
            case _:
                content = foreign.outline(file, MAX_BYTES)
                try:
                    look(content, Asked(), str(file))
                except NoWeights:
                    return content
                return None  # another network
    except (InterpError, ValueError, OSError, RecursionError, csv.Error):
        return None


def _flattened(config: Mapping[Any, Any], start: str = "", level: int = 0) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and level < MAX_LEVELS:
            yield from _flattened(value, f"{start}{key}.", level + 1)
        elif not isinstance(value, np.ndarray | Mapping):
            yield f"{start}{key}", value


def _numbers(value: Any) -> list[float] | None:
    """A list of numbers over training; None of anything else."""
    if isinstance(value, np.ndarray):
        readable = value.ndim == 1 and value.dtype.kind in "fiu" and (value.size < 2 or any(value.strides))
        return [float(each) for each in value] if readable and value.size else None
    if isinstance(value, list | tuple) and value:
        parts = [_plain(each) for each in value]
        return [float(each) for each in parts] if all(map(_is_number, parts)) else None
    return None


def _plain(value: Any) -> Any:
    """A number out of an array that holds one, or out of text; else the value."""
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "fiu":
        return value.reshape(-1)[0].item()
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value


def _number(value: Any) -> float | None:
    """A number, whatever it is written as; None of anything else."""
    plain: Any = _plain(value)
    return float(plain) if _is_number(plain) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(name: str) -> list[str]:
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    return [word for word in re.split(r"[^a-z0-9]+", apart) if word]


def _is_recorded(name: str) -> bool:
    counts = STEP.search(name.lower()) or EPOCH.search(name.lower())
    return _is_quantity(name) or (RECORD.search(name.lower()) is not None and not counts)


def _is_quantity(name: str) -> bool:
    return any(word in QUANTITIES for word in _words(name))


def _needs(around: str, name: str) -> bool:
    """Whether a name within another says less than the two together."""
    return (
        bool(around) and any(word in SPLITS or word in QUANTITIES for word in _words(around)) and _alike(name) == name
    )


def _alike(name: str) -> str:
    """The name made alike, train_loss, where it says a split and a quantity and nothing else; else as it is."""
    words = [word for word in _words(name) if word not in FILLING]
    splits = [SPLITS[word] for word in words if word in SPLITS]
    quantities = [QUANTITIES[word] for word in words if word in QUANTITIES]
    if len(splits) == len(quantities) == 1 and len(words) == 2:
        return f"{splits[0]}_{quantities[0]}"
    return quantities[0] if len(quantities) == len(words) == 1 else name


def _shares(name: str, curve: dict[int, float]) -> dict[int, float]:
    """The curve; an accuracy in percent as a share."""
    percent = name.endswith("accuracy") and any(1.5 < value <= 100 for value in curve.values())
    return {step: value / 100 for step, value in curve.items()} if percent else curve
