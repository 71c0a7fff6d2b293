"""Which of our measures gives which metric that a release recorded: one table, and how a metric is looked up in it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay


@dataclass(frozen=True)
class Metric:
    """What a release recorded, as a number that one of our measures gives."""

    measure: str
    read: Callable[[Any], Tensor]
    """Takes the value from the measure's answer; for a metric of each irreducible representation an array [irrep]."""
    options: Mapping[str, Any] = field(default_factory=dict)
    rtol: float = 0.0
    """The relative tolerance, where numerical methods differ by more than rounding."""
    resolved: Callable[[Any], bool] = lambda _: True
    """Whether float64 leaves more of the measure's answer than rounding, so that it can be compared."""


@dataclass(frozen=True)
class Found:
    """A metric, and the representation that its name asks for."""

    metric: Metric
    rep: str | None
    """ "freq_3" or "sign"; None for a metric of the whole network."""

    def is_resolved(self, checkpoint: Checkpoint) -> bool:
        """Whether ours can be compared with others' in float64."""
        try:
            return self.metric.resolved(checkpoint.measure(self.metric.measure, **self.metric.options))
        except NothingToSay:
            return True

    def value(self, checkpoint: Checkpoint) -> float:
        """Ours, at this checkpoint; NaN where the measure has nothing to say."""
        try:
            answer = checkpoint.measure(self.metric.measure, **self.metric.options)
        except NothingToSay:
            return math.nan
        values = self.metric.read(answer)
        if self.rep is None:
            return float(values)
        return float(values[answer.irrep.index(self.rep)]) if self.rep in answer.irrep else math.nan


OF_TINY, LEAST = 2e-4, 2e-12
"""What float64 leaves uncertain of a quotient by a loss of at least so many nats, of which 4e-16 are rounding."""
GRADIENT = Metric("gradient_symmetricity", lambda found: found.gradient_symmetricity, {"shift_b": False})
CORRECT = Metric("distance_irrelevance", lambda found: found.correct_logit)
CIRCULARITY = Metric("circularity", lambda found: found.circularity, {"rows": "all"}, rtol=2e-4)
NORM = Metric("weight_norm", lambda found: found.total)
ALL_ACCURACY = Metric("loss", lambda found: found.all_accuracy)

METRICS = {
    "all_loss": Metric("loss", lambda found: found.all_loss),
    "train_loss": Metric("loss", lambda found: found.train_loss),
    "test_loss": Metric("loss", lambda found: found.test_loss),
    "acc": ALL_ACCURACY,
    "accuracy": ALL_ACCURACY,
    "train_acc": Metric("loss", lambda found: found.train_accuracy),
    "test_acc": Metric("loss", lambda found: found.test_accuracy),
    "parameter_norm": NORM,
    "parameter_norm_notebook": NORM,
    "sum_of_squared_weights": Metric("weight_norm", lambda found: found.total.square()),
    "gradient_sim": GRADIENT,
    "gradient_sim_notebook": GRADIENT,
    "distance_irrelevance": Metric("distance_irrelevance", lambda found: found.best_wrong_logit),
    "distance_irrelevance_correct_logit": CORRECT,
    "distance_irrelevance_notebook": CORRECT,
    "circularity": CIRCULARITY,
    "circularity_notebook": CIRCULARITY,
    "circularity_59rows": Metric("circularity", lambda found: found.circularity, rtol=2e-4),
    "percent_logits_explained": Metric("irrep_logits", lambda found: found.explained),
    "total_logit_restricted_loss": Metric("irrep_logits", lambda found: found.total_restricted_loss),
    "total_logit_excluded_loss": Metric("irrep_logits", lambda found: found.total_excluded_loss),
    "percent_x_embed_explained": Metric("irrep_weights", lambda found: found.embed_a_explained),
    "percent_y_embed_explained": Metric("irrep_weights", lambda found: found.embed_b_explained),
    "percent_unembed_explained": Metric("irrep_weights", lambda found: found.unembed_explained),
    "percent_hidden_explained": Metric("irrep_hidden", lambda found: found.explained),
    "percent_hidden_xy_explained": Metric("irrep_hidden", lambda found: found.ab_explained),
    "total_hidden_restricted_loss": Metric("irrep_hidden", lambda found: found.total_restricted_loss),
    "total_hidden_excluded_loss": Metric("irrep_hidden", lambda found: found.total_excluded_loss),
    "test_loss_restricted_loss_ratio": Metric(
        "irrep_hidden",
        lambda found: found.test_ratio,
        rtol=OF_TINY,
        resolved=lambda found: bool(found.total_restricted_loss >= LEAST),
    ),
    "logit_{rep}_rep_trace_similarity": Metric("irrep_logits", lambda found: found.trace_similarity),
    "logit_restricted_loss_{rep}_rep": Metric("irrep_logits", lambda found: found.restricted_loss),
    "logit_excluded_loss_{rep}_rep": Metric("irrep_logits", lambda found: found.excluded_loss),
    "percent_x_embed_{rep}_rep": Metric("irrep_weights", lambda found: found.embed_a),
    "percent_y_embed_{rep}_rep": Metric("irrep_weights", lambda found: found.embed_b),
    "percent_unembed_{rep}_rep": Metric("irrep_weights", lambda found: found.unembed),
    "percent_hidden_x_{rep}_rep": Metric("irrep_hidden", lambda found: found.a),
    "percent_hidden_y_{rep}_rep": Metric("irrep_hidden", lambda found: found.b),
    "percent_hidden_xy_{rep}_rep": Metric("irrep_hidden", lambda found: found.ab),
    "total_percent_hidden_{rep}_rep": Metric("irrep_hidden", lambda found: found.total),
    "hidden_restricted_loss_{rep}_rep": Metric("irrep_hidden", lambda found: found.restricted_loss),
    "hidden_excluded_loss_{rep}_rep": Metric("irrep_hidden", lambda found: found.excluded_loss),
}
"""By the name that a release gives it. {rep} stands for the name of an irreducible representation: freq_1, sign, …"""

_OF_REP = {
    re.compile(re.escape(name).replace(re.escape("{rep}"), r"([a-z]\w{0,40}?)")): name
    for name in METRICS
    if "{rep}" in name
}


def is_of_rep(name: str) -> bool:
    """Whether the metric of this name is one of many alike, one for each representation."""
    return any(pattern.fullmatch(name) for pattern in _OF_REP)


def find(name: str) -> Found | None:
    """The metric that a release calls `name`; None where no measure gives it."""
    if "{" not in name and name in METRICS:
        return Found(METRICS[name], None)
    for pattern, general in _OF_REP.items():
        if match := pattern.fullmatch(name):
            return Found(METRICS[general], match[1])
    return None
