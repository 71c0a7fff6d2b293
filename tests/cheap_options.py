"""Options with which measures cost little, for tests of what they say and not of how well they know."""

from __future__ import annotations

from typing import Any

__all__ = ["CHEAP"]

CHEAP: dict[str, dict[str, Any]] = {
    "active_subnetwork": {"examples": 50},
    "keskar_sharpness": {"subspace_dim": 2, "draws": 2},
    "lazy_rich": {"examples": 16, "outputs": 3},
    "local_learning_coefficient": {"chains": 2, "warm_up": 60, "draws": 12, "leapfrog": 8, "precision": 1e4},
    "loss_landscape": {"places": 5, "side": 3},
    "sharpness": {"largest": 2, "probes": 4, "tolerance": 0.3, "most_negative_tolerance": 0.9},
}
