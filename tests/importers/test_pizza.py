"""The pizza release: files laid out by hand from the description of the format, and the published networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.checkpoints import open_run
from interp.errors import InterpError

P = 5
TRANSFORMER = {"funcs": f"lambda x: (x[0]+x[1])%{P}", "C": P, "n_heads": 2, "d_model": 9, "n_layers": 1}
SETTINGS: dict[str, Any] = TRANSFORMER | {
    "act_fn": "ReLU",
    "attn_coeff": 0.3,
    "diff_vocab": 0,
    "eqn_sign": 0,
    "epoch": 7,
}


def transformer_tensors(settings: dict[str, Any], n_layers: int = 1) -> dict[str, np.ndarray]:
    """Random weights: everything is applied as W @ x, heads of W_O side by side; d_model 9 leaves d_head 4."""
    rng = np.random.default_rng(0)
    vocabulary = P * (2 if settings["diff_vocab"] else 1) + bool(settings["eqn_sign"])
    positions = 3 if settings["eqn_sign"] else 2
    shapes = {"embed.W_E": (9, vocabulary), "pos_embed.W_pos": (positions, 9), "unembed.W_U": (9, vocabulary)}
    for layer in range(n_layers):
        block = {"attn.W_K": (2, 4, 9), "attn.W_Q": (2, 4, 9), "attn.W_V": (2, 4, 9), "attn.W_O": (9, 8)}
        block |= {"mlp.W_in": (36, 9), "mlp.b_in": (36,), "mlp.W_out": (9, 36), "mlp.b_out": (9,)}
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    tensors = {name: rng.normal(0, 0.4, size=shape).astype(np.float32) for name, shape in shapes.items()}
    return tensors | {"blocks.0.attn.mask": np.tril(np.ones((positions, positions), np.float32))}


def transformer_logits(w: dict[str, np.ndarray], settings: dict[str, Any], tokens: list[int]) -> np.ndarray:
    x = w["embed.W_E"].T[tokens].astype(float) + w["pos_embed.W_pos"]
    for block in (f"blocks.{layer}." for layer in range(settings["n_layers"])):
        q, k, v = (np.einsum("hdm,pm->hpd", w[f"{block}attn.W_{letter}"], x) for letter in "QKV")
        scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(4))
        rate = settings["attn_coeff"]
        z = (rate * scores / scores.sum(2, keepdims=True) + 1 - rate) @ v
        x = x + np.concatenate(list(z), axis=1) @ w[f"{block}attn.W_O"].T
        pre = x @ w[f"{block}mlp.W_in"].T + w[f"{block}mlp.b_in"]
        post = (
            np.maximum(pre, 0) if settings["act_fn"] == "ReLU" else torch.nn.functional.gelu(torch.tensor(pre)).numpy()
        )
        x = x + post @ w[f"{block}mlp.W_out"].T + w[f"{block}mlp.b_out"]
    return x[-1] @ w["unembed.W_U"]


def save(folder: Path, tensors: dict[str, np.ndarray], settings: dict[str, Any] | None) -> Path:
    file = folder / "model_abc.pt"
    torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, file)
    if settings is not None:
        (folder / "config_abc.json").write_text(json.dumps(settings))
    return file


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"attn_coeff": 1},
        {"attn_coeff": 0.0, "act_fn": "GeLU"},
        {"diff_vocab": 1},
        {"eqn_sign": True},
        {"diff_vocab": True, "eqn_sign": 1},
        {"n_layers": 2},
    ],
    ids=str,
)
def test_a_transformer_laid_out_by_hand(variant: dict[str, Any], tmp_path: Path):
    settings = SETTINGS | variant
    tensors = transformer_tensors(settings, settings["n_layers"])
    run = open_run(save(tmp_path, tensors, settings), "pizza")
    assert run.steps == [7]
    shift = P if settings["diff_vocab"] else 0
    last = [tensors["embed.W_E"].shape[1] - 1] if settings["eqn_sign"] else []
    by_hand = [transformer_logits(tensors, settings, [a, b + shift, *last]) for a in range(P) for b in range(P)]
    torch.testing.assert_close(run.final.logits, torch.tensor(np.array(by_hand)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["A", "B", "D"])
def test_a_linear_model_laid_out_by_hand(kind: str, tmp_path: Path):
    rng = np.random.default_rng(1)
    width, inputs = 6, 3 if kind == "D" else 6
    shapes = {"embed.weight": (P, inputs), "unembed.weight": (P, width), "l1.weight": (width, 6), "l1.bias": (width,)}
    if kind == "B":
        shapes |= {"l2.weight": (width, width), "l2.bias": (width,)}
    w = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    settings = {"C": P, "model_type": kind, "d_model": 6, "d_hidden": width, "epoch": 20}
    run = open_run(save(tmp_path, w, settings), "pizza")
    a, b = np.divmod(np.arange(P * P), P)
    E = w["embed.weight"].astype(float)
    x = np.concatenate([E[a], E[b]], axis=1) if kind == "D" else E[a] + E[b]
    for layer in ("l1", "l2") if kind == "B" else ("l1",):
        x = np.maximum(x @ w[f"{layer}.weight"].T + w[f"{layer}.bias"], 0)
    expected = torch.tensor(x @ w["unembed.weight"].T)
    torch.testing.assert_close(run.final.logits, expected, rtol=1e-9, atol=1e-9)


def test_the_configuration_may_lie_inside(tmp_path: Path):
    tensors = {name: torch.from_numpy(array) for name, array in transformer_tensors(SETTINGS).items()}
    torch.save({"model": tensors, "config": SETTINGS}, tmp_path / "model_x.pt")
    assert open_run(tmp_path, "pizza").steps == [7]


def test_without_a_configuration_it_says_where_one_is_expected(tmp_path: Path):
    with pytest.raises(InterpError, match=r"no configuration: expected config_abc\.json beside it"):
        open_run(save(tmp_path, transformer_tensors(SETTINGS), None), "pizza")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"funcs": "lambda x: __import__('os').system('true')"}, "known are"),
        ({"act_fn": "swish"}, "known are ReLU and GeLU"),
        ({"C": "many"}, "no number at"),
        ({"attn_coeff": 7}, "from 0 to 1"),
    ],
    ids=str,
)
def test_a_configuration_that_says_something_else_is_refused(wrong: dict[str, Any], said: str, tmp_path: Path):
    with pytest.raises(InterpError, match=said):
        open_run(save(tmp_path, transformer_tensors(SETTINGS), SETTINGS | wrong), "pizza")


@pytest.mark.slow
def test_the_published_networks_have_their_losses(reference: Path):
    golds = sorted((reference / "pizza").glob("gold_*.json"))
    assert golds
    for gold in golds:
        metrics = json.loads(gold.read_text())["metrics"]
        run = open_run(gold.with_name(gold.stem.replace("gold", "model") + ".pt"), "pizza")
        loss = run.final.measure("loss")
        assert float(loss.all_loss) == pytest.approx(metrics["all_loss"][1], rel=1e-6), gold.stem
        assert float(loss.all_accuracy) == pytest.approx(metrics["acc"][1], abs=1e-9), gold.stem
        norm = float(run.final.measure("weight_norm").total)
        assert norm == pytest.approx(metrics["parameter_norm"][1], rel=1e-6), gold.stem
        assert run.task.train is None
