"""Two optimisers of two parts: each part moves as it does by its own optimiser alone."""

from __future__ import annotations

import pytest
import torch

from interp.errors import InterpError
from interp.optimisers.adamw import adamw
from interp.optimisers.langevin import langevin
from interp.optimisers.parameter_groups import parameter_groups
from interp.optimisers.sgd import sgd
from tests.optimisers.rows import MEMBERS, advance, rows

SLOW, FAST = adamw(lr=1e-3, weight_decay=0.5), sgd(lr=0.1, momentum=0.9)


def moved(rule, updates=7):
    stacked = rows(rule)
    advance([rule] * MEMBERS, stacked, range(updates))
    return stacked.weights


@pytest.mark.parametrize(("of", "others"), [(SLOW, FAST), (FAST, SLOW), (adamw(lr=1e-2), adamw(lr=1e-4))])
def test_each_part_moves_to_the_last_bit_as_by_its_own_optimiser(of, others):
    """The gradient of each weight depends on it alone, so that the other part makes no difference."""
    found = moved(parameter_groups("first", of, others))
    assert torch.equal(found[:, :5], moved(of)[:, :5])
    assert torch.equal(found[:, 5:], moved(others)[:, 5:])
    assert not torch.equal(found, moved(of))


def test_a_pattern_that_is_the_name_of_no_weight_is_refused():
    with pytest.raises(InterpError, match=r"^parameter_groups: part is 'frist', and no weight is named so; did you"):
        parameter_groups("frist", SLOW, FAST).check(["first", "rest"])
    parameter_groups("f*", SLOW, FAST).check(["first", "rest"])


def test_an_optimiser_that_draws_is_refused():
    with pytest.raises(ValueError, match="draws at random moves all weights together"):
        parameter_groups("first", SLOW, langevin())
