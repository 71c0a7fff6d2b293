from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import interp
from interp.errors import NothingToSay
from interp.figures import Curves, Density, Heatmap, Table
from interp.maths import fourier
from interp.maths.mixtures import Mixture
from interp.measures.shared.generalised import GENERALISED
from interp.measures.weight_mixture import figure
from interp.measures.weight_mixture.telling import short_names
from interp.results.over_steps import over_steps
from tests.told import summary

ROOT = Path(interp.__file__).parent.parent
P = 11
TASK = {"modular_arithmetic": {"p": P}}
MODEL = {"mlp": {"d_model": 40, "d_mlp": 64, "biases": "hidden"}}
RAW = ("embed_a.W_E", "embed_b.W_E", "mlp.W_in", "mlp.b_in", "unembed.W_U")
FOURIER = ("fourier_W_E_a", "fourier_W_E_b", "fourier_W_U")


def gaussians(shapes, seed=0, **planted):
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    return drawn | planted


def of_two(shape, seed=1, apart=6.0):
    """Half the values about -apart/2, half about apart/2."""
    generator = torch.Generator().manual_seed(seed)
    sides = torch.where(torch.rand(shape, generator=generator) < 0.5, -apart / 2, apart / 2)
    return sides.double() + torch.randn(shape, generator=generator, dtype=torch.float64)


