"""What measures of irreducible representations share: which of them are key, losses with and without them, panels.

A function of the group has a part in each irrep, its isotypic part; these parts are orthogonal and sum to the function.
"""

from __future__ import annotations

from typing import Literal

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.group import Group
from interp.errors import InterpError, NothingToSay
from interp.findings import Claim, Claims
from interp.maths.cross_entropy import of_log_odds
from interp.maths.rounding import NEGLIGIBLE, settled

KEY = 0.005
"""The trace similarity above which Chughtai et al. count an irrep to the key ones."""
IrrepKeys = Literal["final", "checkpoint"] | list[str]
"""The irreps that count as the circuit's, by a rule or as they are listed by name:

- final: those whose trace similarity with the last checkpoint's logits is above 0.005 (Chughtai et al. 2023);
- checkpoint: those of the checkpoint that is measured.
"""


def names(group: Group) -> tuple[str, ...]:
    """The labels of the axis `irrep`."""
    return tuple(irrep.name for irrep in group.irreps)


def characters(group: Group) -> Float[Tensor, "irrep element"]:
    """The characters of all irreps over the reals."""
    return torch.stack([irrep.character for irrep in group.irreps])


def key_irreps(checkpoint: Checkpoint, group: Group, keys: IrrepKeys) -> Bool[Tensor, " irrep"]:
    """True at the irreps that `keys` names.

    Raises InterpError where a listed name is that of none, NothingToSay where the logits tell of none.
    """
    if isinstance(keys, list):
        unknown = next((name for name in keys if name not in names(group)), None)
        if unknown is not None:
            raise InterpError(
                f"keys: {unknown} is no irrep of {group.description}; they are {', '.join(names(group)[:12])}"
                + (", …" if len(group.irreps) > 12 else "")
            )
        return torch.tensor([name in keys for name in names(group)])
    if keys == "checkpoint":
        return checkpoint.measure("irrep_order").key
    try:
        return checkpoint.run.final.measure("irrep_order").key
    except NothingToSay as reason:
        raise NothingToSay(f"the last checkpoint has no key irreps: {reason}") from None


def isotypic(
    group: Group, functions: Float[Tensor, "element ..."]
) -> tuple[Float[Tensor, "row ..."], Int[Tensor, " row"]]:
    """The coefficients of functions of the group in its real Fourier basis, and the irrep of each row, by number."""
    basis, irrep = group.basis
    return (basis @ functions.flatten(1)).unflatten(1, functions.shape[1:]), irrep


def power(group: Group, functions: Float[Tensor, "element column"]) -> Float[Tensor, "irrep column"]:
    """The square of each function's part in each irrep; over all irreps they sum to the function's."""
    coefficient, irrep = isotypic(group, functions)
    return coefficient.new_zeros(len(group.irreps), functions.shape[1]).index_add(0, irrep, coefficient.square())


class MeanLoss:
    """The mean over many pairs of cross-entropies given by log-odds, added up a block of pairs at a time."""

    def __init__(self, rounding: Float[Tensor, ""] | float = 0.0) -> None:
        """`rounding` is what rounding may add to the logits."""
        self._moves = (0.0,) if float(rounding) < NEGLIGIBLE else (0.0, -2 * float(rounding), 2 * float(rounding))
        self._sums: list[Tensor | float] = [0.0] * len(self._moves)
        self._count: Tensor | float = 0.0

    def add(self, log_odds: Float[Tensor, "pair number"], weight: Float[Tensor, " pair"]) -> None:
        """Add pairs, each as often as its weight says."""
        for place, move in enumerate(self._moves):
            self._sums[place] = self._sums[place] + weight @ of_log_odds(log_odds + move if move else log_odds)
        self._count = self._count + weight.sum()

    @property
    def value(self) -> Float[Tensor, " number"]:
        """The means; NaN where there are no pairs, or rounding decides them."""
        means = [torch.as_tensor(total) / self._count for total in self._sums]
        return means[0] if len(means) == 1 else settled(*means)


def restricted_log_odds(
    kept: Float[Tensor, "answer c number"], answers: Int[Tensor, " answer"]
) -> Float[Tensor, "answer number"]:
    """The log-odds against the answer where the logits of every pair of an answer are those `kept`."""
    place = torch.arange(len(kept))
    margins = kept - kept[place, answers][:, None]
    margins[place, answers] = -torch.inf
    return margins.logsumexp(1)


def with_keys_together(
    parts: Float[Tensor, "... irrep"], key: Bool[Tensor, " irrep"]
) -> Float[Tensor, "... irrep_and_keys"]:
    """The part of each irrep, and last that of all key irreps together."""
    return torch.cat([parts, parts[..., key].sum(-1, keepdim=True)], dim=-1)


def key_words(claims: Claims, most: int = 8) -> tuple[str, dict[str, Claim]]:
    """The key irreps at the end in words, "the key irreps sign and standard", and their records."""
    records = {"key_irreps": claims.end("key", "labels"), "keys": claims.end("key", "count")}
    if not records["keys"].value:
        return "", records
    if records["keys"].value <= most:
        return "the key {key_irreps:irrep}", records
    return "the {keys} key irreps", records


def highlight(result: xr.Dataset) -> dict[str, xr.DataArray]:
    """The key irreps of each step in the accent's colour."""
    return {"accent": result.key}
