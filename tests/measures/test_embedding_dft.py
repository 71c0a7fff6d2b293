from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.told import summary

SMALL = {"transformer": {"d_model": 12, "n_heads": 1, "d_mlp": 3}}


def waves(n, shares, d_model=12, mean=0.0):
    """[n, d_model]: each frequency in a plane of its own (cos, sin), with this share of the squared norm."""
    x = torch.arange(n, dtype=torch.float64)
    rows = torch.zeros(n, d_model, dtype=torch.float64)
    for place, (freq, share) in enumerate(shares.items()):
        angle = 2 * math.pi * freq * x / n
        size = math.sqrt(share / n)
        if 2 * freq == n:
            rows[:, 2 * place] = size * angle.cos()
        else:
            rows[:, 2 * place] = size * angle.cos()
            rows[:, 2 * place + 1] = size * angle.sin()
    rows[:, -1] += math.sqrt(mean / n)
    return rows


@pytest.fixture
def embedded(make_run):
    """A checkpoint whose W_E is [p, d_model] and below it the row of "="; the rest of the weights is zero."""

    def make(rows, task, name="run", model=SMALL, steps=(0,)):
        task = {"modular_arithmetic": task}
        shapes = make_run({}, task, model, name=f"{name}-empty").architecture.shapes
        weights = {key: torch.zeros(shape, dtype=torch.float64) for key, shape in shapes.items()}
        rows = rows if isinstance(rows, list) else [rows]
        equals = torch.full((1, rows[0].shape[1]), 100.0, dtype=torch.float64)
        return make_run(
            {
                step: weights | {"embed.W_E": torch.cat([table, equals])}
                for step, table in zip(steps, rows, strict=True)
            },
            task,
            model,
            name=name,
        )

    return make


def test_each_frequency_has_the_share_that_was_put_in_and_the_row_of_equals_has_none(embedded):
    shares = {1: 0.5, 3: 0.3, 5: 0.15}
    found = embedded(waves(11, shares, mean=0.05), {"p": 11})[0].measure("embedding_dft")
    assert found.freq.tolist() == [0, 1, 2, 3, 4, 5]
    expected = [0.05, 0.5, 0, 0.3, 0, 0.15]
    assert found.power.tolist() == pytest.approx(expected, abs=1e-12)


def test_for_even_p_the_last_frequency_has_one_direction_and_counts_once(embedded):
    found = embedded(waves(8, {1: 0.25, 4: 0.75}), {"p": 8})[0].measure("embedding_dft")
    assert found.power.tolist() == pytest.approx([0, 0.25, 0, 0, 0.75], abs=1e-12)
    assert found.basis == ("1", "cos 1", "sin 1", "cos 2", "sin 2", "cos 3", "sin 3", "cos 4")


def test_gini_is_over_the_norms_of_cosines_and_sines_apart_without_the_constant(embedded):
    found = embedded(waves(7, {2: 1.0}, mean=5.0), {"p": 7})[0].measure("embedding_dft")
    # two of six norms are equal, four are zero: G = (2·5-7 + 2·6-7)/(6·2)
    assert float(found.gini) == pytest.approx(8 / 12)


