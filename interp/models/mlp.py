"""A multilayer perceptron on the embeddings of both operands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor
from torch.nn.functional import embedding

from interp.models._architecture import ACTIVATIONS, Architecture, Weights
from interp.tasks._task import Task

if TYPE_CHECKING:
    from interp.models._hooked_mlp import HookedMLP


def mlp(
    task: Task,
    d_model: PositiveInt = 256,
    d_mlp: PositiveInt = 128,
    shared_embedding: bool = False,
    biases: bool = False,
    act_fn: Literal["relu", "gelu"] = "relu",
) -> MLP:
    """One hidden layer on the two operands' embeddings side by side (Chughtai et al. 2023).

    logits = act([E_a[a], E_b[b]] @ W_in + b_in) @ W_U + b_U, the embeddings one table or two.
    Initialisation: normal with standard deviation 1/√fan_in (embeddings 1/√d_model), biases 0.
    """
    return MLP(task, d_model, d_mlp, shared_embedding, biases, act_fn)


@dataclass(frozen=True)
class MLP(Architecture):
    d_model: int
    d_mlp: int
    shared_embedding: bool
    biases: bool
    act_fn: Literal["relu", "gelu"]

    @property
    def neurons(self) -> str:
        return "mlp.hook_post"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        p = self.task.p
        return {
            **dict.fromkeys(sorted(set(self.embeddings)), (p, self.d_model)),
            "mlp.W_in": (2 * self.d_model, self.d_mlp),
            **({"mlp.b_in": (self.d_mlp,)} if self.biases else {}),
            "unembed.W_U": (self.d_mlp, p),
            **({"unembed.b_U": (p,)} if self.biases else {}),
        }

    @property
    def embeddings(self) -> tuple[str, str]:
        """The parameter that embeds a, and the one that embeds b."""
        return ("embed.W_E", "embed.W_E") if self.shared_embedding else ("embed_a.W_E", "embed_b.W_E")

    @property
    def description(self) -> str:
        return f"1 hidden layer of {self.d_mlp}, d_model {self.d_model}"

    def tokens(self, pairs: Int[Tensor, "pair 2"]) -> Int[Tensor, "pair 2"]:
        """The operands themselves."""
        return pairs

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)

        def draw(name: str, shape: tuple[int, ...]) -> Tensor:
            if ".b_" in name:
                return torch.zeros(shape)
            fan = self.d_model if name.startswith("embed") else shape[0]
            return torch.randn(shape, generator=generator) / math.sqrt(fan)

        return {name: draw(name, shape) for name, shape in self.shapes.items()}

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        return torch.cat([weights[name] for name in sorted(set(self.embeddings))], dim=1)

    def last_position(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        a, b = pairs.unbind(1)
        W_a, W_b = weights["mlp.W_in"].split(self.d_model)
        E_a, E_b = (weights[name] for name in self.embeddings)
        pre = embedding(a, E_a @ W_a) + embedding(b, E_b @ W_b)
        if self.biases:
            pre = pre + weights["mlp.b_in"]
        post = ACTIVATIONS[self.act_fn](pre)
        logits = post @ weights["unembed.W_U"]
        if self.biases:
            logits = logits + weights["unembed.b_U"]
        return {"mlp.hook_pre": pre, "mlp.hook_post": post, "logits": logits}

    def hooked(self, weights: Weights) -> HookedMLP:
        from interp.models._hooked_mlp import HookedMLP

        return HookedMLP(self, weights)
