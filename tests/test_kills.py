"""An analysis killed at any moment loses nothing that was finished, and leaves no worker behind."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
KILLS = 20
STEPS = range(0, 6000, 100)
ORDINARY, CHAIN = ("drift", "spread"), "settling"

MEASURE = '''
import os, time
from dataclasses import dataclass
from jaxtyping import Float
from torch import Tensor

@dataclass(frozen=True)
class Answer:
    value: Float[Tensor, ""]
    """A number"""

def {name}(checkpoint{previous}) -> Answer:
    """Something of theirs."""
    with open(os.environ["COMPUTED"], "a") as log:
        log.write(f"{name} {{checkpoint.step}} {{os.getpid()}}\\n")
    time.sleep(0.003)
    value = checkpoint.embedding.{how}()
    return Answer({answer})
'''


@pytest.fixture
def killed_folder(tmp_path: Path) -> Path:
    """A run of 60 checkpoints in six blocks of steps, and a package of measures that note what they compute."""
    from interp.files.checkpoint_blocks import CheckpointBlocks
    from interp.models.transformer import transformer
    from interp.tasks.modular_arithmetic import modular_arithmetic

    run = tmp_path / "run"
    run.mkdir()
    (run / "run.yaml").write_text(
        "task: {modular_arithmetic: {p: 11}}\nmodel: {transformer: {d_model: 8, n_heads: 2, d_mlp: 8}}\n"
    )
    architecture = transformer(modular_arithmetic(11), 1, 8, 2, 8)
    store = CheckpointBlocks(run / "weights")
    for step in STEPS:
        store.save(step, {name: array.numpy() for name, array in architecture.initial(step).items()})
    package = tmp_path / "packages" / "killed"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name, how in zip((*ORDINARY, CHAIN), ("mean", "std", "sum"), strict=True):
        chained = name == CHAIN
        source = MEASURE.format(
            name=name,
            how=how,
            previous=", previous=None" if chained else "",
            answer="value if previous is None else value + previous.value / 2" if chained else "value",
        )
        (package / f"{name}.py").write_text(source)
    info = tmp_path / "packages" / "killed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: killed\nVersion: 1.0\n")
    names = [f"{name} = killed.{name}:{name}" for name in (*ORDINARY, CHAIN)]
    (info / "entry_points.txt").write_text("\n".join(["[interp.measures]", *names, ""]))
    return tmp_path


def in_a_process(folder: Path, what: str) -> dict:
    """This file's function `what`, in a process that has nothing but it to do."""
    import interp

    paths = [str(Path(interp.__file__).parent.parent), str(folder / "packages")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COMPUTED": str(folder / "computed")}
    command = [sys.executable, __file__, what, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_twenty_kills_lose_nothing_and_leave_nobody(killed_folder: Path):
    told = in_a_process(killed_folder, "kill_many_times")
    assert told["kills"] == KILLS
    assert len(told["files"]["uninterrupted"]) == 3
    for name, files in told["files"].items():
        assert files == told["files"]["uninterrupted"], name
    assert told["outlived_by"] == []
    for analysis in told["analyses"]:
        computed = {name: collections.Counter(steps) for name, steps in analysis["computed"].items()}
        workers_killed = analysis["kills"] * analysis["jobs"]
        for name in (*ORDINARY, CHAIN):
            assert computed[name].keys() == set(STEPS)
            assert computed[name].total() <= len(STEPS) + workers_killed


def test_workers_as_users_have_them_end_with_the_analysis(killed_folder: Path):
    told = in_a_process(killed_folder, "kill_one_with_spawned_workers")
    assert told["workers"] == 2
    assert told["written_after"] == []
    assert told["left"] == []


def test_a_second_analysis_is_told_who_holds_the_results(killed_folder: Path):
    told = in_a_process(killed_folder, "analyse_twice_at_once")
    assert f"is in use by an analysis (process {told['first']})" in told["refusal"]


def test_a_run_may_be_analysed_while_checkpoints_are_added_and_stacked(killed_folder: Path):
    told = in_a_process(killed_folder, "analyse_while_it_trains")
    assert told["analyses"] >= 1
    for steps in told["steps"]:
        assert steps == list(range(0, 100 * len(steps), 100))
    assert told["steps"][-1] == list(range(0, 18_000, 100))
    assert told["files"]["meanwhile"] == told["files"]["afterwards"]


def test_kills_of_a_training_and_of_its_analysis_lose_nothing(killed_folder: Path):
    told = in_a_process(killed_folder, "kill_both")
    assert told["kills"] == KILLS
    assert told["killed"] == told["uninterrupted"]
    assert len(told["killed"]["results"]) == 3


# What runs in a process of its own.


def analyse(folder: Path, keep: str, jobs: int = 1) -> int:
    """The process that analyses: a copy of this one, which has imported everything."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        over(folder, keep, jobs)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def over(folder: Path, keep: str, jobs: int = 1):
    import interp

    return interp.over_steps([*ORDINARY, CHAIN], interp.open_run(folder / "run"), keep=folder / keep, jobs=jobs)


def computed_in(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for line in (folder / "computed").read_text().splitlines():
        name, step, _ = line.split()
        found.setdefault(name, []).append(int(step))
    return found


def pids_in(folder: Path) -> set[int]:
    log = folder / "computed"
    return {int(line.split()[2]) for line in log.read_text().splitlines()} if log.exists() else set()


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*") if file.is_file()}


def results_in(folder: Path) -> dict[str, str]:
    return {name: found for name, found in hashes(folder).items() if name != ".lock"}


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text() if Path("/proc/self/stat").exists() else os.kill(pid, 0)
            if not state or state.rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


def gone_within(pids: set[int], seconds: float) -> set[int]:
    """Those of `pids` that are still there after this many seconds."""
    end = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.01)
    return alive(pids)


def kill_many_times(folder: Path) -> dict:
    from interp.machine import workers

    workers.START_METHOD = "fork"  # spawned ones import for seconds
    started = time.monotonic()
    assert os.waitpid(analyse(folder, "uninterrupted"), 0)[1] == 0
    duration = time.monotonic() - started
    moments = random.Random(0)
    told: dict = {"kills": 0, "files": {}, "analyses": [], "outlived_by": []}
    while told["kills"] < KILLS:
        number = len(told["analyses"])
        jobs, kills = 1 + number % 2, 0
        (folder / "computed").write_text("")
        child = analyse(folder, f"killed{number}", jobs)
        while not wait(child, moments.uniform(0, duration / 2) if told["kills"] < KILLS else 60):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            told["kills"] += 1
            child = analyse(folder, f"killed{number}", jobs)
        told["outlived_by"] += gone_within(pids_in(folder), 10)
        told["files"][f"killed{number}"] = results_in(folder / f"killed{number}")
        told["analyses"].append({"jobs": jobs, "kills": kills, "computed": computed_in(folder)})
    told["files"]["uninterrupted"] = results_in(folder / "uninterrupted")
    return told


def wait(child: int, seconds: float) -> bool:
    """Whether `child` ended within these seconds, well."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert status == 0
            return True
        time.sleep(0.001)
    return False


def kill_one_with_spawned_workers(folder: Path) -> dict:
    from interp.files.lock import locked
    from interp.machine import workers

    child = analyse(folder, "kept", jobs=2)
    while len(pids_in(folder)) < 2:
        assert not wait(child, 0.005)
    pids = pids_in(folder)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with locked(folder / "kept", "another"):
        workers.wait_for_those_left(folder / "kept")
        before = {str(path) for path in (folder / "kept").rglob("*")}
        time.sleep(0.3)
        after = {str(path) for path in (folder / "kept").rglob("*")}
    return {"workers": len(pids), "left": list(gone_within(pids, 10)), "written_after": sorted(after - before)}


def analyse_twice_at_once(folder: Path) -> dict:
    from interp.errors import InterpError

    child = analyse(folder, "kept")
    while not pids_in(folder):
        assert not wait(child, 0.001)
    os.kill(child, signal.SIGSTOP)
    refusal = ""
    try:
        over(folder, "kept")
    except InterpError as error:
        refusal = str(error)
    os.kill(child, signal.SIGCONT)
    assert os.waitpid(child, 0)[1] == 0
    return {"first": child, "refusal": refusal}


def analyse_while_it_trains(folder: Path) -> dict:
    from interp.files.checkpoint_blocks import CheckpointBlocks
    from interp.models.transformer import transformer
    from interp.tasks.modular_arithmetic import modular_arithmetic

    child = os.fork()
    if not child:
        architecture = transformer(modular_arithmetic(11), 1, 8, 2, 8)
        store = CheckpointBlocks(folder / "run" / "weights")
        for step in range(6000, 18_000, 100):
            store.save(step, {name: array.numpy() for name, array in architecture.initial(step).items()})
            time.sleep(0.01)
            if step % 700 == 0:
                store.stack()
        os._exit(0)
    steps = []
    while not os.waitpid(child, os.WNOHANG)[0]:
        steps.append([int(step) for step in over(folder, "meanwhile").drift.step])
    steps.append([int(step) for step in over(folder, "meanwhile").drift.step])
    over(folder, "afterwards")
    files = {name: results_in(folder / name) for name in ("meanwhile", "afterwards")}
    return {"analyses": len(steps), "steps": steps, "files": files}


def kill_both(folder: Path) -> dict:
    """A training, and an analysis again and again while it trains, either of them killed at any moment."""
    moments, kills = random.Random(1), 0
    recipe = (folder / "run" / "run.yaml").read_text() + "training: {steps: 3_000, save: {every: 50}}\n"
    for name in ("uninterrupted", "killed"):
        (folder / name / "run").mkdir(parents=True)
        (folder / name / "run" / "run.yaml").write_text(recipe)
    started = time.monotonic()
    assert wait(child_that(train, folder / "uninterrupted"), 120)
    duration = time.monotonic() - started
    over(folder / "uninterrupted", "kept")
    place = folder / "killed"
    children = {what: child_that(what, place) for what in (train, keep_analysing)}
    while kills < KILLS:
        what = moments.choice([train, keep_analysing])
        time.sleep(moments.uniform(0, duration / 8))
        os.kill(children[what], signal.SIGKILL)
        os.waitpid(children[what], 0)
        kills += 1
        children[what] = child_that(what, place)
    assert wait(children[train], 120)
    os.kill(children[keep_analysing], signal.SIGKILL)
    os.waitpid(children[keep_analysing], 0)
    over(place, "kept")
    return {"kills": kills} | {name: whole(folder / name) for name in ("uninterrupted", "killed")}


def child_that(what, *given) -> int:
    """A copy of this process that does `what`, and ends."""
    child = os.fork()
    if not child:
        status = 1
        try:
            what(*given)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def train(folder: Path) -> None:
    from interp.errors import AlreadyDoneError
    from interp.recipes import run_recipe
    from interp.training import loop
    from interp.training.plan import Plan

    with contextlib.suppress(AlreadyDoneError):
        loop.train(folder / "run", Plan.of(run_recipe.read(folder / "run" / "run.yaml")))


def keep_analysing(folder: Path) -> None:
    from interp.errors import InterpError

    while True:
        with contextlib.suppress(InterpError):  # there may be no checkpoint yet
            over(folder, "kept").close()


def whole(folder: Path) -> dict[str, dict[str, str]]:
    """Every file of the run, and every result."""
    run = {name: found for name, found in hashes(folder / "run").items() if not name.startswith(".")}
    return {"run": run, "weights": hashes(folder / "run" / "weights"), "results": results_in(folder / "kept")}


if __name__ == "__main__":
    import torch

    from interp.results import over_steps  # noqa: F401 (what is imported here, no copy imports)

    torch.set_num_threads(1)  # no threads that a copy of this process would lack
    print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))
