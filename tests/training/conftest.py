"""How training is tested: its progress told after every update."""

from __future__ import annotations

import pytest


@pytest.fixture
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is told after every update."""
    monkeypatch.setattr("interp.training.progress.SECONDS_BETWEEN_REPORTS", 0.0)
