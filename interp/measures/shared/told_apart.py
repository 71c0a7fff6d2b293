"""What a finding says where a measure cannot tell a checkpoint from the one before."""

from __future__ import annotations

from interp.findings import Claim, Claims


def remark(claims: Claims, records: dict[str, Claim], because: str) -> str:
    """A sentence to follow another, where there are such checkpoints, its records added to the others; else ""."""
    records |= {"not_told_apart": claims.end("not_told_apart"), "changes": claims.end("changes")}
    if not records["not_told_apart"].value:
        return ""
    return f" Of {{changes:later checkpoint}} {{not_told_apart}} cannot be told from the one before: {because}."
