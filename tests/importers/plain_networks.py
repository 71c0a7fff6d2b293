"""Networks as people write them in plain PyTorch, each in its own words, and a training loop to teach them."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

P = 7


class SeparateProjections(nn.Module):
    """A transformer on [a, b, =] with a Linear for each of query, key and value, all merged over the heads."""

    def __init__(self, d: int = 24, heads: int = 4, hidden: int = 40) -> None:
        super().__init__()
        self.heads = heads
        self.token_embedding = nn.Embedding(P + 1, d)
        self.position_embedding = nn.Parameter(torch.randn(3, d) / d**0.5)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.ff = nn.Sequential(nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, d))
        self.lm_head = nn.Linear(d, P + 1, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        tokens = torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1)
        x = self.token_embedding(tokens) + self.position_embedding
        q, k, v = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]) + torch.full((3, 3), -torch.inf).triu(1)
        x = x + self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return self.lm_head((x + self.ff(x))[:, -1])


class TorchAttention(nn.Module):
    """A transformer on [a, b] with torch's own attention, biases and all, its output only over the residues."""

    def __init__(self, d: int = 24, heads: int = 2, hidden: int = 40) -> None:
        super().__init__()
        self.embed = nn.Embedding(P, d)
        self.pos = nn.Embedding(2, d)
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)
        for bias in (self.attention.in_proj_bias, self.attention.out_proj.bias):
            nn.init.normal_(bias, std=0.1)
        self.linear1, self.linear2 = nn.Linear(d, hidden), nn.Linear(hidden, d)
        self.output = nn.Linear(d, P)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.embed(pairs) + self.pos.weight
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.output((x + self.linear2(relu(self.linear1(x))))[:, -1])


class TwoLayers(nn.Module):
    """Two causal blocks, GELU, numbered as GPT-2's are, with one matrix for query, key and value."""

    def __init__(self, d: int = 24, heads: int = 3, hidden: int = 32) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(P + 1, d), nn.Embedding(3, d)
        self.h = nn.ModuleList(GPTBlock(d, heads, hidden) for _ in range(2))
        self.head = nn.Linear(d, P + 1, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        tokens = torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1)
        x = self.wte(tokens) + self.wpe.weight
        for block in self.h:
            x = block(x)
        return self.head(x[:, -1])


class GPTBlock(nn.Module):
    def __init__(self, d: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(d, 3 * d, bias=False), "c_proj": nn.Linear(d, d, bias=False)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(d, hidden), "c_proj": nn.Linear(hidden, d)})
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.attn["c_attn"](x).chunk(3, dim=2)
        )
        pattern = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]) + self.mask).softmax(-1)
        x = x + self.attn["c_proj"]((pattern @ v).transpose(1, 2).flatten(2))
        return x + self.mlp["c_proj"](nn.functional.gelu(self.mlp["c_fc"](x)))


class Perceptron(nn.Module):
    """One embedding for both operands, side by side, in a Sequential whose names are numbers."""

    def __init__(self, d: int = 16, hidden: int = 48) -> None:
        super().__init__()
        self.embedding = nn.Embedding(P, d)
        self.net = nn.Sequential(nn.Linear(2 * d, hidden), nn.ReLU(), nn.Linear(hidden, P))

    def forward(self, pairs: Tensor) -> Tensor:
        return self.net(self.embedding(pairs).flatten(1))


class DeepAddedPerceptron(nn.Module):
    """Embeddings added, two hidden layers of the embedding's own width: square matrices."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.emb = nn.Embedding(P, d)
        self.fc1, self.fc2, self.fc_out = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, P, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.emb(pairs[:, 0]) + self.emb(pairs[:, 1])
        return self.fc_out(relu(self.fc2(relu(self.fc1(x)))))


class BareParameters(nn.Module):
    """Matrices applied as x @ W, a table for each operand, no module in sight."""

    def __init__(self, d: int = 16, hidden: int = 40) -> None:
        super().__init__()
        self.W_x = nn.Parameter(torch.randn(P, d) / d**0.5)
        self.W_y = nn.Parameter(torch.randn(P, d) / d**0.5)
        self.W = nn.Parameter(torch.randn(2 * d, hidden) / d**0.5)
        self.W_U = nn.Parameter(torch.randn(hidden, P) / hidden**0.5)

    def forward(self, pairs: Tensor) -> Tensor:
        return relu(torch.cat([self.W_x[pairs[:, 0]], self.W_y[pairs[:, 1]]], dim=1) @ self.W) @ self.W_U


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    network.__name__: network
    for network in (
        SeparateProjections,
        TorchAttention,
        TwoLayers,
        Perceptron,
        DeepAddedPerceptron,
        BareParameters,
    )
}


MODELS = {
    "SeparateProjections": {"transformer": {"d_model": 24, "n_heads": 4, "d_mlp": 40}},
    "TorchAttention": {"transformer": {"d_model": 24, "n_heads": 2, "d_mlp": 40, "row": "a b", "biases": "all"}},
    "TwoLayers": {"transformer": {"n_layers": 2, "d_model": 24, "n_heads": 3, "d_mlp": 32, "act_fn": "gelu"}},
    "Perceptron": {"mlp": {"d_model": 16, "d_mlp": 48, "shared_embedding": True, "biases": "all"}},
    "DeepAddedPerceptron": {
        "mlp": {
            "d_model": 32,
            "d_mlp": 32,
            "n_layers": 2,
            "shared_embedding": True,
            "combine": "added",
            "biases": "hidden",
        }
    },
    "BareParameters": {"mlp": {"d_model": 16, "d_mlp": 40}},
}
"""Each as a model of ours: as a run.yaml says it."""


def pairs() -> Tensor:
    return torch.cartesian_prod(torch.arange(P), torch.arange(P))


def taught(name: str) -> nn.Module:
    """The network after learning all of x+y mod 7."""
    return copy.deepcopy(_taught(name))


@functools.cache
def _taught(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1)
    answers = pairs().sum(dim=1) % P
    for _ in range(400):
        loss = cross_entropy(network(pairs()), answers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss < 1e-3:
            break
    return network
