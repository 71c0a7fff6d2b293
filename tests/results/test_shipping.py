"""Results that ship: what is there without weights is what was measured of all steps, and nothing is computed."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import interp
from interp import run as command
from interp.errors import InterpError
from interp.results import computing, shipping
from interp.results.shipping import MADE_FROM, Shipped, kept_steps
from tests.checkpoints.test_sweep import RECIPE, plant

MEASURES = ["outcome", "loss"]
ANALYSIS = f"title: What became of them?\nruns: [checkpoints/many]\nmeasures: [{', '.join(MEASURES)}]\n"
GRID = "grid: {training.seed: 0..1, training.optimiser.adamw.weight_decay: [0.1, 1]}\n"
SENTENCE = r"made by an earlier version; `--again` trains anew \(about 125 minutes\)"


def test_at_most_sixty_steps_are_kept_evenly_with_both_ends():
    kept = kept_steps(range(0, 20_001, 100))
    assert kept == list(range(0, 20_001, 400))
    for every, last in ((1, 59), (1, 60), (7, 10_000), (50, 40_000), (100, 5_950)):
        steps = list(range(0, last, every))
        kept = kept_steps(steps)
        assert len(kept) <= 60
        assert {steps[0], steps[-1]} <= set(kept) <= set(steps)
        assert len(kept) == len(steps) or len(kept) >= 30
        gaps = np.diff(kept[:-1])
        assert len(set(gaps)) == 1


def test_a_dense_stretch_and_a_logarithmic_schedule_take_no_more_room_than_they_have_on_the_axis():
    dense = sorted({*range(0, 20_001, 100), *range(12_000, 14_000, 10)})
    assert sum(12_000 <= step < 14_000 for step in kept_steps(dense)) <= 7
    logarithmic = sorted({int(1.1**power) for power in range(100)})
    assert len(kept_steps(logarithmic)) <= 60


def test_the_steps_at_which_runs_end_are_kept_where_they_are_few():
    kept = kept_steps(range(0, 20_001, 100), {5_100, 20_000})
    assert 5_100 in kept
    assert len(kept) <= 60
    assert len(kept_steps(range(0, 20_001, 100), set(range(0, 20_001, 100)))) <= 60


@pytest.fixture(scope="module")
def shipped_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep of three of four members, whose results were shipped at three of four steps."""
    folder = tmp_path_factory.mktemp("here")
    sweep = folder / "checkpoints" / "many"
    for seed, decay in ((0, "0.1"), (0, "1"), (1, "0.1")):
        plant(sweep / f"seed={seed},weight_decay={decay}", seed, decay, "x+y")
    recipe = RECIPE.replace("OPERATION", "x+y").replace("DECAY", "1").replace("SEED", "0")
    (sweep / "run.yaml").write_text(recipe + GRID)
    (folder / "analysis.yaml").write_text(ANALYSIS)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(shipping, "MOST_STEPS", 3)
        patched.setattr("interp.train.minutes_to_train", lambda _: 125.4)
        command.main(Path("analysis.yaml"), jobs=1, ship=True)
    return folder


