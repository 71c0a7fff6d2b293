"""Gromov's network: neurons that square the sum of what two one-hot operands give them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.contracts.task import Task
from interp.models.shared.operations import rows
from interp.models.shared.sum_of_operands import SumOfOperands
from interp.models.shared.two_operand_tasks import task_of_two_operands

if TYPE_CHECKING:
    from interp.models.shared.hooked_quadratic import HookedQuadratic

TABLES = ("embed_a.W_E", "embed_b.W_E")


def quadratic(
    task: Task, d_mlp: PositiveInt = 500, initialisation: Literal["normal", "closed_form"] = "normal"
) -> Quadratic:
    r"""A layer of squares on two one-hot operands, over the number of its inputs and its neurons, without biases.

    The halves of $W_1$, read per operand, are the embeddings. Fresh weights are all normal with standard deviation 1,
    and the constant keeps the logits small. As the network is homogeneous, it is `mlp` with one_hot, act_fn x^2 and
    d_mlp neurons whose weights are all s = (DN)^(-1/3) times these: gradient descent moves those alike at s² times the
    learning rate, Adam at s times. Gromov's figures have p 97 and 500 neurons, and mean squared error.

    - initialisation: "normal"; or "closed_form", Gromov's solution: neuron n is cos(w_k a + φ_a), cos(w_k b + φ_b) and
      cos(w_k c + φ_a + φ_b), with the frequencies k = 1…p//2 in turn and φ_a, φ_b drawn from all angles.

    Formula: \mathrm{logits} = \frac{1}{DN} \big(W_{E,a}[a] + W_{E,b}[b]\big)^2\, W_U, \quad D = 2p, \quad
        N = d_\text{mlp}

    Paper: Gromov 2023, arXiv 2301.02679

    Raises ValueError where the task is not one of two operands.
    """
    return Quadratic(task_of_two_operands(task, "quadratic"), "x^2", d_mlp, initialisation)


@dataclass(frozen=True)
class Quadratic(SumOfOperands):
    """Two tables, squares and a readout; it offers what `ReadsTwoOperands` asks for."""

    d_mlp: int
    initialisation: Literal["normal", "closed_form"]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        p = self.task.p
        return dict.fromkeys(TABLES, (p, self.d_mlp)) | {"unembed.W_U": (self.d_mlp, p)}

    @property
    def scale(self) -> float:
        """1/(DN), of D inputs and N neurons."""
        return 1 / (2 * self.task.p * self.d_mlp)

    @property
    def description(self) -> str:
        return f"1 hidden layer of {self.d_mlp}, one-hot operands, x², over {2 * self.task.p} × {self.d_mlp}"

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        if self.initialisation == "closed_form":
            return {name: weight.float() for name, weight in self._closed_form(generator).items()}
        return {name: torch.randn(shape, generator=generator) for name, shape in self.shapes.items()}

    def _closed_form(self, generator: torch.Generator) -> dict[str, Tensor]:
        p = self.task.p
        phi_a, phi_b = 2 * math.pi * torch.rand(2, self.d_mlp, generator=generator, dtype=torch.float64)
        k = torch.arange(self.d_mlp) % (p // 2) + 1
        angle = 2 * math.pi * torch.outer(torch.arange(p), k).double() / p  # [residue, neuron]
        readout = torch.cos(angle + phi_a + phi_b).T
        return {TABLES[0]: torch.cos(angle + phi_a), TABLES[1]: torch.cos(angle + phi_b), "unembed.W_U": readout}

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        return torch.cat([weights[name] for name in TABLES], dim=1)

    def with_embeddings(
        self, weights: Weights, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
    ) -> dict[str, Tensor]:
        return {**weights, **{name: change(weights[name]) for name in TABLES}}

    def operands(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        embedded = [rows(weights[name], column) for name, column in zip(TABLES, pairs.unbind(1), strict=True)]
        return torch.stack(embedded, dim=1)  # [pair, operand, neuron]

    def logits_of_operands(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair output"]:
        return self.from_pre(weights, operands.sum(dim=1))["logits"]

    def from_operands(self, weights: Weights) -> tuple[Float[Tensor, "p neuron"], Float[Tensor, "p neuron"]]:
        from_a, from_b = (weights[name] for name in TABLES)
        return from_a, from_b

    def neuron_logits(
        self,
        weights: Weights,
        activations: Mapping[str, Float[Tensor, "pair ..."]],  # noqa: ARG002 (no norm follows the neurons)
    ) -> Float[Tensor, "neuron p"]:
        return weights["unembed.W_U"] * self.scale

    def residue_tables(self, weights: Weights) -> dict[str, Float[Tensor, "table p d"]]:
        return {name: weights[name][None] for name in TABLES} | {"unembed.W_U": weights["unembed.W_U"].T[None]}

    def hooked(self, weights: Weights) -> HookedQuadratic:
        from interp.models.shared.hooked_quadratic import HookedQuadratic

        return HookedQuadratic(TABLES, self.scale, weights)
