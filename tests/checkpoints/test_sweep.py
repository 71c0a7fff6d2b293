"""A sweep as it is opened: axes, members, what is chosen of it, and that opening it reads no member's recipe."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

import interp
from interp.checkpoints import Run, Sweep
from interp.errors import InterpError
from interp.files.checkpoint_blocks import CheckpointBlocks
from tests.results.test_over_steps import drifting_weights

RECIPE = """
task: {modular_arithmetic: {p: 7, operation: OPERATION}}
model: {transformer: {d_model: 8, n_heads: 2, d_mlp: 16}}
training: {steps: 300, optimiser: {adamw: {weight_decay: DECAY}}, seed: SEED}
"""
GRID = """grid:
  training.seed: 0..2
  training.optimiser.adamw.weight_decay: [0.1, 1]
  task.modular_arithmetic.operation: [x+y, x*y]
"""


def plant(folder: Path, seed: int, decay: str, operation: str, steps: range = range(0, 301, 100)) -> Path:
    """A member whose weights are random numbers."""
    text = RECIPE.replace("OPERATION", operation).replace("DECAY", decay).replace("SEED", str(seed))
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text(text)
    run, blocks = interp.open_run(folder), CheckpointBlocks(folder / "weights")
    for step in steps:
        blocks.save(step, drifting_weights(run, step + seed))
    blocks.stack()
    return folder


@pytest.fixture(scope="session")
def planted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven of twelve members."""
    folder = tmp_path_factory.mktemp("checkpoints") / "many"
    for seed in range(3):
        for decay in ("0.1", "1"):
            for operation, written in (("x+y", "x+y"), ("x*y", "x%2Ay")):
                if (seed, decay, operation) != (2, "1", "x*y"):
                    plant(folder / f"seed={seed},weight_decay={decay},operation={written}", seed, decay, operation)
    (folder / "run.yaml").write_text(
        RECIPE.replace("OPERATION", "x+y").replace("DECAY", "1").replace("SEED", "0") + GRID
    )
    return folder


@pytest.fixture
def folder(planted_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(planted_once, tmp_path / "checkpoints" / "many"))


def test_axes_and_members_are_those_of_the_recipe(folder: Path):
    sweep = interp.open_run(folder)
    assert isinstance(sweep, Sweep)
    assert sweep.axes == {"seed": [0, 1, 2], "weight_decay": [0.1, 1], "operation": ["x+y", "x*y"]}
    assert len(sweep.members) == 12
    assert len(sweep) == 11
    assert [run.training.seed for run in sweep] == [0] * 4 + [1] * 4 + [2] * 3
    assert "3 seed × 2 weight_decay × 2 operation; 11 of 12 runs are there" in repr(sweep)


def test_opening_reads_no_members_recipe(folder: Path):
    for recipe in folder.glob("*/run.yaml"):
        recipe.write_text("{")
    sweep = interp.open_run(folder)
    assert len(sweep) == 11
    assert len(sweep.to_dataframe()) == 12
    with pytest.raises(InterpError, match="not YAML"):
        sweep.run(seed=0, weight_decay=1, operation="x+y")


def test_a_run_is_named_by_its_labels(folder: Path):
    sweep = interp.open_run(folder)
    run = sweep.run(seed=1, weight_decay=1.0, operation="x*y")
    assert run.path.name == "seed=1,weight_decay=1,operation=x%2Ay"
    assert run.task_call.options["operation"] == "x*y"
    with pytest.raises(InterpError, match=r"2 runs are meant; say also operation \(2\)"):
        sweep.run(seed=1, weight_decay=1)
    with pytest.raises(InterpError, match=r"--only 'seed=2,weight_decay=1,operation=x\*y'"):
        sweep.run(seed=2, weight_decay=1, operation="x*y")


