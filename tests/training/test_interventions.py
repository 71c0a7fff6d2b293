"""Losses and interventions act in every update, and a training that has them resumes bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.contracts.intervention import Examples, Intervention
from interp.errors import InterpError
from interp.files.arrays import read_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.recipes.call import Call
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training import again
from interp.training.loop import STATE, train
from tests.training.plans import plan, planted, small_mlp, walking_scale
from tests.training.test_loop import digests, stop_after

pytestmark = pytest.mark.usefixtures("one_thread", "told_at_once")

MSE, HINGE = (Call("losses", name, {}) for name in ("mse", "hinge"))


def weights_at(folder: Path, step: int) -> dict[str, np.ndarray]:
    return CheckpointBlocks(folder / "weights").load(step)


def noise() -> Intervention:
    """Every update sees its targets moved by one at random places, drawn by a generator that is remembered."""
    generator = torch.Generator()
    state = {"generator": generator.manual_seed(5).get_state()}

    def examples(training: Any, seen: Examples) -> Examples:
        generator.set_state(state["generator"])
        moved = torch.rand(len(seen.targets), generator=generator) < 0.1
        state["generator"] = generator.get_state()
        other = (seen.targets + 1) % training.task.n_outputs
        return seen._replace(targets=torch.where(moved, other, seen.targets))

    return Intervention(examples=examples, state=state)


def half_the_neurons() -> Intervention:
    """In updates 10 to 24 the last hidden layer answers with half of what it has."""
    return Intervention(hooks={"mlp.hook_post": lambda post: post / 2}, start=10, stop=25)


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize(
    "acting", [(walking_scale,), (noise,), (half_the_neurons,), (walking_scale, half_the_neurons, noise)]
)
def test_resumed_it_is_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, acting: tuple[Callable[[], Intervention], ...], batch_size: int | None
) -> None:
    chosen = plan(small_mlp, interventions=planted(*acting), batch_size=batch_size, loss=MSE)
    train(tmp_path / "whole", chosen)
    for step in (0, 10, 20):
        with pytest.raises(InterpError, match="stopped"):
            train(tmp_path / "stopped", chosen, stop_after(step))
    train(tmp_path / "stopped", chosen)
    assert digests(tmp_path / "stopped") == digests(tmp_path / "whole")
    train(tmp_path / "without", plan(small_mlp, batch_size=batch_size, loss=MSE))
    assert digests(tmp_path / "without")[40] != digests(tmp_path / "whole")[40]


def test_checkpoints_added_later_are_those_of_the_interventions_too(tmp_path: Path) -> None:
    acting = planted(walking_scale, noise)
    train(tmp_path / "run", plan(small_mlp, interventions=acting, save={"every": 20}))
    train(tmp_path / "every", plan(small_mlp, interventions=acting, save={"every": 1}))
    again.add(tmp_path / "run", plan(small_mlp, interventions=acting, save={"every": 20}), ["5:35:5"])
    found = digests(tmp_path / "run")
    assert list(found) == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    assert found.items() <= digests(tmp_path / "every").items()


def test_a_training_without_interventions_keeps_weights_and_optimiser_alone(tmp_path: Path) -> None:
    train(tmp_path, plan(small_mlp))
    arrays, about = read_arrays(tmp_path / STATE)
    assert {name.split("/")[0] for name in arrays} == {"weights", "optimiser"}
    assert isinstance(about, dict)
    assert about.keys() == {"step", "threads", "recipe", "loop"}


def test_at_the_start_acts_once_on_the_fresh_weights(tmp_path: Path) -> None:
    called = []

    def double() -> Intervention:
        def at_start(training: Any) -> None:
            called.append(training.step)
            for weight in training.weights.values():
                weight *= 2

        return Intervention(at_start=at_start)

    chosen = plan(small_mlp, interventions=planted(double))
    with pytest.raises(InterpError, match="stopped"):
        train(tmp_path, chosen, stop_after(20))
    train(tmp_path, chosen)
    assert called == [0]
    fresh = chosen.architecture.initial(1)
    for name, array in weights_at(tmp_path, 0).items():
        np.testing.assert_array_equal(array, 2 * fresh[name].numpy())


def test_what_is_done_around_an_update_is_done_in_its_window_and_order(tmp_path: Path) -> None:
    seen: list[tuple[str, int, bool]] = []

    def watching() -> Intervention:
        def look(when: str) -> Callable[[Any], None]:
            return lambda training: seen.append(
                (when, training.step, all(weight.grad is not None for weight in training.weights.values()))
            )

        return Intervention(before_update=look("before"), after_update=look("after"), start=3, stop=5)

    train(tmp_path, plan(small_mlp, interventions=planted(watching)))
    assert seen == [("before", 3, True), ("after", 4, True), ("before", 4, True), ("after", 5, True)]


def test_gradients_taken_away_before_an_update_do_not_move_the_weights(tmp_path: Path) -> None:
    def still() -> Intervention:
        def before_update(training: Any) -> None:
            training.weights["unembed.W_U"].grad.zero_()

        return Intervention(before_update=before_update)

    optimiser = Call("optimisers", "adamw", {"weight_decay": 0.0})
    chosen = plan(small_mlp, interventions=planted(still))
    train(tmp_path, replace(chosen, training=replace(chosen.training, optimiser=optimiser)))
    first, last = weights_at(tmp_path, 0), weights_at(tmp_path, 40)
    still_there = {name for name in first if np.array_equal(first[name], last[name])}
    assert still_there == {"unembed.W_U"}


def test_a_hook_acts_in_the_forward_pass_and_its_gradients(tmp_path: Path) -> None:
    """With the neurons held at 0 the outputs are 0, whatever the weights are: no weight has a gradient but 0."""

    def silent() -> Intervention:
        return Intervention(hooks={"mlp.hook_post": torch.zeros_like})

    def watching() -> Intervention:
        def before_update(training: Any) -> None:
            found.append({name: float(weight.grad.abs().max()) for name, weight in training.weights.items()})

        return Intervention(before_update=before_update, stop=1)

    found: list[dict[str, float]] = []
    train(tmp_path, plan(small_mlp, interventions=planted(silent, watching)))
    assert found == [dict.fromkeys(plan(small_mlp).architecture.shapes, 0.0)]


@pytest.mark.parametrize("network", [None, small_mlp])
def test_a_hook_that_changes_nothing_trains_as_without_it_up_to_rounding(tmp_path: Path, network: Any) -> None:
    def idle() -> Intervention:
        return Intervention(hooks={name: lambda post: post})

    name = "mlp.hook_post" if network else "blocks.0.mlp.hook_post"
    options = {} if network is None else {"network": network}
    train(tmp_path / "hooked", plan(**options, interventions=planted(idle)))
    train(tmp_path / "plain", plan(**options))
    plain = weights_at(tmp_path / "plain", 40)
    for name, array in weights_at(tmp_path / "hooked", 40).items():
        np.testing.assert_allclose(array, plain[name], atol=2e-4)


def test_a_hook_that_the_network_does_not_have_is_told_before_training(tmp_path: Path) -> None:
    def mistaken() -> Intervention:
        return Intervention(hooks={"mlp.hook_pots": torch.zeros_like}, start=30)

    with pytest.raises(InterpError, match=r"hooks 'mlp\.hook_pots', which .* not have; did you mean 'mlp\.hook_post'"):
        train(tmp_path, plan(small_mlp, interventions=planted(mistaken)))
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("loss", [MSE, HINGE])
def test_the_loss_of_the_recipe_is_the_one_that_falls_and_is_told(tmp_path: Path, loss: Call) -> None:
    told: list[tuple[float, ...]] = []
    chosen = plan(small_mlp, loss=loss, steps=200, save={"every": 50})
    train(tmp_path, chosen, lambda *values: told.append(values))
    weights = {name: torch.from_numpy(array) for name, array in weights_at(tmp_path, 200).items()}
    outputs, targets = chosen.architecture.outputs(weights, chosen.task.inputs), chosen.task.targets
    margins = outputs.gather(1, targets[:, None])[:, 0]
    one_hot = torch.nn.functional.one_hot(targets, chosen.task.n_outputs)
    others = outputs.masked_fill(one_hot.bool(), -torch.inf).amax(1)
    losses: Tensor = (1 - margins + others).clamp(min=0) if loss is HINGE else (outputs - one_hot).square().mean(1)
    assert told[-1][1] == pytest.approx(float(losses[chosen.task.train].mean()), rel=1e-5)
    assert told[-1][1] < told[0][1]


def test_a_loss_that_is_not_for_the_targets_is_one_line_before_training(tmp_path: Path) -> None:
    task = modular_arithmetic(p=11)
    values = replace(task, targets=task.targets.float())
    with pytest.raises(
        InterpError, match=r"the cross-entropy is not for this task, x\+y mod 11: .* take the loss mse"
    ) as e:
        train(tmp_path, plan(small_mlp, task=values))
    assert "\n" not in str(e.value)
    assert not (tmp_path / "weights").exists()
