"""Which algorithm a network runs, and when it came to run it.

1. Closed forms of the logits, Clock, Pizza and both, are fitted, and each takes the network's place (`forms`).
2. The circles that carry most of the logits are left alone in the embedding, one by one (`lone_circles`).
3. From both, and from the accuracies, the verdict is taken, with its margin and what decided it (`verdict`).
4. Over a run, here, the steps at which the circuit was there and the test accuracy rose.
5. `telling` draws and speaks; no number is made there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.stats import binom
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import InterpError, NothingToSay
from interp.measures.circuit import STAGES
from interp.measures.mechanism.forms import (
    FORMS,
    StandIn,
    explained_of_novel,
    fit_forms,
    network_logits,
    share,
    stand_in,
)
from interp.measures.mechanism.lone_circles import lone_circles
from interp.measures.mechanism.telling import figure, summary
from interp.measures.mechanism.verdict import HALF, LEARNT, Number, OfForms, Verdict, verdict_of
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.cyclic import cyclic
from interp.measures.shared.memory import memory, why_not

__all__ = ["Mechanism", "figure", "mechanism", "over_run", "steps", "summary"]


@dataclass(frozen=True)
class Mechanism:
    form: tuple[str, ...]
    """Closed form"""
    freq: Int[Tensor, " freq"]
    """Frequency; 0 alone where the task has no cyclic order"""
    stage: tuple[str, ...]
    """Stage of the forward pass"""
    verdict: Verdict
    """Which algorithm the network runs"""
    margin: Float[Tensor, ""]
    """How far the number that decided is from its bar, a share of the room on its side"""
    decided_by: Number
    """The number that is nearest to its bar, and so decided the verdict"""
    decided_value: Float[Tensor, ""]
    """The number that decided the verdict"""
    decided_bar: Float[Tensor, ""]
    """Bar that the number which decided was held against"""
    next_verdict: Verdict
    """The verdict on the other side of that bar; unclear where there is no other"""
    all_accuracy: Float[Tensor, ""]
    """Share of all examples answered right"""
    train_accuracy: Float[Tensor, ""] | None
    """Share of the training examples answered right"""
    test_accuracy: Float[Tensor, ""] | None
    """Share of the other examples answered right"""
    novel_accuracy: Float[Tensor, ""]
    """Share answered right of the examples that a lookup table of the training examples cannot know"""
    novel_luck: Float[Tensor, ""]
    """Chance to answer no more of the novel examples right, each of which is known with probability 1/2"""
    novel_examples: int
    """Examples that a lookup table of the training examples cannot know"""
    novel_bar: Float[Tensor, ""]
    """Novel accuracy from which a network knows more than it was shown"""
    chance: Float[Tensor, ""]
    """Share of all examples that have the commonest answer"""
    random_labels: bool
    """The answers were drawn at random"""
    clock_share: Float[Tensor, ""] | None = None
    """Power of the Clock over that of Clock and Pizza, fitted together to the logits that decide"""
    accuracy: Float[Tensor, " form"] | None = None
    """Share of all pairs answered right with the closed form in the place of the network's logits"""
    loss_recovered: Float[Tensor, " form"] | None = None
    """How much of the way from the loss of answers all alike to the network's the closed form goes"""
    divergence: Float[Tensor, " form"] | None = None
    """KL divergence from the closed form to the network, mean over the pairs [nats]"""
    agreement: Float[Tensor, " form"] | None = None
    """Share of the network's divergence from answers all alike that the closed form accounts for"""
    explained: Float[Tensor, " form"] | None = None
    """Share of the logits' variance over the answers that the closed form explains"""
    left_accuracy: Float[Tensor, " form"] | None = None
    """Share of all pairs answered right by the logits without the closed form"""
    novel_explained: Float[Tensor, ""] | None = None
    """The same share on the novel pairs alone, of Clock and Pizza fitted together to all pairs"""
    circle_explained: Float[Tensor, " form"] | None = None
    """Share of the lone circles' logits that the closed form explains"""
    circle: Bool[Tensor, " freq"] | None = None
    """The circles looked at alone"""
    clock_by_freq: Float[Tensor, " freq"] | None = None
    """Share of the lone circle's logits that the Clock explains"""
    pizza_by_freq: Float[Tensor, " freq"] | None = None
    """Share of the lone circle's logits that the Pizza explains"""
    clock_share_by_freq: Float[Tensor, " freq"] | None = None
    """Power of the Clock over that of Clock and Pizza in the lone circle's logits"""
    share: Float[Tensor, " stage"] | None = None
    """Share of the stage's variance at the last checkpoint's key frequencies"""
    key_share: Float[Tensor, ""] | None = None
    """Share of the frequencies that are key frequencies, which noise would have of any stage"""
    gradient_symmetricity: Float[Tensor, ""] | None = None
    """Gradient symmetricity of Zhong et al., which no verdict is taken from"""
    distance_irrelevance: Float[Tensor, ""] | None = None
    """Distance irrelevance of the correct logit of Zhong et al., which no verdict is taken from"""


