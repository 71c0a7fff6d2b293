from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.errors import InterpError


def wave(n, freq, phase=0.0):
    return torch.cos(2 * math.pi * freq * torch.arange(n, dtype=torch.float64) / n + phase)


@pytest.fixture
def measured(planted_mlp):
    def make(from_a, from_b, to_c, name="run", r=2.0, **task):
        run = planted_mlp({0: (from_a, from_b, to_c)}, {"p": len(from_a)} | task, name)
        return run[0].measure("inverse_participation", r=r)

    return make


def test_one_wave_of_any_phase_is_one_and_two_equal_waves_a_half(measured):
    p = 11
    one, two = wave(p, 3, 0.7)[:, None], (wave(p, 1) + wave(p, 4, 2.0))[:, None]
    three = (wave(p, 1) + wave(p, 4, 2.0) + math.sqrt(0.5)).unsqueeze(1)  # the constant is a frequency too
    found = measured(one, two, three.T)
    assert found.side == ("a", "b", "c")
    assert found.ipr[:, 0].tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert found.mean_ipr.tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert float(found.overall) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    cubed = measured(one, two, three.T, "cubed", r=3)
    assert cubed.ipr[:, 0].tolist() == pytest.approx([1, 1 / 4, 1 / 9])


def test_the_mean_is_over_the_neurons(measured):
    p = 11
    columns = torch.stack([wave(p, 2), wave(p, 1) + wave(p, 3)], dim=1)
    found = measured(columns, columns, columns.T)
    assert found.mean_ipr.tolist() == pytest.approx([0.75] * 3)


def test_it_is_that_of_the_fast_fourier_transform(measured):
    p = 7
    columns = torch.randn(3, p, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = measured(columns[0], columns[1], columns[2].T)
    for side in range(3):
        squares = np.abs(np.fft.rfft(columns[side].numpy(), axis=0)) ** 2
        squares[1:] *= 2  # the negative frequencies
        share = squares / squares.sum(axis=0)
        assert np.allclose(found.ipr[side], (share**2).sum(axis=0))


def test_of_a_transformer_it_is_of_w_e_w_in_and_w_out_w_u(make_run):
    p, task = 7, {"modular_arithmetic": {"p": 7}}
    model = {"transformer": {"d_model": 6, "n_heads": 2, "d_mlp": 5, "shared_vocab": False}}
    weights = make_run({}, task, model, "empty").architecture.initial(0)
    found = make_run({0: weights}, task, model)[0].measure("inverse_participation")
    w = {name: value.double().numpy() for name, value in weights.items()}
    W_in, W_E = w["blocks.0.mlp.W_in"], w["embed.W_E"]
    sides = (
        W_E[:p] @ W_in,
        W_E[p : 2 * p] @ W_in,
        (w["blocks.0.mlp.W_out"] @ w["unembed.W_U"])[:, :p].T,
    )
    for side, rows in enumerate(sides):
        squares = np.abs(np.fft.rfft(rows, axis=0)) ** 2 * np.array([1, 2, 2, 2])[:, None]
        assert np.allclose(found.ipr[side], ((squares / squares.sum(axis=0)) ** 2).sum(axis=0))


def test_of_products_the_residues_go_round_by_their_discrete_logarithms(measured):
    p = 11
    column = torch.full((p, 1), 7.0, dtype=torch.float64)
    column[torch.tensor([pow(2, i, p) for i in range(p - 1)])] = wave(p - 1, 3)[:, None]
    found = measured(column, column, column.T, operation="x*y")
    assert found.mean_ipr.tolist() == pytest.approx([1] * 3)


def test_behind_another_layer_only_the_way_to_the_logits_is_told(make_run):
    task, model = {"modular_arithmetic": {"p": 7}}, {"mlp": {"d_model": 3, "d_mlp": 4, "n_layers": 2}}
    weights = make_run({}, task, model, "empty").architecture.initial(0)
    found = make_run({0: weights}, task, model)[0].measure("inverse_participation")
    assert found.mean_ipr.isnan().tolist() == [True, True, False]
    assert float(found.overall) == float(found.mean_ipr[2])


@pytest.mark.parametrize("r", [1, 0, math.inf])
def test_an_exponent_with_which_it_says_nothing_is_refused(measured, r):
    column = wave(7, 1)[:, None]
    with pytest.raises(InterpError, match="r"):
        measured(column, column, column.T, r=r)
