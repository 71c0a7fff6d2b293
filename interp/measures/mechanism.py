"""The verdict: which algorithm the network runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import InterpError
from interp.figures import Bars, Curves
from interp.maths import closed_forms, fourier
from interp.maths.cross_entropy import cross_entropy
from interp.measures.circuit import STAGES
from interp.measures.loss import Loss
from interp.measures.shared import ablation
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.cyclic import Cyclic, cyclic
from interp.summaries import Summary

Verdict = Literal["memorisation", "clock", "pizza", "mixture", "unclear"]

FORMS = ("clock", "pizza", "both")

LEARNT = 0.99
"""The share of all pairs that the network, and its closed form, answer right."""
AGREES = 0.95
"""The share of the network's divergence from the uniform distribution that its closed form accounts for."""
HALF = 0.5
"""Less than this share of the pairs right without the closed form; more than this share of a stage, or of logits."""


@dataclass(frozen=True)
class Mechanism:
    form: tuple[str, ...]
    """Closed form"""
    freq: Int[Tensor, " freq"]
    """Frequency"""
    stage: tuple[str, ...]
    """Stage of the circuit"""
    verdict: Verdict
    """Which algorithm the network runs"""
    margin: Float[Tensor, ""]
    """How far the verdict is from the next, from 0 to 1"""
    clock_share: Float[Tensor, ""]
    """Power of the Clock over that of Clock and Pizza, fitted together"""
    accuracy: Float[Tensor, " form"]
    """Share of all pairs that the closed form answers right"""
    loss_recovered: Float[Tensor, " form"]
    """How much of the way from the uniform distribution's loss to the network's the closed form goes"""
    divergence: Float[Tensor, " form"]
    """KL divergence from the closed form to the network, mean over the pairs [nats]"""
    agreement: Float[Tensor, " form"]
    """Share of the network's divergence from the uniform distribution that the closed form accounts for"""
    explained: Float[Tensor, " form"]
    """Share of the logits' variance over the answers that the closed form explains"""
    left_accuracy: Float[Tensor, " form"]
    """Share of all pairs answered right by the logits without the closed form"""
    test_explained: Float[Tensor, ""]
    """The same share on the test pairs alone, of Clock and Pizza fitted together to all pairs"""
    circle_explained: Float[Tensor, " form"]
    """Share of the lone circles' logits that the closed form explains"""
    circle: Bool[Tensor, " freq"]
    """The circles looked at alone"""
    clock_by_freq: Float[Tensor, " freq"]
    """Share of the lone circle's logits that the Clock explains"""
    pizza_by_freq: Float[Tensor, " freq"]
    """Share of the lone circle's logits that the Pizza explains"""
    clock_share_by_freq: Float[Tensor, " freq"]
    """Power of the Clock over that of Clock and Pizza in the lone circle's logits"""
    all_accuracy: Float[Tensor, ""]
    """Share of all pairs answered right"""
    train_accuracy: Float[Tensor, ""]
    """Share of the training pairs answered right"""
    test_accuracy: Float[Tensor, ""]
    """Share of the other pairs answered right"""
    share: Float[Tensor, " stage"]
    """Share of the stage's variance at the last checkpoint's key frequencies"""
    gradient_symmetricity: Float[Tensor, ""]
    """Zhong et al.'s gradient symmetricity, which no verdict is taken from"""
    distance_irrelevance: Float[Tensor, ""]
    """Zhong et al.'s distance irrelevance of the correct logit, which no verdict is taken from"""


