"""Which of our measures gives which metric that a release recorded: one table, and how a metric is looked up in it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.task import two_operands
from interp.errors import NothingToSay


@dataclass(frozen=True)
class Metric:
    """What a release recorded, as a number that one of our measures gives."""

    measure: str
    read: Callable[[Any], Tensor]
    """Takes the value from the measure's answer; for a metric of each irreducible representation an array [freq]."""
    options: Mapping[str, Any] = field(default_factory=dict)
    rtol: float = 0.0
    """The relative tolerance, where numerical methods differ by more than rounding."""


@dataclass(frozen=True)
class Found:
    """A metric, and the representation that its name asks for."""

    metric: Metric
    rep: str | None
    """ "freq_3" or "sign"; None for a metric of the whole network."""

    def value(self, checkpoint: Checkpoint) -> float:
        """Ours, at this checkpoint; NaN where the measure has nothing to say."""
        try:
            answer = checkpoint.measure(self.metric.measure, **self.metric.options)
        except NothingToSay:
            return math.nan
        values = self.metric.read(answer)
        if self.rep is None:
            return float(values)
        freq = two_operands(checkpoint.task).p // 2 if self.rep == "sign" else int(self.rep.removeprefix("freq_"))
        return float(values[answer.freq.tolist().index(freq)])


TRACED = {"keys": "traced"}
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
    "percent_logits_explained": Metric("cosine_fit", lambda found: found.explained),
    "total_logit_restricted_loss": Metric("trace_restricted_loss", lambda found: found.all_loss, TRACED),
    "total_logit_excluded_loss": Metric("trace_excluded_loss", lambda found: found.train_loss, TRACED),
    "logit_{rep}_rep_trace_similarity": Metric("cosine_fit", lambda found: found.trace_similarity),
    "logit_restricted_loss_{rep}_rep": Metric("trace_restricted_loss", lambda found: found.all_loss_by_freq),
    "logit_excluded_loss_{rep}_rep": Metric("trace_excluded_loss", lambda found: found.train_loss_by_freq),
}
"""By the name that a release gives it. {rep} stands for freq_1, freq_2, … and for sign, the frequency p/2 of even p."""


_REP = re.compile(r"_(sign|freq_\d{1,9})_rep")


def is_of_rep(name: str) -> bool:
    """Whether the metric of this name is one of many alike, one for each representation."""
    return _REP.search(name) is not None


def find(name: str) -> Found | None:
    """The metric that a release calls `name`; None where no measure gives it."""
    rep = _REP.search(name)
    general = name if rep is None else f"{name[: rep.start()]}_{{rep}}_rep{name[rep.end() :]}"
    metric = METRICS.get(general)
    return None if metric is None else Found(metric, rep[1] if rep else None)
