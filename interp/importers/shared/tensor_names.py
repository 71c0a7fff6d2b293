"""Which of somebody's tensors is which of ours, told by the words in their names, their order and their shapes.

Our names are TransformerLens's. More stand for tensors that are several of ours at once, or a part of one: query, key
and value in one matrix are "blocks.0.attn.W_QKV" (and b_QKV), gate and input of a gated MLP "blocks.0.mlp.W_gate_in",
the matrix that reads both operands as one-hot vectors is "one_hot.W_in", and where each operand has a layer of its own,
the bias of the second is "one_hot.b_b".

1. What the user told has its name; masks, counters and other constants are left out (`constants`).
2. Words tell most of a transformer's tensors (`by_words`), where the shape agrees; a perceptron's layers go by order.
3. Norms are told apart by their words, else by their order within a block.
4. What is left goes by shape (tables over tokens and positions) and by the order in which it was written down.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from interp.errors import InterpError

Shapes = Mapping[str, tuple[int, ...]]
"""Their names -> shapes."""

ATTENTION = {"attn", "attention", "selfattn", "selfattention", "mha", "sa"}
FEED_FORWARD = {"mlp", "ff", "ffn", "feedforward", "fc"}
NORM = re.compile(r"(ln|norm|layernorm|rmsnorm|lnorm)(\d*|f|final|attn|mlp|in|out)$")
BATCH_NORM = {"bn", "bn1", "bn2", "batchnorm", "runningmean", "runningvar"}
FINAL = {"f", "final", "lnf", "lnfinal", "normf", "normfinal", "out", "last", "lnout"}
CONSTANTS = {"mask", "ignore", "causalmask", "tril", "maskedbias", "invfreq", "positionids", "coscached", "sincached"}
CONSTANTS |= {"numbatchestracked", "naveraged", "freqscis", "rope"}
BASIS = {"basis", "dft", "fourier", "dftmatrix", "fouriermatrix"}
PROJECTIONS = {
    "QKV": {"qkv", "wqkv", "bqkv", "qkvproj", "inproj", "cattn", "querykeyvalue"},
    "Q": {"q", "wq", "bq", "query", "queries", "qproj"},
    "K": {"k", "wk", "bk", "key", "keys", "kproj"},
    "V": {"v", "wv", "bv", "value", "values", "vproj"},
}
ATTENTION_OUTPUT = {"wo", "bo", "oproj", "outproj", "toout"}
OUTPUT = {"o", "out", "output", "proj", "cproj", "dense"}
POSITION = {"pos", "position", "positional", "positions", "wpe", "posemb", "posembed", "posembedding", "pe", "posenc"}
EMBEDDING = {"embed", "embedding", "embeddings", "emb", "wte", "tok", "token", "tokens", "we", "wx", "wy", "lookup"}
UNEMBEDDING = {"unembed", "unembedding", "lmhead", "head", "readout", "classifier", "wu", "logits", "fcout", "decoder"}
UNEMBEDDING |= {"projout"}
ENDING = {"output", "out", "final", "last", "fc", "linear"}
FUSED_GATE = {"gateup", "upgate", "gateupproj", "w12", "w13", "wigate"}
GATE = {"gate", "gateproj", "wgate", "wi0", "fcgate", "lineargate"}
INTO_HIDDEN = {"win", "fc1", "cfc", "upproj", "linear1", "ff1", "dense1", "l1", "w1", "fcin", "wi1", "up", "wup"}
INTO_HIDDEN |= {"projin", "projectin"}
OUT_OF_HIDDEN = {"wout", "fc2", "cproj", "downproj", "linear2", "ff2", "dense2", "l2", "w2", "down", "wdown", "fcout"}
OUT_OF_HIDDEN |= {"projout", "projectout"}
LEAVES = {"weight", "bias", "kernel", "w", "b"}
BIAS = re.compile(r"b(\d*|in|out|u|o|q|k|v|qkv)")
FIRST_OPERAND, SECOND_OPERAND = {"a", "x", "1", "left", "wx", "lhs"}, {"b", "y", "2", "right", "wy", "rhs"}
OPERAND = re.compile(
    r"(^|\.)(e|emb|embed|embedding|we)\.?(?P<operand>a|b|x|y|1|2|left|right|lhs|rhs)(\.(weight|w|embedding))?$"
)
"""The names of a table for one operand alone: embed1.weight, E_A.weight, emb_left."""
OF_HEADS = re.compile(r"(^|[._])(q|k|query|key)_?(layer_?norm|norm|ln)([._]|$)|(^|[._])(norm|ln)_?(q|k)([._]|$)", re.I)
"""The names of norms of queries and keys, as in Qwen 3 and OLMo 2: q_norm, k_layernorm, norm_q."""
RECURRENT = re.compile(r"(weight|bias)_(ih|hh)(_l\d+)?(_reverse)?$")
"""torch's names for the weights of an RNN, a GRU or an LSTM."""
MAX_POSITIONS = 8
"""A table of more rows than this, whose name tells nothing, is over tokens and not over positions."""

