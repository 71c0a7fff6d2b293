"""The seed of a measure that draws at random."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""As torch takes it."""
