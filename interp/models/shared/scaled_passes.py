"""The passes of a network whose outputs are multiplied by a number."""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor

from interp.contracts.architecture import Buffers, Passes


class ScaledPasses:
    """Those of the network without it, between which outputs and slope are multiplied: `Passes` of the contract."""

    def __init__(self, of: Passes, scale: float, buffers: Buffers) -> None:
        self._of, self._scale, self._buffers = of, scale, buffers

    def outputs(self, inputs: Shaped[Tensor, "example ..."]) -> Float[Tensor, "example output"]:
        return self._of.outputs(inputs).mul_(self._scale)

    def write_gradients(self, slope: Float[Tensor, "example output"]) -> None:
        scaled = self._buffers("scaled slope", tuple(slope.shape))
        self._of.write_gradients(scaled.copy_(slope).mul_(self._scale))


def scaled(passes: Passes, scale: float, buffers: Buffers) -> Passes:
    """The passes as they are where the scale is 1."""
    return passes if scale == 1 else ScaledPasses(passes, scale, buffers)
