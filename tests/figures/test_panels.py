from __future__ import annotations

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

from interp import notebook
from interp.errors import InterpError
from interp.figures import (
    Bars,
    Curves,
    Density,
    DrawnPanel,
    Heatmap,
    ManyCurves,
    Panel,
    PhaseDiagram,
    Points,
    Scatter,
    Table,
    choice,
    colours,
    plotly_figure,
)
from interp.figures.colours import COLOURS, SCALES

SIZES = {"step": 4, "freq": 12, "head": 3, "a": 5, "b": 6, "neuron": 9, "eigenvalue": 2}
STEPS = [0, 10, 20, 50]


def array(*axes, low=0.0, name="power", **attrs):
    """Different numbers everywhere, with labels on every axis."""
    shape = [SIZES[axis] for axis in axes]
    values = low + np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape)
    labels = {axis: STEPS if axis == "step" else np.arange(SIZES[axis]) + 100 for axis in axes}
    made = xr.DataArray(values, dims=axes, coords=labels, name=name, attrs=attrs)
    if "freq" in axes:
        made.freq.attrs["long_name"] = "Frequency"
    return made


def mask(axis, *marked):
    return xr.DataArray(np.isin(np.arange(SIZES[axis]), marked), dims=axis)


PANELS = {
    "curves": Curves("C", {"train": array("step"), "other": array("step")}, log=True),
    "many curves": ManyCurves("M", array("head", "step"), log=True),
    "many curves by group": ManyCurves("G", array("head", "eigenvalue", "step"), by="eigenvalue", percent=True),
    "phase diagram": PhaseDiagram("P", array("a", "b", "head"), x="b", y="a", percent=True),
    "with errors": Curves("E", {"all": array("step")}, errors={"all": array("step")}),
    "share": Curves("S", {"all": array("step") / 4}, percent=True),
    "over time": Heatmap("T", array("step", "freq"), x="step", y="freq"),
    "matrix": Heatmap("M", array("step", "a", "b", low=-50), x="b", y="a"),
    "bars": Bars("B", array("step", "freq"), highlight={"accent": mask("freq", 2)}),
    "still bars": Bars("SB", array("freq")),
    "points": Points("P", array("step", "neuron"), array("step", "neuron")),
    "chosen points": Points("CP", array("step", "head", "neuron"), array("step", "head", "neuron"), choice="head"),
    "density": Density(
        "D",
        array("step", "freq", name="weight"),
        array("step", "freq"),
        {"all": (array("step", "a"), array("step", "a")), "part": (array("step", "a"), array("step", "a") / 2)},
    ),
    "still density": Density("SD", array("freq"), array("freq"), {"all": (array("a"), array("a"))}),
    "scatter": Scatter("SC", array("freq", name="x"), array("freq") / 12, x_error=array("freq"), percent=True),
    "log scatter": Scatter("LS", array("freq"), array("freq", low=-3), log_x=True),
    "table": Table("TA", {"power": array("freq"), "doubled": 2 * array("freq")}, highlight={"accent": mask("freq", 3)}),
}
every_panel = pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)


# The kind of panel, chosen by the axes.


@pytest.mark.parametrize(
    ("axes", "kind"),
    [
        (("step",), Curves),
        (("step", "head"), Curves),
        (("step", "freq"), Heatmap),
        (("step", "a", "b"), Heatmap),
        (("freq",), Bars),
        (("a", "b"), Heatmap),
        (("step", "a", "b", "freq"), None),
        (("a", "b", "freq"), None),
        ((), None),
    ],
)
def test_the_axes_of_an_array_choose_its_panel(axes, kind):
    panel = choice.of_array(array(*axes, long_name="Share of power"))
    assert (type(panel) if panel else None) is kind
    if panel:
        assert panel.title == "Share of power"
        assert panel.draw().time_axis == ("step" in axes and len(axes) < 3)


def test_few_lines_are_named_by_their_labels_and_many_become_a_heatmap_with_time_across():
    assert list(choice.of_array(array("step", "head")).arrays) == ["100", "101", "102"]
    panel = choice.of_array(array("freq", "step"))
    assert (panel.x, panel.y) == ("step", "freq")


def test_text_has_no_panel_and_masks_and_counts_have():
    assert choice.of_array(xr.DataArray(["a", "b"], dims="step", coords={"step": [0, 1]})) is None
    assert isinstance(choice.of_array(mask("freq", 1)), Bars)
    assert isinstance(choice.of_array(array("step").astype(int)), Curves)


