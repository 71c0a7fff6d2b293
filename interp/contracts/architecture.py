"""What every network offers, and what only some have: operands read from an embedding, neurons, attention.

A network is a plain function of its weights, so that training, measures and curvature share it; the hooked module
is for looking inside, and agrees with it. A measure asks for what it needs (`reads_two_operands(architecture)`), and
has nothing to say where a network does not offer it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from interp.contracts.task import Task
from interp.errors import NothingToSay

if TYPE_CHECKING:
    from interp.contracts.hooked_model import HookedModel

Weights = Mapping[str, Tensor]
"""Parameter name -> tensor; names are TransformerLens's, and a matrix acts as x @ W."""


@dataclass(frozen=True)
class Architecture(ABC):
    """A network without its weights, for one task."""

    task: Task

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's name and shape."""

    @property
    @abstractmethod
    def description(self) -> str:
        """In words, for the report: "1 layer, 4 heads, d_model 128, d_mlp 512"."""

    @abstractmethod
    def initial(self, seed: int) -> dict[str, Tensor]:
        """Fresh weights, float32."""

    @abstractmethod
    def activations(
        self, weights: Weights, inputs: Shaped[Tensor, "example ..."]
    ) -> dict[str, Float[Tensor, "example ..."]]:
        """Activations where the answer is read, by hook name, and "logits", the outputs [example, output].

        In the weights' precision, differentiable any number of times.
        """

    def outputs(self, weights: Weights, inputs: Shaped[Tensor, "example ..."]) -> Float[Tensor, "example output"]:
        """The outputs alone, for training: those of `activations` up to rounding, in the fewest operations.

        Differentiable once.
        """
        return self.activations(weights, inputs)["logits"]

    def tokens(self, inputs: Shaped[Tensor, "example ..."]) -> Shaped[Tensor, "example ..."]:
        """What the hooked module is called on; the inputs themselves, unless a network puts them another way."""
        return inputs

    @abstractmethod
    def hooked(self, weights: Weights) -> HookedModel:
        """The network as a TransformerLens hooked module that holds `weights`."""


@runtime_checkable
class HasNeurons(Protocol):
    """A network whose last hidden layer stands alone before what follows it to the outputs."""

    @property
    def neurons(self) -> str:
        """The hook name of the last hidden layer's activations, "….hook_post"; "….hook_pre" is what goes into it."""
        ...

    def outputs_from_neurons(
        self,
        weights: Weights,
        post: Float[Tensor, "#example neuron"],
        activations: Mapping[str, Float[Tensor, "example ..."]],
    ) -> Float[Tensor, "#example output"]:
        """The outputs when the last hidden layer's activations are `post`.

        Where something else runs beside the neurons, a residual stream, it is taken from `activations`.
        """
        ...

    def readout(self, weights: Weights) -> Float[Tensor, "neuron output"]:
        """The linear map from the last hidden layer's activations to the outputs."""
        ...


@runtime_checkable
class ReadsTwoOperands(HasNeurons, Protocol):
    """A network that looks up the embeddings of two operands, each a residue 0…p-1."""

    def operands(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        """The embeddings of a and b as each pair has them, before positions are added."""
        ...

    def logits_of_operands(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair output"]:
        """The outputs with these vectors in the place of the operands' embeddings, differentiable in them."""
        ...

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        """W_E's rows for the residues 0…p-1; two operands' separate embeddings side by side."""
        ...

    def with_embeddings(
        self, weights: Weights, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
    ) -> dict[str, Tensor]:
        """The weights when each table of the residues' embeddings is changed, whichever operand reads it."""
        ...

    def neuron_inputs(self, weights: Weights) -> Float[Tensor, "operand p neuron"] | None:
        """What each residue, as a and as b, gives the neurons of the last hidden layer through weights alone.

        For transformers the embedding times W_in, past the attention. None where a nonlinearity lies between.
        """
        ...

    def neuron_logits(self, weights: Weights) -> Float[Tensor, "neuron p"]:
        """What each neuron of the last hidden layer gives the logits of the residues 0…p-1 (W_L)."""
        ...


@runtime_checkable
class HasAttention(ReadsTwoOperands, Protocol):
    """A transformer: attention over the operands' positions, and a residual stream beside its neurons."""

    @property
    def n_heads(self) -> int: ...

    def operand_embeddings(self, weights: Weights) -> Float[Tensor, "operand p d_model"]:
        """W_E's rows for a and for b, without positions."""
        ...

    def attention_scores(self, weights: Weights) -> Float[Tensor, "a b head pos"]:
        """The first layer's scores at the last position, before the softmax, for every pair of residues."""
        ...

    def attention_pattern(self, scores: Float[Tensor, "... pos"]) -> Float[Tensor, "... pos"]:
        """The pattern that acts, from the scores."""
        ...

    @property
    def one_query(self) -> bool:
        """Whether the query is the same for all pairs: that of "=", where the answer is read."""
        ...

    def resid_mid(self, activations: Mapping[str, Float[Tensor, "example ..."]]) -> Float[Tensor, "example d_model"]:
        """The residual stream before the last MLP, where the answer is read."""
        ...

    def attn_out(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "example ..."]]
    ) -> Float[Tensor, "example d_model"]:
        """The last attention's output where the answer is read."""
        ...

    def outputs_from_resid_mid(
        self, weights: Weights, resid_mid: Float[Tensor, "example d_model"]
    ) -> Float[Tensor, "example output"]:
        """The outputs when the residual stream before the last MLP is `resid_mid`."""
        ...


def has_neurons(architecture: Architecture) -> HasNeurons:
    """Raises NothingToSay where the network has no hidden layer of neurons before its outputs."""
    if isinstance(architecture, HasNeurons):
        return architecture
    raise NothingToSay("the network has no last hidden layer of neurons")


def reads_two_operands(architecture: Architecture) -> ReadsTwoOperands:
    """Raises NothingToSay where the network has no embeddings of two operands."""
    if isinstance(architecture, ReadsTwoOperands):
        return architecture
    raise NothingToSay("the network reads no embeddings of two operands")


def has_attention(architecture: Architecture) -> HasAttention:
    """Raises NothingToSay where the network has no attention."""
    if isinstance(architecture, HasAttention):
        return architecture
    raise NothingToSay("the network has no attention")
