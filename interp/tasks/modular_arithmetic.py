"""Arithmetic modulo p: the operations of Power et al. 2022 (arXiv 2201.02177, A.1.1) and random labels."""

from __future__ import annotations

import random
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Int
from pydantic import NonNegativeInt
from torch import Tensor

from interp.contracts.task import TwoOperands
from interp.maths.cyclic_group import CyclicGroup

Operation = Literal[
    "x+y",
    "x-y",
    "x*y",
    "x/y",
    "x/y if y odd else x-y",
    "x^2+y^2",
    "x^2+x*y+y^2",
    "x^2+x*y+y^2+x",
    "x^3+x*y",
    "x^3+x*y^2+y",
    "random",
]
Split = Literal["progress_measures", "rep_theory", "power", "unknown"]
MAX_P = 2_000


def modular_arithmetic(
    p: int = 113,
    operation: Operation = "x+y",
    frac_train: float = 0.3,
    seed: NonNegativeInt = 0,
    split: Split = "progress_measures",
) -> TwoOperands:
    """Arithmetic on pairs of residues modulo p, trained on a random part of the table of all pairs.

    `seed` draws the split and, for operation "random", the labels. `split` names the rule by which the
    training pairs are drawn, so that published runs can be reproduced:

    - progress_measures (Nanda et al.): Python's `random.seed(seed)`, shuffle, the first int(frac·n);
    - rep_theory (Chughtai et al.): `torch.manual_seed(seed)`, `randperm(n)`, the first int(frac·n);
    - power (Power et al.): `numpy.random.RandomState(seed)` shuffles the equations, the first
      round(frac·n); for x/y the equations are listed by (answer, b). Their runs all use seed 0;
    - unknown: nobody recorded it; what needs the split has nothing to say.

    Raises ValueError where p or frac_train is out of range, or p is not prime and the task divides.
    """
    if not 3 <= p <= MAX_P:
        raise ValueError(
            f"p is {p}; a modulus of 3 to {MAX_P:,} is needed: the table of its p² pairs is kept in memory"
        )
    if not 0 < frac_train <= 1:
        raise ValueError(f"frac_train is {frac_train}; it is a share of all pairs, above 0 and at most 1")
    if operation in ("x/y", "x/y if y odd else x-y") and not _is_prime(p):
        raise ValueError(
            f"p is {p}, which is not prime: {operation} divides, and not every residue modulo {p} has an inverse; "
            f"the nearest primes are {_nearest_primes(p)}"
        )
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "x/y":
        pairs = pairs[pairs[:, 1] != 0]
    answers = _answers(operation, pairs, p, seed)
    elements = _elements(operation, p)
    return TwoOperands(
        description=f"{operation} mod {p}" if operation != "random" else f"random labels mod {p}",
        inputs=pairs,
        targets=answers,
        n_outputs=p,
        train=_train_mask(split, pairs, answers, operation, frac_train, seed),
        p=p,
        structure=None if elements is None else CyclicGroup(len(elements)),
        elements=elements,
        random_labels=operation == "random",
    )


def _answers(operation: Operation, pairs: Int[Tensor, "pair 2"], p: int, seed: int) -> Int[Tensor, " pair"]:
    """The answer to each pair, a residue."""
    x, y = pairs.unbind(1)
    match operation:
        case "x+y":
            c = x + y
        case "x-y":
            c = x - y
        case "x*y":
            c = x * y
        case "x/y":
            c = x * _inverses(p)[y]
        case "x/y if y odd else x-y":
            c = torch.where(y % 2 == 1, x * _inverses(p)[y], x - y)
        case "x^2+y^2":
            c = x**2 + y**2
        case "x^2+x*y+y^2":
            c = x**2 + x * y + y**2
        case "x^2+x*y+y^2+x":
            c = x**2 + x * y + y**2 + x
        case "x^3+x*y":
            c = x**3 + x * y
        case "x^3+x*y^2+y":
            c = x**3 + x * y**2 + y
        case "random":
            c = torch.from_numpy(np.random.default_rng(seed).integers(0, p, len(pairs)))
        case _:
            raise ValueError(f"operation is {operation!r}; it is one of {', '.join(get_args(Operation))}")
    return c % p


def _train_mask(
    split: Split,
    pairs: Int[Tensor, "pair 2"],
    answers: Int[Tensor, " pair"],
    operation: Operation,
    frac_train: float,
    seed: int,
) -> Bool[Tensor, " pair"] | None:
    """True for the pairs that the rule `split` trains on; None where the rule is unknown."""
    n = len(pairs)
    match split:
        case "progress_measures":
            order = list(range(n))
            random.Random(seed).shuffle(order)
            rows = torch.tensor(order[: int(frac_train * n)])
        case "rep_theory":
            order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
            rows = order[: int(frac_train * n)]
        case "power":
            listed = np.arange(n)
            if operation == "x/y":
                listed = np.lexsort((pairs[:, 1].numpy(), answers.numpy()))
            np.random.RandomState(seed).shuffle(listed)
            rows = torch.from_numpy(listed[: round(frac_train * n)])
        case "unknown":
            return None
        case _:
            raise ValueError(f"split is {split!r}; it is one of {', '.join(get_args(Split))}")
    if not len(rows):
        raise ValueError(f"frac_train is {frac_train}, which of {n} pairs is none; raise it")
    mask = torch.zeros(n, dtype=torch.bool)
    mask[rows] = True
    return mask


def _elements(operation: Operation, p: int) -> Int[Tensor, " element"] | None:
    """The residues in the order in which the operation is cyclic; None where there is no such order."""
    if operation in ("x+y", "x-y"):
        return torch.arange(p)
    if operation in ("x*y", "x/y") and _is_prime(p):
        root = _primitive_root(p)
        return torch.tensor([pow(root, power, p) for power in range(p - 1)])
    return None


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


def _nearest_primes(n: int) -> str:
    below = next((m for m in range(n - 1, 1, -1) if _is_prime(m)), None)
    above = next(m for m in range(n + 1, 2 * n + 2) if _is_prime(m))
    return f"{below} and {above}" if below and below > 2 else f"{above}"


def _inverses(p: int) -> Int[Tensor, " p"]:
    """The inverse of each residue modulo the prime p, and 0 for 0, which has none."""
    return torch.tensor([0] + [pow(y, -1, p) for y in range(1, p)])


def _primitive_root(p: int) -> int:
    """The least g whose powers run through all non-zero residues of the prime p."""
    factors = [q for q in range(2, p) if (p - 1) % q == 0 and _is_prime(q)]
    return next(g for g in range(2, p) if all(pow(g, (p - 1) // q, p) != 1 for q in factors))
