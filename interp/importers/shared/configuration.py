"""The configuration that a release keeps with its weights: in the same file, or as JSON beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from interp.errors import InterpError, shown


def inside(content: Any) -> dict[str, Any]:
    """Return the configuration in the content of a weight file; empty where there is none."""
    found = content.get("config", content.get("cfg")) if isinstance(content, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def beside(places: Iterable[Path]) -> tuple[dict[str, Any], Path] | None:
    """Return the content of the first of these JSON files that is there, and its path; None where none is.

    Raises InterpError where it cannot be read, or holds something else than names and values.
    """
    place = next((file for file in places if file.is_file()), None)
    if place is None:
        return None
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InterpError(f"{place} cannot be read as JSON: {shown(error)}") from None
    if not isinstance(content, dict):
        raise InterpError(f"{place} should hold names and values")
    return content, place


MODULUS = ("p", "prime", "mod", "modulus", "modulo", "p_mod", "base")
OPERATION = ("operation", "op", "fn_name", "fn", "function", "task", "operator", "math_operator")
ACTIVATION = ("act_fn", "activation", "act_type", "act", "non_linearity", "nonlinearity", "activation_fn", "hidden_act")
ACTIVATION += ("act_name", "mlp_act", "activation_name", "activation_function", "act_func", "hidden_activation")
TRAIN_SHARE = (
    "frac_train", "train_frac", "train_fraction", "training_fraction", "train_ratio", "train_share", "split_ratio",
    "train_split", "train_size", "train_pct", "training_frac", "data_fraction", "frac",
)  # fmt: skip
TEST_SHARE = ("test_size", "test_frac", "test_fraction", "val_frac", "val_size", "test_ratio", "val_ratio")
SCALES = re.compile(
    r"((out(put)?s?|logits?|readout|unembed(ding)?|final|softmax)_?)(scale|scaling|mult|multiplier|factor|gain|temperature|temp)"
    r"|temperature|temp|tau|inv_temperature|logit_scaling"
)
"""What a number by which all logits are multiplied, or divided, is called."""
NORM_EPS = (
    "norm_eps", "layer_norm_eps", "layer_norm_epsilon", "layernorm_eps", "rms_norm_eps", "rmsnorm_eps", "rms_eps",
    "ln_eps", "norm_epsilon", "layernorm_epsilon",
)  # fmt: skip
HEADS = ("n_heads", "num_heads", "n_head", "num_attention_heads", "nhead", "nheads", "heads", "attention_heads")
SEEDS = ("data_seed", "split_seed", "seed", "random_seed", "random_state", "seed_data", "dataset_seed")
OPERATIONS = {
    "x+y": {"add", "addition", "+", "x+y", "a+b", "plus", "sum", "modadd", "modularaddition"},
    "x-y": {"sub", "subtract", "subtraction", "-", "x-y", "a-b", "minus", "modularsubtraction"},
    "x*y": {
        "mul",
        "mult",
        "multiply",
        "multiplication",
        "muliplication",
        "*",
        "x*y",
        "a*b",
        "times",
        "modularmultiplication",
    },
    "x/y": {"div", "divide", "division", "/", "x/y", "a/b", "modulardivision"},
    "x^2+y^2": {"x2+y2", "x^2+y^2", "x**2+y**2", "quad1"},
    "x^2+x*y+y^2": {"x2xyy2", "x^2+xy+y^2", "x^2+x*y+y^2", "x**2+x*y+y**2", "quad2"},
}
"""Our operation -> what configurations call it, in small letters and without blanks and underscores."""
ACTIVATIONS = {
    "relu": {"relu"},
    "gelu": {"gelu"},
    "gelu_tanh": {"gelunew", "gelutanh", "gelufast", "gelupytorchtanh"},
    "silu": {"silu", "swish", "swiglu"},
    "leaky_relu": {"leakyrelu"},
    "tanh": {"tanh"},
    "x^2": {"square", "squared", "quadratic", "quad", "x2", "x^2", "x**2"},
    "relu^2": {"relu2", "relusquared", "squaredrelu", "relu^2", "relusq"},
    "|x|": {"abs", "absolute", "|x|"},
}


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The modulus, operation, activation, epsilon of the norms and number of heads in a configuration, by our names.

    None stands for what it does not say.
    """
    flat = _flat(config)
    eps = (flat[name] for name in NORM_EPS if type(flat.get(name)) is float and 0 < flat[name] < 1)
    p = next((flat[name] for name in MODULUS if isinstance(flat.get(name), int) and flat[name] > 2), None)
    return {
        "p": p,
        "operation": _called(flat, OPERATION, OPERATIONS),
        "act_fn": _called(flat, ACTIVATION, ACTIVATIONS),
        "norm_eps": next(eps, None),
        "n_heads": next((flat[name] for name in HEADS if type(flat.get(name)) is int and flat[name] > 0), None),
    }


def split(config: Mapping[str, Any]) -> tuple[float | None, tuple[int, ...]]:
    """The share of the training pairs that a configuration names, None where it does not, and the seeds."""
    flat = _flat(config)
    shares = [flat[name] for name in TRAIN_SHARE if name in flat]
    shares += [1 - flat[name] for name in TEST_SHARE if isinstance(flat.get(name), float)]
    numbers = [float(share) for share in shares if isinstance(share, int | float) and not isinstance(share, bool)]
    numbers = [share / 100 if 1 < share < 100 else share for share in numbers]  # in per cent
    seeds = [flat[name] for name in SEEDS if isinstance(flat.get(name), int) and not isinstance(flat[name], bool)]
    share = next((round(share, 6) for share in numbers if 0 < share < 1), None)
    return share, tuple(dict.fromkeys(seed for seed in seeds if 100 <= seed < 2**32))


def logit_scale(config: Mapping[str, Any]) -> tuple[str, float] | None:
    """The name and value of a number, not 1, by which a network with this configuration may multiply its logits."""
    numbers = ((name, value) for name, value in _flat(config).items() if type(value) in (int, float))
    return next(((name, value) for name, value in numbers if SCALES.fullmatch(name) and value != 1), None)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values by the last part of their name, in small letters; of two alike the outer one."""
    inner = [_flat(value) for value in config.values() if isinstance(value, Mapping)]
    own = {str(name).lower(): value for name, value in config.items() if not isinstance(value, Mapping)}
    return {name: value for part in reversed(inner) for name, value in part.items()} | own


def unknown_activation(config: Mapping[str, Any]) -> str | None:
    """What a configuration calls its activation, where that is a word that interp does not know; else None."""
    flat = _flat(config)
    said = [flat[name] for name in ACTIVATION if isinstance(flat.get(name), str)]
    return said[0][:40] if said and _called(flat, ACTIVATION, ACTIVATIONS) is None else None


def _called(flat: Mapping[str, Any], names: Iterable[str], known: Mapping[str, set[str]]) -> str | None:
    said = (str(flat[name]).lower().rpartition(".")[2] for name in names if flat.get(name) is not None)
    spelt = (text.replace(" ", "").replace("_", "").replace("()", "").removesuffix("%p") for text in said)
    return next((ours for text in spelt for ours, theirs in known.items() if text in theirs), None)
