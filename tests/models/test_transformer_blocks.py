"""Norms, gates, positions, rows and activations of the transformer, against modules of torch and TransformerLens."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (the field's name)

from interp.catalogue.options import checked_options
from interp.errors import InterpError
from interp.maths.cross_entropy import cross_entropy
from interp.models.mlp import mlp
from interp.models.perceptron import perceptron
from interp.models.shared.activations import ACTIVATIONS
from interp.models.shared.blocks import rotated, sinusoidal
from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity

TASK = modular_arithmetic(5)
SMALL = {"d_model": 12, "n_heads": 3, "d_mlp": 10}


def network(random_weights, seed=0, task=TASK, **options):
    architecture = transformer(task, **{**SMALL, **options})
    return architecture, random_weights(architecture, seed)


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def every_output(architecture, weights):
    """The outputs by each of the ways there are to them."""
    pairs = architecture.task.pairs
    activations = architecture.activations(weights, pairs)
    module = architecture.hooked(weights)
    return {
        "outputs": architecture.outputs(weights, pairs),
        "activations": activations["logits"],
        "module": architecture.from_module(module(architecture.tokens(pairs))),
        "operands": architecture.logits_of_operands(weights, architecture.operands(weights, pairs)),
        "resid_mid": architecture.outputs_from_resid_mid(weights, architecture.resid_mid(activations)),
        "neurons": architecture.outputs_from_neurons(weights, activations[architecture.neurons], activations),
    }


# Norms: torch's own encoder.


def encoder(architecture, weights, norm_first, act_fn):
    """`nn.TransformerEncoder` with these weights; TransformerLens's heads side by side are its matrices."""
    d_model, n_heads = architecture.d_model, architecture.n_heads
    layer = nn.TransformerEncoderLayer(
        d_model, n_heads, architecture.d_mlp, 0.0, act_fn, batch_first=True, norm_first=norm_first
    )
    final = nn.LayerNorm(d_model) if norm_first else None
    made = nn.TransformerEncoder(layer, architecture.blocks.n_layers, final, enable_nested_tensor=False).double()
    state = {}
    for i in range(architecture.blocks.n_layers):
        w = {name.removeprefix(f"blocks.{i}."): value for name, value in weights.items()}
        bias = torch.cat([w[f"attn.b_{x}"].flatten() for x in "QKV"])
        state |= {
            f"layers.{i}.self_attn.in_proj_weight": torch.cat(
                [w[f"attn.W_{x}"].permute(1, 0, 2).flatten(1) for x in "QKV"], 1
            ).T,
            f"layers.{i}.self_attn.in_proj_bias": bias,
            f"layers.{i}.self_attn.out_proj.weight": w["attn.W_O"].flatten(0, 1).T,
            f"layers.{i}.self_attn.out_proj.bias": w["attn.b_O"],
            f"layers.{i}.linear1.weight": w["mlp.W_in"].T,
            f"layers.{i}.linear1.bias": w["mlp.b_in"],
            f"layers.{i}.linear2.weight": w["mlp.W_out"].T,
            f"layers.{i}.linear2.bias": w["mlp.b_out"],
        }
        for k in (1, 2):
            state |= {f"layers.{i}.norm{k}.weight": w[f"ln{k}.w"], f"layers.{i}.norm{k}.bias": w[f"ln{k}.b"]}
    if norm_first:
        state |= {"norm.weight": weights["ln_final.w"], "norm.bias": weights["ln_final.b"]}
    made.load_state_dict(state)
    return made.train()  # its fast path for inference is another computation


@pytest.mark.parametrize("norm_position", ["pre", "post"])
@pytest.mark.parametrize(("n_layers", "causal", "act_fn"), [(1, True, "relu"), (2, False, "gelu"), (3, True, "gelu")])
def test_a_layer_norm_stands_where_torch_s_encoder_has_it(random_weights, norm_position, n_layers, causal, act_fn):
    architecture, weights = network(
        random_weights,
        n_layers=n_layers,
        causal=causal,
        act_fn=act_fn,
        norm="layer",
        norm_position=norm_position,
        biases="all",
        row="eos a op b =",
    )
    theirs = encoder(architecture, weights, norm_position == "pre", act_fn)
    tokens = architecture.tokens(TASK.pairs)
    x = F.embedding(tokens, weights["embed.W_E"]) + weights["pos_embed.W_pos"]
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64) if causal else None
    expected = theirs(x, mask=mask)[:, -1] @ weights["unembed.W_U"] + weights["unembed.b_U"]
    for found in every_output(architecture, weights).values():
        assert_same(found, expected)


