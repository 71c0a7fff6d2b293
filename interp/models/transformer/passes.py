"""The passes of one layer that is read at "=", in memory that is used again.

1. What depends on the weights alone, or on one residue, is small: tables of scores and values, and the products of the
   matrices on either side of the neurons. It is computed and differentiated by torch.
2. What depends on the pair is large and is written by hand, some pairs at a time: from the tables the pattern and z,
   from z neurons and logits; and back.

With s the scores of a and b against that of "=", which is 0, the pattern is P = softmax(s, 0), and

    z = P_a V_a + P_b V_b,    logits = z M + c + relu(z M' + c') W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Buffers, Weights
from interp.maths.matrix_products import affine_product, product, product_plus
from interp.models.transformer.factorised import Factorised, PairTables

PAIRS_AT_ONCE = 960
"""[pair, neuron] arrays of all pairs outgrow a processor's caches; of so many they nearly fit."""


class FactorisedPasses:
    """Forward and backward pass of a network that `Factorised` can compute: `Passes` of the contract."""

    def __init__(self, network: Factorised, weights: Weights, gradients: Weights, buffers: Buffers) -> None:
        self._network, self._gradients, self._buffers = network, gradients, buffers
        self._leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        for name, leaf in self._leaves.items():
            leaf.grad = gradients[name]
        self._room: _Room | None = None

    def outputs(self, inputs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair d_vocab_out"]:
        with torch.enable_grad():
            tables = self._network.tables(self._leaves)
        self._tables = tables
        if self._room is None or self._room.inputs is not inputs:
            self._room = _Room.of(inputs, tables, self._buffers)
        room = self._room
        self._attend(room, tables)
        self._posts = []
        for rows in room.slices:
            z = room.z[rows]
            post = affine_product(z, tables.to_neurons.detach(), tables.neuron_bias.detach(), relu=True)
            direct = affine_product(z, tables.to_logits.detach(), tables.logit_bias.detach())
            room.logits[rows] = product_plus(post, tables.neurons_to_logits.detach(), direct)
            self._posts.append(post)
        return room.logits

    def _attend(self, room: _Room, tables: PairTables) -> None:
        """Write pattern and z of every pair."""
        scores, values = tables.scores.detach(), tables.values.detach().flatten(2)  # each [operand, p, head or z]
        for operand in range(2):
            torch.index_select(scores[operand], 0, room.pairs[operand], out=room.pattern[operand])
            torch.index_select(values[operand], 0, room.pairs[operand], out=room.values[operand])
        torch.amax(room.pattern, 0, out=room.largest).clamp_min_(0)
        room.pattern.sub_(room.largest).exp_()
        torch.sum(room.pattern, 0, out=room.total).add_(room.largest.neg_().exp_())  # and that of "=", whose score is 0
        room.pattern.div_(room.total)
        rate = self._network.attention_rate
        mixed = torch.mul(room.pattern, rate, out=room.mixed).add_(1 - rate)
        torch.mul(mixed[0][..., None], room.by_head(room.values[0]), out=room.by_head(room.z))
        torch.mul(mixed[1][..., None], room.by_head(room.values[1]), out=room.by_head(room.of_z))
        room.z.add_(room.of_z)

    def write_gradients(self, slope: Float[Tensor, "pair d_vocab_out"]) -> None:
        room, tables = self._room, self._tables
        assert room is not None
        W, to_neurons, to_logits = (
            one.detach() for one in (tables.neurons_to_logits, tables.to_neurons, tables.to_logits)
        )
        of = _Sums(W, to_neurons, to_logits)
        for rows, post in zip(room.slices, self._posts, strict=True):
            g, z = slope[rows], room.z[rows]
            of_pre = product(g, W.T)
            torch.ops.aten.threshold_backward.grad_input(of_pre, post, 0, grad_input=of_pre)
            g_T = g.T.contiguous()  # each product would make it so by itself
            of.neurons_to_logits += product(g_T, post)
            of.to_logits += product(g_T, z)
            of.to_neurons += product(z.T, of_pre)
            of.neuron_bias += of_pre.sum(0)
            room.of_z[rows] = product_plus(of_pre, to_neurons.T, product(g, to_logits.T))
        self._posts = []
        of_scores, of_values = self._back_through_attention(room)
        gradients = {
            "scores": of_scores,
            "values": of_values,
            "to_neurons": of.to_neurons,
            "neuron_bias": of.neuron_bias,
            "to_logits": of.to_logits.T,
            "logit_bias": slope.sum(0),
            "neurons_to_logits": of.neurons_to_logits.T,
        }
        for gradient in self._gradients.values():
            gradient.zero_()
        with torch.enable_grad():
            given = [(getattr(tables, name), gradient) for name, gradient in gradients.items()]
            torch.autograd.backward([one for one, _ in given], [gradient for _, gradient in given])

    def _back_through_attention(
        self, room: _Room
    ) -> tuple[Float[Tensor, "operand p head"], Float[Tensor, "operand p head d_head"]]:
        """What the tables of scores and of values get of `room.of_z`."""
        of_z, rate = room.by_head(room.of_z), self._network.attention_rate
        for operand in range(2):
            torch.mul(of_z, room.by_head(room.values[operand]), out=room.by_head(room.z_of_slope))
            torch.sum(room.by_head(room.z_of_slope), -1, out=room.of_pattern[operand])
            torch.mul(room.mixed[operand][..., None], of_z, out=room.by_head(room.values[operand]))
        room.of_pattern.mul_(room.pattern)
        torch.sum(room.of_pattern, 0, out=room.total)
        room.of_pattern.sub_(room.pattern.mul_(room.total)).mul_(rate)
        p = self._tables.scores.shape[1]
        back = torch.ops.aten.embedding_dense_backward
        of_scores = [back(one, at, p, -1, False) for one, at in zip(room.of_pattern, room.pairs, strict=True)]
        of_values = [back(one, at, p, -1, False) for one, at in zip(room.values, room.pairs, strict=True)]
        return torch.stack(of_scores), torch.stack(of_values).unflatten(2, self._tables.values.shape[2:])


class _Sums:
    """Gradients that are summed over slices of the pairs; those of what leads to the logits are turned round."""

    def __init__(self, W: Tensor, to_neurons: Tensor, to_logits: Tensor) -> None:
        self.neurons_to_logits, self.to_logits = W.new_zeros(W.T.shape), to_logits.new_zeros(to_logits.T.shape)
        self.to_neurons, self.neuron_bias = torch.zeros_like(to_neurons), to_neurons.new_zeros(to_neurons.shape[1])


@dataclass(frozen=True)
class _Room:
    """The memory of a pass over certain pairs, used again at every update that sees them."""

    inputs: Int[Tensor, "pair 2"]
    pairs: tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]
    slices: Sequence[slice]
    n_heads: int
    pattern: Float[Tensor, "operand pair head"]
    mixed: Float[Tensor, "operand pair head"]
    of_pattern: Float[Tensor, "operand pair head"]
    largest: Float[Tensor, "pair head"]
    total: Float[Tensor, "pair head"]
    values: Float[Tensor, "operand pair z"]
    z: Float[Tensor, "pair z"]
    of_z: Float[Tensor, "pair z"]
    z_of_slope: Float[Tensor, "pair z"]
    logits: Float[Tensor, "pair d_vocab_out"]

    @classmethod
    def of(cls, inputs: Int[Tensor, "pair 2"], tables: PairTables, buffers: Buffers) -> _Room:
        n, n_heads = len(inputs), tables.scores.shape[-1]
        width, n_logits = tables.to_logits.shape
        a, b = inputs.unbind(1)
        of_heads = {name: buffers(name, (2, n, n_heads)) for name in ("pattern", "mixed", "of_pattern")}
        of_pairs = {name: buffers(name, (n, n_heads)) for name in ("largest", "total")}
        of_z = {name: buffers(name, (n, width)) for name in ("z", "of_z", "z_of_slope")}
        return cls(
            inputs=inputs,
            pairs=(a.contiguous(), b.contiguous()),
            slices=[slice(start, start + PAIRS_AT_ONCE) for start in range(0, n, PAIRS_AT_ONCE)],
            n_heads=n_heads,
            values=buffers("values", (2, n, width)),
            logits=buffers("logits", (n, n_logits)),
            **of_heads,
            **of_pairs,
            **of_z,
        )

    def by_head(self, x: Float[Tensor, "pair z"]) -> Float[Tensor, "pair head d_head"]:
        return x.view(len(x), self.n_heads, -1)
