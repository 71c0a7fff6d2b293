"""The factorised path and the hooked path are one network; what holds for every architecture."""

from __future__ import annotations

import functools
import itertools
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.contracts.task import Task
from interp.maths.cross_entropy import cross_entropy
from interp.models.factored_mlp import factored_mlp
from interp.models.mlp import mlp
from interp.models.quadratic import quadratic
from interp.models.shared.activations import ActFn
from interp.models.shared.blocks import Positions
from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic


def hooked_logits(architecture, weights, pairs):
    """At the last position, as a differentiable function of the weights."""
    logits = torch.func.functional_call(architecture.hooked(weights), weights, (architecture.tokens(pairs),))
    return architecture.from_module(logits)


def relative(found, expected):
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


def assert_fast_is_hooked(architecture, weights):
    """Every activation of the fast path, by hook name, at the last position of the hooked path."""
    pairs = architecture.task.pairs
    fast = architecture.activations(weights, pairs)
    logits, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(pairs))
    assert relative(fast["logits"], architecture.from_module(logits)) <= 1e-10
    assert architecture.neurons in fast
    for name in set(fast) - {"logits"}:
        if name.endswith("hook_pattern"):  # [pair, head, query, key]
            expected = cache[name][:, :, -1]
        else:
            expected = cache[name] if name.startswith("mlp") else cache[name][:, architecture.row.read_at]
        assert fast[name].shape == expected.shape
        assert relative(fast[name], expected) <= 1e-10, name


transformers = st.builds(
    lambda p, more_logits, **options: transformer(
        modular_arithmetic(p), d_vocab_out=None if more_logits is None else p + more_logits, **options
    ),
    p=st.integers(3, 8),
    n_layers=st.sampled_from([1, 1, 1, 2, 3]),
    d_model=st.integers(3, 15),
    n_heads=st.integers(1, 3),
    d_mlp=st.integers(1, 9),
    act_fn=st.sampled_from(["relu", "gelu"]),
    causal=st.booleans(),
    attention_rate=st.sampled_from([1.0, 0.3, 0.0]),
    row=st.sampled_from(["a b =", "a b"]),
    shared_vocab=st.booleans(),
    biases=st.sampled_from(["none", "hidden", "all"]),
    more_logits=st.none() | st.integers(0, 9),
)
wider_transformers = st.builds(
    lambda p, more, final, **options: transformer(
        modular_arithmetic(p),
        d_vocab=3 * p + 9,
        answers=more,
        final_norm=final if options["norm"] != "none" else None,
        tokens={"first": more},
        **options,
    ),
    p=st.integers(3, 6),
    more=st.integers(0, 7),
    final=st.none() | st.booleans(),
    n_layers=st.sampled_from([1, 1, 2]),
    d_model=st.integers(3, 15),
    n_heads=st.integers(1, 3),
    d_head=st.sampled_from([2, 4]),
    d_mlp=st.integers(1, 9),
    act_fn=st.sampled_from(get_args(ActFn)),
    gated=st.booleans(),
    causal=st.booleans(),
    row=st.sampled_from(["a b =", "a b", "a op b =", "eos a op b = eos", "b a"]),
    shared_vocab=st.booleans(),
    biases=st.sampled_from(["none", "hidden", "all"]),
    norm=st.sampled_from(["none", "layer", "rms"]),
    norm_position=st.sampled_from(["pre", "post"]),
    norm_parameters=st.sampled_from(["none", "weight", "all"]),
    norm_eps=st.sampled_from([1e-5, 1e-2]),
    positions=st.sampled_from(get_args(Positions)),
    attention_scale=st.booleans(),
    residual=st.booleans(),
)
mlps = st.builds(
    lambda p, **options: mlp(modular_arithmetic(p), **options),
    p=st.integers(3, 8),
    d_model=st.integers(1, 9),
    d_mlp=st.integers(1, 9),
    n_layers=st.sampled_from([1, 2]),
    shared_embedding=st.booleans(),
    combine=st.sampled_from(["concatenated", "added", "averaged"]),
    biases=st.sampled_from(["none", "hidden", "all"]),
    act_fn=st.sampled_from(["relu", "gelu"]),
)
sums_of_operands = st.builds(
    lambda p, pairs, d_mlp, model: model(modular_arithmetic(p, frac_train=0.5, pairs=pairs), d_mlp=d_mlp),
    p=st.integers(3, 8),
    pairs=st.sampled_from(["ordered", "unordered"]),
    d_mlp=st.integers(1, 9),
    model=st.sampled_from(
        [
            quadratic,
            functools.partial(factored_mlp, d_model=5),
            functools.partial(factored_mlp, embedding="circle", act_fn="x^2"),
        ]
    ),
)


