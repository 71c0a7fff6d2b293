"""One file of Python as statements that can be told apart: what each binds, uses and imports, and its code in writing.

The code is written the same way by every Python, whose syntax trees differ in places, and without what only people
read: docstrings, comments, and the texts of `raise`, `assert` and `warnings.warn`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

Chain = tuple[str, ...]
"""A name and the attributes taken of it: `fourier.dft` is ("fourier", "dft")."""
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
NO_CODE = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields of syntax trees that say nothing that the others do not, or what is for type checkers."""


@dataclass(frozen=True)
class Import:
    """`from {"." * level}{module} import {name}`, or `import {module}`, which has no name."""

    called: str
    """The name that it binds."""
    level: int
    module: Chain
    name: str
    first_only: bool
    """`import a.b` binds the name of `a` alone."""
    executed: bool
    """It does not stand under TYPE_CHECKING."""


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement at the top of a file; of an import statement each name is one."""

    binds: frozenset[str]
    imports: tuple[Import, ...]
    """Those inside functions too."""
    only_binds: bool
    """It does nothing but bind names."""
    code: tuple[str | Chain, ...] = ()
    """Its code, in which the names stand apart; none of an import."""

    @cached_property
    def uses(self) -> frozenset[Chain]:
        return frozenset(part for part in self.code if isinstance(part, tuple))


@dataclass(frozen=True, eq=False)
class Source:
    statements: tuple[Statement, ...]
    imports: dict[str, Import]
    """By the names that they bind, anywhere in the file."""
    told: frozenset[str]
    """Names that stand in the texts of messages."""

    @cached_property
    def bound(self) -> dict[str, list[Statement]]:
        """The statements by the names that they bind."""
        found: dict[str, list[Statement]] = {}
        for statement in self.statements:
            for name in statement.binds:
                found.setdefault(name, []).append(statement)
        return found

    def closure(self, names: Iterable[str]) -> set[Statement]:
        """The statements that bind these names, or names that those use, however far."""
        found: set[Statement] = set()
        waiting = list(names)
        while waiting:
            for statement in self.bound.get(waiting.pop(), ()):
                if statement not in found:
                    found.add(statement)
                    waiting += [chain[0] for chain in statement.uses]
        return found


def read_source(content: bytes, only_tells: Callable[[Import], bool]) -> Source:
    """`only_tells` says of an import whether what it brings in is an error or a like thing that changes no number."""
    body = ast.parse(content).body
    found = [tuple(_imports(node)) for node in body]
    by_name = {each.called: each for each in sorted(sum(found, ()), key=lambda each: each.executed)}
    writer = _Writer(lambda name: name in by_name and only_tells(by_name[name]))
    statements = [one for node, imports in zip(body, found, strict=True) for one in _statements(node, imports, writer)]
    return Source(tuple(statements), by_name, frozenset(writer.told))


def _statements(node: ast.stmt, imports: tuple[Import, ...], writer: _Writer) -> Iterator[Statement]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        for each in imports:
            yield Statement(frozenset({each.called}), (each,), only_binds=True)
        return
    if isinstance(node, DEFINITIONS):
        binds = {node.name}
    else:
        stored = [each for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
        binds = {name.id for name in stored} | {each.called for each in imports if each.executed}
    only_binds = isinstance(node, (*DEFINITIONS, ast.Assign, ast.AnnAssign))
    if "__all__" not in binds:
        yield Statement(frozenset(binds), imports, only_binds, writer.written(node))


def _imports(node: ast.AST, executed: bool = True) -> Iterator[Import]:
    """Those in the node, however deep; imports are statements, so expressions are not looked through."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            module = tuple(alias.name.split("."))
            yield Import(alias.asname or module[0], 0, module, "", not alias.asname, executed)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            module = tuple(node.module.split(".")) if node.module else ()
            yield Import(alias.asname or alias.name, node.level, module, alias.name, False, executed)
    else:
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inside = getattr(node, name, None)
            for child in inside if isinstance(inside, list) else ():
                yield from _imports(child, executed and not (name == "body" and _for_type_checkers(node)))


def _for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and _chain(node.test)[-1:] == ("TYPE_CHECKING",)


def _chain(node: ast.AST) -> Chain:
    """("a", "b") of `a.b`; empty where the node is not a name and attributes of it."""
    if isinstance(node, ast.Name):
        return (node.id,)
    start = _chain(node.value) if isinstance(node, ast.Attribute) else ()
    return (*start, node.attr) if isinstance(node, ast.Attribute) and start else ()


def _is_text(node: ast.AST) -> bool:
    """Whether it makes a text: as it stands, by joining or formatting texts, or by choosing one."""
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) and _is_text(node.orelse)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and _is_text(node.func.value)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


@dataclass
class _Writer:
    """Writes code down, and notes the names that stand in the texts of messages, which it leaves out."""

    only_tells: Callable[[str], bool]
    """Whether a name is that of an error of ours: whatever is handed to one is a text."""
    told: set[str] = field(default_factory=set)
    _parts: list[str | Chain] = field(default_factory=list)

    def written(self, node: ast.AST) -> tuple[str | Chain, ...]:
        self._parts = []
        self._write(node)
        return tuple(self._parts)

    def _write(self, node: object, message: bool = False) -> None:
        """`message` says that the node stands in one, so that the texts in it are left out."""
        if isinstance(node, list):
            self._parts.append("[")
            for each in node:
                self._write(each, message)
            self._parts.append("]")
        elif not isinstance(node, ast.AST):
            self._parts.append(f"{type(node).__name__} {hex(node) if isinstance(node, int) else ascii(node)};")
        elif isinstance(node, ast.If) and _for_type_checkers(node):
            if node.orelse:
                self._write(node.orelse)
        elif message and _is_text(node):
            self._tell(node)
        elif chain := _chain(node):
            self._parts.append(chain)
        elif not _says_nothing(node):
            self._write_fields(node, message or _chain(getattr(node, "func", node)) == ("warnings", "warn"))

    def _write_fields(self, node: ast.AST, message: bool) -> None:
        self._parts.append(f"{type(node).__name__}(")
        for name in sorted({*node._fields} - NO_CODE):
            value = getattr(node, name, None)
            if isinstance(node, ast.JoinedStr):  # some versions of Python leave empty texts in it
                value = [part for part in node.values if not isinstance(part, ast.Constant) or part.value]
            if message and name in ("args", "keywords") and self._is_error(node):
                self._tell(*getattr(node, name))
            elif value not in (None, [], "") or isinstance(node, ast.Constant):
                self._parts.append(f"{name}=")
                self._write(value, message or (name in ("exc", "msg") and isinstance(node, ast.Raise | ast.Assert)))
        self._parts.append(")")

    def _is_error(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and any(map(self.only_tells, _chain(node.func)[:1]))

    def _tell(self, *nodes: ast.AST) -> None:
        self.told |= {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}


def _says_nothing(node: ast.AST) -> bool:
    """Whether it is a docstring, an import, which stands for what it brings in, or a `pass`."""
    bare = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return bare or isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)
