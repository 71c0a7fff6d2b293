"""The embeddings and the unembedding by irreducible representation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import HasAttention, ReadsTwoOperands, Weights, reads_two_operands
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Claims, Finding
from interp.machine import devices
from interp.measures.shared.composed import composed
from interp.measures.shared.irreps import IrrepKeys, highlight, key_irreps, key_words, names, power
from interp.measures.shared.when_asked import WhenAsked

TABLES = ("embed_a", "embed_b", "unembed")


@dataclass(frozen=True)
class IrrepWeights:
    irrep: tuple[str, ...]
    """Irreducible representation"""
    embed_a: Float[Tensor, " irrep"]
    """Share of the square of a's embedding in each irrep's functions"""
    embed_b: Float[Tensor, " irrep"]
    """Share of the square of b's embedding in each irrep's functions"""
    unembed: Float[Tensor, " irrep"]
    """Share of the square of what the neurons give the logits in each irrep's functions of c"""
    key: Bool[Tensor, " irrep"]
    """The irrep counts as a key one"""
    embed_a_explained: Float[Tensor, ""]
    """Share of the square of a's embedding in the key irreps' functions"""
    embed_b_explained: Float[Tensor, ""]
    """Share of the square of b's embedding in the key irreps' functions"""
    unembed_explained: Float[Tensor, ""]
    """Share of the square of what the neurons give the logits in the key irreps' functions"""


def irrep_weights(checkpoint: Checkpoint, keys: IrrepKeys = "final") -> IrrepWeights:
    r"""The embeddings come to hold a few irreducible representations, and nothing else.

    A column of the embedding is a function of the group, and has a part in each irrep; the shares of all irreps, the
    trivial one among them, sum to 1. At initialisation each has about its dimension squared over the group's order (a
    pair of complex ones half of that). Expect the key irreps to hold nearly all in the end.

    The embeddings of a perceptron are what each operand gives its neurons, the table times its part of W_in; of a
    network whose attention lies in between they are the table itself. The unembedding is what each neuron gives the
    logits of the answers, for a transformer W_out·W_U. None is centred, as published, so that what a neuron gives all
    logits alike counts to the trivial irrep. `keys` is that of `irrep_logits`.

    Formula: \frac{\lVert P_\rho E \rVert^2}{\lVert E \rVert^2}, \quad
        P_\rho(x, y) = \frac{\chi_\rho(e)}{\langle \chi_\rho, \chi_\rho \rangle\, |G|}\, \chi_\rho(x y^{-1})

    Paper: Chughtai et al. 2023, arXiv 2302.03025
    """
    order = composed(checkpoint)
    architecture = reads_two_operands(checkpoint.run.architecture)
    weights = {name: devices.float64(weight) for name, weight in checkpoint.weights.items()}
    activations = WhenAsked(checkpoint)
    operands = _embeddings(architecture, weights, activations, order.axis)
    unembedding = architecture.neuron_logits(weights, activations).cpu()[:, order.axis].T  # [c, neuron]
    shares = {}
    for name, table in zip(TABLES, (*operands, unembedding), strict=True):
        by_irrep = power(order.group, table).sum(1)
        shares[name] = by_irrep / by_irrep.sum()
    key = key_irreps(checkpoint, order.group, keys)
    totals = {f"{name}_explained": share[key].sum() for name, share in shares.items()}
    return IrrepWeights(irrep=names(order.group), key=key, **shares, **totals)


def _embeddings(
    architecture: ReadsTwoOperands, weights: Weights, activations: WhenAsked, axis: Int[Tensor, " n"]
) -> Float[Tensor, "operand n d"]:
    """What each residue is to the network as a and as b, in the group's order."""
    if not isinstance(architecture, HasAttention):
        inputs = architecture.neuron_inputs(weights, activations)
        if inputs is not None:
            return inputs.cpu()[:, axis]
    both = torch.stack([axis, axis], dim=1).to(next(iter(weights.values())).device)
    return architecture.operands(weights, both).cpu().transpose(0, 1)


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    titles = {"embed_a": "Embedding of a", "embed_b": "Embedding of b", "unembed": "Unembedding"}
    explained = {title.lower(): result[f"{name}_explained"] for name, title in titles.items()}
    bars = [
        Bars(f"{title} by irrep, at this step", result[name], highlight=highlight(result), percent=True, width="half")
        for name, title in titles.items()
    ]
    return [
        Curves("Weights in the key irreps", explained, percent=True),
        Heatmap("Embedding of a by irrep over training", result.embed_a, x="step", y="irrep"),
        *bars,
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Weights in the key irreps")
    which, records = key_words(claims)
    if not which:
        records["largest"] = claims.end("embed_a", "max")
        sentence = "No irrep is key; the one that holds most of the embedding of a holds {largest:.1%} of it"
        return Finding(f"{sentence} at the end.", records, chapter="what", rank=21)
    records |= {name: claims.end(f"{name}_explained") for name in TABLES}
    sentence = f"At the end the embeddings have {{embed_a:.1%}} (a) and {{embed_b:.1%}} (b) of their square in {which}"
    return Finding(f"{sentence}, the unembedding {{unembed:.1%}}.", records, chapter="what", rank=21)
