"""How somebody lays out the tensors of a network, and the same tensors in our layout, TransformerLens's.

`layout` tells from names and shapes which way round matrices are and whether heads are merged; what only the model
tells is added by `Layout.fitted`; `in_our_layout` then turns, splits and reshapes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from interp.contracts.imported import Arrays, Given
from interp.errors import InterpError
from interp.importers.shared.tensor_names import Names

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The sizes of a network, and how its tensors are stored."""

    names: Names
    d_model: int
    d_vocab: int
    d_vocab_out: int
    d_hidden: int
    n_ctx: int | None
    """The number of positions; None where none are embedded."""
    d_inner: int
    """n_heads · d_head; in a perceptron the number of inputs of its first hidden layer."""
    n_heads: int | None
    """None where heads are merged into one matrix, so that shapes do not tell."""
    inputs_last: bool
    """Bare matrices are applied as W @ x, [out, in]: the progress-measures and pizza layout; else x @ W."""
    biases: str
    """"none", "hidden" or "all": the biases that are there and are not 0."""

    @property
    def concatenated(self) -> bool:
        """Whether the first hidden layer sees both operands' embeddings side by side."""
        return self.d_inner == 2 * self.d_model

    def fitted(self, model: Given) -> Layout:
        """Return the layout with the number of heads and positions that `model`, our name and options, has."""
        _, options = model
        n_heads = self.n_heads or (int(options.get("n_heads", 4)) if self.names.is_transformer else 1)
        return dataclasses.replace(self, n_heads=n_heads, n_ctx=len(options.get("row", "a b =").split()))


def layout(arrays: Mapping[str, np.ndarray], names: Names) -> Layout:
    """Return what the names and shapes tell. Raises InterpError where a tensor is missing or its shape fits nothing."""
    named = {ours: arrays[theirs] for ours, theirs in names.theirs.items()}
    if absent := missing(names):
        raise InterpError(f"nothing was recognised as {', '.join(absent)}")
    table = next(name for name in ("embed.W_E", "embed_a.W_E") if name in named)
    d_model = _d_model(named, names, table)
    d_vocab = _other(named[table].shape, d_model, names.theirs[table])
    hidden = named["blocks.0.mlp.W_in" if names.is_transformer else "mlp.W_in"]
    if names.is_transformer:
        d_hidden = _other(hidden.shape, d_model, "W_in")
        d_read = d_model
        n_heads, d_inner = _heads(named, d_model)
    else:
        d_read = d_hidden = _d_hidden(named, d_model)
        n_heads, d_inner = 1, _other(hidden.shape, d_hidden, "W_in")
    return Layout(
        names=names,
        d_model=d_model,
        d_vocab=d_vocab,
        d_vocab_out=_other(named["unembed.W_U"].shape, d_read, names.theirs["unembed.W_U"]),
        d_hidden=d_hidden,
        n_ctx=next((size for size in named["pos_embed.W_pos"].squeeze().shape if size != d_model), d_model)
        if "pos_embed.W_pos" in named
        else None,
        d_inner=d_inner,
        n_heads=n_heads,
        inputs_last=_inputs_last(named, names, d_model, d_hidden),
        biases=_biases(named),
    )


def in_our_layout(arrays: Mapping[str, np.ndarray], layout: Layout, source: str) -> Arrays:
    """Return the arrays under our names, in our shapes and float32 or float64, given their layout, `fitted` to a model.

    Positions beyond those of the model are left out. Raises InterpError where an array is not as in the layout.
    """
    missing = sorted(set(layout.names.theirs.values()) - arrays.keys())
    if missing:
        raise InterpError(f"{source} has no {missing[0]!r}, which the other checkpoints have")
    ours: Arrays = {}
    for name, theirs in layout.names.theirs.items():
        ours |= _turned(name, theirs, np.asarray(arrays[theirs]), layout, source)
    if layout.biases != "all":
        ours = _without_zero_biases(ours, source)
    ours |= _zeros_for(ours, layout)
    if "pos_embed.W_pos" in ours:
        ours["pos_embed.W_pos"] = ours["pos_embed.W_pos"][: layout.n_ctx]
    return {name: _in_training_precision(value) for name, value in ours.items()}


