"""The neurons' activations by irreducible representation, as functions of a, of b and of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claims, Finding
from interp.maths.excluded_cross_entropy import excluded_log_odds
from interp.measures.shared.composed import composed
from interp.measures.shared.hidden_parts import hidden_parts, read_out
from interp.measures.shared.irreps import (
    IrrepKeys,
    MeanLoss,
    highlight,
    isotypic,
    key_irreps,
    key_words,
    names,
    restricted_log_odds,
    with_keys_together,
)


@dataclass(frozen=True)
class IrrepHidden:
    irrep: tuple[str, ...]
    """Irreducible representation"""
    a: Float[Tensor, " irrep"]
    """Share of the activations' variance in each irrep's functions of a"""
    b: Float[Tensor, " irrep"]
    """Share of the activations' variance in each irrep's functions of b"""
    ab: Float[Tensor, " irrep"]
    """Share of the activations' variance in each irrep's functions of the answer"""
    total: Float[Tensor, " irrep"] | None
    """The three together"""
    key: Bool[Tensor, " irrep"]
    """The irrep counts as a key one"""
    restricted_loss: Float[Tensor, " irrep"]
    """Cross-entropy on all pairs of the neurons' part in this irrep's functions of the answer alone [nats]"""
    excluded_loss: Float[Tensor, " irrep"]
    """Cross-entropy of the neurons without their part in this irrep's functions of the answer [nats]"""
    total_restricted_loss: Float[Tensor, ""]
    """Cross-entropy on all pairs of the neurons' parts in the key irreps' functions of the answer alone [nats]"""
    total_excluded_loss: Float[Tensor, ""]
    """Cross-entropy of the neurons without their parts in the key irreps' functions of the answer [nats]"""
    excluded_pairs: Literal["training", "all"]
    """Pairs that the excluded losses are of: all where nobody knows which were trained on"""
    explained: Float[Tensor, ""] | None
    """Share of the activations' variance in the key irreps' functions of a, of b and of the answer"""
    ab_explained: Float[Tensor, ""]
    """Share of the activations' variance in the key irreps' functions of the answer"""
    one_variable: Float[Tensor, ""] | None
    """Share of the activations' variance in functions of a, of b or of the answer alone, of all irreps"""
    test_ratio: Float[Tensor, ""]
    """The network's test loss over the loss restricted to the key irreps; NaN without a test loss"""
    uniform_loss: Float[Tensor, ""]
    """What guessing costs: ln of the number of answers [nats]"""


