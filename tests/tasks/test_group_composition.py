"""Group composition: operations, orders, splits and tables from files, held against permutations composed by hand."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.checkpoints import open_run
from interp.errors import InterpError
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.tasks.group_composition import group_composition
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests.groups_by_hand import heisenberg

PERMUTATIONS = list(itertools.permutations(range(4)))


def then(x, y):
    """x first, then y."""
    return tuple(y[image] for image in x)


def inverse(x):
    return tuple(x.index(point) for point in range(len(x)))


OPERATIONS = {
    "x*y": then,
    "x*y*x^-1": lambda x, y: then(then(x, y), inverse(x)),
    "x*y*x": lambda x, y: then(then(x, y), x),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_are_those_on_permutations(operation):
    task = group_composition("S4", operation=operation)
    expected = [PERMUTATIONS.index(OPERATIONS[operation](x, y)) for x in PERMUTATIONS for y in PERMUTATIONS]
    assert task.targets.tolist() == expected
    assert task.pairs.tolist() == [[x, y] for x in range(24) for y in range(24)]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_y_first_composes_the_other_way_round(operation):
    task = group_composition("S4", operation=operation, composition="y first")
    for (x, y), answer in list(zip(task.pairs.tolist(), task.targets.tolist(), strict=True))[::7]:
        x, y = PERMUTATIONS[x], PERMUTATIONS[y]
        by_hand = {"x*y": then(y, x), "x*y*x^-1": then(inverse(x), then(y, x)), "x*y*x": then(then(x, y), x)}
        assert PERMUTATIONS[answer] == by_hand[operation]


def test_the_structure_is_the_group_in_which_the_answer_is_the_product():
    for composition in ("x first", "y first"):
        task = group_composition("D5", composition=composition)
        assert torch.equal(task.structure.product.flatten(), task.targets)
        assert [irrep.name for irrep in task.structure.irreps] == ["trivial", "sign", "freq_1", "freq_2"]


def test_modular_addition_is_the_cyclic_case():
    ours = group_composition("C11", frac_train=0.3, seed=4, split="progress_measures")
    theirs = modular_arithmetic(11, frac_train=0.3, seed=4)
    assert torch.equal(ours.targets, theirs.targets)
    assert torch.equal(ours.train, theirs.train)
    assert ours.structure == theirs.structure


def test_what_is_composed_and_how_is_said():
    assert group_composition().description == "x*y in S5 (x first, lexicographic order)"
    told = group_composition("S5", operation="x*y*x", composition="y first", element_order="rep_theory").description
    assert told == "x*y*x in S5 (y first, rep_theory order)"
    assert group_composition("D3").description == "x*y in D3 (x first)"
    assert group_composition("C2 x C3").description == "x*y in C2 x C3"


@pytest.mark.parametrize("name", ["S5_MLP_seed2", "S6_MLP_seed1", "A5_T_seed1", "D59_MLP_seed1", "C118_MLP_seed1"])
def test_splits_are_those_of_the_published_runs(name, reference: Path):
    gold = json.loads((reference / "rep_theory" / name / "gold.json").read_text())
    config, split = gold["config"], gold["split"]
    drawn = {"seed": config["seed"], "frac_train": config["frac_train"]}
    task = group_composition(gold["group"], element_order="rep_theory", **drawn)
    rows = np.flatnonzero(task.train.numpy()).astype("<i8")
    assert hashlib.sha256(rows.tobytes()).hexdigest() == split["sorted_train_rows_int64le_sha256"]
    assert task.train[split["first_train_rows"]].all()


FORMATS = {
    "table.txt": lambda table: "# of GAP\n" + "\n".join(" ".join(map(str, row)) for row in table),
    "table.csv": lambda table: "\n".join(",".join(map(str, row)) for row in table) + "\n\n",
    "table.json": lambda table: json.dumps((table + 1).tolist()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_in_a_file_is_a_group(name, tmp_path: Path):
    table = heisenberg()
    (tmp_path / name).write_text(FORMATS[name](table))
    task = group_composition(table=tmp_path / name)
    assert task.targets.tolist() == table.flatten().tolist()
    assert task.p == task.n_outputs == 27
    assert task.description == "x*y in the group of table (x first)"
    assert sorted(irrep.dimension for irrep in task.structure.irreps) == [1, 2, 2, 2, 2, 6]


def test_a_table_of_numpy_s_is_one_too(tmp_path: Path):
    np.save(tmp_path / "table.npy", heisenberg())
    assert len(group_composition(table=tmp_path / "table.npy")) == 27**2


def test_a_table_is_found_beside_the_recipe_and_its_mistakes_are_told_there(tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.yaml").write_text("task: {group_composition: {table: table.txt}}\nmodel: {mlp: {d_mlp: 3}}\n")
    table = heisenberg()
    (folder / "table.txt").write_text(FORMATS["table.txt"](table))
    weights = {"embed_a.W_E": (27, 256), "embed_b.W_E": (27, 256), "mlp.W_in": (512, 3), "unembed.W_U": (3, 27)}
    CheckpointBlocks(folder / "weights").save(0, {name: np.zeros(shape) for name, shape in weights.items()})
    assert open_run(folder).task.structure.order == 27
    table[3, 5] = table[3, 6]
    (folder / "table.txt").write_text(FORMATS["table.txt"](table))
    with pytest.raises(InterpError, match=r"table\.txt: row 3 holds element \d+ twice, in columns 5 and 6"):
        open_run(folder).task  # noqa: B018


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "S7"}, r"25,401,600 pairs; take a group of at most 1,000"),
        ({"group": "S5", "frac_train": 0.0}, r"frac_train is 0.0; it is a share"),
        ({"group": "S3", "frac_train": 0.01}, r"of 36 pairs is none; raise it"),
        ({"group": "S4", "element_order": "rep_theory"}, r"order of the S4 of the rep-theory release is not known"),
    ],
)
def test_mistakes_are_told_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as refused:
        group_composition(**options)
    assert "\n" not in str(refused.value)


def test_commas_at_the_ends_of_lines_are_no_entries(tmp_path: Path):
    (tmp_path / "table.csv").write_text("0, 1,\n1, 0,\n")
    assert group_composition(table=tmp_path / "table.csv").targets.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n1 x\n", r"table\.txt is no table of whole numbers: .*'x'; expected a row for each left factor"),
        ("0 1\n1\n", r"is no table of whole numbers: row 1 has 1 entries where there are 2 rows"),
        ("[[0, 1], [1]]", r"row 1 has 1 entries where there are 2 rows"),
        ("0 1 2\n1 2 0\n", r"row 0 has 3 entries where there are 2 rows"),
        ("", r"shape \[0\]; expected a square table"),
        ("[[0, 1], [1, 0.5]]", r"holds float64; expected the whole numbers"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(text, message, tmp_path: Path):
    (tmp_path / "table.txt").write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        group_composition(table=tmp_path / "table.txt")
    assert "\n" not in str(refused.value)


def test_a_group_and_a_table_are_not_given_together(tmp_path: Path):
    (tmp_path / "table.txt").write_text("0\n")
    with pytest.raises(ValueError, match=r"both group, 'S3', and table are given; leave one of them out"):
        group_composition("S3", table=tmp_path / "table.txt")


def test_a_table_of_more_than_a_thousand_elements_is_refused_by_its_pairs(tmp_path: Path):
    number = np.arange(1001)
    np.save(tmp_path / "table.npy", (number[:, None] + number) % 1001)
    with pytest.raises(ValueError, match=r"1,001 elements, which make 1,002,001 pairs"):
        group_composition(table=tmp_path / "table.npy")


def test_power_s_split_shuffles_the_row_major_pairs():
    rows = np.arange(36)
    np.random.RandomState(0).shuffle(rows)
    task = group_composition("S3", frac_train=0.5, split="power")
    assert set(task.train.nonzero().flatten().tolist()) == set(rows[:18].tolist())
