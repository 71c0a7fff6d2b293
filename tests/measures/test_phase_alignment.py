from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import interp
from interp.results.account import panels
from tests.planted import clock_mlp
from tests.told import summary

SHIPPED = Path(__file__).parents[2] / "checkpoints" / "modular_addition_small"


def angles(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return 2 * math.pi * torch.rand(count, dtype=torch.float64, generator=generator)


def gromov(p, phi_a, phi_b, phi_c, sizes=None):
    """Gromov's analytic weights, a neuron of frequency 1, 2, …, p//2, 1, … for each phase; the answer's wave is
    cos(w_k c + φ_c)."""
    k = torch.arange(len(phi_a)) % (p // 2) + 1
    w = 2 * math.pi * torch.outer(torch.arange(p), k).double() / p
    sizes = torch.ones(len(phi_a)) if sizes is None else sizes
    return sizes * torch.cos(w + phi_a), sizes * torch.cos(w + phi_b), torch.cos(w + phi_c).T


def wrapped(angle):
    return torch.atan2(angle.sin(), angle.cos())


@pytest.fixture
def planted(planted_mlp):
    def make(weights, name="run", bins=36, **task):
        run = planted_mlp({0: weights}, {"p": len(weights[0])} | task, name)
        return run[0].measure("phase_alignment", bins=bins)

    return make


def test_a_neuron_without_a_frequency_of_its_own_has_no_phases(planted):
    """One that fires on a single pair has all frequencies alike, and rounding must not choose one."""
    p = 11
    one_hot = 2 * torch.nn.functional.one_hot(torch.tensor(4), p).double()[:, None] - 1
    phi = angles(5, 0)
    from_a, from_b, to_c = gromov(p, phi, angles(5, 1), phi)
    found = planted(
        (torch.cat([one_hot, from_a], 1), torch.cat([one_hot - 1, from_b], 1), torch.cat([one_hot.T, to_c]))
    )
    assert found.alignment[:, 0].isnan().all()
    assert found.alignment[:, 1:].isfinite().all()
    assert found.vote[0].isnan()
    assert int(found.cluster[0]) == 0
    assert found.neurons.sum(dim=1).tolist() == [5, 5]


def test_gromov_s_analytic_weights_are_aligned_exactly(planted):
    phi_a, phi_b = angles(50, 0), angles(50, 1)
    found = planted(gromov(11, phi_a, phi_b, phi_a + phi_b))
    assert found.path == ("weights", "pre-activation")
    assert found.alignment.abs().max() < 1e-12
    assert found.mean_alignment.abs().max() < 1e-12
    assert found.concentration.tolist() == pytest.approx([1, 1], abs=1e-12)
    assert found.neurons.sum(dim=1).tolist() == [50, 50]
    assert found.neurons[0, found.phase == 0].tolist() == [50]


def test_random_phases_are_not_and_their_misalignment_is_told(planted):
    phi_a, phi_b, phi_c = angles(200, 0), angles(200, 1), angles(200, 2)
    found = planted(gromov(11, phi_a, phi_b, phi_c))
    off = wrapped(phi_a + phi_b - phi_c)
    torch.testing.assert_close(found.alignment[0], off, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.alignment[1], off, rtol=0, atol=1e-9)
    mean = torch.polar(torch.ones_like(off), off).mean()
    assert found.concentration.tolist() == pytest.approx([float(mean.abs())] * 2)
    assert found.mean_alignment.tolist() == pytest.approx([float(mean.angle())] * 2)
    assert float(mean.abs()) < 0.2


def test_neurons_are_counted_by_their_angle_in_bins_of_which_one_is_around_zero(planted):
    off = torch.tensor([0.0, 4.0, -4.0, 91.0, 180.0, -179.0]).double() * math.pi / 180
    phi_a, phi_b = angles(6, 0), angles(6, 1)
    found = planted(gromov(13, phi_a, phi_b, phi_a + phi_b - off), bins=8)
    assert found.phase.tolist() == [-180, -135, -90, -45, 0, 45, 90, 135]
    assert found.neurons[0].tolist() == [2, 0, 0, 0, 3, 0, 1, 0]


def test_of_differences_the_second_phase_counts_negative(planted):
    phi_a, phi_b = angles(30, 0), angles(30, 1)
    aligned = gromov(11, phi_a, phi_b, phi_a - phi_b)
    assert planted(aligned, "differences", operation="x-y").alignment.abs().max() < 1e-12
    assert planted(aligned, "sums").concentration.max() < 0.9


def test_of_products_the_residues_go_round_by_their_discrete_logarithms(planted):
    p = 11
    powers_of_two = torch.tensor([pow(2, i, p) for i in range(p - 1)])
    phi_a, phi_b = angles(8, 0), angles(8, 1)
    from_a, from_b, to_c = gromov(p - 1, phi_a, phi_b, phi_a + phi_b)
    keep = torch.arange(8) % 5 != 4  # at frequency n/2 there is no phase
    tables = [torch.full((p, int(keep.sum())), 3.0, dtype=torch.float64) for _ in range(3)]
    for table, rows in zip(tables, (from_a, from_b, to_c.T), strict=True):
        table[powers_of_two] = rows[:, keep]
    found = planted((tables[0], tables[1], tables[2].T), operation="x*y")
    assert found.alignment.abs().max() < 1e-12


def test_the_order_and_the_size_of_the_neurons_do_not_matter_to_the_mean(planted):
    phi_a, phi_b, phi_c = angles(20, 0), angles(20, 1), angles(20, 2)
    before = planted(gromov(11, phi_a, phi_b, phi_c))
    sizes = torch.linspace(0.1, 4, 20)
    from_a, from_b, to_c = gromov(11, phi_a, phi_b, phi_c, sizes)
    order = torch.arange(20).flip(0)
    after = planted((from_a[:, order], from_b[:, order], to_c[order]), "after")
    torch.testing.assert_close(after.concentration, before.concentration)
    torch.testing.assert_close(after.alignment, before.alignment[:, order])


def test_neurons_that_never_fire_or_are_not_read_have_no_alignment(planted):
    phi_a, phi_b = angles(3, 0), angles(3, 1)
    from_a, from_b, to_c = gromov(11, phi_a, phi_b, phi_a + phi_b)
    from_a[:, 1] -= 9
    to_c[2] = 0
    found = planted((from_a, from_b, to_c))
    assert found.alignment[0].isnan().tolist() == [False, True, True]
    assert found.neurons[0].sum() == 1
    assert float(found.concentration[0]) == pytest.approx(1)


def test_behind_another_layer_only_the_pre_activations_are_read(make_run):
    task, model = {"modular_arithmetic": {"p": 7}}, {"mlp": {"d_model": 3, "d_mlp": 40, "n_layers": 2}}
    weights = make_run({}, task, model, "empty").architecture.initial(0)
    run = make_run({0: weights}, task, model)
    found = run[0].measure("phase_alignment")
    assert found.concentration.isnan().tolist() == [True, False]
    assert found.neurons.isnan().all(dim=1).tolist() == [True, False]
    assert "from the pre-activation" in summary("phase_alignment", run.measure("phase_alignment")).sentence


def test_one_clear_neuron_is_not_told_to_agree_with_itself(make_run):
    network = clock_mlp()
    result = make_run({0: network.weights}, network.task, network.model).measure("phase_alignment")
    assert "the clear ones to" in summary("phase_alignment", result).sentence
    alone = result.assign(
        {name: result[name] * 0 + 1 for name in ("clear_concentration", "clear_concentration_chance")}
    )
    assert "the clear ones" not in summary("phase_alignment", alone).sentence


@pytest.mark.slow
def test_the_published_networks_are_aligned_where_the_operands_reach_their_neurons(reference):
    """Gromov 2023 finds the peak at 0 in trained MLPs; in a transformer attention carries the operands."""
    of_mlp, of_transformer = (
        interp.open_run(reference / "rep_theory" / name, importer="state_dicts").final.measure("phase_alignment")
        for name in ("C113_MLP_seed1", "C113_T_seed1")
    )
    assert of_mlp.concentration.min() > 0.99
    assert of_mlp.mean_alignment.abs().max() < 0.05
    assert of_transformer.concentration[1] > 0.99
    assert of_transformer.mean_alignment[1].abs() < 0.05
    assert of_transformer.concentration[0] < 0.5


def test_the_clear_neurons_of_a_frequency_lie_on_its_circle():
    result = interp.over_steps("phase_alignment", interp.open_run(SHIPPED), [5000, 9000])
    (circle,) = [panel for panel in panels("phase_alignment", result) if panel.title.startswith("The clear")]
    assert sorted(circle.x.freq.values.tolist()) == [1, 7, 24]
    radius = np.hypot(circle.x.values, circle.y.values)[-1]  # [freq, neuron]
    counts = np.isfinite(radius).sum(axis=1)
    assert (np.diff(counts) <= 0).all()  # the largest cluster first
    spectrum = interp.open_run(SHIPPED).final.measure("neuron_spectrum")
    assert int(counts.sum()) == int((spectrum.own_share > 0.85).sum())
    np.testing.assert_allclose(radius[np.isfinite(radius)], 1, rtol=1e-6)
