from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.tasks.modular_arithmetic import modular_arithmetic

POLYNOMIALS = {
    "x+y": lambda x, y: x + y,
    "x-y": lambda x, y: x - y,
    "x*y": lambda x, y: x * y,
    "x^2+y^2": lambda x, y: x**2 + y**2,
    "x^2+x*y+y^2": lambda x, y: x**2 + x * y + y**2,
    "x^2+x*y+y^2+x": lambda x, y: x**2 + x * y + y**2 + x,
    "x^3+x*y": lambda x, y: x**3 + x * y,
    "x^3+x*y^2+y": lambda x, y: x**3 + x * y**2 + y,
}
DIVISIONS = ("x/y", "x/y if y odd else x-y")


def equations(**options):
    """(x, y, c) of every pair, as plain integers."""
    task = modular_arithmetic(**options)
    return [(x, y, c) for (x, y), c in zip(task.pairs.tolist(), task.targets.tolist(), strict=True)]


def sha256_of_sorted(rows) -> str:
    return hashlib.sha256(np.sort(np.asarray(rows)).astype("<i8").tobytes()).hexdigest()


@pytest.mark.parametrize("p", [7, 8, 11])
@pytest.mark.parametrize("operation", POLYNOMIALS)
def test_polynomials_agree_with_plain_integers(operation, p):
    expected = [(x, y, POLYNOMIALS[operation](x, y) % p) for x in range(p) for y in range(p)]
    assert equations(p=p, operation=operation) == expected


@pytest.mark.parametrize("p", [7, 11])
def test_a_quotient_times_the_divisor_is_the_dividend_and_nothing_is_divided_by_zero(p):
    found = equations(p=p, operation="x/y")
    assert [(x, y) for x, y, _ in found] == [(x, y) for x in range(p) for y in range(1, p)]
    assert all(c * y % p == x and 0 <= c < p for x, y, c in found)


@pytest.mark.parametrize("p", [7, 11])
def test_the_mixed_operation_divides_by_odd_numbers_and_subtracts_even_ones(p):
    found = equations(p=p, operation="x/y if y odd else x-y")
    assert len(found) == p * p
    assert all(c * y % p == x if y % 2 else c == (x - y) % p for x, y, c in found)


@pytest.mark.parametrize("operation", DIVISIONS)
@pytest.mark.parametrize("p", [9, 12, 100])
def test_division_modulo_a_composite_is_refused_in_one_line_that_names_the_nearest_primes(operation, p):
    with pytest.raises(ValueError, match="not prime") as refused:
        modular_arithmetic(p=p, operation=operation)
    message = str(refused.value)
    near = {9: ("7", "11"), 12: ("11", "13"), 100: ("97", "101")}[p]
    assert "\n" not in message
    assert all(prime in message.replace(str(p), "") for prime in near)


@pytest.mark.parametrize("options", [{"p": 2}, {"p": -7}, {"frac_train": 0.0}, {"frac_train": 1.01}])
def test_options_out_of_range_are_refused_by_name(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} is "):
        modular_arithmetic(**{"p": 7, **options})


def test_the_description_is_what_a_reader_would_say():
    assert modular_arithmetic(p=59).description == "x+y mod 59"
    assert modular_arithmetic(p=59, operation="random").description == "random labels mod 59"


def test_a_table_has_its_pairs_in_place_and_nan_where_a_pair_is_not_valid():
    task = modular_arithmetic(p=5, operation="x/y")
    table = task.table(task.targets.double())
    assert table[:, 0].isnan().all()
    assert not table[:, 1:].isnan().any()
    assert table[3, 2] == 3 * 3 % 5  # 2 * 3 = 1 mod 5
    assert task.table(torch.ones(20, 4, 2)).shape == (5, 5, 4, 2)


# The order in which a task is cyclic.


@pytest.mark.parametrize("operation", ["x+y", "x-y"])
@pytest.mark.parametrize("p", [8, 11])
def test_sums_are_cyclic_in_their_own_order(operation, p):
    assert modular_arithmetic(p=p, operation=operation).elements.tolist() == list(range(p))


