"""A convolution on graphs whose matrix a perceptron makes of each edge.

The matrix of an edge is linear in the perceptron's hidden layer, Θ = Σ_k h_k W_k + b. So each node is multiplied by all
W_k once, and edges mix what comes of it: no matrix is ever made for an edge.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import relu

from interp.contracts.architecture import Weights
from interp.contracts.graphs import Parts
from interp.models.shared.operations import affine


class EdgeConvolution(NamedTuple):
    W_edge: Float[Tensor, "edge_feature d_edge"]
    b_edge: Float[Tensor, " d_edge"]
    W_message: Float[Tensor, "d_edge d_in d_out"]
    b_message: Float[Tensor, "d_in d_out"]
    W_root: Float[Tensor, "d_in d_out"]
    b_root: Float[Tensor, " d_out"]

    @classmethod
    def of(cls, weights: Weights, layer: str) -> EdgeConvolution:
        """Return the weights of the layer of this name."""
        return cls(*(weights[f"{layer}.{name}"] for name in cls._fields))

    def of_graphs(self, x: Float[Tensor, "graph node d_in"], parts: Parts) -> Float[Tensor, "graph node d_out"]:
        """Return what each node gets, itself and along its edges."""
        hidden = relu(affine(parts.edges, self.W_edge, self.b_edge)) * parts.linked[..., None]
        sent = torch.einsum("gjd,kdo->gjko", x, self.W_message)  # [graph, source, d_edge, d_out]
        along = torch.einsum("gijk,gjko->gio", hidden, sent)
        alike = parts.linked @ (x @ self.b_message)
        return along + alike + affine(x, self.W_root, self.b_root)
