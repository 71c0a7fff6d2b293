"""Explains grokking runs: open a run, measure it over training, look inside.

import interp
run = interp.open_run("checkpoints/modular_addition_small")
run.show("loss")
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.checkpoints import open_run
    from interp.notebook import figure, write_report
    from interp.results.over_steps import over_steps

    __version__: str

_HOMES = {
    "open_run": "interp.checkpoints",
    "over_steps": "interp.results.over_steps",
    "figure": "interp.notebook",
    "write_report": "interp.notebook",
}

__all__ = ["figure", "open_run", "over_steps", "write_report"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.metadata.version("interp")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'interp' has no attribute {name!r}")
