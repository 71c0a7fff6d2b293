"""What `weight_mixture` shows and says of a run: curves, a table of phases, densities, sentences."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from interp.figures import Curves, Density, Heatmap, Table
from interp.findings import Claim, Claims, Finding, literal
from interp.measures.loss import generalised_step
from interp.measures.weight_mixture.fits import FOURIER, fourier_name, has_vocabulary
from interp.summaries import listed, number

REACH, PLACES = 5.0, 41
"""How far from its mean a component is drawn, in deviations, and at how many places."""
FEW_NAMES = 4
"""No more distributions are named in a sentence; of more, their number is told."""
DECADES = "Margin per weight of each parameter, in decades above 0.001 nats"


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Density | Table]:
    names = [str(name) for name in result.parameter.values]
    pairs = _pairs(names)
    raw = [name for name in names if not name.startswith(FOURIER)]
    short = short_names(names)
    others = [name for name in raw if name not in pairs]
    margin, error = result.margin_per_weight, result.margin_per_weight_se
    weights = margin.sel(parameter=raw).assign_coords(parameter=[short[name] for name in raw])
    curved = [name for pair in pairs.items() for name in pair if name] or raw[:6]
    panels: list[Curves | Heatmap | Density | Table] = [
        Curves(
            "Margin per weight over one Gaussian",
            {short[name]: margin.sel(parameter=name) for name in curved},
            log=True,
            errors={short[name]: error.sel(parameter=name) for name in curved},
        ),
        Heatmap(DECADES, np.log10(weights.clip(min=1e-3) / 1e-3), x="step", y="parameter"),
        _phases(result, short),
    ]
    for name, transformed in pairs.items():
        panels += [_density(result, one, short[one]) for one in (name, transformed) if one]
    farthest = sorted(others, key=lambda name: -float(result.farthest_margin.fillna(-1).sel(parameter=name)))
    panels += [_density(result, name, short[name]) for name in farthest[: 2 if pairs else 4]]
    return panels


def _phases(result: xr.Dataset, short: Mapping[str, str]) -> Table:
    """Tell of every distribution its phase at the end, since when, by what margin, and how good the fit is."""
    generalised = generalised_step(result)
    names = sorted(map(str, result.parameter.values), key=lambda name: not name.startswith(FOURIER))

    def column(text: Callable[[xr.Dataset], str]) -> xr.DataArray:
        cells = [text(result.sel(parameter=name)) for name in names]
        return xr.DataArray(cells, {"distribution": [short[name] for name in names]})

    def since(one: xr.Dataset) -> str:
        return f"{int(one.changed_step):,}" if int(one.changed_step) >= 0 else "throughout"

    def margin(one: xr.Dataset) -> str:
        found, error = float(one.margin_per_weight), float(one.margin_per_weight_se)
        bar = f" ± {number(error, 1)}" if np.isfinite(error) else ""
        return f"{number(found)}{bar}" if np.isfinite(found) else ""

    def plain(value: xr.DataArray) -> str:
        return number(float(value)) if np.isfinite(value) else ""

    last = result.isel(step=-1)
    columns = {
        "phase": column(lambda one: "mixture" if one.mixture[-1] else "one Gaussian"),
        "since step": column(since),
        "within 2 s.e.": column(_between),
    }
    if generalised is not None and generalised != int(last.step):
        columns["generalised"] = column(lambda one: margin(one.sel(step=generalised)))
    columns |= {
        "margin": column(lambda one: margin(one.isel(step=-1))),
        "distance": column(lambda one: plain(one.fit_distance[-1])),
        "p-value": column(lambda one: plain(one.fit_p_value[-1])),
    }
    return Table("Phase, margin when it generalised and at the end, and fit of every distribution", columns)


def _between(one: xr.Dataset) -> str:
    """Return the steps between which the phase changed, to two standard errors; "" where that is one step."""
    earliest, latest = int(one.changed_earliest), int(one.changed_latest)
    if earliest == latest or int(one.changed_step) < 0:
        return ""
    if latest < 0:
        return f"after {earliest:,}"
    if earliest >= 0:
        return f"{earliest:,} to {latest:,}"
    return f"before {latest:,}" if latest > int(one.step[0]) else ""


def _pairs(names: Sequence[str]) -> dict[str, str | None]:
    """Return the name of each parameter with a vocabulary, and of its Fourier coefficients where there are any.

    A network without an embedding has no vocabulary, though its last layer may be called W_U.
    """
    if not any(re.search(r"\.W_E$", name) for name in names):
        return {}
    return {name: twin if (twin := fourier_name(name)) in names else None for name in names if has_vocabulary(name)}


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return the last part of each name, with the number or letter that tells it apart where several have it.

    Where that does not tell them apart either, the names stay as they are.
    """
    short: dict[str, str] = {}
    for name in names:
        module, _, last = name.rpartition(".")
        mark = re.search(r"\.(\d+)\.|_([ab])$|(\d+)$", module)
        own = next(filter(None, mark.groups())) if mark else ""
        alike = sum(other.rpartition(".")[2] == last for other in names) > 1
        if name.startswith(FOURIER):
            short[name] = name.removeprefix(FOURIER).replace("_a", " a").replace("_b", " b") + ", Fourier"
        else:
            short[name] = f"{last} {own}" if alike and own else last
    return {name: one if list(short.values()).count(one) == 1 else name for name, one in short.items()}


