"""A made-up grokking run as a report page: every kind of panel, with arrays to check the page against."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from interp.figures import Curves, Table
from interp.figures.panel import DrawnPanel, Moving
from interp.findings import Bar, Claims, Finding
from interp.report.content import Page, RunPage, Section, Silence, Told, Variable
from interp.report.html import render
from interp.summaries import Phase

P = 59
FREQS = np.arange(1, P // 2 + 1)
KEYS, ABANDONED = (4, 11, 23), 7
CIRCLES = (4, 11, 23, 7)
HIDDEN = 64
HOSTILE = '</script><img src=x onerror="alert(1)">'  # a run's name
STEPS = np.arange(0, 20_001, 200)
PHASES = (
    Phase("fitting", 200, 2400),
    Phase("plateau", 2400, 14_600),
    Phase("generalised", 14_600, 20_000),
)


def rise(middle: float, width: float) -> np.ndarray:
    """0 early, 1 late, half-way at step `middle`."""
    return 1 / (1 + np.exp(-(STEPS - middle) / width))


def losses() -> dict[str, np.ndarray]:
    """Train falls at once, test late, restricted in between."""
    train = 10 ** (0.6 - 7 * (1 - np.exp(-STEPS / 500)))
    test = 10 ** (0.6 + 0.8 * (1 - np.exp(-STEPS / 400)) - 8 * rise(14_800, 700))
    return {"train": train, "test": test, "restricted": 10 ** (0.6 - 7.5 * rise(12_500, 1000))}


def spectrum(seed: int) -> np.ndarray:
    """[step, freq] shares: equal at first, then the keys and, for a while, the abandoned one."""
    random = np.random.default_rng(seed)
    strength = np.outer(1 - rise(12_000, 2500), 0.6 + 0.8 * random.random(len(FREQS)))
    for number, key in enumerate(KEYS):
        strength[:, key - 1] += (9 + 2 * number) * rise(10_000 + 900 * number, 1500)
    strength[:, ABANDONED - 1] += 6 * rise(8000, 1500) * (1 - rise(16_500, 600))
    return strength / strength.sum(axis=1, keepdims=True)


def circles(seed: int) -> np.ndarray:
    """[step, circle, number, axis]: noise that becomes a circle."""
    random = np.random.default_rng(seed)
    angle = 2 * np.pi * np.outer(CIRCLES, np.arange(P)) / P
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    noise = 0.35 * random.standard_normal(circle.shape)
    order, disorder = rise(11_000, 1800), 1.05 - rise(13_000, 1500)
    return np.multiply.outer(order, circle) + np.multiply.outer(disorder, noise)


def weights(seed: int) -> np.ndarray:
    """[step, number, neuron]: noise, and cosines that grow out of it."""
    random = np.random.default_rng(seed)
    angle = 2 * np.pi * np.outer(np.arange(P), random.choice(KEYS, HIDDEN)) / P
    cosine = np.cos(angle + 7 * random.random(HIDDEN))
    noise = 0.4 * random.standard_normal((P, HIDDEN))
    return np.multiply.outer(rise(11_000, 1500), cosine) + np.multiply.outer(1 - rise(13_000, 1500), noise)


def label(name: str, y: float) -> dict:
    """A line's name at its end, in its colour."""
    font = {"color": f"role:{name}", "size": 13}
    return {"text": name, "x": 1.0, "xref": "paper", "xanchor": "left", "xshift": 6, "y": y, "font": font}


