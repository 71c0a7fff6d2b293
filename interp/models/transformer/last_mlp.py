"""The network from the residual stream before its last MLP on, where the answer is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.models.shared.blocks import Blocks
from interp.models.shared.operations import affine

Activations = Mapping[str, Float[Tensor, "pair ..."]]


@dataclass(frozen=True)
class LastMLP:
    """The last MLP, what is added to it, the norms after it, and the unembedding."""

    blocks: Blocks

    @property
    def block(self) -> str:
        """What the names of the last block's weights begin with."""
        return f"blocks.{self.blocks.n_layers - 1}."

    def outputs_from_resid_mid(
        self, weights: Weights, resid_mid: Float[Tensor, "pair d_model"]
    ) -> Float[Tensor, "pair d_vocab_out"]:
        norm = self.blocks.norm
        stream = self._stream(weights, resid_mid)
        read = norm.applied(stream, weights, f"{self.block}ln2") if norm and norm.position == "pre" else stream
        return self._outputs(weights, self.blocks.neurons(read, weights, f"{self.block}mlp"), stream)

    def outputs_from_neurons(
        self, weights: Weights, post: Float[Tensor, "#pair neuron"], resid_mid: Float[Tensor, "pair d_model"]
    ) -> Float[Tensor, "#pair d_vocab_out"]:
        return self._outputs(weights, post, self._stream(weights, resid_mid))

    def _stream(self, weights: Weights, resid_mid: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair d_model"]:
        """The residual stream beside the MLP: after the norm, where one follows the attention."""
        norm = self.blocks.norm
        after = norm is not None and norm.position == "post"
        return norm.applied(resid_mid, weights, f"{self.block}ln1") if norm and after else resid_mid

    def _outputs(
        self, weights: Weights, post: Float[Tensor, "#pair neuron"], stream: Float[Tensor, "pair d_model"]
    ) -> Float[Tensor, "#pair d_vocab_out"]:
        """The outputs from the neurons and the residual stream beside them."""
        mlp = f"{self.block}mlp."
        x = self.blocks.added(stream, affine(post, weights[f"{mlp}W_out"], weights.get(f"{mlp}b_out")))
        for name in self.norms_after:
            assert self.blocks.norm is not None
            x = self.blocks.norm.applied(x, weights, name)
        return affine(x, weights["unembed.W_U"], weights.get("unembed.b_U"))

    @property
    def norms_after(self) -> list[str]:
        """The names of the norms between the last MLP and the unembedding."""
        norm = self.blocks.norm
        if norm is None:
            return []
        return [f"{self.block}ln2"] * (norm.position == "post") + ["ln_final"] * norm.final

    @property
    def _norms_before(self) -> list[str]:
        """The names of the norms that the residual stream passes from the embedding to the last MLP."""
        norm = self.blocks.norm
        if norm is None:
            return []
        if norm.position == "pre":
            return [f"{self.block}ln2"]
        earlier = [f"blocks.{layer}.ln{k}" for layer in range(self.blocks.n_layers - 1) for k in (1, 2)]
        return [*earlier, f"{self.block}ln1"]

    def readout(self, weights: Weights, activations: Activations) -> Float[Tensor, "neuron d_vocab_out"]:
        W_out = self.blocks.folded(weights[f"{self.block}mlp.W_out"], weights, self.norms_after)
        factor = self.readout_factor(activations)
        return W_out @ weights["unembed.W_U"] if factor is None else factor * W_out @ weights["unembed.W_U"]

    def readout_factor(self, activations: Activations) -> Float[Tensor, ""] | None:
        return mean_factor(activations, self.norms_after) if self.norms_after else None

    def neuron_inputs(
        self, weights: Weights, embeddings: Float[Tensor, "operand p d_model"], activations: Activations
    ) -> Float[Tensor, "operand p neuron"] | None:
        if self.blocks.gated or not self.blocks.residual:
            return None
        read = self.blocks.folded(embeddings, weights, self._norms_before)
        inputs = read @ weights[f"{self.block}mlp.W_in"]
        return inputs * mean_factor(activations, self._norms_before) if self._norms_before else inputs


def mean_factor(activations: Activations, norms: Sequence[str]) -> Float[Tensor, ""]:
    """Return the mean over the examples of what 1/σ of these norms, one after another, multiply by."""
    scales = torch.stack([activations[f"{name}.hook_scale"] for name in norms])  # [norm, example, 1]
    return (1 / scales.prod(dim=0)).mean()
