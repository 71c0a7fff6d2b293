"""How many zero sets pass by a point, in networks in which they can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.errors import NothingToSay
from tests.told import summary

TRAIN = np.array([True, True, False])


def on_a_line(places: list[float], inner: list[float]) -> dict[str, torch.Tensor]:
    """A first layer whose units turn on at `places` of the line, and a second whose units do at `inner`.

    The first unit of the first layer is x + 10, on wherever anything is asked; the second layer reads it alone.
    """
    return {
        "mlp.0.W_in": torch.ones(1, 1 + len(places)).double(),
        "mlp.0.b_in": torch.tensor([10.0, *(-place for place in places)]).double(),
        "mlp.1.W_in": torch.cat([torch.ones(1, len(inner)), torch.zeros(len(places), len(inner))]).double(),
        "mlp.1.b_in": torch.tensor([-10 - place for place in inner]).double(),
        "unembed.W_U": torch.ones(len(inner), 2).double(),
    }


def test_on_a_line_it_counts_the_places_where_a_unit_turns_on_within_the_radius(on_vectors):
    """The vertices of a point x are x - r and x + r."""
    arrays = {"inputs": np.array([[0.0], [1.0], [2.0]], np.float32), "targets": [0, 1, 0], "train": TRAIN}
    weights = on_a_line([0.05, -0.05, 0.3, 1.08, 1.12, 2.0], [0.02, 0.98, 1.05, 1.5, 2.09, 2.2])
    run = on_vectors(arrays, {0: weights}, widths=[7, 6])
    found = run[0].measure("local_complexity", radius=0.1)
    assert found.layer == ("mlp.0", "mlp.1")
    assert found.train_by_layer.tolist() == [(2 + 1) / 2, (1 + 2) / 2]  # at 0 and at 1
    assert found.test_by_layer.tolist() == [1, 1]  # at 2
    assert (found.train, found.test) == (3, 2)
    assert math.isnan(found.train_se)  # three about either example, which tells nothing of how they differ
    assert math.isnan(found.test_se)


def test_random_points_meet_a_unit_as_often_as_its_neighbourhood_is_long(on_vectors):
    """One unit at 0.5, points uniform between 0 and 2: a share 2r/2 of them lies within the radius of it."""
    arrays = {"inputs": np.array([[0.0], [2.0]], np.float32), "targets": [0, 1]}
    weights = {"mlp.0.W_in": torch.ones(1, 1), "mlp.0.b_in": torch.tensor([-0.5]), "unembed.W_U": torch.ones(1, 2)}
    found = on_vectors(arrays, {0: weights}, widths=[1])[0].measure("local_complexity", radius=0.2, points=2000)
    assert found.train is found.test is None
    assert found.random == pytest.approx(0.2, abs=4 * math.sqrt(0.2 * 0.8 / 2000))
    assert found.random_se == pytest.approx(math.sqrt(0.2 * 0.8 / 2000), rel=0.1)


def test_in_the_first_layer_a_unit_counts_where_its_input_is_below_the_largest_step_of_it(on_vectors, monkeypatch):
    """|pre| < r max |W v|, of the very directions, caught where they are made orthonormal."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(9, 12, generator=generator)
    arrays = {"inputs": inputs.numpy(), "targets": [0, 1, 2] * 3, "train": [True] * 9}
    W, b, deeper, W_U = (torch.randn(*shape, generator=generator) for shape in ((12, 40), (40,), (40, 5), (5, 3)))
    weights = {"mlp.0.W_in": W, "mlp.0.b_in": b, "mlp.1.W_in": deeper, "mlp.1.b_in": torch.ones(5), "unembed.W_U": W_U}
    run = on_vectors(arrays, {0: weights}, widths=[40, 5])
    frames, qr = [], torch.linalg.qr
    monkeypatch.setattr(torch.linalg, "qr", lambda drawn: frames.append(qr(drawn)) or frames[-1])
    found = run[0].measure("local_complexity", radius=0.3, directions=4)
    of_train = torch.cat([frame.Q for frame in frames])[:9]  # [example, input, direction]
    torch.testing.assert_close(of_train.mT @ of_train, torch.eye(4).double().expand(9, 4, 4))
    reach = 0.3 * torch.einsum("edp,du->epu", of_train, W.double()).abs().amax(dim=1)
    counted = ((inputs.double() @ W.double() + b).abs() < reach).sum(dim=1).double()
    assert found.train_by_layer[0] == float(counted.mean())
    assert found.train_by_layer_se[0] == pytest.approx(float(counted.std() / 3))


def test_units_that_are_certainly_near_or_far_are_told_apart_in_any_frame(on_vectors):
    """A whole frame of d directions has one along which a unit's input moves by |w|/√d at least, and none by more."""
    arrays = {"inputs": np.zeros((1, 9), np.float32), "targets": [0], "train": [True]}
    direction = torch.nn.functional.normalize(torch.randn(9, 6, generator=torch.Generator().manual_seed(0)), dim=0)
    biases = torch.tensor([0.32, -0.32, 0.1, 1.01, -1.01, 5.0])  # 1/√9 is 0.333
    weights = {"mlp.0.W_in": direction, "mlp.0.b_in": biases, "unembed.W_U": torch.ones(6, 2)}
    run = on_vectors(arrays, {0: weights}, widths=[6])
    assert [run[0].measure("local_complexity", radius=1.0, seed=seed).train for seed in range(5)] == [3] * 5


def test_tokens_cannot_be_moved(planted_mlp):
    nothing = torch.zeros(5, 3)
    with pytest.raises(NothingToSay, match="the task gives tokens to be looked up, which cannot be moved a little"):
        planted_mlp({0: (nothing, nothing, nothing.T)}, {"p": 5})[0].measure("local_complexity")


def test_it_is_told_about_each_set(on_vectors):
    arrays = {"inputs": np.array([[0.0], [1.0], [2.0]], np.float32), "targets": [0, 1, 0], "train": TRAIN}
    stages = {0: on_a_line([0.05, 1.0], [5.0]), 10: on_a_line([0.05, 0.08], [0.0])}
    run = on_vectors(arrays, stages, widths=[3, 1])
    result = run.measure("local_complexity", radius=0.1)
    assert [float(result[f"train_{name}"]) for name in ("first", "highest", "highest_step")] == [1, 1.5, 10]
    told = summary("local_complexity", result).sentence
    assert told.startswith(
        "The number of units whose zero set passes by the training examples goes from 1 to 1.5 (± 2). The number"
    )
