"""Molecules as graphs and a property of each, to be met: QM9."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt

from interp.contracts.graphs import Graphs
from interp.contracts.recipe_file import BesideRecipe
from interp.errors import InterpError
from interp.files import foreign

FIELDS = {"x": "[atom, 11]", "edge_index": "[2, bond]", "edge_attr": "[bond, 4]", "y": "[1, 19]"}
"""What a molecule of PyTorch Geometric has."""
EXPECTED = "QM9 as PyTorch Geometric keeps it, processed/data_v3.pt or raw/qm9_v3.pt"
ALPHA = 1


def molecules(
    file: BesideRecipe | None = None,
    n_train: PositiveInt = 100,
    n_test: NonNegativeInt = 100,
    target: Annotated[int, Field(ge=0, lt=19)] = ALPHA,
    standardised: bool = False,
    seed: NonNegativeInt | None = None,
) -> Graphs:
    """Molecules of QM9 and one of their 19 properties, to be met with the loss mse.

    A molecule is a graph, dense and padded with zeros to the largest one chosen: its atoms have 11 features, and its
    bonds, both ways, 4, which say of which kind they are.

    - file: QM9 as PyTorch Geometric keeps it, relative to the run.yaml: `processed/data_v3.pt`, where x, edge_index,
      edge_attr and y of all molecules lie one after another, with the places where each begins; or `raw/qm9_v3.pt`, a
      list of molecules that have these, which takes minutes to read. Nothing in it is run.
    - target: the number of the property, in the file's order; 1 is the polarizability α, in Bohr³, as in Omnigrok.
    - standardised: whether the targets are less the mean of those trained on, over their standard deviation.
    - seed: draws the molecules; null, which is the default, takes the first ones.

    Paper: Liu et al. 2022, arXiv 2210.01117; Ramakrishnan et al. 2014, doi 10.1038/sdata.2014.22

    Raises ValueError where the file is not given, is another, or holds fewer molecules.
    """
    if file is None:
        raise ValueError(f"no molecules come with interp; give file: {EXPECTED}")
    there, molecule = _read(file)
    count = n_train + n_test
    if count > there:
        raise ValueError(f"n_train + n_test is {count:,}, and {file} holds {there:,} molecules; lower them")
    order = np.arange(there) if seed is None else np.random.default_rng(seed).permutation(there)
    chosen = [_checked(molecule(place), f"{file}: molecule {place}") for place in order[:count].tolist()]
    y = torch.tensor([float(one["y"].reshape(-1)[target]) for one in chosen])
    if standardised:
        known = y[:n_train]
        y = (y - known.mean()) / (known.std(correction=0) if known.std(correction=0) > 0 else 1)
    n_features, n_edge_features = (chosen[0][name].shape[1] for name in ("x", "edge_attr"))
    return Graphs(
        description=f"property {target} of {n_train:,} molecules of QM9",
        inputs=torch.from_numpy(_dense(chosen)),
        targets=y[:, None],
        n_outputs=1,
        train=torch.arange(count) < n_train,
        n_features=n_features,
        n_edge_features=n_edge_features,
    )


def _read(file: BesideRecipe) -> tuple[int, Callable[[int], Any]]:
    """How many molecules the file has, and what gives the one of a number.

    Raises ValueError, one line, where it holds none.
    """
    try:
        content = foreign.read(Path(file))
    except InterpError as error:
        raise ValueError(f"{error}; give {EXPECTED}") from None
    if isinstance(content, list) and content and isinstance(content[0], Mapping):
        return len(content), content.__getitem__
    if isinstance(content, tuple) and len(content) > 1 and all(isinstance(part, Mapping) for part in content[:2]):
        arrays, starts = content[:2]
        if all(isinstance(part.get(name), np.ndarray) for part in (arrays, starts) for name in FIELDS):
            return len(starts["y"]) - 1, lambda place: _cut(arrays, starts, place)
    raise ValueError(f"{file} holds no molecules with {', '.join(FIELDS)}; give {EXPECTED}")


def _cut(arrays: Mapping[str, np.ndarray], starts: Mapping[str, np.ndarray], place: int) -> dict[str, np.ndarray]:
    """One molecule of those that lie one after another: its bonds along the second axis of `edge_index`."""
    of_one = {name: slice(*starts[name][place : place + 2].tolist()) for name in FIELDS}
    return {
        name: arrays[name][:, part] if name == "edge_index" else arrays[name][part] for name, part in of_one.items()
    }


def _checked(molecule: Any, where: str) -> dict[str, np.ndarray]:
    """The arrays of a molecule. Raises ValueError, one line, where one is missing or they do not go together."""
    arrays: dict[str, np.ndarray] = {}
    for name, shape in FIELDS.items():
        array = molecule.get(name) if isinstance(molecule, Mapping) else None
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{where} has no {name} {shape}; give {EXPECTED}")
        arrays[name] = array
    x, index, bonds = arrays["x"], arrays["edge_index"], arrays["edge_attr"]
    fits = x.ndim == 2 and bonds.ndim == 2 and index.shape == (2, len(bonds)) and arrays["y"].size == 19
    if not fits or (len(bonds) and not 0 <= index.min() <= index.max() < len(x)):
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise ValueError(f"{where} has {shapes}, which do not go together; give {EXPECTED}")
    return arrays


def _dense(chosen: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    """The graphs in one array, as `Graphs` says."""
    most = max(len(one["x"]) for one in chosen)
    features, kinds = (chosen[0][name].shape[1] for name in ("x", "edge_attr"))
    nodes = np.zeros((len(chosen), most, 1 + features), np.float32)
    linked = np.zeros((len(chosen), most, most), np.float32)  # [graph, to, from]
    edges = np.zeros((len(chosen), most, most, kinds), np.float32)
    for place, one in enumerate(chosen):
        nodes[place, : len(one["x"])] = np.concatenate([np.ones((len(one["x"]), 1)), one["x"]], axis=1)
        source, to = one["edge_index"]
        linked[place, to, source] = 1
        edges[place, to, source] = one["edge_attr"]
    return np.concatenate([nodes, linked, edges.reshape(len(chosen), most, -1)], axis=2)
