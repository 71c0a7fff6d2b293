"""A network on graphs: messages along edges, by matrices that depend on the edge, then a sum over the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.functional import relu

from interp.contracts.architecture import Weights
from interp.contracts.graphs import Graphs
from interp.contracts.task import Task
from interp.models.shared.edge_convolution import EdgeConvolution
from interp.models.shared.fresh_layers import uniform
from interp.models.shared.linear_readout import LinearReadout
from interp.models.shared.operations import affine
from interp.summaries import number

if TYPE_CHECKING:
    from interp.models.shared.hooked_message_passing import HookedMessagePassing


def message_passing(
    task: Task,
    channels: tuple[PositiveInt, ...] = (32, 16),
    d_edge: PositiveInt = 32,
    d_mlp: PositiveInt = 32,
    output_scale: PositiveFloat = 1.0,
) -> MessagePassing:
    r"""Convolutions whose matrix a small perceptron makes of each edge's features, a sum over nodes, and a perceptron.

    Each convolution (NNConv of PyTorch Geometric) gives a node the sum of what the nodes at its edges send, and what
    its own features give; ReLU follows. The features of all nodes are added up, and a hidden layer and a readout
    answer. Fresh weights and biases are uniform between ±1/√(inputs of their layer), as PyTorch's nn.Linear, and the
    bias of a convolution is 0. The defaults are those of Omnigrok's network for QM9.

    Formula: x_i' = \mathrm{relu}\Big(W^\top x_i + \sum_{j \to i} \Theta(e_{ij})^\top x_j + b\Big), \quad
        \Theta(e) = W_m\,\mathrm{relu}(W_e e + b_e) + b_m

    Paper: Liu et al. 2022, arXiv 2210.01117; Gilmer et al. 2017, arXiv 1704.01212

    Raises ValueError where the inputs are not graphs, or there is no convolution.
    """
    if not isinstance(task, Graphs):
        raise ValueError(f"message_passing reads graphs, which the inputs of {task.description} are not; try another")
    if not channels:
        raise ValueError("channels is empty; give the features of a node after each convolution, such as [32, 16]")
    return MessagePassing(task, channels, d_edge, d_mlp, output_scale)


@dataclass(frozen=True)
class MessagePassing(LinearReadout):
    """Convolutions along edges and two linear layers; it offers what `HasNeurons` asks for."""

    task: Graphs
    channels: tuple[int, ...]
    d_edge: int
    d_mlp: int
    output_scale: float

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        d_in = self.task.n_features
        for layer, d_out in enumerate(self.channels):
            of_one = {
                "W_edge": (self.task.n_edge_features, self.d_edge),
                "b_edge": (self.d_edge,),
                "W_message": (self.d_edge, d_in, d_out),
                "b_message": (d_in, d_out),
                "W_root": (d_in, d_out),
                "b_root": (d_out,),
            }
            shapes |= {f"conv.{layer}.{name}": shape for name, shape in of_one.items()}
            d_in = d_out
        shapes |= {"mlp.W_in": (d_in, self.d_mlp), "mlp.b_in": (self.d_mlp,)}
        return shapes | {"unembed.W_U": (self.d_mlp, self.task.n_outputs), "unembed.b_U": (self.task.n_outputs,)}

    @property
    def neurons(self) -> str:
        return "mlp.hook_post"

    @property
    def description(self) -> str:
        by = "" if self.output_scale == 1 else f", outputs × {number(self.output_scale, 4)}"
        widths = ", ".join(map(str, self.channels))
        return f"message passing to {widths} features, {self.d_mlp} neurons, relu{by}"

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator, shapes = torch.Generator().manual_seed(seed), self.shapes
        drawn: dict[str, Tensor] = {}
        for name, shape in shapes.items():
            owner, _, own = name.rpartition(".")
            matrix = shapes[f"{owner}.W_{own.partition('_')[2]}"]  # of a bias that of its layer
            zero = own == "b_root"
            drawn[name] = torch.zeros(shape) if zero else uniform(shape, matrix[0], generator)
        return drawn

    def activations(
        self, weights: Weights, inputs: Float[Tensor, "graph node number"]
    ) -> dict[str, Float[Tensor, "graph ..."]]:
        parts = self.task.parts(inputs.to(weights["unembed.W_U"]))
        x = parts.nodes
        activations: dict[str, Tensor] = {}
        for layer in range(len(self.channels)):
            pre = EdgeConvolution.of(weights, f"conv.{layer}").of_graphs(x, parts)
            x = relu(pre) * parts.mask[..., None]
            activations |= {f"conv.{layer}.hook_pre": pre, f"conv.{layer}.hook_post": x}
        pooled = x.sum(dim=1)  # [graph, feature]
        pre = affine(pooled, weights["mlp.W_in"], weights["mlp.b_in"])
        activations |= {"hook_pooled": pooled, "mlp.hook_pre": pre, "mlp.hook_post": relu(pre)}
        return activations | {"logits": self.outputs_from_neurons(weights, activations["mlp.hook_post"], activations)}

    def activated(
        self,
        weights: Weights,  # noqa: ARG002 (an activation has none)
        pre: Float[Tensor, "#graph neuron"],
    ) -> Float[Tensor, "#graph neuron"]:
        return relu(pre)

    def hooked(self, weights: Weights) -> HookedMessagePassing:
        from interp.models.shared.hooked_message_passing import HookedMessagePassing

        return HookedMessagePassing(self.task, len(self.channels), self.output_scale, weights)
