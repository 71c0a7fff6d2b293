"""What is said of tensors that have no place, and the line that gives them one: it is tried before it is offered."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from interp.importers.shared import tensor_names
from interp.importers.shared.guessing.guess import NOT_OURS
from interp.importers.shared.tensor_names import Names, Shapes

WEIGHTS = "The importer weights opens any network for what its weights alone tell: importer: weights"


def message(
    source: str, shapes: Shapes, names: Names, missing: list[str], opens: Callable[[dict[str, str | None]], bool]
) -> str:
    """What was found, what fits, and the line to add where `opens` finds one that works."""
    recurrent = [name for name in shapes if tensor_names.RECURRENT.search(name)]
    if recurrent:
        return (
            f"{source}: {recurrent[0]} is a weight of a recurrent network (RNN, GRU, LSTM), and interp has no such "
            f"model. {NOT_OURS}"
        )
    of_heads = [name for name in names.unknown if tensor_names.OF_HEADS.search(name)]
    if of_heads:
        return (
            f"{source}: {of_heads[0]} {list(shapes[of_heads[0]])} is a norm of each head's queries or keys (QK-norm), "
            f"and interp's transformer has none there. {NOT_OURS}"
        )
    lines = [f"{source}: not every tensor was recognised"]
    heard = "by its name alone" if {"embed.W_E", "one_hot.W_in"} & set(missing) else "recognised"  # nothing has a width
    lines += [f"  {heard}: {theirs} {list(shapes[theirs])} as {ours}" for ours, theirs in names.theirs.items()]
    free = missing + sorted(_ours(names) - names.theirs.keys() - set(missing))
    for name in names.unknown:
        fitting = [ours for ours in free if _may_be(ours, name, shapes[name])]
        lines.append(
            f"  not recognised: {name} {list(shapes[name])}"
            + (f"; {tensor_names.closest(name, fitting)}" if fitting else "")
        )
    lines += [f"  missing: {name}" for name in missing]
    if "unembed.W_U" not in names.theirs and "unembed.W_U" not in missing:
        lines.append("  not there: unembed.W_U; the embedding's own table would read the answer")
    if not names.unknown and {name.partition(".mlp.")[2] for name in missing} == {"W_in", "W_out"}:
        lines.append(f"It has no MLP after its attention, and interp's transformer has one. {NOT_OURS}")
        return "\n".join(lines)
    if not any(len(shape) > 1 for shape in shapes.values()):
        return "\n".join([*lines, "These are no weights: a network has matrices, and here is none. Are they curves?"])
    norms = [name for name in names.unknown if tensor_names.is_normalisation(name)]
    if norms and not names.is_transformer:
        lines.append(f"It has norms, and interp's perceptron has none. {NOT_OURS}")
        return "\n".join(lines)
    if len({name.split(".")[-2] for name in norms if "." in name}) > 2:
        lines.append(
            "It has norms where interp's transformer has none: one before or after each sublayer, one at the end."
        )
    proposed = proposal(names.unknown, missing, shapes)
    own = {theirs for theirs, ours in proposed.items() if ours is None and tensor_names.is_bias(theirs)} | set(norms)
    if not (own & proposed.keys()) and opens(proposed):  # without a norm or a bias of its own a network is another
        told = ", ".join(f"{ours}: {'null' if theirs is None else theirs}" for ours, theirs in proposed.items())
        lines.append(
            "Tell what they are in a run.yaml beside the files, null for one to leave out (docs/checkpoints.md lists "
            f"the names): importer: {{state_dicts: {{names: {{{told}}}}}}}"
        )
        numbers = [name for name in proposed if not shapes.get(name, (0,)) or shapes[name] == (1,)]
        if numbers:
            lines.append(
                f"{numbers[0]} is one number: left out, the logits are right only where the network does not multiply "
                "them by it; the model `module` runs a network that does (docs/own.md)."
            )
        elif left_out := [theirs for theirs, ours in proposed.items() if ours is None]:
            lines.append(
                f"Without {left_out[0]} the logits are right only where the network does not use it; the model "
                "`module` runs a network that does (docs/own.md)."
            )
    else:
        lines.append(
            "If it is a network of a kind that docs/checkpoints.md lists, say which tensor is which, by `names`; "
            f"{WEIGHTS[0].lower()}{WEIGHTS[1:]}"
        )
    return "\n".join(lines)


def proposal(unknown: tuple[str, ...], missing: list[str], shapes: Shapes) -> dict[str, str | None]:
    """The map to write into a run.yaml: each tensor that has no place gets a missing one, or is left out."""
    left = list(unknown)
    told: dict[str, str | None] = {}
    for ours in missing:
        fitting = [name for name in left if _may_be(ours, name, shapes[name])]
        if fitting:
            theirs = next(iter(difflib.get_close_matches(ours, fitting, n=1, cutoff=0)), fitting[0])
            told[ours] = theirs
            left.remove(theirs)
    return told | dict.fromkeys(left)


def _may_be(ours: str, name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this name and shape may be ours: a bias is no matrix."""
    bias = ".b_" in ours or ours.startswith("ln_final") or ".ln" in ours
    return len(shape) in ((1, 2) if bias and ".attn." in ours else (1,) if bias else (2, 3)) and (
        bias or not tensor_names.is_bias(name)
    )


def _ours(names: Names) -> set[str]:
    """All names that the tensors of such a network may have."""
    if not names.is_transformer:
        hidden = {f"{layer}.{letter}_in" for layer in ("mlp", "mlp2", "mlp3") for letter in "Wb"}
        return hidden | {"one_hot.W_in", "embed.W_E", "unembed.W_U", "unembed.b_U"}
    block = [f"attn.{letter}_{part}" for letter in "Wb" for part in "QKVO"]
    block += [f"mlp.{letter}_{way}" for letter in "Wb" for way in ("in", "out", "gate")]
    block += [f"ln{which}.{part}" for which in (1, 2) for part in "wb"]
    ours = {f"blocks.{layer}.{name}" for layer in range(names.n_layers) for name in block}
    merged = {name for name in names.theirs if name.endswith("QKV")}
    ours -= {
        name.replace("QKV", letter).replace("W_", f"{kind}_") for name in merged for letter in "QKV" for kind in "Wb"
    }
    return ours | {"embed.W_E", "pos_embed.W_pos", "unembed.W_U", "unembed.b_U", "ln_final.w", "ln_final.b"}
