"""Every name of a kind with its options and its first line, read from the source: for `--list`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from interp.catalogue.names import KINDS, known_names


@dataclass(frozen=True)
class Listing:
    """One name for `--list`: read from the source, nothing imported."""

    name: str
    options: str
    claim: str


def listings(kind: str) -> Iterator[Listing]:
    """Every name of a kind with its options, defaults and the first line of its docstring."""
    for name, path in known_names(kind).items():
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except SyntaxError as error:
            yield Listing(name, "", f"cannot be read: {path.name}, line {error.lineno}: {error.msg}")
            continue
        choices = _named_choices(tree)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                claim = (ast.get_docstring(node) or "").split("\n")[0]
                yield Listing(name, ", ".join(_parameters(node, KINDS[kind], choices)), claim)


def _named_choices(tree: ast.Module) -> dict[str, str]:
    """`Split = Literal["a", "b"]` at a file's top: what a reader of `Split` wants to see."""
    return {
        target.id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal[")
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _parameters(node: ast.FunctionDef, ours: tuple[str, ...], choices: Mapping[str, str]) -> Iterator[str]:
    arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    positional = len(arguments) - len(node.args.kwonlyargs)
    defaults = [None] * (positional - len(node.args.defaults)) + node.args.defaults + node.args.kw_defaults
    for argument, default in zip(arguments, defaults, strict=True):
        if argument.arg not in ours:
            shown = ast.unparse(argument.annotation) if argument.annotation else ""
            annotation = f": {choices.get(shown, shown)}" if shown else ""
            yield f"{argument.arg}{annotation}" + (f" = {ast.unparse(default)}" if default else "")
