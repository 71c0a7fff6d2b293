"""A run on disk as Python objects: `open_run`, `Run` and `Checkpoint`."""

from interp.checkpoints.run import Checkpoint, Run, open_run

__all__ = ["Checkpoint", "Run", "open_run"]
