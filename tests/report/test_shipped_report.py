"""The report on the run that ships, in Chromium: what is drawn is what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from opened_report import Report

import interp

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(interp.__file__).parent.parent
RUN = "modular_addition_small"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.DataTree]:
    """The report, and the results it shows."""
    run = interp.open_run(ROOT / "checkpoints" / RUN)
    path = interp.write_report(run, tmp_path_factory.mktemp("shipped") / "report.html")
    return path, interp.over_steps(["embedding_dft", "embedding_circle", "key_freqs"], run, steps=[1000, 9000])


def test_the_report_on_the_shipped_run_can_be_sent(written: tuple[Path, xr.DataTree]):
    assert written[0].stat().st_size < 8_000_000


def test_after_ten_arrow_presses_every_panel_shows_what_is_stored(browser: Browser, written: tuple[Path, xr.DataTree]):
    path, stored = written
    at = {name: node.to_dataset().sel(step=1000) for name, node in stored.children.items()}
    with Report(browser, path, "#step=0") as report:
        report.press(*["ArrowRight"] * 10)
        assert report.step == 1000

        def drawn(panel: str, path: str) -> np.ndarray:
            return np.array(report.shown(panel, path, RUN), dtype=float)

        spectrum, circle, neurons = at["embedding_dft"], at["embedding_circle"], at["key_freqs"]
        np.testing.assert_allclose(drawn("embedding_dft-1", "data[0].y"), spectrum.power[1:], rtol=1e-6)
        heatmap = report.shown("embedding_dft-3", "data[0].z.map((row) => Array.from(row))", RUN)
        half_a_level = (spectrum.coefficient.max() - spectrum.coefficient.min()) / 65534
        np.testing.assert_allclose(heatmap, spectrum.coefficient, atol=float(half_a_level))
        np.testing.assert_allclose(drawn("embedding_circle-0", "data[0].x"), circle.x[0], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(drawn("embedding_circle-0", "data[0].y"), circle.y[0], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(drawn("key_freqs-1", "data[0].y"), neurons.neurons[1:])
        for panel in ("loss-0", "loss-1", "embedding_dft-0", "key_freqs-0", "weight_norm-0"):
            assert report.cursor(panel, RUN) == 1000
