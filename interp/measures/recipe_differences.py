"""In what the recipes of runs differ."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from interp.checkpoints import Run
from interp.figures import Table
from interp.findings import Claims, Finding
from interp.findings.finding import literal
from interp.summaries import listed

RECIPE = "run.yaml"


@dataclass(frozen=True)
class OwnRecipe:
    recipe: str
    """Every option of the run's recipe, as JSON: dotted name to value"""


def recipe_differences(run: Run) -> OwnRecipe:
    r"""Two runs can be compared for what their recipes do not share.

    Told are the options of task, model, loss and training, defaults filled in, that are not the same for all runs, and
    the checkpoint of another run from which one started. How somebody else's run was trained is not known.

    Formula: \{o : v_r(o) \ne v_s(o) \text{ for some runs } r, s\}

    Paper: Power et al. 2022, arXiv 2201.02177
    """
    run.beside(RECIPE)  # what is said of its training stands there
    calls = {"task": run.task_call, "model": run.model_call, "loss": run.loss_call}
    training = (
        {part.name: getattr(run.training, part.name) for part in dataclasses.fields(run.training)}
        if run.training
        else {}
    )
    training.pop("loss", None)  # told already
    parent = {"from": run.child_of.as_written} if run.child_of else {}
    options = dict(_flat({**calls, "training": training, **parent}))
    return OwnRecipe(json.dumps(options, sort_keys=True, ensure_ascii=False))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and values, as texts: a name with options is its name, and an option each."""
    if hasattr(value, "options") and hasattr(value, "name"):
        yield name, value.name
        yield from _flat(value.options, name)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and any(hasattr(part, "options") for part in value):
        for part in value:
            yield from _flat(part.options | {"": "yes"}, f"{name}.{part.name}")
    else:
        yield name.rstrip("."), f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Differences:
    options: int
    """Options of any of the recipes"""
    differing: int
    """Options that are not the same for all runs"""


def over_runs(result: xr.Dataset) -> Differences:
    recipes = _recipes(result)
    return Differences(len({name for recipe in recipes for name in recipe}), len(_differing(recipes)))


def _recipes(result: xr.Dataset) -> list[dict[str, str]]:
    return [json.loads(str(text)) for text in result.recipe.values]


def _differing(recipes: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Option -> its value in each recipe, "" where it has none; of the options that differ."""
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    values = {name: [recipe.get(name, "") for recipe in recipes] for name in names}
    return {name: row for name, row in values.items() if len(set(row)) > 1}


TITLE = "Options that differ"


def figure(result: xr.Dataset) -> list[Table]:
    differing = _differing(_recipes(result))
    if not differing:
        return []
    rows = np.array(list(differing.values()))  # [option, run]
    columns = {
        str(run): xr.DataArray(rows[:, place], {"option": list(differing)})
        for place, run in enumerate(result.run.values)
    }
    return [Table(TITLE, columns)]


MOST_NAMED = 5


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, TITLE)
    records = {"options": claims.end("options"), "differing": claims.end("differing")}
    differing = list(_differing(_recipes(result)))
    if not differing:
        return Finding("All runs have the same recipe.", records, chapter="answer", rank=6)
    named = differing[:MOST_NAMED]
    more = [f"{len(differing) - MOST_NAMED} more"] if len(differing) > MOST_NAMED else []
    sentence = f"Their recipes differ in {{differing:option}} of {{options}}: {literal(listed([*named, *more]))}."
    return Finding(sentence, records, chapter="answer", rank=6)