def _density(result: xr.Dataset, name: str, title: str) -> Density:
    """Draw the histogram in each step's own bins, and the mixture and its components as curves.

    The curves' places lie closest where a component is narrow.
    """
    one = result.sel(parameter=name)
    width = one.bin_width
    counts = one.histogram.sum("bin")
    middles = ((one.bin + 0.5) * width).transpose("step", "bin")
    heights = (one.histogram / counts / width).where(counts > 0)
    deviation = np.sqrt(one.variance)
    around = xr.DataArray(np.linspace(-REACH, REACH, PLACES), dims="place")
    places = (one.component_mean + around * deviation).transpose("step", "component", "place")
    everywhere = xr.DataArray(  # [step, component * place]
        np.sort(places.values.reshape(len(one.step), -1), axis=1), dims=("step", "place"), coords={"step": one.step}
    )

    def density(at: xr.DataArray, component: xr.Dataset) -> xr.DataArray:
        z = (at - component.component_mean) / np.sqrt(component.variance)
        return component.weight * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi * component.variance)

    of_all = density(everywhere, one).sum("component", min_count=1)
    curves = {"mixture": (everywhere, of_all)}
    several = one.where(one.components > 1)
    for component in range(int(one.components.max()) if one.components.max() > 1 else 0):
        at = places.isel(component=component)
        curves[f"component {component + 1}"] = (at, density(at, several.isel(component=component)))
    quantity = "weight" if not name.startswith(FOURIER) else "coefficient"
    return Density(f"{title}: density", middles.rename(quantity), heights, curves)


def summary(result: xr.Dataset) -> list[Finding]:
    known = result.margin_per_weight.notnull().any("step").values
    names = [str(name) for name in result.parameter.values[known]]
    short, pairs = short_names(names), _pairs(names)
    claims = Claims(result, "Margin per weight over one Gaussian")
    transformed = [twin for twin in pairs.values() if twin]
    raw = list(pairs) or names[:3]
    where = "In the weights themselves " if transformed else ""
    groups = [("In Fourier coefficients ", transformed), (where, raw)] if transformed else [(where, raw)]
    told, records = [], {}
    for where, group in groups:
        histories = []
        for name in group:
            called = short[name].removesuffix(", Fourier") if name in transformed else short[name]
            history, found = _history(claims, name, called, full=name == groups[0][1][0])
            histories.append(history)
            records |= found
        told.append(f"{where}{'; '.join(histories)}.")
    return [
        Finding(" ".join(told), records, chapter="how", rank=30),
        _census(claims),
        *_sides(claims, names, short),
    ]


