"""What a measure says of every run in a word, counted: over all runs, and at each label of the axes that are settings.

The arrays are made first, and the sentences from records of them, so that every number in a sentence can be had again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from interp.figures import Table
from interp.findings import Claim, Claims, Finding
from interp.findings.finding import literal
from interp.maths.intervals import share_difference_interval, share_interval
from interp.recipes.grid import label_of, text_of
from interp.report.over_runs import LEVEL, REPLICATES, short_title
from interp.summaries import listed, percent, without_capital

MOST_WORDS = 8


def word_shares(array: xr.DataArray, axes: Sequence[str]) -> xr.Dataset | None:
    """The counts and shares of a word of each run, with 95% intervals; None where it has none, or too many.

    `<name>_share_at` is [word, setting], of the runs with one label of one axis; seeds are no settings. `<name>_gap` is
    [word, along]: how far its shares at two labels of the axis lie apart at most, with an interval that holds for all
    pairs of labels of all axes and words together (Bonferroni).
    """
    if array.dims != tuple(axes) or array.dtype.kind not in "UO":
        return None
    values = array.values.astype(str)
    counts = Counter(values[values != ""].tolist())
    if not 1 <= len(counts) <= MOST_WORDS or counts.total() < 2:
        return None
    words = [word for word, _ in counts.most_common()]
    found = _over_all(str(array.name), words, counts)
    along = [axis for axis in axes if axis not in REPLICATES and array.sizes[axis] > 1]
    if along and len(words) > 1:
        found |= _by_setting(array, words, along)
    result = xr.Dataset({f"{array.name}_{name}": part for name, part in found.items()})
    return result.assign_attrs(of=str(array.name), title=short_title(array))


def _over_all(name: str, words: Sequence[str], counts: Counter[str]) -> dict[str, xr.DataArray]:
    runs, axis = counts.total(), {f"{name}_word": list(words)}
    ends = np.array([share_interval(counts[word], runs, LEVEL) for word in words])
    arrays = {
        "count": [counts[word] for word in words],
        "share": [counts[word] / runs for word in words],
        "share_low": ends[:, 0],
        "share_high": ends[:, 1],
    }
    told = {
        "count": "Runs of which it says the word",
        "share": "Share of the runs of which it says a word",
        "share_low": "Lower end of the share's 95% interval",
        "share_high": "Upper end of the share's 95% interval",
    }
    found = {each: xr.DataArray(values, axis, attrs={"long_name": told[each]}) for each, values in arrays.items()}
    return found | {"runs": xr.DataArray(runs, attrs={"long_name": "Runs of which it says a word"})}


def _by_setting(array: xr.DataArray, words: Sequence[str], along: Sequence[str]) -> dict[str, xr.DataArray]:
    values = array.values.astype(str)
    places = [(axis, place) for axis in along for place in range(array.sizes[axis])]
    chosen = [np.atleast_1d(values.take(place, array.dims.index(axis))) for axis, place in places]
    runs = np.array([(some != "").sum() for some in chosen])
    counts = np.array([[(some == word).sum() for some in chosen] for word in words])
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, runs, out=shares, where=runs > 0)
    different = len(words) if len(words) > 2 else 1  # of two words the one is what the other is not
    pairs = different * sum(size * (size - 1) // 2 for size in (array.sizes[axis] for axis in along))
    gaps = np.full((3, len(words), len(along)), np.nan)
    for number, axis in enumerate(along):
        own = [place for place, (name, _) in enumerate(places) if name == axis and runs[place]]
        for row in range(len(words)) if own else []:
            high, low = (own[choose(shares[row, own])] for choose in (np.argmax, np.argmin))
            pair = [(int(counts[row, place]), int(runs[place])) for place in (high, low)]
            ends = share_difference_interval(pair[0], pair[1], 1 - (1 - LEVEL) / pairs)
            gaps[:, row, number] = shares[row, high] - shares[row, low], *ends
    word = {f"{array.name}_word": list(words)}
    setting = {"setting": [f"{axis} {text_of(label_of(array[axis].values[place]))}" for axis, place in places]}
    by_axis = {**word, "along": list(along)}
    gap = "Share at the label of the axis where it is largest, less that where it is smallest"
    return {
        "runs_at": xr.DataArray(runs, setting, attrs={"long_name": "Runs with the label that have a word"}),
        "count_at": xr.DataArray(counts, word | setting, attrs={"long_name": "Runs with the label and the word"}),
        "share_at": xr.DataArray(shares, word | setting, attrs={"long_name": "Share of the runs with the label"}),
        "gap": xr.DataArray(gaps[0], by_axis, attrs={"long_name": gap}),
        "gap_low": xr.DataArray(gaps[1], by_axis, attrs={"long_name": "Lower end of its interval, for all at once"}),
        "gap_high": xr.DataArray(gaps[2], by_axis, attrs={"long_name": "Upper end of its interval, for all at once"}),
    }


def settings_title(shares: xr.Dataset) -> str:
    """The title of the table by setting."""
    return f"{shares.attrs['title']}, by setting"


def settings_table(shares: xr.Dataset) -> Table | None:
    """A row for each label of each axis: the share of every word there."""
    name = shares.attrs["of"]
    if f"{name}_share_at" not in shares:
        return None
    columns = {
        str(word): xr.DataArray(
            [
                f"{percent(float(share))} ({int(count):,} of {int(runs):,})" if runs else ""
                for share, count, runs in zip(
                    shares[f"{name}_share_at"].sel({f"{name}_word": word}).values,
                    shares[f"{name}_count_at"].sel({f"{name}_word": word}).values,
                    shares[f"{name}_runs_at"].values,
                    strict=True,
                )
            ],
            {"setting": shares.setting.values},
            ("setting",),
        )
        for word in shares[f"{name}_word"].values
    }
    return Table(settings_title(shares), columns)


def findings(shares: xr.Dataset) -> list[Finding]:
    """How many runs it says what of; and along which axis, if along any, that changes most."""
    of_axis = _of_axis(shares)
    return [_of_all(shares), *([of_axis] if of_axis else [])]


def _of_all(shares: xr.Dataset) -> Finding:
    name, claims = shares.attrs["of"], Claims(shares, shares.attrs["title"])
    records: dict[str, Claim] = {"runs": claims.end(f"{name}_runs")}
    told = []
    for place, word in enumerate(shares[f"{name}_word"].values):
        for each in ("count", "share", "share_low", "share_high"):
            at: dict[str, Any] = {f"{name}_word": str(word)}
            records[f"{each}_{place}"] = claims.end(f"{name}_{each}", **at)
        told.append(
            f"{literal(str(word))} in {{count_{place}}}, {{share_{place}:%}} "
            f"({{share_low_{place}:%}} to {{share_high_{place}:%}})"
        )
    sentence = f"{literal(shares.attrs['title'])}, of {{runs}} runs: {listed(told)} (95% intervals over the runs)."
    return Finding(sentence, records, chapter="answer", rank=50)


def _of_axis(shares: xr.Dataset) -> Finding | None:
    """Along which axis the share of a word changes most, where the runs show that it changes at all."""
    name = shares.attrs["of"]
    if f"{name}_gap" not in shares:
        return None
    claims, gaps = Claims(shares, settings_title(shares)), shares[f"{name}_gap"]
    of_what = literal(without_capital(shares.attrs["title"]))
    shown = gaps.where(shares[f"{name}_gap_low"] > 0)
    if not bool(shown.notnull().any()):
        records = {"largest": claims.end(f"{name}_gap", "max"), "runs": claims.end(f"{name}_runs")}
        sentence = (
            f"Of {of_what}, no share differs along an axis by more than it may by chance in {{runs:run}} "
            "(by {largest:%} at most)."
        )
        return Finding(sentence, records, chapter="what", rank=13)
    row, column = np.unravel_index(int(np.nanargmax(shown.values)), shown.shape)
    word, axis = (str(gaps[dim].values[place]) for dim, place in zip(gaps.dims, (row, column), strict=True))
    labels = [str(label) for label in shares.setting.values if str(label).startswith(f"{axis} ")]
    own: dict[str, Any] = {f"{name}_word": word}
    at = {**own, "setting": labels}
    records = {
        "most": claims.end(f"{name}_share_at", "max", **at),
        "least": claims.end(f"{name}_share_at", "min", **at),
        "most_at": claims.end(f"{name}_share_at", "label", **at),
        "least_at": claims.end(f"{name}_share_at", "lowest label", **at),
        **{each: claims.end(f"{name}_{each}", **own, along=axis) for each in ("gap", "gap_low", "gap_high")},
    }
    sentence = (
        f"Of {of_what}, the share of {literal(word)} changes most along {axis}: from {{least:%}} at {{least_at}} to "
        "{most:%} at {most_at}, a difference of {gap:%} ({gap_low:%} to {gap_high:%}, at 95% for all words and axes "
        "together)."
    )
    return Finding(sentence, records, chapter="what", rank=13)
