from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.told import summary

P = 5


@pytest.fixture
def answering(planted_mlp):
    """A run that at each step gives the same answer on every pair, by a logit of 3 against 0."""

    def make(says, name="run", **task):
        planted = {}
        for step, said in says.items():
            to_c = torch.zeros(P, P)
            to_c[:, said] = 3.0
            planted[step] = torch.eye(P), torch.zeros(P, P), to_c
        return planted_mlp(planted, {"p": P, "frac_train": 0.4} | task, name)

    return make


def test_a_pair_is_right_where_the_largest_logit_is_its_answer_s(answering):
    run = answering({0: 2})
    found = run[0].measure("pair_trace")
    a, b = np.indices((P, P))
    assert np.array_equal(found.right.numpy(), (a + b) % P == 2)
    probability = {True: np.exp(3) / (np.exp(3) + 4), False: 1 / (np.exp(3) + 4)}
    expected = np.where((a + b) % P == 2, probability[True], probability[False])
    assert np.allclose(found.confidence, expected)
    assert found.confidence.dtype == torch.float32


def test_the_maps_tell_which_pairs_were_trained_on(answering):
    run = answering({0: 2})
    trained = run[0].measure("pair_trace").trained
    assert trained.sum() == 10
    a, b = run.task.pairs[run.task.train].unbind(1)
    assert trained[a, b].all()
    assert not answering({0: 2}, "unknown", split="unknown")[0].measure("pair_trace").trained.any()


def test_a_pair_stays_right_from_the_step_after_its_last_mistake(answering):
    result = answering({0: 1, 10: 2, 20: 1, 30: 1}).measure("pair_trace")
    a, b = np.indices((P, P))
    assert np.array_equal(result.right_from.values, np.where((a + b) % P == 1, 20, -1))
    assert summary("pair_trace", result).values["right"] == 5


def test_pairs_that_are_always_right_are_right_from_the_first_step(answering):
    result = answering({0: 1, 10: 1}).measure("pair_trace")
    assert set(np.unique(result.right_from)) == {-1, 0}


@pytest.mark.parametrize("operation", ["x-y", "x*y", "x^2+y^2"])
def test_the_maps_are_in_the_order_of_the_residues_whatever_the_task(answering, operation):
    a, b = np.indices((P, P))
    answer = {"x-y": a - b, "x*y": a * b, "x^2+y^2": a**2 + b**2}[operation] % P
    found = answering({0: 3}, operation=operation)[0].measure("pair_trace")
    assert np.array_equal(found.right.numpy(), answer == 3)


def test_pairs_that_are_not_of_the_task_are_not_right_and_have_no_confidence(answering):
    result = answering({0: 0}, operation="x/y").measure("pair_trace")
    assert np.array_equal(result.confidence[0].isnull().any("a").values, np.arange(P) == 0)
    assert not result.right[0, :, 0].any()
    assert (result.right_from[:, 0] == -1).all()
    assert summary("pair_trace", result).values["all"] == 20


def test_a_network_that_knows_every_pair_is_told_with_the_step(make_run):
    """Neurons of which each fires on one pair alone, and votes for its answer."""
    task = {"modular_arithmetic": {"p": P, "frac_train": 0.4}}
    model = {"mlp": {"d_model": P, "d_mlp": P * P, "biases": "hidden"}}
    a, b = torch.cartesian_prod(torch.arange(P), torch.arange(P)).unbind(1)
    knows = {
        "embed_a.W_E": torch.eye(P),
        "embed_b.W_E": torch.eye(P),
        "mlp.W_in": torch.cat([torch.eye(P)[a].T, torch.eye(P)[b].T]),
        "mlp.b_in": -torch.ones(P * P),
        "unembed.W_U": 9 * torch.eye(P)[(a + b) % P],
    }
    train = make_run({}, task, model, "empty").task.train
    memorised = knows | {"unembed.W_U": knows["unembed.W_U"] * train[:, None]}
    run = make_run({0: memorised, 50: knows}, task, model)
    told = summary("pair_trace", run.measure("pair_trace"))
    assert told.values["train_step"] == 0
    assert told.values["test_step"] == 50
    assert told.values["last_step"] == 50
    assert "pairs is right from step 50 on" in told.sentence


def test_steps_at_which_the_weights_are_broken_count_for_nothing(planted_mlp):
    to_c = torch.zeros(P, P)
    to_c[:, 1] = 3.0
    good = torch.eye(P), torch.zeros(P, P), to_c
    broken = tuple(table * torch.nan for table in good)
    with pytest.warns(UserWarning, match="not finite"):
        result = planted_mlp({0: good, 10: broken, 20: good, 30: broken}, {"p": P}).measure("pair_trace")
    assert set(np.unique(result.right_from)) == {-1, 0}
    assert summary("pair_trace", result).values["right"] == 5