@pytest.mark.parametrize("biases", ["none", "hidden", "all"])
@pytest.mark.parametrize("shared_vocab", [True, False])
@pytest.mark.parametrize("row", ["a b =", "a b"])
def test_every_one_layer_transformer_is_the_hooked_one(random_weights, row, shared_vocab, biases):
    for causal, attention_rate, act_fn in itertools.product([True, False], [1.0, 0.3, 0.0], ["relu", "gelu"]):
        options = (act_fn, causal, attention_rate, row, shared_vocab, biases)
        architecture = transformer(modular_arithmetic(5), 1, 7, 3, 4, *options)
        assert_fast_is_hooked(architecture, random_weights(architecture))


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("shared_embedding", [True, False])
@pytest.mark.parametrize("combine", ["concatenated", "added", "averaged"])
def test_every_mlp_is_the_hooked_one(random_weights, n_layers, shared_embedding, combine):
    for biases, act_fn in itertools.product(["none", "hidden", "all"], ["relu", "gelu"]):
        architecture = mlp(modular_arithmetic(5), 3, 4, n_layers, shared_embedding, combine, biases, act_fn)
        assert_fast_is_hooked(architecture, random_weights(architecture))


@settings(max_examples=25, deadline=None)
@given(transformers | wider_transformers | mlps | sums_of_operands, st.integers(0, 2**31))
def test_the_fast_path_gives_the_hooked_path_s_activations(random_weights, architecture, seed):
    assert_fast_is_hooked(architecture, random_weights(architecture, seed))


@settings(max_examples=15, deadline=None)
@given(transformers | wider_transformers | mlps | sums_of_operands, st.integers(0, 2**31))
def test_the_logits_alone_and_all_gradients_are_the_same_by_every_path(random_weights, architecture, seed):
    weights = {name: value.requires_grad_() for name, value in random_weights(architecture, seed).items()}
    task = architecture.task
    pairs, answers = task.pairs[task.train], task.targets[task.train]
    paths = {
        "hooked": hooked_logits(architecture, weights, pairs),
        "activations": architecture.activations(weights, pairs)["logits"],
        "logits": architecture.outputs(weights, pairs),
    }
    losses = {name: cross_entropy(logits, answers).mean() for name, logits in paths.items()}
    gradients = {name: torch.autograd.grad(loss, list(weights.values())) for name, loss in losses.items()}
    for path in ("activations", "logits"):
        assert relative(paths[path], paths["hooked"]) <= 1e-10
        for name, found, expected in zip(weights, gradients[path], gradients["hooked"], strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11, msg=f"{path}: {name}")


@settings(max_examples=15, deadline=None)
@given(transformers | wider_transformers | mlps | sums_of_operands, st.integers(0, 2**31))
def test_the_logits_of_the_operands_own_embeddings_are_the_logits(random_weights, architecture, seed):
    weights = random_weights(architecture, seed)
    pairs = architecture.task.pairs
    operands = architecture.operands(weights, pairs)
    logits = architecture.logits_of_operands(weights, operands)
    assert relative(logits, architecture.activations(weights, pairs)["logits"]) <= 1e-10
    swapped = architecture.logits_of_operands(weights, operands.flip(0))
    assert relative(swapped, logits.flip(0)) <= 1e-10  # each pair has embeddings of its own


VARIANTS = [
    transformer(modular_arithmetic(7), 1, 8, 2, 5),
    transformer(modular_arithmetic(7), 1, 8, 2, 5, "gelu", biases="all", attention_rate=0.3, d_vocab_out=7),
    transformer(modular_arithmetic(7), 1, 8, 2, 5, "gelu", row="a b", shared_vocab=False, biases="all"),
    transformer(modular_arithmetic(7), 1, 8, 2, 5, row="a b", causal=False, attention_rate=0.0, biases="none"),
    transformer(modular_arithmetic(7), 2, 8, 2, 5, causal=False, biases="all"),
    transformer(modular_arithmetic(7), 1, 8, 2, 5, "gelu", norm="layer", row="a op b =", biases="all"),
    transformer(modular_arithmetic(7), 1, 8, 2, 5, "silu", norm="rms", norm_position="post", gated=True, answers=1),
    mlp(modular_arithmetic(7), 4, 5),
    mlp(modular_arithmetic(7), 4, 5, 2, shared_embedding=True, combine="added", biases="all", act_fn="gelu"),
]
each_variant = pytest.mark.parametrize("architecture", VARIANTS, ids=lambda one: one.description)


