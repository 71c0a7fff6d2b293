"""What each stage holds at the key frequencies, and what becomes of the answers when it is ablated.

1. `_KeyWaves` knows the waves of the key frequencies: over the residues, over the pairs, over the answers.
2. Each stage, from the embedding to the logits, gives its share of the variance at the key frequencies, and the
   network's logits when the stage loses these waves or keeps nothing else (`_Ablated`).
3. The logits are scored on the training pairs, the test pairs and all pairs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.contracts.architecture import has_attention
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Bar, Claim, Claims, Finding, UndefinedError
from interp.findings.claim import Reduction
from interp.maths import fourier
from interp.maths.cross_entropy import cross_entropy
from interp.measures.shared import ablation
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.cyclic import Cyclic, cyclic
from interp.measures.shared.in_order import centred
from interp.measures.shared.key_frequencies import key_mask

STAGES = ("embedding", "attention", "neurons", "logits")
ABLATIONS = ("without key", "only key")
N_SCORES = 6


@dataclass(frozen=True)
class Circuit:
    stage: tuple[str, ...]
    """Stage of the forward pass"""
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
    guessing: float
    """Share of the pairs that guessing gets right"""
    n_keys: int
    """Number of key frequencies"""
    n_freqs: int
    """Number of frequencies there are"""


def circuit(
    checkpoint: Checkpoint, keys: Literal["final", "checkpoint", "ever", "logits", "traced"] | list[int] = "final"
) -> Circuit:
    r"""What the network computes passes through the key frequencies at every stage, and through nothing else.

    Expect that without the key frequencies any one stage brings the answers down to chance, and that with nothing but
    them the test loss stays or falls. Before the circuit is whole the train loss suffers too: memory lies elsewhere.

    One stage at a time is replaced in the forward pass, and what follows it is computed anew. What counts as belonging
    to a frequency k depends on the stage. In the *embedding* it is the waves of k over the residues; in the output of
    the last *attention* and in the last *neurons*, where the answer is read, the eight waves of k over the operands; in
    the *logits*, less each pair's mean over all of them, cos and sin w_k of the answer. Means are always kept. The key
    frequencies are chosen by `keys`, as for `restricted_loss`. Losses are cross-entropies. Perceptrons have no
    attention, so that stage has no numbers there.

    For products the pairs with a zero, which have no frequency, are left out.

    Formula: x \mapsto x - P_K x \quad\text{or}\quad x \mapsto \bar x + P_K x

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    found = cyclic(checkpoint)
    key = key_mask(checkpoint, found, keys)
    if not key.any():
        raise NothingToSay("there is no key frequency")
    waves = _KeyWaves(found, key)
    shares = torch.full((len(STAGES),), torch.nan, dtype=torch.float64)
    scores = shares.repeat(N_SCORES, len(ABLATIONS), 1).mT.contiguous()  # [score, stage, ablation]
    for place, stage in enumerate((_embedding, _attention, _neurons, _logits)):
        try:
            ablated = stage(checkpoint, waves)
        except NothingToSay:  # a network without this stage
            continue
        shares[place] = ablated.share
        for column, logits in enumerate((ablated.without_key, ablated.only_key)):
            scores[:, place, column] = _scores(checkpoint, waves, logits)
    return Circuit(
        STAGES, ABLATIONS, shares, *scores, guessing=1 / found.n, n_keys=int(key.sum()), n_freqs=len(key) - 1
    )


def steps(run: Run) -> list[int]:
    return around_grokking(run)