@pytest.mark.parametrize("parameters", ["none", "weight", "all"])
@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_a_norm_is_torch_s_with_the_parameters_it_has(random_weights, kind, parameters):
    architecture, weights = network(random_weights, norm=kind, norm_parameters=parameters, norm_eps=1e-3)
    names = {"none": set(), "weight": {"w"}, "all": {"w"} if kind == "rms" else {"w", "b"}}[parameters]
    assert {name.rpartition(".")[2] for name in weights if ".ln" in f".{name}"} == names
    module = architecture.hooked(weights)
    seen = {}
    for name in ("ln1", "ln2"):
        module.blocks[0].get_submodule(name).register_forward_hook(
            lambda _, given, out, name=f"blocks.0.{name}": seen.update({name: (given[0], out)})
        )
    module.ln_final.register_forward_hook(lambda _, given, out: seen.update({"ln_final": (given[0], out)}))
    _, cache = module.run_with_cache(architecture.tokens(TASK.pairs))
    assert seen.keys() == {"blocks.0.ln1", "blocks.0.ln2", "ln_final"}
    for name, (x, out) in seen.items():
        w, b = weights.get(f"{name}.w"), weights.get(f"{name}.b")
        expected = F.layer_norm(x, (12,), w, b, 1e-3) if kind == "layer" else F.rms_norm(x, (12,), w, 1e-3)
        assert_same(out, expected)
        bare = F.layer_norm(x, (12,), None, None, 1e-3) if kind == "layer" else F.rms_norm(x, (12,), None, 1e-3)
        assert_same(cache[f"{name}.hook_normalized"], bare)
        variance = x.var(-1, correction=0) if kind == "layer" else x.square().mean(-1)
        assert_same(cache[f"{name}.hook_scale"], (variance + 1e-3).sqrt()[..., None])


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_the_hooks_of_a_norm_are_transformer_lens_s(random_weights, kind):
    # it brings in all of transformers, which fails where a package that that needs fails
    bridges = pytest.importorskip("transformer_lens.model_bridge.generalized_components", exc_type=ImportError)
    architecture, weights = network(random_weights, norm=kind)
    _, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(TASK.pairs))
    bridge = bridges.NormalizationBridge("ln1", SimpleNamespace(eps=1e-5, uses_rms_norm=kind == "rms"))
    theirs = (nn.LayerNorm if kind == "layer" else nn.RMSNorm)(12, eps=1e-5).double()
    theirs.weight.data = weights["blocks.0.ln1.w"]
    if kind == "layer":
        theirs.bias.data = weights["blocks.0.ln1.b"]
    bridge.set_original_component(theirs)
    found = {}
    for name in ("hook_scale", "hook_normalized"):
        bridge.get_submodule(name).add_hook(lambda value, hook, name=name: found.update({name: value}))  # noqa: ARG005
    bridge(cache["blocks.0.hook_resid_pre"])
    for name, value in found.items():
        assert_same(cache[f"blocks.0.ln1.{name}"], value)


def test_after_a_norm_hooks_have_the_names_of_transformer_lens_s_bert(random_weights):
    architecture, weights = network(random_weights, norm="layer", norm_position="post", final_norm=True)
    _, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(TASK.pairs))
    for place, name in (("mid", "ln1"), ("post", "ln2")):
        x = cache[f"blocks.0.hook_resid_{place}"]
        expected = F.layer_norm(x, (12,), weights[f"blocks.0.{name}.w"], weights[f"blocks.0.{name}.b"])
        assert_same(cache[f"blocks.0.hook_normalized_resid_{place}"], expected)
    assert_same(cache["blocks.0.hook_resid_mid"], cache["blocks.0.hook_resid_pre"] + cache["blocks.0.hook_attn_out"])
    last = cache["blocks.0.hook_normalized_resid_post"][:, -1]
    normed = F.layer_norm(last, (12,), weights["ln_final.w"], weights["ln_final.b"])
    for found in every_output(architecture, weights).values():
        assert_same(found, normed @ weights["unembed.W_U"])


