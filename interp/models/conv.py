"""A convolutional network on images, without norms: convolutions, a hidden layer, and a readout."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.contracts.task import Task
from interp.models.shared.activations import ACTIVATIONS, ActFn
from interp.models.shared.convolution import convolved
from interp.models.shared.fresh_layers import uniform_layers
from interp.models.shared.linear_readout import LinearReadout
from interp.models.shared.operations import affine
from interp.summaries import number

if TYPE_CHECKING:
    from interp.models.shared.hooked_conv import HookedConv


def conv(
    task: Task,
    channels: tuple[PositiveInt, ...] = (16, 16, 32, 32, 64),
    strides: tuple[PositiveInt, ...] | None = None,
    kernel: PositiveInt = 3,
    d_mlp: PositiveInt = 128,
    act_fn: ActFn = "relu",
    output_scale: PositiveFloat = 1.0,
) -> Conv:
    """Convolutions to so many channels, a hidden layer of `d_mlp` neurons on all of them, and a readout.

    Each convolution has a square `kernel` of an odd width and as many zeros about the image as keep its size; its
    stride, where `strides` are not given, is 1, 2, 1, 2, 1, … in turn. There are no norms. Fresh weights and biases are
    uniform between ±1/√(inputs of a neuron), as PyTorch's nn.Conv2d and nn.Linear.

    Humayun et al. have five convolutions and two linear layers; how wide they are is not published.

    Paper: Humayun et al. 2024, arXiv 2402.15555

    Raises ValueError where the inputs are not images, the kernel is even, or strides and channels do not go together.
    """
    if not task.inputs.is_floating_point() or task.inputs.ndim != 4:
        raise ValueError(
            f"conv reads images, [channel, row, column], which the inputs of {task.description} are not; try the "
            "model perceptron"
        )
    if not channels:
        raise ValueError("channels is empty; give those of each convolution, such as [16, 16, 32, 32, 64]")
    if kernel % 2 == 0:
        raise ValueError(f"kernel is {kernel}, which has no middle; make it odd, such as {kernel + 1}")
    strides = tuple(1 + place % 2 for place in range(len(channels))) if strides is None else strides
    if len(strides) != len(channels):
        raise ValueError(f"strides lists {len(strides)} convolutions, channels {len(channels)}; give as many")
    return Conv(task, channels, strides, kernel, d_mlp, act_fn, output_scale)


@dataclass(frozen=True)
class Conv(LinearReadout):
    """Convolutions and two linear layers; it offers what `HasNeurons` asks for."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    kernel: int
    d_mlp: int
    act_fn: ActFn
    output_scale: float

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        c_in, *size = self.task.inputs.shape[1:]
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (c_out, stride) in enumerate(zip(self.channels, self.strides, strict=True)):
            shapes |= {f"conv.{layer}.W_in": (c_in, self.kernel, self.kernel, c_out), f"conv.{layer}.b_in": (c_out,)}
            c_in, size = c_out, [-(-length // stride) for length in size]
        shapes |= {"mlp.W_in": (c_in * math.prod(size), self.d_mlp), "mlp.b_in": (self.d_mlp,)}
        return shapes | {"unembed.W_U": (self.d_mlp, self.task.n_outputs), "unembed.b_U": (self.task.n_outputs,)}

    @property
    def neurons(self) -> str:
        return "mlp.hook_post"

    @property
    def description(self) -> str:
        by = "" if self.output_scale == 1 else f", outputs × {number(self.output_scale, 4)}"
        of = f"{len(self.channels)} convolution{'s' * (len(self.channels) > 1)}"
        widths = ", ".join(map(str, self.channels))
        return f"{of} of {self.kernel} × {self.kernel} to {widths} channels, {self.d_mlp} neurons, {self.act_fn}{by}"

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        matrices = {name: shape for name, shape in self.shapes.items() if ".W_" in name}
        fan_in = {name.rpartition(".")[0]: math.prod(shape[:-1]) for name, shape in matrices.items()}
        return uniform_layers(self.shapes, fan_in, generator)

    def activations(
        self, weights: Weights, inputs: Float[Tensor, "example channel row column"]
    ) -> dict[str, Float[Tensor, "example ..."]]:
        x, act = inputs.to(weights["unembed.W_U"]), ACTIVATIONS[self.act_fn]
        activations: dict[str, Tensor] = {}
        for layer, stride in enumerate(self.strides):
            pre = convolved(x, weights[f"conv.{layer}.W_in"], weights[f"conv.{layer}.b_in"], stride)
            x = act(pre)
            activations |= {f"conv.{layer}.hook_pre": pre, f"conv.{layer}.hook_post": x}
        pre = affine(x.flatten(1), weights["mlp.W_in"], weights["mlp.b_in"])
        activations |= {"mlp.hook_pre": pre, "mlp.hook_post": act(pre)}
        return activations | {"logits": self.outputs_from_neurons(weights, activations["mlp.hook_post"], activations)}

    def activated(
        self,
        weights: Weights,  # noqa: ARG002 (an activation has none)
        pre: Float[Tensor, "#example neuron"],
    ) -> Float[Tensor, "#example neuron"]:
        return ACTIVATIONS[self.act_fn](pre)

    def hooked(self, weights: Weights) -> HookedConv:
        from interp.models.shared.hooked_conv import HookedConv

        return HookedConv(self.strides, self.act_fn, self.output_scale, weights)