def test_a_curve_over_more_than_three_decades_is_logarithmic_and_one_through_zero_is_not():
    def curve(*values):
        return choice.of_array(xr.DataArray(list(values), dims="step", coords={"step": STEPS[: len(values)]}))

    assert curve(1.0, 1e-4).log
    assert not curve(1.0, 0.5).log
    assert not curve(1.0, 1e-4, 0.0).log
    assert not curve(-1.0, 1e4).log


def test_every_array_of_a_dataset_that_can_be_drawn_is():
    result = xr.Dataset({"a1": array("step"), "a2": array("step", "freq"), "word": ((), "clock")})
    assert [panel.title for panel in choice.default(result)] == ["a1", "a2"]


# What is drawn.


def test_curves_draw_their_arrays_over_the_steps_in_their_own_colours():
    drawn = PANELS["curves"].draw()
    first, second = drawn.figure["data"]
    assert (first["name"], second["name"]) == ("train", "other")
    assert first["x"].tolist() == STEPS
    assert first["y"].tolist() == [1, 2, 3, 4]
    assert first["line"]["color"] == "role:train"
    assert second["line"]["color"] not in ("role:train", "role:other")
    assert second["line"]["color"].removeprefix("role:") in COLOURS
    assert drawn.figure["layout"]["yaxis"]["type"] == "log"
    assert drawn.time_axis
    assert not drawn.moving
    assert drawn.steps.size == 0


def test_each_of_several_curves_is_named_beside_its_end_and_no_name_lies_on_another():
    same = array("step")
    drawn = Curves("C", {"train": same, "test": same, "novel": same}, log=False).draw()
    notes = drawn.figure["layout"]["annotations"]
    assert {note["text"] for note in notes} == {"train", "test", "novel"}
    assert all(note["font"]["color"] == f"role:{note['text']}" for note in notes)
    heights = sorted(note["y"] for note in notes)
    assert min(np.diff(heights)) > 0.05 * 3  # of a span of 3


def test_on_a_logarithmic_axis_what_is_not_positive_is_left_out():
    curve = xr.DataArray([1.0, 0.0, -1.0, 1e-5], dims="step", coords={"step": STEPS})
    drawn = Curves("C", {"all": curve}, log=True).draw().figure["data"][0]["y"]
    assert np.isnan(drawn).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("panel", "attributes"),
    [("matrix", ["z"]), ("bars", ["y"]), ("points", ["x", "y"]), ("chosen points", ["x", "y"])],
)
def test_what_moves_is_the_array_itself_not_a_copy_and_the_drawing_shows_its_last_step(panel, attributes):
    panel = PANELS[panel]
    drawn = panel.draw()
    assert drawn.steps.tolist() == STEPS
    assert [mover.attribute for mover in drawn.moving] == attributes
    for mover in drawn.moving:
        source = getattr(panel, mover.attribute, None) if isinstance(panel, Points) else panel.array
        assert np.shares_memory(mover.values, source.values)
        assert mover.values.shape == source.shape
        shown = drawn.figure["data"][mover.trace][mover.attribute]
        last = mover.values[-1][0] if drawn.choice else mover.values[-1]
        assert np.array_equal(shown, last)


def test_an_axis_to_choose_from_is_named_with_its_labels():
    assert PANELS["chosen points"].draw().choice == ("head", ("100", "101", "102"))
    assert PANELS["points"].draw().choice is None


def test_a_matrix_stands_as_asked_for_whatever_the_order_of_its_axes():
    source = array("b", "step", "a", low=-50)
    drawn = Heatmap("M", source, x="b", y="a").draw()
    trace = drawn.figure["data"][0]
    assert np.array_equal(trace["z"], source.isel(step=-1).transpose("a", "b"))
    assert trace["x"].tolist() == source.b.values.tolist()
    assert trace["y"].tolist() == source.a.values.tolist()


def test_a_matrix_with_both_signs_is_symmetric_about_zero_and_one_without_starts_at_it():
    signed = PANELS["matrix"].draw().figure["data"][0]
    assert signed["zmin"] == -signed["zmax"] < 0
    assert signed["colorscale"] == "role:diverging"
    plain = PANELS["over time"].draw().figure["data"][0]
    assert (plain["zmin"], plain["colorscale"]) == (0, "role:sequential")
    assert plain["zmax"] > 0