def test_a_final_norm_is_there_by_default_where_norms_come_before():
    def final(**options):
        return "ln_final.w" in transformer(TASK, **SMALL, **options).shapes

    assert not final()
    assert final(norm="layer")
    assert not final(norm="layer", final_norm=False)
    assert not final(norm="layer", norm_position="post")
    assert final(norm="rms", norm_position="post", final_norm=True)


def test_fresh_norms_change_nothing_but_the_scale():
    architecture = transformer(TASK, **SMALL, norm="layer")
    plain, fresh = transformer(TASK, **SMALL).initial(3), architecture.initial(3)
    assert all(torch.equal(fresh[name], value) for name, value in plain.items())
    added = {name: value for name, value in fresh.items() if name not in plain}
    assert len(added) == 6
    assert all((value == (1 if name.endswith("w") else 0)).all() for name, value in added.items())


# Gates.


@pytest.mark.parametrize(("act_fn", "gate"), [("silu", F.silu), ("gelu", F.gelu)])
@pytest.mark.parametrize("biases", ["none", "hidden"])
def test_gated_neurons_are_the_activation_times_a_linear_map(random_weights, act_fn, gate, biases):
    architecture, weights = network(random_weights, act_fn=act_fn, gated=True, biases=biases, norm="rms")
    assert ("blocks.0.mlp.b_gate" in weights) == (biases == "hidden")
    _, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(TASK.pairs))
    x = F.rms_norm(cache["blocks.0.hook_resid_mid"], (12,), weights["blocks.0.ln2.w"], 1e-5)
    w = {name: weights.get(f"blocks.0.mlp.{name}", torch.zeros(())) for name in ("b_gate", "b_in", "b_out")}
    pre = x @ weights["blocks.0.mlp.W_gate"] + w["b_gate"]
    linear = x @ weights["blocks.0.mlp.W_in"] + w["b_in"]
    assert_same(cache["blocks.0.mlp.hook_pre"], pre)
    assert_same(cache["blocks.0.mlp.hook_pre_linear"], linear)
    assert_same(cache["blocks.0.mlp.hook_post"], gate(pre) * linear)
    expected = cache["blocks.0.hook_resid_mid"] + gate(pre) * linear @ weights["blocks.0.mlp.W_out"] + w["b_out"]
    expected = F.rms_norm(expected[:, -1], (12,), weights["ln_final.w"], 1e-5) @ weights["unembed.W_U"]
    for found in every_output(architecture, weights).values():
        assert_same(found, expected)


# Attention and positions.


