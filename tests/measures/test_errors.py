"""Every standard error stands in docs/errors.md, and holds the truth as often as is written there."""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import interp
from interp.catalogue.names import known_names
from interp.maths.curvature import Curvature
from interp.maths.mixtures import Mixture
from interp.maths.standard_error import standard_error
from interp.maths.trace import trace, trace_of_square
from interp.measures.shared.train_loss import trained
from interp.measures.weight_mixture.fits import fit_all
from tests import planted_groups
from tests.small_networks import a_run, fresh

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = Path(interp.__file__).parent.parent / "docs" / "errors.md"
NAME = r"`(\w+\.\w+(?:_se|_low|_high))`"
ROWS = re.findall(rf"^\| {NAME} \|[^|]*\| (\d+)% of (\d+) \|$", PAGE.read_text(), re.MULTILINE)
STATED = {field: (int(percent) / 100, int(samples)) for field, percent, samples in ROWS}


def check(field, values, errors, truth):
    """Two standard errors hold the truth as often as is stated, to four standard deviations of such a count."""
    held = np.mean(np.abs(np.asarray(values) - truth) <= 2 * np.asarray(errors))
    stated, samples = STATED[field]
    assert len(values) == samples
    assert held == pytest.approx(stated, abs=4 * math.sqrt(stated * (1 - stated) / samples)), field
    assert (np.asarray(errors) > 0).all()


def test_every_standard_error_and_interval_stands_in_the_table_and_nothing_else():
    fields = {
        f"{measure}.{field.name}"
        for measure in known_names("measures")
        for record in vars(importlib.import_module(f"interp.measures.{measure}")).values()
        if dataclasses.is_dataclass(record) and record.__module__ == f"interp.measures.{measure}"
        for field in dataclasses.fields(record)
        if re.search("(_se|_low|_high)$", field.name)
    }
    assert len(fields) > 18
    assert set(re.findall(NAME, PAGE.read_text())) == fields
    assert set(STATED) == {field for field in fields if field.endswith("_se")}


