"""How somebody lays out the tensors of a network, and the same tensors in our layout, TransformerLens's.

`heads_together` stacks what is stored a head at a time; `layout` tells from names and shapes which way round matrices
are and whether heads are merged; what only the model tells is added by `Layout.fitted`; `in_our_layout` then turns,
splits and reshapes.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interp.contracts.imported import Arrays, Given
from interp.errors import InterpError
from interp.importers.shared.reparametrised import as_used
from interp.importers.shared.tensor_names import Names, words

Shape = tuple[int, ...]
HEAD = re.compile(r"(?P<before>.*\b(?:attn_|attention_)?heads?[._])(?P<head>\d+)\.(?P<after>.+)$")
SINES_AGREE = 1e-4
"""How far a table of positions may be from sines and cosines in half of float32's digits."""


@dataclass(frozen=True)
class Layout:
    """The sizes of a network, and how its tensors are stored."""

    names: Names
    d_model: int
    d_vocab: int
    d_vocab_out: int
    d_hidden: int
    """The width of a transformer's MLPs."""
    widths: tuple[int, ...]
    """The width of each of a perceptron's hidden layers."""
    n_ctx: int | None
    """The number of positions; None where none are embedded."""
    d_inner: int
    """n_heads · d_head; in a perceptron the number of inputs of its first hidden layer."""
    n_heads: int | None
    """None where heads are merged into one matrix, so that shapes do not tell."""
    inputs_last: bool
    """Bare matrices are applied as W @ x, [out, in]: the progress-measures and pizza layout; else x @ W."""
    modules_inputs_first: bool
    """A module's "weight" is [in, out], as in GPT-2's Conv1D; else [out, in], as in torch's Linear."""
    biases: str
    """"none", "hidden" or "all": the biases that are there and are not 0."""
    sinusoidal: bool
    """The positions are sines and cosines that nobody trained."""
    gate_last: bool = False
    """Where gate and input of an MLP are one matrix, the gate is its second half."""

    @property
    def concatenated(self) -> bool:
        """Whether the first hidden layer sees both operands' embeddings, or one-hot vectors, side by side."""
        return self.d_inner == 2 * (self.d_vocab if self.one_hot else self.d_model)

    @property
    def one_hot(self) -> bool:
        """Whether the first matrix reads the operands as one-hot vectors; so do two tables added before the neurons."""
        return "one_hot.W_in" in self.names.theirs or not (self.names.is_transformer or self.names.hidden)

    @property
    def one_above_the_other(self) -> bool:
        """Whether a perceptron's one table has a row for each residue as a, and below them one for each as b."""
        lookup = not (self.names.is_transformer or self.one_hot or self.tied)
        return lookup and "embed.W_E" in self.names.theirs and self.d_vocab == 2 * self.d_vocab_out

    @property
    def gated(self) -> bool:
        return any(re.search(r"mlp\.W_gate", name) for name in self.names.theirs)

    @property
    def gate_fused(self) -> bool:
        """Whether gate and input of an MLP are one matrix."""
        return any(name.endswith("mlp.W_gate_in") for name in self.names.theirs)

    @property
    def norms(self) -> set[str]:
        """The norms that have parameters: "ln1", "ln2", "ln_final"."""
        found = (re.search(r"(?:^|\.)(ln1|ln2|ln_final)\.[wb]$", name) for name in self.names.theirs)
        return {match[1] for match in found if match}

    @property
    def norm_shifts(self) -> bool:
        """Whether a norm has a shift beside its scale."""
        return any(re.search(r"(?:^|\.)ln(1|2|_final)\.b$", name) for name in self.names.theirs)

    @property
    def says_scale(self) -> bool:
        """Whether the norms' weights are called scale, as flax's are."""
        return any(theirs.endswith("scale") for ours, theirs in self.names.theirs.items() if ours.endswith(".w"))

    @property
    def says_rms(self) -> bool:
        return any("rms" in theirs.lower() for ours, theirs in self.names.theirs.items() if ".w" in ours)

    @property
    def says_ln(self) -> bool:
        """Whether norms are called ln, for LayerNorm; "layernorm" and "norm" are said of RMSNorms too."""
        called = (words(theirs) for ours, theirs in self.names.theirs.items() if re.search(r"ln(1|2|_final)\.w$", ours))
        return any(re.fullmatch(r"ln\d?|lnf", word) for found in called for word in found)

    @property
    def tied(self) -> bool:
        """Whether the table over the tokens is what reads the answer too."""
        return "unembed.W_U" not in self.names.theirs

    def fitted(self, model: Given) -> Layout:
        """Return the layout with the number of heads and positions that `model`, our name and options, has."""
        _, options = model
        n_heads = self.n_heads or (int(options.get("n_heads", 4)) if self.names.is_transformer else 1)
        learned = options.get("positions", "learned") == "learned"
        n_ctx = len(str(options.get("row", "a b =")).split()) if learned else 0
        read = options.get("d_vocab_out") if self.tied else None
        return dataclasses.replace(self, n_heads=n_heads, n_ctx=n_ctx, d_vocab_out=read or self.d_vocab_out)