@dataclass(frozen=True)
class _KeyWaves:
    """The Fourier basis' rows at the key frequencies, over the residues in the task's cyclic order."""

    found: Cyclic
    key: Bool[Tensor, " freq"]

    @functools.cached_property
    def pairs(self) -> Int[Tensor, " pair"]:
        """The number of the task's pair at each place of the table, in cyclic order."""
        return self.found.table(torch.arange(len(self.found.task.pairs)).double()).flatten().long()

    @functools.cached_property
    def rows(self) -> Float[Tensor, "row n"]:
        """The waves, without the constant."""
        return self._with_constant[0][1:]

    @functools.cached_property
    def _with_constant(self) -> tuple[Float[Tensor, "row n"], Int[Tensor, " row"]]:
        """The constant and the waves, and the frequency of each."""
        freq = fourier.freq_of_row(self.found.n)
        kept = self.key[freq] | (freq == 0)
        return fourier.basis(self.found.n)[kept], freq[kept]

    def coefficients(self, x: Float[Tensor, "pair m"]) -> Float[Tensor, "row row m"]:
        """Return the coefficients of the eight waves over the pairs at each key frequency, among zeros."""
        basis, freq = self._with_constant
        along_a = (basis @ x.view(self.found.n, -1)).unflatten(1, (self.found.n, -1))  # [row, b, m]
        coefficients = torch.einsum("gb,fbm->fgm", basis, along_a)  # [row of a, row of b, m]
        alone = (freq[:, None] == 0) ^ (freq == 0)
        together = (freq[:, None] == freq) & (freq > 0)
        return coefficients * (alone | together)[..., None]

    def synthesised(self, coefficients: Float[Tensor, "row row m"]) -> Float[Tensor, "pair m"]:
        """Return the values on the pairs that have these coefficients."""
        basis, _ = self._with_constant
        along_b = torch.einsum("gb,fgm->fbm", basis, coefficients)  # [row of a, b, m]
        return (basis.T @ along_b.flatten(1)).view(self.found.n**2, -1)  # [pair, m]


@dataclass(frozen=True)
class _Ablated:
    """A stage's share of the variance at the key frequencies, and the network's logits when the stage is ablated."""

    share: Float[Tensor, ""]
    without_key: Float[Tensor, "pair logit"]
    only_key: Float[Tensor, "pair logit"]


def _embedding(checkpoint: Checkpoint, waves: _KeyWaves) -> _Ablated:
    axis, basis = waves.found.axis, waves.rows

    def logits(change: Callable[[Tensor, Tensor], Tensor]) -> Float[Tensor, "pair logit"]:
        def changed(E: Float[Tensor, "p d_model"]) -> Float[Tensor, "p d_model"]:
            rows = E[axis].cpu()
            return E.index_copy(0, axis.to(E.device), change(rows, basis.T @ (basis @ rows)).to(E))

        return ablation.after_embedding(checkpoint, changed)[waves.pairs]

    rows = checkpoint.embedding.cpu()[axis]
    return _Ablated(_share(rows, basis @ rows), logits(_without), logits(_only))


def _attention(checkpoint: Checkpoint, waves: _KeyWaves) -> _Ablated:
    architecture = has_attention(checkpoint.run.architecture)
    mid = architecture.resid_mid(checkpoint.activations).cpu()[waves.pairs]
    out = ablation.attn_out(checkpoint, architecture).cpu()[waves.pairs]
    coefficients = waves.coefficients(out)
    at_key = waves.synthesised(coefficients)
    without, only = (
        ablation.after_attention(checkpoint, architecture, mid - out + changed)
        for changed in (_without(out, at_key), _only(out, at_key))
    )
    return _Ablated(_share(out, coefficients), without, only)


def _neurons(checkpoint: Checkpoint, waves: _KeyWaves) -> _Ablated:
    """Ablate the neurons' part of the logits: where their way there is linear, their waves are taken there."""
    post = checkpoint.neurons.cpu()[waves.pairs]
    coefficients, readout = waves.coefficients(post), ablation.linear_readout(checkpoint)
    if readout is None:
        at_key = waves.synthesised(coefficients)
        without, only = (
            ablation.after_neurons(checkpoint, change(post, at_key), waves.pairs) for change in (_without, _only)
        )
        return _Ablated(_share(post, coefficients), without, only)
    at_key = waves.synthesised(coefficients @ readout)
    constant = ablation.after_neurons(checkpoint, post.mean(0, keepdim=True), waves.pairs)
    return _Ablated(_share(post, coefficients), checkpoint.logits[waves.pairs].cpu() - at_key, constant + at_key)


def _logits(checkpoint: Checkpoint, waves: _KeyWaves) -> _Ablated:
    """Ablate the logits of the n answers, centred over all; another one, that of "=", is left as it is."""
    found, basis = waves.found, waves.rows
    logits = found.centred_logits(checkpoint)  # [a, b, answer]
    of_answers = basis @ found.by_answer(logits).mean(1)  # [row, answer]
    at_key, flat = (basis.T @ of_answers)[found.answer.flatten()], logits.flatten(0, 1)  # each [pair, answer]
    everything = centred(checkpoint.logits[waves.pairs].cpu())
    without, only = (
        everything.index_copy(1, found.axis, changed) for changed in (_without(flat, at_key), _only(flat, at_key))
    )
    return _Ablated(_share(flat, found.n**0.5 * of_answers), without, only)


