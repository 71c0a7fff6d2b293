"""Names of parameters as curves and rows write them."""

from __future__ import annotations

import re
from collections.abc import Sequence


def short_names(names: Sequence[str]) -> list[str]:
    """The names without their modules, "blocks.0.attn.W_Q" as "W_Q"; in full where two would be alike.

    A norm's keep its own, "blocks.0.ln1.w" as "ln1.w".
    """
    short = [re.sub(r"^.*\.(?=[Wb]_|ln)", "", name) for name in names]
    return [one if short.count(one) == 1 else name for one, name in zip(short, names, strict=True)]
