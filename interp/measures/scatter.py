"""One number of every run of a sweep against another."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from interp.errors import NothingToSay
from interp.figures import Scatter
from interp.findings import Claims, Finding
from interp.findings.finding import literal
from interp.maths.rank_correlation import FEWEST, spearman, spearman_interval
from interp.results.of_members import OfMembers
from interp.summaries import number, without_capital

DECADES = 30
"""Positive numbers whose largest is so many times the smallest lie on a logarithmic axis."""
MOST_COLOURS = 8
"""So many labels of the third have a colour each; more numbers than these lie on a scale."""
LABEL_DIGITS = 6


@dataclass(frozen=True)
class Points:
    member: tuple[str, ...]
    """Run, by its labels"""
    x: Float[np.ndarray, " member"]
    """What the points stand along"""
    y: Float[np.ndarray, " member"]
    """What they are as high as"""
    colour: Float[np.ndarray, " member"]
    """The number that colours them, or the place of their word among the words; NaN where there is none"""
    word: tuple[str, ...]
    """Words, or numbers of which there are few, that each have a colour"""
    x_title: str
    """Name of what the points stand along, and its units"""
    y_title: str
    """Name of what they are as high as, and its units"""
    colour_title: str
    """Name of what colours them"""
    logarithmic_x: bool
    """The points stand along a logarithmic axis"""
    logarithmic_y: bool
    """Their heights are logarithmic"""
    spearman: float
    """Spearman's ρ of the two, ties at their mean rank; NaN where there is none"""
    spearman_low: float
    """Lower end of its 95% confidence interval"""
    spearman_high: float
    """Upper end of its 95% confidence interval"""
    points: int
    """Runs that have both numbers"""
    runs: int
    """Runs of the sweep, those that were not trained among them"""


def scatter(results: OfMembers, x: str, y: str, colour: str = "") -> Points:
    r"""Where one number orders the runs of a sweep as another does, their ranks are correlated.

    `x` and `y` are an axis of the sweep, or `measure.field` of a measure of the analysis that has one number a run; of
    one that has a number a step, that of the last step. `colour` may be a word as well. A run is a point where it has
    both numbers: what was not reached is no number, and such a run is left out.

    The 95% confidence interval of Spearman's ρ assumes that the runs are independent and that their copula is Gaussian.
    It speaks of other seeds of the same grid: other settings may have other correlations. Ties, as along an axis of a
    few values, have their mean rank and pull ρ to 0.

    Formula: \rho = \mathrm{corr}(\mathrm{rank}\, x, \mathrm{rank}\, y)

    Paper: Power et al. 2022, arXiv 2201.02177, of sharpness and accuracy; Spearman 1904; Bonett & Wright 2000
    """
    along, high = results.numbers(x), results.numbers(y)
    known = np.isfinite(along.values) & np.isfinite(high.values)
    if not known.any():
        raise NothingToSay(f"no run has both {x} and {y}")
    third = results.of(colour) if colour else None
    colours, words = _coloured(third.values[known]) if third is not None else (np.full(known.sum(), np.nan), ())
    values = along.values[known]
    rho = spearman(values, high.values[known])
    low, high_end = spearman_interval(rho, int(known.sum()))
    return Points(
        member=tuple(np.array(results.members())[known.ravel()].tolist()),
        x=values,
        y=high.values[known],
        colour=colours,
        word=words,
        x_title=_title(along),
        y_title=_title(high),
        colour_title=_title(third) if third is not None else "",
        logarithmic_x=_spans_decades(values),
        logarithmic_y=_spans_decades(high.values[known]),
        spearman=rho,
        spearman_low=low,
        spearman_high=high_end,
        points=int(known.sum()),
        runs=known.size,
    )


def _coloured(values: np.ndarray) -> tuple[Float[np.ndarray, " member"], tuple[str, ...]]:
    """Each point's number, and the words that the numbers are places of; no words where the numbers are many."""
    if values.dtype.kind in "UO":
        words = sorted({str(word) for word in values if str(word)})
        return np.array([float(words.index(str(word))) if str(word) else np.nan for word in values]), tuple(words)
    numbers = np.unique(values[np.isfinite(values)])
    if len(numbers) > MOST_COLOURS:
        return values.astype(float), ()
    places = np.searchsorted(numbers, values).astype(float)
    return np.where(np.isfinite(values), places, np.nan), tuple(number(each, LABEL_DIGITS) for each in numbers.tolist())


def _spans_decades(values: np.ndarray) -> bool:
    return bool(values.min() > 0 and values.max() >= DECADES * values.min())


def _title(array: xr.DataArray) -> str:
    units = f" [{array.attrs['units']}]" if array.attrs.get("units") else ""
    return re.split("[;:]", str(array.attrs.get("long_name") or array.name))[0] + units


def panel_title(result: xr.Dataset) -> str:
    """The one in whose panel the points stand."""
    return f"{result.y_title.item()} against {without_capital(result.x_title.item())}"


def figure(result: xr.Dataset) -> list[Scatter]:
    x = result.x.assign_attrs(long_name=result.x_title.item())
    y = result.y.assign_attrs(long_name=result.y_title.item())
    colour = None
    if result.colour_title.item():
        colour = result.colour.assign_attrs(long_name=result.colour_title.item())
    words = tuple(map(str, result.word.values))
    log_x, log_y = bool(result.logarithmic_x), bool(result.logarithmic_y)
    return [Scatter(panel_title(result), x, y, colour=colour, words=words, log_x=log_x, log_y=log_y)]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, panel_title(result))
    records = {"points": claims.end("points"), "runs": claims.end("runs")}
    x, y = (literal(without_capital(result[f"{name}_title"].item())) for name in ("x", "y"))
    if not claims.known("spearman"):
        few = (
            f"{{points}} of {{runs:run}} {{points:has.}} both {x} and {y}; a rank correlation needs {FEWEST} that are "
            "not all alike."
        )
        return Finding(few, records, chapter="what", rank=12)
    records |= {name: claims.end(name) for name in ("spearman", "spearman_low", "spearman_high")}
    low, high = records["spearman_low"].value, records["spearman_high"].value
    verdict = "no order that these runs could show"
    if low > 0 or high < 0:
        verdict = f"the larger the one, the {'larger' if low > 0 else 'smaller'} the other"
    sentence = (
        f"Of {x} and {y} Spearman's ρ is {{spearman:2}} (95% interval {{spearman_low:2}} to {{spearman_high:2}}, "
        f"{{points}} of {{runs:run}}): {verdict}."
    )
    return Finding(sentence, records, chapter="what", rank=12)
