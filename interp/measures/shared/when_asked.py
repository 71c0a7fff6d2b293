"""A checkpoint's activations, computed when one of them is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from interp.checkpoints import Checkpoint


class WhenAsked(Mapping[str, Tensor]):
    """For what asks them only of a network with norms: the weights of all others tell alone, and sooner."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def __getitem__(self, name: str) -> Tensor:
        return self._checkpoint.activations[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._at_hand)

    def __len__(self) -> int:
        return len(self._at_hand)

    @property
    def _at_hand(self) -> Mapping[str, Tensor]:
        """All of them; none of a network of so many logits that they would have to be computed for this alone."""
        return self._checkpoint.activations if self._checkpoint.few else {}
