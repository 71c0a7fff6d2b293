"""The networks of Chughtai et al. 2023, "A toy model of universality", on cyclic, dihedral and permutation groups."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from interp.contracts.imported import Arrays, Given, Imported
from interp.errors import InterpError, shown
from interp.importers.shared import configuration, files_by_step, splits
from interp.maths.groups.named import named_group

PERCEPTRON = {"W_x": "embed_a.W_E", "W_y": "embed_b.W_E", "W": "mlp.W_in", "W_U": "unembed.W_U"}
"""Their name of each tensor of a perceptron -> ours."""
NO_PARAMETERS = {"x_embed", "y_embed", "blocks.0.attn.mask", "blocks.0.attn.IGNORE"}
"""What a transformer's state dict holds besides parameters: second names of W_E, and buffers."""
LETTERS = {"CyclicGroup": "C", "DihedralGroup": "D", "SymmetricGroup": "S", "AlternatingGroup": "A"}
OF_TABLE = (
    "give its table of products in a run.yaml: importer: rep_theory, and task: {group_composition: {table: FILE}}"
)
CONFIG, MODEL = "cfg.json", "model.pt"


def rep_theory(path: Path, task: Given | None = None) -> Imported:
    """A folder of the rep-theory release, model.pt with cfg.json, or the model.pt in it.

    Its perceptrons have no biases and a table for each operand, side by side; its one-layer transformers on [a, b, =]
    have n logits and biases that were never trained, which are left out, as are second names of the embedding, a mask
    and a constant. C_n is addition modulo n, D_n of order 2n and the permutation groups S5, S6 and A5 are numbered as
    the release numbers them; of another, such as S4, the order is not known: a task with its table of products, in a
    run.yaml, tells it. The split is the release's own rule with the configuration's seed and share. model.pt is at step
    num_epochs; beside it may lie checkpoints/epoch_….pt, each saved after that epoch's update: epoch 99 is step 100.
    For a file in that folder cfg.json is looked for one up too.

    Raises InterpError where there is no configuration, the group's order is not known, or the weights are no such
    network.
    """
    settings, place = _settings(path)
    try:
        group, n = str(settings["group"]), int(settings["group_parameter"])
        split = {"seed": int(settings["seed"]), "frac_train": float(settings["frac_train"])}
        num_epochs = int(settings["num_epochs"])
    except (KeyError, TypeError, ValueError) as error:
        raise InterpError(f"{place}: it lacks, or has no number at, {shown(error)}") from None
    name = f"{LETTERS.get(group, f'{shown(group, 40)} ')}{n}"
    files = _files(path, num_epochs)
    last = _last(files)

    def load(step: int) -> Arrays:
        return _ours(_tensors(files[step]), files[step])

    return Imported(
        task=_task(name, place, split) if task is None else task,
        model=_model(last),
        steps=sorted(files),
        load=load,
        files=files,
        train=None if task is None else _training_pairs(last["unembed.W_U"].shape[1], **split),
    )


def _task(name: str, place: Path, split: dict[str, Any]) -> Given:
    """Composition in the group of this name, as the release numbers it; sums in a cyclic one.

    Raises InterpError where there is no such group, or nobody knows how the release numbers it.
    """
    if re.fullmatch(r"C\d+", name):
        return "modular_arithmetic", split | {"p": int(name[1:]), "operation": "x+y", "split": "rep_theory"}
    try:
        named_group(name, "rep_theory")
    except ValueError as error:
        raise InterpError(f"{place}: its group is {name}: {error}; {OF_TABLE}") from None
    return "group_composition", split | {"group": name, "element_order": "rep_theory", "split": "rep_theory"}


def _training_pairs(n: int, seed: int, frac_train: float) -> np.ndarray:
    """The pairs trained on, [pair], by the release's rule."""
    return splits.Split("torch.randperm", seed, frac_train, True, False, int(frac_train * n * n)).mask(n * n, n)


def recognises(path: Path) -> bool:
    """Whether a configuration with a group and its parameter lies with the weights."""
    try:
        settings, _ = _settings(path)
    except InterpError:
        return False
    return {"group", "group_parameter"} <= settings.keys()


def _settings(path: Path) -> tuple[dict[str, Any], Path]:
    """The configuration, and its file. Raises InterpError where there is none."""
    folder = path if path.is_dir() else path.parent
    beside = [folder / CONFIG] if path.is_dir() else [folder / CONFIG, folder.parent / CONFIG]
    found = configuration.beside(beside)
    if found is None:
        raise InterpError(f"{path} has no configuration: expected {folder / CONFIG}")
    return found


def _files(path: Path, num_epochs: int) -> dict[int, Path]:
    """Map steps to files: one file by its name, a folder by the names of its series and model.pt."""
    if path.is_file():
        return {_step_of(path, num_epochs): path}
    series = sorted((path / "checkpoints").glob("epoch_*.pt"))
    files = {_step_of(file, num_epochs): file for file in series if re.fullmatch(r"epoch_\d{1,12}", file.stem)}
    if (path / MODEL).is_file():
        files[num_epochs] = path / MODEL
    if not files:
        raise InterpError(f"{path} holds no {MODEL} and no checkpoints/epoch_….pt")
    return files


def _step_of(file: Path, num_epochs: int) -> int:
    epoch = re.fullmatch(r"epoch_(\d{1,12})", file.stem)
    return int(epoch[1]) + 1 if epoch else num_epochs


def _tensors(file: Path) -> Arrays:
    return files_by_step.arrays_at(files_by_step.Place(file))


def _last(files: Mapping[int, Path]) -> Arrays:
    """Return the last network that can be read. Raises the reason for the very last one where none can."""
    reason: InterpError | None = None
    for step in sorted(files, reverse=True):
        try:
            return _ours(_tensors(files[step]), files[step])
        except InterpError as error:
            reason = reason or error
    assert reason is not None
    raise reason


def _ours(tensors: Arrays, file: Path) -> Arrays:
    """Return their tensors under our names; the shapes are the same.

    Raises InterpError where they are no network of the release.
    """
    if tensors.keys() == PERCEPTRON.keys():
        return {ours: tensors[theirs] for theirs, ours in PERCEPTRON.items()}
    if not {"embed.W_E", "blocks.0.attn.W_Q", "blocks.0.mlp.W_in", "unembed.W_U"} <= tensors.keys():
        raise InterpError(
            f"{file} is no network of the rep-theory release: it holds {shown(', '.join(tensors))}; "
            f"expected {', '.join(PERCEPTRON)}, or a one-layer transformer's embed.W_E, …, unembed.W_U"
        )
    parameters = {name: array for name, array in tensors.items() if name not in NO_PARAMETERS}
    trained = [name for name, array in parameters.items() if ".b_" in name and np.any(array)]
    if trained:
        raise InterpError(f"{file}: {shown(trained[0])} is not 0; the biases of the release were never trained")
    return {name: array for name, array in parameters.items() if ".b_" not in name}


def _model(weights: Arrays) -> Given:
    """The model that has these weights."""
    if "mlp.W_in" in weights:
        return "mlp", {"d_model": weights["embed_a.W_E"].shape[-1], "d_mlp": weights["mlp.W_in"].shape[-1]}
    return (
        "transformer",
        {
            "d_model": weights["embed.W_E"].shape[-1],
            "n_heads": len(weights["blocks.0.attn.W_Q"]),
            "d_mlp": weights["blocks.0.mlp.W_in"].shape[-1],
            "biases": "none",
            "d_vocab_out": weights["unembed.W_U"].shape[1],
        },
    )
