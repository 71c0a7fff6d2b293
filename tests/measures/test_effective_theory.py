"""Liu et al.'s measures of a toy that adds, against all parallelograms of ten numbers, counted one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from interp.errors import NothingToSay
from tests.told import summary

P = 10
PAIRS = [(a, b) for a in range(P) for b in range(a, P)]
ALL = [(i, n, j, m) for i, j, m, n in itertools.product(range(P), repeat=4) if i < j <= m < n and i + n == j + m]
LINE = torch.arange(10.0)[:, None]


@pytest.fixture
def make(make_run):
    """A run of one checkpoint with this embedding, trained on so many pairs."""

    def made(E, n_train=45, seed=58, name="run"):
        task = {"toy_addition": {"p": len(E), "n_train": n_train, "seed": seed, "targets": "classes"}}
        model = {"embedding_decoder": {"d_model": E.shape[1], "widths": [4]}}
        weights = make_run({}, task, model, f"shapes of {name}").architecture.initial(0)
        return make_run({0: weights | {"embed.W_E": E}}, task, model, name)

    return made


def known(run, which):
    """The pairs trained on, and those that one of these parallelograms joins to one of them."""
    train = {pair for pair, trained in zip(PAIRS, run.task.train.tolist(), strict=True) if trained}
    joined = {b for i, n, j, m in which for a, b in (((i, n), (j, m)), ((j, m), (i, n))) if a in train}
    return train, train | joined


def trained(run):
    train, _ = known(run, [])
    return [one for one in ALL if (one[0], one[1]) in train and (one[2], one[3]) in train]


def test_a_line_draws_every_parallelogram_whatever_its_place_and_size(make):
    for name, E in (("line", LINE), ("moved", 3 - 0.2 * LINE), ("plane", torch.cat([LINE, 2 * LINE], dim=1))):
        found = make(E, name=name)[0].measure("representation_quality")
        assert found.quality == 1
        assert found.drawn == found.parallelograms == len(ALL)


def test_of_a_crooked_line_those_are_drawn_that_are_counted_one_by_one(make):
    E = LINE.double().clone()
    E[3] += 0.6
    E[8] -= 0.15
    run = make(E)
    x = (E[:, 0].numpy() - E.mean().item()) / E[:, 0].numpy().std()
    drawn = [(i, n, j, m) for i, n, j, m in ALL if (x[i] + x[n] - x[j] - x[m]) ** 2 < 0.01]
    found = run[0].measure("representation_quality")
    assert found.drawn == len(drawn)
    assert 0 < found.quality == len(drawn) / len(ALL) < 1
    train, all_known = known(run, drawn)
    assert float(found.predicted_accuracy) == pytest.approx(len(all_known) / 55)
    assert float(found.predicted_test_accuracy) == pytest.approx(len(all_known - train) / 10)


@pytest.mark.parametrize("n_train", [15, 22, 30, 45])
def test_what_follows_from_the_training_pairs_is_what_their_rank_says(make, n_train):
    run = make(LINE, n_train)
    rows = {one: np.bincount(one[:2], minlength=P) - np.bincount(one[2:], minlength=P) for one in ALL}
    given = np.array([rows[one] for one in trained(run)]).reshape(-1, P)
    rank = np.linalg.matrix_rank(given) if len(given) else 0
    follow = [one for one in ALL if np.linalg.matrix_rank(np.vstack([given, rows[one]])) == rank]
    found = run[0].measure("ideal_accuracy")
    assert (found.trained, found.dependent, found.parallelograms) == (len(given), len(follow), len(ALL))
    assert float(found.accuracy) == pytest.approx(len(known(run, follow)[1]) / 55)


def test_the_rate_is_the_third_eigenvalue_of_the_effective_loss_s_hessian(make):
    run = make(2 * LINE)
    held = trained(run)

    def effective(E):
        return sum((E[i] + E[n] - E[j] - E[m]) ** 2 for i, n, j, m in held) / len(held)

    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(effective, torch.zeros(P).double()))
    found = run[0].measure("grokking_rate")
    assert found.free == 2
    assert found.rate == pytest.approx(float(values[2]), rel=1e-9)
    assert found.time == pytest.approx(4 * 82.5 / found.rate)  # Σ (k - 4.5)² over the numbers is 82.5


def test_too_few_training_pairs_leave_more_than_a_line(make):
    """The fraction above which λ₃ is not 0 is about 0.4 for ten numbers (Liu et al., figure 5)."""
    found = {
        n: [make(LINE, n, seed, f"{n} {seed}")[0].measure("grokking_rate").rate for seed in range(12)] for n in (14, 33)
    }
    assert np.mean([rate > 0 for rate in found[14]]) < 0.35
    assert np.mean([rate > 0 for rate in found[33]]) > 0.65


def test_the_effective_dimension_is_e_to_the_entropy_of_the_variances(make):
    """Two directions of variances 4 : 1, and a constant beside them."""
    angle = 2 * math.pi * torch.arange(10.0) / 10
    E = torch.stack([2 * angle.cos(), angle.sin(), torch.ones(10)], dim=1)
    found = make(E)[0].measure("effective_dimension")
    assert float(found.dimension) == pytest.approx(math.exp(-0.8 * math.log(0.8) - 0.2 * math.log(0.2)), rel=1e-6)
    assert float(make(LINE, name="line")[0].measure("effective_dimension").dimension) == pytest.approx(1)


def test_where_nothing_is_added_or_nothing_varies_there_is_a_reason(make, make_run):
    with pytest.raises(NothingToSay, match="the same for all"):
        make(torch.ones(10, 2))[0].measure("effective_dimension")
    with pytest.raises(NothingToSay, match="the same for all numbers"):
        make(torch.ones(10, 2), name="again")[0].measure("representation_quality")
    with pytest.raises(NothingToSay, match="no two training pairs have one sum"):
        make(LINE, 1, name="one pair")[0].measure("grokking_rate")
    task, model = {"modular_arithmetic": {"p": 5}}, {"mlp": {"d_model": 4, "d_mlp": 5}}
    run = make_run({0: make_run({}, task, model, "empty").architecture.initial(0)}, task, model, "residues")
    for measure in ("representation_quality", "ideal_accuracy", "grokking_rate"):
        with pytest.raises(NothingToSay, match="the task is not the sum of two numbers"):
            run[0].measure(measure)


def test_what_they_say(make):
    run = make(LINE)
    said = {name: summary(name, run.measure(name)).sentence for name in ("representation_quality", "ideal_accuracy")}
    assert said["representation_quality"].startswith(
        f"The share of the {len(ALL)} parallelograms of equal sums that the embedding draws is 100%"
    )
    assert "can be known" in said["ideal_accuracy"]
