"""Sparse parity: whether an odd number of a few bits are 1, hidden among bits that do not matter."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from interp.contracts.task import Task

MAX_NUMBERS = 10**9
"""4 GB of inputs in float32."""


def sparse_parity(
    n: PositiveInt = 30,
    k: PositiveInt = 3,
    n_train: PositiveInt = 1_250,
    n_test: NonNegativeInt = 5_000,
    inputs: Literal["0/1", "-1/1"] = "0/1",
    outputs: Literal[1, 2] = 1,
    seed: NonNegativeInt = 0,
) -> Task:
    """Strings of n random bits; the class is 1 where an odd number of the first k are 1, else 0.

    Which k bits count makes no difference to a network, so they are the first. The defaults are those of PAIR's
    explorable; Merrill et al. 2023 have n 40, k 3, n_train 1_000, n_test 100 and inputs -1/1, on which the answer is
    the sign of the product of the k numbers (for an odd k). The strings are drawn by `seed`, independently and
    uniformly, and one that was drawn before is drawn anew, so that no test string was trained on; at the papers'
    sizes nearly all draws are distinct as they are. The first n_train are trained on.

    - inputs: what a network sees of a bit: 0 or 1, or -1 or 1.
    - outputs: 1, a single output, whose sign answers; 2, an output for each class, of which the largest answers.

    Raises ValueError where k is more than n, there are not as many strings as are asked for, or no room for them.
    """
    count = n_train + n_test
    if k > n:
        raise ValueError(f"k is {k}, more than the {n} bits there are; make it {n} or less, or raise n")
    if n < count.bit_length() and count > 2**n:
        raise ValueError(f"n_train + n_test is {count:,}, but there are only {2**n:,} strings of {n} bits; raise n")
    if count * n > MAX_NUMBERS:
        raise ValueError(f"{count:,} strings of {n:,} bits are more numbers than the {MAX_NUMBERS:,} kept in memory")
    bits = _distinct_bits(count, n, torch.Generator().manual_seed(seed))
    return Task(
        description=f"parity of {k} of {n} bits",
        inputs=bits if inputs == "0/1" else 2 * bits - 1,
        targets=bits[:, :k].sum(dim=1).long() % 2,
        n_outputs=outputs,
        train=torch.arange(count) < n_train,
    )


def _distinct_bits(count: int, n: int, generator: torch.Generator) -> Float[Tensor, "example bit"]:
    """The first `count` different strings of a sequence of random ones."""
    strings = torch.empty(0, n, dtype=torch.uint8)
    while True:
        more = torch.randint(0, 2, (count, n), dtype=torch.uint8, generator=generator)
        strings, place = torch.cat([strings, more]).unique(dim=0, return_inverse=True)
        first = torch.full((len(strings),), len(place)).scatter_reduce(0, place, torch.arange(len(place)), "amin")
        strings = strings[first.argsort()]  # in the order in which they were drawn
        if len(strings) >= count:
            return strings[:count].float()
