"""over_steps: each checkpoint visited once, finished work kept, the same files whatever happened on the way."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import interp
from interp.checkpoints import Run
from interp.errors import InterpError
from interp.recipes.analysis_recipe import Analysis
from interp.recipes.asks import asks
from tests.cheap_options import CHEAP
from tests.processes import python

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
    from interp.files.checkpoint_blocks import CheckpointBlocks

    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text(
        "task: {modular_arithmetic: {p: 7}}\n"
        f"model: {{transformer: {{d_model: {d_model}, n_heads: 2, d_mlp: {d_mlp}}}}}\n"
    )
    run = interp.open_run(folder)
    store = CheckpointBlocks(folder / "weights")
    for step in steps:
        store.save(step, drifting_weights(run, step))
    return folder


def with_weights(run: Run, **changes: object) -> Run:
    """The run with its weights read another way."""
    return dataclasses.replace(run, weights=dataclasses.replace(run.weights, **changes), _readable=None)


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
    losses = interp.over_steps(["loss", "restricted_loss"], interp.open_run(run_folder), steps=[0])
    assert losses.restricted_loss.all_loss.attrs["units"] == "nats"
    assert losses.loss.loss_units.values.tolist() == ["nats"]  # those of the loss the run was trained with


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


@pytest.mark.slow
def test_each_checkpoint_is_visited_once_and_its_forward_pass_shared(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    run = interp.open_run(run_folder)
    loads, passes = [], []
    load, forward = run.weights.load, type(run.architecture).activations
    run = with_weights(run, load=lambda step: loads.append(step) or load(step))
    monkeypatch.setattr(type(run.architecture), "activations", lambda *given: passes.append(1) or forward(*given))
    interp.over_steps(["loss", "key_freqs", "weight_norm"], run)
    assert len(passes) == len(run.steps)
    assert max(loads.count(step) for step in run.steps) <= 2  # its digest, its weights


def test_nothing_is_written_unless_asked(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    interp.over_steps(["loss"], interp.open_run(run_folder))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
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
    from interp.results import visit

    run = interp.open_run(run_folder)
    computed: list[int] = []
    row = visit.compute_row

    def counted(run: Run, subject, *rest):
        computed.append(subject.step)
        if len(computed) == 10:
            raise KeyboardInterrupt
        return row(run, subject, *rest)

    monkeypatch.setattr(visit, "compute_row", counted)
    with pytest.raises(KeyboardInterrupt):
        interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept")
    tree = interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept")
    assert sorted(computed) == sorted([*run.steps, run.steps[9]])
    assert tree.weight_norm.sizes["step"] == len(run.steps)
    computed.clear()
    interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept")
    assert computed == []


def test_an_added_checkpoint_is_computed_alone(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from interp.files.checkpoint_blocks import CheckpointBlocks
    from interp.results import visit

    run = interp.open_run(run_folder)
    interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept")
    CheckpointBlocks(run_folder / "weights").save(3600, drifting_weights(run, 3600))
    computed: list[int] = []
    row = visit.compute_row
    monkeypatch.setattr(
        visit, "compute_row", lambda run, subject, *rest: computed.append(subject.step) or row(run, subject, *rest)
    )
    tree = interp.over_steps(["weight_norm"], interp.open_run(run_folder), keep=tmp_path / "kept")
    assert computed == [3600]
    assert tree.weight_norm.step.values.tolist()[-1] == 3600


def test_a_result_that_read_the_final_checkpoint_follows_it(run_folder: Path, tmp_path: Path):
    from interp.files.checkpoint_blocks import CheckpointBlocks

    run = interp.open_run(run_folder)
    measures = {"embedding_circle": {"count": 1}}
    interp.over_steps(measures, run, keep=tmp_path / "kept")
    weights = drifting_weights(run, 3600)
    wave = np.cos(2 * np.pi * 2 * np.arange(8) / 7)
    weights["embed.W_E"] = np.outer(wave, np.ones(8)).astype("f4")
    CheckpointBlocks(run_folder / "weights").save(3600, weights)
    tree = interp.over_steps(measures, interp.open_run(run_folder), keep=tmp_path / "kept")
    assert tree.embedding_circle.freq.values.tolist() == [2]


def test_changed_options_are_computed_again(run_folder: Path, tmp_path: Path):
    run = interp.open_run(run_folder)
    for freq in (1, 3):
        tree = interp.over_steps({"embedding_circle": {"freqs": [freq]}}, run, keep=tmp_path / "kept")
        assert tree.embedding_circle.freq.values.tolist() == [freq]
        tree.close()


def test_a_label_that_means_another_measure_is_computed_again(run_folder: Path, tmp_path: Path):
    """Their arrays have the same names and axes."""
    run = interp.open_run(run_folder)
    losses = {}
    for measure in ("restricted_loss", "excluded_loss"):
        tree = interp.over_steps({"ablated": {"measure": measure}}, run, [0], keep=tmp_path / "kept")
        losses[measure] = tree.ablated.train_loss.item()
        assert losses[measure] == float(run[0].measure(measure).train_loss)
        tree.close()
    assert losses["restricted_loss"] != losses["excluded_loss"]


OF_ANOTHER = '''
from dataclasses import dataclass

@dataclass(frozen=True)
class Answer:
    value: float
    """A number"""

def of_another(checkpoint, scale: float = 2.0) -> Answer:
    """The radius of one circle, times the scale."""
    result = checkpoint.run.measure("embedding_circle", count=1)
    return Answer(scale * float(result.x.sel(step=checkpoint.step).max()))
'''


def test_a_measure_may_ask_for_another_over_the_run(install, run_folder: Path, tmp_path: Path):
    """What the other was asked with is not what it was asked with itself."""
    install("elsewhere_of_another", {"of_another": OF_ANOTHER})
    with interp.over_steps("of_another", interp.open_run(run_folder), [0, 150], keep=tmp_path / "kept") as result:
        assert (result.value > 0).all()


CHANGING = '''
from dataclasses import dataclass
from jaxtyping import Float
import torch
from torch import Tensor

@dataclass(frozen=True)
class Answer:
    value: {annotation}
    """A number"""

def changing(checkpoint) -> Answer:
    """Of another kind at the first step."""
    return Answer({first} if checkpoint.step == 0 else {then})
'''


@pytest.mark.parametrize(
    ("annotation", "first", "then", "stored"),
    [("float", "1", "0.5", [1, 0.5]), ('Float[Tensor, ""]', "True", "torch.tensor(0.5)", [1, 0.5])],
)
def test_a_whole_number_at_the_first_step_does_not_make_the_others_whole(
    install, run_folder: Path, annotation: str, first: str, then: str, stored: list[float]
):
    install("elsewhere_changing", {"changing": CHANGING.format(annotation=annotation, first=first, then=then)})
    assert interp.over_steps("changing", interp.open_run(run_folder), [0, 150]).value.values.tolist() == stored


@pytest.mark.parametrize(
    ("annotation", "first", "then", "told"),
    [
        ('Float[Tensor, " n"]', "torch.zeros(2)", "torch.zeros(3)", r"float32 \[2\] at one step and float32 \[3\]"),
        ('Float[Tensor, ""]', "torch.zeros(())", "torch.zeros(()).double()", r"float32 \[\] at one .* float64 \[\]"),
    ],
)
def test_arrays_that_differ_between_steps_are_told_in_one_line(
    install, run_folder: Path, annotation: str, first: str, then: str, told: str
):
    install("elsewhere_changing", {"changing": CHANGING.format(annotation=annotation, first=first, then=then)})
    with pytest.raises(InterpError, match=f"measure changing: value is {told} at another; it should be the same"):
        interp.over_steps("changing", interp.open_run(run_folder), [0, 150])


@pytest.mark.slow
def test_a_changed_recipe_is_computed_again(run_folder: Path, tmp_path: Path):
    before = interp.over_steps(["loss"], interp.open_run(run_folder), keep=tmp_path / "kept").loss.all_loss.values
    recipe = run_folder / "run.yaml"
    recipe.write_text(recipe.read_text().replace("p: 7", "p: 7, operation: x-y"))
    after = interp.over_steps(["loss"], interp.open_run(run_folder), keep=tmp_path / "kept").loss.all_loss.values
    assert not np.allclose(before, after)


@pytest.mark.slow
def test_a_changed_file_recomputes_exactly_what_depends_on_it(run_folder: Path, tmp_path: Path):
    package = tmp_path / "package"
    shutil.copytree(ROOT / "interp", package / "interp", ignore=shutil.ignore_patterns("__pycache__"))
    keep = tmp_path / "kept"
    assert analyse(run_folder, keep, package=package).wait() == 0
    written = {file.stem: file.stat().st_mtime_ns for file in keep.glob("*.nc")}
    file = package / "interp" / "maths" / "concentration.py"
    file.write_text(file.read_text().replace("return ", "return 1.0 * "))
    assert analyse(run_folder, keep, package=package).wait() == 0
    changed = {file.stem for file in keep.glob("*.nc") if file.stat().st_mtime_ns != written[file.stem]}
    assert changed == {"embedding_dft", "embedding_circle"}  # the one imports it, the other asks for the one


@pytest.mark.slow
def test_weights_that_are_not_finite_give_nan_masks_false_and_a_warning(run_folder: Path):
    from interp.files.checkpoint_blocks import CheckpointBlocks

    run = interp.open_run(run_folder)
    weights = drifting_weights(run, 9000)
    weights["embed.W_E"][0, 0] = np.nan
    CheckpointBlocks(run_folder / "weights").save(9000, weights)
    with pytest.warns(UserWarning, match="the weights at step 9,000 are not finite"):
        tree = interp.over_steps(["loss", "key_freqs"], interp.open_run(run_folder))
    assert np.isnan(tree.loss.test_loss.sel(step=9000))
    assert not tree.key_freqs.key.sel(step=9000).any()
    assert tree.loss.test_loss.drop_sel(step=9000).notnull().all()


def test_a_folder_in_use_says_by_whom(run_folder: Path, tmp_path: Path):
    from interp.files.lock import locked

    with locked(tmp_path / "kept", "an analysis"), pytest.raises(InterpError, match=f"process {os.getpid()}"):
        interp.over_steps(["loss"], interp.open_run(run_folder), keep=tmp_path / "kept")


def test_the_callers_thread_count_is_left_as_it_was(run_folder: Path):
    threads = torch.get_num_threads()
    interp.over_steps("weight_norm", interp.open_run(run_folder), steps=[0])
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_checkpoints(tmp_path: Path):
    def peak(checkpoints: int) -> int:
        folder = write_run(tmp_path / f"run{checkpoints}", range(checkpoints), d_model=128, d_mlp=1024)
        code = (
            "import interp, re\n"
            f"run = interp.open_run({str(folder)!r})\n"
            f"interp.over_steps(['weight_norm', 'embedding_dft'], run, keep={str(folder / 'kept')!r})\n"
            "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        )
        return int(python(["-c", code], ROOT).stdout)

    few, many = peak(20), peak(200)
    assert many - few < 30_000  # KiB; 180 more checkpoints hold 240 MB of weights


def test_a_measure_may_choose_its_own_steps(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    from interp.measures import weight_norm

    monkeypatch.setattr(weight_norm, "steps", lambda run: run.steps[:3], raising=False)
    run = interp.open_run(run_folder)
    tree = interp.over_steps(["weight_norm", "loss"], run)
    assert tree.weight_norm.step.values.tolist() == run.steps[:3]
    assert tree.loss.step.values.tolist() == run.steps
    listed = interp.over_steps("weight_norm", run, steps=[0, 150, 3450])
    assert listed.step.values.tolist() == [0, 150, 3450]  # which are meant
    monkeypatch.setattr(weight_norm, "steps", lambda run: run.steps[:0], raising=False)
    assert interp.over_steps("weight_norm", run).step.values.tolist() == run.steps[-1:]
    again = interp.over_steps([{"weight_norm": {"steps": "all"}}], run, steps=[0])
    assert again.weight_norm.sizes["step"] == len(run.steps)


@pytest.mark.slow
def test_a_path_is_not_a_run_yet():
    """In a process whose types are not checked while it runs, as these tests' are."""
    code = "import interp; interp.over_steps('loss', 'checkpoints/x')"
    done = python(["-c", code], ROOT)
    assert "open it first: interp.open_run('checkpoints/x')" in done.stderr


