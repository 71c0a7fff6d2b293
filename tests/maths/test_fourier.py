from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.maths import fourier


@pytest.mark.parametrize("n", [3, 4, 7, 8, 113])
def test_the_basis_is_orthonormal(n):
    F = fourier.basis(n)
    assert F.dtype == torch.float64
    torch.testing.assert_close(F @ F.T, torch.eye(n, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [7, 8])
def test_the_rows_are_constant_then_cosine_and_sine_of_each_frequency(n):
    F = fourier.basis(n).numpy()
    x = np.arange(n)
    assert np.allclose(F[0], 1 / np.sqrt(n))
    for row in range(1, n):
        k = (row + 1) // 2
        wave = (np.cos if row % 2 else np.sin)(2 * np.pi * k * x / n)
        assert np.allclose(F[row], wave / np.linalg.norm(wave))
    assert fourier.freq_of_row(n).tolist() == [(row + 1) // 2 for row in range(n)]


def test_the_last_row_for_even_n_alternates():
    assert np.allclose(fourier.basis(6)[5] * np.sqrt(6), [1, -1, 1, -1, 1, -1])


@pytest.mark.parametrize("n", [7, 8])
def test_power_by_frequency_is_that_of_the_fast_fourier_transform(n):
    signal = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    power = fourier.by_freq((fourier.basis(n) @ signal).square())
    spectrum = np.abs(np.fft.fft(signal.numpy(), axis=0)) ** 2 / n
    expected = [spectrum[k] if k in (0, n - k) else spectrum[k] + spectrum[n - k] for k in range(n // 2 + 1)]
    assert np.allclose(power, expected)
    assert np.allclose(power.sum(0), signal.square().sum(0))  # Parseval


def full_power(table: np.ndarray) -> np.ndarray:
    """[n//2+1, n//2+1]: power at frequency k in a and l in b, from the whole two-dimensional transform."""
    n = len(table)
    spectrum = np.abs(np.fft.fft2(table)) ** 2 / n**2
    power = np.zeros((n // 2 + 1, n // 2 + 1))
    for i in range(n):
        for j in range(n):
            power[min(i, n - i), min(j, n - j)] += spectrum[i, j]
    return power


@pytest.mark.parametrize("n", [7, 8, 11])
def test_pair_power_is_what_the_two_dimensional_transform_has_at_k_and_zero_zero_and_k_and_k_and_k(n):
    table = torch.randn(n, n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    found = fourier.pair_power(table)
    for neuron in range(2):
        power = full_power(table[..., neuron].numpy())
        assert np.isclose(power.sum(), table[..., neuron].square().sum())  # Parseval
        assert np.isclose(found[0, neuron], power[0, 0])
        for k in range(1, n // 2 + 1):
            assert np.isclose(found[k, neuron], power[k, 0] + power[0, k] + power[k, k])


@pytest.mark.parametrize("n", [7, 8])
def test_pair_power_of_a_wave_of_the_sum_is_all_at_its_frequency(n):
    a, b = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    for k in range(1, n // 2 + 1):
        wave = torch.cos(2 * torch.pi * k * (a + b).double() / n + 0.3)[..., None]
        expected = torch.zeros(n // 2 + 1, 1, dtype=torch.float64)
        expected[k] = wave.square().sum()
        torch.testing.assert_close(fourier.pair_power(wave), expected, rtol=0, atol=1e-10)


def test_pair_power_leaves_out_what_mixes_two_frequencies():
    n = 11
    wave = torch.outer(fourier.basis(n)[1], fourier.basis(n)[3])[..., None]  # cos 1 in a, cos 2 in b
    assert fourier.pair_power(wave).abs().max() < 1e-24


@pytest.mark.parametrize("n", [7, 8])
def test_variance_explained_is_pair_power_over_the_variance_whatever_the_mean(n):
    table = torch.randn(n, n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    explained, variance = fourier.variance_explained(table + 5)
    expected = table.numpy().var(axis=(0, 1))
    assert np.allclose(variance, expected)
    assert (explained[0] == 0).all()
    for neuron in range(3):
        power = full_power(table[..., neuron].numpy())
        shares = [(power[k, 0] + power[0, k] + power[k, k]) / (n**2 * expected[neuron]) for k in range(1, n // 2 + 1)]
        assert np.allclose(explained[1:, neuron], shares)


@pytest.mark.parametrize("n", [7, 8])
def test_the_shares_of_a_row_s_variance_are_those_of_the_fast_fourier_transform_and_sum_to_one(n):
    rows = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    explained, variance = fourier.row_variance_explained(rows - 2)
    spectrum = np.abs(np.fft.fft(rows.numpy(), axis=0)) ** 2
    folded = [spectrum[k] if 2 * k == n else 2 * spectrum[k] for k in range(1, n // 2 + 1)]
    assert np.allclose(explained[1:], folded / spectrum[1:].sum(axis=0))
    assert np.allclose(explained.sum(dim=0), 1)
    assert np.allclose(variance, rows.numpy().var(axis=0))


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.8085729479789734 / 3])
def test_what_never_varies_has_no_shares(constant):
    for explained, variance in (
        fourier.variance_explained(torch.full((7, 7, 1), constant, dtype=torch.float64)),
        fourier.row_variance_explained(torch.full((7, 1), constant, dtype=torch.float64)),
    ):
        assert explained.isnan().all()
        assert variance.item() == 0


def test_the_leading_frequency_is_the_one_with_the_largest_share_unless_another_has_as_much():
    """Permuting the pairs, or noise of 1e-15, changes the last bit of a share and no answer."""
    nothing = [np.nan] * 4
    columns = [[0, 0.2, 0.5, 0.3], [0, 0.5, 0.5, 0], [0, 0.5, 0.5 - 1e-7, 0], [0, 0.5, 0.49, 0], [0, 1, 0, 0], nothing]
    shares = torch.tensor(columns, dtype=torch.float64).T
    for moved in (0, 1e-15, -1e-15):
        largest, freq = fourier.leading(shares + moved * torch.arange(4)[:, None])
        assert freq.tolist() == [2, 0, 0, 1, 1, -1]
        assert np.allclose(largest[:5], [0.5, 0.5, 0.5, 0.5, 1], atol=1e-12)
        assert largest[5].isnan()


def test_of_the_strongest_those_that_are_alike_come_in_their_order():
    power = torch.tensor([0.1, 0.3, 0.2, 0.3, 0.1], dtype=torch.float64)
    for moved in (0, 1e-15, -1e-15):
        assert fourier.strongest(power + moved * torch.arange(5), 4) == [1, 3, 2, 0]
    assert fourier.strongest(power, 9) == [1, 3, 2, 0, 4]
    assert fourier.strongest(torch.zeros(3, dtype=torch.float64), 2) == [0, 1]
