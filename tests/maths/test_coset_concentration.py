"""How nearly functions are constant on cosets, against sums by hand and functions whose cosets are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.maths.coset_concentration import coset_means, least, members, turned
from interp.maths.groups.named import named_group
from tests.planted_groups import permutations, products


def by_hand(values: np.ndarray, labels: np.ndarray) -> float:
    """Σ over the cosets of the variance within, over the whole variance."""
    return sum(values[labels == one].var(ddof=1) for one in np.unique(labels)) / values.var(ddof=1)


@pytest.mark.parametrize("name", ["S4", "D5", "C12"])
def test_the_concentration_is_the_sum_of_variances_within_over_the_whole(name):
    subgroups = [one for one in named_group(name).subgroups if one.order > 1]
    functions = torch.randn(named_group(name).order, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values, which = least(functions, [members(one.left) for one in subgroups])
    for column in range(3):
        expected = [by_hand(functions[:, column].numpy(), one.left.numpy()) for one in subgroups]
        assert float(values[column]) == pytest.approx(min(expected))
        assert int(which[column]) == int(np.argmin(expected))


def test_of_subgroups_alike_the_largest_is_the_best_and_a_constant_has_none():
    images = permutations(4)
    functions = torch.tensor(np.stack([images[:, 0] == 2, np.ones(24)], axis=1)).double()
    subgroups = [one for one in named_group("S4").subgroups if 1 < one.order < 24]
    values, which = least(functions, [members(one.right) for one in subgroups])
    assert float(values[0]) == pytest.approx(0, abs=1e-12)
    assert subgroups[int(which[0])].members.tolist() == (images[:, 0] == 0).tolist()  # the stabiliser of a point
    assert bool(values[1].isnan())
    assert int(which[1]) == -1


def test_an_indicator_of_one_element_has_as_much_as_there_are_cosets():
    subgroups = [one for one in named_group("S4").subgroups if one.order > 1]
    functions = torch.eye(24, dtype=torch.float64)[:, [5]]
    for one in subgroups:
        value, _ = least(functions, [members(one.left)])
        assert float(value) == pytest.approx(one.index)


def test_means_over_cosets_are_those_of_numpy():
    values = np.random.default_rng(0).normal(size=(24, 2))
    labels = np.random.default_rng(1).permutation(24) // 6
    expected = np.stack([values[labels == one].mean(axis=0) for one in labels])
    np.testing.assert_allclose(coset_means(torch.tensor(values), torch.tensor(labels)), expected)


def test_a_turned_function_keeps_its_representation_and_loses_its_coset():
    """x ↦ [x(0) = 2] lies in the trivial and the standard representation, of 1 + 9 dimensions of 24."""
    images, product = permutations(4), products(4)
    inverse = np.argsort(images, axis=1)
    place = {tuple(row): number for number, row in enumerate(images.tolist())}
    inverses = np.array([place[tuple(row)] for row in inverse.tolist()])
    left = torch.tensor(product[:, inverses].T)  # y x⁻¹ at [x, y]
    functions = torch.tensor(np.stack([images[:, 0] == 2, images[:, 1] == 3], axis=1)).double()
    found = turned(functions, left, torch.Generator().manual_seed(0))
    moves = np.eye(4)[images].reshape(24, 16)  # their span: trivial and standard
    fitted, *_ = np.linalg.lstsq(moves, found.numpy(), rcond=None)
    np.testing.assert_allclose(moves @ fitted, found, atol=1e-9)
    own_side = found[torch.tensor(product)]  # [g, h, column] = f(g h)
    stabiliser = np.flatnonzero(images[:, 2] == 2)  # h after g leaves [(g h)(0) = 2] as it is
    np.testing.assert_allclose(own_side[:, stabiliser, 0], found[:, None, 0].expand(24, 6), atol=1e-9)
    right_stabiliser = np.flatnonzero(images[:, 0] == 0)
    other_side = found[torch.tensor(product[right_stabiliser])][:, :, 0]  # f(h g)
    assert not np.allclose(other_side, found[:, 0], atol=0.1)
