"""Runs on disk as Python objects: `open_run`, `Run`, `Checkpoint`, the network at one step, and `Sweep`, many runs."""

from interp.checkpoints.checkpoint import Checkpoint
from interp.checkpoints.opening import open_run
from interp.checkpoints.run import Run
from interp.checkpoints.sweep import Sweep

__all__ = ["Checkpoint", "Run", "Sweep", "open_run"]