OURS = re.compile(
    r"embed(_[ab])?\.W_E|pos_embed\.W_pos|unembed\.[Wb]_U|one_hot\.(W_in|b_b)|mlp\d*\.[Wb]_in|ln_final\.[wb]"
    r"|blocks\.\d+\.(attn\.[Wb]_(Q|K|V|O|QKV)|mlp\.[Wb]_(in|out|gate|gate_in)|ln[12]\.[wb])"
)


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

    @property
    def hidden(self) -> list[str]:
        """The matrices of a perceptron's hidden layers, by our names, from the operands up."""
        first = ["one_hot.W_in"] if "one_hot.W_in" in self.theirs else []
        layers = [name for name in self.theirs if re.fullmatch(r"mlp\d*\.W_in", name)]
        return first + sorted(layers, key=lambda name: int(re.sub(r"\D", "", name) or 1))


def match(
    arrays: Mapping[str, np.ndarray],
    told: Mapping[str, str | None] | None = None,
    constant: Collection[str] = (),
) -> Names:
    """Give each of their tensors one of our names.

    `told` is the user's own map, in either direction; `constant` are those that were never trained, and are taken for
    a weight only where their name says so.
    Raises InterpError where `told` names a tensor that is not there, or what is neither ours nor null.
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    given, left_out = _told(shapes, told or {})
    theirs = dict(given)
    no_weight = constants(arrays) - set(given.values())
    ignored = [name for name in shapes if name in left_out or name in no_weight]
    open_names = [name for name in shapes if name not in given.values() and name not in ignored]
    transformer = any(".attn." in slot for slot in given) or _has_attention(map(by_words, open_names))
    d_model = _d_model(open_names, shapes) if transformer else None
    third_matrix = any("w3" in _joined(words(name)) for name in open_names)  # Llama's: w1 is the gate, w3 the input
    gated_by_order = _gated_by_order(open_names, shapes)
    for name in sorted(open_names, key=is_ours, reverse=True):
        slot = name if is_ours(name) else by_words(name) if transformer else _by_words_without_attention(name)
        if third_matrix and not is_ours(name):
            slot = _of_three(name, slot)
        slot = gated_by_order.get(name, slot) if transformer else slot
        if slot and slot not in theirs and _may_stand(slot, shapes[name], d_model):
            theirs[slot] = name
    if transformer:
        _add_norms([name for name in open_names if name not in theirs.values()], shapes, theirs)
    left = [name for name in open_names if name not in theirs.values() and name not in constant]
    if transformer:
        _add_outputs(left, shapes, theirs)
        left = [name for name in left if name not in theirs.values()]
        _add_tables_by_shape(left, shapes, theirs)
        left = [name for name in left if name not in theirs.values()]
    _add_by_order(left, shapes, theirs, transformer)
    _add_biases([name for name in left if name not in theirs.values()], theirs)
    _tell_fused_gates(theirs, shapes)
    unknown = tuple(name for name in open_names if name not in theirs.values() and name not in constant)
    unused = [name for name in open_names if name not in theirs.values() and name in constant]
    return Names(_with_tables(theirs), unknown, (*ignored, *unused))


def _has_attention(slots: Iterable[str | None]) -> bool:
    """Whether these of our names are a transformer's: one matrix that is called V, without Q and K, is any matrix."""
    parts = {slot.rpartition("_")[2] for slot in slots if slot and ".attn.W_" in slot}
    return "QKV" in parts or len(parts) > 1


