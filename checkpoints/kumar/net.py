"""A hidden layer whose outputs start at 0 and are made alpha times as large, as in Kumar et al. 2023."""

import torch
from torch import nn


class Net(nn.Module):
    """alpha·(f - g), where f and g are hidden layers of squares on two one-hot residues, over their width.

    Both start with the same weights, so that the outputs start at 0 (Chizat et al. 2019).
    """

    def __init__(self, p=23, width=50, alpha=1.0):
        super().__init__()
        self.scale = alpha / width
        shapes = {"embed_a": (p, width), "embed_b": (p, width), "unembed": (width, p)}
        for name, shape in shapes.items():
            fresh = torch.randn(shape)
            self.register_parameter(name, nn.Parameter(fresh))
            self.register_parameter(f"other_{name}", nn.Parameter(fresh.clone()))

    def forward(self, pairs):
        a, b = pairs[:, 0], pairs[:, 1]
        one = (self.embed_a[a] + self.embed_b[b]).square() @ self.unembed
        other = (self.other_embed_a[a] + self.other_embed_b[b]).square() @ self.other_unembed
        return self.scale * (one - other)
