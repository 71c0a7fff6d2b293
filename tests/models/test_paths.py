"""The factorised path, the hooked path and ten lines of NumPy are one network."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.maths.cross_entropy import cross_entropy
from interp.models.mlp import mlp
from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic


def random_weights(architecture, seed=0):
    """Float64, biases included."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) / math.sqrt(shape[0])
        for name, shape in architecture.shapes.items()
    }


def hooked_logits(architecture, weights, pairs):
    """At the last position, as a differentiable function of the weights."""
    logits = torch.func.functional_call(architecture.hooked(weights), weights, (architecture.tokens(pairs),))
    return logits if logits.ndim == 2 else logits[:, -1]


def relative(found, expected):
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


transformers = st.builds(
    lambda p, n_layers, heads, d_head, d_mlp, act_fn: transformer(
        modular_arithmetic(p), n_layers, heads * d_head, heads, d_mlp, act_fn
    ),
    st.integers(3, 8),
    st.sampled_from([1, 1, 1, 2, 3]),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 9),
    st.sampled_from(["relu", "gelu"]),
)
mlps = st.builds(
    lambda p, *options: mlp(modular_arithmetic(p), *options),
    st.integers(3, 8),
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["relu", "gelu"]),
)


@settings(max_examples=25, deadline=None)
@given(transformers | mlps, st.integers(0, 2**31))
def test_the_fast_path_gives_the_hooked_path_s_activations(architecture, seed):
    weights = random_weights(architecture, seed)
    pairs = architecture.task.pairs
    fast = architecture.last_position(weights, pairs)
    logits, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(pairs))
    assert relative(fast["logits"], logits if logits.ndim == 2 else logits[:, -1]) <= 1e-10
    assert architecture.neurons in fast
    for name in set(fast) - {"logits"}:
        if name.endswith("hook_pattern"):  # [pair, head, query, key]
            expected = cache[name][:, :, -1]
        else:
            expected = cache[name] if name.startswith("mlp") else cache[name][:, -1]
        assert fast[name].shape == expected.shape
        assert relative(fast[name], expected) <= 1e-10, name


@settings(max_examples=15, deadline=None)
@given(transformers | mlps, st.integers(0, 2**31))
def test_the_logits_alone_and_all_gradients_are_the_same_by_every_path(architecture, seed):
    weights = {name: value.requires_grad_() for name, value in random_weights(architecture, seed).items()}
    task = architecture.task
    pairs, answers = task.pairs[task.train], task.answers[task.train]
    paths = {
        "hooked": hooked_logits(architecture, weights, pairs),
        "last_position": architecture.last_position(weights, pairs)["logits"],
        "logits": architecture.logits(weights, pairs),
    }
    losses = {name: cross_entropy(logits, answers).mean() for name, logits in paths.items()}
    gradients = {
        name: torch.autograd.grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
        for name, loss in losses.items()
    }
    for path in ("last_position", "logits"):
        assert relative(paths[path], paths["hooked"]) <= 1e-10
        for name, found, expected in zip(weights, gradients[path], gradients["hooked"], strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11, msg=f"{path}: {name}")


def test_the_fast_path_takes_any_pairs_in_any_order():
    for architecture in (transformer(modular_arithmetic(7), 1, 8, 2, 5), mlp(modular_arithmetic(7), 4, 5)):
        weights = random_weights(architecture)
        chosen = torch.tensor([40, 3, 3, 17])
        everything = architecture.last_position(weights, architecture.task.pairs)["logits"]
        some = architecture.last_position(weights, architecture.task.pairs[chosen])["logits"]
        torch.testing.assert_close(some, everything[chosen])


