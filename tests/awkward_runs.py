"""A bank of small runs whose story is known and about which it is easy to say something that is not so.

`BANK` names each and makes it in a folder, planted or trained in seconds. The steps of planted runs are 0, 100, 200.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interp.checkpoints import Run, open_run
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.models.transformer import transformer
from interp.recipes.document import dump_yaml
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.train import train
from tests import planted, planted_groups
from tests.planted import Planted

Weights = Mapping[str, Tensor]
Made = Callable[[Path], Run]


def _planted(made: Callable[[], Planted], *stages: Callable[[Weights], Weights], **task: Any) -> Made:
    """A run whose checkpoints are what these stages make of the network's weights."""

    def make(folder: Path) -> Run:
        network = made()
        (name, options), *_ = network.task.items()
        recipe = {"task": {name: {**options, **task}}, "model": network.model}
        folder.mkdir(parents=True)
        (folder / "run.yaml").write_text(dump_yaml(recipe))
        store = CheckpointBlocks(folder / "weights")
        for place, stage in enumerate(stages):
            store.save(100 * place, {key: one.detach().numpy() for key, one in stage(network.weights).items()})
        return open_run(folder)

    return make


def _trained(recipe: Mapping[str, Any]) -> Made:
    def make(folder: Path) -> Run:
        folder.mkdir(parents=True)
        (folder / "run.yaml").write_text(dump_yaml(recipe))
        train(folder)
        return open_run(folder)

    return make


def noise(size: float, seed: int = 0) -> Callable[[Weights], Weights]:
    """Random weights of this size in the place of each parameter."""

    def stage(weights: Weights) -> Weights:
        generator = torch.Generator().manual_seed(seed)
        return {
            name: size * torch.randn(one.shape, generator=generator, dtype=torch.float64)
            for name, one in weights.items()
        }

    return stage


def scaled(size: float, name: str = "") -> Callable[[Weights], Weights]:
    """Every parameter, or those whose name ends in `name`, times this."""
    return lambda weights: {key: one * (size if key.endswith(name) else 1) for key, one in weights.items()}


def blurred(size: float, seed: int = 1) -> Callable[[Weights], Weights]:
    """The weights and noise of this size."""
    return lambda weights: {name: weights[name] + added for name, added in noise(size, seed)(weights).items()}


def without_head(weights: Weights) -> Weights:
    """The weights of a transformer whose first head has no keys."""
    keys = weights["blocks.0.attn.W_K"].clone()
    keys[0] = 0
    return {**weights, "blocks.0.attn.W_K": keys}


def broken(weights: Weights) -> Weights:
    """The weights with one that is not a number."""
    first = next(iter(weights))
    return {name: one * torch.nan if name == first else one for name, one in weights.items()}


same, zeros = scaled(1.0), scaled(0.0)


def mirrored_table(p: int = 13) -> Planted:
    """Knows half of its pairs, which it was trained on, and their mirrors, and nothing else."""
    task = modular_arithmetic(p=p, frac_train=0.5)
    assert task.train is not None
    logits = torch.zeros(p, p, p).double()
    a, b = task.pairs[task.train].unbind(1)
    c = (a + b) % p
    logits[a, b, c] = logits[b, a, c] = 20.0
    return planted.of_logits(logits, frac_train=0.5)


def random_labels(p: int = 7) -> Planted:
    """Knows all its pairs, whose labels are random, half of them trained on."""
    task = modular_arithmetic(p=p, operation="random", frac_train=0.5)
    logits = torch.zeros(p, p, p).double()
    known = task.pairs[task.train]
    logits[known[:, 0], known[:, 1], task.targets[task.train]] = 20.0
    return planted.of_logits(logits, operation="random", frac_train=0.5)


def random_network(p: int, **options: Any) -> Planted:
    """A small transformer at its initialisation."""
    options = {"d_model": 8, "n_heads": 2, "d_mlp": 16} | options
    task = {"modular_arithmetic": {"p": p, "frac_train": 0.5}}
    weights = transformer(modular_arithmetic(p), **options).initial(0)
    return Planted({name: one.double() for name, one in weights.items()}, task, {"transformer": options})


_ADDITION = {"modular_arithmetic": {"p": 7, "frac_train": 0.6}}
_SMALL = {"mlp": {"d_model": 8, "d_mlp": 16}}