def _turned(name: str, theirs: str, array: np.ndarray, layout: Layout, source: str) -> Arrays:
    """Return one of their arrays in our layout: several, by name, where query, key and value are one matrix."""
    d_model, d_inner, d_hidden, n_heads = layout.d_model, layout.d_inner, layout.d_hidden, layout.n_heads or 1
    kind = name.rpartition(".")[2]
    last = layout.inputs_last if array.ndim == 3 or not theirs.endswith("weight") else True

    def matrix(rows: int, columns: int, square_is_turned: bool = last) -> np.ndarray:  # [rows, columns]
        if array.shape == (rows, columns) and not (rows == columns and square_is_turned):
            return array
        if array.shape == (columns, rows):
            return array.T
        raise InterpError(
            f"{source}: {theirs} has shape {_shape(array.shape)}, which as {name} should be "
            f"{_shape((rows, columns))} or {_shape((columns, rows))}"
        )

    def heads(merged: np.ndarray) -> np.ndarray:  # [d_model, head * d_head] -> [head, d_model, d_head]
        return merged.reshape(d_model, n_heads, -1).transpose(1, 0, 2)

    match kind:
        case "W_E":
            return {
                name: matrix(
                    layout.d_vocab, d_model, square_is_turned=layout.inputs_last and not theirs.endswith("weight")
                )
            }
        case "W_pos":
            table = array.reshape(-1, d_model) if array.shape[-1] == d_model else array.T  # [1, pos, d_model] too
            return {name: table}
        case "W_Q" | "W_K" | "W_V" if array.ndim == 3:
            d_head = d_inner // n_heads
            turned = array.shape == (n_heads, d_head, d_model) and (d_head != d_model or last)
            return {name: array.transpose(0, 2, 1) if turned else array}
        case "W_Q" | "W_K" | "W_V":
            return {name: heads(matrix(d_model, d_inner))}
        case "W_QKV":
            merged = np.split(matrix(d_model, 3 * d_inner), 3, axis=1)
            return {name.replace("QKV", letter): heads(part) for letter, part in zip("QKV", merged, strict=True)}
        case "b_QKV":
            parts = np.split(array, 3)
            apart = zip("QKV", parts, strict=True)
            return {name.replace("QKV", letter): part.reshape(n_heads, -1) for letter, part in apart}  # [head, d_head]
        case "b_Q" | "b_K" | "b_V":
            return {name: array.reshape(n_heads, -1)}  # [head, d_head]
        case "W_O" if array.ndim == 3:
            d_head = d_inner // n_heads
            turned = array.shape == (n_heads, d_model, d_head) and (d_head != d_model or last)
            return {name: array.transpose(0, 2, 1) if turned else array}
        case "W_O":
            return {name: matrix(d_inner, d_model).reshape(n_heads, -1, d_model)}  # [head, d_head, d_model]
        case "W_in" if name.startswith("mlp2"):
            return {name: matrix(d_hidden, d_hidden)}
        case "W_in":
            return {name: matrix(d_model if layout.names.is_transformer else d_inner, d_hidden)}
        case "W_out":
            return {name: matrix(d_hidden, d_model)}
        case "W_U":
            return {name: matrix(d_model if layout.names.is_transformer else d_hidden, layout.d_vocab_out)}
    return {name: array}


def missing(names: Names) -> list[str]:
    """The tensors that a network needs and that nothing of theirs was recognised as, by our names."""
    wanted = ["embed.W_E"] if not {"embed_a.W_E", "embed_b.W_E"} <= names.theirs.keys() else []
    wanted += ["unembed.W_U"]
    for layer in range(names.n_layers if names.is_transformer else 0):
        merged = f"blocks.{layer}.attn.W_QKV" in names.theirs
        wanted += [f"blocks.{layer}.attn.W_{part}" for part in (["QKV"] if merged else ["Q", "K", "V"]) + ["O"]]
        wanted += [f"blocks.{layer}.mlp.W_in", f"blocks.{layer}.mlp.W_out"]
    if not names.is_transformer:
        wanted.append("mlp.W_in")
    return [name for name in wanted if name not in names.theirs]


def _d_model(named: Mapping[str, np.ndarray], names: Names, table: str) -> int:
    """The size that the embedding shares with the position embedding, else with the matrices that read it."""
    shape = named[table].shape
    if len(shape) != 2:
        raise InterpError(f"{names.theirs[table]} has shape {_shape(shape)}; expected the embedding, a matrix")
    if names.theirs[table].endswith("weight"):
        return shape[1]
    if "pos_embed.W_pos" in named and named["pos_embed.W_pos"].shape[-1] in shape:
        return named["pos_embed.W_pos"].shape[-1]
    reading = named["blocks.0.mlp.W_in" if names.is_transformer else "mlp.W_in"].shape
    fitting = [size for size in shape if size in reading or 2 * size in reading]
    return shape[1] if shape[1] in fitting or not fitting else fitting[0]


