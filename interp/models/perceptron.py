"""A multilayer perceptron on vectors: any number of hidden layers, each of its own width."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Shaped
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from interp.contracts.architecture import Buffers, Passes, Weights
from interp.contracts.task import Task
from interp.models.shared.activations import ACTIVATIONS, ActFn
from interp.models.shared.dense_passes import DensePasses
from interp.models.shared.linear_readout import LinearReadout
from interp.models.shared.operations import affine
from interp.models.shared.scaled_passes import scaled
from interp.models.shared.vector_tasks import task_of_vectors
from interp.summaries import number

if TYPE_CHECKING:
    from interp.models.shared.hooked_perceptron import HookedPerceptron

Initialisation = Literal["truncated_normal", "normal", "he", "uniform"]


def perceptron(
    task: Task,
    widths: tuple[PositiveInt, ...] = (64,),
    act_fn: ActFn = "relu",
    biases: Literal["none", "hidden", "all"] | tuple[bool, ...] = "hidden",
    initialisation: Initialisation = "truncated_normal",
    output_scale: PositiveFloat = 1.0,
) -> Perceptron:
    """Hidden layers of these widths on the input as a vector, and a linear readout to the task's outputs.

    outputs = s·(act(… act(x @ W_in + b_in) …) @ W_U + b_U), s the `output_scale`. Inputs of several axes, such as
    images, are read as one vector.

    - biases: "hidden", one in each hidden layer; "all", in the readout too; or "none"; or a list of true and false, one
      for each hidden layer from the input on and one for the readout.
    - initialisation: how fresh weights and biases are drawn; fan_in is the number of a layer's inputs.
      truncated_normal: a bias is drawn like the weight of one more input that is always 1, as in PAIR's sparse parity:
      all normal with standard deviation 1/√fan_in, that input counted, and cut off at two of them.
      normal: weights with standard deviation 1/√fan_in, biases 0. he: the same with √(2/fan_in).
      uniform: weights and biases between ±1/√fan_in, as PyTorch's nn.Linear.

    The defaults are those of PAIR's sparse parity. Raises ValueError where there is no hidden layer, `biases` lists
    another number of layers, or the inputs are not vectors of numbers but pairs or tokens to be looked up.
    """
    task_of_vectors(task, "perceptron")
    if not widths:
        raise ValueError("widths is empty; give each hidden layer's width, such as [64]")
    if isinstance(biases, str):
        biases = (biases != "none",) * len(widths) + (biases == "all",)
    if len(biases) != len(widths) + 1:
        raise ValueError(
            f"biases lists {len(biases)} layers; expected {len(widths) + 1}: each hidden layer, and the readout"
        )
    return Perceptron(task, widths, act_fn, biases, initialisation, output_scale)


@dataclass(frozen=True)
class Perceptron(LinearReadout):
    """Hidden layers and a readout; it offers what `HasNeurons` asks for."""

    widths: tuple[int, ...]
    act_fn: ActFn
    biases: tuple[bool, ...]
    """Whether each hidden layer, and the readout, has one."""
    initialisation: Initialisation
    output_scale: float

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        sizes = [math.prod(self.task.inputs.shape[1:]), *self.widths, self.task.n_outputs]
        shapes: dict[str, tuple[int, ...]] = {}
        for (matrix, bias), d_in, d_out, biased in zip(self._names, sizes, sizes[1:], self.biases, strict=False):
            shapes[matrix] = (d_in, d_out)
            if biased:
                shapes[bias] = (d_out,)
        return shapes

    @property
    def _names(self) -> list[tuple[str, str]]:
        """The names of each layer's matrix and bias, from the input to the readout."""
        hidden = [(f"mlp.{layer}.W_in", f"mlp.{layer}.b_in") for layer in range(len(self.widths))]
        return [*hidden, ("unembed.W_U", "unembed.b_U")]

    @property
    def neurons(self) -> str:
        return f"mlp.{len(self.widths) - 1}.hook_post"

    @property
    def description(self) -> str:
        layers = "1 hidden layer" if len(self.widths) == 1 else f"{len(self.widths)} hidden layers"
        outputs = "1 output" if self.task.n_outputs == 1 else f"{self.task.n_outputs} outputs"
        by = "" if self.output_scale == 1 else f" × {number(self.output_scale, 4)}"
        return f"{layers} of {', '.join(map(str, self.widths))}, {self.act_fn}, {self._which_biases}, {outputs}{by}"

    @property
    def _which_biases(self) -> str:
        if all(self.biases) or not any(self.biases):
            return "biases" if all(self.biases) else "no biases"
        if all(self.biases[:-1]):
            return "hidden biases"
        return "biases in layers " + ", ".join(str(layer) for layer, biased in enumerate(self.biases, 1) if biased)

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        drawn: dict[str, Tensor] = {}
        for (matrix, bias), biased in zip(self._names, self.biases, strict=True):
            d_in, d_out = self.shapes[matrix]
            drawn[matrix] = self._drawn((d_in, d_out), d_in, biased, generator)
            if biased:
                zero = self.initialisation in ("normal", "he")
                drawn[bias] = torch.zeros(d_out) if zero else self._drawn((d_out,), d_in, biased, generator)
        return drawn

    def _drawn(self, shape: tuple[int, ...], d_in: int, biased: bool, generator: torch.Generator) -> Tensor:
        """Random numbers for a layer of `d_in` inputs."""
        match self.initialisation:
            case "truncated_normal":
                scale = 1 / math.sqrt(d_in + biased)
                cut = {"a": -2 * scale, "b": 2 * scale}
                return torch.nn.init.trunc_normal_(torch.empty(shape), std=scale, **cut, generator=generator)
            case "uniform":
                return (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(d_in)
            case "normal" | "he":
                gain = 2 if self.initialisation == "he" else 1
                return torch.randn(shape, generator=generator) * math.sqrt(gain / d_in)

    def activations(
        self, weights: Weights, inputs: Shaped[Tensor, "example ..."]
    ) -> dict[str, Float[Tensor, "example ..."]]:
        x = inputs.flatten(1).to(weights["unembed.W_U"])  # [example, d_in]
        activations: dict[str, Tensor] = {}
        for layer in range(len(self.widths)):
            pre = affine(x, weights[f"mlp.{layer}.W_in"], weights.get(f"mlp.{layer}.b_in"))
            x = ACTIVATIONS[self.act_fn](pre)
            activations |= {f"mlp.{layer}.hook_pre": pre, f"mlp.{layer}.hook_post": x}
        return activations | {"logits": self.outputs_from_neurons(weights, x, activations)}

    def passes(self, weights: Weights, gradients: Weights, buffers: Buffers) -> Passes:
        """Write the gradient by hand: `WritesGradients` of the contract."""
        made = DensePasses(self._names, self.act_fn, weights, gradients, buffers)
        return scaled(made, self.output_scale, buffers)

    def activated(
        self,
        weights: Weights,  # noqa: ARG002 (an activation has none)
        pre: Float[Tensor, "#example neuron"],
    ) -> Float[Tensor, "#example neuron"]:
        return ACTIVATIONS[self.act_fn](pre)

    def hooked(self, weights: Weights) -> HookedPerceptron:
        from interp.models.shared.hooked_perceptron import HookedPerceptron

        return HookedPerceptron(len(self.widths), self.act_fn, weights, self.output_scale)
