"""A recurrent network on rows of tokens: long short-term memory, read after the last token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from interp.contracts.architecture import Architecture, Weights
from interp.contracts.task import Task
from interp.contracts.texts import Texts
from interp.models.shared.fresh_layers import uniform
from interp.models.shared.memory_cell import Cell
from interp.models.shared.operations import affine, rows
from interp.summaries import number

if TYPE_CHECKING:
    from interp.models.shared.hooked_lstm import HookedLSTM


def lstm(
    task: Task,
    d_model: PositiveInt = 64,
    d_hidden: PositiveInt = 256,
    n_layers: PositiveInt = 2,
    output_scale: PositiveFloat = 1.0,
) -> LSTM:
    r"""An embedding, layers of memory cells along the row of tokens, and a readout of the last layer's last state.

    Fresh embeddings are normal with standard deviation 1, all other weights and biases uniform between ±1/√d_hidden, as
    PyTorch's nn.Embedding, nn.LSTM and nn.Linear; each cell has two biases, as theirs. The defaults are those of
    Omnigrok's network for IMDb.

    Formula: i, f, g, o = x_t W_{ih} + b_{ih} + h_{t-1} W_{hh} + b_{hh}, \quad
        c_t = \sigma(f) c_{t-1} + \sigma(i) \tanh(g), \quad h_t = \sigma(o) \tanh(c_t)

    Paper: Liu et al. 2022, arXiv 2210.01117

    Raises ValueError where the inputs are not rows of tokens.
    """
    if task.inputs.is_floating_point() or task.inputs.ndim != 2:
        raise ValueError(
            f"lstm reads rows of tokens, which the inputs of {task.description} are not; try the model perceptron"
        )
    return LSTM(task, d_model, d_hidden, n_layers, output_scale)


@dataclass(frozen=True)
class LSTM(Architecture):
    d_model: int
    d_hidden: int
    n_layers: int
    output_scale: float

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        d_vocab = self.task.d_vocab if isinstance(self.task, Texts) else int(self.task.inputs.max()) + 1
        shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (d_vocab, self.d_model)}
        gates = 4 * self.d_hidden
        for layer in range(self.n_layers):
            d_in = self.d_hidden if layer else self.d_model
            of_one = {"W_ih": (d_in, gates), "W_hh": (self.d_hidden, gates), "b_ih": (gates,), "b_hh": (gates,)}
            shapes |= {f"lstm.{layer}.{name}": shape for name, shape in of_one.items()}
        return shapes | {"unembed.W_U": (self.d_hidden, self.task.n_outputs), "unembed.b_U": (self.task.n_outputs,)}

    @property
    def description(self) -> str:
        by = "" if self.output_scale == 1 else f", outputs × {number(self.output_scale, 4)}"
        layers = f"{self.n_layers} layer{'s' * (self.n_layers > 1)}"
        return f"LSTM, {layers}, embeddings of {self.d_model}, states of {self.d_hidden}{by}"

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return {
            name: torch.randn(shape, generator=generator)
            if name == "embed.W_E"
            else uniform(shape, self.d_hidden, generator)
            for name, shape in self.shapes.items()
        }

    def activations(self, weights: Weights, inputs: Int[Tensor, "text pos"]) -> dict[str, Float[Tensor, "text ..."]]:
        table = weights["embed.W_E"]
        nothing = table.new_zeros(len(inputs), self.d_hidden)
        cells = [Cell.of(weights, f"lstm.{layer}") for layer in range(self.n_layers)]
        states = [(nothing, nothing)] * self.n_layers  # of each layer h and c
        embedded = table.new_zeros(len(inputs), self.d_model)
        for tokens in inputs.unbind(1):  # a position at a time: all at once would be gigabytes
            x = embedded = rows(table, tokens)  # [text, d_model]
            for layer, cell in enumerate(cells):
                states[layer] = cell.step(x, *states[layer])
                x = states[layer][0]
        activations: dict[str, Tensor] = {"hook_embed": embedded}
        for layer, (h, c) in enumerate(states):
            activations |= {f"lstm.{layer}.hook_h": h, f"lstm.{layer}.hook_c": c}
        said = affine(states[-1][0], weights["unembed.W_U"], weights["unembed.b_U"])
        return activations | {"logits": said * self.output_scale}

    def hooked(self, weights: Weights) -> HookedLSTM:
        from interp.models.shared.hooked_lstm import HookedLSTM

        return HookedLSTM(self.n_layers, self.output_scale, weights)
