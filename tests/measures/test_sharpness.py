from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import interp
from interp.errors import InterpError, NothingToSay
from interp.machine import denormals
from interp.measures.sharpness import sharpness
from interp.measures.sharpness.telling import shares_of_trace
from interp.models.transformer import transformer
from interp.recipes.call import Call
from interp.recipes.run_recipe import Training
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training.loop import train
from interp.training.plan import Plan
from tests.curvature_oracles import by_curvlinops, largest_by_hessian_eigenthings, largest_by_scipy

SHIPPED = Path("checkpoints/modular_addition_small")
MAINLINE = Path("checkpoints/modular_addition_113")
SPLIT = {"modular_arithmetic": {"p": 7, "frac_train": 0.5}}
SMALL = {"d_model": 4, "n_heads": 2, "d_mlp": 8}
"""216 weights, so few that a search spans every direction."""
MEDIUM = {"d_model": 14, "n_heads": 2, "d_mlp": 28}


@pytest.fixture(autouse=True)
def as_an_analysis_computes():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with denormals.flushed():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shipped():
    return interp.open_run(SHIPPED)


def fresh(seed, sizes=SMALL):
    return transformer(modular_arithmetic(p=7), **sizes).initial(seed)


def whole_hessian(checkpoint):
    """The Hessian of the plain train loss on the hooked module, by differentiating twice."""
    task, names = checkpoint.task, list(checkpoint.weights)
    model = checkpoint.run.architecture.hooked({name: value.double() for name, value in checkpoint.weights.items()})
    shapes = [checkpoint.weights[name].shape for name in names]

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes])
        weights = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        logits = torch.func.functional_call(model, weights, (checkpoint.tokens[task.train],))
        return torch.nn.functional.cross_entropy(logits[:, -1], task.targets[task.train])

    flat = torch.cat([checkpoint.weights[name].double().flatten() for name in names])
    return torch.autograd.functional.hessian(loss, flat), torch.autograd.functional.jacobian(loss, flat)


@pytest.mark.slow
def test_everything_agrees_with_the_whole_hessian_of_a_small_network(make_run):
    checkpoint = make_run({0: fresh(0)}, SPLIT, {"transformer": SMALL})[0]
    found = sharpness(checkpoint, tolerance=1e-4, most_negative_tolerance=1e-3, probes=100)
    hessian, gradient = whole_hessian(checkpoint)
    values, vectors = torch.linalg.eigh(hessian)
    torch.testing.assert_close(found.largest, values.flip(0)[:5], rtol=1e-5, atol=0)
    assert float(found.most_negative) == pytest.approx(float(values[0]), rel=1e-4)
    assert abs(float(found.trace - hessian.trace())) < 4 * float(found.trace_se) < 0.5 * float(hessian.trace())
    assert float(found.gradient_norm) == pytest.approx(float(gradient.norm()), rel=1e-6)
    along = (vectors[:, -5:].T @ gradient).square().sum() / gradient.square().sum()
    assert float(found.gradient_overlap) == pytest.approx(float(along), rel=1e-3)


@pytest.mark.slow
def test_the_order_of_neurons_and_heads_does_not_matter(make_run):
    weights = fresh(0)
    order, heads = torch.randperm(8, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 0])
    turned = dict(weights)
    for name in ("mlp.W_in", "mlp.b_in"):
        turned[f"blocks.0.{name}"] = weights[f"blocks.0.{name}"][..., order]
    turned["blocks.0.mlp.W_out"] = weights["blocks.0.mlp.W_out"][order]
    for letter in "QKVO":
        turned[f"blocks.0.attn.W_{letter}"] = weights[f"blocks.0.attn.W_{letter}"][heads]
    run = make_run({0: weights, 1: turned}, SPLIT, {"transformer": SMALL})
    before, after = (sharpness(run[step], tolerance=1e-5, most_negative_tolerance=1e-4) for step in (0, 1))
    for name in ("largest", "gauss_newton_largest", "most_negative", "gradient_norm", "gradient_overlap"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), rtol=1e-4, atol=0)
    assert abs(float(after.trace - before.trace)) < 4 * float(before.trace_se + after.trace_se)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "step"), [(SHIPPED, 600), (SHIPPED, 9_000), (MAINLINE, 1_000), (MAINLINE, 7_000), (MAINLINE, 40_000)]
)
def test_other_libraries_find_the_same(folder, step):
    if not (folder / "weights").is_dir():
        pytest.skip(f"{folder} is not trained here: interp train {folder}")
    checkpoint = interp.open_run(folder)[step]
    found = sharpness(checkpoint)
    hessian = by_curvlinops(checkpoint, "hessian")
    np.testing.assert_allclose(found.largest, largest_by_scipy(hessian, 5), rtol=1e-5)
    np.testing.assert_allclose(found.largest, largest_by_hessian_eigenthings(checkpoint, 5, 45), rtol=1e-5)
    gauss_newton = largest_by_scipy(by_curvlinops(checkpoint, "gauss_newton"), 5)
    np.testing.assert_allclose(found.gauss_newton_largest, gauss_newton, rtol=1e-5)
    signs = 2.0 * torch.randint(0, 2, (hessian.shape[1], 8), generator=torch.Generator().manual_seed(1)).double() - 1
    samples = (signs * (hessian @ signs)).sum(0)
    error = (float(samples.var()) / 8 + float(found.trace_se) ** 2) ** 0.5
    assert abs(float(found.trace - samples.mean())) < 4 * error


