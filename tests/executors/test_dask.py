"""A sweep trained, and analysed, by a dask cluster: the files are those of one process, whoever is killed."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import interp
from interp.errors import InterpError
from interp.executors.shared.working import working
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.training import sweep
from tests.processes import python
from tests.results.test_over_steps import hashes
from tests.training.test_sweep import GRID, RECIPE, ROOT, files, grid_of, train, written

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Any:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as made:
        yield made


def trained_by(cluster: Any, folder: Path) -> list:
    grid = grid_of(folder)
    state = sweep.present(grid)
    with working(folder, "training", 2, cluster.scheduler_address) as executor:
        return sweep.train(grid, state, executor, 2, sweep.Meter(grid, state, lambda _: None))


@pytest.mark.slow
def test_a_cluster_gives_the_files_of_one_process(cluster: Any, tmp_path: Path):
    alone, together = written(tmp_path / "alone"), written(tmp_path / "together")
    train(alone)
    assert [one.end for one in trained_by(cluster, together)] == ["finished"] * 12
    assert files(alone) == files(together)
    for name, place in (("here", None), ("dask", cluster.scheduler_address)):
        keep = tmp_path / name
        with working(keep, "an analysis", 1, place) as executor:
            from interp.recipes.asks import asks
            from interp.results.computing import compute
            from interp.results.over_steps import over_grid

            compute(over_grid(asks(["loss", "weight_norm"]), interp.open_run(alone), keep, "all"), executor, 1)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "dask")


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_member(cluster: Any, tmp_path: Path):
    recipe = RECIPE.replace("steps: 40", "steps: 2_000").replace("every: 10", "every: 200")
    alone, killed = written(tmp_path / "alone", GRID, recipe), written(tmp_path / "killed", GRID, recipe)
    train(alone)

    def kill() -> None:
        for _ in range(2):
            time.sleep(2)
            pids = [worker.pid for worker in cluster.workers.values()]
            for pid in pids[:1]:
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    ended = trained_by(cluster, killed)
    killer.join()
    assert [one.end for one in ended] == ["finished"] * 12
    assert files(alone) == files(killed)


WAYS = ("command", "scheduler", "all", "command", "all")
"""What is killed, in turn: the command, the scheduler with its workers' nannies, or these and the workers."""


@pytest.mark.slow
def test_whatever_is_killed_loses_nothing_and_ends_as_if_it_had_not_been(tmp_path: Path):
    """Killed at random moments and given again, the command ends with the files of an uninterrupted sweep."""
    recipe = RECIPE.replace("steps: 40", "steps: 1_000").replace("every: 10", "every: 50")
    alone, killed = written(tmp_path / "alone", GRID, recipe), written(tmp_path / "killed", GRID, recipe)
    train(alone)
    code = f"import tests.executors.test_dask as t; print(t.killed_again_and_again({str(killed)!r}))"
    done = python(["-c", code], tmp_path, os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    kills, lost = json.loads(done.stdout.splitlines()[-1])
    assert kills >= 4
    assert lost == 0
    assert files(alone) == files(killed)


def killed_again_and_again(name: str) -> list[int]:
    """Train a sweep on clusters of its own while this or that is killed; how often, and how many steps that lost."""
    folder, draws = Path(name), random.Random(0)
    cluster, place = 0, folder.parent / "address"
    kills, lost, kept = 0, 0, {}
    ways = iter(WAYS)
    way = next(ways, None)
    for _ in range(200):
        if not sweep.present(grid_of(folder)).left:
            break
        if not cluster:
            place.unlink(missing_ok=True)
            cluster = forked(functools.partial(serve, place))
            wait_until(place.is_file)
        command = forked(functools.partial(trained_at, folder, place.read_text()))
        target = sum(map(len, kept_steps(folder).values())) + draws.randint(1, 30)
        patience = 50
        while way and sum(map(len, kept_steps(folder).values())) < target and patience:
            time.sleep(0.02)
            patience -= ended(command)
        if way:
            if way in ("scheduler", "all"):
                os.killpg(cluster, signal.SIGKILL) if way == "all" else os.kill(cluster, signal.SIGKILL)
                os.waitpid(cluster, 0)
                cluster = 0
            if way in ("command", "all"):
                os.kill(command, signal.SIGKILL)
            kills, way = kills + 1, next(ways, None)
        os.waitpid(command, 0)  # where the scheduler is lost it ends by itself
        steps = kept_steps(folder)
        lost += sum(len(set(before) - set(steps[member])) for member, before in kept.items())
        kept = steps
    if cluster:
        os.killpg(cluster, signal.SIGKILL)
    return [kills, lost]


def kept_steps(folder: Path) -> dict[str, list[int]]:
    """The steps that are kept of each member."""
    return {one.folder: CheckpointBlocks(folder / one.folder / "weights").steps for one in grid_of(folder).members}


def ended(process: int) -> bool:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def forked(work: Callable[[], Any]) -> int:
    """A process, and a group of its own, that does this; what was imported here it has already."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    code = 1
    with contextlib.suppress(BaseException):
        work()
        code = 0
    os._exit(code)


def serve(place: Path) -> None:
    """A scheduler with two workers, forked too, whose address is written when it can be asked."""
    import dask

    with dask.config.set({"distributed.worker.multiprocessing-method": "fork"}):
        cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        place.with_suffix(".tmp").write_text(cluster.scheduler_address)
        place.with_suffix(".tmp").rename(place)
        time.sleep(600)


def trained_at(folder: Path, address: str) -> None:
    grid = grid_of(folder)
    state = sweep.present(grid)
    with working(folder, "training", 2, address) as executor:
        sweep.train(grid, state, executor, 2, sweep.Meter(grid, state, lambda _: None))


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_no_scheduler_at_an_address_is_one_line(tmp_path: Path):
    with (
        pytest.raises(InterpError, match="no dask scheduler answers at tcp://127"),
        working(tmp_path / "kept", "an analysis", 1, "tcp://127.0.0.1:1"),
    ):
        pass
