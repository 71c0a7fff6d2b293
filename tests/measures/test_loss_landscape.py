"""The loss about weights: closed forms of homogeneous networks and quadratics, and the U and L of digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from interp.maths import landscape
from interp.measures.loss_landscape.around import Around, plane_of
from tests.told import summary

INPUTS = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 1.0]], np.float32)
TARGETS = np.array([[1.0], [2.0], [0.5]], np.float32)
TRAIN = np.array([True, True, False])


def two_layers(w, u):
    """u·(w·x), where w·x > 0: homogeneous of order 2."""
    return {"mlp.0.W_in": torch.tensor(w).double()[:, None], "unembed.W_U": torch.tensor([[u]]).double()}


@pytest.fixture
def run(on_vectors):
    stages = {0: two_layers([0.1, 0.3], 1.0), 10: two_layers([0.4, 0.1], 2.0), 20: two_layers([0.5, 0.2], 1.5)}
    return on_vectors({"inputs": INPUTS, "targets": TARGETS, "train": TRAIN}, stages, widths=[1], biases="none")


def outputs(w, u):
    return u * INPUTS.astype(float) @ np.array(w)


def loss(outputs, mask):
    return np.mean((outputs - TARGETS[:, 0])[mask] ** 2)


def test_weights_times_a_factor_have_outputs_times_its_square(run):
    found = run[10].measure("loss_landscape", factors=[0.5, 2.0, 1.0])
    assert found.factor.tolist() == [0.5, 1.0, 2.0]
    z = outputs([0.4, 0.1], 2.0)
    assert found.train_scaled.tolist() == pytest.approx([loss(c**2 * z, TRAIN) for c in (0.5, 1, 2)], rel=1e-6)
    assert found.test_scaled.tolist() == pytest.approx([loss(c**2 * z, ~TRAIN) for c in (0.5, 1, 2)], rel=1e-6)
    best = min((0.5, 1.0, 2.0), key=lambda c: loss(c**2 * z, ~TRAIN))
    assert found.test_scaled_best == best
    assert found.train_reduced is found.test_reduced is None


def test_the_line_leads_from_the_earlier_checkpoint_to_this_one(run):
    found = run[20].measure("loss_landscape", earlier=10, places=5)
    share = np.linspace(0, 1, 5)
    w = np.array([0.4, 0.1])[None] * (1 - share[:, None]) + np.array([0.5, 0.2])[None] * share[:, None]
    u = 2.0 * (1 - share) + 1.5 * share
    train = np.array([loss(outputs(one, other), TRAIN) for one, other in zip(w, u, strict=True)])
    assert found.train_between.tolist() == pytest.approx(train.tolist(), rel=1e-6)
    chord = train[0] + share * (train[-1] - train[0])
    assert found.barrier == pytest.approx((train - chord).max())
    first = run[20].measure("loss_landscape")
    assert float(first.train_between[0]) == pytest.approx(loss(outputs([0.1, 0.3], 1.0), TRAIN), rel=1e-6)
    assert first.earlier == 0


def test_in_a_plane_in_which_the_loss_is_a_quadratic_the_slice_is_that(on_vectors):
    """With the first layer away the loss is quadratic in the readout; its slope and Hessian give the whole slice."""
    weights = {"mlp.0.W_in": torch.eye(2), "unembed.W_U": torch.tensor([[0.5], [0.7]])}
    run = on_vectors({"inputs": INPUTS, "targets": TARGETS, "train": TRAIN}, {0: weights}, widths=[2], biases="none")
    found = run[0].measure("loss_landscape", side=5, reach=0.01, seed=4)
    at = Around.of(run[0])
    d = plane_of(at, 4).directions
    x = at.weights.clone().requires_grad_()
    slope = torch.func.grad(at.train)(x)
    hessian = torch.autograd.functional.hessian(at.train, x)
    for row, y in enumerate(found.second):
        for column, x_ in enumerate(found.first):
            move = x_ * d[0] + y * d[1]
            second_order = at.train(at.weights) + slope @ move + move @ hessian @ move / 2
            assert float(found.slice[row, column]) == pytest.approx(float(second_order.detach()), rel=1e-4)
    assert float(found.slice[2, 2]) == pytest.approx(float(at.train(at.weights)))


def test_the_path_stands_at_the_nearest_points_of_the_plane(run):
    found = run[20].measure("loss_landscape", seed=1)
    assert found.checkpoint_step.tolist() == [0, 10, 20]
    d = plane_of(Around.of(run[20]), 1).directions
    apart = torch.stack([landscape.flattened(run[step].weights) for step in (0, 10, 20)]).double()
    apart = apart - apart[-1]
    coordinates = torch.linalg.lstsq(d.T, apart.T).solution  # [direction, checkpoint]
    torch.testing.assert_close(torch.stack([found.path_first, found.path_second]), coordinates)
    left = apart - (d.T @ coordinates).T
    assert found.in_plane == pytest.approx(float(1 - left.square().sum() / apart.square().sum()))


def test_the_lowest_loss_of_a_norm_is_that_of_polar_coordinates(run):
    """Three weights on a sphere are two angles, of which a fine grid has the least."""
    found = run[10].measure("loss_landscape", factors=[0.5, 1.0], reduced_steps=800, reduced_lr=0.02)
    for factor, reduced in zip((0.5, 1.0), found.train_reduced, strict=True):
        radius = factor * np.sqrt(0.4**2 + 0.1**2 + 2.0**2)
        theta, phi = np.meshgrid(np.linspace(0, np.pi, 801), np.linspace(0, 2 * np.pi, 1601), indexing="ij")
        u, w = radius * np.cos(theta), radius * np.sin(theta)[..., None] * np.stack([np.cos(phi), np.sin(phi)], -1)
        z = u[..., None] * np.maximum(w @ INPUTS.T.astype(float), 0)
        least = np.mean((z - TARGETS[:, 0])[..., TRAIN] ** 2, axis=-1).min()
        assert float(reduced) == pytest.approx(least, abs=1e-3)
        assert float(reduced) >= least - 1e-3


def test_where_the_test_loss_is_lowest_is_told(run):
    told = summary("loss_landscape", run.measure("loss_landscape", factors=[0.5, 1.0])).sentence
    assert told.startswith(
        "The factor on the norm of all weights at which the test loss is lowest goes from 1 to 0.5. The barrier of the"
    )


@pytest.mark.slow
def test_of_digits_the_train_loss_is_an_l_and_the_test_loss_a_u(on_vectors):
    """200 digits, 64-200-200-10, against another program: at 1 and 10 times the norm a test loss of 0.0146 and 37.6."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))[:700]
    arrays = {"inputs": (digits.data[order] / 16).astype(np.float32), "train": np.arange(700) < 200}
    arrays["targets"] = np.eye(10, dtype=np.float32)[digits.target[order]]
    options = {"widths": [200, 200], "biases": "all", "initialisation": "uniform"}
    fresh = on_vectors(arrays, {}, name="empty", **options).architecture.initial(0)
    run = on_vectors(arrays, {0: fresh}, **options)
    found = run[0].measure("loss_landscape", factors=[0.1, 0.316, 1.0, 10.0], reduced_steps=600, side=1)
    assert found.train_reduced[:2].tolist() == pytest.approx([0.089, 0.057], rel=0.6)
    assert float(found.train_reduced[2]) < 1e-3
    assert found.test_reduced_best == 1.0
    assert found.test_reduced[2:].tolist() == pytest.approx([0.0146, 37.6], rel=0.5)
