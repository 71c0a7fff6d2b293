"""Sentences, captions, references and numbers as safe HTML."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from interp.report.content import Finding


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


def sentence(finding: Finding, section: str | None) -> Markup:
    """The finding, its **numbers** linked to the section with this identifier (underlined only, if None)."""
    if finding.is_problem:
        return Markup('<span class="problem">{}</span>').format(prose(finding.sentence))
    number = Markup('<a href="#{}">{{}}</a>').format(section) if section else Markup("<strong>{}</strong>")
    return _alternating(re.split(r"\*\*(.+?)\*\*", finding.sentence), number)


def unmarked(finding: Finding) -> str:
    """The finding as plain text."""
    return finding.sentence if finding.is_problem else finding.sentence.replace("**", "")


def short_reference(paper: str) -> str:
    """A reference up to its year: "Nanda et al. 2023"."""
    match = re.match(r"(.{1,60}?)\(?\b((?:1[89]|20)\d\d[a-z]?)\b", paper)
    return f"{match[1].rstrip(' ,')} {match[2]}" if match else "paper"


def short_number(value: float) -> str:
    """Two digits are enough at the end of a colour scale."""
    return f"{value:.2g}".replace("-", "−")


def _emphasised(text: str) -> Markup:
    return _alternating(re.split(r"(?<![\w*])\*(\w(?:[^*]*\w)?)\*(?![\w*])", text), Markup("<em>{}</em>"))


def _alternating(parts: list[str], odd: Markup) -> Markup:
    """Even parts as text, odd ones in the template `odd`."""
    return Markup("").join(odd.format(part) if index % 2 else escape(part) for index, part in enumerate(parts))
