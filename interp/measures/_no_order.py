"""What measures of frequencies answer on a task without a cyclic order: the frequencies it would have, and NaN."""

from __future__ import annotations

from typing import TypeVar

import torch

from interp import schema
from interp.tasks._task import Task

Record = TypeVar("Record")


def no_order(record: type[Record], task: Task) -> Record:
    """A record whose only axis is `freq`: floats NaN, masks False."""
    freq = torch.arange(task.p // 2 + 1)
    unknown = {
        field.name: torch.full([len(freq)] * len(field.axes), torch.nan, dtype=torch.float64)
        for field in schema.of_dataclass(record).fields
        if field.kind == "f"
    }
    masks = {
        field.name: torch.zeros(len(freq), dtype=torch.bool)
        for field in schema.of_dataclass(record).fields
        if field.kind == "b"
    }
    return record(**{"freq": freq} | unknown | masks)
