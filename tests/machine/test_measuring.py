"""A network whose weights are denormal numbers is measured alike everywhere, and importing changes no setting."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

import interp
from interp.machine import denormals, process
from interp.training.loop import train
from tests.planted import clock_mlp
from tests.processes import python
from tests.training.plans import plan

ROOT = Path(__file__).parents[2]
P = 13
SCALES = {0: 1e-312, 1000: 1e-310}


@pytest.fixture(params=[torch.float64, torch.float32], ids=str)
def run(make_run, request):
    """A Clock that answers every pair right, its readout so small that flushed it is 0: accuracy 1/p."""
    network = clock_mlp(P)
    scales = SCALES if request.param == torch.float64 else {step: 1e270 * scale for step, scale in SCALES.items()}
    weights = {
        step: {
            name: (value * scale if name == "unembed.W_U" else value).to(request.param)
            for name, value in network.weights.items()
        }
        for step, scale in scales.items()
    }
    made = make_run(weights, network.task, network.model)
    with denormals.flushed():
        largest = torch.from_numpy(weights[1000]["unembed.W_U"].numpy().copy()).mul(1).abs().max()
        assert float(largest) == 0
    return made


def accuracies(found):
    return found.all_accuracy.values.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("flushing", [False, True], ids=["as it starts", "flushing"])
def test_a_notebook_measures_it_alike_by_every_way(run, tmp_path, flushing):
    with denormals.flushed(flushing):
        assert float(run.final.measure("loss").all_accuracy) == 1
        assert accuracies(run.measure("loss")) == [1, 1]
        assert accuracies(interp.over_steps("loss", run)) == [1, 1]
        assert accuracies(interp.over_steps("loss", run, keep=tmp_path / "kept", jobs=2)) == [1, 1]


def test_after_a_training_in_the_same_process_too(run, tmp_path):
    train(tmp_path / "training", plan(steps=2, save={"every": 2}))
    assert float(run.final.measure("loss").all_accuracy) == 1
    assert accuracies(run.refreshed().measure("loss")) == [1, 1]
    assert float(torch.tensor(1e-310, dtype=torch.float64) * 1) > 0


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_command_measures_it_as_the_notebook_does(run, tmp_path, jobs):
    analysis = tmp_path / "denormal.yaml"
    analysis.write_text(f"title: Denormal\ntext: None.\nruns: [{run.path}]\nmeasures: [loss, weight_norm]\n")
    done = python(["-m", "interp.run", str(analysis), "--jobs", str(jobs)], tmp_path, _environment())
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "reports" / "denormal" / run.name
    again = interp.over_steps(["loss", "weight_norm"], run, keep=kept)
    ours = run.final.measure("loss"), run.final.measure("weight_norm")
    assert accuracies(again.loss) == [1, 1]
    assert float(again.loss.all_loss[-1]) == float(ours[0].all_loss)
    assert float(again.weight_norm.total[-1]) == float(ours[1].total)


def test_measuring_leaves_the_process_as_it_was():
    before = torch.get_num_threads()
    with denormals.flushed(), process.measuring():
        assert torch.get_num_threads() == 1
        assert float(torch.tensor(1e-310, dtype=torch.float64) * 1) > 0
    assert torch.get_num_threads() == before


SETTINGS = """
import json, locale, logging, signal, sys, threading, warnings
import numpy as np, torch, plotly.io, xarray
from numpy import random

def settings():
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    return {
        "denormals": [bool(tiny * 1 == 0), float(np.float64(1e-310) * np.float64(1))],
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads(), threading.active_count()],
        "dtype": [str(torch.get_default_dtype()), str(torch.get_default_device())],
        "deterministic": [torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark],
        "filled": torch.utils.deterministic.fill_uninitialized_memory,
        "precision": [torch.get_float32_matmul_precision(), torch.backends.mkldnn.is_available()],
        "gradients": [torch.is_grad_enabled(), torch.is_anomaly_enabled(), torch.is_inference_mode_enabled()],
        "printing": [str(np.get_printoptions()), torch._tensor_str.PRINT_OPTS.precision],
        "errors": np.geterr(),
        # what packages say of warnings of their own, ruamel and plotly among them, is left out
        "warnings": [str(one) for one in warnings.filters if one[1] is None and one[2].__module__ == "builtins"],
        "random": [torch.random.get_rng_state().tolist()[:40], random.get_state()[1][:5].tolist()],
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
        "plots": plotly.io.templates.default,
        "logging": [logging.getLogger().level, len(logging.getLogger().handlers)],
        "hooks": [sys.excepthook is sys.__excepthook__, sys.getrecursionlimit(), locale.setlocale(locale.LC_ALL)],
        "labels": str(xarray.get_options()),
    }

before = settings()
import interp
[getattr(interp, name) for name in interp.__all__]
imported = settings()
run = interp.open_run(sys.argv[1])
run.final.measure("loss")
run.measure("loss")
run.final.show("loss") if "show" in sys.argv else None
print(json.dumps([before, imported, settings()], default=str))
"""


@pytest.mark.slow
def test_importing_and_measuring_change_no_setting_of_the_process(make_run, tmp_path):
    network = clock_mlp(P)
    run = make_run({0: network.weights}, network.task, network.model)
    done = python(["-c", SETTINGS, str(run.path), "show"], tmp_path, _environment())
    assert done.returncode == 0, done.stderr
    before, imported, measured = json.loads(done.stdout.splitlines()[-1])
    assert imported == before
    assert measured == before


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}
