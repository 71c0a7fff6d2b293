"""The toy's sums, split and vectors, and when an answer is right."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from interp.contracts.sums import sums
from interp.errors import NothingToSay
from interp.tasks.sparse_parity import sparse_parity
from interp.tasks.toy_addition import toy_addition


def test_the_examples_are_the_55_unordered_pairs_of_ten_numbers():
    task = toy_addition()
    assert task.pairs.tolist() == [list(pair) for pair in itertools.combinations_with_replacement(range(10), 2)]
    assert task.classes.tolist() == [a + b for a, b in task.pairs.tolist()]
    assert int(task.train.sum()) == 45
    assert torch.equal(task.train.nonzero()[:, 0], task.order[:45].sort().values)
    assert task.targets.shape == (55, 30)


def test_pairs_with_one_sum_have_one_target_and_others_another():
    task = toy_addition(p=6, n_train=5)
    same = torch.cdist(task.targets, task.targets) == 0
    assert torch.equal(same, task.classes[:, None] == task.classes[None])


def test_vectors_are_standard_normal():
    codes = toy_addition(p=300, n_train=1, d_target=100).codes
    assert float(codes.mean()) == pytest.approx(0, abs=5 / codes.numel() ** 0.5)
    assert float(codes.var()) == pytest.approx(1, abs=5 * (2 / codes.numel()) ** 0.5)


def test_an_answer_is_right_where_the_nearest_vector_is_that_of_its_sum():
    task = toy_addition(p=4, n_train=5, d_target=3)
    outputs = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()[: len(task)]
    distances = ((outputs.numpy()[:, None] - task.codes.numpy()[None]) ** 2).sum(axis=2)
    assert task.correct(outputs).tolist() == (distances.argmin(axis=1) == task.classes.numpy()).tolist()
    assert task.correct(task.targets.double() + 1e-3).all()


def test_as_classes_the_largest_output_answers():
    task = toy_addition(p=4, n_train=5, targets="classes")
    assert task.targets.tolist() == task.classes.tolist()
    outputs = torch.randn(len(task), 7, generator=torch.Generator().manual_seed(0)).double()
    assert task.correct(outputs).tolist() == (outputs.argmax(dim=1) == task.targets).tolist()


def test_the_seed_draws_vectors_and_pairs_and_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    first, again, other = (toy_addition(seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.codes, again.codes)
    assert torch.equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)
    assert not torch.equal(first.codes, other.codes)
    assert torch.equal(first.codes, toy_addition(seed=1, n_train=20).codes)


def test_more_pairs_than_there_are_are_refused():
    with pytest.raises(ValueError, match=r"^n_train is 7, and there are 6 pairs a <= b of 3 numbers; lower it$"):
        toy_addition(p=3, n_train=7)


def test_a_measure_asks_for_the_sums():
    task = toy_addition()
    assert sums(task) is task
    with pytest.raises(NothingToSay, match=r"^the task is not the sum of two numbers that are looked up$"):
        sums(sparse_parity(n=5, k=2, n_train=4, n_test=4))
