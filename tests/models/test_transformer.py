"""The transformer and its variants."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.catalogue.options import checked_options
from interp.errors import InterpError
from interp.maths.cross_entropy import cross_entropy
from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
}


def by_numpy(weights, tokens, n_layers, d_head, act_fn="relu", causal=True, attention_rate=1.0):
    """Zhong et al.'s network on the tokens of one pair, as its formulas read; a missing bias is 0."""
    w = {name: value.numpy() for name, value in weights.items()}
    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"]  # [pos, d_model]
    seen = np.tril(np.ones((len(x), len(x)))) if causal else np.ones((len(x), len(x)))
    for block in (f"blocks.{layer}." for layer in range(n_layers)):
        out = np.zeros_like(x) + w.get(f"{block}attn.b_O", 0)
        for h, W_O in enumerate(w[f"{block}attn.W_O"]):
            q, k, v = (x @ w[f"{block}attn.W_{x_}"][h] + w.get(f"{block}attn.b_{x_}", {h: 0})[h] for x_ in "QKV")
            softmax = np.exp(q @ k.T / math.sqrt(d_head)) * seen
            softmax /= softmax.sum(axis=1, keepdims=True)
            out += (attention_rate * softmax + (1 - attention_rate) * seen) @ v @ W_O
        x = x + out
        hidden = ACTIVATIONS[act_fn](x @ w[f"{block}mlp.W_in"] + w.get(f"{block}mlp.b_in", 0))
        x = x + hidden @ w[f"{block}mlp.W_out"] + w.get(f"{block}mlp.b_out", 0)
    return x[-1] @ w["unembed.W_U"] + w.get("unembed.b_U", 0)


