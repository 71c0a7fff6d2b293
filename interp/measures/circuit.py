"""The key-frequency circuit, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.contracts.architecture import HasAttention
from interp.figures import Curves
from interp.maths import fourier
from interp.maths.cross_entropy import cross_entropy
from interp.measures.shared import ablation
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.cyclic import Cyclic, cyclic
from interp.measures.shared.key_frequencies import key_mask
from interp.summaries import Summary

STAGES = ("embedding", "attention", "neurons", "logits")
ABLATIONS = ("without key", "only key")


@dataclass(frozen=True)
class Circuit:
    stage: tuple[str, ...]
    """Stage of the circuit"""
    ablation: tuple[str, ...]
    """What is taken out of the stage"""
    share: Float[Tensor, " stage"]
    """Share of the stage's variance at the key frequencies"""
    train_loss: Float[Tensor, "stage ablation"]
    """Cross-entropy on the training pairs, the stage ablated [nats]"""
    test_loss: Float[Tensor, "stage ablation"]
    """Cross-entropy on the other pairs, the stage ablated [nats]"""
    all_loss: Float[Tensor, "stage ablation"]
    """Cross-entropy on all pairs, the stage ablated [nats]"""
    train_accuracy: Float[Tensor, "stage ablation"]
    """Share of the training pairs answered right, the stage ablated"""
    test_accuracy: Float[Tensor, "stage ablation"]
    """Share of the other pairs answered right, the stage ablated"""
    all_accuracy: Float[Tensor, "stage ablation"]
    """Share of all pairs answered right, the stage ablated"""


def circuit(
    checkpoint: Checkpoint, keys: Literal["final", "checkpoint", "ever", "traced"] | list[int] = "final"
) -> Circuit:
    r"""What the network computes passes through the key frequencies at every stage, and through nothing else.

    Expect that without the key frequencies any one stage brings the answers down to chance, and that with nothing but
    them the test loss stays or falls; before the circuit is whole, the train loss suffers too: memory lies elsewhere.

    One stage at a time is replaced in the forward pass, and what follows is computed anew. At a frequency k count: in
    the *embedding*, the waves of k over the residues; in the output of the last *attention* and in the last *neurons*,
    where the answer is read, the eight waves of k over the operands; in the *logits*, cos and sin w_k of the answer.
    Means are kept always. `keys` as for `restricted_loss`. Perceptrons have no attention.

    For products the pairs with a zero, which have no frequency, are left out.

    Formula: x \mapsto x - P_K x \quad\text{or}\quad x \mapsto \bar x + P_K x

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    found = cyclic(checkpoint)
    if found is None:
        nothing = torch.full((len(STAGES), len(ABLATIONS)), torch.nan, dtype=torch.float64)
        return Circuit(STAGES, ABLATIONS, nothing[:, 0], *[nothing] * 6)
    key = key_mask(checkpoint, found, keys)
    stages = (_embedding, _attention, _neurons, _logits)
    shares, ablated = zip(*(stage(checkpoint, found, key) for stage in stages), strict=True)
    scores = [_score(checkpoint, found, logits) for both in ablated for logits in both]
    by_stage = torch.stack(scores).unflatten(0, (len(STAGES), len(ABLATIONS))).permute(2, 0, 1)
    return Circuit(STAGES, ABLATIONS, torch.stack(shares), *by_stage)


def steps(run: Run) -> list[int]:
    return around_grokking(run)


Stage = tuple[Float[Tensor, ""], tuple[Float[Tensor, "pair logit"], Float[Tensor, "pair logit"]]]
"""The share of the variance at the key frequencies, and the logits without them and with them only; the pairs are
those of the task's cyclic order."""