def line(name: str, y: np.ndarray, role: str) -> dict:
    """A line over training."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": STEPS,
        "y": y,
        "line": {"color": f"role:{role}"},
    }


def loss_section() -> Section:
    """Three losses on a logarithmic axis."""
    curves = losses()
    panel = DrawnPanel(
        title="Loss",
        figure={
            "data": [line(name, y, name) for name, y in curves.items()],
            "layout": {
                "yaxis": {"type": "log", "title": {"text": "loss (nats)"}, "exponentformat": "power", "dtick": 2},
                "annotations": [
                    label("test", -5.8),
                    label("restricted", -7.3),
                    label("train", -6.5),
                ],
            },
        },
        steps=STEPS,
        time_axis=True,
        height=280,
        code='from interp import open_run\nrun = open_run("sample")\nrun.show("loss")',
    )
    return Section(
        label="loss",
        heading="Loss",
        claim="Train loss collapses at once, test loss climbs, then falls late.",
        caption=(
            "Restricted loss keeps only the key frequencies of the logits. It falls before test loss does:"
            " the circuit was there before it showed.\n\nTaken in float64 over every logit, because `float32`"
            " cannot tell losses under 1e-7 apart."
        ),
        formulas=(r"\mathcal{L} = -\frac{1}{n} \sum_{i=1}^{n} \log \operatorname{softmax}(z_i)_{c_i}",),
        paper="Nanda et al. 2023, Progress measures for grokking via mechanistic interpretability",
        panels=(panel,),
        variables=tuple(
            Variable(name, ("step",), y, {"step": STEPS.tolist()}, f"{name} loss", "nats") for name, y in curves.items()
        ),
    )


def spectrum_section(seed: int) -> Section:
    """The spectrum over training, at a step, the circle of a frequency, and how concentrated it all is."""
    power, circle = spectrum(seed), circles(seed)
    gini = 1 - 2 * np.mean(np.cumsum(np.sort(power, axis=1), axis=1), axis=1)
    over_time = DrawnPanel(
        title="Spectrum over training",
        figure={
            "data": [{"type": "heatmap", "x": STEPS, "y": FREQS, "z": power.T, "colorscale": "role:sequential"}],
            "layout": {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": "frequency"}}},
        },
        steps=STEPS,
        time_axis=True,
    )
    roles = dict.fromkeys(KEYS, "role:accent") | {ABANDONED: "role:abandoned"}
    bars = DrawnPanel(
        title="Spectrum at this step",
        figure={
            "data": [
                {
                    "type": "bar",
                    "x": FREQS,
                    "y": power[-1],
                    "marker": {"color": [roles.get(f, "role:quiet") for f in FREQS]},
                }
            ],
            "layout": {
                "xaxis": {"title": {"text": "frequency"}},
                "yaxis": {"tickformat": ".0%", "range": [0, 1.1 * power.max()]},
            },
        },
        steps=STEPS,
        moving=(Moving(0, "y", power),),
        width="third",
        height=300,
    )
    points = DrawnPanel(
        title="Numbers on a circle",
        figure={
            "data": [
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": circle[-1, 0, :, 0],
                    "y": circle[-1, 0, :, 1],
                    "text": [str(number) for number in range(P)],
                    "marker": {"size": 7, "color": np.arange(P), "colorscale": "role:sequential"},
                }
            ],
            "layout": {
                "xaxis": {"range": [-1.5, 1.5], "dtick": 1, "showgrid": True},
                "yaxis": {"range": [-1.5, 1.5], "dtick": 1, "scaleanchor": "x"},
            },
        },
        steps=STEPS,
        moving=(Moving(0, "x", circle[..., 0]), Moving(0, "y", circle[..., 1])),
        choice=("frequency", tuple(map(str, CIRCLES))),
        width="third",
        height=300,
    )
    concentration = DrawnPanel(
        title="Concentration",
        figure={
            "data": [line("gini", gini, "ink")],
            "layout": {"yaxis": {"title": {"text": "Gini of the spectrum"}, "range": [0, 1]}},
        },
        steps=STEPS,
        time_axis=True,
        width="third",
        height=300,
    )
    code = 'from interp import open_run\nrun = open_run("sample")\nrun.show("embedding_dft")'
    step, freq = {"step": STEPS.tolist()}, {"freq": FREQS.tolist()}
    return Section(
        label="embedding_dft",
        heading="Embedding spectrum",
        claim="The share of ‖W_E‖² at each frequency: at first all are equal, then a few win.",
        caption="Not all that win early stay. A frequency that was given up fades out during cleanup.",
        formulas=(r"P_k = \frac{\lVert F_k W_E \rVert^2}{\sum_j \lVert F_j W_E \rVert^2}", r"\such{latex}"),
        paper="Nanda et al. 2023",
        panels=tuple(replace(panel, code=code) for panel in (over_time, bars, points, concentration)),
        variables=(
            Variable("power", ("step", "freq"), power.astype(np.float32), step | freq, "share of all power"),
            Variable("gini", ("step",), gini, step, "concentration"),
            Variable("key", ("freq",), np.isin(FREQS, KEYS), freq, "is a key frequency"),
        ),
    )


def weight_section(seed: int) -> Section:
    """A weight matrix that moves, too large for its variable to stand in the page."""
    values = weights(seed)
    panel = DrawnPanel(
        title="Input weights",
        figure={
            "data": [{"type": "heatmap", "z": values[-1], "colorscale": "role:diverging"}],
            "layout": {"xaxis": {"title": {"text": "neuron"}}, "yaxis": {"title": {"text": "number"}}},
        },
        steps=STEPS[::2],
        moving=(Moving(0, "z", values[::2]),),
        height=380,
        code='run.show("input_weights")',
    )
    return Section(
        label="input_weights",
        heading="Input weights",
        claim="Every neuron comes to follow one frequency.",
        caption="",
        formulas=(),
        paper="",
        panels=(panel,),
        variables=(Variable("W_in", ("step", "number", "neuron"), values, {"step": STEPS.tolist()}),),
        note="Drawn at every second checkpoint.",
    )


def arrays(section: Section) -> xr.Dataset:
    """The variables of a section, as a measure's `summary` has them."""
    held = {v.name: xr.DataArray(v.values, v.coords, v.dims, attrs={"units": v.units}) for v in section.variables}
    return xr.Dataset(held)


