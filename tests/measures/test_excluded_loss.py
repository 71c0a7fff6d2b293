from __future__ import annotations

import math

import pytest
import torch

from interp.results.account import panels
from tests.planted import clock_logits, of_logits
from tests.tables import losses, noise, onto_waves
from tests.told import summary

GRADES = [2 * math.pi * g / 7 for g in range(1, 7)]
"""Angles of the wrong answers."""


@pytest.mark.parametrize(("n", "operation"), [(7, "x+y"), (8, "x+y"), (7, "x-y")])
def test_it_is_the_loss_without_the_projections(checkpoint_of, n, operation):
    sign = 1 if operation == "x+y" else -1
    table = noise(n, size=2) + 3 * clock_logits(n, {2: 1, 3: 2}, sign) + noise(n, 1)[0, 0]
    checkpoint = checkpoint_of(table, operation=operation)
    train = checkpoint.task.table(checkpoint.task.train.double()) == 1
    found = checkpoint.measure("excluded_loss", keys=[2, 3])
    together = losses(table - onto_waves(table, [2, 3], sign), sign)
    assert float(found.all_loss) == pytest.approx(float(together.mean()), rel=1e-10)
    assert float(found.train_loss) == pytest.approx(float(together[train].mean()), rel=1e-10)
    assert float(found.test_loss) == pytest.approx(float(together[~train].mean()), rel=1e-10)
    for k in range(1, n // 2 + 1):
        without = losses(table - onto_waves(table, [k], sign), sign)
        assert float(found.all_loss_by_freq[k]) == pytest.approx(float(without.mean()), rel=1e-10)
        assert float(found.train_loss_by_freq[k]) == pytest.approx(float(without[train].mean()), rel=1e-10)
        assert float(found.test_loss_by_freq[k]) == pytest.approx(float(without[~train].mean()), rel=1e-10)


def test_without_its_circuit_a_network_guesses(checkpoint_of):
    found = checkpoint_of(clock_logits(11, {2: 9.0, 5: 7.0})).measure("excluded_loss", keys=[2, 5])
    assert float(found.train_loss) == pytest.approx(math.log(11), rel=1e-12)
    assert float(found.uniform_loss) == pytest.approx(math.log(11), rel=1e-15)


def test_at_frequency_0_and_without_keys_nothing_is_taken_away(checkpoint_of):
    found = checkpoint_of(noise(7) + clock_logits(7, {1: 25.0})).measure("excluded_loss", keys=[])
    for name in ("all", "train", "test"):
        own = float(getattr(found, f"network_{name}_loss"))
        assert float(getattr(found, f"{name}_loss")) == pytest.approx(own, rel=1e-10)
        assert float(getattr(found, f"{name}_loss_by_freq")[0]) == pytest.approx(own, rel=1e-10)


def test_losses_of_1e_9_keep_their_digits(checkpoint_of):
    table = clock_logits(7, {1: 12.0, 2: 12.0, 3: 12.0})  # 36 on the answer, -6 elsewhere
    found = checkpoint_of(table).measure("excluded_loss", keys=[3])
    expected = math.log1p(sum(math.exp(12 * (math.cos(w) + math.cos(2 * w)) - 24) for w in GRADES))
    assert 1e-9 < expected < 1e-8
    assert float(found.all_loss) == pytest.approx(expected, rel=1e-10)


def test_a_lookup_table_does_without_waves(checkpoint_of):
    """Random answers, right on the training pairs: the waves hold next to nothing of it."""
    p = 23
    empty = checkpoint_of(torch.zeros(p, p, p).double(), "empty").task
    table = noise(p)
    pairs = empty.pairs[empty.train]
    table[pairs[:, 0], pairs[:, 1], empty.targets[empty.train]] += 30
    found = checkpoint_of(table).measure("excluded_loss", keys=[3])
    assert float(found.network_train_loss) < 1e-6
    assert float(found.train_loss) < 1e-6
    assert float(found.test_loss) > math.log(p)


def test_its_summary_tells_from_when_on_it_is_worse_than_guessing(make_run):
    circuit, memory = clock_logits(7, {1: 3.0, 2: 3.0}), clock_logits(7, {3: 5.0})
    tables = {0: memory, 10: circuit + 0.5 * memory, 20: circuit - 0.1 * memory, 30: circuit - 0.01 * memory}
    networks = {step: of_logits(table) for step, table in tables.items()}
    run = make_run({step: one.weights for step, one in networks.items()}, networks[0].task, networks[0].model)
    result = run.measure("excluded_loss", keys=[1, 2])
    told = summary("excluded_loss", result)
    assert told.values["above_guessing_step"] == 20
    assert told.values["highest_step"] == 20
    assert "for good from step 20 on" in told.sentence
    for panel in panels("excluded_loss", result):
        panel.draw()


def test_of_an_unknown_split_the_report_shows_all_pairs(make_run):
    network = of_logits(noise(5), split="unknown")
    run = make_run({0: network.weights}, network.task, network.model)
    result = run.measure("excluded_loss", keys=[1])
    drawn = panels("excluded_loss", result)[0]
    assert set(drawn.arrays) == {"excluded", "guessing", "all"}
    assert summary("excluded_loss", result).values["final"] == float(result.all_loss[-1])
