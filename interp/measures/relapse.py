"""How far the test accuracy falls back after it has risen, and how far it rises again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding
from interp.measures.shared.reached import Share, ask_for_several, loss_of_classes

TITLE = "Share of the test examples answered right"


@dataclass(frozen=True)
class Relapse:
    test_accuracy: Float[Tensor, ""]
    """Share of the other examples answered right"""
    least: float
    """The least fall, or rise after it, that counts"""


def relapse(checkpoint: Checkpoint, least: Share = 0.05) -> Relapse:
    r"""A network may generalise, forget, and even generalise again.

    The fall is the largest by which the test accuracy is ever below the highest that it had before, and the recovery is
    by how much it rises after the end of that fall. A run whose fall is `least` or more fell back, and if the recovery
    is too, it fell back and recovered: so it generalised, memorised and generalised. PAIR's explorable calls the first
    reverse grokking, where the train accuracy does not fall. Checkpoints that lie far apart miss short falls.

    Formula: \text{fall} = \max_{s \le t} \left( \mathrm{acc}(s) - \mathrm{acc}(t) \right), \quad
        \text{recovery} = \max_{u \ge t^*} \mathrm{acc}(u) - \mathrm{acc}(t^*)

    Paper: Pearce et al. 2023 (PAIR), Do machine learning models memorize or generalize?; networks that forget how:
        Varma et al. 2023, arXiv 2309.02390
    """
    losses = loss_of_classes(checkpoint)
    if losses.test_accuracy.isnan():
        raise NothingToSay("there are no test examples")
    return Relapse(losses.test_accuracy, least)


@dataclass(frozen=True)
class Relapsed:
    course: str
    """What the test accuracy did: no relapse, fell back, or fell back and recovered"""
    highest: float
    """Highest test accuracy"""
    highest_step: int
    """First step at which the test accuracy is highest"""
    fall: float
    """Largest fall of the test accuracy below what it was before"""
    fall_from_step: int
    """Step at which that fall begins"""
    fall_to_step: int
    """Step at which that fall ends"""
    fallen_to: float
    """Test accuracy at the end of that fall"""
    risen_to: float
    """Highest test accuracy from the end of that fall on"""
    recovery: float
    """By how much the test accuracy rises after that fall"""


def over_run(result: xr.Dataset) -> Relapsed:
    steps, accuracy, least = result.step.values, result.test_accuracy.values, float(result.least[-1])
    before = np.maximum.accumulate(accuracy)
    end = int((before - accuracy).argmax())
    begin = int(accuracy[: end + 1].argmax())
    fall, recovery = float(before[end] - accuracy[end]), float(accuracy[end:].max() - accuracy[end])
    fell = "fell back and recovered" if recovery >= least else "fell back"
    return Relapsed(
        course=fell if fall >= least else "no relapse",
        highest=float(accuracy.max()),
        highest_step=int(steps[accuracy.argmax()]),
        fall=fall,
        fall_from_step=int(steps[begin]),
        fall_to_step=int(steps[end]),
        fallen_to=float(accuracy[end]),
        risen_to=float(accuracy[end:].max()),
        recovery=recovery,
    )


def figure(result: xr.Dataset) -> list[Curves]:
    return [Curves(TITLE, {"test": result.test_accuracy}, percent=True)]


def summary(result: xr.Dataset) -> Finding:
    ask_for_several(result)
    claims = Claims(result, TITLE)
    records = {"course": claims.end("course"), "least": claims.end("least"), "fall": claims.end("fall")}
    if records["course"].value == "no relapse":
        sentence = (
            "The share of test examples that are right is never lower by {least:%} of them or more than it was before; "
            "the largest fall is of {fall:.1%}."
        )
        return Finding(sentence, records, chapter="when", rank=27)
    records |= {name: claims.step(name) for name in ("fall_from_step", "fall_to_step")}
    records |= {name: claims.end(name) for name in ("fallen_to", "risen_to", "recovery")}
    records["fall_from"] = claims.at(records["fall_from_step"].value, "test_accuracy")
    sentence = (
        "The test accuracy falls back from {fall_from:.1%} at {fall_from_step:step} to {fallen_to:.1%} at "
        "{fall_to_step:step}"
    )
    sentence += ", and rises to {risen_to:.1%} again" if records["recovery"].value > 0 else ", and not up again"
    return Finding(f"{sentence}.", records, chapter="when", rank=27)
