"""The committee machine: lines of NumPy, the hooked module, its own gradient, and the paper's prior."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.contracts.architecture import HasNeurons
from interp.losses.mse import mse
from interp.maths.teachers import hermite_teacher
from interp.models.committee_machine import committee_machine
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.teacher_student import teacher_student
from tests.models.agreement import assert_plain_is_hooked, assert_writes_its_gradient

TASK = teacher_student(d=7, n_train=20, n_test=11)


def test_it_is_these_lines_of_numpy(random_weights):
    weights = random_weights(committee_machine(TASK, 5))
    W, a = (weights[name].numpy() for name in ("mlp.W_in", "unembed.W_U"))
    expected = np.vectorize(math.erf)(TASK.inputs.double().numpy() @ W) @ a
    for scale in (1.0, 0.3):
        found = committee_machine(TASK, 5, output_scale=scale).outputs(weights, TASK.inputs)
        np.testing.assert_allclose(found.numpy(), scale * expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_its_paths_are_one_network(random_weights, scale):
    architecture = committee_machine(TASK, 5, output_scale=scale)
    assert isinstance(architecture, HasNeurons)
    weights = random_weights(architecture)
    assert_plain_is_hooked(architecture, weights)
    assert_writes_its_gradient(architecture, mse())
    post = architecture.activations(weights, TASK.inputs)[architecture.neurons]
    torch.testing.assert_close(post @ architecture.readout(weights, {}), architecture.outputs(weights, TASK.inputs))


def test_fresh_weights_have_the_variances_of_the_paper():
    """By default those of its base point: Var(w) = 0.5/d and Var(a) = 8/N²."""
    task = teacher_student(d=150, n_train=3, n_test=0)
    given = {"sigma_w2": 2.0, "sigma_a2": 0.011}
    for options, of_w, of_a in (({}, 0.5 / 150, 8 / 700**2), (given, 2 / 150, 0.011 / 700)):
        drawn = [committee_machine(task, 700, **options).initial(seed) for seed in range(10)]
        for name, expected in (("mlp.W_in", of_w), ("unembed.W_U", of_a)):
            values = torch.cat([one[name].flatten() for one in drawn])
            assert float(values.var()) == pytest.approx(expected, rel=5 * math.sqrt(2 / values.numel())), name


def test_of_one_neuron_the_overlaps_with_the_teacher_are_the_closed_forms(random_weights):
    """E[erf(w·x) H1] = 2q/√(π(1 + 2|w|²)) and E[erf(w·x) H3] = -4q³/(√π (1 + 2|w|²)^1.5), q the overlap (Rubin)."""
    task = teacher_student(d=4, n_train=400_000, n_test=0)
    teacher, architecture = hermite_teacher(task), committee_machine(task, 1)
    w = random_weights(architecture)["mlp.W_in"][:, 0]
    q, size = float(w @ teacher.direction), 1 + 2 * float(w @ w)
    said = architecture.outputs({"mlp.W_in": w[:, None], "unembed.W_U": torch.ones(1, 1).double()}, task.inputs)[:, 0]
    x = task.inputs.double()
    for basis, expected, spread in (
        (teacher.linear(x), 2 * q / math.sqrt(math.pi * size), 1),
        (teacher.cubic(x), -4 * q**3 / (math.sqrt(math.pi) * size**1.5), 6**0.5),
    ):
        assert float((said * basis).mean()) == pytest.approx(expected, abs=5 * spread / len(task) ** 0.5)


def test_pairs_of_residues_are_refused():
    with pytest.raises(ValueError, match=r"^committee_machine reads vectors of numbers.*try the model mlp$"):
        committee_machine(modular_arithmetic(7))