@pytest.fixture
def there(shipped_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sweep in a copy of that folder; one is in it."""
    monkeypatch.chdir(shutil.copytree(shipped_once, tmp_path / "there"))
    return Path("checkpoints/many")


@pytest.fixture
def bare(there: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sweep as it travels, recipe and results; nothing can be computed."""
    shutil.rmtree("reports")
    for member in there.glob("seed=*"):
        shutil.rmtree(member)
    monkeypatch.setattr(computing, "visit", None)
    return there


def made_otherwise(file: Path, **changes: object) -> None:
    """Write a file that ships anew, as if it had been made from something else."""
    with xr.open_dataset(file, engine="h5netcdf") as dataset:
        whole = dataset.load()
    told = shipping.MadeFrom.unpacked(whole[MADE_FROM].values.tobytes())
    shipping.write(file, whole.drop_vars(MADE_FROM), dataclasses.replace(told, **changes))


def test_a_sweep_opens_with_the_members_of_its_grid_and_gives_what_was_measured(bare: Path, shipped_once: Path):
    sweep = interp.open_run(bare)
    assert sweep.axes == {"seed": [0, 1], "weight_decay": [0.1, 1]}
    assert len(sweep.members) == 4
    assert len(sweep) == 0
    kept = shipped_once / "reports" / "analysis" / "many"
    results = interp.over_steps(MEASURES, sweep)
    for label in MEASURES:
        with xr.open_dataset(kept / f"{label}.nc", engine="h5netcdf") as full:
            drawn = {
                name
                for name, array in full.data_vars.items()
                if array.dims[:2] == ("seed", "weight_decay") and array.dims[2:] in ((), ("step",))
            }
            assert set(results[label].data_vars) == drawn
            for name in drawn:
                found, own = results[label][name], full[name]
                assert found.attrs["long_name"] == own.attrs["long_name"]
                if "step" in own.dims:
                    assert found.step.values.tolist() == [0, 200, 300]
                    here = own.sel(step=found.step)
                    if own.dtype.kind == "f":
                        np.testing.assert_allclose(found, here, rtol=2.0**-14)
                    else:
                        np.testing.assert_array_equal(found.values, here.values)
                else:
                    np.testing.assert_array_equal(found.values, own.values)
    assert set(results.outcome.outcome.values.ravel()) <= {"grokked", "generalised", "memorised", "neither", ""}


def test_what_is_said_of_a_run_is_of_the_steps_that_do_not_ship_too(bare: Path, shipped_once: Path):
    found = interp.over_steps("outcome", interp.open_run(bare))
    of_its_own = interp.open_run(shipped_once / "checkpoints" / "many" / "seed=0,weight_decay=1")
    losses = [float(checkpoint.measure("loss").test_loss) for checkpoint in of_its_own]
    assert len(losses) == 4
    assert float(found.lowest_test_loss.sel(seed=0, weight_decay=1)) == min(losses)


def test_a_choice_of_the_sweep_gives_that_part_of_the_arrays(bare: Path):
    sweep = interp.open_run(bare)
    whole = interp.over_steps("loss", sweep).test_loss
    part = interp.over_steps("loss", sweep.sel(seed=[1, 0], weight_decay=0.1)).test_loss
    assert part.dims == ("seed", "step")
    xr.testing.assert_equal(part, whole.sel(seed=[1, 0], weight_decay=0.1, drop=True))
    assert interp.over_steps("loss", sweep, steps=[0, 300]).step.values.tolist() == [0, 300]
    with pytest.raises(InterpError, match="no checkpoint at step 100; the nearest are 0 and 200"):
        interp.over_steps("loss", sweep, steps=[100])


def test_the_table_of_members_tells_how_they_ended(bare: Path):
    sweep = interp.open_run(bare)
    frame = sweep.to_dataframe(interp.over_steps(MEASURES, sweep))
    assert frame["end"].tolist() == ["finished"] * 3 + ["not begun"]
    assert frame["step"].tolist()[:3] == [300] * 3
    assert frame["loss test_loss"].notna().tolist() == [True] * 3 + [False]


def test_the_report_is_written_from_them(bare: Path, capsys: pytest.CaptureFixture[str]):
    command.main(Path("analysis.yaml"), jobs=1)
    printed = capsys.readouterr().out
    assert "From the results that ship with its recipe" in printed
    assert "earlier version" not in printed
    page = Path("reports/analysis.html").read_text()
    assert "3 of 4 runs" in page
    assert "3 of 4 steps ship; what is said of each run is that of all of them." in page
    assert f"interp train {bare} --only seed=0,weight_decay=0.1" in page


@pytest.mark.slow
def test_code_that_has_changed_since_is_told_on_the_page_by_the_command_and_in_a_notebook(
    bare: Path, capsys: pytest.CaptureFixture[str]
):
    made_otherwise(bare / "results/outcome.nc", code={"measures/loss": "another"})
    for _ in range(2):  # the second time it is remembered
        command.main(Path("analysis.yaml"), jobs=1)
        assert len(re.findall(f"`outcome`: {SENTENCE}", capsys.readouterr().out)) == 1
    page = Path("reports/analysis.html").read_text()
    assert re.search(f"outcome</code>: {SENTENCE.replace('`', '</?code>')}", page)
    with pytest.warns(UserWarning, match=SENTENCE):
        found = interp.over_steps(MEASURES, interp.open_run(bare))
    assert found.outcome.sizes["step"] == 3


def test_another_recipe_is_refused_by_its_key(bare: Path):
    recipe = bare / "run.yaml"
    own = recipe.read_text()
    for change, told in (
        (("steps: 300", "steps: 400"), "training.steps was 300 and is 400"),
        (("training.seed: 0..1", "training.seed: 0..2"), "grid.seed was"),
        (("p: 7", "p: 11"), "task.modular_arithmetic.p was 7 and is 11"),
    ):
        recipe.write_text(own.replace(*change))
        with pytest.raises(InterpError, match=told):
            interp.over_steps("loss", interp.open_run(bare))
    recipe.write_text(f"# a word\n{own}text: of no matter\n")
    interp.over_steps("loss", interp.open_run(bare))


def test_what_does_not_ship_is_told_and_not_computed(bare: Path):
    sweep = interp.open_run(bare)
    with pytest.raises(
        InterpError, match=r"those of `loss` and `outcome`.*`--again` trains anew \(about 125 minutes\)"
    ):
        interp.over_steps("weight_norm", sweep)
    with pytest.raises(InterpError, match="with their options"):
        interp.over_steps({"outcome": {"times": 3}}, sweep)
    some = interp.over_steps(["loss", "weight_norm"], sweep)
    assert "those of `loss` and `outcome`" in some.weight_norm.attrs["nothing_to_say"]
    assert some.loss.test_loss.notnull().any()


def test_a_measure_that_had_fewer_options_then_is_an_earlier_version_not_another_measure(bare: Path):
    before = json.dumps(["outcome", {"times": 2.0, "forgotten": 1}])
    made_otherwise(bare / "results" / "outcome.nc", call=before, code={"measures/outcome": "another"})
    with pytest.warns(UserWarning, match=SENTENCE):
        interp.over_steps("outcome", interp.open_run(bare))
    for option in ({"times": 3}, {"class_ratio": 10}):
        with pytest.raises(InterpError, match="with their options"):
            interp.over_steps({"outcome": option}, interp.open_run(bare))


def test_damage_is_one_line_that_says_what_to_do(bare: Path):
    file = bare / "results/loss.nc"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InterpError, match=r"is damaged .*; restore it"):
        interp.over_steps("loss", interp.open_run(bare))


