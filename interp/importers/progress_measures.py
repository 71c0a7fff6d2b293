"""The networks of Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability"."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeInt

from interp.contracts.imported import Arrays, Given, Imported
from interp.errors import InterpError
from interp.files import foreign
from interp.importers.shared import configuration, files_by_step, layouts, splits, tensor_names
from interp.maths.cross_entropy import cross_entropy
from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic

OPERATIONS = {"add": "x+y", "subtract": "x-y", "x2xyy2": "x^2+x*y+y^2", "rand": "random"}
RULE = "random.shuffle"
"""How the release shuffles its pairs; no other way is tried."""
SHARE = 0.3
"""The release's own, taken where losses that are some updates old leave the share open."""


def progress_measures(path: Path, seed: NonNegativeInt | None = None, frac_train: float | None = None) -> Imported:
    """A .pth file of the progress-measures release: weights, recorded losses, configuration; or a series of them.

    One-layer transformers on [a, b, =] modulo p, ReLU, 4 heads, stored as W @ x. The split is the release's own rule
    with the configuration's seed and share; without a configuration, those under which the recorded train and test
    losses are the weights' own. `seed` and `frac_train` overrule both.

    Raises InterpError where the file is not such a network.
    """
    if not path.is_file():
        raise InterpError(f"{path} is not a file; expected a .pth file of the progress-measures release")
    content = foreign.read(path)
    places = _steps(path, content)
    last = max(places)
    tensors = files_by_step.arrays_at(places[last], lambda _: content)
    layout = layouts.layout(tensors, tensor_names.match(tensors))
    settings = configuration.inside(content)
    p = int(settings.get("p", layout.d_vocab - 1))
    if layout.n_ctx != 3 or layout.d_vocab != p + 1:
        raise InterpError(
            f"{path} is not a network on [a, b, =]: vocabulary {layout.d_vocab}, {layout.n_ctx} positions"
        )
    options = {
        "n_layers": layout.names.n_layers,
        "d_model": layout.d_model,
        "n_heads": layout.n_heads,
        "d_mlp": layout.d_hidden,
        "act_fn": str(settings.get("act_type", "ReLU")).lower(),
        "biases": layout.biases,
    }
    model: Given = ("transformer", options)
    fitted = layout.fitted(model)
    task = {"p": p, "operation": _operation(settings, path)}

    def load(step: int) -> Arrays:
        arrays = files_by_step.arrays_at(places[step], lambda _: content)
        return layouts.in_our_layout(arrays, fitted, str(path))

    found_seed = settings.get("seed", settings.get("random_seed")) if seed is None else seed
    share = float(settings.get("frac_train", SHARE) if frac_train is None else frac_train)
    notes: tuple[str, ...] = ()
    if found_seed is None:
        known = float(settings["frac_train"]) if "frac_train" in settings else frac_train
        found = _by_losses(content, task, options, load(last), splits.SHARES if known is None else (known,))
        if found is not None:
            found_seed, share, notes = found.seed, found.frac_train, (found.sentence,)
    split = {"split": "unknown"} if found_seed is None else {"seed": found_seed, "frac_train": share}
    return Imported(
        task=("modular_arithmetic", task | split),
        model=model,
        steps=sorted(places),
        load=load,
        files=dict.fromkeys(places, path),
        notes=notes,
    )


def recognises(path: Path) -> bool:
    """Whether `path` is a file of the release: its layout, three positions, losses recorded beside the weights."""
    try:
        content = foreign.read(path) if path.is_file() else None
        places = _steps(path, content)
        tensors = files_by_step.arrays_at(places[max(places)], lambda _: content)
    except (InterpError, ValueError):
        return False
    shapes = [tensors[name].shape for name in ("embed.W_E", "pos_embed.W_pos") if name in tensors]
    recorded = isinstance(content, Mapping) and any("losses" in str(key) or key == "config" for key in content)
    return recorded and len(shapes) == 2 and shapes[0][0] == shapes[1][-1] and shapes[1][0] == 3


def _steps(path: Path, content: Any) -> dict[int, files_by_step.Place]:
    """Map steps to places: a series has its epochs, one network the number of losses recorded, one an update."""
    places = files_by_step.in_one_file(path, content)
    losses = content.get("train_losses") if isinstance(content, Mapping) else None
    if len(places) == 1 and isinstance(losses, list | np.ndarray) and len(losses):
        return {len(losses): next(iter(places.values()))}
    return places


def _operation(settings: Mapping[str, Any], path: Path) -> str:
    name = str(settings.get("fn_name", "add"))
    if name not in OPERATIONS:
        raise InterpError(f"{path}: its fn_name is {name[:40]!r}; known are {', '.join(OPERATIONS)}")
    return OPERATIONS[name]


def _by_losses(
    content: Any, task: dict[str, Any], model: dict[str, Any], arrays: Arrays, shares: tuple[float, ...]
) -> splits.Split | None:
    """The one split by the release's own rule that gives the recorded losses; None where none or several do."""
    train_loss, test_loss = _last(content, "train_losses"), _last(content, "test_losses")
    if train_loss is None or test_loss is None:
        return None
    architecture = transformer(modular_arithmetic(p=task["p"], split="unknown"), **model)
    weights = {name: torch.from_numpy(array).double() for name, array in arrays.items()}
    with torch.no_grad():
        logits = architecture.outputs(weights, architecture.task.pairs)
    losses = cross_entropy(logits, modular_arithmetic(**task, split="unknown").targets).numpy()
    ways = [splits.Ways((RULE,), shares=each) for each in (shares, (SHARE,))]
    found = (splits.split_by_losses(losses, (train_loss, test_loss), None, each) for each in ways)
    return next((one for one in found if one is not None), None)


def _last(content: Any, key: str) -> float | None:
    """The last number of the list that the file holds under `key`; None where there is none."""
    values = content.get(key) if isinstance(content, Mapping) else None
    if isinstance(values, list | np.ndarray) and len(values) and isinstance(values[-1], float | np.floating):
        return float(values[-1])
    return None
