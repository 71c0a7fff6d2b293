"""The passes of one hidden layer that sees the sum of what two operands give it, in memory that is used again.

1. What depends on the weights alone is small: what each residue gives the neurons, as a and as b, T_a and T_b, and what
   each neuron gives the logits, W. It is computed and differentiated by torch.
2. What depends on the pair is large and is written by hand, some pairs at a time: pre = T_a[a] + T_b[b],
   logits = act(pre) W; and back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Buffers, Weights
from interp.maths.matrix_products import product
from interp.models.shared.activations import ACTIVATIONS, ActFn

PAIRS_AT_ONCE = 960
"""[pair, neuron] arrays of all pairs outgrow a processor's caches; of so many they nearly fit."""

NARROW = 64
"""Neurons up to which a product with ones and zeros sums over a residue's pairs sooner than a loop over them, and
torch's own product of matrices is the quicker."""

Tables = tuple[Float[Tensor, "p neuron"], Float[Tensor, "p neuron"], Float[Tensor, "neuron output"]]
"""T_a, T_b and W; the first two may be one tensor."""

Gradients = tuple[Tensor, Tensor | None, Tensor]
"""What T_a, T_b and W get; where the first two are one tensor, it gets the first, and the second is None."""


class SumPasses:
    """Forward and backward pass of act(T_a[a] + T_b[b]) W: `Passes` of the contract."""

    def __init__(
        self,
        tables: Callable[[Weights], Tables],
        act_fn: ActFn,
        weights: Weights,
        gradients: Weights,
        buffers: Buffers,
    ) -> None:
        """`tables` computes them, differentiably."""
        self._tables_of, self._act_fn, self._act = tables, act_fn, ACTIVATIONS[act_fn]
        self._gradients, self._buffers = gradients, buffers
        self._leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        for name, leaf in self._leaves.items():
            leaf.grad = gradients[name]
        self._room: _Room | None = None

    def outputs(self, inputs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair output"]:
        with torch.enable_grad():
            self._tables = self._tables_of(self._leaves)
        T_a, T_b, W = (table.detach() for table in self._tables)
        if self._room is None or self._room.inputs is not inputs:
            self._room = _Room.of(inputs, self._tables, self._buffers, keeps_pre=self._act_fn != "relu")
        room = self._room
        for rows in room.slices:
            pre, post = room.pre[rows], room.post[rows]
            torch.index_select(T_a, 0, room.a[rows], out=pre)
            pre.add_(torch.index_select(T_b, 0, room.b[rows], out=room.of_neurons[: len(pre)]))
            self._activate(pre, post)
            if room.ones is None:
                room.logits[rows] = product(post, W)
            else:
                torch.mm(post, W, out=room.logits[rows])
        return room.logits

    def _activate(self, pre: Float[Tensor, "pair neuron"], post: Float[Tensor, "pair neuron"]) -> None:
        """Write act(pre), ReLU's in its own memory."""
        match self._act_fn:
            case "relu":
                pre.relu_()
            case "x^2":
                torch.mul(pre, pre, out=post)
            case _:
                post.copy_(self._act(pre))

    def write_gradients(self, slope: Float[Tensor, "pair output"]) -> None:
        room = self._room
        assert room is not None
        gradients = self._narrow(room, slope) if room.ones is not None else self._wide(room, slope)
        given = [one for one in zip(self._tables, gradients, strict=True) if one[1] is not None]
        for gradient in self._gradients.values():
            gradient.zero_()
        with torch.enable_grad():
            torch.autograd.backward([one for one, _ in given], [gradient for _, gradient in given])

    def _narrow(self, room: _Room, slope: Float[Tensor, "pair output"]) -> Gradients:
        """What the tables get, by few products."""
        assert room.ones is not None
        everything = slice(0, len(slope))
        W_T = self._tables[2].detach().T
        of_pre = self._of_pre(torch.mm(slope, W_T, out=room.slopes), room, everything)
        of_a, *of_b = (torch.mm(ones.T, of_pre) for ones in room.ones)
        return of_a, of_b[0] if of_b else None, torch.mm(room.post.T, slope)

    def _wide(self, room: _Room, slope: Float[Tensor, "pair output"]) -> Gradients:
        """What the tables get, some pairs at a time."""
        T_a, _, W = (table.detach() for table in self._tables)
        of_a = torch.zeros_like(T_a)
        of_b = of_a if self._is_one else torch.zeros_like(T_a)
        of_W_T = W.new_zeros(W.T.shape)
        for rows in room.slices:
            g = slope[rows]
            of_W_T += product(g.T.contiguous(), room.post[rows])  # the product would make it so by itself
            of_pre = self._of_pre(product(g, W.T), room, rows)
            of_a += _summed(of_pre, room.a[rows], len(of_a))
            of_b += _summed(of_pre, room.b[rows], len(of_b))
        return of_a, None if self._is_one else of_b, of_W_T.T

    @property
    def _is_one(self) -> bool:
        """Whether a and b have the same table."""
        return self._tables[0] is self._tables[1]

    def _of_pre(self, of_post: Float[Tensor, "pair neuron"], room: _Room, rows: slice) -> Float[Tensor, "pair neuron"]:
        """The derivative in what goes into the neurons, in the memory of that in their activations."""
        match self._act_fn:
            case "relu":
                back = torch.ops.aten.threshold_backward.grad_input
                return back(of_post, room.post[rows], 0, grad_input=of_post)
            case "x^2":
                return of_post.mul_(room.pre[rows]).mul_(2)
            case _:
                with torch.enable_grad():
                    pre = room.pre[rows].detach().requires_grad_()
                    (of_pre,) = torch.autograd.grad(self._act(pre), pre, of_post)
                return of_post.copy_(of_pre)


def _summed(of_pre: Float[Tensor, "pair neuron"], at: Int[Tensor, " pair"], p: int) -> Float[Tensor, "p neuron"]:
    """The sum over each residue's pairs, in a fixed order."""
    return torch.ops.aten.embedding_dense_backward(of_pre, at, p, -1, False)


@dataclass(frozen=True)
class _Room:
    """The memory of a pass over certain pairs, used again at every update that sees them."""

    inputs: Int[Tensor, "pair 2"]
    a: Int[Tensor, " pair"]
    b: Int[Tensor, " pair"]
    slices: Sequence[slice]
    pre: Float[Tensor, "pair neuron"]
    post: Float[Tensor, "pair neuron"]
    of_neurons: Float[Tensor, "some neuron"]
    logits: Float[Tensor, "pair output"]
    ones: tuple[Float[Tensor, "pair p"], ...] | None
    """1 at each pair's a, and at its b, or the sum of both where they have the same table; None where the neurons are
    many, and are seen for some pairs at a time."""
    slopes: Float[Tensor, "pair neuron"]

    @classmethod
    def of(cls, inputs: Int[Tensor, "pair 2"], tables: Tables, buffers: Buffers, *, keeps_pre: bool) -> _Room:
        T_a, T_b, W = tables
        n, (width, n_logits) = len(inputs), W.shape
        post = buffers("post", (n, width))
        eye, narrow = torch.eye(len(T_a), dtype=W.dtype), width <= NARROW
        ones = tuple(eye[operand] for operand in inputs.unbind(1)) if narrow else None
        at_once = n if narrow else PAIRS_AT_ONCE
        return cls(
            inputs=inputs,
            a=inputs[:, 0].contiguous(),
            b=inputs[:, 1].contiguous(),
            slices=[slice(start, start + at_once) for start in range(0, n, at_once)],
            pre=buffers("pre", (n, width)) if keeps_pre else post,
            post=post,
            of_neurons=buffers("of neurons", (min(n, at_once), width)),
            logits=buffers("logits", (n, n_logits)),
            ones=(ones[0] + ones[1],) if ones and T_a is T_b else ones,
            slopes=buffers("slopes", (n, width)) if narrow else post,
        )
