"""How training is tested: its progress told after every update."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Progress is told after every update; what training does to denormal numbers is undone."""
    monkeypatch.setattr("interp.training.state.SECONDS_BETWEEN_REPORTS", 0.0)
    yield
    torch.set_flush_denormal(False)