def words(name: str) -> list[str]:
    """Split a name into its words: blocks.0.mlp.fc_in.weight into blocks, 0, mlp, fc, in, weight."""
    return [word for word in re.split(r"[^0-9a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", ".", name).lower()) if word]


def constants(arrays: Mapping[str, np.ndarray]) -> set[str]:
    """The names of what is no parameter whatever its values are: masks, counters, tables of angles, a Fourier basis."""
    return {
        name
        for name, array in arrays.items()
        if _joined(words(name)) & (CONSTANTS | BASIS)
        or array.dtype.kind not in "fc"
        or (is_bias(name) and array.ndim > 2 and array.shape[-1] == array.shape[-2])  # GPT-2's causal mask, attn.bias
    }


def is_normalisation(name: str) -> bool:
    """Whether the name is that of a layer's or batch's normalisation."""
    found = words(name)
    pairs = {first + second for first, second in itertools.pairwise(found)}
    return any(NORM.match(word) for word in {*found, *pairs}) or bool(_joined(found) & BATCH_NORM)


def by_words(name: str) -> str | None:
    """Return our name for a transformer's tensor, where the words of theirs tell it."""
    found, joined = words(name), _joined(words(name))
    letter = "b" if is_bias(name) else "W"
    if is_normalisation(name):
        return None
    layer = f"blocks.{_layer(found)}"
    in_block = _is_in_block(found)
    for projection, names in PROJECTIONS.items():
        if joined & names:
            return f"{layer}.attn.{letter}_{projection}"
    if joined & ATTENTION_OUTPUT or [word for word in found if word not in LEAVES][-1:] == ["o"]:
        return f"{layer}.attn.{letter}_O"
    if joined & ATTENTION:
        return f"{layer}.attn.{letter}_O" if joined & OUTPUT else None
    if joined & POSITION:
        return "pos_embed.W_pos"
    if joined & FUSED_GATE:
        return f"{layer}.mlp.{letter}_gate_in"
    if joined & GATE:
        return f"{layer}.mlp.{letter}_gate"
    of_decoder = joined & UNEMBEDDING == {"decoder"} and joined & EMBEDDING  # decoder.embed_tokens is a table
    if ((joined & UNEMBEDDING and not of_decoder) or "bu" in joined) and not in_block:
        return f"unembed.{letter}_U"
    if joined & EMBEDDING and not is_bias(name):
        return "embed.W_E"
    if joined & INTO_HIDDEN or "bin" in joined:
        return f"{layer}.mlp.{letter}_in"
    if joined & OUT_OF_HIDDEN or "bout" in joined:
        return f"{layer}.mlp.{letter}_out"
    return None


