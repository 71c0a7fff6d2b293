"""Logits of any size, and moved by what no answer depends on: numbers stay, or are told to be none."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
import torch

from tests.planted import clock_logits
from tests.tables import grid, noise

P = 23
KEYS = [2, 5]
KINDS = ("restricted_loss", "excluded_loss", "trace_restricted_loss", "trace_excluded_loss")
SHARES = ("trace_similarity", "explained", "pizza_explained", "explained_by_freq", "pizza_similarity")


def without_cosines(size):
    """Logits that depend on a-c alone: every pair's mean over its answer's others holds no cosine of a+b-c."""
    a, _, c = grid(P)
    return size * torch.cos(2 * math.pi * 3 * (a - c) / P)


@pytest.mark.parametrize("size", [1.0, 1e22, 1e150])
def test_without_cosines_the_ideal_circuit_guesses(checkpoint_of, size):
    checkpoint = checkpoint_of(without_cosines(size))
    found = checkpoint.measure("trace_restricted_loss", keys=KEYS)
    assert not checkpoint.measure("cosine_fit").coefficient.any()
    assert float(found.all_loss) == pytest.approx(math.log(P), rel=1e-12)
    torch.testing.assert_close(found.all_loss_by_freq, torch.full((P // 2 + 1,), math.log(P)).double())
    restricted = checkpoint.measure("restricted_loss", keys=KEYS)
    assert float(restricted.all_loss) == pytest.approx(math.log(P), rel=1e-12)


@pytest.mark.parametrize("size", [1e18, 1e22, 1e150])
def test_what_is_left_of_a_circuit_is_no_number_where_rounding_decides_it(checkpoint_of, size):
    checkpoint = checkpoint_of(size * clock_logits(P, {2: 9.0, 5: 7.0}))
    for kind in ("excluded_loss", "trace_excluded_loss"):
        found = checkpoint.measure(kind, keys=KEYS)
        assert float(found.train_loss) == pytest.approx(math.log(P), rel=1e-6) or found.train_loss.isnan()


@pytest.mark.parametrize("scale", [1e-150, 1e-22, 1e22, 1e150])
def test_the_fit_scales_with_the_logits(checkpoint_of, scale):
    logits = noise(P) + clock_logits(P, {2: 9.0, 5: 7.0})
    one, other = (checkpoint_of(by * logits, name=f"{by}") for by in (1.0, scale))
    ours, theirs = (checkpoint.measure("cosine_fit") for checkpoint in (one, other))
    for name in SHARES:
        torch.testing.assert_close(getattr(theirs, name), getattr(ours, name), rtol=1e-9, atol=1e-12)
    for name in ("coefficient", "pizza_coefficient", "along_c"):
        torch.testing.assert_close(getattr(theirs, name) / scale, getattr(ours, name), rtol=1e-9, atol=1e-12)
    ours, theirs = (checkpoint.measure("distance_irrelevance") for checkpoint in (one, other))
    assert float(theirs.correct_logit) == pytest.approx(float(ours.correct_logit), rel=1e-9)
    assert float(theirs.best_wrong_logit) == pytest.approx(float(ours.best_wrong_logit), rel=1e-9)


def test_what_is_added_to_all_logits_of_a_pair_changes_nothing(checkpoint_of):
    logits = noise(P) + clock_logits(P, {2: 9.0, 5: 7.0})
    a, b, _ = grid(P)
    moved = logits + 1e6 * torch.cos(2 * math.pi * 2 * (a + b) / P) + 1e6
    one, other = checkpoint_of(logits, name="one"), checkpoint_of(moved, name="other")
    for name in ("coefficient", *SHARES):
        ours, theirs = (getattr(checkpoint.measure("cosine_fit"), name) for checkpoint in (one, other))
        torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-8)
    for kind in KINDS:
        ours, theirs = (checkpoint.measure(kind, keys=KEYS) for checkpoint in (one, other))
        torch.testing.assert_close(theirs.all_loss_by_freq, ours.all_loss_by_freq, rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", [3.0, 10.0, 20.0])
def test_small_losses_are_those_of_sixty_digits(checkpoint_of, size):
    """ln Σ_g exp Σ_k α_k (cos w_k g - 1), down to 1e-100."""
    checkpoint = checkpoint_of(clock_logits(P, {2: 9.0 * size, 5: 7.0 * size}))
    found = checkpoint.measure("trace_restricted_loss", keys=KEYS)
    with localcontext() as context:
        context.prec = 60
        rises = [
            sum(
                Decimal(9 * size if k == 2 else 7 * size) * (Decimal(math.cos(2 * math.pi * k * g / P)) - 1)
                for k in KEYS
            )
            for g in range(1, P)
        ]
        expected = float((1 + sum(rise.exp() for rise in rises)).ln())
    assert 0 < expected < 1e-3
    assert float(found.all_loss) == pytest.approx(expected, rel=1e-10)


def test_a_loss_of_huge_logits_is_exact_or_none(checkpoint_of):
    right = checkpoint_of(1e22 * clock_logits(P, {2: 9.0, 5: 7.0}), name="right").measure("loss")
    assert float(right.all_loss) == 0
    assert float(right.all_accuracy) == 1
    wrong = -1e22 * clock_logits(P, {2: 9.0, 5: 7.0})
    expected = float((wrong.amax(2) - wrong.diagonal(dim1=0, dim2=1).new_tensor(-16e22)).mean())
    assert float(checkpoint_of(wrong, name="wrong").measure("loss").all_loss) == pytest.approx(expected, rel=1e-9)
    level = 1e22 * torch.ones(P, P, P).double() + noise(P)
    assert checkpoint_of(level, name="level").measure("loss").all_loss.isnan()


def test_a_clock_has_no_distance_irrelevance_of_the_right_logit(checkpoint_of):
    found = checkpoint_of(clock_logits(P, {2: 9.0, 5: 7.0})).measure("distance_irrelevance")
    assert found.correct_logit.isnan()
