"""What several measures are tested on: a network of given logits, and perceptrons on examples of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
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


@pytest.fixture
def on_vectors(make_run: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """`on_vectors({"inputs": …, "targets": …}, {step: weights}, name=…, **perceptron)`: perceptrons on these examples.

    `train` may be among the arrays. Of classes the loss is the cross-entropy, of values the squared error.
    """

    def make(
        arrays: Mapping[str, Any], weights: Mapping[int, Mapping[str, Any]], name: str = "run", **perceptron: Any
    ) -> Run:
        file, given = tmp_path / f"{name}.npz", {key: np.asarray(value) for key, value in arrays.items()}
        np.savez(file, **given)
        loss = "mse" if given["targets"].dtype.kind == "f" else "cross_entropy"
        return make_run(weights, {"examples": {"file": str(file)}}, {"perceptron": perceptron}, name, loss)

    return make