@pytest.mark.parametrize("attention_scale", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("positions", ["learned", "rotary", "rotary_interleaved", "none", "sinusoidal"])
def test_attention_is_torch_s_scaled_dot_product(random_weights, attention_scale, causal, positions):
    """Rotary positions as a complex number turned by an angle: of dimensions i and i + d_head/2, or 2i and 2i + 1."""
    architecture, weights = network(
        random_weights,
        row="a op b =",
        causal=causal,
        attention_scale=attention_scale,
        positions=positions,
        d_head=6,
        norm="layer",
    )
    assert ("pos_embed.W_pos" in weights) == (positions == "learned")
    _, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(TASK.pairs))
    x = F.layer_norm(cache["blocks.0.hook_resid_pre"], (12,), weights["blocks.0.ln1.w"], weights["blocks.0.ln1.b"])
    q, k, v = (torch.einsum("bpm,hmd->bhpd", x, weights[f"blocks.0.attn.W_{to}"]) for to in "QKV")
    if positions == "rotary":
        angle = torch.arange(4)[:, None] / 10_000 ** (torch.arange(3) / 3)  # [pos, d_head / 2]
        turn = torch.polar(torch.ones(4, 3, dtype=torch.float64), angle.double())
        q, k = (torch.complex(y[..., :3].contiguous(), y[..., 3:].contiguous()) * turn for y in (q, k))
        q, k = (torch.cat([y.real, y.imag], -1) for y in (q, k))
    if positions == "rotary_interleaved":
        angle = torch.arange(4)[:, None] / 10_000 ** (torch.arange(3) / 3)  # [pos, d_head / 2]
        turn = torch.polar(torch.ones(4, 3, dtype=torch.float64), angle.double())
        q, k = (torch.view_as_complex(y.unflatten(-1, (3, 2)).contiguous()) * turn for y in (q, k))
        q, k = (torch.view_as_real(y).flatten(-2) for y in (q, k))
    z = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=None if attention_scale else 1.0)
    torch.testing.assert_close(cache["blocks.0.attn.hook_z"], z.transpose(1, 2), rtol=1e-6, atol=1e-7)
    pairs = architecture.task.pairs
    scores = architecture.attention_scores(weights)[pairs[:, 0], pairs[:, 1]]  # [pair, head, pos]
    assert_same(scores, cache["blocks.0.attn.hook_attn_scores"][:, :, -1])
    assert_same(architecture.attention_pattern(scores), cache["blocks.0.attn.hook_pattern"][:, :, -1])
    if positions in ("rotary", "none"):
        assert torch.equal(cache["blocks.0.hook_resid_pre"], cache["hook_embed"])


@pytest.mark.parametrize("interleaved", [True, False])
def test_turning_by_position_leaves_scores_that_depend_on_the_distance_alone(interleaved):
    q, k = torch.randn(2, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    score = {
        (i, j): float((rotated(q, torch.tensor(i), interleaved) * rotated(k, torch.tensor(j), interleaved)).sum())
        for i in range(6)
        for j in range(6)
    }
    for i, j in score:
        assert score[i, j] == pytest.approx(score[max(i - j, 0), max(j - i, 0)])
    assert score[3, 3] == pytest.approx(float((q * k).sum()))


def test_sinusoidal_positions_are_those_of_vaswani(random_weights):
    for d_model in (12, 7):
        found = sinusoidal(4, torch.zeros(d_model, dtype=torch.float64))
        for pos in range(4):
            for i in range(d_model):
                angle = pos / 10000 ** ((i - i % 2) / d_model)
                assert float(found[pos, i]) == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-14)
    architecture, weights = network(random_weights, positions="sinusoidal")
    learned = transformer(TASK, **SMALL)
    with_table = weights | {"pos_embed.W_pos": sinusoidal(3, weights["embed.W_E"])}
    assert_same(architecture.outputs(weights, TASK.pairs), learned.outputs(with_table, TASK.pairs))


def test_no_positions_are_positions_of_zeros(random_weights):
    for row in ("a b =", "a b", "a op b ="):
        architecture, weights = network(random_weights, positions="none", row=row)
        learned = transformer(TASK, **SMALL, row=row)
        zeros = torch.zeros(learned.shapes["pos_embed.W_pos"], dtype=torch.float64)
        expected = learned.outputs(weights | {"pos_embed.W_pos": zeros}, TASK.pairs)
        for found in every_output(architecture, weights).values():
            assert_same(found, expected)


@pytest.mark.parametrize("options", [{}, {"row": "a b"}, {"norm": "layer", "row": "a op b"}, {"gated": True}], ids=str)
def test_a_scaled_embedding_is_a_table_of_larger_numbers(random_weights, options):
    scaled, weights = network(random_weights, embedding_scale=3.5, biases="all", **options)
    plain = transformer(TASK, **SMALL, biases="all", **options)
    larger = weights | {"embed.W_E": 3.5 * weights["embed.W_E"]}
    assert "embeddings times 3.5" in scaled.description
    for way, found in every_output(scaled, weights).items():
        assert_same(found, every_output(plain, larger)[way])
    activations = scaled.activations(weights, TASK.pairs)
    assert_same(scaled.attention_scores(weights), plain.attention_scores(larger))
    for name in ("ov_circuit", "ov_factors", "neuron_inputs", "readout"):
        found, expected = (getattr(one, name)(own, activations) for one, own in ((scaled, weights), (plain, larger)))
        assert (found is None) == (expected is None), name
        if found is not None:
            assert_same(found, expected)
    if not scaled.one_query:
        assert_same(scaled.qk_circuit(weights), plain.qk_circuit(larger))
    assert_same(scaled.residue_tables(weights)["embed.W_E"][0], weights["embed.W_E"][: TASK.p])  # as it is stored


