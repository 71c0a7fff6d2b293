"""Which of somebody's tensors is which of ours, told by the words in their names, their order and their shapes.

Our names are TransformerLens's. Query, key and value in one tensor have the name "blocks.0.attn.W_QKV" (and b_QKV).
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from interp.errors import InterpError

Shapes = Mapping[str, tuple[int, ...]]
"""Their names -> shapes."""

ATTENTION = {"attn", "attention", "selfattn", "selfattention", "mha", "sa"}
NORMALISATION = {"ln", "ln1", "ln2", "lnf", "lnfinal", "norm", "norm1", "norm2", "layernorm", "rmsnorm", "bn"}
BUFFERS = {"mask", "ignore", "causalmask", "tril", "bias_mask", "invfreq", "positionids"}
PROJECTIONS = {
    "QKV": {"qkv", "wqkv", "qkvproj", "inproj", "cattn"},
    "Q": {"q", "wq", "query", "queries", "qproj"},
    "K": {"k", "wk", "key", "keys", "kproj"},
    "V": {"v", "wv", "value", "values", "vproj"},
}
OUTPUT = {"o", "out", "output", "proj", "cproj", "dense"}
POSITION = {"pos", "position", "positional", "positions", "wpe", "posemb", "posembed", "posembedding", "pe"}
EMBEDDING = {"embed", "embedding", "embeddings", "emb", "wte", "token", "tokens", "we", "wx", "wy", "lookup"}
UNEMBEDDING = {"unembed", "unembedding", "lmhead", "head", "readout", "classifier", "wu", "logits", "fcout", "decoder"}
ENDING = {"output", "out", "final", "last", "fc", "linear"}
INTO_HIDDEN = {"win", "fc1", "cfc", "upproj", "linear1", "ff1", "dense1", "l1", "w1", "fcin"}
OUT_OF_HIDDEN = {"wout", "fc2", "cproj", "downproj", "linear2", "ff2", "dense2", "l2", "w2"}
FIRST_OPERAND, SECOND_OPERAND = {"a", "x", "left", "wx", "lhs"}, {"b", "y", "right", "wy", "rhs"}


@dataclass(frozen=True)
class Names:
    """What each of their tensors was taken for."""

    theirs: dict[str, str]
    """Our names -> theirs."""
    unknown: tuple[str, ...]
    """Their names that fit none of ours."""
    ignored: tuple[str, ...]
    """Their names of what is no parameter: masks, second names of one tensor, what the user told to leave out."""

    @property
    def is_transformer(self) -> bool:
        return any(".attn." in name for name in self.theirs)

    @property
    def n_layers(self) -> int:
        layers = [int(name.split(".")[1]) for name in self.theirs if name.startswith("blocks.")]
        return 1 + max(layers, default=0)


def match(arrays: Mapping[str, np.ndarray], told: Mapping[str, str | None] | None = None) -> Names:
    """Give each of their tensors one of our names. `told` is the user's own map, in either direction.

    Raises InterpError where `told` names a tensor that is not there, or what is neither ours nor null.
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    given, left_out = _told(shapes, told or {})
    theirs = dict(given)
    ignored = [name for name in shapes if name in left_out or (name not in given.values() and is_buffer(name))]
    open_names = [name for name in shapes if name not in given.values() and name not in ignored]
    transformer = any(slot and ".attn." in slot for slot in (*given, *map(by_words, open_names)))
    for name in sorted(open_names, key=is_ours, reverse=True):
        slot = name if is_ours(name) else by_words(name) if transformer else _by_words_without_attention(name)
        if slot and slot not in theirs:
            theirs[slot] = name
    if transformer:
        _add_tables_by_shape([name for name in open_names if name not in theirs.values()], shapes, theirs)
    _add_by_order([name for name in open_names if name not in theirs.values()], shapes, theirs, transformer)
    _add_biases([name for name in open_names if name not in theirs.values()], theirs)
    unknown = tuple(name for name in open_names if name not in theirs.values())
    return Names(_with_tables(theirs), unknown, tuple(ignored))


def words(name: str) -> list[str]:
    """Split a name into its words: blocks.0.mlp.fc_in.weight into blocks, 0, mlp, fc, in, weight."""
    return [word for word in re.split(r"[^0-9a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", ".", name).lower()) if word]


def is_buffer(name: str) -> bool:
    """Whether the name is that of a mask or another constant, which is no parameter."""
    return bool(_joined(words(name)) & BUFFERS)


