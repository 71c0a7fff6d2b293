from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import interp
from interp.measures.neuron_spectrum import _own_chance
from tests.told import summary


def waves(n, *freqs_and_phases):
    """[n, neuron]: a column cos(w_k x + phase) for each (k, phase)."""
    x = torch.arange(n, dtype=torch.float64)
    return torch.stack([torch.cos(2 * math.pi * freq * x / n + phase) for freq, phase in freqs_and_phases], dim=1)


def spectrum(run):
    return run.final.measure("neuron_spectrum")


@pytest.fixture
def of_inputs(planted_mlp):
    def make(from_a, from_b, name="run", **task):
        p = len(from_a)
        return planted_mlp({0: (from_a, from_b, torch.zeros(from_a.shape[1], p))}, {"p": p} | task, name)

    return make


def test_a_sum_of_waves_is_explained_in_proportion_to_their_variances(of_inputs):
    from_a = 5 + math.sqrt(0.7) * waves(11, (2, 0.3))
    from_b = math.sqrt(0.3) * waves(11, (4, 1.0))
    found = spectrum(of_inputs(from_a, from_b))
    expected = torch.tensor([[0, 0, 0.7, 0, 0.3, 0]])
    torch.testing.assert_close(found.variance_explained, expected, rtol=0, atol=1e-6)
    assert found.own_freq.tolist() == [2]
    assert float(found.own_share[0]) == pytest.approx(0.7)


def test_the_shares_of_neurons_and_of_variance_are_those_of_the_clear_ones(of_inputs):
    """A neuron of variance 2 of one frequency; one of variance 1/2 of which it has 0.7; one that never fires; one
    that is constant."""
    clear = 2 * waves(11, (3, 0.0))
    mixed = math.sqrt(0.7) * waves(11, (2, 0.3)) + math.sqrt(0.3) * waves(11, (4, 1.0))
    idle = torch.zeros(11, 1)
    from_a = torch.cat([clear, mixed, idle - 1, idle + 1], dim=1) + torch.tensor([5, 5, 0, 0])
    found = spectrum(of_inputs(from_a, torch.zeros(11, 4)))
    assert found.own_freq.tolist() == [3, 2, -1, -1]
    assert found.own_share[2:].isnan().all()
    assert found.variance_explained[2:].isnan().all()
    assert found.cluster_size.tolist() == [0, 0, 0, 1, 0, 0]
    assert float(found.clear_share) == 1 / 4
    assert float(found.clear_variance) == pytest.approx(2 / 2.5)
    assert float(found.own_variance) == pytest.approx((2 + 0.35) / 2.5)


def test_the_shares_are_those_of_the_two_dimensional_fourier_transform(of_inputs):
    p = 7
    generator = torch.Generator().manual_seed(0)
    from_a, from_b = torch.randn(2, p, 4, dtype=torch.float64, generator=generator)
    found = spectrum(of_inputs(from_a, from_b))
    for neuron in range(4):
        table = np.maximum(from_a[:, None, neuron].numpy() + from_b[None, :, neuron].numpy(), 0)
        power = np.abs(np.fft.fft2(table)) ** 2
        total = power.sum() - power[0, 0]
        for k in range(1, 4):
            own = [power[i, j] for i in (0, k, p - k) for j in (0, k, p - k) if (i, j) != (0, 0)]
            assert float(found.variance_explained[neuron, k]) == pytest.approx(sum(own) / total, rel=1e-5)


