"""Sparse parity against counting, and what is asked of its sample."""

from __future__ import annotations

import pytest
import torch

from interp.catalogue.options import checked_options
from interp.errors import InterpError
from interp.tasks.sparse_parity import sparse_parity


@pytest.mark.parametrize("inputs", ["0/1", "-1/1"])
@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_the_class_is_whether_an_odd_number_of_the_first_k_bits_are_1(k, inputs):
    task = sparse_parity(n=6, k=k, n_train=20, n_test=30, inputs=inputs)
    for bits, target in zip(task.inputs.tolist(), task.targets.tolist(), strict=True):
        assert target == sum(bit == 1 for bit in bits[:k]) % 2


def test_on_signs_the_answer_is_the_sign_of_the_product_of_three():
    task = sparse_parity(n=10, k=3, n_train=100, n_test=100, inputs="-1/1")
    assert set(task.inputs.unique().tolist()) == {-1, 1}
    assert torch.equal(task.inputs[:, :3].prod(dim=1) > 0, task.targets == 1)


def test_all_strings_there_are_can_be_asked_for():
    task = sparse_parity(n=8, k=2, n_train=100, n_test=156)
    numbers = (task.inputs.long() * 2 ** torch.arange(8)).sum(dim=1)
    assert sorted(numbers.tolist()) == list(range(256))
    assert int(task.targets.sum()) == 128


@pytest.mark.parametrize("n", [5, 12, 70])
def test_no_string_comes_twice_and_the_first_are_trained_on(n):
    task = sparse_parity(n=n, k=2, n_train=13, n_test=12)
    assert task.inputs.shape == (25, n)
    assert len(task.inputs.unique(dim=0)) == 25
    assert task.train.tolist() == [True] * 13 + [False] * 12


@pytest.mark.slow
def test_strings_are_drawn_uniformly_whichever_come_first():
    """Each of the 8 strings is first, and is last of 8, as often as any other: 4,000 draws, 5 standard deviations."""
    draws = [sparse_parity(n=3, k=1, n_train=7, n_test=1, seed=seed).inputs.long() for seed in range(4_000)]
    numbers = torch.stack(draws) @ torch.tensor([4, 2, 1])  # [draw, place]
    for place in (0, 7):
        counts = numbers[:, place].bincount(minlength=8).double()
        assert float((counts - 500).abs().max()) < 5 * (4_000 * 7 / 64) ** 0.5


def test_the_seed_draws_the_strings_and_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    first, again, other = (sparse_parity(n=30, k=3, n_train=9, n_test=9, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)


@pytest.mark.parametrize("outputs", [1, 2])
def test_one_output_answers_by_its_sign_two_by_the_larger(outputs):
    task = sparse_parity(n=6, k=2, n_train=8, n_test=8, outputs=outputs)
    assert task.n_outputs == outputs
    right = (2 * task.targets - 1).double()[:, None]
    said = right if outputs == 1 else torch.cat([-right, right], dim=1)
    assert task.correct(said).all()
    assert not task.correct(-said).any()


def test_the_defaults_are_those_of_pair():
    task = sparse_parity()
    assert task.description == "parity of 3 of 30 bits"
    assert (len(task), int(task.train.sum()), task.inputs.shape[1]) == (6_250, 1_250, 30)
    assert set(task.inputs.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 4, "k": 5}, "k is 5, more than the 4 bits"),
        ({"n": 4, "k": 2, "n_train": 10, "n_test": 7}, "17, but there are only 16 strings"),
        ({"n": 1_000_000, "n_train": 10_000}, "more numbers than the 1,000,000,000 kept"),
        ({"n": 10**9, "n_train": 10**12}, "more numbers"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as refused:
        sparse_parity(**options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("options", [{"k": 0}, {"n_train": 0}, {"inputs": "1/2"}, {"outputs": 3}, {"seed": -1}])
def test_values_of_another_kind_are_refused_by_name(options):
    (name,) = options
    with pytest.raises(InterpError, match=name):
        checked_options("tasks", "sparse_parity", options)
