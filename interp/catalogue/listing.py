"""Every name of a kind with its options and its first line, read from the source: for `--list`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from interp.catalogue.names import KINDS, known_names
from interp.catalogue.signatures import Parameter, definition, parameters, tree_of


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
            function = definition(path, name)
            choices = _named_choices(tree_of(path))
        except SyntaxError as error:
            yield Listing(name, "", f"cannot be read: {path.name}, line {error.lineno}: {error.msg}")
            continue
        if function is not None:
            options = [_shown(one, choices) for one in parameters(function) if one.name not in KINDS[kind]]
            yield Listing(name, ", ".join(options), (ast.get_docstring(function) or "").split("\n")[0])


def _named_choices(tree: ast.Module) -> dict[str, str]:
    """`Split = Literal["a", "b"]` at a file's top: what a reader of `Split` wants to see."""
    return {
        target.id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal[")
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _shown(option: Parameter, choices: Mapping[str, str]) -> str:
    annotation = ast.unparse(option.annotation) if option.annotation else ""
    default = f" = {ast.unparse(option.default)}" if option.default else ""
    return option.name + (f": {choices.get(annotation, annotation)}" if annotation else "") + default
