"""The way downhill and the weights, in networks in which the angle between them is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.small_networks import a_run, fresh
from tests.told import summary


def two_inputs(on_vectors, targets, *stages):
    """Outputs u·W x of x > 0 in the identity of the ReLU, one example of two inputs a step."""
    arrays = {"inputs": np.array([[3.0, 4.0]], np.float32), "targets": np.array(targets), "train": [True]}
    return on_vectors(arrays, dict(enumerate(stages)), widths=[1], biases="none")


def test_of_planted_weights_it_is_the_angle_to_the_example_s_own_direction(on_vectors):
    """Of (u·w·x - y)² the gradient in w points along x, in u along u itself; y above the output asks for growth."""
    w, u = torch.tensor([[2.0], [1.0]]), torch.tensor([[0.5]])
    run = two_inputs(on_vectors, [[100.0]], {"mlp.0.W_in": w, "unembed.W_U": u})
    found = run[0].measure("nlm_alignment")
    along_x = (2 * 3 + 1 * 4) / (math.sqrt(5) * 5)
    torch.testing.assert_close(found.alignment, torch.tensor([along_x, 1.0]).double())
    a, b = 0.5 * 5, 2 * 3 + 1 * 4  # lengths of the output's slopes in w and in u
    slope = np.array([0.5 * 3, 0.5 * 4, b])
    theta = np.array([2.0, 1.0, 0.5])
    cosine = slope @ theta / np.linalg.norm(slope) / np.linalg.norm(theta)
    assert float(found.total) == pytest.approx(cosine)
    assert float(found.share) == pytest.approx(((a * along_x) ** 2 + b**2) / (a**2 + b**2))
    output = 0.5 * 10
    assert float(found.fall) == pytest.approx(2 * (100 - output) * 2 * output)  # d(y - c²f)²/d ln c, of two layers


def test_where_smaller_weights_are_asked_for_it_is_negative(on_vectors):
    w, u = torch.tensor([[3.0], [4.0]]), torch.tensor([[2.0]])
    found = two_inputs(on_vectors, [[0.0]], {"mlp.0.W_in": w, "unembed.W_U": u})[0].measure("nlm_alignment")
    torch.testing.assert_close(found.alignment, torch.tensor([-1.0, -1.0]).double())


def test_a_parameter_without_a_slope_has_no_direction(on_vectors):
    w, u = torch.tensor([[3.0], [4.0]]), torch.tensor([[0.0]])
    found = two_inputs(on_vectors, [[1.0]], {"mlp.0.W_in": w, "unembed.W_U": u})[0].measure("nlm_alignment")
    assert found.alignment.isnan().all()  # u is 0, and so is the slope in w
    assert float(found.total) == 0
    assert float(found.share) == 0


def test_the_fall_is_what_growth_brings(make_run):
    weights = fresh("transformer", scale=2.0)
    small, large = (
        a_run(make_run, {0: {key: (1 + by) * value for key, value in weights.items()}}, "transformer", name)[0]
        for name, by in (("smaller", -1e-5), ("larger", 1e-5))
    )
    losses = [float(one.measure("loss").train_loss) for one in (small, large)]
    found = a_run(make_run, {0: weights}, "transformer", "between")[0].measure("nlm_alignment")
    assert float(found.fall) == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5)


def test_it_is_told_from_when_growth_is_nearly_all(on_vectors):
    first, then = (
        {"mlp.0.W_in": torch.tensor(w), "unembed.W_U": torch.tensor([[5.0]])} for w in ([[4.0], [-2.9]], [[3.0], [4.0]])
    )
    run = two_inputs(on_vectors, [[500.0]], first, then)
    told = summary("nlm_alignment", run.measure("nlm_alignment")).sentence
    assert told.endswith("Of single parameters it ends largest in W_in: there it goes from 0.016 to 1.")
    assert "it is above 0.9 from step 1 on" in told
