"""REPRODUCTION.md is what the shipped results say, claim by claim."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from interp.recipes import analysis_recipe, shipped
from interp.recipes.run_paths import nothing_to_analyse
from interp.report.reproduction import FILE, MEASURE, Tried, document, tried
from interp.report.tables import Row, Table

ROOT = Path(__file__).parents[2]
PAPERS = {name: path for name, path in shipped.analyses().items() if name.startswith("papers/")}
UNJUDGED = ("in a figure", "not told")
"""What the paper of a row without a verdict says: nothing that a number could be held against."""


def claims(*rows: tuple[str, ...]) -> Table:
    heads = ("", "paper", "here", "verdict")
    return Table(heads, (False,) * len(heads), tuple(Row(cells, "") for cells in rows))


def test_verdicts_are_counted_and_what_is_written_stands_as_it_is():
    found = Tried(
        name="mine",
        title="Does it?",
        paper="A | B 2020",
        text="We ask <b>it</b>\nof p_1 * p_2.",
        minutes=3.4,
        tables=(
            (
                "one",
                claims(
                    ("it groks", "1", "0.9", "holds"),
                    ("at |alpha| 8", "2", "", "holds under decay"),
                    ("late", "3", "4", "does not hold"),
                    ("images", "5", "", "not tried"),
                    ("more", "", "6", ""),
                ),
            ),
        ),
    )
    text = document([found])
    assert r"| [A \| B 2020](#mine) | `mine` | 1 | 1 | 1 | 1 | 1 | 3 |" in text
    assert r"| at \|alpha\| 8 | 2 |  | holds under decay |" in text
    assert r"We ask \<b>it\</b> of p\_1 \* p\_2." in text


def test_an_analysis_without_results_says_what_to_do():
    lacking = Tried("mine", "Does it?", "", "", math.nan, (), "checkpoints/it has no checkpoints yet; train it")
    assert "Not tried yet: checkpoints/it has no checkpoints yet; train it." in document([lacking])


@pytest.mark.parametrize("name", PAPERS)
def test_every_paper_is_named_and_every_claim_judged(name: str):
    analysis = analysis_recipe.read(PAPERS[name])
    assert analysis.paper
    if any(nothing_to_analyse(source) for source in analysis.sources):
        return  # its claims are judged when it is trained
    rows = {key: row for ask in analysis.asks if ask.measure == MEASURE for key, row in ask.options["rows"].items()}
    without = {key: row["paper"] for key, row in rows.items() if "verdict" not in row}
    assert all(paper in UNJUDGED for paper in without.values()), without


@pytest.mark.slow
def test_the_file_is_what_the_results_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    made = document([tried(path, tmp_path) for path in PAPERS.values()])
    assert FILE.read_text(encoding="utf-8") == made, "it is stale; write it anew with: make reproduction"