def _d_hidden(named: Mapping[str, np.ndarray], d_model: int) -> int:
    """The width of a perceptron: the size of W_in that is not the embeddings'."""
    first, readout = named["mlp.W_in"].shape, named["unembed.W_U"].shape
    if first[0] == first[1]:
        return first[0]
    inputs = next((size for size in (2 * d_model, d_model) if size in first), None)
    if inputs is None:
        raise InterpError(
            f"the first hidden layer has shape {_shape(first)}; expected {d_model} or {2 * d_model} inputs"
        )
    other = _other(first, inputs, "the first hidden layer")
    return other if other in readout else inputs


def _heads(named: Mapping[str, np.ndarray], d_model: int) -> tuple[int | None, int]:
    """The number of heads, None where they are merged, and n_heads · d_head."""
    query = named.get("blocks.0.attn.W_Q")
    if query is not None and query.ndim == 3:
        n_heads, first, second = query.shape
        return n_heads, n_heads * (second if first == d_model else first)
    if query is not None:
        return None, _other(query.shape, d_model, "W_Q")
    return None, _other(named["blocks.0.attn.W_QKV"].shape, d_model, "the merged query, key and value") // 3


def _inputs_last(named: Mapping[str, np.ndarray], names: Names, d_model: int, d_hidden: int) -> bool:
    """Whether bare matrices are [out, in], as one that is not square tells."""
    for name, array in named.items():
        if not names.theirs[name].endswith("weight") and array.ndim == 2 and array.shape[0] != array.shape[1]:
            if name.endswith("mlp.W_in") and names.is_transformer:
                return array.shape == (d_hidden, d_model)
            if name.endswith("W_E"):
                return array.shape[0] == d_model
    return False


def _biases(named: Mapping[str, np.ndarray]) -> str:
    """Which biases are there and were trained: "none", "hidden" or "all"."""
    there = {name for name, array in named.items() if ".b_" in name}
    if any(np.any(named[name]) for name in there if ".attn." in name or name == "unembed.b_U"):
        return "all"
    return "hidden" if any("mlp" in name for name in there) else "none"


def _without_zero_biases(ours: Arrays, source: str) -> Arrays:
    """Leave out the biases of attention and unembedding, which were never trained.

    Raises InterpError where one is not 0.
    """
    apart = {name: value for name, value in ours.items() if re.search(r"attn\.b_|unembed\.b_U", name)}
    moved = [name for name, value in apart.items() if np.any(value[np.isfinite(value)])]
    if moved:
        raise InterpError(
            f"{source}: {moved[0]} is not 0, as it is at the last checkpoint; give the model biases: all in a run.yaml"
        )
    return {name: value for name, value in ours.items() if name not in apart}


def _zeros_for(ours: Arrays, layout: Layout) -> Arrays:
    """Return zeros for biases that are absent though others of their kind are there, and for positions."""
    zeros: dict[str, Shape] = {}
    names = layout.names
    if names.is_transformer:
        zeros["pos_embed.W_pos"] = (layout.n_ctx or 3, layout.d_model)
        for layer in range(names.n_layers):
            block = f"blocks.{layer}"
            if layout.biases != "none":
                zeros |= {f"{block}.mlp.b_in": (layout.d_hidden,), f"{block}.mlp.b_out": (layout.d_model,)}
            if layout.biases == "all":
                head = (layout.n_heads or 1, layout.d_inner // (layout.n_heads or 1))
                zeros |= {f"{block}.attn.b_{letter}": head for letter in "QKV"}
                zeros[f"{block}.attn.b_O"] = (layout.d_model,)
    else:
        if layout.biases != "none":
            zeros |= {name.replace("W_in", "b_in"): (layout.d_hidden,) for name in ours if name.endswith("W_in")}
    if layout.biases == "all":
        zeros["unembed.b_U"] = (layout.d_vocab_out,)
    return {name: np.zeros(shape, np.float32) for name, shape in zeros.items() if name not in ours}


def _in_training_precision(array: np.ndarray) -> np.ndarray:
    kept = array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
    return np.ascontiguousarray(kept)


def _other(shape: Shape, size: int, name: str) -> int:
    """Return the size of a matrix's other side. Raises InterpError where it has no side of `size`."""
    if len(shape) == 2 and size in shape:
        return shape[0] if shape[1] == size else shape[1]
    raise InterpError(f"{name} has shape {_shape(shape)}; expected a matrix with {size} on one side")


def _shape(shape: Shape) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
