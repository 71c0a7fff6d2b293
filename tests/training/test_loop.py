"""A training stopped in any way and resumed gives the very weights of one that was never stopped."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.errors import AlreadyDoneError, InterpError
from interp.files.arrays import arrays_digest, read_about, read_arrays
from interp.files.checkpoint_blocks import INDEX, CheckpointBlocks
from interp.files.lock import locked
from interp.models.transformer import transformer
from interp.recipes.call import Call
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training.loop import STATE, train
from interp.training.progress import silent
from tests.training.plans import plan, small_mlp

pytestmark = pytest.mark.usefixtures("one_thread", "told_at_once")

ROOT = Path(__file__).parents[2]
KILLED_STEPS = 300


def train_tiny(folder: Path, steps: int = 40, every: int = 10, progress: Any = silent, **options: Any) -> None:
    train(folder, plan(steps=steps, save={"every": every}, **options), progress)


def digests(folder: Path) -> dict[int, str]:
    checkpoints = CheckpointBlocks(folder / "weights")
    return {step: arrays_digest(checkpoints.load(step)) for step in checkpoints.steps}


def stop_after(step: int) -> Any:
    """Ctrl-C, pressed as the progress is told at `step`; the update after it is the last."""

    def progress(at: int, *_: float) -> None:
        if at == step:
            signal.raise_signal(signal.SIGINT)

    return progress


def test_keeps_the_scheduled_steps_and_the_split(tmp_path: Path) -> None:
    train_tiny(tmp_path)
    assert CheckpointBlocks(tmp_path / "weights").steps == [0, 10, 20, 30, 40]
    split, _ = read_arrays(tmp_path / "weights" / "split.safetensors")
    np.testing.assert_array_equal(split["train"], modular_arithmetic(p=11).train)


def test_the_train_loss_falls_and_progress_tells_it(tmp_path: Path) -> None:
    told: list[tuple[float, ...]] = []
    train_tiny(tmp_path, steps=200, every=50, progress=lambda *values: told.append(values))
    assert [step for step, *_ in told] == [0, 50, 100, 150, 200]
    assert told[-1][1] < told[0][1] / 2


@pytest.mark.parametrize("batch_size", [None, 7])
def test_stopped_by_ctrl_c_and_resumed_is_bit_identical(tmp_path: Path, batch_size: int | None) -> None:
    train_tiny(tmp_path / "whole", batch_size=batch_size)
    for step in (0, 20):
        with pytest.raises(InterpError, match=f"stopped at step {step + (step == 0)} of 40; .* resumes"):
            train_tiny(tmp_path / "stopped", batch_size=batch_size, progress=stop_after(step))
    train_tiny(tmp_path / "stopped", batch_size=batch_size)
    assert digests(tmp_path / "stopped") == digests(tmp_path / "whole")


SMALL = {"d_model": 16, "n_heads": 2, "d_mlp": 32}
WIDER: dict[str, dict[str, Any]] = {
    "LayerNorm": {"norm": "layer", "row": "a op b ="},
    "Llama": {"norm": "rms", "gated": True, "act_fn": "silu", "positions": "rotary", "n_layers": 2, "biases": "none"},
    "grok": {"norm": "layer", "norm_position": "post", "positions": "sinusoidal", "row": "eos a op b =", "answers": 2},
    "GPT-2": {"norm": "layer", "act_fn": "gelu_tanh", "biases": "all", "n_layers": 2},
}


def wider(name: str) -> Any:
    return lambda task: transformer(task, **SMALL, **WIDER[name])


@pytest.mark.parametrize("name", ["LayerNorm", *(pytest.param(one, marks=pytest.mark.slow) for one in [*WIDER][1:])])
def test_with_norms_gates_and_other_positions_it_resumes_bit_for_bit_too(tmp_path: Path, name: str) -> None:
    train_tiny(tmp_path / "whole", network=wider(name))
    with pytest.raises(InterpError, match=r"stopped at step 20 of 40; .* resumes"):
        train_tiny(tmp_path / "stopped", network=wider(name), progress=stop_after(20))
    train_tiny(tmp_path / "stopped", network=wider(name))
    assert digests(tmp_path / "stopped") == digests(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDER)
def test_with_norms_gates_and_other_positions_the_training_pairs_are_learnt(tmp_path: Path, name: str) -> None:
    chosen = plan(wider(name), steps=150, save={"every": 150})
    optimiser = Call("optimisers", "adamw", {"lr": 1e-2, "weight_decay": 0.0})
    chosen = replace(chosen, training=replace(chosen.training, optimiser=optimiser))
    train(tmp_path, chosen, silent)
    arrays = CheckpointBlocks(tmp_path / "weights").load(150)
    weights = {key: torch.from_numpy(array) for key, array in arrays.items()}
    right = chosen.task.correct(chosen.architecture.outputs(weights, chosen.task.inputs))
    assert float(right[chosen.task.train].double().mean()) > 0.98


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    folder = tmp_path_factory.mktemp("never_killed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train_tiny(folder, KILLED_STEPS, every=2)
    torch.set_num_threads(threads)
    return digests(folder)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_killed_at_any_moment_and_resumed_is_bit_identical(
    tmp_path: Path, attempt: int, never_killed: dict[int, str]
) -> None:
    """The process runs this file. Where it was quicker than the kill, the comparison still holds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, __file__, str(tmp_path)], env=environment)
    while not (tmp_path / "weights" / INDEX).exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.4 * (attempt + 1)))
    process.send_signal(signal.SIGKILL)
    assert process.wait() in (-signal.SIGKILL, 0)
    try:
        train_tiny(tmp_path, KILLED_STEPS, every=2)
    except InterpError as error:
        assert "is finished" in str(error)  # noqa: PT017 (only where the kill came too late)
    assert digests(tmp_path) == never_killed


