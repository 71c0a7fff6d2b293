from __future__ import annotations

import bz2
import functools
import math

import numpy as np
import pytest
import torch

from interp.maths.description_length import TAUS, raw_size, shortest_description


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rms_error(weights):
    """A loss that is 0 for these weights and grows with the distance from them."""
    own = {name: value.clone() for name, value in weights.items()}

    def loss(others):
        return math.sqrt(float(sum(((others[name] - own[name]) ** 2).sum() for name in own)))

    return loss


def low_rank(m, n, rank, seed=0):
    U, V = torch.linalg.qr(random(m, rank, seed=seed)).Q, torch.linalg.qr(random(n, rank, seed=seed + 1)).Q
    return 10 * U @ V.T


def test_its_loss_is_within_epsilon_and_what_is_reported():
    weights = {"W": random(30, 20), "b_in": random(20, seed=1)}
    for epsilon in (3.0, 0.3, 0.03):
        found = shortest_description(weights, rms_error(weights), epsilon)
        assert found is not None
        assert 0 < found.loss < epsilon


def test_a_tighter_loss_takes_more_bytes():
    weights = {"W": random(30, 20)}
    sizes = [shortest_description(weights, rms_error(weights), epsilon).size for epsilon in (3.0, 0.3, 0.03)]
    assert sizes == sorted(sizes)
    assert sizes[2] > 1.5 * sizes[0]


def test_the_size_is_near_the_entropy_of_the_rounded_weights():
    """bzip2 over bytes comes within 15 % of the Shannon bound of independent symbols."""
    weights = {"W": random(200, 200)}
    found = shortest_description(weights, rms_error(weights), 0.5 * math.sqrt(weights["W"].numel() / 12))
    assert found is not None
    assert found.factored_share == 0
    counts = (weights["W"] / found.delta).round().unique(return_counts=True)[1].double()
    entropy = float(torch.special.entr(counts / counts.sum()).sum()) / math.log(2)
    assert 1.0 <= 8 * found.size / weights["W"].numel() / entropy < 1.15


def test_a_loss_that_does_not_care_takes_next_to_nothing():
    found = shortest_description({"W": random(100, 100)}, lambda _: 1.0, 1e-3)
    assert found is not None
    assert found.size < 60
    assert found.loss == 1


def test_a_matrix_of_low_rank_is_kept_as_two_factors():
    weights = {"W": low_rank(60, 60, 3)}
    full = {"W": 10 / math.sqrt(20) * torch.linalg.qr(random(60, 60)).Q}  # of the same norm
    found = shortest_description(weights, rms_error(weights), 0.5)
    other = shortest_description(full, rms_error(full), 0.5)
    assert found.factored_share == 1
    assert other.factored_share == 0
    assert found.size < other.size / 3


def test_every_head_has_a_rank_of_its_own():
    weights = {"blocks.0.attn.W_Q": torch.stack([low_rank(40, 40, 2), random(40, 40, seed=5)])}
    found = shortest_description(weights, rms_error(weights), 1.0)
    assert found.factored_share == 0.5


def test_weights_on_a_coarse_grid_take_few_bytes():
    """Three values, ⅓ each: log2 3 bits a weight."""
    values = torch.randint(-1, 2, (120, 120), generator=torch.Generator().manual_seed(0)).double()
    found = shortest_description({"W": values}, rms_error({"W": values}), 0.02 * float(values.norm()))
    assert 8 * found.size / values.numel() < 1.2 * math.log2(3)


def test_the_order_of_neurons_hardly_matters():
    W_in, W_out = random(20, 100), random(100, 20, seed=1)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(2))
    sizes = []
    for weights in ({"W_in": W_in, "W_out": W_out}, {"W_in": W_in[:, order], "W_out": W_out[order]}):
        sizes.append(shortest_description(weights, rms_error(weights), 1.0).size)
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_where_no_rounding_is_fine_enough_there_is_none():
    weights = {"W": random(10, 10)}
    assert shortest_description(weights, rms_error(weights), 1e-12) is None


def test_zeros_are_described():
    weights = {"W": torch.zeros(10, 10).double(), "b_in": torch.zeros(3).double()}
    found = shortest_description(weights, rms_error(weights), 1e-6)
    assert found is not None
    assert found.loss == 0