def layout(arrays: Mapping[str, np.ndarray], names: Names) -> Layout:
    """Return what the names and shapes tell. Raises InterpError where a tensor is missing or its shape fits nothing."""
    named = {ours: arrays[theirs] for ours, theirs in names.theirs.items()}
    if absent := missing(names):
        raise InterpError(f"nothing was recognised as {', '.join(absent)}")
    return _of_transformer(named, names) if names.is_transformer else _of_perceptron(named, names)


def _of_transformer(named: Mapping[str, np.ndarray], names: Names) -> Layout:
    _check_norms(names)
    _check_keys(named, names)
    d_model = _d_model(named, names, "embed.W_E", named["blocks.0.mlp.W_out"].shape)
    d_vocab = _other(named["embed.W_E"].shape, d_model, names.theirs["embed.W_E"])
    d_hidden = _other(named["blocks.0.mlp.W_out"].shape, d_model, names.theirs["blocks.0.mlp.W_out"])
    n_heads, d_inner = _heads(named, d_model)
    readout = names.theirs.get("unembed.W_U")
    position = named["pos_embed.W_pos"].squeeze() if "pos_embed.W_pos" in named else None
    n_ctx = None if position is None else next((size for size in position.shape if size != d_model), d_model)
    return Layout(
        names=names,
        d_model=d_model,
        d_vocab=d_vocab,
        d_vocab_out=_other(named["unembed.W_U"].shape, d_model, readout) if readout else d_vocab,
        d_hidden=d_hidden,
        widths=(),
        n_ctx=n_ctx,
        d_inner=d_inner,
        n_heads=n_heads,
        inputs_last=_inputs_last(named, names, d_model, d_hidden),
        modules_inputs_first=_modules_inputs_first(named, names, d_model, d_inner, d_hidden),
        biases=_biases(named),
        sinusoidal=position is not None and _is_sinusoidal(position, d_model),
    )


def _check_norms(names: Names) -> None:
    """Raises InterpError where norms stand where our transformer has none."""
    places = {f"blocks.{layer}.{norm}" for layer in range(names.n_layers) for norm in ("ln1", "ln2")}
    there = {place for place in places if f"{place}.w" in names.theirs}
    places_there = ", ".join(sorted(there)) or "the end alone"
    if (there and there != places) or (not there and "ln_final.w" in names.theirs):
        raise InterpError(
            f"it has layer normalisation at {places_there}; interp's transformer has one "
            "at each sublayer, before or after it, and perhaps one at the end. The model `module` runs a network of "
            "your own (docs/checkpoints.md), and the importer weights opens any for what its weights alone tell"
        )


def _check_keys(named: Mapping[str, np.ndarray], names: Names) -> None:
    """Raises InterpError where queries have more heads than keys and values have."""
    query, key = (named.get(f"blocks.0.attn.W_{letter}") for letter in "QK")
    if query is not None and key is not None and query.size > key.size:
        raise InterpError(
            f"{names.theirs['blocks.0.attn.W_Q']} has shape {_shape(query.shape)} and "
            f"{names.theirs['blocks.0.attn.W_K']} {_shape(key.shape)}: several queries share a key (grouped or "
            "multiple queries); expected as many keys as queries, as interp's transformer has"
        )


