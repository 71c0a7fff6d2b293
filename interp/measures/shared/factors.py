"""What enters the last hidden layer's neurons, as functions of the two factors of a product in a group.

The answer to the pair (a, b) is the product a·f, where the second factor f is b, or b⁻¹ where the task divides. What
enters a neuron is taken apart into a mean, a function of a and one of f: of a network whose neurons add what their
operands give that is all; of another, such as a transformer, it is the part that a sum over the operands can say.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import HasAttention, ReadsTwoOperands, reads_two_operands
from interp.errors import NothingToSay
from interp.machine import devices
from interp.measures.shared.composed import Composed, composed

NO_PRODUCT = "the answer is no product of a and b, or of a and b⁻¹, so that cosets of a and of b say nothing of it"


@dataclass(frozen=True)
class Factors:
    """A checkpoint on products of two factors."""

    order: Composed
    second: Int[Tensor, " element"]
    """The second factor that each b stands for: b itself or its inverse; it is its own inverse as a map."""
    mean: Float[Tensor, " neuron"]
    """What enters each neuron, mean over all pairs, float64."""
    from_a: Float[Tensor, "element neuron"]
    """What a adds to it, of mean 0."""
    from_b: Float[Tensor, "element neuron"]
    """What the second factor adds to it, of mean 0."""


def factors(checkpoint: Checkpoint) -> Factors:
    """What enters the neurons of a checkpoint, by the factors of its task.

    Of networks with attention it is the mean over the other operand; of all others, whose neurons add, the weights say
    it. Raises NothingToSay where the answers are no products, the network reads no two operands, its neurons are gated,
    or numbers overflow.
    """
    order = composed(checkpoint)
    second = _second(order)
    architecture = reads_two_operands(checkpoint.run.architecture)
    weights = {name: devices.float64(value) for name, value in checkpoint.weights.items()}
    first = checkpoint.activations_of(order.examples[0, :1])[pre_name(architecture)]
    architecture.activated(weights, first)
    given = None if isinstance(architecture, HasAttention) else architecture.neuron_inputs(weights, {})
    if given is None:
        mean, from_a, from_b = _means(checkpoint, order, architecture)
    else:
        from_a, from_b = given.cpu()[:, order.axis]
        constant = first[0].cpu() - from_a[0] - from_b[order.partner[0, 0]]  # a bias
        mean = constant + from_a.mean(dim=0) + from_b.mean(dim=0)
    if not (from_a.isfinite().all() and from_b.isfinite().all()):
        raise NothingToSay("what enters the neurons overflows")
    return Factors(order, second, mean, from_a - from_a.mean(dim=0), (from_b - from_b.mean(dim=0))[second])


def pre_name(architecture: ReadsTwoOperands) -> str:
    """The hook name of what goes into the last hidden layer's neurons."""
    return f"{architecture.neurons.removesuffix('post')}pre"


def _second(order: Composed) -> Int[Tensor, " element"]:
    """The second factor of each b. Raises NothingToSay where the answer is no product."""
    for second in (torch.arange(order.n), order.group.inverse):
        if torch.equal(order.group.product[:, second], order.answer):
            return second
    raise NothingToSay(NO_PRODUCT)


def _means(
    checkpoint: Checkpoint, order: Composed, architecture: ReadsTwoOperands
) -> tuple[Float[Tensor, " neuron"], Float[Tensor, "a neuron"], Float[Tensor, "b neuron"]]:
    """What enters the neurons, mean over all pairs, over b and over a."""
    from_a, from_b = 0.0, None
    for block in order.blocks(checkpoint):
        pre = block.activations[pre_name(architecture)].cpu()[block.place]  # [answer, a, neuron]
        from_a = from_a + pre.sum(dim=0) / order.n
        from_b = torch.zeros(order.n, pre.shape[2], dtype=pre.dtype) if from_b is None else from_b
        from_b.index_add_(0, order.partner[block.answers].flatten(), pre.flatten(0, 1) / order.n)
    assert isinstance(from_a, Tensor)
    assert from_b is not None
    return from_a.mean(dim=0), from_a, from_b
