"""What is read of somebody's network is so, or it is said: the activation, the split, the losses that were recorded."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import interp
from interp.checkpoints import Run, open_run
from interp.errors import InterpError
from interp.importers.shared import splits
from interp.importers.shared.agreement import disagreements
from interp.importers.shared.guessing.guess import Guess
from interp.importers.shared.guessing.search import _better_and_surer
from interp.recipes.document import parse_value
from tests.importers.test_state_dicts import write_run

P = 23
N = P * P
PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))
ANSWERS = PAIRS.sum(dim=1) % P
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "|x|": torch.abs,
    "x^2": torch.square,
    "relu^2": lambda x: torch.relu(x).square(),
}
MASK = np.zeros(N, bool)
MASK[torch.randperm(N, generator=torch.Generator().manual_seed(5))[: int(0.7 * N)].numpy()] = True
ROWS = np.flatnonzero(MASK)
TASK = {"modular_arithmetic": {"p": P, "operation": "x+y", "split": "unknown"}}
MODEL = {"mlp": {"d_model": 32, "d_mlp": 64, "shared_embedding": True, "biases": "all"}}


class Net(nn.Module):
    def __init__(self, act_fn: str, averaged: bool = False) -> None:
        super().__init__()
        self.embedding, self.fc1 = nn.Embedding(P, 32), nn.Linear(32 if averaged else 64, 64)
        self.fc2 = nn.Linear(64, P)
        self.act, self.averaged = ACTIVATIONS[act_fn], averaged

    def forward(self, pairs: Tensor) -> Tensor:
        embedded = self.embedding(pairs)
        return self.fc2(self.act(self.fc1(embedded.mean(dim=1) if self.averaged else embedded.flatten(1))))


@functools.cache
def trained(act_fn: str, steps: tuple[int, ...] = (100, 400), averaged: bool = False) -> dict[int, dict[str, Any]]:
    """Step -> the state dict and, in float32, what the training loop would record."""
    torch.manual_seed(1)
    network, mask = Net(act_fn, averaged), torch.tensor(MASK)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=1)
    found = {}
    for step in range(1, max(steps) + 1):
        loss = functional.cross_entropy(network(PAIRS[mask]), ANSWERS[mask])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step in steps:
            state = {name: value.clone() for name, value in network.state_dict().items()}
            found[step] = {"model": state, **records(network(PAIRS).detach())}
    return found


def records(logits: Tensor) -> dict[str, float]:
    losses, right = functional.cross_entropy(logits, ANSWERS, reduction="none"), logits.argmax(dim=1) == ANSWERS
    return {
        f"{name}_{quantity}": values[torch.tensor(chosen)].float().mean().item()
        for name, chosen in (("train", MASK), ("test", ~MASK))
        for quantity, values in (("loss", losses), ("accuracy", right))
    }


def losses_of(content: dict[str, Any]) -> dict[str, Any]:
    """The weights with the losses alone."""
    return {name: value for name, value in content.items() if name in ("model", "train_loss", "test_loss")}


def opened(folder: Path, content: dict[str, Any], **recipe: Any) -> Run:
    torch.save(content, folder / "step_400.pt")
    if recipe:
        write_run(folder, **recipe, importer="state_dicts")
    return open_run(folder, None if recipe else "state_dicts")


def trained_on(run: Run) -> list[int]:
    assert run.task.train is not None
    return run.task.train.nonzero()[:, 0].tolist()


def act_fn(run: Run) -> str:
    return run.model_call.options["act_fn"]


# The activation.


@pytest.mark.slow
@pytest.mark.parametrize("step", [100, 400])
@pytest.mark.parametrize("told", [False, True])
def test_a_relu_network_that_memorises_is_relu_and_that_is_said(told: bool, step: int, tmp_path: Path):
    run = opened(tmp_path, trained("relu")[step]["model"], **({"task": TASK} if told else {}))
    assert act_fn(run) == "relu"
    assert [note for note in run.notes if note.startswith("The activation was taken to be ReLU")]


@pytest.mark.slow
def test_all_relu_networks_saved_while_one_learns_are_relu(tmp_path: Path):
    for step, content in trained("relu", (100, 200, 300, 400, 600, 800, 3000)).items():
        run = opened(tmp_path, content["model"])
        assert act_fn(run) == "relu", step
        assert "The activation was taken to be ReLU" in " ".join(run.notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["|x|", "x^2", "relu^2", "tanh"])
def test_an_activation_that_answers_far_more_is_taken_and_that_is_said(name: str, tmp_path: Path):
    run = opened(tmp_path, trained(name)[400]["model"])
    assert act_fn(run) == name
    assert "with ReLU" in next(note for note in run.notes if note.startswith("The activation was taken to be"))


@pytest.mark.parametrize("name", ["relu", "gelu", "silu", "tanh"])
def test_the_activation_is_the_one_under_which_the_recorded_losses_are_those_of_the_weights(name: str, tmp_path: Path):
    run = opened(tmp_path, losses_of(trained(name)[400]))
    assert act_fn(run) == name
    assert trained_on(run) == ROWS.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relu", pytest.param("gelu", marks=pytest.mark.slow)])
def test_embeddings_are_averaged_where_the_recorded_losses_say_so(name: str, tmp_path: Path):
    content = trained(name, averaged=True)[400]
    run = opened(tmp_path, losses_of(content))
    assert act_fn(run) == name
    assert run.model_call.options["combine"] == "averaged"
    assert trained_on(run) == ROWS.tolist()
    measured = run.final.measure("loss")
    assert float(measured.test_loss) == pytest.approx(content["test_loss"], rel=1e-4)
    assert any("the two embeddings averaged, the recorded losses are" in note for note in run.notes)


def test_without_losses_the_scale_of_the_logits_is_said_to_be_unknown_in_the_first_line(tmp_path: Path):
    run = opened(tmp_path, trained("relu", averaged=True)[400]["model"])
    assert "The scale of the logits cannot be known from the weights alone" in run.notes[0]
    model = {"mlp": {"d_model": 32, "d_mlp": 64, "shared_embedding": True, "biases": "all", "combine": "averaged"}}
    told = opened(tmp_path, losses_of(trained("relu", averaged=True)[400]), task=TASK, model=model)
    assert not any("scale of the logits" in note for note in told.notes)


def test_recorded_losses_that_are_some_updates_old_change_no_activation(tmp_path: Path):
    content = losses_of(trained("relu")[400])
    run = opened(tmp_path, content | {"train_loss": content["train_loss"] * 1.04})
    assert act_fn(run) == "relu"
    assert trained_on(run) == ROWS.tolist()


@pytest.mark.slow
def test_a_configuration_says_the_activation_unless_the_losses_say_another(tmp_path: Path):
    content = trained("relu")[400]
    assert act_fn(opened(tmp_path, {"model": content["model"], "config": {"act_fn": "gelu"}})) == "gelu"
    run = opened(tmp_path, losses_of(content) | {"config": {"act_fn": "gelu"}})
    assert act_fn(run) == "relu"
    assert "GELU, which the configuration says" in " ".join(run.notes)
    unknown = opened(tmp_path, {"model": content["model"], "config": {"activation": "mish"}})
    assert "the configuration says mish, which interp does not know" in " ".join(unknown.notes)


@pytest.mark.slow
def test_a_scale_of_the_logits_in_a_configuration_is_told_unless_the_losses_say_that_it_is_none(tmp_path: Path):
    content = trained("relu")[400]
    said = "The configuration says output_scale: 0.1."
    config = {"config": {"act_fn": "relu", "output_scale": 0.1}}
    assert said in " ".join(opened(tmp_path, {"model": content["model"]} | config).notes)
    assert said not in " ".join(opened(tmp_path, losses_of(content) | config).notes)
    assert said not in " ".join(opened(tmp_path, {"model": content["model"], "config": {"output_scale": 1.0}}).notes)


def test_the_activation_stands_in_the_report(tmp_path: Path):
    run = opened(tmp_path, trained("relu")[400]["model"])
    page = interp.write_report(run, tmp_path / "report.html", ["weight_norm"]).read_text()
    assert "The activation was taken to be ReLU" in page
    assert "Another architecture?" in page


# The split.


def _sklearn(n: int, seed: int, share: float) -> np.ndarray:
    """scikit-learn's train_test_split(test_size=1 - share): the test rows come first in the permutation."""
    n_test = int(np.ceil(round((1 - share) * n, 9)))
    return np.random.RandomState(seed).permutation(n)[n_test:]


