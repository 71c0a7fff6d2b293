"""Directions whose filters are as long as those of the weights, and to which a rescaled unit looks alike."""

from __future__ import annotations

import torch

from interp.maths.filter_directions import drawn_direction, filter_normalised


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


WEIGHTS = {
    "mlp.W_in": numbers(4, 6),
    "mlp.b_in": numbers(6),
    "attn.W_Q": numbers(2, 5, 3),
    "conv.0.W_in": numbers(3, 2, 2, 7),
}


def test_each_filter_is_as_long_as_the_weights_of_its_unit():
    d = drawn_direction(WEIGHTS, torch.Generator().manual_seed(3))
    for unit in range(6):
        torch.testing.assert_close(d["mlp.W_in"][:, unit].norm(), WEIGHTS["mlp.W_in"][:, unit].norm())
    for head in range(2):
        for unit in range(3):
            torch.testing.assert_close(d["attn.W_Q"][head, :, unit].norm(), WEIGHTS["attn.W_Q"][head, :, unit].norm())
    for channel in range(7):
        torch.testing.assert_close(d["conv.0.W_in"][..., channel].norm(), WEIGHTS["conv.0.W_in"][..., channel].norm())
    assert not d["mlp.b_in"].any()


def test_a_unit_twice_as_large_is_moved_twice_as_far():
    drawn = {name: numbers(*value.shape, seed=9) for name, value in WEIGHTS.items()}
    larger = {**WEIGHTS, "mlp.W_in": WEIGHTS["mlp.W_in"] * torch.tensor([2.0, 1, 1, 1, 1, 1])}
    before, after = (filter_normalised(drawn, weights)["mlp.W_in"] for weights in (WEIGHTS, larger))
    torch.testing.assert_close(after, before * torch.tensor([2.0, 1, 1, 1, 1, 1]))


def test_a_unit_of_zeros_is_not_moved():
    weights = {"mlp.W_in": torch.zeros(3, 2).double()}
    assert not drawn_direction(weights, torch.Generator().manual_seed(0))["mlp.W_in"].any()
