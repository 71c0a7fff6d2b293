from __future__ import annotations

import bz2
import functools
import math

import numpy as np
import pytest
import torch
import xarray as xr

import interp
from interp.maths.description_length import TAUS
from interp.models.perceptron import perceptron
from interp.models.transformer import transformer
from interp.recipes import run_recipe
from interp.recipes.document import dump_yaml
from interp.results.account import panels
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity
from interp.training.loop import train
from interp.training.plan import Plan
from tests.told import summary

pytestmark = pytest.mark.usefixtures("one_thread")

P = 11
MODEL = {"d_model": 16, "n_heads": 2, "d_mlp": 32}
MLP = {"mlp": {"d_model": P, "d_mlp": P * P, "shared_embedding": True, "biases": "hidden"}}


def task(**options):
    return {"modular_arithmetic": {"p": P, "frac_train": 0.5, **options}}


def fresh(seed=0, scale=1.0):
    weights = transformer(modular_arithmetic(p=P), **MODEL).initial(seed)
    return {name: scale * value for name, value in weights.items()}


def a_table(known):
    """An MLP with a neuron for each pair, of which the share `known` has the right answer's logit at 20."""
    pairs = modular_arithmetic(p=P)
    one_hot = torch.eye(P)
    right = torch.zeros(P * P, P)
    right[torch.arange(P * P), pairs.targets] = 20.0
    right[int(known * P * P) :] = 0
    return {
        "embed.W_E": one_hot,
        "mlp.W_in": torch.cat([one_hot[pairs.pairs[:, 0]].T, one_hot[pairs.pairs[:, 1]].T]),
        "mlp.b_in": -torch.ones(P * P),
        "unembed.W_U": right,
    }


@pytest.mark.slow
def test_what_it_reports_of_a_description_holds(make_run):
    checkpoint = make_run({0: fresh(scale=3.0)}, task(), {"transformer": MODEL})[0]
    own = float(checkpoint.measure("loss").train_loss)
    weights = sum(value.numel() for value in checkpoint.weights.values())
    for epsilon in (1.0, 0.1):
        found = checkpoint.measure("complexity", epsilon=epsilon)
        assert abs(float(found.described_loss) - own) < epsilon
        assert float(found.bits_per_weight) == pytest.approx(8 * float(found.complexity) / weights)
        assert float(found.tau) in TAUS
        assert 0 <= float(found.factored_share) <= 1


