from __future__ import annotations

import math

import pytest
import torch

from tests.told import summary

P = 11
NONE = "mixes frequencies"
DEAD = "never fires"


def column(state):
    x = 2 * math.pi * torch.arange(P, dtype=torch.float64) / P
    if state == DEAD:
        return torch.full((P,), -1.0, dtype=torch.float64)
    if state == NONE:
        return 3 + torch.cos(x) + torch.cos(5 * x)
    return 3 + torch.cos(state * x)


@pytest.fixture
def history(planted_mlp):
    """neuron_commitment over a run in which each neuron has these states: a frequency, NONE or DEAD; None where the
    weights are broken."""

    def make(states, **task):
        planted = {}
        width = len(next(iter(states.values())))
        for step, at_step in states.items():
            if at_step is None:
                from_a = torch.full((P, width), torch.nan)
            else:
                from_a = torch.stack([column(state) for state in at_step], dim=1)
            planted[step] = from_a, torch.zeros(P, width), torch.zeros(width, P)
        return planted_mlp(planted, {"p": P} | task).measure("neuron_commitment")

    return make


def test_a_neuron_settles_at_the_step_from_which_its_frequency_never_changes(history):
    result = history(
        {
            0: [2, 2, NONE, 2, NONE, 3],
            10: [2, NONE, NONE, 3, NONE, DEAD],
            20: [2, 2, NONE, 2, 4, NONE],
            30: [2, 2, 4, 2, NONE, 2],
        }
    )
    assert result.committed_to.sel(step=20).values.tolist() == [2, 2, -1, 2, 4, -1]
    assert result.active.sel(step=10).values.tolist() == [True] * 5 + [False]
    assert result.settled_step.values.tolist() == [0, 20, 30, 20, -1, 30]
    assert result.switches.values.tolist() == [0, 0, 0, 2, 0, 1]
    assert result.committed_share.values.tolist() == pytest.approx([4 / 6, 2 / 6, 4 / 6, 5 / 6])


def test_of_a_frequency_that_rose_and_fell_it_is_told_what_became_of_its_neurons(history):
    result = history(
        {
            0: [1, NONE, NONE, NONE, NONE, 2],
            100: [1, 1, 1, 1, 1, 2],
            200: [1, 3, NONE, DEAD, 3, 2],
        }
    )
    assert result.rose_and_fell.values.tolist() == [False, True, False, False, False, False]
    one = result.sel(freq=1)
    assert (int(one.peak_step), int(one.peak_neurons)) == (100, 5)
    assert (int(one.stayed), int(one.joined_another), int(one.uncommitted), int(one.dead)) == (1, 2, 1, 1)
    assert int(result.sel(freq=3).peak_step) == 200
    told = summary("neuron_commitment", result)
    assert (
        "Frequency 1 had 5 neurons at step 100, of which at the end 1 is with it still, 2 have joined another, 1 is "
        "committed to none and 1 no longer varies." in told.sentence
    )
    assert told.values["switched"] == 2


def test_where_none_is_committed_any_more_the_summary_says_so(history):
    result = history({0: [NONE] * 4, 50: [1, 1, 2, 2], 60: [NONE, DEAD, 2, 2]})
    sentence = summary("neuron_commitment", result).sentence
    assert "Frequency 1 had 2 neurons at step 50, of which at the end 1 is committed to none" in sentence


def test_the_fate_of_one_neuron_is_told_as_that_of_one(history):
    result = history({0: [NONE] * 4, 50: [1, 2, 2, 2], 60: [NONE, 2, 2, 2]})
    sentence = summary("neuron_commitment", result).sentence
    assert "Frequency 1 had 1 neuron at step 50, which at the end is committed to none." in sentence


def test_the_neurons_of_each_frequency_are_counted_at_every_step(history):
    result = history({0: [1, 1, 2, NONE, DEAD], 10: [1, 3, 3, 3, NONE]})
    assert result.neurons.sel(step=0).values.tolist() == [0, 2, 1, 0, 0, 0]
    assert result.neurons.sel(step=10).values.tolist() == [0, 1, 0, 3, 0, 0]


def test_steps_at_which_the_weights_are_broken_count_for_nothing(history):
    with pytest.warns(UserWarning, match="not finite"):
        result = history({0: [2, 3], 10: None, 20: [2, 4], 30: None})
    assert result.settled_step.values.tolist() == [0, 20]
    assert result.switches.values.tolist() == [0, 1]
    assert summary("neuron_commitment", result).values["committed_share"] == 1
