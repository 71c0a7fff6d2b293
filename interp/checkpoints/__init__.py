"""A run on disk as Python objects: `open_run`, `Run`, and `Checkpoint`, the network at one step."""

from interp.checkpoints.checkpoint import Checkpoint
from interp.checkpoints.opening import open_run
from interp.checkpoints.run import Run

__all__ = ["Checkpoint", "Run", "open_run"]