def test_a_one_layer_transformer_is_these_ten_lines_of_numpy():
    p = 5
    architecture = transformer(modular_arithmetic(p), 1, 6, 2, 7)
    weights = random_weights(architecture)
    w = {name.rpartition(".")[2]: value.numpy() for name, value in weights.items()}
    for (a, b), found in zip(
        architecture.task.pairs.tolist(),
        architecture.last_position(weights, architecture.task.pairs)["logits"].numpy(),
        strict=True,
    ):
        x = w["W_E"][[a, b, p]] + w["W_pos"]
        after = x[2].copy()
        for h in range(2):
            scores = (x @ w["W_K"][h]) @ (x[2] @ w["W_Q"][h]) / np.sqrt(3)
            pattern = np.exp(scores) / np.exp(scores).sum()
            after += pattern @ (x @ w["W_V"][h]) @ w["W_O"][h]
        hidden = np.maximum(after @ w["W_in"] + w["b_in"], 0)
        logits = (after + hidden @ w["W_out"] + w["b_out"]) @ w["W_U"]
        np.testing.assert_allclose(found, logits, rtol=1e-12, atol=1e-12)


def test_an_mlp_is_these_lines_of_numpy():
    architecture = mlp(modular_arithmetic(5), 4, 6, biases=True)
    weights = random_weights(architecture)
    w = {name: value.numpy() for name, value in weights.items()}
    a, b = architecture.task.pairs.numpy().T
    x = np.concatenate([w["embed_a.W_E"][a], w["embed_b.W_E"][b]], axis=1)
    logits = np.maximum(x @ w["mlp.W_in"] + w["mlp.b_in"], 0) @ w["unembed.W_U"] + w["unembed.b_U"]
    found = architecture.last_position(weights, architecture.task.pairs)["logits"].numpy()
    np.testing.assert_allclose(found, logits, rtol=1e-12, atol=1e-12)


def test_gelu_is_the_exact_one():
    architecture = mlp(modular_arithmetic(5), 4, 6, act_fn="gelu")
    activations = architecture.last_position(random_weights(architecture), architecture.task.pairs)
    pre = activations["mlp.hook_pre"]
    expected = pre * (1 + torch.erf(pre / math.sqrt(2))) / 2
    torch.testing.assert_close(activations["mlp.hook_post"], expected)


# Names, shapes, hooks.


def test_transformer_parameters_have_transformer_lens_names_and_shapes():
    architecture = transformer(modular_arithmetic(7), 2, 8, 2, 5)
    block = {
        "attn.W_Q": (2, 8, 4),
        "attn.W_K": (2, 8, 4),
        "attn.W_V": (2, 8, 4),
        "attn.W_O": (2, 4, 8),
        "mlp.W_in": (8, 5),
        "mlp.b_in": (5,),
        "mlp.W_out": (5, 8),
        "mlp.b_out": (8,),
    }
    expected = {"embed.W_E": (8, 8), "pos_embed.W_pos": (3, 8), "unembed.W_U": (8, 8)}
    expected |= {f"blocks.{layer}.{name}": shape for layer in range(2) for name, shape in block.items()}
    assert architecture.shapes == expected


@pytest.mark.parametrize(("shared", "biases"), [(True, True), (False, False)])
def test_mlp_parameters_follow_its_options(shared, biases):
    expected = {"mlp.W_in": (8, 5), "unembed.W_U": (5, 7)}
    expected |= {"embed.W_E": (7, 4)} if shared else {"embed_a.W_E": (7, 4), "embed_b.W_E": (7, 4)}
    expected |= {"mlp.b_in": (5,), "unembed.b_U": (7,)} if biases else {}
    assert mlp(modular_arithmetic(7), 4, 5, shared, biases).shapes == expected


ARCHITECTURES = [
    transformer(modular_arithmetic(7), 2, 8, 2, 5),
    mlp(modular_arithmetic(7), 4, 5),
    mlp(modular_arithmetic(7), 4, 5, shared_embedding=True, biases=True),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one.description)
def test_the_hooked_module_has_exactly_the_parameters_of_shapes(architecture):
    weights = architecture.initial(0)
    model = architecture.hooked(weights)
    found = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert found == architecture.shapes == {name: tuple(value.shape) for name, value in weights.items()}
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert list(model.state_dict()) == list(found)


