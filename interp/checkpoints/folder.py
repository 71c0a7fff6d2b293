"""What lies where in the folder of a run."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = "weights"
"""The folder of the weights."""
SPLIT = "split.safetensors"
"""Among the weights: `train` [example], the examples that were trained on."""


def beside(path: Path, name: str) -> bytes | None:
    """The content of the file `name` in a run's folder, or beside the file that a run is; None without one."""
    file = path / name if path.is_dir() else path.with_name(name)
    return file.read_bytes() if file.is_file() else None
