from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from tests.told import summary

P = 11


def circle(n, freq):
    angle = 2 * math.pi * freq * torch.arange(n, dtype=torch.float64) / n
    return torch.stack([angle.cos(), angle.sin()], dim=1)


@pytest.fixture
def network(make_run):
    """A transformer of one head with residues on circles of frequency 2 (dimensions 0, 1) and 5 (2, 3), whose
    attention reads the first with this strength, and moves the second to the neurons."""

    def make(strength=1.0, name="run", task=None, **options):
        task = {"modular_arithmetic": {"p": P} | (task or {})}
        model = {"transformer": {"d_model": 6, "n_heads": 1, "d_mlp": 6} | options}
        architecture = make_run({}, task, model, f"{name}-empty").architecture
        weights = {key: torch.zeros(shape, dtype=torch.float64) for key, shape in architecture.shapes.items()}
        axis = architecture.task.elements
        axis = torch.arange(P) if axis is None else axis
        weights["embed.W_E"][axis, :4] = torch.cat([circle(len(axis), 2), circle(len(axis), 5)], dim=1)
        weights["pos_embed.W_pos"][-1, 4] = 1
        root = math.sqrt(6)
        if "=" in options.get("row", "a b ="):
            weights["blocks.0.attn.W_Q"][0, 4, 0] = strength * root
            weights["blocks.0.attn.W_K"][0, 0, 0] = 1
        else:
            weights["blocks.0.attn.W_Q"][0, :2, :2] = strength * root * torch.eye(2)
            weights["blocks.0.attn.W_K"][0, :2, :2] = torch.eye(2)
        weights["blocks.0.attn.W_V"][0, 2:4, :2] = torch.eye(2)
        weights["blocks.0.attn.W_O"][0, :2, :2] = torch.eye(2)
        weights["blocks.0.mlp.W_in"][:] = torch.eye(6)
        return make_run({0: weights}, task, model, name)

    return make


def test_the_scores_are_the_planted_wave_and_the_pattern_is_their_softmax(network):
    found = network(0.5)[0].measure("attention_spectrum")
    score = 0.5 * circle(P, 2)[:, 0]
    torch.testing.assert_close(found.score_a[0], score.float())
    torch.testing.assert_close(found.score_b[0], score.float())
    at_a, at_b = score.exp()[:, None], score.exp()[None, :]
    torch.testing.assert_close(found.pattern_a[0], (at_a / (at_a + at_b + 1)).mean(dim=1).float())
    torch.testing.assert_close(found.pattern_b[0], (at_b / (at_a + at_b + 1)).mean(dim=0).float())


def test_qk_and_ov_have_each_the_frequency_they_read(network):
    found = network(0.5)[0].measure("attention_spectrum")
    only = {k: torch.eye(P // 2 + 1, dtype=torch.float64)[k] for k in (2, 5)}
    torch.testing.assert_close(found.score_share[0], only[2], rtol=0, atol=1e-12)
    torch.testing.assert_close(found.qk_share[0], only[2], rtol=0, atol=1e-12)
    torch.testing.assert_close(found.ov_share[0], only[5], rtol=0, atol=1e-12)
    assert found.pattern_share[0].argmax() == 2
    assert 0.95 < float(found.pattern_share[0, 2]) < 1
    assert float(found.pattern_share.sum()) == pytest.approx(1)


def test_where_b_asks_the_query_depends_on_b_and_the_circuit_is_a_wave_of_both(network):
    """The score of a is cos w_2(a - b), which its averages do not show."""
    found = network(0.5, row="a b")[0].measure("attention_spectrum")
    assert float(found.qk_share[0, 2]) == pytest.approx(1)
    assert found.score_share.isnan().all()
    assert found.score_a.abs().max() < 1e-6
    torch.testing.assert_close(found.score_b[0], torch.full((P,), 0.5))


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_the_pattern_is_the_one_that_acts_at_the_attention_rate(network, rate):
    whole = network(0.5, "whole")[0].measure("attention_spectrum")
    found = network(0.5, attention_rate=rate)[0].measure("attention_spectrum")
    torch.testing.assert_close(found.pattern_a, rate * whole.pattern_a + (1 - rate))
    torch.testing.assert_close(found.score_a, whole.score_a)
    if rate:
        torch.testing.assert_close(found.pattern_share, whole.pattern_share)
    else:
        assert found.pattern_share.isnan().all()


@pytest.mark.parametrize(
    ("row", "shared_vocab", "biases", "n_layers"),
    [*itertools.product(["a b =", "a b"], [True, False], ["none", "all"], [1]), ("a b =", True, "hidden", 2)],
)
def test_scores_and_pattern_are_those_of_the_hooked_network(make_run, row, shared_vocab, biases, n_layers):
    p, task = 5, {"modular_arithmetic": {"p": 5}}
    options = {"d_model": 6, "n_heads": 2, "d_mlp": 3, "attention_rate": 0.7}
    options |= {"row": row, "shared_vocab": shared_vocab, "biases": biases, "n_layers": n_layers}
    model = {"transformer": options}
    generator = torch.Generator().manual_seed(0)
    shapes = make_run({}, task, model, "empty").architecture.shapes
    weights = {key: torch.randn(s, dtype=torch.float64, generator=generator) for key, s in shapes.items()}
    checkpoint = make_run({0: weights}, task, model)[0]
    found = checkpoint.measure("attention_spectrum")
    for name, (of_a, of_b) in {
        "hook_attn_scores": (found.score_a, found.score_b),
        "hook_pattern": (found.pattern_a, found.pattern_b),
    }.items():
        table = checkpoint.cache[f"blocks.0.attn.{name}"][:, :, -1].unflatten(0, (p, p))  # [a, b, head, pos]
        assert np.allclose(of_a, table[..., 0].mean(dim=1).T, atol=1e-5)
        assert np.allclose(of_b, table[..., 1].mean(dim=0).T, atol=1e-5)
    if "=" in row:
        torch.testing.assert_close(found.qk_share, found.score_share)


def test_of_products_the_operands_go_round_by_their_discrete_logarithms(network):
    found = network(0.5, task={"operation": "x*y"})[0].measure("attention_spectrum")
    assert found.score_a.shape == (1, P - 1)
    assert float(found.qk_share[0, 2]) == pytest.approx(1)
    assert float(found.ov_share[0, 5]) == pytest.approx(1)


def test_the_summary_names_the_frequency_of_each_head(network):
    told = summary("attention_spectrum", network(0.5).measure("attention_spectrum"))
    assert "head 0 on frequency 2 (" in told.sentence
    assert told.values["freq_0"] == 2


def test_an_attention_that_does_not_vary_is_told(network):
    told = summary("attention_spectrum", network(0.5, attention_rate=0.0).measure("attention_spectrum"))
    assert told.sentence == ""
