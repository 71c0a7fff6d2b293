"""Which pairs somebody trained on, as a file says: a mask, numbers of pairs, or the pairs themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from interp.errors import InterpError
from interp.files import foreign
from interp.importers.shared.tensor_names import words

KINDS = {"indices", "idx", "index", "inds", "mask", "pairs", "ids", "ixs"}
ROWS = {"data", "inputs", "x", "set", "examples"}
"""Names of which only rows [a, b, …] tell."""
MOST_COLUMNS = 8


def in_file(folder: Path, file: str, p: int, which: Literal["train", "test"]) -> np.ndarray:
    """The mask over the training pairs, or the test pairs, [pair], in a file beside the weights.

    Raises InterpError where the file has none of the three forms, or names a pair twice.
    """
    place = (folder if folder.is_dir() else folder.parent) / file
    content = foreign.read(place)
    if isinstance(content, Mapping):
        named = recorded(content, p)
        if named is not None and named[0] is not None:
            return named[0] if which == "train" else ~named[0]
        held = [value for value in content.values() if isinstance(value, np.ndarray)]
        content = held[0] if len(held) == 1 else content
    try:
        return as_mask(content, p)
    except ValueError as error:
        raise InterpError(f"{place} is no list of pairs: {error}") from None


def recorded(content: Any, p: int) -> tuple[np.ndarray | None, str] | None:
    """The mask in what a weight file holds under a name such as "train_indices", and a sentence that names it.

    Of "test_indices" alone it is the others. None where there is no such name; no mask where what it holds is no list
    of pairs, which the sentence then says.
    """
    wrong: tuple[None, str] | None = None
    for which in ("train", "test"):
        for name, value in content.items() if isinstance(content, Mapping) else ():
            said = set(words(str(name)))
            rows = bool(said & ROWS or said == {which}) and np.ndim(_numbers(value)) == 2
            if which not in said or not (said & KINDS or rows):
                continue
            try:
                mask = as_mask(value, p)
            except ValueError as error:
                if not rows:
                    wrong = wrong or (
                        None,
                        f"What the file lists as {name} is not used as the training pairs: {error}.",
                    )
                continue
            others = "" if which == "train" else "all but "
            return (
                mask if which == "train" else ~mask,
                f"The training pairs are {others}those the file lists as {name}.",
            )
    return wrong


def as_mask(content: Any, p: int) -> np.ndarray:
    """The mask, [pair], that numbers in any of the three forms say. Raises ValueError, in words, where none."""
    values = _numbers(content)
    n = p * p
    is_mask = values.dtype == np.bool_ or (values.dtype.kind in "iuf" and set(np.unique(values).tolist()) <= {0, 1})
    if values.size == n and is_mask:
        return values.reshape(-1).astype(bool)  # [pair]
    if values.dtype.kind == "f" and values.size and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    if values.ndim == 2 and 2 <= values.shape[0] <= MOST_COLUMNS < values.shape[1]:
        values = values.T  # all a, then all b
    numbers: Any = None
    if values.dtype.kind in "iu" and values.size and values.min() >= 0:
        if values.ndim == 1 and values.max() < n:
            numbers = values
        elif values.ndim == 2 and 2 <= values.shape[1] <= MOST_COLUMNS and values[:, :2].max() < p:
            numbers = values[:, 0].astype(np.int64) * p + values[:, 1]
    if numbers is not None:
        mask = np.zeros(n, bool)
        mask[numbers] = True
        again = len(numbers) - int(mask.sum())
        if again:
            raise ValueError(
                f"{again:,} of its {len(numbers):,} entries name a pair again; list each training pair once"
            )
        return mask
    raise ValueError(
        f"expected a mask over the {n:,} pairs, their numbers a·{p} + b, or the pairs [a, b] themselves; it is "
        f"{_form(values)}"
    )


def _numbers(content: Any) -> Any:
    """The content as an array, of inputs beside their targets the inputs; an empty one where it is none."""
    try:
        if isinstance(content, list | tuple) and len(content) == 2 and [np.ndim(part) for part in content] == [2, 1]:
            content = content[0] if len(content[0]) == len(content[1]) else content
        return np.asarray(content) if isinstance(content, np.ndarray | list | tuple) else np.zeros(0)
    except ValueError:  # lists of unequal lengths
        return np.zeros(0)


def _form(values: np.ndarray) -> str:
    if not values.size:
        return "no array of numbers"
    span = f", from {values.min()} to {values.max()}" if values.dtype.kind in "iuf" else ""
    return f"{values.dtype} {list(values.shape)}{span}"
