"""Results over many runs: each run's own numbers on the axes of the sweep, in one file, only what is new computed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import interp
from interp.checkpoints import opening
from interp.errors import InterpError, NothingToSay
from interp.results import visit
from tests.checkpoints.test_sweep import folder, plant, planted_once  # noqa: F401 (fixtures)
from tests.results.test_over_steps import hashes

ROOT = Path(interp.__file__).parent.parent
MEASURES = ["loss", "weight_norm", "key_freqs"]


@pytest.fixture
def sums(folder: Path) -> Path:  # noqa: F811
    """The members whose task is a sum: of the others a measure of frequencies has other labels."""
    recipe = folder / "run.yaml"
    recipe.write_text(recipe.read_text().replace("[x+y, x*y]", "[x+y]"))
    return folder


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The members that are opened from here on."""
    found: list[str] = []
    own = opening.opened

    def noting(source, device):
        found.append(source.path.name)
        return own(source, device)

    monkeypatch.setattr(opening, "opened", noting)
    return found


def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(measure, run) of the rows that are computed from here on."""
    found: list[tuple[str, str]] = []
    row = visit.compute_row

    def noting(runs, subject, stored, start):
        found.append((stored.ask.label, runs[0].name))
        return row(runs, subject, stored, start)

    monkeypatch.setattr(visit, "compute_row", noting)
    return found


@pytest.mark.slow
def test_the_arrays_are_those_of_each_run_alone(sums: Path):
    sweep = interp.open_run(sums)
    tree = interp.over_steps([*MEASURES, "embedding_dft"], sweep)
    assert tree.loss.train_loss.dims == ("seed", "weight_decay", "operation", "step")
    assert tree.embedding_dft.power.dims == ("seed", "weight_decay", "operation", "step", "freq")
    assert tree.loss.weight_decay.values.tolist() == [0.1, 1]
    for seed in range(3):
        for decay in (0.1, 1):
            alone = interp.over_steps([*MEASURES, "embedding_dft"], sweep.run(seed=seed, weight_decay=decay))
            of_it = {"seed": seed, "weight_decay": decay, "operation": "x+y"}
            for label, node in alone.children.items():
                for name, array in node.data_vars.items():
                    xr.testing.assert_equal(
                        tree[label][name].sel(of_it, drop=True) if name in tree[label].data_vars else array, array
                    )


def test_a_missing_member_is_blank_and_the_others_are_not(folder: Path):  # noqa: F811
    result = interp.over_steps("loss", interp.open_run(folder))
    blank = result.train_loss.isnull().all("step")
    assert int(blank.sum()) == 1
    assert bool(blank.sel(seed=2, weight_decay=1, operation="x*y"))


def test_steps_are_those_of_all_runs_and_blank_where_one_has_none(sums: Path):
    shutil.rmtree(sums / "seed=0,weight_decay=1,operation=x+y")
    plant(sums / "seed=0,weight_decay=1,operation=x+y", 0, "1", "x+y", range(0, 301, 150))
    result = interp.over_steps("loss", interp.open_run(sums)).train_loss
    assert result.step.values.tolist() == [0, 100, 150, 200, 300]
    other = result.sel(seed=0, weight_decay=1, operation="x+y")
    assert other.step[other.notnull()].values.tolist() == [0, 150, 300]
    assert result.sel(seed=1, weight_decay=1, operation="x+y").isnull().values.tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_what_is_kept_is_one_file_a_measure_and_is_read_without_opening_a_run(sums: Path, tmp_path: Path, monkeypatch):
    first = interp.over_steps(MEASURES, interp.open_run(sums), keep=tmp_path / "kept")
    values = first.loss.train_loss.values
    assert sorted(path.name for path in (tmp_path / "kept").glob("*.nc")) == [
        "key_freqs.nc",
        "loss.nc",
        "weight_norm.nc",
    ]
    names = opened(monkeypatch)
    again = interp.over_steps(MEASURES, interp.open_run(sums), keep=tmp_path / "kept")
    np.testing.assert_array_equal(again.loss.train_loss.values, values)
    assert names == []


@pytest.mark.slow
def test_a_member_added_is_computed_alone_and_the_file_is_as_if_made_at_once(sums: Path, tmp_path: Path, monkeypatch):
    late = sums / "seed=1,weight_decay=0.1,operation=x+y"
    aside = tmp_path / "aside"
    shutil.move(late, aside)
    interp.over_steps(MEASURES, interp.open_run(sums), keep=tmp_path / "kept")
    shutil.move(aside, late)
    rows = computed(monkeypatch)
    interp.over_steps(MEASURES, interp.open_run(sums), keep=tmp_path / "kept")
    assert {run for _, run in rows} == {interp.open_run(late).name}
    assert len(rows) == 4 * len(MEASURES)
    monkeypatch.undo()
    interp.over_steps(MEASURES, interp.open_run(sums), keep=tmp_path / "anew")
    assert hashes(tmp_path / "kept") == hashes(tmp_path / "anew")


@pytest.mark.slow
def test_an_axis_that_grows_computes_the_new_members_alone(sums: Path, tmp_path: Path, monkeypatch):
    interp.over_steps(MEASURES, interp.open_run(sums), keep=tmp_path / "kept")
    plant(sums / "seed=3,weight_decay=1,operation=x+y", 3, "1", "x+y")
    recipe = sums / "run.yaml"
    recipe.write_text(recipe.read_text().replace("0..2", "0..3"))
    rows, names = computed(monkeypatch), opened(monkeypatch)
    result = interp.over_steps(MEASURES, interp.open_run(sums), keep=tmp_path / "kept")
    assert len(rows) == 4 * len(MEASURES)
    assert names == ["seed=3,weight_decay=1,operation=x+y"]
    assert result.loss.train_loss.sizes == {"seed": 4, "weight_decay": 2, "operation": 1, "step": 4}
    assert result.loss.train_loss.sel(seed=3, weight_decay=0.1).isnull().all()


def test_a_member_whose_weights_are_replaced_is_computed_again(sums: Path, tmp_path: Path, monkeypatch):
    before = interp.over_steps("loss", interp.open_run(sums), keep=tmp_path / "kept").train_loss.values
    changed = "seed=1,weight_decay=1,operation=x+y"
    shutil.rmtree(sums / changed)
    plant(sums / changed, 1, "1", "x+y", range(0, 301, 150))
    rows = computed(monkeypatch)
    after = interp.over_steps("loss", interp.open_run(sums), keep=tmp_path / "kept").train_loss
    assert {run for _, run in rows} == {interp.open_run(sums / changed).name}
    np.testing.assert_array_equal(after.sel(seed=0, step=[0, 100, 200, 300]).values, before[0])


@pytest.mark.slow
def test_workers_give_the_same_files(sums: Path, tmp_path: Path):
    for jobs in (1, 2):
        interp.over_steps(MEASURES, interp.open_run(sums), keep=tmp_path / f"kept{jobs}", jobs=jobs)
    assert hashes(tmp_path / "kept1") == hashes(tmp_path / "kept2")


def test_labels_that_differ_between_runs_are_told_with_what_to_do(folder: Path):  # noqa: F811
    tree = interp.over_steps(["loss", "embedding_dft"], interp.open_run(folder))
    assert "sweep.sel" in tree.embedding_dft.attrs["nothing_to_say"]
    with pytest.raises(NothingToSay, match="differ between runs"):
        interp.over_steps("embedding_dft", interp.open_run(folder))


def test_a_measure_of_several_runs_has_its_row_a_run(sums: Path):
    sweep = interp.open_run(sums).sel(operation="x+y")
    result = interp.over_steps({"sharpness_accuracy": {"draws": 1}}, sweep)["sharpness_accuracy"]
    assert result.run.values.tolist() == [run.name for run in sweep]


def test_what_is_chosen_of_a_sweep_has_the_axes_that_are_left(sums: Path):
    sweep = interp.open_run(sums)
    whole, part = interp.over_steps("loss", sweep), interp.over_steps("loss", sweep.sel(seed=[2, 0], weight_decay=1))
    assert part.train_loss.dims == ("seed", "operation", "step")
    xr.testing.assert_equal(
        part.train_loss, whole.train_loss.sel(seed=[2, 0], weight_decay=1).drop_vars("weight_decay")
    )


def test_a_sweep_without_runs_is_told(sums: Path):
    for member in sums.glob("seed=*"):
        shutil.rmtree(member)
    with pytest.raises(InterpError, match="no runs with checkpoints yet"):
        interp.over_steps("loss", interp.open_run(sums))


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_ends_the_same(sums: Path, tmp_path: Path):
    interp.over_steps(MEASURES, interp.open_run(sums), keep=tmp_path / "whole")
    script, kept = tmp_path / "analyse.py", str(tmp_path / "kept")
    script.write_text(
        "import interp\nif __name__ == '__main__':\n"
        f"    interp.over_steps({MEASURES!r}, interp.open_run({str(sums)!r}), keep={kept!r}, jobs=2)\n"
    )
    generator = random.Random(0)
    for number in range(8):
        process = subprocess.Popen(
            [sys.executable, str(script)], env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True
        )
        deadline = time.monotonic() + (generator.uniform(4, 9) if number < 6 else 600)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert hashes(tmp_path / "kept") == hashes(tmp_path / "whole")