def test_where_weights_are_they_are_measured(there: Path):
    sweep = interp.open_run(there)
    assert sweep.shipped is None
    assert interp.over_steps("loss", sweep.sel(seed=0)).step.values.tolist() == [0, 100, 200, 300]
    shutil.rmtree(there / "seed=1,weight_decay=0.1")
    without = interp.open_run(there).sel(seed=1)
    assert isinstance(without.shipped, Shipped)
    assert interp.over_steps("loss", without).step.values.tolist() == [0, 200, 300]


def test_what_ships_is_the_same_byte_for_byte_and_says_what_it_was_made_from(there: Path, monkeypatch):
    monkeypatch.setattr(shipping, "MOST_STEPS", 3)
    files = sorted((there / "results").glob("*.nc"))
    before = [file.read_bytes() for file in files]
    told = Shipped(there, {}, {})._told_by(files[0])
    monkeypatch.setattr("interp.train.minutes_to_train", lambda _: 125.4)
    command.main(Path("analysis.yaml"), jobs=1, ship=True)
    assert [file.read_bytes() for file in files] == before
    assert told.steps == (3, 4)
    assert {"measures/loss", "models/transformer", "tasks/modular_arithmetic", "losses/cross_entropy"} <= set(told.code)
    assert set(told.versions) == {"interp", "torch", "numpy", "python"}
    assert told.trained.recipe["training.steps"] == "300"


@pytest.mark.slow
def test_what_looks_at_the_others_does_not_ship_and_is_told_from_what_ships(there: Path, monkeypatch, capsys):
    """The sweep has 3 runs, of which its outcome is told; of a table's rows one counts them by a word of all."""
    monkeypatch.setattr("interp.train.minutes_to_train", lambda _: 125.4)
    words = interp.over_steps("outcome", interp.open_run(there)).outcome.values.ravel()
    word = next(str(one) for one in words if str(one))
    rows = f"{{rows: {{such: {{paper: 7, take: count, of: outcome.outcome, is: {word}}}}}}}"
    Path("analysis.yaml").write_text(ANALYSIS.replace(", loss]", f", {{paper_table: {rows}}}]"))
    command.main(Path("analysis.yaml"), jobs=1, ship=True)
    assert not (there / "results" / "paper_table.nc").exists()
    for member in there.glob("seed=*"):
        shutil.rmtree(member)
    shutil.rmtree("reports")
    capsys.readouterr()
    command.main(Path("analysis.yaml"), jobs=1)
    assert f"such {(words == word).sum()} (paper: 7)" in capsys.readouterr().out


@pytest.mark.slow
def test_one_run_ships_with_its_sentences_as_they_were_made_of_all_steps(there: Path, monkeypatch, capsys):
    monkeypatch.setattr(shipping, "MOST_STEPS", 3)
    run = there / "seed=0,weight_decay=1"
    command.main(Path("analysis.yaml"), run=[run], jobs=1, ship=True)
    said = capsys.readouterr().out.partition("\nshipped:")[0]
    shutil.rmtree(run / "weights")
    shutil.rmtree("reports")
    monkeypatch.setattr(computing, "visit", None)
    opened = interp.open_run(run)
    assert opened.measure("loss").step.values.tolist() == [0, 200, 300]
    assert opened.show("loss").data
    command.main(Path("analysis.yaml"), run=[run], jobs=1)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{said}\nFrom the results that ship")


