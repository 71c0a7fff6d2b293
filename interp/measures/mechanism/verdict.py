"""The verdict, and how far it is from the next, from what was found of the network and of the closed forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from interp.measures.mechanism.forms import Explained, StandIn

Verdict = Literal["memorisation", "clock", "pizza", "mixture", "unclear"]

LEARNT = 0.99
"""The share of all pairs that the network, and its closed form, answer right."""
AGREES = 0.95
"""The share of the network's divergence from the uniform distribution that its closed form accounts for."""
HALF = 0.5
"""Less than this share of the pairs right without the closed form; more than this share of a stage, or of logits."""


@dataclass(frozen=True)
class Evidence:
    explained: Explained
    """The logits that decide: those of the lone circles, or the whole ones."""
    stand_ins: Mapping[str, StandIn]
    """The closed forms in the network's place: "clock", "pizza", "both"."""
    accuracy: float
    """The share of all pairs that the network answers right."""
    sparsity: float
    """1 less the share of the frequencies that carry the logits."""
    test_explained: float
    """The share of the logits on the test pairs that the closed forms explain."""
    in_memory: bool
    """Whether it knows the training pairs alone, without the key frequencies too."""


def verdict_of(evidence: Evidence) -> tuple[Verdict, float]:
    """Return the verdict and its margin, from 0 to 1."""
    explained = evidence.explained
    candidates: dict[Verdict, float] = {"clock": explained.clock, "pizza": explained.pizza, "mixture": explained.halves}
    first, second, _ = sorted(candidates, key=lambda form: candidates[form], reverse=True)
    stand_in = evidence.stand_ins["both" if first == "mixture" else first]
    met = {
        "the network has learnt the task": evidence.accuracy / LEARNT,
        "so has its closed form": stand_in.accuracy / LEARNT,
        "which agrees with it": stand_in.agreement / AGREES,
        "and leaves nothing that answers": (1 - stand_in.left_accuracy) / HALF,
        "few frequencies carry it": evidence.sparsity / HALF,
    }
    missed = 1 - min(met.values())
    if missed <= 0:
        return first, (candidates[first] - candidates[second]) / (1 - candidates[second])
    if evidence.in_memory and evidence.test_explained < HALF:
        return "memorisation", min(1 - evidence.test_explained / HALF, 1.0)
    return "unclear", min(missed, 1.0)
