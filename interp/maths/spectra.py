"""Singular values of weight matrices, and what they say of a matrix's rank."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor


def matrices(weights: Mapping[str, Float[Tensor, "..."]]) -> dict[str, Float[Tensor, "m n"]]:
    """The linear maps among the parameters, by name: biases are none, and each head's weights are one of their own.

    A parameter [head, m, n] gives "blocks.0.attn.W_Q.0", "blocks.0.attn.W_Q.1", …; any other keeps its name.
    """
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if is_map(name, value):
            found |= (
                {f"{name}.{head}": matrix for head, matrix in enumerate(value)} if value.ndim == 3 else {name: value}
            )
    return found


def is_map(name: str, value: Float[Tensor, "..."]) -> bool:
    """Whether a parameter is a linear map, or one for each head: it has two or three axes and is no bias of ours."""
    return value.ndim in (2, 3) and value.numel() > 0 and not name.rpartition(".")[2].startswith("b_")


def stable_rank(singular_values: Float[Tensor, " component"]) -> Float[Tensor, ""]:
    """‖W‖_F² / σ_1²; NaN for a matrix of zeros."""
    return (singular_values / singular_values.max()).square().sum()


def spectral_entropy(singular_values: Float[Tensor, " component"]) -> Float[Tensor, ""]:
    """-Σ s ln s of the singular values (not their squares) divided by their sum, in nats; NaN for a matrix of zeros."""
    return torch.special.entr(singular_values / singular_values.sum()).sum()
