"""A measure that has nothing to say: its reason is kept, told, and as fresh as its words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interp
from interp.errors import NothingToSay
from interp.results import visit
from tests.results.test_over_steps import rows_computed, write_run

QUIET = '''
from dataclasses import dataclass
from interp.errors import NothingToSay

@dataclass(frozen=True)
class Answer:
    value: float
    """A number"""
    other: float | None
    """What may be missing"""

def quiet(checkpoint) -> Answer:
    """Silent until step 150, for a reason that is worded like this."""
    if checkpoint.step < {until}:
        raise NothingToSay("{reason}")
    return Answer(2.0 * checkpoint.step, None)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", range(0, 600, 150))


def write_quiet(install, until: int = 300, reason: str = "it is too early") -> None:
    install("elsewhere_quiet", {"quiet": QUIET.format(until=until, reason=reason)})


def test_rows_without_an_answer_are_blank_and_the_reason_stands_beside_them(install, folder):
    write_quiet(install)
    result = interp.over_steps("quiet", interp.open_run(folder))
    assert np.isnan(result.value.values).tolist() == [True, True, False, False]
    assert result.value.values[2:].tolist() == [600, 900]
    assert np.isnan(result.other.values).all()  # a field that is None is blank
    assert result.attrs["nothing_to_say"] == "it is too early (at 2 steps)"


def test_it_is_raised_where_nothing_says_anything_and_else_an_empty_node(install, folder):
    write_quiet(install, until=1000)
    run = interp.open_run(folder)
    asks = (
        lambda: run.final.measure("quiet"),
        lambda: run.measure("quiet"),
        lambda: run.show("quiet"),
        lambda: run.final.show("quiet"),
        lambda: interp.over_steps("quiet", run),
        lambda: interp.over_steps(["quiet"], run),
    )
    for ask in asks:
        with pytest.raises(NothingToSay, match="it is too early"):
            ask()
    tree = interp.over_steps(["quiet", "weight_norm"], run)
    assert not tree.quiet.data_vars
    assert tree.quiet.attrs["nothing_to_say"] == "it is too early"
    assert tree.weight_norm.sizes["step"] == 4


def test_a_reason_is_kept_and_computed_again_where_it_is_worded_otherwise(install, folder, tmp_path, monkeypatch):
    write_quiet(install, until=1000)
    keep = tmp_path / "kept"
    for expected in (4, 0):
        computed = rows_computed(monkeypatch)
        with pytest.raises(NothingToSay):
            interp.over_steps("quiet", interp.open_run(folder), keep=keep)
        monkeypatch.undo()
        assert len(computed) == expected
    words = {"now": "other words"}
    monkeypatch.setattr(visit, "current_words", lambda *_: words["now"])
    monkeypatch.setattr("interp.results.code_notes.current_words", lambda *_: words["now"])
    computed = rows_computed(monkeypatch)
    with pytest.raises(NothingToSay):
        interp.over_steps("quiet", interp.open_run(folder), keep=keep)
    assert len(computed) == 4
    with pytest.raises(NothingToSay):
        interp.over_steps("quiet", interp.open_run(folder), keep=keep)
    assert len(computed) == 4