@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_without_a_residual_stream_each_sublayer_reads_the_one_before(random_weights, norm_position):
    architecture, weights = network(random_weights, residual=False, norm="layer", norm_position=norm_position)
    _, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(TASK.pairs))

    def ln(x, name):
        return F.layer_norm(x, (12,), weights[f"{name}.w"], weights[f"{name}.b"])

    W = {name.rpartition(".")[2]: value for name, value in weights.items() if ".mlp." in name}
    attn_out = cache["blocks.0.hook_attn_out"][:, -1]
    before, after = ("blocks.0.ln2", "ln_final") if norm_position == "pre" else ("blocks.0.ln1", "blocks.0.ln2")
    mlp_out = F.relu(ln(attn_out, before) @ W["W_in"] + W["b_in"]) @ W["W_out"] + W["b_out"]
    for found in every_output(architecture, weights).values():
        assert_same(found, ln(mlp_out, after) @ weights["unembed.W_U"])


# Rows.


ROWS = [
    ("a b =", {}, [0, 1, 5], 6),
    ("a op b =", {}, [0, 5, 1, 6], 7),
    ("eos a op b =", {}, [5, 0, 6, 1, 7], 8),
    ("b op a", {}, [1, 5, 0], 6),
    ("eos a op b = eos", {}, [5, 0, 6, 1, 7, 5], 8),
    ("a op b =", {"shared_vocab": False}, [0, 10, 6, 11], 12),
    ("a op b =", {"tokens": {"first": 22, "op": 5, "equals": 6}}, [22, 5, 23, 6], 27),
    ("a op b =", {"tokens": {"op": 5, "equals": 5 + 9}, "d_vocab": 40}, [0, 5, 1, 14], 40),
    ("a b =", {"tokens": {"first": 3, "second": 20}, "shared_vocab": False}, [3, 21, 25], 26),
    ("eos a b =", {"tokens": {"eos": 0, "first": 1}}, [0, 1, 2, 6], 7),
]


@pytest.mark.parametrize(("row", "options", "tokens", "d_vocab"), ROWS)
def test_a_pair_is_written_as_the_row_s_tokens(random_weights, row, options, tokens, d_vocab):
    architecture, weights = network(random_weights, row=row, **options)
    assert architecture.tokens(torch.tensor([[0, 1]])).tolist() == [tokens]
    assert architecture.d_vocab == architecture.d_vocab_out == d_vocab
    assert weights["embed.W_E"].shape == (d_vocab, 12)
    assert weights["pos_embed.W_pos"].shape == (len(tokens), 12)
    a, b = (tokens[place] for place in architecture.operand_positions)
    assert_same(architecture.embedding(weights), weights["embed.W_E"][a : a + 5])
    operands = architecture.operands(weights, TASK.pairs)
    assert_same(operands[7], weights["embed.W_E"][[a + 1, b + 1]])  # the pair (1, 2), and b is 1 in `tokens`
    logits = every_output(architecture, weights)
    for found in logits.values():
        assert_same(found, logits["module"])
    pairs = TASK.pairs
    _, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(pairs))
    scores = architecture.attention_scores(weights)
    assert_same(scores[pairs[:, 0], pairs[:, 1]], cache["blocks.0.attn.hook_attn_scores"][:, :, -1])


def test_changing_the_embeddings_changes_those_of_both_operands_and_no_word_s(random_weights):
    architecture, weights = network(
        random_weights, row="eos a op b =", shared_vocab=False, tokens={"first": 3, "second": 9}
    )
    changed = architecture.with_embeddings(weights, lambda E: E + 1)["embed.W_E"] - weights["embed.W_E"]
    assert changed.bool().any(1).nonzero().flatten().tolist() == [*range(3, 8), *range(9, 14)]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("read_at", [3, 4])
