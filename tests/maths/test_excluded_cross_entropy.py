"""Against the losses of each array of logits on its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from interp.maths.cross_entropy import cross_entropy
from interp.maths.excluded_cross_entropy import excluded_cross_entropy


def one_by_one(logits: Tensor, removed: Tensor) -> Tensor:
    n, m, _ = logits.shape
    found = [
        cross_entropy(logits[s] - removed[s, :, k], torch.full((m,), s))
        for s in range(n)
        for k in range(removed.shape[2])
    ]
    return torch.stack(found).view(n, removed.shape[2], m).transpose(1, 2)


def case(
    size: float, size_removed: float, lead: float, n: int = 11, m: int = 7, freqs: int = 4
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = size * torch.randn(n, m, n, dtype=torch.float64, generator=generator)
    logits.diagonal(dim1=0, dim2=2).add_(lead)
    return logits, size_removed * torch.randn(n, n, freqs, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(
    ("size", "size_removed", "lead"),
    [
        pytest.param(1, 1, 0, id="untrained"),
        pytest.param(3, 1, 25, id="losses of 1e-9"),
        pytest.param(30, 30, 120, id="margins above 100"),
        pytest.param(600, 600, 0, id="factors beyond what a float can hold"),
        pytest.param(2000, 2000, 0, id="far beyond"),
        pytest.param(0, 300, 0, id="only what is removed varies"),
        pytest.param(300, 0, 0, id="nothing is removed"),
    ],
)
def test_it_is_the_cross_entropy_of_the_difference(size: float, size_removed: float, lead: float) -> None:
    logits, removed = case(size, size_removed, lead)
    expected = one_by_one(logits, removed)
    torch.testing.assert_close(excluded_cross_entropy(logits, removed), expected, rtol=1e-10, atol=1e-300)


def test_losses_of_1e_9_are_among_the_cases() -> None:
    losses = excluded_cross_entropy(*case(3, 1, 25))
    assert ((losses > 1e-11) & (losses < 1e-8)).any()


def test_some_cases_are_beyond_the_product_of_matrices() -> None:
    logits, removed = case(600, 600, 0)
    wrong = (logits - logits.amax(2, keepdim=True)).exp() @ (-removed + removed.amin(1, keepdim=True)).exp()
    assert wrong.min() < 1e-290


def test_what_is_alike_for_all_answers_changes_nothing() -> None:
    logits, removed = case(3, 2, 5)
    moved = excluded_cross_entropy(logits + 40, removed - 7)
    torch.testing.assert_close(moved, excluded_cross_entropy(logits, removed), rtol=1e-10, atol=0)


def test_what_is_no_number_stays_so() -> None:
    logits, removed = case(1, 1, 0)
    logits[2, 3, 4] = torch.nan
    lost = excluded_cross_entropy(logits, removed).isnan()
    assert lost[2, 3].all()
    assert lost.sum() == removed.shape[2]
