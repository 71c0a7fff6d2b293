"""Where the number of a record leads, and by what its mark is found there."""

from __future__ import annotations

from urllib.parse import parse_qs

import numpy as np
import pytest
import xarray as xr

from interp.figures.panel import DrawnPanel
from interp.findings import Bar, Claims
from interp.report.content import Section, Variable
from interp.report.links import Link, Links

STEPS = [0, 100, 250]
POWER = np.array([[0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.1, 0.9, 0.0]])
ARRAYS = xr.Dataset(
    {"loss": ("step", [4.0, 2.0, 0.5]), "power": (("step", "freq"), POWER), "since": ("freq", [0, 100, -1])},
    {"step": STEPS, "freq": [1, 2, 5]},
)


@pytest.fixture
def links() -> Links:
    coords = {name: array.values.tolist() for name, array in ARRAYS.coords.items()}
    variables = tuple(
        Variable(str(name), tuple(map(str, array.dims)), array.values, {str(dim): coords[dim] for dim in array.dims})
        for name, array in ARRAYS.items()
    )
    panels = (DrawnPanel("Loss", {}), DrawnPanel("Power", {}))
    return Links("a~2", [Section("own", "My own", "", "", (), "", panels, variables)], last=250)


def place(link: Link) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(link.address).items()}


def test_a_value_leads_to_its_panel_at_its_step(links: Links) -> None:
    link = links.link("own", Claims(ARRAYS, "Loss").at(100, "loss"))
    assert place(link) == {"run": "a~2", "step": "100", "panel": "a~2-own-0"}
    assert (link.value, link.labels, link.title) == (2.0, (), "Loss, step 100")


def test_a_step_leads_to_what_the_array_holds_then(links: Links) -> None:
    claims = Claims(ARRAYS, "Loss")
    link = links.link("own", claims.passes("first below", "loss", Bar("one", 1.0)))
    assert (place(link)["step"], link.value) == ("250", 0.5)
    assert links.link("own", claims.step_of(claims.highest("loss"))).value == 4.0


def test_what_is_compared_leads_to_the_first_of_the_two(links: Links) -> None:
    claims = Claims(ARRAYS, "Loss")
    link = links.link("own", claims.compared(claims.end("loss"), "less", claims.start("loss")))
    assert (place(link)["step"], link.value) == ("250", 0.5)


def test_labels_are_given_whether_asked_for_or_found(links: Links) -> None:
    claims = Claims(ARRAYS, "Power")
    assert links.link("own", claims.end("power", "sum", freq=[1, 2])).labels == (1, 2)
    found = links.link("own", claims.end("power", "labels", Bar("half", 0.5)))
    assert (found.value, found.labels) == (None, (2,))
    assert links.link("own", claims.end("power", "label")).labels == (2,)


def test_an_array_of_the_whole_run_leads_to_the_end_or_to_the_step_it_holds(links: Links) -> None:
    claims = Claims(ARRAYS, "Power")
    assert place(links.link("own", claims.end("since", freq=2)))["step"] == "250"
    step = links.link("own", claims.step("since", freq=2))
    assert (place(step)["step"], step.value, step.labels) == ("100", None, (2,))


def test_without_a_panel_the_section_is_the_place(links: Links) -> None:
    for panel in ("", "Another"):
        link = links.link("own", Claims(ARRAYS, panel).end("loss"))
        assert place(link) == {"run": "a~2", "step": "250", "panel": "a~2-own"}
        assert link.title == "My own, step 250"


def test_values_at_one_place_have_addresses_of_their_own_and_one_value_has_one(links: Links) -> None:
    claims = Claims(ARRAYS, "Power")
    first, second = (links.link("own", claims.end("power", freq=freq)) for freq in (1, 2))
    assert place(first) == {"run": "a~2", "step": "250", "panel": "a~2-own-1"}
    assert place(second) == place(first) | {"mark": "2"}
    assert links.link("own", claims.end("power", freq=1)) == first


def test_an_array_that_the_page_has_not_leads_there_without_a_mark(links: Links) -> None:
    more = ARRAYS.assign(other=("step", [1.0, 2.0, 3.0]))
    link = links.link("own", Claims(more, "Loss").end("other"))
    assert (place(link)["panel"], link.value, link.labels) == ("a~2-own-0", None, ())
