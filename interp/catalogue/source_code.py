"""A digest of the code that an answer was made by."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@functools.cache
def source_digest(path: Path) -> str:
    """A fingerprint of a file and, transitively, of the files of its package that it imports at its top."""
    files = sorted(_closure(path.resolve()))
    content = b"".join(hashlib.blake2b(file.read_bytes(), digest_size=16).digest() for file in files)
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _closure(path: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting.extend(_imports(file))
    return seen


@functools.cache
def _imports(path: Path) -> tuple[Path, ...]:
    """The files of the same top-level package that `path` imports in statements at its top."""
    package, root = _package_of(path)
    found: list[Path] = []
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.ImportFrom) and node.level:
            parent = ".".join(path.relative_to(root).with_suffix("").parts[: -node.level])
            base = f"{parent}.{node.module}" if node.module else parent
            modules = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module in modules:
            if module.split(".")[0] in (package, PACKAGE.name):
                top = PACKAGE.parent if module.split(".")[0] == PACKAGE.name else root
                place = top.joinpath(*module.split("."))
                found += [
                    file.resolve() for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()
                ]
    return tuple(found)


def _package_of(path: Path) -> tuple[str, Path]:
    """The top-level package a file belongs to, and the folder that package lies in."""
    top = path.parent
    while (top.parent / "__init__.py").exists():
        top = top.parent
    return (top.name, top.parent) if (top / "__init__.py").exists() else (path.stem, path.parent)
