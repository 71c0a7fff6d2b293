"""What measures of frequencies answer on a task without a cyclic order: the frequencies it would have, and NaN."""

from __future__ import annotations

from typing import TypeVar

import torch

from interp.contracts.task import Task
from interp.results import schema

Record = TypeVar("Record")


def no_order(record: type[Record], task: Task) -> Record:
    """A record over `freq` and over residues: floats NaN, masks False, labels 0, 1, …."""
    fields = schema.of_dataclass(record)
    sizes = {axis: task.p // 2 + 1 if axis == "freq" else task.p for axis in fields.axes}
    filled = {"f": torch.tensor(torch.nan, dtype=torch.float64), "b": torch.tensor(False)}
    return record(
        **{field.name: torch.arange(sizes[field.name]) for field in fields.labels},
        **{field.name: filled[field.kind].repeat([sizes[axis] for axis in field.axes]) for field in fields.variables},
    )
