from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import interp
from interp.maths import mixtures
from interp.maths.mixtures import Mixture, fit_mixtures, fit_symmetric

ROOT = Path(interp.__file__).parent.parent
SHIPPED = ROOT / "checkpoints" / "modular_addition_small"


def draw(mixture, n, seed):
    random = np.random.default_rng(seed)
    which = random.choice(mixture.components, n, p=mixture.weight)
    return random.normal(mixture.mean[which], np.sqrt(mixture.variance[which]))


def planted(*components):
    """(weight, mean, deviation) of each."""
    weight, mean, deviation = np.array(components, float).T
    return Mixture(weight, mean, deviation**2)


TWO = planted((0.3, -2.0, 0.5), (0.7, 1.0, 1.0))
THREE = planted((0.2, -3.0, 0.5), (0.5, 0.0, 1.0), (0.3, 4.0, 0.7))
ABOUT_ONE_MEAN = planted((0.6, 0.0, 0.1), (0.4, 0.0, 1.0))
SIDES = planted((0.2, -1.5, 0.4), (0.6, 0.0, 0.5), (0.2, 1.5, 0.4))


def chosen(fits):
    return min(fits, key=lambda fit: fit.bic)


def numbers(fit):
    mixture = fit.mixture
    return np.concatenate([mixture.weight, mixture.mean, mixture.variance])


def errors(fit):
    return np.concatenate([fit.weight_se, fit.mean_se, fit.variance_se])


@pytest.fixture(scope="module")
def trained():
    """Real weights: after memorising, at grokking and at the end."""
    run = interp.open_run(SHIPPED)
    return {step: run[step].weights["blocks.0.mlp.W_in"].double().numpy().ravel() for step in (600, 6300, 9000)}


# One Gaussian.


def test_one_component_is_the_mean_and_the_variance():
    x = np.random.default_rng(0).normal(3, 2, 500)
    one = fit_mixtures([x])[0][0]
    assert one.mixture.weight == [1]
    assert np.isnan(one.weight_se).all()  # it is no estimate
    assert one.mixture.mean == pytest.approx([x.mean()])
    assert one.mixture.variance == pytest.approx([x.var()])
    assert one.log_likelihood == pytest.approx(-250 * (math.log(2 * math.pi * x.var()) + 1))
    assert one.mean_se == pytest.approx([x.std() / math.sqrt(500)])
    assert one.variance_se == pytest.approx([x.var() * math.sqrt(2 / 500)])
    assert one.bic == pytest.approx(-2 * one.log_likelihood + 2 * math.log(500))


@pytest.mark.slow
def test_a_gaussian_of_the_size_of_an_embedding_is_not_taken_for_a_mixture():
    """In 99 of 100 draws, whatever the margin: 113 residues, 128 dimensions."""
    random = np.random.default_rng(0)
    found = fit_mixtures([random.normal(0.01, 0.09, 113 * 128) for _ in range(100)])
    assert sum(chosen(fits).mixture.components == 1 for fits in found) >= 99


# What was put in.


@pytest.mark.slow
@pytest.mark.parametrize(("truth", "n"), [(TWO, 2000), (THREE, 4000), (ABOUT_ONE_MEAN, 2000)])
def test_planted_mixtures_are_found_within_their_standard_errors(truth, n):
    """Of 120 draws the number of components in 95 of 100; each number within 1.96 standard errors as often."""
    found = fit_mixtures([draw(truth, n, seed) for seed in range(120)])
    counts = np.array([chosen(fits).mixture.components for fits in found])
    assert np.mean(counts == truth.components) >= 0.95
    fits = [of_draw[truth.components - 1] for of_draw in found]
    expected = np.concatenate([truth.weight, truth.mean, truth.variance])
    if truth is ABOUT_ONE_MEAN:  # components are in the order of their means, which here are one
        fits = [fit for fit in fits if fit.mixture.variance[0] < fit.mixture.variance[1]]
        assert len(fits) > 35
    off = np.array([(numbers(fit) - expected) / errors(fit) for fit in fits])
    assert np.isfinite(off).all()
    covered = np.mean(np.abs(off) < 1.96, axis=0)
    assert covered == pytest.approx(0.95, abs=5 * math.sqrt(0.95 * 0.05 / len(fits)))
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