def whole_grid(checkpoint, epsilons):
    """The smallest size within each epsilon over the whole grid of τ and Δ, by hand, with PyTorch's cross-entropy.

    The loss is asked of descriptions from the smallest on, until it is within every epsilon.
    """
    task, architecture = checkpoint.task, checkpoint.run.architecture
    own = {name: value.double() for name, value in checkpoint.weights.items()}

    def loss(weights):
        outputs = architecture.outputs(weights, task.inputs[task.train])
        return float(torch.nn.functional.cross_entropy(outputs, task.targets[task.train]))

    factors_of = {tau: {name: matrices_or_factors(name, value, tau) for name, value in own.items()} for tau in TAUS}
    described = []
    for tau, factors in factors_of.items():
        flat = torch.cat([factor.flatten() for part in factors.values() for matrix in part for factor in matrix])
        for place in range(22 * 8 + 1):
            delta = 2 ** (math.ceil(math.log2(2 * float(flat.abs().max()))) - place / 8)
            codes = np.rint((flat / delta).numpy()).astype(int)
            codes = np.where(codes >= 0, 2 * codes, -2 * codes - 1)
            used = max(1, -(-int(codes.max()).bit_length() // 8))
            size = len(bz2.compress(b"".join((codes >> 8 * k & 255).astype("u1").tobytes() for k in range(used))))
            described.append((size, tau, delta))
    target, best = loss(own), {}
    for size, tau, delta in sorted(described):
        there = {
            name: torch.stack(
                [functools.reduce(torch.matmul, [torch.round(f / delta) * delta for f in matrix]) for matrix in part]
            ).view_as(own[name])
            for name, part in factors_of[tau].items()
        }
        lost = abs(loss(there) - target)
        best |= {epsilon: size for epsilon in epsilons if lost < epsilon and epsilon not in best}
        if len(best) == len(epsilons):
            return best
    return dict.fromkeys(epsilons, math.inf) | best


def matrices_or_factors(name, value, tau):
    """A bias as it is; of a matrix, or of each head's, two factors where the share τ of its spectrum saves numbers."""
    if name.rpartition(".")[2].startswith("b_"):
        return [(value,)]
    found = []
    for matrix in value if value.ndim == 3 else [value]:
        U, values, Vh = torch.linalg.svd(matrix, full_matrices=False)
        k = int((values.cumsum(0) < tau * values.sum() * (1 - 1e-14)).sum()) + 1
        m, n = matrix.shape
        root = values[:k].sqrt()
        found.append((U[:, :k] * root, root[:, None] * Vh[:k]) if tau < 1 and k * (m + n) < m * n else (matrix,))
    return found


TINY = [
    {"mlp": {"d_model": 6, "d_mlp": 10}},
    {"transformer": {"d_model": 8, "n_heads": 2, "d_mlp": 12}},
    {"mlp": {"d_model": 16, "d_mlp": 48}},
    {"transformer": {"d_model": 16, "n_heads": 2, "d_mlp": 32}},
]


def trained(folder, p, number):
    recipe = {
        "task": {"modular_arithmetic": {"p": p, "frac_train": 0.7, "seed": number}},
        "model": TINY[number % 4],
        "training": {
            "steps": 200 + 100 * (number % 3),
            "optimiser": {"adamw": {"lr": 1e-2, "weight_decay": 1.0}},
            "seed": number,
            "save": {"every": 1000},
        },
    }
    folder.mkdir()
    path = folder / "run.yaml"
    path.write_text(dump_yaml(recipe))
    train(folder, Plan.of(run_recipe.read_to_train(path)))
    return interp.open_run(folder).final


QUICK = [(3, 0)]
"""p and number of two networks, of which the first is one that a search for the largest Δ alone misses."""


@pytest.mark.parametrize(
    ("p", "number"),
    [
        pytest.param(p, number, marks=[] if (p, number) in QUICK else pytest.mark.slow)
        for number, p in enumerate([3, 5, 7, 6, 4] * 2)
    ],
)
def test_of_a_small_network_it_is_the_smallest_size_on_the_whole_grid(tmp_path, p, number):
    checkpoint = trained(tmp_path / "run", p, number)
    for epsilon, smallest in whole_grid(checkpoint, (1.0, 0.01)).items():
        found, whole = (
            float(checkpoint.measure("complexity", epsilon=epsilon, exhaustive=exhaustive).complexity)
            for exhaustive in (False, True)
        )
        assert found == whole == smallest


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 500, 9000])
def test_of_a_larger_network_it_is_within_a_hundredth_of_that(step):
    checkpoint = interp.open_run("checkpoints/modular_addition_small")[step]
    for epsilon in (1.0, 0.01):
        found, whole = (
            float(checkpoint.measure("complexity", epsilon=epsilon, exhaustive=exhaustive).complexity)
            for exhaustive in (False, True)
        )
        assert whole <= found <= 1.01 * whole


def test_where_guessing_costs_less_than_epsilon_zeros_describe_any_network(make_run):
    """Two answers: ln 2 is less than a nat."""
    bits = {"n": 8, "k": 2, "n_train": 40, "n_test": 20}
    weights = perceptron(sparse_parity(**bits), widths=(16,)).initial(0)
    found = make_run({0: weights}, {"sparse_parity": bits}, {"perceptron": {"widths": [16]}})[0].measure("complexity")
    assert float(found.zeros_loss) == pytest.approx(math.log(2))
    assert float(found.described_loss) == pytest.approx(math.log(2))