def test_what_is_drawn_says_its_seed_and_its_error():
    for measure in known_names("measures"):
        for record in vars(importlib.import_module(f"interp.measures.{measure}")).values():
            if dataclasses.is_dataclass(record) and record.__module__ == f"interp.measures.{measure}":
                names = {field.name for field in dataclasses.fields(record)}
                assert "sampling_seed" not in names or any(name.endswith("_se") for name in names)
                assert all(name.removesuffix("_se") in names for name in names if name.endswith("_se"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_triples(make_run, kind):
    """100 of 343, against all of them."""
    checkpoint = a_run(make_run, {0: fresh(kind, scale=3.0)}, kind)[0]
    found = [checkpoint.measure("gradient_symmetricity", seed=seed) for seed in range(300)]
    everything = float(checkpoint.measure("gradient_symmetricity", n_triples=343).gradient_symmetricity)
    values = [float(one.gradient_symmetricity) for one in found]
    errors = [float(one.gradient_symmetricity_se) for one in found]
    check("gradient_symmetricity.gradient_symmetricity_se", values, errors, everything)
    assert np.mean(np.square(errors)) == pytest.approx(np.var(values), rel=4 * math.sqrt(2 / 300))


@pytest.mark.slow
def test_draws_on_groups(make_run):
    """Inputs turned eight times, and ten draws of noise, against the mean over a hundred seeds."""
    measures = {
        "coset_concentration": (planted_groups.of_representations(4), {}, {"explained_by_chance": ...}),
        "neuron_interventions": (planted_groups.of_cosets(3), {"draws": 10}, dict.fromkeys(("accuracy", "loss"), 6)),
    }
    for measure, (network, options, fields) in measures.items():
        checkpoint = make_run({0: network.weights}, network.task, network.model, measure)[0]
        found = [checkpoint.measure(measure, seed=seed, **options) for seed in range(100)]
        for field, place in fields.items():
            values = np.array([getattr(one, field).numpy()[place] for one in found]).ravel()
            errors = np.array([getattr(one, f"{field}_se").numpy()[place] for one in found]).ravel()
            check(f"{measure}.{field}_se", values, errors, values.mean())


@pytest.mark.slow
def test_subspaces(make_run):
    """The means of 10 and of 30 subspaces, against that of 3,000."""
    checkpoint = a_run(make_run, {0: fresh("mlp")})[0]
    found = checkpoint.measure("keskar_sharpness", draws=3000)
    assert float(found.sharpness_se) == pytest.approx(found.by_draw.std(ddof=1) / math.sqrt(3000))
    ten = checkpoint.measure("keskar_sharpness", draws=10)
    assert float(ten.sharpness_se) == pytest.approx(standard_error(found.by_draw[:10]))
    as_multiple = float(found.relative_rise / found.sharpness)  # the same in every subspace of one network
    for measure, draws in (("keskar_sharpness", 10), ("sharpness_accuracy", 30)):
        several = found.by_draw.reshape(-1, draws)
        errors = np.array([standard_error(one) for one in several])
        for field, unit in (("sharpness_se", 1), ("relative_rise_se", as_multiple)):
            truth = found.by_draw.mean() * unit
            check(f"{measure}.{field}", several.mean(axis=1) * unit, errors * unit, truth)
    assert float(ten.relative_rise_se) == pytest.approx(as_multiple * float(ten.sharpness_se))


def signs(seed, *shape):
    return 2 * torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).double() - 1


@pytest.mark.slow
def test_traces(make_run):
    """Ten probes of the matrices, made dense, outside their five largest eigenvectors."""
    checkpoint = a_run(make_run, {0: fresh("mlp", scale=3.0)})[0]
    of = trained(checkpoint)
    outputs = checkpoint.logits[checkpoint.task.train]
    curvature = Curvature(of.outputs, of.weights, of.loss.derivatives(outputs, of.targets))
    size, shape = len(of.weights), outputs.shape
    H = curvature.hessian(torch.eye(size).double())
    R = curvature.gauss_newton_root(torch.eye(shape.numel()).double().view(-1, *shape))  # [output, weight]
    found = {"trace_se": [], "gauss_newton_trace_se": []}
    ends = [torch.linalg.eigh(matrix) for matrix in (H, R.T @ R)]
    (values, vectors), (of_G, in_G) = [(values[-5:], vectors.T[-5:]) for values, vectors in ends]
    for seed in range(400):
        found["trace_se"].append(trace(lambda rows: rows @ H, signs(seed, 10, size), vectors, values))
        probes = signs(seed, 10, *shape)
        found["gauss_newton_trace_se"].append(trace_of_square(lambda u: u.flatten(1) @ R, probes, in_G, of_G))
    for (field, estimates), truth in zip(found.items(), (H.trace(), (R**2).sum()), strict=True):
        check(f"sharpness.{field}", [float(e.value) for e in estimates], [float(e.se) for e in estimates], float(truth))
    measured = checkpoint.measure("sharpness", largest=5, probes=1000)
    assert abs(float(measured.trace - H.trace())) < 4 * float(measured.trace_se)
    assert abs(float(measured.gauss_newton_trace - (R**2).sum())) < 4 * float(measured.gauss_newton_trace_se)


def random_perceptron(on_vectors, examples):
    """Two hidden layers with random weights on random examples of two classes, half of which are trained on."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"mlp.0.W_in": (8, 20), "mlp.0.b_in": (20,), "mlp.1.W_in": (20, 10), "mlp.1.b_in": (10,)}
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    weights["unembed.W_U"] = torch.randn(10, 2, generator=generator)
    inputs, order = torch.rand(examples, 8, generator=generator), torch.randperm(examples, generator=generator)
    arrays = {"inputs": inputs.numpy(), "targets": (order % 2).numpy(), "train": (order < examples // 2).numpy()}
    return on_vectors(arrays, {0: weights}, widths=[20, 10])[0]


@pytest.mark.slow
def test_points_of_local_complexity(on_vectors):
    """50 of 5,000 examples of each set, and 50 random points, against the mean of all that were drawn."""
    checkpoint = random_perceptron(on_vectors, 10_000)
    asked = {"points": 50, "radius": 0.1, "directions": 4}
    found = [checkpoint.measure("local_complexity", seed=seed, **asked) for seed in range(100)]
    for name in ("train", "test", "random"):
        values, errors = ([getattr(one, f"{name}{end}") for one in found] for end in ("", "_se"))
        check(f"local_complexity.{name}_se", values, errors, np.mean(values))
        values, errors = ([getattr(one, f"{name}_by_layer{end}")[0] for one in found] for end in ("", "_se"))
        check(f"local_complexity.{name}_by_layer_se", values, errors, np.mean(values))


@pytest.mark.slow
def test_examples_under_attack(on_vectors):
    """60 of 100 examples of each set, against all of them."""
    checkpoint = random_perceptron(on_vectors, 200)
    asked = {"epsilon": 0.02, "iterations": 3}
    everything = checkpoint.measure("adversarial_accuracy", **asked)
    found = [checkpoint.measure("adversarial_accuracy", seed=seed, examples=60, **asked) for seed in range(100)]
    for name in ("train", "test"):
        values, errors = ([getattr(one, f"{name}{end}") for one in found] for end in ("", "_se"))
        check(f"adversarial_accuracy.{name}_se", values, errors, getattr(everything, name))


SIDES = Mixture(np.array([0.2, 0.6, 0.2]), np.array([-1.5, 0.0, 1.5]), np.array([0.16, 0.25, 0.16]))
"""Symmetric, so that both kinds of mixtures can be right."""


@pytest.mark.slow
def test_mixtures():
    """2,000 values drawn from a mixture of three Gaussians, 200 times; the margins against their own mean."""
    random = np.random.default_rng(0)
    samples = {}
    for number in range(200):
        which = random.choice(3, 2000, p=SIDES.weight)
        samples[str(number)] = random.normal(SIDES.mean[which], np.sqrt(SIDES.variance[which]))
    fits = [fit for fit in fit_all(samples, {}) if fit is not None]
    assert [fit.best.mixture.components for fit in fits] == [3] * 200
    for name, field in (("weight", "weight"), ("mean", "component_mean"), ("variance", "variance")):
        for component in range(3):
            values = [getattr(fit.best.mixture, name)[component] for fit in fits]
            errors = [getattr(fit.best, f"{name}_se")[component] for fit in fits]
            check(f"weight_mixture.{field}_se", values, errors, getattr(SIDES, name)[component])
    for name, component, field in (
        ("weight", 1, "centre_weight"),
        ("mean", 2, "side_mean"),
        ("variance", 1, "centre_variance"),
        ("variance", 2, "side_variance"),
    ):
        values = [getattr(fit.symmetric.mixture, name)[component] for fit in fits]
        errors = [getattr(fit.symmetric, f"{name}_se")[component] for fit in fits]
        check(f"weight_mixture.{field}_se", values, errors, getattr(SIDES, name)[component])
    margins, of_symmetric = ([fit.margin(getattr(fit, kind)) for fit in fits] for kind in ("best", "symmetric"))
    for field, values, errors in (
        ("margin", [one.value for one in margins], [one.se for one in margins]),
        ("margin_per_weight", [one.per_weight for one in margins], [one.per_weight_se for one in margins]),
        (
            "symmetric_margin_per_weight",
            [one.per_weight for one in of_symmetric],
            [one.per_weight_se for one in of_symmetric],
        ),
    ):
        check(f"weight_mixture.{field}_se", values, errors, np.mean(values))
    second = SIDES.weight @ (SIDES.mean**2 + SIDES.variance)
    fourth = SIDES.weight @ (SIDES.mean**4 + 6 * SIDES.mean**2 * SIDES.variance + 3 * SIDES.variance**2)
    kurtosis, errors = zip(*(fit.kurtosis for fit in fits), strict=True)
    check("weight_mixture.excess_kurtosis_se", kurtosis, errors, fourth / second**2 - 3)


def test_a_sample_that_does_not_vary_has_no_error(make_run):
    """The logits of a network of zeros are 0 whatever one small step does: they are products of three weights."""
    nothing = {name: torch.zeros_like(value) for name, value in fresh("mlp").items()}
    checkpoint = a_run(make_run, {0: nothing})[0]
    curved = checkpoint.measure("sharpness")
    assert float(curved.trace) == float(curved.gauss_newton_trace) == 0
    assert curved.trace_se.isnan()
    assert curved.gauss_newton_trace_se.isnan()


@pytest.mark.parametrize("probes", [1, 5])
def test_one_draw_has_no_error_and_what_is_exact_has_that_of_rounding(make_run, probes):
    diagonal = torch.linspace(1, 2, 50, dtype=torch.float64)
    none = torch.zeros(0, 50, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    found = trace(lambda rows: rows * diagonal, signs(0, probes, 50), *none)
    assert found.se.isnan() if probes == 1 else 0 < found.se < 1e-12
    full = a_run(make_run, {0: fresh("mlp")})[0].measure("keskar_sharpness", subspace_dim=0)
    assert float(full.sharpness_se) == float(full.relative_rise_se) == 0
