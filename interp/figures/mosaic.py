"""What became of every run of a sweep: a small square for each, coloured by a word."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.axes import axis_name, labels
from interp.figures.panel import DrawnPanel

COLOURS = ("test", "train", "novel", "restricted", "excluded", "abandoned", "all", "plateau")
"""The colour roles of words that are given none."""
GAPS = (1, 3)
"""Empty squares between two blocks of the inner axes, and of the outer ones."""

SQUARE = 14
"""Pixels."""


@dataclass(frozen=True)
class Mosaic:
    """A word for each run of a grid, as the colour of a square; runs without one are left blank.

    The squares of the last axis, such as the seed, lie together in a block. Blocks stand beside one another along the
    axis before it and above one another along the one before that, and so on outwards. The legend counts the runs.
    """

    title: str
    array: xr.DataArray
    """[axis, …]: texts; "" where nothing is known."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Word -> colour role, in the order of the legend; others follow by how many runs have them."""
    width: str = "full"

    def draw(self) -> DrawnPanel:
        axes = [self.array[dim] for dim in self.array.dims]
        across, upwards = _sides(axes)
        x, y = across.places(), upwards.places()  # along each side, one for each of its axes' places
        words = self._words()
        numbers = {word: number for number, word in enumerate(words)}
        z = np.full((y.size, x.size), np.nan)
        told = np.full(z.shape, "", dtype=object)
        for place in itertools.product(*(range(len(axis)) for axis in axes)):
            word = str(self.array.values[place])
            if word:
                row, column = y.at(place), x.at(place)
                z[row, column] = numbers[word]
                named = ", ".join(f"{axis_name(a)} {label}" for a, label in zip(axes, _at(axes, place), strict=True))
                told[row, column] = f"{named}: {word}"
        heatmap = {
            "type": "heatmap",
            "z": z,
            "text": told,
            "hovertemplate": "%{text}<extra></extra>",
            "zmin": -0.5,
            "zmax": len(words) - 0.5,
            "colorscale": _steps([f"role:{role}" for role in words.values()]),
            "showscale": False,
            "xgap": 0.5,
            "ygap": 0.5,
        }
        layout = {
            "xaxis": x.axis(across) | {"showgrid": False},
            "yaxis": y.axis(upwards) | {"showgrid": False},
            "annotations": [*x.outer_labels(across, "x"), *y.outer_labels(upwards, "y")],
            "showlegend": True,
            "margin": {"t": 46 if len(across.axes) > 1 else 26},
        }
        traces = [heatmap, *(_legend(word, role, self._count(word)) for word, role in words.items())]
        return DrawnPanel(
            self.title,
            {"data": traces, "layout": layout},
            width=self.width,
            height=int(np.clip(SQUARE * y.size + 90, 220, 720)),
        )

    def _count(self, word: str) -> int:
        return int((self.array.values.astype(str) == word).sum())

    def _words(self) -> dict[str, str]:
        """The words that occur, in the order of the legend, and the colour role of each."""
        there = {str(word) for word in np.unique(self.array.values.astype(str)) if str(word)}
        given = {word: role for word, role in self.colours.items() if word in there}
        spare = [role for role in COLOURS if role not in given.values()] or list(COLOURS)
        others = sorted(there - given.keys(), key=lambda word: (-self._count(word), word))
        return given | {word: spare[number % len(spare)] for number, word in enumerate(others)}


@dataclass(frozen=True)
class _Side:
    """One side of the picture: the axes along it, the outermost first, and how many squares of the last axis it has."""

    axes: tuple[int, ...]
    """Their numbers among the array's."""
    labels: tuple[xr.DataArray, ...]
    squares: int
    of_square: tuple[int, int]
    """A run whose number along the last axis is n is square (n // first) % second of its block."""

    def places(self) -> _Places:
        sizes = [len(axis) for axis in self.labels]
        starts, extent = np.zeros((1,) * len(sizes), int), self.squares
        for level in reversed(range(len(sizes))):
            step = extent + GAPS[level < len(sizes) - 1]
            along = step * np.arange(sizes[level])
            starts = starts + along.reshape([-1 if axis == level else 1 for axis in range(len(sizes))])
            extent += int(along[-1])
        return _Places(self, starts, extent)


@dataclass(frozen=True)
class _Places:
    """Where the blocks of one side begin."""

    side: _Side
    starts: np.ndarray
    """[axis, …]."""
    size: int

    def at(self, place: tuple[int, ...]) -> int:
        first, second = self.side.of_square
        block = self.starts[tuple(place[axis] for axis in self.side.axes)]
        return int(block) + (place[-1] // first) % second

    def axis(self, side: _Side) -> dict[str, Any]:
        """The axis of the innermost blocks, each with its label."""
        if not side.labels:
            return {"tickvals": [], "range": [-1, self.size]}
        inner = side.labels[-1]
        centres = (self.starts + (side.squares - 1) / 2).reshape(-1)
        texts = [str(label) for label in labels(inner)] * (self.starts.size // len(inner))
        title = {"text": axis_name(inner)}
        return {"tickvals": centres, "ticktext": texts, "title": title, "range": [-1, self.size], "zeroline": False}

    def outer_labels(self, side: _Side, letter: str) -> list[dict[str, Any]]:
        """The label of each block of the axis around the innermost one."""
        if len(side.labels) < 2:
            return []
        outer = side.labels[-2]
        rows = self.starts.reshape(-1, len(outer), len(side.labels[-1]))  # [axes outside, outer, inner]
        found = []
        for row in rows:
            for block, label in zip(row, labels(outer), strict=True):
                middle = float(block[0] + block[-1] + side.squares - 1) / 2
                text = f"{axis_name(outer)} {label}"
                across = letter == "x"
                found.append(
                    {
                        "text": text,
                        letter: middle,
                        "y" if across else "x": 1.0,
                        f"{'y' if across else 'x'}ref": "paper",
                        ("yanchor" if across else "xanchor"): "bottom" if across else "right",
                        "textangle": 0 if across else -90,
                        "showarrow": False,
                        "font": {"size": 11, "color": "role:muted"},
                    }
                )
        return found


def _sides(axes: list[xr.DataArray]) -> tuple[_Side, _Side]:
    """Share the axes out: the last into each block, the others in turn beside and above one another."""
    replicates = len(axes[-1])
    wide = math.ceil(math.sqrt(replicates))
    high = math.ceil(replicates / wide)
    numbers = list(range(len(axes) - 1))[::-1]
    beside, above = tuple(numbers[::2][::-1]), tuple(numbers[1::2][::-1])
    return (
        _Side(beside, tuple(axes[number] for number in beside), wide, (1, wide)),
        _Side(above, tuple(axes[number] for number in above), high, (wide, high)),
    )


def _at(axes: list[xr.DataArray], place: tuple[int, ...]) -> list[Any]:
    return [labels(axis)[number] for axis, number in zip(axes, place, strict=True)]


def _steps(colours: list[str]) -> list[list[Any]]:
    """A scale of plotly that has these colours and nothing between them."""
    edges = [number / len(colours) for number in range(len(colours) + 1)]
    return [[edge, colour] for number, colour in enumerate(colours) for edge in (edges[number], edges[number + 1])]


def _legend(word: str, role: str, count: int) -> dict[str, Any]:
    """What puts a word into the legend; it draws nothing."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "name": f"{word} ({count:,})",
        "marker": {"color": f"role:{role}", "symbol": "square", "size": 10},
        "hoverinfo": "skip",
    }
