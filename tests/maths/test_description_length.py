from __future__ import annotations

import bz2
import math

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


def test_it_is_the_best_of_a_full_search_over_tau_and_delta():
    """By hand: every τ, every Δ of a finer grid, the singular values cut by NumPy's definition."""
    W = low_rank(24, 16, 16) * torch.logspace(0, -2, 16).double() @ torch.eye(16).double() + low_rank(24, 16, 2, seed=7)
    weights = {"W": W}
    loss = rms_error(weights)
    found = shortest_description(weights, loss, 1.0)
    U, values, Vh = torch.linalg.svd(W, full_matrices=False)
    best = math.inf
    for tau in TAUS:
        k = next(k for k in range(1, 17) if values[:k].sum() / values.sum() >= tau - 1e-12)
        root = values[:k].sqrt()
        factors = [U[:, :k] * root, root[:, None] * Vh[:k]] if tau < 1 and k < 24 * 16 / 40 else [W]
        for delta in torch.logspace(1, -3, 400).tolist():
            rounded = [(factor / delta).round() for factor in factors]
            there = rounded[0] * delta if len(rounded) == 1 else (rounded[0] * delta) @ (rounded[1] * delta)
            if loss({"W": there}) < 1.0:
                codes = torch.cat([part.ravel() for part in rounded]).int().numpy()
                best = min(best, len(bz2.compress((codes * 2 ^ (codes >> 31)).astype("u1").tobytes())))
                break
    assert found.size <= 1.06 * best


def test_the_raw_size_is_that_of_the_stored_numbers():
    weights = {"W": random(50, 50).float(), "b_in": random(7, seed=1).float()}
    together = b"".join(value.numpy().tobytes() for value in weights.values())
    assert raw_size(weights) == len(bz2.compress(together))
    assert raw_size({"W": torch.zeros(1000, 1000)}) < 100