@pytest.mark.slow
def test_a_planted_symmetric_mixture_is_found_within_its_standard_errors():
    fits = fit_symmetric([draw(SIDES, 3000, seed) for seed in range(120)])
    for fit in fits:
        mixture = fit.mixture
        assert mixture.weight[0] == pytest.approx(mixture.weight[2], rel=1e-9)
        assert mixture.variance[0] == pytest.approx(mixture.variance[2], rel=1e-9)
        assert mixture.mean == pytest.approx([-mixture.mean[2], 0, mixture.mean[2]], rel=1e-9, abs=1e-9)
    expected = np.concatenate([SIDES.weight, SIDES.mean, SIDES.variance])
    free = [1, 5, 6, 8]  # the centre's weight, the sides' mean, both variances
    off = np.array([(numbers(fit) - expected)[free] / errors(fit)[free] for fit in fits])
    covered = np.mean(np.abs(off) < 1.96, axis=0)
    assert covered == pytest.approx(0.95, abs=0.1)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


def test_the_symmetric_mixture_is_the_best_of_its_kind():
    """Against a general-purpose optimiser on the plain log-likelihood."""
    from scipy.optimize import minimize

    x = draw(SIDES, 800, 1)

    def loss(at):
        centre, mu, log_0, log_1 = 1 / (1 + math.exp(-at[0])), *at[1:]
        side = (1 - centre) / 2
        mixture = Mixture(
            np.array([side, centre, side]), np.array([-mu, 0, mu]), np.exp(np.array([log_1, log_0, log_1]))
        )
        return -mixture.log_density(x).mean()

    best = min(
        minimize(loss, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-8, "fatol": 1e-12}).fun
        for start in ([0, 1.0, -1, -1], [1, 2.0, -1, -2], [-1, 0.5, 0, 0])
    )
    assert -fit_symmetric([x])[0].log_likelihood / len(x) == pytest.approx(best, abs=1e-9)


def test_a_side_is_never_below_the_centre():
    assert all(fit.mixture.mean[2] >= 0 for fit in fit_symmetric([draw(SIDES, 400, seed) for seed in range(10)]))


# Against scikit-learn.


@pytest.mark.slow
@pytest.mark.parametrize("components", [2, 3])
def test_the_likelihood_on_real_weights_is_that_of_scikit_learn(trained, components):
    """To 1e-6 per weight, where scikit-learn converges: the best of several of its starts, with a tight tolerance."""
    sklearn = pytest.importorskip("sklearn.mixture")
    for x, fits in zip(trained.values(), fit_mixtures(list(trained.values())), strict=True):
        z = ((x - x.mean()) / x.std())[:, None]
        theirs = max(
            sklearn.GaussianMixture(
                components, tol=1e-9, max_iter=3000, reg_covar=0, init_params=init, n_init=1, random_state=0
            )
            .fit(z)
            .score(z)
            for init in ("kmeans", "random_from_data")
        )
        ours = fits[components - 1].log_likelihood / len(x) + math.log(x.std())
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_at_its_default_tolerance_scikit_learn_stops_below_a_single_gaussian_and_this_does_not():
    """On nearly Gaussian weights: those the network began with."""
    sklearn = pytest.importorskip("sklearn.mixture")
    x = interp.open_run(SHIPPED)[0].weights["blocks.0.mlp.W_in"].double().numpy().ravel()
    z = ((x - x.mean()) / x.std())[:, None]
    single, double = fit_mixtures([z[:, 0]])[0][:2]
    assert double.log_likelihood >= single.log_likelihood
    assert sklearn.GaussianMixture(2, random_state=0).fit(z).score(z) * len(z) < single.log_likelihood


def test_the_likelihood_never_falls_with_another_component(trained):
    for fits in fit_mixtures(list(trained.values())):
        assert np.diff([fit.log_likelihood for fit in fits]).min() > -1e-6


def test_narrow_bins_cost_no_likelihood():
    """The same on five thousand values, where bins hold several, as with a bin for each."""
    x = draw(THREE, 5000, 3)
    coarse = fit_mixtures([x])[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixtures, "FINE", 60_000)
        exact = fit_mixtures([x])[0]
    for one, other in zip(coarse, exact, strict=True):
        assert one.log_likelihood / len(x) == pytest.approx(other.log_likelihood / len(x), abs=1e-7)


# Starts.


def test_a_warm_start_never_gives_less_and_from_the_answer_gives_the_answer(trained):
    samples = list(trained.values())
    cold = fit_mixtures(samples)
    again = fit_mixtures(samples, [[fit.mixture for fit in fits] for fits in cold])
    shifted = fit_mixtures(samples, [[fit.mixture for fit in fits] for fits in [*cold[1:], cold[0]]])
    for first, second, third in zip(cold, again, shifted, strict=True):
        for one, same, warm in zip(first, second, third, strict=True):
            assert same.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-6)
            assert warm.log_likelihood >= one.log_likelihood - 1e-6


