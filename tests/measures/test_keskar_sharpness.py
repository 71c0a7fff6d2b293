from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from interp.errors import InterpError
from interp.results.account import panels
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests.small_networks import TASK, a_run, fresh
from tests.told import summary

pytestmark = pytest.mark.usefixtures("one_thread")


def numpy_loss(weights, vector):
    """The perceptron's train loss at a flat vector of its parameters."""
    task, parts, place = modular_arithmetic(**TASK), {}, 0
    for name, value in weights.items():
        parts[name] = vector[place : place + value.numel()].reshape(value.shape)
        place += value.numel()
    (a, b), c = task.pairs[task.train].numpy().T, task.targets[task.train].numpy()
    hidden = np.maximum(np.concatenate([parts["embed_a.W_E"][a], parts["embed_b.W_E"][b]], 1) @ parts["mlp.W_in"], 0)
    logits = hidden @ parts["unembed.W_U"]
    top = logits.max(1)
    return float(np.mean(np.log(np.exp(logits - top[:, None]).sum(1)) + top - logits[np.arange(len(c)), c]))


def flat(weights):
    return np.concatenate([value.numpy().ravel() for value in weights.values()])


def by_hand(weights, r, epsilon, draws, seed):
    """φ in each subspace, the maximum over all 2^r corners of its box."""
    x = flat(weights)
    generator, at_x = torch.Generator().manual_seed(seed), numpy_loss(weights, x)
    for _ in range(draws):
        A_plus = 2 * torch.rand(r, len(x), generator=generator, dtype=torch.float64).numpy() - 1
        A_plus /= np.linalg.norm(A_plus, axis=1, keepdims=True)
        width = epsilon * (np.abs(A_plus @ x) + 1)
        corners = np.array(list(itertools.product([-1, 1], repeat=r))) * width
        highest = max(numpy_loss(weights, x + np.linalg.pinv(A_plus) @ y) for y in corners)
        yield 100 * (highest - at_x) / (1 + at_x)


@pytest.mark.parametrize(("scale", "epsilon"), [(0.5, 1e-3), (2.0, 1e-3), (6.0, 1e-3), (2.0, 3e-2), (6.0, 3e-2)])
def test_it_is_the_highest_of_all_corners_of_the_box(make_run, scale, epsilon):
    run = a_run(make_run, {0: fresh("mlp", scale=scale)})
    weights = run[0].weights  # in the order in which they are stored
    found = run[0].measure("keskar_sharpness", subspace_dim=4, epsilon=epsilon, draws=3, seed=5)
    expected = list(by_hand(weights, 4, epsilon, 3, 5))
    np.testing.assert_allclose(found.by_draw, expected, rtol=1e-6)
    assert float(found.sharpness) == pytest.approx(found.by_draw.mean())
    assert float(found.sharpness_se) == pytest.approx(found.by_draw.std(ddof=1) / 3**0.5)
    rises = found.by_draw / 100 * (1 / numpy_loss(weights, flat(weights)) + 1)  # as multiples of the loss
    assert float(found.relative_rise) == pytest.approx(rises.mean())
    assert float(found.relative_rise_se) == pytest.approx(rises.std(ddof=1) / 3**0.5)
    assert found.sampling_seed == 5


def test_it_sees_a_loss_of_1e_9_rise(make_run):
    """A table with a neuron for each pair and logits of 25: gradients of 1e-10, below an optimiser's tolerances."""
    pairs = modular_arithmetic(p=7)
    one_hot, right = torch.eye(7).double(), torch.zeros(49, 7).double()
    right[torch.arange(49), pairs.targets] = 25.0
    weights = {
        "embed.W_E": one_hot,
        "mlp.W_in": torch.cat([one_hot[pairs.pairs[:, 0]].T, one_hot[pairs.pairs[:, 1]].T]),
        "mlp.b_in": -torch.ones(49).double(),
        "unembed.W_U": right,
    }
    model = {"mlp": {"d_model": 7, "d_mlp": 49, "shared_embedding": True, "biases": "hidden"}}
    checkpoint = make_run({0: weights}, {"modular_arithmetic": TASK}, model)[0]
    assert float(checkpoint.measure("loss").train_loss) < 1e-9
    found = checkpoint.measure("keskar_sharpness")
    assert (found.by_draw > 0).all()
    assert 1e-4 < float(found.relative_rise) < 1


