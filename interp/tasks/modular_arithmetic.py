"""Arithmetic modulo p: the operations of Power et al. 2022 (arXiv 2201.02177, A.1.1) and random labels."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Int
from pydantic import NonNegativeInt
from torch import Tensor

from interp.contracts.task import TwoOperands
from interp.maths.groups.cyclic_group import CyclicGroup
from interp.tasks.shared.split import Split, refuse_no_share, shuffled, trained_on

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
SYMMETRIC = ("x+y", "x*y", "x^2+y^2", "x^2+x*y+y^2")
"""The operations whose answer to (a, b) is that to (b, a)."""
MAX_P = 2_000


def modular_arithmetic(
    p: int = 113,
    operation: Operation = "x+y",
    frac_train: float = 0.3,
    seed: NonNegativeInt = 0,
    split: Split = "progress_measures",
    pairs: Literal["ordered", "unordered"] = "ordered",
) -> TwoOperands:
    """Arithmetic on pairs of residues modulo p, trained on a random part of the table of all pairs.

    `seed` draws the split and, for operation "random", the labels. `split` names the rule by which the
    training pairs are drawn, so that published runs can be reproduced:

    - progress_measures (Nanda et al.): Python's `random.seed(seed)`, shuffle, the first int(frac·n);
    - rep_theory (Chughtai et al.): `torch.manual_seed(seed)`, `randperm(n)`, the first int(frac·n);
    - power (Power et al.): `numpy.random.RandomState(seed)` shuffles the equations, the first
      round(frac·n); for x/y the equations are listed by (answer, b). Their runs all use seed 0. PAIR's explorable
      shuffles the same way and keeps the first int(frac·n);
    - unknown: nobody recorded it; what needs the split has nothing to say.

    `pairs` says whether (a, b) and (b, a) are two examples. If *unordered*, for a symmetric operation, only a <= b are
    examples, p(p+1)/2 of them, as in PAIR's explorable: the mirror of a training pair, which a network that adds its
    operands knows for nothing, is then no test. Measures that count pairs count each once; those that need the whole
    table, of waves over the operands, take (b, a) to have what (a, b) has, and have nothing to say of a network that
    answers the two otherwise.

    Raises ValueError where p or frac_train is out of range, p is not prime and the task divides, or pairs are to be
    unordered and the operation is not symmetric.
    """
    if not 3 <= p <= MAX_P:
        raise ValueError(
            f"p is {p}; a modulus of 3 to {MAX_P:,} is needed: the table of its p² pairs is kept in memory"
        )
    refuse_no_share(frac_train)
    if operation in ("x/y", "x/y if y odd else x-y") and not _is_prime(p):
        raise ValueError(
            f"p is {p}, which is not prime: {operation} divides, and not every residue modulo {p} has an inverse; "
            f"the nearest primes are {_nearest_primes(p)}"
        )
    if pairs == "unordered" and operation not in SYMMETRIC:
        raise ValueError(
            f"pairs is unordered, and {operation} is not symmetric: (a, b) and (b, a) have answers of their own; "
            f"leave pairs out, or take one of {', '.join(SYMMETRIC)}"
        )
    listed = _pairs(operation, p, ordered=pairs == "ordered")
    answers = _answers(operation, listed, p, seed)
    elements = _elements(operation, p)
    by_answer = np.lexsort((listed[:, 1].numpy(), answers.numpy())) if operation == "x/y" else None
    order = shuffled(split, len(listed), seed, by_answer)
    return TwoOperands(
        description=_description(operation, p, pairs),
        inputs=listed,
        targets=answers,
        n_outputs=p,
        train=trained_on(split, order, frac_train),
        order=order,
        p=p,
        structure=None if elements is None else CyclicGroup(len(elements)),
        elements=elements,
        random_labels=operation == "random",
        ordered=pairs == "ordered",
    )


def _description(operation: Operation, p: int, pairs: str) -> str:
    said = f"{operation} mod {p}" if operation != "random" else f"random labels mod {p}"
    return said if pairs == "ordered" else f"{said}, unordered pairs"


def _pairs(operation: Operation, p: int, ordered: bool) -> Int[Tensor, "pair 2"]:
    """The pairs that are examples, row-major."""
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "x/y":
        return pairs[pairs[:, 1] != 0]
    return pairs if ordered else pairs[pairs[:, 0] <= pairs[:, 1]]


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
