"""The rep-theory release: files laid out by hand from the description of the format, and the published networks."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp import describe
from interp.checkpoints import open_run
from interp.errors import InterpError
from interp.importers.rep_theory import recognises

N, D, H = 6, 8, 5
CONFIG: dict[str, Any] = {
    "model": "OneLayerMLP",
    "group": "CyclicGroup",
    "group_parameter": N,
    "frac_train": 0.4,
    "seed": 3,
    "num_epochs": 700,
    "layers": {"embed_dim": 256, "hidden_dim": 128},
}


def perceptron(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"W_x": (N, D), "W_y": (N, D), "W": (2 * D, H), "W_U": (H, N)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def perceptron_logits(w: dict[str, np.ndarray]) -> np.ndarray:
    a, b = np.divmod(np.arange(N * N), N)
    x = np.concatenate([w["W_x"][a], w["W_y"][b]], axis=1).astype(float)
    return np.maximum(x @ w["W"], 0) @ w["W_U"]


def transformer() -> dict[str, np.ndarray]:
    """Two heads of 4, biases all 0, W_E under three names, two buffers."""
    rng = np.random.default_rng(1)
    shapes = {"embed.W_E": (N + 1, D), "pos_embed.W_pos": (3, D), "unembed.W_U": (D, N)}
    shapes |= {f"blocks.0.attn.W_{letter}": (2, D, 4) for letter in "QKV"}
    shapes |= {"blocks.0.attn.W_O": (2, 4, D), "blocks.0.mlp.W_in": (D, H), "blocks.0.mlp.W_out": (H, D)}
    tensors = {name: rng.normal(0, 0.5, size=shape).astype(np.float32) for name, shape in shapes.items()}
    biases = {f"blocks.0.attn.b_{letter}": (2, 4) for letter in "QKV"}
    biases |= {"blocks.0.attn.b_O": (D,), "blocks.0.mlp.b_in": (H,), "blocks.0.mlp.b_out": (D,), "unembed.b_U": (N,)}
    tensors |= {name: np.zeros(shape, np.float32) for name, shape in biases.items()}
    tensors |= {"x_embed": tensors["embed.W_E"], "y_embed": tensors["embed.W_E"]}
    return tensors | {
        "blocks.0.attn.mask": np.tril(np.ones((3, 3), bool)),
        "blocks.0.attn.IGNORE": np.array(-1e5, np.float32),
    }


def transformer_logits(w: dict[str, np.ndarray], a: int, b: int) -> np.ndarray:
    x = w["embed.W_E"][[a, b, N]].astype(float) + w["pos_embed.W_pos"]
    q, k, v = (np.einsum("pm,hmd->hpd", x, w[f"blocks.0.attn.W_{letter}"]) for letter in "QKV")
    scores = np.exp(q[:, 2:] @ k.transpose(0, 2, 1) / np.sqrt(4))  # "=" sees every position
    z = scores / scores.sum(2, keepdims=True) @ v
    last = x[2] + np.einsum("hd,hdm->m", z[:, 0], w["blocks.0.attn.W_O"])
    last = last + np.maximum(last @ w["blocks.0.mlp.W_in"], 0) @ w["blocks.0.mlp.W_out"]
    return last @ w["unembed.W_U"]


def save(folder: Path, tensors: dict[str, np.ndarray], config: dict[str, Any] = CONFIG, name: str = "model.pt") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    torch.save({key: torch.from_numpy(array.copy()) for key, array in tensors.items()}, folder / name)
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("given", [".", "model.pt"])
def test_a_perceptron_laid_out_by_hand(given: str, tmp_path: Path):
    tensors = perceptron()
    run = open_run(save(tmp_path, tensors) / given, "rep_theory")
    assert run.steps == [700]
    torch.testing.assert_close(run.final.logits, torch.tensor(perceptron_logits(tensors)), rtol=1e-9, atol=1e-9)
    assert sum(value.numel() for value in run.final.weights.values()) == 2 * N * D + 2 * D * H + H * N


def test_a_transformer_laid_out_by_hand(tmp_path: Path):
    tensors = transformer()
    run = open_run(save(tmp_path, tensors, CONFIG | {"model": "Transformer"}), "rep_theory")
    by_hand = np.array([transformer_logits(tensors, a, b) for a in range(N) for b in range(N)])
    torch.testing.assert_close(run.final.logits, torch.tensor(by_hand), rtol=1e-9, atol=1e-9)
    assert not [name for name in run.final.weights if ".b_" in name or "mask" in name or "_embed" in name[:7]]


def test_the_split_is_torch_s_permutation_under_the_configuration_s_seed(tmp_path: Path):
    run = open_run(save(tmp_path, perceptron()), "rep_theory")
    torch.manual_seed(3)
    rows = torch.randperm(N * N)[: int(0.4 * N * N)]
    assert run.task.train is not None
    assert run.task.train.nonzero().flatten().tolist() == sorted(rows.tolist())


def test_a_series_of_checkpoints_has_the_steps_after_its_epochs(tmp_path: Path):
    for epoch in (0, 9, 99):
        save(tmp_path, perceptron(epoch), name=f"checkpoints/epoch_{epoch}.pt")
    save(tmp_path, perceptron(700))
    run = open_run(tmp_path, "rep_theory")
    assert run.steps == [1, 10, 100, 700]
    for step, seed in ((10, 9), (700, 700)):
        torch.testing.assert_close(run[step].logits, torch.tensor(perceptron_logits(perceptron(seed))))
    alone = open_run(tmp_path / "checkpoints" / "epoch_9.pt", "rep_theory")
    assert alone.steps == [10]


def test_git_lfs_pointers_are_told_as_such_and_the_others_are_read(tmp_path: Path):
    save(tmp_path, perceptron())
    pointer = tmp_path / "checkpoints" / "epoch_9.pt"
    pointer.parent.mkdir()
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 475000\n")
    with pytest.warns(UserWarning, match=r"step 10 left out: .*git-lfs pointer"):
        assert open_run(tmp_path, "rep_theory").steps == [700]
    shutil.copy(pointer, tmp_path / "model.pt")
    with pytest.raises(InterpError, match=r"model\.pt: a git-lfs pointer, .*git lfs pull"):
        open_run(tmp_path, "rep_theory")


def sized(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"W_x": (n, D), "W_y": (n, D), "W": (2 * D, H), "W_U": (H, n)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_a_dihedral_network_composes_turns_and_flips_as_the_release_numbers_them(tmp_path: Path):
    run = open_run(save(tmp_path, sized(6), CONFIG | {"group": "DihedralGroup", "group_parameter": 3}), "rep_theory")
    answers = run.task.table(run.task.targets.double())
    for a, b, c, d in itertools.product(range(3), range(2), range(3), range(2)):  # r^a s^b · r^c s^d
        turn = (a + (-1) ** b * c) % 3
        assert answers[a + 3 * b, c + 3 * d] == turn + 3 * ((b + d) % 2)
    assert run.final.logits.shape == (36, 6)


def test_a_permutation_network_is_numbered_as_the_release_lists_its_elements(reference: Path, tmp_path: Path):
    listed = json.loads((reference / "groups" / "A5.json").read_text())["elements_one_line"]
    run = open_run(
        save(tmp_path, sized(60), CONFIG | {"group": "AlternatingGroup", "group_parameter": 5}), "rep_theory"
    )
    answers = run.task.table(run.task.targets.double())
    for x, y in ((0, 7), (13, 59), (41, 22)):
        assert listed[int(answers[x, y])] == [listed[y][point] for point in listed[x]]  # x first, then y


def test_a_group_whose_order_nobody_knows_asks_for_its_table(tmp_path: Path):
    save(tmp_path, sized(6), CONFIG | {"group": "SymmetricGroup", "group_parameter": 3})
    with pytest.raises(InterpError, match=r"its group is S3: the order .* is not known.*give its table of products"):
        open_run(tmp_path, "rep_theory")
    table = np.array([[(a + b) % 6 for b in range(6)] for a in range(6)])
    (tmp_path / "table.json").write_text(json.dumps(table.tolist()))
    (tmp_path / "run.yaml").write_text("importer: rep_theory\ntask: {group_composition: {table: table.json}}\n")
    run = open_run(tmp_path)
    np.testing.assert_array_equal(run.task.table(run.task.targets.double()), table)
    torch.manual_seed(3)
    rows = torch.randperm(36)[: int(0.4 * 36)]
    assert run.task.train is not None
    assert run.task.train.nonzero().flatten().tolist() == sorted(rows.tolist())


def test_a_group_that_is_none_of_theirs_asks_for_its_table_too(tmp_path: Path):
    save(tmp_path, perceptron(), CONFIG | {"group": "Monster", "group_parameter": 1})
    with pytest.raises(InterpError, match=r"its group is Monster 1: .*; give its table of products") as error:
        open_run(tmp_path, "rep_theory")
    assert "\n" not in str(error.value)


def test_what_is_no_network_of_the_release_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(InterpError, match=r"no configuration: expected .*cfg\.json"):
        open_run(tmp_path, "rep_theory")
    save(tmp_path, perceptron(), {key: value for key, value in CONFIG.items() if key != "seed"})
    with pytest.raises(InterpError, match=r"lacks, or has no number at, 'seed'"):
        open_run(tmp_path, "rep_theory")
    save(tmp_path, {"weight": np.ones((3, 3))})
    with pytest.raises(InterpError, match=r"no network of the rep-theory release: it holds weight"):
        open_run(tmp_path, "rep_theory")
    trained = transformer()
    trained["blocks.0.mlp.b_in"][2] = 0.5
    with pytest.raises(InterpError, match=r"blocks\.0\.mlp\.b_in is not 0"):
        open_run(save(tmp_path, trained), "rep_theory")
    with pytest.raises(InterpError, match=r"shape"):
        open_run(save(tmp_path, perceptron(), CONFIG | {"group_parameter": N + 1}), "rep_theory").final.logits  # noqa: B018


def test_it_recognises_its_own(tmp_path: Path):
    assert not recognises(tmp_path)
    save(tmp_path, perceptron())
    assert recognises(tmp_path)
    assert recognises(tmp_path / "model.pt")
    (tmp_path / "cfg.json").write_text("[]")
    assert not recognises(tmp_path)


def test_describe_names_the_importer(tmp_path: Path):
    save(tmp_path, perceptron())
    assert "The importer rep_theory opens it." in "\n".join(describe.describe(tmp_path))


LARGE = ("S6_", "S5_T", "C1", "D")
"""Those that take more than a second."""


def published(reference: Path, large: bool) -> list[Path]:
    folders = sorted(path for path in (reference / "rep_theory").iterdir() if path.is_dir())
    return [folder for folder in folders if folder.name.startswith(LARGE) == large]


def has_its_losses(folder: Path) -> None:
    gold = json.loads((folder / "gold.json").read_text())
    run = open_run(folder, "rep_theory")
    loss = run.final.measure("loss")
    found = {
        "all_loss": loss.all_loss,
        "train_loss": loss.train_loss,
        "test_loss": loss.test_loss,
        "train_acc": loss.train_accuracy,
        "test_acc": loss.test_accuracy,
    }
    for name, value in found.items():
        recorded, rederived, status = gold["metrics"][name]
        assert float(value) == pytest.approx(rederived, rel=1e-6), (folder.name, name)
        if status == "reproduced":
            assert float(value) == pytest.approx(recorded, rel=1e-4), (folder.name, name)


def has_its_products_and_split(folder: Path) -> None:
    gold = json.loads((folder / "gold.json").read_text())
    run = open_run(folder, "rep_theory")
    assert run.steps == [gold["config"]["num_epochs"]]
    assert run.task.train is not None
    rows = run.task.train.nonzero().flatten().numpy().astype("<i8")
    assert hashlib.sha256(rows.tobytes()).hexdigest() == gold["split"]["sorted_train_rows_int64le_sha256"]
    products = run.task.table(run.task.targets.double()).numpy().astype("<i4")
    assert hashlib.sha256(products.tobytes()).hexdigest() == gold["product_table_int32le_sha256"]
    norm = float(run.final.measure("weight_norm").total)
    assert norm**2 == pytest.approx(gold["sum_of_squared_weights_true"], rel=1e-6)


def test_the_published_networks_have_their_losses_products_and_splits(reference: Path):
    folders = published(reference, large=False)
    assert len(folders) == 27
    for folder in folders:
        has_its_losses(folder)
        has_its_products_and_split(folder)


@pytest.mark.slow
def test_the_larger_published_networks_have_their_products_and_splits(reference: Path):
    """Their losses are held with all that was recorded of them (tests/measures/test_recorded.py)."""
    folders = published(reference, large=True)
    assert len(folders) == 16
    for folder in folders:
        has_its_products_and_split(folder)
