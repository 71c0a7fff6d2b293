"""How one number went over a run, in the words that every measure uses for it."""

from __future__ import annotations

from typing import Any

from interp.findings.claim import Claim
from interp.findings.claims import Claims

Course = tuple[str, dict[str, Claim]]
"""A piece of a sentence, and its records."""


def course(claims: Claims, array: str, form: str = "3", unit: str = "", **labels: Any) -> Course:
    """How the array went: "goes from {start} to {turn} at {turn_step:step} and ends at {end}".

    It is told where it turns only if it is then, as it is written in this form, beyond both ends. `unit`, "%" or a
    noun, follows every number. Raises UndefinedError where the array has no number at any step.
    """
    start, end = claims.start(array, **labels), claims.end(array, **labels)
    turns = [claims.highest(array, **labels), claims.lowest(array, **labels)]
    records = {"start": start, "end": end, "highest": turns[0], "lowest": turns[1]}
    written = {key: format(record, form) for key, record in records.items()}
    told = records | {"highest_step": claims.step_of(turns[0]), "lowest_step": claims.step_of(turns[1])}

    def put(key: str) -> str:
        return f"{{{key}:{form} {unit.removesuffix('s')}}}" if unit.isalpha() else f"{{{key}:{form}}}{unit}"

    beyond = [key for key in ("highest", "lowest") if written[key] not in (written["start"], written["end"])]
    if start.step == end.step:
        return f"is {put('end')}", told
    if len(set(written.values())) == 1:
        return f"stays at {put('end')}", told
    if not beyond:
        return f"goes from {put('start')} to {put('end')}", told
    turn = max(beyond, key=lambda key: _beyond(records[key].value, start.value, end.value))
    back = "comes back to" if written["start"] == written["end"] else "ends at"
    at = f"{put(turn)} at {{{turn}_step:step}}"
    return f"goes from {put('start')} to {at} and {back} {put('end')}", told


def _beyond(turn: float, start: float, end: float) -> float:
    """How far a value lies beyond the nearer of the two ends."""
    return min(abs(turn - start), abs(turn - end))
