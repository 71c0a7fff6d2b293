from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from interp.checkpoints import open_run
from tests.told import summary


def waves(p, freq):
    """cos and sin of the frequency, of unit length each."""
    angle = 2 * math.pi * freq * torch.arange(p).double() / p
    return [wave / wave.norm() for wave in (angle.cos(), angle.sin())]


@pytest.fixture
def of_embedding(make_run):
    """circularity of a perceptron whose shared embedding has these columns."""

    def measure(columns, operation="x+y", name="run", **options):
        W_E = torch.stack(columns, dim=1)
        p, d_model = W_E.shape
        model = {"mlp": {"d_model": d_model, "d_mlp": 1, "shared_embedding": True}}
        weights = {"mlp.W_in": torch.ones(2 * d_model, 1).double(), "unembed.W_U": torch.ones(1, p).double()}
        task = {"modular_arithmetic": {"p": p, "operation": operation}}
        run = make_run({0: weights | {"embed.W_E": W_E}}, task, model, name)
        return float(run.final.measure("circularity", **options).circularity)

    return measure


def test_two_circles_of_any_size_are_circular_whatever_lies_beyond_the_fourth_component(of_embedding):
    rest = torch.randn(23, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).unbind(1)
    two = [3 * wave for wave in waves(23, 2)] + [2 * wave for wave in waves(23, 9)]
    assert of_embedding([*two, *(1e-7 * column for column in rest)]) == pytest.approx(1, abs=1e-6)
    assert of_embedding([column + 5 for column in two], name="shifted") == pytest.approx(1, abs=1e-12)


def test_a_component_counts_with_the_share_of_its_strongest_frequency(of_embedding):
    mixed = [
        math.sqrt(0.7) * one + math.sqrt(0.3) * other for one, other in zip(waves(23, 3), waves(23, 5), strict=True)
    ]
    columns = [3 * wave for wave in waves(23, 2)] + [2 * mixed[0], mixed[1]]
    assert of_embedding(columns) == pytest.approx((1 + 1 + 0.7 + 0.7) / 4, abs=1e-12)


def test_noise_is_not_circular(of_embedding):
    noise = torch.randn(113, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert of_embedding(list(noise.unbind(1))) < 0.3


def test_for_even_p_the_alternating_wave_is_one_direction(of_embedding):
    alternating = torch.tensor([1.0, -1.0] * 5, dtype=torch.float64) / math.sqrt(10)
    assert of_embedding([alternating], name="alone") == pytest.approx(1, abs=1e-12)
    half = math.sqrt(0.5) * alternating + math.sqrt(0.3) * waves(10, 1)[0] + math.sqrt(0.2) * waves(10, 2)[0]
    assert of_embedding([half], name="half") == pytest.approx(0.5, abs=1e-12)


def test_a_rotation_and_a_relabelling_by_a_unit_change_nothing(of_embedding):
    generator = torch.Generator().manual_seed(0)
    W_E = torch.randn(23, 6, dtype=torch.float64, generator=generator)
    Q = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=generator)).Q
    before = of_embedding(list(W_E.unbind(1)), name="before")
    assert of_embedding(list((W_E @ Q).unbind(1)), name="rotated") == pytest.approx(before, abs=1e-9)
    relabelled = W_E[5 * torch.arange(23) % 23]
    assert of_embedding(list(relabelled.unbind(1)), name="relabelled") == pytest.approx(before, abs=1e-9)


def test_products_have_circles_in_the_order_of_logarithms(of_embedding):
    columns = [torch.cat([torch.zeros(1), wave[torch.tensor([0, 1, 3, 2])]]).double() for wave in waves(4, 1)]
    assert of_embedding(columns, "x*y") == pytest.approx(1, abs=1e-12)  # the powers of 2 modulo 5 are 1 2 4 3


def test_a_second_vocabulary_counts_only_where_it_is_asked_for(make_run):
    """b's tokens lie where a's do: each component then has half its length among the residues."""
    circles = torch.stack([3 * wave for wave in waves(7, 1)] + waves(7, 3), dim=1)
    model = {"transformer": {"d_model": 4, "n_heads": 2, "d_mlp": 3, "row": "a b", "shared_vocab": False}}
    task = {"modular_arithmetic": {"p": 7}}
    shapes = make_run({}, task, model, name="empty").architecture.shapes
    weights = {name: torch.zeros(shape).double() for name, shape in shapes.items()}
    checkpoint = make_run({0: weights | {"embed.W_E": torch.cat([circles, circles])}}, task, model).final
    assert float(checkpoint.measure("circularity").circularity) == pytest.approx(1, abs=1e-12)
    assert float(checkpoint.measure("circularity", rows="all").circularity) == pytest.approx(0.5, abs=1e-12)


def test_the_summary_has_its_last_value(make_run):
    model = {"mlp": {"d_model": 2, "d_mlp": 1, "shared_embedding": True}}
    weights = {
        "embed.W_E": torch.stack(waves(7, 2), dim=1),
        "mlp.W_in": torch.ones(4, 1).double(),
        "unembed.W_U": torch.ones(1, 7).double(),
    }
    run = make_run({0: weights}, {"modular_arithmetic": {"p": 7}}, model)
    assert summary("circularity", run.measure("circularity")).values["end"] == pytest.approx(1, abs=1e-12)


@pytest.mark.slow
def test_the_published_values(reference: Path):
    for gold in sorted((reference / "pizza").glob("gold_*.json")):
        metrics = json.loads(gold.read_text())["metrics"]
        checkpoint = open_run(gold.with_name(gold.stem.replace("gold", "model") + ".pt"), "pizza").final
        for name, rows in (("circularity", "all"), ("circularity_59rows", "residues")):
            recorded, rederived, status = metrics[name]
            value = float(checkpoint.measure("circularity", rows=rows).circularity)
            assert value == pytest.approx(rederived, rel=2e-4), (gold.stem, name)
            if status == "reproduced":
                assert value == pytest.approx(recorded, rel=2e-4), (gold.stem, name)


@pytest.mark.parametrize("seed", range(3))
def test_circles_of_one_size_are_circular_however_they_are_turned(of_embedding, seed):
    """Their singular values coincide, so that a solver may return any mixture of the four components."""
    four = torch.stack([*waves(13, 2), *waves(13, 5)], dim=1)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)).double()).Q
    assert of_embedding(list((four @ turn).unbind(1))) == pytest.approx(1, abs=1e-9)
