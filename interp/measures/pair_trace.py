"""What becomes of every pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Curves, Heatmap
from interp.maths.cross_entropy import cross_entropy
from interp.summaries import Summary


@dataclass(frozen=True)
class PairTrace:
    right: Bool[Tensor, "a b"]
    """The pair is answered right"""
    confidence: Float[Tensor, "a b"]
    """Probability of the right answer; NaN where the pair is not of the task"""
    trained: Bool[Tensor, "a b"]
    """The pair was trained on; nowhere where the split is unknown"""


def pair_trace(checkpoint: Checkpoint) -> PairTrace:
    r"""Every pair has its own moment at which the network comes to know it.

    Expect the training pairs to be right at once, and the others late and together; what comes last, and what is
    lost again, shows as a pattern over the two operands. The operands are the residues 0…p-1 in their own order.

    Formula: \mathrm{confidence}(a, b) = \frac{e^{z_{c}(a,b)}}{\sum_{c'} e^{z_{c'}(a,b)}}

    Paper: Power et al. 2022, arXiv 2201.02177; Nanda et al. 2023, arXiv 2301.05217
    """
    task, logits = checkpoint.task, checkpoint.logits
    answers = task.targets.to(logits.device)
    right = (logits.argmax(dim=-1) == answers).cpu()
    train = torch.zeros_like(right) if task.train is None else task.train
    return PairTrace(
        right=task.table(right.double()) == 1,
        confidence=task.table((-cross_entropy(logits, answers)).exp().float().cpu()),
        trained=task.table(train.double()) == 1,
    )


@dataclass(frozen=True)
class Kept:
    right_from: Int[np.ndarray, "a b"]
    """Step from which the pair stays right; -1 where it is not right at the last step"""


def over_run(result: xr.Dataset) -> Kept:
    known = result.confidence.notnull().any(["a", "b"]).values
    right, steps = result.right.values[known], result.step.values[known]
    if not len(steps):
        return Kept(np.full(result.right.shape[1:], -1))
    wrong = ~right
    first = np.where(wrong.any(axis=0), len(wrong) - wrong[::-1].argmax(axis=0), 0)
    return Kept(np.where(right[-1], steps[np.minimum(first, len(steps) - 1)], -1))


def figure(result: xr.Dataset) -> list[Heatmap | Curves]:
    panels: list[Heatmap | Curves] = [
        Heatmap("Confidence in the right answer", result.confidence, x="b", y="a", width="half"),
        Heatmap(
            "Step from which a pair stays right",
            result.right_from.where(result.right_from >= 0).astype(float),
            x="b",
            y="a",
            width="half",
        ),
    ]
    trained = result.trained.isel(step=-1)
    if trained.any():
        panels.append(Heatmap("Pairs trained on", trained.astype(float), x="b", y="a", width="half"))
    shares = {
        label: (result.confidence.where(chosen)).mean(["a", "b"])
        for label, chosen in (("train", trained), ("test", ~trained))
        if trained.any() and result.confidence.where(chosen).notnull().any()
    }
    panels.append(
        Curves("Mean confidence", shares or {"all": result.confidence.mean(["a", "b"])}, percent=True, width="half")
    )
    return panels


def summary(result: xr.Dataset) -> Summary:
    valid = result.confidence.notnull().any("step").values
    trained = result.trained.isel(step=-1).values
    since = result.right_from.values
    values = {
        "right": int((since[valid] >= 0).sum()),
        "pairs": int(valid.sum()),
        "test_half_step": _half(since[valid & ~trained]) if trained.any() else None,
        "train_half_step": _half(since[valid & trained]),
        "last_step": int(since.max()) if (since[valid] >= 0).all() and valid.any() else None,
    }
    if values["last_step"] is not None:
        sentence = f"Every pair is right from **step {values['last_step']:,}** on"
    else:
        sentence = f"At the last step **{values['right']:,} of {values['pairs']:,}** pairs are right"
    told = [
        f"half of the {name} pairs from **step {values[f'{name}_half_step']:,}**"
        for name in ("train", "test")
        if values[f"{name}_half_step"] is not None
    ]
    return Summary(sentence + "".join(f", {one}" for one in told) + ".", values)


def _half(since: Int[np.ndarray, " pair"]) -> int | None:
    """The step from which half of these pairs stay right; None where fewer ever do."""
    if not len(since):
        return None
    middle = np.sort(np.where(since < 0, np.iinfo(np.int64).max, since))[(len(since) - 1) // 2]
    return int(middle) if middle < np.iinfo(np.int64).max else None
