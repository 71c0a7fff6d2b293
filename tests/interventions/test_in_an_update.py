"""Each intervention does what its formula says, in its window of steps and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.contracts.task import Task
from interp.errors import InterpError
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.interventions.wrong_answers import answers_with_outliers
from interp.maths import fourier
from interp.models.perceptron import perceptron
from interp.recipes.call import Call
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity
from interp.training.loop import train
from interp.training.plan import Plan
from tests.training.plans import plan, small_mlp

pytestmark = pytest.mark.usefixtures("one_thread")

P, STEPS = 11, 12
EMBEDDINGS = ("embed_a.W_E", "embed_b.W_E")


Weights = Mapping[str, np.ndarray]


def trained(folder: Path, *acting: Any, **training: Any) -> dict[int, Weights]:
    """The weights at every step of a training with these interventions, each (name, options)."""
    return weights_of(folder, planned(acting, steps=STEPS, **{"lr": 1e-2, **training}))


def descended(folder: Path, *acting: Any) -> dict[int, Weights]:
    """The same after two updates of plain gradient descent with rate 1: a weight moves by its gradient."""
    chosen = planned(acting, steps=2)
    descent = replace(chosen.training, optimiser=Call("optimisers", "sgd", {"lr": 1.0}))
    return weights_of(folder, replace(chosen, training=descent))


def planned(acting: Sequence[Any], **training: Any) -> Plan:
    calls = tuple(Call("interventions", name, options) for name, options in acting)
    return plan(small_mlp, interventions=calls, save={"every": 1}, **training)


def weights_of(folder: Path, chosen: Plan) -> dict[int, Weights]:
    train(folder, chosen)
    store = CheckpointBlocks(folder / "weights")
    return {step: store.load(step) for step in store.steps}


def norm(weights: Weights) -> float:
    return float(np.sqrt(sum((array.astype(float) ** 2).sum() for array in weights.values())))


def differs(one: Weights, other: Weights) -> set[str]:
    return {name for name in one if not np.array_equal(one[name], other[name])}


def power(table: np.ndarray) -> np.ndarray:
    """Of the first p rows of an embedding, by frequency, by NumPy's own transform."""
    return (np.abs(np.fft.rfft(table[:P].astype(float), axis=0)) ** 2).sum(axis=1)


def test_the_norm_is_constant_within_the_window_and_free_outside_it(tmp_path: Path):
    found = trained(tmp_path, ("constant_norm", {"start": 4, "stop": 9}))
    held = [norm(found[step]) for step in range(4, 10)]
    np.testing.assert_allclose(held, held[0], rtol=1e-6)
    assert abs(norm(found[3]) / held[0] - 1) > 1e-4
    assert abs(norm(found[11]) / held[0] - 1) > 1e-4


def test_a_clipped_gradient_is_that_of_torch(tmp_path: Path):
    bound = 0.01
    free = descended(tmp_path / "free")
    clipped = descended(tmp_path / "clipped", ("gradient_clip", {"norm": bound}))
    moved = {name: torch.from_numpy(free[0][name] - free[1][name]) for name in free[0]}
    parameters = [torch.nn.Parameter(torch.zeros_like(one)) for one in moved.values()]
    for parameter, gradient in zip(parameters, moved.values(), strict=True):
        parameter.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(parameters, bound)
    for (name, _), parameter in zip(moved.items(), parameters, strict=True):
        step = clipped[0][name] - clipped[1][name]
        np.testing.assert_allclose(step, parameter.grad, rtol=2e-3, atol=1e-7)


def test_what_is_frozen_stays_to_the_last_bit_and_the_rest_moves(tmp_path: Path):
    found = trained(tmp_path, ("freeze", {"weights": "embed_*", "start": 2, "stop": 8}))
    assert differs(found[2], found[8]) == set(found[0]) - set(EMBEDDINGS)
    assert set(EMBEDDINGS) <= differs(found[8], found[9])


def test_of_frozen_frequencies_the_waves_stay_and_the_others_move(tmp_path: Path):
    found = trained(tmp_path, ("freeze", {"weights": "embed_a.W_E", "freqs": [2, 5]}))
    waves = torch.isin(fourier.freq_of_row(P), torch.tensor([2, 5])).numpy()
    first, last = (fourier.basis(P).numpy() @ found[step]["embed_a.W_E"][:P] for step in (0, STEPS))
    np.testing.assert_allclose(last[waves], first[waves], atol=1e-6)
    assert (np.abs(last - first)[~waves].max(axis=1) > 1e-3).all()


