from __future__ import annotations

import bz2
import math

import numpy as np
import pytest
import torch
import xarray as xr

from interp.maths.description_length import TAUS
from interp.models.transformer import transformer
from interp.results.account import panels, summary
from interp.tasks.modular_arithmetic import modular_arithmetic

pytestmark = pytest.mark.usefixtures("one_thread")

P = 11
MODEL = {"d_model": 16, "n_heads": 2, "d_mlp": 32}
MLP = {"mlp": {"d_model": P, "d_mlp": P * P, "shared_embedding": True, "biases": "hidden"}}


def task(**options):
    return {"modular_arithmetic": {"p": P, "frac_train": 0.5, **options}}


def fresh(seed=0, scale=1.0):
    weights = transformer(modular_arithmetic(p=P), **MODEL).initial(seed)
    return {name: scale * value for name, value in weights.items()}


def a_table(known):
    """An MLP with a neuron for each pair, of which the share `known` has the right answer's logit at 20."""
    pairs = modular_arithmetic(p=P)
    one_hot = torch.eye(P)
    right = torch.zeros(P * P, P)
    right[torch.arange(P * P), pairs.targets] = 20.0
    right[int(known * P * P) :] = 0
    return {
        "embed.W_E": one_hot,
        "mlp.W_in": torch.cat([one_hot[pairs.pairs[:, 0]].T, one_hot[pairs.pairs[:, 1]].T]),
        "mlp.b_in": -torch.ones(P * P),
        "unembed.W_U": right,
    }


def test_what_it_reports_of_a_description_holds(make_run):
    checkpoint = make_run({0: fresh(scale=3.0)}, task(), {"transformer": MODEL})[0]
    own = float(checkpoint.measure("loss").train_loss)
    weights = sum(value.numel() for value in checkpoint.weights.values())
    for epsilon in (1.0, 0.1):
        found = checkpoint.measure("complexity", epsilon=epsilon)
        assert abs(float(found.described_loss) - own) < epsilon
        assert float(found.bits_per_weight) == pytest.approx(8 * float(found.complexity) / weights)
        assert float(found.tau) in TAUS
        assert 0 <= float(found.factored_share) <= 1


def test_a_fresh_network_is_as_good_as_zeros(make_run):
    found = make_run({0: fresh()}, task(), {"transformer": MODEL})[0].measure("complexity")
    assert float(found.complexity) < 100
    assert float(found.described_loss) == pytest.approx(math.log(P + 1), abs=1e-6)  # a logit for "=" as well


def test_what_must_be_known_must_be_written_down(make_run):
    run = make_run({0: a_table(0.0), 1: a_table(0.5), 2: a_table(1.0)}, task(), MLP)
    sizes = [float(run[step].measure("complexity", epsilon=0.1).complexity) for step in (0, 1, 2)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_the_raw_size_is_the_stored_weights_in_bzip2(make_run):
    checkpoint = make_run({0: fresh()}, task(), {"transformer": MODEL})[0]
    together = b"".join(value.numpy().tobytes() for value in checkpoint.weights.values())
    assert float(checkpoint.measure("complexity").raw_size) == len(bz2.compress(together))


def test_the_order_of_neurons_hardly_matters(make_run):
    weights = fresh(scale=3.0)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    block = "blocks.0.mlp."
    moved = weights | {
        f"{block}W_in": weights[f"{block}W_in"][:, order],
        f"{block}b_in": weights[f"{block}b_in"][order],
        f"{block}W_out": weights[f"{block}W_out"][order],
    }
    run = make_run({0: weights, 1: moved}, task(), {"transformer": MODEL})
    first, other = (float(run[step].measure("complexity", epsilon=0.1).complexity) for step in (0, 1))
    assert first == pytest.approx(other, rel=0.03)


def test_where_nothing_shorter_will_do_the_weights_stand_as_they_are(make_run):
    found = make_run({0: fresh(scale=3.0)}, task(), {"transformer": MODEL})[0].measure("complexity", epsilon=1e-14)
    assert float(found.complexity) == float(found.raw_size)
    assert float(found.delta) == 0
    assert float(found.tau) == 1


def test_where_the_split_is_unknown_only_the_raw_size_is_a_number(make_run):
    run = make_run({0: fresh(), 5: fresh(1)}, task(split="unknown"), {"transformer": MODEL})
    result = run.measure("complexity")
    assert not result.complexity.notnull().any()
    assert result.raw_size.notnull().all()
    assert "unknown" in summary("complexity", result).sentence
    assert [panel.title for panel in panels("complexity", result)] == ["Size of the compressed weights"]


def test_the_sentence_says_when_it_peaked_and_how_far_it_fell(make_run):
    steps = {0: fresh(), 10: fresh(scale=4.0), 20: fresh(scale=2.5)}
    result = make_run(steps, task(), {"transformer": MODEL}).measure("complexity", epsilon=0.1)
    said = summary("complexity", result)
    sizes = result.complexity.values
    assert sizes[1] > sizes[2] > sizes[0]
    assert said.values["peak_step"] == 10
    assert said.values["fell_by"] == pytest.approx(1 - sizes[2] / sizes[1])
    assert "at step **10**" in said.sentence
    growing = summary("complexity", result.isel(step=[0, 2]))
    assert "did not fall" in growing.sentence
    unchanged = xr.concat([result.isel(step=[place]).assign_coords(step=[place]) for place in (0, 0)], "step")
    assert "throughout" in summary("complexity", unchanged).sentence.partition(".")[0]
    assert "can be described in" in summary("complexity", result.isel(step=[1])).sentence


def test_weights_that_are_no_numbers_are_left_out(make_run):
    broken = fresh(scale=4.0)
    broken["embed.W_E"][0, 0] = np.nan
    run = make_run({0: fresh(scale=3.0), 10: broken}, task(), {"transformer": MODEL})
    with pytest.warns(UserWarning, match="not finite"):
        result = run.measure("complexity")
    assert result.complexity.notnull().values.tolist() == [True, False]
    assert summary("complexity", result).values["peak_step"] == 0
