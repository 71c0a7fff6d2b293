"""A network trained in a stack is, to the last bit, the one that is trained alone: weights and all it goes on from."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from interp.contracts.graphs import Graphs
from interp.contracts.intervention import Intervention
from interp.contracts.optimiser import Optimiser
from interp.contracts.task import Task
from interp.errors import InterpError
from interp.executors.processes import processes
from interp.files.arrays import arrays_digest
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.files.writing import write_text
from interp.models.committee_machine import committee_machine
from interp.models.conv import conv
from interp.models.embedding_decoder import embedding_decoder
from interp.models.factored_mlp import factored_mlp
from interp.models.lstm import lstm
from interp.models.message_passing import message_passing
from interp.models.mlp import mlp
from interp.models.perceptron import perceptron
from interp.models.quadratic import quadratic
from interp.models.transformer import transformer
from interp.recipes.call import Call
from interp.recipes.run_recipe import Training
from interp.tasks.images import images
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity
from interp.tasks.teacher_student import teacher_student
from interp.tasks.toy_addition import toy_addition
from interp.training.loop import train, train_stack
from interp.training.outcome import early_end
from interp.training.plan import Plan, PlannedRun
from interp.training.progress import Standing
from interp.training.stack import MOST_MEMBERS, stacks
from interp.training.state import STATE
from tests.training.pieces import StackPiece, train_piece
from tests.training.plans import planted, walking_scale
from tests.training.test_interventions import noise

pytestmark = pytest.mark.usefixtures("one_thread", "told_at_once")

STEPS, EVERY = 12, 3
LOSSES = ("cross_entropy", "mse", "hinge")


@dataclass(frozen=True)
class OfTorch(Training):
    """A training by an optimiser of torch's, one network after another."""

    def optimiser_of(self, weights: Mapping[str, torch.Tensor]) -> Optimiser:
        return Optimiser(torch.optim.RMSprop(list(weights.values()), lr=1e-3 * (1 + self.seed)), lambda i: 1 / (i + 1))


def parity(seed: int, **options: Any) -> Task:
    return sparse_parity(**{"n_train": 1251, "n_test": 40, "seed": seed, **options})


def graphs(seed: int) -> Task:
    """Random numbers in the place of three graphs of four nodes, all of which may be linked."""
    inputs = torch.rand(3, 4, 1 + 2 + 4 * (1 + 3), generator=torch.Generator().manual_seed(seed))
    train = torch.tensor([True, True, seed % 2 == 0])
    return Graphs("graphs", inputs, inputs[:, :1, 1], 1, train, n_features=2, n_edge_features=3)


def addition(seed: int) -> Task:
    return modular_arithmetic(p=11, seed=seed)


