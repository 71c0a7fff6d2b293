"""Tables of plotly as tables of HTML, which have all their rows and digits wherever they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interp.figures import DrawnPanel
from interp.figures.colours import COLOURS


@dataclass(frozen=True)
class Row:
    """A row of a table: texts, the first of which names it."""

    cells: tuple[str, ...]
    role: str
    """The colour role that stands out, "" where it is as the others."""
    link: str = ""
    """Where its name leads: the path of another page, relative to this one."""


@dataclass(frozen=True)
class Table:
    """A table as the page's template writes it."""

    heads: tuple[str, ...]
    numeric: tuple[bool, ...]
    """[column] Whether it stands to the right."""
    rows: tuple[Row, ...]


def tables(panel: DrawnPanel) -> tuple[Table, ...]:
    """The tables of a panel that is nothing else; none of a panel that draws, or that moves."""
    traces = panel.figure.get("data", [])
    still = not panel.moving and all(trace.get("type") == "table" for trace in traces)
    return tuple(_table(trace) for trace in traces) if still else ()


def _table(trace: dict[str, Any]) -> Table:
    cells = trace["cells"]
    columns = [[_text(cell) for cell in column] for column in cells["values"]]
    aligned = _for_each(cells.get("align", "left"), len(columns))
    colours = cells.get("font", {}).get("color", "")
    first = colours[0] if isinstance(colours, Sequence) and not isinstance(colours, str) and colours else colours
    roles = [_role(colour) for colour in _for_each(first, max(map(len, columns), default=0))]
    links = (trace.get("meta") or {}).get("links") or [""] * len(roles)
    return Table(
        heads=tuple(_text(head) for head in trace["header"]["values"]),
        numeric=tuple(align == "right" for align in aligned),
        rows=tuple(Row(*row) for row in zip(zip(*columns, strict=True), roles, links, strict=True)),
    )


def _for_each(value: Any, count: int) -> list[Any]:
    """One value for each of `count` things: plotly takes a list of them, or one for all."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value] * count


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _role(colour: Any) -> str:
    """The name of a colour of ours that is not that of ordinary text."""
    role = str(colour).removeprefix("role:")
    return role if role in COLOURS and role != "ink" else ""
