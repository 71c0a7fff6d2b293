"""A report from Python: `interp.write_report(run)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from interp import results
from interp.checkpoints import Run
from interp.report import write
from interp.steps import Steps

DEFAULT_MEASURES = ("loss", "embedding_dft", "embedding_circle", "key_freqs", "weight_norm")


def write_report(
    run: Run,
    path: str | Path | None = None,
    measures: Iterable[Any] | Mapping[str, Any] | None = None,
    steps: Steps = "all",
    title: str | None = None,
) -> Path:
    """Write a report on `run` to `path` (default `reports/<run>.html`) and return the path.

    `measures` as for `over_steps`; by default those of `analyses/fourier.yaml`. Raises InterpError.
    """
    target = Path(path) if path is not None else Path("reports") / f"{run.name}.html"
    asks = results.asks(measures if measures is not None else DEFAULT_MEASURES)
    write.report(title or run.name, "interp.write_report", run.text, asks, [run], steps, target, keep=None)
    return target
