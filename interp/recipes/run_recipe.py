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
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Required

from pydantic import ConfigDict, Field, PositiveFloat, with_config
from typing_extensions import TypedDict

from interp.catalogue.names import known_names
from interp.catalogue.options import OptionError, checked
from interp.catalogue.signatures import all_parameters, options
from interp.contracts.recipe_file import RecipeFile
from interp.errors import InterpError, NothingToSay
from interp.recipes.call import Call, call_at, files_among, note_problems
from interp.recipes.document import Document, Key, read_document
from interp.recipes.parent import FROM, Parent, parent_in
from interp.recipes.save_schedule import schedule

if TYPE_CHECKING:
    from torch import Tensor

    from interp.contracts.architecture import Architecture
    from interp.contracts.loss import Loss
    from interp.contracts.task import Task

FILE = "run.yaml"
KEYS = {
    "task": "tasks",
    "model": "models",
    "importer": "importers",
    "loss": "losses",
    "training": "",
    FROM: "",
    "text": "",
    "grid": "",
}
"""What a recipe may hold; of what is a name with options, its kind. `grid` makes it that of many: `recipes.grid`."""
CROSS_ENTROPY = Call("losses", "cross_entropy")
"""The loss of a run whose recipe names none."""
MAX_PARAMETERS = 10**9
"""4 GB in float32, and training keeps four times as much."""

