from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from interp.checkpoints import open_run
from interp.tasks.modular_arithmetic import modular_arithmetic


def lookup_network(logits):
    """Weights of a perceptron with these logits, [a, b, c]: a neuron for each pair."""
    p = len(logits)
    a, b = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)
    one_hot = torch.eye(p, dtype=torch.float64)
    return {
        "embed_a.W_E": one_hot,
        "embed_b.W_E": one_hot,
        "mlp.W_in": torch.cat([one_hot[a].T, one_hot[b].T]),
        "mlp.b_in": -torch.ones(p * p, dtype=torch.float64),
        "unembed.W_U": logits.reshape(p * p, p).double(),
    }


@pytest.fixture
def of_tables(make_run):
    """distance_irrelevance of a network with these correct logits and, 1 lower, these largest wrong ones."""

    def measure(correct, wrong=None, operation="x+y", name="run"):
        p = len(correct)
        task = modular_arithmetic(p=p, operation=operation)
        wrong = correct - 1 if wrong is None else wrong
        logits = torch.full((p, p, p), -100.0, dtype=torch.float64)
        answers = task.table(task.targets.double()).long()[..., None]
        logits.scatter_(2, (answers + 1) % p, wrong[..., None])
        logits.scatter_(2, answers, correct[..., None])
        model = {"mlp": {"d_model": p, "d_mlp": p * p, "biases": "hidden"}}
        call = {"modular_arithmetic": {"p": p, "operation": operation}}
        return make_run({0: lookup_network(logits)}, call, model, name).measure("distance_irrelevance").isel(step=0)

    return measure


def grid(p):
    return torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")


P = 11
RANDOM = torch.randn(2, P, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
F, G = RANDOM - RANDOM.mean(dim=1, keepdim=True)


def test_what_depends_on_the_distance_alone_has_0_and_on_the_answer_alone_1(of_tables):
    a, b = grid(P)
    assert float(of_tables(F[(a - b) % P], name="distance").correct_logit) == pytest.approx(0, abs=1e-12)
    assert float(of_tables(G[(a + b) % P], name="answer").correct_logit) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("operation", ["x+y", "x-y"])
def test_a_sum_of_both_has_the_answer_s_share_of_the_deviation(of_tables, operation):
    a, b = grid(P)
    sign = 1 if operation == "x+y" else -1
    table = F[(a - sign * b) % P] + G[(a + sign * b) % P]
    expected = math.sqrt(G.square().mean() / (F.square().mean() + G.square().mean()))
    assert float(of_tables(table, operation=operation).correct_logit) == pytest.approx(expected, rel=1e-12)


def test_products_have_the_distance_of_their_logarithms(of_tables):
    a, b = grid(P)
    logarithm = torch.zeros(P, dtype=torch.long)
    for power in range(P - 1):
        logarithm[2**power % P] = power  # 2 generates the residues of 11
    table = F[(logarithm[a] - logarithm[b]) % (P - 1)]
    assert float(of_tables(table, operation="x*y").correct_logit) == pytest.approx(0, abs=1e-12)


def test_for_even_p_too_it_is_the_deviation_among_the_pairs_of_a_distance(of_tables):
    table = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    columns = [torch.stack([table[a, (a - d) % 6] for a in range(6)]).std(correction=0) for d in range(6)]
    expected = float(torch.stack(columns).mean() / table.std(correction=0))
    assert float(of_tables(table).correct_logit) == pytest.approx(expected, rel=1e-12)


def test_the_largest_wrong_logit_is_measured_apart(of_tables):
    a, b = grid(P)
    found = of_tables(F[(a - b) % P], G[(a + b) % P] - 10)
    assert float(found.correct_logit) == pytest.approx(0, abs=1e-12)
    assert float(found.best_wrong_logit) == pytest.approx(1, abs=1e-12)


def test_scale_and_offset_of_the_logits_change_nothing(of_tables):
    a, b = grid(P)
    table = F[(a - b) % P] + G[a]
    before, after = of_tables(table, name="before"), of_tables(3 * table + 7, name="after")
    assert float(after.correct_logit) == pytest.approx(float(before.correct_logit), rel=1e-12)


@pytest.mark.slow
def test_the_published_values(reference: Path):
    """The sweep's recorded values are of the largest wrong logit, the notebook's of the correct one."""
    for gold in sorted((reference / "pizza").glob("gold_*.json")):
        metrics = json.loads(gold.read_text())["metrics"]
        run = open_run(gold.with_name(gold.stem.replace("gold", "model") + ".pt"), "pizza")
        found = run.final.measure("distance_irrelevance")
        names = {
            "distance_irrelevance": found.best_wrong_logit,
            "distance_irrelevance_correct_logit": found.correct_logit,
            "distance_irrelevance_notebook": found.correct_logit,
        }
        for name, value in names.items():
            recorded, rederived, status = metrics.get(name, (None, value, ""))
            assert float(value) == pytest.approx(float(rederived), rel=1e-6, abs=1e-9), (gold.stem, name)
            if status == "reproduced":
                assert float(value) == pytest.approx(recorded, rel=1e-4, abs=5e-8), (gold.stem, name)
