"""A file that a recipe names, relative to the recipe: whoever is annotated with `BesideRecipe` is given one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Annotated

BesideRecipe = Annotated[PathLike[str], "beside the recipe"]
"""The annotation of an option that is a file: the recipe's reader looks for it in the recipe's folder."""


@dataclass(frozen=True)
class RecipeFile(PathLike[str]):
    """A file as a recipe writes it, and its content: what is made from it is made from these two, wherever it lies."""

    written: str
    """Its path as it stands in the recipe."""
    digest: str
    """A fingerprint of its content."""
    place: Path = field(repr=False, compare=False)

    def __fspath__(self) -> str:
        return str(self.place)

    def __str__(self) -> str:
        return self.written


def recipe_file(written: str, place: Path) -> RecipeFile:
    """Return the file at `place`. Raises OSError where it cannot be read."""
    with open(place, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return RecipeFile(written, digest, place)
