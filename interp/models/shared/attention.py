"""One layer's attention at the last position, for many pairs at once: from tables over the operands."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.models.shared.operations import plus, rows


@dataclass(frozen=True)
class Attended:
    """z, heads side by side, is the sum of a part that differs by pair and a part that does not."""

    pattern: Float[Tensor, "pair head pos"]
    z: Float[Tensor, "pair z"]
    z_constant: Float[Tensor, " z"]


def from_equals(
    operands: Float[Tensor, "operand p d_model"],
    equals: Float[Tensor, " d_model"],
    weights: Weights,
    pairs: Int[Tensor, "pair 2"],
    attention_rate: float,
) -> Attended:
    """What "=" sees, given the residual stream at a, at b and at "=".

    The query is one vector, so the scores and values of an operand are a table over the residues. Both are
    taken relative to those of "=": its score is then 0, and z = Σ_i pattern_i·v_= + Σ_i pattern_i·(v_i - v_=).
    """
    a, b = pairs.unbind(1)
    W_Q, W_K, W_V = (weights[f"blocks.0.attn.W_{letter}"] for letter in "QKV")
    n_heads, _, d_head = W_Q.shape
    relative = operands - equals
    query = _with_biases(torch.einsum("m,hmd->hd", equals, W_Q), weights) / math.sqrt(d_head)
    scores = relative @ torch.einsum("hmd,hd->mh", W_K, query)  # [operand, p, head]
    value_of = W_V.permute(1, 0, 2).flatten(1)  # [d_model, head * d_head]
    values = (relative @ value_of).unflatten(2, (n_heads, -1))  # [operand, p, head, d_head]
    at_a, at_b = rows(scores[0], a), rows(scores[1], b)  # [pair, head]
    pattern = mixed(torch.stack([at_a, at_b, torch.zeros_like(at_a)]).softmax(dim=0), attention_rate)
    z = pattern[0, ..., None] * rows(values[0], a) + pattern[1, ..., None] * rows(values[1], b)
    z_constant = _times_pattern_sum(plus(equals @ value_of, _b_V(weights)), attention_rate, n_ctx=3)
    return Attended(pattern.permute(1, 2, 0), z.flatten(1), z_constant)


def from_b(
    operands: Float[Tensor, "operand p d_model"],
    weights: Weights,
    pairs: Int[Tensor, "pair 2"],
    attention_rate: float,
) -> Attended:
    """What b sees, given the residual stream at a and at b.

    A query for each b: the score of a is a table over (a, b), taken relative to the score of b itself.
    """
    p, (a, b) = operands.shape[1], pairs.unbind(1)
    W_Q, W_K, W_V = (weights[f"blocks.0.attn.W_{letter}"] for letter in "QKV")
    query = _with_biases(torch.einsum("bm,hmd->bhd", operands[1], W_Q), weights) / math.sqrt(W_Q.shape[-1])
    keys = torch.einsum("opm,hmd->ophd", operands, W_K)
    values = torch.einsum("opm,hmd->ophd", operands, W_V)
    scores = torch.einsum("ahd,bhd->abh", keys[0], query) - torch.einsum("bhd,bhd->bh", keys[1], query)
    at_a = rows(scores.flatten(0, 1), a * p + b)  # [pair, head]
    pattern = mixed(torch.stack([at_a, torch.zeros_like(at_a)]).softmax(dim=0), attention_rate)
    z = pattern[0, ..., None] * rows(values[0], a) + pattern[1, ..., None] * rows(values[1], b)
    b_V = _b_V(weights)
    z_constant = z.new_zeros(W_Q.shape[0] * W_Q.shape[-1]) if b_V is None else b_V
    return Attended(pattern.permute(1, 2, 0), z.flatten(1), _times_pattern_sum(z_constant, attention_rate, n_ctx=2))


def scores(
    operands: Float[Tensor, "operand p d_model"],
    last: Float[Tensor, " d_model"] | Float[Tensor, "p d_model"],
    weights: Weights,
    equals_sign: bool,
) -> Float[Tensor, "a b head pos"]:
    """What the last position sees of each, before the softmax, given the residual stream at a and at b, and at the
    last position: "=", or b."""
    p = operands.shape[1]
    W_Q, W_K = (weights[f"blocks.0.attn.W_{letter}"] for letter in "QK")
    b_K = weights.get("blocks.0.attn.b_K")
    query = _with_biases(torch.einsum("...m,hmd->...hd", last, W_Q), weights).expand(p, -1, -1) / math.sqrt(
        W_Q.shape[-1]
    )
    keys = plus(torch.einsum("...m,hmd->...hd", operands, W_K), b_K)
    seen = [torch.einsum("ahd,bhd->abh", keys[0], query), torch.einsum("bhd,bhd->bh", keys[1], query).expand(p, -1, -1)]
    if equals_sign:
        of_equals = plus(torch.einsum("m,hmd->hd", last, W_K), b_K)
        seen.append(torch.einsum("hd,bhd->bh", of_equals, query).expand(p, -1, -1))
    return torch.stack(seen, dim=-1)


def _with_biases(query: Float[Tensor, "... head d_head"], weights: Weights) -> Float[Tensor, "... head d_head"]:
    """With b_Q. b_K raises the scores of all keys alike, which the softmax does not see: it has a part in
    the graph, with the gradient 0 that is its due, and none in the numbers."""
    b_Q, b_K = (weights.get(f"blocks.0.attn.b_{letter}") for letter in "QK")
    return plus(plus(query, b_Q), None if b_K is None else 0 * b_K)


def _b_V(weights: Weights) -> Float[Tensor, " z"] | None:
    b_V = weights.get("blocks.0.attn.b_V")
    return None if b_V is None else b_V.flatten()


def mixed(softmax: Float[Tensor, "..."], attention_rate: float) -> Float[Tensor, "..."]:
    """α·softmax + (1 - α), the pattern of Zhong et al. 2023."""
    return softmax if attention_rate == 1 else attention_rate * softmax + (1 - attention_rate)


def _times_pattern_sum(z: Float[Tensor, " z"], attention_rate: float, n_ctx: int) -> Float[Tensor, " z"]:
    """What every key's value holds alike is seen Σ_i pattern_i = α + n_ctx·(1 - α) times."""
    return z if attention_rate == 1 else z * (attention_rate + n_ctx * (1 - attention_rate))
