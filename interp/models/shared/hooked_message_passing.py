"""The model `message_passing` as a hooked module: convolutions, a sum over nodes, a hidden layer and a readout."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from interp.contracts.architecture import Weights
from interp.contracts.graphs import Graphs, Parts
from interp.contracts.hooked_model import HookedModel, HookedPart, HookPoint, register_weights
from interp.models.shared.edge_convolution import EdgeConvolution
from interp.models.shared.hooked_mlp import Hidden, Unembed


class Convolution(HookedPart):
    hook_pre: HookPoint
    hook_post: HookPoint
    W_edge: Float[Tensor, "edge_feature d_edge"]
    b_edge: Float[Tensor, " d_edge"]
    W_message: Float[Tensor, "d_edge d_in d_out"]
    b_message: Float[Tensor, "d_in d_out"]
    W_root: Float[Tensor, "d_in d_out"]
    b_root: Float[Tensor, " d_out"]

    def forward(self, x: Float[Tensor, "batch node d_in"], parts: Parts) -> Float[Tensor, "batch node d_out"]:
        own = EdgeConvolution(*(getattr(self, name) for name in EdgeConvolution._fields))
        return self.hook_post(relu(self.hook_pre(own.of_graphs(x, parts))) * parts.mask[..., None])


class HookedMessagePassing(HookedModel):
    """Called on graphs [batch, node, number], it returns outputs [batch, output]."""

    def __init__(self, task: Graphs, n_layers: int, output_scale: float, weights: Weights) -> None:
        super().__init__()
        self.parts, self.output_scale = task.parts, output_scale
        self.conv = nn.ModuleList(Convolution() for _ in range(n_layers))
        self.hook_pooled = HookPoint()
        self.mlp, self.unembed = Hidden("relu"), Unembed()
        register_weights(self, weights)
        self.setup()

    def forward(self, graphs: Float[Tensor, "batch node number"]) -> Float[Tensor, "batch output"]:
        parts = self.parts(graphs.to(self.unembed.W_U))
        x = parts.nodes
        for layer in self.conv:
            x = layer(x, parts)
        return self.unembed(self.mlp(self.hook_pooled(x.sum(dim=1)))) * self.output_scale
