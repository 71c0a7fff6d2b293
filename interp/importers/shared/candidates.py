"""The networks that shapes leave possible: readings of the operands, heads, norms, positions, activations.

First those with the usual options (`models`), then changes of one option of such a network (`variations`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from interp.contracts.imported import Given
from interp.importers.shared.layouts import Layout
from interp.importers.shared.readings import LEAST_P, Reading, readings
from interp.models.shared.activations import ACTIVATIONS

HEADS = (4, 8, 2, 1, 16, 3, 6, 12, 5, 10, 7, 9, 11, 13, 14, 15)
"""Tried in this order where the heads are merged into one matrix."""
USUAL, USUAL_GATED = ("relu", "gelu"), ("silu", "gelu")


def models(layout: Layout, modulus: int | None, act_fn: str | None) -> Iterator[list[Given]]:
    """Every model of these shapes, those of one reading of the operands at a time.

    The activation is the one that is told, else each of the usual ones. The modulus stands among the options as "p",
    which is none of the model's.
    """
    usual = _usual(layout, act_fn)
    if not layout.names.is_transformer:
        yield [("mlp", _perceptron(layout) | {"act_fn": one}) for one in usual]
        return
    heads = [layout.n_heads] if layout.n_heads else [n for n in HEADS if layout.d_inner % n == 0]
    causal = (True, False) if layout.names.n_layers > 1 else (True,)
    for reading in readings(layout, modulus):
        ways = itertools.product(heads, _norms(layout), _positions(layout), causal, usual)
        yield [
            (
                "transformer",
                _transformer(layout, reading, n_heads) | norm | positions | {"causal": masked, "act_fn": one},
            )
            for n_heads, norm, positions, masked, one in ways
        ]


def of_any_modulus(layout: Layout, act_fn: str | None) -> Iterator[list[Given]]:
    """The most usual model of each modulus for which a transformer's tables have room and of each row, the largest
    modulus first.

    Tables are padded to a round number, or shared by tasks of several moduli.
    """
    for p in range(min(layout.d_vocab, layout.d_vocab_out), LEAST_P - 1, -1):
        yield [of_reading[0] for of_reading in models(layout, p, act_fn) if "tokens" not in of_reading[0][1]]


def usual_modulus(layout: Layout) -> int:
    """The modulus of the most usual reading; the number of outputs where there is none."""
    found = readings(layout) if layout.names.is_transformer else []
    return found[0].p if found else layout.d_vocab_out


def _usual(layout: Layout, act_fn: str | None) -> tuple[str, ...]:
    if act_fn:
        return (act_fn,)
    return USUAL_GATED if layout.gated else USUAL


def _perceptron(layout: Layout) -> dict[str, Any]:
    same = len(set(layout.widths)) == 1
    one_table = "embed.W_E" in layout.names.theirs and not layout.one_above_the_other
    return {
        **({"one_hot": True} if layout.one_hot else {}),
        "d_model": layout.d_model,
        "d_mlp": layout.widths[0] if same else layout.widths,
        "n_layers": len(layout.widths),
        "shared_embedding": not layout.concatenated if layout.one_hot else one_table,
        "combine": "concatenated" if layout.concatenated else "added",
        "biases": layout.biases,
    }


def _transformer(layout: Layout, reading: Reading, n_heads: int) -> dict[str, Any]:
    usual_head = layout.d_model // n_heads
    return {
        "p": reading.p,
        "n_layers": layout.names.n_layers,
        "d_model": layout.d_model,
        "n_heads": n_heads,
        **({"d_head": layout.d_inner // n_heads} if layout.d_inner // n_heads != usual_head else {}),
        "d_mlp": layout.d_hidden,
        "biases": layout.biases,
        **({"gated": True} if layout.gated else {}),
        **reading.options(layout),
    }


def _norms(layout: Layout) -> list[dict[str, Any]]:
    """The places and kinds of norms that their parameters leave open."""
    if not layout.norms:
        return [{}]
    parameters = "all" if layout.norm_shifts else "weight"
    if layout.norm_shifts or layout.says_rms:
        kinds = ["layer" if layout.norm_shifts else "rms"]
    else:
        kinds = ["layer", "rms"] if layout.says_ln else ["rms", "layer"]
    final = "ln_final" in layout.norms
    places = ["pre", "post"] if final else ["post", "pre"]
    return [
        {"norm": kind, "norm_position": place, "norm_parameters": parameters, "final_norm": final}
        for kind, place in itertools.product(kinds, places)
    ]


def _positions(layout: Layout) -> list[dict[str, Any]]:
    if layout.sinusoidal:  # those who add them often scale the embedding, which is small beside them
        return [{"positions": "sinusoidal"}, {"positions": "sinusoidal", **_scaled(layout)}]
    if layout.n_ctx is not None:
        return [{}]
    return [{"positions": positions} for positions in ("none", "rotary", "rotary_interleaved")]


def other_combination(model: Given) -> list[dict[str, Any]]:
    """The other of a perceptron's two ways to make one vector of both embeddings; none where they are side by side."""
    other = {"added": "averaged", "averaged": "added"}.get(model[1].get("combine", ""))
    return [{"combine": other}] if other else []


def _scaled(layout: Layout) -> dict[str, Any]:
    """The factor on the embedding that Vaswani et al. 2017 and PyTorch's tutorial have."""
    return {"embedding_scale": math.sqrt(layout.d_model)}


def variations(model: Given, p: int, layout: Layout) -> Iterator[dict[str, Any]]:
    """Every option that shapes leave open and that is not among the usual ones, a change of one at a time."""
    name, options = model
    yield from ({"act_fn": act_fn} for act_fn in ACTIVATIONS if act_fn != options["act_fn"])
    yield from other_combination(model)
    if name == "transformer":
        yield {"causal": not options["causal"]}
        yield {"attention_scale": not options.get("attention_scale", True)}
        yield {"residual": not options.get("residual", True)}
        if not layout.norms and options.get("norm", "none") == "none":
            for kind, place in itertools.product(("rms", "layer"), ("pre", "post")):  # at the end it moves few answers
                bare = {"norm": kind, "norm_position": place, "norm_parameters": "none"}
                yield {**bare, "final_norm": place == "pre"}
        yield {"embedding_scale": 1.0} if "embedding_scale" in options else _scaled(layout)
        if options["row"].endswith("b"):
            yield {"causal": False, "read_at": options["row"].split().index("a")}
        if layout.tied and not options.get("answers") and options.get("d_vocab_out") != p < layout.d_vocab:
            yield {"d_vocab_out": p}
        known = "learned" if layout.n_ctx is not None and not layout.sinusoidal else options.get("positions", "none")
        yield from (
            {"positions": positions}
            for positions in dict.fromkeys([known, "none", "sinusoidal", "rotary", "rotary_interleaved"])
            if positions != options.get("positions", "learned")
        )
        if len(heads := [n for n in HEADS if layout.d_inner % n == 0]) > 1 and not layout.n_heads:
            yield from ({"n_heads": n} for n in heads if n != options["n_heads"])