def mechanism(checkpoint: Checkpoint, circles: int = 6) -> Mechanism:
    r"""The algorithm is the one whose closed form can stand in for the network.

    A closed form is fitted to the logits and takes their place: it has to answer 99 % of the pairs right, as the
    network must, and account for 95 % of its divergence from the uniform distribution, while the logits without it
    answer less than half. Since a network makes up by one circle for what another lacks, Clock and Pizza are told
    apart on its `circles` strongest circles one by one, each left alone in the embedding (Zhong et al. 2023): the
    verdict is the form that explains most of these logits with one coefficient a frequency, a *mixture* being the two
    in equal power. *memorisation* is right on the training pairs, without the key frequencies too (excluded loss), and
    not on the others, of whose logits no closed form explains half; all else is *unclear*.

    Margin, from 0 to 1: of an algorithm, the share of what the next best form leaves unexplained that the verdict
    explains; of memorisation, how far the closed forms fall short of one half; of unclear, how far the worst condition
    is missed, relative to its bar. Loss recovered is (ln n - L(form)) / (ln n - L(network)) over the n answers. Where
    lone circles compute nothing (less than half of their logits is a closed form), the whole logits decide, if less
    than half of the frequencies carry them: a lookup table's have all frequencies alike.

    Formula: z_c = \sum_k \alpha_k \cos w_k(a+b-c) \quad\text{or}\quad
        z_c = \sum_k \beta_k \,|\cos(w_k(a-b-\delta_k)/2)|\, \cos w_k(a+b-c), \quad \alpha, \beta \ge 0

    Paper: Zhong et al. 2023, arXiv 2306.17844; Nanda et al. 2023, arXiv 2301.05217
    """
    if circles < 1:
        raise InterpError(f"mechanism: circles is {circles}; at least 1 circle is looked at")
    found, loss = cyclic(checkpoint), checkpoint.measure("loss")
    share = checkpoint.measure("circuit").share
    if found is None:
        return _no_verdict(checkpoint, loss, share)
    whole = found.logits(checkpoint)
    whole = whole - whole.mean(-1, keepdim=True)
    fits = _fits(whole, found)
    stand_ins = {form: _stand_in(whole, found, fits[form]) for form in FORMS}
    lone = _lone_circles(checkpoint, found, fits["both"], circles)
    explained = {form: _ratio(fit.explained.sum(), whole.square().sum()) for form, fit in fits.items()}
    test_explained = _test_explained(whole, found, fits["both"])
    circles_compute = lone.explained["both"] > HALF
    verdict, margin = _verdict(
        lone.explained if circles_compute else explained,
        stand_ins,
        accuracy=_accuracy(whole.flatten(0, 1), found.answer.flatten()),
        sparsity=1.0 if circles_compute else _sparsity(fits["both"].explained),
        test_explained=test_explained,
        memorised=_in_memory(checkpoint, found, loss),
    )
    scores = {name: _numbers({form: stand_ins[form][name] for form in FORMS}) for name in stand_ins["both"]}
    return Mechanism(
        form=FORMS,
        freq=torch.arange(found.n_freqs),
        stage=STAGES,
        verdict=verdict,
        margin=torch.tensor(margin, dtype=torch.float64),
        clock_share=lone.clock_share if circles_compute else fits["both"].clock_share,
        **scores,
        explained=_numbers(explained),
        test_explained=torch.tensor(test_explained, dtype=torch.float64),
        circle_explained=_numbers(lone.explained),
        circle=lone.mask,
        clock_by_freq=lone.clock_by_freq,
        pizza_by_freq=lone.pizza_by_freq,
        clock_share_by_freq=lone.clock_share_by_freq,
        all_accuracy=loss.all_accuracy,
        train_accuracy=loss.train_accuracy,
        test_accuracy=loss.test_accuracy,
        share=share,
        **_beside(checkpoint),
    )


def _beside(checkpoint: Checkpoint) -> dict[str, Float[Tensor, ""]]:
    """What Zhong et al. tell Clock and Pizza apart by."""
    return {
        "gradient_symmetricity": checkpoint.measure("gradient_symmetricity").gradient_symmetricity,
        "distance_irrelevance": checkpoint.measure("distance_irrelevance").correct_logit,
    }


