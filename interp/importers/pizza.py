"""The networks of Zhong et al. 2023, "The Clock and the Pizza"."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from interp.contracts.imported import Arrays, Given, Imported
from interp.errors import InterpError
from interp.files import foreign
from interp.importers.shared import configuration, files_by_step, layouts, tensor_names

ACTIVATIONS = {"relu": "relu", "gelu": "gelu"}
FUNCTIONS = {"x[0]+x[1]": "x+y", "x[0]-x[1]": "x-y", "x[0]*x[1]": "x*y"}
LINEAR = {"A": (1, "added"), "B": (2, "added"), "D": (1, "concatenated")}
"""Model type -> hidden layers, and how the operands' embeddings are put together."""


def pizza(path: Path) -> Imported:
    """A model_….pt file of the pizza release, with its configuration config_….json beside it, or inside.

    Its transformers read [a, b], or [a, b, =] (`eqn_sign`), and are not causal; their pattern is α·softmax + (1 - α)
    with the attention rate α (`attn_coeff`). With `diff_vocab` b has tokens of its own. Its linear models A, B, D are
    perceptrons with ReLU. The split was drawn without a seed and is unknown.

    Raises InterpError where the configuration is missing or says something else than the weights.
    """
    file = _only_model(path) if path.is_dir() else path
    content = foreign.read(file)
    settings = _settings(file, content)
    if settings is None:
        raise InterpError(
            f"{file} has no configuration: expected {_config_names(file)[0]} beside it, or 'config' inside"
        )
    tensors = files_by_step.arrays_at(files_by_step.Place(file), lambda _: content)
    layout = layouts.layout(tensors, tensor_names.match(tensors))
    if layout.names.unknown:
        raise InterpError(f"{file} is no network of the pizza release: it holds {layout.names.unknown[0]!r}")
    try:
        model = _linear(settings, layout) if "model_type" in settings else _transformer(settings, layout)
        step, p = int(settings.get("epoch", 0)), int(settings["C"])
    except (KeyError, TypeError, ValueError) as error:
        raise InterpError(f"{file}: its configuration lacks, or has no number at, {error}") from None
    task: Given = ("modular_arithmetic", {"p": p, "operation": _operation(settings, file), "split": "unknown"})

    def load(step: int) -> Arrays:  # noqa: ARG001 (there is one)
        return layouts.in_our_layout(tensors, layout.fitted(model), str(file))

    return Imported(task, model, [step], load, files={step: file})


def recognises(path: Path) -> bool:
    """Whether there is a weight file at `path` with a configuration of the release."""
    try:
        models = sorted(path.glob("model*.pt")) if path.is_dir() else [path]
        settings = _settings(models[0], foreign.read(models[0])) if models else None
    except InterpError:
        return False
    return settings is not None and bool({"attn_coeff", "model_type"} & settings.keys())


def _transformer(settings: dict[str, Any], layout: layouts.Layout) -> Given:
    act_fn = str(settings.get("act_fn", "ReLU")).lower()
    if act_fn not in ACTIVATIONS:
        raise InterpError(f"act_fn is {act_fn[:40]!r}; known are ReLU and GeLU")
    return (
        "transformer",
        {
            "n_layers": int(settings["n_layers"]),
            "d_model": int(settings["d_model"]),
            "n_heads": int(settings["n_heads"]),
            "d_mlp": layout.d_hidden,
            "act_fn": ACTIVATIONS[act_fn],
            "causal": False,
            "attention_rate": float(settings["attn_coeff"]),
            "row": "a b =" if settings.get("eqn_sign") else "a b",
            "shared_vocab": not settings.get("diff_vocab"),
        },
    )


def _linear(settings: dict[str, Any], layout: layouts.Layout) -> Given:
    kind = str(settings["model_type"])
    if kind not in LINEAR:
        raise InterpError(f"model_type is {kind[:40]!r}; known are {', '.join(LINEAR)}")
    n_layers, combine = LINEAR[kind]
    return (
        "mlp",
        {
            "d_model": layout.d_model,
            "d_mlp": layout.d_hidden,
            "n_layers": n_layers,
            "shared_embedding": True,
            "combine": combine,
            "biases": layout.biases,
            "act_fn": "relu",
        },
    )


def _operation(settings: dict[str, Any], file: Path) -> str:
    """The operation that the text "lambda x: (x[0]+x[1])%59" says; the text is read, never run."""
    text = settings.get("funcs")
    if text is None:
        return "x+y"
    found = re.fullmatch(r"lambda x:\((x\[0\][-+*]x\[1\])\)%\d+", re.sub(r"(?<!lambda)\s", "", str(text)[:100]))
    if found is None or found[1] not in FUNCTIONS:
        raise InterpError(f"{file}: its function is {str(text)[:60]!r}; known are {', '.join(FUNCTIONS)}")
    return FUNCTIONS[found[1]]


def _only_model(folder: Path) -> Path:
    """The one weight file in `folder`. Raises InterpError where there is none, or more than one."""
    models = sorted(folder.glob("model*.pt"))
    if len(models) == 1:
        return models[0]
    if not models:
        raise InterpError(f"{folder} holds no model_….pt")
    raise InterpError(f"{folder} holds {len(models)} models; name one: {models[0]}")


def _config_names(file: Path) -> list[str]:
    """The names that the configuration of `file` may have, the release's own first."""
    return [file.stem.replace("model", "config", 1) + ".json", "config.json", f"{file.stem}.json"]


def _settings(file: Path, content: Any) -> dict[str, Any] | None:
    """The configuration inside `file` or beside it; None where there is none."""
    if settings := configuration.inside(content):
        return settings
    found = configuration.beside(file.with_name(name) for name in _config_names(file))
    return None if found is None else found[0]
