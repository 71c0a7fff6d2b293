"""Sentences, captions, references and numbers as safe HTML."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable

from markupsafe import Markup, escape

from interp.findings import Claim
from interp.report.content import Told
from interp.report.links import Link
from interp.summaries import number

SHORT = 24
"""So many characters fit on any line."""


def paragraphs(text: str) -> list[str]:
    """Paragraphs are separated by blank lines; other line breaks mean nothing."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def prose(text: str) -> Markup:
    """Text with what stands between backticks set as code, and between single asterisks as emphasis."""
    plain_and_code = re.split(r"`+([^`]+)`+", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else _emphasised(part)
        for index, part in enumerate(plain_and_code)
    )


def sentence(told: Told, link: Callable[[Claim], Link]) -> Markup:
    """What was found, each of its values linked to where it can be seen."""
    if told.is_problem:
        return Markup('<span class="problem">{}</span>').format(prose(told.sentence))
    runs = itertools.groupby(told.finding.parts, key=lambda part: part[1] is None)
    return Markup("").join(
        _with_strong("".join(text for text, _ in parts))
        if plain
        else Markup("").join(_linked(text, link(claim)) for text, claim in parts if claim)
        for plain, parts in runs
    )


def _with_strong(text: str) -> Markup:
    return _alternating(re.split(r"\*\*(.+?)\*\*", text), Markup("<strong>{}</strong>"))


def _linked(text: str, link: Link) -> Markup:
    """A value, and what the page's script needs to show it; a short one is not broken across lines."""
    element = Markup('<a href="#{}"{} title="{}" data-mark="{}">{}</a>')
    whole = Markup(' class="whole"' if len(text) <= SHORT else "")
    return element.format(link.address, whole, link.title, link.mark, text)


def short_reference(paper: str) -> str:
    """A reference up to its year: "Nanda et al. 2023"."""
    match = re.match(r"(.{1,60}?)\(?\b((?:1[89]|20)\d\d[a-z]?)\b", paper)
    return f"{match[1].rstrip(' ,')} {match[2]}" if match else "paper"


def short_number(value: float) -> str:
    """Two digits are enough at the end of a colour scale."""
    return number(value) if math.isfinite(value) else ""


def _emphasised(text: str) -> Markup:
    return _alternating(re.split(r"(?<![\w*])\*(\w(?:[^*]*\w)?)\*(?![\w*])", text), Markup("<em>{}</em>"))


def _alternating(parts: list[str], odd: Markup) -> Markup:
    """Even parts as text, odd ones in the template `odd`."""
    return Markup("").join(odd.format(part) if index % 2 else escape(part) for index, part in enumerate(parts))
