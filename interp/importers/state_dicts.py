"""Anyone's own run: a folder of state dicts, one file a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interp import foreign
from interp.errors import InterpError
from interp.importers import _files, _guess, _names, _weights
from interp.importers._imported import Arrays, Given, Imported, state_dict


def state_dicts(
    path: Path,
    task: Given | None = None,
    model: Given | None = None,
    pattern: str | None = None,
    names: dict[str, str | None] | None = None,
    train: str | None = None,
) -> Imported:
    """State dicts of a training loop of your own: a folder of .pt, .pth or .safetensors files, or one file.

    The step is the last number in a file's name, or where `pattern`, such as "model_{step}.pt", says. Tensors are
    recognised by name, order and shape: TransformerLens's layout, those of the published networks, and PyTorch's own
    modules; `names` tells the others, {unembed.W_U: their.name}, null for one to leave out. What shapes leave open (the
    operation, the activation, the number of merged heads) is what the last checkpoint answers best, unless a run.yaml
    says it. `train` is a file with the training pairs: a mask over the pairs, row-major in (a, b), their numbers, or
    the pairs themselves.

    Raises InterpError that lists what was found and what fits where a tensor is not recognised.
    """
    files = _files.by_step(path, pattern)
    collection = _Collection(files, dict(names or {}))
    last, arrays = collection.last()
    source = str(files[last].path)
    layout = _layout(arrays, collection.names, source)
    found = _guess.guess(arrays, layout, source, task, model)
    if task is None and not found.found:
        raise InterpError(
            f"{source}: which task? no operation explains its answers (at best {found.accuracy:.1%} of the pairs, as "
            f"{found.task[1]['operation']} mod {found.p}); write a run.yaml with 'task' and 'importer: state_dicts'"
        )
    n_heads, n_ctx = _guess.n_heads_of(layout, found.model), _guess.n_ctx_of(found.model)

    def load(step: int) -> Arrays:
        return _weights.tensors(collection.read(step), layout, n_heads, n_ctx, str(files[step].path))

    return Imported(
        found.task,
        found.model,
        sorted(files),
        load,
        _training_pairs(path, train, found.p) if train else None,
        {step: place.path for step, place in files.items()},
        (found.sentence,) if task is None else (),
    )


def recognises(path: Path) -> bool:
    """Whether there is a state dict of a network at `path`; the most general of the importers."""
    try:
        files = _files.by_step(path, None)
        state_dict(foreign.read(files[max(files)].path), str(path))
    except InterpError:
        return False
    return True


@dataclass(frozen=True)
class _Collection:
    """The state dicts of a run, each read when it is asked for."""

    files: Mapping[int, _files.Place]
    names: dict[str, str | None]

    def read(self, step: int) -> Arrays:
        return _files.arrays_at(self.files[step])

    def last(self) -> tuple[int, Arrays]:
        """The last that can be read. Raises the reason for the last one where none can."""
        reason: InterpError | None = None
        for step in sorted(self.files, reverse=True):
            try:
                return step, self.read(step)
            except InterpError as error:
                reason = reason or error
        assert reason is not None
        raise reason


def _layout(arrays: Arrays, told: dict[str, str | None], source: str) -> _weights.Layout:
    shapes = {name: array.shape for name, array in arrays.items()}
    try:
        matched = _without_second_names(_names.match(shapes, told), arrays)
    except InterpError as error:
        raise InterpError(f"{source}: {error}") from None
    try:
        if matched.unknown:
            raise _weights.MissingError([])
        return _weights.layout(arrays, matched)
    except _weights.MissingError as error:
        raise InterpError(_unrecognised(source, shapes, matched, error.missing)) from None
    except InterpError as error:
        raise InterpError(f"{source}: {error}") from None


def _without_second_names(names: _names.Names, arrays: Arrays) -> _names.Names:
    """A tensor that is saved under two names is one."""
    known = [arrays[theirs] for theirs in names.theirs.values()]
    second = [name for name in names.unknown if any(np.array_equal(arrays[name], array) for array in known)]
    unknown = tuple(name for name in names.unknown if name not in second)
    return dataclasses.replace(names, unknown=unknown, ignored=(*names.ignored, *second))


def _unrecognised(source: str, shapes: _names.Shapes, names: _names.Names, missing: list[str]) -> str:
    """What was found, what fits, and the line to add."""
    lines = [f"{source}: not every tensor was recognised"]
    if any(_names.is_normalisation(name) for name in names.unknown):
        lines.append(
            "  It has layer normalisation, which interp's networks have not: it cannot be read as one of them."
        )
    lines += [f"  recognised: {theirs} {list(shapes[theirs])} as {ours}" for ours, theirs in names.theirs.items()]
    wanted = missing or sorted(_ours(names) - names.theirs.keys())
    for name in names.unknown:
        alike = [ours for ours in wanted if (".b_" in ours) == _names.is_bias(name)] or wanted
        lines.append(f"  not recognised: {name} {list(shapes[name])}; {_names.closest(name, alike)}")
    lines += [f"  missing: {name}" for name in missing]
    first_ours = next(iter(missing or [ours for ours in wanted if ".b_" not in ours]), "unembed.W_U")
    first_theirs = names.unknown[0] if names.unknown else "their.name"
    lines.append(
        "Tell what they are in a run.yaml beside the files, null for one to leave out: "
        f"importer: {{state_dicts: {{names: {{{first_ours}: {first_theirs}}}}}}}"
    )
    return "\n".join(lines)


def _ours(names: _names.Names) -> set[str]:
    if not names.is_transformer:
        return {"embed.W_E", "mlp.W_in", "mlp.b_in", "mlp2.W_in", "mlp2.b_in", "unembed.W_U", "unembed.b_U"}
    block = [f"attn.{letter}_{part}" for letter in "Wb" for part in "QKVO"]
    block += [f"mlp.{letter}_{way}" for letter in "Wb" for way in ("in", "out")]
    ours = {f"blocks.{layer}.{name}" for layer in range(names.n_layers) for name in block}
    return ours | {"embed.W_E", "pos_embed.W_pos", "unembed.W_U", "unembed.b_U"}


def _training_pairs(folder: Path, file: str, p: int) -> np.ndarray:
    """The mask, [pair], in a file beside the weights. Raises InterpError where it is none of the three forms."""
    place = (folder if folder.is_dir() else folder.parent) / file
    content = foreign.read(place)
    if isinstance(content, Mapping):
        held = [value for value in content.values() if isinstance(value, np.ndarray)]
        content = held[0] if len(held) == 1 else content
    pairs: Any = np.asarray(content) if isinstance(content, np.ndarray | list) else np.zeros(0)
    mask = np.zeros((p, p), bool)
    if pairs.dtype == np.bool_ and pairs.size == p * p:
        return pairs.reshape(-1)
    if pairs.dtype.kind in "iu" and pairs.size and pairs.min() >= 0:
        if pairs.ndim == 1 and pairs.max() < p * p:
            mask.reshape(-1)[pairs] = True
            return mask.reshape(-1)
        if pairs.ndim == 2 and pairs.shape[1] >= 2 and pairs[:, :2].max() < p:
            mask[pairs[:, 0], pairs[:, 1]] = True
            return mask.reshape(-1)
    raise InterpError(
        f"{place} is no list of training pairs: expected a mask over the {p * p:,} pairs, their numbers a·{p} + b, "
        "or the pairs [a, b] themselves"
    )