def told_losses(label: str = "loss") -> Told:
    """When the test loss fell, and how much later than the other."""
    claims = Claims(arrays(loss_section()), "Loss")
    nat = Bar("one nat", 1.0)
    fell = {name: claims.passes("below for good", name, nat) for name in ("train", "test")}
    records = {**fell, "times": claims.compared(fell["test"], "over", fell["train"])}
    sentence = "It knew the training set by {train:step} and generalised at {test:step}, {times:2} times as late."
    return Told(label, Finding(sentence, records, chapter="answer", phases=PHASES))


def told_ends(label: str = "loss") -> Told:
    """How the losses end: two values of one panel at one step."""
    claims = Claims(arrays(loss_section()), "Loss", "nats")
    records = {name: claims.end(name) for name in ("train", "test")}
    return Told(label, Finding("The losses end at {train:3} and {test:3} nats.", records, chapter="when"))


def told_spectrum(seed: int) -> Told:
    """What the spectrum ends on, and what was given up: bars, and a row of a heatmap."""
    claims = Claims(arrays(spectrum_section(seed)), "Spectrum at this step")
    records = {"keys": claims.end("key", "labels"), "share": claims.end("power", "sum", freq=list(KEYS))}
    claims.panel = "Spectrum over training"
    records["most"] = most = claims.highest("power", freq=ABANDONED)
    records["most_step"] = claims.step_of(most)
    claims.panel = ""
    records["gini"] = claims.end("gini")
    sentence = (
        "The circuit ends on {keys:frequency} with {share:%} of the power, a concentration of {gini:2};"
        f" frequency {ABANDONED} held {{most:%}} at {{most_step:step}} and was then given up."
    )
    return Told("embedding_dft", Finding(sentence, records, chapter="what"))


def wide_table() -> Table:
    """Fifty rows of twelve columns: numbers of all sizes and signs, words, and texts that are numbers."""
    rows = [f"metric number {number} of the whole network" for number in range(48)] + [HOSTILE, "<b>last</b>"]
    sizes = np.geomspace(1e-9, 1e9, 50) * np.where(np.arange(50) % 3, 1, -1)

    def column(values: object) -> xr.DataArray:
        return xr.DataArray(values, {"metric": rows})

    numbers = {f"column {place}": column(sizes * (1 + place / 7)) for place in range(8)}
    differences = [f"{size:.1e}" for size in sizes]
    columns = numbers | {
        "margin": column([f"-0.{place:02} ± 0.003" for place in range(50)]),
        "difference": column(differences),
        "verdict": column(["agrees" if place % 5 else "not the same" for place in range(50)]),
        "steps": column(np.arange(50) * 1000),
    }
    return Table("Ours and recorded", columns, highlight={"accent": column(np.arange(50) == 3)})