def test_the_answer_is_read_at_the_position_that_is_given(random_weights, read_at, causal):
    options = {"row": "eos a op b = eos", "read_at": read_at, "causal": causal, "n_layers": 2}
    architecture, weights = network(random_weights, **options)
    found = every_output(architecture, weights)
    _, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(TASK.pairs))
    expected = cache["blocks.1.hook_resid_post"][:, read_at] @ weights["unembed.W_U"]
    for one in found.values():
        assert_same(one, expected)
    assert architecture.one_query == (read_at == 4)
    scores = architecture.attention_scores(weights)
    seen = read_at + 1 if causal else 6
    assert scores.shape == (5, 5, 3, seen)
    pattern = architecture.attention_pattern(scores)[TASK.pairs[:, 0], TASK.pairs[:, 1]]
    assert_same(pattern, cache["blocks.0.attn.hook_pattern"][:, :, read_at, :seen])
    if causal:  # what stands behind is not seen: the same network without it
        words = " ".join(options["row"].split()[: read_at + 1])
        shorter = transformer(
            TASK,
            **SMALL,
            n_layers=2,
            row=words,
            d_vocab=architecture.d_vocab,
            tokens=dict((("eos", 5), ("op", 6), ("equals", 7))[: 3 if "=" in words else 2]),
        )
        cut = weights | {"pos_embed.W_pos": weights["pos_embed.W_pos"][: read_at + 1]}
        assert_same(shorter.outputs(cut, TASK.pairs), expected)


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("answers", [2, 22])
def test_the_logits_of_the_residues_come_first_wherever_they_lie(random_weights, answers, norm):
    """The loss and the accuracy are those with the targets moved to where the answers are."""
    options = {"row": "a op b =", "tokens": {"first": 22}, "answers": answers, "norm": norm}
    architecture, weights = network(random_weights, **options)
    module = architecture.hooked(weights)(architecture.tokens(TASK.pairs))[:, -1]
    expected = F.cross_entropy(module, TASK.targets + answers)
    for found in every_output(architecture, weights).values():
        assert found.shape == module.shape
        assert_same(found[:, :5], module[:, answers : answers + 5])
        assert_same(cross_entropy(found, TASK.targets).mean(), expected)
        assert torch.equal(TASK.correct(found), module.argmax(-1) == TASK.targets + answers)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"row": "a ="}, r"row is 'a =', with 0 words 'b'; write each of a and b once"),
        ({"row": "a b a ="}, r"with 2 words 'a'"),
        ({"row": "a first b"}, r"'first', 'second' and 'equals' are no words of it"),
        ({"row": "a b = equals"}, r"'first', 'second' and 'equals' are no words of it"),
        ({"tokens": {"op": 4}}, r"tokens names 'op', which the row 'a b =' does not have; it has first, equals"),
        ({"tokens": {"second": 7}}, r"tokens names 'second'"),
        ({"tokens": {"equals": 3}}, r"tokens gives 'equals' the token 3, which another has; give it one of its own"),
        ({"row": "a op b =", "tokens": {"op": 9, "equals": 9}}, r"tokens gives 'equals' the token 9"),
        (
            {"shared_vocab": False, "tokens": {"first": 0, "second": 3}},
            r"have the tokens 0 to 4, those of b 3 to 7; give",
        ),
        ({"d_vocab": 5}, r"d_vocab is 5, and the largest token is 5; give 6 or more, or none"),
        ({"read_at": 3}, r"read_at is 3; the positions of 'a b =' are 0 to 2"),
        ({"read_at": 0}, r"read_at is 0, which sees nothing of the operand at position 1; .* causal: false"),
        ({"answers": 2}, r"d_vocab_out is 6, too few for 5 answers from 2 on; give 7 or more"),
        ({"final_norm": True}, r"final_norm is true, and norm is 'none'; say which"),
        ({"positions": "rotary", "d_head": 3}, r"d_head is 3, and rotary positions turn pairs of dimensions; try 4"),
    ],
)
def test_what_contradicts_itself_is_refused_with_what_to_do(options, said):
    with pytest.raises(ValueError, match=said):
        transformer(TASK, **SMALL, **options)


