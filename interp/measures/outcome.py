"""What a run came to: whether it memorised, generalised or grokked, by three definitions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves, Table
from interp.findings import Claim, Claims, Finding
from interp.measures.shared.reached import (
    SETS,
    USUAL,
    Reached,
    Share,
    ask_for_several,
    in_steps,
    last_step,
    no_longer,
    not_yet,
    reached,
    told,
)
from interp.measures.shared.trained_with import titled, units

CRITERIA: tuple[str, ...] = (
    "train accuracy",
    "test accuracy",
    "times as late",
    "train accuracy of the phases",
    "test accuracy of the phases",
    "lag of the phases",
    "steps of the phases",
    "train loss of the classes",
    "test loss of the classes",
    "loss ratio of the classes",
)


@dataclass(frozen=True)
class Outcome:
    criterion: tuple[str, ...]
    """What the run is held against"""
    threshold: Float[Tensor, " criterion"]
    """Threshold of each criterion"""
    train_accuracy: Float[Tensor, ""] | None
    """Share of the training examples answered right"""
    test_accuracy: Float[Tensor, ""] | None
    """Share of the other examples answered right"""
    train_loss: Float[Tensor, ""]
    """Loss on the training examples"""
    test_loss: Float[Tensor, ""]
    """Loss on the other examples"""
    loss_ratio: Float[Tensor, ""]
    """Test loss over train loss"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""


def outcome(
    checkpoint: Checkpoint,
    train_accuracy: Share = USUAL,
    test_accuracy: Share = USUAL,
    times: PositiveFloat = 2.0,
    phase_train_accuracy: Share = 0.9,
    phase_test_accuracy: Share = 0.9,
    phase_lag: NonNegativeInt = 1_000,
    phase_steps: PositiveInt = 100_000,
    class_train_loss: PositiveFloat = 1e-5,
    class_test_loss: PositiveFloat = 1e-5,
    class_ratio: PositiveFloat = 50_000.0,
) -> Outcome:
    r"""A run learns nothing, its training examples alone, or all examples; and these at once or late.

    The *outcome* is "memorised" where the train accuracy was reached and the test accuracy was not; "generalised" where
    the test accuracy was; "grokked" where it was late: not yet reached at a checkpoint at or after `times` as many
    steps as the train accuracy took; and "neither" where neither was reached. Two checkpoints in a row are no delay.

    The *phases* are those of Liu et al.: of the first `phase_steps` steps, comprehension where both accuracies are
    reached, the test accuracy fewer than `phase_lag` steps after the train accuracy; grokking where it lags by as many
    or more; memorisation where the train accuracy alone is reached; confusion where it is not. They used 90% (60% of
    the test examples on MNIST), 1,000 and 100,000 steps.

    The *classes* are those of PAIR's explorable, by the lowest losses over the run: high train loss, else high test
    loss, where that exceeds 10⁻⁵; else together, where test loss over train loss never reached 50,000; else grokking.
    They look at every 100th of 20,000 steps; the loss is the one that the run was trained with.

    All are of the checkpoints that were looked at: fewer of them show a smaller ratio, and moments later than they
    were. What was not reached may come later than the run's end. Where a task asks for values and not for classes,
    only the classes by losses are told.

    Formula: \text{grokked}: \quad \exists\, t \ge \kappa\, t_\text{train}: \; \mathrm{acc}_\text{test}(s) < r \;\;
        \forall\, s \le t, \quad \text{and} \;\; t_\text{test} < \infty

    Formula: \text{class: } \min_t L_\text{train} > \epsilon, \; \text{else} \; \min_t L_\text{test} > \epsilon, \;
        \text{else} \; \max_t \frac{L_\text{test}}{L_\text{train}} < 50{,}000, \; \text{else grokking}

    Paper: Liu et al. 2022, arXiv 2205.10343; Pearce et al. 2023 (PAIR), Do machine learning models memorize or
        generalize?; Power et al. 2022, arXiv 2201.02177
    """
    losses = checkpoint.measure("loss")
    if checkpoint.task.train is None:
        raise NothingToSay("nobody knows which examples were trained on")
    if checkpoint.task.train.all() or not checkpoint.task.train.any():
        raise NothingToSay(f"there are no {'test' if checkpoint.task.train.any() else 'training'} examples")
    of_phases = (phase_train_accuracy, phase_test_accuracy, phase_lag, phase_steps)
    of_classes = (class_train_loss, class_test_loss, class_ratio)
    thresholds = (train_accuracy, test_accuracy, times, *of_phases, *of_classes)
    return Outcome(
        criterion=CRITERIA,
        threshold=torch.tensor(thresholds, dtype=torch.float64),
        train_accuracy=losses.train_accuracy,
        test_accuracy=losses.test_accuracy,
        train_loss=losses.train_loss,
        test_loss=losses.test_loss,
        loss_ratio=losses.test_loss / losses.train_loss,
        loss_name=losses.loss_name,
        loss_units=losses.loss_units,
    )


