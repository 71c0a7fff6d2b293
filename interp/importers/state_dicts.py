"""Anyone's own run: a folder of state dicts, one file a checkpoint."""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeInt

from interp.contracts.imported import Arrays, Given, Imported
from interp.errors import InterpError
from interp.files import foreign
from interp.importers.shared import files_by_step, guess, layouts, tensor_names


def state_dicts(
    path: Path,
    task: Given | None = None,
    model: Given | None = None,
    pattern: str | None = None,
    names: dict[str, str | None] | None = None,
    train: str | None = None,
    entry: str | None = None,
    steps: list[NonNegativeInt] | dict[Literal["start", "every"], NonNegativeInt] | None = None,
) -> Imported:
    """State dicts of a training loop of your own: a folder of weight files, at any depth, or one file.

    Files are torch's, safetensors, NumPy's .npz or flax's msgpack; Lightning's and Hugging Face's folders are known.
    The step is what a file says inside, else what its name says; of several checkpoints in one file each has its own.

    - pattern: where the step is in a file's name, such as "model_{step}.pt", where the names do not tell it plainly.
    - entry: the key in the file under which the network lies, or its checkpoints do, such as ema, or a.b for b in a.
    - steps: the steps of checkpoints in one file that does not tell them: [0, 100, 200], or {start: 0, every: 100}.
    - names: which of their tensors is which of ours, {unembed.W_U: their.name}, null for one to leave out, where it is
      not recognised. Recognised by name, order and shape are TransformerLens's layout, those of the published
      networks, and PyTorch's own modules.
    - train: a file with the training pairs: a mask over the pairs, row-major in (a, b), their numbers, or the pairs.

    The operation, the activation and the number of merged heads, which shapes leave open, are those under which the
    last checkpoint answers most, unless a run.yaml says them.
    Raises InterpError where a tensor is not recognised, with what was found and what fits.
    """
    read = files_by_step.reading_once()
    run = files_by_step.find(path, files_by_step.Asked(pattern, entry, steps), read)
    files = run.places

    def tensors(step: int) -> Arrays:
        return files_by_step.arrays_at(files[step], read)

    example, arrays = _example(sorted(files), tensors)
    source = str(files[example].path)
    layout = _layout(arrays, names or {}, source)
    found = guess.guess(arrays, layout, source, task, model)
    if task is None and not found.found:
        raise InterpError(
            f"{source}: which task? no operation explains its answers (at best {found.accuracy:.1%} of the pairs, as "
            f"{found.task[1]['operation']} mod {found.p}); write it into a run.yaml beside the files, such as\n"
            f"task: {{modular_arithmetic: {{p: {found.p}, operation: x+y}}}}\nimporter: state_dicts"
        )
    fitted = layout.fitted(found.model)

    def load(step: int) -> Arrays:
        return layouts.in_our_layout(tensors(step), fitted, str(files[step].path))

    notes = [found.sentence(task is not None)] if task is None or model is None else []
    notes += run.notes
    if layout.names.is_transformer and layout.n_ctx is None:
        notes.append("The files hold no position embedding; it is taken to be 0.")
    return Imported(
        task=found.task,
        model=found.model,
        steps=sorted(files),
        load=load,
        train=_training_pairs(path, train, found.p) if train else None,
        files={step: place.path for step, place in files.items()},
        notes=tuple(notes),
    )


def recognises(path: Path) -> bool:
    """Whether there is a state dict of a network at `path`; the most general of the importers."""
    try:
        files_by_step.find(path)
    except InterpError:
        return False
    return True


