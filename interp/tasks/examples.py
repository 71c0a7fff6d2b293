"""Examples of one's own, from a file beside the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Num, Shaped
from pydantic import PositiveInt
from torch import Tensor

from interp.contracts.recipe_file import BesideRecipe
from interp.contracts.task import Task
from interp.errors import InterpError, shown
from interp.files import foreign

EXPECTED = "expected arrays inputs [example, …], targets [example] and perhaps train [example]"


def examples(file: BesideRecipe, n_outputs: PositiveInt | None = None) -> Task:
    """Examples of your own: the arrays `inputs`, `targets` and, where it is known, `train` of a file.

    The file is .npz, .pt or .safetensors, relative to the run.yaml. Targets that are whole numbers are classes from 0
    on; others are values to be met, one or several an example, with loss: mse. `train` is true where an example is
    trained on, of all examples; without it nobody knows, and nothing can be trained.

    - n_outputs: how many numbers a network answers with; else a class's largest number plus one, and as many as there
      are values. One output answers two classes by its sign.

    Raises ValueError where an array is missing or of another length, is of objects or text, or holds no number (NaN).
    """
    written = str(file)
    try:
        content = foreign.read(Path(file))
    except InterpError as error:
        raise ValueError(str(error)) from None
    arrays = {
        str(name): np.asarray(value)
        for name, value in (content.items() if isinstance(content, Mapping) else ())
        if isinstance(value, np.ndarray | list)
    }
    missing = [name for name in ("inputs", "targets") if name not in arrays]
    if missing:
        held = f"{', '.join(map(shown, arrays)) or 'no arrays'}" if isinstance(content, Mapping) else "one object"
        raise ValueError(f"{written} holds {held}, and no {missing[0]!r}; {EXPECTED}")
    inputs, targets = _numbers(arrays["inputs"], "inputs", written), _numbers(arrays["targets"], "targets", written)
    if not inputs.ndim or not len(inputs):
        raise ValueError(f"{written}: inputs has shape {list(inputs.shape)}, so there are no examples; {EXPECTED}")
    if targets.ndim == 0 or len(targets) != len(inputs):
        raise ValueError(f"{written}: inputs has shape {list(inputs.shape)}, targets {list(targets.shape)}; {EXPECTED}")
    known = n_outputs or 0
    outputs = _classes(targets, known, written) if not targets.is_floating_point() else _values(targets, known, written)
    train = _mask(arrays["train"], len(inputs), written) if "train" in arrays else None
    kind = f"{outputs} value{'s' * (outputs > 1)}" if targets.is_floating_point() else f"{max(outputs, 2)} classes"
    return Task(f"{len(inputs):,} examples of {written}, {kind}", inputs, targets, outputs, train)


def _numbers(array: np.ndarray, name: str, written: str) -> Num[Tensor, "..."]:
    """Return whole numbers as int64, others as float32. Raises ValueError where one is not finite, or no number."""
    if array.dtype.kind not in "biuf":
        what = "complex numbers" if array.dtype.kind == "c" else "objects or text"
        raise ValueError(f"{written}: {name} holds {what} ({array.dtype}); expected whole or floating numbers")
    if array.dtype.kind == "b" and name == "inputs":
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        return torch.from_numpy(array.astype(np.int64))
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0]) if array.ndim else 0
        raise ValueError(f"{written}: {name} holds no finite number in example {row}; leave that example out")
    return torch.from_numpy(array.astype(np.float32))


def _classes(targets: Shaped[Tensor, "example ..."], n_outputs: int, written: str) -> int:
    """How many outputs tell these classes. Raises ValueError where they are not numbered 0, 1, 2, … or are too many."""
    if targets.ndim != 1:
        raise ValueError(
            f"{written}: targets are whole numbers of shape {list(targets.shape)}; expected one class an example, "
            "[example], or floating numbers for values to be met"
        )
    least, most = int(targets.min()), int(targets.max())
    if least < 0:
        raise ValueError(f"{written}: targets begin at {least}; number the classes from 0 on")
    enough = n_outputs > most or (n_outputs == 1 and most == 1)
    if n_outputs and not enough:
        raise ValueError(
            f"n_outputs is {n_outputs}, and {written} has targets up to {most}; make it {most + 1} or more"
        )
    return n_outputs or max(most + 1, 2)


def _values(targets: Shaped[Tensor, "example ..."], n_outputs: int, written: str) -> int:
    """How many values an example has. Raises ValueError where it is not a row of them, or `n_outputs` says another."""
    if targets.ndim > 2:
        raise ValueError(f"{written}: targets has shape {list(targets.shape)}; expected [example] or [example, value]")
    values = 1 if targets.ndim == 1 else targets.shape[1]
    if n_outputs not in (0, values):
        raise ValueError(f"n_outputs is {n_outputs}, and {written} has {values} values an example; leave it out")
    return values


def _mask(array: np.ndarray, count: int, written: str) -> Bool[Tensor, " example"]:
    """The mask of the examples that are trained on. Raises ValueError where it is not a truth value for each."""
    truths = array.dtype.kind == "b" or (array.dtype.kind in "iu" and np.isin(array, (0, 1)).all())
    if array.shape != (count,) or not truths:
        raise ValueError(
            f"{written}: train is {array.dtype} of shape {list(array.shape)}; expected a truth value for each of the "
            f"{count:,} examples, [{count}]"
        )
    return torch.from_numpy(array.astype(np.bool_))
