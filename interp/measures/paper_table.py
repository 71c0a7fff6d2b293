"""A paper's numbers beside those of a sweep, and why they differ."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from interp.errors import InterpError, near_misses
from interp.figures import Table
from interp.findings import Claim, Claims, Finding
from interp.findings.finding import literal
from interp.maths.intervals import median_interval, share_interval
from interp.maths.rank_correlation import spearman, spearman_interval
from interp.recipes.grid import label_of, text_of
from interp.results.of_members import OfMembers
from interp.summaries import listed, number, percent

TITLE = "Paper and here"
TAKES = ("count", "share", "median", "mean", "lowest", "highest", "correlation")
Key = Literal["paper", "take", "of", "is", "with", "at", "verdict", "why"]
VERDICTS = ("holds", "does not hold", "not tried")
NOT_TRIED, UNDER = VERDICTS[-1], "holds under "


@dataclass(frozen=True)
class Compared:
    row: tuple[str, ...]
    """What is compared"""
    paper: Float[np.ndarray, " row"]
    """The paper's number; NaN where it says it in words"""
    here: Float[np.ndarray, " row"]
    """The number of the sweep; NaN where it has none"""
    low: Float[np.ndarray, " row"]
    """Lower end of its 95% interval over the runs; NaN where it has none"""
    high: Float[np.ndarray, " row"]
    """Upper end of its 95% interval over the runs; NaN where it has none"""
    counted: Int[np.ndarray, " row"]
    """Runs that it is of: those chosen that have the number or word"""
    chosen: Int[np.ndarray, " row"]
    """Runs that were chosen by their labels"""
    written: str
    """The rows as the analysis writes them, as JSON"""


