"""The swings of the train loss, of runs whose loss is a sine by their weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.errors import NothingToSay
from tests.planted import linear_perceptron
from tests.told import summary

ARRAYS = {"inputs": np.array([[1.0]], np.float32), "targets": np.array([[0.0]], np.float32), "train": [True]}


def of_losses(on_vectors, losses, steps, name="run"):
    """The output of the only example is the root of the loss."""
    stages = {
        step: linear_perceptron(torch.tensor([[math.sqrt(loss)]]), torch.zeros(1))
        for step, loss in zip(steps, losses, strict=True)
    }
    return on_vectors(ARRAYS, stages, name=name, widths=[1], biases="all")


def test_a_sine_on_a_slope_is_found(on_vectors):
    steps = np.arange(0, 401, 4)
    losses = 3 - steps / 200 + 0.2 * np.sin(2 * math.pi * steps / 40)
    run = of_losses(on_vectors, losses, steps.tolist())
    found = run.measure("hjorth")
    assert (int(found.samples), int(found.apart)) == (101, 4)
    assert float(found.activity) == pytest.approx(0.02, rel=0.05)
    assert float(found.mobility) == pytest.approx(2 / 4 * math.sin(math.pi * 4 / 40), rel=0.03)
    assert float(found.roughness) == pytest.approx(1, rel=0.03)
    told = summary("hjorth", found).sentence
    assert told.startswith("Over 101 checkpoints up to step 400 the train loss without its trend has the activity 0.02")


def test_it_looks_as_far_as_checkpoints_lie_evenly(on_vectors):
    steps = [*range(0, 100, 5), *range(100, 500, 50)]
    losses = 1 + 0.1 * np.cos(np.arange(len(steps)))
    found = of_losses(on_vectors, losses, steps).measure("hjorth", until=1000)
    assert (int(found.samples), int(found.last_looked_at)) == (21, 100)


def test_of_few_checkpoints_it_says_what_to_do(on_vectors):
    run = of_losses(on_vectors, np.ones(5), range(0, 500, 100))
    with pytest.raises(
        NothingToSay, match=r"only 5 of its checkpoints up to step 400 lie evenly.* give a later `until`"
    ):
        run.measure("hjorth")
