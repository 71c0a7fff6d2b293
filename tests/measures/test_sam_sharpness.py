from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from interp.results.account import panels
from tests.small_networks import MODELS, a_run, fresh
from tests.told import summary

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_it_is_a_step_of_plain_pytorch_on_the_hooked_model(make_run, kind, rho):
    checkpoint = a_run(make_run, {0: fresh(kind, scale=2.0)}, kind)[0]
    train = checkpoint.task.train
    model, answers = checkpoint.model.double(), checkpoint.task.targets[train]

    def loss():
        logits = model(checkpoint.tokens[train])
        return nn.functional.cross_entropy(logits[:, -1] if logits.ndim == 3 else logits, answers)

    before = loss()
    parameters = [value for value in model.parameters() if value.requires_grad]
    gradients = torch.autograd.grad(before, parameters)
    norm = torch.cat([gradient.ravel() for gradient in gradients]).norm()
    with torch.no_grad():
        for value, gradient in zip(parameters, gradients, strict=True):
            value += rho * gradient / norm
        rise, start = float(loss() - before), float(before)
    found = checkpoint.measure("sam_sharpness", rho=rho)
    assert float(found.rise) == pytest.approx(rise, rel=1e-9)
    assert float(found.relative_rise) == pytest.approx(rise / start, rel=1e-9)
    assert float(found.gradient_norm) == pytest.approx(float(norm), rel=1e-9)


def test_a_short_step_rises_by_the_gradients_norm(make_run):
    found = a_run(make_run, {0: fresh("mlp")})[0].measure("sam_sharpness", rho=1e-6)
    assert float(found.rise) == pytest.approx(1e-6 * float(found.gradient_norm), rel=1e-3)


def test_rounding_is_small_beside_the_rise_where_float32_would_see_none(make_run):
    weights = {name: value.float() for name, value in fresh("mlp", scale=2.0).items()}
    found = a_run(make_run, {0: weights})[0].measure("sam_sharpness", rho=1e-9)
    assert 0 < float(found.rounding) < 1e-3 * float(found.rise) < 1e-10


def test_the_order_of_neurons_does_not_matter(make_run):
    weights = fresh("mlp", scale=2.0)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    moved = weights | {"mlp.W_in": weights["mlp.W_in"][:, order], "unembed.W_U": weights["unembed.W_U"][order]}
    run = a_run(make_run, {0: weights, 1: moved})
    first, other = (float(run[step].measure("sam_sharpness").rise) for step in (0, 1))
    assert first == pytest.approx(other, rel=1e-10)


def test_where_the_gradient_is_zero_the_loss_does_not_rise(make_run):
    zeros = {name: torch.zeros_like(value) for name, value in fresh("mlp").items()}
    found = a_run(make_run, {0: zeros})[0].measure("sam_sharpness")
    assert float(found.rise) == 0
    assert float(found.gradient_norm) == 0


def test_a_step_so_far_that_the_loss_overflows_has_no_numbers(make_run):
    result = a_run(make_run, {0: fresh("mlp")}).measure("sam_sharpness", rho=1e300)
    assert result.rise.isnull().all()
    assert summary("sam_sharpness", result).sentence == ""


def test_what_it_was_at_first_is_told_where_it_changed(make_run):
    same, other = fresh("mlp"), fresh("mlp", scale=3.0)
    result = a_run(make_run, {5: same, 6: same, 7: other}).measure("sam_sharpness")
    assert "goes from" in summary("sam_sharpness", result).sentence
    assert "stays at" in summary("sam_sharpness", result.isel(step=[0, 1])).sentence


def test_checkpoints_that_rounding_hides_are_counted(make_run):
    zeros = {name: torch.zeros_like(value) for name, value in fresh("mlp").items()}
    one = fresh("mlp")
    result = a_run(make_run, {0: zeros, 1: zeros, 2: one, 3: fresh("mlp", 1)}).measure("sam_sharpness")
    said = summary("sam_sharpness", result)
    assert said.values["not_told_apart"] == 1
    assert "Of 3 later checkpoints 1 cannot be told from the one before" in said.sentence


def test_one_checkpoint_and_weights_that_are_no_numbers(make_run):
    broken = fresh("mlp")
    broken["mlp.W_in"][0, 0] = torch.inf
    with pytest.warns(UserWarning, match="not finite"):
        result = a_run(make_run, {0: fresh("mlp"), 1: broken}).measure("sam_sharpness")
    assert result.rise.notnull().values.tolist() == [True, False]
    assert np.isfinite(summary("sam_sharpness", result).values["end"])
    assert len(panels("sam_sharpness", result)) == 2