def _example(steps: list[int], tensors: Callable[[int], Arrays]) -> tuple[int, Arrays]:
    """Return the checkpoint that stands for the run: the last that is finite and has the tensors that most have.

    Only the last three and about four spread over the run are read; where none of them can be, the others, from the
    last on, until one can. Raises the reason for the last one where none can.
    """
    sample = dict.fromkeys([*steps[-3:], *steps[:: -max(1, len(steps) // 4)]])
    others = [step for step in steps if step not in sample]
    read: dict[int, Arrays] = {}
    reasons: dict[int, InterpError] = {}
    for step in [*sample, *reversed(others)]:
        if read and step not in sample:
            break
        try:
            read[step] = tensors(step)
        except InterpError as error:
            reasons[step] = error
    if not read:
        raise reasons[steps[-1]]
    shapes = {step: frozenset((name, array.shape) for name, array in arrays.items()) for step, arrays in read.items()}
    count = Counter(shapes.values())
    usual = [step for step in read if count[shapes[step]] == max(count.values())]
    finite = [step for step in usual if all(np.isfinite(array).all() for array in read[step].values())]
    chosen = max(finite or usual)
    return chosen, read[chosen]


def _layout(arrays: Arrays, told: Mapping[str, str | None], source: str) -> layouts.Layout:
    """The layout of these tensors. Raises InterpError, with the line to add, where not all are recognised."""
    try:
        matched = _without_second_names(tensor_names.match(arrays, told), arrays)
    except InterpError as error:
        raise InterpError(f"{source}: {error}") from None
    missing = layouts.missing(matched)
    if matched.unknown or missing:
        shapes = {name: array.shape for name, array in arrays.items()}
        raise InterpError(_unrecognised(source, shapes, matched, missing))
    try:
        return layouts.layout(arrays, matched)
    except InterpError as error:
        raise InterpError(f"{source}: {error}") from None


def _without_second_names(names: tensor_names.Names, arrays: Arrays) -> tensor_names.Names:
    """Take an unknown tensor that equals a known one to be that one, saved under two names."""
    known = [arrays[theirs] for theirs in names.theirs.values()]
    second = [name for name in names.unknown if any(_same(arrays[name], array) for array in known)]
    unknown = tuple(name for name in names.unknown if name not in second)
    return dataclasses.replace(names, unknown=unknown, ignored=(*names.ignored, *second))


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


def _unrecognised(source: str, shapes: tensor_names.Shapes, names: tensor_names.Names, missing: list[str]) -> str:
    """The message that says what was found, what fits, and the line to add."""
    lines = [f"{source}: not every tensor was recognised"]
    if any(tensor_names.is_normalisation(name) for name in names.unknown):
        lines.append(
            "  It has layer normalisation, which interp's networks have not: it cannot be read as one of them."
        )
    lines += [f"  recognised: {theirs} {list(shapes[theirs])} as {ours}" for ours, theirs in names.theirs.items()]
    free = missing + sorted(_ours(names) - names.theirs.keys() - set(missing))
    for name in names.unknown:
        fitting = [ours for ours in free if _may_be(ours, name, shapes[name])]
        lines.append(
            f"  not recognised: {name} {list(shapes[name])}"
            + (f"; {tensor_names.closest(name, fitting)}" if fitting else "")
        )
    lines += [f"  missing: {name}" for name in missing]
    if not any(tensor_names.is_normalisation(name) for name in names.unknown):
        proposed = _proposal(names.unknown, missing, shapes)
        lines.append(
            "Tell what they are in a run.yaml beside the files, null for one to leave out (docs/checkpoints.md lists "
            f"the names): importer: {{state_dicts: {{names: {{{proposed}}}}}}}"
        )
    return "\n".join(lines)


def _proposal(unknown: tuple[str, ...], missing: list[str], shapes: tensor_names.Shapes) -> str:
    """The map to write into a run.yaml: each tensor that has no place gets a missing one, or is left out."""
    left = list(unknown)
    pairs: dict[str, str] = {}
    for ours in missing:
        fitting = [name for name in left if _may_be(ours, name, shapes[name])]
        if fitting:
            pairs[ours] = next(iter(difflib.get_close_matches(ours, fitting, n=1, cutoff=0)), fitting[0])
            left.remove(pairs[ours])
    told = [f"{ours}: {theirs}" for ours, theirs in pairs.items()] + [f"{name}: null" for name in left]
    return ", ".join(told or [f"{ours}: their.name" for ours in missing])


def _may_be(ours: str, name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this name and shape may be ours: a bias is no matrix."""
    bias = ".b_" in ours
    return len(shape) in ((1, 2) if bias and ".attn." in ours else (1,) if bias else (2, 3)) and (
        bias or not tensor_names.is_bias(name)
    )


def _ours(names: tensor_names.Names) -> set[str]:
    """All names that the tensors of such a network may have."""
    if not names.is_transformer:
        return {"embed.W_E", "mlp.W_in", "mlp.b_in", "mlp2.W_in", "mlp2.b_in", "unembed.W_U", "unembed.b_U"}
    block = [f"attn.{letter}_{part}" for letter in "Wb" for part in "QKVO"]
    block += [f"mlp.{letter}_{way}" for letter in "Wb" for way in ("in", "out")]
    ours = {f"blocks.{layer}.{name}" for layer in range(names.n_layers) for name in block}
    merged = {name for name in names.theirs if name.endswith("QKV")}
    ours -= {
        name.replace("QKV", letter).replace("W_", f"{kind}_") for name in merged for letter in "QKV" for kind in "Wb"
    }
    return ours | {"embed.W_E", "pos_embed.W_pos", "unembed.W_U", "unembed.b_U"}


def _training_pairs(folder: Path, file: str, p: int) -> np.ndarray:
    """The mask over the pairs, [pair], in a file beside the weights.

    Raises InterpError where the file has none of the three forms.
    """
    place = (folder if folder.is_dir() else folder.parent) / file
    content = foreign.read(place)
    if isinstance(content, Mapping):
        held = [value for value in content.values() if isinstance(value, np.ndarray)]
        content = held[0] if len(held) == 1 else content
    pairs: Any = np.asarray(content) if isinstance(content, np.ndarray | list) else np.zeros(0)
    mask = np.zeros((p, p), bool)
    if pairs.dtype == np.bool_ and pairs.size == p * p:
        return pairs.reshape(-1)  # [pair]
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
