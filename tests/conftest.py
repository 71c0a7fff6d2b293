"""What several tests need: a run made of given weights, and the published networks where they are."""

from __future__ import annotations

import os
import sys

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # a worker for each core; read when torch is imported, also by children

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.catalogue import names
from interp.checkpoints import Run, open_run
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.machine import denormals
from interp.recipes.document import dump_yaml


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks, each of which starts a kernel, are slow."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker("slow")


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """`fsync` guards against the machine's failing, not a process's, and takes as long as many a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def same_numbers_after() -> Iterator[None]:
    """No test, and nothing that it calls, leaves the process taking denormal numbers for 0."""
    yield
    flushes = denormals.flushes()
    torch.set_flush_denormal(False)
    assert not flushes


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """`make_run({step: {name: array or tensor}}, task=…, model=…, name=…, loss=…)`: a run of these weights, opened.

    `task`, `model` and `loss` are as in run.yaml: a name, or {name: options}.
    """

    def make(
        weights_by_step: Mapping[int, Mapping[str, Any]],
        task: Any = "modular_arithmetic",
        model: Any = "transformer",
        name: str = "run",
        loss: Any = "cross_entropy",
    ) -> Run:
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        training = {} if loss == "cross_entropy" else {"training": {"steps": 1, "loss": loss}}
        (folder / "run.yaml").write_text(dump_yaml({"task": task, "model": model} | training))
        store = CheckpointBlocks(folder / "weights")
        for step, weights in weights_by_step.items():
            store.save(step, {key: _array(value) for key, value in weights.items()})
        return open_run(folder)

    return make


@pytest.fixture
def planted_mlp(make_run: Callable[..., Run]) -> Callable[..., Run]:
    """`planted_mlp({step: (from_a, from_b, to_c)}, task, name=…)`: a run of MLPs whose neurons are
    relu(from_a[a] + from_b[b]), and whose logits are neurons @ to_c; from_a and from_b [p, neuron], to_c [neuron, p].
    """

    def make(planted: Mapping[int, tuple[Any, Any, Any]], task: Mapping[str, Any], name: str = "run") -> Run:
        weights = {}
        for step, (from_a, from_b, to_c) in planted.items():
            once = torch.eye(from_a.shape[1], dtype=torch.float64)
            tables = {"embed_a.W_E": from_a, "embed_b.W_E": from_b, "unembed.W_U": to_c}
            weights[step] = {key: table.double() for key, table in tables.items()} | {
                "mlp.W_in": torch.cat([once, once])
            }
        width = next(iter(planted.values()))[0].shape[1]
        return make_run(weights, {"modular_arithmetic": task}, {"mlp": {"d_model": width, "d_mlp": width}}, name)

    return make


def _array(value: Any) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small sums are slower in several threads, far slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def reference() -> Path:
    """The folder of published networks."""
    folder = os.environ.get("INTERP_REFERENCE")
    if not folder:
        pytest.skip("INTERP_REFERENCE is not set: it names the folder of published networks")
    return Path(folder).resolve()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """`install(package, {name: source})`: another package that adds these measures by entry points."""

    def installed(package: str, sources: dict[str, str]) -> Path:
        folder = tmp_path / package
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "helpers.py").write_text("scale = 3\n")
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source)
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {package}.{name}:{name}" for name in sources]
        (info / "entry_points.txt").write_text("\n".join(["[interp.measures]", *lines, ""]))
        monkeypatch.syspath_prepend(tmp_path)
        forget()
        return folder

    yield installed
    monkeypatch.undo()
    for name in [name for name in sys.modules if name.startswith("elsewhere")]:
        del sys.modules[name]
    forget()


def forget() -> None:
    """Whatever was remembered about names; code is remembered by its file, which each package has of its own."""
    for function in vars(names).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()
