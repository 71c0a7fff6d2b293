"""numpy and Python values -> what JSON can say. NaN and infinities become null."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from markupsafe import Markup


def plain(value: Any, digits: int | None = None) -> Any:
    """`value` as lists, dicts, numbers and texts; floats to `digits` significant digits if given."""
    if isinstance(value, dict):
        return {str(key): plain(item, digits) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(_shortest(np.asarray(value)).tolist(), digits)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, digits) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return float(f"{value:.{digits}g}") if digits else value
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def script_json(value: Any) -> Markup:
    """`value` as JSON that may stand inside a script element, whatever the texts in it are."""
    return safe_in_script(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def safe_in_script(text: str) -> Markup:
    """JSON text in which nothing can end the script element or open a comment."""
    return Markup(text.replace("<", "\\u003c"))  # "<" is the only character that matters there


def _shortest(array: np.ndarray) -> np.ndarray:
    """float16 and float32 as the float64 with the same short decimal: 0.1, not 0.10000000149."""
    if array.dtype in (np.float16, np.float32):
        return array.astype("U32").astype(np.float64)
    return array
