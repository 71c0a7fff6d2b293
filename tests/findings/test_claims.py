"""Records of claims: each kind against ten lines of NumPy, made, kept as JSON, and recomputed from the arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from interp.findings import Bar, Claim, Claims, Finding, UndefinedError, recompute
from interp.findings.course import course

STEPS = [0, 10, 20, 30, 40]
LOSS = np.array([3.0, np.nan, 0.5, 2.0, 1.0])
POWER = np.array([[0.1, 0.7, 0.2], [np.nan] * 3, [0.3, 0.3, 0.4], [0.6, 0.1, 0.3], [0.5, 0.1, 0.4]])
KEY = np.array([[0, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0], [1, 0, 1]], bool)


@pytest.fixture
def result() -> xr.Dataset:
    return xr.Dataset(
        {
            "loss": ("step", LOSS, {"units": "nats"}),
            "guessing": ("step", [2.0, np.nan, 2.0, 1.5, 1.5]),
            "power": (("step", "freq"), POWER),
            "key": (("step", "freq"), KEY),
            "verdict": ("step", ["clock", "", "pizza", "pizza", "clock"]),
            "settled": ("freq", [10, -1, 30]),
            "half": ((), np.nan),
        },
        {"step": STEPS, "freq": [1, 2, 3]},
    )


def test_each_place_along_the_steps(result):
    claims = Claims(result)
    assert (claims.start("loss").value, claims.start("loss").step) == (3.0, 0)
    assert (claims.end("loss").value, claims.end("loss").step) == (1.0, 40)
    assert (claims.highest("loss").value, claims.highest("loss").step) == (3.0, 0)
    assert (claims.lowest("loss").value, claims.lowest("loss").step) == (0.5, 20)
    assert claims.at(30, "loss").value == 2.0


def test_each_reduction_of_the_axes_that_are_left(result):
    claims = Claims(result)
    assert claims.end("power", freq=3).value == 0.4
    assert claims.end("power", "sum", freq=[1, 3]).value == pytest.approx(0.9)
    assert claims.end("power", "mean").value == pytest.approx(POWER[-1].mean())
    assert (claims.end("power", "max").value, claims.end("power", "min").value) == (0.5, 0.1)
    assert (claims.end("power", "label").value, claims.end("power", "lowest label").value) == (1, 2)
    assert claims.end("power", "labels", Bar("a third", 0.33)).value == (1, 3)
    assert claims.end("power", "count", Bar("a third", 0.33)).value == 2
    assert claims.end("key", "labels").value == (1, 3)
    assert claims.end("key", "count").value == 2
    assert claims.end("verdict").value == "clock"
    assert claims.end("settled", freq=3).value == 30
    assert claims.highest("power", "sum", freq=[2, 3]).step == 0


def test_each_way_to_pass_a_bar(result):
    claims, bar, guessing = Claims(result), Bar("one and a half", 1.5), Bar("guessing", array="guessing")
    assert claims.passes("first below", "loss", bar).value == 20
    assert claims.passes("below for good", "loss", bar).value == 40
    assert claims.passes("first above", "loss", bar).value == 0
    assert claims.when("above for good", "loss", bar) is None
    assert claims.passes("first below", "loss", guessing).value == 20
    assert claims.passes("below for good", "loss", guessing).value == 40
    assert claims.when("first above", "loss", Bar("ten", 10.0)) is None


def test_what_is_so_at_the_last_step_alone_is_not_for_good(result):
    claims = Claims(result)
    last, before = (claims.passes("below for good", "loss", Bar("a bar", bar)) for bar in (1.5, 2.5))
    assert (last.value, before.value) == (40, 20)
    assert claims.for_good(before) == "for good "
    assert not claims.for_good(before, last)


def test_a_comparison_of_two_values(result):
    claims = Claims(result)
    start, end = claims.start("loss"), claims.end("loss")
    assert claims.compared(end, "less", start).value == -2
    assert claims.compared(end, "over", start).value == pytest.approx(1 / 3)
    assert claims.compared(end, "relative to", start).value == pytest.approx(-2 / 3)
    assert claims.compared(end, "over", start).about == "change"


def test_what_is_not_defined_is_not_claimed(result):
    claims = Claims(result)
    assert claims.maybe("half") is None
    with pytest.raises(UndefinedError, match="no number at step 10"):
        claims.at(10, "loss")
    later = result.assign(loss=("step", np.append(LOSS[:-1], np.nan)))
    assert (Claims(later).end("loss").value, Claims(later).end("loss").step) == (2.0, 30)


def test_a_record_is_plain_data_from_which_the_value_comes_again(result):
    claims = Claims(result, panel="Loss")
    bar = Bar("half of guessing", array="guessing", times=0.5)
    end = claims.end("loss", bar=Bar("guessing", array="guessing"))
    made = [
        end,
        claims.end("power", "labels", Bar("a third", 0.33)),
        claims.compared(end, "over", claims.start("loss")),
        claims.step("settled", freq=1),
        claims.step_of(claims.highest("power", freq=2)),
        *filter(None, [claims.when("first below", "loss", bar)]),
    ]
    for claim in made:
        again = Claim.of(json.loads(json.dumps(claim.plain())))
        assert again == claim
        assert recompute(again, result) == claim.value
    assert end.bar is not None
    assert (end.bar.value, end.unit, end.panel) == (1.5, "nats", "Loss")


def test_a_record_that_says_something_else_is_found_out(result):
    claim = Claims(result).end("loss")
    assert recompute(claim, result.assign(loss=result.loss + 1)) == claim.value + 1


def test_a_sentence_is_made_from_its_records(result):
    claims = Claims(result, "Spectrum")
    finding = Finding(
        "{share:%} at {freqs:frequency}, {count:neuron} {count:is.} left; {step:step}; guessing costs {loss.bar:2}.",
        {
            "share": claims.end("power", freq=3),
            "freqs": claims.end("key", "labels"),
            "count": claims.end("key", "count"),
            "step": claims.step_of(claims.lowest("loss")),
            "loss": claims.end("loss", bar=Bar("guessing", array="guessing")),
        },
    )
    assert finding.text == "40% at frequencies 1 and 3, 2 neurons are left; step 20; guessing costs 1.5."
    assert finding.values["freqs"] == (1, 3)
    assert [claim.panel for _, claim in finding.parts if claim] == ["Spectrum"] * 6
    assert finding.plain()["claims"]["share"]["value"] == 0.4


def test_one_of_a_thing_is_singular(result):
    claims = Claims(result.isel(step=slice(None, -1)))
    finding = Finding(
        "{freqs:frequency} {count:has.} {count:neuron}",
        {"freqs": claims.end("key", "labels"), "count": claims.end("key", "count")},
    )
    assert finding.text == "frequency 1 has 1 neuron"


def test_an_earlier_end_is_told_first(result):
    later = result.assign(loss=("step", np.append(LOSS[:-1], np.nan)))
    finding = Finding("At the end the loss is {end:2}.", {"end": Claims(later).end("loss")})
    said = finding.as_of(40, 30, "the weights are all zero").text
    assert said == (
        "At step 40 there is no such number: the weights are all zero; last defined at step 30: the loss is 2."
    )
    assert finding.as_of(30, 30).text == finding.text


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ([2.0], "is 2"),
        ([2.0, 2.001, 2.0], "stays at 2"),
        ([2.0, 3.0, 4.0], "goes from 2 to 4"),
        ([4.0, 3.0, 2.0], "goes from 4 to 2"),
        ([2.0, 6.0, 3.0], "goes from 2 to 6 at step 10 and ends at 3"),
        ([2.0, 1.0, 3.0], "goes from 2 to 1 at step 10 and ends at 3"),
        ([2.0, 6.0, 2.0], "goes from 2 to 6 at step 10 and comes back to 2"),
        ([1.0, 1.3, 1.301], "goes from 1 to 1.3"),
        ([np.nan, 5.0, np.nan], "is 5"),
    ],
)
def test_the_course_of_a_number(series, said):
    claims = Claims(xr.Dataset({"x": ("step", series)}, {"step": STEPS[: len(series)]}))
    told, records = course(claims, "x", "2")
    assert Finding(told, records).text == said


@pytest.mark.parametrize(("radians", "told"), [(0.0, "0°"), (0.004, "0.23°"), (-0.004, "−0.23°"), (0.21, "12°")])
def test_an_angle_that_is_not_quite_none_is_not_told_as_none(radians, told):
    assert f"{Claim('miss', 'end', value=radians):°}" == told


@pytest.mark.parametrize(
    ("said", "of_one"),
    [
        ("At the end 99% are right, and none at the end.", "99% are right, and none."),
        ("At the end, its form is a Clock; at the end the rest is memory.", "Its form is a Clock; the rest is memory."),
        ("What is at the end of the row counts.", "What is at the end of the row counts."),
    ],
)
def test_of_a_single_checkpoint_nothing_is_said_of_an_end(said: str, of_one: str) -> None:
    assert Finding(said).of_one_step().text == of_one
