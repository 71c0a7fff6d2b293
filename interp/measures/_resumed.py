"""The forward pass taken up again from an activation that was replaced: what follows it is computed anew.

The same numbers as replacing the activation through the hooks of `checkpoint.model`, without what comes before it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from interp import devices
from interp.checkpoints import Checkpoint
from interp.models._architecture import ACTIVATIONS
from interp.models._operations import affine
from interp.models.mlp import MLP
from interp.models.transformer import Transformer


def after_embedding(
    checkpoint: Checkpoint, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
) -> Float[Tensor, "pair logit"]:
    """The logits when each embedding of the residues is changed: hook_embed at both operands."""
    weights, architecture, p = _weights(checkpoint), checkpoint.run.architecture, checkpoint.task.p
    if isinstance(architecture, Transformer):
        W_E = weights["embed.W_E"].clone()
        for first in {0, int(architecture.tokens(checkpoint.task.pairs)[:, 1].min())}:
            W_E[first : first + p] = change(W_E[first : first + p])
        weights["embed.W_E"] = W_E
    elif isinstance(architecture, MLP):
        weights |= {name: change(weights[name]) for name in set(architecture.embeddings)}
    with torch.no_grad():
        return architecture.logits(weights, checkpoint.task.pairs.to(next(iter(weights.values())).device)).cpu()


def after_attention(checkpoint: Checkpoint, resid_mid: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair logit"]:
    """The logits when the residual stream before the last MLP is `resid_mid` at the last position."""
    weights, architecture = _weights(checkpoint), checkpoint.run.architecture
    assert isinstance(architecture, Transformer)
    mlp = _mlp(checkpoint)
    pre = affine(resid_mid.to(weights[mlp + "W_in"]), weights[mlp + "W_in"], weights.get(mlp + "b_in"))
    return after_neurons(checkpoint, ACTIVATIONS[architecture.act_fn](pre), resid_mid)


def after_neurons(
    checkpoint: Checkpoint,
    post: Float[Tensor, "#pair neuron"],
    resid_mid: Float[Tensor, "pair d_model"] | None,
) -> Float[Tensor, "#pair logit"]:
    """The logits when the last hidden layer's activations are `post`, one row or one a pair, at the last position.

    `resid_mid` is the residual stream beside them, None for perceptrons.
    """
    weights = _weights(checkpoint)
    x = post.to(weights["unembed.W_U"])
    if resid_mid is not None:
        mlp = _mlp(checkpoint)
        x = resid_mid.to(x) + affine(x, weights[mlp + "W_out"], weights.get(mlp + "b_out"))
    return affine(x, weights["unembed.W_U"], weights.get("unembed.b_U")).cpu()


def readout(checkpoint: Checkpoint) -> Float[Tensor, "neuron logit"]:
    """The linear map from the last hidden layer's activations to the logits."""
    weights = _weights(checkpoint)
    W_out = weights.get(_mlp(checkpoint) + "W_out")
    return (weights["unembed.W_U"] if W_out is None else W_out @ weights["unembed.W_U"]).cpu()


def resid_mid(checkpoint: Checkpoint) -> Float[Tensor, "pair d_model"] | None:
    """The residual stream before the last MLP, at the last position; None for perceptrons, which have none."""
    return checkpoint.last_position.get(_last_block(checkpoint) + "hook_resid_mid")


def attn_out(checkpoint: Checkpoint) -> Float[Tensor, "pair d_model"] | None:
    """The last attention's output at the last position; None for perceptrons, which have none."""
    activations, weights, block = checkpoint.last_position, _weights(checkpoint), _last_block(checkpoint)
    if f"{block}hook_resid_mid" not in activations:
        return None
    if f"{block}hook_resid_pre" in activations:
        return activations[f"{block}hook_resid_mid"] - activations[f"{block}hook_resid_pre"]
    z = activations[f"{block}attn.hook_z"].flatten(1)
    return affine(z, weights[f"{block}attn.W_O"].flatten(0, 1), weights.get(f"{block}attn.b_O"))


def _mlp(checkpoint: Checkpoint) -> str:
    return checkpoint.run.architecture.neurons.removesuffix("hook_post")


def _last_block(checkpoint: Checkpoint) -> str:
    return _mlp(checkpoint).removesuffix("mlp.")


def _weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {name: devices.float64(value) for name, value in checkpoint.weights.items()}
