"""The logits as characters of a·b·c⁻¹, and the losses with and without each irreducible representation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claims, Finding
from interp.maths.excluded_cross_entropy import excluded_log_odds
from interp.measures.shared.composed import composed
from interp.measures.shared.irreps import (
    IrrepKeys,
    MeanLoss,
    characters,
    highlight,
    key_irreps,
    key_words,
    restricted_log_odds,
    with_keys_together,
)


@dataclass(frozen=True)
class IrrepLogits:
    irrep: tuple[str, ...]
    """Irreducible representation"""
    trace_similarity: Float[Tensor, " irrep"]
    """Cosine between the logits, centred over c, and the character of a·b·c⁻¹"""
    key: Bool[Tensor, " irrep"]
    """The irrep counts as a key one"""
    restricted_loss: Float[Tensor, " irrep"]
    """Cross-entropy on all pairs of the logits' part along this character alone [nats]"""
    excluded_loss: Float[Tensor, " irrep"]
    """Cross-entropy of the logits without their part along this character [nats]"""
    total_restricted_loss: Float[Tensor, ""]
    """Cross-entropy on all pairs of the logits' parts along the key irreps' characters alone [nats]"""
    total_excluded_loss: Float[Tensor, ""]
    """Cross-entropy of the logits without their parts along the key irreps' characters [nats]"""
    excluded_pairs: Literal["training", "all"]
    """Pairs that the excluded losses are of: all where nobody knows which were trained on"""
    explained: Float[Tensor, ""]
    """Share of the centred logits' square along the characters of all irreps but the trivial one"""
    explained_by_key: Float[Tensor, ""]
    """Share of the centred logits' square along the characters of the key irreps"""
    uniform_loss: Float[Tensor, ""]
    """What guessing costs: ln of the number of answers [nats]"""


def irrep_logits(checkpoint: Checkpoint, keys: IrrepKeys = "final") -> IrrepLogits:
    r"""The logits of a network that composes by representations are a few characters of a·b·c⁻¹.

    Each character, as a function of the pair and of c, is orthogonal to those of other irreps, so that its part of the
    logits stands alone, and the squares of the trace similarities add up to the share explained. Expect few irreps to
    hold most of it in the end. The restricted loss keeps one part, or those of the key irreps together, and is taken on
    all pairs; the excluded loss takes it away, on the training pairs (on all where the split is unknown). Where the
    account is right the key irreps' restricted loss is small and their excluded loss more than guessing costs.

    `keys` says which irreps are key: *final*, those of trace similarity above 0.005 at the last checkpoint;
    *checkpoint*, those of the checkpoint that is measured; or a list of names. Of sums and products modulo p the irreps
    are the frequencies, and this is the trace's restricted and excluded loss (`trace_restricted_loss`). The losses are
    cross-entropies of the answers' logits, whichever loss the run was trained with.

    Formula: Z_\rho = s_\rho \lVert Z_c \rVert \frac{T_\rho}{\lVert T_\rho \rVert}, \quad
        T_\rho(a, b, c) = \chi_\rho(a b c^{-1})

    Paper: Chughtai et al. 2023, arXiv 2302.03025
    """
    order = composed(checkpoint)
    found = checkpoint.measure("irrep_order")
    key = key_irreps(checkpoint, order.group, keys)
    chi = characters(order.group)
    amplitude = found.trace_similarity * found.logit_norm / (order.n * chi.norm(dim=1))
    parts = with_keys_together((amplitude[:, None] * chi).T, key)  # [a b c⁻¹, irrep and keys]
    rounding = found.logit_norm * order.n * torch.finfo(torch.float64).eps
    excluded = MeanLoss(rounding)
    for block in order.blocks(checkpoint):
        removed = parts[order.group.quotient[block.answers]]  # [answer, c, irrep and keys]
        rows, weight = block.trained_on
        log_odds = excluded_log_odds(block.logits[rows], removed, block.answers)
        excluded.add(log_odds.flatten(0, 1), weight.flatten())
    restricted = MeanLoss(rounding)
    one_answer = torch.tensor([order.group.identity])  # all answers are alike
    restricted.add(restricted_log_odds(parts[None], one_answer), torch.ones(1, dtype=torch.float64))
    squares = found.trace_similarity.square()
    return IrrepLogits(
        irrep=found.irrep,
        trace_similarity=found.trace_similarity,
        key=key,
        restricted_loss=restricted.value[:-1],
        excluded_loss=excluded.value[:-1],
        total_restricted_loss=restricted.value[-1],
        total_excluded_loss=excluded.value[-1],
        excluded_pairs="all" if order.task.train is None else "training",
        explained=squares[1:].sum(),
        explained_by_key=squares[key].sum(),
        uniform_loss=torch.tensor(order.n, dtype=torch.float64).log(),
    )


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    varying = result.isel(irrep=slice(1, None))
    losses = {
        "restricted to the key irreps": result.total_restricted_loss,
        "without them": result.total_excluded_loss,
        "guessing": result.uniform_loss,
    }
    return [
        Curves("Loss with and without the key irreps' characters", losses, log=True),
        Curves(
            "Share of the logits along characters",
            {"all irreps": result.explained, "key irreps": result.explained_by_key},
            percent=True,
        ),
        Heatmap("Logits along each character", varying.trace_similarity, x="step", y="irrep"),
        Bars("Trace similarity at this step", varying.trace_similarity, highlight=highlight(varying), width="half"),
        Bars("Without one character, at this step", varying.excluded_loss, highlight=highlight(varying), width="half"),
        Bars("One character alone, at this step", varying.restricted_loss, highlight=highlight(varying), width="half"),
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Share of the logits along characters")
    which, records = key_words(claims)
    records["explained"] = claims.end("explained")
    if not which:
        sentence = "Characters of a·b·c⁻¹ explain {explained:.1%} of the centred logits at the end; no irrep is key."
        return Finding(sentence, records, chapter="what", rank=31)
    records["by_key"] = claims.end("explained_by_key")
    claims.panel = "Loss with and without the key irreps' characters"
    guessing = Bar("what guessing costs", array="uniform_loss")
    records["restricted"] = claims.end("total_restricted_loss", bar=guessing)
    sentence = (
        f"Characters of a·b·c⁻¹ explain {{explained:.1%}} of the centred logits at the end, those of {which} "
        "{by_key:.1%}; on these alone the cross-entropy is {restricted:3 nat}"
    )
    if claims.known("total_excluded_loss"):
        records["excluded"] = claims.end("total_excluded_loss", bar=guessing)
        pairs = "the training pairs" if str(result.excluded_pairs.values[-1]) == "training" else "all pairs"
        sentence += f", without them {{excluded:3 nat}} on {pairs}"
    return Finding(f"{sentence}; guessing costs {{restricted.bar:3 nat}}.", records, chapter="what", rank=31)
