"""The passes of a perceptron on the sum of two embeddings, in memory that is used again.

The sum of a pair's rows is a product with the table, x = C E, where C counts how often each row is looked up; so what
the table gets is Cᵀ times what x gets of the perceptron.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Buffers, Weights
from interp.models.shared.activations import ActFn
from interp.models.shared.dense_passes import DensePasses


class EmbeddedSumPasses:
    """Forward and backward pass of layers on E[a] + E[b]: `Passes` of the contract."""

    def __init__(
        self,
        table: str,
        layers: Sequence[tuple[str, str]],
        act_fn: ActFn,
        weights: Weights,
        gradients: Weights,
        buffers: Buffers,
    ) -> None:
        """`table` is the name of E, `layers` are those of each layer's matrix and bias."""
        self._E, self._of_E, self._buffers = weights[table], gradients[table], buffers
        self._dense = DensePasses(layers, act_fn, weights, gradients, buffers)
        self._inputs: Tensor | None = None

    def outputs(self, inputs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair output"]:
        if self._inputs is not inputs:
            eye = torch.eye(len(self._E)).to(self._E)
            self._inputs, self._counts = inputs, eye[inputs[:, 0]] + eye[inputs[:, 1]]  # C, [pair, p]
            shape = (len(inputs), self._E.shape[1])
            self._x, self._of_x = (self._buffers(name, shape) for name in ("x", "of x"))
        torch.mm(self._counts, self._E, out=self._x)
        return self._dense.outputs(self._x)

    def write_gradients(self, slope: Float[Tensor, "pair output"]) -> None:
        self._dense.write_gradients(slope)
        torch.mm(self._counts.T, self._dense.of_inputs(self._of_x), out=self._of_E)
