"""What is recorded beside the weights, planted as other people save it, comes back under names made alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.importers.shared.recorded import Recorded, records_beside
from tests.importers.test_files_by_step import network, plant

STEPS = (0, 100, 200, 300)


def series(folder: Path, **around: Any) -> Path:
    return plant(folder, {f"step_{step}.pt": {"model": network(step), "step": step, **around} for step in STEPS})


def curve(values: Any, every: int = 1) -> dict[int, float]:
    return {place * every: pytest.approx(value) for place, value in enumerate(values)}


LOSSES = [1 / (place + 1) for place in range(301)]


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (
            ["train_losses", "train_loss", "training_loss", "trainLoss", "loss/train", "train_loss_history"],
            "train_loss",
        ),
        (["test_losses", "test_loss_curve", "val_loss", "eval_losses", "valid_loss"], "test_loss"),
        (["train_accs", "train_acc", "train/accuracy", "training_accuracies"], "train_accuracy"),
        (["test_acc", "val_accuracy", "validation_acc", "test_accuracy"], "test_accuracy"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_lists_beside_the_weights_are_curves_under_one_name(names: list[str], alike: str, tmp_path: Path):
    for place, name in enumerate(names):
        folder = plant(tmp_path / str(place), {"run.pt": {"model": network(1), "epoch": 300, name: LOSSES}})
        assert records_beside(folder).curves == {alike: curve(LOSSES)}


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        ({"train_losses": LOSSES[:31]}, curve(LOSSES[:31], 10)),
        ({"train_losses": torch.tensor(LOSSES)}, curve(LOSSES)),
        ({"train_losses": np.array([1, 0.5, 0.1]), "epochs": [5, 70, 300]}, {5: 1, 70: 0.5, 300: 0.1}),
        ({"train": {"loss": LOSSES}}, curve(LOSSES)),
        ({"metrics": {"train_loss": LOSSES}}, curve(LOSSES)),
        ({"train_loss": {0: 1.0, 50: 0.5}}, {0: 1, 50: 0.5}),
        ({"log": [{"step": 0, "train_loss": 1.0}, {"step": 50, "train_loss": 0.5, "note": "x"}]}, {0: 1, 50: 0.5}),
        ({"train_loss": 0.25}, {300: 0.25}),
    ],
)  # fmt: skip
def test_the_steps_of_a_curve(around: dict[str, Any], expected: dict[int, float], tmp_path: Path):
    plant(tmp_path, {"run.pt": {"model": network(1), "step": 300, **around}})
    assert records_beside(tmp_path).curves == {"train_loss": expected}


def test_a_list_whose_steps_cannot_be_told_is_left_out(tmp_path: Path):
    plant(tmp_path, {"run.pt": {"model": network(1), "step": 300, "train_losses": LOSSES[:7]}})
    assert records_beside(tmp_path).curves == {}


def test_numbers_beside_each_checkpoint_are_a_curve(tmp_path: Path):
    states = {f"c_{step}.pt": {"net": network(step), "step": step, "test_acc": step / 300} for step in STEPS}
    found = records_beside(plant(tmp_path, states))
    assert found.curves == {"test_accuracy": {step: step / 300 for step in STEPS}}
    assert found.at("test_accuracy", 300) == 1
    assert found.at("test_accuracy", 301) is None
    assert found.at("loss", 300) is None


def test_the_demo_of_transformer_lens(tmp_path: Path):
    content = {
        "model": network(300),
        "config": {"p": 113, "frac_train": 0.3, "act_fn": torch.nn.functional.relu},
        "checkpoints": [network(step) for step in STEPS],
        "checkpoint_epochs": list(STEPS),
        "train_losses": LOSSES,
        "test_losses": LOSSES[::10],
        "train_indices": torch.arange(300),
    }
    found = records_beside(plant(tmp_path, {"grokking.pth": content}))
    assert found.curves == {"train_loss": curve(LOSSES), "test_loss": curve(LOSSES[::10], 10)}
    assert {name: found.config[name] for name in ("p", "frac_train")} == {"p": 113, "frac_train": 0.3}
    assert "relu" in found.config["act_fn"]


def test_accuracies_in_percent_are_shares_and_a_test_beside_a_validation_stays_apart(tmp_path: Path):
    around = {"test_acc": [1.0, 50.0, 100.0], "val_acc": [0.5, 0.5, 1.0], "steps_logged": [0, 1, 300]}
    plant(tmp_path, {"run.pt": {"model": network(1), "step": 300, **around}})
    found = records_beside(tmp_path).curves
    assert found["test_accuracy"] == {0: 0.01, 1: 0.5, 300: 1}
    assert found["val_accuracy"] == {0: 0.5, 1: 0.5, 300: 1}


@pytest.mark.parametrize("key", ["config", "cfg", "args", "hparams", "hyper_parameters"])
def test_a_configuration_inside_is_found_and_what_lies_within_it_by_both_names(key: str, tmp_path: Path):
    settings = {"p": 97, "data": {"seed": 3, "operation": "x*y"}, "model": {"act_fn": "gelu"}}
    config = records_beside(series(tmp_path, **{key: settings, "note": "first"})).config
    expected = {"p": 97, "data.seed": 3, "seed": 3, "operation": "x*y", "model.act_fn": "gelu", "note": "first"}
    assert {name: config.get(name) for name in expected} == expected
    assert "step" not in config


def test_files_beside_the_weights(tmp_path: Path):
    series(tmp_path / "checkpoints")
    (tmp_path / "config.json").write_text(json.dumps({"p": 59, "optim": {"lr": 1e-3}}))
    (tmp_path / "hparams.yaml").write_text("data_seed: 4\nfrac_train: 0.4\n")
    (tmp_path / "metrics.csv").write_text("epoch,step,train_loss,val_acc\n0,0,1.5,\n0,1,,0.25\n1,2,0.5,\n")
    (tmp_path / "history.json").write_text(json.dumps({"train_acc": [0.1] * 301}))
    (tmp_path / "log.jsonl").write_text('{"step": 0, "weight_norm": 3.5}\n{"step": 100, "weight_norm": 2.5}\n')
    np.savez(tmp_path / "curves.npz", test_loss=np.array(LOSSES))
    torch.save(LOSSES, tmp_path / "val_losses.pt")
    (tmp_path / "results.json").write_text("no JSON")
    for path in (tmp_path, tmp_path / "checkpoints"):
        found = records_beside(path)
        assert {name: found.config[name] for name in ("p", "lr", "data_seed", "frac_train")} == {
            "p": 59,
            "lr": 1e-3,
            "data_seed": 4,
            "frac_train": 0.4,
        }
        assert found.curves["train_loss"] == {0: 1.5, 2: 0.5}
        assert found.curves["test_accuracy"] == {1: 0.25}
        assert found.curves["train_accuracy"] == curve([0.1] * 301)
        assert found.curves["weight_norm"] == {0: 3.5, 100: 2.5}
        assert found.curves["test_loss"] == curve(LOSSES)


def test_the_log_of_the_trainer(tmp_path: Path):
    log = [{"step": 5, "loss": 2.0, "learning_rate": 0.1}, {"step": 10, "eval_loss": 3.0}, {"step": 10, "loss": 1.0}]
    for step in (5, 10):
        plant(tmp_path, {f"checkpoint-{step}/model.safetensors": network(step)})
        plant(tmp_path, {f"checkpoint-{step}/trainer_state.json": {"global_step": step, "log_history": log}})
    found = records_beside(tmp_path).curves
    assert found == {"train_loss": {5: 2, 10: 1}, "test_loss": {10: 3}, "learning_rate": {5: 0.1}}


def test_other_networks_optimisers_and_records_of_other_files_say_nothing(tmp_path: Path):
    plant(tmp_path, {"first.pt": {"model": network(1), "step": 300, "train_loss": 0.5}})
    plant(tmp_path, {"second.pt": {"model": network(2), "step": 300, "train_losses": LOSSES, "config": {"p": 3}}})
    plant(tmp_path, {"optimizer.pt": {"state": {}, "param_groups": [{"lr": 1}]}})
    (tmp_path / "results_second.json").write_text(json.dumps({"test_losses": LOSSES}))
    (tmp_path / "results_first.json").write_text(json.dumps({"test_acc": [1.0] * 301}))
    found = records_beside(tmp_path / "first.pt")
    assert found == Recorded({}, {"train_loss": {300: 0.5}, "test_accuracy": curve([1.0] * 301)})


def test_files_called_as_the_weights_are_theirs(tmp_path: Path):
    plant(tmp_path, {"p97_seed0.pt": {"model": network(1), "step": 300}})
    (tmp_path / "p97_seed0.csv").write_text("step,train_loss,test_acc\n0,4.5,0.01\n300,0.5,0.75\n")
    (tmp_path / "p97_seed0.json").write_text(json.dumps({"config": {"p": 97, "model": {"n_heads": 4}}}))
    (tmp_path / "p97_seed1.csv").write_text("step,train_loss\n0,4.5\n300,0.1\n")
    found = records_beside(tmp_path)
    assert found.curves == {"train_loss": {0: 4.5, 300: 0.5}, "test_accuracy": {0: 0.01, 300: 0.75}}
    assert {name: found.config.get(name) for name in ("p", "n_heads")} == {"p": 97, "n_heads": 4}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"train_loss": 0.25, "test_acc": 0.5}, {"train_loss": {300: 0.25}, "test_accuracy": {300: 0.5}}),
        ({"final_train_acc": 1, "test": {"loss": 2.5}}, {"train_accuracy": {300: 1}, "test_loss": {300: 2.5}}),
        ({"step": 299, "metrics": {"val_loss": "0.125"}}, {"test_loss": {299: 0.125}}),
        ({"seed_0": {"test_acc": 0.5}, "seed_1": {"test_acc": 0.75}}, {}),
    ],
)
def test_numbers_in_a_file_are_of_the_only_checkpoint(content: dict[str, Any], expected: dict, tmp_path: Path):
    for folder, states in (("one", STEPS[-1:]), ("several", STEPS)):
        plant(tmp_path / folder, {f"step_{step}.pt": {"model": network(step), "step": step} for step in states})
        (tmp_path / folder / "metrics.json").write_text(json.dumps(content))
    assert records_beside(tmp_path / "one").curves == expected
    assert records_beside(tmp_path / "several").curves == {}


@pytest.mark.slow
def test_the_losses_of_a_published_run(reference: Path):
    found = records_beside(reference / "progress_measures" / "wd_10-1_mod_addition_loss_curve.pth")
    assert {name: found.config[name] for name in ("p", "frac_train", "seed")} == {
        "p": 113,
        "frac_train": 0.3,
        "seed": 1,
    }
    assert len(found.curves["train_loss"]) == 107_791
    assert list(found.curves["test_loss"])[:3] == [0, 10, 20]
    assert found.curves["train_loss"][0] == pytest.approx(4.776912162847635)