def test_weights_whose_products_overflow_have_no_numbers(make_run):
    weights = {name: 1e60 * value.double() for name, value in fresh(0).items()}
    with pytest.raises(NothingToSay, match="overflow"):
        sharpness(make_run({5: weights}, SPLIT, {"transformer": SMALL})[5])


@pytest.mark.slow
def test_weights_too_large_for_float32_alone_are_measured_in_float64(make_run):
    weights = {name: 1e12 * value.double() for name, value in fresh(0).items()}
    checkpoint = make_run({0: weights}, SPLIT, {"transformer": SMALL})[0]
    found = sharpness(checkpoint)
    assert found.bits == 64
    assert found.largest.isfinite().all()


def test_shares_of_a_trace_that_is_not_known_or_less_than_its_largest_are_left_out():
    largest = xr.DataArray([[3.0, 1.0], [3.0, 1.0], [3.0, 1.0]], dims=("step", "eigenvalue"))
    trace, error = (xr.DataArray(values, dims="step") for values in ([8.0, 8.0, 3.5], [0.1, 5.0, 0.1]))
    found = shares_of_trace(largest, trace, error)
    assert found[0].values.tolist() == [3 / 8, 1 / 8]
    assert found[1:].isnull().all()


@pytest.mark.slow
def test_a_warm_and_a_cold_start_agree(shipped):
    previous = None
    for checkpoint in (shipped[step] for step in (6000, 6100)):
        warm, cold = sharpness(checkpoint, previous), sharpness(checkpoint)
        for name in ("largest", "gauss_newton_largest"):
            torch.testing.assert_close(getattr(warm, name), getattr(cold, name), rtol=1e-5, atol=0)
        torch.testing.assert_close(warm.most_negative, cold.most_negative, rtol=0.05, atol=0)
        for name in ("trace", "gauss_newton_trace"):
            torch.testing.assert_close(getattr(warm, name), getattr(cold, name), rtol=1e-4, atol=0)
        previous = warm
    assert warm.products < cold.products


@pytest.mark.parametrize(
    ("sizes", "tolerance"),
    [(SMALL, 1e-4), pytest.param({**SMALL, "d_model": 8, "d_mlp": 48}, 0.05, marks=pytest.mark.slow)],
)
def test_from_an_unrelated_network_the_most_negative_eigenvalue_is_that_of_the_whole_hessian(
    make_run, sizes, tolerance
):
    run = make_run({seed: fresh(seed, sizes) for seed in (0, 1)}, SPLIT, {"transformer": sizes})
    found = sharpness(run[1], sharpness(run[0]))
    assert float(found.most_negative) == pytest.approx(
        float(torch.linalg.eigvalsh(whole_hessian(run[1])[0])[0]), rel=tolerance
    )