@pytest.mark.slow
def test_again_trains_what_is_not_there_and_measures_it(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sweep = Path("checkpoints/many")
    sweep.mkdir(parents=True)
    (sweep / "run.yaml").write_text(
        "task: {sparse_parity: {n: 6, k: 2, n_train: 20, n_test: 20}}\nmodel: {perceptron: {widths: [4]}}\n"
        "training: {steps: 4, optimiser: adamw, loss: logistic, save: {every: 1}}\ngrid: {training.seed: 0..1}\n"
    )
    Path("analysis.yaml").write_text(ANALYSIS)
    command.main(Path("analysis.yaml"), jobs=1, again=True, ship=True)
    assert "2 runs (2 seed); 0 finished, 2 to train" in capsys.readouterr().out
    told = Shipped(sweep, {}, {})._told_by(sweep / "results" / "loss.nc").trained
    assert 0 < told.minutes < 1
    assert told.ends == {(0,): (4, "finished"), (1,): (4, "finished")}
    full = interp.over_steps("loss", interp.open_run(sweep)).test_loss.values
    for member in sweep.glob("seed=*"):
        shutil.rmtree(member)
    with pytest.raises(InterpError, match="has no weights here, and what ships is there; --again trains anew"):
        command.main(Path("analysis.yaml"), jobs=1, ship=True)
    command.main(Path("analysis.yaml"), jobs=1, again=True)
    assert "From the results that ship" not in capsys.readouterr().out
    again = interp.open_run(sweep)
    assert again.shipped is None
    np.testing.assert_array_equal(interp.over_steps("loss", again).test_loss.values, full)


def ship_of(members: tuple[tuple[int, str], ...], sweep: Path, shipped_once: Path) -> dict[str, xr.Dataset]:
    """Ship what is measured where these members alone are there; what lies in the files."""
    for member in sweep.glob("seed=*"):
        shutil.rmtree(member)
    for seed, decay in members:
        name = f"seed={seed},weight_decay={decay}"
        shutil.copytree(shipped_once / "checkpoints" / "many" / name, sweep / name)
    shutil.rmtree("reports", ignore_errors=True)
    command.main(Path("analysis.yaml"), jobs=1, ship=True)
    return {label: xr.load_dataset(sweep / "results" / f"{label}.nc", engine="h5netcdf") for label in MEASURES}


@pytest.mark.slow
def test_a_sweep_that_is_trained_in_parts_ships_as_if_it_had_been_trained_at_once(
    there: Path, shipped_once: Path, monkeypatch, capsys
):
    monkeypatch.setattr(shipping, "MOST_STEPS", 3)
    monkeypatch.setattr("interp.train.minutes_to_train", lambda _: 125.4)
    at_once = {label: xr.load_dataset(there / "results" / f"{label}.nc", engine="h5netcdf") for label in MEASURES}
    shutil.rmtree(there / "results")
    ship_of(((0, "0.1"), (1, "0.1")), there, shipped_once)
    in_parts = ship_of(((0, "1"),), there, shipped_once)
    assert "left out" not in capsys.readouterr().out
    for label in MEASURES:
        xr.testing.assert_identical(in_parts[label].drop_vars(MADE_FROM), at_once[label].drop_vars(MADE_FROM))
    ends = shipping.MadeFrom.unpacked(in_parts["loss"][MADE_FROM].values.tobytes()).trained.ends
    assert ends == shipping.MadeFrom.unpacked(at_once["loss"][MADE_FROM].values.tobytes()).trained.ends


@pytest.mark.slow
def test_parts_that_other_code_made_are_left_out_and_told(there: Path, shipped_once: Path, monkeypatch, capsys):
    monkeypatch.setattr("interp.train.minutes_to_train", lambda _: 125.4)
    monkeypatch.setattr(shipping, "MOST_STEPS", 3)
    made_otherwise(there / "results" / "loss.nc", code={"code measures/loss": "another"})
    alone = ship_of(((0, "1"),), there, shipped_once)
    assert "of 2 runs whose weights are not here what shipped before is left out, for other code" in (
        capsys.readouterr().out
    )
    known = alone["loss"].train_loss.notnull().any("step")
    assert known.values.tolist() == [[False, True], [False, False]]
