"""A Gaussian prior of the weights, by patterns of their names: the variance that each has where no data speak."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from pydantic import PositiveFloat

from interp.errors import InterpError, near_misses

Prior = PositiveFloat | dict[str, PositiveFloat] | None
"""One variance for all weights, one for each pattern of names, or none: a prior that is flat."""


def variances(name: str, prior: float | dict[str, float] | None, weights: Iterable[str]) -> dict[str, float | None]:
    """Each weight's variance, that of the first pattern which its name matches; None where none does.

    Raises InterpError, for the optimiser `name`, where a pattern is the name of no weight.
    """
    of_pattern = prior if isinstance(prior, dict) else {} if prior is None else {"*": prior}
    known = list(weights)
    for pattern in of_pattern:
        if not any(fnmatch.fnmatchcase(weight, pattern) for weight in known):
            raise InterpError(
                f"{name}: prior is of {pattern!r}, and no weight is named so{near_misses(pattern, known)}"
            )
    return {
        weight: next((value for pattern, value in of_pattern.items() if fnmatch.fnmatchcase(weight, pattern)), None)
        for weight in known
    }
