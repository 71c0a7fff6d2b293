"""Sets of images in files: MNIST as it is published or in .npz, CIFAR-10's binary archive, what torchvision keeps."""

from __future__ import annotations

import gzip
import math
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interp.contracts.recipe_file import RecipeFile
from interp.errors import InterpError, shown
from interp.files import foreign
from interp.tasks.shared.first_line import first_line

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
IDX = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
"""The files in which MNIST is published."""
CIFAR_SHAPE = (3, 32, 32)
SHAPES = {"mnist": (1, 28, 28), "cifar10": CIFAR_SHAPE}
"""[channel, row, column] of an image."""
EXPECTED = {
    "mnist": "mnist.npz, or train-images-idx3-ubyte (or .gz) with the other three beside it",
    "cifar10": "cifar-10-binary.tar.gz, or an .npz of x_train, y_train, x_test and y_test",
}


@dataclass(frozen=True)
class ImageSet:
    """The images of a set and their classes, those published for training and for testing."""

    x_train: np.ndarray
    """[image, channel, row, column], 0 to 255."""
    y_train: np.ndarray
    """[image]"""
    x_test: np.ndarray
    y_test: np.ndarray


def from_file(data: str, file: RecipeFile | Path) -> ImageSet:
    """The set `data` in a file. Raises ValueError, one line, where the file is none of the forms it comes in."""
    path, name = Path(file), Path(file).name
    try:
        if name.endswith(".npz"):
            content = foreign.read(path)
            arrays = dict(content) if isinstance(content, dict) else {}
        elif data == "cifar10":
            arrays = _of_archive(path)
        else:
            end = ".gz" if name.endswith(".gz") else ""
            arrays = {key: _of_idx(path.with_name(other + end)) for key, other in IDX.items()}
    except InterpError as error:
        raise ValueError(str(error)) from None
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise ValueError(f"{file}: {first_line(error)}; {data} is read from {EXPECTED[data]}") from None
    return _checked(arrays, data, str(file))


def _of_idx(path: Path) -> np.ndarray:
    """The array of a file in the IDX format: two zeros, the type 8 for bytes, the number of axes, their lengths."""
    if not path.is_file():
        raise OSError(f"{path} is not there")
    content = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    lengths = np.frombuffer(content[4 : 4 + 4 * axes], ">u4").tolist()
    if not axes or len(lengths) != axes or len(content) != 4 + 4 * axes + math.prod(lengths):
        raise OSError(f"{path} is no whole file of MNIST")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(lengths)


def _of_archive(path: Path) -> dict[str, np.ndarray]:
    """CIFAR-10's binary archive: of each image a byte, its class, and its numbers, by channel, row and column."""
    parts: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith(".bin") else None
            if content:
                parts[Path(member.name).name] = content.read()
    found: dict[str, np.ndarray] = {}
    for side in ("train", "test"):
        names = sorted(name for name in parts if name.startswith("test") == (side == "test"))
        numbers = np.frombuffer(b"".join(parts[name] for name in names), np.uint8)
        if not len(numbers) or len(numbers) % (1 + math.prod(CIFAR_SHAPE)):
            raise OSError(f"{path} holds no whole data_batch_….bin and test_batch.bin")
        table = numbers.reshape(-1, 1 + math.prod(CIFAR_SHAPE))
        found |= {f"y_{side}": table[:, 0], f"x_{side}": table[:, 1:].reshape(-1, *CIFAR_SHAPE)}
    return found


def _checked(arrays: dict[str, np.ndarray], data: str, written: str) -> ImageSet:
    """The set of these arrays. Raises ValueError where one is missing or has another shape."""
    if missing := [name for name in ARRAYS if not isinstance(arrays.get(name), np.ndarray)]:
        held = ", ".join(map(shown, arrays)) or "no arrays"
        raise ValueError(f"{written} holds {held}, and no {missing[0]!r}; {data} is read from {EXPECTED[data]}")
    shape = SHAPES[data]
    found = {name: arrays[name] for name in ARRAYS}
    for side in ("train", "test"):
        x, y = found[f"x_{side}"], found[f"y_{side}"].reshape(-1)
        if x.ndim == 4 and x.shape[1:] == (*shape[1:], shape[0]) and shape[0] > 1:
            x = x.transpose(0, 3, 1, 2)  # [image, row, column, channel] in the files of Keras
        if not len(x) or len(x) != len(y) or math.prod(x.shape[1:]) != math.prod(shape):
            raise ValueError(
                f"{written}: x_{side} has shape {list(x.shape)}, y_{side} {list(y.shape)}; expected images of "
                f"{' × '.join(map(str, shape))} and a class for each"
            )
        if y.dtype.kind not in "iu" or y.min() < 0 or y.max() > 9:
            raise ValueError(f"{written}: y_{side} is to be classes from 0 to 9; give {EXPECTED[data]}")
        found |= {f"x_{side}": x.reshape(-1, *shape), f"y_{side}": y}
    return ImageSet(**found)


def from_torchvision(data: str, root: str, download: bool) -> ImageSet:
    """The set `data` as torchvision keeps it in the folder `root`.

    The files of MNIST that it keeps are those that are published, and are read without it. Raises ValueError, one line,
    where torchvision or the set is not there.
    """
    published = Path(root) / "MNIST" / "raw" / IDX["x_train"]
    if data == "mnist" and published.is_file():
        return from_file(data, published)
    instead = f"give file: {EXPECTED[data]}"
    fetch = f"set root, or download: true (interp[vision]), or {instead}"
    absent = f"{data} is not in the folder {root}, where torchvision keeps it; {fetch}"
    if data == "mnist" and not download:
        raise ValueError(absent)
    try:
        from torchvision import datasets
    except ImportError:
        lacks = f"{data} is read by torchvision, which is not installed; install interp[vision], or {instead}"
        raise ValueError(lacks) from None
    except Exception as error:  # one that was built for another torch raises what it likes
        broken = f"torchvision cannot be imported ({first_line(error)}): install one that goes with this torch"
        raise ValueError(f"{data}: {broken}, or {instead}") from None
    make = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[data]
    try:
        of = {side: make(root, train=side == "train", download=download) for side in ("train", "test")}
    except (RuntimeError, OSError) as error:
        if download:
            raise ValueError(f"{data} could not be fetched to {root} ({first_line(error)}); {instead}") from None
        raise ValueError(absent) from None
    arrays = {f"x_{side}": np.asarray(one.data) for side, one in of.items()}
    arrays |= {f"y_{side}": np.asarray(one.targets) for side, one in of.items()}
    return _checked(arrays, data, root)
