"""How alike the classes of a sweep's runs are to those that others recorded, setting by setting."""

from __future__ import annotations

import csv
import math
import operator
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from interp.errors import InterpError, NothingToSay, near_misses
from interp.figures import PhaseDiagram, Table
from interp.findings import Claims, Finding
from interp.recipes.grid import label_of, text_of
from interp.results.of_members import OfMembers

TITLE = "Classes of the runs here and of the recorded ones"
SPLITS = 200
"""How often the recorded runs are split into halves, with a fixed seed."""
CONDITION = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+]?\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?)\s*")
COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
OTHERWISE = "otherwise"


@dataclass(frozen=True)
class Overlap:
    word: tuple[str, ...]
    """Class"""
    here: Int[np.ndarray, " word"]
    """Runs of the class here"""
    recorded: Int[np.ndarray, " word"]
    """Recorded runs of the class"""
    here_share: Float[np.ndarray, " word"]
    """Share of the runs here, each setting with the weight of its recorded runs"""
    recorded_share: Float[np.ndarray, " word"]
    """Share of the recorded runs"""
    setting: tuple[str, ...]
    """Setting that has runs of both kinds"""
    setting_overlap: Float[np.ndarray, " setting"]
    """Overlap of the classes at the setting"""
    setting_recorded: Int[np.ndarray, " setting"]
    """Recorded runs at the setting"""
    overlap: float
    """Overlap of the classes over all these settings, weighted by recorded runs"""
    halves: float
    """The same overlap of one half of the recorded runs with the other: what chance alone leaves of so few of them"""
    rows: int
    """Recorded runs"""
    rows_without: int
    """Recorded runs whose setting has no run with a class here"""
    along: str
    """Axes that make a setting, separated by blanks"""


def recorded_classes(
    results: OfMembers, of: str, table: str, settings: dict[str, str], classes: str | dict[str, str]
) -> Overlap:
    r"""Runs of one setting come to different ends by chance; what two sweeps share is how often each end comes.

    Held against each other are the shares of the classes among the runs here (`of`: a word of each run,
    `measure.field`) and among those in `table`, a CSV file with a row for each recorded run. `settings` gives, for each
    axis of the sweep that makes a setting, the column with its values; runs that differ along other axes, such as the
    seed, are alike. `classes` is the column that holds the class; or, for each class, what holds of the numbers in its
    row: "column > 1e-5". The first that holds is the run's class, and the one that is said to be `otherwise` is that of
    what is left.

    The overlap is 1 where the shares are the same at every setting, and 0 where no class is shared. Between the halves
    of the recorded runs (200 random splits with a fixed seed, settings with one run left out) it is less than 1 too:
    shares of few runs differ by chance. Runs here that were not trained, or have no class, are left out.

    `table` may begin with a variable of the environment, as in $INTERP_REFERENCE/table.csv.

    Formula: \sum_s \frac{n_s}{\sum_t n_t} \left(1 - \tfrac{1}{2} \sum_c
        \left| q_{s,c}^\text{here} - q_{s,c}^\text{recorded} \right|\right)

    Paper: Pearce et al. 2023 (PAIR), Do machine learning models memorize or generalize?; phases over settings: Liu et
        al. 2022, arXiv 2205.10343
    """
    words = results.of(of)
    if words.dtype.kind not in "UO":
        raise InterpError(f"{of} is a number of each run; expected a word, such as outcome.loss_class")
    for axis in settings:
        if axis not in results.axes:
            raise InterpError(f"settings: the sweep has no axis {axis!r}{near_misses(axis, results.axes)}")
    recorded = _recorded(Path(_there(table)), settings, classes)
    here: dict[tuple[str, ...], list[str]] = {}
    for place in np.ndindex(words.shape):
        labels = dict(zip(results.axes, place, strict=True))
        setting = tuple(text_of(label_of(results.axes[axis][labels[axis]])) for axis in settings)
        if word := str(words.values[place]):
            here.setdefault(setting, []).append(word)
    shared = {setting: (here[setting], rows) for setting, rows in recorded.items() if setting in here}
    if not shared:
        raise NothingToSay("the overlap was not computed: no run here with a class has the setting of a recorded one")
    rows = sum(map(len, recorded.values()))
    weights = np.array([len(theirs) for _, theirs in shared.values()])
    overlaps = np.array([_overlap(ours, theirs) for ours, theirs in shared.values()])
    named = classes if isinstance(classes, dict) else {}
    found = sorted({word for pair in shared.values() for side in pair for word in side} - named.keys())
    of_all = [*named, *found]
    return Overlap(
        word=tuple(of_all),
        here=np.array([sum(ours.count(word) for ours, _ in shared.values()) for word in of_all]),
        recorded=np.array([sum(theirs.count(word) for _, theirs in shared.values()) for word in of_all]),
        here_share=np.array(
            [
                sum(n * ours.count(word) / len(ours) for n, (ours, _) in zip(weights, shared.values(), strict=True))
                for word in of_all
            ]
        )
        / weights.sum(),
        recorded_share=np.array([sum(theirs.count(word) for _, theirs in shared.values()) for word in of_all])
        / weights.sum(),
        setting=tuple(", ".join(f"{a}={v}" for a, v in zip(settings, setting, strict=True)) for setting in shared),
        setting_overlap=overlaps,
        setting_recorded=weights,
        overlap=float((weights * overlaps).sum() / weights.sum()),
        halves=_of_halves(list(recorded.values())),
        rows=rows,
        rows_without=rows - int(weights.sum()),
        along=" ".join(settings),
    )


