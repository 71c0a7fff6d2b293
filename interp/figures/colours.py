"""The colours of reports and figures, by role; each in the light and the dark theme."""

from __future__ import annotations

from typing import Any

# Okabe and Ito for series, the same meaning everywhere; (light theme, dark theme).
COLOURS = {
    "train": ("#0072B2", "#56A8DC"),
    "test": ("#D55E00", "#F08A4B"),
    "restricted": ("#009E73", "#3CC79C"),
    "excluded": ("#CC79A7", "#E39BC3"),
    "all": ("#4A5160", "#B9BFCA"),
    "novel": ("#8C6D1F", "#E0BE62"),
    "accent": ("#B0412E", "#E8705A"),
    "abandoned": ("#E2A23B", "#EDB95E"),
    "quiet": ("#B9BDC9", "#565D6B"),
    "ink": ("#1B1F27", "#ECECE6"),
    "muted": ("#5C6370", "#9AA1AE"),
    "grid": ("#E9E9E5", "#2B303A"),
    "paper": ("#FDFDFB", "#14171C"),
    "fitting": ("#8D8DAA", "#7C7C9C"),
    "plateau": ("#2A9D8F", "#38B2A3"),
    "generalised": ("#E9B95C", "#D9A849"),
}
SCALES = {
    "sequential": (
        ["#FDFDFB", "#C9DAE3", "#7FA9BF", "#2F6F8F", "#0B2239"],
        ["#14171C", "#1E3A4A", "#2F6F8F", "#7DB4CC", "#F0F6F8"],
    ),
    "order": (["#E9C9AE", "#E8813F", "#7A1710"], ["#7A3A22", "#E8813F", "#F7DFC9"]),
    "diverging": (
        ["#8E3B1F", "#DDA083", "#FDFDFB", "#86AFC9", "#0B4A78"],
        ["#F29B73", "#8A4B33", "#14171C", "#2F6183", "#7FC0EC"],
    ),
}


def resolved(value: Any, theme: int = 0) -> Any:
    """Colour roles replaced by the theme's colours: 0 light, 1 dark."""
    if isinstance(value, str) and value.startswith("role:"):
        role = value.removeprefix("role:")
        if role in SCALES:
            scale = SCALES[role][theme]
            return [[place / (len(scale) - 1), colour] for place, colour in enumerate(scale)]
        return COLOURS[role][theme]
    if isinstance(value, dict):
        return {key: resolved(part, theme) for key, part in value.items()}
    return [resolved(part, theme) for part in value] if isinstance(value, list) else value