def test_highlight_colours_and_names_exactly_the_bars_of_its_mask():
    panel = Bars("B", array("step", "freq"), highlight={"accent": mask("freq", 1, 4), "abandoned": mask("freq", 7)})
    drawn = panel.draw()
    (trace,) = drawn.figure["data"]
    expected = {1: "role:accent", 4: "role:accent", 7: "role:abandoned"}
    assert trace["marker"]["color"] == [expected.get(place, "role:quiet") for place in range(12)]
    assert trace["x"].tolist() == list(range(100, 112))
    named = re.findall(r"\b1\d\d\b", json.dumps([trace.get("text"), drawn.figure["layout"].get("annotations")]))
    assert {int(name) - 100 for name in named} == set(expected)


def test_a_highlight_over_training_is_that_of_the_last_step():
    over_time = xr.concat([mask("freq", 1), mask("freq", 1), mask("freq", 2), mask("freq", 3)], dim="step")
    colours = Bars("B", array("step", "freq"), highlight={"accent": over_time}).draw().figure["data"][0]["marker"]
    assert [place for place, colour in enumerate(colours["color"]) if colour == "role:accent"] == [3]


@pytest.mark.parametrize("low", [-5.5, -100.0])
def test_bars_below_zero_are_within_the_picture(low):
    panel = choice.of_array(array("freq", low=low))
    bottom, top = sorted(panel.draw().figure["layout"]["yaxis"]["range"])
    assert bottom <= panel.array.values.min()
    assert top >= max(0, panel.array.values.max())


def test_lines_with_errors_have_bars_and_say_them():
    line, plain = array("step"), array("step", low=3.0)
    drawn = Curves("C", {"all": line, "plain": plain}, errors={"all": line / 10}).draw().figure["data"]
    assert np.array_equal(drawn[0]["error_y"]["array"], line / 10)
    assert drawn[0]["hovertemplate"] == "all: %{y:.4g} ± %{customdata:.2g}<extra></extra>"
    assert np.array_equal(drawn[0]["customdata"], line / 10)
    assert "error_y" not in drawn[1]
    share = Curves("S", {"all": line / 4}, percent=True, errors={"all": line / 40}).draw().figure["data"][0]
    assert share["hovertemplate"] == "all: %{y:.2%} ± %{customdata:.2%}<extra></extra>"


def test_by_default_an_array_s_standard_errors_are_its_bars_and_no_panel_of_their_own():
    by_head, alone = array("step", "head"), array("step")
    result = xr.Dataset({"rise": by_head, "rise_se": by_head / 10, "other_se": alone, "base_se": alone / 2})
    rise, *others = choice.default(result)
    assert isinstance(rise, Curves)
    assert {label: error.values.tolist() for label, error in rise.errors.items()} == {
        label: (line / 10).values.tolist() for label, line in rise.arrays.items()
    }
    assert [panel.title for panel in others] == ["other_se", "base_se"]  # errors of nothing that is there


def test_a_density_has_bars_side_by_side_and_curves_over_them_on_one_logarithmic_axis_for_all_steps():
    heights, places = array("step", "freq"), array("step", "a")
    heights[0, 2] = heights[0, 11] = 0.0
    middles = (xr.DataArray(np.arange(12.0), dims="freq") * xr.DataArray([1.0, 1, 2, 2], dims="step")).T
    curves = {"all": (places, 3 * places), "part": (places, 1e-6 * places)}
    drawn = Density("D", middles.rename("weight"), heights, curves).draw()
    bars, line, part = drawn.figure["data"]
    assert (bars["type"], line["type"], part["type"]) == ("bar", "scatter", "scatter")
    assert drawn.figure["layout"]["bargap"] == 0
    assert drawn.figure["layout"]["xaxis"]["range"] == [-1, 23]  # of the widest bins
    assert drawn.figure["layout"]["xaxis"]["title"]["text"] == "weight"
    assert line["line"]["width"] > part["line"]["width"]
    moved = {(mover.trace, mover.attribute): mover.values for mover in drawn.moving}
    assert list(moved) == [(trace, at) for trace in range(3) for at in "xy"]
    assert np.array_equal(moved[0, "x"], middles.transpose("step", "freq"))
    assert np.array_equal(moved[0, "y"], heights)
    assert np.array_equal(moved[1, "x"], places)
    assert np.array_equal(moved[1, "y"], 3 * places)
    assert np.isnan(moved[2, "y"]).all()  # far below one value in a bin
    axis = drawn.figure["layout"]["yaxis"]
    assert axis["type"] == "log"
    assert 10 ** axis["range"][0] < 1 < 60 < 10 ** axis["range"][1]


