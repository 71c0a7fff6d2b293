"""The configuration that a release keeps with its weights: in the same file, or as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from interp.errors import InterpError, shown


def inside(content: Any) -> dict[str, Any]:
    """Return the configuration in the content of a weight file; empty where there is none."""
    found = content.get("config", content.get("cfg")) if isinstance(content, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def beside(places: Iterable[Path]) -> tuple[dict[str, Any], Path] | None:
    """Return the content of the first of these JSON files that is there, and its path; None where none is.

    Raises InterpError where it cannot be read, or holds something else than names and values.
    """
    place = next((file for file in places if file.is_file()), None)
    if place is None:
        return None
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InterpError(f"{place} cannot be read as JSON: {shown(error)}") from None
    if not isinstance(content, dict):
        raise InterpError(f"{place} should hold names and values")
    return content, place
