"""Python commands as processes of their own, without the seconds that each would spend on importing torch.

One process imports other people's packages, nothing of ours, and forks a child for every command. The child runs what
`python -m module …`, `python -c code` or `python file.py` would: in its own folder, with its own environment and a
fresh import of this project.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

SERVER = """
import atexit, importlib, json, os, runpy, sys, traceback
for package in sys.argv[1:]:
    importlib.import_module(package)

def perform(ask):
    os.chdir(ask["folder"])
    os.environ.clear()
    os.environ.update(ask["environment"])
    kind, *sys.argv = ask["arguments"] if ask["arguments"][0] in ("-m", "-c") else ["", *ask["arguments"]]
    place = os.path.dirname(os.path.abspath(sys.argv[0])) if not kind else os.getcwd() if kind == "-m" else ""
    sys.path[:0] = [place, *filter(None, ask["environment"].get("PYTHONPATH", "").split(os.pathsep))]
    try:
        if kind == "-m":
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            code, sys.argv[0] = sys.argv[0], "-c"
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as done:
        if isinstance(done.code, str):
            print(done.code, file=sys.stderr)
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

sys.path.pop(0)
answers = os.fdopen(os.dup(1), "w")
print("ready", file=answers, flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    child = os.fork()
    if not child:
        for number, path in enumerate([os.devnull, ask["output"], ask["errors"]]):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
        code = perform(ask)
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)
"""


PACKAGES = [
    "torch",
    "transformer_lens",
    "xarray",
    "h5netcdf",
    "scipy",
    "pydantic",
    "plotly.graph_objects",
    "typer",
]


def python(
    arguments: list[str], folder: Path, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """What `python arguments…` prints in `folder`, and how it ends."""
    if not hasattr(os, "fork"):
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    server = _server()
    assert server.stdin
    assert server.stdout
    with tempfile.TemporaryDirectory() as place:
        output, errors = Path(place) / "output", Path(place) / "errors"
        ask = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        print(json.dumps({**ask, "output": str(output), "errors": str(errors)}), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())


@functools.cache
def _server() -> subprocess.Popen[str]:
    """One for all tests of this process; it ends when its standard input is closed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads do not outlive a fork
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, *PACKAGES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    atexit.register(server.kill)
    assert server.stdout
    assert server.stdout.readline() == "ready\n"
    return server
