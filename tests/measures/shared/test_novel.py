"""Which examples a lookup table of the training examples cannot know, found pair by pair."""

from __future__ import annotations

import pytest
import torch

from interp.measures.shared.novel import novel_examples
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity


@pytest.mark.parametrize("operation", ["x+y", "x-y", "x/y", "x^2+y^2", "random"])
def test_novel_are_the_test_pairs_whose_mirror_was_not_trained_on_with_the_same_answer(operation):
    task = modular_arithmetic(7, operation, 0.5, seed=1)
    known = {}
    for (a, b), answer, trained in zip(task.pairs.tolist(), task.targets.tolist(), task.train.tolist(), strict=True):
        if trained:
            known[a, b] = answer
    novel = [
        (a, b) not in known and known.get((b, a)) != answer
        for (a, b), answer in zip(task.pairs.tolist(), task.targets.tolist(), strict=True)
    ]
    assert novel_examples(task).tolist() == novel


def test_of_other_tasks_they_are_the_test_examples_and_none_where_nobody_knows():
    task = sparse_parity(n=10, k=2, n_train=20, n_test=30)
    assert torch.equal(novel_examples(task), ~task.train)
    assert not novel_examples(modular_arithmetic(7, split="unknown")).any()