def _training(steps: int, **more: Any) -> dict[str, Any]:
    return {
        "steps": steps,
        "optimiser": {"adamw": {"lr": 1e-2, "weight_decay": 0.1}},
        "save": {"every": steps // 2},
    } | more


BANK: dict[str, Made] = {
    "never grokked": _planted(lambda: planted.lookup_table(), noise(0.1), blurred(0.3), same),
    "grokked and collapsed": _planted(lambda: planted.clock_mlp(), noise(0.1), same, blurred(1.5), frac_train=0.5),
    "grokked at once": _planted(lambda: planted.clock_mlp(), same, same, frac_train=0.5),
    "train set is everything": _planted(lambda: planted.clock_mlp(), noise(0.1), same, frac_train=1.0),
    "train set unknown": _planted(lambda: planted.clock_mlp(), noise(0.1), same, split="unknown"),
    "p = 3": _planted(lambda: random_network(3), same, scaled(2.0), scaled(0.5)),
    "p = 4": _planted(lambda: random_network(4), same, scaled(2.0)),
    "an even p": _planted(lambda: planted.clock_mlp(p=8, sizes={1: 20.0, 3: 15.0}), noise(0.1), same, frac_train=0.5),
    "two layers": _planted(lambda: random_network(7, n_layers=2), same, scaled(1.5)),
    "a Clock behind LayerNorm": _planted(lambda: planted.clock_behind_norms(7), noise(0.1), same, frac_train=0.5),
    "gated neurons": _planted(lambda: random_network(7, gated=True, act_fn="silu", norm="rms"), same, scaled(1.5)),
    "last checkpoint of zeros": _planted(lambda: planted.clock_mlp(), same, zeros, frac_train=0.5),
    "NaN in the middle": _planted(lambda: planted.clock_mlp(), noise(0.1), broken, same, frac_train=0.5),
    "NaN at the end": _planted(lambda: planted.clock_mlp(), noise(0.1), same, broken, frac_train=0.5),
    "one checkpoint": _planted(lambda: planted.clock_transformer(), same, frac_train=0.5),
    "all frequencies key": _planted(
        lambda: planted.clock_mlp(p=7, sizes={1: 20.0, 2: 20.0, 3: 20.0}), noise(0.1), same, frac_train=0.5
    ),
    "no neuron clear": _planted(lambda: planted.lookup_table(p=7), same, same),
    "random labels memorised": _planted(lambda: random_labels(), noise(0.1), same),
    "a table with mirrors": _planted(lambda: mirrored_table(), noise(0.1), same),
    "logits scaled by 1e22": _planted(lambda: planted.clock_mlp(), same, scaled(1e22, "W_U"), frac_train=0.5),
    "diverged": _planted(lambda: planted.clock_mlp(), same, scaled(1e3), scaled(1e200), frac_train=0.5),
    "mean squared error": _trained(
        {"task": _ADDITION, "model": _SMALL, "training": _training(200, loss="mse", seed=0)}
    ),
    "sparse parity": _trained(
        {
            "task": {"sparse_parity": {"n": 8, "k": 2, "n_train": 60, "n_test": 40}},
            "model": {"perceptron": {"widths": [8]}},
            "training": _training(200, seed=0),
        }
    ),
    "sums as vectors": _trained(
        {
            "task": {"toy_addition": {"p": 5, "n_train": 9, "d_target": 4}},
            "model": {"embedding_decoder": {"widths": [9]}},
            "training": _training(200, loss="mse", seed=0),
        }
    ),
    "a teacher, within a tolerance": _trained(
        {
            "task": {"teacher_student": {"d": 4, "n_train": 60, "n_test": 40, "epsilon": 0.1, "tolerance": 0.1}},
            "model": {"committee_machine": {"d_mlp": 20}},
            "training": _training(200, loss="mse", seed=0),
        }
    ),
    "a teacher without": _trained(
        {
            "task": {"teacher_student": {"teacher": "network", "d": 4, "n_train": 60, "n_test": 40, "n_outputs": 2}},
            "model": {"perceptron": {"widths": [9]}},
            "training": _training(200, loss="mse", seed=0),
        }
    ),
    "pizza": _planted(lambda: planted.pizza_transformer(), noise(0.1), same, frac_train=0.5),
    "an embedding of zeros": _planted(lambda: planted.clock_mlp(p=11), same, scaled(0.0, "W_E"), frac_train=0.5),
    "a readout of zeros": _planted(lambda: planted.clock_mlp(p=11), same, scaled(0.0, "W_U"), frac_train=0.5),
    "lost and had again": _planted(
        lambda: planted.clock_mlp(p=11), noise(0.1), same, blurred(1.5), same, frac_train=0.5
    ),
    "memory that was lost": _planted(lambda: planted.lookup_table(p=7), same, same, blurred(2.0)),
    "a head that died": _planted(lambda: random_network(11, n_heads=2, d_model=8), same, without_head),
    "a group's cosets": _planted(lambda: planted_groups.of_cosets(3), noise(0.1), same, blurred(0.3), frac_train=0.5),
    "a group's table, of unknown pairs": _planted(
        lambda: planted_groups.lookup_table(3), noise(0.1), same, split="unknown"
    ),
    "a group without cosets to see": _planted(
        lambda: planted_groups.of_representations(3), same, scaled(2.0), frac_train=0.5
    ),
    "a group of quaternions": _trained(
        {
            "task": {"group_composition": {"group": "Q8", "operation": "x*y*x^-1", "frac_train": 0.6}},
            "model": _SMALL,
            "training": _training(200, seed=0),
        }
    ),
    "two test examples": _trained(
        {
            "task": {"sparse_parity": {"n": 6, "k": 2, "n_train": 20, "n_test": 2}},
            "model": {"perceptron": {"widths": [8]}},
            "training": _training(20, seed=0),
        }
    ),
}
"""Name -> what makes the run in a folder."""
