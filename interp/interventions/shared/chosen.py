"""The weights that an intervention acts on, by a pattern of their names."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

from torch import Tensor

from interp.errors import InterpError, near_misses


def chosen(name: str, weights: Mapping[str, Tensor], pattern: str) -> dict[str, Tensor]:
    """Those whose names match, for the intervention `name`. Raises InterpError where none does."""
    names = fnmatch.filter(weights, pattern)
    if not names:
        raise InterpError(f"{name}: no weight is named {pattern!r}{near_misses(pattern, weights)}")
    return {each: weights[each] for each in names}
