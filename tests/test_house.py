"""The plan of the house: what lies where, and who may import whom; `make lint` holds the floors, this the rest."""

from __future__ import annotations

import ast
import functools
import graphlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from interp.catalogue.listing import listings
from interp.catalogue.names import KINDS, known_names
from interp.catalogue.source_code import PACKAGE

ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
AT_THE_ROOT = {"__init__", "run", "train", "describe", "notebook", "terminal", "errors", "summaries", "provenance"}
COMMANDS = {"run.py", "train.py", "describe.py"}
MOST_PARAMETERS = 7


@functools.cache
def trees() -> dict[Path, ast.Module]:
    """Every file of ours as it is parsed; looked into where a test asks, not wherever tests are collected."""
    return {file: ast.parse(file.read_bytes()) for file in FILES}


def place(file: Path, node: ast.AST) -> str:
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def module_file(module: str) -> Path | None:
    """The file of one of our modules."""
    base = ROOT.joinpath(*module.split("."))
    files = (base.with_name(f"{base.name}.py"), base / "__init__.py")
    return next((file for file in files if module.split(".")[0] == PACKAGE.name and file.is_file()), None)


def imported(file: Path) -> Iterator[tuple[ast.AST, ast.alias, Path, bool]]:
    """Every import of ours in the file, wherever it stands: the file it brings in, and whether that as a whole."""
    for node in ast.walk(trees()[file]):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else []:
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            if found := module_file(f"{module}{alias.name}"):
                yield node, alias, found, True
            elif found := module_file(module.rstrip(".")):
                yield node, alias, found, False


def test_imports_are_absolute():
    assert not [
        place(file, node)
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]


def test_nine_modules_stand_at_the_root():
    assert {file.stem for file in PACKAGE.glob("*.py")} == AT_THE_ROOT


def test_nobody_imports_the_top_floor():
    top = PACKAGE / "__init__.py"
    assert not [place(file, node) for file in FILES for node, _, found, _ in imported(file) if found == top]


def test_the_linter_knows_every_folder_and_module_of_the_house():
    contracts = TOOLS["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    named = {name.strip() for floor in layers for name in floor.replace("|", ":").split(":")}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert named == (folders | AT_THE_ROOT) - {"__init__"}


def test_shapes_are_checked_in_every_folder_that_speaks_of_them():
    (option,) = (each for each in TOOLS["pytest"]["ini_options"]["addopts"] if "jaxtyping" in each)
    speak = {file.relative_to(ROOT).parts[1] for file in FILES if "\nfrom jaxtyping import " in file.read_text()}
    assert option.split("=")[1].split(",") == [*sorted(f"interp.{folder}" for folder in speak), "beartype.beartype"]


def test_no_file_is_reached_again_by_its_imports_wherever_they_stand():
    graph = {file: {found for _, _, found, _ in imported(file)} for file in FILES}
    circle: list[Path] = []
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1]
    assert not circle, " imports ".join(str(file.relative_to(PACKAGE)) for file in reversed(circle))


def test_no_module_is_renamed_on_import():
    assert not [
        f"{place(file, node)} {alias.name} as {alias.asname}"
        for file in FILES
        for node, alias, _, whole in imported(file)
        if whole and alias.asname
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_a_kind_holds_names_and_what_they_share(kind):
    inside = {path for path in (PACKAGE / kind).iterdir() if path.name not in ("__init__.py", "__pycache__", "shared")}
    named = {path if path.stem != "__init__" else path.parent for path in known_names(kind).values()}
    assert inside == {path for path in named if path.is_relative_to(PACKAGE)}
    assert {path.stem for path in inside} <= {listing.name for listing in listings(kind)}


def test_the_folders_of_kinds_are_these():
    expected = {"measures", "models", "tasks", "optimisers", "losses", "interventions", "importers"}
    assert expected <= set(KINDS) <= {*expected, "executors"}


def long_signatures() -> Iterator[str]:
    """Functions of more than seven parameters, but for names, whose options they are, and commands."""
    names = {(path, name) for kind in KINDS for name, path in known_names(kind).items()}
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (file, node.name) not in names:
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = len([each for each in arguments if each.arg not in ("self", "cls")])
                if count > MOST_PARAMETERS and not (file.name in COMMANDS and node.name == "main"):
                    yield f"{place(file, node)} {node.name} takes {count}"


def test_no_function_takes_more_than_seven_parameters():
    assert not list(long_signatures())


def test_docstrings_are_sentences_of_their_own():
    assert not [
        place(file, node)
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if str(node.value.value).lstrip().startswith("Of ")
    ]
