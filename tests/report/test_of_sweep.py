"""The page of a sweep: its sentences count the runs, its table leads to their reports, its panels hold all of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import xarray as xr

import interp
from interp.findings import Claim, Finding, recompute
from interp.recipes import analysis_recipe
from interp.report import write
from interp.report.content import Page
from interp.report.over_runs import over_the_runs
from interp.report.tables import tables
from interp.report.word_shares import findings, settings_table, word_shares
from interp.summaries import number
from tests.checkpoints.test_sweep import RECIPE, plant

SEEDS = range(3)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """The page of a sweep of six, of which one has a report of its own."""
    folder = tmp_path / "sweep"
    for seed in SEEDS:
        for decay in ("0.1", "1"):
            plant(folder / f"seed={seed},weight_decay={decay}", seed, decay, "x+y")
    grid = "grid: {training.seed: 0..2, training.optimiser.adamw.weight_decay: [0.1, 1]}\n"
    recipe = RECIPE.replace("OPERATION", "x+y").replace("DECAY", "1").replace("SEED", "0")
    (folder / "run.yaml").write_text(recipe + grid)
    (tmp_path / "analysis.yaml").write_text(f"runs: [{folder}]\nmeasures: [loss, weight_norm]\n")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "analysis-seed=1,weight_decay=1.html").touch()
    monkeypatch.chdir(tmp_path)
    analysis = analysis_recipe.read(Path("analysis.yaml"))
    return write.report(analysis, [interp.open_run(folder)], Path("reports/page.html"))


def test_a_run_that_has_a_report_leads_to_it_and_another_says_what_writes_one(page: Page):
    *_, runs = page.runs[0].sections
    (table,) = tables(runs.panels[0])
    assert len(table.rows) == 6
    place = table.heads.index("what writes its own report")
    for row in table.rows:
        if row.cells[0] == "seed=1,weight_decay=1":
            assert row.link == "analysis-seed=1,weight_decay=1.html"
            assert row.cells[place] == ""
        else:
            assert row.link == ""
            assert re.fullmatch(rf"interp run analysis.yaml --run '?\S*{re.escape(row.cells[0])}'?", row.cells[place])


def test_a_curve_over_training_is_that_of_all_runs(page: Page):
    norms = next(section for section in page.runs[0].sections if section.label == "weight_norm")
    (values,) = (one.values for one in norms.variables if one.name == "total")
    drawn = next(panel for panel in norms.panels if panel.time_axis)
    faint = np.concatenate([np.asarray(trace["y"], float) for trace in drawn.figure["data"] if trace.get("opacity")])
    assert np.sort(faint[np.isfinite(faint)]) == pytest.approx(np.sort(values.ravel()))


def test_what_is_the_same_everywhere_is_told_and_not_drawn(page: Page):
    losses = next(section for section in page.runs[0].sections if section.label == "loss")
    (luck,) = (one for one in losses.variables if one.name == "test_luck")
    (value,) = np.unique(luck.values)
    title = luck.long_name.partition(";")[0]
    assert title not in [panel.title for panel in losses.panels]
    assert f"{title}: {number(float(value), 4)} in every run, at every step." in losses.note


def words(counts: dict[str, int]) -> xr.Dataset:
    listed = [word for word, count in counts.items() for _ in range(count)]
    array = xr.DataArray(np.array(listed).reshape(5, -1), dims=("a", "seed"), attrs={"long_name": "Verdict; of it all"})
    return xr.Dataset({"verdict": array})


def test_a_share_is_told_with_wilson_s_interval():
    counted = word_shares(words({"grokked": 45, "memorised": 5}).verdict, ("a", "seed"))
    assert counted is not None
    share, of_axis = findings(counted)
    assert share.text == (
        "Verdict, of 50 runs: grokked in 45, 90% (79% to 96%) and memorised in 5, 10% (4% to 21%) "
        "(95% intervals over the runs)."
    )

    assert of_axis.text == (
        "Of verdict, no share differs along an axis by more than it may by chance in 50 runs (by 50% at most)."
    )
    claimed_again(counted, [share, of_axis])


def test_of_a_sweep_along_one_axis_each_label_has_one_run():
    array = xr.DataArray(["late", "soon", "", "soon"], {"decay": [1, 2, 3, 4]}, ("decay",), name="kind")
    counted = word_shares(array.assign_attrs(long_name="Kind"), ("decay",))
    assert counted is not None
    assert counted["kind_runs_at"].values.tolist() == [1, 1, 0, 1]
    assert counted["kind_count_at"].sel(kind_word="soon").values.tolist() == [0, 1, 0, 1]


def claimed_again(counted: xr.Dataset, found: list[Finding]) -> None:
    for finding in found:
        assert finding.claims
        for name, claim in finding.claims.items():
            assert recompute(Claim.of(json.loads(json.dumps(claim.plain()))), counted) == claim.value, name


def test_along_which_axis_a_share_changes_most_is_told_with_its_interval():
    """Of 4 x 5 x 20 runs, those of the larger decay are late, whatever the width: 0 and all of 80, 160 in all."""
    rng = np.random.default_rng(0)
    late = np.zeros((4, 5, 20), bool)
    late[2:] = True
    late ^= rng.random(late.shape) < 0.1
    axes = {"decay": [0.1, 0.3, 1, 3], "width": [1, 2, 3, 4, 5], "seed": range(20)}
    array = xr.DataArray(np.where(late, "late", "soon"), axes, tuple(axes), name="kind", attrs={"long_name": "Kind"})
    counted = word_shares(array, tuple(axes))
    assert counted is not None
    share, of_axis = findings(counted)
    claimed_again(counted, [share, of_axis])
    assert "changes most along decay" in of_axis.text
    assert of_axis.claims["gap_low"].value < of_axis.claims["gap"].value < of_axis.claims["gap_high"].value
    by_hand = {label: late[place].mean() for place, label in enumerate(axes["decay"])}
    assert of_axis.claims["gap"].value == pytest.approx(max(by_hand.values()) - min(by_hand.values()))
    table = settings_table(counted)
    assert table is not None
    cells = dict(zip(table.columns["late"].setting.values, table.columns["late"].values, strict=True))
    assert len(cells) == 9
    assert cells["decay 3"].endswith(f"({late[3].sum()} of 100)")


def test_where_chance_tells_the_shares_apart_no_axis_is_named():
    """In 40 sweeps of pure chance an axis is named in two or three, as the interval for all at once says."""
    rng = np.random.default_rng(0)
    axes = {"decay": [1, 2, 3], "width": [1, 2], "seed": range(10)}
    named = 0
    for _ in range(40):
        array = xr.DataArray(np.where(rng.random((3, 2, 10)) < 0.5, "a", "b"), axes, tuple(axes), name="kind")
        counted = word_shares(array, tuple(axes))
        assert counted is not None
        share, of_axis = findings(counted)
        claimed_again(counted, [share, of_axis])
        named += "changes most along" in of_axis.text
        assert "changes most along" in of_axis.text or "no share differs along an axis" in of_axis.text
    assert named <= 5


def test_numbers_of_the_runs_are_told_by_their_median():
    values = np.array([[3.0, 1, np.nan, 2], [9, 7, 5, 8]])
    array = xr.DataArray(values, dims=("a", "seed"), attrs={"long_name": "Delay; as long as it is"})
    panel = over_the_runs({"delay": array})
    assert panel is not None
    row = {head: str(column.values[0]) for head, column in panel.columns.items()}
    assert row["runs with a number"] == "7 of 8"
    assert row["median"] == "5"
    assert (row["lowest"], row["highest"]) == ("1", "9")
    assert row["95% interval of the median"] == "1 to 9"
    assert Counter(panel.columns["median"].coords["number"].values) == {"Delay": 1}


def test_two_numbers_of_one_title_are_told_apart_by_their_names():
    array = xr.DataArray(np.array([1.0, 2]), dims="seed", attrs={"long_name": "Last step before it"})
    panel = over_the_runs({"train_not_yet": array, "test_not_yet": (array + 1).assign_attrs(array.attrs)})
    assert panel is not None
    told = dict(zip(panel.columns["median"].coords["number"].values, panel.columns["median"].values, strict=True))
    assert told == {"Last step before it (train_not_yet)": "1.5", "Last step before it (test_not_yet)": "2.5"}


def test_a_number_goes_with_the_setting_that_orders_the_runs():
    rng = np.random.default_rng(0)
    axes = {"decay": [0.1, 0.3, 1.0], "width": [1, 2], "seed": range(8)}
    values = 100 / np.array(axes["decay"])[:, None, None] + rng.normal(0, 20, (3, 2, 8))
    array = xr.DataArray(values, axes, tuple(axes), attrs={"long_name": "Delay"})
    panel = over_the_runs({"delay": array})
    assert panel is not None
    (told,) = panel.columns["goes most with (Spearman's ρ, 95% interval)"].values
    rho = scipy.stats.spearmanr(np.repeat(axes["decay"], 16), values.ravel())[0]
    assert told.startswith(f"decay: −{abs(rho):.2f}".rstrip("0"))
