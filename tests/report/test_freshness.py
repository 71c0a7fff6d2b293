"""A report is written again exactly when something it was made from has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interp.report import freshness


@pytest.fixture
def analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "analyses/a.yaml": "runs: [checkpoints/*]\nmeasures: [loss]\n",
        "checkpoints/one/run.yaml": "task: x\n",
        "checkpoints/one/weights/index.json": "{}",
        "reports/a.html": "<html>",
        "reports/a/one/loss.nc": "numbers",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return Path("analyses/a.yaml")


REPORT = Path("reports/a.html")


def is_fresh(analysis: Path, *settings: object) -> bool:
    return freshness.remembered(REPORT, freshness.question(analysis, None, *settings)) == "found"


def test_an_untouched_report_is_fresh(analysis: Path):
    assert not is_fresh(analysis)
    freshness.remember(REPORT, freshness.question(analysis, None), "found")
    assert is_fresh(analysis)
    assert is_fresh(analysis)


@pytest.mark.parametrize(
    "touched",
    [
        "analyses/a.yaml",
        "checkpoints/one/run.yaml",
        "checkpoints/one/weights/index.json",
        "checkpoints/two/run.yaml",
        "reports/a.html",
        "reports/a/one/loss.nc",
    ],
)
def test_any_change_makes_it_stale(analysis: Path, touched: str):
    freshness.remember(REPORT, freshness.question(analysis, None), "found")
    path = Path(touched)
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + "\n# changed\n")
    assert not is_fresh(analysis)


def test_a_file_of_the_same_size_put_in_its_place_makes_it_stale(analysis: Path):
    freshness.remember(REPORT, freshness.question(analysis, None), "found")
    result = Path("reports/a/one/loss.nc")
    result.write_text("NUMBERS")
    os.utime(result, ns=(0, 0))  # a clock that jumped back
    assert not is_fresh(analysis)


def test_another_setting_is_another_question(analysis: Path):
    freshness.remember(REPORT, freshness.question(analysis, None, "cpu"), "found")
    assert not is_fresh(analysis, "cuda")


@pytest.mark.parametrize(
    "broken", [b"[1", b"", b"[]", b"3", b"null", b"{}", b"\xff\xfe\x00", b'{"said": 3}', b'{"said": "found"}']
)
def test_a_broken_note_is_not_fresh(analysis: Path, broken: bytes):
    freshness.remember(REPORT, freshness.question(analysis, None), "found")
    Path("reports/a/fresh.json").write_bytes(broken)
    assert not is_fresh(analysis)


def test_a_note_whose_answer_is_lost_is_not_fresh(analysis: Path):
    freshness.remember(REPORT, freshness.question(analysis, None), "found")
    note = Path("reports/a/fresh.json")
    note.write_text(note.read_text().replace('"said"', '"sung"'))
    assert freshness.remembered(REPORT, freshness.question(analysis, None)) is None


def test_a_missing_report_is_not_fresh(analysis: Path):
    freshness.remember(REPORT, freshness.question(analysis, None), "found")
    REPORT.unlink()
    assert not is_fresh(analysis)


def test_an_analysis_with_mistakes_asks_nothing(analysis: Path):
    analysis.write_text("runs: [nowhere/*]\n")
    assert freshness.question(analysis, None) is None


def test_a_report_on_another_run_of_the_same_name_is_told(tmp_path: Path):
    report = tmp_path / "question-ckpts.html"
    report.write_text("page")
    freshness.remember(report, None, "said", tmp_path / "first" / "ckpts")
    assert freshness.another_run(report, tmp_path / "first" / "ckpts") is None
    assert freshness.another_run(report, tmp_path / "second" / "ckpts") == str(tmp_path / "first" / "ckpts")


def test_a_variable_that_a_measure_s_option_names_is_part_of_the_question(tmp_path: Path, monkeypatch):
    """What a table beside a report says is asked anew when the table is there, and when it has changed."""
    (tmp_path / "run.yaml").write_text("")
    (tmp_path / "table.csv").write_text("a\n")
    analysis = tmp_path / "analysis.yaml"
    analysis.write_text(f"runs: [{tmp_path}]\nmeasures: [{{recorded_classes: {{table: $TABLES/table.csv}}}}]\n")
    monkeypatch.delenv("TABLES", raising=False)
    without = freshness.question(analysis, None)
    monkeypatch.setenv("TABLES", str(tmp_path))
    found = freshness.question(analysis, None)
    assert found is not None
    assert found == freshness.question(analysis, None) != without
    assert str(tmp_path / "table.csv") in [path for path, *_ in found["read"]]
