from __future__ import annotations

from interp.measures.shared.parameter_names import short_names


def test_modules_are_left_out_where_no_two_names_are_then_alike():
    names = ["embed_a.W_E", "embed_b.W_E", "blocks.0.attn.W_Q.0", "blocks.0.attn.W_Q.1", "mlp.0.b_in", "unembed.W_U"]
    expected = ["embed_a.W_E", "embed_b.W_E", "W_Q.0", "W_Q.1", "b_in", "W_U"]
    assert short_names(names) == expected


def test_layers_of_one_kind_keep_their_numbers():
    assert short_names(["mlp.0.W_in", "mlp.1.W_in", "unembed.W_U"]) == ["mlp.0.W_in", "mlp.1.W_in", "W_U"]


def test_norms_keep_their_names_where_there_is_one_layer():
    names = ["blocks.0.ln1.w", "blocks.0.ln1.b", "blocks.0.ln2.w", "ln_final.w", "blocks.0.mlp.W_in"]
    assert short_names(names) == ["ln1.w", "ln1.b", "ln2.w", "ln_final.w", "W_in"]
    names = ["blocks.0.ln1.w", "blocks.1.ln1.w", "ln_final.w"]
    assert short_names(names) == ["blocks.0.ln1.w", "blocks.1.ln1.w", "ln_final.w"]
