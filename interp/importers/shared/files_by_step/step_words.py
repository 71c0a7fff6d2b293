"""Numbers in names, and which of them speak of a step: "epoch=99-val_loss=3.14" speaks of epoch 99."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from interp.importers.shared.files_by_step.places import Unit

STEP = re.compile(r"(steps?|iters?|iterations?|updates?)($|_)|(^|_)its?($|_)")
EPOCH = re.compile(r"epochs?|(^|_)ep($|_)")
STEPS = ("step", "steps", "iter", "iters", "iteration", "iterations", "update", "updates")
EPOCHS = ("epoch", "epochs")
SAVED = ("ckpt", "chkpt", "checkpoint", "checkpoints")
SHORT = {"it": "step", "its": "step", "ep": "epoch", "ckp": "saved", "cp": "saved"}
RUNS = {
    "seed",
    "s",
    "rs",
    "run",
    "version",
    "v",
    "ver",
    "trial",
    "fold",
    "exp",
    "experiment",
    "replicate",
    "rep",
    "job",
}
SETTINGS = RUNS | {
    "p", "mod", "modulus", "lr", "wd", "decay", "bs", "batch", "b", "d", "dim", "width", "hidden", "h",
    "heads", "head", "nheads", "layers", "layer", "l", "depth", "frac", "train", "test", "alpha", "beta",
    "eps", "dropout", "loss", "acc", "accuracy", "val", "n", "k", "q", "size", "gpu", "rank", "shard", "part",
    "config", "cfg", "c", "id", "of", "wandb",
}  # fmt: skip
LETTERS = {"b", "c", "d", "h", "k", "l", "n", "q", "v"}
"""Settings where the number follows at once, d128; d_5 may be anything."""
METRICS = ("loss", "acc", "accuracy", "val", "test", "train")
"""Words before a fraction that was measured; before any other it was set, and tells runs apart."""
SETTING_ENDS = ("seed", "loss", "acc", "accuracy", "size", "decay", "rate", "dim", "layers", "heads", "frac")
NUMBER = r"\d+(?:[_,]\d{3})+(?!\d)|\d+[eE]\+?\d+|\d+(?:\.\d+)?[kKM](?![A-Za-z0-9])|\d+"
"""A step as it may be written: 40000, 40,000, 1_000, 1e4, 1.5k."""

_TOKEN = re.compile(
    r"""
    (?P<date>(?<!\d)(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])
        (?:[-_T\ ]+\d\d[-_:.h]?\d\d(?:[-_:.m]?\d\d)?)?(?!\d))
    |(?P<clock>(?<!\d)\d\d[-:]\d\d[-:]\d\d(?!\d))
    |(?P<hash>(?<![A-Za-z0-9])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{7,}(?![A-Za-z0-9]))
    |(?P<fraction>\d+\.\d+(?:[eE][-+]?\d+)?(?![kKM\d])|\d+[eE]-\d+)
    |(?P<thousands>\d{1,3}(?:,\d{3})+(?!\d))
    |(?P<power>\d+[eE]\+?\d+(?![A-Za-z0-9]))
    |(?P<short>\d+(?:\.\d+)?[kKM](?![A-Za-z0-9]))
    |(?P<number>\d+)
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"([A-Za-z]+)[\s_=\-:#]*$")
Kind = Literal["step", "epoch", "saved", "plain", "setting", "run", "no"]
RANK: dict[Kind, int] = {"step": 0, "epoch": 1, "saved": 2}


@dataclass(frozen=True)
class Slot:
    """A number in a name, and what the word before it says of it."""

    start: int
    end: int
    value: int | None
    """None where it is no whole number."""
    kind: Kind


def slots(name: str, underscored: bool = False, grouped: bool = True) -> list[Slot]:
    """The numbers in a name, in order; dates, hashes and fractions among them are of kind "no".

    1_000 is one number after a word for steps, unless not `grouped`, or where `underscored`; else it is two.
    """
    found: list[Slot] = []
    place = 0
    while match := _TOKEN.search(name, place):
        start, end = match.span()
        word = _WORD.search(name[:start])
        said = word[1].lower() if word else ""
        kind = _kind(said, apart=bool(word) and word[0][len(word[1]) :] not in ("", "="))
        thousands = re.compile(r"[1-9]\d{0,2}(?:_\d{3})+(?![\d.])").match(name, start)
        if match.lastgroup == "number" and thousands and ((grouped and kind in RANK) or underscored):
            end = thousands.end()
        value = None if match.lastgroup in ("date", "clock", "hash", "fraction") else number(name[start:end])
        attached = name[end : end + 1].isalpha() or (match.lastgroup == "number" and 10**9 < (value or 0) < 2 * 10**9)
        set_so = match.lastgroup == "fraction" and kind in ("setting", "run") and not said.endswith(METRICS)
        found.append(Slot(start, end, value, "no" if (value is None or attached) and not set_so else kind))
        place = end
    return found


def number(text: str) -> int | None:
    """The whole number that a text such as 1_000, 40,000, 1e4 or 1.5k is; None of any other."""
    text = text.replace(",", "").replace("_", "")
    factor = {"k": 10**3, "K": 10**3, "M": 10**6}.get(text[-1:], 1)
    mantissa, _, power = text.rstrip("kKM").replace("E", "e").partition("e")
    whole, _, decimals = mantissa.partition(".")
    if not (whole + decimals).isdigit() or len(whole + decimals) > 18 or not (power.lstrip("+") or "0").isdigit():
        return None
    if len(power) > 2:
        return None
    scaled, rest = divmod(int(whole + decimals) * factor * 10 ** int(power or 0), 10 ** len(decimals))
    return None if rest else scaled


def key_step(key: Any) -> int | None:
    """The step that a key in a file is: 0, 0.0, "0", "epoch_0", "step=100"; None of any other."""
    if isinstance(key, int | float) and not isinstance(key, bool):
        return int(key) if key >= 0 and key == key // 1 else None
    if not isinstance(key, str):
        return None
    if key.isdigit():
        return int(key)
    found = slots(key)
    return found[0].value if len(found) == 1 and found[0].kind in RANK and found[0].end == len(key) else None


def unit_of(name: str) -> Unit:
    """What a name that speaks of steps counts: epochs, or updates."""
    return "epoch" if EPOCH.search(name.lower()) and not STEP.search(name.lower()) else "step"


def _kind(word: str, apart: bool) -> Kind:
    if apart and word in LETTERS:
        return "plain"
    if word in SHORT:
        return SHORT[word]  # type: ignore[return-value]
    for kind, words in (("step", STEPS), ("epoch", EPOCHS), ("saved", SAVED)):
        if word.endswith(words):
            return kind  # type: ignore[return-value]
    if word in RUNS or word.endswith("seed"):
        return "run"
    return "setting" if word in SETTINGS or word.endswith(SETTING_ENDS) else "plain"
