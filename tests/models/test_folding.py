"""Norms folded into the maps of weights, against the hooked network whose σ are held at the stated means."""

from __future__ import annotations

import pytest
import torch

from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic

TASK = modular_arithmetic(5)
SMALL = {"d_model": 12, "n_heads": 3, "d_mlp": 10}
NORMS = [
    {"norm": "layer"},
    {"norm": "rms"},
    {"norm": "layer", "final_norm": False},
    {"norm": "layer", "norm_position": "post"},
    {"norm": "rms", "norm_position": "post", "final_norm": True},
    {"norm": "layer", "norm_position": "post", "norm_parameters": "weight"},
    {"norm": "none"},
]
each_norm = pytest.mark.parametrize("norm", NORMS, ids=lambda norm: " ".join(map(str, norm.values())))


class Held:
    """The hooked network with every σ, and whatever else is named, replaced."""

    def __init__(self, random_weights, **options):
        self.architecture = transformer(TASK, **{**SMALL, **options})
        self.weights = random_weights(self.architecture)
        self.model = self.architecture.hooked(self.weights)
        self.tokens = self.architecture.tokens(TASK.pairs)
        _, self.cache = self.model.run_with_cache(self.tokens)
        self.activations = self.architecture.activations(self.weights, TASK.pairs)

    def run(self, read, **replaced):
        """`read` of the run, a hook's name or "logits", with the hooks of these short names replaced by functions."""
        found = {}

        def act(value, hook):
            name = hook.name
            short = name.replace("blocks.", "").replace(".hook_", " ")
            if name == read:
                found["it"] = value
            given = replaced.get(short) or replaced.get(short.rpartition(" ")[2])
            return given(value) if given else value

        hooks = [(name, act) for name in self.model.hook_names]
        logits = self.model.run_with_hooks(self.tokens, fwd_hooks=hooks)
        return (
            self.architecture.from_module(logits) if read == "logits" else found["it"][:, self.architecture.row.read_at]
        )

    def mean_inverse(self, *names):
        """The mean of 1/σ over the pairs where the answer is read, from the hooked network's own σ."""
        product = torch.ones(25, 1, dtype=torch.float64)
        for name in names:
            product = product * self.cache[f"{name}.hook_scale"][:, self.architecture.row.read_at]
        return (1 / product).mean()


def norms_after_the_neurons(norm, block):
    position = norm.get("norm_position", "pre")
    final = norm.get("final_norm", position == "pre") and norm["norm"] != "none"
    return [f"{block}.ln2"] * (position == "post") + ["ln_final"] * final


@each_norm
@pytest.mark.parametrize(("n_layers", "gated"), [(1, False), (2, True)])
def test_the_readout_is_the_slope_of_the_logits_with_sigma_at_its_mean(random_weights, norm, n_layers, gated):
    held = Held(random_weights, n_layers=n_layers, gated=gated, act_fn="gelu", answers=1, **norm)
    readout = held.architecture.readout(held.weights, held.activations)
    factor = held.architecture.readout_factor(held.activations)
    names = norms_after_the_neurons(norm, f"blocks.{n_layers - 1}")
    if names:
        assert float(factor) == pytest.approx(float(held.mean_inverse(*names)), rel=1e-12)
    else:
        assert factor is None
    # the product of these norms' σ is held at one value, at the first of them; those before, at their own
    place = f"{n_layers - 1}.mlp post"
    values = {name.replace("blocks.", "") + " scale": torch.ones_like for name in names[1:]}
    if names:
        values[names[0].replace("blocks.", "") + " scale"] = lambda scale: torch.full_like(scale, float(1 / factor))
    at = held.architecture.row.read_at

    def logits(change):
        def changed(post):
            post = post.clone()
            post[:, at] = change
            return post

        return held.run("logits", **{place: changed}, **values)

    nothing = logits(torch.zeros(10, dtype=torch.float64))
    for neuron in (0, 7):
        alone = torch.zeros(10, dtype=torch.float64).index_fill(0, torch.tensor(neuron), 1.0)
        expected = logits(alone) - nothing  # [pair, logit], for every pair the same
        torch.testing.assert_close(expected, readout[neuron].expand(25, -1), rtol=1e-9, atol=1e-11)


