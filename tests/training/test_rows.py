"""Where stacked networks lie in memory."""

from __future__ import annotations

import pytest
import torch

from interp.training.rows import ALIGNMENT, Layout, Scratch

SHAPES = {"W": (3, 7), "b": (7,), "none": (0, 4), "U": (7, 1), "last": (64,)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_parameter_of_every_network_begins_at_a_whole_vector_and_none_overlaps(dtype: torch.dtype) -> None:
    layout = Layout(SHAPES, dtype)
    matrix = layout.matrix(3)
    for member, row in enumerate(matrix):
        views = layout.views(row)
        assert {name: tuple(view.shape) for name, view in views.items()} == SHAPES
        for view in views.values():
            assert view.is_contiguous()
            assert view.data_ptr() % ALIGNMENT == 0 or not view.numel()
            view += member + 1
    assert matrix.sum() == sum(view.numel() for view in layout.views(matrix[0]).values()) * (1 + 2 + 3)


def test_memory_of_a_name_is_the_same_whatever_its_shape_and_grows_once() -> None:
    scratch = Scratch(torch.float32)
    small, large = scratch("x", (2, 3)), scratch("x", (5, 3))
    assert scratch("x", (5, 3)) is large
    assert scratch("x", (3, 2)).data_ptr() == scratch("x", (15,)).data_ptr() == large.data_ptr()
    assert scratch("x", (2, 3)) is not small
    assert scratch("y", (5, 3)).data_ptr() != large.data_ptr()
    assert scratch("x", (2, 3)).dtype == torch.float32