def names_of(count):
    return [f"direction {place}" for place in range(count)]


def test_few_labels_that_are_text_are_all_shown_and_of_many_every_second():
    few = xr.DataArray(np.ones((2, 3)), dims=("step", "parameter"), coords={"step": [0, 1], "parameter": list("xyz")})
    axis = Heatmap("H", few, x="step", y="parameter").draw().figure["layout"]["yaxis"]
    assert axis["tickvals"].tolist() == ["x", "y", "z"]
    rows = xr.DataArray(np.ones((2, 32)), dims=("step", "matrix"), coords={"step": [0, 1], "matrix": names_of(32)})
    drawn = Heatmap("H", rows, x="step", y="matrix").draw()
    assert drawn.figure["layout"]["yaxis"]["tickvals"].tolist() == names_of(32)
    assert drawn.height >= 32 * 12  # pixels: room for a name in each row
    names = names_of(40)
    many = xr.DataArray(np.ones((2, 40)), dims=("step", "basis"), coords={"step": [0, 1], "basis": names})
    assert Heatmap("H", many, x="step", y="basis").draw().figure["layout"]["yaxis"]["tickvals"].tolist() == names[1::4]


def test_a_table_has_a_row_for_each_place_and_a_column_for_each_array():
    words = xr.DataArray([f"word {place}" for place in range(12)], dims="freq")
    values = array("freq") / 3
    values[5] = np.nan
    drawn = Table("T", {"value": values, "word": words}, highlight={"accent": mask("freq", 2)}, digits=3).draw()
    (trace,) = drawn.figure["data"]
    labels, numbers, texts = trace["cells"]["values"]
    assert trace["header"]["values"] == ["frequency", "value", "word"]
    assert labels == [str(100 + place) for place in range(12)]
    assert numbers[:3] == ["0.333", "0.667", "1"]
    assert numbers[5] == ""
    assert texts == words.values.tolist()
    assert [place for place, colour in enumerate(trace["cells"]["font"]["color"][0]) if colour == "role:accent"] == [2]


def test_numbers_of_a_table_have_true_minus_signs_and_stand_to_the_right():
    names = {"network": ["a-1", "b-2"]}
    numbers = xr.DataArray([-1234.5, 1e-9], names)
    counts = xr.DataArray([-12_769, 3], names)
    texts = xr.DataArray(["-0.35 ± 0.02", "1.5e-07"], names)
    words = xr.DataArray(["-3 to 5", "7"], names)
    columns = {"number": numbers, "count": counts, "text": texts, "words": words}
    (trace,) = Table("T", columns).draw().figure["data"]
    assert trace["cells"]["values"] == [
        ["a-1", "b-2"],
        ["−1,234.5", "1×10⁻⁹"],
        ["−12,769", "3"],
        ["−0.35 ± 0.02", "1.5e−07"],
        ["-3 to 5", "7"],
    ]
    assert trace["cells"]["align"] == trace["header"]["align"] == ["left", "right", "right", "right", "left"]


