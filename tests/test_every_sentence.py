"""Every sentence about every run of the bank: its values are those of the arrays, its grammar and its form hold."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from interp.catalogue.names import known_names
from interp.findings import CHAPTERS, Claim, Finding, recompute
from interp.results import account, schema
from interp.results.over_steps import over_steps
from tests.awkward_runs import BANK
from tests.cheap_options import CHEAP

QUICK = ("train set unknown", "sparse parity")
"""So much of the bank; the rest is slow."""
DECIDED_BY = {
    "group_verdict": r"\bmemoris",
    "mechanism": r"\b(Clock|Pizza|memoris)",
    "outcome": r"\bmemoris",
}
"""Words that only the measure that decides them may use."""
UNDECIDED = re.compile(r"\bcircuit\b|\bflat\b|\bClock\b|\bPizza\b|\bmemoris", re.I)


def measures() -> list[dict]:
    names = [
        name
        for name in known_names("measures")
        if schema.subject(name) in ("checkpoint", "run") and not schema.is_over_runs(name)
    ]
    return [{name: CHEAP[name]} if name in CHEAP else name for name in names]


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in BANK])
def test_every_sentence_about_a_run_is_so(name: str, tmp_path: Path):
    """All that is held of a sentence at once: to have the sentences of a run takes far longer than to read them."""
    told, wrong = told_of(name, tmp_path), []
    for check in CHECKS:
        try:
            check(told)
        except AssertionError as error:
            wrong.append(f"{check.__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def told_of(name: str, folder: Path) -> dict[str, tuple[xr.Dataset, tuple[Finding, ...]]]:
    """Label -> what the measure found of the run, and its arrays."""
    run = BANK[name](folder / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = over_steps(measures(), run, keep=folder / "kept")
    found = {}
    for label, node in tree.children.items():
        result = node.to_dataset()
        if result.sizes:
            found[label] = result, account.findings(label, result)
    return found


def sentences(told) -> Iterator[tuple[str, Finding, xr.Dataset]]:
    for label, (result, findings) in told.items():
        for finding in findings:
            yield label, finding, result


def every_record_is_recomputed_from_the_arrays(told):
    for label, finding, result in sentences(told):
        for name, claim in finding.claims.items():
            again = recompute(Claim.of(json.loads(json.dumps(claim.plain()))), result)
            assert again == claim.value, (label, name)


def the_records_stand_in_the_result(told):
    for label, (result, findings) in told.items():
        stored = json.loads(result.attrs["findings"])
        assert [one["sentence"] for one in stored] == [finding.text for finding in findings], label
        for one in stored:
            for claim in one["claims"].values():
                assert recompute(Claim.of(claim), result) == Claim.of(claim).value


FORM = {
    "no number that is none": r"\b(nan|inf|None(?! of)|NaN)\b",
    "no minus nothing": r"[-−]0(?![.,\d])",
    "a true minus": r"(?<![\w-])-\d",
    "no raw power of ten": r"\de[+-]?\d",
    "per cent without a blank": r"\d[   ]%",
    "no plural after 1": r"(?<![\d.,])1 (?!(?:of|is|its|has|was|holds|ends|differs|agrees|stands|varies)\b)\w+s\b",
    "no singular after many": r"(?<![\d.,])(?:[2-9]|\d\d+|\d+,\d{3}) "
    r"(neuron|frequency|step|pair|example|distribution|matrix|metric|cluster|checkpoint)\b",
    "frequencies has several": r"frequencies \d+(?! ?(?:,|and|\())",
    "frequency has one": r"frequency \d+(?:, \d+| and \d+)\b(?! neuron)",
    "no empty bracket": r"\(\)|\( | \)",
    "no double blank": r"  |\s[.,;:]",
    "no mark of ours": r"[{}]|\*\*",
}


def the_form_of_every_sentence(told):
    wrong = [
        f"{rule}: {label}: {one.text}"
        for rule, pattern in FORM.items()
        for label, one, _ in sentences(told)
        if re.search(pattern, one.text)
    ]
    assert not wrong, wrong


def every_sentence_begins_with_a_capital_and_ends_with_a_full_stop(told):
    for label, finding, _ in sentences(told):
        assert re.match(r"[A-Z0-9φ‖]", finding.text), (label, finding.text)
        assert finding.text.endswith("."), (label, finding.text)


def no_sentence_stands_twice(told):
    texts = [finding.text for _, finding, _ in sentences(told)]
    assert len(set(texts)) == len(texts)


def words_that_decide_stand_where_they_are_decided(told):
    for label, finding, _ in sentences(told):
        if label not in DECIDED_BY:
            assert not UNDECIDED.search(finding.text), (label, finding.text)


def titles_decide_nothing(told):
    for label, (result, _) in told.items():
        for panel in account.panels(label, result):
            assert not UNDECIDED.search(panel.title), (label, panel.title)
            assert " - " not in panel.title, (label, "a hyphen for a minus", panel.title)


def every_value_can_be_seen_in_a_panel_that_is_there(told):
    for label, (result, findings) in told.items():
        titles = {panel.title for panel in account.panels(label, result)}
        for finding in findings:
            for text, claim in finding.parts:
                if claim is not None:
                    assert claim.panel in titles, (label, text, claim.panel, titles)


def nothing_is_claimed_of_a_step_without_a_number(told):
    for label, finding, result in sentences(told):
        for name, claim in finding.claims.items():
            array = result[claim.array]
            if claim.step is None or "step" not in array.dims or array.dtype.kind != "f":
                continue
            at = array.sel(step=claim.step).sel({axis: one for axis, one in claim.labels.items() if axis in array.dims})
            assert bool(at.notnull().any()), (label, name)


def what_is_told_of_an_earlier_end_says_so(told):
    for label, finding, result in sentences(told):
        if "step" not in result.dims:  # of a whole run, which has one end
            continue
        last = int(result.step[-1])
        stale = [one.step for one in finding.ends if not one.holds_to_the_end and (one.step or last) < last]
        if stale:
            assert "last defined at" in finding.text, (label, finding.text)


def one_end_in_a_sentence(told):
    for label, finding, _ in sentences(told):
        ends = {claim.step for _, claim in finding.parts if claim and claim.where == "end"}
        assert len(ends) <= 1 or "last defined at" in finding.text, (label, finding.text)


def one_loss_has_one_name(told):
    """Where a run was trained with another loss, what is in nats is called a cross-entropy; information is no loss."""
    if "loss" not in told or not any("mean squared error" in one.text for one in told["loss"][1]):
        return
    for label, finding, _ in sentences(told):
        if label != "o_information" and re.search(r"\d nats?\b(?! per)", finding.text):
            assert "cross-entropy" in finding.text, (label, finding.text)


def chapters_are_among_those_of_a_report(told):
    for _, finding, _ in sentences(told):
        assert finding.chapter in CHAPTERS
        assert np.isfinite(finding.rank)


CHECKS = (
    the_form_of_every_sentence,
    every_record_is_recomputed_from_the_arrays,
    the_records_stand_in_the_result,
    every_sentence_begins_with_a_capital_and_ends_with_a_full_stop,
    no_sentence_stands_twice,
    words_that_decide_stand_where_they_are_decided,
    titles_decide_nothing,
    every_value_can_be_seen_in_a_panel_that_is_there,
    nothing_is_claimed_of_a_step_without_a_number,
    what_is_told_of_an_earlier_end_says_so,
    one_end_in_a_sentence,
    chapters_are_among_those_of_a_report,
    one_loss_has_one_name,
)
