"""A run's recipe, `run.yaml`: what was to be learnt, by what network, and where the weights come from.

It is checked in two steps. Names, options and values are checked against the source, so that a mistyped one is told
at once; where all names exist, what they name is made, so that values that do not go together are told too.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import typing
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from interp.catalogue.names import known_names
from interp.catalogue.options import OptionError, checked
from interp.catalogue.signatures import options
from interp.contracts.recipe_file import RecipeFile
from interp.errors import NothingToSay
from interp.recipes.call import Call, call_at, files_among, note_problems
from interp.recipes.document import Document, Key, read_document
from interp.recipes.save_schedule import schedule

if TYPE_CHECKING:
    from interp.contracts.loss import Loss
    from interp.contracts.task import Task

FILE = "run.yaml"
KEYS = {"task": "tasks", "model": "models", "importer": "importers", "loss": "losses", "training": "", "text": ""}
"""What a recipe may hold; of what is a name with options, its kind."""
CROSS_ENTROPY = Call("losses", "cross_entropy")
"""The loss of a run whose recipe names none."""
MAX_PARAMETERS = 10**9
"""4 GB in float32, and training keeps four times as much."""

Count = Annotated[int, Field(strict=True, gt=0)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]


@with_config(ConfigDict(extra="forbid"))
class Save(TypedDict, total=False):
    """At which steps a checkpoint is kept: the options of `save_schedule.schedule`."""

    every: Count
    log: Count
    dense: list[str]


@dataclass(frozen=True)
class Training:
    """How a run is trained here; what may stand under `training:` in a recipe."""

    steps: Count
    optimiser: Call
    loss: Call = CROSS_ENTROPY
    interventions: tuple[Call, ...] = ()
    seed: Seed = 0
    save: Save = field(default_factory=lambda: Save(every=100))
    batch_size: Count | None = None


@dataclass(frozen=True)
class Recipe:
    """`run.yaml`, checked."""

    path: Path
    task: Call | None
    model: Call | None
    training: Training | None
    importer: Call | None
    weights: Path | None
    """What the importer reads; None: the folder itself."""
    text: str
    loss: Call = CROSS_ENTROPY
    """What it was trained with; of a run of somebody else's the recipe may say it."""

    @property
    def canonical(self) -> str:
        """The same text for the same recipe, whatever its layout: names and options, defaults filled in."""
        return json.dumps({"task": _plain(self.task), "model": _plain(self.model), "training": _plain(self.training)})


