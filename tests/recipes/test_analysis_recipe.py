from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interp.checkpoints.opening import open_runs
from interp.errors import InterpError
from interp.recipes import analysis_recipe

GOOD = """\
title: A question?
runs: [checkpoints/one]
measures: [loss, {embedding_circle: {count: 2}}]
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read a text as an analysis, where the runs checkpoints/one and x lie."""
    monkeypatch.chdir(tmp_path)
    for run in ("checkpoints/one", "x"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "run.yaml").touch()

    def make(text, *overrides, source=None):
        path = tmp_path / "question.yaml"
        path.write_text(text)
        return analysis_recipe.read(path, overrides, [source] if source else ())

    return make


def asked(found):
    return [(ask.label, ask.measure, ask.options, ask.steps) for ask in found.asks]


def test_an_analysis_is_read_with_its_defaults_filled_in(read):
    found = read(GOOD)
    assert (found.title, found.text, found.steps) == ("A question?", "", "all")
    assert found.sources == (analysis_recipe.Source(Path("checkpoints/one")),)
    assert asked(found) == [
        ("loss", "loss", {}, None),
        ("embedding_circle", "embedding_circle", {"count": 2, "freqs": None}, None),
    ]


def test_without_a_title_it_is_called_as_its_file(read):
    assert read(GOOD.replace("title: A question?", "")).title == "question"


def test_an_empty_text_is_empty(read):
    assert read(GOOD + "text:\n").text == ""


def test_a_measure_may_stand_twice_under_labels_of_its_own_and_have_steps_of_its_own(read):
    found = read(
        "runs: [x]\n"
        "measures:\n"
        "  - embedding_circle\n"
        "  - {early: {measure: embedding_circle, freqs: [1, 2], steps: {every: 500}}}\n"
    )
    assert asked(found)[0][:2] == ("embedding_circle", "embedding_circle")
    assert asked(found)[1] == ("early", "embedding_circle", {"count": 4, "freqs": [1, 2]}, {"every": 500})


def test_every_mistake_is_told_at_once_with_its_line(mistakes):
    found = mistakes(
        "titel: x\n"
        "runs:\n"
        "  - checkpoints/one\n"
        "  - 3\n"
        "  - nowhere/*/at_all\n"
        "steps: {evry: 5}\n"
        "measures:\n"
        "  - los\n"
        "  - loss\n"
        "  - embedding_circle:\n"
        "      cuont: 3\n"
        "      freqs: many\n"
        "  - loss\n"
        "  - 7\n"
        "  - late: {measure: key_freqz}\n"
        "  - weight_norm: {steps: 0}\n"
    )
    assert set(found) == {1, 4, 5, 6, 8, 11, 12, 13, 14, 15, 16}
    assert "did you mean 'title'" in found[1][0]
    assert "no run matches nowhere" in found[5][0]
    assert "did you mean 'every'" in found[6][0]
    assert "no measure 'los'; did you mean 'loss'" in found[8][0]
    assert "did you mean 'count'" in found[11][0]
    assert "'many'" in found[12][0]
    assert "'loss' stands twice" in found[13][0]
    assert "did you mean 'key_freqs'" in found[15][0]


@pytest.mark.parametrize("measures", ["", "measures: loss\n", "measures: []\n"])
def test_an_analysis_without_measures_is_told_so_with_its_other_mistakes(mistakes, measures):
    told = [message for messages in mistakes("steps: none\n" + measures).values() for message in messages]
    assert any("needs 'measures'" in message for message in told)
    assert any("needs 'runs'" in message for message in told)
    assert any(message.startswith("steps is") for message in told)


@pytest.mark.parametrize("label", ["a/b", "../../elsewhere", "", ".", "a b/"])
def test_a_label_that_cannot_be_a_file_s_name_is_refused(mistakes, label):
    found = mistakes(f"runs: [x]\nmeasures:\n  - {{'{label}': {{measure: loss}}}}\n")
    assert set(found) == {3}


# --set


def test_set_changes_options_of_one_measure_by_its_label(read):
    text = "runs: [x]\nmeasures: [embedding_circle, {other: {measure: embedding_circle, count: 2}}]\n"
    found = read(text, "other.count=3", "embedding_circle.freqs=[1, 5]", "other.steps=all")
    assert asked(found) == [
        ("embedding_circle", "embedding_circle", {"count": 4, "freqs": [1, 5]}, None),
        ("other", "embedding_circle", {"count": 3, "freqs": None}, "all"),
    ]


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("embedding_circle.count", "not of the form"),
        ("count=3", "not of the form"),
        ("embeding_circle.count=3", "did you mean 'embedding_circle'"),
        ("embedding_circle.cuont=3", "did you mean 'count'"),
        ("embedding_circle.count=many", "'many'"),
        ("embedding_circle.count=[", "not a value in YAML"),
    ],
)
def test_what_set_cannot_do_is_one_line(read, assignment, said):
    with pytest.raises(InterpError) as refused:
        read(GOOD, assignment)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