def full_search(W, loss, epsilon):
    """Every τ, every Δ of the grid, by hand: the singular values cut by NumPy's definition."""
    m, n = W.shape
    U, values, Vh = np.linalg.svd(W, full_matrices=False)
    best = math.inf
    for tau in TAUS:
        k = next(k for k in range(1, len(values) + 1) if values[:k].sum() / values.sum() >= tau - 1e-12)
        root = np.sqrt(values[:k])
        factors = [U[:, :k] * root, root[:, None] * Vh[:k]] if tau < 1 and k < m * n / (m + n) else [W]
        largest = max(abs(factor).max() for factor in factors)
        for place in range(22 * 8 + 1):
            delta = 2 ** (np.ceil(np.log2(2 * largest)) - place / 8)
            rounded = [np.round(factor / delta) for factor in factors]
            if loss(functools.reduce(np.matmul, [part * delta for part in rounded])) < epsilon:
                codes = np.concatenate([part.ravel() for part in rounded]).astype(int)
                folded = [2 * code if code >= 0 else -2 * code - 1 for code in codes.tolist()]
                used = -(-max(max(folded).bit_length(), 1) // 8)
                columns = b"".join(bytes(code >> 8 * place & 255 for code in folded) for place in range(used))
                best = min(best, len(bz2.compress(columns)))
    return best


@pytest.mark.parametrize("epsilon", [4.0, 1.0, 0.1])
@pytest.mark.slow
def test_it_is_the_best_of_a_full_search_over_tau_and_delta(epsilon):
    W = low_rank(24, 16, 16) * torch.logspace(0, -2, 16).double() @ torch.eye(16).double() + low_rank(24, 16, 2, seed=7)
    best = full_search(W.numpy(), lambda there: np.linalg.norm(there - W.numpy()), epsilon)
    sizes = {
        grid: shortest_description({"W": W}, rms_error({"W": W}), epsilon, grid).size
        for grid in ("searched", "smaller", "whole")
    }
    assert sizes["smaller"] == sizes["whole"] == best
    assert sizes["searched"] <= 1.03 * best


def of_error(W, loss):
    """A loss as a function of the relative distance from W."""
    return lambda weights: loss(float((weights["W"] - W).norm() / W.norm()))


def test_a_rough_step_that_suits_by_chance_is_found_by_a_scan():
    W = random(12, 12)
    loss = of_error(W, lambda error: 0.0 if error < 0.01 or 0.3 < error < 0.4 else 1.0)
    searched, scanned, whole = (
        shortest_description({"W": W}, loss, 0.5, grid) for grid in ("searched", "smaller", "whole")
    )
    assert scanned == whole
    assert scanned.size < 0.8 * searched.size


def test_weights_that_lose_no_less_than_zeros_are_scanned_always():
    W = random(12, 12)
    loss = of_error(W, lambda error: 1 - 0.3 * error * math.sin(40 * error))
    assert loss({"W": torch.zeros_like(W)}) < 1
    found, whole = (shortest_description({"W": W}, loss, 0.02, grid) for grid in ("searched", "whole"))
    assert found == whole


@pytest.mark.parametrize("scale", [1e-318, 1e-40, 1e200])
def test_weights_of_any_size_are_described_in_as_many_bytes(scale):
    W = torch.randint(-3, 4, (12, 12), generator=torch.Generator().manual_seed(0)).double()
    loss = of_error(W, lambda error: error)
    found = shortest_description({"W": W * scale}, lambda weights: loss({"W": weights["W"] / scale}), 0.1)
    assert found.size == pytest.approx(shortest_description({"W": W}, loss, 0.1).size, rel=0.1)


def test_a_loss_that_is_no_number_has_no_description():
    assert shortest_description({"W": random(5, 5)}, lambda _: math.nan, 1.0) is None


def test_the_raw_size_is_that_of_the_stored_numbers():
    weights = {"W": random(50, 50).float(), "b_in": random(7, seed=1).float()}
    together = b"".join(value.numpy().tobytes() for value in weights.values())
    assert raw_size(weights) == len(bz2.compress(together))
    assert raw_size({"W": torch.zeros(1000, 1000)}) < 100


def test_a_norm_s_weight_and_bias_are_no_matrices():
    weights = {"blocks.0.mlp.W_in": low_rank(40, 40, 2), "blocks.0.ln1.w": 1 + random(40), "blocks.0.ln1.b": random(40)}
    found = shortest_description(weights, rms_error(weights), 0.5)
    assert found is not None
    assert found.factored_share in (0, 1)
    assert found.loss < 0.5
