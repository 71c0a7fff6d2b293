"""Tables of plotly as tables of HTML: whatever plotly takes for cells, colours and alignment."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from interp.figures import Table
from interp.figures.panel import DrawnPanel, Moving
from interp.report.tables import Row, tables

TRACE = {"type": "table", "header": {"values": ["name", "value"]}, "cells": {"values": [["a", "b"], [1, None]]}}


@pytest.mark.parametrize("colours", [None, "role:ink", "#123456", [["role:ink", "role:ink"]]])
def test_cells_of_any_kind_are_texts(colours: object) -> None:
    cells = TRACE["cells"] | ({"font": {"color": colours}} if colours else {})
    (table,) = tables(DrawnPanel("T", {"data": [TRACE | {"cells": cells}]}))
    assert (table.heads, table.numeric) == (("name", "value"), (False, False))
    assert table.rows == (Row(("a", "1"), ""), Row(("b", ""), ""))


def test_colours_of_ours_and_alignment_are_kept() -> None:
    cells = TRACE["cells"] | {"align": ["left", "right"], "font": {"color": [["role:accent", "role:ink"]]}}
    (table,) = tables(DrawnPanel("T", {"data": [TRACE | {"cells": cells}]}))
    assert table.numeric == (False, True)
    assert [row.role for row in table.rows] == ["accent", ""]


def test_what_draws_or_moves_is_no_table() -> None:
    line = {"type": "scatter", "y": [1, 2]}
    moving = Moving(0, "cells.values", np.array([[["a"], ["b"]]]))
    assert tables(DrawnPanel("T", {"data": [TRACE, line]})) == ()
    assert tables(DrawnPanel("T", {"data": [TRACE]}, np.array([0]), (moving,))) == ()


def test_the_name_of_a_row_leads_where_its_link_says() -> None:
    rows = xr.DataArray(["a", "b"], {"run": ["<one>", "two"]})
    links = xr.DataArray(["one.html?<x>", ""], dims="run")
    (table,) = tables(Table("T", {"value": rows}, links=links).draw())
    assert [row.link for row in table.rows] == ["one.html?<x>", ""]
