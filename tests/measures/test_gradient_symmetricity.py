from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import pytest
import torch

from interp.checkpoints import open_run
from interp.measures.gradient_symmetricity import _first_shuffled

TASK = {"modular_arithmetic": {"p": 7}}


@pytest.fixture
def with_weights(make_run):
    """The checkpoint of a model with random weights, or with those that `change` makes of them."""

    def make(model, change=lambda weights: weights, task=TASK, name="run"):
        shapes = make_run({}, task, model, name=f"{name}_shapes").architecture.shapes
        generator = torch.Generator().manual_seed(0)
        weights = {key: torch.randn(shape, generator=generator, dtype=torch.float64) for key, shape in shapes.items()}
        return make_run({0: change(weights)}, task, model, name=name)[0]

    return make


def symmetricity(checkpoint, **options):
    return float(checkpoint.measure("gradient_symmetricity", **options).gradient_symmetricity)


def test_operands_that_are_added_are_seen_alike(with_weights):
    model = {"mlp": {"d_model": 5, "d_mlp": 20, "shared_embedding": True, "combine": "added"}}
    assert symmetricity(with_weights(model)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_operands_that_are_read_alike_have_cosine_1_and_with_opposite_signs_minus_1(with_weights, sign):
    def change(weights):
        W_a = weights["mlp.W_in"][:5]
        return weights | {"mlp.W_in": torch.cat([W_a, sign * W_a])}

    assert symmetricity(with_weights({"mlp": {"d_model": 5, "d_mlp": 20}}, change)) == pytest.approx(sign, abs=1e-12)


def test_operands_that_are_read_from_different_directions_have_cosine_0(with_weights):
    def change(weights):
        apart = torch.zeros_like(weights["mlp.W_in"])
        apart[[0, 1, 7, 8]] = weights["mlp.W_in"][[0, 1, 7, 8]]  # dimensions 0 and 1 of a, 2 and 3 of b
        return weights | {"mlp.W_in": apart}

    assert symmetricity(with_weights({"mlp": {"d_model": 5, "d_mlp": 20}}, change)) == 0


@pytest.mark.parametrize("shift_b", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row": "a b", "causal": False, "attention_rate": 0.3, "act_fn": "gelu"},
        {"row": "a b", "shared_vocab": False, "biases": "all"},
        {"n_layers": 2, "shared_vocab": False},
    ],
    ids=str,
)
def test_it_is_the_gradient_at_hook_embed_of_the_hooked_path(with_weights, options, shift_b):
    checkpoint = with_weights({"transformer": {"d_model": 8, "n_heads": 2, "d_mlp": 12} | options})
    numbers = list(range(7**3))
    random.Random(42).shuffle(numbers)
    a, b, c = torch.tensor([(number // 49, number // 7 % 7, number % 7) for number in numbers[:100]]).unbind(1)
    model = checkpoint.model.double()
    tokens = [a, b + 7 * (shift_b and not options.get("shared_vocab", True))]
    tokens += [torch.full_like(a, len(model.W_E) - 1)] * ("=" in options.get("row", "a b ="))
    tokens = torch.stack(tokens, dim=1)
    embedded = model.W_E[tokens].detach().requires_grad_()
    model.hook_embed.add_hook(lambda *_, **__: embedded)
    logits = model(tokens)
    (gradient,) = torch.autograd.grad(logits[:, -1].gather(1, c[:, None]).sum(), embedded)
    cosines = torch.cosine_similarity(gradient[:, 0], gradient[:, 1], dim=1, eps=0)
    found = checkpoint.measure("gradient_symmetricity", shift_b=shift_b)
    assert float(found.gradient_symmetricity) == pytest.approx(float(cosines.mean()), rel=1e-9)
    finite = (1 - 100 / 343) ** 0.5
    assert float(found.gradient_symmetricity_se) == pytest.approx(finite * float(cosines.std()) / 10, rel=1e-9)
    assert (found.triples_counted, found.triples_without_cosine, found.triples_in_all) == (100, 0, 343)


def test_the_order_of_neurons_and_a_rotation_of_the_residual_stream_change_nothing(with_weights):
    model = {"mlp": {"d_model": 5, "d_mlp": 20}}
    Q = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q

    def change(weights):
        turned = torch.cat([Q.T @ weights["mlp.W_in"][:5], Q.T @ weights["mlp.W_in"][5:]])
        order = torch.arange(20).flip(0)
        return {
            "embed_a.W_E": weights["embed_a.W_E"] @ Q,
            "embed_b.W_E": weights["embed_b.W_E"] @ Q,
            "mlp.W_in": turned[:, order],
            "unembed.W_U": weights["unembed.W_U"][order],
        }

    before, after = with_weights(model, name="before"), with_weights(model, change, name="after")
    assert symmetricity(after) == pytest.approx(symmetricity(before), abs=1e-12)


def test_more_triples_than_there_are_are_all_of_them_and_many_are_taken_a_part_at_a_time(with_weights):
    model = {"mlp": {"d_model": 5, "d_mlp": 20, "shared_embedding": True}}
    checkpoint = with_weights(model)
    everything = [symmetricity(checkpoint, n_triples=1000, seed=seed) for seed in (0, 1)]
    assert everything[0] == pytest.approx(everything[1], abs=1e-12)
    assert symmetricity(checkpoint, seed=0) != symmetricity(checkpoint, seed=1)


@pytest.mark.parametrize(("n_triples", "counted"), [(342, 342), (343, 343), (1000, 343)])
def test_where_all_triples_were_counted_the_error_is_0(with_weights, n_triples, counted):
    checkpoint = with_weights({"mlp": {"d_model": 5, "d_mlp": 20, "shared_embedding": True}})
    found = checkpoint.measure("gradient_symmetricity", n_triples=n_triples)
    assert (found.triples_counted, found.triples_in_all) == (counted, 343)
    assert (float(found.gradient_symmetricity_se) == 0) == (counted == 343)


def test_triples_that_do_not_differ_tell_nothing_of_the_error_unless_they_are_all(with_weights):
    checkpoint = with_weights({"mlp": {"d_model": 5, "d_mlp": 20, "shared_embedding": True, "combine": "added"}})
    some, one, every = (checkpoint.measure("gradient_symmetricity", n_triples=n) for n in (100, 1, 343))
    assert some.gradient_symmetricity_se.isnan()
    assert one.gradient_symmetricity_se.isnan()
    assert float(every.gradient_symmetricity_se) == 0


@pytest.mark.slow
def test_with_triples_without_a_cosine_the_error_is_that_of_the_others(with_weights):
    """Few neurons, all off on some pairs: over many draws the squared error is on average the variance of the mean."""

    def change(weights):
        return weights | {"mlp.b_in": torch.full((3,), -2.0, dtype=torch.float64)}

    model = {"mlp": {"d_model": 5, "d_mlp": 3, "biases": "hidden"}}
    checkpoint = with_weights(model, change)
    every = checkpoint.measure("gradient_symmetricity", n_triples=343)
    assert 50 < every.triples_without_cosine < 250
    found = [checkpoint.measure("gradient_symmetricity", n_triples=150, seed=seed) for seed in range(300)]
    values = torch.stack([one.gradient_symmetricity for one in found])
    squares = torch.stack([one.gradient_symmetricity_se**2 for one in found])
    assert float(squares.mean()) == pytest.approx(float(values.var()), rel=4 * (2 / 300) ** 0.5)
    assert abs(float(values.mean() - every.gradient_symmetricity)) < 4 * float(values.std()) / 300**0.5


def test_without_b_0_no_triple_divides_by_it(with_weights):
    task = {"modular_arithmetic": {"p": 7, "operation": "x/y"}}

    def change(weights):
        weights["embed_b.W_E"][0] = torch.nan  # which no answer may depend on
        return weights

    model = {"mlp": {"d_model": 5, "d_mlp": 20}}
    without, clean = with_weights(model, change, task, "without"), with_weights(model, task=task, name="clean")
    assert symmetricity(without, n_triples=300) == symmetricity(clean, n_triples=300)


def test_beyond_p_200_triples_are_drawn_without_shuffling():
    size = 401**3
    drawn = _first_shuffled(size, 100, 42)
    assert len(set(drawn)) == 100
    assert size // 4 < sum(drawn) / 100 < 3 * size // 4


@pytest.mark.slow
def test_the_published_values(reference: Path):
    for gold in sorted((reference / "pizza").glob("gold_*.json")):
        content = json.loads(gold.read_text())
        checkpoint = open_run(gold.with_name(gold.stem.replace("gold", "model") + ".pt"), "pizza").final
        recorded, rederived, status = content["metrics"]["gradient_sim"]
        found = symmetricity(checkpoint, shift_b=False)
        assert found == pytest.approx(rederived, rel=1e-6, abs=1e-9), gold.stem
        if status == "reproduced":
            assert found == pytest.approx(recorded, rel=1e-4, abs=5e-8), gold.stem


def test_with_b_s_own_tokens_the_value_is_the_one_noted(reference: Path):
    """The gold file's note: "with shift our value is 0.997372524"."""
    run = open_run(reference / "pizza" / "model_18c9ev5v5p.pt", "pizza")
    assert symmetricity(run.final) == pytest.approx(0.997372524, abs=1e-9)


@pytest.mark.slow
def test_a_checkpoint_of_p_113_needs_the_shuffle_once(with_weights):
    _first_shuffled.cache_clear()
    checkpoint = with_weights({"mlp": {"d_model": 5, "d_mlp": 20}}, task={"modular_arithmetic": {"p": 113}})
    values = [checkpoint.measure("gradient_symmetricity", shift_b=shift_b) for shift_b in (True, False)]
    assert dataclasses.is_dataclass(values[0])
    assert (_first_shuffled.cache_info().misses, _first_shuffled.cache_info().hits) == (1, 1)