def test_a_filtered_embedding_has_no_power_at_the_frequencies(tmp_path: Path):
    found = trained(tmp_path, ("frequency_filter", {"remove": [1, 4], "start": 3, "stop": 6}))
    for step in range(4, 7):
        for name in EMBEDDINGS:
            spectrum = power(found[step][name])
            assert spectrum[[1, 4]].max() < 1e-10 * spectrum.sum()
    assert power(found[2][EMBEDDINGS[0]])[[1, 4]].min() > 1e-3
    assert power(found[12][EMBEDDINGS[0]])[[1, 4]].min() > 1e-6


def test_the_noise_of_an_update_has_its_variance_and_a_seed_of_its_own(tmp_path: Path):
    """With a learning rate that moves nothing, what a weight moves by is the noise."""
    still: dict[str, Any] = {"lr": 1e-30}
    sigma = 0.03
    found = trained(tmp_path / "one", ("update_noise", {"sigma": sigma, "start": 1}), **still)
    other = trained(tmp_path / "other", ("update_noise", {"sigma": sigma, "start": 1, "seed": 1}), **still)
    assert not differs(found[0], found[1])
    moved = np.concatenate(
        [(found[step + 1][name] - found[step][name]).ravel() for step in range(1, STEPS) for name in found[0]]
    )
    assert abs(moved.std() / sigma - 1) < 5 / np.sqrt(2 * moved.size)
    assert abs(moved.mean()) < 5 * sigma / np.sqrt(moved.size)
    assert differs(found[STEPS], other[STEPS]) == set(found[0])


def test_noise_in_the_weights_changes_the_gradient_and_is_not_in_what_is_saved(tmp_path: Path):
    none = trained(tmp_path / "none", ("weight_noise", {"sigma": 0.0}))
    plain = trained(tmp_path / "plain")
    noisy = trained(tmp_path / "noisy", ("weight_noise", {"sigma": 0.05, "start": 2}))
    assert not differs(none[STEPS], plain[STEPS])
    assert not differs(noisy[2], plain[2])
    assert differs(noisy[3], plain[3])
    apart = max(np.abs(noisy[3][name] - plain[3][name]).max() for name in plain[3])
    assert apart < 0.021  # an update of Adam moves a weight by its rate, 0.01, and not by the noise


def test_dropout_leaves_out_its_share_of_the_neurons_and_keeps_their_mean(tmp_path: Path):
    from interp.interventions.dropout import dropout

    (drop,) = dropout(["mlp.hook_post"], share=0.3, seed=2).hooks.values()
    left = torch.cat([drop(torch.ones(100, 50)) for _ in range(4)])
    assert left.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert abs(float((left == 0).double().mean()) - 0.3) < 5 * np.sqrt(0.3 * 0.7 / left.numel())
    acted = trained(tmp_path / "acted", ("dropout", {"hooks": ["mlp.hook_post"], "start": 3}))
    plain = trained(tmp_path / "plain", ("dropout", {"hooks": ["mlp.hook_post"], "start": STEPS}))
    assert not differs(acted[3], plain[3])
    assert differs(acted[4], plain[4])


def test_after_a_switch_only_the_examples_that_are_left_give_gradients(tmp_path: Path):
    """A residue that no pair of the smaller set holds gets no gradient: plain descent leaves its row as it was."""
    found = descended(tmp_path, ("data_switch", {"n_train": 3, "start": 1}))
    first, second, third = (found[step]["embed_a.W_E"] for step in range(3))
    moved = [int((later != earlier).any(1).sum()) for earlier, later in ((first, second), (second, third))]
    assert moved[0] > 3 >= moved[1] >= 1


@pytest.mark.parametrize(
    ("shape", "factor"),
    [
        ("linear", lambda x: 1 - 0.9 * x),
        ("cosine", lambda x: 0.1 + 0.45 * (1 + np.cos(np.pi * x))),
        ("exponential", lambda x: 0.1**x),
        ("step", lambda x: 0.1 if x == 1 else 1.0),
    ],
)
def test_a_schedule_multiplies_the_rate_and_stays_where_it_ends(
    tmp_path: Path, shape: str, factor: Callable[[float], float]
):
    """By gradient descent a weight moves by its gradient times the rate: with another one it moves so much less."""
    start, stop = 2, 7

    def moved(folder: str, *acting: Any) -> dict[int, Weights]:
        chosen = planned(acting, steps=STEPS)
        descent = replace(chosen.training, optimiser=Call("optimisers", "sgd", {"lr": 1e-3}), dtype="float64")
        return weights_of(tmp_path / folder, replace(chosen, training=descent))

    options = {"shape": shape, "to": 0.1, "start": start, "stop": stop}
    free, held = moved("free"), moved("held", ("schedule", options))
    name = "unembed.W_U"
    for step in range(STEPS):
        gone = min(max(step - start, 0) / (stop - start), 1.0)
        steps = [np.linalg.norm(found[step + 1][name] - found[step][name]) for found in (held, free)]
        assert steps[0] / steps[1] == pytest.approx(factor(gone) if step >= start else 1, rel=2e-3)