SMALL: dict[str, Any] = {"d_model": 16, "n_heads": 2, "d_mlp": 17}
TASKS: dict[str, Callable[[int], Task]] = {
    "17 neurons, one logit, 1,251 rows": parity,
    "other rows each": lambda seed: parity(seed, n_train=200 + 13 * seed),
    "two layers, two logits": lambda seed: parity(seed, outputs=2, n_train=101),
    "one neuron": lambda seed: parity(seed, n_train=101),
    "committee machine": lambda seed: teacher_student(d=9, n_train=83, n_test=20, seed=seed),
    "lstm": lambda seed: modular_arithmetic(p=7, seed=seed),
    "message passing": graphs,
    "conv": lambda seed: images(n_train=13, n_test=7, seed=seed),
    "embedding decoder": lambda seed: toy_addition(p=7, n_train=20, d_target=5, seed=seed),
}
NETWORKS: dict[str, Callable[[Task], Any]] = {
    "17 neurons, one logit, 1,251 rows": lambda task: perceptron(task, (17,)),
    "other rows each": lambda task: perceptron(task, (33,)),
    "two layers, two logits": lambda task: perceptron(task, (17, 5), act_fn="gelu", biases="all"),
    "one neuron": lambda task: perceptron(task, (3, 1), biases="none"),
    "committee machine": lambda task: committee_machine(task, 17, output_scale=0.7),
    "lstm": lambda task: lstm(task, 5, 7),
    "message passing": lambda task: message_passing(task, (5, 3), d_edge=4, d_mlp=7),
    "conv": lambda task: conv(task, (3, 5), d_mlp=7),
    "embedding decoder": lambda task: embedding_decoder(task, 1, (17, 6)),
    "mlp": lambda task: mlp(task, d_model=9, d_mlp=17, biases="all"),
    "factored_mlp": lambda task: factored_mlp(task, 9, 17),
    "circle": lambda task: factored_mlp(task, d_mlp=5, embedding="circle", act_fn="x^2"),
    "quadratic": lambda task: quadratic(task, 17),
    "wide quadratic": lambda task: quadratic(task, 70),
    "transformer": lambda task: transformer(task, **SMALL),
    "norms": lambda task: transformer(task, **SMALL, norm="layer", act_fn="gelu"),
}
UPDATES: dict[str, Callable[[int], Any]] = {
    "adamw": lambda seed: {"lr": 1e-3 * (1 + seed), "weight_decay": seed / 3, "betas": (0.9 + seed / 1000, 0.98)},
    "sgd": lambda seed: {"lr": 0.01 * (1 + seed), "weight_decay": seed / 7},
    "nesterov": lambda seed: {"lr": 0.01, "momentum": 0.1 * (1 + seed), "nesterov": True},
    "decoupled": lambda seed: {"lr": 0.01, "weight_decay": seed / 3, "decoupled": True},
    "to_init": lambda seed: {"lr": 0.01, "weight_decay": seed / 3, "decay": "to_init", "decay_at": "after"},
    "jiggle": lambda seed: {"lr": 0.01, "weight_decay": 1 + seed, "decay": "jiggle", "seed": seed},
    "adam": lambda seed: {"lr": 0.01, "l2": seed / 3},
    "langevin": lambda seed: {"lr": 0.01, "temperature": 1e-3 * seed, "prior": 0.5, "seed": seed},
    "hmc": lambda seed: {"step_size": 0.01 * (1 + seed), "leapfrog": 2, "prior": {"*W_U": 1 + seed}, "seed": seed},
    "ema": lambda seed: {"of": {"sgd": {"lr": 0.01 * (1 + seed)}}, "alpha": 0.9 + seed / 100},
    "ma": lambda seed: {"of": {"adamw": {"lr": 0.01 * (1 + seed)}}, "average": "ma", "window": 4},
    "parameter_groups": lambda seed: {
        "part": "embed.*",
        "of": {"sgd": {"lr": 0.1 * (1 + seed)}},
        "others": {"adamw": {"lr": 1e-3, "weight_decay": seed / 3}},
    },
    "orthogonal_gradient": lambda seed: {"of": {"adamw": {"lr": 0.01, "weight_decay": seed / 3}}},
}
NAMES = dict.fromkeys(("nesterov", "decoupled"), "sgd") | dict.fromkeys(("to_init", "jiggle"), "adamw")
NAMES |= {"torch": "adamw", "ema": "grokfast", "ma": "grokfast"}
EVERY_ONE: dict[str, dict[str, Any]] = {
    "weight_noise": {"sigma": 0.01},
    "gradient_clip": {"norm": 0.1},
    "update_noise": {"sigma": 1e-3},
    "freeze": {"weights": "embed_a.W_E", "freqs": [1, 3]},
    "frequency_filter": {"remove": [2], "weights": "embed_b.W_E"},
    "constant_norm": {},
    "dropout": {"hooks": ["mlp.hook_post"], "share": 0.2},
    "data_switch": {"n_train": 30},
    "schedule": {"to": 0.1},
    "wrong_answers": {"examples": 10},
}
ACTING: dict[str, Callable[[int], tuple[Call, ...]]] = {
    "none": lambda _: (),
    "initial_scale": lambda seed: (Call("interventions", "initial_scale", {"alpha": 1.0 + seed}),),
    "in some": lambda seed: planted(*[[], [walking_scale], [shrinking_gradient]][seed % 3]),
    "all that there are": lambda seed: tuple(
        Call("interventions", name, {**options, "start": seed % 3, "stop": 9}) for name, options in EVERY_ONE.items()
    ),
}


def shrinking_gradient() -> Intervention:
    """The gradients are replaced, not changed in place."""

    def before_update(training: Any) -> None:
        for weight in training.weights.values():
            weight.grad = weight.grad / 2

    return Intervention(before_update=before_update, start=2)