def _census(claims: Claims) -> Finding:
    """Tell how many distributions end as mixtures, and how many of them only since the network generalised."""
    claims = Claims(claims.result, claims.panel)
    records = {name: claims.end(name) for name in ("mixtures", "distributions")}
    if not records["mixtures"].value:
        return Finding("None of {distributions:distribution} ends as a mixture.", records, chapter="how", rank=31)
    as_what = "as a mixture" if records["mixtures"].value == 1 else "as mixtures"
    sentence = f"{{mixtures}} of {{distributions:distribution}} {{mixtures:ends.}} {as_what}"
    if claims.known("generalised_step"):
        records["late"] = late = claims.end("late_mixtures")
        none = "not " if records["mixtures"].value == 1 else "none of them "
        few = "{late} of them " if late.value else none
        sentence += f", {'' if late.value == records['mixtures'].value else few}only since it generalised"
    return Finding(f"{sentence}.", records, chapter="how", rank=31)


def _sides(claims: Claims, names: Sequence[str], short: Mapping[str, str]) -> list[Finding]:
    """Tell which distributions end with sides that stand apart, where any do."""
    records = {"apart": claims.end("sides_apart", "labels"), "count": claims.end("sides_apart", "count")}
    apart = records["apart"].value
    if not apart:
        return []
    transformed = [name for name in names if name.startswith(FOURIER)]
    none = ", not of" if len(apart) == 1 else ", none of them of"
    beside = "" if not transformed or set(transformed) & set(apart) else f"{none} Fourier coefficients"
    which = f": {listed([literal(short[name]) for name in apart])}" if len(apart) <= FEW_NAMES else ""
    sentence = f"Sides at ±μ stand apart at the end in {{count:distribution}}{which}{beside}."
    return [Finding(sentence, records, chapter="how", rank=32)]


def _history(claims: Claims, name: str, called: str, full: bool) -> tuple[str, dict[str, Claim]]:
    """Tell when a distribution changed its phase for good, and its margin when it generalised and at the end.

    In full: "W_E is a mixture from step 2,100 on (margin over one Gaussian 0.73 nats per weight when it generalised,
    2.1 at the end)"; else without what the numbers are.
    """
    one = claims.result.sel(parameter=name)
    known = one.isel(step=np.isfinite(one.margin_per_weight.values))
    phases, steps = known.mixture.values, known.step.values.tolist()
    changes = int((phases[1:] != phases[:-1]).sum())
    now = "a mixture" if phases[-1] else "one Gaussian"
    lasted = len(phases) > 1 and bool(phases[-1] == phases[-2])
    text = f"{literal(called)} is {'for good ' if changes > 1 and lasted else ''}{now}"
    records: dict[str, Claim] = {}
    place = claims.result.parameter.values.tolist().index(name)
    if changes:
        records[f"changed_{place}"] = claims.step("changed_step", parameter=name)
        text += f" from {{changed_{place}:step}} on" if lasted else f" at {{changed_{place}:step}}, the last"
    elif len(phases) > 1:
        text += " throughout"
    generalised = generalised_step(claims.result)
    ends = steps[-1] == int(claims.result.step[-1])
    when = "at the end" if ends else f"at step {number(steps[-1])}, the last at which it can be fitted"
    at = {steps[-1]: when if len(phases) > 1 or not ends else f"at step {number(steps[-1])}"}
    if generalised in steps:
        at.setdefault(generalised, "when it generalised")
    if float(one.farthest_margin) > 1.25 * float(known.margin_per_weight[-1]):
        at.setdefault(int(one.farthest_step), f"at step {number(int(one.farthest_step))}")
    told = []
    for step in sorted(at):
        margin = claims.end if ends and step == steps[-1] else functools.partial(claims.at, step)
        records[f"margin_{place}_{step}"] = margin("margin_per_weight", parameter=name)
        what = f"{{margin_{place}_{step}:2}}"
        if full and not told:
            what = f"margin over one Gaussian {what} nats per weight"
        told.append(f"{what} {at[step]}")
    between = _between(one) if changes else ""
    within = f"within two standard errors {between}; " if between else ""
    return f"{text} ({within}{', '.join(told)})", records