def test_hook_names_and_shapes_are_transformer_lens_s():
    architecture = transformer(modular_arithmetic(7), 1, 8, 2, 5)
    _, cache = architecture.hooked(architecture.initial(0)).run_with_cache(architecture.tokens(architecture.task.pairs))
    found = {name: tuple(value.shape) for name, value in cache.items()}
    residual, head = (49, 3, 8), (49, 3, 2, 4)
    assert found == {
        "hook_embed": residual,
        "hook_pos_embed": residual,
        "blocks.0.hook_resid_pre": residual,
        "blocks.0.attn.hook_q": head,
        "blocks.0.attn.hook_k": head,
        "blocks.0.attn.hook_v": head,
        "blocks.0.attn.hook_attn_scores": (49, 2, 3, 3),
        "blocks.0.attn.hook_pattern": (49, 2, 3, 3),
        "blocks.0.attn.hook_z": head,
        "blocks.0.hook_attn_out": residual,
        "blocks.0.hook_resid_mid": residual,
        "blocks.0.mlp.hook_pre": (49, 3, 5),
        "blocks.0.mlp.hook_post": (49, 3, 5),
        "blocks.0.hook_mlp_out": residual,
        "blocks.0.hook_resid_post": residual,
    }
    torch.testing.assert_close(cache["blocks.0.attn.hook_pattern"].sum(-1), torch.ones(49, 2, 3))
    assert (cache["blocks.0.attn.hook_pattern"].triu(1) == 0).all()  # causal


def test_the_cache_answers_to_transformer_lens_s_short_names():
    architecture = transformer(modular_arithmetic(5), 2, 8, 2, 5)
    _, cache = architecture.hooked(architecture.initial(0)).run_with_cache(architecture.tokens(architecture.task.pairs))
    assert torch.equal(cache["post", 1], cache["blocks.1.mlp.hook_post"])
    assert torch.equal(cache["resid_mid", 0], cache["blocks.0.hook_resid_mid"])


def test_zeroing_every_head_s_output_leaves_the_equals_sign_alone_in_the_residual_stream():
    architecture = transformer(modular_arithmetic(7), 1, 8, 2, 5)
    weights = random_weights(architecture)
    logits = architecture.hooked(weights).run_with_hooks(
        architecture.tokens(architecture.task.pairs),
        fwd_hooks=[("blocks.0.attn.hook_z", lambda z, hook: torch.zeros_like(z))],  # noqa: ARG005
    )[:, -1]
    w = {name.rpartition(".")[2]: value for name, value in weights.items()}
    x = w["W_E"][7] + w["W_pos"][2]
    expected = (x + torch.relu(x @ w["W_in"] + w["b_in"]) @ w["W_out"] + w["b_out"]) @ w["W_U"]
    torch.testing.assert_close(logits, expected.expand(49, -1))


def test_zeroing_one_head_takes_away_what_that_head_wrote():
    architecture = transformer(modular_arithmetic(7), 1, 8, 2, 5)
    weights = random_weights(architecture)
    model, tokens = architecture.hooked(weights), architecture.tokens(architecture.task.pairs)
    _, cache = model.run_with_cache(tokens)
    written = cache["blocks.0.attn.hook_z"][:, -1, 1] @ weights["blocks.0.attn.W_O"][1]
    seen = {}

    def without_head_1(z, hook):  # noqa: ARG001
        z[:, :, 1] = 0
        return z

    def keep(x, hook):
        seen[hook.name] = x

    model.run_with_hooks(
        tokens, fwd_hooks=[("blocks.0.attn.hook_z", without_head_1), ("blocks.0.hook_resid_mid", keep)]
    )
    torch.testing.assert_close(
        cache["blocks.0.hook_resid_mid"][:, -1] - seen["blocks.0.hook_resid_mid"][:, -1], written
    )


# Initial weights.


def test_a_fresh_transformer_has_the_standard_deviations_it_states():
    architecture = transformer(modular_arithmetic(113), 1, 128, 4, 512)
    for name, value in architecture.initial(0).items():
        if ".b_" in name:
            assert (value == 0).all(), name
        else:
            scale = 1 / math.sqrt(114 if name == "unembed.W_U" else 128)
            assert value.dtype == torch.float32
            assert abs(float(value.std()) / scale - 1) < 5 / math.sqrt(2 * value.numel()), name
            assert abs(float(value.mean())) < 5 * scale / math.sqrt(value.numel()), name


