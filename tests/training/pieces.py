"""A piece of training for an executor: runs in folders that share a stack, as a command would give them to workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interp.recipes import run_recipe
from interp.training.loop import train_stack
from interp.training.outcome import Outcome
from interp.training.plan import Plan, PlannedRun


@dataclass(frozen=True)
class StackPiece:
    """A piece of work for an executor: runs that share a stack, and how many updates each is to make."""

    folders: tuple[Path, ...]
    """The runs' folders, each with its recipe."""
    stretch: int | None = None
    """None: to their ends."""


def train_piece(piece: StackPiece, tell: Callable[[Any], None]) -> list[Outcome]:
    """Train the piece's runs by the recipes in their folders; `tell` gets what a `Standing` says, as plain values.

    The runs go on from the files in their folders, and leave what they came to there: a piece whose worker is killed is
    begun again, and loses what followed the last kept step.
    """
    members = [
        PlannedRun(folder, Plan.of(run_recipe.read_to_train(folder / run_recipe.FILE))) for folder in piece.folders
    ]
    return train_stack(members, lambda standing: tell(asdict(standing)), piece.stretch)
