"""How far a run is that may be trained, told by what lies in its folder; its recipe is not read, nor are weights."""

from __future__ import annotations

from pathlib import Path

from interp.files.arrays import read_about
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.training.outcome import Outcome, early_end
from interp.training.state import STATE, WEIGHTS


def standing(folder: Path, steps: int) -> Outcome | None:
    """Where the training of `steps` updates in `folder` stands; None where it has not begun.

    Finished is one whose last update is kept, and its state too where there is one. Raises InterpError where what lies
    there is damaged.
    """
    if early := early_end(folder):
        return early
    blocks = CheckpointBlocks(folder / WEIGHTS)
    kept = blocks.steps
    state = folder / STATE
    if not kept:
        return Outcome(folder, "unfinished", int(read_about(state)["step"])) if state.exists() else None
    at = int(read_about(state)["step"]) if state.exists() else kept[-1]
    whole = at >= steps and kept[-1] >= steps and blocks.is_stacked
    return Outcome(folder, "finished" if whole else "unfinished", min(at, steps))