def table_page() -> Page:
    """A run with a wide and long table, between curves with a long name and others, and a row of them."""
    lines = losses()
    long = "loss where the mirror was never seen"
    panels = (
        curves("Named at length", {long: lines["test"], "train": lines["train"]}),
        curves("Named shortly", {"test": lines["test"], "train": lines["train"]}),
        wide_table().draw(),
        *(curves(f"Half {name}", {name: lines["test"], "b": lines["train"]}, "half") for name in ("a", "longer")),
        *(curves(f"Third {name}", {name: lines["test"], "b": lines["train"]}, "third") for name in ("a", long, "c")),
    )
    agrees = xr.Dataset({"value": ("metric", np.arange(50.0))}, {"metric": wide_table().columns["steps"].metric.values})
    found = Claims(agrees, "Ours and recorded").end("value", metric="metric number 40 of the whole network")
    told = Told("tables", Finding("Number 40 is {value}.", {"value": found}))
    variable = Variable("value", ("metric",), agrees.value.values, {"metric": agrees.metric.values.tolist()})
    section = Section("tables", "Tables", "", "", (), "", panels, (variable,))
    return sample_page(RunPage("run", (), (told,), PHASES, STEPS, (section,)))


def curves(title: str, values: dict[str, np.ndarray], width: str = "full") -> DrawnPanel:
    lines = {name: xr.DataArray(line, {"step": STEPS}) for name, line in values.items()}
    return Curves(title, lines, log=True, width=width).draw()


def sample_run(name: str = "sample_59", seed: int = 0) -> RunPage:
    """One run with three measures."""
    return RunPage(
        name=name,
        facts=(
            (name, ""),
            (f"a + b mod {P}", "30 % of pairs"),
            ("mlp", f"1 layer, {HIDDEN} neurons"),
            ("AdamW", "lr 1e-3, wd 1"),
            (str(len(STEPS)), "checkpoints, steps 0–20,000"),
        ),
        findings=(told_losses(), told_ends(), told_spectrum(seed)),
        phases=PHASES,
        steps=STEPS,
        sections=(loss_section(), spectrum_section(seed), weight_section(seed)),
        silences=(
            Silence(("circuit", "key_freqs"), "the task has no cyclic order of its operands"),
            Silence(("attention_spectrum",), "the network has no attention"),
        ),
    )


def sample_page(*runs: RunPage) -> Page:
    """A page about `runs`, or about the sample run."""
    return Page(
        title="Which frequencies does addition use?",
        source="analyses/fourier.yaml",
        text="A network learns to add modulo 59. At first it remembers; then it finds a rule.",
        runs=runs or (sample_run(),),
        versions={"interp": "0.1", "plotly": "7.1"},
    )


def many_runs_page() -> Page:
    """Three runs, one with other checkpoints, one with a hostile name, and a measure across them."""
    page = sample_page(sample_run(), sample_run(HOSTILE, 1), replace(sample_run("late", 2), steps=STEPS[::5]))
    return replace(page, across=(replace(loss_section(), label="all_losses"),))


def across_page() -> Page:
    """Nothing about any run, only what a measure says of 24 together."""
    facts = (("24 runs", "seeds.seed=…"), ("x+y mod 31", "55% of 961 pairs"))
    runs = Variable("runs", (), np.array(24), {}, "runs")
    section = loss_section()
    section = replace(section, label="all_losses", variables=(*section.variables, runs))
    found = {"runs": Claims(arrays(section)).end("runs")}
    counted = Finding("Over {runs} runs the loss is low.", found, chapter="answer")
    findings = (Told("all_losses", counted), told_ends("all_losses"))
    return replace(sample_page(), runs=(), across=(section,), facts=facts, findings=findings)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "sample.html").write_text(render(sample_page()), encoding="utf-8")
    (folder / "many.html").write_text(render(many_runs_page()), encoding="utf-8")
    (folder / "across.html").write_text(render(across_page()), encoding="utf-8")
    (folder / "tables.html").write_text(render(table_page()), encoding="utf-8")
