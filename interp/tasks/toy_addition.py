"""Liu et al.'s toy: whole numbers are added, and the answer is a vector that stands for the sum."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt

from interp.contracts.sums import Sums

MAX_P = 1_000


def toy_addition(
    p: Annotated[int, Field(ge=2, le=MAX_P)] = 10,
    n_train: PositiveInt = 45,
    targets: Literal["vectors", "classes"] = "vectors",
    d_target: PositiveInt = 30,
    seed: NonNegativeInt = 58,
) -> Sums:
    """Sums of two of the numbers 0…p-1, not modulo anything, of which `n_train` random pairs are trained on.

    The examples are the p(p+1)/2 unordered pairs a <= b, and the sums 0…2p-2 the classes. With targets "vectors" each
    sum has a random vector of `d_target` numbers N(0, 1), which the outputs are to meet (loss: mse), and the answer is
    the sum whose vector is nearest. With "classes" there is an output for each sum. The defaults are those of the
    paper's code; `seed` draws the vectors, then the pairs.

    Paper: Liu et al. 2022, arXiv 2205.10343

    Raises ValueError where there are not as many pairs.
    """
    pairs = torch.tensor([(a, b) for a in range(p) for b in range(a, p)])
    if n_train > len(pairs):
        raise ValueError(f"n_train is {n_train}, and there are {len(pairs)} pairs a <= b of {p} numbers; lower it")
    generator = torch.Generator().manual_seed(seed)
    n_sums = 2 * p - 1
    codes = torch.randn(n_sums, d_target, generator=generator) if targets == "vectors" else torch.eye(n_sums)
    order = torch.randperm(len(pairs), generator=generator)
    train = torch.zeros(len(pairs), dtype=torch.bool)
    train[order[:n_train]] = True
    answers = pairs.sum(dim=1)
    return Sums(
        description=f"a+b of 0…{p - 1}, " + (f"as vectors of {d_target}" if targets == "vectors" else "as classes"),
        inputs=pairs,
        targets=codes[answers] if targets == "vectors" else answers,
        n_outputs=codes.shape[1],
        train=train,
        order=order,
        codes=codes,
        classes=answers,
        p=p,
    )