def test_coefficients_are_those_of_each_residual_dimension(embedded):
    rows = torch.randn(7, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = embedded(rows, {"p": 7})[0].measure("embedding_dft")
    spectrum = np.fft.fft(rows.numpy(), axis=0)
    at = dict(zip(found.basis, found.coefficient.double().numpy(), strict=True))
    np.testing.assert_allclose(at["1"], spectrum[0].real / math.sqrt(7), atol=1e-6)
    np.testing.assert_allclose(at["cos 2"], spectrum[2].real * math.sqrt(2 / 7), atol=1e-6)
    np.testing.assert_allclose(at["sin 2"], -spectrum[2].imag * math.sqrt(2 / 7), atol=1e-6)


@pytest.mark.parametrize("operation", ["x*y", "x/y"])
def test_for_products_the_waves_run_over_discrete_logarithms_and_zero_is_left_out(embedded, operation):
    p = 11
    rows = torch.full((p, 12), 9.0, dtype=torch.float64)
    powers_of_two = [pow(2, i, p) for i in range(p - 1)]  # 2 is a primitive root of 11
    rows[powers_of_two] = waves(p - 1, {3: 0.6, 5: 0.4})
    found = embedded(rows, {"p": p, "operation": operation})[0].measure("embedding_dft")
    assert found.power.tolist() == pytest.approx([0, 0, 0, 0.6, 0, 0.4], abs=1e-12)


@pytest.mark.parametrize("unit", [2, 3, 6])
def test_naming_the_residues_anew_by_a_unit_moves_frequency_k_to_k_over_the_unit(embedded, unit):
    p = 13
    rows = waves(p, {1: 0.5, 3: 0.3, 5: 0.2})
    renamed = rows[torch.arange(p) * pow(unit, -1, p) % p]  # residue u·x has x's row
    before = embedded(rows, {"p": p}, "before")[0].measure("embedding_dft")
    after = embedded(renamed, {"p": p}, "after")[0].measure("embedding_dft")
    for freq in range(p // 2 + 1):
        moved = freq * pow(unit, -1, p) % p
        assert float(after.power[min(moved, p - moved)]) == pytest.approx(float(before.power[freq]), abs=1e-12)
    assert float(after.gini) == pytest.approx(float(before.gini))


def test_a_rotation_of_the_residual_stream_and_a_scale_change_neither_power_nor_gini(embedded):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(11, 12, dtype=torch.float64, generator=generator)
    Q = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64, generator=generator)).Q
    before = embedded(rows, {"p": 11}, "before")[0].measure("embedding_dft")
    after = embedded(3 * rows @ Q, {"p": 11}, "after")[0].measure("embedding_dft")
    torch.testing.assert_close(after.power, before.power, rtol=1e-12, atol=0)
    torch.testing.assert_close(after.gini, before.gini, rtol=1e-12, atol=0)


def test_two_separate_embeddings_are_one_spectrum(make_run):
    model = {"mlp": {"d_model": 12, "d_mlp": 2}}
    weights = {
        "embed_a.W_E": waves(7, {1: 0.25}),
        "embed_b.W_E": waves(7, {3: 0.75}),
        "mlp.W_in": torch.zeros(24, 2, dtype=torch.float64),
        "unembed.W_U": torch.zeros(2, 7, dtype=torch.float64),
    }
    found = make_run({0: weights}, {"modular_arithmetic": {"p": 7}}, model)[0].measure("embedding_dft")
    assert found.power.tolist() == pytest.approx([0, 0.25, 0, 0.75], abs=1e-12)


# Over a run.


def test_a_frequency_that_wins_early_and_is_given_up_is_told_from_one_that_stays(embedded):
    p = 29
    run = embedded(
        [waves(p, {2: 0.8, 5: 0.2}), waves(p, {2: 0.9, 5: 0.1}), waves(p, {2: 0.02, 5: 0.98})],
        {"p": p},
        steps=(0, 100, 200),
    )
    result = run.measure("embedding_dft")
    assert result.freq[result.stands_out].values.tolist() == [5]
    assert result.freq[result.given_up].values.tolist() == [2]
    assert float(result.highest_power.sel(freq=2)) == pytest.approx(0.9)
    assert int(result.highest_step.sel(freq=2)) == 100
    assert int(result.highest_step.sel(freq=5)) == 200
    told = summary("embedding_dft", result)
    assert told.values["stands_out"] == [5]
    assert told.values["given_up"] == [2]
    assert "98%" in told.sentence
    assert "frequency 2 held 90% at step 100 and stands out no more" in told.sentence


def test_a_frequency_stands_out_from_the_others_however_large_the_mean(embedded):
    run = embedded(waves(29, {4: 0.01}, mean=0.99), {"p": 29})
    result = run.measure("embedding_dft")
    assert result.freq[result.stands_out].values.tolist() == [4]


def test_an_even_spectrum_has_no_winner(embedded):
    run = embedded(waves(13, dict.fromkeys(range(1, 7), 1.0)), {"p": 13})
    result = run.measure("embedding_dft")
    assert not result.stands_out.any()
    assert not result.given_up.any()
    assert "No frequency" in summary("embedding_dft", result).sentence


def test_the_published_transformer_has_its_published_embedding_fractions(make_run, reference: Path):
    folder = reference / "rep_theory" / "C113_T_seed1"
    gold = json.loads((folder / "gold.json").read_text())["metrics"]
    tensors = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    task = {"modular_arithmetic": {"p": 113}}
    shapes = make_run({}, task, name="empty").architecture.shapes
    weights = {name: tensors[name] for name in shapes} | {"unembed.W_U": torch.zeros(128, 114)}
    power = make_run({0: weights}, task)[0].measure("embedding_dft").power
    for freq in range(57):
        name = f"freq_{freq}" if freq else "trivial"
        assert float(power[freq]) == pytest.approx(gold[f"percent_x_embed_{name}_rep"][1], rel=1e-6)