def member(
    folder: Path,
    seed: int,
    network: str = "17 neurons, one logit, 1,251 rows",
    optimiser: str = "adamw",
    acting: Callable[[int], tuple[Call, ...]] = ACTING["none"],
    **options: Any,
) -> PlannedRun:
    """The member of this seed, which has its own data, loss and options."""
    task = TASKS.get(network, addition)(seed)
    name = NAMES.get(optimiser, optimiser)
    losses = LOSSES if task.n_outputs > 1 else (*LOSSES, "logistic")
    losses = ("mse",) if task.targets.is_floating_point() else losses
    kind = OfTorch if optimiser == "torch" else Training
    chosen: dict[str, Any] = {"steps": STEPS, "save": {"every": EVERY}, "seed": seed, **options}
    training = kind(
        optimiser=Call("optimisers", name, UPDATES.get(optimiser, lambda _: {})(seed)),
        loss=Call("losses", losses[seed % len(losses)], {}),
        interventions=acting(seed),
        **chosen,
    )
    return PlannedRun(folder / str(seed), Plan(task, NETWORKS[network](task), training))


class Seen:
    """What lies in each member's folder when it comes to a step that is kept: the whole state that it goes on from."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, int], str] = {}

    def __call__(self, standing: Standing) -> None:
        folder = Path(standing.folder)
        content = hashlib.sha256((folder / STATE).read_bytes()).hexdigest()
        assert self.states.setdefault((folder.name, standing.step), content) == content

    def of(self, seeds: Sequence[int]) -> dict[tuple[str, int], str]:
        return {key: state for key, state in self.states.items() if int(key[0]) in seeds}


def weights(folder: Path) -> dict[int, str]:
    checkpoints = CheckpointBlocks(folder / "weights")
    return {step: arrays_digest(checkpoints.load(step)) for step in checkpoints.steps}


SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
CASES: list[Any] = [
    {"optimiser": "adamw"},
    {"optimiser": "sgd"},
    {"optimiser": "nesterov", "dtype": "float64"},
    {"optimiser": "torch"},
    *({"optimiser": name} for name in ("decoupled", "to_init", "langevin", "ema")),
    *(SLOW({"optimiser": name}) for name in ("jiggle", "adam", "hmc", "ma", "orthogonal_gradient")),
    {"acting": ACTING["initial_scale"], "batch_size": 100},
    {"acting": ACTING["in some"]},
    {"network": "other rows each"},
    SLOW({"network": "two layers, two logits", "batch_size": 33}),
    {"network": "one neuron"},
    {"network": "mlp", "acting": lambda seed: planted(*([noise] if seed % 2 else []))},
    SLOW({"network": "mlp", "acting": ACTING["all that there are"]}),
    {"network": "factored_mlp"},
    SLOW({"network": "circle", "dtype": "float64"}),
    SLOW({"network": "quadratic", "batch_size": 33}),
    SLOW({"network": "wide quadratic"}),
    {"network": "committee machine"},
    SLOW({"network": "conv"}),
    SLOW({"network": "lstm", "batch_size": 33}),
    SLOW({"network": "message passing", "batch_size": 2}),
    {"network": "embedding decoder", "optimiser": "parameter_groups"},
    {"network": "transformer"},
    SLOW({"network": "transformer", "dtype": "float64", "batch_size": 7}),
    SLOW({"network": "norms", "acting": lambda seed: planted(*([halved] if seed % 2 else []))}),
]


def halved() -> Intervention:
    """The neurons answer with half of what they have, for a few updates."""
    return Intervention(hooks={"blocks.0.mlp.hook_post": lambda post: post / 2}, start=4, stop=9)


def _named(case: dict[str, Any]) -> str:
    """The same in every process of a test run, which a function's address is not."""
    return ", ".join("an intervention" if callable(value) else str(value) for value in case.values())