def _embedding(checkpoint: Checkpoint, found: Cyclic, key: Bool[Tensor, " freq"]) -> Stage:
    freq = fourier.freq_of_row(found.n)
    basis = fourier.basis(found.n)[key[freq] & (freq > 0)]
    pairs = _pairs(found)

    def logits(change: Callable[[Tensor, Tensor], Tensor]) -> Float[Tensor, "pair logit"]:
        def changed(E: Float[Tensor, "p d_model"]) -> Float[Tensor, "p d_model"]:
            rows = E[found.axis].cpu()
            return E.index_copy(0, found.axis.to(E.device), change(rows, basis.T @ (basis @ rows)).to(E))

        return ablation.after_embedding(checkpoint, changed)[pairs]

    rows = checkpoint.embedding.cpu()[found.axis]
    return _share(rows, basis @ rows), (logits(_without), logits(_only))


def _attention(checkpoint: Checkpoint, found: Cyclic, key: Bool[Tensor, " freq"]) -> Stage:
    architecture = checkpoint.run.architecture
    if not isinstance(architecture, HasAttention):
        nothing = torch.full_like(checkpoint.logits[_pairs(found)].cpu(), torch.nan)
        return nothing[0, 0], (nothing, nothing)
    mid = architecture.resid_mid(checkpoint.activations).cpu()[_pairs(found)]
    out = ablation.attn_out(checkpoint, architecture).cpu()[_pairs(found)]
    waves = _waves(out, found, key)
    at_key = _synthesised(waves, found, key)
    without, only = (
        ablation.after_attention(checkpoint, architecture, mid - out + changed)
        for changed in (_without(out, at_key), _only(out, at_key))
    )
    return _share(out, waves), (without, only)


def _neurons(checkpoint: Checkpoint, found: Cyclic, key: Bool[Tensor, " freq"]) -> Stage:
    """The neurons' way to the logits is linear, so their waves are taken there rather than back to the pairs."""
    post = checkpoint.neurons.cpu()[_pairs(found)]
    waves = _waves(post, found, key)
    at_key = _synthesised(waves @ ablation.readout(checkpoint), found, key)
    mean = post.mean(0, keepdim=True)
    constant = ablation.after_neurons(checkpoint, mean, _pairs(found))
    return _share(post, waves), (checkpoint.logits[_pairs(found)].cpu() - at_key, constant + at_key)


def _logits(checkpoint: Checkpoint, found: Cyclic, key: Bool[Tensor, " freq"]) -> Stage:
    """The logits of the n answers; another one, of "=", is left as it is."""
    freq = fourier.freq_of_row(found.n)
    basis = fourier.basis(found.n)[key[freq] & (freq > 0)]
    logits = found.logits(checkpoint)
    waves = basis @ found.by_answer(logits).mean(1)
    at_key = (basis.T @ waves)[found.answer.flatten()]
    everything, of_answers = checkpoint.logits[_pairs(found)].cpu(), logits.flatten(0, 1)
    without, only = (
        everything.index_copy(1, found.axis, changed)
        for changed in (_without(of_answers, at_key), _only(of_answers, at_key))
    )
    return _share(of_answers, found.n**0.5 * waves), (without, only)


def _without(x: Float[Tensor, "row m"], at_key: Float[Tensor, "row m"]) -> Float[Tensor, "row m"]:
    return x - at_key


def _only(x: Float[Tensor, "row m"], at_key: Float[Tensor, "row m"]) -> Float[Tensor, "row m"]:
    return x.mean(0) + at_key


def _pairs(found: Cyclic) -> Int[Tensor, " pair"]:
    """The task's pairs, by number, in cyclic order."""
    return found.table(torch.arange(len(found.task.pairs)).double()).flatten().long()


def _waves(x: Float[Tensor, "pair m"], found: Cyclic, key: Bool[Tensor, " freq"]) -> Float[Tensor, "row row m"]:
    """The coefficients of the eight waves at each key frequency, among zeros."""
    basis, freq = _rows(found, key)
    along_a = (basis @ x.view(found.n, -1)).unflatten(1, (found.n, -1))
    coefficients = torch.einsum("gb,fbm->fgm", basis, along_a)
    alone = (freq[:, None] == 0) ^ (freq == 0)
    together = (freq[:, None] == freq) & (freq > 0)
    return coefficients * (alone | together)[..., None]


