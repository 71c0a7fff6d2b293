"""The closed forms of the logits, fitted to a network's, and what comes of each in the network's place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.maths import closed_forms, fourier
from interp.maths.cross_entropy import cross_entropy
from interp.measures.shared import ablation
from interp.measures.shared.cyclic import Cyclic
from interp.measures.shared.novel import novel_examples

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

    def clock_share(self, logits: Float[Tensor, "a b c"]) -> Float[Tensor, ""]:
        """The power of the Clock over that of Clock and Pizza; NaN where they explain no more than rounding."""
        explains = self.both.explained.sum() > fourier.TIE * logits.square().sum()
        return self.both.clock_share.where(explains, torch.nan)

    def explained(self, logits: Float[Tensor, "a b c"]) -> Explained:
        whole = logits.square().sum()
        return Explained(*(share(fit.sum(), whole) for fit in self.explained_by_freq()))


@dataclass(frozen=True)
class Logits:
    """A network's logits on the pairs, in cyclic order."""

    found: Cyclic
    answers: Float[Tensor, "a b c"]
    """Those of the n answers, less their mean."""
    others: Float[Tensor, "a b other"]
    """All others, that of "=" or, on products, of 0, less the same mean; there may be none."""

    def of_form(self, fit: closed_forms.Fit) -> Float[Tensor, "a b c"]:
        return closed_forms.logits(fit.amplitude, self.found.answer, self.found.difference)

    def accuracy(self, answers: Float[Tensor, "a b c"]) -> float:
        """The share of the pairs answered right, by the largest of all logits, with these for the answers."""
        together = [self.others.amax(-1, keepdim=True)] if self.others.numel() else []
        logits = torch.cat([answers, *together], dim=-1).flatten(0, 1)
        return self.mean(ablation.right(logits, self.found.answer.flatten(), self.answers))

    def mean(self, values: Float[Tensor, " pair"]) -> float:
        """The mean of what each place of the table has, over the pairs of the task."""
        return float(values[self.found.once.flatten()].mean())

    def with_others(self, answers: Float[Tensor, "a b c"]) -> Float[Tensor, "pair c_and_others"]:
        """These for the answers, and in one column the others, which weigh in a softmax as much as all of them do."""
        together = [self.others.logsumexp(-1, keepdim=True)] if self.others.numel() else []
        return torch.cat([answers, *together], dim=-1).flatten(0, 1)

    def log_softmax(self, answers: Float[Tensor, "a b c"]) -> Float[Tensor, "pair c_and_others"]:
        return self.with_others(answers).log_softmax(-1)


@dataclass(frozen=True)
class StandIn:
    """What comes of a closed form in the place of the network, and of the network without it."""

    accuracy: float
    """The share of all pairs that the form answers right."""
    loss_recovered: float
    divergence: float
    """The mean KL divergence from the form to the network [nats]."""
    agreement: float
    """The share of the network's divergence from answers all alike that the form accounts for."""
    left_accuracy: float
    """The share of all pairs that the network without the form answers right."""


def fit_forms(logits: Float[Tensor, "a b c"], found: Cyclic) -> Fits:
    profile = closed_forms.profile(logits, found.answer, found.difference)
    return Fits(
        *(fit(profile) for fit in (closed_forms.clock, closed_forms.pizza, closed_forms.halves, closed_forms.both))
    )


def network_logits(checkpoint: Checkpoint, found: Cyclic) -> Logits:
    """The logits of the network on the pairs, less each pair's mean over the answers."""
    logits = found.table(checkpoint.logits)  # [a, b, logit]
    others = torch.ones(logits.shape[-1], dtype=torch.bool).index_fill(0, found.axis, value=False)
    answers = logits[..., found.axis]
    mean = answers.mean(-1, keepdim=True)
    return Logits(found, answers - mean, logits[..., others] - mean)


def stand_in(network: Logits, fit: closed_forms.Fit) -> StandIn:
    """Score the closed form in the place of the network's logits of the answers; any others stay as they are."""
    answer, log_p = network.found.answer.flatten(), network.log_softmax(network.answers)  # [pair], [pair, c or other]
    form = network.of_form(fit)
    divergence, from_alike = (
        network.mean((log_p.exp() * (log_p - network.log_softmax(z))).sum(-1)) for z in (form, torch.zeros_like(form))
    )
    alike, loss, own_loss = (
        network.mean(cross_entropy(network.with_others(z), answer))
        for z in (torch.zeros_like(form), form, network.answers)
    )
    return StandIn(
        accuracy=network.accuracy(form),
        loss_recovered=(alike - loss) / (alike - own_loss) if alike > own_loss else math.nan,
        divergence=divergence,
        agreement=1 - divergence / from_alike if from_alike > 0 else 0.0,
        left_accuracy=network.accuracy(network.answers - form),
    )


def explained_of_novel(network: Logits, fit: closed_forms.Fit) -> float:
    """Return the share of the logits on the novel pairs that a form fitted to all pairs explains; NaN without any."""
    novel = network.found.table(novel_examples(network.found.task).double()) == 1
    if not novel.any():
        return math.nan
    logits = network.answers[novel]
    variance, left = logits.square().sum(), (logits - network.of_form(fit)[novel]).square().sum()
    return share(variance - left, variance)


def share(part: Float[Tensor, ""], whole: Float[Tensor, ""]) -> float:
    """Return part / whole, 0 where there is nothing."""
    return float(part / whole) if whole > 0 else 0.0
