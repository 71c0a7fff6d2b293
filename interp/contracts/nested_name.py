"""An option that is itself a name with options: whoever is annotated with it is given what that name makes."""

from __future__ import annotations

from typing import Annotated, Any

AnOptimiser = Annotated[str | dict[str, Any], "optimisers"]
"""The annotation of an option that is an optimiser: `of: {adamw: {lr: 1e-3}}`, or `of: adamw`."""

KINDS_OF_NAMES = ((AnOptimiser, "optimisers"),)
"""Each such annotation, and the kind that its names are of."""
