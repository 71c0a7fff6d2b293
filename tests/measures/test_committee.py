"""Rubin et al.'s measures on planted neurons, and against integrals over the inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.checkpoints import open_run
from interp.errors import NothingToSay
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.measures.overlap import _phase
from tests.told import summary

D, N = 6, 400


@pytest.fixture
def make(tmp_path):
    """A run of committee machines: of each step the overlaps with the teacher, beside them small weights, and a."""

    def made(phi_by_step, a=0.01, optimiser="hmc: {temperature: 1.0e-3}"):
        (tmp_path / "run.yaml").write_text(
            f"task: {{teacher_student: {{d: {D}, n_train: 400, n_test: 100, epsilon: -0.3}}}}\n"
            f"model: {{committee_machine: {{d_mlp: {N}, sigma_w2: 0.5}}}}\n"
            f"training: {{steps: 9, loss: mse, optimiser: {{{optimiser}}}}}\n"
        )
        run = open_run(tmp_path)
        w = run.task.teacher.direction
        store = CheckpointBlocks(tmp_path / "weights")
        beside = 0.1 * torch.randn(D, N, generator=torch.Generator().manual_seed(0)).double()
        beside -= torch.outer(w, w @ beside)
        for step, phi in phi_by_step.items():
            W = torch.outer(w, torch.as_tensor(phi)) + beside
            store.save(step, {"mlp.W_in": W.numpy(), "unembed.W_U": np.full((N, 1), a)})
        return open_run(tmp_path)

    return made


def drawn(sides, spread=0.05, seed=0):
    """So many neurons about ±1, the others about 0."""
    random = np.random.default_rng(seed)
    phi = random.normal(0, spread, N)
    phi[:sides] += random.choice([-1, 1], sides)
    return phi


@pytest.mark.parametrize(("sides", "phase"), [(0, "GFL"), (30, "GMFL-I"), (200, "GMFL-I"), (N, "GMFL-II")])
def test_the_phase_is_the_one_that_was_put_in(make, sides, phase):
    phi = drawn(sides)
    found = make({0: phi})[0].measure("overlap")
    np.testing.assert_allclose(found.overlap, phi, atol=1e-6)
    assert found.phase == phase
    assert found.far == pytest.approx(sides / N, abs=0.002)
    if sides:
        assert found.centre == pytest.approx(1 - sides / N, abs=0.01)
        assert found.side == pytest.approx(1, abs=0.02)
        assert found.margin > 50


def test_gaussians_about_0_are_hardly_ever_taken_for_mixtures():
    random = np.random.default_rng(1)
    assert sum(_phase(random.normal(0, 0.1, N))[0] != "GFL" for _ in range(20)) <= 1


def test_what_is_left_of_the_target_is_the_integral_over_the_inputs(make):
    """E[(y - f) H1] and E[(y - f) H3]/6 over 400,000 inputs."""
    run = make({0: drawn(60)}, a=0.004)
    found = run[0].measure("overlap")
    x = torch.randn(400_000, D, generator=torch.Generator().manual_seed(1)).double()
    z = x @ run.task.teacher.direction
    weights = {name: value.double() for name, value in run[0].weights.items()}
    left = run.task.teacher.answers(x)[:, 0] - run.architecture.activations(weights, x)["logits"][:, 0]
    assert found.left_linear == pytest.approx(float((left * z).mean()), abs=0.02)
    assert found.left_cubic == pytest.approx(float((left * (z**3 - 3 * z)).mean()) / 6, abs=0.02)


def test_the_theory_s_noise_is_that_of_the_optimiser_and_its_counts_are_all_neurons(make):
    run = make({0: drawn(0), 9: drawn(30)})
    found = run[9].measure("committee_theory")
    assert found.noise == pytest.approx(1e-3 * 400 / 2)
    assert found.u == pytest.approx(400**2 * (8 / N) / (found.noise**2 * D * N))
    assert found.counted.sum() == N
    assert found.expected.sum() == pytest.approx(N, rel=0.01)
    assert run[9].measure("committee_theory", noise=0.5).noise == 0.5


def test_the_action_is_minus_the_logarithm_of_how_many_there_are(make):
    result = make({0: drawn(0), 9: drawn(200)}).measure("committee_theory")
    counts = np.histogram(drawn(200), np.linspace(-1.5, 1.5, 62))[0]
    some = counts > 0
    np.testing.assert_allclose(result.action.values[some], math.log(counts.max()) - np.log(counts[some]))
    assert np.isnan(result.action.values[~some]).all()


def test_without_a_direction_or_a_temperature_there_is_a_reason(make, make_run):
    with pytest.raises(NothingToSay, match="no temperature from which the noise would follow"):
        make({0: drawn(0)}, optimiser="sgd: {lr: 0.1}")[0].measure("committee_theory")
    task, model = {"sparse_parity": {"n": 8, "k": 2, "n_train": 40, "n_test": 30}}, {"perceptron": {"widths": [6]}}
    run = make_run({0: make_run({}, task, model, "empty").architecture.initial(0)}, task, model)
    with pytest.raises(NothingToSay, match="the task has no teacher"):
        run[0].measure("overlap")


def test_what_they_say(make):
    run = make({0: drawn(0), 9: drawn(30)})
    assert "GMFL-I: a centre of weight 92" in summary("overlap", run.measure("overlap")).sentence
    assert (
        "of the neurons with an overlap beyond 0.5"
        in summary("committee_theory", run.measure("committee_theory")).sentence
    )