def _no_verdict(checkpoint: Checkpoint, loss: Loss, share: Float[Tensor, " stage"]) -> Mechanism:
    """Of a task without frequencies."""
    freq = torch.arange(checkpoint.task.p // 2 + 1)
    by_form, by_freq = (torch.full((n,), torch.nan, dtype=torch.float64) for n in (len(FORMS), len(freq)))
    return Mechanism(
        form=FORMS,
        freq=freq,
        stage=STAGES,
        verdict="unclear",
        margin=by_form[0],
        clock_share=by_form[0],
        accuracy=by_form,
        loss_recovered=by_form,
        divergence=by_form,
        agreement=by_form,
        left_accuracy=by_form,
        explained=by_form,
        test_explained=by_form[0],
        circle_explained=by_form,
        circle=torch.zeros(len(freq), dtype=torch.bool),
        clock_by_freq=by_freq,
        pizza_by_freq=by_freq,
        clock_share_by_freq=by_freq,
        all_accuracy=loss.all_accuracy,
        train_accuracy=loss.train_accuracy,
        test_accuracy=loss.test_accuracy,
        share=share,
        **_beside(checkpoint),
    )


def steps(run: Run) -> list[int]:
    return around_grokking(run)


def _verdict(
    explained: dict[str, float],
    stand_ins: dict[str, dict[str, float]],
    accuracy: float,
    sparsity: float,
    test_explained: float,
    memorised: bool,
) -> tuple[Verdict, float]:
    """The verdict and its margin, from the share of the logits that each form explains."""
    order = sorted(("clock", "pizza", "halves"), key=lambda form: explained[form], reverse=True)
    best, following = explained[order[0]], explained[order[1]]
    verdicts: dict[str, Verdict] = {"clock": "clock", "pizza": "pizza", "halves": "mixture"}
    verdict = verdicts[order[0]]
    stand_in = stand_ins["both" if verdict == "mixture" else verdict]
    relative_to_bar = (
        accuracy / LEARNT,
        stand_in["accuracy"] / LEARNT,
        stand_in["agreement"] / AGREES,
        (1 - stand_in["left_accuracy"]) / HALF,
        sparsity / HALF,
    )
    missed = 1 - min(relative_to_bar)
    if missed <= 0:
        return verdict, (best - following) / (1 - following)
    if memorised and test_explained < HALF:
        return "memorisation", min(1 - test_explained / HALF, 1.0)
    return "unclear", min(missed, 1.0)


def _in_memory(checkpoint: Checkpoint, found: Cyclic, loss: Loss) -> bool:
    """Whether it knows the training pairs and not the others, and knows them without the key frequencies too."""
    known = bool(loss.train_accuracy >= LEARNT and loss.test_accuracy < HALF)
    return known and bool(checkpoint.measure("excluded_loss").train_loss < HALF * math.log(found.n))


def _sparsity(explained: Float[Tensor, " freq"]) -> float:
    """One less the share of the frequencies that carry the form: 0 for a lookup table, which has all of them alike."""
    carrying = _ratio(explained.sum().square(), explained.square().sum())
    return 1 - carrying / len(explained)


def _ratio(part: Float[Tensor, ""], whole: Float[Tensor, ""]) -> float:
    return float(part / whole) if whole > 0 else 0.0


def _numbers(by_form: dict[str, float]) -> Float[Tensor, " form"]:
    return torch.tensor([by_form[form] for form in FORMS], dtype=torch.float64)


def _fits(logits: Float[Tensor, "a b c"], found: Cyclic) -> dict[str, closed_forms.Fit]:
    profile = closed_forms.profile(logits, found.answer, found.difference)
    return {
        "clock": closed_forms.clock(profile),
        "pizza": closed_forms.pizza(profile),
        "halves": closed_forms.halves(profile),
        "both": closed_forms.both(profile),
    }


def _stand_in(whole: Float[Tensor, "a b c"], found: Cyclic, fit: closed_forms.Fit) -> dict[str, float]:
    """What comes of a closed form in the place of the network, and of the network without it."""
    answers, network = found.answer.flatten(), whole.flatten(0, 1)
    logits = closed_forms.logits(fit.amplitude, found.answer, found.difference).flatten(0, 1)
    uniform, log_p = math.log(found.n), network.log_softmax(-1)
    divergence = float((log_p.exp() * (log_p - logits.log_softmax(-1))).sum(-1).mean())
    from_uniform = float((log_p.exp() * log_p).sum(-1).mean()) + uniform
    gained, to_gain = (uniform - float(cross_entropy(z, answers).mean()) for z in (logits, network))
    return {
        "accuracy": _accuracy(logits, answers),
        "loss_recovered": gained / to_gain if to_gain > 0 else math.nan,
        "divergence": divergence,
        "agreement": 1 - divergence / from_uniform if from_uniform > 0 else 0.0,
        "left_accuracy": _accuracy(network - logits, answers),
    }


def _test_explained(whole: Float[Tensor, "a b c"], found: Cyclic, fit: closed_forms.Fit) -> float:
    if found.train is None or found.train.all():
        return math.nan
    network = whole[~found.train]
    left = network - closed_forms.logits(fit.amplitude, found.answer, found.difference)[~found.train]
    variance = network.square().sum()
    return _ratio(variance - left.square().sum(), variance)


def _accuracy(logits: Float[Tensor, "pair c"], answers: Int[Tensor, " pair"]) -> float:
    return float((logits.argmax(-1) == answers).double().mean())


@dataclass(frozen=True)
class _LoneCircles:
    mask: Bool[Tensor, " freq"]
    explained: dict[str, float]
    clock_share: Float[Tensor, ""]
    clock_by_freq: Float[Tensor, " freq"]
    pizza_by_freq: Float[Tensor, " freq"]
    clock_share_by_freq: Float[Tensor, " freq"]


def _lone_circles(checkpoint: Checkpoint, found: Cyclic, whole: closed_forms.Fit, count: int) -> _LoneCircles:
    """The circles that carry most of the logits, each alone in the embedding; its own frequency of its logits."""
    strongest = (whole.explained.topk(min(count, len(whole.explained))).indices + 1).tolist()
    strongest = [freq for freq in strongest if whole.explained[freq - 1] > 0.01 * whole.explained.sum()]
    nothing = torch.full((found.n_freqs,), torch.nan, dtype=torch.float64)
    by_freq = {name: nothing.clone() for name in ("clock", "pizza", "share")}
    mask = torch.zeros(found.n_freqs, dtype=torch.bool)
    explained: dict[str, float] = dict.fromkeys(("clock", "pizza", "halves", "both"), 0.0)
    total, powers = 0.0, torch.zeros(2, dtype=torch.float64)
    for freq in strongest:
        logits = _of_lone_circle(checkpoint, found, freq)
        variance = float(logits.square().sum())
        fits = _fits(logits, found)
        both = fits["both"]
        for name, fit in fits.items():
            explained[name] += float(fit.explained[freq - 1])
        power = torch.stack([both.clock_power[freq - 1], both.pizza_power[freq - 1]])
        total, powers = total + variance, powers + power
        mask[freq] = True
        by_freq["share"][freq] = power[0] / power.sum()
        if variance > 0:
            for name in ("clock", "pizza"):
                by_freq[name][freq] = float(fits[name].explained[freq - 1]) / variance
    shares = {name: value / total if total > 0 else 0.0 for name, value in explained.items()}
    return _LoneCircles(mask, shares, powers[0] / powers.sum(), by_freq["clock"], by_freq["pizza"], by_freq["share"])


def _of_lone_circle(checkpoint: Checkpoint, found: Cyclic, freq: int) -> Float[Tensor, "a b c"]:
    """The logits when the embedding has its mean and one frequency, less what is the same for all pairs or answers."""
    of_row = fourier.freq_of_row(found.n)
    kept = fourier.basis(found.n)[(of_row == 0) | (of_row == freq)]

    def alone(E: Float[Tensor, "p d_model"]) -> Float[Tensor, "p d_model"]:
        axis, rows = found.axis.to(E.device), kept.to(E)
        return E.index_copy(0, axis, rows.T @ (rows @ E[axis]))

    logits = found.table(ablation.after_embedding(checkpoint, alone)[:, found.axis])
    logits = logits - logits.mean(-1, keepdim=True)
    varying = logits - logits.mean((0, 1))
    rounding = 1e-20 * logits.square().sum()
    return varying if varying.square().sum() > rounding else torch.zeros_like(varying)


@dataclass(frozen=True)
class Timeline:
    stage_step: Float[np.ndarray, " stage"]
    """First step at which the key frequencies hold more than half of the stage"""
    explained_step: Float[np.ndarray, ""]
    """First step at which the closed forms explain more than half of the logits"""
    half_right_step: Float[np.ndarray, ""]
    """First step with more than half of the test pairs right"""
    right_step: Float[np.ndarray, ""]
    """First step with more than 99 % of the test pairs right"""


def over_run(result: xr.Dataset) -> Timeline:
    step = result.step.values.astype(float)

    def first(holds: np.ndarray) -> np.ndarray:
        """NaN where it never does."""
        return np.where(holds.any(axis=0), step[holds.argmax(axis=0)], np.nan)

    test = result.test_accuracy.values
    return Timeline(
        first(result.share.values > HALF),
        first(result.explained.sel(form="both").values > HALF),
        first(test > HALF),
        first(test > LEARNT),
    )


def figure(result: xr.Dataset) -> list[Curves | Bars]:
    if not result.explained.notnull().any():
        return []
    forms = [str(form) for form in result.form.values]
    stages = [str(stage) for stage in result.stage.values if result.share.sel(stage=stage).notnull().any()]
    return [
        Curves(
            "Explained of each circle alone",
            {form: result.circle_explained.sel(form=form) for form in forms},
            percent=True,
            width="half",
        ),
        Curves(
            "Explained of the whole logits",
            {form: result.explained.sel(form=form) for form in forms},
            percent=True,
            width="half",
        ),
        Curves(
            "The circuit's stages",
            {stage: result.share.sel(stage=stage) for stage in stages},
            percent=True,
            width="half",
        ),
        Curves("Share of the Clock", {"all": result.clock_share}, percent=True, width="half"),
        Curves(
            "Beside the verdict",
            {"symmetricity": result.gradient_symmetricity, "irrelevance": result.distance_irrelevance},
            width="half",
        ),
        Bars("Clock's share in each circle at this step", result.clock_share_by_freq.fillna(0), percent=True),
    ]


def summary(result: xr.Dataset) -> Summary:
    last = result.isel(step=-1)
    if not last.explained.notnull().any():
        return Summary(
            "The task has no cyclic order of its operands, so neither Clock nor Pizza can be looked for: **unclear**.",
            {"verdict": "unclear"},
        )
    verdict = str(last.verdict.values)
    form = "both" if verdict in ("mixture", "memorisation", "unclear") else verdict
    own = last.sel(form=form)
    values = {
        "verdict": verdict,
        "margin": float(last.margin),
        "clock_share": float(last.clock_share),
        "verdicts": [str(one) for one in result.verdict.values],
        "loss_recovered": float(own.loss_recovered),
        "explained": float(last.explained.sel(form="both")),
        "circle_explained": float(own.circle_explained),
        **{
            name: None if np.isnan(float(result[name])) else int(result[name])
            for name in ("explained_step", "half_right_step", "right_step")
        },
        "stage_step": {
            str(stage): None if np.isnan(float(step)) else int(step)
            for stage, step in zip(result.stage.values, result.stage_step.values, strict=True)
        },
    }
    return Summary(" ".join([_ends_as(last, verdict), *_before(result), *_times(values)]), values)


def _ends_as(last: xr.Dataset, verdict: str) -> str:
    margin = f"margin **{float(last.margin):.2f}**"
    explained = f"**{float(last.explained.sel(form='both')):.0%}**"
    if verdict == "memorisation":
        return f"It ends **memorising**: the closed forms explain {explained} of its logits ({margin})."
    if verdict == "unclear":
        right = float(last.all_accuracy)
        return (
            f"Which algorithm it ends with is **unclear**: it answers **{right:.1%}** of all pairs, the closed forms "
            f"explain {explained} of its logits ({margin})."
        )
    circles = " and ".join(
        f"{name} **{float(last.circle_explained.sel(form=name.lower())):.0%}**" for name in ("Clock", "Pizza")
    )
    form = "both" if verdict == "mixture" else verdict
    recovered = f"**{float(last.loss_recovered.sel(form=form)):.1%}**"
    return (
        f"It ends as a **{NAMES[verdict]}** (its closed form recovers {recovered} of the loss; "
        f"of its circles alone {circles} explain; {margin})."
    )


NAMES = {"clock": "Clock", "pizza": "Pizza", "mixture": "mixture of Clock and Pizza"}


def _before(result: xr.Dataset) -> list[str]:
    """The other algorithms it ran on the way, each with its first step."""
    verdicts = [str(verdict) for verdict in result.verdict.values]
    others = [verdict for verdict in dict.fromkeys(verdicts) if verdict in NAMES and verdict != verdicts[-1]]
    told = [f"a {NAMES[verdict]} at step **{int(result.step[verdicts.index(verdict)]):,}**" for verdict in others]
    return [f"It was {_listed(told)} before."] if told else []


def _times(values: dict[str, object]) -> list[str]:
    """When the circuit was there, beside when the test accuracy rose; nothing where neither is known."""
    stages = values["stage_step"]
    assert isinstance(stages, dict)
    there = [f"{stage} at step **{step:,}**" for stage, step in stages.items() if step is not None]
    right = [
        f"{share} at step **{values[name]:,}**"
        for share, name in (("50 %", "half_right_step"), ("99 %", "right_step"))
        if values[name] is not None
    ]
    sentences = [f"The key frequencies came to hold half of {_listed(there)}."] if there and right else []
    return sentences + ([f"The test accuracy passed {_listed(right)}."] if right else [])


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
