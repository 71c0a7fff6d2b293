"""Dense layers forward and backward by hand, in memory that is used again.

Only the activations are kept from one pass to the other; ReLU's lie in the memory of what goes into the neurons. A
matrix of one column is read as a vector: torch computes such a product in a third of the time. Views are made once for
examples that come again.

One wide layer of ReLU before a single output, as on sparse parity, is what a processor's caches have least room for.
Its gradient needs no second array as large as the activations: with s the slope in the output and U the readout,

    ∂/∂W = Σ x (s U 1[post > 0]) = U Σ (s x) 1[post > 0],

so the inputs are multiplied by s, and the activations become the zeros and ones in their own memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.architecture import Buffers, Weights
from interp.models.shared.activations import ACTIVATIONS, ActFn

WIDE = 128
"""Neurons from which on the activations' memory is the time that counts."""


class DensePasses:
    """The passes of a network of dense layers, the last of which is the readout: `Passes` of the contract."""

    def __init__(
        self,
        layers: Sequence[tuple[str, str]],
        act_fn: ActFn,
        weights: Weights,
        gradients: Weights,
        buffers: Buffers,
    ) -> None:
        """`layers` are the names of each layer's matrix and bias; a bias that there is not is in no dictionary."""
        self._relu = act_fn == "relu"
        self._act, self._buffers = ACTIVATIONS[act_fn], buffers
        self._layers = [_Layer.of(matrix, bias, weights, gradients) for matrix, bias in layers]
        hidden, readout = self._layers[0], self._layers[-1]
        self._by_ones = self._relu and len(layers) == 2 and hidden.width >= WIDE and readout.column is not None
        self._along = torch.empty(0)
        self._room: _Room | None = None

    def outputs(self, inputs: Float[Tensor, "example ..."]) -> Float[Tensor, "example output"]:
        if self._room is None or self._room.inputs is not inputs:
            self._room = self._made(inputs)
        room, x, last = self._room, self._room.read[0], len(self._layers) - 1
        for place, layer in enumerate(self._layers):
            layer.write(x, room.pre[place])
            if place < last:
                x = self._activate(room.pre[place], room.read[place + 1])
        return room.pre[last]

    def write_gradients(self, slope: Float[Tensor, "example output"]) -> None:
        room = self._room
        assert room is not None
        if self._by_ones:
            self._write_by_ones(room, slope)
            return
        along = slope
        for place in reversed(range(len(self._layers))):
            layer = self._layers[place]
            layer.write_gradients(room.transposed[place], along)
            if place:
                along = self._of_pre(layer.back(along, room.slopes[place - 1]), room, place - 1)
        self._along = along

    def of_inputs(self, to: Float[Tensor, "example d_in"]) -> Float[Tensor, "example d_in"]:
        """Write what the inputs of a network of several outputs get, after `write_gradients`."""
        return self._layers[0].back(self._along, to)

    def _write_by_ones(self, room: _Room, slope: Float[Tensor, "example output"]) -> None:
        hidden, readout = self._layers
        post, post_T = room.read[1], room.transposed[1]
        readout.write_gradients(post_T, slope)
        post.sign_()  # 1 where a neuron is on
        torch.mul(room.read[0], slope, out=room.scaled)
        torch.mm(room.scaled.T, post, out=hidden.of_W).mul_(readout.W_T)
        if hidden.of_b is not None and readout.column:
            torch.mv(post_T, slope[:, 0], out=hidden.of_b).mul_(readout.column[0])

    def _activate(
        self, pre: Float[Tensor, "example neuron"], post: Float[Tensor, "example neuron"]
    ) -> Float[Tensor, "example neuron"]:
        return pre.relu_() if self._relu else post.copy_(self._act(pre))

    def _of_pre(self, of_post: Float[Tensor, "example neuron"], room: _Room, place: int) -> Tensor:
        """The derivative in what goes into the neurons, in the memory of that in their activations."""
        if self._relu:
            return torch.ops.aten.threshold_backward.grad_input(of_post, room.read[place + 1], 0, grad_input=of_post)
        with torch.enable_grad():
            pre = room.pre[place].detach().requires_grad_()
            (of_pre,) = torch.autograd.grad(self._act(pre), pre, of_post)
        return of_post.copy_(of_pre)

    def _made(self, inputs: Float[Tensor, "example ..."]) -> _Room:
        """The views for these inputs."""
        x, n = inputs.flatten(1), len(inputs)
        shapes = [(n, layer.width) for layer in self._layers]
        pre = [self._buffers(f"pre {place}", shape) for place, shape in enumerate(shapes)]
        hidden = list(enumerate(shapes[:-1]))
        post = [pre[place] if self._relu else self._buffers(f"post {place}", shape) for place, shape in hidden]
        read = [x, *post]
        scaled = self._buffers("scaled", tuple(x.shape)) if self._by_ones else x
        slopes = [] if self._by_ones else [self._buffers(f"slope {place}", shape) for place, shape in hidden]
        return _Room(inputs, read, [one.T for one in read], pre, slopes, scaled)


