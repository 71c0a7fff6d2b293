"""Numbers are kept so far that none of them is written otherwise, and no further where that costs room."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from interp.maths.four_digits import to_four_digits


def written(values: np.ndarray) -> list[str]:
    return [f"{value:.4g}" for value in values.ravel().tolist()]


@pytest.mark.parametrize("scale", [(-30, 30), (-320, 300)], ids=["float32's range", "beyond it"])
def test_every_number_is_written_as_before(scale: tuple[int, int]):
    rng = np.random.default_rng(0)
    values = rng.choice([-1.0, 1.0], 20_000) * 10 ** rng.uniform(*scale, 20_000)
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1e-310, np.finfo(float).max]
    values[: len(special)] = special if scale[1] > 30 else [*special[:5], 1.0, 2.0, 3.0]
    kept = to_four_digits(values)
    assert kept.dtype == (np.float32 if scale[1] == 30 else np.float64)
    assert written(kept) == written(values)


@pytest.mark.slow
def test_numbers_halfway_between_two_of_four_digits_go_the_same_way():
    # the decimal halves are not binary numbers: each lies a little to one side, and has to stay there
    halves = (np.arange(10_000, 100_000) + 0.5) / 1e5
    near = np.concatenate([np.nextafter(halves, 0), halves, np.nextafter(halves, 1)])
    assert written(to_four_digits(near)) == written(near)


def test_many_different_numbers_take_little_more_than_two_bytes_and_few_keep_a_float32():
    values = np.random.default_rng(1).lognormal(size=50_000)
    planes = to_four_digits(values).view(np.uint8).reshape(-1, 4).T.tobytes()  # as HDF5's shuffle lays them
    assert len(zlib.compress(planes, 9)) < 2.25 * len(values)
    shares = np.arange(1_251) / 1_250
    np.testing.assert_allclose(to_four_digits(shares), shares, rtol=2.0**-23)
