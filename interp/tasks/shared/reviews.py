"""IMDb's reviews: as they are published, as a table, and as the package `datasets` has them."""

from __future__ import annotations

import csv
import io
import re
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from interp.contracts.recipe_file import RecipeFile
from interp.errors import shown
from interp.tasks.shared.first_line import first_line

Review = tuple[str, int]
"""Its text, and whether it is positive: 1, or 0."""
SIDES = {"positive": 1, "pos": 1, "1": 1, "negative": 0, "neg": 0, "0": 0}
COLUMNS = (("review", "sentiment"), ("text", "label"))
EXPECTED = "aclImdb_v1.tar.gz, or a .csv with the columns review and sentiment, or text and label"
IN_THE_ARCHIVE = re.compile(r"(?:^|/)(?:train|test)/(pos|neg)/[^/]+\.txt$")
NAME = "stanfordnlp/imdb"
"""That of the reviews on the hub of Hugging Face."""


def from_file(file: RecipeFile | Path) -> list[Review]:
    """The reviews in a file. Raises ValueError, one line, where it has none of the forms they come in."""
    path, written = Path(file), str(file)
    try:
        found = _of_table(path) if path.name.endswith(".csv") else _of_archive(path)
    except (OSError, EOFError, zlib.error, tarfile.TarError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{written} cannot be read ({first_line(error)}); give {EXPECTED}") from None
    if not found:
        raise ValueError(f"{written} holds no reviews; give {EXPECTED}")
    return found


def _of_archive(path: Path) -> list[Review]:
    found: list[tuple[str, Review]] = []
    with tarfile.open(path) as archive:
        for member in archive:
            side = IN_THE_ARCHIVE.search(member.name)
            content = archive.extractfile(member) if side else None
            if side and content:
                found.append((member.name, (content.read().decode(), SIDES[side[1]])))
    return [review for _, review in sorted(found)]


def _of_table(path: Path) -> list[Review]:
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
    names = next((names for names in COLUMNS if {*names} <= {*(rows.fieldnames or ())}), None)
    if names is None:
        raise csv.Error(f"its columns are {', '.join(map(shown, rows.fieldnames or ())) or 'none'}")
    return list(_rows(rows, *names))


def _rows(rows: Iterable[Mapping[str, str | None]], text: str, side: str) -> Iterable[Review]:
    for number, row in enumerate(rows, 1):
        told = (row[side] or "").strip().lower()
        if told not in SIDES:
            raise csv.Error(f"row {number} has the {side} {shown(told)!r}, which is neither positive nor negative")
        yield row[text] or "", SIDES[told]


def from_datasets(download: bool) -> list[Review]:
    """The 25,000 reviews published for training, as the package `datasets` has them.

    Raises ValueError, one line, where the package or the reviews are not there.
    """
    instead = f"give file: {EXPECTED}"
    try:
        import datasets
    except ImportError:
        lacks = f"imdb is read by the package datasets, which is not installed; install interp[text], or {instead}"
        raise ValueError(lacks) from None
    try:
        config = datasets.DownloadConfig(local_files_only=not download)
        found = datasets.load_dataset(NAME, split="train", download_config=config)
        return [(row["text"], int(row["label"])) for row in found]  # pyright: ignore[reportArgumentType, reportCallIssue]
    except Exception as error:  # without a network the package raises whatever its network library does
        if download:
            raise ValueError(f"imdb could not be fetched ({first_line(error)}); {instead}") from None
        raise ValueError(f"imdb is not among what datasets has kept; set download: true, or {instead}") from None
