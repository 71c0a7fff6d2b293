"""With which analysis to begin depends on what the task computes in."""

from __future__ import annotations

import pytest

from interp.recipes.first_look import first_look
from interp.tasks.group_composition import group_composition
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity
from interp.tasks.unknown import unknown


@pytest.mark.parametrize(
    ("task", "analysis"),
    [
        (unknown(), "weights"),
        (modular_arithmetic(p=5), "fourier"),
        (modular_arithmetic(p=5, operation="x^2+y^2"), "fourier"),
        (sparse_parity(n=5, k=2, n_train=9, n_test=5), "fourier"),
        (group_composition("S3"), "groups"),
        (group_composition("C2 x C2"), "groups"),
        (group_composition("C7"), "fourier"),
    ],
)
def test_frequencies_are_of_cyclic_groups_and_irreps_of_all_others(task, analysis):
    assert first_look(task) == analysis
