"""How a training ended, also where that was before its last step: a small file beside the weights tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from interp.errors import InterpError, shown
from interp.files.writing import write_text

FILE = "ended.json"
"""In the folder of the weights of a training that ended before its last step."""

End = Literal["finished", "diverged", "stopped", "unfinished"]


@dataclass(frozen=True)
class Outcome:
    """Where a training stands."""

    folder: Path
    end: End
    """"diverged": its loss was not finite. "stopped": what the recipe's `stop` waits for was there. "unfinished": it is
    to go on."""
    step: int
    """The updates that were made; of one that diverged, the step whose loss was not finite."""
    updates: int = 0
    """How many of them were made this time."""

    @property
    def sentence(self) -> str:
        """What is told of it in a line: "… diverged: its loss was not finite at step 120; …"."""
        match self.end:
            case "diverged":
                return (
                    f"{self.folder} diverged: its loss was not finite at step {self.step:,}; the checkpoints "
                    "before are kept. Train afresh in another folder, with a smaller learning rate or another seed"
                )
            case "stopped":
                return f"{self.folder} ended at step {self.step:,}: what its recipe says under stop was reached"
            case "finished":
                return f"{self.folder} is finished: it has all its {self.step} steps"
            case _:
                return f"{self.folder} is at step {self.step:,}; the same command goes on"


def write_early_end(weights: Path, outcome: Outcome) -> None:
    """Note in the folder of the weights that the training ended before its last step."""
    write_text(weights / FILE, json.dumps({"end": outcome.end, "step": outcome.step}) + "\n")


def early_end(folder: Path) -> Outcome | None:
    """How the run in `folder` ended before its last step; None of one that did not.

    Raises InterpError where the file that tells it is damaged.
    """
    path = folder / "weights" / FILE
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        end, step = content["end"], content["step"]
        if end not in ("diverged", "stopped") or type(step) is not int or step < 0:
            raise ValueError(f"end {end!r} at step {step!r}")
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, LookupError, OSError) as error:
        raise InterpError(
            f"{path} does not tell how the training ended ({shown(error)}); remove it: the next training finds out"
        ) from None
    return Outcome(folder, end, step)