def test_a_fresh_network_is_as_good_as_zeros(make_run):
    found = make_run({0: fresh()}, task(), {"transformer": MODEL})[0].measure("complexity")
    assert float(found.complexity) < 100
    assert float(found.described_loss) == pytest.approx(math.log(P + 1), abs=1e-6)  # a logit for "=" as well
    assert float(found.zeros_loss) == pytest.approx(math.log(P + 1), rel=1e-12)


def test_what_must_be_known_must_be_written_down(make_run):
    run = make_run({0: a_table(0.0), 1: a_table(0.5), 2: a_table(1.0)}, task(), MLP)
    sizes = [float(run[step].measure("complexity", epsilon=0.1).complexity) for step in (0, 1, 2)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_the_raw_size_is_the_stored_weights_in_bzip2(make_run):
    checkpoint = make_run({0: fresh()}, task(), {"transformer": MODEL})[0]
    together = b"".join(value.numpy().tobytes() for value in checkpoint.weights.values())
    assert float(checkpoint.measure("complexity").raw_size) == len(bz2.compress(together))


@pytest.mark.slow
def test_the_order_of_neurons_hardly_matters(make_run):
    weights = fresh(scale=3.0)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    block = "blocks.0.mlp."
    moved = weights | {
        f"{block}W_in": weights[f"{block}W_in"][:, order],
        f"{block}b_in": weights[f"{block}b_in"][order],
        f"{block}W_out": weights[f"{block}W_out"][order],
    }
    run = make_run({0: weights, 1: moved}, task(), {"transformer": MODEL})
    first, other = (float(run[step].measure("complexity", epsilon=0.1).complexity) for step in (0, 1))
    assert first == pytest.approx(other, rel=0.03)


@pytest.mark.slow
def test_where_nothing_shorter_will_do_the_weights_stand_as_they_are(make_run):
    found = make_run({0: fresh(scale=3.0)}, task(), {"transformer": MODEL})[0].measure("complexity", epsilon=1e-14)
    assert float(found.complexity) == float(found.raw_size)
    assert float(found.delta) == 0
    assert float(found.tau) == 1


def test_where_the_split_is_unknown_only_the_raw_size_is_a_number(make_run):
    run = make_run({0: fresh(), 5: fresh(1)}, task(split="unknown"), {"transformer": MODEL})
    result = run.measure("complexity")
    assert not result.complexity.notnull().any()
    assert result.raw_size.notnull().all()
    assert "unknown" in summary("complexity", result).sentence
    assert [panel.title for panel in panels("complexity", result)] == ["Size, and that of the weights as they are"]


@pytest.mark.slow
def test_the_sentence_says_when_it_peaked_and_how_far_it_fell(make_run):
    steps = {0: fresh(), 10: fresh(scale=4.0), 20: fresh(scale=2.5)}
    result = make_run(steps, task(), {"transformer": MODEL}).measure("complexity", epsilon=0.1)
    said = summary("complexity", result)
    sizes = result.complexity.values
    assert sizes[1] > sizes[2] > sizes[0]
    assert said.values["highest_step"] == 10
    assert said.values["fall"] == pytest.approx(sizes[2] / sizes[1] - 1)
    assert "at step 10 and ends at" in said.sentence
    growing = summary("complexity", result.isel(step=[0, 2]))
    assert "goes from" in growing.sentence
    assert "of its largest" not in growing.sentence
    unchanged = xr.concat([result.isel(step=[0]).assign_coords(step=[step]) for step in (0, 1)], "step")
    assert "description stays at" in summary("complexity", unchanged).sentence
    assert "description is" in summary("complexity", result.isel(step=[1])).sentence


def test_weights_that_are_no_numbers_are_left_out(make_run):
    broken = fresh(scale=4.0)
    broken["embed.W_E"][0, 0] = np.nan
    run = make_run({0: fresh(scale=3.0), 10: broken}, task(), {"transformer": MODEL})
    with pytest.warns(UserWarning, match="not finite"):
        result = run.measure("complexity")
    assert result.complexity.notnull().values.tolist() == [True, False]
    assert summary("complexity", result).values["highest_step"] == 0