def waves(shape, freq, seed=0):
    """Columns that are waves of one frequency, and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * math.pi * freq * torch.arange(shape[0]).double()[:, None] / shape[0]
    phase = 2 * math.pi * torch.rand(shape[1], generator=generator, dtype=torch.float64)
    return torch.cos(x + phase) + 0.01 * torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def shapes(make_run):
    return make_run({}, TASK, MODEL, name="empty").architecture.shapes


@pytest.fixture
def measured(make_run):
    def measure(weights, task=TASK, model=MODEL, name="run", **options):
        found = make_run({0: weights}, task, model, name)[0].measure("weight_mixture", **options)
        return {parameter: place for place, parameter in enumerate(found.parameter)}, found

    return measure


def test_a_planted_mixture_is_found_in_its_parameter_alone(measured, shapes):
    place, found = measured(gaussians(shapes, **{"mlp.W_in": of_two(shapes["mlp.W_in"])}))
    assert found.parameter == RAW + FOURIER
    one = place["mlp.W_in"]
    assert found.components.tolist() == [2 if name == "mlp.W_in" else 1 for name in found.parameter]
    assert found.mixture.tolist() == [name == "mlp.W_in" for name in found.parameter]
    for field, expected in (("weight", 0.5), ("component_mean", torch.tensor([-3.0, 3.0])), ("variance", 1.0)):
        off = (getattr(found, field)[one, :2] - expected).abs() / getattr(found, f"{field}_se")[one, :2]
        assert off.max() < 4
    assert found.weight[one, 2:].isnan().all()
    n = math.prod(shapes["mlp.W_in"])
    assert float(found.margin[one]) == pytest.approx(n * float(found.margin_per_weight[one]))
    assert float(found.margin_se[one]) == pytest.approx(n * float(found.margin_per_weight_se[one]))
    assert float(found.excess_kurtosis[one]) == pytest.approx(-2 * 81 / 100, abs=0.05)  # -2 δ⁴/(1 + δ²)², δ = 3
    assert float(found.side_mean[one]) == pytest.approx(3, abs=0.1)
    assert float(found.centre_weight[one]) < 0.05
    assert float(found.fit_p_value[one]) > 0.001


def test_the_margin_is_that_of_the_two_likelihoods(measured, shapes):
    weights = gaussians(shapes, **{"mlp.W_in": of_two(shapes["mlp.W_in"])})
    place, found = measured(weights)
    one, x = place["mlp.W_in"], weights["mlp.W_in"].numpy().ravel()
    mixture = Mixture(*(getattr(found, name)[one, :2].numpy() for name in ("weight", "component_mean", "variance")))
    single = Mixture(np.array([1.0]), np.array([x.mean()]), np.array([x.var()]))
    gained = 2 * (mixture.log_density(x) - single.log_density(x))
    assert float(found.margin[one]) == pytest.approx(gained.sum() - 3 * math.log(len(x)), rel=1e-9)
    assert float(found.margin_per_weight_se[one]) == pytest.approx(gained.std() / math.sqrt(len(x)), rel=1e-6)
    centre, side = float(found.centre_weight[one]), float(found.side_mean[one])
    symmetric = Mixture(
        np.array([(1 - centre) / 2, centre, (1 - centre) / 2]),
        np.array([-side, 0, side]),
        np.array([float(found.side_variance[one]), float(found.centre_variance[one]), float(found.side_variance[one])]),
    )
    gained = 2 * (symmetric.log_density(x) - single.log_density(x))
    symmetric_margin = (gained.sum() - 2 * math.log(len(x))) / len(x)
    assert float(found.symmetric_margin_per_weight[one]) == pytest.approx(symmetric_margin, rel=1e-6)
    symmetric_se = float(found.symmetric_margin_per_weight_se[one])
    assert symmetric_se == pytest.approx(gained.std() / math.sqrt(len(x)), rel=1e-6)


def test_one_gaussian_s_margin_over_itself_is_0_without_an_error(measured, shapes):
    place, found = measured(gaussians(shapes))
    one = place["mlp.W_in"]
    assert int(found.components[one]) == 1
    assert float(found.margin[one]) == 0
    assert found.margin_se[one].isnan()
    assert found.margin_per_weight_se[one].isnan()
    assert found.weight_se[one].isnan().all()
    assert bool(found.clear[one])
    assert float(found.symmetric_margin_per_weight_se[one]) > 0


def test_waves_are_a_mixture_of_fourier_coefficients(measured, shapes):
    """Two of the ten directions hold everything; the coefficients are those of the basis, without the constant."""
    weights = gaussians(shapes, **{"embed_a.W_E": waves(shapes["embed_a.W_E"], 3)})
    place, found = measured(weights)
    assert bool(found.mixture[place["fourier_W_E_a"]])
    assert not found.mixture[place["fourier_W_E_b"]]
    assert float(found.margin_per_weight[place["fourier_W_E_a"]]) > 2
    narrow = found.variance[place["fourier_W_E_a"]].argsort()[0]
    assert float(found.weight[place["fourier_W_E_a"], narrow]) == pytest.approx(0.8, abs=0.05)
    coefficients = (fourier.basis(P)[1:] @ weights["embed_a.W_E"]).numpy()
    kurtosis = ((coefficients - coefficients.mean()) ** 4).mean() / coefficients.var() ** 2 - 3
    assert float(found.excess_kurtosis[place["fourier_W_E_a"]]) == pytest.approx(kurtosis, rel=1e-9)


def test_the_logits_are_taken_along_the_answers_and_products_by_logarithm(measured, shapes):
    axis = [pow(2, power, P) for power in range(P - 1)]  # 2 generates the residues modulo 11
    W_U = torch.zeros(shapes["unembed.W_U"]).double()
    W_U[:, axis] = waves((P - 1, shapes["unembed.W_U"][0]), 2).T
    task = {"modular_arithmetic": {"p": P, "operation": "x*y"}}
    place, found = measured(gaussians(shapes, **{"unembed.W_U": W_U}), task)
    narrow = found.variance[place["fourier_W_U"]].argsort()[0]
    assert bool(found.mixture[place["fourier_W_U"]])
    assert float(found.weight[place["fourier_W_U"], narrow]) == pytest.approx(7 / 9, abs=0.05)
    plain = measured(gaussians(shapes, **{"unembed.W_U": W_U}), name="sums")[1]
    assert not plain.mixture[place["fourier_W_U"]] or float(plain.margin_per_weight[-1]) < float(
        found.margin_per_weight[-1]
    )


def test_a_transformer_s_table_is_taken_at_the_residues_and_b_s_own_tokens_count_too(make_run):
    model = {"transformer": {"d_model": 32, "n_heads": 1, "d_mlp": 16, "shared_vocab": False}}
    shapes = make_run({}, TASK, model, name="none").architecture.shapes
    weights = gaussians(shapes)
    found = make_run({0: weights}, TASK, model)[0].measure("weight_mixture")
    place = found.parameter.index("fourier_W_E")
    assert int(found.histogram[place].sum()) == 2 * (P - 1) * 32
    assert int(found.histogram[found.parameter.index("fourier_W_U")].sum()) == (P - 1) * 32
    assert int(found.histogram[0].sum()) == (2 * P + 1) * 32


@pytest.mark.slow
def test_tasks_without_a_cyclic_order_have_the_weights_alone(make_run, shapes):
    run = make_run(
        {0: gaussians(shapes), 10: gaussians(shapes)}, {"modular_arithmetic": {"p": P, "operation": "x^2+y^2"}}, MODEL
    )
    result = run.measure("weight_mixture")
    assert tuple(result.parameter.values) == RAW
    told = summary("weight_mixture", result)
    assert "Fourier" not in told.sentence
    assert [panel.title for panel in figure(result) if isinstance(panel, Density)][:2] == [
        "W_E a: density",
        "W_E b: density",
    ]


@pytest.mark.slow
def test_few_values_are_left_out_and_equal_ones_have_no_numbers(measured, shapes):
    model = {"mlp": {"d_model": 40, "d_mlp": 63, "biases": "hidden"}}
    assert (
        "mlp.b_in"
        not in measured(
            {name: torch.randn(shape) for name, shape in shapes_of(model).items()}, model=model, name="few"
        )[0]
    )
    for value in (0.0, 0.3, 1e-300):
        place, found = measured(
            gaussians(shapes, **{"mlp.b_in": torch.full(shapes["mlp.b_in"], value)}), name=f"equal {value}"
        )
        one = place["mlp.b_in"]
        assert int(found.components[one]) == 0
        assert not found.mixture[one]
        assert found.margin_per_weight[one].isnan()
        assert found.weight[one].isnan().all()
        assert int(found.histogram[one].sum()) == 64


def shapes_of(model):
    from interp.catalogue.names import find
    from interp.tasks.modular_arithmetic import modular_arithmetic

    ((name, options),) = model.items()
    return find("models", name)(modular_arithmetic(P), **options).shapes


@pytest.mark.slow
def test_a_slight_mixture_is_a_matter_of_the_least_margin(measured, shapes):
    weights = gaussians(shapes, **{"mlp.W_in": of_two(shapes["mlp.W_in"], apart=2.4)})
    place, found = measured(weights)
    margin = float(found.margin_per_weight[place["mlp.W_in"]])
    assert 0 < margin < 0.1
    assert int(found.components[place["mlp.W_in"]]) == 2
    assert not found.mixture[place["mlp.W_in"]]
    assert bool(measured(weights, name="lower", least_margin=margin / 2)[1].mixture[place["mlp.W_in"]])
    assert not measured(weights, name="none", least_margin=0.0)[1].mixture[place["mlp.b_in"]]


@pytest.mark.parametrize(("apart", "mixture"), [(2.6, False), (3.1, True)])
def test_the_least_margin_is_that_of_two_gaussians_2_8_deviations_apart(measured, shapes, apart, mixture):
    place, found = measured(gaussians(shapes, **{"mlp.W_in": of_two(shapes["mlp.W_in"], apart=apart)}))
    assert bool(found.mixture[place["mlp.W_in"]]) == mixture


def test_a_new_order_of_neurons_or_residues_a_sign_and_a_unit_change_no_margin(measured, shapes):
    """Of the coefficients a new order of the residues turns the signs of some, so that one is changed for itself."""
    weights = gaussians(shapes, **{"mlp.W_in": of_two(shapes["mlp.W_in"])})
    place, before = measured(weights)
    order, unit = torch.randperm(64, generator=torch.Generator().manual_seed(0)), 3 * torch.arange(P) % P
    changed = {
        "embed_a.W_E": -weights["embed_a.W_E"][unit],
        "embed_b.W_E": 100 * weights["embed_b.W_E"],
        "mlp.W_in": weights["mlp.W_in"][:, order],
        "mlp.b_in": weights["mlp.b_in"][order],
        "unembed.W_U": weights["unembed.W_U"][order],
    }
    after = measured(changed, name="changed")[1]
    same = [name != "fourier_W_E_a" for name in place]
    torch.testing.assert_close(after.margin[same], before.margin[same], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after.excess_kurtosis[same], before.excess_kurtosis[same], rtol=1e-9, atol=1e-9)
    assert float(after.component_mean[place["mlp.W_in"], 0]) == pytest.approx(
        float(before.component_mean[place["mlp.W_in"], 0]), rel=1e-6
    )


# Over a run.


@pytest.mark.slow
def test_the_step_of_a_change_is_the_one_from_which_the_phase_is_the_last(make_run, shapes):
    def at(**planted):
        return gaussians(shapes, **planted)

    broken = {name: torch.full(shape, torch.nan) for name, shape in shapes.items()}
    two, equal = of_two(shapes["mlp.W_in"]), torch.zeros(64)
    history = {
        0: at(**{"mlp.b_in": equal}),
        10: at(**{"mlp.W_in": two, "mlp.b_in": equal}),
        20: at(**{"embed_a.W_E": of_two(shapes["embed_a.W_E"])}),
        30: broken,
        40: at(**{"mlp.W_in": 2 * two}),
        50: at(**{"mlp.W_in": two}),
    }
    with pytest.warns(UserWarning, match="not finite"):
        result = make_run(history, TASK, MODEL).measure("weight_mixture")
    changed = result.changed_step.to_series()
    assert changed["mlp.W_in"] == 40
    assert changed["embed_a.W_E"] == 40
    assert changed["embed_b.W_E"] == changed["mlp.b_in"] == -1
    assert result.margin_per_weight.sel(step=30).isnull().all()
    assert result.margin_per_weight.sel(parameter="mlp.b_in").isnull().values.tolist() == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]
    assert int(result.farthest_step.sel(parameter="embed_a.W_E")) == 20
    told = summary("weight_mixture", result)
    assert told.values["mixtures"] == 1
    assert "W_E a is for good one Gaussian from step 40 on" in told.sentence
    for panel in figure(result):
        panel.draw()


@pytest.mark.slow
def test_a_change_is_known_to_the_steps_between_those_that_are_clear(make_run, shapes):
    """Of 2,560 weights the margin at 2.8 deviations apart is within its error of the least margin."""
    apart = {0: 0.0, 10: 0.0, 20: 2.8, 30: 2.8, 40: 6.0, 50: 6.0}
    history = {
        step: gaussians(shapes, **{"mlp.W_in": of_two(shapes["mlp.W_in"], apart=width)})
        for step, width in apart.items()
    }
    result = make_run(history, TASK, MODEL).measure("weight_mixture")
    one = result.sel(parameter="mlp.W_in")
    assert one.clear.values.tolist() == [True, True, False, False, True, True]
    assert (int(one.changed_earliest), int(one.changed_latest)) == (20, 40)
    assert int(one.changed_step) in (20, 40)
    still = result.sel(parameter="embed_a.W_E")
    assert int(still.changed_earliest) == int(still.changed_latest) == -1
    told = summary("weight_mixture", result)
    assert "1 of 8 distributions ends as a mixture" in told.sentence
    table = next(panel for panel in figure(result) if isinstance(panel, Table))
    labels = table.columns["phase"].distribution.values.tolist()
    row = labels.index("W_in")
    assert labels[:3] == ["W_E a, Fourier", "W_E b, Fourier", "W_U, Fourier"]
    assert table.columns["phase"].values.tolist().count("mixture") == 1
    assert table.columns["phase"].values[row] == "mixture"
    assert table.columns["within 2 s.e."].values[row] == "20 to 40"
    assert table.columns["since step"].values[labels.index("W_E a")] == "throughout"


@pytest.mark.slow
@pytest.mark.parametrize(("apart", "stand"), [(20.0, True), (6.0, True), (4.0, True), (2.4, False)])
def test_sides_stand_apart_where_the_density_falls_by_half_between_them(make_run, shapes, apart, stand):
    """Of two equal Gaussians d deviations apart it falls to 2 exp(-d²/8) of the top: 0.00, 0.02, 0.27, 0.97."""
    weights = gaussians(shapes, **{"mlp.W_in": of_two(shapes["mlp.W_in"], apart=apart)})
    told = summary("weight_mixture", make_run({0: weights}, TASK, MODEL).measure("weight_mixture"))
    assert told.values.get("apart", []) == (["mlp.W_in"] if stand else [])
    assert ("stand apart at the end in 1 distribution: W_in" in told.sentence) == stand


def test_one_gaussian_has_no_sides(measured, shapes):
    place, found = measured(gaussians(shapes))
    one = place["mlp.W_in"]
    assert float(found.symmetric_margin_per_weight[one]) < 0
    for name in ("centre_weight", "side_mean", "side_mean_se", "side_variance", "centre_variance_se"):
        assert getattr(found, name)[one].isnan()


@pytest.mark.slow
def test_a_run_of_one_checkpoint_has_a_summary_and_figures(make_run, shapes):
    result = make_run({70: gaussians(shapes, **{"unembed.W_U": of_two(shapes["unembed.W_U"])})}, TASK, MODEL).measure(
        "weight_mixture"
    )
    told = summary("weight_mixture", result)
    assert "W_U is a mixture (" in told.sentence
    assert "at step 70" in told.sentence
    assert (result.changed_step == -1).all()
    for panel in figure(result):
        panel.draw()


def test_where_all_weights_are_equal_it_says_so(make_run, shapes):
    run = make_run({0: {name: torch.zeros(shape) for name, shape in shapes.items()}}, TASK, MODEL)
    with pytest.raises(NothingToSay, match="enough different values"):
        run[0].measure("weight_mixture")


# The figures.


@pytest.mark.slow
def test_the_density_is_that_of_the_values_and_the_mixture_s_at_every_step(make_run, shapes):
    narrow = 0.1 * gaussians(shapes)["mlp.W_in"]
    run = make_run(
        {
            0: gaussians(shapes, **{"mlp.W_in": narrow}),
            10: gaussians(shapes, **{"mlp.W_in": of_two(shapes["mlp.W_in"])}),
        },
        TASK,
        MODEL,
    )
    result = run.measure("weight_mixture")
    shown = next(panel for panel in figure(result) if panel.title == "W_in: density")
    assert isinstance(shown, Density)
    assert shown.middles.name == "weight"
    assert list(shown.curves) == ["mixture", "component 1", "component 2"]
    for step in (0, 10):
        values = run[step].weights["mlp.W_in"].numpy().ravel()
        width = float(result.bin_width.sel(parameter="mlp.W_in", step=step))
        x = shown.middles.sel(step=step).values
        edges = np.append(x - width / 2, x[-1] + width / 2)
        np.testing.assert_allclose(
            shown.heights.sel(step=step), np.histogram(values, edges)[0] / len(values) / width, rtol=1e-12
        )
        fitted = result.sel(parameter="mlp.W_in", step=step)
        places, density = (array.sel(step=step).dropna("place").values for array in shown.curves["mixture"])
        count = int(fitted.components)
        mixture = Mixture(*(fitted[name].values[:count] for name in ("weight", "component_mean", "variance")))
        np.testing.assert_allclose(np.log(density), mixture.log_density(places), rtol=1e-9)
        assert np.trapezoid(density, places) == pytest.approx(1, abs=1e-3)
    for component in (0, 1):
        places, density = shown.curves[f"component {component + 1}"]
        assert density.sel(step=0).isnull().all()
        share = np.trapezoid(density.sel(step=10), places.sel(step=10))
        assert share == pytest.approx(float(fitted.weight[component]), abs=1e-3)


@pytest.mark.slow
def test_the_weights_and_their_coefficients_stand_side_by_side(make_run, shapes):
    result = make_run({0: gaussians(shapes), 10: gaussians(shapes)}, TASK, MODEL).measure("weight_mixture")
    panels = figure(result)
    assert [type(panel) for panel in panels[:3]] == [Curves, Heatmap, Table]
    assert [panel.title for panel in panels[3:9]] == [
        *("W_E a: density", "W_E a, Fourier: density", "W_E b: density", "W_E b, Fourier: density"),
        *("W_U: density", "W_U, Fourier: density"),
    ]


def test_names_are_short_and_no_two_alike(make_run):
    model = {"transformer": {"n_layers": 2, "d_model": 32, "n_heads": 1, "d_mlp": 64}}
    run = make_run({}, TASK, model, name="deep")
    short = short_names([*run.architecture.shapes, "fourier_W_E"])
    assert len(set(short.values())) == len(short)
    assert short["blocks.1.attn.W_Q"] == "W_Q 1"
    assert short["embed.W_E"] == "W_E"


# The run that ships.


@pytest.fixture(scope="module")
def shipped():
    return over_steps(
        "weight_mixture", interp.open_run(ROOT / "checkpoints" / "modular_addition_small"), {"every": 900}
    )


@pytest.mark.slow
def test_on_the_shipped_run_the_fourier_coefficients_become_mixtures(shipped):
    """Rubin's claim: one Gaussian at first, and a mixture when the network has generalised."""
    margin = shipped.margin_per_weight
    for name in ("fourier_W_E", "fourier_W_U"):
        phase = shipped.mixture.sel(parameter=name).astype(bool)
        assert not phase[0]
        assert phase.where(shipped.test_accuracy > GENERALISED, drop=True).all()
        assert float(margin.sel(parameter=name)[-1]) > 2
        assert int(shipped.farthest_step.sel(parameter=name)) == 9000
    for name in ("embed.W_E", "unembed.W_U"):
        assert float(margin.sel(parameter=name)[0]) == 0
        assert int(shipped.farthest_step.sel(parameter=name)) < 6300