def _by_words_without_attention(name: str) -> str | None:
    """Return our name for a table or the readout of a network without attention; hidden layers go by order."""
    found, joined = words(name), _joined(words(name))
    if is_normalisation(name):
        return None
    if joined & UNEMBEDDING or "bu" in joined:
        return "unembed.b_U" if is_bias(name) else "unembed.W_U"
    if found_operand := OPERAND.search(".".join(found)):
        return f"embed_{'a' if found_operand['operand'] in FIRST_OPERAND else 'b'}.W_E"
    if joined & EMBEDDING and not is_bias(name):
        if joined & FIRST_OPERAND:
            return "embed_a.W_E"
        return "embed_b.W_E" if joined & SECOND_OPERAND else "embed.W_E"
    if found[-2:] in (["w", "in"], ["b", "in"]):
        layer = next((word for word in found if re.fullmatch(r"mlp\d*", word)), "mlp")
        return f"{layer}.{'b' if is_bias(name) else 'W'}_in"
    return None


def _of_three(name: str, slot: str | None) -> str | None:
    """The slot of one of three matrices w1, w2, w3: the gate, the way out and the way in."""
    joined = _joined(words(name))
    if slot is None and "w3" in joined:
        return f"blocks.{_layer(words(name))}.mlp.{'b' if is_bias(name) else 'W'}_in"
    return slot.replace("W_in", "W_gate").replace("b_in", "b_gate") if slot and "w1" in joined else slot


def _gated_by_order(names: Iterable[str], shapes: Shapes) -> dict[str, str]:
    """The slots of layers fc1, fc2, fc3 (or linear1, …) of one MLP, the third of which turns the first two's shape.

    Two alike side by side and one back are a gated MLP: the first goes through the activation, as in Llama's w1.
    """
    modules: dict[tuple[int, str], dict[int, list[str]]] = {}
    for name in names:
        numbered = re.search(r"\b(fc|linear|lin|dense|ff|l)_?([123])\.(weight|bias|kernel)$", name.lower())
        if numbered:
            place = (_layer(words(name)), name[: numbered.start()])
            modules.setdefault(place, {}).setdefault(int(numbered[2]), []).append(name)
    slots = {}
    for (layer, _), parts in modules.items():
        of = [next((shapes[name] for name in parts.get(n, ()) if len(shapes[name]) == 2), ()) for n in (1, 2, 3)]
        if of[0] == of[1] == of[2][::-1] and len(set(of[0])) == 2:
            for number, way in enumerate(("gate", "in", "out"), start=1):
                for name in parts[number]:
                    slots[name] = f"blocks.{layer}.mlp.{'b' if is_bias(name) else 'W'}_{way}"
    return slots


def is_bias(name: str) -> bool:
    """Whether the name is a bias's, such as fc1.bias, in_proj_bias, b_in, bin, b1."""
    *_, before, last = ["", *words(name)]
    called_so = last in ("bias", "biases", "beta") or BIAS.fullmatch(last) is not None
    return called_so or (before == "b" and last != "weight")


def _layer(found: list[str]) -> int:
    """Return the layer: the first number with more than one word after it, 2 in layers.2.linear1.weight."""
    return next((int(word) for word in found[:-2] if word.isdigit()), 0)


def _is_in_block(found: list[str]) -> bool:
    return any(word.isdigit() for word in found[:-2])


def _joined(found: list[str]) -> set[str]:
    """Return the words, and two and three neighbours as one: lm_head is also "lmhead", gate_up_proj "gateupproj"."""
    twos = {first + second for first, second in itertools.pairwise(found)}
    return set(found) | twos | {"".join(found[at : at + 3]) for at in range(len(found) - 2)}


def _d_model(names: Iterable[str], shapes: Shapes) -> int | None:
    """The width of the residual stream: the size that most matrices with a known place share."""
    told = [name for name in names if (slot := name if is_ours(name) else by_words(name)) and "_U" not in slot]
    sizes = Counter(size for name in told if len(shapes[name]) > 1 for size in set(shapes[name]) if size > 1)
    return max(sizes, key=lambda size: (sizes[size], size), default=None)


