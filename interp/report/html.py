"""A page's content -> one self-contained HTML file."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from interp.figures.colours import COLOURS, SCALES
from interp.report.blocks import ArrayStore
from interp.report.content import Page
from interp.report.json_values import safe_in_script, script_json
from interp.report.layout import place
from interp.report.machine_readable import report_data
from interp.report.markup import paragraphs, prose, short_number
from interp.report.mathml import formula
from interp.report.plain_text import report_text

SCRIPTS = (
    "arrays.js",
    "style.js",
    "table.js",
    "sort.js",
    "mark.js",
    "panel.js",
    "csv.js",
    "slider.js",
    "report.js",
)
"""In this order."""


def render(page: Page) -> str:
    """The report as one HTML file that needs no network."""
    store = ArrayStore()
    runs, across = place(page, store)
    data = report_data(page, store)
    return (
        _environment()
        .get_template("template.html.j2")
        .render(
            page=page,
            runs=runs,
            across=across,
            data=data,
            text=report_text(page),
            blocks=store.blocks(),
            palette=_palette(),
            colours=COLOURS,
            scales=SCALES,
            css=Markup(_resource("report.css")),
            script=Markup(_script()),
            plotly=Markup(get_plotlyjs()),
        )
    )


def _palette() -> dict[str, dict[str, Any]]:
    """Theme -> role -> colour, or list of colours."""
    roles = {**COLOURS, **SCALES}
    return {theme: {role: pair[index] for role, pair in roles.items()} for index, theme in enumerate(("light", "dark"))}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=DictLoader({"template.html.j2": _resource("template.html.j2")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "formula": formula,
        "paragraphs": paragraphs,
        "prose": prose,
        "short_number": short_number,
        "script_json": script_json,
        "safe_in_script": safe_in_script,
        "css_name": lambda role: role.replace(" ", "-"),
    }
    return environment


@cache
def _script() -> str:
    return "\n".join(_resource(f"script/{name}") for name in SCRIPTS)


def _resource(name: str) -> str:
    return files("interp.report").joinpath(name).read_text(encoding="utf-8")