@pytest.mark.slow
def test_neighbouring_checkpoints_give_the_same_answer_cold_and_warm():
    """Log-likelihoods of what BIC chooses within 0.005 nats per weight, and within 1e-6 in nine of ten."""
    run = interp.open_run(SHIPPED)
    names = [name for name, shape in run.architecture.shapes.items() if math.prod(shape) >= 1000]
    before: list = [[] for _ in names]
    apart = []
    for step in range(5400, 6200, 100):
        samples = [run[step].weights[name].double().numpy().ravel() for name in names]
        cold, warm = fit_mixtures(samples), fit_mixtures(samples, before)
        before = [[fit.mixture for fit in fits] for fits in warm]
        apart += [
            (chosen(one).log_likelihood - chosen(other).log_likelihood) / len(x)
            for one, other, x in zip(cold, warm, samples, strict=True)
            if chosen(one).parameters == chosen(other).parameters
        ]
    assert len(apart) > 0.95 * 8 * len(names)
    assert np.abs(apart).max() < 0.005
    assert np.mean(np.abs(apart) < 1e-6) > 0.9


def test_several_samples_together_are_fitted_as_each_alone(trained):
    samples = [*trained.values(), draw(TWO, 300, 0)]
    for together, sample in zip(fit_mixtures(samples), samples, strict=True):
        for one, other in zip(together, fit_mixtures([sample])[0], strict=True):
            np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-5, atol=1e-7)
    assert fit_mixtures([]) == []
    assert fit_symmetric([]) == []


# What does not matter.


@pytest.mark.parametrize("fit", [lambda x: chosen(fit_mixtures([x])[0]), lambda x: fit_symmetric([x])[0]])
def test_the_order_of_the_values_does_not_matter_and_the_unit_and_the_sign_only_rename(fit):
    x = draw(SIDES, 2000, 5)
    plain, shuffled = fit(x), fit(np.random.default_rng(0).permutation(x))
    np.testing.assert_allclose(numbers(shuffled), numbers(plain), rtol=1e-9)
    scaled, flipped = fit(1e-4 * x), fit(-x)
    np.testing.assert_allclose(scaled.mixture.weight, plain.mixture.weight, rtol=1e-5)
    np.testing.assert_allclose(scaled.mixture.mean, 1e-4 * plain.mixture.mean, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(scaled.mixture.variance, 1e-8 * plain.mixture.variance, rtol=1e-5)
    np.testing.assert_allclose(flipped.mixture.weight, plain.mixture.weight[::-1], rtol=1e-4)
    np.testing.assert_allclose(flipped.mixture.mean, -plain.mixture.mean[::-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(flipped.mixture.variance, plain.mixture.variance[::-1], rtol=1e-4)
    np.testing.assert_allclose(errors(scaled)[:3], errors(plain)[:3], rtol=1e-4)


# Clusters.


def test_a_cluster_of_equal_values_is_a_component_of_the_least_width_without_a_standard_error():
    x = np.concatenate([np.zeros(500), np.random.default_rng(0).normal(0, 1, 500)])
    best = chosen(fit_mixtures([x])[0])
    assert best.mixture.components == 2
    narrow = int(best.mixture.variance.argmin())
    assert best.mixture.variance[narrow] == pytest.approx((mixtures.NARROWEST * x.std()) ** 2)
    assert best.mixture.weight[narrow] == pytest.approx(0.5, abs=0.02)
    assert np.isnan(best.variance_se[narrow])
    assert np.isfinite(best.mean_se).all()


def test_a_component_s_mean_is_known_no_better_than_were_its_own_values_marked():
    """The information of values whose components are known is the most there can be: σ²/(n π) each."""
    for seed in range(5):
        fit = fit_mixtures([np.random.default_rng(seed).normal(0, 1, 5000)])[0][1]
        least = np.sqrt(fit.mixture.variance / (5000 * fit.mixture.weight))
        assert (np.isnan(fit.mean_se) | (fit.mean_se > 0.99 * least)).all()


def test_two_sides_have_their_standard_errors_where_there_is_no_centre():
    """σ²/2n of the variance's square is 2σ⁴/n; all n values tell of μ and of the one variance of both sides."""
    rng = np.random.default_rng(0)
    x = np.repeat([-1.0, 1.0], 500) + rng.normal(0, 0.1, 1000)
    (fit,) = fit_symmetric([x])
    assert fit.mixture.weight[1] < 1e-6
    assert fit.mean_se[2] == pytest.approx(0.1 / math.sqrt(1000), rel=0.1)
    assert fit.variance_se[2] == pytest.approx(0.01 * math.sqrt(2 / 1000), rel=0.15)
    assert np.isnan([fit.weight_se[1], fit.variance_se[1]]).all()
