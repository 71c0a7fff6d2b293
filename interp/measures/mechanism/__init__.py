"""Which algorithm a network of modular addition runs, and when it came to run it.

1. Closed forms of the logits, Clock, Pizza and both, are fitted, and each takes the network's place (`forms`).
2. The circles that carry most of the logits are left alone in the embedding, one by one (`lone_circles`).
3. From both the verdict is taken, with its margin (`verdict`).
4. Over a run, here, the steps at which the circuit was there and the test accuracy rose.
5. `telling` draws and speaks; no number is made there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import InterpError, NothingToSay
from interp.measures.circuit import STAGES
from interp.measures.mechanism.forms import FORMS, StandIn, explained_of_test, fit_forms, share, stand_in
from interp.measures.mechanism.lone_circles import lone_circles
from interp.measures.mechanism.telling import figure, summary
from interp.measures.mechanism.verdict import HALF, LEARNT, Evidence, Verdict, verdict_of
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.cyclic import Cyclic, cyclic

__all__ = ["Mechanism", "figure", "mechanism", "over_run", "steps", "summary"]


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
    train_accuracy: Float[Tensor, ""] | None
    """Share of the training pairs answered right"""
    test_accuracy: Float[Tensor, ""] | None
    """Share of the other pairs answered right"""
    share: Float[Tensor, " stage"]
    """Share of the stage's variance at the last checkpoint's key frequencies"""
    gradient_symmetricity: Float[Tensor, ""] | None
    """Zhong et al.'s gradient symmetricity, which no verdict is taken from"""
    distance_irrelevance: Float[Tensor, ""] | None
    """Zhong et al.'s distance irrelevance of the correct logit, which no verdict is taken from"""


def mechanism(checkpoint: Checkpoint, circles: int = 6) -> Mechanism:
    r"""The algorithm is the one whose closed form can stand in for the network.

    A closed form is fitted to the logits and takes their place: it has to answer 99 % of the pairs right, as the
    network must, and account for 95 % of its divergence from the uniform distribution, while the logits without it
    answer less than half. A network makes up by one circle for what another lacks. So Clock and Pizza are told apart on
    its `circles` strongest circles one by one, each left alone in the embedding (Zhong et al. 2023): the verdict is the
    form that explains most of these logits with one coefficient a frequency, and a *mixture* is the two in equal power.
    The verdict *memorisation* is for a network that is right on the training pairs, without the key frequencies too
    (excluded loss), and not on the others, and of whose logits on those no closed form explains half. All else is
    *unclear*.

    The margin goes from 0 to 1. For an algorithm it is the share of what the next best form leaves unexplained that the
    verdict explains; for memorisation, how far the closed forms fall short of one half; for unclear, how far the worst
    condition is missed, relative to its bar. Loss recovered is (ln n - L(form)) / (ln n - L(network)) over the n
    answers. Where lone circles compute nothing, so that less than half of their logits is a closed form, the whole
    logits decide, if less than half of the frequencies carry them: those of a lookup table have all frequencies alike.

    Formula: z_c = \sum_k \alpha_k \cos w_k(a+b-c) \quad\text{or}\quad
        z_c = \sum_k \beta_k \,|\cos(w_k(a-b-\delta_k)/2)|\, \cos w_k(a+b-c), \quad \alpha, \beta \ge 0

    Paper: Zhong et al. 2023, arXiv 2306.17844; Nanda et al. 2023, arXiv 2301.05217
    """
    if circles < 1:
        raise InterpError(f"mechanism: circles is {circles}; at least 1 circle is looked at")
    found, loss = cyclic(checkpoint), checkpoint.measure("loss")
    logits = found.logits(checkpoint)
    logits = logits - logits.mean(-1, keepdim=True)  # [a, b, c]
    fits = fit_forms(logits, found)
    stand_ins = {form: stand_in(logits, found, getattr(fits, form)) for form in FORMS}
    explained = fits.explained(logits)
    lone = lone_circles(checkpoint, found, fits.both, circles)
    circles_compute = lone.explained.both > HALF
    test_explained = explained_of_test(logits, found, fits.both)
    verdict, margin = verdict_of(
        Evidence(
            explained=lone.explained if circles_compute else explained,
            stand_ins=stand_ins,
            accuracy=float((logits.argmax(-1) == found.answer).double().mean()),
            sparsity=1.0 if circles_compute else _sparsity(fits.both.explained),
            test_explained=test_explained,
            in_memory=_in_memory(checkpoint, found),
        )
    )

    def by_form(number: Callable[[StandIn], float]) -> Float[Tensor, " form"]:
        return torch.tensor([number(stand_ins[form]) for form in FORMS], dtype=torch.float64)

    return Mechanism(
        form=FORMS,
        freq=torch.arange(found.n_freqs),
        stage=STAGES,
        verdict=verdict,
        margin=torch.tensor(margin, dtype=torch.float64),
        clock_share=lone.clock_share if circles_compute else fits.both.clock_share,
        accuracy=by_form(lambda one: one.accuracy),
        loss_recovered=by_form(lambda one: one.loss_recovered),
        divergence=by_form(lambda one: one.divergence),
        agreement=by_form(lambda one: one.agreement),
        explained=explained.by_form(),
        left_accuracy=by_form(lambda one: one.left_accuracy),
        test_explained=torch.tensor(test_explained, dtype=torch.float64),
        circle_explained=lone.explained.by_form(),
        circle=lone.mask,
        clock_by_freq=lone.clock_by_freq,
        pizza_by_freq=lone.pizza_by_freq,
        clock_share_by_freq=lone.clock_share_by_freq,
        all_accuracy=loss.all_accuracy,
        train_accuracy=loss.train_accuracy,
        test_accuracy=loss.test_accuracy,
        share=checkpoint.measure("circuit").share,
        gradient_symmetricity=_beside(checkpoint, "gradient_symmetricity", "gradient_symmetricity"),
        distance_irrelevance=_beside(checkpoint, "distance_irrelevance", "correct_logit"),
    )


def _beside(checkpoint: Checkpoint, measure: str, field: str) -> Float[Tensor, ""] | None:
    """Return what another measure says, on which no verdict rests; None where it has nothing to say."""
    try:
        return getattr(checkpoint.measure(measure), field)
    except NothingToSay:
        return None


def _sparsity(explained: Float[Tensor, " freq"]) -> float:
    """Return 1 less the share of the frequencies that carry the form: 0 for a lookup table, which has all alike."""
    return 1 - share(explained.sum().square(), explained.square().sum()) / len(explained)


def _in_memory(checkpoint: Checkpoint, found: Cyclic) -> bool:
    """Whether it knows the training pairs and not the others, and knows them without the key frequencies too."""
    if found.train is None or found.train.all():
        return False
    loss = checkpoint.measure("loss")
    known = bool(loss.train_accuracy >= LEARNT and loss.test_accuracy < HALF)
    return known and bool(checkpoint.measure("excluded_loss").train_loss < HALF * math.log(found.n))


def steps(run: Run) -> list[int]:
    return around_grokking(run)


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
        """Return the first step at which it holds, NaN where it never does."""
        return np.where(holds.any(axis=0), step[holds.argmax(axis=0)], np.nan)

    test = result.test_accuracy.values
    return Timeline(
        first(result.share.values > HALF),
        first(result.explained.sel(form="both").values > HALF),
        first(test > HALF),
        first(test > LEARNT),
    )