@each_norm
@pytest.mark.parametrize("n_layers", [1, 2])
def test_neuron_inputs_are_what_an_embedding_adds_past_the_attention(random_weights, norm, n_layers):
    held = Held(random_weights, n_layers=n_layers, **norm)
    found = held.architecture.neuron_inputs(held.weights, held.activations)
    position, last = norm.get("norm_position", "pre"), f"blocks.{n_layers - 1}"
    if norm["norm"] == "none":
        passed = []
    elif position == "pre":
        passed = [f"{last}.ln2"]
    else:
        passed = [f"blocks.{layer}.ln{k}" for layer in range(n_layers - 1) for k in (1, 2)] + [f"{last}.ln1"]
    values = {"attn_out": torch.zeros_like, "mlp_out": torch.zeros_like}
    values |= {name.replace("blocks.", "") + " scale": torch.ones_like for name in passed[1:]}
    if passed:
        held_at = float(1 / held.mean_inverse(*passed))
        values[passed[0].replace("blocks.", "") + " scale"] = lambda scale: torch.full_like(scale, held_at)

    def pre(embedding):
        def embed(x):
            x = x.clone()
            x[:, -1] = embedding
            return x

        return held.run(f"{last}.mlp.hook_pre", hook_embed=embed, **values)

    nothing = pre(torch.zeros(12, dtype=torch.float64))
    for residue in (0, 3):
        expected = pre(held.weights["embed.W_E"][residue]) - nothing
        torch.testing.assert_close(expected, found[0, residue].expand(25, -1), rtol=1e-9, atol=1e-11)
    assert torch.equal(found[0], found[1])


def test_gated_neurons_and_those_without_a_residual_stream_have_no_inputs_of_one_residue(random_weights):
    for options in ({"gated": True}, {"residual": False}):
        held = Held(random_weights, **options)
        assert held.architecture.neuron_inputs(held.weights, held.activations) is None


@each_norm
@pytest.mark.parametrize("gated", [False, True])
def test_the_ov_circuit_is_what_a_head_moves_with_sigma_at_its_means(random_weights, norm, gated):
    held = Held(random_weights, gated=gated, row="a op b =", **norm)
    architecture, weights = held.architecture, held.weights
    circuit = architecture.ov_circuit(weights, held.activations)  # [operand, head, p, neuron]
    factors = architecture.ov_factors(weights, held.activations)
    pre_norm = norm["norm"] != "none" and norm.get("norm_position", "pre") == "pre"
    values = {}
    if norm["norm"] == "none":
        assert factors is None
    else:
        before, place = ("ln2", "0.ln2 scale") if pre_norm else ("ln1", "0.ln1 scale")
        assert float(factors[2]) == pytest.approx(float(held.mean_inverse(f"blocks.0.{before}")), rel=1e-12)
        values[place] = lambda scale: torch.full_like(scale, float(1 / factors[2]))
    for operand, at in enumerate(architecture.operand_positions):
        if pre_norm:
            inverse = (1 / held.cache["blocks.0.ln1.hook_scale"][:, at]).mean()
            assert float(factors[operand]) == pytest.approx(float(inverse), rel=1e-12)
            values["0.ln1 scale"] = lambda scale, inverse=inverse: torch.full_like(scale, float(1 / inverse))
        for head in (0, 2):

            def attend(pattern, at=at, head=head):
                pattern = torch.zeros_like(pattern)
                pattern[:, head, :, at] = 1
                return pattern

            def pre(embedding, hook, at=at, attend=attend):
                def embed(x):
                    x = x.clone()
                    x[:, at] = embedding
                    return x

                return held.run(f"blocks.0.mlp.{hook}", hook_embed=embed, **{"0.attn pattern": attend}, **values)

            hooks = ["hook_pre", "hook_pre_linear"] if gated else ["hook_pre"]
            zero = torch.zeros(12, dtype=torch.float64)
            moved = [pre(weights["embed.W_E"][3], hook) - pre(zero, hook) for hook in hooks]
            expected = circuit[operand, head, 3].expand(25, -1)
            torch.testing.assert_close(torch.cat(moved, 1), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("positions", ["none", "rotary"])
@pytest.mark.parametrize("row", ["a b", "b op a"])
@pytest.mark.parametrize("norm", [NORMS[0], NORMS[1], NORMS[3]], ids=["layer", "rms", "post"])
def test_the_qk_circuit_is_the_score_of_embeddings_with_sigma_at_its_means(random_weights, norm, row, positions):
    norm = {**norm, "norm_parameters": "weight"}
    held = Held(random_weights, row=row, positions=positions, d_head=4, **norm)
    architecture = held.architecture
    circuit = architecture.qk_circuit(held.weights)[TASK.pairs[:, 0], TASK.pairs[:, 1]]  # [pair, head]
    factors = architecture.ov_factors(held.weights, held.activations)

    def scale(value):
        value = value.clone()
        for at, factor in zip(architecture.operand_positions, factors, strict=False):
            value[:, at] = 1 / factor
        return value

    seen = {}

    def scores(value):
        seen["scores"] = value[:, :, architecture.row.read_at]

    values = {"0.ln1 scale": scale} if norm.get("norm_position", "pre") == "pre" else {}
    held.run("logits", **{"0.attn attn_scores": lambda value: scores(value) or value}, **values)
    key = next(at for at in architecture.operand_positions if at != architecture.row.read_at)
    torch.testing.assert_close(seen["scores"][..., key] * 2, circuit, rtol=1e-9, atol=1e-11)  # √d_head is 2
