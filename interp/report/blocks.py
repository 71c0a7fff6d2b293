"""Arrays -> base64 blocks of the page: exact where that is small enough, else in 65,535 or 255 levels."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

ITEM_SIZES = (4, 2, 1)  # bytes per element, from float32 down
LEVELS = {2: 65534, 1: 254}  # item size -> the code of the largest value; the code above it is NaN
EXACT_TYPES = tuple(np.dtype(name) for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32"))


def encode(values: np.ndarray, item_size: int = 4) -> dict[str, Any]:
    """`values` as a block of at most `item_size` bytes per element (texts and small integers stay exact)."""
    values = np.asarray(values)
    if _is_text(values):
        labels, codes = np.unique(values.astype(str), return_inverse=True)
        return {**_block(_smallest(codes.reshape(values.shape))), "labels": labels.tolist()}
    exact = _exact_type(values)
    if exact is not None and exact.itemsize <= item_size:
        return _block(values.astype(exact))
    if item_size >= 4:
        return _block(values.astype(np.float32))
    return _quantised(values.astype(np.float64), item_size)


def decode(block: dict[str, Any]) -> np.ndarray:
    """The array in a block, as the page's script reads it."""
    raw = np.frombuffer(base64.b64decode(block["base64"]), dtype=np.dtype(block["dtype"]).newbyteorder("<"))
    codes = raw.reshape(block["shape"])
    if "labels" in block:
        return np.array(block["labels"])[codes]
    if "levels" not in block:
        return codes
    values = block["min"] + codes * ((block["max"] - block["min"]) / block["levels"])
    return np.where(codes > block["levels"], np.nan, values)


def fit(arrays: Sequence[np.ndarray], budget: int, smallest: int = 1) -> tuple[int, int]:
    """(item size, stride over the first axis) with which `arrays` take at most about `budget` bytes.

    No item is of fewer bytes than `smallest`.
    """
    total, sizes = 0, [size for size in ITEM_SIZES if size >= smallest]
    for item_size in sizes:
        total = sum(array.size * _item_size(array, item_size) for array in arrays)
        if total <= budget:
            return item_size, 1
    return sizes[-1], math.ceil(total / budget)


def every(stride: int, length: int) -> np.ndarray:
    """Every `stride`-th of `length` indices, and the last one."""
    return np.unique(np.append(np.arange(0, length, stride), length - 1)) if length else np.arange(0)


class ArrayStore:
    """The page's blocks, each array once."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # a block's JSON -> its name

    def add(self, values: np.ndarray, item_size: int = 4) -> str:
        """Keep `values` and return the name of their block."""
        text = json.dumps(encode(values, item_size))
        return self._names.setdefault(text, f"interp-array-{len(self._names)}")

    def blocks(self) -> dict[str, str]:
        """Name -> JSON of every block."""
        return {name: text for text, name in self._names.items()}


def _is_text(values: np.ndarray) -> bool:
    return values.dtype.kind in "USO"


def _exact_type(values: np.ndarray) -> np.dtype | None:
    """The smallest type of the browser that holds these integers, None for other numbers."""
    if values.dtype.kind not in "biu":
        return None
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    fitting = (t for t in EXACT_TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return min(fitting, key=lambda t: t.itemsize, default=None)


def _smallest(codes: np.ndarray) -> np.ndarray:
    return codes.astype(_exact_type(codes) or np.int32)


def _item_size(values: np.ndarray, limit: int) -> int:
    if _is_text(values):
        return 1
    exact = _exact_type(values)
    return min(limit, exact.itemsize) if exact is not None else limit


def _quantised(values: np.ndarray, item_size: int) -> dict[str, Any]:
    levels = LEVELS[item_size]
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    shares = (np.where(finite, values, low) - low) / ((high - low) or 1.0)
    codes = np.where(finite, np.rint(shares * levels), levels + 1)
    return {**_block(codes.astype(f"uint{8 * item_size}")), "min": low, "max": high, "levels": levels}


def _block(values: np.ndarray) -> dict[str, Any]:
    little_endian = values.astype(values.dtype.newbyteorder("<"))
    return {
        "dtype": values.dtype.name,
        "shape": list(values.shape),
        "base64": base64.b64encode(little_endian.tobytes()).decode("ascii"),
    }
