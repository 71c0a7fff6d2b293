"""What becomes of every pair, or of every example of a task without pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.task import TwoOperands
from interp.errors import NothingToSay
from interp.figures import Curves, Heatmap
from interp.findings import Claims, Finding
from interp.maths.cross_entropy import cross_entropy
from interp.summaries import plural


@dataclass(frozen=True)
class PairTrace:
    right: Bool[Tensor, "a b"]
    """The pair is answered right"""
    confidence: Float[Tensor, "a b"]
    """Probability of the right answer; NaN where the pair is not of the task"""
    trained: Bool[Tensor, "a b"]
    """The pair was trained on; nowhere where the split is unknown"""


@dataclass(frozen=True)
class ExampleTrace:
    right: Bool[Tensor, " example"]
    """The example is answered right"""
    confidence: Float[Tensor, " example"]
    """Probability of the right answer"""
    trained: Bool[Tensor, " example"]
    """The example was trained on; nowhere where the split is unknown"""


def pair_trace(checkpoint: Checkpoint) -> PairTrace | ExampleTrace:
    r"""Every pair has its own moment at which the network comes to know it.

    Expect the training pairs to be right at once, and the others late and together; what comes last, and what is
    lost again, shows as a pattern over the two operands. The operands are the residues 0…p-1 in their own order. On
    tasks that are not of two operands the same is told of each example, in the order of the task.

    The confidence is the softmax's probability of the right class, whichever loss the run was trained with; of a
    network with a single output, which tells two classes apart by its sign, it is that of the logistic function.

    Formula: \mathrm{confidence}(a, b) = \frac{e^{z_{c}(a,b)}}{\sum_{c'} e^{z_{c'}(a,b)}} \quad\text{or}\quad
        \frac{1}{1 + e^{\mp z}}

    Paper: Power et al. 2022, arXiv 2201.02177; Nanda et al. 2023, arXiv 2301.05217
    """
    task, outputs = checkpoint.task, checkpoint.logits
    right = task.correct(outputs).cpu()
    if task.targets.is_floating_point():
        raise NothingToSay("the task asks for values, not for classes, so no answer has a probability")
    confidence = _confidence(outputs, task.targets.to(outputs.device)).float().cpu()
    trained = torch.zeros_like(right) if task.train is None else task.train
    if not isinstance(task, TwoOperands):
        return ExampleTrace(right, confidence, trained)
    return PairTrace(task.table(right.double()) == 1, task.table(confidence), task.table(trained.double()) == 1)


def _confidence(
    outputs: Float[Tensor, "example output"], targets: Int[Tensor, " example"]
) -> Float[Tensor, " example"]:
    """The probability that the outputs give the right class."""
    if outputs.shape[1] == 1:
        return outputs[:, 0].where(targets > 0, -outputs[:, 0]).sigmoid()
    return (-cross_entropy(outputs, targets)).exp()


@dataclass(frozen=True)
class _Kept:
    examined: int
    """Pairs, or examples, of the task"""
    kept: int
    """How many of them are right at the last step"""
    forgotten: int
    """How many of them were known at some step and are wrong at the last: right, where 90% of those trained on were, or
    90% of the others, so that no lucky guess counts"""
    all_right_from: float
    """Step from which all of them stay right; NaN where some are wrong at the last step"""
    train_right_from: float
    """Step from which 90% of those trained on stay right; NaN where fewer do, or the split is unknown"""
    test_right_from: float
    """Step from which 90% of the others stay right; NaN where fewer do, or the split is unknown"""


@dataclass(frozen=True)
class PairKept(_Kept):
    right_from: Int[np.ndarray, "a b"]
    """Step from which the pair stays right; -1 where it is not right at the last step"""


@dataclass(frozen=True)
class ExampleKept(_Kept):
    right_from: Int[np.ndarray, " example"]
    """Step from which the example stays right; -1 where it is not right at the last step"""


MOST = 0.9


def over_run(result: xr.Dataset) -> PairKept | ExampleKept:
    right, steps = result.right.values, result.step.values
    wrong = ~right  # [step, a, b] or [step, example]
    first = np.where(wrong.any(axis=0), len(wrong) - wrong[::-1].argmax(axis=0), 0)
    right_from = np.where(right[-1], steps[np.minimum(first, len(steps) - 1)], -1)
    there = result.confidence.notnull().any("step").values
    trained = result.trained.isel(step=-1).values
    since = right_from[there]
    return (PairKept if right_from.ndim == 2 else ExampleKept)(
        examined=len(since),
        kept=int((since >= 0).sum()),
        forgotten=sum(_forgotten(right[:, those]) for those in (there & trained, there & ~trained)),
        all_right_from=_share_from(since, 1.0),
        train_right_from=_share_from(right_from[there & trained], MOST),
        test_right_from=_share_from(right_from[there & ~trained], MOST) if trained.any() else np.nan,
        right_from=right_from,
    )


def _forgotten(right: Bool[np.ndarray, "step example"]) -> int:
    """How many were right where most were, and are wrong at the last step."""
    if not right.shape[1]:
        return 0
    known = right[right.mean(axis=1) >= MOST].any(axis=0)
    return int((known & ~right[-1]).sum())


def _share_from(since: Int[np.ndarray, " example"], share: float) -> float:
    """The step from which so large a share of these stay right; NaN where fewer do at the last step."""
    needed = math.ceil(share * len(since))
    kept = np.sort(since[since >= 0])
    return float(kept[needed - 1]) if 0 < needed <= len(kept) else math.nan


def _axes(result: xr.Dataset) -> list[str]:
    """Return the axes over which a task's examples lie: a and b where it is of two operands, else `example`."""
    return [str(axis) for axis in result.right.dims if axis != "step"]


