"""`from:` of a recipe: the run, trained here too, at one of whose checkpoints a training starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from interp.catalogue.options import OptionError, checked
from interp.recipes.call import note_problems
from interp.recipes.document import Document

FROM = "from"
SCHEMA: dict[str, tuple[Any, Any]] = {
    "run": (Annotated[str, Field(min_length=1)], ...),
    "step": (Annotated[int, Field(strict=True, ge=0)], ...),
    "optimiser": (Annotated[bool, Field(strict=True)], False),
}


@dataclass(frozen=True)
class Parent:
    """Where a run starts: a checkpoint of another run."""

    run: str
    """The parent's folder, as the recipe writes it."""
    step: int
    """That of the parent's checkpoint, from which the steps of this run go on counting."""
    optimiser: bool = False
    """Whether what the optimiser keeps goes on too."""
    folder: Path = field(default=Path(), compare=False)
    """Where the parent lies."""
    where: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Option -> "run.yaml:4", the file and the line in which it stands."""

    @property
    def as_written(self) -> dict[str, Any]:
        """What the recipe says, the defaults filled in."""
        return {"run": self.run, "step": self.step, "optimiser": self.optimiser}

    @property
    def sentence(self) -> str:
        """Where the run starts, for its reader."""
        goes_on = "its optimiser goes on" if self.optimiser else "its optimiser starts afresh"
        return f"It starts at step {self.step:,} from the weights that its parent, {self.run}, has there; {goes_on}."

    @property
    def is_gone(self) -> bool:
        """Whether no run lies where the parent should be."""
        return not (self.folder / "run.yaml").is_file()

    def told(self, option: str, message: str) -> str:
        """A mistake in one of its options, in a line that begins with where it stands."""
        return f"{self.where[option]}: {message}" if option in self.where else message


def parent_in(document: Document) -> Parent | None:
    """The parent that a recipe names; None where it names none or has it wrong, which is noted in `document`."""
    if FROM not in document.content:
        return None
    given = document.content[FROM]
    if not isinstance(given, dict):
        told = f"from is {given!r}; expected a run and a step of it: from: {{run: ../parent, step: 3_000}}"
        document.problem((FROM,), told)
        return None
    try:
        values = checked(FROM, SCHEMA, {str(name): value for name, value in given.items()})
    except OptionError as error:
        note_problems(document, (FROM,), error)
        return None
    where = {option: f"{document.path}:{document.line((FROM, option))}" for option in SCHEMA}
    folder = folder_of(document.path.parent, values["run"])
    if folder.resolve() == document.path.parent.resolve():
        document.problem((FROM, "run"), f"run is {values['run']}, this run itself; a run starts from another")
        return None
    return Parent(**values, folder=folder, where=where)


def folder_of(recipe_folder: Path, written: str) -> Path:
    """The folder of the parent that a recipe in `recipe_folder` writes so; variables are expanded."""
    plain = recipe_folder / Path(os.path.expandvars(written)).expanduser()
    short = Path(os.path.normpath(plain))
    return short if short.resolve() == plain.resolve() else plain  # they differ where a folder is a link