@dataclass(frozen=True)
class _Room:
    """The memory of a pass over certain inputs, as views of buffers that all passes share."""

    inputs: Float[Tensor, "example ..."]
    read: Sequence[Float[Tensor, "example _"]]
    """What each layer reads: the inputs as vectors, and activations."""
    transposed: Sequence[Float[Tensor, "_ example"]]
    pre: Sequence[Float[Tensor, "example _"]]
    """What each layer writes; of the readout, the outputs."""
    slopes: Sequence[Float[Tensor, "example _"]]
    """Memory for the derivatives in each hidden layer's activations."""
    scaled: Float[Tensor, "example d_in"]
    """Memory for the inputs times the slope."""


@dataclass(frozen=True)
class _Layer:
    """A layer's weights and the memory of their gradients; of a matrix of one column, both as vectors too."""

    W: Float[Tensor, "d_in d_out"]
    W_T: Float[Tensor, "d_out d_in"]
    b: Float[Tensor, " d_out"] | None
    of_W: Float[Tensor, "d_in d_out"]
    of_b: Float[Tensor, " d_out"] | None
    column: tuple[Float[Tensor, " d_in"], Float[Tensor, " d_in"]] | None

    @classmethod
    def of(cls, matrix: str, bias: str, weights: Weights, gradients: Weights) -> _Layer:
        W, of_W, b = weights[matrix], gradients[matrix], weights.get(bias)
        column = (W[:, 0], of_W[:, 0]) if W.shape[1] == 1 else None
        return cls(W, W.T, b, of_W, gradients.get(bias), column)

    @property
    def width(self) -> int:
        return self.W.shape[1]

    def write(self, x: Float[Tensor, "example d_in"], pre: Float[Tensor, "example d_out"]) -> None:
        """Write x @ W + b."""
        if self.column:
            torch.mv(x, self.column[0], out=pre.view(-1))
            if self.b is not None:
                pre.add_(self.b)
        elif self.b is None:
            torch.mm(x, self.W, out=pre)
        else:
            torch.addmm(self.b, x, self.W, out=pre)

    def write_gradients(self, x_T: Float[Tensor, "d_in example"], along: Float[Tensor, "example d_out"]) -> None:
        """Write what the parameters get."""
        if self.column:
            torch.mv(x_T, along.view(-1), out=self.column[1])
        else:
            torch.mm(x_T, along, out=self.of_W)
        if self.of_b is not None:
            torch.sum(along, 0, out=self.of_b)

    def back(
        self, along: Float[Tensor, "example d_out"], to: Float[Tensor, "example d_in"]
    ) -> Float[Tensor, "example d_in"]:
        """Write the derivative in what the layer reads."""
        return torch.mul(along, self.W_T, out=to) if self.column else torch.mm(along, self.W_T, out=to)