# What cannot be read, what is replaced, what is not finite.


def rows_computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps whose rows are computed from here on, as they come."""
    from interp.results import visit

    computed: list[int] = []
    row = visit.compute_row
    monkeypatch.setattr(
        visit, "compute_row", lambda run, subject, *rest: computed.append(subject.step) or row(run, subject, *rest)
    )
    return computed


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


DAMAGE = {
    "cut short": cut_short,
    "is empty": lambda path: path.write_bytes(b""),
    "git-lfs pointer": lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    "not a whole safetensors file": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(500)),
    "is missing": lambda path: path.unlink(),
    "other checkpoints than the index says": lambda path: shutil.copy(
        path.with_name("step-000000000.safetensors"), path
    ),
    "cannot be read": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize(
    "reason", ["cut short", *(pytest.param(each, marks=pytest.mark.slow) for each in DAMAGE if each != "cut short")]
)
def test_a_checkpoint_that_cannot_be_read_is_left_out_with_one_warning(
    run_folder: Path, tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
):
    keep = tmp_path / "kept"
    measures = ["weight_norm", "embedding_circle"]
    whole = interp.over_steps(measures, interp.open_run(run_folder), keep=keep)
    whole.close()
    written = hashes(keep)
    path = run_folder / "weights" / "step-000000300.safetensors"
    content = path.read_bytes()
    DAMAGE[reason](path)
    run = interp.open_run(run_folder)
    computed = rows_computed(monkeypatch)
    with pytest.warns(UserWarning, match="left out") as warned:
        tree = interp.over_steps(measures, run, keep=keep)
    (warning,) = [str(one.message) for one in warned]
    assert all(part in warning for part in ("step 300 left out", reason, path.name))
    assert computed == []
    assert tree.weight_norm.step.values.tolist() == [step for step in range(0, 3600, 150) if step != 300]
    tree.close()
    assert 300 not in run.steps
    assert 300 not in [checkpoint.step for checkpoint in run]
    with pytest.raises(InterpError, match=reason):
        run[300]
    path.rmdir() if path.is_dir() else None
    path.write_bytes(content)
    interp.over_steps(measures, run.refreshed(), keep=keep).close()
    assert computed == [300, 300]
    assert hashes(keep) == written


def test_the_last_and_the_first_checkpoint_are_those_that_can_be_read(run_folder: Path):
    for step in (0, 3450):
        cut_short(run_folder / "weights" / f"step-{step:09d}.safetensors")
    run = interp.open_run(run_folder)
    with pytest.warns(UserWarning, match="left out"):
        assert (run.first.step, run.final.step) == (150, 3300)
    assert len(run) == 22


def test_a_block_that_cannot_be_read_is_one_warning(tmp_path: Path):
    folder = write_run(tmp_path / "run", range(52))
    (block,) = (folder / "weights").glob("steps-*.safetensors")
    cut_short(block)
    with pytest.warns(UserWarning, match="left out") as warned:
        result = interp.over_steps("weight_norm", interp.open_run(folder))
    assert [str(one.message).partition(" left out")[0] for one in warned] == ["run: 50 steps from 0 to 49"]
    assert result.step.values.tolist() == [50, 51]


@pytest.mark.slow
def test_workers_do_not_repeat_the_warning(run_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture):
    cut_short(run_folder / "weights" / "step-000000300.safetensors")
    with pytest.warns(UserWarning, match="left out") as warned:
        one = interp.over_steps(["weight_norm"], interp.open_run(run_folder), keep=tmp_path / "one")
    with pytest.warns(UserWarning, match="left out") as warned_by_two:
        two = interp.over_steps(["weight_norm"], interp.open_run(run_folder), keep=tmp_path / "two", jobs=2)
    one.close()
    two.close()
    assert [str(w.message) for w in warned] == [str(w.message) for w in warned_by_two]
    assert "left out" not in capfd.readouterr().err
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_a_run_without_one_readable_checkpoint_is_one_clear_error(run_folder: Path):
    for path in (run_folder / "weights").glob("*.safetensors"):
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    run = interp.open_run(run_folder)
    for ask in (
        lambda: run.steps,
        lambda: run.final,
        lambda: run.first,
        lambda: list(run),
        lambda: interp.over_steps("loss", run),
    ):
        with pytest.raises(InterpError, match=r"none of its 24 checkpoints can be read: .*git lfs pull"):
            ask()


def test_weights_of_another_shape_at_one_step_are_that_step_s_damage(run_folder: Path):
    from interp.files.checkpoint_blocks import CheckpointBlocks

    run = interp.open_run(run_folder)
    other = drifting_weights(run, 3600)
    other["embed.W_E"] = other["embed.W_E"][:, :5]
    CheckpointBlocks(run_folder / "weights").save(3600, other)
    with pytest.warns(UserWarning, match=r"step 3,600 left out: .*embed\.W_E has shape \(8, 5\)"):
        assert run.refreshed().steps[-1] == 3450


def test_what_only_loading_tells_is_left_out_too(run_folder: Path):
    run = interp.open_run(run_folder)
    load = run.weights.load

    def foreign(step: int) -> dict[str, np.ndarray]:
        if step in (150, 300):
            raise InterpError("their.pt is cut short")
        return load(step)

    run = with_weights(run, load=foreign, shapes=None)  # as of an importer
    with pytest.warns(UserWarning, match=r"steps 150 and 300 left out: their\.pt is cut short"):
        result = interp.over_steps("weight_norm", run)
    assert result.step.values.tolist() == [0, *range(450, 3600, 150)]


def analysis_of(measures: list[Any]) -> Analysis:
    return Analysis(Path("analyses/a.yaml"), "Title", "", (), "all", tuple(asks(measures)))


def test_the_report_says_what_was_left_out(run_folder: Path, tmp_path: Path):
    from interp.report import write

    cut_short(run_folder / "weights" / "step-000000300.safetensors")
    run = interp.open_run(run_folder)
    with pytest.warns(UserWarning, match="left out"):
        write.report(analysis_of(["loss"]), [run], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<strong>step 300 left out:</strong>" in page
    assert "step-000000300.safetensors is cut short" in page


@pytest.mark.parametrize("same_session", [True, False])
def test_a_replaced_checkpoint_is_computed_again_alone(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_session: bool
):
    run = interp.open_run(run_folder)
    before = interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept").weight_norm.total.load()
    assert float(run.measure("weight_norm").total.sel(step=300)) == float(before.sel(step=300))
    replace(run_folder, 300)
    computed = rows_computed(monkeypatch)
    run = run.refreshed() if same_session else interp.open_run(run_folder)
    after = interp.over_steps(["weight_norm"], run, keep=tmp_path / "kept").weight_norm.total
    assert computed == [300]
    assert (before != after).sum() == 1
    assert float(run.measure("weight_norm").total.sel(step=300)) == float(after.sel(step=300))


def replace(folder: Path, step: int) -> None:
    """Other weights in the place of those at `step`; the file's size and time stay."""
    from interp.files.arrays import write_arrays
    from interp.files.checkpoint_blocks import CheckpointBlocks

    path = folder / "weights" / f"step-{step:09d}.safetensors"
    times = path.stat()
    weights = CheckpointBlocks(folder / "weights").load(step)
    write_arrays(path, {name: array[None] * 2 for name, array in weights.items()}, [step], by_row=True)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_checkpoint_replaced_meanwhile_is_computed_again(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from interp.results import visit

    row = visit.compute_row

    def replacing(run: Run, subject, *rest):
        if subject.step == 1500 and not seen:
            seen.append(subject.step)
            replace(run_folder, 300)
        return row(run, subject, *rest)

    seen: list[int] = []
    monkeypatch.setattr(visit, "compute_row", replacing)
    meanwhile = interp.over_steps(["weight_norm"], interp.open_run(run_folder), keep=tmp_path / "kept")
    monkeypatch.undo()
    afterwards = interp.over_steps(["weight_norm"], interp.open_run(run_folder), keep=tmp_path / "anew")
    assert meanwhile.identical(afterwards)


def test_a_checkpoint_lost_meanwhile_is_left_out(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    from interp.results import visit

    row = visit.compute_row
    path = run_folder / "weights" / "step-000001650.safetensors"

    def losing(run: Run, subject, *rest):
        path.unlink(missing_ok=True)
        return row(run, subject, *rest)

    monkeypatch.setattr(visit, "compute_row", losing)
    with pytest.warns(UserWarning, match="step 1,650 left out"):
        result = interp.over_steps("weight_norm", interp.open_run(run_folder))
    assert 1650 not in result.step
    assert result.sizes["step"] == 23


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "value"), [((150,), -np.inf), ((0, 300), np.nan)], ids=str)
def test_a_report_survives_weights_that_are_not_finite(tmp_path: Path, bad: tuple, value: float):
    from interp.catalogue.names import known_names
    from interp.report import write
    from interp.report.plain_text import findings_text
    from interp.results import schema
    from interp.results.account import blank_steps

    folder = write_run(tmp_path / "run", range(0, 450, 150), d_model=16, d_mlp=32)
    for step in bad:
        spoil(folder, step, value)
    run = interp.open_run(folder)
    measures = [name for name in known_names("measures") if schema.subject(name) == "checkpoint"]
    cheap = [{name: CHEAP[name]} if name in CHEAP else name for name in measures]
    with pytest.warns(UserWarning, match="not finite") as warned:
        page = write.report(analysis_of(cheap), [run], tmp_path / "page.html", tmp_path / "kept")
    (warning,) = [str(one.message) for one in warned if "not finite" in str(one.message)]
    assert all(f"{step:,}" in warning for step in bad)
    assert "nan" not in findings_text(page)
    assert "****" not in findings_text(page)
    for measure in measures:
        with xr.open_dataset(tmp_path / "kept" / "run" / f"{measure}.nc") as result:
            if result.data_vars.keys() - {"_rows"}:  # some measures have nothing to say of such a network at any step
                assert result.step.values[blank_steps(result)].tolist() == list(bad), measure


