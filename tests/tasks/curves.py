"""Which learning curves there are of a run that was trained."""

from __future__ import annotations

from pathlib import Path

from interp.checkpoints import open_run


def curves(folder: Path) -> list[str]:
    """The names of those that have a number at every checkpoint."""
    run = open_run(folder)
    found = run.measure("loss")
    names = [f"{side}_{what}" for side in ("train", "test") for what in ("loss", "accuracy")]
    return sorted(name for name in names if bool(found[name].notnull().all()))
