"""What the measures of the neurons draw and say, of steps with numbers and of broken ones."""

from __future__ import annotations

import pytest
import torch

from interp.results import account
from tests.told import summary

MEASURES = [
    "neuron_spectrum",
    "neuron_activation",
    "neuron_commitment",
    "neuron_logit_spectrum",
    "attention_spectrum",
    "inverse_participation",
    "phase_alignment",
    "pair_trace",
]
TASKS = {"cyclic": {"p": 7}, "even": {"p": 8, "split": "unknown"}, "not cyclic": {"p": 7, "operation": "x^2+y^2"}}
MODELS = {
    "transformer": {"transformer": {"d_model": 6, "n_heads": 2, "d_mlp": 5}},
    "mlp": {"mlp": {"d_model": 4, "d_mlp": 5, "n_layers": 2}},
}


CASES = [
    (measure, model, task)
    for measure in MEASURES
    for model in MODELS
    for task in TASKS
    if (measure == "pair_trace" or task != "not cyclic") and (measure, model) != ("attention_spectrum", "mlp")
]


@pytest.mark.parametrize(("measure", "model", "task"), CASES)
@pytest.mark.filterwarnings("ignore:.*not finite")
def test_every_panel_is_drawn_from_finite_steps_and_broken_ones(make_run, measure, model, task):
    given = {"modular_arithmetic": TASKS[task]}, MODELS[model]
    architecture = make_run({}, *given, "empty").architecture
    steps = {0: architecture.initial(0), 10: architecture.initial(1)}
    steps[20] = {name: torch.full_like(weight, torch.nan) for name, weight in steps[0].items()}
    result = make_run(steps, *given).measure(measure)
    panels = account.panels(measure, result)
    titles = [panel.title for panel in panels]
    assert titles
    assert len(set(titles)) == len(titles)
    for panel in panels:
        assert panel.draw().figure["data"]
    told = summary(measure, result)
    assert not told.sentence or told.sentence.endswith(".")
    assert "nan" not in told.sentence