@each_variant
def test_the_fast_path_takes_any_pairs_in_any_order(random_weights, architecture):
    weights = random_weights(architecture)
    chosen = torch.tensor([40, 3, 3, 17])
    everything = architecture.activations(weights, architecture.task.pairs)["logits"]
    some = architecture.activations(weights, architecture.task.pairs[chosen])["logits"]
    torch.testing.assert_close(some, everything[chosen])


@each_variant
def test_the_fast_path_is_differentiable_again_and_again(random_weights, architecture):
    """The third derivative of the loss along one direction, against the hooked path's."""
    weights = random_weights(architecture)
    pairs, answers = architecture.task.pairs, architecture.task.targets
    direction = random_weights(architecture, seed=1)

    def third(logits):
        at = torch.zeros((), dtype=torch.float64, requires_grad=True)
        slope = cross_entropy(logits({name: weights[name] + at * direction[name] for name in weights}), answers).mean()
        for _ in range(3):
            (slope,) = torch.autograd.grad(slope, at, create_graph=True)
        return slope

    found = third(lambda moved: architecture.activations(moved, pairs)["logits"])
    torch.testing.assert_close(found, third(lambda moved: hooked_logits(architecture, moved, pairs)))
    assert float(found.detach()) != 0


@each_variant
def test_the_fast_path_is_a_function_that_torch_func_can_transform(random_weights, architecture):
    """Hessian–vector products for two networks at once, against double backward through the hooked path."""
    networks = [random_weights(architecture, seed) for seed in (0, 1)]
    v = random_weights(architecture, seed=2)
    pairs, answers = architecture.task.pairs, architecture.task.targets

    def loss(weights):
        return cross_entropy(architecture.activations(weights, pairs)["logits"], answers).mean()

    def product(weights):
        return torch.func.jvp(torch.func.grad(loss), (weights,), (v,))[1]

    stacked = {name: torch.stack([network[name] for network in networks]) for name in v}
    found = torch.func.vmap(product)(stacked)
    for i, network in enumerate(networks):
        weights = {name: value.clone().requires_grad_() for name, value in network.items()}
        hooked = cross_entropy(hooked_logits(architecture, weights, pairs), answers).mean()
        gradients = torch.autograd.grad(hooked, list(weights.values()), create_graph=True)
        along = sum((g * v[name]).sum() for name, g in zip(weights, gradients, strict=True))
        expected = torch.autograd.grad(along, list(weights.values()), allow_unused=True, materialize_grads=True)
        for name, value in zip(weights, expected, strict=True):
            torch.testing.assert_close(found[name][i], value, rtol=1e-8, atol=1e-10, msg=name)


@each_variant
def test_the_hooked_module_has_exactly_the_parameters_of_shapes(architecture):
    weights = architecture.initial(0)
    model = architecture.hooked(weights)
    found = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert found == architecture.shapes == {name: tuple(value.shape) for name, value in weights.items()}
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert model.state_dict().keys() == found.keys()


@each_variant
def test_fresh_weights_follow_the_seed_and_leave_the_global_random_state_alone(architecture):
    before = torch.get_rng_state()
    first, again, other = (architecture.initial(seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["unembed.W_U"], other["unembed.W_U"])
    assert all((value == 0).all() for name, value in first.items() if ".b_" in name or name.endswith(".b"))


@pytest.mark.parametrize("model", [transformer, mlp, factored_mlp, quadratic])
def test_a_task_without_two_operands_is_refused_with_the_name_of_another_model(model):
    values = Task("values", torch.zeros(3, 2), torch.zeros(3), n_outputs=1, train=None)
    with pytest.raises(ValueError, match=rf"^{model.__name__} looks up .* values has none; try the model perceptron$"):
        model(values)
