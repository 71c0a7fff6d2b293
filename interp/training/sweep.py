"""A sweep is trained: every member that is not finished goes on where it stopped, in pieces for one executor.

Before anything trains, the members that are there are held against the recipe: where one was begun with another,
nothing is done. A member's folder is made, and its recipe written there, by the piece that trains it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.contracts.executor import Executor, Tell
from interp.errors import InterpError, Stopped, shown
from interp.files.writing import write_text
from interp.machine.denormals import flushed
from interp.recipes import run_recipe
from interp.recipes.document import Document, document_of, read_document
from interp.recipes.grid import GRID, Axis, Grid, Member, text_of
from interp.recipes.parent import FROM
from interp.training.estimate import plan_of_stack
from interp.training.loop import train_stack
from interp.training.outcome import Outcome
from interp.training.parents import check
from interp.training.plan import Plan, PlannedRun
from interp.training.progress import Standing
from interp.training.stack import MOST_MEMBERS, stacks
from interp.training.standing import standing
from interp.training.state import STATE, WEIGHTS

MOST_TOLD = 5
COST_NOTHING = ("seed", "lr", "weight_decay", "alpha", "betas", "eps", "momentum")
"""Options that change numbers alone, not how long an update takes."""


@dataclass(frozen=True)
class Failure:
    """A member that could not be trained, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Piece:
    """Members that a worker trains: as many as make a stack, of networks that are likely alike."""

    grid: Grid
    members: tuple[Member, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        document = self.grid.document
        return _piece, (str(document.path), document.text, self.grid.axes, self.members)


def _piece(path: str, text: str, axes: tuple[Axis, ...], members: tuple[Member, ...]) -> Piece:
    return Piece(Grid(_document(path, text), axes), members)


@functools.lru_cache(maxsize=4)
def _document(path: str, text: str) -> Document:
    return document_of(Path(path), text)


@dataclass(frozen=True)
class Progress:
    """How far a sweep is."""

    done: int
    """Members that are finished."""
    failed: int
    """Members that could not be trained."""
    total: int
    rate: float
    """Networks × updates a second, since it was begun."""
    seconds_left: float | None
    """None until there is something to tell it by."""


@dataclass(frozen=True)
class Present:
    """What lies in the folder of a sweep."""

    standing: dict[Member, Outcome | None]
    """Each member of the grid; None of one that was not begun."""
    gone: tuple[str, ...]
    """The folders of runs that are no members of the grid any more."""

    @property
    def left(self) -> list[Member]:
        """The members that are not finished."""
        return [member for member, found in self.standing.items() if found is None or found.end == "unfinished"]


@dataclass(frozen=True)
class Estimate:
    """What it would take to train members, from fifty timed updates of each network among them."""

    seconds: float
    """Those of one process."""
    bytes: int
    stacks: int


def steps_of(grid: Grid, member: Member) -> int:
    """The updates of a member's training."""
    given = dict(member.settings).get("training.steps")
    if given is None:
        training = dict(member.settings).get("training", grid.document.content.get("training"))
        given = training.get("steps") if isinstance(training, dict) else None
    return int(given or 0)


def start_of(grid: Grid, member: Member) -> int:
    """The step at which a member's training starts: 0, unless it is from a checkpoint of another run."""
    settings = dict(member.settings)
    given = settings.get(f"{FROM}.step")
    if given is None:
        parent = settings.get(FROM, grid.document.content.get(FROM))
        given = parent.get("step") if isinstance(parent, dict) else None
    return int(given or 0)


def check_parents(grid: Grid, state: Present) -> None:
    """Raises InterpError, with every mistake and its line, where members cannot start from what `from` names."""
    tried: set[str] = set()
    told: list[str] = []
    for member in state.left:
        key = repr(_but(COST_NOTHING, member))
        if state.standing[member] is None and key not in tried and start_of_another(grid, member):
            tried.add(key)
            try:
                check(_plan_of(grid, member))
            except InterpError as error:
                told.append(str(error))
    if told:
        raise InterpError("\n".join(dict.fromkeys(told)))


def start_of_another(grid: Grid, member: Member) -> bool:
    """Whether a member's training starts from a checkpoint of another run."""
    return FROM in grid.document.content or any(key.partition(".")[0] == FROM for key, _ in member.settings)


def present(grid: Grid, chosen: Sequence[Member] | None = None) -> Present:
    """What is there of the members, of all or of those chosen, held against the recipe.

    Raises InterpError where a member was begun with another recipe, naming the keys and both values; where runs are
    there that were trained before the recipe had an axis, unless it says which of its values they have; and where a
    run lies in the sweep's own folder.
    """
    folder = grid.path
    if GRID in grid.document.content and (folder / WEIGHTS).exists():
        raise InterpError(
            f"{folder} holds the weights of one run, trained before its recipe had a grid; "
            f"move {WEIGHTS} and {STATE} into a folder of their own, with the recipe that they were trained by"
        )
    with os.scandir(folder) as entries:
        there = {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}
    members = {member.folder: member for member in grid.members}
    strangers = sorted(name for name in there - members.keys() if (folder / name / run_recipe.FILE).is_file())
    _check_axes(grid, strangers)
    wanted = grid.members if chosen is None else chosen
    found = {
        member: standing(folder / member.folder, steps_of(grid, member)) if member.folder in there else None
        for member in wanted
    }
    _check_recipes(grid, [member for member, stands in found.items() if stands is not None])
    return Present(found, tuple(strangers))


def _check_axes(grid: Grid, strangers: Iterable[str]) -> None:
    """Raises InterpError where runs were trained before the recipe had one of its axes."""
    names = {axis.name for axis in grid.axes}
    for folder in strangers:
        own = {part.partition("=")[0] for part in folder.split(",")}
        lacking = [axis for axis in grid.axes if axis.name not in own and axis.present is None]
        if lacking and own < names:
            (axis, *_) = lacking
            raise InterpError(
                f"{grid.document.path}: {folder} was trained before the grid had the axis {axis.name}; say which of "
                f"its values the members have that are there, for example grid: "
                f"{{present: {{{axis.name}: {text_of(axis.labels[0])}}}}}"
            )


def _check_recipes(grid: Grid, begun: Iterable[Member]) -> None:
    """Raises InterpError where members were begun with other recipes than they have now."""
    changed: dict[tuple[str, str, str], list[str]] = {}
    for member in begun:
        path = grid.path / member.folder / run_recipe.FILE
        own, now = read_document(path), grid.own_recipe(member)
        found = list(_differences(_told(own), _told(now)))
        for one in found if found and not _mean_the_same(own, now) else ():
            changed.setdefault(one, []).append(member.folder)
    if not changed:
        return
    lines = []
    for (key, there, wanted), folders in list(changed.items())[:MOST_TOLD]:
        who = folders[0] if len(folders) == 1 else f"{folders[0]} and {len(folders) - 1:,} more"
        lines.append(
            f"{grid.document.path}: {key} is {wanted}, but {who} {'was' if len(folders) == 1 else 'were'} begun with "
            f"{there}; put it back, or train in another folder"
        )
    raise InterpError("\n".join(lines))


def _mean_the_same(own: Document, now: Document) -> bool:
    """Whether two recipes that are written otherwise are one, defaults filled in."""
    recipes = [run_recipe.checked_recipe(one) for one in (own, dataclasses.replace(now, path=own.path))]
    return not own.problems and not now.problems and recipes[0].canonical == recipes[1].canonical


def _told(document: Document) -> dict[str, Any]:
    return {key: value for key, value in document.content.items() if key != "text"}


def _differences(there: Any, now: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted key, what is there, what is wanted) of what is not the same in two recipes."""
    there, now = _written_out(there, now), _written_out(now, there)
    if isinstance(there, dict) and isinstance(now, dict):
        for name in [*now, *(name for name in there if name not in now)]:
            inside = f"{key}.{name}" if key else str(name)
            yield from _differences(there.get(name, _ABSENT), now.get(name, _ABSENT), inside)
    elif there != now or isinstance(there, bool) != isinstance(now, bool):
        yield key, _shown(there), _shown(now)


_ABSENT = object()


def _written_out(one: Any, other: Any) -> Any:
    """A name without options as it stands beside one with them: `adamw` is {adamw: {}}."""
    if isinstance(one, str) and isinstance(other, dict) and set(other) == {one}:
        return {one: {}}
    return {} if one is None and isinstance(other, dict) else one


def _shown(value: Any) -> str:
    return "not said" if value is _ABSENT else shown(value)


class Meter:
    """Counts updates as stacks tell of them, and tells `progress` of them."""

    def __init__(self, grid: Grid, state: Present, progress: Callable[[Progress], None]) -> None:
        self._progress = progress
        self._total, self._done = len(state.standing), len(state.standing) - len(state.left)
        self._failed = 0
        self._left = sum(_updates_left(grid, state, member) for member in state.left)
        self._made: dict[str, int] = {}
        """By the folder of a stack's first member."""
        self._begun = time.monotonic()

    def tell(self, what: dict[str, Any]) -> None:
        """`what`: a stack, and the updates that its members have made together."""
        self._made[str(what["stack"])] = int(what["updates"])
        self._show()

    def ended(self, outcomes: Sequence[Outcome | Failure]) -> None:
        """These members are finished, or could not be trained."""
        failed = sum(isinstance(one, Failure) for one in outcomes)
        self._failed += failed
        self._done += len(outcomes) - failed
        self._show()

    def _show(self) -> None:
        made, elapsed = sum(self._made.values()), time.monotonic() - self._begun
        rate = made / elapsed if elapsed > 0 else 0.0
        left = max(self._left - made, 0)
        self._progress(Progress(self._done, self._failed, self._total, rate, left / rate if rate else None))


def _updates_left(grid: Grid, state: Present, member: Member) -> int:
    found = state.standing[member]
    return steps_of(grid, member) - (found.step if found else start_of(grid, member))


def train(grid: Grid, state: Present, executor: Executor, jobs: int, meter: Meter) -> list[Outcome | Failure]:
    """Train the members that are left, in pieces for an executor of so many jobs; what became of each, in order.

    Raises Stopped where Ctrl-C was pressed.
    """
    found: dict[Path, Outcome | Failure] = {}
    for outcomes in executor.run(train_piece, list(_pieces(grid, state, jobs)), meter.tell):
        found |= {one.folder: one for one in outcomes}
        meter.ended(outcomes)
    return [found[grid.path / member.folder] for member in state.left]


def _pieces(grid: Grid, state: Present, jobs: int) -> Iterator[Piece]:
    """Members that differ only in what cannot change a network's shape, as many as make a stack, or as jobs share."""
    for members in _alike(state.left):
        size = max(1, min(MOST_MEMBERS, math.ceil(len(members) / jobs)))
        for start in range(0, len(members), size):
            yield Piece(grid, tuple(members[start : start + size]))


def _alike(members: Iterable[Member]) -> list[list[Member]]:
    """Members that can differ only in numbers, not in what an update costs."""
    found: dict[str, list[Member]] = {}
    for member in members:
        own = {key: value for key, value in _but(COST_NOTHING, member).items() if key.partition(".")[0] != FROM}
        found.setdefault(repr(own), []).append(member)
    return list(found.values())


def _but(names: Sequence[str], member: Member) -> dict[str, Any]:
    """What a member has of its own, but for options of these names."""
    return {key: value for key, value in member.settings if key.rpartition(".")[2] not in names}


def train_piece(piece: Piece, tell: Tell) -> list[Outcome | Failure]:
    """Write the recipes of a piece's members that have none yet, and train them in stacks; what became of each.

    Where a stack cannot be trained its members are tried alone, so that one takes no others with it. Raises Stopped
    where Ctrl-C was pressed.
    """
    found: list[Outcome | Failure] = []
    members: list[PlannedRun] = []
    with flushed():  # before torch starts its threads, which inherit it
        for member in piece.members:
            folder = _prepared(piece.grid, member)
            try:
                members.append(PlannedRun(folder, Plan.of(run_recipe.read_to_train(folder / run_recipe.FILE))))
            except InterpError as error:
                found.append(Failure(folder, str(error)))
        for stack in stacks(members):
            found += _trained(stack, tell)
    return found


def _trained(stack: Sequence[PlannedRun], tell: Tell) -> list[Outcome | Failure]:
    def told(standing: Standing) -> None:
        tell({"stack": str(stack[0].folder), "updates": standing.updates})

    try:
        return list(train_stack(stack, told))
    except Stopped:
        raise
    except InterpError as error:
        if len(stack) == 1:
            return [Failure(stack[0].folder, str(error))]
    return [outcome for member in stack for outcome in _trained([member], tell)]


def _prepared(grid: Grid, member: Member) -> Path:
    """The member's folder, its recipe written there; one whose training has begun keeps its own."""
    folder = grid.path / member.folder
    path = folder / run_recipe.FILE
    if not path.is_file() or standing(folder, steps_of(grid, member)) is None:
        text = grid.own_recipe(member).dump()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    return folder


def estimate(grid: Grid, state: Present) -> Estimate:
    """Seconds and bytes of training what is left, from fifty updates of each network among them; nothing is kept."""
    seconds, size, count = 0.0, 0, 0
    for members in _alike(state.left):
        plans = [_plan_of(grid, member) for member in members[:MOST_MEMBERS]]
        runs = [PlannedRun(Path(str(number)), plan) for number, plan in enumerate(plans)]
        together = [plan_of_stack(stack) for stack in stacks(runs)]
        count += len(together) * math.ceil(len(members) / len(plans))
        each = sum(stack.seconds_per_update * stack.members for stack in together) / len(plans)
        kept = sum(stack.bytes_on_disk for stack in together) / len(plans)
        for member in members:
            left = _updates_left(grid, state, member)
            seconds += each * left
            size += int(kept * left / (steps_of(grid, member) - start_of(grid, member)))
    return Estimate(seconds, size, count)


def _plan_of(grid: Grid, member: Member) -> Plan:
    document = grid.recipe(member)
    recipe = run_recipe.noted(document, to_train=True)
    document.settle()
    return Plan.of(recipe)