@pytest.mark.slow
def test_it_grows_with_the_box(make_run):
    checkpoint = a_run(make_run, {0: fresh("transformer")}, "transformer")[0]
    by_width = [float(checkpoint.measure("keskar_sharpness", epsilon=e).sharpness) for e in (1e-4, 1e-3, 1e-2)]
    by_dims = [float(checkpoint.measure("keskar_sharpness", subspace_dim=r).sharpness) for r in (2, 10, 40)]
    assert by_width == sorted(by_width)
    assert by_dims == sorted(by_dims)


def test_in_full_space_nothing_is_drawn(make_run):
    checkpoint = a_run(make_run, {0: fresh("mlp")})[0]
    everywhere = checkpoint.measure("keskar_sharpness", subspace_dim=0)
    assert float(everywhere.sharpness_se) == 0
    assert everywhere.by_draw.shape == (1,)
    assert float(everywhere.sharpness) > float(checkpoint.measure("keskar_sharpness").sharpness)


def test_one_subspace_has_no_standard_error(make_run):
    assert np.isnan(a_run(make_run, {0: fresh("mlp")})[0].measure("keskar_sharpness", draws=1).sharpness_se)


@pytest.mark.slow
def test_the_mean_over_many_subspaces_is_within_its_error(make_run):
    checkpoint = a_run(make_run, {0: fresh("transformer")}, "transformer")[0]
    many = checkpoint.measure("keskar_sharpness", draws=100, seed=99)
    few = [checkpoint.measure("keskar_sharpness", draws=20, seed=seed) for seed in range(12)]
    deviations = [(float(one.sharpness) - float(many.sharpness)) / float(one.sharpness_se) for one in few]
    assert np.abs(deviations).max() < 4
    assert 0.4 < np.std(deviations) < 2


def test_the_order_of_neurons_does_not_matter_to_a_full_box(make_run):
    weights = fresh("mlp")
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    moved = weights | {"mlp.W_in": weights["mlp.W_in"][:, order], "unembed.W_U": weights["unembed.W_U"][order]}
    run = a_run(make_run, {0: weights, 1: moved})
    first, other = (float(run[step].measure("keskar_sharpness", subspace_dim=0).sharpness) for step in (0, 1))
    assert first == pytest.approx(other, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epsilon": float("inf")}, "input should be a finite number"),
        ({"epsilon": 0}, "input should be greater than 0"),
        ({"subspace_dim": 1001}, "input should be less than or equal to 1000"),
    ],
)
def test_a_box_without_end_or_width_or_of_too_many_dimensions_is_refused(make_run, options, said):
    checkpoint = a_run(make_run, {0: fresh("mlp")})[0]
    with pytest.raises(InterpError, match=f"keskar_sharpness: option '{next(iter(options))}' is .*; {said}"):
        checkpoint.measure("keskar_sharpness", **options)


def test_where_the_loss_in_the_box_overflows_there_are_no_numbers(make_run):
    result = a_run(make_run, {0: fresh("mlp")}).measure("keskar_sharpness", epsilon=1e300, draws=2)
    assert result.sharpness.isnull().all()


def test_checkpoints_that_are_alike_are_said_to_be(make_run):
    weights = fresh("mlp")
    nudged = {name: value * (1 + 1e-15) for name, value in weights.items()}
    result = a_run(make_run, {0: weights, 1: weights, 2: nudged, 3: fresh("mlp", scale=3.0)}).measure(
        "keskar_sharpness"
    )
    said = summary("keskar_sharpness", result)
    assert said.values["not_told_apart"] == 2
    assert "Of 3 later checkpoints 2 cannot be told from the one before" in said.sentence


def test_one_checkpoint_and_weights_that_are_no_numbers(make_run):
    broken = fresh("mlp")
    broken["mlp.W_in"][0, 0] = torch.nan
    with pytest.warns(UserWarning, match="not finite"):
        result = a_run(make_run, {0: fresh("mlp"), 1: broken}).measure("keskar_sharpness")
    assert result.sharpness.notnull().values.tolist() == [True, False]
    assert "φ is " in summary("keskar_sharpness", result).sentence
    assert len(panels("keskar_sharpness", result)) == 2
