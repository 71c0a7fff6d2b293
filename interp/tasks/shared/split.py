"""The rules by which published runs drew the pairs that they trained on."""

from __future__ import annotations

import random
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

Split = Literal["progress_measures", "rep_theory", "power", "unknown"]
"""Those of Nanda et al., Chughtai et al. and Power et al.; or nobody recorded it."""


def refuse_no_share(frac_train: float) -> None:
    """Raise ValueError where frac_train is no share of the pairs."""
    if not 0 < frac_train <= 1:
        raise ValueError(f"frac_train is {frac_train}; it is a share of all pairs, above 0 and at most 1")


def shuffled(
    split: Split, n: int, seed: int, listed: Int[np.ndarray, " pair"] | None = None
) -> Int[Tensor, " pair"] | None:
    """The n pairs, by number, as the rule `split` shuffles them; None where the rule is unknown.

    `listed` is the order in which Power et al. have the equations before they shuffle, row-major where it is None.
    """
    match split:
        case "progress_measures":
            order = list(range(n))
            random.Random(seed).shuffle(order)
            return torch.tensor(order)
        case "rep_theory":
            return torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        case "power":
            equations = np.arange(n) if listed is None else listed.copy()
            np.random.RandomState(seed).shuffle(equations)
            return torch.from_numpy(equations)
        case "unknown":
            return None
        case _:
            raise ValueError(f"split is {split!r}; it is one of {', '.join(get_args(Split))}")


def trained_on(split: Split, order: Int[Tensor, " pair"] | None, frac_train: float) -> Bool[Tensor, " pair"] | None:
    """True for the first pairs of the order, as many as the rule trains on; None where the order is unknown."""
    if order is None:
        return None
    n = len(order)
    count = round(frac_train * n) if split == "power" else int(frac_train * n)
    if not count:
        raise ValueError(f"frac_train is {frac_train}, which of {n} pairs is none; raise it")
    mask = torch.zeros(n, dtype=torch.bool)
    mask[order[:count]] = True
    return mask
