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

import numpy as np
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
    """A network for one task, without its weights: a frozen dataclass of the options that shape it."""

    task: Task

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every parameter, in the order in which weights are stored."""

    @property
    @abstractmethod
    def description(self) -> str:
        """What the network is, in words for the report: "1 layer, 4 heads, d_model 128, d_mlp 512"."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a run with this network should know, a sentence each."""
        return ()

    @abstractmethod
    def initial(self, seed: int) -> dict[str, Tensor]:
        """Return fresh weights, float32, drawn from a generator of this seed alone."""

    @abstractmethod
    def activations(
        self, weights: Weights, inputs: Shaped[Tensor, "example ..."]
    ) -> dict[str, Float[Tensor, "example ..."]]:
        """Return the activations where the answer is read, by hook name, and "logits", the outputs [example, output].

        They are computed in the weights' precision and are differentiable any number of times.
        """

    def outputs(self, weights: Weights, inputs: Shaped[Tensor, "example ..."]) -> Float[Tensor, "example output"]:
        """Return the outputs alone, for training: those of `activations` up to rounding, in the fewest operations.

        They need to be differentiable only once.
        """
        return self.activations(weights, inputs)["logits"]

    def tokens(self, inputs: Shaped[Tensor, "example ..."]) -> Shaped[Tensor, "example ..."]:
        """Return what the hooked module is called on: the inputs, unless the network reads them in another form."""
        return inputs

    def from_module(self, outputs: Float[Tensor, "example ..."]) -> Float[Tensor, "example output"]:
        """Return the network's outputs, given what the hooked module returns on `tokens`: of positions, at the last.

        A network overrides it that is read elsewhere, or has its answers in another order.
        """
        return outputs[:, -1] if outputs.ndim == 3 else outputs

    def require(self, part: str) -> None:  # noqa: B027 (our own networks know, and have nothing to raise)
        """Raise NothingToSay where it is not known which part of the network its "neurons" or "embedding" are."""

    def silence(self, lack: str) -> NothingToSay:
        """Return what is said where the network lacks something: "the network has no attention"."""
        return NothingToSay(f"the network {lack}")

    @abstractmethod
    def hooked(self, weights: Weights) -> HookedModel:
        """Return the network as a TransformerLens hooked module that holds `weights`."""


@runtime_checkable
class HasNeurons(Protocol):
    """A network whose last hidden layer stands alone before what follows it to the outputs."""

    @property
    def neurons(self) -> str:
        """The hook name of the last hidden layer's activations, "….hook_post"; "….hook_pre" is what goes into it."""
        ...

    def activated(self, weights: Weights, pre: Float[Tensor, "#example neuron"]) -> Float[Tensor, "#example neuron"]:
        """Return the last hidden layer's activations when what goes into its neurons is `pre`.

        Raises NothingToSay where the neurons are gated, so that each has two inputs.
        """
        ...

    def outputs_from_neurons(
        self,
        weights: Weights,
        post: Float[Tensor, "#example neuron"],
        activations: Mapping[str, Float[Tensor, "example ..."]],
    ) -> Float[Tensor, "#example output"]:
        """Return the outputs when the last hidden layer's activations are `post`.

        Where something runs beside the neurons, such as a residual stream, it is taken from `activations`. Norms that
        follow are run as they are.
        """
        ...

    def readout(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "example ..."]]
    ) -> Float[Tensor, "neuron output"]:
        """Return the linear map from the last hidden layer's activations to the outputs.

        A norm in between is folded: its centring and its weight are linear, and 1/σ, which differs from example to
        example, is taken at its mean, `readout_factor`. `activations` are asked only where there is one.
        """
        ...

    def readout_factor(self, activations: Mapping[str, Float[Tensor, "example ..."]]) -> Float[Tensor, ""] | None:
        """Return the mean over the examples of 1/σ of the norms between the last hidden layer and the outputs.

        It is None where there is none, and the readout is exact.
        """
        ...


@runtime_checkable
class ReadsTwoOperands(HasNeurons, Protocol):
    """A network that looks up the embeddings of two operands, each a residue 0…p-1."""

    def operands(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        """Return the embeddings of each pair's a and b, before positions are added."""
        ...

    def logits_of_operands(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair output"]:
        """Return the outputs with these vectors in the place of the operands' embeddings, differentiable in them."""
        ...

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        """Return W_E's rows for the residues 0…p-1; where a and b have a table each, the two side by side."""
        ...

    def with_embeddings(
        self, weights: Weights, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
    ) -> dict[str, Tensor]:
        """Return the weights with `change` applied to each table of the residues' embeddings."""
        ...

    def neuron_inputs(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "example ..."]]
    ) -> Float[Tensor, "operand p neuron"] | None:
        """Return what each residue, as a and as b, gives the last hidden layer's neurons through weights alone.

        For a transformer it is the embedding times W_in, past the attention, norms on the way folded as by `readout`.
        It is None where another hidden layer lies between, the neurons are gated, so that each has two inputs, or no
        residual stream leads past the attention.
        """
        ...

    def neuron_logits(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "example ..."]]
    ) -> Float[Tensor, "neuron p"]:
        """Return what each neuron of the last hidden layer gives the logits of the residues (W_L), by `readout`."""
        ...

    def residue_tables(self, weights: Weights) -> dict[str, Float[Tensor, "table p d"]]:
        """Return the parameters with a vector for each residue, by name.

        They are the embeddings, one table or, where a and b have tokens of their own in one parameter, two, and the
        unembedding's columns for the answers.
        """
        ...