def _plain(value: Any) -> Any:
    if isinstance(value, Call):
        return {value.name: {name: _plain(option) for name, option in sorted(value.options.items())}}
    if isinstance(value, RecipeFile):
        return {"file": value.written, "content": value.digest}
    if isinstance(value, Training):
        unsaid = {"loss": CROSS_ENTROPY, "interventions": ()}  # as in runs begun before recipes could say them
        parts = sorted(vars(value).items())
        return {name: _plain(part) for name, part in parts if name not in unsaid or part != unsaid[name]}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in sorted(value.items())}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def read(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """The recipe at `path`, with "training.seed=3"-like overrides. Raises InterpError with every mistake at once."""
    document, recipe = _checked(path, overrides)
    if not document.misnamed:
        _try_out(document, recipe)
    document.settle()
    return recipe


def read_to_train(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """The recipe at `path`, what only a training makes tried out too. Raises InterpError as `read` does."""
    document, recipe = _checked(path, overrides)
    if not document.misnamed:
        _try_out(document, recipe)
        _try_training(document, recipe.training)
    document.settle()
    return recipe


def check_names(path: Path, overrides: tuple[str, ...] = ()) -> None:
    """Raises InterpError, with every mistake of the recipe, where a name in it does not exist; imports none of them."""
    document, _ = _checked(path, overrides)
    if document.misnamed:
        document.settle()


def files_beside(document: Document) -> dict[str, str]:
    """The files that the task and the model of a recipe name, by option as --set writes it: "task.examples.file"."""
    found = {}
    for key in ("task", "model"):
        named = document.content.get(key)
        for name, given in named.items() if isinstance(named, dict) else ():
            if isinstance(given, dict) and name in known_names(KEYS[key]):
                told = {option: value for option, value in given.items() if option in options(KEYS[key], name)}
                found |= {f"{key}.{name}.{one}": str(given[one]) for one in files_among(KEYS[key], name, told)}
    return found


def _checked(path: Path, overrides: tuple[str, ...]) -> tuple[Document, Recipe]:
    """The recipe as far as it could be read, and the document with its mistakes."""
    document = read_document(path)
    for assignment in overrides:
        document.set(assignment)
    content = document.content
    document.check_keys("a run", content, tuple(KEYS))
    weights = _weights(document)
    parts = {
        key: call_at(document, (key,), content[key], kind) for key, kind in KEYS.items() if kind and key in content
    }
    training = _training(document, content["training"]) if "training" in content else None
    for key in ("task", "model"):
        if "importer" not in content and key not in content:
            document.problem((), f"a run needs {key!r}")
    if "importer" in content:
        _leave_split_unknown(parts.get("task"), content.get("task"))
    if "training" in content and "importer" in content:
        document.problem(("importer",), "a run is trained here or imported: give 'training' or 'importer', not both")
    if "training" in content and "loss" in content:
        document.problem(("loss",), "the loss of a run that is trained here stands in its training: {loss: …}")
    loss = training.loss if training else parts.get("loss") or CROSS_ENTROPY
    text = str(content.get("text") or "")
    importer = parts.get("importer")
    return document, Recipe(path, parts.get("task"), parts.get("model"), training, importer, weights, text, loss)


def _weights(document: Document) -> Path | None:
    """Take `path` out of the importer's options: it is relative to the recipe, variables are expanded."""
    importer = document.content.get("importer")
    if not isinstance(importer, dict) or len(importer) != 1:
        return None
    ((name, options),) = importer.items()
    if not isinstance(options, dict) or "path" not in options:
        return None
    given = options.pop("path")
    if not isinstance(given, str):
        document.problem(("importer", name, "path"), f"path is {given!r}; expected a file or folder")
        return None
    return document.path.parent / Path(os.path.expandvars(given)).expanduser()


def _leave_split_unknown(task: Call | None, given: Any) -> None:
    """How somebody else split is known only where the recipe says it."""
    options = next(iter(given.values()), None) if isinstance(given, dict) else None
    if task is not None and "split" in task.options and "split" not in (options or {}):
        task.options["split"] = "unknown"


def _training(document: Document, given: Any) -> Training | None:
    """What stands under `training`; mistakes are noted in `document`, and None is returned where there are any."""
    key: Key = ("training",)
    if not isinstance(given, dict):
        document.problem(key, "training should be names and values: steps, optimiser, loss, seed, save")
        return None
    listed = given.get("interventions", [])
    if not isinstance(listed, list):
        document.problem((*key, "interventions"), f"interventions is {listed!r}; expected a list of names")
        listed = []
    parts = {
        "optimiser": call_at(document, (*key, "optimiser"), given.get("optimiser", "adamw"), "optimisers"),
        "loss": call_at(document, (*key, "loss"), given["loss"], "losses") if "loss" in given else CROSS_ENTROPY,
    }
    acting = [
        call_at(document, (*key, "interventions", place), one, "interventions") for place, one in enumerate(listed)
    ]
    calls = {**parts, "interventions": tuple(acting)}
    hints = typing.get_type_hints(Training, include_extras=True)
    schema = {one.name: (Any if one.name in calls else hints[one.name], _default(one)) for one in fields(Training)}
    try:
        values = checked("training", schema, {**{str(name): value for name, value in given.items()}, **calls})
        schedule(values["steps"], **values["save"])
    except OptionError as error:
        note_problems(document, key, error)
        return None
    except ValueError as error:
        document.problem((*key, "save"), f"save is {values['save']!r}: {error}")
        return None
    return None if None in (*parts.values(), *acting) else Training(**values)


def _default(one: Any) -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return ... if one.default is MISSING else one.default


def _try_out(document: Document, recipe: Recipe) -> None:
    """Make what the recipe names, so that values that do not go together are told with their line."""
    task = _made(document, ("task",), recipe.task)
    if task is not None:
        architecture = _made(document, ("model",), recipe.model, task)
        parameters = sum(map(math.prod, architecture.shapes.values())) if architecture else 0
        if parameters > MAX_PARAMETERS:
            document.problem(
                ("model",), f"a network of {parameters:,} parameters; at most {MAX_PARAMETERS:,} are tried"
            )
    key = ("training", "loss") if recipe.training else ("loss",)
    loss = _made(document, key, recipe.loss)
    if task is not None and loss is not None:
        _made(document, key, _Suiting(recipe.loss.name, loss), task)


@dataclass(frozen=True)
class _Suiting:
    """Tries a loss on the targets of a task."""

    name: str
    loss: Loss

    def __call__(self, task: Task) -> None:
        """Raises ValueError where two examples show that the loss is not for targets of this kind."""
        import torch

        with contextlib.suppress(NothingToSay):  # nothing is known of the task
            targets = task.targets[:2]
            self.loss.per_example(torch.zeros(len(targets), task.n_outputs), targets)


def _try_training(document: Document, training: Training | None) -> None:
    """Make what only a training makes: an optimiser takes torch seconds to load, which a reader need not wait for."""
    import torch

    if training:
        _made(document, ("training", "optimiser"), training.optimiser, [torch.zeros(1)])
        for place, intervention in enumerate(training.interventions):
            _made(document, ("training", "interventions", place), intervention)


def _made(document: Document, key: Key, call: Call | _Suiting | None, *ours: Any) -> Any:
    try:
        return call(*ours) if call else None
    except (ValueError, IndexError, RuntimeError, OverflowError) as error:
        document.problem(key, f"{call.name if call else key[-1]}: {(str(error).splitlines() or [''])[0]}")
        return None
