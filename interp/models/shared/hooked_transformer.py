"""The transformer as a hooked module: TransformerLens's names and shapes, one line per operation."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, HookedPart, HookPoint, register_weights
from interp.models.shared.activations import ACTIVATIONS
from interp.models.shared.blocks import Blocks, sinusoidal, times
from interp.models.shared.blocks import Norm as NormOptions
from interp.models.shared.operations import plus


class Embed(HookedPart):
    W_E: Float[Tensor, "d_vocab d_model"]

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        return self.W_E[tokens]


class PosEmbed(HookedPart):
    W_pos: Float[Tensor, "n_ctx d_model"]

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        return self.W_pos[: tokens.shape[1]].expand(len(tokens), -1, -1)


class Norm(HookedPart):
    """Its hooks are those of TransformerLens's bridge to norms: σ, and x/σ before w and b."""

    hook_scale: HookPoint
    hook_normalized: HookPoint
    w: Float[Tensor, " d_model"] | None
    b: Float[Tensor, " d_model"] | None

    def __init__(self, norm: NormOptions) -> None:
        super().__init__()
        self.norm = norm
        self.register_parameter("w", None)
        self.register_parameter("b", None)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        centred = self.norm.centred(x)
        normalized = self.hook_normalized(centred / self.hook_scale(self.norm.scale(centred)))
        return plus(times(normalized, self.w), self.b)


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

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.blocks = blocks
        if blocks.rotary:
            self.hook_rot_q, self.hook_rot_k = HookPoint(), HookPoint()

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        q = self.hook_q(plus(torch.einsum("bpm,hmd->bphd", x, self.W_Q), self.b_Q))  # [batch, pos, head, d_head]
        k = self.hook_k(plus(torch.einsum("bpm,hmd->bphd", x, self.W_K), self.b_K))  # [batch, pos, head, d_head]
        v = self.hook_v(plus(torch.einsum("bpm,hmd->bphd", x, self.W_V), self.b_V))  # [batch, pos, head, d_head]
        if self.blocks.rotary:
            pos = torch.arange(x.shape[1], device=x.device)
            q, k = self.hook_rot_q(self.blocks.turned(q, pos)), self.hook_rot_k(self.blocks.turned(k, pos))
        scale = self.blocks.score_scale(q.shape[-1])
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / scale  # [batch, head, query, key]
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device)  # [query, key]
        if self.blocks.causal:
            seen = seen.tril()
        softmax = self.hook_attn_scores(scores.masked_fill(~seen, -torch.inf)).softmax(dim=-1)
        pattern = self.blocks.attention_rate * softmax + (1 - self.blocks.attention_rate) * seen.type_as(softmax)
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

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        pre = self.hook_pre(plus(x @ self.W_in, self.b_in))
        post = self.hook_post(self.act_fn(pre))
        return plus(post @ self.W_out, self.b_out)


class GatedMLP(HookedPart):
    """SwiGLU, GeGLU and the like: as TransformerLens has it, hook_pre is what goes into the gate."""

    hook_pre: HookPoint
    hook_pre_linear: HookPoint
    hook_post: HookPoint
    W_gate: Float[Tensor, "d_model d_mlp"]
    b_gate: Float[Tensor, " d_mlp"] | None
    W_in: Float[Tensor, "d_model d_mlp"]
    b_in: Float[Tensor, " d_mlp"] | None
    W_out: Float[Tensor, "d_mlp d_model"]
    b_out: Float[Tensor, " d_model"] | None

    def __init__(self, act_fn: str) -> None:
        super().__init__()
        self.act_fn = ACTIVATIONS[act_fn]

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        pre = self.hook_pre(plus(x @ self.W_gate, self.b_gate))
        linear = self.hook_pre_linear(plus(x @ self.W_in, self.b_in))
        return plus(self.hook_post(self.act_fn(pre) * linear) @ self.W_out, self.b_out)


class Block(HookedPart):
    """Attention and an MLP, a norm before each, after each, or none.

    hook_resid_mid and hook_resid_post are what is added up; after a norm it is hook_normalized_resid_mid and
    hook_normalized_resid_post, as in TransformerLens's BERT.
    """

    hook_resid_pre: HookPoint
    hook_attn_out: HookPoint
    hook_resid_mid: HookPoint
    hook_mlp_out: HookPoint
    hook_resid_post: HookPoint

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.blocks = blocks
        norm = blocks.norm
        self.attn = Attention(blocks)
        self.mlp = (GatedMLP if blocks.gated else MLP)(blocks.act_fn)
        if norm:
            self.ln1, self.ln2 = Norm(norm), Norm(norm)
        if norm and norm.position == "post":
            self.hook_normalized_resid_mid, self.hook_normalized_resid_post = HookPoint(), HookPoint()

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        added, position = self.blocks.added, self.blocks.norm.position if self.blocks.norm else None
        x = self.hook_resid_pre(x)
        read = self.ln1(x) if position == "pre" else x
        x = self.hook_resid_mid(added(x, self.hook_attn_out(self.attn(read))))
        if position == "post":
            x = self.hook_normalized_resid_mid(self.ln1(x))
        read = self.ln2(x) if position == "pre" else x
        x = self.hook_resid_post(added(x, self.hook_mlp_out(self.mlp(read))))
        return self.hook_normalized_resid_post(self.ln2(x)) if position == "post" else x


class Unembed(HookedPart):
    W_U: Float[Tensor, "d_model d_vocab_out"]
    b_U: Float[Tensor, " d_vocab_out"] | None

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_vocab_out"]:
        return plus(x @ self.W_U, self.b_U)


class HookedTransformer(HookedModel):
    """Called on tokens [batch, pos], it returns logits [batch, pos, d_vocab_out]."""

    def __init__(self, blocks: Blocks, weights: Weights) -> None:
        super().__init__()
        self.positions, self.embedded = blocks.positions, blocks.embedded
        self.embed = Embed()
        self.hook_embed = HookPoint()
        if blocks.positions == "learned":
            self.pos_embed = PosEmbed()
        if blocks.positions in ("learned", "sinusoidal"):
            self.hook_pos_embed = HookPoint()
        self.blocks = nn.ModuleList(Block(blocks) for _ in range(blocks.n_layers))
        self.ln_final = Norm(blocks.norm) if blocks.norm and blocks.norm.final else nn.Identity()
        self.unembed = Unembed()
        register_weights(self, weights)
        self.setup()

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab_out"]:
        x = self.hook_embed(self.embedded(self.embed(tokens)))
        if self.positions == "learned":
            x = x + self.hook_pos_embed(self.pos_embed(tokens))
        elif self.positions == "sinusoidal":
            x = x + self.hook_pos_embed(sinusoidal(tokens.shape[1], like=x).expand(len(tokens), -1, -1))
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.ln_final(x))

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
