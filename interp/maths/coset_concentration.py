"""How nearly functions of a group are constant on the cosets of its subgroups.

1. A subgroup of order m parts the n elements into n/m cosets (`members`), left ones gH or right ones Hg.
2. The coset concentration is the sum over the cosets of the variance within, over the whole variance (`least`).
3. What it would be by chance is asked of the same functions turned at random within their representations (`turned`).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

ALIKE = 1e-9
"""Concentrations are alike that differ by no more; of subgroups alike the largest is the best."""


def members(labels: Int[Tensor, " element"]) -> Int[Tensor, "coset member"]:
    """The elements of each coset, given the number of each element's coset."""
    return labels.argsort(stable=True).view(int(labels.max()) + 1, -1)


def least(
    functions: Float[Tensor, "element column"], partitions: Iterable[Int[Tensor, "_coset _member"]]
) -> tuple[Float[Tensor, " column"], Int[Tensor, " column"]]:
    r"""Return each function's least coset concentration over the partitions, and the number of the partition.

    Variances are those of samples, over one less than there are members, so that of a random function the
    concentration is about the number of cosets; one coset, the whole group, has 1 whatever the function. Of partitions
    with the same the later one counts. NaN where a function is constant.

    Formula: C_H(f) = \sum_{gH} \mathrm{Var}(f \mid gH) \,/\, \mathrm{Var}(f)

    Paper: Stander et al. 2023, arXiv 2312.06581
    """
    n = len(functions)
    centred = functions - functions.mean(dim=0)
    varies = centred.square().sum(dim=0) > (ALIKE * functions.abs().amax(dim=0)).square() * n
    unit = centred / centred.square().sum(dim=0).sqrt() * (n - 1) ** 0.5  # of variance 1
    value = torch.full_like(unit[0], torch.inf)
    which = torch.full(value.shape, -1)
    for number, cosets in enumerate(partitions):
        m = cosets.shape[1]
        between = unit[cosets].sum(dim=1).square().sum(dim=0) / m  # [column]
        found = (n - 1 - between).clamp(min=0) / (m - 1)
        better = found <= value + ALIKE
        value, which = torch.minimum(found, value), which.masked_fill(better, number)
    return value.where(varies, torch.nan), which.where(varies, -1)


def coset_means(
    functions: Float[Tensor, "element column"], labels: Int[Tensor, " element"]
) -> Float[Tensor, "element column"]:
    """Each function with its mean over a coset in the place of its values there."""
    return functions[members(labels)].mean(dim=1)[labels]


def turned(
    functions: Float[Tensor, "element column"], place: Int[Tensor, "element element"], generator: torch.Generator
) -> Float[Tensor, "element column"]:
    """The functions mixed with their own translates at random, f'(x) = Σ_g w_g f(g x) with normal w.

    `place` has the number of the g with g·x = y, [x, y]: of translates from the left y·x⁻¹, from the right x⁻¹·y. A
    function vᵀρ(x)u becomes one of the same representation ρ with a random vector in the place of v, so that it keeps
    its representations and no coset that v is fixed by.
    """
    weights = torch.randn(len(place), generator=generator, dtype=torch.float64)
    return weights.to(functions)[place.to(functions.device)] @ functions