def numbers_in(value):
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers_in(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers_in(part)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("odd", [np.nan, np.inf])
@pytest.mark.parametrize("everywhere", [False, True])
@every_panel
def test_values_that_are_not_finite_spoil_no_axis_and_no_colour_scale(panel, odd, everywhere):
    def spoiled(source):
        if isinstance(source, tuple):
            return tuple(map(spoiled, source))
        changed = source.copy()
        changed[(slice(None) if everywhere else 0,) * changed.ndim] = odd
        return changed

    arrays = {
        name: spoiled(value) if isinstance(value, xr.DataArray) else {key: spoiled(one) for key, one in value.items()}
        for name, value in vars(panel).items()
        if name in ("array", "arrays", "columns", "x", "y", "middles", "heights", "curves", "errors")
        and not isinstance(value, str)
    }
    drawn = type(panel)(**(vars(panel) | arrays)).draw()
    limits = [*numbers_in(drawn.figure["layout"])]
    limits += [trace[key] for trace in drawn.figure["data"] for key in ("zmin", "zmax") if key in trace]
    assert np.isfinite(limits).all()


# The names of axes.


def test_bars_of_words_stand_side_by_side_though_the_words_are_numerals():
    """By their values "2", "3" and "12" would lie on an axis of numbers, with ticks where there is no bar."""

    def drawn(names):
        heights = xr.DataArray(np.ones(len(names)), dims="kind", coords={"kind": names})
        marked = xr.DataArray(np.ones(len(names), dtype=bool), dims="kind")
        return Bars("B", heights, highlight={"accent": marked}).draw().figure

    assert drawn(["2", "3", "12"])["layout"]["xaxis"]["type"] == "category"
    assert drawn(["2", "3", "12"])["data"][0]["text"] == ["", "", ""]  # they stand below the bars
    many = [f"word {place}" for place in range(30)]
    assert drawn(many)["layout"]["xaxis"]["tickvals"].tolist() == many[::2]  # below, there is no room for all
    assert "type" not in drawn([2, 3, 12])["layout"]["xaxis"]


def test_an_axis_is_called_what_its_coordinate_says_it_is_else_by_its_own_name():
    def named(name, long_name="", units="", labels=(0, 1)):
        coord = (name, list(labels), {"long_name": long_name, "units": units})
        bars = Bars("B", xr.DataArray(np.ones(2), dims=name, coords={name: coord}), width="full").draw()
        trace, layout = bars.figure["data"][0], bars.figure["layout"]
        return layout["xaxis"]["title"]["text"], trace["hovertemplate"].partition(":")[0]

    assert named("freq", "Frequency") == ("frequency", "frequency %{x}")
    assert named("eigenvalue", "Place of the eigenvalue, the largest first")[0] == "place of the eigenvalue"
    assert named("phase", "φ_a + φ_b - φ_c", "degrees")[0] == "φ_a + φ_b - φ_c [degrees]"
    assert named("norm", "L2 norm")[0] == "L2 norm"
    assert named("d_model") == ("d model", "d model %{x}")
    assert named("stage", "Stage of the circuit", labels=("attention", "mlp")) == ("stage of the circuit", "%{x}")


def test_a_kind_of_panel_from_elsewhere_is_shown_like_ours():
    class Dot:
        title = "A dot"

        def draw(self):
            return DrawnPanel(self.title, {"data": [{"type": "scatter", "x": [1], "y": [2]}], "layout": {}})

    assert isinstance(Dot(), Panel)
    assert notebook.figure(Dot()).layout.title.text == "A dot"


# Plotly figures.


@every_panel
def test_every_role_of_a_drawing_is_a_colour_in_both_themes(panel):
    drawn = panel.draw()
    roles = set(re.findall(r"role:([\w ]+)", str(drawn.figure)))
    assert roles <= {*COLOURS, *SCALES}
    for theme in (0, 1):
        assert "role:" not in str(colours.resolved(drawn.figure, theme))


def test_a_role_becomes_the_colour_of_the_theme():
    assert colours.resolved({"a": ["role:train"]}, 0) == {"a": [COLOURS["train"][0]]}
    assert colours.resolved("role:train", 1) == COLOURS["train"][1]
    scale = colours.resolved("role:sequential", 0)
    assert [place for place, _ in scale] == [0, 0.25, 0.5, 0.75, 1]
    assert [colour for _, colour in scale] == SCALES["sequential"][0]


@every_panel
@pytest.mark.parametrize("step", [None, 20])
def test_a_panel_is_a_plotly_figure_that_validates(panel, step):
    shown = notebook.figure(panel, step)
    assert isinstance(shown, go.Figure)
    again = go.Figure(json.loads(shown.to_json()))  # plotly checks every name and value
    assert len(again.data) == len(shown.data)
    assert "role:" not in shown.to_json()
    assert bool(shown.frames) == (bool(panel.draw().moving) and step is None)


@pytest.mark.parametrize(("step", "place"), [(0, 0), (20, 2), (49, 2), (50, 3), (10**6, 3), (-5, 0)])
def test_at_a_step_a_moving_panel_shows_the_last_checkpoint_up_to_it(step, place):
    shown = notebook.figure(PANELS["bars"], step)
    assert np.array_equal(shown.data[0].y, PANELS["bars"].array.values[place])
    assert shown.layout.title.text == f"B, step {STEPS[place]:,}"


def test_a_curve_over_training_marks_the_step():
    (line,) = notebook.figure(PANELS["curves"], 20).layout.shapes
    assert line.x0 == line.x1 == 20
    assert not notebook.figure(PANELS["curves"]).layout.shapes


def test_the_slider_has_a_frame_for_every_step_where_they_are_few_and_both_ends_where_they_are_many():
    frames = notebook.figure(PANELS["bars"]).frames
    assert [frame.name for frame in frames] == ["0", "10", "20", "50"]
    assert np.array_equal(frames[1].data[0].y, PANELS["bars"].array.values[1])
    many = xr.DataArray(np.ones((500, 2)), dims=("step", "freq"), coords={"step": np.arange(500) * 7})
    frames = notebook.figure(Bars("B", many)).frames
    assert len(frames) == plotly_figure.MOST_FRAMES
    assert (frames[0].name, frames[-1].name) == ("0", str(499 * 7))


def test_an_array_becomes_a_figure_by_its_axes_and_one_with_too_many_is_refused():
    assert notebook.figure(array("step", "freq")).data[0].type == "heatmap"
    with pytest.raises(InterpError, match=r"power has the axes .*at most two"):
        notebook.figure(array("step", "a", "b", "freq"))


# Panels by title.


def test_a_panel_is_found_by_its_title_in_any_case_else_the_first_or_the_first_that_moves():
    panels = [PANELS["curves"], PANELS["bars"], PANELS["points"]]
    assert plotly_figure.panel_figure(panels, "p").layout.title.text == "P"
    assert plotly_figure.panel_figure(panels, None).layout.title.text == "C"
    assert plotly_figure.panel_figure(panels, None, step=10).layout.title.text == "B, step 10"
    assert plotly_figure.panel_figure([PANELS["curves"]], None, step=10).layout.title.text == "C"


def test_an_unknown_title_is_refused_with_the_near_miss():
    panels = [Curves("Weight norm", {"all": array("step")}), PANELS["bars"]]
    with pytest.raises(InterpError, match="no panel 'Weigth norm'; did you mean 'Weight norm'"):
        plotly_figure.panel_figure(panels, "Weigth norm")
    with pytest.raises(InterpError, match="nothing to draw"):
        plotly_figure.panel_figure([], None)


# One quantity against another.


def test_a_scatter_names_its_axes_by_what_its_arrays_are():
    x = array("freq", long_name="Train loss", units="nats")
    drawn = Scatter("T", x, array("freq", long_name="Share"), percent=True).draw()
    assert drawn.figure["layout"]["xaxis"]["title"]["text"] == "Train loss [nats]"
    assert drawn.figure["layout"]["yaxis"]["title"]["text"] == "Share"
    assert drawn.figure["layout"]["yaxis"]["tickformat"] == ".0%"
    assert not drawn.time_axis


def test_a_point_is_named_by_its_place_and_a_run_by_its_name():
    runs = xr.DataArray([1.0, 2.0], dims="run", coords={"run": ["seed=0", "seed=1"]})
    assert Scatter("T", runs, runs).draw().figure["data"][0]["hovertext"] == ["seed=0", "seed=1"]
    assert Scatter("T", array("freq"), array("freq")).draw().figure["data"][0]["hovertext"][0] == "frequency 100"


def test_a_log_scatter_has_no_place_for_zero_and_marks_more_than_decades_where_there_are_few():
    x, y = (xr.DataArray(values, dims="run") for values in ([0.0, 2.0, 30.0], [1.0, 2.0, 3.0]))
    drawn = Scatter("T", x, y, log_x=True).draw().figure
    assert np.isnan(drawn["data"][0]["x"][0])
    axis = drawn["layout"]["xaxis"]
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True)) == {
        1: "1",
        2: "2",
        5: "5",
        10: "10",
        20: "20",
        50: "50",
        100: "100",
        200: "200",
        500: "500",
    }
    small = Scatter("T", xr.DataArray([4e-9, 2e-8], dims="run"), y[:2], log_x=True).draw().figure["layout"]["xaxis"]
    assert small["ticktext"][2:4] == ["5×10<sup>−9</sup>", "1×10<sup>−8</sup>"]
    assert small["tickvals"][2:4] == pytest.approx([5e-9, 1e-8])
    wide = Scatter("T", xr.DataArray([1e-9, 1.0], dims="run"), xr.DataArray([1.0, 2.0], dims="run"), log_x=True)
    assert wide.draw().figure["layout"]["xaxis"]["dtick"] == 2