def _may_stand(slot: str, shape: tuple[int, ...], d_model: int | None) -> bool:
    """Whether a tensor of this shape can be ours: a bias is no matrix; what touches the residual stream has its width.

    A table of two key frequencies is not taken for the keys' matrix because it is called so.
    """
    if ".b_" in slot or ".ln" in slot or slot.startswith("ln_final"):
        return len(shape) in ((1, 2) if ".attn." in slot else (1,))
    if "pos_embed" in slot:
        return len(shape) in (2, 3) and (d_model is None or d_model in shape)
    return len(shape) in ((2, 3) if ".attn." in slot else (2,)) and (d_model is None or d_model in shape)


def _add_norms(left: list[str], shapes: Shapes, theirs: dict[str, str]) -> None:
    """Add the scales and shifts of norms: by words the first or second of its block or the last, else by order."""
    modules: dict[tuple[int, str], list[str]] = {}
    for name in left:
        if is_normalisation(name) and not _joined(words(name)) & BATCH_NORM and len(shapes[name]) == 1:
            module = name.rpartition(".")[0] or re.sub(r"_?(weight|bias|w|b|gamma|beta|scale)$", "", name)
            modules.setdefault((_layer(words(name)), module), []).append(name)
    numbered = any(_is_in_block(words(name)) for names in modules.values() for name in names)
    plain = [module for _, module in modules if not re.search(r"\d", module)]
    alone = plain[0] if len(plain) == 1 and len(modules) == 3 and not numbered else None  # ln beside ln1 and ln2
    blocks: dict[int, list[str]] = {}
    places = {}
    for (layer, module), names in modules.items():
        found = words(names[0])
        if _joined(found) & FINAL or module == alone or (numbered and not _is_in_block(found)):
            if not _joined(found) & EMBEDDING:
                places[module] = "ln_final"
        else:
            blocks.setdefault(layer, []).append(module)
    for layer, own in blocks.items():
        for module, which in _first_and_second(own).items():
            places[module] = f"blocks.{layer}.ln{which}"
    for (_, module), names in modules.items():
        for name in names if module in places else ():
            theirs.setdefault(f"{places[module]}.{'b' if is_bias(name) else 'w'}", name)


def _first_and_second(modules: list[str]) -> dict[str, int]:
    """Which of a block's norms belongs to the attention (1), which to the MLP (2); none where there are more."""
    if len(modules) > 2:
        return {}
    hints = []
    for module in modules:
        joined = _joined(words(module))
        last = re.sub(r"\D", "", module.rpartition(".")[2])
        second = last == "2" or bool(joined & (FEED_FORWARD - {"fc"}) and not joined & ATTENTION)
        first = last == "1" or bool(joined & (ATTENTION | {"input", "pre", "self"}))
        hints.append(2 if second else 1 if first else 0)
    if len(modules) == 1:
        return {modules[0]: hints[0] or 1}
    if hints in ([2, 1], [2, 0], [0, 1]) or (hints == [1, 1] and "input" in _joined(words(modules[1]))):
        return {modules[0]: 2, modules[1]: 1}
    return {modules[0]: 1, modules[1]: 2}


def _add_outputs(left: list[str], shapes: Shapes, theirs: dict[str, str]) -> None:
    """Add the attention's way out where its name tells nothing: the one matrix of its block with the values' shape."""
    for layer in {int(slot.split(".")[1]) for slot in theirs if ".attn." in slot}:
        value = theirs.get(f"blocks.{layer}.attn.W_V")
        if value is None or f"blocks.{layer}.attn.W_O" in theirs:
            continue
        own = [name for name in left if len(shapes[name]) == 2 and _layer(words(name)) == layer]
        fitting = [name for name in own if sorted(shapes[name]) == sorted(shapes[value])]
        if len(fitting) == 1 and f"blocks.{layer}.mlp.W_in" in theirs:
            theirs[f"blocks.{layer}.attn.W_O"] = fitting[0]


