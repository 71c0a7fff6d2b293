from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.results.account import panels
from tests.planted import clock_logits, of_logits, pizza_logits
from tests.tables import noise
from tests.told import summary


@pytest.fixture
def fit_of(checkpoint_of):
    """cosine_fit of a network with these logits."""
    return lambda table, name="run", **task: checkpoint_of(table, name, **task).measure("cosine_fit")


@pytest.mark.parametrize(("n", "operation"), [(11, "x+y"), (8, "x+y"), (11, "x-y")])
def test_the_amplitudes_that_were_planted_come_back(fit_of, n, operation):
    planted = {1: 2.5, 3: -0.75, n // 2: 4.0}
    found = fit_of(5 + clock_logits(n, planted, 1 if operation == "x+y" else -1), operation=operation)
    expected = torch.tensor([planted.get(k, 0.0) for k in range(n // 2 + 1)], dtype=torch.float64)
    torch.testing.assert_close(found.coefficient, expected, rtol=1e-12, atol=1e-13)
    assert float(found.explained) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("n", "operation"), [(11, "x+y"), (8, "x+y"), (11, "x-y")])
def test_a_pizza_s_amplitudes_come_back(fit_of, n, operation):
    planted = {1: 2.5, 3: -0.75, n // 2: 4.0}
    found = fit_of(pizza_logits(n, planted, 1 if operation == "x+y" else -1) - 2, operation=operation)
    expected = torch.tensor([planted.get(k, 0.0) for k in range(n // 2 + 1)], dtype=torch.float64)
    torch.testing.assert_close(found.pizza_coefficient, expected, rtol=1e-12, atol=1e-13)
    assert float(found.pizza_explained) == pytest.approx(1, rel=1e-12)
    assert float(found.explained) < 0.9


@pytest.mark.parametrize("n", [7, 8])
def test_similarities_and_shares_are_those_of_the_arrays_written_out(fit_of, n):
    shift = noise(n, 1)[:, :, :1]  # of all logits of a pair, which counts nothing
    table = noise(n) + clock_logits(n, {2: 0.5}) + shift
    found = fit_of(table)
    centred = table - table.mean(2, keepdim=True)
    for form, similarity, shares in (
        (clock_logits, found.trace_similarity, found.explained_by_freq),
        (pizza_logits, found.pizza_similarity, found.pizza_explained_by_freq),
    ):
        for k in range(1, n // 2 + 1):
            wave = form(n, {k: 1.0})
            expected = float((centred * wave).sum() / (centred.norm() * wave.norm()))
            assert float(similarity[k]) == pytest.approx(expected, rel=1e-10)
            assert float(shares[k]) == pytest.approx(expected**2, rel=1e-10)


@pytest.mark.parametrize("n", [7, 8])
def test_the_shares_together_are_those_of_least_squares_on_all_frequencies(fit_of, n):
    table = noise(n) + clock_logits(n, {2: 0.5}) + pizza_logits(n, {1: 0.5})
    found = fit_of(table)
    centred = (table - table.mean(2, keepdim=True)).flatten()[:, None]
    for form, explained in ((clock_logits, found.explained), (pizza_logits, found.pizza_explained)):
        waves = torch.stack([form(n, {k: 1.0}).flatten() for k in range(1, n // 2 + 1)], 1)
        fitted = waves @ torch.linalg.lstsq(waves, centred).solution
        assert float(explained) == pytest.approx(float(fitted.square().sum() / centred.square().sum()), rel=1e-10)


def test_for_products_it_runs_over_discrete_logarithms(fit_of):
    p = 11
    powers = torch.tensor([pow(2, i, p) for i in range(p - 1)])
    table = torch.full((p, p, p), -3.0).double()
    table[powers[:, None, None], powers[:, None], powers] = clock_logits(p - 1, {3: 5.0})
    found = fit_of(table, operation="x*y")
    assert found.coefficient.tolist() == pytest.approx([0, 0, 0, 5, 0, 0], abs=1e-12)


@pytest.mark.parametrize("unit", [2, 5])
def test_naming_the_residues_anew_by_a_unit_moves_frequencies(fit_of, unit):
    p = 13
    back = pow(unit, -1, p)
    table = noise(p) + clock_logits(p, {1: 3.0, 4: 2.0})
    names = torch.arange(p) * back % p  # residue u·x is treated as x was
    before, after = fit_of(table, "before"), fit_of(table[names][:, names][:, :, names], "after")
    for freq in range(1, p // 2 + 1):
        moved = min(freq * back % p, p - freq * back % p)
        assert float(after.coefficient[moved]) == pytest.approx(float(before.coefficient[freq]), rel=1e-10)
        assert float(after.pizza_coefficient[moved]) == pytest.approx(float(before.pizza_coefficient[freq]), rel=1e-10)


def test_what_is_random_is_not_explained(fit_of):
    assert float(fit_of(noise(13)).explained) < 0.05


def test_its_summary_names_the_frequencies(make_run):
    network = of_logits(clock_logits(11, {2: 9.0, 5: 7.0}))
    result = make_run({0: network.weights}, network.task, network.model).measure("cosine_fit")
    told = summary("cosine_fit", result)
    assert told.values["frequencies"] == [2, 5]
    assert "100% of the centred logits, at frequencies 2 and 5 more than 1% each" in told.sentence
    for panel in panels("cosine_fit", result):
        panel.draw()


def test_the_logits_along_c_are_the_sum_of_the_clock_logits(fit_of):
    p, sizes = 13, {2: 5.0, 3: 2.0}
    distance = torch.arange(p).double()
    expected = sum(size * (2 * math.pi * k * distance / p).cos() for k, size in sizes.items())
    torch.testing.assert_close(fit_of(clock_logits(p, sizes)).along_c, expected, rtol=1e-5, atol=1e-5)


def test_sorted_by_its_frequency_a_cosine_has_one_period(make_run):
    p = 13
    network = of_logits(clock_logits(p, {2: 5.0}))
    result = make_run({0: network.weights}, network.task, network.model).measure("cosine_fit")
    (ordered,) = [panel for panel in panels("cosine_fit", result) if "sorted by 2(c − a − b)" in panel.title]
    turns = ordered.array[ordered.array.dims[-1]].values
    assert turns.tolist() == list(range(-6, 7))
    np.testing.assert_allclose(ordered.array[-1], 5 * np.cos(2 * np.pi * turns / p), rtol=1e-5, atol=1e-5)