def mechanism(checkpoint: Checkpoint, circles: int = 6) -> Mechanism:
    r"""The algorithm is the one whose closed form can stand in for the network; what knows nothing novel is memory.

    A closed form is fitted to the logits and takes their place: it has to answer 99% of the pairs right, as the
    network must, and account for 95% of its divergence from answers that are all alike, while the logits without it
    answer less than half. A network makes up by one circle for what another lacks. So Clock and Pizza are told apart on
    its `circles` strongest circles one by one, each left alone in the embedding (Zhong et al. 2023): the verdict is the
    form that explains most of these logits with one coefficient a frequency. A *mixture* is a network whose logits are
    explained best by Clock and Pizza in equal power; on one circle that is so where the Clock has between a tenth and
    nine tenths of the power of both, and the share that it has is told beside the verdict. Where lone circles compute
    nothing, so that less than half of their logits is a closed form, the whole logits decide, if less than half of the
    frequencies carry them: those of a lookup table have all frequencies alike.

    The verdict *memorisation* is for a network that answers 99% of the training examples right and knows little else.
    A lookup table knows the training examples and, of a symmetric operation, their mirrors; the examples that are
    neither are *novel*. Always giving the commonest answer gets the share of it right, which is chance; the network has
    memorised where, of the novel examples, it gets no more than chance and a quarter of what chance leaves. A circuit
    may be forming all the same, as the share of the logits on the novel pairs tells that the closed forms explain.
    Where the labels were drawn at random there is no rule to find, so to know the training examples is to have
    memorised them, with or without novel ones. Without novel examples of any other task, or where nobody knows what was
    trained on, memory is never said. All else is *unclear*. On tasks without a cyclic order there are no closed forms,
    and the verdict is memorisation or unclear.

    The margin goes from 0 to 1: it is the least of the distances to the next form and to each bar, and for *unclear*
    the distance to the nearest verdict, by the condition that misses it most. A distance is a share of the room on that
    side of the bar: of an accuracy of 99.5%, (0.995 - 0.99)/(1 - 0.99); of a form and the next, the share of what the
    next leaves unexplained; of a novel accuracy below its bar, its share of the way from the bar down to chance.

    Right is what has the largest of all logits that the network was trained with. Where there are others than those of
    the n answers, they stay as they are when a closed form takes the answers' place. Loss recovered is
    (L(alike) - L(form)) / (L(alike) - L(network)), where the n answers are alike: ln n where there are no others.

    Formula: z_c = \sum_k \alpha_k \cos w_k(a+b-c) \quad\text{or}\quad
        z_c = \sum_k \beta_k \,|\cos(w_k(a-b-\delta_k)/2)|\, \cos w_k(a+b-c), \quad \alpha, \beta \ge 0

    Paper: Zhong et al. 2023, arXiv 2306.17844; Nanda et al. 2023, arXiv 2301.05217
    """
    if circles < 1:
        raise InterpError(f"mechanism: circles is {circles}; at least 1 circle is looked at")
    of_memory = memory(checkpoint)
    novel = of_memory.novel_examples
    try:
        forms, of_forms = _closed_forms(checkpoint, circles)
    except NothingToSay as reason:
        if not of_memory.can_be_told:
            raise NothingToSay(f"{reason}; and {why_not(checkpoint)}") from None
        forms, of_forms = None, {"freq": torch.zeros(1, dtype=torch.int64)}
    decided, loss = verdict_of(of_memory, forms), checkpoint.measure("loss")
    return Mechanism(
        form=FORMS,
        stage=STAGES,
        verdict=cast("Verdict", decided.verdict),
        margin=_number(decided.margin),
        decided_by=cast("Number", decided.by.number),
        decided_value=_number(decided.by.value),
        decided_bar=_number(decided.by.bar),
        next_verdict=cast("Verdict", decided.next),
        all_accuracy=loss.all_accuracy,
        train_accuracy=loss.train_accuracy,
        test_accuracy=loss.test_accuracy,
        novel_accuracy=_number(of_memory.novel_accuracy),
        novel_examples=novel,
        novel_luck=_number(
            float(binom.cdf(round(novel * of_memory.novel_accuracy), novel, 0.5)) if novel else math.nan
        ),
        novel_bar=_number(of_memory.bar),
        chance=_number(of_memory.chance),
        random_labels=of_memory.random_labels,
        share=_beside(checkpoint, "circuit", "share"),
        key_share=_share_of_keys(checkpoint),
        gradient_symmetricity=_beside(checkpoint, "gradient_symmetricity", "gradient_symmetricity"),
        distance_irrelevance=_beside(checkpoint, "distance_irrelevance", "correct_logit"),
        **of_forms,
    )