def test_a_run_whose_weights_are_nowhere_finite_is_one_clear_line(run_folder: Path):
    for step in range(0, 3600, 150):
        spoil(run_folder, step, np.nan)
    with pytest.raises(InterpError, match="run: the weights are not finite numbers at any of the steps"):
        interp.over_steps("loss", interp.open_run(run_folder))


def test_of_several_runs_those_without_finite_weights_are_left_out(tmp_path: Path):
    from interp.report import write

    folders = [write_run(tmp_path / name, range(1)) for name in ("one", "blank", "other")]
    spoil(tmp_path / "blank", 0, np.nan)
    runs = [interp.open_run(folder) for folder in folders]
    with pytest.warns(UserWarning, match="blank: the weights are not finite .* it is left out"):
        page = write.report(analysis_of(["loss"]), runs, tmp_path / "page.html")
    assert [run.name for run in page.runs] == ["one", "other"]


def spoil(folder: Path, step: int, value: float) -> None:
    from interp.files.arrays import write_arrays
    from interp.files.checkpoint_blocks import CheckpointBlocks

    weights = {name: array[None] for name, array in CheckpointBlocks(folder / "weights").load(step).items()}
    weights["embed.W_E"][0, 0, 0] = value
    write_arrays(folder / "weights" / f"step-{step:09d}.safetensors", weights, [step], by_row=True)