# Runs.


def test_globs_and_variables_are_expanded_in_order(read, tmp_path, monkeypatch):
    for name in ("b", "a", "c.txt"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.yaml").touch()
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    found = read("runs: ['$SOMEWHERE/runs/?', '${SOMEWHERE}/runs/c.txt']\nmeasures: [loss]\n")
    assert [source.path for source in found.sources] == [tmp_path / "runs" / name for name in ("a", "b", "c.txt")]


def test_a_variable_that_is_not_set_is_named(mistakes, monkeypatch):
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    for path in ("$NOT_SET_ANYWHERE/run", "$NOT_SET_ANYWHERE/*"):
        (message,) = mistakes(f"measures: [loss]\nruns: [{path}]\n")[2]
        assert "NOT_SET_ANYWHERE" in message
        assert "not set" in message


def test_a_run_may_name_its_importer_and_a_mistake_there_is_told_with_its_line(mistakes):
    found = mistakes(
        "measures: [loss]\nruns:\n  - {path: x.pt, importer: no_such_importer}\n  - {path: x, importr: y}\n"
    )
    assert "no importer 'no_such_importer'" in found[3][0]
    assert "did you mean 'importer'" in found[4][0]


def test_a_run_that_is_not_there_is_told_with_its_line_and_the_runs_beside_it(mistakes, tmp_path):
    (tmp_path / "y").mkdir()
    found = mistakes("measures: [loss]\nruns:\n  - checkpoints/two\n  - checkpoints/oen\n  - y\n")
    assert "checkpoints/two does not exist; known: one" in found[3][0]
    assert "did you mean 'one'" in found[4][0]
    assert "y is not a run" in found[5][0]
    assert "interp describe" in found[5][0]


def test_a_given_source_stands_in_the_place_of_the_runs(read):
    found = read("measures: [loss]\n", source=analysis_recipe.Source(Path("mine")))
    assert found.sources == (analysis_recipe.Source(Path("mine")),)


def test_two_runs_of_one_name_are_refused_with_both_paths(read, tmp_path, make_run):
    options = {"mlp": {"d_model": 2, "d_mlp": 2}}
    task = {"modular_arithmetic": {"p": 3}}
    first = make_run({}, task, options, name="same").path
    shapes = make_run({}, task, options, name="shapes").architecture.shapes
    assert shapes["mlp.W_in"] == torch.Size((4, 2))
    second = tmp_path / "elsewhere" / "same"
    second.mkdir(parents=True)
    (second / "run.yaml").write_text((first / "run.yaml").read_text())
    found = read(f"runs: [{first}, {second}]\nmeasures: [loss]\n")
    with pytest.raises(InterpError, match="two runs are called 'same'") as refused:
        open_runs(found.sources, "cpu")
    assert str(first) in str(refused.value)
    assert str(second) in str(refused.value)
    assert [run.name for run in open_runs(read(f"runs: [{first}]\nmeasures: [loss]\n").sources, "cpu")] == ["same"]


def test_a_run_has_the_name_that_the_analysis_gives_it(read, make_run):
    path = make_run({}, {"modular_arithmetic": {"p": 3}}, {"mlp": {"d_model": 2, "d_mlp": 2}}, name="own").path
    found = read(f"runs: [{{path: {path}, name: first}}, {{path: {path}, name: second}}]\nmeasures: [loss]\n")
    assert [run.name for run in open_runs(found.sources, "cpu")] == ["first", "second"]
    with pytest.raises(InterpError, match="'a/b' cannot be a run's name"):
        read(f"runs: [{{path: {path}, name: a/b}}]\nmeasures: [loss]\n")


def test_the_analyses_of_this_repository_are_sound_whoever_has_the_published_networks(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERP_REFERENCE", str(tmp_path))
    for network in ("pizza/a.pt", "progress_measures/a.pth", "rep_theory/C113"):
        (tmp_path / network).parent.mkdir()
        (tmp_path / network).touch()
    folder = Path(__file__).parents[2] / "analyses"
    assert list(folder.rglob("*.yaml"))
    for path in folder.rglob("*.yaml"):
        assert analysis_recipe.read(path).asks
