"""A run that starts at a checkpoint of another takes that over and nothing else, and goes on to the last bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import interp
from interp.errors import InterpError, Stopped
from interp.executors.here import here
from interp.files.arrays import read_about, write_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.measures.recipe_differences import recipe_differences
from interp.recipes import run_recipe
from interp.recipes.grid import Grid, read_grid
from interp.report import write
from interp.training import again, parents, sweep
from interp.training.estimate import plan_of_stack
from interp.training.loop import train, train_stack
from interp.training.plan import Plan, PlannedRun
from interp.training.progress import silent
from interp.training.state import STATE
from tests.report.test_from_results import analysis
from tests.training.test_loop import digests, stop_after

pytestmark = pytest.mark.usefixtures("one_thread", "told_at_once")

RECIPE = """\
task: {{sparse_parity: {{n: 8, k: 2, n_train: {n_train}, n_test: 10}}}}
model: {{perceptron: {{widths: [{width}]}}}}
training: {{steps: {steps}, optimiser: {optimiser}, save: {{every: 10}}{more}}}
"""
ADAMW = "{adamw: {lr: 1e-2, warmup: 15}}"
NOISE = ", batch_size: 7, interventions: [{initial_scale: {alpha: 2}}, {update_noise: {sigma: 0.01}}]"
"""What draws at every update, and what acts at the start alone."""


def written(
    folder: Path,
    start: str = "",
    *,
    steps: int = 60,
    optimiser: str = ADAMW,
    width: int = 8,
    n_train: int = 30,
    more="",
) -> Path:
    folder.mkdir(exist_ok=True)
    text = RECIPE.format(steps=steps, optimiser=optimiser, width=width, n_train=n_train, more=more)
    (folder / "run.yaml").write_text(text + (f"from: {start}\n" if start else ""))
    return folder


def plan_at(folder: Path) -> Plan:
    return Plan.of(run_recipe.read_to_train(folder / "run.yaml"))


def trained(folder: Path, *arguments: Any, progress: Any = silent, **options: Any) -> Path:
    train(written(folder, *arguments, **options), plan_at(folder), progress)
    return folder


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A run of 40 steps, of which every tenth is kept."""
    return trained(tmp_path / "parent", steps=40)


def refused(folder: Path) -> str:
    with pytest.raises(InterpError) as error:
        train(folder, plan_at(folder))
    assert "\n" not in str(error.value)
    assert not (folder / "weights").exists()
    return str(error.value)


@pytest.mark.parametrize("more", ["", NOISE], ids=["plain", "what draws"])
@pytest.mark.parametrize(
    "optimiser", [ADAMW, "{grokfast: {of: {adamw: {lr: 1e-2}}}}", "{sgd: {lr: 0.1, momentum: 0.9}}"]
)
@pytest.mark.parametrize("step", [20, 40], ids=["trained again", "from its state"])
def test_with_nothing_changed_and_its_optimiser_it_is_the_parents_continuation(tmp_path, step, optimiser, more):
    trained(tmp_path / "parent", steps=40, optimiser=optimiser, more=more)
    there = {path: path.read_bytes() for path in (tmp_path / "parent").rglob("*") if path.is_file()}
    child = trained(
        tmp_path / "c", f"{{run: ../parent, step: {step}, optimiser: true}}", optimiser=optimiser, more=more
    )
    whole = digests(trained(tmp_path / "whole", optimiser=optimiser, more=more))
    assert digests(child) == {at: digest for at, digest in whole.items() if at >= step}
    assert there == {path: path.read_bytes() for path in (tmp_path / "parent").rglob("*") if path.is_file()}


def test_an_optimiser_that_moves_alone_goes_on_too(tmp_path: Path):
    hmc, more = "{hmc: {leapfrog: 2}}", ", dtype: float64"
    trained(tmp_path / "parent", steps=20, optimiser=hmc, more=more)
    start = "{run: ../parent, step: 10, optimiser: true}"
    child = trained(tmp_path / "child", start, steps=30, optimiser=hmc, more=more)
    whole = digests(trained(tmp_path / "whole", steps=30, optimiser=hmc, more=more))
    assert digests(child) == {at: digest for at, digest in whole.items() if at >= 10}


