"""The closed forms of the logits, fitted to a network's, and what comes of each in the network's place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.maths import closed_forms
from interp.maths.cross_entropy import cross_entropy
from interp.measures.shared.cyclic import Cyclic

FORMS = ("clock", "pizza", "both")
"""The forms that take the network's place."""


@dataclass(frozen=True)
class Explained:
    """The share of some logits that each closed form explains."""

    clock: float
    pizza: float
    halves: float
    """Clock and Pizza in equal power at every frequency."""
    both: float
    """Clock and Pizza, each with a coefficient of its own."""

    def by_form(self) -> Float[Tensor, " form"]:
        return torch.tensor([getattr(self, form) for form in FORMS], dtype=torch.float64)


@dataclass(frozen=True)
class Fits:
    """The closed forms fitted to some logits; they are named as in `Explained`."""

    clock: closed_forms.Fit
    pizza: closed_forms.Fit
    halves: closed_forms.Fit
    both: closed_forms.Fit

    def explained_by_freq(self) -> Float[Tensor, "form freq"]:
        """Return what each of the four forms takes off the squared norm of the logits, at each frequency from 1."""
        return torch.stack([fit.explained for fit in (self.clock, self.pizza, self.halves, self.both)])

    def explained(self, logits: Float[Tensor, "a b c"]) -> Explained:
        whole = logits.square().sum()
        return Explained(*(share(fit.sum(), whole) for fit in self.explained_by_freq()))


@dataclass(frozen=True)
class StandIn:
    """What comes of a closed form in the place of the network, and of the network without it."""

    accuracy: float
    """The share of all pairs that the form answers right."""
    loss_recovered: float
    divergence: float
    """The mean KL divergence from the form to the network [nats]."""
    agreement: float
    """The share of the network's divergence from the uniform distribution that the form accounts for."""
    left_accuracy: float
    """The share of all pairs that the network without the form answers right."""


def fit_forms(logits: Float[Tensor, "a b c"], found: Cyclic) -> Fits:
    profile = closed_forms.profile(logits, found.answer, found.difference)
    return Fits(
        *(fit(profile) for fit in (closed_forms.clock, closed_forms.pizza, closed_forms.halves, closed_forms.both))
    )


def stand_in(logits: Float[Tensor, "a b c"], found: Cyclic, fit: closed_forms.Fit) -> StandIn:
    """Score the closed form against the network's logits, whose mean over the answers is 0."""
    answers, network = found.answer.flatten(), logits.flatten(0, 1)  # [pair], [pair, c]
    form = closed_forms.logits(fit.amplitude, found.answer, found.difference).flatten(0, 1)
    uniform, log_p = math.log(found.n), network.log_softmax(-1)
    divergence = float((log_p.exp() * (log_p - form.log_softmax(-1))).sum(-1).mean())
    from_uniform = float((log_p.exp() * log_p).sum(-1).mean()) + uniform
    gained, to_gain = (uniform - float(cross_entropy(z, answers).mean()) for z in (form, network))
    right, left_right = (float((z.argmax(-1) == answers).double().mean()) for z in (form, network - form))
    return StandIn(
        accuracy=right,
        loss_recovered=gained / to_gain if to_gain > 0 else math.nan,
        divergence=divergence,
        agreement=1 - divergence / from_uniform if from_uniform > 0 else 0.0,
        left_accuracy=left_right,
    )


def explained_of_test(logits: Float[Tensor, "a b c"], found: Cyclic, fit: closed_forms.Fit) -> float:
    """Return the share of the logits on the test pairs that a form fitted to all pairs explains; NaN without any."""
    if found.train is None or found.train.all():
        return math.nan
    network = logits[~found.train]
    left = network - closed_forms.logits(fit.amplitude, found.answer, found.difference)[~found.train]
    variance = network.square().sum()
    return share(variance - left.square().sum(), variance)


def share(part: Float[Tensor, ""], whole: Float[Tensor, ""]) -> float:
    """Return part / whole, 0 where there is nothing."""
    return float(part / whole) if whole > 0 else 0.0