@pytest.mark.parametrize("biases", ["none", "hidden", "all"])
@pytest.mark.parametrize(("attention_rate", "act_fn"), [(1.0, "relu"), (0.3, "gelu"), (0.0, "relu")])
@pytest.mark.parametrize(
    ("row", "shared_vocab", "tokens", "d_vocab"),
    [
        ("a b =", True, lambda a, b: [a, b, 5], 6),
        ("a b", True, lambda a, b: [a, b], 5),
        ("a b =", False, lambda a, b: [a, 5 + b, 10], 11),
        ("a b", False, lambda a, b: [a, 5 + b], 10),
    ],
)
def test_a_one_layer_transformer_is_its_formulas(
    random_weights, row, shared_vocab, tokens, d_vocab, attention_rate, act_fn, biases
):
    architecture = transformer(
        modular_arithmetic(5),
        d_model=7,
        n_heads=2,
        d_mlp=6,
        act_fn=act_fn,
        attention_rate=attention_rate,
        row=row,
        shared_vocab=shared_vocab,
        biases=biases,
    )
    pairs = architecture.task.pairs
    assert architecture.tokens(pairs).tolist() == [tokens(a, b) for a, b in pairs.tolist()]
    assert architecture.d_vocab == architecture.d_vocab_out == d_vocab
    weights = random_weights(architecture)
    found = architecture.activations(weights, pairs)["logits"].numpy()
    trained = architecture.outputs(weights, pairs).numpy()
    for row, (a, b) in enumerate(pairs.tolist()):
        logits = by_numpy(weights, tokens(a, b), 1, 3, act_fn, True, attention_rate)
        np.testing.assert_allclose(found[row], logits, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(trained[row], logits, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("causal", [True, False])
def test_two_layers_are_their_formulas(random_weights, causal):
    architecture = transformer(modular_arithmetic(5), 2, 6, 2, 4, causal=causal, attention_rate=0.4, biases="all")
    weights = random_weights(architecture)
    found = architecture.activations(weights, architecture.task.pairs)["logits"].numpy()
    for row, (a, b) in enumerate(architecture.task.pairs.tolist()):
        logits = by_numpy(weights, [a, b, 5], 2, 3, causal=causal, attention_rate=0.4)
        np.testing.assert_allclose(found[row], logits, rtol=1e-11, atol=1e-11)


# What each option means.


def activations(architecture, weights):
    model = architecture.hooked(weights)
    return model.run_with_cache(architecture.tokens(architecture.task.pairs))[1]


def test_causality_matters_at_the_last_position_from_the_second_layer_on(random_weights):
    for n_layers in (1, 2):
        causal, both_ways = (transformer(modular_arithmetic(5), n_layers, 6, 2, 4, causal=one) for one in (True, False))
        weights = random_weights(causal)
        there, here = (one.activations(weights, one.task.pairs)["logits"] for one in (causal, both_ways))
        assert torch.allclose(there, here) == (n_layers == 1)


@pytest.mark.parametrize("attention_rate", [1.0, 0.4])
def test_only_without_causality_does_the_first_operand_see_the_second(random_weights, attention_rate):
    for causal in (True, False):
        options = {"causal": causal, "attention_rate": attention_rate}
        architecture = transformer(modular_arithmetic(5), 2, 6, 2, 4, **options)
        at_a = activations(architecture, random_weights(architecture))["blocks.1.hook_resid_post"][:, 0]
        at_a = architecture.task.table(at_a)  # [a, b, d_model]
        assert torch.allclose(at_a, at_a[:, :1].expand_as(at_a)) == causal


@pytest.mark.parametrize("row", ["a b =", "a b"])
def test_the_pattern_is_the_softmax_mixed_with_ones(random_weights, row):
    """A = α·softmax + (1 - α), so that its rows sum to α + n_ctx·(1 - α)."""
    patterns = {}
    for rate in (1.0, 0.3, 0.0):
        options = {"causal": False, "attention_rate": rate, "row": row}
        architecture = transformer(modular_arithmetic(5), 1, 6, 2, 4, **options)
        patterns[rate] = activations(architecture, random_weights(architecture))["blocks.0.attn.hook_pattern"]
    n_ctx = len(row.split())
    assert patterns[1].shape == (25, 2, n_ctx, n_ctx)
    torch.testing.assert_close(patterns[1].sum(-1), torch.ones(25, 2, n_ctx, dtype=torch.float64))
    torch.testing.assert_close(patterns[0.3], 0.3 * patterns[1] + 0.7)
    assert (patterns[0] == 1).all()


def test_the_causal_pattern_at_rate_0_sees_every_earlier_position_alike(random_weights):
    architecture = transformer(modular_arithmetic(5), 1, 6, 2, 4, attention_rate=0.0)
    pattern = activations(architecture, random_weights(architecture))["blocks.0.attn.hook_pattern"]
    assert torch.equal(pattern, torch.ones(3, 3).tril().double().expand(25, 2, 3, 3))


def test_key_biases_move_no_logit(random_weights):
    """They raise the scores of all keys alike."""
    for row in ("a b =", "a b"):
        architecture = transformer(modular_arithmetic(5), 1, 6, 2, 4, row=row, biases="all")
        weights = random_weights(architecture)
        moved = weights | {"blocks.0.attn.b_K": weights["blocks.0.attn.b_K"] + 3}
        before, after = (architecture.activations(one, architecture.task.pairs)["logits"] for one in (weights, moved))
        torch.testing.assert_close(before, after)


def test_the_embedding_is_of_the_first_operand_s_tokens(random_weights):
    for options in ({}, {"shared_vocab": False}, {"row": "a b"}):
        architecture = transformer(modular_arithmetic(5), 1, 6, 2, 4, **options)
        weights = random_weights(architecture)
        assert torch.equal(architecture.embedding(weights), weights["embed.W_E"][:5])


def test_fewer_logits_than_tokens_are_an_unembedding_of_fewer_columns(random_weights):
    all_tokens = transformer(modular_arithmetic(5), 1, 6, 2, 4)
    residues = transformer(modular_arithmetic(5), 1, 6, 2, 4, d_vocab_out=5)
    weights = random_weights(all_tokens)
    cut = weights | {"unembed.W_U": weights["unembed.W_U"][:, :5]}
    assert {name: tuple(value.shape) for name, value in cut.items()} == residues.shapes
    for logits in (
        residues.outputs(cut, residues.task.pairs),
        residues.activations(cut, residues.task.pairs)["logits"],
    ):
        torch.testing.assert_close(logits, all_tokens.outputs(weights, all_tokens.task.pairs)[:, :5])


def test_the_description_says_what_differs_from_the_default():
    task = modular_arithmetic(5)
    assert transformer(task).description == "1 layer, 4 heads, d_model 128, d_mlp 512"
    assert transformer(task, d_vocab_out=6) == transformer(task)
    unusual = transformer(task, 2, 6, 1, 4, "gelu", False, 0.3, "a b", False, "none", 5)
    assert unusual.description == (
        "2 layers, 1 head, d_model 6, d_mlp 4, GeLU, not causal, attention rate 0.3, no equals sign, "
        "two vocabularies, no biases, 5 logits"
    )
    assert transformer(task, biases="all").description.endswith("d_mlp 512, biases in attention and unembedding too")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attention_rate": True}, "a truth value; expected a number"),
        ({"biases": True}, "'none', 'hidden' or 'all'"),
        ({"d_vocab_out": 0}, "greater than 0"),
    ],
)
def test_other_words_and_sizes_are_refused(options, said):
    with pytest.raises(InterpError, match=said):
        checked_options("models", "transformer", options)


def test_heads_that_do_not_divide_the_model_are_rounded_down():
    shapes = transformer(modular_arithmetic(7), 1, 10, 4, biases="all").shapes
    assert shapes["blocks.0.attn.W_O"] == (4, 2, 10)
    assert shapes["blocks.0.attn.b_Q"] == (4, 2)


def test_more_heads_than_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"d_model is 3, .* 4 heads .* try 4 or more"):
        transformer(modular_arithmetic(7), 1, 3, 4)