def test_a_fresh_mlp_has_the_standard_deviations_it_states():
    architecture = mlp(modular_arithmetic(113), 256, 128, biases=True)
    fans = {"embed_a.W_E": 256, "embed_b.W_E": 256, "mlp.W_in": 512, "unembed.W_U": 128}
    for name, value in architecture.initial(0).items():
        if ".b_" in name:
            assert (value == 0).all(), name
        else:
            scale = 1 / math.sqrt(fans[name])
            assert abs(float(value.std()) / scale - 1) < 5 / math.sqrt(2 * value.numel()), name


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one.description)
def test_fresh_weights_follow_the_seed_and_leave_the_global_random_state_alone(architecture):
    before = torch.get_rng_state()
    first, again, other = (architecture.initial(seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["unembed.W_U"], other["unembed.W_U"])


def test_heads_that_do_not_divide_the_model_are_refused_with_a_size_that_they_do():
    with pytest.raises(ValueError, match=r"d_model is 10, .* try 9"):
        transformer(modular_arithmetic(7), 1, 10, 3)


# Published networks.


def from_progress_measures(tensors):
    """Their layout is W @ x, ours x @ W."""
    block = "blocks.0."
    ours = {"embed.W_E": tensors["embed.W_E"].T, "pos_embed.W_pos": tensors["pos_embed.W_pos"]}
    for letter in "QKV":
        ours[f"{block}attn.W_{letter}"] = tensors[f"{block}attn.W_{letter}"].transpose(1, 2)
    ours[f"{block}attn.W_O"] = tensors[f"{block}attn.W_O"].T.unflatten(0, (4, 32))
    for name in ("W_in", "W_out"):
        ours[f"{block}mlp.{name}"] = tensors[f"{block}mlp.{name}"].T
    for name in ("b_in", "b_out"):
        ours[f"{block}mlp.{name}"] = tensors[f"{block}mlp.{name}"]
    return ours | {"unembed.W_U": tensors["unembed.W_U"]}


@pytest.mark.parametrize("name", ["wd_10-1_mod_addition_loss_curve", "low_precision_mod_addition"])
def test_published_transformers_have_their_published_losses(reference: Path, name):
    folder = reference / "progress_measures"
    gold = json.loads((folder / f"gold_{name}.json").read_text())
    content = torch.load(folder / f"{name}.pth", weights_only=True, map_location="cpu")
    weights = {key: value.double() for key, value in from_progress_measures(content.get("model", content)).items()}
    task = modular_arithmetic(seed=gold["split"]["seed"], frac_train=gold["split"]["frac"])
    architecture = transformer(task)
    assert {key: tuple(value.shape) for key, value in weights.items()} == architecture.shapes
    logits = architecture.last_position(weights, task.pairs)["logits"]
    losses = cross_entropy(logits, task.answers)
    found = {
        "train_loss": losses[task.train].mean(),
        "test_loss": losses[~task.train].mean(),
        "all_loss": losses.mean(),
        "accuracy": (logits.argmax(-1) == task.answers).double().mean(),
    }
    for metric, value in found.items():
        assert float(value) == pytest.approx(gold["metrics"][metric][1], rel=1e-6, abs=0), metric


@pytest.mark.parametrize("name", ["C113_MLP_seed1", "C118_MLP_seed1"])
def test_published_perceptrons_have_their_published_losses(reference: Path, name):
    folder = reference / "rep_theory" / name
    gold = json.loads((folder / "gold.json").read_text())
    tensors = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    names = {"W_x": "embed_a.W_E", "W_y": "embed_b.W_E", "W": "mlp.W_in", "W_U": "unembed.W_U"}
    weights = {names[key]: value.double() for key, value in tensors.items()}
    config = gold["config"]
    task = modular_arithmetic(gold["order"], seed=config["seed"], frac_train=config["frac_train"], split="rep_theory")
    losses = cross_entropy(mlp(task).last_position(weights, task.pairs)["logits"], task.answers)
    for metric, chosen in {"train_loss": task.train, "test_loss": ~task.train}.items():
        assert float(losses[chosen].mean()) == pytest.approx(gold["metrics"][metric][1], rel=1e-6, abs=0)
    assert float(losses.mean()) == pytest.approx(gold["metrics"]["all_loss"][1], rel=1e-6, abs=0)
