"""Liu et al.'s toy network: a vector for each number, and a perceptron on the sum of two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from interp.contracts.architecture import Buffers, Passes, Weights
from interp.contracts.sums import Sums
from interp.contracts.task import Task, TwoOperands
from interp.models.shared.activations import ACTIVATIONS, ActFn
from interp.models.shared.embedded_sum_passes import EmbeddedSumPasses
from interp.models.shared.fresh_layers import uniform_layers
from interp.models.shared.linear_readout import LinearReadout
from interp.models.shared.operations import affine, rows
from interp.models.shared.scaled_passes import scaled
from interp.summaries import number

if TYPE_CHECKING:
    from interp.models.shared.hooked_embedding_decoder import HookedEmbeddingDecoder

EMBEDDING = "embed.W_E"


def embedding_decoder(
    task: Task,
    d_model: PositiveInt = 1,
    widths: tuple[PositiveInt, ...] = (200, 200),
    act_fn: ActFn = "tanh",
    output_scale: PositiveFloat = 1.0,
) -> EmbeddingDecoder:
    """outputs = s·decoder(E[a] + E[b]): a table of `d_model` numbers for each operand, then layers of these widths.

    Fresh embeddings are uniform between ±1/2, weights and biases of the decoder between ±1/√(inputs of their layer), as
    PyTorch's nn.Linear. The defaults are those of the toy of the paper, which trains the table at another learning rate
    than the decoder: the optimiser `parameter_groups` does.

    Paper: Liu et al. 2022, arXiv 2205.10343

    Raises ValueError where the task is not of pairs that are looked up, or there is no hidden layer.
    """
    if not isinstance(task, Sums | TwoOperands):
        raise ValueError(
            f"embedding_decoder looks up two operands, and {task.description} has none; try the model perceptron"
        )
    if not widths:
        raise ValueError("widths is empty; give each hidden layer's width, such as [200, 200]")
    return EmbeddingDecoder(task, d_model, widths, act_fn, output_scale)


@dataclass(frozen=True)
class EmbeddingDecoder(LinearReadout):
    """A table and a perceptron; it offers what `HasEmbedding` and `HasNeurons` ask for."""

    task: Sums | TwoOperands
    d_model: int
    widths: tuple[int, ...]
    act_fn: ActFn
    output_scale: float

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        sizes = [self.d_model, *self.widths, self.task.n_outputs]
        shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (self.task.p, self.d_model)}
        for (matrix, bias), d_in, d_out in zip(self._layers, sizes, sizes[1:], strict=False):
            shapes |= {matrix: (d_in, d_out), bias: (d_out,)}
        return shapes

    @property
    def _layers(self) -> list[tuple[str, str]]:
        """The names of each layer's matrix and bias, from the embedding to the readout."""
        hidden = [(f"mlp.{layer}.W_in", f"mlp.{layer}.b_in") for layer in range(len(self.widths))]
        return [*hidden, ("unembed.W_U", "unembed.b_U")]

    @property
    def neurons(self) -> str:
        return f"mlp.{len(self.widths) - 1}.hook_post"

    @property
    def description(self) -> str:
        by = "" if self.output_scale == 1 else f", outputs × {number(self.output_scale, 4)}"
        decoder = "-".join(map(str, [self.d_model, *self.widths, self.task.n_outputs]))
        return f"embeddings of {self.d_model}, added, and a decoder {decoder}, {self.act_fn}{by}"

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shapes = self.shapes
        table = torch.rand(shapes.pop(EMBEDDING), generator=generator) - 0.5
        fan_in = {matrix.rpartition(".")[0]: shapes[matrix][0] for matrix, _ in self._layers}
        return {EMBEDDING: table, **uniform_layers(shapes, fan_in, generator)}

    def activations(self, weights: Weights, inputs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        embedded = torch.stack([rows(weights[EMBEDDING], column) for column in inputs.unbind(1)], dim=1)
        activations: dict[str, Tensor] = {"hook_embed": embedded}  # [pair, operand, d_model]
        x = embedded.sum(dim=1)
        for layer, (matrix, bias) in enumerate(self._layers[:-1]):
            pre = affine(x, weights[matrix], weights[bias])
            x = ACTIVATIONS[self.act_fn](pre)
            activations |= {f"mlp.{layer}.hook_pre": pre, f"mlp.{layer}.hook_post": x}
        return activations | {"logits": self.outputs_from_neurons(weights, x, activations)}

    def passes(self, weights: Weights, gradients: Weights, buffers: Buffers) -> Passes:
        """Write the gradient by hand: `WritesGradients` of the contract."""
        made = EmbeddedSumPasses(EMBEDDING, self._layers, self.act_fn, weights, gradients, buffers)
        return scaled(made, self.output_scale, buffers)

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        return weights[EMBEDDING]

    def activated(
        self,
        weights: Weights,  # noqa: ARG002 (an activation has none)
        pre: Float[Tensor, "#pair neuron"],
    ) -> Float[Tensor, "#pair neuron"]:
        return ACTIVATIONS[self.act_fn](pre)

    def hooked(self, weights: Weights) -> HookedEmbeddingDecoder:
        from interp.models.shared.hooked_embedding_decoder import HookedEmbeddingDecoder

        return HookedEmbeddingDecoder(len(self.widths), self.act_fn, self.output_scale, weights)