@runtime_checkable
class HasAttention(ReadsTwoOperands, Protocol):
    """A transformer: attention over the operands' positions, and a residual stream beside its neurons."""

    @property
    def n_heads(self) -> int:
        """How many heads each layer has."""
        ...

    @property
    def operand_positions(self) -> tuple[int, int]:
        """The positions of a and of b in the row of tokens."""
        ...

    def attention_scores(self, weights: Weights) -> Float[Tensor, "a b head pos"]:
        """Return the first layer's scores where the answer is read, before the softmax, for every pair of residues.

        The positions are those of the row of tokens, from 0, that are seen from there. A norm before the attention is
        no matter: each position holds its own token alone, so that the scores are exact.
        """
        ...

    def attention_pattern(self, scores: Float[Tensor, "... pos"]) -> Float[Tensor, "... pos"]:
        """Return the pattern that the network makes of these scores."""
        ...

    @property
    def one_query(self) -> bool:
        """Whether all pairs have the same query, that of "=", because the answer is read at no operand."""
        ...

    def qk_circuit(self, weights: Weights) -> Float[Tensor, "a b head"]:
        """Return every residue's embedding as a query, of the operand where the answer is read, on the other's as key.

        It is for networks without `one_query`: W_E·W_Q against W_E·W_K of the first layer, without positions that are
        added and without biases; a norm before the attention is folded, as by `ov_circuit`.
        """
        ...

    def ov_circuit(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "example ..."]]
    ) -> Float[Tensor, "operand head p neuron"]:
        """Return what each head of the first layer moves from a residue to its MLP: W_E·W_V·W_O·W_in.

        Gated neurons have two inputs, W_gate's before W_in's. Norms on the way are folded: centring and weight are
        linear, and 1/σ is taken at its mean, `ov_factors`. `activations` are asked only where there is one.
        """
        ...

    def ov_factors(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "example ..."]]
    ) -> Float[Tensor, " site"] | None:
        """Return the mean of 1/σ of each norm that is folded in the circuits; None where there are no norms.

        They are those before the attention, at a and at b, over the residues, and the one before the MLP, where the
        answer is read, over the examples; 1 where there is none.
        """
        ...

    def resid_mid(self, activations: Mapping[str, Float[Tensor, "example ..."]]) -> Float[Tensor, "example d_model"]:
        """Return the residual stream before the last MLP, where the answer is read."""
        ...

    def attn_out(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "example ..."]]
    ) -> Float[Tensor, "example d_model"]:
        """Return the last attention's output where the answer is read."""
        ...

    def outputs_from_resid_mid(
        self, weights: Weights, resid_mid: Float[Tensor, "example d_model"]
    ) -> Float[Tensor, "example output"]:
        """Return the outputs when the residual stream before the last MLP is `resid_mid`."""
        ...


Buffers = Callable[[str, tuple[int, ...]], Tensor]
"""A name and a shape -> memory of this shape, in the type of the weights: the same at every call, of any content."""


@runtime_checkable
class Passes(Protocol):
    """A network's forward and backward pass, in memory that is used again, without differentiation.

    Networks that are trained one after another share that memory, `Buffers`. What is computed depends on weights and
    inputs alone: it is the same calls on arrays of the same shapes, each of which begins at a multiple of 64 bytes.
    """

    def outputs(self, inputs: Shaped[Tensor, "example ..."]) -> Float[Tensor, "example output"]:
        """Return the outputs, in memory that is used again; floating-point inputs are of the weights' type."""
        ...

    def write_gradients(self, slope: Float[Tensor, "example output"]) -> None:
        """Write what each parameter gets of `slope`, the loss's derivative in the outputs that were asked last."""
        ...


@runtime_checkable
class WritesGradients(Protocol):
    """A network that writes its own gradient, with some of its options at least."""

    def passes(self, weights: Weights, gradients: Weights, buffers: Buffers) -> Passes | None:
        """Return the passes of these weights, which lie where they are for as long as it is used, as do `gradients`.

        It is None where the network's options are none of those: it is then differentiated.
        """
        ...


@runtime_checkable
class ReadsStateDicts(Protocol):
    """A network whose weights have the names that its authors gave them."""

    def weights_of(self, tensors: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
        """Return its weights among the tensors of a state dict; `source` is what messages call that.

        Raises InterpError where one is missing or of another shape, or where what is constant here differs there.
        """
        ...


def has_neurons(architecture: Architecture) -> HasNeurons:
    """Return `architecture`, which has neurons. Raises NothingToSay where no hidden layer precedes its outputs."""
    architecture.require("neurons")
    if isinstance(architecture, HasNeurons):
        return architecture
    raise architecture.silence("has no last hidden layer of neurons")


def reads_two_operands(architecture: Architecture) -> ReadsTwoOperands:
    """Return `architecture`, which looks up two operands. Raises NothingToSay where it does not."""
    architecture.require("embedding")
    if isinstance(architecture, ReadsTwoOperands):
        return architecture
    raise architecture.silence("reads no embeddings of two operands")


def has_attention(architecture: Architecture) -> HasAttention:
    """Return `architecture`, which has attention. Raises NothingToSay where it has none."""
    if isinstance(architecture, HasAttention):
        return architecture
    raise architecture.silence("has no attention")
