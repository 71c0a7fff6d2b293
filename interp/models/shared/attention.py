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
    """What the last position attends to, and z, heads side by side: the sum of `z` and `z_constant`."""

    pattern: Float[Tensor, "pair head pos"]
    z: Float[Tensor, "pair z"]
    """The part that differs from pair to pair."""
    z_constant: Float[Tensor, " z"]
    """The part that does not."""


def from_equals(
    operands: Float[Tensor, "operand p d_model"],
    equals: Float[Tensor, " d_model"],
    weights: Weights,
    pairs: Int[Tensor, "pair 2"],
    attention_rate: float,
) -> Attended:
    """Return what "=" attends to, given the residual stream at a, at b and at "=".

    The query is one vector, so the scores and values of an operand are a table over the residues. Both are
    taken relative to those of "=": its score is then 0, and z = Σ_i pattern_i·v_= + Σ_i pattern_i·(v_i - v_=).
    """
    a, b = pairs.unbind(1)
    scores, values, z_constant = tables_at_equals(operands, equals, weights, attention_rate)
    at_a, at_b = rows(scores[0], a), rows(scores[1], b)  # [pair, head]
    scores_of_pair = torch.stack([at_a, at_b, torch.zeros_like(at_a)])  # [pos, pair, head]
    pattern = mixed(scores_of_pair.softmax(dim=0), attention_rate)
    z = pattern[0, ..., None] * rows(values[0], a) + pattern[1, ..., None] * rows(values[1], b)  # [pair, head, d_head]
    return Attended(pattern.permute(1, 2, 0), z.flatten(1), z_constant)


def tables_at_equals(
    operands: Float[Tensor, "operand p d_model"],
    equals: Float[Tensor, " d_model"],
    weights: Weights,
    attention_rate: float,
) -> tuple[Float[Tensor, "operand p head"], Float[Tensor, "operand p head d_head"], Float[Tensor, " z"]]:
    """Return scores and values of each residue as a and as b, relative to those of "=", and the constant part of z."""
    W_Q, W_K, W_V = (weights[f"blocks.0.attn.W_{letter}"] for letter in "QKV")
    n_heads, _, d_head = W_Q.shape
    relative = operands - equals
    query = _with_biases(torch.einsum("m,hmd->hd", equals, W_Q), weights) / math.sqrt(d_head)  # [head, d_head]
    scores = relative @ torch.einsum("hmd,hd->mh", W_K, query)  # [operand, p, head]
    value_of = W_V.permute(1, 0, 2).flatten(1)  # [d_model, head * d_head]
    values = (relative @ value_of).unflatten(2, (n_heads, -1))  # [operand, p, head, d_head]
    z_constant = _times_pattern_sum(plus(equals @ value_of, _b_V(weights)), attention_rate, n_ctx=3)
    return scores, values, z_constant


def from_b(
    operands: Float[Tensor, "operand p d_model"],
    weights: Weights,
    pairs: Int[Tensor, "pair 2"],
    attention_rate: float,
) -> Attended:
    """Return what b attends to, given the residual stream at a and at b.

    There is a query for each b, so the score of a is a table over (a, b); it is taken relative to that of b itself.
    """
    p, (a, b) = operands.shape[1], pairs.unbind(1)
    W_Q, W_K, W_V = (weights[f"blocks.0.attn.W_{letter}"] for letter in "QKV")
    query = _with_biases(torch.einsum("bm,hmd->bhd", operands[1], W_Q), weights) / math.sqrt(W_Q.shape[-1])
    keys = torch.einsum("opm,hmd->ophd", operands, W_K)  # [operand, p, head, d_head]
    values = torch.einsum("opm,hmd->ophd", operands, W_V)  # [operand, p, head, d_head]
    # [a, b, head] and [b, head]
    of_a, of_b = torch.einsum("ahd,bhd->abh", keys[0], query), torch.einsum("bhd,bhd->bh", keys[1], query)
    scores = of_a - of_b  # [a, b, head]
    at_a = rows(scores.flatten(0, 1), a * p + b)  # [pair, head]
    pattern = mixed(torch.stack([at_a, torch.zeros_like(at_a)]).softmax(dim=0), attention_rate)  # [pos, pair, head]
    z = pattern[0, ..., None] * rows(values[0], a) + pattern[1, ..., None] * rows(values[1], b)  # [pair, head, d_head]
    b_V = _b_V(weights)
    z_constant = z.new_zeros(W_Q.shape[0] * W_Q.shape[-1]) if b_V is None else b_V
    return Attended(pattern.permute(1, 2, 0), z.flatten(1), _times_pattern_sum(z_constant, attention_rate, n_ctx=2))


def _with_biases(query: Float[Tensor, "... head d_head"], weights: Weights) -> Float[Tensor, "... head d_head"]:
    """Add b_Q to the query.

    b_K raises the scores of all keys alike, which the softmax does not see: it gets a part in the graph, with the
    gradient 0 that is its due, and none in the numbers.
    """
    b_Q, b_K = (weights.get(f"blocks.0.attn.b_{letter}") for letter in "QK")
    return plus(plus(query, b_Q), None if b_K is None else 0 * b_K)


def _b_V(weights: Weights) -> Float[Tensor, " z"] | None:
    """The values' biases, heads side by side; None where there are none."""
    b_V = weights.get("blocks.0.attn.b_V")
    return None if b_V is None else b_V.flatten()


def mixed(softmax: Float[Tensor, "..."], attention_rate: float) -> Float[Tensor, "..."]:
    """Return α·softmax + (1 - α), the pattern of Zhong et al. 2023."""
    return softmax if attention_rate == 1 else attention_rate * softmax + (1 - attention_rate)


def _times_pattern_sum(z: Float[Tensor, " z"], attention_rate: float, n_ctx: int) -> Float[Tensor, " z"]:
    """Multiply what every key's value holds alike by Σ_i pattern_i = α + n_ctx·(1 - α), how often it is seen."""
    return z if attention_rate == 1 else z * (attention_rate + n_ctx * (1 - attention_rate))