def test_where_two_frequencies_explain_as_much_neither_is_the_neuron_s_own(of_inputs):
    """A neuron of one pair, one of a single a, one of two waves alike; noise of 1e-15 on them changes nothing."""
    p = 11
    hot = torch.nn.functional.one_hot(torch.arange(p), p).double()
    from_a = torch.stack(
        [2 * hot[3] - 1, hot[5], 3 + waves(p, (2, 0.3), (4, 1.0)).sum(1), 3 + waves(p, (2, 0.3))[:, 0]], 1
    )
    from_b = torch.stack([2 * hot[7] - 2, 0 * hot[0], 0 * hot[0], 0 * hot[0]], 1)
    noise = 1e-15 * torch.randn(p, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for place, found in enumerate((of_inputs(from_a, from_b), of_inputs(from_a + noise, from_b, "noise"))):
        measured = spectrum(found)
        assert measured.own_freq.tolist() == [0, 0, 0, 2], place
        share = 8 / (p * p - 1)
        assert measured.own_share.tolist() == pytest.approx([share, 1 / 5, 0.5, 1], abs=1e-9)
        assert measured.cluster_size.tolist() == [0, 0, 1, 0, 0, 0]
        commitment = found.final.measure("neuron_commitment")
        assert commitment.committed_to.tolist() == [-1, -1, -1, 2]
        assert commitment.active.all()


def test_the_order_of_the_neurons_is_that_of_the_network(of_inputs):
    from_a = 2 + waves(11, (1, 0.2), (4, 1.0), (2, 0.5))
    assert spectrum(of_inputs(from_a, torch.zeros(11, 3))).own_freq.tolist() == [1, 4, 2]
    assert spectrum(of_inputs(from_a[:, [2, 0, 1]], torch.zeros(11, 3), "again")).own_freq.tolist() == [2, 1, 4]


@pytest.mark.parametrize("unit", [2, 5])
def test_naming_the_residues_anew_by_a_unit_moves_frequency_k_to_k_over_the_unit(of_inputs, unit):
    p, back = 13, pow(unit, -1, 13)
    from_a, from_b = waves(p, (1, 0.1), (3, 1.0), (6, 2.0)), waves(p, (1, 0.5), (3, 0.0), (6, 1.0))
    names = torch.arange(p) * back % p
    before = spectrum(of_inputs(from_a, from_b))
    after = spectrum(of_inputs(from_a[names], from_b[names], "after"))
    moved = torch.tensor([min(k * back % p, -k * back % p) for k in range(p // 2 + 1)])
    torch.testing.assert_close(after.variance_explained[:, moved], before.variance_explained, rtol=0, atol=1e-6)


@pytest.mark.parametrize("operation", ["x-y", "x*y", "x/y"])
def test_of_differences_products_and_quotients_the_frequencies_are_those_of_their_cyclic_order(of_inputs, operation):
    p = 11
    axis = torch.arange(p) if operation == "x-y" else torch.tensor([pow(2, i, p) for i in range(p - 1)])
    from_a = torch.full((p, 2), 9.0, dtype=torch.float64)
    from_a[axis] = 2 + waves(len(axis), (3, 0.4), (2, 0.0))
    found = spectrum(of_inputs(from_a, torch.zeros(p, 2), operation=operation))
    assert found.own_freq.tolist() == [3, 2]
    torch.testing.assert_close(found.own_share, torch.ones(2, dtype=torch.float64))


def test_over_a_run_neurons_are_sorted_by_their_last_frequency_the_clearest_first(planted_mlp):
    p = 11

    def network(*tables):
        return 5 + torch.cat(tables, dim=1), torch.zeros(p, 4), torch.zeros(4, p)

    def mixture(freq, share):
        return math.sqrt(share) * waves(p, (freq, 0.0)) + math.sqrt(1 - share) * waves(p, (1, 1.0))

    first = network(*[mixture(5, 0.9)] * 4)
    last = network(mixture(4, 0.6), mixture(2, 0.9), mixture(4, 0.95), mixture(2, 0.99))
    broken = tuple(torch.full_like(table, torch.nan) for table in last)
    result = planted_mlp({0: first, 10: last, 20: broken}, {"p": p}).measure("neuron_spectrum")
    assert result.order.values.tolist() == [3, 1, 2, 0]
    told = summary("neuron_spectrum", result)
    assert (told.values["size_2"], told.values["size_4"]) == (2, 1)
    assert told.values["clear_share"] == 0.75


@pytest.mark.slow
def test_the_published_transformer_s_clusters_are_at_its_published_key_frequencies(reference):
    """Chughtai et al. 2023, C113_T_seed1: key representations 16, 30, 56."""
    run = interp.open_run(reference / "rep_theory" / "C113_T_seed1", importer="state_dicts")
    found = spectrum(run)
    assert found.cluster_size.nonzero().flatten().tolist() == [16, 30, 56]
    assert torch.equal(found.cluster_size, run.final.measure("key_freqs").clear_neurons)


@pytest.mark.parametrize("n", [7, 8, 31])
def test_what_chance_explains_is_what_random_waves_have(n):
    """f(a) + g(b) of Gaussian values, 4,000 times: the largest share that one frequency holds of both."""
    values = np.random.default_rng(0).standard_normal((2, 4_000, n))
    squares = np.abs(np.fft.rfft(values - values.mean(axis=2, keepdims=True)))[..., 1:] ** 2
    squares[..., -1] /= 2 if n % 2 == 0 else 1  # the wave (-1)^t has one direction, not two
    by_freq = squares.sum(axis=0)  # [draw, freq]
    shares = by_freq.max(axis=1) / by_freq.sum(axis=1)
    error = shares.std() / np.sqrt(len(shares))
    assert abs(shares.mean() - _own_chance(n)) < 4 * error