@pytest.mark.parametrize("weight", [lambda value: 1e160 * value, lambda value: torch.full_like(value, 0.3)])
def test_huge_weights_and_the_rounding_of_equal_ones_have_no_numbers(make_run, shapes, weight):
    weights = {name: weight(value) for name, value in gaussians(shapes).items()}
    run = make_run({0: weights | {"mlp.b_in": gaussians(shapes)["mlp.b_in"]}, 1: weights}, TASK, MODEL)
    found = run[0].measure("weight_mixture")
    assert [name for name, margin in zip(found.parameter, found.margin, strict=True) if margin.isfinite()] == [
        "mlp.b_in"
    ]
    with pytest.raises(NothingToSay, match="enough different values"):
        run[1].measure("weight_mixture")


def test_coefficients_fewer_than_64_are_left_out_too(make_run):
    task, model = {"modular_arithmetic": {"p": 7}}, {"mlp": {"d_model": 9, "d_mlp": 16}}
    weights = gaussians(make_run({}, task, model, name="none").architecture.shapes)
    found = make_run({0: weights}, task, model)[0].measure("weight_mixture")
    assert "unembed.W_U" in found.parameter  # 112 weights, 96 coefficients
    assert "fourier_W_U" in found.parameter
    assert not [name for name in found.parameter if name.startswith("fourier_W_E")]  # 63 weights, 54 coefficients
