"""Images from scikit-learn and from planted files of each form, and what is said where they are not there."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from interp.contracts.recipe_file import recipe_file
from interp.contracts.vector_answers import NearestCode
from interp.recipes import run_recipe
from interp.recipes.document import dump_yaml
from interp.tasks.images import images
from interp.train import train
from tests.tasks.curves import curves

SIDES = {"train": 30, "test": 20}


def planted(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Random images of this shape and their classes, as the four arrays of a set."""
    draw = np.random.default_rng(0)
    x = {f"x_{side}": draw.integers(0, 256, (n, *shape), dtype=np.uint8) for side, n in SIDES.items()}
    return x | {f"y_{side}": draw.integers(0, 10, n).astype(np.uint8) for side, n in SIDES.items()}


def idx(array: np.ndarray) -> bytes:
    """The array in the format in which MNIST is published."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def read(file: Path, data: str = "mnist", **options):
    return images(data, **({"n_train": 30, "seed": None} | options), file=recipe_file(file.name, file))


def assert_is(task, arrays: dict[str, np.ndarray], x_train: np.ndarray, x_test: np.ndarray) -> None:
    """The task's images are these, over 255, and its classes those of the set, the train ones first."""
    np.testing.assert_allclose(task.inputs.numpy(), np.concatenate([x_train, x_test]) / 255, rtol=1e-6)
    assert task.targets.tolist() == [*arrays["y_train"].tolist(), *arrays["y_test"].tolist()]
    assert task.train.tolist() == [True] * 30 + [False] * 20


@pytest.mark.parametrize("end", ["", ".gz"])
def test_mnist_is_read_as_it_is_published(end: str, tmp_path: Path):
    arrays = planted((28, 28))
    names = {"train": "train", "test": "t10k"}
    for side, name in names.items():
        for kind, key in (("images-idx3", "x"), ("labels-idx1", "y")):
            content = idx(arrays[f"{key}_{side}"])
            (tmp_path / f"{name}-{kind}-ubyte{end}").write_bytes(gzip.compress(content) if end else content)
    task = read(tmp_path / f"train-images-idx3-ubyte{end}")
    assert_is(task, arrays, *(arrays[f"x_{side}"][:, None] for side in SIDES))


def test_mnist_is_read_from_keras_s_file(tmp_path: Path):
    arrays = planted((28, 28))
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert_is(read(tmp_path / "mnist.npz"), arrays, *(arrays[f"x_{side}"][:, None] for side in SIDES))


