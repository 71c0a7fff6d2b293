from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.catalogue.caption import caption
from interp.catalogue.names import known_names
from interp.errors import InterpError
from interp.results import schema


@dataclass(frozen=True)
class Everything:
    head: tuple[str, ...]
    alpha: Float[Tensor, " alpha"]
    """Step size [rad]"""
    matrix: Float[Tensor, "head alpha"]
    """
    A long name
    over two lines.
    """
    mask: Bool[Tensor, " head"]
    count: Int[Tensor, " head"]
    """Heads [per layer] of some kind"""
    verdict: Literal["clock", "pizza"]
    """Which algorithm it runs"""
    number: float
    whole: int
    yes: bool
    _kept: Any = None


def record(**changes: Any) -> Everything:
    values = {
        "head": ("0", "1"),
        "alpha": torch.arange(3.0),
        "matrix": torch.zeros(2, 3),
        "mask": torch.tensor([True, False]),
        "count": torch.tensor([1, 2], dtype=torch.int32),
        "verdict": "clock",
        "number": 0.5,
        "whole": 3,
        "yes": True,
    }
    return Everything(**(values | changes))


def test_annotations_give_axes_and_kinds_and_a_leading_underscore_hides_a_field():
    found = {field.name: (field.axes, field.kind) for field in schema.schema_of(Everything).fields}
    assert found == {
        "head": (("head",), "U"),
        "alpha": (("alpha",), "f"),
        "matrix": (("head", "alpha"), "f"),
        "mask": (("head",), "b"),
        "count": (("head",), "i"),
        "verdict": ((), "U"),
        "number": ((), "f"),
        "whole": ((), "i"),
        "yes": ((), "b"),
    }


def test_fields_named_like_an_axis_are_its_labels_and_the_others_variables():
    found = schema.schema_of(Everything)
    assert found.axes == ("head", "alpha")
    assert [field.name for field in found.labels] == ["head", "alpha"]
    assert [field.name for field in found.variables] == [
        "matrix",
        "mask",
        "count",
        "verdict",
        "number",
        "whole",
        "yes",
    ]


def test_the_docstring_of_a_field_is_its_long_name_and_the_brackets_at_its_end_its_units():
    found = {field.name: (field.long_name, field.units) for field in schema.schema_of(Everything).fields}
    assert found["alpha"] == ("Step size", "rad")
    assert found["matrix"] == ("A long name over two lines", "")
    assert found["count"] == ("Heads [per layer] of some kind", "")
    assert found["verdict"] == ("Which algorithm it runs", "")
    assert found["mask"] == ("mask", "")


def test_values_are_arrays_of_the_kind_that_is_stored():
    found = schema.values(schema.schema_of(Everything), record(), "some")
    assert {name: array.dtype.kind for name, array in found.items()} == {
        "head": "U",
        "alpha": "f",
        "matrix": "f",
        "mask": "b",
        "count": "i",
        "verdict": "U",
        "number": "f",
        "whole": "i",
        "yes": "b",
    }
    assert found["count"].dtype == np.int64
    assert found["matrix"].dtype == np.float32
    assert found["head"].tolist() == ["0", "1"]
    assert found["verdict"].item() == "clock"


def test_gradients_do_not_keep_an_array_from_being_stored():
    found = schema.values(schema.schema_of(Everything), record(matrix=torch.zeros(2, 3, requires_grad=True)), "some")
    assert found["matrix"].shape == (2, 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matrix": torch.zeros(6)}, r"matrix has shape \(6,\).*\[head alpha\]"),
        ({"matrix": torch.zeros(2, 4)}, "axis alpha is 3 long, but 4 in matrix"),
        ({"mask": torch.ones(5, dtype=torch.bool)}, "axis head is 2 long, but 5 in mask"),
        ({"number": torch.zeros(2)}, r"number has shape \(2,\)"),
        ({"head": ("a", "b", "c")}, "axis head"),
    ],
)
def test_an_array_without_the_axes_it_declares_is_refused(changes, said):
    with pytest.raises(InterpError, match=f"measure some: .*{said}"):
        schema.values(schema.schema_of(Everything), record(**changes), "some")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"whole": 2.5}, "whole cannot be stored: it is float64, expected whole numbers"),
        ({"count": torch.ones(2)}, "count cannot be stored: it is float32, expected whole numbers"),
        ({"yes": 1}, "yes cannot be stored: it is int64, expected True or False"),
        ({"number": None}, "number cannot be stored: it is NoneType, expected numbers"),
        ({"matrix": torch.zeros(2, 3) * 1j}, "matrix cannot be stored: it is complex64, expected numbers"),
        ({"alpha": torch.zeros(3, dtype=torch.bfloat16)}, "alpha cannot be stored: .*BFloat16"),
    ],
)
def test_a_value_of_another_kind_than_declared_is_refused(changes, said):
    with pytest.raises(InterpError, match=f"measure some: {said}"):
        schema.values(schema.schema_of(Everything), record(**changes), "some")


def test_half_precision_is_stored_as_single():
    found = schema.values(schema.schema_of(Everything), record(matrix=torch.ones(2, 3).half(), number=1), "some")
    assert found["matrix"].dtype == np.float32
    assert found["number"].dtype == np.float64


def test_an_annotation_that_cannot_be_stored_is_refused_by_name():
    @dataclass(frozen=True)
    class Wrong:
        where: dict[str, int]

    with pytest.raises(InterpError, match=r"Wrong\.where: .*cannot be stored"):
        schema.schema_of(Wrong)


# The measures there are.

MEASURES = sorted(known_names("measures"))


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_says_what_it_claims_shows_and_comes_from(measure):
    told = caption("measures", measure)
    assert told.claim.endswith(".")
    assert told.prose
    assert told.formulas
    assert all(told.formulas)
    assert "arXiv" in told.paper


@pytest.mark.parametrize("measure", MEASURES)
def test_no_variable_of_a_measure_is_named_like_something_of_xarray_s_and_none_stands_twice(measure):
    import xarray as xr

    for one in schema.schemas_of(measure).values():
        variables = [field.name for field in one.variables]
        for more in schema.schemas_joined(measure):
            assert not {field.name for field in one.fields} & {field.name for field in more.variables}
            variables += [field.name for field in more.fields]
        assert not [name for name in variables if hasattr(xr.Dataset, name)]


@pytest.mark.parametrize("measure", MEASURES)
def test_every_array_of_a_measure_has_a_name_for_people(measure):
    for one in (*schema.schemas_of(measure).values(), *schema.schemas_joined(measure)):
        for field in one.variables:
            assert field.long_name != field.name.replace("_", " ")


def test_a_docstring_is_taken_apart_into_claim_prose_formulas_and_paper():
    told = caption("measures", "weight_norm")
    assert told.claim == "The weights grow while the training set is memorised, and shrink as the network generalises."
    assert "Formula" not in told.prose
    assert told.formulas == (r"\lVert\theta\rVert_2 = \sqrt{\sum_i \theta_i^2}",)
    assert told.paper.startswith("Nanda et al. 2023")


def test_a_measure_is_called_on_a_checkpoint_where_its_first_parameter_says_so():
    assert {schema.subject(measure) for measure in MEASURES} <= {"checkpoint", "run", "runs", "results"}
    assert schema.subject("loss") == "checkpoint"
    assert not schema.takes_previous("loss")
