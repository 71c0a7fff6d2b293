"""PAIR's network for modular addition: one embedding reads both operands, and is read against by the answer."""

from __future__ import annotations

import functools
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
from interp.models.shared.activations import IN_WORDS
from interp.models.shared.operations import rows
from interp.models.shared.sum_of_operands import SumOfOperands
from interp.models.shared.two_operand_tasks import task_of_two_operands

if TYPE_CHECKING:
    from interp.models.shared.hooked_factored_mlp import HookedFactoredMLP

CUT_STD = 0.87962566103423978
"""The standard deviation of a standard normal variable that is cut off at ±2."""


def factored_mlp(
    task: Task,
    d_model: PositiveInt | None = None,
    d_mlp: PositiveInt = 24,
    act_fn: Literal["relu", "x^2"] = "relu",
    embedding: Literal["learned", "circle"] = "learned",
    initialisation: Literal["random", "closed_form"] = "random",
) -> FactoredMLP:
    r"""A hidden layer between an embedding and its own transpose, as in PAIR's explorable; there are no biases.

    The embedding is tied: one table reads a and b, whose vectors are added, and its transpose is the unembedding. So
    input and output are two matrices each, $W_E W_\text{in}$ and $W_\text{out} W_E^\top$; one that is learnt in one
    piece at both ends does not generalise there, even with weight decay. (b, a) is answered as (a, b).

    - d_model: 500 where it is not given.
    - embedding: "learned"; or "circle", PAIR's frozen one: cos and sin of 2πi/p for the residue i, each column of unit
      length, which is no parameter. Its d_model is 2.
    - initialisation: "random"; or "closed_form", PAIR's solution by hand on the circle of frequency 1, of d_model 2:
      neuron n of N reads the circle at the angle 2πn/N, and answers at twice that. With squares and more than 4 neurons
      the logits are cos²((a-b)w/2) cos((a+b-c)w) times a constant, w = 2π/p; with ReLU nearly.

    Random embeddings are those of Haiku's VarianceScaling(2), normal with standard deviation √(2/p) after they are cut
    off at two standard deviations; the other matrices are those of its Linear: normal with 1/√fan_in before they are.

    Formula: \mathrm{logits} = \mathrm{act}\big((W_E[a] + W_E[b])\, W_\text{in}\big)\, W_\text{out}\, W_E^\top

    Paper: Pearce et al. 2023, Do machine learning models memorize or generalize?

    Raises ValueError where the task is not one of two operands, or d_model is not that of the circle.
    """
    in_a_plane = embedding == "circle" or initialisation == "closed_form"
    if in_a_plane and d_model not in (None, 2):
        raise ValueError(f"d_model is {d_model}, and a circle lies in a plane; leave d_model out")
    return FactoredMLP(
        task=task_of_two_operands(task, "factored_mlp"),
        act_fn=act_fn,
        d_model=2 if in_a_plane else d_model or 500,
        d_mlp=d_mlp,
        embedded=embedding,
        initialisation=initialisation,
    )


@dataclass(frozen=True)
class FactoredMLP(SumOfOperands):
    """An embedding, a hidden layer, and the embedding again; it offers what `ReadsTwoOperands` asks for."""

    d_model: int
    d_mlp: int
    embedded: Literal["learned", "circle"]
    initialisation: Literal["random", "closed_form"]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        learned = {"embed.W_E": (self.task.p, self.d_model)} if self.embedded == "learned" else {}
        return learned | {"mlp.W_in": (self.d_model, self.d_mlp), "mlp.W_out": (self.d_mlp, self.d_model)}

    @property
    def description(self) -> str:
        of_embedding = f"d_model {self.d_model}, tied embedding"
        parts = [
            f"1 hidden layer of {self.d_mlp}",
            "embedding a frozen circle" if self.embedded == "circle" else of_embedding,
            *([IN_WORDS[self.act_fn]] if self.act_fn in IN_WORDS else []),
        ]
        return ", ".join(parts)

    def initial(self, seed: int) -> dict[str, Tensor]:
        if self.initialisation == "closed_form":
            return {name: weight.float() for name, weight in self._closed_form().items() if name in self.shapes}
        generator = torch.Generator().manual_seed(seed)

        def draw(name: str, shape: tuple[int, ...]) -> Tensor:
            scale = math.sqrt(2 / shape[0]) / CUT_STD if name == "embed.W_E" else 1 / math.sqrt(shape[0])
            cut = {"std": scale, "a": -2 * scale, "b": 2 * scale}
            return torch.nn.init.trunc_normal_(torch.empty(shape), **cut, generator=generator)

        return {name: draw(name, shape) for name, shape in self.shapes.items()}

    def _closed_form(self) -> dict[str, Tensor]:
        theta = 2 * math.pi * torch.arange(self.d_mlp, dtype=torch.float64) / self.d_mlp
        W_in = torch.stack([theta.cos(), theta.sin()])  # [d_model, neuron]
        W_out = torch.stack([(2 * theta).cos(), (2 * theta).sin()], dim=1)  # [neuron, d_model]
        return {"embed.W_E": circle(self.task.p), "mlp.W_in": W_in, "mlp.W_out": W_out}

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        if "embed.W_E" in weights:
            return weights["embed.W_E"]
        return circle(self.task.p).to(weights["mlp.W_in"])

    def _unembedding(self, weights: Weights) -> Float[Tensor, "d_model p"]:
        """The embedding's transpose, but for weights whose embeddings alone were changed (`with_embeddings`)."""
        return weights["unembed.W_U"] if "unembed.W_U" in weights else self.embedding(weights).T

    def with_embeddings(
        self, weights: Weights, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
    ) -> dict[str, Tensor]:
        """Change what the operands look up; what is read against stays as it was, as `unembed.W_U`."""
        tables = {"embed.W_E": change(self.embedding(weights)), "unembed.W_U": self._unembedding(weights)}
        return {**weights, **tables}

    def operands(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        W_E = self.embedding(weights)
        return torch.stack([rows(W_E, column) for column in pairs.unbind(1)], dim=1)  # [pair, operand, d_model]

    def logits_of_operands(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair output"]:
        return self.from_pre(weights, operands.sum(dim=1) @ weights["mlp.W_in"])["logits"]

    def from_operands(self, weights: Weights) -> tuple[Float[Tensor, "p neuron"], Float[Tensor, "p neuron"]]:
        """Multiply the embedding by W_in once a residue, not once a pair."""
        of_either = self.embedding(weights) @ weights["mlp.W_in"]
        return of_either, of_either

    def neuron_logits(
        self,
        weights: Weights,
        activations: Mapping[str, Float[Tensor, "pair ..."]],  # noqa: ARG002 (no norm follows the neurons)
    ) -> Float[Tensor, "neuron p"]:
        return weights["mlp.W_out"] @ self._unembedding(weights)

    def residue_tables(self, weights: Weights) -> dict[str, Float[Tensor, "table p d"]]:
        return {name: weights[name][None] for name in self.shapes if name == "embed.W_E"}

    def hooked(self, weights: Weights) -> HookedFactoredMLP:
        from interp.models.shared.hooked_factored_mlp import HookedFactoredMLP

        constant = None if self.embedded == "learned" else self.embedding(weights)
        return HookedFactoredMLP(self.act_fn, weights, constant)


@functools.cache
def circle(p: int) -> Float[Tensor, "p 2"]:
    """cos and sin of 2πi/p for i = 0…p-1, each column of unit length, float64."""
    angle = 2 * math.pi * torch.arange(p, dtype=torch.float64) / p
    return torch.stack([angle.cos(), angle.sin()], dim=1) / math.sqrt(p / 2)