def figure(result: xr.Dataset) -> list[Heatmap | Curves]:
    axes = _axes(result)
    trained = result.trained.isel(step=-1)
    shares = {
        label: result.confidence.where(chosen).mean(axes)
        for label, chosen in (("train", trained), ("test", ~trained))
        if trained.any() and result.confidence.where(chosen).notnull().any()
    }
    curves = Curves("Mean confidence", shares or {"all": result.confidence.mean(axes)}, percent=True, width="half")
    return [*(_maps(result, trained) if len(axes) == 2 else [_over_training(result)]), curves]


def _maps(result: xr.Dataset, trained: xr.DataArray) -> list[Heatmap | Curves]:
    """Draw what is known of every pair as tables over both operands."""
    tables = {
        "Confidence in the right answer": result.confidence,
        "Step from which a pair stays right": result.right_from.where(result.right_from >= 0).astype(float),
    } | ({"Pairs trained on": trained.astype(float)} if trained.any() else {})
    return [Heatmap(title, table, x="b", y="a", width="half") for title, table in tables.items()]


def _over_training(result: xr.Dataset) -> Heatmap:
    """Every example over the steps, those first that are right for good first."""
    since = result.right_from.values
    order = np.argsort(np.where(since < 0, np.iinfo(np.int64).max, since), kind="stable")
    axis = "example, sorted by the step from which it stays right"
    confidence = result.confidence.isel(example=order).rename(example=axis)
    return Heatmap("Confidence in the right answer", confidence, x="step", y=axis)


def summary(result: xr.Dataset) -> Finding:
    name = "pair" if "a" in result.right.dims else "example"
    claims = Claims(result, "Confidence in the right answer")
    records = {"right": claims.end("kept"), "all": claims.end("examined")}
    over_training = result.sizes["step"] > 1
    if records["right"].value == records["all"].value:
        sentence = f"Each of the {{all:{name}}} is right"
        if over_training:
            records["last_step"] = claims.step("all_right_from")
            sentence += " from {last_step:step} on"
    else:
        sentence = f"At the end {{right}} of {{all:{name}}} {{right:is.}} right"
    told = []
    for which in ("train", "test") if over_training else ():
        if claims.known(f"{which}_right_from"):
            records[f"{which}_step"] = claims.step(f"{which}_right_from")
            words = "training" if which == "train" else which
            told.append(f"90% of the {words} {plural(name)} are right from {{{which}_step:step}} on")
    records["forgotten"] = forgotten = claims.end("forgotten")
    if forgotten.value:
        told.append(f"{{forgotten:{name}}} that {{forgotten:was.}} known before {{forgotten:is.}} wrong at the end")
    return Finding("; ".join([sentence, *told]) + ".", records, rank=10)