def test_cifar_is_read_from_its_archive_and_from_arrays_with_channels_last(tmp_path: Path):
    arrays = planted((3, 32, 32))
    rows = {
        s: np.concatenate([arrays[f"y_{s}"][:, None], arrays[f"x_{s}"].reshape(n, -1)], 1) for s, n in SIDES.items()
    }
    parts = {
        "data_batch_2.bin": rows["train"][17:],
        "data_batch_1.bin": rows["train"][:17],
        "test_batch.bin": rows["test"],
    }
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in parts.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = content.nbytes
            archive.addfile(member, io.BytesIO(content.tobytes()))
    last = arrays | {f"x_{side}": arrays[f"x_{side}"].transpose(0, 2, 3, 1) for side in SIDES}
    np.savez(tmp_path / "cifar.npz", **last)
    for file in ("cifar-10-binary.tar.gz", "cifar.npz"):
        assert_is(read(tmp_path / file, "cifar10"), arrays, arrays["x_train"], arrays["x_test"])
    whole = (tmp_path / "cifar-10-binary.tar.gz").read_bytes()
    for content in (whole[: len(whole) // 2], b"nothing"):
        (tmp_path / "part.tar.gz").write_bytes(content)
        found = refused(data="cifar10", file=recipe_file("part.tar.gz", tmp_path / "part.tar.gz"))
        assert "part.tar.gz" in found
        assert "cifar10 is read from cifar-10-binary.tar.gz" in found


def test_digits_are_scikit_learn_s_each_once():
    task = images(n_train=500)
    x, y = load_digits(return_X_y=True)
    assert task.inputs.shape == (1797, 1, 8, 8)
    expected = sorted((*row, c) for row, c in zip((x / 16).astype(np.float32).tolist(), y.tolist(), strict=True))
    found = zip(task.inputs.flatten(1).tolist(), task.targets.tolist(), strict=True)
    assert sorted((*row, c) for row, c in found) == expected
    assert int(task.train.sum()) == 500


def test_the_seed_draws_the_images_and_null_takes_the_first():
    first = images(n_train=20, n_test=7, seed=None)
    y = load_digits().target
    assert first.targets.tolist() == y[:27].tolist()
    drawn, again, other = (images(n_train=20, n_test=7, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(drawn.inputs, again.inputs)
    assert not torch.equal(drawn.inputs, other.inputs)
    assert len(drawn) == 27
    longer = images(n_train=30, n_test=7, seed=0)
    assert torch.equal(longer.inputs[:20], drawn.inputs[:20])


def test_one_hot_vectors_are_values_whose_answer_is_the_largest():
    classes, vectors = (images(n_train=20, n_test=30, targets=kind) for kind in ("class", "one_hot"))
    assert isinstance(vectors, NearestCode)
    assert torch.equal(vectors.targets, torch.nn.functional.one_hot(classes.targets, 10).float())
    outputs = torch.randn(50, 10, generator=torch.Generator().manual_seed(0)).double()
    assert vectors.correct(outputs).tolist() == classes.correct(outputs).tolist()


def test_torchvision_s_folder_of_mnist_is_read_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    arrays = planted((28, 28))
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for side, name in {"train": "train", "test": "t10k"}.items():
        for kind, key in (("images-idx3", "x"), ("labels-idx1", "y")):
            (raw / f"{name}-{kind}-ubyte").write_bytes(idx(arrays[f"{key}_{side}"]))
    task = images("mnist", n_train=30, seed=None, root=str(tmp_path))
    assert_is(task, arrays, *(arrays[f"x_{side}"][:, None] for side in SIDES))


class Keeps:
    """CIFAR-10 as torchvision gives it: an array with channels last, and a list of classes."""

    def __init__(self, root: str, train: bool, download: bool) -> None:
        if not Path(root).is_dir():
            raise RuntimeError("Dataset not found or corrupted.\nYou can use download=True to download it")
        assert not download
        arrays, side = planted((3, 32, 32)), "train" if train else "test"
        self.data, self.targets = arrays[f"x_{side}"].transpose(0, 2, 3, 1), arrays[f"y_{side}"].tolist()


def with_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module that keeps `Keeps` in the place of torchvision."""
    of = types.ModuleType("torchvision")
    of.datasets = types.SimpleNamespace(CIFAR10=Keeps, MNIST=Keeps)  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "torchvision", of)


def test_what_torchvision_keeps_has_its_channels_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with_stand_in(monkeypatch)
    arrays = planted((3, 32, 32))
    assert_is(images("cifar10", 30, seed=None, root=str(tmp_path)), arrays, arrays["x_train"], arrays["x_test"])


def refused(**options) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        images(**options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_not_there_is_said_with_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with_stand_in(monkeypatch)
    said = refused(data="mnist", root=str(tmp_path / "none"))
    assert said.startswith(f"mnist is not in the folder {tmp_path / 'none'}, where torchvision keeps it; set root")
    assert "file: mnist.npz" in said
    assert refused(data="cifar10", root=str(tmp_path / "none")).startswith("cifar10 is not in the folder")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert refused(data="mnist", root=str(tmp_path / "none")) == said
    said = refused(data="cifar10")
    assert "which is not installed; install interp[vision], or give file: cifar-10-binary.tar.gz" in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "train-images-idx3-ubyte",
            idx(np.zeros((3, 28, 28), np.uint8))[:-1],
            "is no whole file of MNIST; mnist is read",
        ),
        ("train-images-idx3-ubyte", idx(np.zeros((3, 28, 28), np.uint8)), "train-labels-idx1-ubyte is not there"),
        ("train-images-idx3-ubyte.gz", b"not gzip", "mnist is read from mnist.npz, or train-images"),
        ("mnist.npz", b"nothing", "mnist.npz"),
    ],
)
def test_files_of_another_form_are_refused_in_one_line(name: str, content: bytes, said: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    assert said in refused(data="mnist", file=recipe_file(name, tmp_path / name))


def test_arrays_that_do_not_go_together_are_refused(tmp_path: Path):
    for number, (change, said) in enumerate(
        [
            ({"y_test": np.arange(3)}, "x_test has shape [20, 1, 28, 28], y_test [3]; expected images of 1 × 28 × 28"),
            ({"x_train": np.zeros((30, 5, 5))}, "x_train has shape [30, 5, 5]"),
            ({"y_train": np.full(30, 10)}, "y_train is to be classes from 0 to 9"),
        ]
    ):
        file = tmp_path / f"{number}.npz"
        np.savez(file, **planted((1, 28, 28)) | change)
        assert said in refused(data="mnist", n_train=3, file=recipe_file(file.name, file))
    np.savez(tmp_path / "few.npz", x_train=np.zeros((1, 28, 28)))
    assert "holds x_train, and no 'y_train'" in refused(data="mnist", file=recipe_file("few", tmp_path / "few.npz"))


def test_more_than_there_are_are_refused():
    assert refused(n_train=2_000) == "n_train is 2,000, and there are 1,797 images to train on; lower it"
    assert refused(n_train=1_000, n_test=1_000) == "n_test is 1,000, and there are 797 other images; lower it"


def test_a_recipe_names_the_file_beside_it(tmp_path: Path):
    np.savez(tmp_path / "mnist.npz", **planted((28, 28)))
    task = {"images": {"data": "mnist", "n_train": 10, "file": "mnist.npz"}}
    (tmp_path / "run.yaml").write_text(dump_yaml({"task": task, "model": {"conv": {"channels": [2]}}}))
    made = run_recipe.read(tmp_path / "run.yaml").task()
    assert (len(made), int(made.train.sum())) == (30, 10)


SMALL = {"conv": {"channels": [2, 2], "d_mlp": 5}}


@pytest.mark.parametrize(
    ("targets", "model", "loss"),
    [("class", SMALL, "mse"), ("class", SMALL, "cross_entropy"), ("one_hot", "perceptron", "mse")],
)
def test_a_recipe_trains_and_has_learning_curves(targets: str, model, loss: str, tmp_path: Path):
    training = {"steps": 4, "loss": loss, "interventions": [{"initial_scale": {"alpha": 2}}], "save": {"every": 2}}
    task = {"images": {"n_train": 20, "n_test": 10, "targets": targets}}
    (tmp_path / "run.yaml").write_text(dump_yaml({"task": task, "model": model, "training": training}))
    train(tmp_path)
    assert curves(tmp_path) == ["test_accuracy", "test_loss", "train_accuracy", "train_loss"]