@pytest.mark.parametrize("case", CASES, ids=_named)
def test_alone_in_a_stack_of_two_or_six_and_resumed_it_is_the_same_to_the_last_bit(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    alone, two, six, parted = Seen(), Seen(), Seen(), Seen()
    for seed in range(6):
        train_stack([member(tmp_path / "alone", seed, **case)], alone)
    train_stack([member(tmp_path / "two", seed, **case) for seed in (5, 2)], two)
    train_stack([member(tmp_path / "six", seed, **case) for seed in range(6)], six)
    for some, stretch in [((1, 4), 5), ((0, 1, 2, 3, 4, 5), 4), ((3,), None), ((5, 4, 2, 1, 0), None)]:
        train_stack([member(tmp_path / "parted", seed, **case) for seed in some], parted, stretch)
    assert len(alone.states) == 6 * (STEPS // EVERY + 1)
    assert two.states == alone.of((5, 2))
    assert six.states == alone.states
    assert parted.states.items() >= {key: state for key, state in alone.states.items() if key[1] == STEPS}.items()
    for seed in range(6):
        expected = weights(tmp_path / "alone" / str(seed))
        assert list(expected) == list(range(0, STEPS + 1, EVERY))
        assert weights(tmp_path / "six" / str(seed)) == expected
        assert weights(tmp_path / "parted" / str(seed)) == expected
    assert len({weights(tmp_path / "six" / str(seed))[STEPS] for seed in range(6)}) == 6


@pytest.mark.slow
def test_in_two_worker_processes_it_is_the_same_as_here(tmp_path: Path) -> None:
    task = "task: {{sparse_parity: {{n_train: 1251, n_test: 40, seed: {seed}}}}}"
    rest = "seed: {seed}, optimiser: {{adamw: {{lr: 1e-2}}}}, loss: logistic, save: {{every: 3}}}}"
    recipe = f"{task}\nmodel: {{{{perceptron: {{{{widths: [17]}}}}}}}}\ntraining: {{{{steps: 12, {rest}\n"
    for place in ("alone", "stacked", "workers"):
        for seed in range(4):
            write_text(tmp_path / place / str(seed) / "run.yaml", recipe.format(seed=seed))

    def pieces(place: str, *groups: tuple[int, ...]) -> list[StackPiece]:
        return [StackPiece(tuple(tmp_path / place / str(seed) for seed in group)) for group in groups]

    for piece in [*pieces("alone", (0,), (1,), (2,), (3,)), *pieces("stacked", (3, 1, 0, 2))]:
        train_piece(piece, lambda _: None)
    (tmp_path / "held").mkdir()
    with processes(2, tmp_path / "held") as executor:
        list(executor.run(train_piece, pieces("workers", (1, 2), (0, 3)), lambda _: None))
    for seed in map(str, range(4)):
        states = {place: (tmp_path / place / seed / STATE).read_bytes() for place in ("alone", "stacked", "workers")}
        assert len(set(states.values())) == 1
        assert weights(tmp_path / "workers" / seed) == weights(tmp_path / "alone" / seed)


def test_they_are_shared_out_by_shape_type_and_kind_of_update_to_stacks_of_bounded_size(tmp_path: Path) -> None:
    made = [member(tmp_path, seed, network="one neuron") for seed in range(2 * MOST_MEMBERS + 3)]
    others = [
        member(tmp_path / "wider", 0, network="other rows each"),
        member(tmp_path / "exact", 0, network="one neuron", dtype="float64"),
        member(tmp_path / "by sgd", 0, network="one neuron", optimiser="sgd"),
        member(tmp_path / "by nesterov", 0, network="one neuron", optimiser="nesterov"),
        member(tmp_path / "by hmc", 0, network="one neuron", optimiser="hmc"),
    ]
    shared = stacks([*made[:5], *others, *made[5:]])
    assert [len(stack) for stack in shared] == [MOST_MEMBERS, MOST_MEMBERS, 3, 1, 1, 1, 1, 1]
    assert [one for stack in shared[:3] for one in stack] == made
    with pytest.raises(InterpError, match="do not all have the same shapes"):
        train_stack([made[0], others[0]])


def test_one_that_diverges_leaves_the_others_as_they_would_be(tmp_path: Path) -> None:
    def bad(folder: Path, seed: int) -> PlannedRun:
        made = member(folder, seed, network="one neuron", save={"every": 1})
        wild = Call("optimisers", "adamw", {"lr": 1e30, "warmup": 0})
        training = replace(made.plan.training, optimiser=wild, loss=Call("losses", "mse", {}))
        return replace(made, plan=replace(made.plan, training=training))

    good = member(tmp_path / "alone", 1, network="one neuron", save={"every": 1})
    train(good.folder, good.plan)
    alone = train(tmp_path / "alone" / "2", bad(tmp_path, 2).plan)
    both = [bad(tmp_path / "both", 2), member(tmp_path / "both", 1, network="one neuron", save={"every": 1})]
    first, second = train_stack(both)
    assert (first.end, second.end) == ("diverged", "finished")
    assert first.step == alone.step < STEPS
    assert early_end(both[0].folder) == replace(first, updates=0)
    for seed in ("1", "2"):
        assert weights(tmp_path / "both" / seed) == weights(tmp_path / "alone" / seed)
    before = weights(both[0].folder)
    again = train_stack(both)
    assert [(one.end, one.updates) for one in again] == [("diverged", 0), ("finished", 0)]
    assert weights(both[0].folder) == before
