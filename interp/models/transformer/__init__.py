"""A transformer read where it stands at its answer: embeddings, blocks of attention and MLP, an unembedding."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from interp.contracts.architecture import Architecture, Buffers, Weights
from interp.contracts.task import Task, TwoOperands
from interp.errors import NothingToSay
from interp.models.shared import attention
from interp.models.shared.activations import ACTIVATIONS, IN_WORDS, ActFn
from interp.models.shared.blocks import Blocks, Norm, Positions
from interp.models.shared.operations import affine, rows
from interp.models.shared.two_operand_tasks import task_of_two_operands
from interp.models.transformer.factorised import Factorised
from interp.models.transformer.first_layer import FirstLayer
from interp.models.transformer.fresh import Initialisation, fresh
from interp.models.transformer.last_mlp import LastMLP
from interp.models.transformer.passes import FactorisedPasses
from interp.models.transformer.row import OPERANDS, Row, row_of
from interp.summaries import number

if TYPE_CHECKING:
    from transformer_lens.hook_points import HookPoint

    from interp.models.shared.hooked_transformer import HookedTransformer


MAX_LAYERS = 100
KEPT = re.compile(r"blocks\.\d+\.(hook_(resid|attn_out|normalized)|mlp\.|ln\d\.hook_scale)|ln_final\.hook_scale")
"""The activations that are kept where the answer is read, of networks that the hooked module computes."""


def transformer(
    task: Task,
    n_layers: PositiveInt = 1,
    d_model: PositiveInt = 128,
    n_heads: PositiveInt = 4,
    d_mlp: PositiveInt = 512,
    act_fn: ActFn = "relu",
    causal: bool = True,
    attention_rate: float = 1.0,
    row: str = "a b =",
    shared_vocab: bool = True,
    biases: Literal["none", "hidden", "all"] = "hidden",
    d_vocab_out: PositiveInt | None = None,
    d_head: PositiveInt | None = None,
    gated: bool = False,
    tokens: dict[str, NonNegativeInt] | None = None,
    d_vocab: PositiveInt | None = None,
    read_at: NonNegativeInt | None = None,
    answers: NonNegativeInt = 0,
    norm: Literal["none", "layer", "rms"] = "none",
    norm_position: Literal["pre", "post"] = "pre",
    norm_parameters: Literal["none", "weight", "all"] = "all",
    final_norm: bool | None = None,
    norm_eps: PositiveFloat = 1e-5,
    positions: Positions = "learned",
    attention_scale: bool = True,
    residual: bool = True,
    embedding_scale: PositiveFloat = 1.0,
    initialisation: Initialisation = "normal",
) -> Transformer:
    """A transformer on a row of tokens that holds both operands; the default is that of Nanda et al. 2023.

    - act_fn: "gelu" is the exact one, x·Φ(x), "gelu_tanh" its approximation by tanh; leaky ReLU has the slope 0.01.
    - causal: a position sees itself and those before it; else every position sees every other.
    - attention_rate: α of Zhong et al. 2023. The pattern is α·softmax + (1 - α) on the positions seen; at 0
      all are seen alike, whatever the keys.
    - row: the words that are read, blanks between them: a and b once each, any other stands for itself: "a b",
      "a op b =", "eos a op b =".
    - shared_vocab: a and b have the same tokens; else b has tokens of its own.
    - biases: "hidden", those of the MLPs, b_in and b_out; "all", b_Q, b_K, b_V, b_O and b_U too; or "none".
    - d_vocab_out: the number of logits, the whole vocabulary where it is not given.
    - d_head: d_model / n_heads, rounded down, where it is not given.
    - gated: the neurons are act(x W_gate) * (x W_in), as in SwiGLU and GeGLU, with b_gate beside b_in.
    - tokens: the number of the token of residue 0 ("first", and "second" for b where it has tokens of its own) and of
      each other word, of "=" as "equals"; residues follow one another. Residues begin at 0, those of b at first + p,
      and the words follow in their order in the row, where nothing is given.
    - d_vocab: the size of the vocabulary, the largest token and one where it is not given.
    - read_at: the position, from 0, where the answer is read, the last where it is not given.
    - answers: the number of the logit of residue 0; those of the others follow.
    - norm: LayerNorm or RMSNorm, before ("pre", x + f(norm(x))) or after ("post", norm(x + f(x))) attention and MLP;
      norm_parameters: with w and b (an RMSNorm has w alone), with w, or without. final_norm: one more before the
      unembedding, where it is not given only with norms before. norm_eps is added to the variance.
    - positions: learned vectors; sines and cosines, as in Vaswani et al. 2017; rotary, which turns dimensions half a
      head apart, as in GPT-NeoX and Hugging Face's Llama; rotary_interleaved, which turns neighbours, as in GPT-J and
      Meta's own Llama; or none.
    - attention_scale: scores are divided by √d_head. residual: a sublayer's output is added to its input.
    - embedding_scale: what the token's embedding is multiplied by before positions are added, √d_model in Vaswani et
      al. 2017, section 3.4, and in PyTorch's tutorial on nn.Transformer.

    - initialisation: how fresh weights are drawn; w of norms is 1. normal: with standard deviation 1/√d_model (W_U:
      1/√d_vocab_out) and biases 0, as Nanda et al. torch: as PyTorch's modules, from which Power et al. began;
      embeddings with standard deviation 1, all else between ±1/√fan_in, fan_in the number of a layer's inputs.

    Raises ValueError where the task is not one of two operands, there are more than 100 layers, or
    the options contradict one another, with what to give instead.
    """
    if n_layers > MAX_LAYERS:
        raise ValueError(f"n_layers is {n_layers}; at most {MAX_LAYERS}")
    if d_head is None and d_model < n_heads:
        raise ValueError(f"d_model is {d_model}, which leaves {n_heads} heads no dimension each; try {n_heads} or more")
    d_head = d_model // n_heads if d_head is None else d_head
    if not 0 <= attention_rate <= 1:
        raise ValueError(f"attention_rate is {attention_rate}; it is the softmax's share of the pattern, from 0 to 1")
    if positions in ("rotary", "rotary_interleaved") and d_head % 2:
        raise ValueError(f"d_head is {d_head}, and rotary positions turn pairs of dimensions; try {d_head + 1}")
    if final_norm and norm == "none":
        raise ValueError("final_norm is true, and norm is 'none'; say which, layer or rms, or leave final_norm out")
    task = task_of_two_operands(task, "transformer")
    found, vocabulary = row_of(row, tokens, read_at, task.p, shared_vocab)
    if causal and found.read_at < max(found.places):
        raise ValueError(
            f"read_at is {found.read_at}, which sees nothing of the operand at position {max(found.places)}; read from "
            f"there on, or say causal: false"
        )
    if d_vocab is not None and d_vocab < vocabulary:
        raise ValueError(
            f"d_vocab is {d_vocab}, and the largest token is {vocabulary - 1}; give {vocabulary} or more, or none"
        )
    d_vocab = vocabulary if d_vocab is None else d_vocab
    d_vocab_out = d_vocab if d_vocab_out is None else d_vocab_out
    if d_vocab_out < answers + task.p:
        beginning = f" from {answers} on" if answers else ""
        raise ValueError(
            f"d_vocab_out is {d_vocab_out}, too few for {task.p} answers{beginning}; give {answers + task.p} or more, "
            "or none"
        )
    final = norm_position == "pre" if final_norm is None else final_norm
    norms = None if norm == "none" else Norm(norm, norm_position, norm_parameters, final, norm_eps)
    return Transformer(
        task=task,
        blocks=Blocks(
            n_layers=n_layers,
            act_fn=act_fn,
            gated=gated,
            causal=causal,
            attention_rate=attention_rate,
            attention_scale=attention_scale,
            residual=residual,
            positions=positions,
            embedding_scale=embedding_scale,
            norm=norms,
        ),
        row=found,
        d_model=d_model,
        n_heads=n_heads,
        d_head=d_head,
        d_mlp=d_mlp,
        biases=biases,
        d_vocab=d_vocab,
        d_vocab_out=d_vocab_out,
        answers=answers,
        initialisation=initialisation,
    )


@dataclass(frozen=True)
class Transformer(Architecture):
    """Embeddings, blocks of attention and MLP on a residual stream, an unembedding.

    Its outputs begin with the logits of the residues 0…p-1, and the others follow in their order: what reads them need
    not know where in the vocabulary the answers lie. The hooked module has the logits as the network has them.

    It offers what `HasAttention` asks for.
    """

    task: TwoOperands
    blocks: Blocks
    row: Row
    d_model: int
    n_heads: int
    d_head: int
    d_mlp: int
    biases: Literal["none", "hidden", "all"]
    d_vocab: int
    d_vocab_out: int
    answers: int
    """The number of residue 0 among the logits of the hooked module."""
    initialisation: Initialisation

    @property
    def n_ctx(self) -> int:
        return len(self.row.words)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        d_model, d_mlp = self.d_model, self.d_mlp
        per_head = (self.n_heads, d_model, self.d_head)
        norm = dict.fromkeys(self.blocks.norm.names, (d_model,)) if self.blocks.norm else {}
        block = {
            **{f"ln1.{name}": shape for name, shape in norm.items()},
            "attn.W_Q": per_head,
            "attn.W_K": per_head,
            "attn.W_V": per_head,
            "attn.W_O": (self.n_heads, self.d_head, d_model),
            "attn.b_Q": (self.n_heads, self.d_head),
            "attn.b_K": (self.n_heads, self.d_head),
            "attn.b_V": (self.n_heads, self.d_head),
            "attn.b_O": (d_model,),
            **{f"ln2.{name}": shape for name, shape in norm.items()},
            **({"mlp.W_gate": (d_model, d_mlp), "mlp.b_gate": (d_mlp,)} if self.blocks.gated else {}),
            "mlp.W_in": (d_model, d_mlp),
            "mlp.b_in": (d_mlp,),
            "mlp.W_out": (d_mlp, d_model),
            "mlp.b_out": (d_model,),
        }
        n_layers, final = self.blocks.n_layers, self.blocks.norm is not None and self.blocks.norm.final
        everything = {
            "embed.W_E": (self.d_vocab, d_model),
            **({"pos_embed.W_pos": (self.n_ctx, d_model)} if self.blocks.positions == "learned" else {}),
            **{f"blocks.{layer}.{name}": shape for layer in range(n_layers) for name, shape in block.items()},
            **({f"ln_final.{name}": shape for name, shape in norm.items()} if final else {}),
            "unembed.W_U": (d_model, self.d_vocab_out),
            "unembed.b_U": (self.d_vocab_out,),
        }
        absent = {"none": (".b_",), "hidden": ("attn.b_", "unembed.b_"), "all": ()}[self.biases]
        return {name: shape for name, shape in everything.items() if not any(part in name for part in absent)}

    @property
    def description(self) -> str:
        blocks, words = self.blocks, self.row.words
        sizes = [
            "1 layer" if blocks.n_layers == 1 else f"{blocks.n_layers} layers",
            "1 head" if self.n_heads == 1 else f"{self.n_heads} heads",
            f"d_model {self.d_model}",
            *([f"d_head {self.d_head}"] if self.d_head != self.d_model // self.n_heads else []),
            f"d_mlp {self.d_mlp}",
        ]
        remarks = {
            IN_WORDS.get(blocks.act_fn, ""): blocks.act_fn != "relu",
            "gated": blocks.gated,
            self._norm_in_words: blocks.norm is not None,
            f"{blocks.positions} positions" if blocks.positions != "none" else "no positions": blocks.positions
            != "learned",
            f"embeddings times {number(blocks.embedding_scale, 4)}": blocks.embedding_scale != 1,
            "no residual stream": not blocks.residual,
            "scores not divided by √d_head": not blocks.attention_scale,
            "not causal": not blocks.causal,
            f"attention rate {number(blocks.attention_rate, 3)}": blocks.attention_rate != 1,
            "no equals sign": words == OPERANDS,
            f"row {' '.join(words)}": words not in (OPERANDS, (*OPERANDS, "=")),
            f"read at position {self.row.read_at}": self.row.read_at != len(words) - 1,
            "two vocabularies": self.row.first != self.row.second,
            f"residues from token {self.row.first} on": self.row.first != 0,
            "no biases": self.biases == "none",
            "biases in attention and unembedding too": self.biases == "all",
            f"{self.d_vocab_out} logits": self.d_vocab_out != self.d_vocab,
            f"answers from logit {self.answers} on": self.answers != 0,
        }
        return ", ".join(sizes + [remark for remark, holds in remarks.items() if holds])

    @property
    def _norm_in_words(self) -> str:
        if self.blocks.norm is None:
            return ""
        norm = self.blocks.norm
        kind = {"layer": "LayerNorm", "rms": "RMSNorm"}[norm.kind]
        without = {"none": " without parameters", "weight": " without biases", "all": ""}[norm.parameters]
        place = {"pre": "before", "post": "after"}[norm.position]
        final = {
            ("pre", True): "",
            ("pre", False): ", none before the unembedding",
            ("post", True): " and before the unembedding",
            ("post", False): "",
        }[norm.position, norm.final]
        return (
            f"{kind}{without if norm.kind == 'layer' or norm.parameters == 'none' else ''} {place} each sublayer{final}"
        )

    @property
    def neurons(self) -> str:
        return f"{self._last_mlp.block}mlp.hook_post"

    def initial(self, seed: int) -> dict[str, Tensor]:
        return fresh(self.initialisation, self.shapes, seed)

    @property
    def _first_layer(self) -> FirstLayer:
        return FirstLayer(self.row, self.blocks, self.task.p)

    @property
    def _last_mlp(self) -> LastMLP:
        return LastMLP(self.blocks)

    @property
    def _factorised(self) -> Factorised:
        return Factorised(self._first_layer, self.n_heads)

    def tokens(self, inputs: Int[Tensor, "pair 2"]) -> Int[Tensor, "pair pos"]:
        """Each pair as the row's tokens."""
        return self.row.tokens(inputs)

    def from_module(self, outputs: Float[Tensor, "pair pos d_vocab_out"]) -> Float[Tensor, "pair d_vocab_out"]:
        return self._answers_first(outputs[:, self.row.read_at])

    def _answers_first(self, outputs: Float[Tensor, "row d_vocab_out"]) -> Float[Tensor, "row d_vocab_out"]:
        """The logits, or what reaches them, with that of residue 0 in the first column."""
        return outputs.roll(-self.answers, dims=-1) if self.answers else outputs

    def operands(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        a, b = (pairs + torch.tensor([self.row.first, self.row.second], device=pairs.device)).unbind(1)
        W_E = weights["embed.W_E"]
        return self.blocks.embedded(torch.stack([rows(W_E, a), rows(W_E, b)], dim=1))  # [pair, operand, d_model]

    def logits_of_operands(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair d_vocab_out"]:
        """Run the hooked module on any tokens, and let a hook put these vectors where a and b were embedded."""

        def given(embedded: Float[Tensor, "pair pos d_model"], hook: HookPoint) -> Float[Tensor, "pair pos d_model"]:  # noqa: ARG001
            columns = list(embedded.unbind(1))
            for operand, place in enumerate(self.row.places):
                columns[place] = operands[:, operand]
            return torch.stack(columns, dim=1)

        anything = torch.zeros(len(operands), 2, dtype=torch.long, device=operands.device)
        with self._module.hooks(fwd_hooks=[("hook_embed", given)]):
            logits = torch.func.functional_call(self._module, dict(weights), (self.tokens(anything),))
        return self.from_module(logits)

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        return weights["embed.W_E"][self.row.first : self.row.first + self.task.p]

    def activations(self, weights: Weights, inputs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        """Compute what depends on one operand alone once a residue, where that can be; else run the module."""
        if self._factorised.can:
            found = self._factorised.activations(weights, inputs)
            return found | {"logits": self._answers_first(found["logits"])}
        activations: dict[str, Tensor] = {}

        def keep(value: Tensor, hook: HookPoint) -> None:
            activations[str(hook.name)] = value[:, self.row.read_at]

        read: list[Any] = [(name, keep) for name in self._module.hook_names if KEPT.match(name)]
        with self._module.hooks(fwd_hooks=read):
            logits = torch.func.functional_call(self._module, dict(weights), (self.tokens(inputs),))
        return activations | {"logits": self.from_module(logits)}

    @functools.cached_property
    def _module(self) -> HookedTransformer:
        """The hooked module without weights, to be called with some."""
        return _without_weights(self.blocks, tuple(self.shapes.items()))

    def outputs(self, weights: Weights, inputs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair d_vocab_out"]:
        if self._factorised.can:
            return self._answers_first(self._factorised.outputs(weights, inputs))
        return self.from_module(torch.func.functional_call(self._module, dict(weights), (self.tokens(inputs),)))

    def passes(self, weights: Weights, gradients: Weights, buffers: Buffers) -> FactorisedPasses | None:
        """Write the gradient by hand, where that can be: `WritesGradients` of the contract."""
        if not self._factorised.can_tables or self.answers:
            return None
        return FactorisedPasses(self._factorised, weights, gradients, buffers)

    def attention_scores(self, weights: Weights) -> Float[Tensor, "a b head pos"]:
        return self._first_layer.scores(weights)

    def attention_pattern(self, scores: Float[Tensor, "... pos"]) -> Float[Tensor, "... pos"]:
        return attention.mixed(scores.softmax(dim=-1), self.blocks.attention_rate)

    def qk_circuit(self, weights: Weights) -> Float[Tensor, "a b head"]:
        return self._first_layer.qk_circuit(weights)

    def ov_circuit(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, "operand head p neuron"]:
        return self._first_layer.ov_circuit(weights, activations)

    def ov_factors(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, " site"] | None:
        return self._first_layer.ov_factors(weights, activations)

    @property
    def operand_positions(self) -> tuple[int, int]:
        return self.row.places

    def neuron_inputs(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, "operand p neuron"] | None:
        return self._last_mlp.neuron_inputs(weights, self._first_layer.operand_embeddings(weights), activations)

    def neuron_logits(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, "neuron p"]:
        return self.readout(weights, activations)[:, : self.task.p]

    def residue_tables(self, weights: Weights) -> dict[str, Float[Tensor, "table p d"]]:
        operands = self._first_layer.operand_rows(weights)
        answers = weights["unembed.W_U"].T[self.answers : self.answers + self.task.p]
        tables = 1 if self.row.first == self.row.second else 2
        return {"embed.W_E": operands[:tables], "unembed.W_U": answers[None]}

    @property
    def one_query(self) -> bool:
        return self.row.read_word not in OPERANDS

    def with_embeddings(
        self, weights: Weights, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
    ) -> dict[str, Tensor]:
        W_E, p = weights["embed.W_E"].clone(), self.task.p
        for first in {self.row.first, self.row.second}:
            W_E[first : first + p] = change(W_E[first : first + p])
        return {**weights, "embed.W_E": W_E}

    def resid_mid(self, activations: Mapping[str, Float[Tensor, "pair ..."]]) -> Float[Tensor, "pair d_model"]:
        return activations[f"{self._last_mlp.block}hook_resid_mid"]

    def attn_out(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, "pair d_model"]:
        block = self._last_mlp.block
        if f"{block}hook_attn_out" in activations:
            return activations[f"{block}hook_attn_out"]
        z = activations[f"{block}attn.hook_z"].flatten(1)  # [pair, head * d_head]
        return affine(z, weights[f"{block}attn.W_O"].flatten(0, 1), weights.get(f"{block}attn.b_O"))

    def outputs_from_resid_mid(
        self, weights: Weights, resid_mid: Float[Tensor, "pair d_model"]
    ) -> Float[Tensor, "pair d_vocab_out"]:
        return self._answers_first(self._last_mlp.outputs_from_resid_mid(weights, resid_mid))

    def activated(
        self,
        weights: Weights,  # noqa: ARG002 (an activation has none)
        pre: Float[Tensor, "#pair neuron"],
    ) -> Float[Tensor, "#pair neuron"]:
        if self.blocks.gated:
            raise NothingToSay("the neurons are gated, so that each has two inputs")
        return ACTIVATIONS[self.blocks.act_fn](pre)

    def outputs_from_neurons(
        self,
        weights: Weights,
        post: Float[Tensor, "#pair neuron"],
        activations: Mapping[str, Float[Tensor, "pair ..."]],
    ) -> Float[Tensor, "#pair d_vocab_out"]:
        return self._answers_first(self._last_mlp.outputs_from_neurons(weights, post, self.resid_mid(activations)))

    def readout(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, "neuron d_vocab_out"]:
        return self._answers_first(self._last_mlp.readout(weights, activations))

    def readout_factor(self, activations: Mapping[str, Float[Tensor, "pair ..."]]) -> Float[Tensor, ""] | None:
        return self._last_mlp.readout_factor(activations)

    def hooked(self, weights: Weights) -> HookedTransformer:
        from interp.models.shared.hooked_transformer import HookedTransformer

        return HookedTransformer(self.blocks, weights)


@functools.lru_cache(maxsize=64)
def _without_weights(blocks: Blocks, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> HookedTransformer:
    """The hooked module of these shapes: many an architecture that is tried on a file has the same."""
    from interp.models.shared.hooked_transformer import HookedTransformer

    return HookedTransformer(blocks, {name: torch.empty(shape, device="meta") for name, shape in shapes})
