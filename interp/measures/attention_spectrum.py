"""What attention depends on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import has_attention
from interp.figures import Bars, Heatmap
from interp.findings import Bar, Claims, Finding, UndefinedError
from interp.machine import devices
from interp.maths import fourier
from interp.measures.shared.cyclic import Cyclic, cyclic
from interp.measures.shared.when_asked import WhenAsked
from interp.summaries import listed

SITES = ("a", "b", "neurons")


@dataclass(frozen=True)
class AttentionSpectrum:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    score_a: Float[Tensor, "head a"]
    """Score of a as the last token sees it, over a, averaged over b"""
    score_b: Float[Tensor, "head b"]
    """Score of b as the last token sees it, over b, averaged over a"""
    pattern_a: Float[Tensor, "head a"]
    """Attention of the last token to a, over a, averaged over b"""
    pattern_b: Float[Tensor, "head b"]
    """Attention of the last token to b, over b, averaged over a"""
    score_share: Float[Tensor, "head freq"]
    """Share of the variance of the scores at each frequency, a and b together"""
    pattern_share: Float[Tensor, "head freq"]
    """Share of the variance of the attention at each frequency, a and b together"""
    qk_share: Float[Tensor, "head freq"]
    """Share of the QK circuit's variance over the residues at each frequency"""
    ov_share: Float[Tensor, "head freq"]
    """Share of the OV circuit's variance over the residues at each frequency, as the neurons see it"""
    even_share: float
    """What each share would be, were all frequencies alike"""
    site: tuple[str, ...]
    """Where a norm is folded: before the attention at a and at b, before the neurons"""
    norm_factor: Float[Tensor, " site"] | None
    """Mean of 1/σ of the norm, at which it is folded in QK and OV; 1 where there is none"""


def attention_spectrum(checkpoint: Checkpoint) -> AttentionSpectrum:
    r"""Each head attends to the operands by waves of a few frequencies, and moves waves of the same ones.

    Each head of the first layer is looked at where the answer is read, at the last token. Its scores and its pattern
    are taken as functions of one operand, averaged over the other, with their spectra; the pattern is the one that
    acts, at the network's attention rate. From the weights come the spectra of the QK circuit, W_E·W_K against the
    query, and of the OV circuit W_E·W_V·W_O·W_in. Shares are of what varies: the constant is left out. The query of
    "=" is one vector, and the QK circuit's spectrum is that of the scores; in a network of two tokens there is a query
    W_E·W_Q for every b, and a frequency of the QK circuit has its eight waves over both operands.

    Scores and pattern are exact, with norms too. In the circuits a norm is folded: its centring and its weight are
    linear, and 1/σ is taken at its mean, over the residues before the attention, over the pairs before the neurons
    (`norm_factor`). Gated neurons see OV through W_gate and W_in, both of which count.

    Operands are in the order in which the task is cyclic.

    Formula: \mathrm{QK}_h = W_E W_K^h (W_Q^h)^\top r_{=}, \quad \mathrm{OV}_h = W_E W_V^h W_O^h W_{in}

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    architecture, order = has_attention(checkpoint.run.architecture), cyclic(checkpoint)
    weights = {name: devices.float64(weight).cpu() for name, weight in checkpoint.weights.items()}
    scores = architecture.attention_scores(weights)[order.axis][:, order.axis]  # [a, b, head, pos]
    pattern = architecture.attention_pattern(scores)
    score, attended = (_curves(table, architecture.operand_positions) for table in (scores, pattern))
    activations = WhenAsked(checkpoint)
    score_share = _share(score, scores)
    return AttentionSpectrum(
        torch.arange(order.n_freqs),
        *(curve.T.float() for curve in (*score, *attended)),
        score_share=score_share,
        pattern_share=_share(attended, pattern),
        qk_share=score_share if architecture.one_query else _qk_share(architecture.qk_circuit(weights), order),
        ov_share=_ov_share(architecture.ov_circuit(weights, activations), order),
        even_share=1 / (order.n_freqs - 1),
        site=SITES,
        norm_factor=architecture.ov_factors(weights, activations),
    )


def _curves(table: Float[Tensor, "a b head pos"], positions: tuple[int, int]) -> Float[Tensor, "operand n head"]:
    """What each head gives a, as a function of a, and what it gives b, as a function of b: means over the other."""
    at_a, at_b = positions
    return torch.stack([table[..., at_a].mean(dim=1), table[..., at_b].mean(dim=0)])


def _share(curves: Float[Tensor, "operand n head"], table: Float[Tensor, "a b head pos"]) -> Float[Tensor, "head freq"]:
    """Each frequency's share of both operands' variance together.

    NaN where that variance is no more than the rounding of the table whose means the curves are.
    """
    power = fourier.by_freq((fourier.basis(curves.shape[1]) @ curves).square().sum(dim=0))  # [freq, head]
    power[0] = 0
    total = power.sum(dim=0)
    return (power / total.where(total > 1e-20 * table.square().mean(dim=(0, 1, 3)), torch.nan)).T


def _qk_share(circuit: Float[Tensor, "a b head"], order: Cyclic) -> Float[Tensor, "head freq"]:
    """Each frequency's share of the variance of every residue as a key for every residue as a query."""
    return fourier.variance_explained(circuit[order.axis][:, order.axis])[0].T