def _there(table: str) -> str:
    """The table's path with its variables. Raises NothingToSay where it is not there, with how to have it."""
    path = os.path.expanduser(os.path.expandvars(table))
    if unset := re.search(r"\$\{?(\w+)", path):
        raise NothingToSay(
            f"the overlap with the recorded runs was not computed: the environment variable {unset[1]}, which names "
            f"the folder of {table.partition('/')[2]}, is not set; set it and give the command again"
        )
    if not os.path.isfile(path):
        raise NothingToSay(f"the overlap with the recorded runs was not computed: {table} is not there ({path})")
    return path


def _recorded(
    path: Path, settings: Mapping[str, str], classes: str | dict[str, str]
) -> dict[tuple[str, ...], list[str]]:
    """Setting -> the class of each recorded run. Raises InterpError where the table has no such column."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or [])
        rules = [] if isinstance(classes, str) else [_rule(word, rule) for word, rule in classes.items()]
        for column in [*settings.values(), *([classes] if isinstance(classes, str) else [r[1] for r in rules if r[1]])]:
            if column not in columns:
                raise InterpError(f"{path.name} has no column {column!r}{near_misses(column, columns)}")
        found: dict[tuple[str, ...], list[str]] = {}
        for row in reader:
            setting = tuple(_label(row[column]) for column in settings.values())
            found.setdefault(setting, []).append(
                row[classes] if isinstance(classes, str) else _class(row, rules, f"{path.name}:{reader.line_num}")
            )
    return found


_Rule = tuple[str, str, str, float]
"""Class, column, comparison, number; no column of what is left."""


def _rule(word: str, written: str) -> _Rule:
    if written == OTHERWISE:
        return word, "", "", math.nan
    found = CONDITION.fullmatch(written)
    if not found:
        raise InterpError(
            f"classes.{word} is {written!r}; expected a comparison such as 'minTrainLoss > 1e-5', or {OTHERWISE}"
        )
    return word, found[1], found[2], float(found[3])


def _class(row: Mapping[str, str], rules: Sequence[_Rule], where: str) -> str:
    for word, column, comparison, bar in rules:
        try:
            if not column or COMPARED[comparison](float(row[column]), bar):
                return word
        except ValueError:
            raise InterpError(f"{where}: {column} is {row[column]!r}; expected a number") from None
    raise InterpError(f"{where}: none of the classes holds; let one be {OTHERWISE}")


def _label(text: str) -> str:
    """A value of the table as the grid writes it: 0.10 is 0.1, and 1.0 is 1."""
    try:
        return text_of(label_of(float(text)))
    except ValueError:
        return text


def _overlap(ours: Sequence[str], theirs: Sequence[str]) -> float:
    words = {*ours, *theirs}
    return 1 - sum(abs(ours.count(word) / len(ours) - theirs.count(word) / len(theirs)) for word in words) / 2


def _of_halves(settings: Sequence[Sequence[str]]) -> float:
    """The overlap of one half of the runs with the other, the mean over splits; NaN where no setting has two."""
    several = [list(words) for words in settings if len(words) > 1]
    if not several:
        return math.nan
    draws = np.random.default_rng(0)
    weights = np.array([len(words) for words in several])
    of_splits = []
    for _ in range(SPLITS):
        mixed = [[words[place] for place in draws.permutation(len(words))] for words in several]
        overlaps = [_overlap(words[: len(words) // 2], words[len(words) // 2 :]) for words in mixed]
        of_splits.append(float((weights * overlaps).sum() / weights.sum()))
    return float(np.mean(of_splits))


BY_SETTING = "Overlap of the classes at each setting"


def figure(result: xr.Dataset) -> list[Table | PhaseDiagram]:
    columns = {
        "runs here": result.here,
        "recorded runs": result.recorded,
        "share here": _percents(result.here_share),
        "share recorded": _percents(result.recorded_share),
    }
    panels: list[Table | PhaseDiagram] = [Table(TITLE, columns, width="half")]
    axes = str(result.along.values).split()
    if len(axes) > 1:
        panels.append(PhaseDiagram(BY_SETTING, _on_axes(result, axes), x=axes[-1], y=axes[-2], percent=True))
    return panels


def _percents(array: xr.DataArray) -> xr.DataArray:
    return array.copy(data=[f"{value:.1%}" for value in array.values])


def _on_axes(result: xr.Dataset, axes: Sequence[str]) -> xr.DataArray:
    """[axis, …] The overlap at each setting, NaN where there is none."""
    places = [[part.partition("=")[2] for part in str(name).split(", ")] for name in result.setting.values]
    labels = [sorted({place[n] for place in places}, key=_order) for n in range(len(axes))]
    values = np.full([len(one) for one in labels], np.nan)
    for place, overlap in zip(places, result.setting_overlap.values, strict=True):
        values[tuple(labels[n].index(text) for n, text in enumerate(place))] = overlap
    return xr.DataArray(values, dict(zip(axes, labels, strict=True)), axes)


def _order(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, TITLE)
    records = {"overlap": claims.end("overlap"), "rows": claims.end("rows")}
    records["settings"] = claims.end("setting_recorded", "count")
    sentence = (
        "The classes of the runs here overlap by {overlap:.1%} with those of {rows:recorded run}, over "
        "{settings:setting}"
    )
    if claims.known("halves"):
        records["halves"] = claims.end("halves")
        sentence += "; one half of the recorded runs overlaps by {halves:.1%} with the other"
    if int(result.rows_without):
        records["without"] = claims.end("rows_without")
        sentence += "; for {without} of them no run here has that setting"
    return Finding(f"{sentence}.", records, chapter="answer", rank=3)
