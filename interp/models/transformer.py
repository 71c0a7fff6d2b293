"""A decoder-only transformer without LayerNorm, read at its last token."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding

from interp.models._architecture import ACTIVATIONS, Architecture, Weights
from interp.tasks._task import Task

if TYPE_CHECKING:
    from transformer_lens.hook_points import HookPoint

    from interp.models._hooked_transformer import HookedTransformer


MAX_LAYERS = 100


def transformer(
    task: Task,
    n_layers: PositiveInt = 1,
    d_model: PositiveInt = 128,
    n_heads: PositiveInt = 4,
    d_mlp: PositiveInt = 512,
    act_fn: Literal["relu", "gelu"] = "relu",
) -> Transformer:
    """A causal transformer on the tokens [a, b, =], without LayerNorm, without biases in attention.

    The vocabulary is 0…p-1 and "=" (token p), in and out. Initialisation of Nanda et al. 2023: normal
    with standard deviation 1/√d_model (W_U: 1/√d_vocab), biases 0.
    Raises ValueError where d_model is not a multiple of n_heads, or there are more than 100 layers.
    """
    if n_layers > MAX_LAYERS:
        raise ValueError(f"n_layers is {n_layers}; at most {MAX_LAYERS}")
    if d_model % n_heads:
        raise ValueError(
            f"d_model is {d_model}, which {n_heads} heads do not divide; try {d_model // n_heads * n_heads}"
        )
    return Transformer(task, n_layers, d_model, n_heads, d_mlp, act_fn)


@dataclass(frozen=True)
class Transformer(Architecture):
    n_layers: int
    d_model: int
    n_heads: int
    d_mlp: int
    act_fn: Literal["relu", "gelu"]

    n_ctx = 3

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def d_vocab(self) -> int:
        return self.task.p + 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        d_model, d_mlp = self.d_model, self.d_mlp
        per_head = (self.n_heads, d_model, self.d_head)
        block = {
            "attn.W_Q": per_head,
            "attn.W_K": per_head,
            "attn.W_V": per_head,
            "attn.W_O": (self.n_heads, self.d_head, d_model),
            "mlp.W_in": (d_model, d_mlp),
            "mlp.b_in": (d_mlp,),
            "mlp.W_out": (d_mlp, d_model),
            "mlp.b_out": (d_model,),
        }
        return {
            "embed.W_E": (self.d_vocab, d_model),
            "pos_embed.W_pos": (self.n_ctx, d_model),
            **{f"blocks.{layer}.{name}": shape for layer in range(self.n_layers) for name, shape in block.items()},
            "unembed.W_U": (d_model, self.d_vocab),
        }

    @property
    def description(self) -> str:
        layers = "1 layer" if self.n_layers == 1 else f"{self.n_layers} layers"
        return f"{layers}, {self.n_heads} heads, d_model {self.d_model}, d_mlp {self.d_mlp}"

    @property
    def neurons(self) -> str:
        return f"blocks.{self.n_layers - 1}.mlp.hook_post"

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)

        def draw(name: str, shape: tuple[int, ...]) -> Tensor:
            if ".b_" in name:
                return torch.zeros(shape)
            fan = self.d_vocab if name == "unembed.W_U" else self.d_model
            return torch.randn(shape, generator=generator) / math.sqrt(fan)

        return {name: draw(name, shape) for name, shape in self.shapes.items()}

    def tokens(self, pairs: Int[Tensor, "pair 2"]) -> Int[Tensor, "pair pos"]:
        """[a, b, =] for each pair."""
        return torch.cat([pairs, pairs.new_full((len(pairs), 1), self.task.p)], dim=1)

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        return weights["embed.W_E"][: self.task.p]

    def last_position(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        if self.n_layers == 1:
            return self._factorised(weights, pairs)
        activations: dict[str, Tensor] = {}

        def keep(value: Tensor, hook: HookPoint) -> None:
            activations[str(hook.name)] = value[:, -1]

        read: list[Any] = [(name, keep) for name in self._module.hook_names if "hook_resid" in name or ".mlp." in name]
        with self._module.hooks(fwd_hooks=read):
            logits = torch.func.functional_call(self._module, dict(weights), (self.tokens(pairs),))
        return activations | {"logits": logits[:, -1]}

    @functools.cached_property
    def _module(self) -> HookedTransformer:
        return self.hooked({name: torch.empty(shape) for name, shape in self.shapes.items()})

    def logits(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair d_vocab"]:
        """The logits alone, for training: `last_position`'s up to rounding, in the fewest operations.

        Only the neurons stand between z and the logits, so the matrices on either side of them are multiplied
        first: z reaches the neurons by W_O·W_in, the logits by W_O·W_U, and the neurons the logits by W_out·W_U.
        With ReLU differentiable once; `last_position` any number of times.
        """
        if self.n_layers > 1:
            return super().logits(weights, pairs)
        W_in, b_in, W_out, b_out = (weights[f"blocks.0.mlp.{name}"] for name in ("W_in", "b_in", "W_out", "b_out"))
        W_O, W_U = weights["blocks.0.attn.W_O"].flatten(0, 1), weights["unembed.W_U"]
        _, z, z_equals = self._attention(weights, pairs)
        resid_mid = self._equals(weights) + z_equals @ W_O  # [d_model]: the part that is the same for every pair
        pre = torch.addmm(resid_mid @ W_in + b_in, z, W_O @ W_in)  # [pair, d_mlp]
        direct = torch.addmm((resid_mid + b_out) @ W_U, z, W_O @ W_U)  # [pair, d_vocab]
        if self.act_fn == "relu":
            return _AddReLU.apply(direct, pre, W_out @ W_U)
        return direct.addmm(ACTIVATIONS[self.act_fn](pre), W_out @ W_U)

    def _factorised(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        """Every activation at "=": attention from tables over the operands, and only this position's MLP."""
        pattern, z, z_equals = self._attention(weights, pairs)
        z = z + z_equals
        resid_mid = self._equals(weights) + z @ weights["blocks.0.attn.W_O"].flatten(0, 1)
        pre = torch.addmm(weights["blocks.0.mlp.b_in"], resid_mid, weights["blocks.0.mlp.W_in"])
        post = ACTIVATIONS[self.act_fn](pre)
        resid_post = resid_mid + torch.addmm(weights["blocks.0.mlp.b_out"], post, weights["blocks.0.mlp.W_out"])
        return {
            "blocks.0.attn.hook_pattern": pattern,
            "blocks.0.attn.hook_z": z.unflatten(1, (self.n_heads, -1)),
            "blocks.0.hook_resid_mid": resid_mid,
            "blocks.0.mlp.hook_pre": pre,
            "blocks.0.mlp.hook_post": post,
            "blocks.0.hook_resid_post": resid_post,
            "logits": resid_post @ weights["unembed.W_U"],
        }

    def _equals(self, weights: Weights) -> Float[Tensor, " d_model"]:
        """The residual stream at "=" before attention: the same for every pair."""
        return weights["embed.W_E"][self.task.p] + weights["pos_embed.W_pos"][2]

    def _attention(
        self, weights: Weights, pairs: Int[Tensor, "pair 2"]
    ) -> tuple[Float[Tensor, "pair head pos"], Float[Tensor, "pair z"], Float[Tensor, " z"]]:
        """The pattern from "=", and z, heads side by side, in two parts: what differs by pair, and what does not.

        The query is one vector, so the scores and values of an operand are a table over the residues. Both are
        taken relative to those of "=": its score is then 0, and z = v_= + Σ_i pattern_i·(v_i - v_=).
        """
        p, (a, b) = self.task.p, pairs.unbind(1)
        W_E, W_pos, equals = weights["embed.W_E"], weights["pos_embed.W_pos"], self._equals(weights)
        W_Q, W_K, W_V = (weights[f"blocks.0.attn.W_{letter}"] for letter in "QKV")
        relative = torch.stack([W_E[:p] + W_pos[0], W_E[:p] + W_pos[1]]) - equals  # [operand, p, d_model]
        query = torch.einsum("m,hmd->hd", equals, W_Q) / math.sqrt(self.d_head)
        scores = relative @ torch.einsum("hmd,hd->mh", W_K, query)  # [operand, p, head]
        value_of = W_V.permute(1, 0, 2).flatten(1)  # [d_model, head * d_head]
        values = (relative @ value_of).unflatten(2, (self.n_heads, -1))  # [operand, p, head, d_head]
        at_a, at_b = _rows(scores[0], a), _rows(scores[1], b)  # [pair, head]
        pattern = torch.stack([at_a, at_b, torch.zeros_like(at_a)]).softmax(dim=0)  # [pos, pair, head]
        z = pattern[0, ..., None] * _rows(values[0], a) + pattern[1, ..., None] * _rows(values[1], b)
        return pattern.permute(1, 2, 0), z.flatten(1), equals @ value_of

    def hooked(self, weights: Weights) -> HookedTransformer:
        from interp.models._hooked_transformer import HookedTransformer

        return HookedTransformer(self, weights)


def _rows(table: Float[Tensor, "p ..."], at: Int[Tensor, " pair"]) -> Float[Tensor, "pair ..."]:
    """`table[at]`, whose gradient is summed in a fixed order, quickly."""
    return embedding(at, table.flatten(1)).unflatten(1, table.shape[1:])


class _AddReLU(torch.autograd.Function):
    """direct + relu(pre) @ W, in the memory of `direct` and `pre`: the [pair, d_mlp] arrays outgrow the caches."""

    @staticmethod
    def forward(
        ctx: Any,
        direct: Float[Tensor, "pair logit"],
        pre: Float[Tensor, "pair neuron"],
        W: Float[Tensor, "neuron logit"],
    ) -> Float[Tensor, "pair logit"]:
        post = pre.relu_()
        ctx.mark_dirty(direct)
        ctx.save_for_backward(post, W)
        return direct.addmm_(post, W)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "pair logit"]) -> tuple[Tensor, Tensor, Tensor]:
        post, W = ctx.saved_tensors
        of_pre = gradient @ W.T
        torch.ops.aten.threshold_backward.grad_input(of_pre, post, 0, grad_input=of_pre)
        return gradient, of_pre, post.T @ gradient