def test_options_are_checked_by_the_signature():
    given = {"tokens": {"first": 22, "op": 5, "equals": 6}, "act_fn": "|x|", "norm": "rms", "read_at": 2}
    assert checked_options("models", "transformer", given)["tokens"] == given["tokens"]
    for wrong, said in (
        ({"tokens": {"first": -1}}, "greater than or equal to 0"),
        ({"equals_sign": False}, "has no option 'equals_sign'"),
        ({"act_fn": "swish"}, "'silu'"),
    ):
        with pytest.raises(InterpError, match=said):
            checked_options("models", "transformer", wrong)


def test_the_description_says_what_is_unusual():
    unusual = transformer(
        TASK,
        **SMALL,
        act_fn="silu",
        gated=True,
        row="eos a op b =",
        norm="rms",
        positions="rotary",
        attention_scale=False,
        d_head=6,
        tokens={"first": 9},
        read_at=4,
    )
    assert unusual.description == (
        "1 layer, 3 heads, d_model 12, d_head 6, d_mlp 10, SiLU, gated, RMSNorm before each sublayer, rotary "
        "positions, scores not divided by √d_head, row eos a op b =, residues from token 9 on"
    )
    after = transformer(TASK, **SMALL, norm="layer", norm_position="post", norm_parameters="none", read_at=1)
    assert after.description.endswith("LayerNorm without parameters after each sublayer, read at position 1")


# Activations.


THEIRS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "tanh": torch.tanh,
    "x^2": lambda x: x**2,
    "|x|": torch.abs,
    "relu^2": lambda x: F.relu(x) ** 2,
}


@pytest.mark.parametrize("name", THEIRS)
def test_activations_and_their_slopes_are_torch_s(name):
    x = torch.linspace(-30, 30, 601, dtype=torch.float64).requires_grad_()
    found, expected = ACTIVATIONS[name](x), THEIRS[name](x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    for value in (found, expected):
        value.sum().backward(retain_graph=True)
    ours, theirs = (torch.autograd.grad(value.sum(), x, create_graph=True)[0] for value in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    far = ACTIVATIONS[name](torch.tensor([-500.0, 500.0]).requires_grad_())
    assert far.isfinite().all()
    assert torch.autograd.grad(far.sum(), far)[0].isfinite().all()


@pytest.mark.parametrize("name", THEIRS)
def test_activations_round_alike_wherever_they_lie_in_memory(name):
    """Torch's own SiLU and tanh-GELU do not: a resumed training would differ from one that was not stopped."""
    x = 4 * torch.randn(4000, generator=torch.Generator().manual_seed(0))

    def both(x):
        x = x.clone().requires_grad_()
        y = ACTIVATIONS[name](x)
        return torch.stack([y.detach(), torch.autograd.grad(y.sum(), x)[0]])

    whole = both(x)
    for start in range(1, 33):
        assert torch.equal(both(x[start : start + 997]), whole[:, start : start + 997])


@pytest.mark.parametrize("name", THEIRS)
def test_every_model_knows_every_activation(random_weights, name):
    task = sparse_parity(n=6, k=2, n_train=20, n_test=10)
    for architecture in (
        transformer(TASK, **SMALL, act_fn=name),
        mlp(TASK, 6, 7, act_fn=name),
        perceptron(task, (5, 4), act_fn=name),
    ):
        weights = random_weights(architecture)
        found = architecture.activations(weights, architecture.task.inputs)
        hook = architecture.neurons
        assert_same(found[hook], THEIRS[name](found[hook.replace("hook_post", "hook_pre")]))
        module = architecture.hooked(weights)
        assert_same(architecture.from_module(module(architecture.tokens(architecture.task.inputs))), found["logits"])
        assert_same(architecture.outputs(weights, architecture.task.inputs), found["logits"])
