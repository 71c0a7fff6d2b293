"""over_steps: each checkpoint visited once, finished work kept, the same files whatever happened on the way."""

from __future__ import annotations

import hashlib
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
import torch
import xarray as xr

import interp
from interp.checkpoints import Run
from interp.errors import InterpError

MEASURES = ["loss", "weight_norm", "embedding_dft", {"embedding_circle": {"count": 2}}, "key_freqs"]
ROOT = Path(interp.__file__).parent.parent


def drifting_weights(run: Run, step: int) -> dict[str, np.ndarray]:
    """Weights of the right shapes that change with the step."""
    generator = np.random.default_rng(step)
    return {name: generator.normal(size=shape).astype("f4") for name, shape in run.architecture.shapes.items()}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of 24 checkpoints over four blocks of steps."""
    return write_run(tmp_path / "run", range(0, 3600, 150))


def write_run(folder: Path, steps: range, d_model: int = 8, d_mlp: int = 16) -> Path:
    from interp.storage import Checkpoints

    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text(
        "task: {modular_arithmetic: {p: 7}}\n"
        f"model: {{transformer: {{d_model: {d_model}, n_heads: 2, d_mlp: {d_mlp}}}}}\n"
    )
    run = interp.open_run(folder)
    store = Checkpoints(folder / "weights")
    for step in steps:
        store.save(step, drifting_weights(run, step))
    return folder


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob("*.nc"))}


def analyse(folder: Path, keep: Path, jobs: int = 1, package: Path = ROOT) -> subprocess.Popen:
    """over_steps in a process of its own, with the `interp` below `package`."""
    code = (
        "import interp\n"
        "if __name__ == '__main__':\n"
        f"    interp.over_steps({MEASURES!r}, interp.open_run({str(folder)!r}), keep={str(keep)!r}, jobs={jobs})\n"
    )
    script = keep.parent / "analyse.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(package)}
    return subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)


def test_one_measure_gives_a_dataset_with_axes_labels_and_captions(run_folder: Path):
    result = interp.over_steps("embedding_dft", interp.open_run(run_folder))
    assert isinstance(result, xr.Dataset)
    assert result.power.dims == ("step", "freq")
    assert result.step.values.tolist() == list(range(0, 3600, 150))
    assert result.freq.values.tolist() == [0, 1, 2, 3]
    assert result.basis.values.tolist() == ["1", "cos 1", "sin 1", "cos 2", "sin 2", "cos 3", "sin 3"]
    assert result.power.attrs["long_name"].startswith("Share of ‖W_E‖² at each frequency")
    assert result.attrs["measure"] == "embedding_dft"
    assert "Nanda" in result.attrs["paper"]
    assert interp.over_steps("loss", interp.open_run(run_folder)).train_loss.attrs["units"] == "nats"


def test_several_measures_give_a_tree_with_a_node_each(run_folder: Path):
    tree = interp.over_steps(
        ["loss", {"own": {"measure": "embedding_circle", "freqs": [3]}}], interp.open_run(run_folder)
    )
    assert set(tree.children) == {"loss", "own"}
    assert tree.own.x.dims == ("step", "freq", "token")
    assert tree.own.freq.values.tolist() == [3]


def test_the_results_are_the_measures_own_answers(run_folder: Path):
    run = interp.open_run(run_folder)
    tree = interp.over_steps(["loss", "weight_norm"], run)
    for step in (0, 1500, 3450):
        weights = drifting_weights(run, step)
        expected = np.sqrt(sum((array.astype("f8") ** 2).sum() for array in weights.values()))
        assert float(tree.weight_norm.total.sel(step=step)) == pytest.approx(expected, rel=1e-12)
        assert float(tree.loss.all_loss.sel(step=step)) == float(run[step].measure("loss").all_loss)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([300, 0], [0, 300]),
        ({"every": 1000}, [0, 3000, 3450]),
        ({"count": 3}, [0, 1800, 3450]),
    ],
)
def test_steps_chooses_checkpoints(run_folder: Path, steps: object, expected: list[int]):
    result = interp.over_steps("weight_norm", interp.open_run(run_folder), steps=steps)
    assert result.step.values.tolist() == expected


def test_a_step_that_is_not_there_names_the_nearest(run_folder: Path):
    with pytest.raises(InterpError, match="no checkpoint at step 200; the nearest are 150 and 300"):
        interp.over_steps("loss", interp.open_run(run_folder), steps=[200])


def test_all_mistakes_in_measures_are_told_at_once(run_folder: Path):
    with pytest.raises(InterpError) as error:
        interp.over_steps(["los", {"embedding_circle": {"cuont": 3}}], interp.open_run(run_folder))
    assert "did you mean 'loss'?" in str(error.value)
    assert "did you mean 'count'?" in str(error.value)


def test_each_checkpoint_is_visited_once_and_its_forward_pass_shared(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    run = interp.open_run(run_folder)
    loads, passes = [], []
    load, forward = run._load, type(run.architecture).last_position
    monkeypatch.setattr(run, "_load", lambda step: loads.append(step) or load(step))
    monkeypatch.setattr(type(run.architecture), "last_position", lambda *given: passes.append(1) or forward(*given))
    interp.over_steps(["loss", "key_freqs", "weight_norm"], run)
    assert len(passes) == len(run.steps)
    assert max(loads.count(step) for step in run.steps) <= 2  # its digest, its weights


def test_nothing_is_written_unless_asked(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    interp.over_steps(["loss"], interp.open_run(run_folder))
    assert sorted(tmp_path.rglob("*")) == before


def test_one_job_two_jobs_and_killed_and_resumed_give_equal_files(run_folder: Path, tmp_path: Path):
    assert analyse(run_folder, tmp_path / "one").wait() == 0
    assert analyse(run_folder, tmp_path / "two", jobs=2).wait() == 0
    expected = hashes(tmp_path / "one")
    assert len(expected) == len(MEASURES)
    assert hashes(tmp_path / "two") == expected
    killed = tmp_path / "killed"
    moments = random.Random(time.time_ns())
    for jobs in (1, 2):
        process = analyse(run_folder, killed, jobs)
        parts = moments.randrange(1, 60)
        while process.poll() is None and len(list(killed.rglob("*.safetensors"))) < parts:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finished = {path: path.stat().st_mtime_ns for path in killed.rglob("*.safetensors")}
    assert analyse(run_folder, killed, jobs=1).wait() == 0
    assert hashes(killed) == expected, f"parts at the kill: {len(finished)}"
    assert not (killed / ".parts").exists()


def test_finished_rows_are_not_computed_again(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from interp import results

    run = interp.open_run(run_folder)
    computed: list[int] = []
    row = results._row

    def counted(run: Run, subject, *rest):
        computed.append(subject.step)
        if len(computed) == 10:
            raise KeyboardInterrupt
        return row(run, subject, *rest)

    monkeypatch.setattr(results, "_row", counted)
    with pytest.raises(KeyboardInterrupt):
        interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept")
    tree = interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept")
    assert sorted(computed) == sorted([*run.steps, run.steps[9]])
    assert tree.weight_norm.sizes["step"] == len(run.steps)
    computed.clear()
    interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept")
    assert computed == []


def test_an_added_checkpoint_is_computed_alone(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from interp import results, storage

    run = interp.open_run(run_folder)
    interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept")
    storage.Checkpoints(run_folder / "weights").save(3600, drifting_weights(run, 3600))
    computed: list[int] = []
    row = results._row
    monkeypatch.setattr(
        results, "_row", lambda run, subject, *rest: computed.append(subject.step) or row(run, subject, *rest)
    )
    tree = interp.over_steps(["weight_norm"], interp.open_run(run_folder), keep=tmp_path / "kept")
    assert computed == [3600]
    assert tree.weight_norm.step.values.tolist()[-1] == 3600


def test_a_result_that_read_the_final_checkpoint_follows_it(run_folder: Path, tmp_path: Path):
    from interp import storage

    run = interp.open_run(run_folder)
    measures = {"embedding_circle": {"count": 1}}
    interp.over_steps(measures, run, keep=tmp_path / "kept")
    weights = drifting_weights(run, 3600)
    wave = np.cos(2 * np.pi * 2 * np.arange(8) / 7)
    weights["embed.W_E"] = np.outer(wave, np.ones(8)).astype("f4")
    storage.Checkpoints(run_folder / "weights").save(3600, weights)
    tree = interp.over_steps(measures, interp.open_run(run_folder), keep=tmp_path / "kept")
    assert tree.embedding_circle.freq.values.tolist() == [2]


def test_changed_options_are_computed_again(run_folder: Path, tmp_path: Path):
    run = interp.open_run(run_folder)
    for freq in (1, 3):
        tree = interp.over_steps({"embedding_circle": {"freqs": [freq]}}, run, keep=tmp_path / "kept")
        assert tree.embedding_circle.freq.values.tolist() == [freq]
        tree.close()


def test_a_changed_recipe_is_computed_again(run_folder: Path, tmp_path: Path):
    before = interp.over_steps(["loss"], interp.open_run(run_folder), keep=tmp_path / "kept").loss.all_loss.values
    recipe = run_folder / "run.yaml"
    recipe.write_text(recipe.read_text().replace("p: 7", "p: 7, operation: x-y"))
    after = interp.over_steps(["loss"], interp.open_run(run_folder), keep=tmp_path / "kept").loss.all_loss.values
    assert not np.allclose(before, after)


def test_a_changed_file_recomputes_exactly_what_depends_on_it(run_folder: Path, tmp_path: Path):
    package = tmp_path / "package"
    shutil.copytree(ROOT / "interp", package / "interp", ignore=shutil.ignore_patterns("__pycache__"))
    keep = tmp_path / "kept"
    assert analyse(run_folder, keep, package=package).wait() == 0
    written = {file.stem: file.stat().st_mtime_ns for file in keep.glob("*.nc")}
    with open(package / "interp" / "maths" / "concentration.py", "a") as file:
        file.write("# another opinion on concentration\n")
    assert analyse(run_folder, keep, package=package).wait() == 0
    changed = {file.stem for file in keep.glob("*.nc") if file.stat().st_mtime_ns != written[file.stem]}
    assert changed == {"embedding_dft", "embedding_circle"}  # the one imports it, the other asks for the one


def test_weights_that_are_not_finite_give_nan_masks_false_and_a_warning(run_folder: Path):
    from interp import storage

    run = interp.open_run(run_folder)
    weights = drifting_weights(run, 9000)
    weights["embed.W_E"][0, 0] = np.nan
    storage.Checkpoints(run_folder / "weights").save(9000, weights)
    with pytest.warns(UserWarning, match="the weights at step 9,000 are not finite"):
        tree = interp.over_steps(["loss", "key_freqs"], interp.open_run(run_folder))
    assert np.isnan(tree.loss.test_loss.sel(step=9000))
    assert not tree.key_freqs.key.sel(step=9000).any()
    assert tree.loss.test_loss.drop_sel(step=9000).notnull().all()


def test_a_folder_in_use_says_by_whom(run_folder: Path, tmp_path: Path):
    from interp import storage

    with storage.locked(tmp_path / "kept", "an analysis"), pytest.raises(InterpError, match=f"process {os.getpid()}"):
        interp.over_steps(["loss"], interp.open_run(run_folder), keep=tmp_path / "kept")


def test_the_callers_thread_count_is_left_as_it_was(run_folder: Path):
    threads = torch.get_num_threads()
    interp.over_steps("weight_norm", interp.open_run(run_folder), steps=[0])
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_checkpoints(tmp_path: Path):
    def peak(checkpoints: int) -> int:
        folder = write_run(tmp_path / f"run{checkpoints}", range(checkpoints), d_model=128, d_mlp=1024)
        code = (
            "import interp, re\n"
            f"run = interp.open_run({str(folder)!r})\n"
            f"interp.over_steps(['weight_norm', 'embedding_dft'], run, keep={str(folder / 'kept')!r})\n"
            "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        )
        return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    few, many = peak(20), peak(200)
    assert many - few < 30_000  # KiB; 180 more checkpoints hold 240 MB of weights


def test_a_measure_may_choose_its_own_steps(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    from interp.measures import weight_norm

    monkeypatch.setattr(weight_norm, "steps", lambda run: run.steps[:3], raising=False)
    run = interp.open_run(run_folder)
    tree = interp.over_steps(["weight_norm", "loss"], run, steps=[0, 150, 3450])
    assert tree.weight_norm.step.values.tolist() == [0, 150]
    assert tree.loss.step.values.tolist() == [0, 150, 3450]
    again = interp.over_steps([{"weight_norm": {"steps": "all"}}], run, steps=[0])
    assert again.weight_norm.sizes["step"] == len(run.steps)
