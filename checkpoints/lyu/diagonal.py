"""A two-layer diagonal linear network, as in Lyu et al. 2023."""

import torch
from torch import nn


class Diagonal(nn.Module):
    """f(x) = Σ_i (u_i² - v_i²) x_i, in which all of u and v start at alpha, so that f starts at 0."""

    def __init__(self, n=500, alpha=1.0):
        super().__init__()
        self.u = nn.Parameter(torch.full((n,), float(alpha)))
        self.v = nn.Parameter(torch.full((n,), float(alpha)))

    def forward(self, x):
        return x @ ((self.u - self.v) * (self.u + self.v))[:, None]
