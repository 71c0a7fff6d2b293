"""The forward pass taken up again from an activation that was replaced: what follows it is computed anew.

The same numbers as replacing the activation through the hooks of `checkpoint.model`, without what comes before it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.checkpoints.checkpoint import RowsWhenAsked
from interp.contracts.architecture import HasAttention, has_neurons, reads_two_operands
from interp.machine import devices
from interp.measures.shared.when_asked import WhenAsked

ROUNDING = 1e-12
"""Logits are alike that differ by no more than this share of the network's largest."""


def after_embedding(
    checkpoint: Checkpoint, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
) -> Float[Tensor, "pair logit"]:
    """The logits when each embedding of the residues is changed: hook_embed at both operands."""
    architecture = checkpoint.run.architecture
    weights = reads_two_operands(architecture).with_embeddings(_weights(checkpoint), change)
    with torch.no_grad():
        return architecture.outputs(weights, checkpoint.task.inputs.to(next(iter(weights.values())).device)).cpu()


def after_attention(
    checkpoint: Checkpoint, architecture: HasAttention, resid_mid: Float[Tensor, "pair d_model"]
) -> Float[Tensor, "pair logit"]:
    """The logits when the residual stream before the last MLP is `resid_mid` at the last position."""
    weights = _weights(checkpoint)
    return architecture.outputs_from_resid_mid(weights, resid_mid.to(weights["unembed.W_U"])).cpu()


def after_neurons(
    checkpoint: Checkpoint, post: Float[Tensor, "#pair neuron"], pairs: Int[Tensor, " pair"]
) -> Float[Tensor, "#pair logit"]:
    """The logits of these pairs, given by number, when the last hidden layer's activations are `post`.

    `post` has one row for each of the pairs, or one for all of them.
    """
    weights = _weights(checkpoint)
    beside = RowsWhenAsked(checkpoint.activations, pairs)
    post = post.to(next(iter(weights.values())))
    return has_neurons(checkpoint.run.architecture).outputs_from_neurons(weights, post, beside).cpu()


def linear_readout(checkpoint: Checkpoint) -> Float[Tensor, "neuron logit"] | None:
    """The linear map from the last hidden layer's activations to the logits; None where a norm lies between."""
    architecture, activations = has_neurons(checkpoint.run.architecture), WhenAsked(checkpoint)
    if architecture.readout_factor(activations) is not None:
        return None
    return architecture.readout(_weights(checkpoint), activations).cpu()


def attn_out(checkpoint: Checkpoint, architecture: HasAttention) -> Float[Tensor, "pair d_model"]:
    """The last attention's output at the last position."""
    return architecture.attn_out(_weights(checkpoint), checkpoint.activations)


def right(
    logits: Float[Tensor, "pair logit"], answers: Int[Tensor, " pair"], network: Float[Tensor, "..."]
) -> Float[Tensor, " pair"]:
    """1 where the answer has the largest logit, 1/m where it is one of m alike up to rounding, 0 elsewhere.

    What is left of the logits of a `network` that nothing is left of is alike, and rounding would choose one of them.
    """
    rounding = ROUNDING * network.abs().max()
    largest = logits >= logits.amax(1, keepdim=True) - rounding  # [pair, logit]
    return largest.gather(1, answers[:, None])[:, 0].double() / largest.sum(1)


def _weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {name: devices.float64(value) for name, value in checkpoint.weights.items()}