def _synthesised(
    waves: Float[Tensor, "row row m"], found: Cyclic, key: Bool[Tensor, " freq"]
) -> Float[Tensor, "pair m"]:
    basis, _ = _rows(found, key)
    along_b = torch.einsum("gb,fgm->fbm", basis, waves)
    return (basis.T @ along_b.flatten(1)).view(found.n**2, -1)


def _rows(found: Cyclic, key: Bool[Tensor, " freq"]) -> tuple[Float[Tensor, "row n"], Int[Tensor, " row"]]:
    """The Fourier basis' constant and key rows, and the frequency of each."""
    freq = fourier.freq_of_row(found.n)
    kept = key[freq] | (freq == 0)
    return fourier.basis(found.n)[kept], freq[kept]


def _share(x: Float[Tensor, "row m"], waves: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """The part of the variance of `x` that its waves hold; NaN where `x` does not vary, but for rounding."""
    mean, squares = x.mean(0), x.square().sum()
    variance = squares - len(x) * mean.square().sum()
    return waves.square().sum() / variance if variance > 1e-12 * squares else torch.full_like(variance, torch.nan)


def _score(checkpoint: Checkpoint, found: Cyclic, logits: Float[Tensor, "pair logit"]) -> Float[Tensor, " score"]:
    """Losses on train, test and all pairs, then accuracies."""
    answers = checkpoint.task.targets[_pairs(found)]
    losses = cross_entropy(logits, answers)
    right = (logits.argmax(1) == answers).double().where(losses.isfinite(), torch.nan)
    everything = torch.ones(len(answers), dtype=torch.bool)
    train = ~everything if found.train is None else found.train.flatten()
    test = ~everything if found.train is None else ~train
    return torch.stack([values[chosen].mean() for values in (losses, right) for chosen in (train, test, everything)])


def figure(result: xr.Dataset) -> list[Curves]:
    there = [stage for stage in result.stage.values if result.share.sel(stage=stage).notnull().any()]
    if not there:
        return []
    losses = result.test_loss if result.test_loss.notnull().any() else result.all_loss
    accuracies = result.test_accuracy if result.test_loss.notnull().any() else result.all_accuracy
    return [
        Curves(
            "Variance at the key frequencies", {stage: result.share.sel(stage=stage) for stage in there}, percent=True
        ),
        *(
            Curves(
                f"{what}, {ablation} frequencies",
                {stage: array.sel(stage=stage, ablation=ablation) for stage in there},
                log=log,
                percent=not log,
                width="half",
            )
            for what, array, log in (("Loss", losses, True), ("Accuracy", accuracies, False))
            for ablation in result.ablation.values
        ),
    ]


def summary(result: xr.Dataset) -> Summary:
    if not result.share.notnull().any():
        return Summary("The task has no cyclic order of its operands, so there are no key frequencies to ablate.")
    last = result.isel(step=-1)
    accuracy, where = (
        (last.test_accuracy, "the test pairs")
        if last.test_accuracy.notnull().any()
        else (last.all_accuracy, "all pairs")
    )
    there = [str(stage) for stage in last.stage.values if bool(accuracy.sel(stage=stage).notnull().all())]
    kept = {stage: float(accuracy.sel(stage=stage, ablation="only key")) for stage in there}
    lost = {stage: float(accuracy.sel(stage=stage, ablation="without key")) for stage in there}
    worst, best = min(kept, key=lambda stage: kept[stage]), max(lost, key=lambda stage: lost[stage])
    values = {
        "share": {stage: float(last.share.sel(stage=stage)) for stage in there},
        "only_key_accuracy": kept,
        "without_key_accuracy": lost,
    }
    return Summary(
        f"With nothing but the key frequencies at one stage, at least **{kept[worst]:.1%}** of {where} stay right "
        f"(least at the {worst}); without them at most **{lost[best]:.1%}** (most at the {best}).",
        values,
    )
