"""Killed before or after any file operation, a training loses nothing and leaves nothing behind.

A process that imports torch once forks a child for every training; a child kills itself at its n-th operation. The
children's folders are compared with those of a training that was never killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
STEPS = 50
KEPT = {"every": 50, "dense": ["1:1:1", "5:15:10"]}
WINDOW = "10:14:2"


def train(folder: Path) -> None:
    from interp.training import loop

    loop.train(folder, _plan())


def add(folder: Path) -> None:
    from interp.training import again

    again.add(folder, _plan(), [WINDOW])


def stack(folder: Path) -> None:
    """Two members, the second of which diverges."""
    from dataclasses import replace

    from interp.recipes.call import Call
    from interp.training.loop import train_stack
    from interp.training.plan import PlannedRun

    good = _plan()
    wild = replace(good.training, optimiser=Call("optimisers", "adamw", {"lr": 1e30}), interventions=())
    outcomes = train_stack(
        [PlannedRun(folder / "good", good), PlannedRun(folder / "wild", replace(good, training=wild))]
    )
    assert [outcome.end for outcome in outcomes] == ["finished", "diverged"]


def _plan() -> Any:
    from tests.training.plans import plan, planted, small_mlp, walking_scale

    return plan(small_mlp, steps=STEPS, save=KEPT, interventions=planted(walking_scale))


def forked(work: Callable[[], None]) -> int:
    """The exit code of a child that does `work`, or the signal that killed it, negative."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    from interp.errors import AlreadyDoneError

    try:
        work()
        os._exit(0)
    except AlreadyDoneError:
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def killed_at(moment: int, work: Callable[[], None]) -> None:
    """Do `work` until a moment, counted from 0: a file is written but not renamed, or just renamed, or just removed.

    At any other moment the disk is as it was at one of these, but for a file that is written in part.
    """
    passed = 0

    def pass_by() -> None:
        nonlocal passed
        if passed == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    def then(operation: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> None:
            operation(*arguments, **options)
            pass_by()

        return wrapped

    os.fsync = then(lambda _: None)
    os.replace, os.unlink, os.rmdir = then(os.replace), then(os.unlink), then(os.rmdir)
    work()


def content(folder: Path) -> dict[str, str]:
    """Every file's path and digest; a lock tells a process number."""
    import hashlib

    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def every_moment(place: Path, work: Callable[[Path], None], prepared: Callable[[Path], None]) -> Iterator[str]:
    """What went wrong, for every moment at which `work` may be killed, and its resumption a little later too."""
    whole = place / "whole"
    prepared(whole)
    work(whole)  # here, so that what it imports is there for all children
    expected = content(whole)
    moment = 0
    while True:
        folder = place / str(moment)
        prepared(folder)
        first = forked(lambda moment=moment, folder=folder: killed_at(moment, lambda: work(folder)))
        second = forked(lambda moment=moment, folder=folder: killed_at(moment % 9, lambda: work(folder)))
        last = forked(lambda folder=folder: work(folder))
        codes = (first, second, last)
        if last or not {first, second} <= {0, -signal.SIGKILL} or content(folder) != expected:
            differing = dict(set(content(folder).items()) ^ set(expected.items()))
            yield f"killed at moment {moment}: exit codes {codes}, differing files {sorted(differing)}"
        if first == 0:
            break
        moment += 1
    print(json.dumps(moment))


@pytest.mark.parametrize("what", ["train", "stack", "add"])
def test_killed_at_every_file_operation_and_resumed_it_is_the_same_byte_for_byte(tmp_path: Path, what: str) -> None:
    """The run's steps, weights, blocks, index and state; no temporary or orphaned file among them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, __file__, str(tmp_path), what]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


if __name__ == "__main__":
    import shutil

    import torch

    from interp.files import checkpoint_blocks
    from interp.training.state import Training

    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    os.fsync = lambda _: None
    checkpoint_blocks.CHECKPOINTS_PER_BLOCK = 3
    Training.fresh(Path(sys.argv[1]), Path(sys.argv[1]), _plan())  # imports its modules, once for all children
    from interp.machine import process

    with process.deterministic():
        pass
    place, what = Path(sys.argv[1]), sys.argv[2]
    finished = place / "finished"
    if what != "add":
        problems = list(every_moment(place, {"train": train, "stack": stack}[what], lambda _: None))
    else:
        assert forked(lambda: train(finished)) == 0
        problems = list(every_moment(place, add, lambda folder: shutil.copytree(finished, folder)))
    sys.exit("\n".join(problems) or 0)
