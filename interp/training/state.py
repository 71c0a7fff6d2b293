"""One network's training at one step: what an update needs, and its state on disk, from which it goes on exactly.

An update draws examples, computes outputs and loss, goes back to the gradients, and lets the optimiser move the
weights; interventions act in between. The state, one file that is written whole and renamed into its place, holds
weights, optimiser, the order of the batches and what interventions remember.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from interp.contracts.architecture import Architecture, Buffers, Passes, WritesGradients
from interp.contracts.intervention import Examples, Intervention
from interp.contracts.loss import Loss, WritesSlope
from interp.contracts.optimiser import Evaluate, KeepsState, UpdateRule
from interp.contracts.task import Task
from interp.errors import InterpError, near_misses
from interp.files.arrays import Arrays, read_about, read_arrays, write_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.training.batches import Batches, FullBatch
from interp.training.evaluation import Evaluation, check_stop
from interp.training.plan import Plan

if TYPE_CHECKING:
    from interp.contracts.hooked_model import HookedModel

STATE = "training.safetensors"
WEIGHTS = "weights"
SPLIT = "split.safetensors"
GENERATOR = "generator"
LOOP = 2
"""The version of the loop: another one rounds otherwise, and cannot go on exactly. Version 1 wrote none."""


@dataclass
class InRows(KeepsState):
    """What an update rule keeps of one network, as views of the stack's rows: kept name -> parameter -> array."""

    kept: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    generator: torch.Generator | None = None
    """That of a rule which draws."""

    def state(self) -> dict[str, Tensor]:
        arrays = {f"{name}/{parameter}": part for name, of in self.kept.items() for parameter, part in of.items()}
        return arrays if self.generator is None else {**arrays, GENERATOR: self.generator.get_state()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        for name, of in self.kept.items():
            for parameter, part in of.items():
                part.copy_(state[f"{name}/{parameter}"])
        if self.generator is not None:
            self.generator.set_state(state[GENERATOR])


def in_rows(rule: UpdateRule) -> InRows:
    """What a rule keeps of a fresh network."""
    return InRows() if rule.draws is None else InRows(generator=torch.Generator().manual_seed(rule.draws))


@dataclass(frozen=True)
class Inherited:
    """What a training takes over from its parent."""

    weights: Mapping[str, Tensor]
    present: frozenset[int]
    """The places of those of its interventions that the parent has too: at the start they have acted already."""
    more: GoesOn | None = None
    """None where only the weights go on."""


@dataclass(frozen=True)
class GoesOn:
    """What the next update of a parent depends on beside its weights."""

    optimiser: Mapping[str, Tensor]
    counts_from: int
    """The step of the first update that its optimiser counts."""
    batches: Mapping[str, Tensor] | None
    """The order of the examples that are left; None where the two do not have the same batches."""
    memories: Mapping[int, Mapping[str, Tensor]]
    """Place of an intervention that both have -> what that of the parent remembers."""


@dataclass
class Training:
    """A training of the run in `folder` at one step: what an update needs, and what interventions see."""

    folder: Path
    state: Path
    """The file that it goes on from."""
    plan: Plan
    weights: dict[str, Tensor]
    loss: Loss
    rule: UpdateRule | None
    """How its stack moves it; None where `optimiser` moves it alone."""
    optimiser: KeepsState
    interventions: list[Intervention]
    inputs: Shaped[Tensor, "example ..."]
    """Those of all examples; floating-point ones in the type of the weights."""
    batches: Batches | FullBatch
    checkpoints: CheckpointBlocks
    step: int = 0
    counts_from: int = 0
    """The step of the first update that the optimiser counts: where it starts, unless its parent's goes on."""
    rate: float = 1.0
    """What the learning rate of the present update is multiplied by; interventions change it before the update."""
    gradients: dict[str, Tensor] = field(default_factory=dict)
    """The memory of each weight's gradient, which its stack gives it; it is the weight's `.grad`."""
    _passes: Passes | None = None
    _evaluate: Evaluate = field(default=lambda: math.nan)
    _targets: Tensor | None = None
    _slope: Tensor = field(default_factory=lambda: torch.empty(0))
    """Memory for the loss's derivative in the outputs."""
    _write_slope: WritesSlope = field(default=lambda outputs, slope: math.nan)  # noqa: ARG005 (made with the targets)

    @classmethod
    def fresh(cls, folder: Path, place: Path, plan: Plan) -> Training:
        """With fresh weights, to be kept in `place`; go on with `begin`, `start` or `load_state` when it is in a stack.

        Raises InterpError where it is not known what to train on, the loss is not for the task's targets, or an
        intervention hooks what the network does not have or cannot act on the task.
        """
        task, chosen = plan.task, plan.training
        if task.train is None:
            raise InterpError(f"{folder} has a task whose split is unknown; a training needs one")
        loss = chosen.loss()
        _check_targets(folder, task, loss)
        if chosen.stop is not None:
            check_stop(str(folder), task, chosen.stop)
        initial = plan.architecture.initial(chosen.seed)
        weights = {name: weight.to(plan.dtype).requires_grad_() for name, weight in initial.items()}
        made = chosen.optimiser_of(weights)
        rule = made if isinstance(made, UpdateRule) else None
        inputs = task.inputs.to(plan.dtype) if task.inputs.is_floating_point() else task.inputs
        examples = Examples(inputs[task.train], task.targets[task.train], torch.arange(int(task.train.sum())))
        size = chosen.batch_size
        training = cls(
            folder=folder,
            state=place / STATE,
            plan=plan,
            weights=weights,
            loss=loss,
            rule=rule,
            optimiser=in_rows(made) if isinstance(made, UpdateRule) else made,
            interventions=[intervention() for intervention in chosen.interventions],
            inputs=inputs,
            batches=FullBatch(examples) if size is None else Batches(examples, size, chosen.seed),
            checkpoints=CheckpointBlocks(place / WEIGHTS),
            step=plan.start,
            counts_from=plan.start,
        )
        training._check_hooks()
        for intervention in training.interventions:
            intervention.check(task)
        return training

    @property
    def task(self) -> Task:
        return self.plan.task

    @property
    def architecture(self) -> Architecture:
        return self.plan.architecture

    @property
    def train(self) -> Bool[Tensor, " example"]:
        assert self.task.train is not None  # `fresh` has seen to it
        return self.task.train

    @property
    def arrays(self) -> Arrays:
        """The weights as they are now; the next update changes them in place."""
        return {name: weight.detach().numpy() for name, weight in self.weights.items()}

    def begin(self, inherited: Inherited | None = None) -> None:
        """Take over what a parent hands down, and let the interventions change the weights that it starts with."""
        present: frozenset[int] = frozenset()
        with torch.no_grad():
            if inherited:
                present = inherited.present
                for name, weight in self.weights.items():
                    weight.copy_(inherited.weights[name])
                if inherited.more:
                    self._go_on(inherited.more)
            for place, intervention in enumerate(self.interventions):
                if place not in present:
                    intervention.at_start(self)

    def start(self, inherited: Inherited | None = None) -> None:
        """Begin, and write the state of the first step."""
        self.begin(inherited)
        self.save_state()

    def _go_on(self, parent: GoesOn) -> None:
        self.optimiser.load(_copies(parent.optimiser))
        self.counts_from = parent.counts_from
        if parent.batches is not None:
            self.batches.load(_copies(parent.batches))
        for place, memory in parent.memories.items():
            self.interventions[place].state.clear()
            self.interventions[place].state.update(_copies(memory))

    def acting(self) -> list[Intervention]:
        """The interventions that act in the next update."""
        return [intervention for intervention in self.interventions if intervention.acts(self.step)]

    def write_gradients(self, acting: Sequence[Intervention], buffers: Buffers) -> float:
        """Write each weight's gradient of the next update's loss to its `.grad`.

        Returns a number that is finite where the loss is.
        """
        self.rate = 1.0
        seen = self._examples(acting)
        inputs, targets = seen.inputs, seen.targets
        hooks = [hook for intervention in acting for hook in intervention.hooks.items()] if acting else []
        self._evaluate = functools.partial(self._by_differentiation, inputs, targets, hooks)
        if self._passes is not None and not hooks:
            outputs = self._passes.outputs(inputs)
            if targets is not self._targets:
                self._targets, self._slope = targets, buffers("slope", tuple(outputs.shape))
                self._write_slope = self.loss.slope_writer(targets, outputs)
            loss = self._write_slope(outputs, self._slope)
            self._passes.write_gradients(self._slope)
            return loss
        return self._evaluate()

    @property
    def evaluate(self) -> Evaluate:
        """Writes the gradients of the present update's loss at the weights as they then are; returns the loss."""
        return self._evaluate

    def _by_differentiation(
        self,
        inputs: Shaped[Tensor, "example ..."],
        targets: Shaped[Tensor, "example ..."],
        hooks: Sequence[tuple[str, Callable[[Tensor], Tensor]]],
    ) -> float:
        for gradient in self.gradients.values():
            gradient.zero_()
        with torch.enable_grad():
            mean = self.loss.mean(self._outputs(inputs, hooks), targets)
            loss = mean.item()
            if math.isfinite(loss):
                mean.backward()
        return loss

    def lie_in(self, weights: Mapping[str, Tensor], gradients: dict[str, Tensor], buffers: Buffers) -> None:
        """Move to this memory, which its stack gives it: whoever holds a weight holds it there."""
        for name, weight in self.weights.items():
            weights[name].copy_(weight)
            weight.data = weights[name]
            if weight.grad is not None:
                gradients[name].copy_(weight.grad)
            weight.grad = gradients[name]
        self.gradients = gradients
        if isinstance(self.architecture, WritesGradients):
            self._passes = self.architecture.passes(weights, gradients, buffers)

    def take_gradients(self) -> None:
        """Put back in their memory what an intervention has put in a weight's `.grad`; None is 0."""
        for name, weight in self.weights.items():
            if weight.grad is not self.gradients[name]:
                place = self.gradients[name]
                place.zero_() if weight.grad is None else place.copy_(weight.grad)
                weight.grad = place

    def _examples(self, acting: Sequence[Intervention]) -> Examples:
        """The examples of the next update, as the interventions let it see them."""
        examples = self.batches.next()
        for intervention in acting:
            if intervention.examples is not None:
                examples = intervention.examples(self, examples)
        return examples

    def _outputs(
        self, inputs: Shaped[Tensor, "example ..."], hooks: Sequence[tuple[str, Callable[[Tensor], Tensor]]]
    ) -> Float[Tensor, "example output"]:
        """The network's outputs; by its hooked module where an intervention has a hook, else the quick way."""
        if not hooks:
            return self.architecture.outputs(self.weights, inputs)
        model, tokens = self._hooked, self.architecture.tokens(inputs)
        with model.hooks([(name, _as_transformer_lens_calls_it(act)) for name, act in hooks]):
            outputs = torch.func.functional_call(model, self.weights, (tokens,))
        return self.architecture.from_module(outputs)

    def _check_hooks(self) -> None:
        for name in (name for intervention in self.interventions for name in intervention.hooks):
            if name not in self._hooked.hook_dict:
                near = near_misses(name, self._hooked.hook_names)
                raise InterpError(
                    f"{self.folder}: an intervention hooks {name!r}, which the network does not have{near}"
                )

    @functools.cached_property
    def _hooked(self) -> HookedModel:
        return self.architecture.hooked(self.weights)

    def save_checkpoint(self) -> None:
        self.checkpoints.save(self.step, self.arrays)

    def save_state(self) -> None:
        parts = {
            "weights": self.weights,
            "optimiser": self.optimiser.state(),
            "batches": self.batches.state(),
            "interventions": {
                f"{place}.{name}": tensor
                for place, intervention in enumerate(self.interventions)
                for name, tensor in intervention.state.items()
            },
        }
        arrays = {
            f"{part}/{name}": tensor.detach().numpy()
            for part, tensors in parts.items()
            for name, tensor in tensors.items()
        }
        recipe = _digest(self.plan.recipe)
        about = {"step": self.step, "threads": torch.get_num_threads(), "recipe": recipe, "loop": LOOP}
        about |= {"counts_from": self.counts_from} if self.counts_from else {}
        write_arrays(self.state, arrays, about)

    def load_state(self) -> None:
        """Raises InterpError where the state is of another recipe or loop, or does not fit this network."""
        arrays, _ = read_arrays(self.state)
        about = about_state(self.state, self.folder, self.plan.recipe)
        check_loop(about, self.folder)
        tensors = {name: torch.from_numpy(array).clone() for name, array in arrays.items()}
        stored = _part(tensors, "weights")
        if {name: weight.shape for name, weight in stored.items()} != {n: w.shape for n, w in self.weights.items()}:
            raise InterpError(f"{self.state} holds weights of other names or shapes than this model's")
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(stored[name])
            self.optimiser.load(_part(tensors, "optimiser"))
        self.batches.load(_part(tensors, "batches"))
        for place, intervention in enumerate(self.interventions):
            intervention.state.clear()
            intervention.state.update(_part(tensors, f"interventions/{place}", "."))
        self.step, self.counts_from = about["step"], about.get("counts_from", 0)

    def evaluation(self) -> Evaluation:
        """How good the network is as its weights are now."""
        with torch.no_grad():
            outputs = self.architecture.outputs(self.weights, self.inputs)
            losses = self.loss.per_example(outputs, self.task.targets)
        return Evaluation(self.task, outputs, losses.double())


def _as_transformer_lens_calls_it(act: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda activation, hook: act(activation)  # noqa: ARG005 (the hook point passes itself, by name)


def _check_targets(folder: Path, task: Task, loss: Loss) -> None:
    """Raises InterpError, one line, where two examples show that the loss is not for targets of this kind."""
    targets = task.targets[:2]
    try:
        loss.per_example(torch.zeros(len(targets), task.n_outputs), targets)
    except (ValueError, IndexError, RuntimeError) as error:
        told = (str(error).splitlines() or [""])[0]
        raise InterpError(f"{folder}: the {loss.name} is not for this task, {task.description}: {told}") from None


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _part(tensors: Mapping[str, Tensor], part: str, end: str = "/") -> dict[str, Tensor]:
    """The tensors whose names begin with the part, by the rest of their names."""
    start = part + end
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def about_state(state: Path, folder: Path, recipe: str) -> dict[str, Any]:
    """Its step, number of threads and loop. Raises InterpError where it belongs to another recipe than the run's."""
    about = read_about(state)
    if not isinstance(about, dict) or not {"recipe", "threads", "step"} <= about.keys():
        raise InterpError(f"{state} is not a training state; restore it")
    if about["recipe"] != _digest(recipe):
        raise InterpError(
            f"{folder} was begun with another recipe; restore that recipe, or train this one in another "
            f"folder, or delete {folder / WEIGHTS} and {STATE} to lose that run and start afresh"
        )
    return about


def threads_of(folder: Path, plan: Plan) -> int:
    """The number of threads that the run in `folder` was trained with, where its state tells, else that of its size.

    Raises InterpError where it was trained by another version of the loop.
    """
    if not (folder / STATE).exists():
        return plan.threads
    about = about_state(folder / STATE, folder, plan.recipe)
    check_loop(about, folder)
    return about["threads"]


def check_loop(about: Mapping[str, Any], folder: Path) -> None:
    """Raises InterpError where another version of the loop trained the run: this one cannot give its numbers."""
    if about.get("loop", 1) != LOOP:
        which = "an earlier" if about.get("loop", 1) < LOOP else "a later"
        raise InterpError(
            f"{folder} was trained by {which} version of interp, whose updates round otherwise: it stays readable, but "
            f"cannot go on exactly or get more checkpoints; train it afresh in another folder, or delete "
            f"{folder / WEIGHTS} and {STATE}"
        )


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
