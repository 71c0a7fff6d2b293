from __future__ import annotations

import math

import pytest
import torch

from interp.results.account import panels
from tests.planted import clock_logits, of_logits
from tests.tables import grid, noise, onto_waves
from tests.told import summary


@pytest.fixture
def spectrum_of(checkpoint_of):
    """logit_spectrum of a network with these logits."""
    return lambda table, name="run", **task: checkpoint_of(table, name, **task).measure("logit_spectrum")


@pytest.mark.parametrize(("n", "operation"), [(7, "x+y"), (8, "x+y"), (7, "x-y")])
def test_shares_are_those_of_products_of_waves_written_out(spectrum_of, n, operation):
    sign = 1 if operation == "x+y" else -1
    table = noise(n) + clock_logits(n, {2: 1.0}, sign)
    found = spectrum_of(table + noise(n, 1)[..., :1], operation=operation)  # what all of a pair have alike is not seen
    table = table - table.mean(2, keepdim=True)
    total = (table - table.mean((0, 1))).square().sum()
    x = torch.arange(n).double()
    for k in range(1, n // 2 + 1):
        shapes = (torch.cos,) if 2 * k == n else (torch.cos, torch.sin)
        waves = [shape(2 * math.pi * k * x / n) for shape in shapes]
        waves = [wave / wave.norm() for wave in waves]
        one = torch.full((n,), n**-0.5, dtype=torch.float64)

        def power(fs, gs):
            return sum(torch.einsum("a,b,abc->c", f, g, table).square().sum() for f in fs for g in gs) / total

        assert float(found.block_power[k]) == pytest.approx(float(power(waves, waves)), rel=1e-9)
        assert float(found.operand_power[k]) == pytest.approx(
            float(power(waves, [one]) + power([one], waves)), rel=1e-9
        )
        answer = float(onto_waves(table, [k], sign).square().sum() / total)
        assert float(found.answer_power[k]) == pytest.approx(answer, rel=1e-9)
    shares = found.block_power.sum() + found.operand_power.sum() + found.elsewhere
    assert float(shares) == pytest.approx(1, rel=1e-12)


def test_a_sum_of_cosines_of_the_answer_lies_in_its_waves_alone(spectrum_of):
    found = spectrum_of(3 + clock_logits(11, {2: 2.0, 5: 1.0}) + torch.arange(11))
    assert found.answer_power.tolist() == pytest.approx([0, 0, 0.8, 0, 0, 0.2], abs=1e-12)
    assert found.block_power.tolist() == pytest.approx([0, 0, 0.8, 0, 0, 0.2], abs=1e-12)
    assert float(found.elsewhere) == pytest.approx(0, abs=1e-12)


def test_waves_of_a_difference_of_one_operand_and_of_two_frequencies_are_told_apart(spectrum_of):
    a, b, c = (2 * math.pi * axis / 11 for axis in grid(11))
    found = spectrum_of(
        torch.cos(2 * (a - b) + c)
        + 2 * torch.cos(3 * a + c)
        + 3 * torch.cos(a + c) * torch.cos(2 * b)  # half the power of the others, squared
    )
    total = 0.5 + 2 + 9 / 4
    assert float(found.difference_power[2]) == pytest.approx(0.5 / total)
    assert float(found.operand_power[3]) == pytest.approx(2 / total)
    assert float(found.elsewhere) == pytest.approx(9 / 4 / total)
    assert float(found.answer_share) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("unit", [2, 5])
def test_naming_the_residues_anew_by_a_unit_moves_frequencies(spectrum_of, unit):
    p = 13
    back = pow(unit, -1, p)
    table = noise(p) + clock_logits(p, {1: 3.0, 4: 2.0})
    names = torch.arange(p) * back % p  # residue u·x is treated as x was
    before, after = spectrum_of(table, "before"), spectrum_of(table[names][:, names][:, :, names], "after")
    for freq in range(1, p // 2 + 1):
        moved = min(freq * back % p, p - freq * back % p)
        for name in ("block_power", "answer_power", "operand_power"):
            assert float(getattr(after, name)[moved]) == pytest.approx(float(getattr(before, name)[freq]), rel=1e-10)


def test_its_summary_names_the_frequencies(make_run):
    networks = {0: of_logits(noise(11)), 10: of_logits(clock_logits(11, {2: 9.0, 5: 7.0}))}
    weights = {step: network.weights for step, network in networks.items()}
    result = make_run(weights, networks[0].task, networks[0].model).measure("logit_spectrum")
    told = summary("logit_spectrum", result)
    assert told.values["frequencies"] == [2, 5]
    assert told.values["end"] == pytest.approx(1)
    assert told.values["start"] < 0.2
    assert "were it even, it would be 8%; frequencies 2 and 5, each above 5%, hold 100%." in told.sentence
    result.answer_power[-1, 4] = 0.03  # above 1%, and no more than random logits have now and then
    assert summary("logit_spectrum", result).values["frequencies"] == [2, 5]
    for panel in panels("logit_spectrum", result):
        panel.draw()
