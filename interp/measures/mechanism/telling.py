"""What `mechanism` shows and says of a run: curves, each circle's share of the Clock, sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from interp.figures import Bars, Curves
from interp.summaries import Summary

NAMES = {"clock": "Clock", "pizza": "Pizza", "mixture": "mixture of Clock and Pizza"}


def figure(result: xr.Dataset) -> list[Curves | Bars]:
    if result.sizes["freq"] == 1:  # no cyclic order, so no closed forms
        lines = {name: result[f"{name}_accuracy"] for name in ("train", "novel")}
        return [Curves("Accuracy", lines, percent=True)]
    forms = [str(form) for form in result.form.values]
    stages = [str(stage) for stage in result.stage.values if result.share.sel(stage=stage).notnull().any()]
    shares = {
        "Explained of each circle alone": {form: result.circle_explained.sel(form=form) for form in forms},
        "Explained of the whole logits": {form: result.explained.sel(form=form) for form in forms},
        "The circuit's stages": {stage: result.share.sel(stage=stage) for stage in stages},
        "Share of the Clock": {"all": result.clock_share},
    }
    return [
        *(Curves(title, curves, percent=True, width="half") for title, curves in shares.items()),
        Curves(
            "Beside the verdict",
            {"symmetricity": result.gradient_symmetricity, "irrelevance": result.distance_irrelevance},
            width="half",
        ),
        Bars("Clock's share in each circle at this step", result.clock_share_by_freq.fillna(0), percent=True),
    ]


def summary(result: xr.Dataset) -> Summary:
    last = result.isel(step=-1)
    verdict = str(last.verdict.values)
    form = "both" if verdict in ("mixture", "memorisation", "unclear") else verdict
    own = last.sel(form=form)
    values = {
        "verdict": verdict,
        "margin": float(last.margin),
        "clock_share": float(last.clock_share),
        "verdicts": [str(one) for one in result.verdict.values],
        "loss_recovered": float(own.loss_recovered),
        "explained": float(last.explained.sel(form="both")),
        "circle_explained": float(own.circle_explained),
        **{name: _step(result[name]) for name in ("explained_step", "half_right_step", "right_step")},
        "stage_step": {str(stage): _step(result.stage_step.sel(stage=stage)) for stage in result.stage.values},
    }
    return Summary(" ".join([_ends_as(last, verdict), *_before(result), *_times(values)]), values)


def _step(found: xr.DataArray) -> int | None:
    return None if np.isnan(float(found)) else int(found)


def _ends_as(last: xr.Dataset, verdict: str) -> str:
    """Tell the verdict at the last step, and what it rests on."""
    margin = f"margin **{float(last.margin):.2f}**"
    explained = f"**{float(last.explained.sel(form='both')):.0%}**"
    if verdict == "memorisation":
        novel = "" if np.isnan(last.novel_accuracy) else f" and **{float(last.novel_accuracy):.1%}** of the novel ones"
        right = float(last.train_accuracy if last.train_accuracy.notnull() else last.all_accuracy)
        return f"It ends **memorising**: it answers **{right:.1%}** of the training examples{novel} ({margin})."
    if verdict == "unclear":
        right = float(last.all_accuracy)
        forms = f", the closed forms explain {explained} of its logits" if last.explained.notnull().any() else ""
        answers = f"it answers **{right:.1%}** of all examples{forms} ({margin})"
        return f"Which algorithm it ends with is **unclear**: {answers}."
    circles = " and ".join(
        f"{name} **{float(last.circle_explained.sel(form=name.lower())):.0%}**" for name in ("Clock", "Pizza")
    )
    form = "both" if verdict == "mixture" else verdict
    recovered = f"**{float(last.loss_recovered.sel(form=form)):.1%}**"
    return (
        f"It ends as a **{NAMES[verdict]}** (its closed form recovers {recovered} of the loss; "
        f"of its circles alone {circles} explain; {margin})."
    )


def _before(result: xr.Dataset) -> list[str]:
    """Tell the other algorithms it ran on the way, each with its first step."""
    verdicts = [str(verdict) for verdict in result.verdict.values]
    others = [verdict for verdict in dict.fromkeys(verdicts) if verdict in NAMES and verdict != verdicts[-1]]
    told = [f"a {NAMES[verdict]} at step **{int(result.step[verdicts.index(verdict)]):,}**" for verdict in others]
    return [f"It was {_listed(told)} before."] if told else []


def _times(values: dict[str, Any]) -> list[str]:
    """Tell when the circuit was there and when the test accuracy rose; nothing where neither is known."""
    there = [f"{stage} at step **{step:,}**" for stage, step in values["stage_step"].items() if step is not None]
    right = [
        f"{share} at step **{values[name]:,}**"
        for share, name in (("50 %", "half_right_step"), ("99 %", "right_step"))
        if values[name] is not None
    ]
    sentences = [f"The key frequencies came to hold half of {_listed(there)}."] if there and right else []
    return sentences + ([f"The test accuracy passed {_listed(right)}."] if right else [])


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