def test_without_it_the_weights_alone_go_on(parent: Path, tmp_path: Path):
    """Update i of the child, counted from its own first, is that of Adam from zero moments with its warm-up."""
    child = trained(tmp_path / "child", "{run: ../parent, step: 20}", more=", seed: 5")
    assert digests(child)[20] == digests(parent)[20]
    assert list(digests(child)) == [20, 30, 40, 50, 60]
    plan = plan_at(child)
    start = CheckpointBlocks(parent / "weights").load(20)
    weights = {name: torch.from_numpy(array.astype(np.float64)).requires_grad_() for name, array in start.items()}
    inputs = plan.task.inputs.double()[plan.task.train]
    adam = torch.optim.AdamW(weights.values(), lr=1e-2, betas=(0.9, 0.98), weight_decay=1.0)
    for update in range(40):
        adam.param_groups[0]["lr"] = 1e-2 * min(update / 15, 1)
        loss = plan.training.loss().mean(plan.architecture.outputs(weights, inputs), plan.task.targets[plan.task.train])
        adam.zero_grad()
        loss.backward()
        adam.step()
    for name, array in CheckpointBlocks(child / "weights").load(60).items():
        np.testing.assert_allclose(array, weights[name].detach(), atol=1e-5)


@pytest.mark.usefixtures("parent")
def test_a_grandchild_goes_on_as_its_parent_would(tmp_path: Path):
    trained(tmp_path / "child", "{run: ../parent, step: 20}", steps=50)
    whole = trained(tmp_path / "whole", "{run: ../parent, step: 20}")
    grandchild = trained(tmp_path / "grandchild", "{run: ../child, step: 40, optimiser: true}")
    assert digests(grandchild) == {at: digest for at, digest in digests(whole).items() if at >= 40}


def test_it_may_change_task_data_optimiser_loss_and_type(parent: Path, tmp_path: Path):
    child = trained(
        tmp_path / "child",
        "{run: ../parent, step: 30}",
        optimiser="{sgd: {lr: 0.1}}",
        n_train=12,
        more=", dtype: float64, interventions: [{data_switch: {n_train: 6, start: 40}}]",
    )
    first = CheckpointBlocks(child / "weights").load(30)
    for name, array in CheckpointBlocks(parent / "weights").load(30).items():
        np.testing.assert_array_equal(first[name], array)
        assert first[name].dtype == np.float64
    assert int(interp.open_run(child).task.train.sum()) == 12


def test_what_acts_at_the_start_acts_on_the_weights_taken_over_but_not_a_second_time(tmp_path: Path):
    scaled = ", interventions: [{initial_scale: {alpha: 2}}]"
    parent = trained(tmp_path / "parent", steps=20, more=scaled)
    start = "{run: ../parent, step: 10}"
    weights = CheckpointBlocks(parent / "weights").load(10)
    for name, more, factor in (("same", scaled, 1), ("other", scaled.replace("2", "3"), 3)):
        first = CheckpointBlocks(trained(tmp_path / name, start, more=more) / "weights").load(10)
        for weight, array in first.items():
            np.testing.assert_array_equal(array, factor * weights[weight])


@pytest.mark.parametrize("optimiser", ["true", "false"])
def test_stopped_and_resumed_it_has_the_same_bits_and_needs_its_parent_no_more(parent, tmp_path, optimiser):
    start = f"{{run: ../parent, step: 20, optimiser: {optimiser}}}"
    whole = trained(tmp_path / "whole", start)
    with pytest.raises(Stopped, match="stopped at step 40 of 60"):
        trained(tmp_path / "child", start, progress=stop_after(40))
    shutil.rmtree(parent)
    train(tmp_path / "child", plan_at(tmp_path / "child"))
    assert digests(tmp_path / "child") == digests(whole)
    assert (tmp_path / "child" / STATE).read_bytes() == (whole / STATE).read_bytes()


@pytest.mark.usefixtures("parent")
def test_in_a_stack_it_has_the_bits_that_it_has_alone(tmp_path: Path):
    starts = [
        f"{{run: ../parent, step: {at}, optimiser: {on}}}" for at, on in ((20, "true"), (30, "false"), (20, "false"))
    ]
    alone = [trained(tmp_path / f"alone{place}", start) for place, start in enumerate(starts)]
    folders = [written(tmp_path / f"in{place}", start) for place, start in enumerate(["", *starts])]
    train_stack([PlannedRun(folder, plan_at(folder)) for folder in folders])
    assert [digests(folder) for folder in folders[1:]] == [digests(folder) for folder in alone]


def test_checkpoints_are_added_and_those_before_are_its_parents(parent: Path, tmp_path: Path):
    start = "{run: ../parent, step: 20, optimiser: true}"
    child, every = trained(tmp_path / "child", start), written(tmp_path / "every", start)
    (every / "run.yaml").write_text((every / "run.yaml").read_text().replace("every: 10", "every: 1"))
    train(every, plan_at(every))
    again.add(child, plan_at(child), ["25:35:5"])
    assert digests(child).items() <= digests(every).items()
    assert {25, 35} <= digests(child).keys()
    with pytest.raises(InterpError, match=r"starts at step 20; what is before .* parent: .*parent --dense 15:20:5"):
        again.add(child, plan_at(child), ["15:25:5"])
    shutil.rmtree(parent)
    with pytest.raises(InterpError, match=r"run\.yaml:4: \.\./parent is no run"):
        again.add(child, plan_at(child), ["41:42:1"])


