"""Small networks with random weights, and runs made of them."""

from __future__ import annotations

from interp.models.mlp import mlp
from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic

TASK = {"p": 7, "frac_train": 0.5}
MODELS = {"transformer": {"d_model": 8, "n_heads": 2, "d_mlp": 12}, "mlp": {"d_model": 6, "d_mlp": 10}}


def fresh(kind, seed=0, scale=1.0):
    """Weights before training, float64."""
    made = {"transformer": transformer, "mlp": mlp}[kind](modular_arithmetic(p=7), **MODELS[kind])
    return {name: scale * value.double() for name, value in made.initial(seed).items()}


def a_run(make_run, weights, kind="mlp", name="run", **task):
    return make_run(weights, {"modular_arithmetic": {**TASK, **task}}, {kind: MODELS[kind]}, name=name)
