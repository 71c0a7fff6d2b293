"""What is made of the results over a sweep: points with their rank correlation, a paper's numbers, recorded classes."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from interp.errors import InterpError, NothingToSay
from interp.findings import Claim, recompute
from interp.recipes.asks import ask
from interp.results import account
from interp.results.account import Silent
from interp.results.of_members import OfMembers, answers
from tests.test_every_sentence import FORM

PAIR = "explorables/data__hypers_sparse_parity_v4_even.csv"
SETTINGS = {"n_train": "train_size", "widths": "hidden_size", "weight_decay": "weight_decay"}
CLASSES = {
    "high train loss": "minTrainLoss > 1e-5",
    "high test loss": "minEvalLoss > 1e-5",
    "together": "maxRatio < 50_000",
    "grokking": "otherwise",
}


def planted(seeds: int = 6) -> OfMembers:
    """Times that fall with the decay, but where they were not reached, and a word for what became of each run."""
    axes = {"weight_decay": [0.1, 0.3, 1], "seed": list(range(seeds))}
    times = np.array([900.0, 300, 100])[:, None] + np.random.default_rng(0).normal(0, 60, (3, seeds))
    times[0, 0] = np.nan
    words = np.where(times > 500, "late", np.where(times > 200, "soon", "at once"))
    words[0, 0] = ""
    dims = tuple(axes)
    result = xr.Dataset({"time": (dims, times, {"units": "steps"}), "word": (dims, words)}, axes)
    return OfMembers(axes, {"mine": result})


def said(measure: str, results: OfMembers, **options) -> xr.Dataset:
    """The answer, all of whose sentences are held against the arrays."""
    (found,) = answers([ask(measure, options)], results.found, results.axes).values()
    assert isinstance(found, xr.Dataset), found
    titles = {panel.draw().title for panel in account.panels(measure, found)}
    for finding in account.findings(measure, found):
        for name, claim in finding.claims.items():
            assert recompute(Claim.of(json.loads(json.dumps(claim.plain()))), found) == claim.value, name
            assert claim.panel in titles
        assert not [rule for rule, pattern in FORM.items() if re.search(pattern, finding.text)], finding.text
    return found


# Scatter.


def test_points_are_the_runs_that_have_both_numbers_and_rho_is_scipy_s():
    results = planted()
    found = said("scatter", results, x="weight_decay", y="mine.time", colour="mine.word")
    decays, times = (results.of(name).values.ravel() for name in ("weight_decay", "mine.time"))
    known = np.isfinite(times)
    assert sorted(zip(found.x.values, found.y.values, strict=True)) == sorted(
        zip(decays[known], times[known], strict=True)
    )
    assert float(found.spearman) == pytest.approx(scipy.stats.spearmanr(decays[known], times[known])[0])
    assert found.spearman_low < found.spearman < found.spearman_high < 0
    (told,) = account.findings("scatter", found)
    assert "17 of 18 runs" in told.text
    assert told.text.endswith("the larger the one, the smaller the other.")


def test_each_word_has_a_colour_and_a_place_in_the_legend():
    found = said("scatter", planted(), x="weight_decay", y="mine.time", colour="mine.word")
    (panel,) = account.panels("scatter", found)
    traces = {trace["name"]: trace for trace in panel.draw().figure["data"]}
    assert set(traces) == {"late", "soon", "at once"}
    assert set(traces["late"]["x"]) == {0.1}
    assert all(text.startswith("weight_decay=") for text in traces["at once"]["hovertext"])
    assert len({trace["marker"]["color"] for trace in traces.values()}) == 3


def test_many_numbers_lie_on_a_scale_of_colours():
    found = said("scatter", planted(), x="weight_decay", y="mine.time", colour="mine.time")
    (trace,) = account.panels("scatter", found)[0].draw().figure["data"]
    np.testing.assert_array_equal(trace["marker"]["color"], found.y.values)


def test_what_spans_decades_lies_on_a_logarithmic_axis():
    results = planted()
    results.found["mine"]["time"] = abs(results.found["mine"].time) ** 3
    found = said("scatter", results, x="mine.time", y="weight_decay")
    layout = account.panels("scatter", found)[0].draw().figure["layout"]
    assert (layout["xaxis"]["type"], "type" in layout["yaxis"]) == ("log", False)
    other = said("scatter", results, x="weight_decay", y="mine.time")
    layout = account.panels("scatter", other)[0].draw().figure["layout"]
    assert (layout["yaxis"]["type"], "type" in layout["xaxis"]) == ("log", False)


def test_two_runs_have_points_and_no_order():
    few = planted(1)
    found = said("scatter", few, x="weight_decay", y="mine.time")
    (told,) = account.findings("scatter", found)
    assert told.text.startswith("2 of 3 runs have both weight decay and")


# A paper's table.


def test_numbers_beside_the_paper_s_are_those_of_the_chosen_runs():
    results = planted()
    times = results.found["mine"].time.values
    rows = {
        "at once": {"paper": 7, "take": "count", "of": "mine.word", "is": "at once", "why": "other seeds"},
        "late": {"paper": 0.5, "take": "share", "of": "mine.word", "is": "late"},
        "steps": {"paper": 300, "take": "median", "of": "mine.time", "at": {"weight_decay": [0.3, 1]}},
        "mean": {"paper": "about 100", "take": "mean", "of": "mine.time", "at": {"weight_decay": 1}},
        "order": {"paper": -0.8, "take": "correlation", "of": "mine.time", "with": "weight_decay", "verdict": "holds"},
        "on images": {"paper": 0.9, "verdict": "not tried"},
    }
    found = said("paper_table", results, rows=rows)
    here = dict(zip(found.row.values.tolist(), found.here.values.tolist(), strict=True))
    assert here["at once"] == 6
    assert here["late"] == 5 / 17
    assert here["steps"] == np.median(times[1:])
    assert here["mean"] == pytest.approx(times[2].mean())
    assert here["order"] == pytest.approx(scipy.stats.spearmanr(*_known(results))[0])
    low, high = scipy.stats.t.interval(0.95, 5, times[2].mean(), scipy.stats.sem(times[2]))
    assert (float(found.low[3]), float(found.high[3])) == pytest.approx((low, high))
    (table,) = account.panels("paper_table", found)
    cells = {head: column.values.tolist() for head, column in table.columns.items()}
    assert cells["paper"] == ["7", "50.0%", "300", "about 100", "−0.8", "0.9"]
    assert cells["runs"] == ["17 of 18", "17 of 18", "12 of 12", "6 of 6", "17 of 18", ""]
    assert cells["verdict"] == ["", "", "", "", "holds", "not tried"]
    assert (cells["here"][-1], cells["95% interval over the runs"][-1]) == ("", "")
    assert cells["why it differs"][0] == "other seeds"


def _known(results: OfMembers) -> tuple[np.ndarray, np.ndarray]:
    times = results.of("mine.time").values.ravel()
    known = np.isfinite(times)
    return results.of("weight_decay").values.ravel()[known], times[known]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"take": "count", "of": "mine.word", "is": "late"}, "rows.it: what the paper says is missing"),
        ({"paper": 1, "take": "medan", "of": "mine.time"}, "did you mean 'median'"),
        ({"paper": 1, "take": "median", "of": "mine.word"}, "rows.it: mine.word is a word"),
        ({"paper": 1, "take": "count", "of": "mine.word"}, "rows.it: count needs 'is'"),
        ({"paper": 1, "take": "median", "of": "mine.time", "is": "late"}, "rows.it: median has no 'is'"),
        ({"paper": 1, "take": "median", "of": "mine.tme"}, "rows.it: 'mine.tme' is neither"),
        ({"paper": 1, "take": "median", "of": "mine.time", "at": {"weight_decay": 2}}, "weight_decay has no 2"),
        ({"paper": 1, "take": "median", "of": "mine.time", "verdict": "hold"}, "did you mean 'holds'.*or holds under"),
        ({"paper": 1, "take": "median", "of": "mine.time", "verdict": "not tried"}, "so leave out take and of"),
    ],
)
def test_a_row_that_cannot_be_is_refused(row, message):
    with pytest.raises(InterpError, match=message):
        said("paper_table", planted(), rows={"it": row})


# Recorded classes.


def of_classes(runs: dict[tuple[str, ...], list[str]], axes: dict[str, list]) -> OfMembers:
    """A sweep of these classes by setting, along a further axis of seeds."""
    most = max(map(len, runs.values()))
    words = np.full((*map(len, axes.values()), most), "", dtype="<U20")
    for place, setting in zip(np.ndindex(words.shape[:-1]), _settings(axes), strict=True):
        own = runs.get(setting, [])
        words[place][: len(own)] = own
    all_axes = {**axes, "seed": list(range(most))}
    return OfMembers(all_axes, {"outcome": xr.Dataset({"loss_class": (tuple(all_axes), words)}, all_axes)})


def _settings(axes: dict[str, list]):
    import itertools

    return itertools.product(*([str(label) for label in labels] for labels in axes.values()))


def test_the_overlap_is_that_of_the_shares_weighted_by_recorded_runs(tmp_path: Path):
    """Setting 1: shares 1/2, 1/2 against 1/4, 3/4, overlap 3/4, four rows; setting 2: none in common, two rows."""
    (tmp_path / "table.csv").write_text("decay,kind\n1.0,a\n1.0,b\n1.0,b\n1.0,b\n2,c\n2,c\n3,a\n")
    results = of_classes({("1",): ["a", "b"], ("2",): ["a"]}, {"weight_decay": [1, 2, 4]})
    options = {"of": "outcome.loss_class", "settings": {"weight_decay": "decay"}, "classes": "kind"}
    found = said("recorded_classes", results, table=str(tmp_path / "table.csv"), **options)
    assert float(found.overlap) == (4 * 0.75 + 2 * 0) / 6
    assert (int(found.rows), int(found.rows_without)) == (7, 1)
    assert dict(zip(found.word.values.tolist(), found.recorded.values.tolist(), strict=True)) == {
        "a": 1,
        "b": 3,
        "c": 2,
    }
    (told,) = account.findings("recorded_classes", found)
    assert "overlap by 50.0% with those of 7 recorded runs, over 2 settings" in told.text


def test_without_the_table_the_report_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("INTERP_REFERENCE", raising=False)
    results = of_classes({("1",): ["a", "b"]}, {"weight_decay": [1]})
    options = {"of": "outcome.loss_class", "settings": {"weight_decay": "decay"}, "classes": "kind"}
    (found,) = answers(
        [ask("recorded_classes", {"table": "$INTERP_REFERENCE/table.csv", **options})], results.found, results.axes
    ).values()
    assert isinstance(found, Silent)
    assert "was not computed: the environment variable INTERP_REFERENCE" in found.reason


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"settings": {"decay": "decay"}}, "no axis 'decay'"),
        ({"settings": {"weight_decay": "dcay"}}, "no column 'dcay'; did you mean 'decay'"),
        ({"classes": {"a": "decay is large"}}, "classes.a is 'decay is large'; expected a comparison"),
        ({"classes": {"a": "kind > 1"}}, "table.csv:2: kind is 'a'; expected a number"),
        ({"classes": {"a": "decay > 5"}}, "let one be otherwise"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, changed, message):
    (tmp_path / "table.csv").write_text("decay,kind\n1.0,a\n")
    results = of_classes({("1",): ["a", "b"]}, {"weight_decay": [1]})
    options = {"of": "outcome.loss_class", "settings": {"weight_decay": "decay"}, "classes": "kind"} | changed
    with pytest.raises(InterpError, match=message):
        said("recorded_classes", results, table=str(tmp_path / "table.csv"), **options)


def recorded_pair(reference: Path) -> tuple[dict[tuple[str, ...], list[str]], dict[str, list]]:
    """The classes of PAIR's recorded runs by setting, and the axes of its sweep: read by plain Python."""
    found = defaultdict(list)
    with open(reference / PAIR, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            train, test, ratio = (float(row[name]) for name in ("minTrainLoss", "minEvalLoss", "maxRatio"))
            late = "together" if ratio < 50_000 else "grokking"
            word = "high train loss" if train > 1e-5 else "high test loss" if test > 1e-5 else late
            found[row["train_size"], row["hidden_size"], row["weight_decay"]].append(word)
    axes = {
        "n_train": [750, 1000, 1250, 1500, 1750],
        "widths": ["16", "32", "64", "128", "258"],
        "weight_decay": [0.01, 0.03, 0.1, 0.3, 1],
    }
    return {(a, b, f"{float(c):g}"): words for (a, b, c), words in found.items()}, axes


def test_pair_s_recorded_runs_overlap_wholly_with_themselves_and_by_091_by_halves(reference: Path):
    runs, axes = recorded_pair(reference)
    assert Counter(word for words in runs.values() for word in words) == {
        "grokking": 227,
        "high test loss": 197,
        "high train loss": 71,
        "together": 68,
    }
    options = {"of": "outcome.loss_class", "table": f"$INTERP_REFERENCE/{PAIR}", "settings": SETTINGS}
    found = said("recorded_classes", of_classes(runs, axes), classes=CLASSES, **options)
    assert float(found.overlap) == pytest.approx(1)
    assert (found.sizes["setting"], int(found.rows)) == (125, 563)
    assert float(found.halves) == pytest.approx(0.91, abs=0.01)
    np.testing.assert_array_equal(found.here, found.recorded)


def test_nothing_is_said_where_no_setting_is_shared(tmp_path: Path):
    from interp.measures.recorded_classes import recorded_classes

    (tmp_path / "table.csv").write_text("decay,kind\n9,a\n")
    results = of_classes({("1",): ["a", "b"]}, {"weight_decay": [1]})
    with pytest.raises(NothingToSay, match="no run here with a class has the setting"):
        recorded_classes(results, "outcome.loss_class", str(tmp_path / "table.csv"), {"weight_decay": "decay"}, "kind")


def test_the_analysis_of_pair_is_found_by_name_and_fits_the_sweep_that_ships():
    from interp.catalogue.source_code import PACKAGE
    from interp.recipes import analysis_recipe, shipped
    from interp.recipes.grid import read_grid
    from interp.results.of_members import check

    found = shipped.locate(Path("pair"))
    assert found == shipped.locate(Path("papers/pair"))
    assert "papers/pair" in shipped.titles()
    sweep = PACKAGE.parent / "checkpoints" / "sparse_parity_sweep"
    from interp.recipes.run_paths import Source

    analysis = analysis_recipe.read(found, instead=[Source(sweep)])
    grid = read_grid(sweep / "run.yaml")
    check(analysis.asks, {axis.name: axis.labels for axis in grid.axes})
    totals = next(one for one in analysis.asks if one.measure == "paper_table").options["rows"]
    assert {name: row["paper"] for name, row in totals.items()} == {
        "grokking": 435,
        "high test loss": 390,
        "high train loss": 152,
        "together": 148,
    }
    assert shipped.as_written(found) == "analyses/papers/pair.yaml"


@pytest.mark.slow
def test_the_analyses_of_papers_ask_for_what_their_sweeps_have(monkeypatch):
    from interp.catalogue.source_code import PACKAGE
    from interp.recipes import analysis_recipe
    from interp.recipes.grid import read_grid
    from interp.results.of_members import check

    monkeypatch.chdir(PACKAGE.parent)
    paths = sorted(Path("analyses/papers").glob("*.yaml"))
    assert paths
    for path in paths:
        analysis = analysis_recipe.read(path)
        grids = [read_grid(source.path / "run.yaml") for source in analysis.sources]
        axes = [{axis.name: axis.labels for axis in grid.axes} for grid in grids if grid is not None]
        for grid in grids:
            if grid is not None:
                grid.check()
        check(analysis.asks, *axes)