@dataclass(frozen=True)
class Verdicts:
    outcome: str
    """What the run came to: grokked, generalised, memorised or neither; blank where the task has no classes"""
    phase: str
    """Phase of Liu et al.: comprehension, grokking, memorisation or confusion; blank where the task has no classes"""
    loss_class: str
    """Class of PAIR: grokking, high test loss, high train loss or together; blank where a loss is never a number"""
    outcome_censored: bool
    """The outcome might be another one had the run gone on"""
    phase_censored: bool
    """The phase might be another one had the run gone on, to as many steps as its definition allows"""
    train_step: float
    """First step at which the train accuracy was as high as was asked; NaN where it never was"""
    train_not_yet: float
    """Last step before it that was looked at; NaN where there is none"""
    test_step: float
    """First step at which the test accuracy was as high as was asked; NaN where it never was"""
    test_not_yet: float
    """Last step before it that was looked at; NaN where there is none"""
    times: float
    """How many times as late as the train accuracy the test accuracy came, at least; NaN where one did not come"""
    lag: float
    """Steps between the two accuracies of the phases; NaN where one was not reached in time"""
    lowest_train_loss: float
    """Lowest loss on the training examples"""
    lowest_test_loss: float
    """Lowest loss on the other examples"""
    largest_ratio: float
    """Largest ratio of test loss and train loss; infinite where the train loss was 0 and the test loss was not"""
    last_step: int
    """Last step that was looked at"""


def over_run(result: xr.Dataset) -> Verdicts:
    bars = dict(zip(CRITERIA, result.threshold.isel(step=-1).values.tolist(), strict=True))
    train, test = (reached(result[f"{name}_accuracy"], bars[f"{name} accuracy"]) for name in SETS)
    in_time = result.sel(step=result.step <= bars["steps of the phases"])
    soon, late = (reached(in_time[f"{name}_accuracy"], bars[f"{name} accuracy of the phases"]) for name in SETS)
    has_classes = bool(result.train_accuracy.notnull().any())
    lowest = {name: float(result[f"{name}_loss"].min()) for name in SETS}
    ratio = float(result.loss_ratio.max())
    outcome, phase = _outcome(train, test, bars["times as late"]), _phase(soon, late, bars["lag of the phases"])
    end = last_step(result)
    return Verdicts(
        outcome=outcome if has_classes else "",
        phase=phase if has_classes else "",
        loss_class=_loss_class(lowest, ratio, bars),
        outcome_censored=has_classes and outcome in ("memorised", "neither"),
        phase_censored=has_classes and phase in ("memorisation", "confusion") and end < bars["steps of the phases"],
        train_step=train.step,
        train_not_yet=train.not_yet,
        test_step=test.step,
        test_not_yet=test.not_yet,
        times=test.earliest / train.step if train.step and not math.isnan(test.step) else math.nan,
        lag=late.step - soon.step,
        lowest_train_loss=lowest["train"],
        lowest_test_loss=lowest["test"],
        largest_ratio=ratio,
        last_step=end,
    )


def _outcome(train: Reached, test: Reached, times: float) -> str:
    if math.isnan(test.step):
        return "neither" if math.isnan(train.step) else "memorised"
    late = not math.isnan(test.not_yet) and test.not_yet >= times * train.step and test.not_yet >= train.step
    return "grokked" if late else "generalised"


def _phase(train: Reached, test: Reached, lag: float) -> str:
    if math.isnan(train.step):
        return "confusion"
    if math.isnan(test.step):
        return "memorisation"
    return "grokking" if test.step - train.step >= lag else "comprehension"


def _loss_class(lowest: dict[str, float], ratio: float, bars: dict[str, float]) -> str:
    if any(map(math.isnan, lowest.values())):
        return ""
    for name in SETS:
        if lowest[name] > bars[f"{name} loss of the classes"]:
            return f"high {name} loss"
    return "together" if ratio < bars["loss ratio of the classes"] else "grokking"


VERDICTS = "What it came to, by each definition"
RATIO = "Test loss over train loss"
THRESHOLDS = "What it is held against"


