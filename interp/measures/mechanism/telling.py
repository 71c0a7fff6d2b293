"""What `mechanism` shows and says of a run: curves, the balance of the closed forms in each circle, findings."""

from __future__ import annotations

import xarray as xr

from interp.figures import Bars, Curves
from interp.findings import Bar, Claims, Finding
from interp.measures.mechanism.verdict import HALF, LEARNT
from interp.measures.shared.earlier_verdicts import earlier_verdicts
from interp.summaries import listed

NAMES = {"clock": "Clock", "pizza": "Pizza", "mixture": "mixture of Clock and Pizza"}
BEFORE = {verdict: f"a {name}" for verdict, name in NAMES.items()} | {"memorisation": "memorising"}
NEAREST = {verdict: f"a {name}" for verdict, name in NAMES.items()} | {"memorisation": "memory"}
NUMBERS = {
    "accuracy": "the share of all pairs that it answers right",
    "form accuracy": "the share of all pairs that the closed form answers right",
    "agreement": "the share of its divergence from answers all alike that the closed form accounts for",
    "left accuracy": "the share of all pairs that it answers right without the closed form",
    "explained": "the share of the deciding logits that its form explains",
    "sparsity": "one less the share of the frequencies that carry its logits",
    "circle explained": "the share of its circles' logits that the closed forms explain",
    "train accuracy": "the share of the training examples that it answers right",
    "novel accuracy": "the share that it answers right of the examples that a lookup table cannot know",
}
OF_MEMORY = ("train accuracy", "novel accuracy")
"""The numbers that are conditions of memory; by any other it is told from a closed form."""
LIKELY = 0.05
"""A chance that is worth telling."""
BELOW = ("left accuracy", "novel accuracy")
"""The numbers that have to stay below their bar."""
WORDS = {"embedding": "the embedding", "attention": "the attention", "neurons": "the neurons", "logits": "the logits"}
EXPLAINED, STAGES_PANEL = "Explained of each circle alone", "Variance at the key frequencies, by stage"


def figure(result: xr.Dataset) -> list[Curves | Bars]:
    if result.sizes["freq"] == 1:  # no cyclic order, so no closed forms
        lines = {name: result[f"{name}_accuracy"] for name in ("train", "novel")}
        return [Curves("Accuracy", lines, percent=True)]
    forms = [str(form) for form in result.form.values]
    stages = [str(stage) for stage in result.stage.values if result.share.sel(stage=stage).notnull().any()]
    shares = {
        EXPLAINED: {form: result.circle_explained.sel(form=form) for form in forms},
        "Explained of the whole logits": {form: result.explained.sel(form=form) for form in forms},
        STAGES_PANEL: {stage: result.share.sel(stage=stage) for stage in stages},
        "Balance of the closed forms": {"all": result.clock_share},
    }
    return [
        *(Curves(title, curves, percent=True, width="half") for title, curves in shares.items() if curves),
        Curves(
            "Beside the verdict",
            {"symmetricity": result.gradient_symmetricity, "irrelevance": result.distance_irrelevance},
            width="half",
        ),
        Bars(
            "Balance of the closed forms in each circle at this step",
            result.clock_share_by_freq.fillna(0),
            percent=True,
        ),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, _verdict_panel(result))
    return [_ends_as(claims), *earlier_verdicts(claims, "Before, it was", BEFORE, rank=10), *_times(claims)]


def _verdict_panel(result: xr.Dataset) -> str:
    """The title of the panel that shows best what a verdict rests on."""
    return EXPLAINED if result.explained.notnull().any() else "Accuracy"


def _ends_as(claims: Claims) -> Finding:
    """Tell the verdict at the last step, and what decided it."""
    names = ("verdict", "margin", "decided_by", "decided_value", "decided_bar", "all_accuracy", "chance")
    records = {name: claims.end(name) for name in names}
    for name in ("train_accuracy", "novel_accuracy", "novel_examples", "clock_share"):
        if (record := claims.maybe(name)) and record.step == records["verdict"].step:
            records[name] = record
    verdict, number = records["verdict"].value, records["decided_by"].value
    asked = "less than" if number in BELOW else "at least"
    decided = f"{NUMBERS[number]} is {{decided_value:.2%}}, where {asked} {{decided_bar:.2%}} is asked"
    if number == "explained" and verdict == "unclear":
        decided = f"{NUMBERS[number]} is {{decided_value:.1%}}, and another explains {{decided_bar:.1%}}"
    elif number == "explained":
        decided = f"{NUMBERS[number]} is {{decided_value:.1%}}, and the next best form explains {{decided_bar:.1%}}"
    margin = "(margin {margin:2})"
    if verdict == "unclear":
        records["next_verdict"] = claims.end("next_verdict")
        nearest = NEAREST[records["next_verdict"].value]
        said = (
            "Which algorithm it runs at the end is unclear: none meets its conditions. Nearest comes "
            f"{nearest}, but {decided} {margin}."
        )
    elif verdict == "memorisation":
        rest = f"What decides: {decided} {margin}."
        if number not in OF_MEMORY and (other := claims.end("next_verdict")).value in NAMES:
            records["next_verdict"] = other
            rest = f"What tells it from {NEAREST[other.value]}: {decided} {margin}."
        known = "At the end it is memorising"
        if "train_accuracy" in records:
            known += ": it answers {train_accuracy:.1%} of the training examples right"
        if "novel_accuracy" in records:
            known += ", and {novel_accuracy:.1%} of the {novel_examples:example} that a lookup table cannot know, where"
            known += " the commonest answer alone gets {chance:.1%}"
        if (luck := claims.maybe("novel_luck")) and "novel_accuracy" in records and luck.value > LIKELY:
            records["luck"] = luck
            known += " (one that knew half of such examples would get no more of so few with a chance of {luck:%})"
        said = f"{known}. {rest}"
    else:
        share = ", with {clock_share:%} of the power in the Clock" if verdict == "mixture" else ""
        said = f"At the end its algorithm is a {NAMES[verdict]}{share}. What decides: {decided} {margin}."
    return Finding(said, records, chapter="answer", rank=20)


def _times(claims: Claims) -> list[Finding]:
    """Tell since when the key frequencies hold most of each stage, and the test examples are right, for good.

    What was so from the first checkpoint on came about by no training that was seen, and may be chance; noise would
    have of each stage what share of the frequencies they are.
    """
    first, half = int(claims.result.step[0]), Bar("half", HALF)
    records, stages, shares = {}, [], []
    claims.panel = STAGES_PANEL
    for stage in claims.result.stage.values.tolist():
        record = claims.when("above for good", "share", half, stage=stage)
        if record and record.value != first:
            records[stage] = record
            stages.append(f"{WORDS[stage]} from {{{stage}:step}} on")
    claims.panel = _verdict_panel(claims.result)
    for name, bar in (("half", half), ("nearly_all", Bar("all but 1%", LEARNT))):
        record = claims.when("above for good", "test_accuracy", bar)
        if record and record.value != first:
            records[name] = record
            shares.append(f"above {{{name}.bar:%}} from {{{name}:step}} on")
    keys = claims.maybe("key_share")
    if not stages or not shares or keys is None or keys.value >= HALF:
        return []
    records["keys"] = keys
    sentence = f"The key frequencies, {{keys:%}} of all, hold most of {listed(stages)}; the test accuracy is "
    sentence += f"{listed(shares)}."
    return [Finding(sentence, records, chapter="when", rank=20)]