def _without(x: Float[Tensor, "row m"], at_key: Float[Tensor, "row m"]) -> Float[Tensor, "row m"]:
    return x - at_key


def _only(x: Float[Tensor, "row m"], at_key: Float[Tensor, "row m"]) -> Float[Tensor, "row m"]:
    return x.mean(0) + at_key


def _share(x: Float[Tensor, "row m"], coefficients: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """Return the part of the variance of `x` that its waves hold; NaN where `x` varies by no more than rounding."""
    squares = x.square().sum()
    variance = squares - len(x) * x.mean(0).square().sum()
    return (
        coefficients.square().sum() / variance if variance > 1e-12 * squares else torch.full_like(variance, torch.nan)
    )


def _scores(checkpoint: Checkpoint, waves: _KeyWaves, logits: Float[Tensor, "pair logit"]) -> Float[Tensor, " score"]:
    """Return the losses on train, test and all pairs, then the accuracies; NaN on no pairs."""
    answers, train = checkpoint.task.targets[waves.pairs], waves.found.train
    losses, right = cross_entropy(logits, answers), ablation.right(logits, answers, checkpoint.logits.cpu())
    once = waves.found.once.flatten()
    sets = [torch.zeros_like(once)] * 2 if train is None else [once & train.flatten(), once & ~train.flatten()]
    return torch.stack([values[chosen].mean() for values in (losses, right) for chosen in (*sets, once)])


def figure(result: xr.Dataset) -> list[Curves]:
    there = [stage for stage in result.stage.values if result.share.sel(stage=stage).notnull().any()]
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


def _one_of(records: dict[str, Claim], record: str, word: str) -> str:
    """Tell the stage of an extreme, where it is that of one stage alone."""
    extreme = records[record].value
    same = [name for name, one in records.items() if name.startswith(f"{record}_") and one.value == extreme]
    return f" ({word} for the {{{record}_stage}})" if len(same) == 1 else ""


EXTREMES: tuple[tuple[str, str, Reduction, Reduction], ...] = (
    ("kept", "only key", "min", "lowest label"),
    ("left", "without key", "max", "label"),
)
"""Record, ablation, and how the stage is chosen that tells most."""


def summary(result: xr.Dataset) -> Finding:
    name = "test_accuracy" if result.test_accuracy.notnull().any() else "all_accuracy"
    pairs = "test pairs" if name == "test_accuracy" else "pairs"
    there = result[name].dropna("step", how="all").isel(step=-1).dropna("stage", how="all")
    if there.sizes["stage"] == 0:
        raise UndefinedError("there is no stage")
    stages = [str(stage) for stage in there["stage"].values]
    claims, records = Claims(result), {}
    for record, taken_out, extreme, label in EXTREMES:
        claims.panel = f"Accuracy, {taken_out} frequencies"
        bar = Bar("guessing", array="guessing")
        records[record] = claims.end(name, extreme, bar, stage=stages, ablation=taken_out)
        records[f"{record}_stage"] = claims.end(name, label, stage=stages, ablation=taken_out)
        for stage in stages:
            records[f"{record}_{stage}"] = claims.end(name, stage=stage, ablation=taken_out)
    claims.panel = "Variance at the key frequencies"
    records |= {f"share_{stage}": claims.end("share", stage=stage) for stage in stages}
    fewest, most = _one_of(records, "kept", "fewest"), _one_of(records, "left", "most")
    records |= {"n_keys": claims.end("n_keys"), "n_freqs": claims.end("n_freqs")}
    which = "the {n_keys} key frequencies of {n_freqs}"
    if records["n_keys"].value == records["n_freqs"].value:
        which = "the key frequencies, here all there are,"
    elif records["n_keys"].value == 1:
        which = "the one key frequency of {n_freqs}"
    sentence = (
        f"At the end, with nothing but {which} at one stage, at least {{kept:.1%}} of the {pairs} are right"
        f"{fewest}; without them at most {{left:.1%}}{most}, where guessing gets {{left.bar:.1%}}."
    )
    return Finding(sentence, records, chapter="what", rank=25)