def figure(result: xr.Dataset) -> list[Curves | Table]:
    rows = {
        "outcome": (result.outcome, result.outcome_censored),
        "phase (Liu et al.)": (result.phase, result.phase_censored),
        "class by losses (PAIR)": (result.loss_class, xr.DataArray(False)),
    }
    rows = {name: row for name, row in rows.items() if str(row[0].values)}
    within = f"within its {int(result.last_step):,} steps"
    columns = {
        "verdict": [str(verdict.values) for verdict, _ in rows.values()],
        "": [within if bool(censored) else "" for _, censored in rows.values()],
    }
    table = {head: xr.DataArray(texts, {"definition": list(rows)}) for head, texts in columns.items()}
    verdicts = [Table(VERDICTS, table)] if result.sizes["step"] > 1 else []  # one checkpoint tells of no course
    return [
        *verdicts,
        Curves(titled(RATIO, result), {"all": result.loss_ratio}, log=True, width="half"),
        Table(THRESHOLDS, {"threshold": result.threshold.isel(step=-1)}, width="half"),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    ask_for_several(result)
    claims = Claims(result, VERDICTS)
    by_losses = _by_losses(claims) if claims.end("loss_class").value else []
    if not claims.known("train_accuracy"):
        return by_losses
    return [_verdict(claims), _of_phase(claims), *by_losses]


def _verdict(claims: Claims) -> Finding:
    """The outcome, and what decided it."""
    records = {"outcome": claims.end("outcome")}
    parts = []
    for name in SETS:
        part, found = told(claims, name, "threshold", criterion=f"{name} accuracy")
        left, of_end = no_longer(claims, name, found[f"{name}_bar"]) if found else ("", {})
        parts.append((part, left))
        records |= found | of_end
    (train, lost), (test, lost_again) = parts
    verdict = records["outcome"].value
    if verdict == "neither":
        return Finding(f"It learnt neither: {train}; {test}.", records, chapter="answer", rank=20)
    sentence = f"It {{outcome}}: {train}{lost}; {test}"
    if verdict == "grokked":
        before, found = not_yet(claims, "test")
        records |= found
        sentence += before
        if claims.known("times"):
            records["times"] = claims.end("times")
            sentence += ", {times:2} times as late at least"
    return Finding(f"{sentence}{lost_again}.", records, chapter="answer", rank=20)


def _of_phase(claims: Claims) -> Finding:
    records = {
        "phase": claims.end("phase"),
        "phase_train_bar": claims.end("threshold", criterion="train accuracy of the phases"),
        "phase_test_bar": claims.end("threshold", criterion="test accuracy of the phases"),
        "phase_lag": claims.end("threshold", criterion="lag of the phases"),
    }
    sentence = "Its phase, as Liu et al. define them, is {phase}"
    if claims.known("lag"):
        records["lag"] = claims.end("lag")
        sentence += (
            f": {{phase_test_bar:%}} of the test examples were right {in_steps('lag', records)} after "
            "{phase_train_bar:%} of the training examples (grokking lags by {phase_lag} or more)"
        )
    else:
        records["phase_steps"] = claims.end("threshold", criterion="steps of the phases")
        if bool(claims.result.phase_censored):
            records["last_step"] = claims.end("last_step")
            sentence += f" within its {in_steps('last_step', records)}, where the definition waits for {{phase_steps}}"
        else:
            sentence += f" within the first {in_steps('phase_steps', records)}, for which the definition waits"
    return Finding(f"{sentence}.", records, chapter="answer", rank=21)


RATIO_DECIDES = "both losses are low, and a ratio of {class_bar:2} or more is grokking"


def _by_losses(claims: Claims) -> list[Finding]:
    records: dict[str, Claim] = {"loss_class": claims.end("loss_class")}
    unit = f" {units(claims.result).removesuffix('s')}" if units(claims.result) else ""
    in_units = Claims(claims.result, claims.panel, units(claims.result))
    records |= {f"lowest_{name}_loss": in_units.end(f"lowest_{name}_loss") for name in SETS}
    lowest = f"the lowest losses are {{lowest_train_loss:2{unit}}} (train) and {{lowest_test_loss:2{unit}}} (test)"
    ratio = float(claims.result.largest_ratio)
    if math.isfinite(ratio):
        records["largest_ratio"] = claims.end("largest_ratio")
        lowest += ", the largest ratio of the two is {largest_ratio:2}"
    elif ratio > 0:
        lowest += ", and the train loss was 0 while the test loss was not"
    decided = records["loss_class"].value.removeprefix("high ")
    bar = f"{decided} of the classes" if decided.endswith(" loss") else "loss ratio of the classes"
    records["class_bar"] = (in_units if decided.endswith(" loss") else claims).end("threshold", criterion=bar)
    held = f"a {decided} above {{class_bar:2{unit}}} is high" if decided.endswith(" loss") else RATIO_DECIDES
    sentence = f"By its losses, as PAIR sorts runs, its class is {{loss_class}} ({held}): {lowest}."
    return [Finding(sentence, records, chapter="answer", rank=22)]
