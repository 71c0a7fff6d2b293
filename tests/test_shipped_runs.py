"""The runs that ship: the measures find what each run's expected.yaml says they must.

An entry names a measure and either one of its `summary`'s values (`finding`) or a place in one of its arrays
(`array`, `at`), and what it must be: `between` two numbers, or `equals` a value.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import filelock
import pytest
import torch
import xarray as xr

import interp
from interp.recipes.document import parse_value
from tests.told import summary

ROOT = Path(interp.__file__).parent.parent
SLOW = ("sharpness", "weight_mixture")
"""Measures that take long at a single step; a finding takes the whole run, and so long with every measure."""
EXPECTED = [
    pytest.param(
        path.parent,
        entry,
        id=f"{path.parent.name}-{entry['measure']}-{entry.get('finding', entry.get('array'))}",
        marks=[pytest.mark.slow] if "finding" in entry or entry["measure"] in SLOW else [],
    )
    for path in sorted((ROOT / "checkpoints").rglob("expected.yaml"))
    for entry in parse_value(path.read_text())
]
DENSE = ROOT / "checkpoints" / "modular_addition_small"
FAMILY = sorted((ROOT / "checkpoints" / "seeds").glob("seed=*"))
_runs: dict[Path, interp.checkpoints.Run] = {}


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results that all processes of this test run share, so that each is computed once."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shipped"
    shared.mkdir(exist_ok=True)
    return shared


def found(folder: Path, entry: dict[str, Any], kept: Path) -> Any:
    if "array" in entry:
        return float(_at_named_steps(folder, entry["measure"], kept)[entry["array"]].sel(entry["at"]))
    told = summary(entry["measure"], _over_the_run(folder, kept)[entry["measure"]].to_dataset())
    return told.values[entry["finding"]]


def _expected(folder: Path) -> list[dict[str, Any]]:
    return [entry for of, entry in (each.values for each in EXPECTED) if of == folder]


@functools.cache
def _over_the_run(folder: Path, kept: Path) -> xr.DataTree:
    """The measures of which a finding is expected."""
    asked = sorted({"loss", *(entry["measure"] for entry in _expected(folder) if "finding" in entry)})
    return _computed(asked, folder, "all", kept / f"{folder.name}-findings")


@functools.cache
def _at_named_steps(folder: Path, measure: str, kept: Path) -> xr.Dataset:
    """A measure at the steps at which something is expected of it."""
    steps = {entry["at"]["step"] for entry in _expected(folder) if entry["measure"] == measure and "array" in entry}
    return _computed(measure, folder, sorted(steps), kept / f"{folder.name}-arrays")


def _computed(asked: Any, folder: Path, steps: Any, keep: Path) -> Any:
    run = _opened(folder)
    with filelock.FileLock(f"{keep}.lock"):
        return interp.over_steps(asked, run, steps, keep=keep)


def _opened(folder: Path) -> interp.checkpoints.Run:
    if not (folder / "weights").exists():
        pytest.skip(f"{folder.name} is not trained here: interp train checkpoints/{folder.name}")
    return _runs.setdefault(folder, interp.open_run(folder))


@pytest.mark.parametrize(("folder", "entry"), EXPECTED)
def test_the_measures_find_what_is_expected(folder: Path, entry: dict[str, Any], kept: Path):
    value = found(folder, entry, kept)
    if "equals" in entry:
        assert value == entry["equals"]
    else:
        low, high = entry["between"]
        assert low <= value <= high


def test_a_run_that_ships_is_whole():
    for run in map(interp.open_run, [DENSE, *FAMILY]):
        assert all(checkpoint.finite for checkpoint in run)
        assert {name: tuple(weight.shape) for name, weight in run.final.weights.items()} == run.architecture.shapes


def test_the_dense_run_is_dense_and_small():
    assert len(interp.open_run(DENSE).steps) >= 100
    assert sum(path.stat().st_size for path in DENSE.rglob("*") if path.is_file()) <= 15_000_000


@pytest.mark.slow
def test_the_dense_run_groks_long_after_it_memorised():
    """On pairs that no mirror answers, it is wrong for five times as long again as memorising took, then right."""
    found = interp.open_run(DENSE).measure("loss")
    memorised = int(found.step[(found.train_accuracy == 1).values][0])
    novel = found.novel_accuracy.to_series()
    assert (novel.loc[: memorised + 5 * memorised] < 0.1).all()
    right = int(novel.index[novel > 0.99][0])
    assert (novel.loc[right:] > 0.99).all()


def test_the_family_is_of_twenty_runs_or_more_and_small():
    assert len(FAMILY) >= 20
    assert sum(path.stat().st_size for folder in FAMILY for path in folder.rglob("*") if path.is_file()) <= 3_000_000


def test_a_run_that_ships_began_at_the_fresh_weights_of_its_seed():
    for run in map(interp.open_run, [DENSE, *FAMILY]):
        assert run.training is not None
        fresh = run.architecture.initial(run.training.seed)
        for name, weight in run.first.weights.items():
            torch.testing.assert_close(weight, fresh[name])
