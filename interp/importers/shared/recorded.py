"""What lies beside the weights: a configuration, and losses and accuracies by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Recorded:
    config: Mapping[str, Any]
    curves: Mapping[str, Mapping[int, float]]


def records_beside(path: Path) -> Recorded:
    return Recorded({}, {})
