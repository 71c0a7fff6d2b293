"""Molecules from a planted file of PyTorch Geometric's form, and what is said where they are not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.contracts.graphs import graphs
from interp.contracts.recipe_file import recipe_file
from interp.errors import NothingToSay
from interp.recipes.document import dump_yaml
from interp.tasks.molecules import molecules
from interp.tasks.sparse_parity import sparse_parity
from interp.train import train
from tests.tasks.curves import curves

SIZES = (3, 5, 1, 4, 2, 5)


def planted(seed: int = 0) -> list[dict]:
    """Random molecules: chains of atoms whose bonds lead both ways."""
    generator, found = torch.Generator().manual_seed(seed), []
    for place, size in enumerate(SIZES):
        ahead = torch.stack([torch.arange(size - 1), torch.arange(1, size)])
        kinds = torch.randint(0, 4, (size - 1,), generator=generator)
        found.append(
            {
                "x": torch.randn(size, 11, generator=generator),
                "edge_index": torch.cat([ahead, ahead.flip(0)], dim=1),
                "edge_attr": torch.eye(4)[torch.cat([kinds, kinds])],
                "y": torch.randn(1, 19, generator=generator),
                "pos": torch.randn(size, 3, generator=generator),
                "z": torch.ones(size, dtype=torch.long),
                "name": f"gdb_{place}",
                "idx": torch.tensor([place]),
            }
        )
    return found


def saved(folder: Path, content) -> Path:
    torch.save(content, folder / "qm9_v3.pt")
    return folder / "qm9_v3.pt"


def collated(molecules: list[dict]) -> tuple:
    """The same one after another, with the places where each begins: what PyTorch Geometric makes of them."""
    axes = {"x": 0, "edge_index": 1, "edge_attr": 0, "y": 0, "pos": 0}
    arrays = {name: torch.cat([one[name] for one in molecules], dim=axis) for name, axis in axes.items()}
    lengths = {name: [one[name].shape[axis] for one in molecules] for name, axis in axes.items()}
    return arrays, {name: torch.tensor([0, *np.cumsum(each)]) for name, each in lengths.items()}, dict


def read(file: Path, **options):
    return molecules(**{"file": recipe_file(file.name, file), "n_train": 4, "n_test": 2, **options})


@pytest.mark.parametrize("form", [list, collated])
def test_each_molecule_lies_dense_and_padded(form, tmp_path: Path):
    given = planted()
    task = read(saved(tmp_path, form(given)))
    mask, x, linked, edges = task.parts(task.inputs)
    assert mask.sum(dim=1).tolist() == list(SIZES)
    assert edges.shape == (6, 5, 5, 4)
    for place, one in enumerate(given):
        size = SIZES[place]
        assert torch.equal(x[place, :size], one["x"])
        assert not x[place, size:].any()
        bonds = {(int(i), int(j)): e.tolist() for (j, i), e in zip(one["edge_index"].T, one["edge_attr"], strict=True)}
        for i in range(5):
            for j in range(5):
                assert bool(linked[place, i, j]) == ((i, j) in bonds)
                assert edges[place, i, j].tolist() == bonds.get((i, j), [0] * 4)
    assert task.targets[:, 0].tolist() == [float(one["y"][0, 1]) for one in given]
    assert task.train.tolist() == [True] * 4 + [False] * 2


def test_another_property_is_standardised_by_the_training_molecules(tmp_path: Path):
    given = planted()
    y = np.array([float(one["y"][0, 7]) for one in given])
    task = read(saved(tmp_path, given), target=7, standardised=True)
    expected = (y - y[:4].mean()) / y[:4].std()
    np.testing.assert_allclose(task.targets[:, 0].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_seed_draws_the_molecules(tmp_path: Path):
    file = saved(tmp_path, planted())
    first, drawn, again = read(file), read(file, seed=1), read(file, seed=1)
    assert torch.equal(drawn.targets, again.targets)
    assert not torch.equal(drawn.targets, first.targets)
    assert sorted(drawn.targets[:, 0].tolist()) == sorted(first.targets[:, 0].tolist())


def refused(**options) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        molecules(**options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_a_file_it_is_said_which_to_give():
    said = "no molecules come with interp; give file: QM9 as PyTorch Geometric keeps it, processed/data_v3.pt or"
    assert refused().startswith(said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"x": torch.zeros(2)}, "holds no molecules with x, edge_index, edge_attr, y; give QM9"),
        ([{"x": torch.zeros(2, 11)}], "molecule 0 has no edge_index [2, bond]"),
        ([planted()[0] | {"edge_index": torch.full((2, 4), 3)}], "which do not go together"),
        ([planted()[0] | {"y": torch.zeros(1, 3)}], "y [1, 3], which do not go together"),
        ([planted()[0]], "n_train + n_test is 6, and qm9_v3.pt holds 1 molecules; lower them"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(content, said: str, tmp_path: Path):
    file = recipe_file("qm9_v3.pt", saved(tmp_path, content))
    few = {"n_train": 4, "n_test": 2} if said.startswith("n_train") else {"n_train": 1, "n_test": 0}
    assert said in refused(file=file, **few)


def test_a_recipe_trains_on_the_file_beside_it(tmp_path: Path):
    saved(tmp_path, planted())
    task = {"molecules": {"n_train": 4, "n_test": 2, "file": "qm9_v3.pt"}}
    training = {"steps": 4, "batch_size": 2, "loss": "mse", "save": {"every": 2}}
    recipe = {"task": task, "model": "message_passing", "training": training}
    (tmp_path / "run.yaml").write_text(dump_yaml(recipe))
    train(tmp_path)
    assert curves(tmp_path) == ["test_loss", "train_loss"]


def test_a_measure_asks_for_graphs(tmp_path: Path):
    task = read(saved(tmp_path, planted()))
    assert graphs(task) is task
    with pytest.raises(NothingToSay, match=r"^the task is not one of graphs$"):
        graphs(sparse_parity(n=5, k=2, n_train=4, n_test=4))
