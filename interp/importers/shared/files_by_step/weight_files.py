"""The weight files below a folder, at any depth; what lies beside them and is none is told apart by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interp.errors import InterpError
from interp.importers.shared.files_by_step.names import SUFFIXES
from interp.importers.shared.files_by_step.places import listed

WITHOUT_ENDING = re.compile(r"(checkpoint|ckpt|model|params|state)s?[_-]?\d+|checkpoint|ckpt|model|params")
"""Names that flax's own `save_checkpoint`, and others, give to files without an ending."""
BESIDE = re.compile(
    r"(optim\w*|opt_?states?\w*|sched\w*|lr_sched\w*|rng\w*|random_states?\w*|training_args|scaler|sampler|dataloader\w*|trainer_state)(?![a-z])"
)
"""What a name begins with where the file is not a network."""
SHARD = re.compile(r"-\d{5}-of-\d{5}\.(safetensors|bin|pt)$")
KERAS = (".h5", ".hdf5", ".keras")
ORBAX = {"_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"}
MAX_FILES = 200_000


@dataclass(frozen=True)
class WeightFiles:
    """Files that may hold a network, and those beside them that by their names do not."""

    files: tuple[Path, ...]
    beside: tuple[Path, ...]


def weight_files(folder: Path) -> WeightFiles:
    """Return the weight files below the folder, in the order of their names; hidden folders are left out.

    Raises InterpError where there is none, or where they are of a kind that is not read, which is named.
    """
    found = list(_files(folder))
    shards = [file for file in found if SHARD.search(file.name)]
    if shards:
        raise InterpError(
            f"{folder} holds a network in {len(shards)} pieces ({listed(file.name for file in shards)}), which is not "
            "read here; save it as one file: model.save_pretrained(folder, max_shard_size='100GB')"
        )
    weights = [file for file in found if _may_be_weights(file)]
    beside = [file for file in weights if BESIDE.match(file.name.lower())]
    files = tuple(file for file in weights if file not in set(beside))
    if not files:
        raise InterpError(f"{folder} {_what_else(found, beside)}")
    return WeightFiles(files, tuple(beside))


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(files):
            count += 1
            if count > MAX_FILES:
                raise InterpError(f"{folder} holds more than {MAX_FILES:,} files; expected the folder of one run")
            if not name.startswith("."):
                yield Path(place) / name


def _may_be_weights(file: Path) -> bool:
    return (file.suffix.lower() in SUFFIXES or WITHOUT_ENDING.fullmatch(file.name) is not None) and file.is_file()


def _what_else(found: list[Path], beside: list[Path]) -> str:
    keras = [file.name for file in found if file.suffix.lower() in KERAS]
    if keras:
        return f"holds {listed(keras)}, Keras' own, which is not read here; save the weights as .npz or safetensors"
    if any(file.name in ORBAX for file in found):
        return (
            "holds a checkpoint of orbax, which is not read here; save the parameters as one file: "
            "flax.serialization.to_bytes(params), as .msgpack"
        )
    more = f"; beside it lie {listed(file.name for file in beside)}, which are none" if beside else ""
    return f"holds no weight file; expected files that end in {', '.join(SUFFIXES)}{more}"
