from __future__ import annotations

import math

import pytest
import torch

from tests.planted import clock_logits, of_logits
from tests.tables import grid, losses, noise, onto_waves
from tests.told import summary


@pytest.mark.parametrize(("n", "operation"), [(7, "x+y"), (8, "x+y"), (7, "x-y")])
def test_it_is_the_loss_of_the_projections_and_the_mean(checkpoint_of, n, operation):
    sign = 1 if operation == "x+y" else -1
    table = noise(n, size=2) + 3 * clock_logits(n, {2: 1, 3: 2}, sign) + noise(n, 1)[0, 0]
    checkpoint = checkpoint_of(table, operation=operation)
    train = checkpoint.task.table(checkpoint.task.train.double()) == 1
    found = checkpoint.measure("restricted_loss", keys=[2, 3])
    mean = table.mean((0, 1))
    together = losses(onto_waves(table, [2, 3], sign) + mean, sign)
    assert float(found.all_loss) == pytest.approx(float(together.mean()), rel=1e-10)
    assert float(found.train_loss) == pytest.approx(float(together[train].mean()), rel=1e-10)
    assert float(found.test_loss) == pytest.approx(float(together[~train].mean()), rel=1e-10)
    for k in range(1, n // 2 + 1):
        alone = losses(onto_waves(table, [k], sign) + mean, sign)
        assert float(found.all_loss_by_freq[k]) == pytest.approx(float(alone.mean()), rel=1e-10)
        assert float(found.train_loss_by_freq[k]) == pytest.approx(float(alone[train].mean()), rel=1e-10)
        assert float(found.test_loss_by_freq[k]) == pytest.approx(float(alone[~train].mean()), rel=1e-10)
    assert found.key.nonzero().flatten().tolist() == [2, 3]


def test_a_circuit_alone_loses_what_the_network_does(checkpoint_of):
    found = checkpoint_of(clock_logits(11, {2: 9.0, 5: 7.0})).measure("restricted_loss", keys=[2, 5])
    assert 1e-9 < float(found.all_loss) < 1e-3
    assert float(found.all_loss) == pytest.approx(float(found.network_all_loss), rel=1e-10)


def test_what_is_memorised_and_single_operands_do_not_enter(checkpoint_of):
    circuit = clock_logits(7, {1: 4.0})
    a, b, c = grid(7)
    beside = torch.cos(2 * math.pi * (2 * a + c) / 7) + 3 * torch.cos(2 * math.pi * (b - 3 * c) / 7)
    difference = 5 * torch.cos(2 * math.pi * (a - b + 2 * c) / 7)
    before, after = (
        checkpoint_of(table, name).measure("restricted_loss", keys=[1])
        for name, table in (("before", circuit), ("after", circuit + beside + difference))
    )
    assert float(after.all_loss) == pytest.approx(float(before.all_loss), rel=1e-10)
    assert float(after.network_all_loss) > 2 * float(before.network_all_loss)


def test_the_mean_over_the_pairs_is_kept(checkpoint_of):
    preference = torch.arange(7).double()
    found = checkpoint_of(preference.expand(7, 7, 7)).measure("restricted_loss", keys=[])
    expected = float(preference.logsumexp(0) - preference.mean())
    assert float(found.all_loss) == pytest.approx(expected, rel=1e-12)
    assert float(found.all_loss_by_freq[0]) == pytest.approx(expected, rel=1e-12)


def test_for_products_it_runs_over_discrete_logarithms(checkpoint_of):
    p = 11
    powers = torch.tensor([pow(2, i, p) for i in range(p - 1)])
    in_order = clock_logits(p - 1, {3: 5.0}) + noise(p - 1)
    table = torch.full((p, p, p), -3.0).double()  # zero, as operand or answer, does not count
    table[powers[:, None, None], powers[:, None], powers] = in_order
    found = checkpoint_of(table, operation="x*y").measure("restricted_loss", keys=[3])
    expected = losses(onto_waves(in_order, [3]) + in_order.mean((0, 1)))
    assert float(found.all_loss) == pytest.approx(float(expected.mean()), rel=1e-10)
    assert float(found.uniform_loss) == pytest.approx(math.log(10))


def test_the_logit_of_the_equals_sign_does_not_count(make_run):
    shapes = make_run({}, {"modular_arithmetic": {"p": 5}}, {"transformer": {"d_model": 4, "n_heads": 2, "d_mlp": 8}})
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(shape, generator=generator).double() for name, shape in shapes.architecture.shapes.items()
    }
    louder = weights | {"unembed.W_U": weights["unembed.W_U"] + 9 * torch.eye(6)[5]}
    model = {"transformer": {"d_model": 4, "n_heads": 2, "d_mlp": 8}}
    before, after = (
        make_run({0: w}, {"modular_arithmetic": {"p": 5}}, model, name)[0].measure("restricted_loss", keys=[1])
        for name, w in (("before", weights), ("after", louder))
    )
    assert torch.equal(before.all_loss_by_freq, after.all_loss_by_freq)
    assert before.network_all_loss != after.network_all_loss


@pytest.mark.parametrize("unit", [2, 5])
def test_naming_the_residues_anew_by_a_unit_moves_frequencies(checkpoint_of, unit):
    p = 13
    back = pow(unit, -1, p)
    table = noise(p) + clock_logits(p, {1: 3.0, 4: 2.0})
    names = torch.arange(p) * back % p  # residue u·x is treated as x was
    before = checkpoint_of(table, "before").measure("restricted_loss", keys=[1])
    after = checkpoint_of(table[names][:, names][:, :, names], "after").measure("restricted_loss", keys=[1])
    for freq in range(1, p // 2 + 1):
        moved = min(freq * back % p, p - freq * back % p)
        assert float(after.all_loss_by_freq[moved]) == pytest.approx(float(before.all_loss_by_freq[freq]), rel=1e-10)


def test_where_the_split_is_unknown_only_the_loss_on_all_pairs_is_a_number(checkpoint_of):
    found = checkpoint_of(noise(5), split="unknown").measure("restricted_loss", keys=[1])
    assert found.all_loss.isfinite()
    assert found.train_loss.isnan()
    assert found.test_loss_by_freq.isnan().all()


def test_its_summary_tells_when_circuit_and_network_came_to_know(make_run):
    circuit, memory = clock_logits(7, {1: 3.0, 2: 3.0}), noise(7, size=9)
    tables = {0: 0 * circuit, 10: circuit + memory, 20: circuit + 0.01 * memory}
    networks = {step: of_logits(table) for step, table in tables.items()}
    run = make_run({step: one.weights for step, one in networks.items()}, networks[0].task, networks[0].model)
    result = run.measure("restricted_loss", keys=[1, 2])
    told = summary("restricted_loss", result)
    assert (told.values["half_step"], told.values["network_half_step"]) == (10, 20)
    assert told.values["key_freqs"] == [1, 2]
    assert "the key frequencies 1 and 2 (keys: listed)" in told.sentence
