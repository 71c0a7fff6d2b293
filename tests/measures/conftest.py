"""What several measures are tested on: a network of given logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from tests.planted import of_logits


@pytest.fixture
def checkpoint_of(make_run: Callable[..., Run]) -> Callable[..., Checkpoint]:
    """`checkpoint_of(logits, name=…, **task)`: the checkpoint of a network whose logits are these, [a, b, c]."""

    def make(logits: Tensor, name: str = "run", **task: Any) -> Checkpoint:
        network = of_logits(logits, **task)
        return make_run({0: network.weights}, network.task, network.model, name)[0]

    return make
