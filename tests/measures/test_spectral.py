from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.models.transformer import transformer
from interp.results.account import panels
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests.told import summary

TASK = {"modular_arithmetic": {"p": 7}}
MLP = {"mlp": {"d_model": 6, "d_mlp": 9, "biases": "all"}}
SHAPES = {"embed_a.W_E": (7, 6), "embed_b.W_E": (7, 6), "mlp.W_in": (12, 9), "unembed.W_U": (9, 7)}
BIASES = {"mlp.b_in": torch.ones(9).double(), "unembed.b_U": torch.ones(7).double()}
TRANSFORMER = {"d_model": 8, "n_heads": 2, "d_mlp": 16, "biases": "all"}


def orthogonal(n, seed):
    return torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).Q


def with_values(values, m, n, seed=0):
    """A random m × n matrix with these singular values."""
    k = len(values)
    return orthogonal(m, seed)[:, :k] @ torch.diag(torch.tensor(values).double()) @ orthogonal(n, seed + 50)[:, :k].T


def mlp_weights(values_of, seed=0):
    return BIASES | {name: with_values(values_of[name], *shape, seed) for name, shape in SHAPES.items()}


def of_fresh(make_run, seed=0, **options):
    weights = transformer(modular_arithmetic(p=7), **TRANSFORMER, **options).initial(seed)
    return make_run({0: weights}, TASK, {"transformer": {**TRANSFORMER, **options}})


PLANTED = {
    "embed_a.W_E": [4.0, 4.0, 4.0],
    "embed_b.W_E": [5.0, 3.0, 2.0, 1.0, 0.5, 0.25],
    "mlp.W_in": [1.0],
    "unembed.W_U": [2.0, 1.0],
}


def test_planted_singular_values_are_found(make_run):
    found = make_run({0: mlp_weights(PLANTED)}, TASK, MLP)[0].measure("spectral")
    assert found.matrix == tuple(sorted(SHAPES))
    for name, values, stable, effective in zip(
        found.matrix, found.singular_value, found.stable_rank, found.effective_rank, strict=True
    ):
        planted = np.array(PLANTED[name])
        share = planted / planted.sum()
        full = min(SHAPES[name])
        np.testing.assert_allclose(values[: len(planted)], planted, rtol=1e-6)
        np.testing.assert_allclose(values[len(planted) : full], 0, atol=1e-6)
        assert values[full:].isnan().all()
        assert float(stable) == pytest.approx((planted**2).sum() / planted[0] ** 2)
        assert float(effective) == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-6)
    np.testing.assert_allclose(found.effective_share, found.effective_rank / torch.tensor([6, 6, 9, 7]))


def test_turning_a_space_changes_no_rank(make_run):
    same = make_run({0: mlp_weights(PLANTED), 1: mlp_weights(PLANTED, seed=9)}, TASK, MLP)
    first, other = (same[step].measure("spectral") for step in (0, 1))
    torch.testing.assert_close(first.singular_value, other.singular_value, equal_nan=True, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(first.effective_rank, other.effective_rank, rtol=1e-6, atol=0)


def test_every_head_has_matrices_and_no_bias_has(make_run):
    run = of_fresh(make_run)
    found = run[0].measure("spectral")
    expected = {f"blocks.0.attn.W_{letter}.{head}" for letter in "QKVO" for head in (0, 1)}
    expected |= {"embed.W_E", "pos_embed.W_pos", "blocks.0.mlp.W_in", "blocks.0.mlp.W_out", "unembed.W_U"}
    assert set(found.matrix) == expected
    place = found.matrix.index("blocks.0.attn.W_Q.1")
    own = np.linalg.svd(run[0].weights["blocks.0.attn.W_Q"][1].double().numpy(), compute_uv=False)
    np.testing.assert_allclose(found.singular_value[place, :4], own, rtol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_panels_name_every_line_apart(make_run, layers):
    run = of_fresh(make_run, n_layers=layers)
    for panel in panels("spectral", run.measure("spectral")):
        assert panel.draw().figure["data"]


def test_the_sentence_names_the_matrix_that_fell_furthest_and_when(make_run):
    flat = {**PLANTED, "unembed.W_U": [1.0] * 7}
    half = {**PLANTED, "unembed.W_U": [1.0] * 3}
    one = {**PLANTED, "unembed.W_U": [1.0]}
    run = make_run({0: mlp_weights(flat), 10: mlp_weights(half), 20: mlp_weights(one)}, TASK, MLP)
    said = summary("spectral", run.measure("spectral"))
    assert "fell furthest in W_U: it goes from 7 to 1 of 7, and passed half of that way at step 10." in said.sentence


def test_a_multiple_of_the_weights_has_not_fallen(make_run):
    weights = mlp_weights(PLANTED)
    run = make_run({0: weights, 10: {name: 1.1 * value for name, value in weights.items()}}, TASK, MLP)
    said = summary("spectral", run.measure("spectral"))
    assert said.values["falling"] == 0
    assert "furthest" not in said.sentence


def test_heads_of_one_direction_are_counted(make_run):
    weights = transformer(modular_arithmetic(p=7), **TRANSFORMER).initial(0)
    weights["blocks.0.attn.W_Q"][1] = torch.outer(torch.arange(8.0), torch.arange(4.0))
    run = make_run({0: weights}, TASK, {"transformer": TRANSFORMER})
    assert (
        "Of the heads' 8 matrices 1 ends with one direction." in summary("spectral", run.measure("spectral")).sentence
    )


def test_zeros_and_weights_that_are_no_numbers_have_no_rank(make_run):
    zeros = {name: torch.zeros_like(value) for name, value in mlp_weights(PLANTED).items()}
    broken = mlp_weights(PLANTED)
    broken["mlp.W_in"][0, 0] = torch.inf
    run = make_run({0: mlp_weights(PLANTED), 1: broken, 2: zeros}, TASK, MLP)
    with pytest.warns(UserWarning, match="not finite"):
        result = run.measure("spectral")
    assert result.effective_rank.notnull().all("matrix").values.tolist() == [True, False, False]
    said = summary("spectral", result).sentence
    assert said.startswith("At step 2 there is no such number: all its matrices are zeros, which have no rank; last de")
    assert len(panels("spectral", result)) == 3
