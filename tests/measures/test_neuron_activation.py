from __future__ import annotations

import math

import pytest
import torch

from interp.errors import InterpError
from interp.results.account import panels


def wave(n, freq, share=1.0):
    """cos w_k x, of which a part of the variance is that of the last frequency."""
    x = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return math.sqrt(share) * torch.cos(freq * x) + math.sqrt(1 - share) * torch.cos((n // 2) * x)


@pytest.fixture
def network(planted_mlp):
    def make(columns, **task):
        from_a = {step: torch.stack(tables, dim=1) for step, tables in columns.items()}
        p, width = next(iter(from_a.values())).shape
        from_b = torch.linspace(0, 1, p)[:, None].expand(p, width)
        return planted_mlp({step: (a, from_b, torch.zeros(width, p)) for step, a in from_a.items()}, {"p": p} | task)

    return make


def test_shown_at_every_step_are_the_clearest_neurons_of_the_last_step_s_strongest_frequencies(network):
    p = 13
    early = [wave(p, 1), wave(p, 2), wave(p, 3), wave(p, 4)]
    late = [3 + wave(p, 2, 0.9), 3 + 3 * wave(p, 2), 3 + 3 * wave(p, 4), -9 + wave(p, 1)]
    run = network({0: early, 100: late})
    for checkpoint in run:
        assert checkpoint.measure("neuron_activation").example.tolist() == [1, 2]
        assert checkpoint.measure("neuron_activation", count=1).example.tolist() == [1]
    assert run.final.measure("neuron_activation").example_freq.tolist() == [2, 4]
    result = run.measure("neuron_activation")
    assert result.activation.dims == ("step", "example", "a", "b")
    assert result.activation.dtype == "float32"


def test_a_neuron_without_a_frequency_of_its_own_is_called_so(network):
    """Whatever is active on one pair alone, here on the last b with an a of 2, holds every frequency alike."""
    p = 7
    one = 8.1 * torch.nn.functional.one_hot(torch.tensor(2), p).double() - 9
    run = network({0: [one, torch.full((p,), -9.0).double(), 3 + wave(p, 1)]})
    titles = [panel.title for panel in panels("neuron_activation", run.measure("neuron_activation", neurons=[0, 1, 2]))]
    assert titles == ["Neuron 0: no frequency", "Neuron 1: never varies", "Neuron 2: frequency 1"]


@pytest.mark.slow
def test_the_maps_are_the_activations_of_the_pairs(network):
    p = 7
    columns = [wave(p, 1), wave(p, 3)]
    found = network({0: columns})[0].measure("neuron_activation", neurons=[1, 0])
    b = torch.linspace(0, 1, p)
    for row, neuron in enumerate((1, 0)):
        expected = (columns[neuron][:, None] + b).relu().float()
        torch.testing.assert_close(found.activation[row], expected)


def test_of_products_the_operands_are_in_the_order_of_their_discrete_logarithms(network):
    p = 11
    powers_of_two = [pow(2, i, p) for i in range(p - 1)]
    found = network({0: [torch.arange(p).double()]}, operation="x*y")[0].measure("neuron_activation", neurons=[0])
    b = torch.linspace(0, 1, p)[powers_of_two]
    expected = torch.tensor(powers_of_two)[:, None] + b
    torch.testing.assert_close(found.activation[0], expected.float())


@pytest.mark.parametrize("neuron", [-1, 2])
def test_a_neuron_that_is_not_there_is_refused(network, neuron):
    run = network({0: [wave(7, 1), wave(7, 2)]})
    with pytest.raises(InterpError, match=f"neurons has {neuron}; the neurons here are 0 to 1"):
        run[0].measure("neuron_activation", neurons=[neuron])