def _of_perceptron(named: Mapping[str, np.ndarray], names: Names) -> Layout:
    hidden = names.hidden
    first, second = hidden[0] if hidden else "", hidden[1] if len(hidden) > 1 else "unembed.W_U"
    if not hidden:
        table, p = "embed_a.W_E", _smaller_shared(named["embed_a.W_E"].shape, named["unembed.W_U"].shape)
        d_model = _other(named[table].shape, p, names.theirs[table])
        widths, d_inner = [d_model], 2 * p
    elif first == "one_hot.W_in":
        after = named[second].shape if second in named else ()
        side = [size for size in named[first].shape if size in after] or list(named[first].shape)
        readout = named["unembed.W_U"].shape
        widths = [next((size for size in side if _other_of(named[first].shape, size) in _answers(readout)), side[0])]
        d_model, d_inner = widths[0], _other(named[first].shape, widths[0], names.theirs[first])
    else:
        table = next(name for name in ("embed.W_E", "embed_a.W_E") if name in named)
        d_model = _d_model(named, names, table, named[first].shape)
        widths = [_d_hidden(named, d_model, second)]
        d_inner = _other(named[first].shape, widths[0], names.theirs[first])
    for name in hidden[1:]:
        widths.append(_other(named[name].shape, widths[-1], names.theirs[name]))
    if "unembed.W_U" in named:
        d_vocab_out = _other(named["unembed.W_U"].shape, widths[-1], names.theirs["unembed.W_U"])
    else:
        d_vocab_out = _other(named[table].shape, d_model, names.theirs[table])
    if first == "one_hot.W_in":
        d_vocab = d_inner if d_inner == d_vocab_out else d_inner // 2
    else:
        d_vocab = _other(named[table].shape, d_model, names.theirs[table])
    return Layout(
        names=names,
        d_model=d_model,
        d_vocab=d_vocab,
        d_vocab_out=d_vocab_out,
        d_hidden=widths[0],
        widths=tuple(widths),
        n_ctx=None,
        d_inner=d_inner,
        n_heads=1,
        inputs_last=_inputs_last(named, names, d_model, widths[0]),
        modules_inputs_first=any(theirs.endswith("kernel") for theirs in names.theirs.values()),
        biases=_biases(named),
        sinusoidal=False,
    )


def _smaller_shared(table: Shape, readout: Shape) -> int:
    """The number of residues: what a table over them shares with the readout beside the neurons, of which are more."""
    return min(set(table) & set(readout), default=min(table))


def _other_of(shape: Shape, size: int) -> int:
    return shape[0] if shape[1] == size else shape[1]


def _answers(readout: Shape) -> set[int]:
    """The numbers of inputs that one-hot operands of either form may have, if one side of the readout is p."""
    return {size for p in readout for size in (p, 2 * p)}


