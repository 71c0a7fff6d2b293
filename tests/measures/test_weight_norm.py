from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tests.told import summary

TASK = {"modular_arithmetic": {"p": 5}}
MODEL = {"mlp": {"d_model": 2, "d_mlp": 3, "biases": "all"}}


@pytest.fixture
def shapes(make_run):
    return make_run({}, TASK, MODEL, name="empty").architecture.shapes


def test_norms_are_euclidean_per_parameter_and_in_total(make_run, shapes):
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    weights["unembed.W_U"][0, :2] = torch.tensor([3.0, -4.0])  # 5
    weights["mlp.b_in"][:] = torch.tensor([0.0, 12.0, 0.0])  # 12
    found = make_run({0: weights}, TASK, MODEL)[0].measure("weight_norm")
    norms = dict(zip(found.parameter, found.norm.tolist(), strict=True))
    assert set(norms) == set(shapes)
    assert norms["unembed.W_U"] == 5
    assert norms["mlp.b_in"] == 12
    assert sum(norms.values()) == 17
    assert float(found.total) == 13


def test_they_are_summed_in_float64(make_run, shapes):
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    weights["mlp.W_in"][0] = torch.tensor([1e4, 1e-1, 0.0])
    found = make_run({0: weights}, TASK, MODEL)[0].measure("weight_norm")
    tenth = float(torch.tensor(1e-1))
    assert float(found.total) == pytest.approx(math.hypot(1e4, tenth), rel=1e-15)
    assert float(found.total) > 1e4


def test_a_rotation_or_a_new_order_of_neurons_changes_no_norm(make_run, shapes):
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    Q = torch.linalg.qr(torch.randn(2, 2, generator=generator, dtype=torch.float64)).Q
    order = torch.tensor([2, 0, 1])
    changed = weights | {
        "embed_a.W_E": weights["embed_a.W_E"] @ Q,
        "mlp.W_in": torch.cat([Q.T @ weights["mlp.W_in"][:2], weights["mlp.W_in"][2:]])[:, order],
        "mlp.b_in": weights["mlp.b_in"][order],
        "unembed.W_U": weights["unembed.W_U"][order],
    }
    before = make_run({0: weights}, TASK, MODEL, name="before")[0].measure("weight_norm")
    after = make_run({0: changed}, TASK, MODEL, name="after")[0].measure("weight_norm")
    assert after.parameter == before.parameter
    torch.testing.assert_close(after.norm, before.norm, rtol=1e-12, atol=0)


def test_the_summary_names_the_step_of_the_largest_norm(make_run, shapes):
    size = math.sqrt(sum(math.prod(shape) for shape in shapes.values()))
    weights = {
        step: {name: torch.full(shape, value) for name, shape in shapes.items()}
        for step, value in ((0, 1.0), (10, 3.0), (20, 2.0))
    }
    values = summary("weight_norm", make_run(weights, TASK, MODEL).measure("weight_norm")).values
    assert values["highest_step"] == 10
    assert [values[name] / size for name in ("start", "highest", "end")] == pytest.approx([1, 3, 2])


@pytest.mark.parametrize("name", ["C113_MLP_seed1", "C118_MLP_seed1"])
def test_its_square_is_the_published_sum_of_squared_weights(make_run, reference: Path, name):
    folder = reference / "rep_theory" / name
    gold = json.loads((folder / "gold.json").read_text())
    tensors = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    names = {"W_x": "embed_a.W_E", "W_y": "embed_b.W_E", "W": "mlp.W_in", "W_U": "unembed.W_U"}
    run = make_run(
        {0: {names[key]: value for key, value in tensors.items()}},
        {"modular_arithmetic": {"p": gold["order"]}},
        "mlp",
    )
    total = float(run.final.measure("weight_norm").total)
    assert total**2 == pytest.approx(gold["sum_of_squared_weights_true"], rel=1e-6)
