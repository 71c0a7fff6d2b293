"""Makes the environment and runs the project's commands: `python make.py report`, `python make.py test`.

Needs nothing but Python's standard library; `make report` and `make test` call it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
INSTALLED = ENVIRONMENT / "installed"  # a digest of what the environment was made from
OLDEST = (3, 11)

EVERY_TEST = ["-m", "pytest", "--dist", "worksteal"]  # idle workers take tests from others
A_CORE_EACH = ["-n", "auto"]
TWO_A_CORE = [
    "-n",
    str(2 * (os.cpu_count() or 1)),
]  # slow tests often wait, for processes that they started and for a disk
QUICK, SLOW = ["-m", "not slow"], ["-m", "slow"]
NO_SHAPES = ["--jaxtyping-packages="]  # to check every shape takes a quarter longer: the quick tests do, once
LINT_IMPORTS = (
    "import sys; from importlinter.cli import lint_imports as lint; sys.exit(lint(no_cache=True, no_logo=True))"
)
COMMANDS = {
    "env": [],
    "report": [["-m", "interp.run", "analyses/fourier.yaml"]],
    "reproduction": [["-m", "interp.report.reproduction"]],
    "test": [[*EVERY_TEST, *A_CORE_EACH, *QUICK, *NO_SHAPES]],
    "test-all": [[*EVERY_TEST, *A_CORE_EACH, *QUICK], [*EVERY_TEST, *TWO_A_CORE, *SLOW, *NO_SHAPES]],
    "lint": [["-m", "ruff", "check"], ["-m", "ruff", "format", "--check"], ["-m", "pyright"], ["-c", LINT_IMPORTS]],
    "format": [["-m", "ruff", "check", "--fix"], ["-m", "ruff", "format"]],
}


def environment() -> None:
    """Make `.venv` and install the project in it, unless that is done."""
    digest = hashlib.sha256(
        (ROOT / "pyproject.toml").read_bytes() + (ROOT / "constraints.txt").read_bytes()
    ).hexdigest()
    if PYTHON.exists() and INSTALLED.exists() and INSTALLED.read_text() == digest:
        return
    print(f"making the environment {ENVIRONMENT.name}, which takes some minutes the first time", flush=True)
    if not (PYTHON.exists() and INSTALLED.exists()):
        venv.create(ENVIRONMENT, with_pip=True, clear=not PYTHON.exists())
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--constraint",
        "constraints.txt",
    ]
    run([*install, "--editable", ".[dev]"])
    INSTALLED.write_text(digest)


def run(arguments: list[str]) -> None:
    """Run the environment's Python; a failure is ours."""
    code = subprocess.call([str(PYTHON), *arguments], cwd=ROOT)
    if code:
        sys.exit(code)


def main() -> None:
    command, *extra = sys.argv[1:] or ["help"]
    if command not in COMMANDS:
        sys.exit(f"usage: python make.py {'|'.join(COMMANDS)}")
    if sys.version_info < OLDEST:
        sys.exit(f"Python {'.'.join(map(str, OLDEST))} or newer is needed; this is {sys.version.split()[0]}")
    environment()
    for arguments in COMMANDS[command]:
        run([*arguments, *extra])


if __name__ == "__main__":
    main()