def paper_table(results: OfMembers, rows: dict[str, dict[Key, Any]]) -> Compared:
    r"""What a paper says of its runs can be held against runs of one's own.

    Each row has the paper's number, the same of the runs of the sweep, and, as its author judges them, whether the
    paper's claim holds here and why not: it `holds`, it `holds under` a condition, it `does not hold`, or it was `not
    tried`, so that there is no number of runs here. A number of the sweep is the `count` or the `share` of the runs
    whose word is that of the row; or the `median`, `mean`, `lowest` or `highest` of a number of each run; or the rank
    `correlation` of two of them. Runs are all of the sweep, or those with the labels that the row asks for, as far as
    they have such a number or word.

    The 95% intervals take the runs as drawn independently, as seeds are: Wilson's of shares and counts, two order
    statistics of the median, Student's of the mean, that of ranks of the correlation. They speak of the runs here; how
    exact the paper's number is they do not know.

    Formula: \text{count} = \#\{r : w_r = w\}, \quad
        \text{share} = \frac{\#\{r : w_r = w\}}{\#\{r : w_r \text{ is known}\}}

    Paper: the one whose numbers the analysis gives, such as Power et al. 2022, arXiv 2201.02177; Wilson 1927 for shares
    """
    if not rows:
        raise InterpError("rows is empty; expected {name: {paper: number, take: median, of: measure.field}}")
    taken = {name: _row(results, name, row) for name, row in rows.items()}
    return Compared(
        row=tuple(rows),
        paper=np.array([_number(row.get("paper")) for row in rows.values()]),
        here=np.array([one.value for one in taken.values()]),
        low=np.array([one.low for one in taken.values()]),
        high=np.array([one.high for one in taken.values()]),
        counted=np.array([one.counted for one in taken.values()]),
        chosen=np.array([one.chosen for one in taken.values()]),
        written=json.dumps(rows, ensure_ascii=False),
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


@dataclass(frozen=True)
class _Taken:
    """A number of the sweep."""

    value: float
    low: float
    high: float
    counted: int
    chosen: int


def _row(results: OfMembers, name: str, row: Mapping[Key, Any]) -> _Taken:
    """The number of a row, which is none where it was not tried. Raises InterpError where the row asks for others."""
    if "paper" not in row or not isinstance(row["paper"], int | float | str):
        raise InterpError(f"rows.{name}: what the paper says is missing; give a number or a text: paper: 435")
    verdict = str(row.get("verdict", ""))
    if verdict and verdict not in VERDICTS and not verdict.startswith(UNDER):
        near = near_misses(verdict, VERDICTS)
        raise InterpError(f"rows.{name}: verdict is {verdict!r}{near}; expected {listed(VERDICTS)}, or {UNDER}…")
    if verdict != NOT_TRIED:
        return _taken(results, name, row)
    if given := [key for key in ("take", "of", "is", "with", "at") if key in row]:
        raise InterpError(f"rows.{name}: it was not tried, so leave out {listed(given)}")
    return _Taken(math.nan, math.nan, math.nan, 0, 0)


def _taken(results: OfMembers, name: str, row: Mapping[Key, Any]) -> _Taken:
    """The number that a row asks for. Raises InterpError where it asks for what there is not."""
    take, of, at = row.get("take"), row.get("of"), row.get("at") or {}
    if take not in TAKES:
        raise InterpError(f"rows.{name}: take is {take!r}{near_misses(str(take), TAKES)}; expected {listed(TAKES)}")
    if not isinstance(of, str) or not isinstance(at, dict):
        raise InterpError(f"rows.{name}: expected of: measure.field, and at: {{axis: label}} for some of the runs")
    needed = {"count": "is", "share": "is", "correlation": "with"}.get(take)
    for key in ("is", "with"):
        if (key in row) != (key == needed):
            raise InterpError(f"rows.{name}: {take} {'needs' if key == needed else 'has no'} {key!r}")
    try:
        chosen = results.where(at)
        if needed == "is":
            return _of_words(results.of(of).values[chosen], row["is"], take)
        values = results.numbers(of).values[chosen]
        if needed == "with":
            return _correlation(values, results.numbers(str(row["with"])).values[chosen])
    except InterpError as error:
        raise type(error)(f"rows.{name}: {error}") from None
    return _of_numbers(values, take)


def _of_words(words: np.ndarray, wanted: Any, take: str) -> _Taken:
    word = text_of(label_of(float(wanted) if isinstance(wanted, bool) else wanted))  # yes and no are 1 and 0 here
    if words.dtype.kind not in "UO":
        words = np.array([text_of(label_of(one)) if np.isfinite(one) else "" for one in words])
    known = int((words != "").sum())
    if not known:
        return _Taken(math.nan, math.nan, math.nan, 0, words.size)
    count = int((words == word).sum())
    low, high = share_interval(count, known)
    times = known if take == "count" else 1
    return _Taken(count * times / known, low * times, high * times, known, words.size)


def _of_numbers(values: np.ndarray, take: str) -> _Taken:
    from scipy.stats import t

    known = values[np.isfinite(values)]
    if not known.size:
        return _Taken(math.nan, math.nan, math.nan, 0, values.size)
    low, high = math.nan, math.nan
    if take == "median":
        low, high = median_interval(known)
    elif take == "mean" and known.size > 1:
        reach = float(t.ppf(0.975, known.size - 1) * known.std(ddof=1) / math.sqrt(known.size))
        low, high = float(known.mean()) - reach, float(known.mean()) + reach
    made = {"median": np.median, "mean": np.mean, "lowest": np.min, "highest": np.max}[take]
    return _Taken(float(made(known)), low, high, known.size, values.size)


def _correlation(values: np.ndarray, others: np.ndarray) -> _Taken:
    known = np.isfinite(values) & np.isfinite(others)
    rho = spearman(values[known], others[known])
    return _Taken(rho, *spearman_interval(rho, int(known.sum())), int(known.sum()), values.size)


def figure(result: xr.Dataset) -> list[Table]:
    rows = json.loads(str(result.written.values))
    said = [_written(row, row["paper"]) for row in rows.values()]
    intervals = [
        f"{_written(row, float(low))} to {_written(row, float(high))}" if np.isfinite(low) and np.isfinite(high) else ""
        for row, low, high in zip(rows.values(), result.low.values, result.high.values, strict=True)
    ]
    runs = [
        f"{count:,} of {chosen:,}" if chosen else ""
        for count, chosen in zip(result.counted.values, result.chosen.values, strict=True)
    ]
    columns = {
        "paper": said,
        "here": [_written(row, float(value)) for row, value in zip(rows.values(), result.here.values, strict=True)],
        "95% interval over the runs": intervals,
        "runs": runs,
    }
    for key, head in (("verdict", "verdict"), ("why", "why it differs")):
        if any(row.get(key) for row in rows.values()):
            columns[head] = [str(row.get(key) or "") for row in rows.values()]
    axis = {"": list(rows)}
    return [Table(TITLE, {head: xr.DataArray(texts, axis, ("",)) for head, texts in columns.items()})]


def _written(row: Mapping[str, Any], value: Any) -> str:
    """A number of a row in words, or the paper's own."""
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return ""
    if row.get("take") == "share":
        return percent(value, 1)
    return number(round(value), 6) if row.get("take") == "count" else number(value, 4)


MOST_TOLD = 6


def summary(result: xr.Dataset) -> Finding | None:
    claims = Claims(result, TITLE)
    rows = json.loads(str(result.written.values))
    records: dict[str, Claim] = {}
    told = []
    for place, (name, row) in enumerate(rows.items()):
        here, paper = (claims.maybe(array, row=name) for array in ("here", "paper"))
        if here is None or paper is None or len(told) == MOST_TOLD:
            continue
        form = {"share": ".1%", "count": "6"}.get(row["take"], "4")
        records |= {f"paper_{place}": paper, f"here_{place}": here}
        told.append(f"{literal(name)} {{here_{place}:{form}}} (paper: {{paper_{place}:{form}}})")
    if not told:
        return None
    more = len(rows) - len(told)
    sentence = f"Beside the paper's numbers the runs here have: {'; '.join(told)}"
    sentence += f"; the table has {more} more" if more else ""
    return Finding(f"{sentence}.", records, chapter="answer", rank=4)
