"""Networks with hand-made weights on S_k whose account is known: of cosets, of representations, and a lookup table.

A permutation x is written by its images; x·y is x first, then y, so that the matrices M(x)[i, x(i)] = 1 multiply as the
permutations do. Elements stand in lexicographic order.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from tests.planted import Planted


def permutations(k: int) -> np.ndarray:
    """The elements, [element, point]."""
    return np.array(list(itertools.permutations(range(k))))


def products(k: int) -> np.ndarray:
    """The number of x·y, [x, y]."""
    images = permutations(k)
    place = {tuple(row): number for number, row in enumerate(images.tolist())}
    return np.array([[place[tuple(y[x].tolist())] for y in images] for x in images])


def matrices(k: int) -> np.ndarray:
    """The permutation matrices, [element, k, k]."""
    return np.eye(k)[permutations(k)]


def of_cosets(k: int = 4, size: float = 8.0) -> Planted:
    """A neuron for each i, j, l: on where a takes i to j and b takes j to l, for every answer that takes i to l.

    What it reads of a and of b is constant on cosets of the stabiliser of a point.
    """
    moves = matrices(k)
    of_a = np.stack([moves[:, i, j] for i, j, _ in itertools.product(range(k), repeat=3)], axis=1)
    of_b = np.stack([moves[:, j, m] for _, j, m in itertools.product(range(k), repeat=3)], axis=1)
    to_c = np.stack([moves[:, i, m] for i, _, m in itertools.product(range(k), repeat=3)])
    return _mlp(k, of_a, of_b, size * to_c, np.full(k**3, -1.0), "relu")


def of_representations(k: int = 4, size: float = 8.0, seed: int = 0) -> Planted:
    """tr ρ(a)ρ(b)ρ(c⁻¹) by squares, for the standard representation in a basis that no subgroup knows.

    ρ(a)_ij ρ(b)_jl is a quarter of the difference of two squares, those of sum and difference: a pair of neurons.
    """
    _, _, basis = np.linalg.svd(np.ones((1, k)))
    standard = basis[1:]
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(k - 1, k - 1)))
    rho = (turn @ standard) @ matrices(k) @ (turn @ standard).T  # [element, k - 1, k - 1]
    triples = list(itertools.product(range(k - 1), repeat=3))
    of_a = np.stack([rho[:, i, j] for i, j, _ in triples for _ in (1, -1)], axis=1)
    of_b = np.stack([sign * rho[:, j, m] for _, j, m in triples for sign in (1, -1)], axis=1)
    to_c = np.stack([sign / 4 * rho[:, i, m] for i, _, m in triples for sign in (1, -1)])  # ρ(c⁻¹)_mi = ρ(c)_im
    return _mlp(k, of_a, of_b, size * to_c, None, "x^2")


def lookup_table(k: int = 4, frac_train: float = 0.5, size: float = 20.0) -> Planted:
    """Knows its training pairs, each by a neuron of its own, and nothing else."""
    n = len(permutations(k))
    order = torch.randperm(n * n, generator=torch.Generator().manual_seed(0))
    pairs = order[: int(frac_train * n * n)].numpy()
    a, b = np.divmod(pairs, n)
    one_hot = np.eye(n)
    to_c = size * one_hot[products(k)[a, b]]
    made = _mlp(k, one_hot[:, a], one_hot[:, b], to_c, np.full(len(pairs), -1.0), "relu")
    return Planted(made.weights, {"group_composition": {"group": f"S{k}", "frac_train": frac_train}}, made.model)


def _mlp(k: int, of_a: np.ndarray, of_b: np.ndarray, to_c: np.ndarray, bias: np.ndarray | None, act_fn: str) -> Planted:
    """logits = act(of_a[a] + of_b[b] + bias) @ to_c, as an mlp on one-hot operands."""
    weights: dict[str, Tensor] = {"embed_a.W_E": torch.tensor(of_a), "embed_b.W_E": torch.tensor(of_b)}
    if bias is not None:
        weights["mlp.b_in"] = torch.tensor(bias)
    weights["unembed.W_U"] = torch.tensor(to_c)
    model = {"d_mlp": of_a.shape[1], "one_hot": True, "act_fn": act_fn, "biases": "none" if bias is None else "hidden"}
    return Planted(weights, {"group_composition": {"group": f"S{k}"}}, {"mlp": model})
