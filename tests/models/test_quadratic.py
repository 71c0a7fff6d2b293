"""Gromov's network: its formula, its analytic weights, and the plainer network that it is a multiple of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.models.mlp import mlp
from interp.models.quadratic import quadratic
from interp.tasks.modular_arithmetic import modular_arithmetic


def analytic(p, n_neurons, seed=0, shift=0.0):
    """W1[k] = [cos(w_k a + φ1), cos(w_k b + φ2)], W2[:, k] = cos(-w_k c - φ3) with φ1 + φ2 = φ3, and φ1, φ2 uniform.

    Neurons have the frequencies 1…p//2 in turn; `shift` is what φ3 is off.
    """
    generator = torch.Generator().manual_seed(seed)
    phi_1, phi_2 = 2 * math.pi * torch.rand(2, n_neurons, generator=generator, dtype=torch.float64)
    k = torch.arange(n_neurons) % (p // 2) + 1
    angle = 2 * math.pi * torch.outer(torch.arange(p), k).double() / p  # [residue, neuron]
    return {
        "embed_a.W_E": torch.cos(angle + phi_1),
        "embed_b.W_E": torch.cos(angle + phi_2),
        "unembed.W_U": torch.cos(-angle - (phi_1 + phi_2 + shift)).T,
    }


def test_it_is_the_formula_on_two_hot_inputs(random_weights):
    p, n = 5, 7
    network = quadratic(modular_arithmetic(p), n)
    weights = random_weights(network)
    w = {name: value.numpy() for name, value in weights.items()}
    W1 = np.concatenate([w["embed_a.W_E"], w["embed_b.W_E"]]).T  # [N, D]
    pairs = network.task.pairs
    x = np.concatenate([np.eye(p)[operand] for operand in pairs.numpy().T], axis=1)  # [pair, D]
    expected = np.stack([w["unembed.W_U"].T @ (W1 @ one) ** 2 / (2 * p * n) for one in x])
    operands = network.operands(weights, pairs)
    for found in (network.outputs(weights, pairs), network.logits_of_operands(weights, operands)):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(network.hooked(weights)(pairs).detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    assert sum(math.prod(shape) for shape in network.shapes.values()) == 3 * n * p


def test_fresh_weights_are_standard_normal():
    for name, value in quadratic(modular_arithmetic(97)).initial(3).items():
        assert abs(float(value.mean())) < 5 / value.numel() ** 0.5, name
        assert abs(float(value.std()) - 1) < 5 / (2 * value.numel()) ** 0.5, name


def test_gradient_descent_moves_it_as_the_plain_squares_of_smaller_weights(random_weights):
    """With s = (DN)^(-1/3) times the weights `mlp` has the same outputs, also after a step of s² times the length."""
    task = modular_arithmetic(5)
    network, plain = quadratic(task, 7), mlp(task, d_mlp=7, one_hot=True, act_fn="x^2")
    s = network.scale ** (1 / 3)
    ours = {name: value.requires_grad_() for name, value in random_weights(network).items()}
    theirs = {name: (s * value.detach()).requires_grad_() for name, value in ours.items()}
    for lr in (3.0, 3.0):
        moved = []
        for one, weights, rate in ((network, ours, lr), (plain, theirs, s**2 * lr)):
            outputs = one.outputs(weights, task.pairs)
            gradients = torch.autograd.grad(outputs[:, 1].square().sum(), list(weights.values()))
            moved.append((outputs, {k: w - rate * g for (k, w), g in zip(weights.items(), gradients, strict=True)}))
        (left, ours), (right, theirs) = moved
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize(("p", "n"), [(23, 300), (97, 500)])
def test_gromov_s_analytic_weights_answer_nearly_all_pairs(p, n):
    network = quadratic(modular_arithmetic(p), n)
    right = network.task.correct(network.outputs(analytic(p, n), network.task.pairs))
    assert float(right.double().mean()) > 0.99
    off = network.task.correct(network.outputs(analytic(p, n, shift=math.pi), network.task.pairs))
    assert float(off.double().mean()) < 0.01


def test_it_can_begin_with_them(make_run):
    task, model = {"modular_arithmetic": {"p": 23}}, {"quadratic": {"d_mlp": 300, "initialisation": "closed_form"}}
    network = quadratic(modular_arithmetic(23), 300, "closed_form")
    run = make_run({seed: network.initial(seed) for seed in (0, 1)}, task, model)
    first, second = run[0], run[1]
    for checkpoint in (first, second):
        assert float(checkpoint.measure("loss").all_accuracy) > 0.99
        assert float(checkpoint.measure("inverse_participation").overall) == pytest.approx(1, abs=1e-6)
        assert float(checkpoint.measure("phase_alignment").agreement) == pytest.approx(1, abs=1e-6)
        assert float(checkpoint.measure("phase_alignment").miss) == pytest.approx(0, abs=1e-5)
        assert checkpoint.measure("key_freqs").logit_freqs == 11
    assert not torch.allclose(first.weights["embed_a.W_E"], second.weights["embed_a.W_E"])


def test_their_accuracy_rises_with_the_number_of_neurons():
    shares = []
    for n in (22, 44, 88, 352):
        network = quadratic(modular_arithmetic(23), n)
        right = network.task.correct(network.outputs(analytic(23, n), network.task.pairs))
        shares.append(float(right.double().mean()))
    assert shares == sorted(shares)
    assert shares[0] < 0.9 < shares[-1]


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_phase_alignment_finds_the_phases_of_its_operands_add_up_to_its_answer_s(make_run, shift):
    task, model = {"modular_arithmetic": {"p": 23}}, {"quadratic": {"d_mlp": 100}}
    found = make_run({0: analytic(23, 100, shift=shift)}, task, model)[0].measure("phase_alignment")
    assert found.concentration.tolist() == pytest.approx([1, 1], abs=1e-9)
    assert found.mean_alignment.tolist() == pytest.approx([-shift, -shift], abs=1e-9)
