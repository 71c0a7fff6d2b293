"""Which frequencies each rule of `keys` counts."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
import torch

import interp
from interp.errors import InterpError
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.measures.shared import key_frequencies
from tests.planted import of_neurons
from tests.tables import grid

P = 7


def neurons(*freqs: int):
    """A network of clear neurons at these frequencies, and 49 - len(freqs) idle ones; 2 % of 49 is just below one."""
    a, b, _ = (axis[:, :, 0] for axis in grid(P))
    tables = torch.stack([1 + torch.cos(2 * math.pi * k * (a + b) / P + place) for place, k in enumerate(freqs)], -1)
    generator = torch.Generator().manual_seed(0)
    return of_neurons(tables, torch.randn(len(freqs), P, dtype=torch.float64, generator=generator))


@pytest.fixture
def run(make_run):
    """Frequency 1 is given up, 2 stays, 3 comes late."""
    stages = {0: neurons(1, 1, 2), 100: neurons(1, 2, 2), 200: neurons(2, 2), 300: neurons(2, 3)}
    return make_run({step: network.weights for step, network in stages.items()}, stages[0].task, stages[0].model)


def keys(result, step):
    return result.freq[result.key.sel(step=step)].values.tolist()


def test_final_are_the_last_checkpoint_s_and_the_default(run):
    for options in ({}, {"keys": "final"}):
        result = run.measure("restricted_loss", **options)
        assert [keys(result, step) for step in run.steps] == [[2, 3]] * 4


def test_checkpoint_are_each_checkpoint_s_own(run):
    result = run.measure("restricted_loss", keys="checkpoint")
    assert [keys(result, step) for step in run.steps] == [[1, 2], [1, 2], [2], [2, 3]]


def test_listed_ones_are_taken_as_they_are(run):
    assert keys(run.measure("restricted_loss", keys=[3, 1]), 0) == [1, 3]


def test_logits_are_those_that_the_last_logits_use_whichever_the_neurons_have(make_run):
    """Of neurons of 2 and 3 the second is read."""
    c = 2 * math.pi * torch.arange(P).double() / P
    a, b, _ = (axis[:, :, 0] for axis in grid(P))
    tables = torch.stack(
        [1 + torch.cos(2 * math.pi * k * (a + b) / P + phase) for k, phase in ((2, 0.0), (3, 1.0))], -1
    )
    network = of_neurons(tables, torch.stack([torch.zeros(P).double(), torch.cos(3 * c)]))
    run = make_run({0: network.weights}, network.task, network.model)
    assert run.final.measure("key_freqs").key.nonzero().flatten().tolist() == [2, 3]
    assert keys(run.measure("restricted_loss", keys="logits"), 0) == [3]


def test_traced_are_those_in_the_last_logits(run):
    similarity = run.final.measure("cosine_fit").trace_similarity
    expected = (similarity > 0.005).nonzero().flatten().tolist()
    assert keys(run.measure("restricted_loss", keys="traced"), 0) == expected


def test_a_frequency_that_is_not_there_is_refused(run):
    for wrong in (0, 4, -1):
        with pytest.raises(InterpError, match=rf"keys: {wrong} is not a frequency of x\+y mod 7; they are 1 to 3"):
            run.final.measure("excluded_loss", keys=[wrong])


def test_an_unknown_rule_is_refused_in_one_line(run):
    with pytest.raises(InterpError, match="option 'keys' is 'finl'; input should be 'final', 'checkpoint'") as refused:
        run.final.measure("excluded_loss", keys="finl")
    assert str(refused.value).count("finl") == 1


EVER = {"restricted_loss": {"keys": "ever"}}


def test_ever_are_those_of_all_steps_that_are_asked_for(run):
    every, late = (interp.over_steps(EVER, run, steps)["restricted_loss"] for steps in ("all", [200, 300]))
    assert keys(every, 0) == keys(every, 300) == [1, 2, 3]
    assert keys(late, 200) == keys(late, 300) == [2, 3]
    assert run.final.measure("restricted_loss", keys="ever").key.tolist() == [False, True, True, True]


def test_ever_needs_more_than_2_percent_of_the_neurons(make_run):
    p = 11  # of 121 neurons 2 % are 2.42
    a, b, _ = (axis[:, :, 0] for axis in grid(p))
    freqs = [1, 1, 1, 4, 4]
    tables = torch.stack([1 + torch.cos(2 * math.pi * k * (a + b) / p + place) for place, k in enumerate(freqs)], -1)
    network = of_neurons(tables, torch.ones(5, p).double())
    run = make_run({0: network.weights}, network.task, network.model)
    assert keys(run.measure("restricted_loss", keys="ever"), 0) == [1]
    assert keys(run.measure("restricted_loss", keys="final"), 0) == [1, 4]


def test_kept_results_follow_the_steps_asked_for(run, tmp_path: Path):
    kept = tmp_path / "results"
    visits: list[tuple[int, int]] = []

    def over(steps):
        visits.clear()
        found = interp.over_steps(
            EVER, run, steps, keep=kept, progress=lambda now: visits.append((now.done, now.total))
        )
        return found["restricted_loss"]

    assert keys(over([200, 300]), 200) == [2, 3]
    assert keys(over([200, 300]), 200) == [2, 3]
    assert not visits  # nothing was computed again
    assert keys(over("all"), 200) == [1, 2, 3]
    assert visits[-1] == (4, 4)  # steps 200 and 300 too


def test_kept_results_follow_the_weights_at_all_steps_asked_for(run, tmp_path: Path):
    kept = tmp_path / "results"
    interp.over_steps(EVER, run, keep=kept)
    store = CheckpointBlocks(run.path / "weights")
    store.clear()
    for step, freqs in {0: (2, 3), 100: (2, 3), 200: (2, 2), 300: (2, 3)}.items():  # 200 and 300 as they were
        store.save(step, {name: value.numpy() for name, value in neurons(*freqs).weights.items()})
    reopened = interp.open_run(run.path)
    assert keys(interp.over_steps(EVER, reopened, keep=kept)["restricted_loss"], 300) == [2, 3]


@pytest.mark.slow
def test_jobs_agree_on_them(make_run):
    stages = {0: neurons(1, 2), 1000: neurons(2), 2000: neurons(2, 3)}
    run = make_run({step: network.weights for step, network in stages.items()}, stages[0].task, stages[0].model)
    alone, together = (interp.over_steps(EVER, run, [1000, 2000], jobs=jobs)["restricted_loss"] for jobs in (1, 2))
    assert keys(alone, 1000) == [2, 3]
    assert alone.to_dataset().identical(together.to_dataset())


def test_a_run_carries_the_steps_asked_for_to_worker_processes(run):
    asked = run.visiting([100, 300])
    assert pickle.loads(pickle.dumps(asked)).asked == [100, 300]
    assert asked.visiting([0]).asked == [100, 300]  # a measure that asks for another is part of the analysis
    assert run.asked == pickle.loads(pickle.dumps(run)).asked == [0, 100, 200, 300]


def test_they_are_found_once_in_a_process(run, monkeypatch):
    seen = []
    clear = key_frequencies._clear
    monkeypatch.setattr(key_frequencies, "_clear", lambda checkpoint: seen.append(checkpoint.step) or clear(checkpoint))
    interp.over_steps(EVER | {"excluded_loss": {"keys": "ever"}}, run)
    assert seen == run.steps


def test_weights_that_are_no_numbers_have_no_frequencies(make_run):
    network = neurons(1, 2)
    lost = {name: value * torch.nan for name, value in network.weights.items()}
    run = make_run({0: lost, 100: network.weights}, network.task, network.model)
    with pytest.warns(UserWarning, match="not finite"):
        result = run.measure("restricted_loss", keys="ever")
    assert keys(result, 100) == [1, 2]
    assert result.all_loss.isnull().values.tolist() == [True, False]
