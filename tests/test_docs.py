"""Every command and every call in the README and the docs runs as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import interp
import make
from interp.recipes import analysis_recipe, run_recipe
from interp.recipes.document import parse_value
from interp.recipes.run_paths import Source
from tests.processes import python

ROOT = Path(interp.__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = r"`(interp/\w+/\w+\.py|checkpoints/\w+/(?:run\.yaml|\w+\.py))`(?::| holds)"
"""How the text before a block gives the file that it is."""


CONSOLE = "from interp.run import console; console()"
"""What the console command `interp` is."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as a newcomer has it, in a folder of its own."""
    for name in ("interp", "checkpoints", "analyses"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (tmp_path / "checkpoints").iterdir():
        if folder.name != "modular_addition_small":
            shutil.rmtree(folder / "weights", ignore_errors=True)
            (folder / "training.safetensors").unlink(missing_ok=True)
    return tmp_path


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = python(arguments, folder, os.environ | {"PYTHONPATH": str(folder)})
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_runs_from_top_to_bottom(page: Path, copy: Path):
    """A block is saved under the file name that the text before it gives, where it gives one; the others run."""
    text = page.read_text()
    for match in re.finditer(r"^```(sh|python|yaml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        language, block = match.groups()
        before = text[: match.start()].rpartition("```")[2]
        if language != "sh" and (file := re.findall(NAMED, before)):
            (copy / file[-1]).parent.mkdir(exist_ok=True)
            (copy / file[-1]).write_text(block)
            if file[-1].startswith("interp/"):
                assert Path(file[-1]).stem in run(["-m", "interp.run", "--list"], copy).stdout
        elif language == "sh":
            for line in block.splitlines():
                run_command(line, copy)
        elif language == "python":
            run(["-c", block], copy)


def run_command(line: str, folder: Path) -> None:
    command = shlex.split(line, comments=True)
    if command[0] == "make":
        assert command[1] in make.COMMANDS
        assert f" {command[1]}" in (ROOT / "Makefile").read_text()
        for arguments in make.COMMANDS[command[1]] if not command[1].startswith("test") else ():  # this is a test
            run(arguments, folder)
    elif command[0] == "interp":
        run(["-c", CONSOLE, *command[1:]], folder)
    else:
        assert command[0] == "python"
        run(command[1:], folder)


OWN = ("extending.md", "own.md")
"""Pages whose recipes are of names and files that they add, and which train them."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in OWN], ids=lambda page: page.name)
def test_the_recipes_of_a_page_are_recipes(page: Path, tmp_path: Path):
    for number, block in enumerate(blocks(page, "yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)
        if block.startswith("measures:"):
            assert analysis_recipe.read(path, instead=[Source(tmp_path)]).asks
            continue
        read = run_recipe.read(path)
        assert read.training or read.importer


@pytest.mark.slow
def test_the_worked_example_becomes_a_run(copy: Path):
    """Its loop, and the recipe beside its checkpoints."""
    page = ROOT / "docs" / "checkpoints.md"
    run(["-c", blocks(page, "python")[0]], copy)
    (copy / "my_checkpoints" / "run.yaml").write_text(blocks(page, "yaml")[0])
    opened = interp.open_run(copy / "my_checkpoints")
    assert opened.steps == list(range(0, 601, 50))
    assert opened.task.train is not None
    assert int(opened.task.train.sum()) == int(0.6 * 23 * 23)
    assert float(opened.final.measure("loss").train_accuracy) == 1


def test_the_published_networks_of_the_docs_are_models():
    from interp.catalogue.names import find
    from interp.catalogue.options import checked_options
    from interp.tasks.modular_arithmetic import modular_arithmetic

    written = re.findall(
        r"`(\{(?:transformer|mlp|factored_mlp|quadratic): \{.*?\}\})`", (ROOT / "docs" / "runs.md").read_text()
    )
    assert len(written) == 10
    for text in written:
        ((name, options),) = parse_value(text).items()
        find("models", name)(modular_arithmetic(), **checked_options("models", name, options))


def test_the_measures_of_the_readme_are_all_there_are():
    from interp.catalogue.names import known_names

    listed = re.findall(r"^\| `(\w+)` \|", PAGES[0].read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(known_names("measures"))


def test_the_analyses_of_the_readme_are_all_there_are():
    listed = re.findall(r"^\| `(analyses/[\w/]+\.yaml)` \|", PAGES[0].read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "analyses").rglob("*.yaml"))


def test_a_report_from_python_has_the_measures_of_the_fourier_analysis():
    from interp.notebook import DEFAULT_MEASURES

    assert list(DEFAULT_MEASURES) == parse_value((ROOT / "analyses" / "fourier.yaml").read_text())["measures"]


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readmes_recipe_is_the_file_it_names():
    shown = parse_value(blocks(PAGES[0], "yaml")[0])
    path = ROOT / "checkpoints" / "quick" / "run.yaml"
    file = parse_value(path.read_text())
    assert {key: file[key] for key in shown} == shown


def test_ci_calls_the_linters_and_every_test_of_which_the_readmes_are_a_part():
    called = re.findall(r"^make ([\w-]+)", (ROOT / ".ci" / "run").read_text(), re.M)
    assert called == ["env", "lint", "test-all"]
    (quick,) = make.COMMANDS["test"]
    with_shapes, slow = make.COMMANDS["test-all"]
    assert quick == [*with_shapes, *make.NO_SHAPES]
    assert (with_shapes[-2:], slow[-3:-1]) == (["-m", "not slow"], ["-m", "slow"])
    assert "make test" in (ROOT / "README.md").read_text()