@pytest.mark.slow
def test_an_eigenvalue_that_overtakes_the_most_negative_of_the_checkpoint_before_is_found(tmp_path):
    """Between two of these checkpoints one does: to follow one eigenvalue alone would be 13 % too near 0."""
    task = modular_arithmetic(p=11, frac_train=0.6)
    architecture = transformer(task, d_model=12, n_heads=2, d_mlp=16)
    optimiser = Call("optimisers", "adamw", {"lr": 0.02, "weight_decay": 1.0})
    train(tmp_path, Plan(task, architecture, Training(520, optimiser, seed=0, save={"dense": ["480:520:20"]})))
    (tmp_path / "run.yaml").write_text(
        "task: {modular_arithmetic: {p: 11, frac_train: 0.6}}\n"
        "model: {transformer: {d_model: 12, n_heads: 2, d_mlp: 16}}\n"
    )
    run, found = interp.open_run(tmp_path), None
    for step in run.steps:
        found = sharpness(run[step], found)
    expected = float(torch.linalg.eigvalsh(whole_hessian(run[520])[0])[0])
    assert float(found.most_negative) == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
def test_a_checkpoint_before_of_which_fewer_were_found_or_of_another_size_is_no_start(make_run):
    run = make_run({seed: fresh(seed) for seed in (0, 1)}, SPLIT, {"transformer": SMALL})
    other = make_run({0: fresh(0, MEDIUM)}, SPLIT, {"transformer": MEDIUM}, "other")[0]
    cold = sharpness(run[0])
    for previous in (sharpness(run[1], largest=1), sharpness(other)):
        torch.testing.assert_close(sharpness(run[0], previous).largest, cold.largest, rtol=0, atol=0)


@pytest.mark.slow
def test_weights_of_zero_are_a_saddle(make_run):
    """Logits are then W_U times the residual stream, which both are zero: each of its 4 dimensions gives one ±λ."""
    run = make_run({0: {name: 0 * value for name, value in fresh(0).items()}}, SPLIT, {"transformer": SMALL})
    found = sharpness(run[0], largest=6)
    highest = torch.full((4,), float(-found.most_negative), dtype=torch.float64)
    assert highest[0] > 0.1
    torch.testing.assert_close(found.largest, torch.cat([highest, torch.zeros(2).double()]), rtol=1e-6, atol=1e-9)
    assert (found.gauss_newton_largest == 0).all()
    assert found.gradient_norm == 0


def test_residuals_are_within_what_was_asked(make_run):
    run = make_run({0: fresh(0, MEDIUM)}, SPLIT, {"transformer": MEDIUM})
    found = sharpness(run[0], largest=7, tolerance=1e-4, most_negative_tolerance=0.1)
    assert found.largest.shape == found.gauss_newton_largest.shape == (7,)
    assert (found.largest_residual <= 1e-4).all()
    assert (found.gauss_newton_residual <= 1e-4).all()
    assert found.most_negative_residual <= 0.1


@pytest.mark.slow
def test_two_checkpoints_long_after_grokking_are_told_apart(shipped):
    first, second = (sharpness(shipped[step]) for step in (8900, 9000))
    apart = (first.largest - second.largest).abs()
    assert (apart > first.largest_residual * first.largest + second.largest_residual * second.largest)[0]


@pytest.mark.slow
def test_where_float32_sees_other_neurons_active_the_forward_pass_is_float64(make_run):
    """Half of the neurons are on, by less than float32 can tell."""
    weights = {name: value.double() for name, value in fresh(0).items()}
    weights["blocks.0.mlp.W_in"][:, :4] = 0
    weights["blocks.0.mlp.b_in"][:4] = 1e-50
    checkpoint = make_run({0: weights}, SPLIT, {"transformer": SMALL})[0]
    found = sharpness(checkpoint, tolerance=1e-4)
    assert found.bits == 64
    hessian, _ = whole_hessian(checkpoint)
    torch.testing.assert_close(found.largest, torch.linalg.eigvalsh(hessian).flip(0)[:5], rtol=1e-5, atol=0)


def test_more_eigenvalues_than_there_can_be_are_refused_in_one_line(make_run):
    run = make_run({0: fresh(0)}, SPLIT, {"transformer": SMALL})
    with pytest.raises(InterpError, match="largest is 1000; of 216 weights give 212 or less"):
        sharpness(run[0], largest=1000)


def test_without_a_known_split_there_are_no_numbers(make_run):
    run = make_run({0: fresh(0)}, {"modular_arithmetic": {"p": 7, "split": "unknown"}}, {"transformer": SMALL})
    with pytest.raises(NothingToSay, match="nobody knows which examples were trained on"):
        run[0].measure("sharpness")