def irrep_hidden(checkpoint: Checkpoint, keys: IrrepKeys = "final") -> IrrepHidden:
    r"""The neurons multiply representations: from matrices of a and of b they make those of the answer.

    A neuron's activations on all pairs, centred, have a part that depends on a alone, one on b alone and one on the
    answer alone, and each of these has a part in each irrep. Over all irreps the shares sum to what depends on one of
    the three alone; the rest depends on the pair in other ways. For a·b and a·b⁻¹ the three are orthogonal; for a·b·a⁻¹
    and a·b·a functions of b and of the answer need not be, and there is no total.

    What is read out is the part of the answer. The restricted loss keeps of the neurons, not centred, only an irrep's
    functions of the answer, reads them by the unembedding alone, without what runs beside the neurons and without bias,
    and is taken on all pairs. The excluded loss takes them away from the neurons, on the training pairs (on all where
    the split is unknown). Expect the restricted loss of the key irreps to fall far below the test loss while they form,
    and the excluded loss to rise above what guessing costs. `keys` is that of `irrep_logits`. Losses are
    cross-entropies, whichever loss the run was trained with. A norm before the unembedding is folded, 1/σ at its mean.

    Formula: \mathcal{L}\Big(\sum_\rho P_\rho \bar h \, W_U\Big), \quad \bar h(w) = \frac{1}{|G|} \sum_{ab = w} h(a, b)

    Paper: Chughtai et al. 2023, arXiv 2302.03025
    """
    order = composed(checkpoint)
    key = key_irreps(checkpoint, order.group, keys)
    readout = order.readout(checkpoint)  # [neuron, c]
    parts = hidden_parts(order, checkpoint)
    variance = parts.variance.sum()
    if not variance > 0:
        raise NothingToSay("no neuron ever varies")
    shares = {name: by_irrep.sum(1) / variance for name, by_irrep in parts.power.items()}
    total = shares["a"] + shares["b"] + shares["ab"] if order.both_ways else None

    basis, irrep = order.group.basis
    coefficient, _ = isotypic(order.group, parts.by_answer @ readout)  # [row, c]
    rows_of = [(irrep == number).nonzero().flatten() for number in range(len(order.group.irreps))]
    size = float(parts.largest * readout.abs().sum(0).max())
    rounding = order.n * torch.finfo(torch.float64).eps * size
    excluded, restricted = MeanLoss(rounding), MeanLoss(rounding)
    for block in order.blocks(checkpoint):
        by_irrep = [basis[one][:, block.answers].T @ coefficient[one] for one in rows_of]
        kept = with_keys_together(torch.stack(by_irrep, dim=-1), key)  # [answer, c, irrep and keys]
        rows, weight = block.trained_on
        logits = read_out(block.neurons, rows, readout)
        excluded.add(excluded_log_odds(logits, kept, block.answers).flatten(0, 1), weight.flatten())
        restricted.add(restricted_log_odds(kept, block.answers), block.once.sum(1).double())
    test = checkpoint.measure("loss").test_loss if checkpoint.loss.name == "cross-entropy" else torch.nan
    return IrrepHidden(
        irrep=names(order.group),
        **shares,
        total=total,
        key=key,
        restricted_loss=restricted.value[:-1],
        excluded_loss=excluded.value[:-1],
        total_restricted_loss=restricted.value[-1],
        total_excluded_loss=excluded.value[-1],
        excluded_pairs="all" if order.task.train is None else "training",
        explained=None if total is None else total[key].sum(),
        ab_explained=shares["ab"][key].sum(),
        one_variable=None if total is None else total.sum(),
        test_ratio=test / restricted.value[-1],
        uniform_loss=torch.tensor(order.n, dtype=torch.float64).log(),
    )


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    losses = {
        "key irreps alone": result.total_restricted_loss,
        "without them": result.total_excluded_loss,
        "guessing": result.uniform_loss,
    }
    shares = {"all of the answer's, key irreps": result.ab_explained}
    if bool(result.explained.notnull().any()):
        shares = {"key irreps": result.explained, "of the answer alone": result.ab_explained}
        shares["one variable, all irreps"] = result.one_variable
    bars = {"a": "Functions of a", "b": "Functions of b", "ab": "Functions of the answer"}
    return [
        Curves("Loss with and without the neurons' key irreps", losses, log=True),
        Curves("Neurons in irreps", shares, percent=True),
        Heatmap("Neurons' functions of the answer by irrep", result.ab, x="step", y="irrep"),
        *[
            Bars(
                f"{title} by irrep, at this step", result[name], highlight=highlight(result), percent=True, width="half"
            )
            for name, title in bars.items()
        ],
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Neurons in irreps")
    which, records = key_words(claims)
    if not which:
        records["largest"] = claims.end("ab", "max")
        sentence = "No irrep is key; the neurons have at most {largest:.1%} of their variance in one's functions of the"
        return Finding(f"{sentence} answer at the end.", records, chapter="what", rank=41)
    records["ab"] = claims.end("ab_explained")
    sentence = f"At the end the neurons have {{ab:.1%}} of their variance in functions of the answer of {which}"
    if claims.known("explained"):
        records["explained"] = claims.end("explained")
        sentence += ", {explained:.1%} with functions of a and of b"
    claims.panel = "Loss with and without the neurons' key irreps"
    guessing = Bar("what guessing costs", array="uniform_loss")
    records["restricted"] = claims.end("total_restricted_loss", bar=guessing)
    records["excluded"] = claims.end("total_excluded_loss", bar=guessing)
    sentence += "; on the former alone the cross-entropy is {restricted:3 nat}, without them {excluded:3 nat}, where "
    return Finding(f"{sentence}guessing costs {{restricted.bar:3 nat}}.", records, chapter="what", rank=41)
