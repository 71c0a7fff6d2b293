from __future__ import annotations

import math

import pytest
import torch

from interp.errors import InterpError

MODEL = {"transformer": {"d_model": 12, "n_heads": 1, "d_mlp": 3}}


def circles(n, radii, d_model=12):
    """[n, d_model]: for each frequency a circle of this radius in a plane of its own."""
    x = torch.arange(n, dtype=torch.float64)
    rows = torch.zeros(n, d_model, dtype=torch.float64)
    for place, (freq, radius) in enumerate(radii.items()):
        rows[:, 2 * place] = radius * torch.cos(2 * math.pi * freq * x / n)
        rows[:, 2 * place + 1] = radius * torch.sin(2 * math.pi * freq * x / n)
    return rows


@pytest.fixture
def embedded(make_run):
    def make(tables, name="run", **task):
        task = {"modular_arithmetic": task}
        shapes = make_run({}, task, MODEL, name=f"{name}-empty").architecture.shapes
        weights = {key: torch.zeros(shape, dtype=torch.float64) for key, shape in shapes.items()}
        equals = torch.full((1, 12), 50.0, dtype=torch.float64)
        return make_run(
            {step: weights | {"embed.W_E": torch.cat([table, equals])} for step, table in tables.items()},
            task,
            MODEL,
            name=name,
        )

    return make


def test_the_residues_of_a_circle_lie_on_it_each_k_turns_further_than_the_last(embedded):
    p, radii = 11, {2: 3.0, 5: 1.5}
    found = embedded({0: circles(p, radii)}, p=p)[0].measure("embedding_circle", freqs=[2, 5])
    assert found.freq.tolist() == [2, 5]
    assert found.token.tolist() == list(range(p))
    for row, (freq, radius) in enumerate(radii.items()):
        angles = 2 * math.pi * freq * torch.arange(p).double() / p
        torch.testing.assert_close(found.x[row], radius * angles.cos(), rtol=0, atol=1e-6)
        torch.testing.assert_close(found.y[row], radius * angles.sin(), rtol=0, atol=1e-6)


def test_the_frequencies_shown_are_the_strongest_at_the_last_checkpoint_at_every_step(embedded):
    run = embedded({0: circles(11, {1: 5.0, 2: 1.0}), 10: circles(11, {3: 4.0, 2: 3.0, 1: 0.1})}, p=11)
    for checkpoint in run:
        assert sorted(checkpoint.measure("embedding_circle", count=2).freq.tolist()) == [2, 3]
    assert run[0].measure("embedding_circle", freqs=[1]).freq.tolist() == [1]
    result = run.measure("embedding_circle", count=2)
    assert result.x.dims == ("step", "freq", "token")


def test_of_frequencies_that_hold_as_much_the_lowest_are_shown(embedded):
    """A one-hot embedding holds all alike."""
    noise = 1e-15 * torch.randn(11, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one_hot = torch.eye(11, 12, dtype=torch.float64)
    for name, rows in (("plain", one_hot), ("turned", one_hot.roll(3, 0)), ("noise", one_hot + noise)):
        assert embedded({0: rows}, name, p=11)[0].measure("embedding_circle", count=3).freq.tolist() == [1, 2, 3]


def test_a_rotation_of_the_residual_stream_moves_no_point(embedded):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(11, 12, dtype=torch.float64, generator=generator)
    Q = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64, generator=generator)).Q
    before = embedded({0: rows}, "before", p=11)[0].measure("embedding_circle", freqs=[1, 2, 3])
    after = embedded({0: rows @ Q}, "after", p=11)[0].measure("embedding_circle", freqs=[1, 2, 3])
    torch.testing.assert_close(after.x, before.x, rtol=0, atol=1e-5)
    torch.testing.assert_close(after.y, before.y, rtol=0, atol=1e-5)


def test_for_products_the_residues_go_round_in_the_order_of_their_discrete_logarithms(embedded):
    p = 11
    powers_of_two = [pow(2, i, p) for i in range(p - 1)]
    rows = torch.full((p, 12), 7.0, dtype=torch.float64)
    rows[powers_of_two] = circles(p - 1, {1: 2.0})
    found = embedded({0: rows}, p=p, operation="x*y")[0].measure("embedding_circle", count=1)
    assert found.token.tolist() == powers_of_two
    angles = 2 * math.pi * torch.arange(p - 1).double() / (p - 1)
    torch.testing.assert_close(found.x[0], 2 * angles.cos(), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.y[0], 2 * angles.sin(), rtol=0, atol=1e-5)


def test_the_last_frequency_of_even_p_lies_on_a_line(embedded):
    rows = torch.zeros(8, 12, dtype=torch.float64)
    rows[:, 0] = torch.tensor([2.0, -2.0] * 4)
    found = embedded({0: rows}, p=8)[0].measure("embedding_circle", freqs=[4])
    torch.testing.assert_close(found.x[0], rows[:, 0], rtol=0, atol=1e-6)
    assert (found.y == 0).all()


@pytest.mark.parametrize("freq", [-1, 0, 6])
def test_a_frequency_out_of_range_is_refused(embedded, freq):
    checkpoint = embedded({0: circles(11, {2: 3.0})}, p=11)[0]
    with pytest.raises(InterpError, match=rf"{freq}\b"):
        checkpoint.measure("embedding_circle", freqs=[freq])


def test_fewer_than_one_circle_is_refused(embedded):
    checkpoint = embedded({0: circles(11, {2: 3.0})}, p=11)[0]
    with pytest.raises(InterpError, match="count"):
        checkpoint.measure("embedding_circle", count=0)