Count = Annotated[int, Field(strict=True, gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]


@with_config(ConfigDict(extra="forbid"))
class Save(TypedDict, total=False):
    """At which steps a checkpoint is kept: the options of `save_schedule.schedule`."""

    every: Count
    log: Count
    dense: list[str]


@with_config(ConfigDict(extra="forbid"))
class When(TypedDict, total=False):
    """What ends a training early: every one of these that is given holds."""

    train_loss: PositiveFloat
    test_loss: PositiveFloat
    train_accuracy: Share
    test_accuracy: Share


@with_config(ConfigDict(extra="forbid"))
class Stop(TypedDict, total=False):
    """When a training ends before its last step: asked at the steps that are kept, and at multiples of `every`.

    A loss has come down to the number, an accuracy up to it; where several are given, all of them.
    """

    when: Required[When]
    every: Count


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
    dtype: Literal["float32", "float64"] = "float32"
    """The type of weights, gradients and optimiser state, and of the files."""
    stop: Stop | None = None

    def optimiser_of(self, weights: Mapping[str, Tensor]) -> Any:
        """The `UpdateRule` of the recipe or, where its function takes `weights`, what moves these alone."""
        takes = "weights" in all_parameters("optimisers", self.optimiser.name)
        return self.optimiser(weights) if takes else self.optimiser()


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
    parent: Parent | None = None
    """Where its training starts, unless it is from fresh weights."""

    @property
    def canonical(self) -> str:
        """The same text for the same recipe, whatever its layout: names and options, defaults filled in."""
        told = {"task": _plain(self.task), "model": _plain(self.model), "training": _plain(self.training)}
        return json.dumps(told | ({FROM: self.parent.as_written} if self.parent else {}))


def _plain(value: Any) -> Any:
    if isinstance(value, Call):
        return {value.name: {name: _plain(option) for name, option in sorted(value.options.items())}}
    if isinstance(value, RecipeFile):
        return {"file": value.written, "content": value.digest}
    if isinstance(value, Training):
        unsaid = {
            "loss": CROSS_ENTROPY,
            "interventions": (),
            "dtype": "float32",
            "stop": None,
        }  # in no run begun before these
        parts = sorted(vars(value).items())
        return {name: _plain(part) for name, part in parts if name not in unsaid or part != unsaid[name]}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in sorted(value.items())}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def read(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """The recipe at `path`, with "training.seed=3"-like overrides. Raises InterpError with every mistake at once."""
    document = _document(path, overrides)
    recipe = noted(document)
    document.settle()
    return recipe


def read_to_train(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """The recipe at `path`, what only a training makes tried out too. Raises InterpError as `read` does."""
    document = _document(path, overrides)
    recipe = noted(document, to_train=True)
    document.settle()
    return recipe


def check_names(path: Path, overrides: tuple[str, ...] = ()) -> None:
    """Raises InterpError, with every mistake of the recipe, where a name in it does not exist; imports none of them."""
    document = _document(path, overrides)
    checked_recipe(document)
    if document.misnamed:
        document.settle()


def noted(document: Document, to_train: bool = False) -> Recipe:
    """The recipe in a document, made and tried out; every mistake is noted in the document."""
    recipe = checked_recipe(document)
    if not document.misnamed:
        architecture = _try_out(document, recipe)
        if to_train:
            _try_training(document, recipe.training, architecture)
    return recipe


def _document(path: Path, overrides: tuple[str, ...]) -> Document:
    document = read_document(path)
    for assignment in overrides:
        document.set(assignment)
    return document


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


def checked_recipe(document: Document) -> Recipe:
    """The recipe as far as it could be read, names and options checked; mistakes are noted in the document."""
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
    parent = parent_in(document)
    _check_start(document, parent, training)
    loss = training.loss if training else parts.get("loss") or CROSS_ENTROPY
    text = str(content.get("text") or "")
    importer = parts.get("importer")
    return Recipe(document.path, parts.get("task"), parts.get("model"), training, importer, weights, text, loss, parent)


def _check_start(document: Document, parent: Parent | None, training: Training | None) -> None:
    """Note where a run that starts from another is not trained, or ends before it starts."""
    if FROM in document.content and "training" not in document.content:
        document.problem((FROM,), "a run that starts from another is trained here: give it a 'training' too")
    if parent and training and training.steps <= parent.step:
        told = f"steps is {training.steps:,}, and the run starts at step {parent.step:,} of its parent"
        document.problem(("training", "steps"), f"{told}; steps count on from there: give more than {parent.step:,}")


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
        name = next(iter(listed), "…") if isinstance(listed, dict) else listed
        told = f"interventions is {listed!r}; expected a list of names: interventions: [{name}]"
        document.problem(
            (*key, "interventions"), f"{told}; options of one that the recipe lists may be set by its name"
        )
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


def _try_out(document: Document, recipe: Recipe) -> Architecture | None:
    """Make what the recipe names, so that values that do not go together are told with their line; the network made."""
    architecture, task = None, _made(document, ("task",), recipe.task)
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
    return architecture


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


def _try_training(document: Document, training: Training | None, architecture: Architecture | None) -> None:
    """Make what only a training makes: an optimiser takes torch seconds to load, which a reader need not wait for."""
    import torch

    if training:
        if architecture:
            optimising = _Optimising(training.optimiser.name, training)
            weights = {name: torch.zeros(1) for name in architecture.shapes}
            _made(document, ("training", "optimiser"), optimising, weights)
        for place, intervention in enumerate(training.interventions):
            acting = _Acting(intervention.name, intervention, architecture.task if architecture else None)
            _made(document, ("training", "interventions", place), acting)


@dataclass(frozen=True)
class _Optimising:
    """Makes the optimiser of a training."""

    name: str
    training: Training

    def __call__(self, weights: Mapping[str, Tensor]) -> Any:
        from interp.contracts.optimiser import UpdateRule

        made = self.training.optimiser_of(weights)
        if isinstance(made, UpdateRule):
            made.check(weights)
        return made


@dataclass(frozen=True)
class _Acting:
    """Makes an intervention, and asks it whether it can act on the task."""

    name: str
    intervention: Call
    task: Task | None

    def __call__(self) -> None:
        made = self.intervention()
        if self.task is not None:
            made.check(self.task)


def _made(document: Document, key: Key, call: Call | _Suiting | _Optimising | _Acting | None, *ours: Any) -> Any:
    try:
        return call(*ours) if call else None
    except InterpError as error:
        document.problem(key, str(error))
        return None
    except (ValueError, IndexError, RuntimeError, OverflowError) as error:
        document.problem(key, f"{call.name if call else key[-1]}: {(str(error).splitlines() or [''])[0]}")
        return None