def _shuffled(n: int, seed: int, share: float) -> np.ndarray:
    listed = [(a, b) for a in range(P) for b in range(P)]
    random.seed(seed)
    random.shuffle(listed)
    return np.asarray([a * P + b for a, b in listed[: int(share * n)]])


def _random_split(n: int, seed: int, share: float) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    first, _ = torch.utils.data.random_split(range(n), [share, 1 - share], generator)  # type: ignore[arg-type]
    return np.asarray(first.indices)


def _legacy(n: int, seed: int, share: float) -> np.ndarray:
    rows = np.arange(n)
    np.random.seed(seed)
    np.random.shuffle(rows)
    return rows[: int(share * n)]


def _generator(n: int, seed: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)[: int(share * n)]


def _sampled(n: int, seed: int, share: float) -> np.ndarray:
    return np.asarray(random.Random(seed).sample(range(n), int(share * n)))


def _listed_by_b(n: int, seed: int, share: float) -> np.ndarray:
    chosen = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[: int(share * n)].numpy()
    return chosen % P * P + chosen // P


@pytest.mark.parametrize(
    "draw",
    [_sklearn, _shuffled, _random_split, _legacy, _generator, _sampled, _listed_by_b],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize(("seed", "share"), [(0, 0.3), (42, 0.7), (99, 0.5)])
def test_the_usual_ways_of_drawing_a_split_are_found(draw: Any, seed: int, share: float):
    losses = np.random.default_rng(7).lognormal(-3, 2, N)
    mask = np.zeros(N, bool)
    mask[draw(N, seed, share)] = True
    losses[mask] /= 30
    recorded = (float(np.float32(losses[mask].mean())), float(np.float32(losses[~mask].mean())))
    found = splits.split_by_losses(losses, recorded, P)
    assert found is not None
    assert (found.mask(N, P) == mask).all()


@pytest.mark.parametrize("of_train", [1e-10, 1e-12])
def test_a_train_loss_in_float64_tells_however_small_it_is(of_train: float):
    """Nanda et al.'s network without weight decay has a train loss of 1.7e-10, which is no rounding of float32.

    Few test pairs have nearly all the loss, so that many another split has nearly the same test loss.
    """
    mask = np.zeros(N, bool)
    mask[_shuffled(N, 0, 0.9)] = True
    losses = np.random.default_rng(7).lognormal(0, 0.3, N) * np.where(mask, of_train, 1e-6)
    found = splits.split_by_losses(losses, (losses[mask].mean(), losses[~mask].mean()), P)
    assert found is not None
    assert (found.mask(N, P) == mask).all()


def test_a_train_loss_that_float32_rounds_to_nothing_leaves_the_test_loss_to_tell():
    mask = np.zeros(N, bool)
    mask[_shuffled(N, 3, 0.3)] = True
    losses = np.random.default_rng(7).lognormal(-3, 2, N) * np.where(mask, 1e-10, 1.0)
    found = splits.split_by_losses(losses, (0.0, losses[~mask].mean()), P)
    assert found is not None
    assert (found.mask(N, P) == mask).all()


@pytest.mark.parametrize("seed", range(10))
def test_a_split_that_nobody_can_know_is_unknown(seed: int):
    """A network that generalises has nearly the same loss on any pairs, so that some split is always near."""
    rng = np.random.default_rng(10**6 + seed)
    losses, mask = rng.lognormal(-3, 1, N), rng.permutation(N) < 0.5 * N
    assert splits.split_by_losses(losses, (losses[mask].mean(), losses[~mask].mean()), P) is None


@pytest.mark.slow
def test_the_published_networks_keep_their_split_by_the_general_search(reference: Path):
    for name in ("low_precision_mod_addition", "wd_10-1_mod_addition_loss_curve"):
        path = reference / "progress_measures" / f"{name}.pth"
        own = open_run(path, "progress_measures", seed=1, frac_train=0.3)
        other = open_run(path, "state_dicts")
        assert trained_on(own) == trained_on(other)


# What was recorded.


def test_an_accuracy_that_is_not_so_is_refused_with_both_numbers_and_the_lines_offered_open_it(tmp_path: Path):
    content = {"model": trained("relu")[400]["model"], "train_accuracy": 0.41, "test_accuracy": 0.3}
    with pytest.raises(
        InterpError, match=r"record an accuracy of 30\.0% to 41\.0%; as it is read here it is"
    ) as caught:
        opened(tmp_path, content)
    message = str(caught.value)
    lines = message[message.index("\ntask:") + 1 :].splitlines()[:3]
    (tmp_path / "run.yaml").write_text("\n".join(lines))
    assert parse_value("{" + lines[0] + "}")
    run = open_run(tmp_path)
    assert "record an accuracy of 30.0% to 41.0%" in run.notes[0]


def test_a_loss_that_is_not_so_is_a_note_where_the_run_yaml_settles_task_and_model(tmp_path: Path):
    content = trained("relu")[400]
    wrong = losses_of(content) | {"train_indices": ROWS.tolist(), "test_loss": content["test_loss"] * 1.5}
    with pytest.raises(InterpError, match="record a test loss of"):
        opened(tmp_path, wrong)
    assert "record a test loss of" in opened(tmp_path, wrong, task=TASK, model=MODEL).notes[0]


@pytest.mark.parametrize("kind", ["squared error", "squared error summed", "cross-entropy summed"])
def test_other_losses_are_told_as_such(kind: str, tmp_path: Path):
    content = trained("relu")[400]
    network = Net("relu")
    network.load_state_dict(content["model"])
    logits, onehot = network(PAIRS).detach(), functional.one_hot(ANSWERS, P).float()
    values = {
        "squared error": (logits - onehot).square().mean(dim=1),
        "squared error summed": (logits - onehot).square().sum(dim=1),
        "cross-entropy summed": functional.cross_entropy(logits, ANSWERS, reduction="none"),
    }[kind]
    told = {
        f"{name}_loss": (values[chosen].sum() if kind == "cross-entropy summed" else values[chosen].mean()).item()
        for name, chosen in (("train", torch.tensor(MASK)), ("test", torch.tensor(~MASK)))
    }
    run = opened(tmp_path, {"model": content["model"], "train_indices": np.flatnonzero(MASK).tolist(), **told})
    assert act_fn(run) == "relu"
    assert [note for note in run.notes if note.startswith("The recorded losses are the ")]


@pytest.mark.slow
def test_another_architecture_is_asked_for_unless_what_was_recorded_explains_the_answers(tmp_path: Path):
    content = trained("relu")[400]
    assert opened(tmp_path, content["model"]).notes[0].startswith("Another architecture?")
    told = {name: content[name] for name in ("model", "train_accuracy", "test_accuracy")}
    assert not [note for note in opened(tmp_path, told).notes if "Another architecture?" in note]


@pytest.mark.slow
def test_a_task_told_that_the_network_does_not_answer_is_said_with_the_one_it_does(tmp_path: Path):
    task = {"modular_arithmetic": {"p": P, "operation": "x*y", "split": "unknown"}}
    content = trained("x^2", (100, 400, 1000))[1000]["model"]
    run = opened(tmp_path, content, task=task)
    assert "The answers are at chance" in run.notes[0]
    assert "As x+y mod 23" in run.notes[0]


def test_a_loss_of_all_pairs_is_neither_that_of_the_training_pairs_nor_that_of_the_others():
    curves = {"train_loss": {0: 1e-7, 100: 1e-7}, "test_loss": {0: 8.0, 100: 8.0}}
    (wrong, *_) = disagreements(curves, [0, 100], lambda _: {"loss": 0.003})
    assert wrong.recorded == (1e-7, 8.0)
    assert "a loss of 1×10⁻⁷ to 8, of all pairs 0.16 to 7.84; as it is read here it is 0.003" in wrong.sentence
    assert not disagreements(curves, [0, 100], lambda _: {"loss": 8 * 0.3})


def test_checkpoints_that_were_kept_without_a_copy_are_one(tmp_path: Path):
    torch.manual_seed(0)
    state = Net("relu").state_dict()
    torch.save({"state_dicts": [state] * 5, "epochs": [0, 100, 200, 300, 400]}, tmp_path / "run.pth")
    write_run(tmp_path, task=TASK, model=MODEL, importer="state_dicts")
    run = open_run(tmp_path)
    assert run.steps == [400]
    assert run.notes[0].startswith("All 5 checkpoints hold the same numbers")


def test_what_is_answered_nearly_always_is_no_reason_for_larger_embeddings():
    usual = Guess(("", {}), ("", {}), 113, 0.997, 1e-3)
    surer = dataclasses.replace(usual, model=("", {"embedding_scale": 11.3}), accuracy=1.0, loss=1e-4)
    assert not _better_and_surer(surer, usual)
    assert _better_and_surer(surer, dataclasses.replace(usual, accuracy=0.98))
    assert _better_and_surer(dataclasses.replace(surer, model=("", {"attention_scale": False})), usual)


def test_a_few_pairs_more_are_no_reason_to_leave_positions_out():
    """Of a published network that had pairs left to learn, two of 600 came right without its table of positions."""
    usual = Guess(("", {}), ("", {}), 113, 0.9967, 9.7e-4)
    without = dataclasses.replace(usual, model=("", {"positions": "none"}), accuracy=1.0, loss=5.5e-4)
    assert not _better_and_surer(without, usual)
    assert _better_and_surer(without, dataclasses.replace(usual, accuracy=0.98))


# Training pairs.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_mask", MASK.astype(np.int64)),
        ("train_indices", ROWS.astype(np.float64)),
        ("train_pairs", np.stack([ROWS // P, ROWS % P])),
        ("train_data", np.stack([ROWS // P, ROWS % P, np.full(len(ROWS), P)], axis=1)),
        ("test_indices", np.flatnonzero(~MASK)),
    ],
)
def test_training_pairs_that_a_checkpoint_lists_in_other_forms(name: str, value: np.ndarray, tmp_path: Path):
    run = opened(tmp_path, {"model": trained("relu")[400]["model"], name: torch.tensor(value)})
    assert trained_on(run) == ROWS.tolist()
    assert name in " ".join(run.notes)


def test_pairs_listed_twice_are_not_used_and_that_is_said(tmp_path: Path):
    run = opened(tmp_path, {"model": trained("relu")[400]["model"], "train_indices": [*ROWS.tolist(), int(ROWS[0])]})
    assert run.task.train is None
    assert "1 of its 371 entries name a pair again" in " ".join(run.notes)


@pytest.mark.slow
def test_swapped_pairs_are_said_first_though_all_are_answered_right(tmp_path: Path):
    content = trained("x^2", (100, 400, 1000))[1000]
    run = opened(tmp_path, {"model": content["model"], "train_mask": torch.tensor(~MASK)})
    assert run.notes[0].startswith("The training pairs look swapped")


def test_a_frozen_embedding_that_is_used_is_the_embedding(tmp_path: Path):
    state = trained("relu")[400]["model"]
    for step, factor in ((100, 0.5), (200, 1.0)):
        torch.save(
            state
            | {
                "fc1.weight": state["fc1.weight"] * factor,
                "fc2.bias": state["fc2.bias"] * factor,
                "fc1.bias": state["fc1.bias"] * factor,
                "fc2.weight": state["fc2.weight"] * factor,
            },
            tmp_path / f"step_{step}.pt",
        )
    run = open_run(tmp_path, "state_dicts")
    assert run.read_as["embedding.weight"] == "embed.W_E"


def test_a_tensor_is_not_said_to_be_recognised_where_only_its_name_sounds_so(tmp_path: Path):
    torch.save({"key_frequencies": torch.ones(201, 5), "q_head": torch.ones(2, 128)}, tmp_path / "step_1.pt")
    with pytest.raises(InterpError) as caught:
        open_run(tmp_path, "state_dicts")
    assert "  recognised:" not in str(caught.value)


# The training pairs as data sets.

DATA = {
    "inputs beside their targets": {
        "train_data": (PAIRS[ROWS], ANSWERS[ROWS]),
        "test_data": (PAIRS[~MASK], ANSWERS[~MASK]),
    },
    "rows of tokens": {"X_train": np.pad(PAIRS[ROWS].numpy(), ((0, 0), (0, 1)), constant_values=P)},
    "by set": {"train": PAIRS[ROWS], "test": PAIRS[~MASK]},
}


@pytest.mark.parametrize("form", DATA)
def test_training_pairs_saved_as_data_are_found(form: str, tmp_path: Path):
    content = {"model": trained("relu")[400]["model"], **DATA[form]}
    assert trained_on(opened(tmp_path, content)) == ROWS.tolist()


@pytest.mark.parametrize("which", ["train", "test"])
def test_a_file_of_several_sets_tells_the_one_that_is_asked_for(which: str, tmp_path: Path):
    torch.save({"train": PAIRS[MASK], "test": PAIRS[~MASK]}, tmp_path / "data.pt")
    torch.save(trained("relu")[400]["model"], tmp_path / "step_400.pt")
    run = open_run(write_run(tmp_path, importer={"state_dicts": {which: "data.pt"}}))
    assert trained_on(run) == ROWS.tolist()


def test_a_network_that_knows_its_training_pairs_and_no_others_needs_no_other_architecture(tmp_path: Path):
    """Where the training pairs are told, what it answers is explained; where they are not, it is asked."""
    content = trained("relu")[100]
    assert content["train_accuracy"] >= 0.95 > content["test_accuracy"]
    unknown = opened(tmp_path, content["model"])
    assert "Another architecture?" in unknown.notes[0]
    known = opened(tmp_path, {"model": content["model"], "train_mask": MASK.reshape(P, P)})
    assert not [note for note in known.notes if "architecture" in note]
