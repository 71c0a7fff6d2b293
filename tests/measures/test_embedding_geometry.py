"""Lines and circles that were put into an embedding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests import planted
from tests.told import summary

P = 13


def embedded(make_run, table: torch.Tensor):
    """A network of a Clock whose embeddings of a and b are replaced, [residue, d]."""
    clock = planted.clock_mlp(P)
    width = clock.weights["embed_a.W_E"].shape[1]
    W_E = torch.zeros(P, width, dtype=torch.float64)
    W_E[:, : table.shape[1]] = table
    weights = {**clock.weights, "embed_a.W_E": W_E, "embed_b.W_E": W_E.clone()}
    return make_run({0: weights}, clock.task, clock.model)


@pytest.mark.parametrize("freq", [1, 4])
def test_a_circle_is_a_plane_of_one_wave(make_run, freq):
    angle = 2 * math.pi * freq * torch.arange(P, dtype=torch.float64) / P
    found = embedded(make_run, torch.stack([angle.cos(), angle.sin()], dim=1))[0].measure("embedding_geometry")
    of = dict(zip(found.table, found.circle.tolist(), strict=True))
    name = next(name for name in of if name.startswith("embed"))
    place = found.table.index(name)
    assert of[name] == pytest.approx(1)
    assert float(found.plane[place]) == pytest.approx(1)
    radius = found.first[place].square() + found.second[place].square()
    np.testing.assert_allclose(radius, float(radius[0]), rtol=1e-9)
    assert 0.3 < float(found.circle_by_chance[place]) < 0.7


def test_a_number_line_is_one_component_in_order(make_run):
    line = torch.arange(P, dtype=torch.float64)[:, None]
    run = embedded(make_run, line)
    found = run[0].measure("embedding_geometry")
    assert float(found.line[0]) == pytest.approx(1)
    assert float(found.plane[0]) == pytest.approx(1)
    told = summary("embedding_geometry", run.measure("embedding_geometry")).sentence
    assert "puts them in order with a rank correlation of 1 (" in told


def test_neighbours_of_the_embedding_are_neighbours_in_the_picture(make_run):
    angle = 2 * math.pi * torch.arange(P, dtype=torch.float64) / P
    found = embedded(make_run, torch.stack([angle.cos(), angle.sin()], dim=1))[0].measure(
        "embedding_geometry", perplexity=3.0
    )
    points = torch.stack([found.tsne_x[0], found.tsne_y[0]], dim=1)
    distance = torch.cdist(points, points).fill_diagonal_(math.inf)
    nearest = distance.argmin(dim=1)
    steps = (nearest - torch.arange(P)).abs()
    assert ((steps == 1) | (steps == P - 1)).double().mean() > 0.9
