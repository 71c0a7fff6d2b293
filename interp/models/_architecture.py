"""What every architecture offers: shapes, an initialisation, a fast path over pairs, a hooked module.

The fast path is a plain function of the weights, so that training, measures and curvature share it;
the hooked module is for looking inside, and agrees with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.tasks._task import Task

if TYPE_CHECKING:
    from interp.models._hooks import HookedModel

Weights = Mapping[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.nn.functional.relu,
    "gelu": torch.nn.functional.gelu,
}


@dataclass(frozen=True)
class Architecture(ABC):
    """A network without its weights. `Weights` map TransformerLens names to tensors, x @ W."""

    task: Task

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's name and shape."""

    @property
    @abstractmethod
    def description(self) -> str:
        """In words, for the report: "1 layer, 4 heads, d_model 128, d_mlp 512"."""

    @property
    @abstractmethod
    def neurons(self) -> str:
        """The hook name of the last hidden layer's activations."""

    @abstractmethod
    def initial(self, seed: int) -> dict[str, Tensor]:
        """Fresh weights, float32."""

    @abstractmethod
    def tokens(self, pairs: Int[Tensor, "pair 2"]) -> Int[Tensor, "pair pos"]:
        """What the hooked module is called on."""

    @abstractmethod
    def last_position(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        """Activations where the answer is read, by hook name, and "logits" [pair, d_vocab_out].

        In the weights' precision. One-layer networks factorise over the operands: what depends on one
        operand alone is computed once per residue, not once per pair.
        """

    def logits(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair d_vocab_out"]:
        """The logits alone, for training: `last_position`'s up to rounding, in the fewest operations."""
        return self.last_position(weights, pairs)["logits"]

    @abstractmethod
    def operands(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        """The embeddings of a and b as each pair has them, before positions are added."""

    @abstractmethod
    def logits_of_operands(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair d_vocab_out"]:
        """The logits with these vectors in the place of the operands' embeddings, differentiable in them."""

    @abstractmethod
    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        """W_E's rows for the residues 0…p-1; two operands' separate embeddings side by side."""

    @abstractmethod
    def neuron_inputs(self, weights: Weights) -> Float[Tensor, "operand p neuron"] | None:
        """What each residue, as a and as b, gives the neurons of the last hidden layer through weights alone.

        For transformers the embedding times W_in, past the attention. None where a nonlinearity lies between.
        """

    @abstractmethod
    def neuron_logits(self, weights: Weights) -> Float[Tensor, "neuron p"]:
        """What each neuron of the last hidden layer gives the logits of the residues 0…p-1 (W_L)."""

    @abstractmethod
    def hooked(self, weights: Weights) -> HookedModel:
        """The network as a TransformerLens hooked module that holds `weights`."""
