"""The network from the residual stream before its last MLP on, where the answer is read."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.models.shared.blocks import Blocks
from interp.models.shared.operations import affine


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
