"""What results ask of a run, and of many on named axes: checkpoints by step, and what an answer was made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from interp.errors import DamagedError
from interp.provenance import Reads
from interp.results.shipping import Shipped


class Moment(ABC):
    """A checkpoint: what a measure is called on."""

    step: int

    @property
    @abstractmethod
    def digest(self) -> str:
        """A fingerprint of its weights."""

    @property
    @abstractmethod
    def finite(self) -> bool:
        """Whether every weight is a finite number."""

    @abstractmethod
    def measure(self, name: str, **options: Any) -> Any:
        """A measure's answer here. Raises NothingToSay where it has none."""


class Series(ABC):
    """A run: checkpoints by step, as they were when it was opened."""

    name: str

    @property
    @abstractmethod
    def steps(self) -> list[int]:
        """Ascending. Raises InterpError where there is no checkpoint that can be read."""

    @property
    @abstractmethod
    def known_steps(self) -> list[int]:
        """Every step that was there when it was opened, those that cannot be read among them."""

    @abstractmethod
    def __getitem__(self, step: Any) -> Moment: ...

    @property
    @abstractmethod
    def origin(self) -> Reads:
        """What every answer on it is made from, beside weights."""

    @abstractmethod
    def answer(self, question: str) -> str:
        """The present answer to a question that was noted while something was computed from it."""

    @abstractmethod
    def visiting(self, steps: Sequence[int]) -> Series:
        """The run as part of an analysis that visits these steps."""

    @abstractmethod
    def scoped(self, scope: str) -> Series:
        """The run for a measure of several, which notes its questions with `scope` before them."""

    @abstractmethod
    def has_changed(self) -> bool:
        """Whether its weights are no longer those of when it was opened."""

    @abstractmethod
    def remember_damage(self, error: DamagedError) -> None:
        """Leave out the checkpoint that could not be read, where the error says which."""

    @abstractmethod
    def refreshed(self, steps: Sequence[int] | None = None) -> Series:
        """The run as it is now, at these steps."""

    @property
    def shipped(self) -> Shipped | None:
        """The results that stand in the place of weights which are not there."""
        return None


class SeriesGrid(ABC):
    """Runs on named axes, of which none is opened before it is asked for. A place may be empty."""

    name: str

    @property
    @abstractmethod
    def axes(self) -> Mapping[str, Sequence[int | float | str]]:
        """The labels along each axis, those of empty places among them."""

    @property
    @abstractmethod
    def places(self) -> list[tuple[int | float | str, ...]]:
        """Where there is a run with checkpoints: a label of each axis."""

    @abstractmethod
    def opened(self, place: tuple[int | float | str, ...]) -> Series:
        """The run there. Raises InterpError where it cannot be opened."""

    @abstractmethod
    def stamp(self, place: tuple[int | float | str, ...]) -> str:
        """What changes whenever a file of the run there does, told without opening it; "" where that cannot be."""

    @property
    def shipped(self) -> Shipped | None:
        """The results that stand in the place of weights which are not there, where none are."""
        return None