def test_what_is_chosen_is_a_sweep(folder: Path):
    sweep = interp.open_run(folder)
    assert list(sweep.sel(seed=1).axes) == ["weight_decay", "operation"]
    assert sweep.sel(seed=[2, 0]).axes["seed"] == [2, 0]
    assert [run.training.seed for run in sweep.sel(seed=[2, 0], weight_decay=1, operation="x+y")] == [2, 0]
    assert sweep.sel(seed=slice(1, None)).axes["seed"] == [1, 2]
    assert sweep.isel(seed=-1, weight_decay=0).axes == {"operation": ["x+y", "x*y"]}
    assert len(sweep.isel(seed=slice(0, 2)).sel(operation="x+y")) == 4
    assert len(sweep) == 11
    with pytest.raises(InterpError, match="seed has no 7"):
        sweep.sel(seed=7)
    with pytest.raises(InterpError, match="did you mean 'seed'"):
        sweep.sel(sed=1)
    with pytest.raises(InterpError, match="3 places"):
        sweep.isel(seed=3)


def test_a_table_has_a_row_a_member(folder: Path):
    sweep = interp.open_run(folder)
    results = interp.over_steps(["loss", "weight_norm"], sweep)
    frame = sweep.to_dataframe(results)
    assert len(frame) == 12
    row = frame[(frame.seed == 1) & (frame.weight_decay == 1) & (frame.operation == "x*y")].iloc[0]
    run = sweep.run(seed=1, weight_decay=1, operation="x*y")
    assert row["step"] == 300
    assert row["end"] == "finished"
    assert row["loss test_loss"] == float(run.final.measure("loss").test_loss)
    missing = frame[(frame.seed == 2) & (frame.weight_decay == 1) & (frame.operation == "x*y")].iloc[0]
    assert missing["end"] == "not begun"
    assert math.isnan(missing["loss test_loss"])
    assert sweep._repr_html_().count("<tr") == 13


def test_runs_of_one_folder_stand_on_axes_of_what_differs(tmp_path: Path):
    for seed in range(2):
        for decay in ("0.1", "1"):
            plant(tmp_path / "loose" / f"run {seed} at {decay}", seed, decay, "x+y")
    sweep = interp.open_run(tmp_path / "loose")
    assert sweep.axes == {"weight_decay": [0.1, 1], "seed": [0, 1]}
    assert sweep.run(seed=1, weight_decay=0.1).path.name == "run 1 at 0.1"


def test_runs_of_one_folder_that_fill_no_grid_stand_in_a_row(tmp_path: Path):
    for name, seed, decay, operation in (("a", 0, "0.1", "x+y"), ("b", 1, "1", "x*y"), ("c", 2, "3", "x-y")):
        plant(tmp_path / "loose" / name, seed, decay, operation)
    sweep = interp.open_run(tmp_path / "loose")
    assert sweep.axes == {"run": ["a", "b", "c"]}


def test_a_family_that_set_made_opens_as_a_sweep(tmp_path: Path):
    text = RECIPE.replace("OPERATION", "x+y").replace("DECAY", "1").replace("SEED", "0")
    for seed in range(3):
        plant(tmp_path / "family" / f"seed={seed}", seed, "1", "x+y")
    (tmp_path / "family" / "run.yaml").write_text(text)
    assert interp.open_run(tmp_path / "family").axes == {"seed": [0, 1, 2]}


def test_a_member_is_a_run(folder: Path):
    run = interp.open_run(folder / "seed=0,weight_decay=1,operation=x+y")
    assert isinstance(run, Run)
    assert run.steps == [0, 100, 200, 300]


def test_a_sweep_is_called_what_an_analysis_calls_it(folder: Path, tmp_path: Path):
    from interp.checkpoints.opening import open_runs
    from interp.recipes import analysis_recipe

    path = tmp_path / "analysis.yaml"
    path.write_text(f"runs: [{{path: {folder}, name: ours}}, {folder}]\nmeasures: [loss]\n")
    ours, other = open_runs(analysis_recipe.read(path).sources, "cpu")
    assert (ours.name, other.name) == ("ours", "many")
    assert ours.sel(seed=0).name == "ours"
