"""Weights for any architecture."""

from __future__ import annotations

import math

import pytest
import torch


@pytest.fixture(scope="session")
def random_weights():
    """`random_weights(architecture, seed=0)`: float64, biases included."""

    def draw(architecture, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return {
            name: torch.randn(shape, generator=generator, dtype=torch.float64) / math.sqrt(shape[0])
            for name, shape in architecture.shapes.items()
        }

    return draw
