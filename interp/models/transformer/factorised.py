"""The fast forward pass of one layer without norms on the row "a b =" or "a b", by tables over the residues."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.models.shared import attention
from interp.models.shared.activations import ACTIVATIONS
from interp.models.shared.add_relu import AddReLU
from interp.models.shared.operations import affine, plus, rows
from interp.models.transformer.first_layer import FirstLayer


@dataclass(frozen=True)
class PairTables:
    """What the logits of every pair are made of, for a network that is read at "="."""

    scores: Float[Tensor, "operand p head"]
    """Those of each residue as a and as b, against that of "="."""
    values: Float[Tensor, "operand p head d_head"]
    """Likewise."""
    to_neurons: Float[Tensor, "z neuron"]
    neuron_bias: Float[Tensor, " neuron"]
    to_logits: Float[Tensor, "z d_vocab_out"]
    """Past the neurons."""
    logit_bias: Float[Tensor, " d_vocab_out"]
    neurons_to_logits: Float[Tensor, "neuron d_vocab_out"]


@dataclass(frozen=True)
class Factorised:
    """What depends on one operand alone is computed once a residue, and at the last position alone."""

    first_layer: FirstLayer
    n_heads: int

    @property
    def can(self) -> bool:
        """Whether the network is one that it can compute."""
        blocks = self.first_layer.blocks
        plain = blocks.residual and blocks.attention_scale and not blocks.gated and blocks.norm is None
        return (
            blocks.n_layers == 1
            and plain
            and blocks.positions in ("learned", "none")
            and self.first_layer.row.ends_after_b
        )

    @property
    def attention_rate(self) -> float:
        """The softmax's share of the pattern."""
        return self.first_layer.blocks.attention_rate

    @property
    def can_tables(self) -> bool:
        """Whether it is a network that `tables` is for: read at "=", with ReLU."""
        return self.can and self.first_layer.row.read_word == "=" and self.first_layer.blocks.act_fn == "relu"

    def tables(self, weights: Weights) -> PairTables:
        """What the logits of a pair are computed from: all that does not depend on the pair."""
        W_in, W_out, W_U = weights["blocks.0.mlp.W_in"], weights["blocks.0.mlp.W_out"], weights["unembed.W_U"]
        b_in, b_out, b_U = (weights.get(name) for name in ("blocks.0.mlp.b_in", "blocks.0.mlp.b_out", "unembed.b_U"))
        W_O, b_O = weights["blocks.0.attn.W_O"].flatten(0, 1), weights.get("blocks.0.attn.b_O")  # [z, d_model]
        operands, equals = self.first_layer.operands(weights), self._resid_pre(weights)
        scores, values, z_constant = attention.tables_at_equals(operands, equals, weights, self.attention_rate)
        resid_mid = plus(equals + z_constant @ W_O, b_O)  # but for what differs by pair in z
        return PairTables(
            scores,
            values,
            to_neurons=W_O @ W_in,
            neuron_bias=plus(resid_mid @ W_in, b_in),
            to_logits=W_O @ W_U,
            logit_bias=plus(plus(resid_mid, b_out) @ W_U, b_U),
            neurons_to_logits=W_out @ W_U,
        )

    def outputs(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair d_vocab_out"]:
        """The logits alone, for training: those of `activations` up to rounding, in the fewest operations.

        Only the neurons stand between z and the logits, so the matrices on either side of them are multiplied
        first: z reaches the neurons by W_O·W_in, the logits by W_O·W_U, and the neurons the logits by W_out·W_U.
        With ReLU it is differentiable once; `activations` are, any number of times.
        """
        W_in, W_out, W_U = weights["blocks.0.mlp.W_in"], weights["blocks.0.mlp.W_out"], weights["unembed.W_U"]
        b_in, b_out, b_U = (weights.get(name) for name in ("blocks.0.mlp.b_in", "blocks.0.mlp.b_out", "unembed.b_U"))
        W_O, b_O = weights["blocks.0.attn.W_O"].flatten(0, 1), weights.get("blocks.0.attn.b_O")  # [z, d_model]
        attended = self._attention(weights, pairs)
        resid_mid = plus(self._resid_pre(weights) + attended.z_constant @ W_O, b_O)  # but for what differs by pair in z
        bias = _per_pair(plus(resid_mid @ W_in, b_in), pairs)
        direct = torch.addmm(_per_pair(plus(plus(resid_mid, b_out) @ W_U, b_U), pairs), attended.z, W_O @ W_U)
        if self.first_layer.blocks.act_fn == "relu":
            return AddReLU.apply(direct, attended.z, W_O @ W_in, torch.atleast_2d(bias), W_out @ W_U)
        pre = torch.addmm(bias, attended.z, W_O @ W_in)
        return direct.addmm(ACTIVATIONS[self.first_layer.blocks.act_fn](pre), W_out @ W_U)

    def activations(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        """Every activation at the last position: the attention from tables over the operands."""
        attended = self._attention(weights, pairs)
        z = attended.z + attended.z_constant  # [pair, head * d_head]
        attn_out = affine(z, weights["blocks.0.attn.W_O"].flatten(0, 1), weights.get("blocks.0.attn.b_O"))
        resid_mid = _per_pair(self._resid_pre(weights), pairs) + attn_out
        pre = affine(resid_mid, weights["blocks.0.mlp.W_in"], weights.get("blocks.0.mlp.b_in"))
        post = ACTIVATIONS[self.first_layer.blocks.act_fn](pre)
        resid_post = resid_mid + affine(post, weights["blocks.0.mlp.W_out"], weights.get("blocks.0.mlp.b_out"))
        return {
            "blocks.0.attn.hook_pattern": attended.pattern,
            "blocks.0.attn.hook_z": z.unflatten(1, (self.n_heads, -1)),  # [pair, head, d_head]
            "blocks.0.hook_resid_mid": resid_mid,
            "blocks.0.mlp.hook_pre": pre,
            "blocks.0.mlp.hook_post": post,
            "blocks.0.hook_resid_post": resid_post,
            "logits": affine(resid_post, weights["unembed.W_U"], weights.get("unembed.b_U")),
        }

    def _attention(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> attention.Attended:
        operands, rate = self.first_layer.operands(weights), self.first_layer.blocks.attention_rate
        if self.first_layer.row.read_word == "b":
            return attention.from_b(operands, weights, pairs, rate)
        return attention.from_equals(operands, self._resid_pre(weights), weights, pairs, rate)

    def _resid_pre(self, weights: Weights) -> Float[Tensor, " d_model"] | Float[Tensor, "p d_model"]:
        """The residual stream at the last position before attention: one vector at "=", a row for each residue at b."""
        return self.first_layer.read_at(weights)


def _per_pair(x: Float[Tensor, " n"] | Float[Tensor, "p n"], pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "..."]:
    """Turn a table over b into a row for each pair; leave one vector, the same for all pairs, as it is."""
    return x if x.ndim == 1 else rows(x, pairs[:, 1])