def test_a_parent_that_was_trained_anew_is_told(parent: Path, tmp_path: Path):
    child = trained(tmp_path / "child", "{run: ../parent, step: 20}")
    shutil.rmtree(parent)
    trained(parent, steps=40, more=", seed: 8")
    with pytest.raises(InterpError, match=r"run\.yaml:4: .* not those that this run began with: .* trained anew"):
        again.add(child, plan_at(child), ["25:25:1"])


def test_where_the_second_training_differs_it_is_refused(parent: Path, tmp_path: Path):
    """The last bit of one number at step 10 is another."""
    (file,) = (parent / "weights").glob("steps-*.safetensors")
    arrays, steps = load_file(file), read_about(file)
    row = steps.index(10)
    arrays["unembed.W_U"][row, 0, 0] = np.nextafter(arrays["unembed.W_U"][row, 0, 0], 9)
    write_arrays(file, arrays, steps, by_row=True)
    told = refused(written(tmp_path / "child", "{run: ../parent, step: 20, optimiser: true}"))
    assert "run.yaml:4" in told
    assert "at step 10 are not those that it has" in told
    assert told.endswith("take optimiser: false, or start at step 40")
    trained(tmp_path / "child", "{run: ../parent, step: 40, optimiser: true}")


@pytest.mark.parametrize(
    ("start", "options", "message"),
    [
        ("{run: ../nobody, step: 20}", {}, r"\.\./nobody is no run: .* holds no run\.yaml; a path is relative"),
        ("{run: ../parent, step: 25}", {}, r"no checkpoint at step 25; the nearest are 20 and 30; .* --dense 25:25:1"),
        ("{run: ../parent, step: 50}", {}, r"no checkpoint at step 50; .*; its last is 40"),
        (
            "{run: ../parent, step: 20}",
            {"width": 9},
            r"mlp\.0\.W_in is \[8, 8\] there and \[8, 9\] here.* give this run",
        ),
        (
            "{run: ../parent, step: 20, optimiser: true}",
            {"optimiser": "{sgd: {momentum: 0.9}}"},
            r"\.\./parent has the optimiser adamw, .* in this run's sgd; take optimiser: false",
        ),
        (
            "{run: ../parent, step: 20, optimiser: true}",
            {"optimiser": "{adamw: {decay: to_init}}"},
            r"adamw with options that keep another state",
        ),
        ("{run: ../untrained, step: 20}", {}, r"\.\./untrained has no checkpoints yet; train it first: interp train"),
        ("{run: ../swept, step: 20}", {}, r"\.\./swept is a sweep; name one of its runs"),
        ("{run: ../foreign, step: 20}", {}, r"\.\./foreign was not trained here"),
    ],
)
@pytest.mark.usefixtures("parent")
def test_what_cannot_be_started_from_is_one_line_with_its_place(tmp_path, start, options, message):
    written(tmp_path / "untrained")
    swept = written(tmp_path / "swept") / "run.yaml"
    swept.write_text(swept.read_text() + "grid: {training.seed: 0..1}\n")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.yaml").write_text("importer: state_dicts\n")
    told = refused(written(tmp_path / "child", start, **options))
    assert told.startswith(f"{tmp_path / 'child' / 'run.yaml'}:4: ")
    with pytest.raises(InterpError, match=message):
        parents.check(plan_at(tmp_path / "child"))


# Sweeps.

GRID = "grid: {from.step: [20, 30], training.seed: 0..1}\n"


def sweep_at(folder: Path, start: str = "{run: ../parent, step: 20, optimiser: true}", grid: str = GRID) -> Grid:
    path = written(folder, start) / "run.yaml"
    path.write_text(path.read_text() + grid)
    found = read_grid(path)
    assert found is not None
    return found


def train_all(grid: Grid) -> list[Any]:
    state = sweep.present(grid)
    with here(1, grid.path) as executor:
        return sweep.train(grid, state, executor, 1, sweep.Meter(grid, state, lambda _: None))