@pytest.mark.parametrize(("operation", "sign"), [("x*y", 1), ("x/y", -1)])
@pytest.mark.parametrize("p", [7, 11, 13, 113])
def test_in_the_order_of_discrete_logarithms_products_are_sums_and_quotients_differences(operation, sign, p):
    task = modular_arithmetic(p=p, operation=operation)
    axis = task.elements
    assert sorted(axis.tolist()) == list(range(1, p))
    place = torch.zeros(p, dtype=torch.int64)
    place[axis] = torch.arange(p - 1)
    nonzero = (task.pairs != 0).all(dim=1)
    i, j = place[task.pairs[nonzero]].unbind(1)
    assert torch.equal(place[task.targets[nonzero]], (i + sign * j) % (p - 1))


@pytest.mark.parametrize(
    "operation", [name for name in (*POLYNOMIALS, *DIVISIONS, "random") if name not in ("x+y", "x-y", "x*y", "x/y")]
)
def test_other_operations_have_no_cyclic_order(operation):
    assert modular_arithmetic(p=11, operation=operation).elements is None


def test_products_modulo_a_composite_have_no_cyclic_order():
    assert modular_arithmetic(p=8, operation="x*y").elements is None


# Which pairs are trained on.


@pytest.mark.parametrize(("p", "seed", "frac"), [(113, 0, 0.3), (59, 3, 0.8), (10, 5, 0.55)])
def test_the_split_of_progress_measures_is_that_of_its_own_recipe(p, seed, frac):
    listed = [(i, j, p) for i in range(p) for j in range(p)]
    generator = random.Random(seed)  # the release calls random.seed and random.shuffle: the same stream
    generator.shuffle(listed)
    expected = {i * p + j for i, j, _ in listed[: int(frac * len(listed))]}
    mask = modular_arithmetic(p=p, seed=seed, frac_train=frac, split="progress_measures").train
    assert set(mask.nonzero().flatten().tolist()) == expected


@pytest.mark.parametrize(("p", "seed", "frac"), [(113, 1, 0.3), (59, 3, 0.8)])
def test_the_split_of_rep_theory_is_that_of_its_own_recipe(p, seed, frac):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        expected = torch.randperm(p * p)[: int(frac * p * p)]
    mask = modular_arithmetic(p=p, seed=seed, frac_train=frac, split="rep_theory").train
    assert torch.equal(mask.nonzero().flatten(), expected.sort().values)


@pytest.mark.parametrize("operation", ["x+y", "x*y", "x/y", "x^3+x*y"])
@pytest.mark.parametrize("frac", [0.5, 0.333])
def test_the_split_of_power_shuffles_a_list_of_equations(operation, frac):
    p = 11
    if operation == "x/y":  # the release runs over (answer, divisor) and multiplies
        listed = [(c * b % p, b) for c in range(p) for b in range(1, p)]
    else:
        listed = [(a, b) for a in range(p) for b in range(p)]
    texts = [f"{a} {operation} {b}" for a, b in listed]
    np.random.RandomState(seed=0).shuffle(texts)
    expected = set(texts[: round(frac * len(texts))])
    task = modular_arithmetic(p=p, operation=operation, frac_train=frac, seed=0, split="power")
    assert {f"{a} {operation} {b}" for a, b in task.pairs[task.train].tolist()} == expected


def test_an_unknown_split_is_none():
    assert modular_arithmetic(p=7, split="unknown").train is None


@pytest.mark.parametrize("split", ["progress_measures", "rep_theory", "power"])
def test_drawing_a_split_leaves_the_global_random_states_alone(split):
    def states():
        numpy_state = np.random.get_state()
        return random.getstate(), torch.get_rng_state().tolist(), numpy_state[1].tolist(), numpy_state[2]

    before = states()
    modular_arithmetic(p=7, seed=4, split=split, operation="random")
    assert states() == before


@pytest.mark.parametrize("split", ["progress_measures", "rep_theory", "power"])
@pytest.mark.parametrize("frac", [0.1, 0.5, 1.0])
def test_the_training_share_is_frac_train_to_the_nearest_pair(split, frac):
    task = modular_arithmetic(p=13, frac_train=frac, split=split)
    assert abs(int(task.train.sum()) - frac * 169) < 1
    assert int(modular_arithmetic(p=13, frac_train=1.0, split=split).train.sum()) == 169


def test_another_seed_is_another_split():
    assert not torch.equal(modular_arithmetic(seed=0).train, modular_arithmetic(seed=1).train)


