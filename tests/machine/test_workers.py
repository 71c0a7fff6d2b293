"""Workers end with the process that started them, and their folder is not used before they did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from interp.machine import workers

STARTER = """
import os, sys, time
from pathlib import Path
from interp.machine import workers

def work(folder):
    (folder / f"worked-{os.getpid()}").write_text("")
    time.sleep(600)

if __name__ == "__main__":
    workers.START_METHOD = "fork"  # what the program is given as text, a spawned process cannot import
    folder = Path(sys.argv[1])
    with workers.pool(2, folder) as pool:
        for _ in range(2):
            pool.submit(work, folder)
"""


def pids(folder):
    return {int(path.name.removeprefix("worked-")) for path in folder.glob("worked-*")}


@pytest.mark.slow
def test_whoever_goes_on_waits_until_the_workers_of_a_killed_process_are_gone(tmp_path):
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path)])
    while len(pids(tmp_path)) < 2:
        assert starter.poll() is None
        time.sleep(0.01)
    (sleeping, _) = pids(tmp_path)
    os.kill(sleeping, signal.SIGSTOP)  # it cannot notice, nor write
    starter.kill()
    starter.wait()
    waiting = subprocess.Popen(
        [sys.executable, "-c", "import sys, pathlib; from interp.machine import workers; "
         "workers.wait_for_those_left(pathlib.Path(sys.argv[1]))", str(tmp_path)]
    )  # fmt: skip
    time.sleep(3)
    assert waiting.poll() is None
    os.kill(sleeping, signal.SIGCONT)
    assert waiting.wait(60) == 0
    assert not (tmp_path / workers.HELD).exists()


def test_a_pool_leaves_nothing_behind(tmp_path):
    with workers.pool(1, tmp_path) as pool:
        assert pool.submit(abs, -3).result() == 3
    assert list(tmp_path.iterdir()) == []