def _add_tables_by_shape(left: list[str], shapes: Shapes, theirs: dict[str, str]) -> None:
    """Add the tables over positions (a few rows) and over tokens, where their names tell nothing."""
    reading = [set(shapes[name]) for slot, name in theirs.items() if ".attn.W_" in slot and len(shapes[name]) > 1]
    shared = set.intersection(*reading) if reading else set()
    for name in left:
        shape = shapes[name]
        if len(shape) == 2 and len(shared) == 1 and shared <= set(shape) and not is_bias(name):
            rows = shape[0] if shape[1] in shared else shape[1]
            slot = "pos_embed.W_pos" if rows <= MAX_POSITIONS else "embed.W_E"
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
    matrices.sort(key=lambda name: bool(set(words(name)) & ENDING) and not _is_in_block(words(name)))
    if transformer:
        layers = sorted({int(slot.split(".")[1]) for slot in theirs if ".attn." in slot})
        ways = ("in", "out")
        open_slots = [f"blocks.{layer}.mlp.W_{way}" for layer in layers for way in ways]
    else:
        open_slots = _perceptron_slots(matrices, left, shapes, theirs)
    open_slots = [slot for slot in (*open_slots, "unembed.W_U") if slot not in theirs]
    if len(matrices) <= len(open_slots):
        theirs.update(zip(open_slots, matrices, strict=False))


def _perceptron_slots(matrices: list[str], left: list[str], shapes: Shapes, theirs: dict[str, str]) -> list[str]:
    """The places of a perceptron's matrices, tables taken out of `matrices`, from the operands up to the readout."""
    if not any(slot.startswith(("embed", "one_hot")) for slot in theirs) and matrices:
        if _reads_each_one_hot(matrices, shapes, theirs):
            theirs |= {"embed_a.W_E": matrices.pop(0), "embed_b.W_E": matrices.pop(0)}
            return []
        if _reads_one_hot(matrices, left, shapes, theirs):
            theirs["one_hot.W_in"] = matrices.pop(0)
        else:
            first = matrices.pop(0)
            if matrices and shapes[matrices[0]] == shapes[first] and _twice(shapes, first, matrices[1:]):
                theirs |= {"embed_a.W_E": first, "embed_b.W_E": matrices.pop(0)}
            else:
                theirs["embed.W_E"] = first
    start = 2 if "one_hot.W_in" in theirs else 1
    layers = [f"mlp{layer}.W_in" if layer > 1 else "mlp.W_in" for layer in range(start, start + len(matrices))]
    tied = bool(matrices) and "unembed.W_U" not in theirs and _is_tied(matrices[-1], shapes, theirs)
    hidden = len(matrices) - ("unembed.W_U" not in theirs and not tied)
    return layers[: max(hidden, 0)]


def _is_tied(last: str, shapes: Shapes, theirs: dict[str, str]) -> bool:
    """Whether the last matrix ends in the width of the table over the residues, which then reads the answer too.

    It has then no side as long as the table.
    """
    table = next((theirs[slot] for slot in ("embed.W_E", "embed_a.W_E") if slot in theirs), None)
    if table is None or not set(shapes[table]) & set(shapes[last]):
        return False
    return not set(shapes[table]) - {shapes[table][1]} <= set(shapes[last])


def _reads_each_one_hot(matrices: list[str], shapes: Shapes, theirs: dict[str, str]) -> bool:
    """Whether the first two matrices read an operand each, as a one-hot vector, into neurons that the third reads.

    Two matrices of one shape that is not square cannot follow one another.
    """
    readout = theirs.get("unembed.W_U")
    if len(matrices) != (3 if readout is None else 2):
        return False
    first, second, last = (shapes[name] for name in (*matrices[:2], readout or matrices[-1]))
    return first == second and len(set(first)) == 2 and sorted(last) == sorted(first)