def _ov_share(circuit: Float[Tensor, "operand head p neuron"], order: Cyclic) -> Float[Tensor, "head freq"]:
    """Each frequency's share of the variance over the residues of what a head moves to the neurons' inputs."""
    moved = circuit[:, :, order.axis]  # [operand, head, n, neuron]
    power = fourier.by_freq((fourier.basis(order.n) @ moved).square().sum(dim=(0, 3)).T)[1:]  # [freq, head]
    share = power / power.sum(dim=0)
    return torch.nn.functional.pad(share.T, (1, 0))


def figure(result: xr.Dataset) -> list[Heatmap | Bars]:
    varying = result.isel(freq=slice(1, None))
    return [
        Heatmap("Attention to a", result.pattern_a, x="a", y="head", width="half"),
        Heatmap("Attention to b", result.pattern_b, x="b", y="head", width="half"),
        Heatmap("Spectrum of the attention", varying.pattern_share, x="freq", y="head", width="half"),
        Heatmap("Spectrum of the scores", varying.score_share, x="freq", y="head", width="half"),
        Heatmap("Spectrum of QK", varying.qk_share, x="freq", y="head", width="half"),
        Heatmap("Spectrum of OV", varying.ov_share, x="freq", y="head", width="half"),
    ]


MOST_HEADS = 8


def summary(result: xr.Dataset) -> Finding:
    claims, records, told = Claims(result, "Spectrum of the attention"), {}, []
    last = result.pattern_share.dropna("step", how="all").isel(step=slice(-1, None))
    if not last.size or last.sizes["freq"] < 3:
        raise UndefinedError("no frequency of the attention can stand out")
    heads = [head for head in range(last.sizes["head"]) if last.isel(head=head).notnull().any()]
    for head in heads:
        records[f"freq_{head}"] = claims.end("pattern_share", "label", head=head)
        records[f"share_{head}"] = claims.end(
            "pattern_share", "max", Bar("an even share", array="even_share"), head=head
        )
        told.append(f"head {head} on {{freq_{head}:frequency}} ({{share_{head}:%}})")
    others = f" (and {len(told) - MOST_HEADS} more)" if len(told) > MOST_HEADS else ""
    sentence = (
        "The largest share of what varies in the attention over one operand lies, for "
        f"{listed(told[:MOST_HEADS])}{others}; an even share would be {{share_{heads[0]}.bar:%}}."
    )
    return Finding(sentence, records, chapter="what", rank=45)