def heads_together(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Stack the tensors of one kind that are stored a head at a time, `attn_heads.0.Wq.weight`, into [head, …].

    The stacked one has the name without the number; what torch keeps of a pruned or normalised weight is the weight it
    uses (`reparametrised`); everything else stays as it is.
    """
    arrays = as_used(arrays)
    apart: dict[str, dict[int, np.ndarray]] = {}
    together: Arrays = {}
    for name, array in arrays.items():
        found = HEAD.match(name)
        if found:
            apart.setdefault(f"{found['before']}{found['after']}", {})[int(found["head"])] = array
        else:
            together[name] = array
    for name, heads in apart.items():
        shapes = {array.shape for array in heads.values()}
        if set(heads) == set(range(len(heads))) and len(shapes) == 1:
            together[name] = np.stack([heads[head] for head in range(len(heads))])
        else:
            together |= {original: array for original, array in arrays.items() if _without_head(original) == name}
    return together


def _without_head(name: str) -> str:
    found = HEAD.match(name)
    return f"{found['before']}{found['after']}" if found else name


def in_our_layout(arrays: Mapping[str, np.ndarray], layout: Layout, source: str) -> Arrays:
    """Return the arrays under our names, in our shapes and float32 or float64, given their layout, `fitted` to a model.

    Positions beyond those of the model are left out. Raises InterpError where an array is not as in the layout.
    """
    arrays = heads_together(arrays)
    missing = sorted(set(layout.names.theirs.values()) - arrays.keys())
    if missing:
        raise InterpError(f"{source} has no {missing[0]!r}, which the other checkpoints have")
    ours: Arrays = {}
    for name, theirs in layout.names.theirs.items():
        ours |= _turned(name, theirs, np.asarray(arrays[theirs]), layout, source)
    if "one_hot.b_b" in ours:
        ours["mlp.b_in"] = ours["mlp.b_in"] + ours.pop("one_hot.b_b")
    if layout.biases != "all":
        ours = _without_zero_biases(ours, source)
    if layout.tied:
        table = ours["embed.W_E"]
        ours["unembed.W_U"] = table[: layout.d_vocab_out].T  # [d_model, d_vocab_out]
    ours |= _zeros_for(ours, layout)
    if "pos_embed.W_pos" in ours:
        ours["pos_embed.W_pos"] = ours["pos_embed.W_pos"][: layout.n_ctx]
    if not layout.n_ctx:
        ours.pop("pos_embed.W_pos", None)
    return {name: _in_training_precision(value) for name, value in ours.items()}


def _turned(name: str, theirs: str, array: np.ndarray, layout: Layout, source: str) -> Arrays:
    """Return one of their arrays in our layout: several, by name, where query, key and value are one matrix."""
    d_model, d_inner, d_hidden, n_heads = layout.d_model, layout.d_inner, layout.d_hidden, layout.n_heads or 1
    kind = name.rpartition(".")[2]
    last = layout.inputs_last if array.ndim == 3 or not theirs.endswith(("weight", "kernel")) else True
    if theirs.endswith(("weight", "kernel")) and kind not in ("W_E", "W_pos"):
        last = not layout.modules_inputs_first

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

    def gate_and_in(parts: Sequence[np.ndarray]) -> Arrays:
        ways = ("in", "gate") if layout.gate_last else ("gate", "in")
        return {name.replace("gate_in", way): part for way, part in zip(ways, parts, strict=True)}

    match kind:
        case "W_E":
            turned = layout.inputs_last and not theirs.endswith("weight")
            table = matrix(layout.d_vocab, d_model, square_is_turned=turned)
            if not layout.one_above_the_other:
                return {name: table}
            a, b = np.split(table, 2)
            return {"embed_a.W_E": a, "embed_b.W_E": b}
        case "W_in" if name == "one_hot.W_in":
            first = matrix(layout.d_inner, layout.widths[0])  # [p, neuron], or both operands' one above the other
            if not layout.concatenated:
                return {"embed.W_E": first}
            a, b = np.split(first, 2)
            return {"embed_a.W_E": a, "embed_b.W_E": b}
        case "W_pos":
            table = array.reshape(-1, d_model) if array.shape[-1] == d_model else array.T  # [1, pos, d_model] too
            return {name: table}
        case "W_Q" | "W_K" | "W_V" if array.ndim == 3 and theirs.endswith("kernel"):
            return {name: array.transpose(1, 0, 2)}  # flax's [d_model, head, d_head]
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
        case "W_in" if not layout.names.is_transformer:
            place = layout.names.hidden.index(name)
            return {name: matrix(layout.widths[place - 1] if place else d_inner, layout.widths[place])}
        case "W_in" | "W_gate":
            return {name: matrix(d_model, d_hidden)}
        case "W_gate_in":
            return gate_and_in(np.split(matrix(d_model, 2 * d_hidden), 2, axis=1))
        case "b_gate_in":
            return gate_and_in(np.split(array, 2))
        case "W_out":
            return {name: matrix(d_hidden, d_model)}
        case "W_U":
            return {name: matrix(d_model if layout.names.is_transformer else layout.widths[-1], layout.d_vocab_out)}
    return {name: array}


def missing(names: Names) -> list[str]:
    """The tensors that a network needs and that nothing of theirs was recognised as, by our names.

    A readout may be missing: it is then the table over the tokens.
    """
    one_hot = "one_hot.W_in" in names.theirs
    tables = {"embed_a.W_E", "embed_b.W_E"} <= names.theirs.keys()
    wanted = [] if one_hot or tables else ["embed.W_E"]
    if one_hot or tables:
        wanted.append("unembed.W_U")
    for layer in range(names.n_layers if names.is_transformer else 0):
        merged = f"blocks.{layer}.attn.W_QKV" in names.theirs
        wanted += [f"blocks.{layer}.attn.W_{part}" for part in (["QKV"] if merged else ["Q", "K", "V"]) + ["O"]]
        fused = f"blocks.{layer}.mlp.W_gate_in" in names.theirs
        wanted += [f"blocks.{layer}.mlp.W_{part}" for part in (["gate_in"] if fused else ["in"]) + ["out"]]
    if not names.is_transformer and not one_hot and not tables:
        wanted.append("mlp.W_in")
    return [name for name in wanted if name not in names.theirs]


def _d_model(named: Mapping[str, np.ndarray], names: Names, table: str, reading: Shape) -> int:
    """The size that the embedding shares with the position embedding, else with the matrices that read it."""
    shape = named[table].shape
    if len(shape) != 2:
        raise InterpError(f"{names.theirs[table]} has shape {_shape(shape)}; expected the embedding, a matrix")
    if names.theirs[table].endswith(("weight", "embedding")):
        sides = [size in reading or 2 * size in reading for size in shape]
        answers = named["unembed.W_U"].shape if "unembed.W_U" in named else ()
        is_linear = sides == [True, False] and shape[1] in answers and shape[0] not in answers
        return shape[0] if is_linear else shape[1]  # a Linear on one-hot tokens is [d_model, token]
    if "pos_embed.W_pos" in named and named["pos_embed.W_pos"].shape[-1] in shape:
        return named["pos_embed.W_pos"].shape[-1]
    fitting = [size for size in shape if size in reading or 2 * size in reading]
    return shape[1] if shape[1] in fitting or not fitting else fitting[0]


def _d_hidden(named: Mapping[str, np.ndarray], d_model: int, second: str) -> int:
    """The width of a perceptron's first hidden layer: the size of W_in that is not the embeddings'."""
    first = named["mlp.W_in"].shape
    after = named[second].shape if second in named else (d_model,)
    if first[0] == first[1]:
        return first[0]
    inputs = next((size for size in (2 * d_model, d_model) if size in first), None)
    if inputs is None:
        raise InterpError(
            f"the first hidden layer has shape {_shape(first)}; expected {d_model} or {2 * d_model} inputs"
        )
    other = _other(first, inputs, "the first hidden layer")
    return other if other in after else inputs


def _heads(named: Mapping[str, np.ndarray], d_model: int) -> tuple[int | None, int]:
    """The number of heads, None where they are merged, and n_heads · d_head."""
    query = named.get("blocks.0.attn.W_Q")
    if query is not None and query.ndim == 3:
        output = named.get("blocks.0.attn.W_O")
        if output is not None and output.ndim == 3 and query.shape == (d_model, *output.shape[:2]):
            return query.shape[1], query.shape[1] * query.shape[2]  # flax's [d_model, head, d_head]
        n_heads, first, second = query.shape
        return n_heads, n_heads * (second if first == d_model else first)
    if query is not None:
        return None, _other(query.shape, d_model, "W_Q")
    return None, _other(named["blocks.0.attn.W_QKV"].shape, d_model, "the merged query, key and value") // 3


def _inputs_last(named: Mapping[str, np.ndarray], names: Names, d_model: int, d_hidden: int) -> bool:
    """Whether bare matrices are [out, in], as one that is not square tells."""
    for name, array in named.items():
        bare = not names.theirs[name].endswith(("weight", "kernel", "embedding"))
        if bare and array.ndim == 2 and array.shape[0] != array.shape[1]:
            if name.endswith("mlp.W_in") and names.is_transformer:
                return array.shape == (d_hidden, d_model)
            if name == "one_hot.W_in":
                return array.shape[0] == d_hidden
            if name.endswith("W_E"):
                return array.shape[0] == d_model
    return False


def _modules_inputs_first(
    named: Mapping[str, np.ndarray], names: Names, d_model: int, d_inner: int, d_hidden: int
) -> bool:
    """Whether modules hold [in, out], as one that is not square tells."""
    ways = {"W_QKV": (d_model, 3 * d_inner), "W_in": (d_model, d_hidden), "W_out": (d_hidden, d_model)}
    for name, array in named.items():
        if names.theirs[name].endswith("kernel"):
            return True
        shape = ways.get(name.rpartition(".")[2])
        if (
            shape
            and names.theirs[name].endswith("weight")
            and shape[0] != shape[1]
            and array.shape in (shape, shape[::-1])
        ):
            return array.shape == shape
    return False


def _is_sinusoidal(table: np.ndarray, d_model: int) -> bool:
    """Whether the table over positions is that of Vaswani et al. 2017: sines in even places, cosines in odd ones."""
    if table.ndim != 2 or d_model not in table.shape:
        return False
    table = table if table.shape[1] == d_model else table.T
    angle = np.arange(len(table))[:, None] / 10_000 ** (np.arange(0, d_model, 2) / d_model)  # [pos, pair of dimensions]
    expected = np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(len(table), -1)[:, :d_model]
    rounding = SINES_AGREE * (1 + np.arange(len(table))[:, None] / 100)  # of an angle in float32, the larger the more
    return bool((np.abs(table - expected) <= rounding).all())


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
        if layout.n_ctx:
            zeros["pos_embed.W_pos"] = (layout.n_ctx, layout.d_model)
        for layer in range(names.n_layers):
            block = f"blocks.{layer}"
            if layout.biases != "none":
                zeros |= {f"{block}.mlp.b_in": (layout.d_hidden,), f"{block}.mlp.b_out": (layout.d_model,)}
                if layout.gated:
                    zeros[f"{block}.mlp.b_gate"] = (layout.d_hidden,)
            if layout.biases == "all":
                head = (layout.n_heads or 1, layout.d_inner // (layout.n_heads or 1))
                zeros |= {f"{block}.attn.b_{letter}": head for letter in "QKV"}
                zeros[f"{block}.attn.b_O"] = (layout.d_model,)
    else:
        if layout.biases != "none":
            layers = ("mlp" if layer == 1 else f"mlp{layer}" for layer in itertools.count(1))
            zeros |= {f"{layer}.b_in": (width,) for layer, width in zip(layers, layout.widths, strict=False)}
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
