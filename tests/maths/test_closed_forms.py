"""Against cubes of logits written out with NumPy."""

import numpy as np
import pytest
import torch

from interp.maths import closed_forms


def cubes(n, freq, shift=0, sign=1):
    """cos w(s - c), and the same times |cos(w(d - shift)/2)|, over (a, b, c)."""
    a, b, c = np.meshgrid(*[np.arange(n)] * 3, indexing="ij")
    w = 2 * np.pi * freq / n
    clock = np.cos(w * (a + sign * b - c))
    return clock, np.abs(np.cos(w * (a - sign * b - shift) / 2)) * clock


def pairs(n, sign=1):
    a, b = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    return (a + sign * b) % n, (a - sign * b) % n


def profile_of(cube, sign=1):
    return closed_forms.profile(torch.as_tensor(cube), *pairs(len(cube), sign))


@pytest.mark.parametrize("n", [7, 12])
@pytest.mark.parametrize("sign", [1, -1])
def test_each_form_is_found_at_its_frequency_with_its_amplitude_and_explains_itself(n, sign):
    clock, pizza = (sum(size * cubes(n, freq, sign=sign)[which] for freq, size in ((2, 3.0), (n // 2, 0.5)))
                    for which in (0, 1))  # fmt: skip
    for cube, fit in ((clock, closed_forms.clock), (pizza, closed_forms.pizza)):
        found = fit(profile_of(cube, sign))
        assert float(found.explained.sum()) == pytest.approx(float((cube**2).sum()))
        rebuilt = closed_forms.logits(found.amplitude, *pairs(n, sign))
        np.testing.assert_allclose(rebuilt.numpy(), cube, atol=1e-12)


@pytest.mark.parametrize("n", [7, 12])
def test_what_a_form_explains_is_what_least_squares_leaves_out(n):
    generator = np.random.default_rng(0)
    planted = 2 * cubes(n, 1)[0] + cubes(n, 1)[1] + 1.5 * cubes(n, 3)[1] + 0.7 * cubes(n, 3)[0]
    cube = planted + 0.3 * generator.normal(size=(n, n, n))
    for freq in (1, 3):
        forms = np.stack([form.ravel() for form in cubes(n, freq)], axis=1)
        coefficients, *_ = np.linalg.lstsq(forms, cube.ravel(), rcond=None)
        assert (coefficients > 0).all()
        found = closed_forms.both(profile_of(cube))
        assert float(found.explained[freq - 1]) == pytest.approx(np.sum((forms @ coefficients) ** 2))


@pytest.mark.parametrize("n", [11, 12])
def test_a_shifted_pizza_is_a_pizza(n):
    for shift in (0, 3, n - 1):
        cube = cubes(n, 1, shift)[1]
        found = closed_forms.both(profile_of(cube))
        assert float(found.clock_share) == pytest.approx(0, abs=1e-12)
        assert float(found.explained[0]) == pytest.approx(float((cube**2).sum()))


def test_the_share_of_the_clock_is_monotone_in_what_was_planted_from_0_to_1():
    n = 11
    shares = []
    for beta in np.linspace(0, 1, 11):
        cube = sum(
            size * (beta * clock + (1 - beta) * pizza)
            for size, (clock, pizza) in ((3.0, cubes(n, 2)), (2.0, cubes(n, 5)))
        )
        shares.append(float(closed_forms.both(profile_of(cube)).clock_share))
    assert shares[0] == pytest.approx(0, abs=1e-12)
    assert shares[-1] == pytest.approx(1, abs=1e-12)
    assert (np.diff(shares) > 0.005).all()


def test_the_share_of_the_clock_is_its_power_over_that_of_both():
    clock, pizza = cubes(11, 2)
    found = closed_forms.both(profile_of(0.6 * clock + 0.4 * pizza))
    powers = [np.sum((0.6 * clock) ** 2), np.sum((0.4 * pizza) ** 2)]
    assert float(found.clock_share) == pytest.approx(powers[0] / sum(powers))


def test_a_clock_and_a_pizza_explain_81_percent_of_each_other():
    clock, pizza = cubes(101, 7)  # <1, |cos|>² / (‖1‖² ‖cos‖²) = (2/π)² · 2
    for cube, fit in ((clock, closed_forms.pizza), (pizza, closed_forms.clock)):
        explained = float(fit(profile_of(cube)).explained.sum() / (cube**2).sum())
        assert explained == pytest.approx(8 / np.pi**2, abs=1e-3)


def test_equal_halves_explain_an_even_mixture_and_neither_form_does():
    clock, pizza = cubes(11, 2)
    cube = clock / np.linalg.norm(clock) + pizza / np.linalg.norm(pizza)
    total = float((cube**2).sum())
    assert float(closed_forms.halves(profile_of(cube)).explained.sum()) == pytest.approx(total)
    assert float(closed_forms.clock(profile_of(cube)).explained.sum()) < 0.96 * total
    assert float(closed_forms.pizza(profile_of(cube)).explained.sum()) < 0.96 * total


def test_logits_that_speak_against_the_answer_are_no_form():
    clock, pizza = cubes(11, 2)
    for fit in (closed_forms.clock, closed_forms.pizza, closed_forms.halves, closed_forms.both):
        found = fit(profile_of(-clock - pizza))
        assert float(found.explained.sum()) == pytest.approx(0, abs=1e-9)
        assert float(found.amplitude.abs().max()) == pytest.approx(0, abs=1e-12)