@pytest.mark.parametrize("name", ["wd_10-1_mod_addition_loss_curve", "low_precision_mod_addition"])
def test_the_split_is_that_of_the_published_progress_measures_runs(reference: Path, name):
    split = json.loads((reference / "progress_measures" / f"gold_{name}.json").read_text())["split"]
    task = modular_arithmetic(seed=split["seed"], frac_train=split["frac"], split="progress_measures")
    rows = task.train.nonzero().flatten()
    assert len(rows) == split["n_train"]
    assert sha256_of_sorted(rows) == split["train_rows_int64le_sha256"]


@pytest.mark.parametrize("name", ["C113_MLP_seed1", "C113_MLP_seed3", "C118_MLP_seed1"])
def test_the_split_is_that_of_the_published_rep_theory_runs(reference: Path, name):
    gold = json.loads((reference / "rep_theory" / name / "gold.json").read_text())
    config, split = gold["config"], gold["split"]
    task = modular_arithmetic(p=gold["order"], seed=config["seed"], frac_train=config["frac_train"], split="rep_theory")
    assert task.train[split["first_train_rows"]].all()
    assert sha256_of_sorted(task.train.nonzero().flatten()) == split["sorted_train_rows_int64le_sha256"]


# Random labels.


def test_random_labels_are_residues_drawn_by_the_seed_alone():
    first, again, other = (modular_arithmetic(p=59, operation="random", seed=seed).targets for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    counts = torch.bincount(first, minlength=59)
    assert len(counts) == 59
    assert (counts - 59).abs().max() < 6 * 59**0.5  # uniform, to six standard deviations


# Unordered pairs.


@pytest.mark.parametrize("operation", ["x+y", "x*y", "x^2+y^2", "x^2+x*y+y^2"])
@pytest.mark.parametrize("p", [8, 11])
def test_unordered_pairs_are_the_upper_half_of_the_table_with_the_same_answers(operation, p):
    expected = [(x, y, c) for x, y, c in equations(p=p, operation=operation) if x <= y]
    assert equations(p=p, operation=operation, pairs="unordered") == expected


@pytest.mark.parametrize("operation", [*DIVISIONS, "x-y", "x^2+x*y+y^2+x", "x^3+x*y", "x^3+x*y^2+y", "random"])
def test_operations_that_are_not_symmetric_have_ordered_pairs_alone(operation):
    with pytest.raises(ValueError, match=r"^pairs is unordered, and .* is not symmetric") as refused:
        modular_arithmetic(p=11, operation=operation, pairs="unordered")
    assert "\n" not in str(refused.value)


def test_pair_s_pairs_are_theirs_and_so_is_their_split_by_power_s_rule():
    """Their notebook: np.random.seed(165); permutation of the listed pairs; the first int(0.4 · 2278)."""
    listed = [(a, b) for a in range(67) for b in range(67) if a <= b]
    assert len(listed) == 2278
    chosen = np.random.RandomState(165).permutation(2278)[: int(0.4 * 2278)]
    task = modular_arithmetic(67, frac_train=0.4, seed=165, split="power", pairs="unordered")
    assert {tuple(pair) for pair in task.pairs[task.train].tolist()} == {listed[place] for place in chosen}
    assert task.order[: len(chosen)].tolist() == chosen.tolist()


@pytest.mark.parametrize("split", ["progress_measures", "rep_theory", "power"])
def test_unordered_pairs_are_shuffled_whole_and_split_by_the_same_rules(split):
    task = modular_arithmetic(13, frac_train=0.5, seed=4, split=split, pairs="unordered")
    count = int(task.train.sum())
    assert abs(count - 0.5 * 91) < 1
    assert sorted(task.order.tolist()) == list(range(91))
    assert task.train[task.order[:count]].all()
    assert task.description == "x+y mod 13, unordered pairs"


def test_the_whole_table_of_unordered_pairs_is_that_of_the_ordered():
    ordered, unordered = (modular_arithmetic(7, "x*y", pairs=pairs) for pairs in ("ordered", "unordered"))
    torch.testing.assert_close(
        unordered.whole_table(unordered.targets.double()), ordered.whole_table(ordered.targets.double())
    )
    below = unordered.table(unordered.targets.double()).isnan()
    assert torch.equal(below, torch.ones(7, 7, dtype=torch.bool).tril(-1))