def test_a_second_training_is_told_who_holds_the_run(tmp_path: Path) -> None:
    with (
        locked(tmp_path, "training"),
        pytest.raises(InterpError, match=rf"in use by training \(process {os.getpid()}\)"),
    ):
        train_tiny(tmp_path)


def test_a_changed_recipe_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    with pytest.raises(InterpError, match="stopped"):
        train_tiny(tmp_path, recipe="lr: 1e-3", progress=stop_after(20))
    before = digests(tmp_path), (tmp_path / STATE).read_bytes()
    with pytest.raises(InterpError, match=r"another recipe; restore .* or train .* another folder, or delete"):
        train_tiny(tmp_path, recipe="lr: 1e-2")
    assert (digests(tmp_path), (tmp_path / STATE).read_bytes()) == before


def test_a_finished_run_says_so(tmp_path: Path) -> None:
    train_tiny(tmp_path)
    before = digests(tmp_path)
    with pytest.raises(InterpError, match="is finished: it has all its 40 steps"):
        train_tiny(tmp_path)
    assert digests(tmp_path) == before


def test_weights_without_a_state_are_not_overwritten(tmp_path: Path) -> None:
    train_tiny(tmp_path)
    (tmp_path / STATE).unlink()
    before = digests(tmp_path)
    with pytest.raises(InterpError, match="is finished: it has every checkpoint"):
        train_tiny(tmp_path)
    with pytest.raises(InterpError, match="to resume from"):
        train_tiny(tmp_path, steps=80)
    assert digests(tmp_path) == before


def test_another_network_than_the_stored_is_refused(tmp_path: Path) -> None:
    train_tiny(tmp_path)
    with pytest.raises(InterpError, match="other names or shapes"):
        train(tmp_path, plan(small_mlp, steps=80))


def test_another_number_of_threads_is_set_back_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InterpError, match="stopped"):
        train_tiny(tmp_path, progress=stop_after(20))
    monkeypatch.setattr("interp.machine.process.WORTH_A_THREAD", 0)
    monkeypatch.setattr("interp.machine.process.cores", lambda: 2)
    torch.set_num_threads(2)
    with pytest.warns(UserWarning, match="training with 1 threads, as this run was begun, not 2"):
        train_tiny(tmp_path)
    assert torch.get_num_threads() == 2  # the caller's own
    assert read_about(tmp_path / STATE)["threads"] == 1


@pytest.mark.parametrize("of_the_caller", [1, 2])
def test_the_size_decides_on_the_number_of_threads_and_not_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_the_caller: int
) -> None:
    monkeypatch.setattr("interp.machine.process.cores", lambda: 2)
    torch.set_num_threads(of_the_caller)
    train_tiny(tmp_path / "small", steps=1)
    monkeypatch.setattr("interp.machine.process.WORTH_A_THREAD", 0)
    train_tiny(tmp_path / "large", steps=1)
    assert [read_about(tmp_path / name / STATE)["threads"] for name in ("small", "large")] == [1, 2]


def test_a_loss_that_is_not_finite_ends_it_for_good_and_what_is_saved_is_kept(tmp_path: Path) -> None:
    outcome = train(tmp_path, plan(save={"every": 1}, lr=1e30))
    kept = CheckpointBlocks(tmp_path / "weights").steps
    assert (outcome.end, kept) == ("diverged", list(range(outcome.step + 1)))
    before = digests(tmp_path)
    with pytest.raises(AlreadyDoneError, match=rf"its loss was not finite at step {outcome.step}; .* smaller"):
        train(tmp_path, plan(save={"every": 1}, lr=1e30))
    assert digests(tmp_path) == before


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    task = modular_arithmetic(p=11, split="unknown")
    with pytest.raises(InterpError, match="split is unknown"):
        train(tmp_path, plan(task=task))


def test_a_clock_that_jumps_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_tiny(tmp_path / "steady")
    back = itertools.count(10**9, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(back)))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(back)))
    told: list[float] = []
    folder = tmp_path / "jumping"
    with pytest.raises(InterpError, match="stopped"):
        train_tiny(folder, progress=stop_after(0))
    for number, path in enumerate(sorted(folder.rglob("*.*"))):
        os.utime(path, (10**9 - number, 2 * 10**9 - number))
    train_tiny(folder, progress=lambda *values: told.append(values[3]))
    assert digests(folder) == digests(tmp_path / "steady")
    assert min(told) >= 0


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    train_tiny(Path(sys.argv[1]), KILLED_STEPS, every=2)
