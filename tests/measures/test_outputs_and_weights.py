"""Softmax collapse, the scale of the outputs, and margins: against a few lines of NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp import open_run
from tests.told import summary

TASK = {"sparse_parity": {"n": 8, "k": 2, "n_train": 60, "n_test": 40, "outputs": 2}}
MODEL = {"perceptron": {"widths": [12], "biases": "none"}}


@pytest.fixture
def scaled(make_run):
    """Random weights, the same twice as large, and as large as makes nearly every softmax 1."""
    shapes = make_run({}, TASK, MODEL, name="empty").architecture.shapes
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    of_steps = {step: {name: by * value for name, value in weights.items()} for step, by in ((0, 1), (1, 2), (2, 8))}
    return make_run(of_steps, TASK, MODEL)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_what_the_softmax_is_in_float32_is_what_numpy_makes_of_it(scaled, step):
    checkpoint = scaled[step]
    found, train = checkpoint.measure("softmax_collapse"), scaled.task.train.numpy()
    z = checkpoint.logits.numpy()[train].astype(np.float32)
    terms = np.exp(z - z.max(axis=1, keepdims=True))
    total, right = terms.sum(axis=1), terms[np.arange(len(z)), scaled.task.targets.numpy()[train]]
    assert found.collapsed == (total == 1).mean()
    assert found.zero_loss == ((total == 1) & (right == 1)).mean()
    assert found.precision == "float32"
    # the outputs grow as the square of the weights, so that θ·∇L = 2 Σ z·∂L/∂z, by Euler
    z64 = checkpoint.logits.numpy()[train]
    p = np.exp(z64 - z64.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    slope = (p - np.eye(2)[scaled.task.targets.numpy()[train]]) / len(z64)
    theta = {name: value.double().requires_grad_() for name, value in checkpoint.weights.items()}
    outputs = scaled.architecture.activations(theta, scaled.task.inputs[scaled.task.train])["logits"]
    gradients = torch.autograd.grad(outputs, list(theta.values()), torch.from_numpy(slope))
    sizes = [sum(float(one.square().sum()) for one in some) ** 0.5 for some in (gradients, theta.values())]
    assert float(found.along_weights) == pytest.approx(-2 * (z64 * slope).sum() / (sizes[0] * sizes[1]), rel=1e-9)


def test_a_network_trained_with_stablemax_is_held_against_its_own_shares(make_run, tmp_path):
    task = {"modular_arithmetic": {"p": 5, "operation": "x+y", "frac_train": 0.6}}
    model = {"mlp": {"one_hot": True, "d_mlp": 8}}
    shapes = make_run({}, task, model, name="empty").architecture.shapes
    generator = torch.Generator().manual_seed(0)
    weights = {name: 10 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    found = {}
    for loss in ("cross_entropy", "stablemax"):
        make_run({0: weights}, task, model, name=loss)
        with (tmp_path / "checkpoints" / loss / "run.yaml").open("a") as recipe:
            recipe.write(f"\ntraining: {{steps: 1, loss: {loss}, optimiser: adamw, save: {{every: 1}}}}\n")
        run = open_run(tmp_path / "checkpoints" / loss)
        found[loss] = run[0].measure("softmax_collapse")
        z = run[0].logits.numpy()[run.task.train.numpy()].astype(np.float32)
        s = np.where(z >= 0, z + 1, 1 / (1 + np.abs(z)))
        terms = np.exp(z - z.max(axis=1, keepdims=True)) if loss == "cross_entropy" else s
        assert found[loss].collapsed == (terms.max(axis=1) == terms.sum(axis=1)).mean()
    assert found["stablemax"].collapsed == 0 < found["cross_entropy"].collapsed
    assert [one.normalised_by for one in found.values()] == ["softmax", "StableMax"]


def test_larger_weights_collapse_more_and_that_is_told(scaled):
    result = scaled.measure("softmax_collapse")
    assert (np.diff(result.collapsed.values) > 0).all()
    assert result.half_step == next(step for step in (0, 1, 2) if float(result.collapsed.sel(step=step)) >= 0.5)
    told = summary("softmax_collapse", result).sentence
    assert told.startswith("In float32, the share of training examples whose softmax is rounded to certainty goes")


def test_the_scale_of_the_outputs_is_that_of_what_differs_between_them(scaled):
    for checkpoint in (scaled[0], scaled[1]):
        found, z = checkpoint.measure("logit_scale"), checkpoint.logits.numpy()
        expected = (z - z.mean(axis=1, keepdims=True)).std()
        assert float(found.scale) == pytest.approx(expected, rel=1e-12)
        norm = np.sqrt(sum((array.astype(float) ** 2).sum() for array in checkpoint.arrays.values()))
        assert float(found.per_norm) == pytest.approx(expected / norm, rel=1e-12)


def test_a_margin_over_the_norm_to_the_order_of_growth_is_free_of_scale(scaled):
    found = [scaled[step].measure("margin") for step in (0, 1)]
    for step, one in enumerate(found):
        z = scaled[step].logits.numpy()[scaled.task.train.numpy()]
        right = scaled.task.targets.numpy()[scaled.task.train.numpy()]
        expected = min(row[label] - row[1 - label] for row, label in zip(z, right, strict=True))
        assert float(one.margin) == pytest.approx(expected)
        assert one.order == pytest.approx(2, abs=1e-9)
    assert float(found[1].margin) == pytest.approx(4 * float(found[0].margin), rel=1e-6)
    assert float(found[1].normalised) == pytest.approx(float(found[0].normalised), rel=1e-6)