def is_normalisation(name: str) -> bool:
    """Whether the name is that of a normalisation, which our networks have not."""
    return bool(_joined(words(name)) & NORMALISATION)


def by_words(name: str) -> str | None:
    """Return our name for a transformer's tensor, where the words of theirs tell it."""
    found, joined = words(name), _joined(words(name))
    letter = "b" if is_bias(name) else "W"
    if joined & NORMALISATION:
        return None
    layer = f"blocks.{_layer(found)}"
    for projection, names in PROJECTIONS.items():
        if joined & names:
            return f"{layer}.attn.{letter}_{projection}"
    if joined & {"wo", "bo", "oproj", "outproj"}:
        return f"{layer}.attn.{letter}_O"
    if joined & ATTENTION:
        return f"{layer}.attn.{letter}_O" if joined & OUTPUT else None
    if joined & POSITION:
        return "pos_embed.W_pos"
    if joined & UNEMBEDDING or "bu" in joined:
        return f"unembed.{letter}_U"
    if joined & EMBEDDING:
        return "embed.W_E"
    if joined & INTO_HIDDEN or "bin" in joined:
        return f"{layer}.mlp.{letter}_in"
    if joined & OUT_OF_HIDDEN or "bout" in joined:
        return f"{layer}.mlp.{letter}_out"
    return None


def _by_words_without_attention(name: str) -> str | None:
    """Return our name for a table or the readout of a network without attention; hidden layers go by order."""
    found, joined = words(name), _joined(words(name))
    if joined & NORMALISATION:
        return None
    if joined & UNEMBEDDING or "bu" in joined:
        return "unembed.b_U" if is_bias(name) else "unembed.W_U"
    if joined & EMBEDDING and not is_bias(name):
        if joined & FIRST_OPERAND:
            return "embed_a.W_E"
        return "embed_b.W_E" if joined & SECOND_OPERAND else "embed.W_E"
    if found[-2:] in (["w", "in"], ["b", "in"]):
        return f"{'mlp2' if 'mlp2' in joined else 'mlp'}.{'b' if is_bias(name) else 'W'}_in"
    return None


def is_bias(name: str) -> bool:
    """Whether the name is a bias's, such as fc1.bias, in_proj_bias, b_in, b1."""
    *_, before, last = ["", *words(name)]
    return last in ("bias", "biases") or bool(re.fullmatch(r"b\d*", last)) or (before == "b" and last != "weight")


def _layer(found: list[str]) -> int:
    """Return the layer: the first number with more than one word after it, 2 in layers.2.linear1.weight."""
    return next((int(word) for word in found[:-2] if word.isdigit()), 0)


def _joined(found: list[str]) -> set[str]:
    """Return the words, and every two neighbours as one: lm_head is also "lmhead", in_proj "inproj", W_Q "wq"."""
    return set(found) | {first + second for first, second in itertools.pairwise(found)}


def _add_tables_by_shape(left: list[str], shapes: Shapes, theirs: dict[str, str]) -> None:
    """Add the tables over positions (two or three rows) and over tokens, where their names tell nothing."""
    reading = [set(shapes[name]) for slot, name in theirs.items() if ".attn.W_" in slot and len(shapes[name]) > 1]
    shared = set.intersection(*reading) if reading else set()
    for name in left:
        shape = shapes[name]
        if len(shape) == 2 and len(shared) == 1 and shared <= set(shape) and not is_bias(name):
            rows = shape[0] if shape[1] in shared else shape[1]
            slot = "pos_embed.W_pos" if rows in (2, 3) else "embed.W_E"
            if slot == "pos_embed.W_pos" or not name_of_layer(name):
                theirs.setdefault(slot, name)


def name_of_layer(name: str) -> bool:
    """Whether the tensor belongs to a numbered block or a hidden layer."""
    return bool(re.search(r"\d", name)) or bool(set(words(name)) & {"mlp", "ff", "ffn", "hidden"})


