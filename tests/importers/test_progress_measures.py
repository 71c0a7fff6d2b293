"""The progress-measures release: a file laid out by hand from the description, and the published networks."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.checkpoints import open_run
from interp.errors import InterpError
from interp.maths.cross_entropy import cross_entropy
from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic

P = 11
PAIRS = [(a, b) for a in range(P) for b in range(P)]


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {
        "embed.W_E": (8, P + 1),
        "pos_embed.W_pos": (3, 8),
        "blocks.0.attn.W_K": (2, 4, 8),
        "blocks.0.attn.W_Q": (2, 4, 8),
        "blocks.0.attn.W_V": (2, 4, 8),
        "blocks.0.attn.W_O": (8, 8),
        "blocks.0.mlp.W_in": (32, 8),
        "blocks.0.mlp.b_in": (32,),
        "blocks.0.mlp.W_out": (8, 32),
        "blocks.0.mlp.b_out": (8,),
        "unembed.W_U": (8, P + 1),
    }
    made = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return made | {"blocks.0.attn.mask": np.tril(np.ones((3, 3), np.float32))}


def logits(w: dict[str, np.ndarray], a: int, b: int) -> np.ndarray:
    x = w["embed.W_E"].T[[a, b, P]].astype(float) + w["pos_embed.W_pos"]
    q, k, v = (np.einsum("hdm,pm->hpd", w[f"blocks.0.attn.W_{letter}"], x) for letter in "QKV")
    scores = np.exp(np.where(np.tril(np.ones((3, 3))), q @ k.transpose(0, 2, 1) / 2, -np.inf))
    z = scores / scores.sum(2, keepdims=True) @ v
    x = x + np.concatenate(list(z), axis=1) @ w["blocks.0.attn.W_O"].T
    post = np.maximum(x @ w["blocks.0.mlp.W_in"].T + w["blocks.0.mlp.b_in"], 0)
    return (x + post @ w["blocks.0.mlp.W_out"].T + w["blocks.0.mlp.b_out"])[2] @ w["unembed.W_U"]


def memorising(rows: list[int]) -> dict[str, np.ndarray]:
    """Some training on these rows of the table of x+y, turned into the release's layout."""
    architecture = transformer(modular_arithmetic(p=P), d_model=8, n_heads=2, d_mlp=32)
    weights = {name: weight.requires_grad_() for name, weight in architecture.initial(0).items()}
    optimiser = torch.optim.Adam(weights.values(), lr=1e-2)
    pairs, answers = architecture.task.pairs[rows], architecture.task.targets[rows]
    for _ in range(80):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(architecture.outputs(weights, pairs), answers).backward()
        optimiser.step()
    arrays = {name: weight.detach().numpy() for name, weight in weights.items()}
    turned = {name: arrays[name].T for name in ("embed.W_E", "blocks.0.mlp.W_in", "blocks.0.mlp.W_out")}
    turned |= {name: arrays[name].transpose(0, 2, 1) for name in arrays if name[-3:] in ("W_Q", "W_K", "W_V")}
    turned["blocks.0.attn.W_O"] = arrays["blocks.0.attn.W_O"].reshape(8, 8).T
    return {name: np.ascontiguousarray(array) for name, array in (arrays | turned).items()}


def save(path: Path, w: dict[str, np.ndarray], **beside: Any) -> Path:
    torch.save({"model": {name: torch.from_numpy(array) for name, array in w.items()}, **beside}, path)
    return path


def test_a_file_laid_out_by_hand(tmp_path: Path):
    w = tensors()
    config = {"p": P, "fn_name": "subtract", "frac_train": 0.4, "seed": 3}
    run = open_run(save(tmp_path / "a.pth", w, config=config, train_losses=[3.0] * 12), "progress_measures")
    assert run.steps == [12]
    assert run.task.description == "x-y mod 11"
    expected = torch.tensor(np.array([logits(w, a, b) for a, b in PAIRS]))
    torch.testing.assert_close(run.final.logits, expected, rtol=1e-9, atol=1e-9)
    order = list(range(P * P))
    random.seed(3)
    random.shuffle(order)
    assert run.task.train is not None
    assert sorted(order[: int(0.4 * P * P)]) == run.task.train.nonzero()[:, 0].tolist()


def test_the_split_without_a_configuration_is_the_one_with_the_recorded_losses(tmp_path: Path):
    order = list(range(P * P))
    random.seed(6)
    random.shuffle(order)
    rows = order[: int(0.3 * P * P)]
    w = memorising(rows)
    losses = cross_entropy(
        torch.tensor(np.array([logits(w, a, b) for a, b in PAIRS])), torch.tensor([(a + b) % P for a, b in PAIRS])
    )
    train, test = losses[rows].mean().item(), (losses.sum() - losses[rows].sum()).item() / (P * P - len(rows))
    assert train < test / 4
    file = save(tmp_path / "a.pth", w, train_losses=[9.0, train * 1.03], test_losses=[9.0, test * 0.97])
    run = open_run(file, "progress_measures")
    assert run.task_call.options["seed"] == 6
    assert "seed 6" in run.notes[0]
    unrecorded = open_run(save(tmp_path / "b.pth", w), "progress_measures")
    assert unrecorded.task.train is None
    told = open_run(tmp_path / "b.pth", "progress_measures", seed=2)
    assert told.task_call.options["seed"] == 2


def test_a_series_of_checkpoints(tmp_path: Path):
    series = [{name: torch.from_numpy(array) for name, array in tensors(seed).items()} for seed in (0, 1)]
    torch.save({"state_dicts": series, "epochs": [0, 100], "config": {"p": P, "seed": 0}}, tmp_path / "full.pth")
    run = open_run(tmp_path / "full.pth", "progress_measures")
    assert run.steps == [0, 100]
    expected = torch.tensor(np.array([logits(tensors(1), a, b) for a, b in PAIRS]))
    torch.testing.assert_close(run[100].logits, expected, rtol=1e-9, atol=1e-9)


def test_an_unknown_function_is_named(tmp_path: Path):
    file = save(tmp_path / "a.pth", tensors(), config={"p": P, "fn_name": "divide"})
    with pytest.raises(InterpError, match="fn_name is 'divide'; known are add"):
        open_run(file, "progress_measures")


@pytest.mark.slow
def test_the_published_networks_have_their_losses_and_split(reference: Path):
    golds = sorted((reference / "progress_measures").glob("gold_*.json"))
    assert golds
    for path in golds:
        gold = json.loads(path.read_text())
        run = open_run(path.with_name(path.stem.removeprefix("gold_") + ".pth"), "progress_measures")
        loss = run.final.measure("loss")
        for name in ("train_loss", "test_loss", "all_loss"):
            assert float(getattr(loss, name)) == pytest.approx(gold["metrics"][name][1], rel=1e-6), (path.stem, name)
        assert run.task.train is not None
        rows = np.flatnonzero(run.task.train.numpy()).astype("<i8")
        assert len(rows) == gold["split"]["n_train"]
        assert hashlib.sha256(rows.tobytes()).hexdigest() == gold["split"]["train_rows_int64le_sha256"]
