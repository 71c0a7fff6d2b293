"""The transformer as a hooked module: TransformerLens's names and shapes, one line per operation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, HookedPart, HookPoint, register_weights
from interp.models.shared.activations import ACTIVATIONS
from interp.models.shared.operations import plus


@dataclass(frozen=True)
class Options:
    """What a transformer's shapes do not tell."""

    n_layers: int
    act_fn: str
    causal: bool
    attention_rate: float


class Embed(HookedPart):
    W_E: Float[Tensor, "d_vocab d_model"]

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        return self.W_E[tokens]


class PosEmbed(HookedPart):
    W_pos: Float[Tensor, "n_ctx d_model"]

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        return self.W_pos[: tokens.shape[1]].expand(len(tokens), -1, -1)


class Attention(HookedPart):
    hook_q: HookPoint
    hook_k: HookPoint
    hook_v: HookPoint
    hook_attn_scores: HookPoint
    hook_pattern: HookPoint
    hook_z: HookPoint
    W_Q: Float[Tensor, "head d_model d_head"]
    W_K: Float[Tensor, "head d_model d_head"]
    W_V: Float[Tensor, "head d_model d_head"]
    W_O: Float[Tensor, "head d_head d_model"]
    b_Q: Float[Tensor, "head d_head"] | None
    b_K: Float[Tensor, "head d_head"] | None
    b_V: Float[Tensor, "head d_head"] | None
    b_O: Float[Tensor, " d_model"] | None

    def __init__(self, causal: bool, attention_rate: float) -> None:
        super().__init__()
        self.causal = causal
        self.attention_rate = attention_rate

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        q = self.hook_q(plus(torch.einsum("bpm,hmd->bphd", x, self.W_Q), self.b_Q))  # [batch, pos, head, d_head]
        k = self.hook_k(plus(torch.einsum("bpm,hmd->bphd", x, self.W_K), self.b_K))
        v = self.hook_v(plus(torch.einsum("bpm,hmd->bphd", x, self.W_V), self.b_V))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])  # [batch, head, query, key]
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device)  # [query, key]
        if self.causal:
            seen = seen.tril()
        softmax = self.hook_attn_scores(scores.masked_fill(~seen, -torch.inf)).softmax(dim=-1)
        pattern = self.attention_rate * softmax + (1 - self.attention_rate) * seen.type_as(softmax)
        z = torch.einsum("bhqk,bkhd->bqhd", self.hook_pattern(pattern), v)  # [batch, pos, head, d_head]
        return plus(torch.einsum("bqhd,hdm->bqm", self.hook_z(z), self.W_O), self.b_O)  # [batch, pos, d_model]


class MLP(HookedPart):
    hook_pre: HookPoint
    hook_post: HookPoint
    W_in: Float[Tensor, "d_model d_mlp"]
    b_in: Float[Tensor, " d_mlp"] | None
    W_out: Float[Tensor, "d_mlp d_model"]
    b_out: Float[Tensor, " d_model"] | None

    def __init__(self, act_fn: str) -> None:
        super().__init__()
        self.act_fn = ACTIVATIONS[act_fn]

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        pre = self.hook_pre(plus(x @ self.W_in, self.b_in))
        post = self.hook_post(self.act_fn(pre))
        return plus(post @ self.W_out, self.b_out)


class Block(HookedPart):
    hook_resid_pre: HookPoint
    hook_attn_out: HookPoint
    hook_resid_mid: HookPoint
    hook_mlp_out: HookPoint
    hook_resid_post: HookPoint

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.attn = Attention(options.causal, options.attention_rate)
        self.mlp = MLP(options.act_fn)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        x = self.hook_resid_pre(x)
        x = self.hook_resid_mid(x + self.hook_attn_out(self.attn(x)))
        return self.hook_resid_post(x + self.hook_mlp_out(self.mlp(x)))


class Unembed(HookedPart):
    W_U: Float[Tensor, "d_model d_vocab_out"]
    b_U: Float[Tensor, " d_vocab_out"] | None

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_vocab_out"]:
        return plus(x @ self.W_U, self.b_U)


class HookedTransformer(HookedModel):
    """Called on tokens [batch, pos], it returns logits [batch, pos, d_vocab_out]."""

    def __init__(self, options: Options, weights: Weights) -> None:
        super().__init__()
        self.embed = Embed()
        self.pos_embed = PosEmbed()
        self.blocks = nn.ModuleList(Block(options) for _ in range(options.n_layers))
        self.unembed = Unembed()
        self.hook_embed = HookPoint()
        self.hook_pos_embed = HookPoint()
        register_weights(self, weights)
        self.setup()

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab_out"]:
        x = self.hook_embed(self.embed(tokens)) + self.hook_pos_embed(self.pos_embed(tokens))
        for block in self.blocks:
            x = block(x)
        return self.unembed(x)

    def _stacked(self, parameter: str) -> Float[Tensor, "layer ..."]:
        """Stack a parameter of every block, as TransformerLens's models show them."""
        return torch.stack([block.get_parameter(parameter) for block in self.blocks])

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        return self.embed.W_E

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        return self.pos_embed.W_pos

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab_out"]:
        return self.unembed.W_U

    @property
    def W_Q(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._stacked("attn.W_Q")

    @property
    def W_K(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._stacked("attn.W_K")

    @property
    def W_V(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._stacked("attn.W_V")

    @property
    def W_O(self) -> Float[Tensor, "layer head d_head d_model"]:
        return self._stacked("attn.W_O")

    @property
    def W_in(self) -> Float[Tensor, "layer d_model d_mlp"]:
        return self._stacked("mlp.W_in")

    @property
    def W_out(self) -> Float[Tensor, "layer d_mlp d_model"]:
        return self._stacked("mlp.W_out")
