"""Examples of one's own, from a file: read rightly, or refused with what was found and expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

import interp
from interp.contracts.recipe_file import recipe_file
from interp.contracts.task import Task
from interp.errors import InterpError, NothingToSay
from interp.recipes import run_recipe
from interp.recipes.document import dump_yaml
from interp.tasks.examples import examples
from interp.training import loop
from interp.training.plan import Plan


def drawn(count: int = 60, classes: int = 3) -> dict[str, np.ndarray]:
    """Points whose class is the largest of their coordinates."""
    inputs = np.random.default_rng(0).normal(size=(count, classes)).astype(np.float32)
    return {"inputs": inputs, "targets": inputs.argmax(1), "train": np.arange(count) % 3 > 0}


def read(file: Path, **options: Any) -> Task:
    return examples(recipe_file(file.name, file), **options)


def saved(folder: Path, arrays: dict[str, Any], suffix: str = "npz") -> Path:
    file = folder / f"data.{suffix}"
    if suffix == "npz":
        np.savez(file, **arrays)
    elif suffix == "pt":
        torch.save({name: torch.from_numpy(value) for name, value in arrays.items()}, file)
    else:
        safetensors.numpy.save_file(arrays, file)
    return file


@pytest.mark.parametrize("suffix", ["npz", "pt", "safetensors"])
def test_classes_are_read_as_they_are(suffix: str, tmp_path: Path):
    arrays = drawn()
    task = read(saved(tmp_path, arrays, suffix))
    assert task.n_outputs == 3
    np.testing.assert_array_equal(task.inputs.numpy(), arrays["inputs"])
    np.testing.assert_array_equal(task.targets.numpy(), arrays["targets"])
    assert task.train is not None
    np.testing.assert_array_equal(task.train.numpy(), arrays["train"])
    assert task.description == f"60 examples of data.{suffix}, 3 classes"


def test_numbers_are_values_to_be_met(tmp_path: Path):
    arrays = drawn() | {"targets": np.ones((60, 2))}
    del arrays["train"]
    task = read(saved(tmp_path, arrays))
    assert task.n_outputs == 2
    assert task.targets.dtype == torch.float32
    assert task.train is None
    with pytest.raises(NothingToSay, match="asks for values"):
        task.correct(torch.zeros(60, 2))


def test_two_classes_may_have_one_output(tmp_path: Path):
    arrays = drawn(classes=2)
    assert read(saved(tmp_path, arrays)).n_outputs == 2
    assert read(saved(tmp_path, arrays), n_outputs=1).n_outputs == 1
    assert read(saved(tmp_path, arrays), n_outputs=5).n_outputs == 5


def test_a_mask_of_whole_numbers_is_one(tmp_path: Path):
    arrays = drawn()
    task = read(saved(tmp_path, arrays | {"train": arrays["train"].astype(np.int64)}))
    assert task.train is not None
    np.testing.assert_array_equal(task.train.numpy(), arrays["train"])


NAN = np.ones((60, 3), np.float32)
NAN[7, 1] = np.nan


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"targets": None}, {}, r"data.npz holds inputs, train, and no 'targets'; expected arrays inputs"),
        ({"inputs": None}, {}, "and no 'inputs'"),
        ({"targets": np.zeros(59, int)}, {}, r"inputs has shape \[60, 3\], targets \[59\]; expected"),
        ({"targets": np.array(3)}, {}, r"targets \[\]; expected"),
        ({"inputs": np.zeros((0, 3))}, {}, "there are no examples"),
        ({"inputs": np.array(["a"] * 60)}, {}, "inputs holds objects or text"),
        ({"inputs": np.array([{}] * 60, object)}, {}, "data.npz"),
        ({"inputs": np.ones((60, 3), complex)}, {}, "inputs holds complex numbers"),
        ({"inputs": NAN}, {}, "inputs holds no finite number in example 7; leave that example out"),
        ({"targets": NAN}, {}, "targets holds no finite number in example 7"),
        ({"targets": np.arange(60) - 1}, {}, "targets begin at -1; number the classes from 0 on"),
        ({"targets": np.zeros((60, 1), int)}, {}, r"whole numbers of shape \[60, 1\]; expected one class an example"),
        ({"targets": np.zeros((60, 1, 2))}, {}, r"expected \[example\] or \[example, value\]"),
        ({}, {"n_outputs": 2}, "n_outputs is 2, and data.npz has targets up to 2; make it 3"),
        ({"targets": np.ones((60, 2))}, {"n_outputs": 3}, "has 2 values an example; leave it out"),
        ({"train": np.arange(60)}, {}, r"train is int64 of shape \[60\]; expected a truth value for each"),
        ({"train": np.ones(59, bool)}, {}, r"train is bool of shape \[59\]"),
    ],
)
def test_a_mistake_is_a_line_that_says_what_was_found(
    changes: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
):
    arrays = {name: value for name, value in (drawn() | changes).items() if value is not None}
    file = saved(tmp_path, arrays)
    with pytest.raises(ValueError, match=message) as told:
        read(file, **options)
    assert "\n" not in str(told.value)


def test_what_is_no_file_of_arrays_is_told(tmp_path: Path):
    text = tmp_path / "data.npz"
    text.write_text("inputs, targets")
    with pytest.raises(ValueError, match="a text file, not weights"):
        read(text)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match="holds one object, and no 'inputs'"):
        read(tmp_path / "one.npy")


def recipe(folder: Path, **changes: Any) -> Path:
    content = {
        "task": {"examples": {"file": "data.npz"}},
        "model": {"perceptron": {"widths": [12]}},
        "training": {"steps": 40, "save": {"every": 20}, "optimiser": {"adamw": {"lr": 0.01}}},
    }
    (folder / "run.yaml").write_text(dump_yaml(content | changes))
    return folder / "run.yaml"


def train(folder: Path) -> interp.Run:
    loop.train(folder, Plan.of(run_recipe.read_to_train(folder / "run.yaml")))
    return interp.open_run(folder)


ASKS_NO_OPERANDS = ["loss", "weight_norm", "spectral", "complexity", "sharpness", "sam_sharpness", "keskar_sharpness"]


@pytest.mark.parametrize("measure", [*ASKS_NO_OPERANDS, "pair_trace"])
def test_a_measure_that_asks_for_no_operands_runs_on_a_perceptron(measure: str, tmp_path: Path):
    saved(tmp_path, drawn())
    recipe(tmp_path)
    assert train(tmp_path).measure(measure).sizes["step"] == 3


def test_its_loss_is_torchs_own(tmp_path: Path):
    arrays = drawn()
    saved(tmp_path, arrays)
    recipe(tmp_path)
    run = train(tmp_path)
    weights = {name: value.double() for name, value in run.final.weights.items()}
    hidden = torch.relu(torch.from_numpy(arrays["inputs"]).double() @ weights["mlp.0.W_in"] + weights["mlp.0.b_in"])
    rows = torch.from_numpy(~arrays["train"])
    expected = torch.nn.functional.cross_entropy(
        (hidden @ weights["unembed.W_U"])[rows], torch.from_numpy(arrays["targets"])[rows]
    )
    assert float(run.final.measure("loss").test_loss) == pytest.approx(float(expected), rel=1e-9)


def test_values_are_trained_by_the_squared_error_and_cross_entropy_is_refused(tmp_path: Path):
    arrays = drawn()
    saved(tmp_path, arrays | {"targets": arrays["inputs"].sum(1)})
    recipe(tmp_path)
    with pytest.raises(InterpError, match="take the loss mse"):
        train(tmp_path)
    recipe(tmp_path, training={"steps": 40, "save": {"every": 20}, "loss": "mse"})
    found = train(tmp_path).final.measure("loss")
    assert found.train_accuracy is None
    assert float(found.train_loss) > 0


def test_changed_data_are_another_task(tmp_path: Path):
    saved(tmp_path, drawn())
    recipe(tmp_path)
    before = train(tmp_path).recipe_digest
    assert interp.open_run(tmp_path).recipe_digest == before
    arrays = drawn()
    arrays["inputs"][0, 0] += 1
    saved(tmp_path, arrays)
    assert interp.open_run(tmp_path).recipe_digest != before


def test_a_mistake_in_the_data_has_the_line_of_the_recipe(tmp_path: Path):
    saved(tmp_path, {"inputs": np.zeros((3, 2))})
    with pytest.raises(InterpError, match=r"run.yaml:1: examples: data.npz holds inputs, and no 'targets'"):
        run_recipe.read(recipe(tmp_path))