def _closed_forms(checkpoint: Checkpoint, circles: int) -> tuple[OfForms, dict[str, Any]]:
    """Return what speaks for each closed form, and the numbers of the record that are of closed forms.

    Raises NothingToSay where the task has no cyclic order.
    """
    found = cyclic(checkpoint)
    network = network_logits(checkpoint, found)
    fits = fit_forms(network.answers, found)
    stand_ins = {form: stand_in(network, getattr(fits, form)) for form in FORMS}
    explained = fits.explained(network.answers)
    lone = lone_circles(checkpoint, found, fits.both, circles)

    def by_form(number: Callable[[StandIn], float]) -> Float[Tensor, " form"]:
        return torch.tensor([number(stand_ins[form]) for form in FORMS], dtype=torch.float64)

    evidence = OfForms(
        circles=lone.explained,
        whole=explained,
        stand_ins=stand_ins,
        accuracy=network.accuracy(network.answers),
        sparsity=_sparsity(fits.both.explained),
    )
    return evidence, {
        "freq": torch.arange(found.n_freqs),
        "clock_share": lone.clock_share if lone.explained.both > HALF else fits.clock_share(network.answers),
        "accuracy": by_form(lambda one: one.accuracy),
        "loss_recovered": by_form(lambda one: one.loss_recovered),
        "divergence": by_form(lambda one: one.divergence),
        "agreement": by_form(lambda one: one.agreement),
        "explained": explained.by_form(),
        "left_accuracy": by_form(lambda one: one.left_accuracy),
        "novel_explained": _number(explained_of_novel(network, fits.both)),
        "circle_explained": lone.explained.by_form(),
        "circle": lone.mask,
        "clock_by_freq": lone.clock_by_freq,
        "pizza_by_freq": lone.pizza_by_freq,
        "clock_share_by_freq": lone.clock_share_by_freq,
    }


def _number(value: float) -> Float[Tensor, ""]:
    return torch.tensor(value, dtype=torch.float64)


def _share_of_keys(checkpoint: Checkpoint) -> Float[Tensor, ""] | None:
    n_keys, n_freqs = (_beside(checkpoint, "circuit", name) for name in ("n_keys", "n_freqs"))
    return None if n_keys is None or n_freqs is None else _number(float(n_keys / n_freqs))


def _beside(checkpoint: Checkpoint, measure: str, field: str) -> Any:
    """Return what another measure says, on which no verdict rests; None where it has nothing to say."""
    try:
        return getattr(checkpoint.measure(measure), field)
    except NothingToSay:
        return None


def _sparsity(explained: Float[Tensor, " freq"]) -> float:
    """Return 1 less the share of the frequencies that carry the form: 0 for a lookup table, which has all alike."""
    return 1 - share(explained.sum().square(), explained.square().sum()) / len(explained)


def steps(run: Run) -> list[int]:
    return around_grokking(run)


@dataclass(frozen=True)
class Timeline:
    stage_step: Float[np.ndarray, " stage"]
    """First step at which the key frequencies hold more than half of the stage"""
    explained_step: Float[np.ndarray, ""]
    """First step at which the closed forms explain more than half of the logits"""
    half_right_step: Float[np.ndarray, ""]
    """First step with more than half of the test pairs right; none where chance alone gives that"""
    right_step: Float[np.ndarray, ""]
    """First step with more than 99% of the test pairs right"""


def over_run(result: xr.Dataset) -> Timeline:
    step = result.step.values.astype(float)

    def first(holds: np.ndarray) -> np.ndarray:
        """Return the first step at which it holds, NaN where it never does."""
        return np.where(holds.any(axis=0), step[holds.argmax(axis=0)], np.nan)

    test = result.test_accuracy.values
    return Timeline(
        first(result.share.values > HALF),
        first(result.explained.sel(form="both").values > HALF),
        first((test > HALF) & (result.chance.values < HALF)),
        first(test > LEARNT),
    )