def _add_by_order(left: list[str], shapes: Shapes, theirs: dict[str, str], transformer: bool) -> None:
    """Add the matrices whose names tell nothing: they are the layers, in the order in which they were written down."""
    matrices = [name for name in left if len(shapes[name]) == 2 and not is_bias(name) and not is_normalisation(name)]
    if transformer and "embed.W_E" in theirs:  # each reads or writes the residual stream
        matrices = [name for name in matrices if set(shapes[name]) & set(shapes[theirs["embed.W_E"]])]
    matrices.sort(key=lambda name: bool(set(words(name)) & ENDING))
    if transformer:
        layers = sorted({int(slot.split(".")[1]) for slot in theirs if ".attn." in slot})
        open_slots = [f"blocks.{layer}.mlp.W_{way}" for layer in layers for way in ("in", "out")]
    else:
        if not any(slot.startswith("embed") for slot in theirs) and matrices:
            first = matrices.pop(0)
            if matrices and shapes[matrices[0]] == shapes[first] and _twice(shapes, first, matrices[1:]):
                theirs |= {"embed_a.W_E": first, "embed_b.W_E": matrices.pop(0)}
            else:
                theirs["embed.W_E"] = first
        hidden = len(matrices) - ("unembed.W_U" not in theirs)
        open_slots = ["mlp.W_in", "mlp2.W_in"][: max(hidden, 0)] if hidden <= 2 else []
    open_slots = [slot for slot in (*open_slots, "unembed.W_U") if slot not in theirs]
    if len(matrices) <= len(open_slots):
        theirs.update(zip(open_slots, matrices, strict=False))


def _twice(shapes: Shapes, table: str, matrices: list[str]) -> bool:
    """Whether one of the matrices reads two rows of the table side by side."""
    return any(2 * size in shapes[name] for size in shapes[table] for name in matrices)


def _add_biases(left: list[str], theirs: dict[str, str]) -> None:
    """Add the biases: one belongs to the weight beside it, fc1.bias to fc1.weight."""
    for name in left:
        if is_bias(name):
            beside = [slot for slot, weight in theirs.items() if _module(weight) == _module(name) and ".W_" in slot]
            if beside and ".W_E" not in beside[0]:
                theirs.setdefault(beside[0].replace(".W_", ".b_"), name)


def _module(name: str) -> str:
    """Return what a bias and its weight share: fc1 of fc1.bias and fc1.weight, 1 of b1 and W1."""
    head, _, last = name.rpartition(".")
    return f"{head}.{re.sub(r'(weight|bias)$|^[Wwb](?=_?[0-9A-Za-z]*$)', '', last)}"


def _with_tables(theirs: dict[str, str]) -> dict[str, str]:
    """Make the plain table b's where a has one of its own, and a's where b has."""
    if "embed.W_E" in theirs and len({"embed_a.W_E", "embed_b.W_E"} & theirs.keys()) == 1:
        other = "embed_b.W_E" if "embed_a.W_E" in theirs else "embed_a.W_E"
        return {other if ours == "embed.W_E" else ours: name for ours, name in theirs.items()}
    return theirs


def _told(shapes: Shapes, told: Mapping[str, str | None]) -> tuple[dict[str, str], set[str]]:
    """Our names -> theirs, and the names to leave out, as the user tells them."""
    theirs: dict[str, str] = {}
    left_out: set[str] = set()
    for first, second in told.items():
        if second is None:
            left_out.add(first)
        elif second in shapes and is_ours(first):
            theirs[first] = second
        elif first in shapes and is_ours(second):
            theirs[second] = first
        else:
            ours = next((name for name in (first, second) if is_ours(name)), None)
            if ours is None:
                raise InterpError(
                    f"names: neither {first!r} nor {second!r} is a name of ours, such as blocks.0.attn.W_Q"
                )
            missing = second if ours == first else first
            raise InterpError(f"names: there is no tensor {missing!r}; {closest(missing, shapes)}")
    absent = [name for name in left_out if name not in shapes]
    if absent:
        raise InterpError(f"names: there is no tensor {absent[0]!r} to leave out; {closest(absent[0], shapes)}")
    return theirs, left_out


def is_ours(name: str) -> bool:
    """Whether it is one of our names."""
    return bool(
        re.fullmatch(
            r"embed(_[ab])?\.W_E|pos_embed\.W_pos|unembed\.[Wb]_U|mlp2?\.[Wb]_in"
            r"|blocks\.\d+\.(attn\.[Wb]_(Q|K|V|O|QKV)|mlp\.[Wb]_(in|out))",
            name,
        )
    )


def closest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return the known names most like `name`, in words."""
    near = difflib.get_close_matches(name, list(known), n=count, cutoff=0.0)
    return "the closest are " + ", ".join(repr(one) for one in near) if near else "there are none"