def test_the_outliers_are_the_first_in_the_order_of_power_s_shuffle_with_answers_of_random_equations():
    """openai/grok shuffles the equations, then gives the first k the answers of k that it draws from them all."""
    task = modular_arithmetic(p=P, frac_train=0.5, split="power", seed=3)
    random, k = np.random.RandomState(3), 20
    equations = [(a, b, (a + b) % P) for a in range(P) for b in range(P)]
    random.shuffle(equations)
    drawn = [equations[place][2] for place in random.choice(len(equations), k)]
    expected = {(a, b): c for (a, b, _), c in zip(equations, drawn, strict=False)}
    found = answers_with_outliers(task, k, seed=3)
    for (a, b), right, answer in zip(
        task.pairs[task.train].tolist(), task.targets[task.train].tolist(), found.tolist(), strict=True
    ):
        assert answer == expected.get((a, b), right)
    assert int((found != task.targets[task.train]).sum()) >= k / 2


def test_random_labels_in_batches_are_the_same_at_every_pass(tmp_path: Path):
    """What a network learns of them with batches is what it learns where the task itself has these answers."""
    wrong = planned([("wrong_answers", {"examples": "all", "seed": 1})], steps=STEPS, batch_size=7)
    answers = wrong.task.targets.clone()
    answers[wrong.task.train] = answers_with_outliers(wrong.task, "all", 1)
    plain = planned([], steps=STEPS, batch_size=7)
    own, other = (
        weights_of(tmp_path / name, chosen)
        for name, chosen in (("wrong", wrong), ("own", replace(plain, task=replace(plain.task, targets=answers))))
    )
    assert not differs(own[STEPS], other[STEPS])


def test_answers_and_a_smaller_set_are_the_same_whichever_of_them_is_named_first(tmp_path: Path):
    """Answers that are wrong for some updates alone are right after these on the smaller set too."""
    acting = [("wrong_answers", {"examples": "all", "stop": 5}), ("data_switch", {"n_train": 20})]
    one, other = trained(tmp_path / "one", *acting), trained(tmp_path / "other", *reversed(acting))
    assert not differs(one[5], other[5])
    assert not differs(one[STEPS], other[STEPS])


def test_adversarial_inputs_stay_within_their_cube_and_raise_the_loss(tmp_path: Path):
    """With one step of size epsilon the gradient is that of the loss at inputs moved by epsilon·sign of its slope."""
    epsilon, inputs = 0.05, torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    task = Task("two classes", inputs, (inputs[:, 0] > 0).long(), 2, torch.ones(30, dtype=torch.bool))
    network = perceptron(task, (8,))
    chosen = planned([("adversarial_training", {"epsilon": epsilon, "steps": 1, "step_size": epsilon})], steps=1)
    descent = replace(chosen.training, optimiser=Call("optimisers", "sgd", {"lr": 1.0}), dtype="float64")
    found = weights_of(tmp_path, replace(chosen, task=task, architecture=network, training=descent))

    def loss(weights: Mapping[str, torch.Tensor], at: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(network.outputs(weights, at), task.targets)

    weights = {name: torch.from_numpy(array).requires_grad_() for name, array in found[0].items()}
    x = inputs.double().requires_grad_()
    (slope,) = torch.autograd.grad(loss(weights, x), x)
    moved = (x + epsilon * slope.sign()).detach()
    assert float(loss(weights, moved)) > float(loss(weights, x))
    for name, gradient in zip(weights, torch.autograd.grad(loss(weights, moved), list(weights.values())), strict=True):
        np.testing.assert_allclose(found[0][name] - found[1][name], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("freeze", {"weights": "embed_c.W_E"}, "no weight is named 'embed_c.W_E'"),
        ("freeze", {"weights": "unembed.W_U", "freqs": [9]}, "frequency 9 is none of 0 to 5"),
        ("data_switch", {"n_train": 500}, "the training set has"),
    ],
)
def test_what_an_intervention_cannot_do_is_told(tmp_path: Path, name: str, options: dict[str, Any], said: str):
    with pytest.raises(InterpError, match=said):
        trained(tmp_path, (name, options))


def test_waves_are_asked_of_residues(tmp_path: Path):
    from interp.models.perceptron import perceptron

    chosen = plan(
        lambda task: perceptron(task, (8,)),
        task=sparse_parity(n=8, k=2, n_train=30, n_test=10),
        interventions=(Call("interventions", "frequency_filter", {"remove": [1], "weights": "*"}),),
    )
    with pytest.raises(InterpError, match="has no residues"):
        train(tmp_path, chosen)
