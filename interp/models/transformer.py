"""A decoder-only transformer without LayerNorm, read at its last token."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from interp.contracts.architecture import Architecture, Weights
from interp.contracts.task import Task, TwoOperands
from interp.models.shared import attention
from interp.models.shared.activations import ACTIVATIONS
from interp.models.shared.add_relu import AddReLU
from interp.models.shared.operations import affine, plus, rows
from interp.models.shared.two_operand_tasks import task_of_two_operands

if TYPE_CHECKING:
    from transformer_lens.hook_points import HookPoint

    from interp.models.shared.hooked_transformer import HookedTransformer


MAX_LAYERS = 100


def transformer(
    task: Task,
    n_layers: PositiveInt = 1,
    d_model: PositiveInt = 128,
    n_heads: PositiveInt = 4,
    d_mlp: PositiveInt = 512,
    act_fn: Literal["relu", "gelu"] = "relu",
    causal: bool = True,
    attention_rate: float = 1.0,
    equals_sign: bool = True,
    shared_vocab: bool = True,
    biases: Literal["none", "hidden", "all"] = "hidden",
    d_vocab_out: PositiveInt | None = None,
) -> Transformer:
    """A transformer on the tokens [a, b, =], without LayerNorm; the default is that of Nanda et al. 2023.

    - causal: a position sees itself and those before it; else every position sees every other.
    - attention_rate: α of Zhong et al. 2023. The pattern is α·softmax + (1 - α) on the positions seen; at 0
      all are seen alike, whatever the keys.
    - equals_sign: else the tokens are [a, b], and the answer is read at b.
    - shared_vocab: a and b have the same tokens 0…p-1; else b has tokens of its own, p…2p-1. The last token
      of the vocabulary is "=", where there is one.
    - biases: "hidden", those of the MLPs, b_in and b_out; "all", b_Q, b_K, b_V, b_O and b_U too; or "none".
    - d_vocab_out: the number of logits, the whole vocabulary where it is not given.

    d_head is d_model / n_heads, rounded down. "gelu" is the exact one, x·Φ(x). Fresh weights are those of Nanda et
    al.: normal with standard deviation 1/√d_model (W_U: 1/√d_vocab_out), biases 0.
    Raises ValueError where the task is not one of two operands, d_model is less than n_heads, attention_rate not in
    0…1, d_vocab_out less than p, or there are more than 100 layers.
    """
    if n_layers > MAX_LAYERS:
        raise ValueError(f"n_layers is {n_layers}; at most {MAX_LAYERS}")
    if d_model < n_heads:
        raise ValueError(f"d_model is {d_model}, which leaves {n_heads} heads no dimension each; try {n_heads} or more")
    if not 0 <= attention_rate <= 1:
        raise ValueError(f"attention_rate is {attention_rate}; it is the softmax's share of the pattern, from 0 to 1")
    task = task_of_two_operands(task, "transformer")
    d_vocab = task.p * (1 if shared_vocab else 2) + (1 if equals_sign else 0)
    d_vocab_out = d_vocab if d_vocab_out is None else d_vocab_out
    if d_vocab_out < task.p:
        raise ValueError(f"d_vocab_out is {d_vocab_out}, too few for {task.p} answers; give {task.p} or more, or none")
    return Transformer(
        task=task,
        n_layers=n_layers,
        d_model=d_model,
        n_heads=n_heads,
        d_mlp=d_mlp,
        act_fn=act_fn,
        causal=causal,
        attention_rate=attention_rate,
        equals_sign=equals_sign,
        shared_vocab=shared_vocab,
        biases=biases,
        d_vocab=d_vocab,
        d_vocab_out=d_vocab_out,
    )


@dataclass(frozen=True)
class Transformer(Architecture):
    """Embeddings, blocks of attention and MLP on a residual stream, an unembedding.

    It offers what `HasAttention` asks for.
    """

    task: TwoOperands
    n_layers: int
    d_model: int
    n_heads: int
    d_mlp: int
    act_fn: Literal["relu", "gelu"]
    causal: bool
    attention_rate: float
    equals_sign: bool
    shared_vocab: bool
    biases: Literal["none", "hidden", "all"]
    d_vocab: int
    d_vocab_out: int

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def n_ctx(self) -> int:
        return 3 if self.equals_sign else 2

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        d_model, d_mlp = self.d_model, self.d_mlp
        per_head = (self.n_heads, d_model, self.d_head)
        block = {
            "attn.W_Q": per_head,
            "attn.W_K": per_head,
            "attn.W_V": per_head,
            "attn.W_O": (self.n_heads, self.d_head, d_model),
            "attn.b_Q": (self.n_heads, self.d_head),
            "attn.b_K": (self.n_heads, self.d_head),
            "attn.b_V": (self.n_heads, self.d_head),
            "attn.b_O": (d_model,),
            "mlp.W_in": (d_model, d_mlp),
            "mlp.b_in": (d_mlp,),
            "mlp.W_out": (d_mlp, d_model),
            "mlp.b_out": (d_model,),
        }
        everything = {
            "embed.W_E": (self.d_vocab, d_model),
            "pos_embed.W_pos": (self.n_ctx, d_model),
            **{f"blocks.{layer}.{name}": shape for layer in range(self.n_layers) for name, shape in block.items()},
            "unembed.W_U": (d_model, self.d_vocab_out),
            "unembed.b_U": (self.d_vocab_out,),
        }
        absent = {"none": (".b_",), "hidden": ("attn.b_", "unembed.b_"), "all": ()}[self.biases]
        return {name: shape for name, shape in everything.items() if not any(part in name for part in absent)}

    @property
    def description(self) -> str:
        remarks = {
            "GeLU": self.act_fn == "gelu",
            "not causal": not self.causal,
            f"attention rate {self.attention_rate:.3g}": self.attention_rate != 1,
            "no equals sign": not self.equals_sign,
            "two vocabularies": not self.shared_vocab,
            "no biases": self.biases == "none",
            "biases in attention and unembedding too": self.biases == "all",
            f"{self.d_vocab_out} logits": self.d_vocab_out != self.d_vocab,
        }
        sizes = [
            "1 layer" if self.n_layers == 1 else f"{self.n_layers} layers",
            "1 head" if self.n_heads == 1 else f"{self.n_heads} heads",
            f"d_model {self.d_model}",
            f"d_mlp {self.d_mlp}",
        ]
        return ", ".join(sizes + [remark for remark, holds in remarks.items() if holds])

    @property
    def neurons(self) -> str:
        return f"blocks.{self.n_layers - 1}.mlp.hook_post"

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)

        def draw(name: str, shape: tuple[int, ...]) -> Tensor:
            if ".b_" in name:
                return torch.zeros(shape)
            fan = self.d_vocab_out if name == "unembed.W_U" else self.d_model
            return torch.randn(shape, generator=generator) / math.sqrt(fan)

        return {name: draw(name, shape) for name, shape in self.shapes.items()}

    def tokens(self, inputs: Int[Tensor, "pair 2"]) -> Int[Tensor, "pair pos"]:
        """Each pair as tokens [a, b, =], or [a, b]; those of b start at p where it has tokens of its own."""
        a, b = inputs.unbind(1)
        columns = [a, b + self._first_token_of_b]
        if self.equals_sign:
            columns.append(torch.full_like(a, self.d_vocab - 1))
        return torch.stack(columns, dim=1)

    @property
    def _first_token_of_b(self) -> int:
        return 0 if self.shared_vocab else self.task.p

    def operands(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        a, b = self.tokens(pairs)[:, :2].unbind(1)
        return torch.stack([rows(weights["embed.W_E"], a), rows(weights["embed.W_E"], b)], dim=1)  # [pair, operand, …]

    def logits_of_operands(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair d_vocab_out"]:
        """Run the hooked module on any tokens, and let a hook put these vectors where a and b were embedded."""

        def given(embedded: Float[Tensor, "pair pos d_model"], hook: HookPoint) -> Float[Tensor, "pair pos d_model"]:  # noqa: ARG001
            return torch.cat([operands, embedded[:, 2:]], dim=1)

        anything = torch.zeros(len(operands), 2, dtype=torch.long, device=operands.device)
        with self._module.hooks(fwd_hooks=[("hook_embed", given)]):
            logits = torch.func.functional_call(self._module, dict(weights), (self.tokens(anything),))
        return logits[:, -1]

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        return weights["embed.W_E"][: self.task.p]

    def activations(self, weights: Weights, inputs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        """Compute what depends on one operand alone once a residue, where there is one layer; else run the module."""
        if self.n_layers == 1:
            return self._factorised(weights, inputs)
        activations: dict[str, Tensor] = {}

        def keep(value: Tensor, hook: HookPoint) -> None:
            activations[str(hook.name)] = value[:, -1]

        read: list[Any] = [(name, keep) for name in self._module.hook_names if "hook_resid" in name or ".mlp." in name]
        with self._module.hooks(fwd_hooks=read):
            logits = torch.func.functional_call(self._module, dict(weights), (self.tokens(inputs),))
        return activations | {"logits": logits[:, -1]}

    @functools.cached_property
    def _module(self) -> HookedTransformer:
        """The hooked module with weights of no meaning, to be called with others in their place."""
        return self.hooked({name: torch.empty(shape) for name, shape in self.shapes.items()})

    def outputs(self, weights: Weights, inputs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair d_vocab_out"]:
        """The logits alone, for training: those of `activations` up to rounding, in the fewest operations.

        Only the neurons stand between z and the logits, so the matrices on either side of them are multiplied
        first: z reaches the neurons by W_O·W_in, the logits by W_O·W_U, and the neurons the logits by W_out·W_U.
        With ReLU it is differentiable once; `activations` are, any number of times.
        """
        if self.n_layers > 1:
            return super().outputs(weights, inputs)
        W_in, W_out, W_U = weights["blocks.0.mlp.W_in"], weights["blocks.0.mlp.W_out"], weights["unembed.W_U"]
        b_in, b_out, b_U = (weights.get(name) for name in ("blocks.0.mlp.b_in", "blocks.0.mlp.b_out", "unembed.b_U"))
        W_O, b_O = weights["blocks.0.attn.W_O"].flatten(0, 1), weights.get("blocks.0.attn.b_O")  # [z, d_model]
        attended = self._attention(weights, inputs)
        resid_mid = plus(self._resid_pre(weights) + attended.z_constant @ W_O, b_O)  # but for what differs by pair in z
        bias = _per_pair(plus(resid_mid @ W_in, b_in), inputs)
        direct = torch.addmm(_per_pair(plus(plus(resid_mid, b_out) @ W_U, b_U), inputs), attended.z, W_O @ W_U)
        if self.act_fn == "relu":
            return AddReLU.apply(direct, attended.z, W_O @ W_in, torch.atleast_2d(bias), W_out @ W_U)
        pre = torch.addmm(bias, attended.z, W_O @ W_in)
        return direct.addmm(ACTIVATIONS[self.act_fn](pre), W_out @ W_U)

    def _factorised(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        """Every activation at the last position of one layer: the attention from tables over the operands."""
        attended = self._attention(weights, pairs)
        z = attended.z + attended.z_constant
        attn_out = self._written(weights, z, "blocks.0.")
        resid_mid = _per_pair(self._resid_pre(weights), pairs) + attn_out
        pre = affine(resid_mid, weights["blocks.0.mlp.W_in"], weights.get("blocks.0.mlp.b_in"))
        post = ACTIVATIONS[self.act_fn](pre)
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

    @staticmethod
    def _written(weights: Weights, z: Float[Tensor, "pair z"], block: str) -> Float[Tensor, "pair d_model"]:
        """What a block's attention adds to the residual stream, given z, its heads side by side."""
        return affine(z, weights[f"{block}attn.W_O"].flatten(0, 1), weights.get(f"{block}attn.b_O"))

    def _attention(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> attention.Attended:
        operands = self._operands(weights)
        if self.equals_sign:
            return attention.from_equals(operands, self._resid_pre(weights), weights, pairs, self.attention_rate)
        return attention.from_b(operands, weights, pairs, self.attention_rate)

    def attention_scores(self, weights: Weights) -> Float[Tensor, "a b head pos"]:
        return attention.scores(self._operands(weights), self._resid_pre(weights), weights, self.equals_sign)

    def attention_pattern(self, scores: Float[Tensor, "... pos"]) -> Float[Tensor, "... pos"]:
        return attention.mixed(scores.softmax(dim=-1), self.attention_rate)

    def operand_embeddings(self, weights: Weights) -> Float[Tensor, "operand p d_model"]:
        p, first, W_E = self.task.p, self._first_token_of_b, weights["embed.W_E"]
        return torch.stack([W_E[:p], W_E[first : first + p]])  # [operand, p, d_model]

    def _operands(self, weights: Weights) -> Float[Tensor, "operand p d_model"]:
        """The residual stream at a and at b before attention, for every residue."""
        return self.operand_embeddings(weights) + weights["pos_embed.W_pos"][:2, None]

    def _resid_pre(self, weights: Weights) -> Float[Tensor, " d_model"] | Float[Tensor, "p d_model"]:
        """The residual stream at the last position before attention: one vector at "=", a row for each residue at b."""
        if self.equals_sign:
            return weights["embed.W_E"][self.d_vocab - 1] + weights["pos_embed.W_pos"][2]
        return self._operands(weights)[1]

    def neuron_inputs(self, weights: Weights) -> Float[Tensor, "operand p neuron"] | None:
        return self.operand_embeddings(weights) @ weights[f"blocks.{self.n_layers - 1}.mlp.W_in"]

    def neuron_logits(self, weights: Weights) -> Float[Tensor, "neuron p"]:
        return self.readout(weights)[:, : self.task.p]

    @property
    def one_query(self) -> bool:
        return self.equals_sign

    def with_embeddings(
        self, weights: Weights, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
    ) -> dict[str, Tensor]:
        W_E, p = weights["embed.W_E"].clone(), self.task.p
        for first in {0, self._first_token_of_b}:
            W_E[first : first + p] = change(W_E[first : first + p])
        return {**weights, "embed.W_E": W_E}

    @property
    def _last_block(self) -> str:
        return f"blocks.{self.n_layers - 1}."

    def resid_mid(self, activations: Mapping[str, Float[Tensor, "pair ..."]]) -> Float[Tensor, "pair d_model"]:
        return activations[f"{self._last_block}hook_resid_mid"]

    def attn_out(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, "pair d_model"]:
        block = self._last_block
        if f"{block}hook_resid_pre" in activations:
            return activations[f"{block}hook_resid_mid"] - activations[f"{block}hook_resid_pre"]
        return self._written(weights, activations[f"{block}attn.hook_z"].flatten(1), block)  # z, [pair, head * d_head]

    def outputs_from_resid_mid(
        self, weights: Weights, resid_mid: Float[Tensor, "pair d_model"]
    ) -> Float[Tensor, "pair d_vocab_out"]:
        mlp = f"{self._last_block}mlp."
        pre = affine(resid_mid, weights[f"{mlp}W_in"], weights.get(f"{mlp}b_in"))
        return self._unembedded(weights, ACTIVATIONS[self.act_fn](pre), resid_mid)

    def outputs_from_neurons(
        self,
        weights: Weights,
        post: Float[Tensor, "#pair neuron"],
        activations: Mapping[str, Float[Tensor, "pair ..."]],
    ) -> Float[Tensor, "#pair d_vocab_out"]:
        return self._unembedded(weights, post, self.resid_mid(activations))

    def _unembedded(
        self, weights: Weights, post: Float[Tensor, "#pair neuron"], resid_mid: Float[Tensor, "pair d_model"]
    ) -> Float[Tensor, "#pair d_vocab_out"]:
        """The logits from the last MLP's neurons and the residual stream beside them."""
        mlp = f"{self._last_block}mlp."
        x = resid_mid + affine(post, weights[f"{mlp}W_out"], weights.get(f"{mlp}b_out"))
        return affine(x, weights["unembed.W_U"], weights.get("unembed.b_U"))

    def readout(self, weights: Weights) -> Float[Tensor, "neuron d_vocab_out"]:
        return weights[f"{self._last_block}mlp.W_out"] @ weights["unembed.W_U"]

    def hooked(self, weights: Weights) -> HookedTransformer:
        from interp.models.shared.hooked_transformer import HookedTransformer, Options

        options = Options(self.n_layers, self.act_fn, self.causal, self.attention_rate)
        return HookedTransformer(options, weights)


def _per_pair(x: Float[Tensor, " n"] | Float[Tensor, "p n"], pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "..."]:
    """Turn a table over b into a row for each pair; leave one vector, the same for all pairs, as it is."""
    return x if x.ndim == 1 else rows(x, pairs[:, 1])
