"""What a run's verdict was before its last one, each with its first step."""

from __future__ import annotations

from collections.abc import Mapping

from interp.findings import Claims, Finding
from interp.summaries import listed


def earlier_verdicts(claims: Claims, begin: str, in_words: Mapping[str, str], rank: int) -> list[Finding]:
    """Tell which of the verdicts that have words held on the way, `begin` before them; nothing, where none did."""
    verdicts = [str(verdict) for verdict in claims.result.verdict.values]
    told, records = [], {}
    for verdict in dict.fromkeys(verdicts):
        if verdict not in in_words or verdict == verdicts[-1]:
            continue
        step = int(claims.result.step[verdicts.index(verdict)])
        records[verdict] = claims.at(step, "verdict")
        records[f"{verdict}_step"] = claims.step_of(records[verdict])
        told.append(f"{in_words[verdict]} at {{{verdict}_step:step}}")
    return [Finding(f"{begin} {listed(told)}.", records, chapter="when", rank=rank)] if told else []