@pytest.mark.parametrize("attention_rate", [1.5, -0.1, math.nan])
def test_an_attention_rate_that_is_no_share_is_refused(attention_rate):
    with pytest.raises(ValueError, match=rf"attention_rate is {attention_rate}; .* from 0 to 1"):
        transformer(modular_arithmetic(7), attention_rate=attention_rate)


def test_fewer_logits_than_answers_are_refused():
    with pytest.raises(ValueError, match=r"d_vocab_out is 6, too few for 7 answers; give 7 or more"):
        transformer(modular_arithmetic(7), d_vocab_out=6)


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


def test_biases_have_transformer_lens_names_and_shapes():
    def of(biases):
        shapes = transformer(modular_arithmetic(7), 1, 8, 2, 5, biases=biases).shapes
        return {name: shape for name, shape in shapes.items() if ".b_" in name}

    hidden = {"blocks.0.mlp.b_in": (5,), "blocks.0.mlp.b_out": (8,)}
    of_attention = {f"blocks.0.attn.b_{letter}": (2, 4) for letter in "QKV"} | {"blocks.0.attn.b_O": (8,)}
    assert of("none") == {}
    assert of("hidden") == hidden
    assert of("all") == hidden | of_attention | {"unembed.b_U": (8,)}


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


def test_zeroing_every_head_s_output_leaves_the_equals_sign_alone_in_the_residual_stream(random_weights):
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


def test_zeroing_one_head_takes_away_what_that_head_wrote(random_weights):
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


# Published networks.


def from_progress_measures(tensors, n_layers=1):
    """Their layout is W @ x, ours x @ W."""
    ours = {"embed.W_E": tensors["embed.W_E"].T, "pos_embed.W_pos": tensors["pos_embed.W_pos"]}
    for block in (f"blocks.{layer}." for layer in range(n_layers)):
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
    logits = architecture.activations(weights, task.pairs)["logits"]
    losses = cross_entropy(logits, task.targets)
    found = {
        "train_loss": losses[task.train].mean(),
        "test_loss": losses[~task.train].mean(),
        "all_loss": losses.mean(),
        "accuracy": (logits.argmax(-1) == task.targets).double().mean(),
    }
    for metric, value in found.items():
        assert float(value) == pytest.approx(gold["metrics"][metric][1], rel=1e-6, abs=0), metric


@pytest.mark.parametrize("name", ["C113_T_seed1", "C118_T_seed3"])
def test_chughtai_s_transformers_have_their_published_losses(reference: Path, name):
    """TransformerLens's layout, and all its biases; besides them the file holds copies of W_E and buffers."""
    folder = reference / "rep_theory" / name
    gold = json.loads((folder / "gold.json").read_text())
    tensors = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    config, p = gold["config"], gold["order"]
    task = modular_arithmetic(p, seed=config["seed"], frac_train=config["frac_train"], split="rep_theory")
    architecture = transformer(task, biases="all", d_vocab_out=p)
    weights = {key: tensors[key].double() for key in architecture.shapes}
    assert {key: tuple(value.shape) for key, value in weights.items()} == architecture.shapes
    logits = architecture.activations(weights, task.pairs)["logits"]
    losses = cross_entropy(logits, task.targets)
    for metric, chosen in {"train_loss": task.train, "test_loss": ~task.train}.items():
        assert float(losses[chosen].mean()) == pytest.approx(gold["metrics"][metric][1], rel=1e-6, abs=0)


PIZZA_TRANSFORMERS = ["18c9ev5v5p", "2k4ohj6bhd", "dy65ktpiij", "h9m153uuh9", "p99zdpze5l", "q9rsl94xlv"]


@pytest.mark.parametrize("name", PIZZA_TRANSFORMERS)
def test_zhong_s_transformers_have_their_published_losses(reference: Path, name):
    """Their layout is that of progress_measures; no mask is applied, although their config says "casual"."""
    gold = json.loads((reference / "pizza" / f"gold_{name}.json").read_text())
    tensors = torch.load(reference / "pizza" / f"model_{name}.pt", weights_only=True, map_location="cpu")
    config = gold["config"]
    ours = from_progress_measures(tensors, config["n_layers"])
    weights = {key: value.double() for key, value in ours.items()}
    task = modular_arithmetic(59, split="unknown")
    architecture = transformer(
        task,
        n_layers=config["n_layers"],
        act_fn=config["act_fn"].lower(),
        causal=False,
        attention_rate=float(config["attn_coeff"]),
        row="a b =" if config["eqn_sign"] else "a b",
        shared_vocab=not config["diff_vocab"],
    )
    assert {key: tuple(value.shape) for key, value in weights.items()} == architecture.shapes
    logits = architecture.activations(weights, task.pairs)["logits"]
    found = {
        "all_loss": cross_entropy(logits, task.targets).mean(),
        "acc": (logits.argmax(-1) == task.targets).double().mean(),
    }
    for metric, value in found.items():
        assert float(value) == pytest.approx(gold["metrics"][metric][1], rel=1e-6, abs=0), metric