@pytest.mark.slow
def test_a_grid_over_steps_of_a_parent_trains_in_one_stack_and_each_member_alone(parent: Path, tmp_path: Path):
    grid = sweep_at(tmp_path / "sweep")
    grid.check()
    state = sweep.present(grid)
    sweep.check_parents(grid, state)
    found = sweep.estimate(grid, state)
    assert (found.stacks, state.left) == (1, list(grid.members))
    assert {one.end for one in train_all(grid)} == {"finished"}
    assert not sweep.present(grid).left
    opened = interp.open_run(grid.path)
    assert opened.axes == {"from_step": [20, 30], "seed": [0, 1]}
    for member in grid.members:
        step = member.labels[0]
        run = opened.run(from_step=step, seed=member.labels[1])
        assert run.steps == [at for at in range(20, 61, 10) if at >= step]
        assert run.parent is not None
        assert run.parent.path.resolve() == parent.resolve()
        more = f", seed: {member.labels[1]}"
        alone = trained(tmp_path / "alone", f"{{run: ../parent, step: {step}, optimiser: true}}", more=more)
        assert digests(alone) == digests(grid.path / member.folder)
        shutil.rmtree(alone)


@pytest.mark.usefixtures("parent")
def test_what_no_member_can_start_from_is_told_before_any_trains(tmp_path: Path):
    grid = sweep_at(tmp_path / "sweep", grid="grid:\n  from.step:\n    - 20\n    - 25\n")
    with pytest.raises(InterpError, match=r"sweep/run\.yaml:8: .*no checkpoint at step 25") as error:
        sweep.check_parents(grid, sweep.present(grid))
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("parent")
def test_a_plan_counts_the_updates_from_where_it_starts(tmp_path: Path):
    child = written(tmp_path / "child", "{run: ../parent, step: 20}")
    assert plan_of_stack([PlannedRun(child, plan_at(child))]).updates == 40


# Opened, and on a page.


def test_a_run_knows_its_parent_and_says_where_it_starts(parent: Path, tmp_path: Path):
    run = interp.open_run(trained(tmp_path / "child", "{run: ../parent, step: 20}"))
    assert run.parent is not None
    assert run.parent.steps == [0, 10, 20, 30, 40]
    assert interp.open_run(parent).parent is None
    sentence = (
        "It starts at step 20 from the weights that its parent, ../parent, has there; its optimiser starts afresh."
    )
    assert run.notes == (sentence,)
    before = float(run.final.measure("loss").train_loss)
    shutil.rmtree(parent)
    alone = interp.open_run(run.path)
    assert alone.parent is None
    assert alone.notes == (sentence, f"Its parent is not there any more: {parent} holds no run.yaml.")
    assert float(alone.final.measure("loss").train_loss) == before


def test_runs_that_differ_in_where_they_start_are_not_told_to_be_alike(parent: Path, tmp_path: Path):
    child = interp.open_run(written(tmp_path / "child", "{run: ../parent, step: 20}"))
    own, other = (json.loads(recipe_differences(run).recipe) for run in (child, interp.open_run(parent)))
    started = {name: value for name, value in own.items() if name not in other}
    assert started == {"from.run": "../parent", "from.step": "20", "from.optimiser": "False"}


def test_a_report_shows_both_on_one_axis(parent: Path, tmp_path: Path):
    child = interp.open_run(trained(tmp_path / "child", "{run: ../parent, step: 20}"))
    page = write.report(analysis("loss", "weight_norm"), [child], tmp_path / "page.html")
    (of_run,) = page.runs
    panels = {panel.title: panel for section in of_run.sections for panel in section.panels}
    known = {
        title: {line["name"]: (line["x"].tolist(), line["y"]) for line in panel.figure["data"]}
        for title, panel in panels.items()
    }
    (accuracy,) = (lines for title, lines in known.items() if "Accuracy" in title)
    assert accuracy["parent, test"][0] == [0, 10, 20]
    assert accuracy["test"][0] == [20, 30, 40, 50, 60]
    of_parent = [float(interp.open_run(parent)[step].measure("loss").test_accuracy) for step in (0, 10, 20)]
    np.testing.assert_allclose(accuracy["parent, test"][1], of_parent)
    assert sum(panel.shows_before for panel in panels.values()) >= 3
    assert all(panel.figure["layout"]["xaxis"]["range"] == [0, 60] for panel in panels.values() if panel.shows_before)
    assert "In grey, up to step 20, its parent, ../parent." in of_run.sections[0].note
    assert '"extent":[0,60]' in (tmp_path / "page.html").read_text()
    shutil.rmtree(parent)
    page = write.report(analysis("loss"), [interp.open_run(child.path)], tmp_path / "page.html")
    assert not any(panel.shows_before for panel in page.runs[0].sections[0].panels)


def test_another_runs_digest_has_no_parent_in_it(parent: Path, tmp_path: Path):
    recipe = run_recipe.read(written(tmp_path / "child", "{run: ../parent, step: 20}") / "run.yaml")
    own, without = recipe.canonical, replace(recipe, parent=None).canonical
    assert '"from"' not in without
    assert own != without
    assert plan_at(parent).recipe.replace('"steps": 40', '"steps": 60') == without
