from __future__ import annotations

import math

import pytest
import torch

from interp.maths.spectra import matrices, spectral_entropy, stable_rank


def test_equal_singular_values_have_full_rank_and_a_single_one_rank_1():
    equal, alone = torch.full((7,), 3.0).double(), torch.tensor([2.0, 0.0, 0.0]).double()
    assert float(stable_rank(equal)) == pytest.approx(7)
    assert float(spectral_entropy(equal)) == pytest.approx(math.log(7))
    assert float(stable_rank(alone)) == 1
    assert float(spectral_entropy(alone)) == 0


def test_the_entropy_is_of_the_values_and_the_stable_rank_of_their_squares():
    values = torch.tensor([3.0, 1.0]).double()
    assert float(spectral_entropy(values)) == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert float(stable_rank(values)) == pytest.approx(10 / 9)


def test_size_does_not_matter():
    values = torch.rand(9, generator=torch.Generator().manual_seed(0)).double()
    for scale in (1e-30, 1e30):
        assert float(stable_rank(scale * values)) == pytest.approx(float(stable_rank(values)))
        assert float(spectral_entropy(scale * values)) == pytest.approx(float(spectral_entropy(values)))


def test_zeros_have_no_rank():
    assert stable_rank(torch.zeros(3)).isnan()
    assert spectral_entropy(torch.zeros(3)).isnan()


def test_every_head_has_matrices_of_its_own_and_a_bias_is_none():
    weights = {
        "embed.W_E": torch.zeros(5, 4),
        "blocks.0.attn.W_Q": torch.arange(16.0).view(2, 4, 2),
        "blocks.0.attn.b_Q": torch.zeros(2, 2),  # [head, d_head], and no matrix
        "blocks.0.mlp.b_in": torch.zeros(6),
    }
    found = matrices(weights)
    assert list(found) == ["embed.W_E", "blocks.0.attn.W_Q.0", "blocks.0.attn.W_Q.1"]
    assert torch.equal(found["blocks.0.attn.W_Q.1"], weights["blocks.0.attn.W_Q"][1])
