"""With how many threads a training computes."""

from __future__ import annotations

import pytest

from interp.machine import process


@pytest.mark.parametrize(("told", "cores"), [("1", 1), ("3, 2", 3), ("99", 4), ("0", 4), ("many", 4), ("", 4)])
def test_as_many_cores_as_there_are_or_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, told: str, cores: int
) -> None:
    monkeypatch.setattr(process.os, "sched_getaffinity", lambda _: range(4), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert process.cores() == cores


def test_a_small_training_has_one_thread_and_a_large_one_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "cores", lambda: 64)
    assert process.useful_threads(process.WORTH_A_THREAD - 1) == 1
    assert process.useful_threads(process.WORTH_A_THREAD) == process.MOST_THREADS
