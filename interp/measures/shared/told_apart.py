"""What a finding says where numbers are too small or too much alike to be told apart."""

from __future__ import annotations

from collections.abc import Mapping

from interp.findings import Claim, Claims


def remark(claims: Claims, records: dict[str, Claim], because: str) -> str:
    """A sentence to follow another, where there are such checkpoints, its records added to the others; else ""."""
    records |= {"not_told_apart": claims.end("not_told_apart"), "changes": claims.end("changes")}
    if not records["not_told_apart"].value:
        return ""
    if records["changes"].value == 1:
        return f" The later checkpoint cannot be told from the one before: {because}."
    return f" Of {{changes:later checkpoint}} {{not_told_apart}} cannot be told from the one before: {because}."


def remark_on_zero(records: Mapping[str, Claim]) -> str:
    """Words to follow losses of which one is 0, which says only how small it is; else ""."""
    zero = any(record.unit == "nats" and record.value == 0 for record in records.values())
    return " (where 0 stands for less than 5×10⁻³²⁴, the smallest number of float64)" if zero else ""