def _reads_one_hot(matrices: list[str], left: list[str], shapes: Shapes, theirs: dict[str, str]) -> bool:
    """Whether the first matrix reads one-hot operands: it has one side p or 2p of a readout to p answers.

    A matrix [p, d] without a bias is a table, whichever way it was meant; with one beside it, it is a layer.
    """
    first, readout = matrices[0], theirs.get("unembed.W_U", matrices[-1])
    if first == readout:
        return False
    is_layer = any(is_bias(name) and _module(name) == _module(first) for name in left)
    for p in shapes[readout]:
        rows, columns = shapes[first]
        if 2 * p in (rows, columns) and p not in (rows, columns):
            return is_layer or len(matrices) == 1 + ("unembed.W_U" not in theirs)
        if p == columns and first.endswith(("weight", "W")) and (is_layer or p != rows):
            return True
        if p in (rows, columns) and is_layer:
            return True
    return False


def _twice(shapes: Shapes, table: str, matrices: list[str]) -> bool:
    """Whether one of the matrices reads two rows of the table side by side."""
    return any(2 * size in shapes[name] for size in shapes[table] for name in matrices)


def _add_biases(left: list[str], theirs: dict[str, str]) -> None:
    """Add the biases: one belongs to the weight beside it, fc1.bias to fc1.weight."""
    for name in left:
        if is_bias(name):
            beside = [slot for slot, weight in theirs.items() if _module(weight) == _module(name) and ".W_" in slot]
            each = "mlp.W_in" not in theirs and {"embed_a.W_E": "mlp.b_in", "embed_b.W_E": "one_hot.b_b"}
            if beside and each and beside[0] in each:
                theirs.setdefault(each[beside[0]], name)
            elif beside and ".W_E" not in beside[0]:
                slot = "mlp.b_in" if beside[0] == "one_hot.W_in" else beside[0].replace(".W_", ".b_")
                theirs.setdefault(slot, name)
    if "mlp.b_in" not in theirs and "one_hot.b_b" in theirs:
        theirs["mlp.b_in"] = theirs.pop("one_hot.b_b")


def _module(name: str) -> str:
    """Return what a bias and its weight share: fc1 of fc1.bias and fc1.weight, 1 of b1 and W1."""
    head, _, last = name.replace("/", ".").rpartition(".")
    return f"{head}.{re.sub(r'(weight|bias|kernel)$|^[Wwb](?=_?[0-9A-Za-z]*$)', '', last)}"


def _tell_fused_gates(theirs: dict[str, str], shapes: Shapes) -> None:
    """Where the way into a block's MLP is twice as wide as the way out, it holds the gate too."""
    for slot in [slot for slot in theirs if slot.endswith("mlp.W_in")]:
        block = slot.removesuffix("W_in")
        out = theirs.get(f"{block}W_out")
        if out is None or f"{block}W_gate" in theirs or not block.startswith("blocks."):
            continue
        for d_model in set(shapes[out]) & set(shapes[theirs[slot]]):
            (d_mlp,) = [size for size in shapes[out] if size != d_model] or [d_model]
            wide = [size for size in shapes[theirs[slot]] if size != d_model]
            if wide == [2 * d_mlp]:
                for letter in "Wb":
                    if f"{block}{letter}_in" in theirs:
                        theirs[f"{block}{letter}_gate_in"] = theirs.pop(f"{block}{letter}_in")
                break


def _with_tables(theirs: dict[str, str]) -> dict[str, str]:
    """Make the plain table b's where a has one of its own, and a's where b has; a lone table of either is both's."""
    own = {"embed_a.W_E", "embed_b.W_E"} & theirs.keys()
    if "embed.W_E" not in theirs and len(own) == 1:
        return {"embed.W_E" if ours in own else ours: name for ours, name in theirs.items()}
    if "embed.W_E" in theirs and len(own) == 1:
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
    return bool(OURS.fullmatch(name))


def closest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return the known names most like `name`, in words."""
    near = difflib.get_close_matches(name, list(known), n=count, cutoff=0.0)
    return "the closest are " + ", ".join(repr(one) for one in near) if near else "there are none"
