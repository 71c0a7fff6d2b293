"""What is asked for: measures with their options, each under a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from interp.catalogue.options import checked_options
from interp.errors import InterpError
from interp.recipes.call import Call
from interp.recipes.step_choice import Steps, check


@dataclass(frozen=True)
class Ask:
    """One measure asked for: a node of the result."""

    label: str
    call: Call
    steps: Steps = None
    """Its own steps, where they differ from the others'."""

    @property
    def measure(self) -> str:
        return self.call.name

    @property
    def options(self) -> dict[str, Any]:
        return self.call.options


def asks(measures: str | Iterable[Any] | Mapping[str, Any]) -> list[Ask]:
    """What was asked for: a name, names, {name: options}, {label: {measure: name, …}}, or Asks themselves.

    Raises InterpError with every unknown name and option at once.
    """
    if isinstance(measures, str):
        measures = [measures]
    items = [measures] if isinstance(measures, Mapping) else list(measures)
    found: list[Ask] = []
    problems: list[str] = []
    for item in items:
        for label, given in [(item, {})] if isinstance(item, str | Ask) else item.items():
            try:
                found.append(label if isinstance(label, Ask) else ask(label, given or {}))
            except InterpError as error:
                problems.append(str(error))
    labels = [one.label for one in found]
    problems += [
        f"{label!r} is asked for twice; give one a label: {{own_name: {{measure: {label}}}}}"
        for label in sorted({label for label in labels if labels.count(label) > 1})
    ]
    if problems:
        raise InterpError("\n".join(problems))
    return found


def ask(label: str, given: Mapping[str, Any]) -> Ask:
    """One measure with its options; `measure` and `steps` are ours. Raises InterpError."""
    options = dict(given)
    measure = options.pop("measure", label)
    own_steps = options.pop("steps", None)
    if own_steps is not None:
        check(own_steps)
    return Ask(label, Call("measures", measure, checked_options("measures", measure, options)), own_steps)