# Where things lie, and what lies there.


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted(folder.rglob("*"))
    }


def test_a_run_s_folder_is_never_written_to(tmp_path: Path):
    folder = write_run(tmp_path / "ein Läuf mit – Leerzeichen" / "rün 1", range(0, 2000, 500))
    keep = tmp_path / "Ergebnisse, neu" / "hier ✓"
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(folder)
    run = interp.open_run(folder)
    found = interp.over_steps(MEASURES, run, keep=keep)
    assert found.loss.sizes["step"] == 4
    assert tree(folder) == before
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("time", [0, 4_000_000_000])
def test_the_times_of_files_change_nothing(
    run_folder: Path, tmp_path: Path, time: int, monkeypatch: pytest.MonkeyPatch
):
    keep = tmp_path / "kept"
    run = interp.open_run(run_folder)
    interp.over_steps(["weight_norm", "loss"], run, keep=keep).close()
    written = hashes(keep)
    for path in [*keep.rglob("*"), *run_folder.rglob("*")]:
        os.utime(path, (time, time))
    computed = rows_computed(monkeypatch)
    for again in (run, interp.open_run(run_folder)):
        interp.over_steps(["weight_norm", "loss"], again, keep=keep).close()
    assert computed == []
    assert hashes(keep) == written


def mangled_results(path: Path, other: Path, moments: random.Random) -> None:
    """Damage a kept result in one of many ways."""
    import h5py

    content = path.read_bytes()
    way = moments.randrange(10)
    if way < 4:
        path.write_bytes(content[: moments.randrange(len(content))])
    elif way == 4:
        path.write_bytes(moments.randbytes(moments.randrange(1, 2000)))
    elif way == 5:
        path.write_bytes(other.read_bytes())
    elif way == 6:
        place = moments.randrange(min(len(content), 600))
        path.write_bytes(content[:place] + moments.randbytes(8) + content[place + 8 :])
    elif path.suffix == ".nc":
        with h5py.File(path, "r+") as file:
            name = moments.choice(sorted(file))
            if way == 7:
                del file[name]
            else:
                text = moments.choice(
                    ["[]", "{}", '{"notes": [], "rows": {"0": [3]}}', "null", '{"notes": 3, "rows": 4}']
                )
                del file["_rows"]
                file["_rows"] = np.frombuffer(text.encode(), np.uint8)
    else:
        from interp.files.arrays import read_arrays, write_arrays

        arrays, about = read_arrays(path)
        if way == 7:
            write_arrays(path, {}, about)
        else:
            about = moments.choice(
                [None, [], {"rows": 3}, {"rows": [{}]}, {"rows": [{"step": 0, "reads": {}}]}, about | {"texts": {}}]
            )
            write_arrays(path, {name: array[..., None] for name, array in arrays.items()}, about)


@pytest.mark.slow
def test_results_that_cannot_be_read_are_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_run(tmp_path / "run", range(0, 1000, 500))
    run = interp.open_run(folder)
    keep = tmp_path / "kept"
    measures = ["weight_norm", "embedding_dft"]
    interp.over_steps(measures, run, keep=keep).close()
    written, whole = hashes(keep), {path: path.read_bytes() for path in keep.glob("*.nc")}
    parts: dict[Path, bytes] = {}
    with monkeypatch.context() as patched:
        patched.setattr("interp.results.stored.Stored.merge", interrupt)
        for path in whole:
            path.unlink()
        with pytest.raises(KeyboardInterrupt):
            interp.over_steps(measures, run, keep=keep)
    parts = {path: path.read_bytes() for path in (keep / ".parts").rglob("*.safetensors")}
    assert len(parts) == 4
    moments = random.Random(7)
    for number in range(36):
        shutil.rmtree(keep)
        for path, content in (whole if number % 2 else parts).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        path, other = moments.sample(sorted(whole if number % 2 else parts), 2)
        mangled_results(path, other, moments)
        interp.over_steps(measures, run, keep=keep).close()
        assert hashes(keep) == written, f"variant {number}, {path.name}"


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
