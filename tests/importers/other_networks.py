"""Networks as other people write them: norms, gates, any row of tokens, one-hot operands, heads apart, positions.

Each learns x+y mod 11 from all pairs in seconds, and has a state dict in its own author's words.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

P = 11
Activation = Callable[[Tensor], Tensor]


def pairs() -> Tensor:
    return torch.cartesian_prod(torch.arange(P), torch.arange(P))


def causal_mask(n: int) -> Tensor:
    return torch.full((n, n), -torch.inf).triu(1)


class BareNorm(nn.LayerNorm):
    def __init__(self, d: int) -> None:
        super().__init__(d, elementwise_affine=False)


class RMSNorm(nn.RMSNorm):
    def __init__(self, d: int) -> None:
        super().__init__(d, eps=1e-5)


class Block(nn.Module):
    """Attention and MLP on a residual stream, with norms before, after or nowhere."""

    def __init__(
        self,
        d: int = 32,
        norm: str = "pre",
        kind: type[nn.Module] = nn.LayerNorm,
        act: Activation = functional.relu,
        gated: bool = False,
        scale: bool = True,
        residual: bool = True,
        causal: bool = True,
        beside: bool = False,
        keys: int = 4,
    ) -> None:
        super().__init__()
        self.norm, self.act, self.gated, self.scale, self.stream = norm, act, gated, scale, float(residual)
        self.causal, self.beside = causal, beside
        self.d_head = d // 4
        self.q, self.k, self.v, self.o = (
            nn.Linear(d, out, bias=False) for out in (d, keys * self.d_head, keys * self.d_head, d)
        )
        if norm:
            self.ln1, self.ln2 = kind(d), kind(d)
        self.up, self.down = nn.Linear(d, 3 * d), nn.Linear(3 * d, d)
        if gated:
            self.gate = nn.Linear(d, 3 * d)

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(2, (-1, self.d_head)).transpose(1, 2) for part in (self.q, self.k, self.v))
        k, v = (part.expand(q.shape) if part.shape[1] == 1 else part for part in (k, v))
        scores = q @ k.transpose(2, 3) / (math.sqrt(q.shape[-1]) if self.scale else 1)
        if self.causal:
            scores = scores + causal_mask(x.shape[1])
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def feed(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.gate(x)) * self.up(x) if self.gated else self.act(self.up(x)))

    def forward(self, x: Tensor) -> Tensor:
        if self.beside:  # attention and MLP read the same
            return x + (
                self.attend(self.ln1(x)) + self.feed(self.ln2(x)) if self.norm else self.attend(x) + self.feed(x)
            )
        if self.norm == "pre":
            x = self.stream * x + self.attend(self.ln1(x))
            return self.stream * x + self.feed(self.ln2(x))
        x = self.stream * x + self.attend(x)
        x = self.ln1(x) if self.norm else x
        x = self.stream * x + self.feed(x)
        return self.ln2(x) if self.norm else x


class Decoder(nn.Module):
    """A row of tokens through blocks; the answer is read at its last one."""

    def __init__(
        self,
        row: str = "a b =",
        ids: dict[str, int] | None = None,
        first: int = 0,
        n_layers: int = 1,
        final: bool = True,
        tied: bool = False,
        positions: bool = True,
        unused: int = 0,
        read: int | None = -1,
        every_logit: bool = False,
        **block: object,
    ) -> None:
        super().__init__()
        self.row, self.first, self.read, self.every_logit = row.split(), first, read, every_logit
        words = [word for word in dict.fromkeys(self.row) if word not in "ab"]
        self.ids = ids or {word: P + place for place, word in enumerate(words)}
        self.tok_emb = nn.Embedding(P + len(words) + unused, 32)
        self.pos_emb = nn.Embedding(len(self.row) + 1, 32) if positions else None
        self.layers = nn.ModuleList(Block(**block) for _ in range(n_layers))  # pyright: ignore[reportArgumentType]
        self.ln_f = block.get("kind", nn.LayerNorm)(32) if final else nn.Identity()  # pyright: ignore[reportCallIssue]
        self.head = None if tied else nn.Linear(32, P + len(words) + unused, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        a, b = pairs.T
        residues = {"a": a + self.first, "b": b + self.first}
        tokens = torch.stack([residues.get(word, torch.full_like(a, self.ids.get(word, 0))) for word in self.row], 1)
        x = self.tok_emb(tokens)
        if self.pos_emb is not None:
            x = x + self.pos_emb.weight[: len(self.row)]
        for layer in self.layers:
            x = layer(x)
        x = self.ln_f(x)
        x = x.mean(dim=1) if self.read is None else x[:, self.read]
        logits = x @ self.tok_emb.weight.T if self.head is None else self.head(x)
        return logits if self.every_logit else logits[:, self.first : self.first + P]


class TorchEncoder(nn.Module):
    """torch's own encoder layers, which see every position."""

    def __init__(self, norm_first: bool, n_layers: int = 1) -> None:
        super().__init__()
        self.embedding, self.positional = nn.Embedding(P + 1, 32), nn.Parameter(torch.randn(3, 32) / 6)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0, batch_first=True, norm_first=norm_first)
        norm = nn.LayerNorm(32) if norm_first else None
        self.encoder = nn.TransformerEncoder(layer, n_layers, norm=norm, enable_nested_tensor=False)
        self.fc_out = nn.Linear(32, P)

    def forward(self, pairs: Tensor) -> Tensor:
        tokens = torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1)
        return self.fc_out(self.encoder(self.embedding(tokens) + self.positional)[:, -1])


class Tutorial(nn.Module):
    """That of PyTorch's tutorial on nn.Transformer: embeddings times √d_model, sines and cosines, positions first."""

    def __init__(self, n_layers: int = 1, d: int = 32) -> None:
        super().__init__()
        angle = torch.arange(5000)[:, None] * torch.exp(torch.arange(0, d, 2) * (-math.log(10_000) / d))
        pe = torch.stack([angle.sin(), angle.cos()], dim=2).reshape(5000, 1, d)
        self.pos_encoder = nn.Module()
        self.pos_encoder.register_buffer("pe", pe)
        layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0)
        self.transformer_encoder = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
        self.embedding, self.linear = nn.Embedding(P + 1, d), nn.Linear(d, P + 1)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def forward(self, pairs: Tensor) -> Tensor:
        tokens = torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1).T  # [pos, pair]
        x = self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim) + self.get_buffer("pos_encoder.pe")[:3]
        mask = nn.Transformer.generate_square_subsequent_mask(3, dtype=x.dtype)
        return self.linear(self.transformer_encoder(x, mask))[-1, :, :P]


class Conv1D(nn.Module):
    """GPT-2's linear map, whose weight is [in, out]."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(d_in, d_out) / 6), nn.Parameter(torch.zeros(d_out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class GPT2(nn.Module):
    """Hugging Face's names for GPT-2: Conv1D, one matrix for query, key and value, a tied readout, masks saved."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        block = {
            "ln_1": nn.LayerNorm(d),
            "attn": nn.ModuleDict({"c_attn": Conv1D(d, 3 * d), "c_proj": Conv1D(d, d)}),
            "ln_2": nn.LayerNorm(d),
            "mlp": nn.ModuleDict({"c_fc": Conv1D(d, 4 * d), "c_proj": Conv1D(4 * d, d)}),
        }
        block["attn"].register_buffer("bias", torch.ones(8, 8).tril().reshape(1, 1, 8, 8))
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(P + 1, d),
                "wpe": nn.Embedding(8, d),
                "h": nn.ModuleList([nn.ModuleDict(block)]),
                "ln_f": nn.LayerNorm(d),
            }
        )

    def forward(self, pairs: Tensor) -> Tensor:
        parts = self.transformer
        tokens = torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1)
        x = parts["wte"](tokens) + parts["wpe"].weight[:3]
        for block in parts["h"]:  # pyright: ignore[reportGeneralTypeIssues]
            q, k, v = (
                part.unflatten(2, (4, -1)).transpose(1, 2)
                for part in block["attn"]["c_attn"](block["ln_1"](x)).chunk(3, dim=2)
            )
            pattern = (q @ k.transpose(2, 3) / math.sqrt(8) + causal_mask(3)).softmax(-1)
            x = x + block["attn"]["c_proj"]((pattern @ v).transpose(1, 2).flatten(2))
            hidden = functional.gelu(block["mlp"]["c_fc"](block["ln_2"](x)), approximate="tanh")
            x = x + block["mlp"]["c_proj"](hidden)
        return (parts["ln_f"](x)[:, -1] @ parts["wte"].weight.T)[:, :P]


class Llama(nn.Module):
    """Hugging Face's names for Llama: RMSNorm, rotary positions without a key in the file, SwiGLU.

    `interleaved`, it turns neighbouring dimensions, as Meta's own code does, by the product of complex numbers.
    """

    def __init__(self, d: int = 32, hidden: int = 48, interleaved: bool = False) -> None:
        super().__init__()
        self.interleaved = interleaved

        def linear(d_in: int, d_out: int) -> nn.Linear:
            return nn.Linear(d_in, d_out, bias=False)

        names = ("q_proj", "k_proj", "v_proj", "o_proj")
        mlp = {"gate_proj": linear(d, hidden), "up_proj": linear(d, hidden), "down_proj": linear(hidden, d)}
        layer = {
            "self_attn": nn.ModuleDict({name: linear(d, d) for name in names}),
            "mlp": nn.ModuleDict(mlp),
            "input_layernorm": RMSNorm(d),
            "post_attention_layernorm": RMSNorm(d),
        }
        layers = nn.ModuleList([nn.ModuleDict(layer)])
        self.model = nn.ModuleDict({"embed_tokens": nn.Embedding(P + 1, d), "layers": layers, "norm": RMSNorm(d)})
        self.lm_head = linear(d, P + 1)

    def turned(self, x: Tensor) -> Tensor:
        """Rotate the first half of each head against the second by the position times 10000^(-2i/d_head)."""
        half = x.shape[-1] // 2
        angle = torch.arange(x.shape[2])[:, None] / 10_000 ** (torch.arange(half) / half)
        if self.interleaved:
            turns = torch.polar(torch.ones_like(angle), angle)
            return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (half, 2)).contiguous()) * turns).flatten(
                -2
            )
        first, second = x[..., :half], x[..., half:]
        cos, sin = angle.cos(), angle.sin()
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.model["embed_tokens"](torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1))
        for layer in self.model["layers"]:  # pyright: ignore[reportGeneralTypeIssues]
            attn, mlp, normed = layer["self_attn"], layer["mlp"], layer["input_layernorm"](x)
            q, k, v = (attn[f"{kind}_proj"](normed).unflatten(2, (4, -1)).transpose(1, 2) for kind in "qkv")
            scores = self.turned(q) @ self.turned(k).transpose(2, 3) / math.sqrt(8) + causal_mask(3)
            x = x + attn["o_proj"]((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
            normed = layer["post_attention_layernorm"](x)
            x = x + mlp["down_proj"](functional.silu(mlp["gate_proj"](normed)) * mlp["up_proj"](normed))
        return self.lm_head(self.model["norm"](x)[:, -1])[:, :P]


class Head(nn.Module):
    def __init__(self, d: int, d_head: int) -> None:
        super().__init__()
        self.Wq, self.Wk, self.Wv = (nn.Linear(d, d_head, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q = self.Wq(x)
        scores = q @ self.Wk(x).transpose(1, 2) / math.sqrt(q.shape[-1]) + causal_mask(x.shape[1])
        return scores.softmax(-1) @ self.Wv(x)


class HeadsApart(nn.Module):
    """The names of Power et al.'s code: heads apart, norms after the sublayers, sines and cosines in a buffer."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        attention = nn.ModuleDict(
            {"attn_heads": nn.ModuleList(Head(d, 8) for _ in range(4)), "Wo": nn.Linear(d, d, bias=False)}
        )
        ffn = nn.Sequential(nn.Linear(d, 4 * d, bias=False), nn.ReLU(), nn.Linear(4 * d, d, bias=False))
        block = {
            "self_attn": attention,
            "self_attn_norm": nn.LayerNorm(d),
            "ffn": nn.ModuleDict({"ffn": ffn}),
            "ffn_norm": nn.LayerNorm(d),
        }
        self.embedding = nn.Embedding(P + 2, d)
        angle = torch.arange(50)[:, None] / 10_000 ** (torch.arange(0, d, 2) / d)
        encoding = torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
        self.register_buffer("position_encoding", encoding)
        self.register_buffer("self_attn_mask", torch.ones(50, 50).tril())
        self.decoder = nn.ModuleDict({"blocks": nn.ModuleList([nn.ModuleDict(block)])})
        self.linear = nn.Linear(d, P + 2, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        a, b = pairs.T + 2
        tokens = torch.stack([a, torch.zeros_like(a), b, torch.ones_like(a)], dim=1)  # residues begin at 2
        x = self.embedding(tokens) + self.position_encoding[:4]
        for block in self.decoder["blocks"]:  # pyright: ignore[reportGeneralTypeIssues]
            heads = torch.cat([head(x) for head in block["self_attn"]["attn_heads"]], dim=-1)
            x = block["self_attn_norm"](x + block["self_attn"]["Wo"](heads))
            x = block["ffn_norm"](x + block["ffn"]["ffn"](x))
        return self.linear(x[:, -1])[:, 2:]


class OneHot(nn.Module):
    """A perceptron on one-hot operands, side by side or added."""

    def __init__(self, *widths: int, added: bool = False, bias: bool = True, basis: bool = False) -> None:
        super().__init__()
        self.added = added
        sizes = [P if added else 2 * P, *widths, P]
        self.layers = nn.ModuleList(nn.Linear(d_in, d_out, bias=bias) for d_in, d_out in itertools.pairwise(sizes))
        if basis:
            self.register_buffer("fourier_basis", torch.randn(P, P))

    def forward(self, pairs: Tensor) -> Tensor:
        x = functional.one_hot(pairs, P).to(self.layers[0].weight.dtype)  # pyright: ignore[reportArgumentType]
        x = x.sum(dim=1) if self.added else x.flatten(1)
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


class Squares(nn.Module):
    """Gromov's network: W x, squared, and W again, on one-hot operands."""

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        self.W1 = nn.Parameter(torch.randn(hidden, 2 * P) / math.sqrt(2 * P))
        self.W2 = nn.Parameter(torch.randn(P, hidden) / math.sqrt(hidden))

    def forward(self, pairs: Tensor) -> Tensor:
        x = functional.one_hot(pairs, P).to(self.W1).flatten(1)
        return (x @ self.W1.T).square() @ self.W2.T


class Tables(nn.Module):
    """A table for each operand: added and squared, or linear maps of one-hot operands, side by side before an MLP."""

    def __init__(self, added: bool, d: int = 32) -> None:
        super().__init__()
        self.added = added
        if added:
            self.E_A, self.E_B = nn.Embedding(P, 3 * d), nn.Embedding(P, 3 * d)
            self.W_out = nn.Linear(3 * d, P, bias=False)
        else:
            self.embed1, self.embed2 = nn.Linear(P, d, bias=False), nn.Linear(P, d, bias=False)
            self.linear1, self.unembed = nn.Linear(2 * d, 3 * d, bias=False), nn.Linear(3 * d, P)

    def forward(self, pairs: Tensor) -> Tensor:
        if self.added:
            return self.W_out((self.E_A(pairs[:, 0]) + self.E_B(pairs[:, 1])).square())
        a, b = functional.one_hot(pairs, P).to(self.linear1.weight.dtype).unbind(1)
        return self.unembed(self.linear1(torch.cat([self.embed1(a), self.embed2(b)], dim=1)).relu())


class LayersApart(nn.Module):
    """A linear map for each one-hot operand, added with both their biases, or multiplied without any."""

    def __init__(self, multiplied: bool = False, hidden: int = 64) -> None:
        super().__init__()
        self.multiplied = multiplied
        self.U, self.V = (nn.Linear(P, hidden, bias=not multiplied) for _ in range(2))
        self.W = nn.Linear(hidden, P, bias=not multiplied)

    def forward(self, pairs: Tensor) -> Tensor:
        a, b = functional.one_hot(pairs, P).to(self.W.weight.dtype).unbind(1)
        return self.W(self.U(a) * self.V(b) if self.multiplied else (self.U(a) + self.V(b)).relu())


class NormedPerceptron(nn.Module):
    """A perceptron on embeddings with a norm before its activation."""

    def __init__(self, kind: Callable[[int], nn.Module], d: int = 32) -> None:
        super().__init__()
        self.embed, self.fc1, self.norm, self.fc2 = nn.Embedding(P, d), nn.Linear(d, 64), kind(64), nn.Linear(64, P)

    def forward(self, pairs: Tensor) -> Tensor:
        return self.fc2(self.norm(self.fc1(self.embed(pairs).sum(dim=1))).relu())


class OneAboveTheOther(nn.Module):
    """A perceptron whose one table has a row for each residue as a, and further rows for b."""

    def __init__(self, d: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(2 * P, d)
        self.fc1, self.fc2, self.fc3 = nn.Linear(2 * d, 64), nn.Linear(64, 48), nn.Linear(48, P)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.fc1(self.embed(pairs + torch.tensor([0, P])).flatten(1)).relu()
        return self.fc3(self.fc2(x).relu())


class WayAround(nn.Module):
    """A perceptron on embeddings whose second hidden layer is added to what it reads."""

    def __init__(self, d: int = 24) -> None:
        super().__init__()
        self.embed, self.fc1 = nn.Embedding(P, d), nn.Linear(2 * d, 64)
        self.fc2, self.fc3 = nn.Linear(64, 64), nn.Linear(64, P)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.fc1(self.embed(pairs).flatten(1)).relu()
        return self.fc3(x + self.fc2(x).relu())


class NoMLP(nn.Module):
    """Attention alone."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.embed, self.pos, self.unembed = nn.Embedding(P + 1, d), nn.Embedding(3, d), nn.Linear(d, P)
        self.attn = nn.MultiheadAttention(d, 4, batch_first=True)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.embed(torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1)) + self.pos.weight
        return self.unembed((x + self.attn(x, x, x)[0])[:, -1])


class GatedByOrder(nn.Module):
    """torch's attention, and a gated MLP whose three layers are only numbered."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.embed, self.pos_emb = nn.Embedding(P + 1, d), nn.Parameter(torch.randn(3, d) / 6)
        self.attn = nn.MultiheadAttention(d, 4, bias=False, batch_first=True)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(d, 3 * d), "fc2": nn.Linear(d, 3 * d), "fc3": nn.Linear(3 * d, d)})
        self.unembed = nn.Linear(d, P, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.embed(torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1)) + self.pos_emb
        x = (x + self.attn(x, x, x)[0])[:, -1]
        return self.unembed(x + self.mlp["fc3"](functional.silu(self.mlp["fc1"](x)) * self.mlp["fc2"](x)))


class TableInDecoder(nn.Module):
    """The names of an encoder-decoder's half: its table is decoder.embed_tokens, and the readout is apart."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        tables = {"embed_tokens": nn.Embedding(P + 1, d), "embed_positions": nn.Embedding(3, d)}
        self.decoder = nn.ModuleDict({**tables, "layers": nn.ModuleList([Block()]), "layer_norm": nn.LayerNorm(d)})
        self.lm_head = nn.Linear(d, P + 1, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.decoder["embed_tokens"](torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1))
        x = x + self.decoder["embed_positions"].weight
        for layer in self.decoder["layers"]:  # pyright: ignore[reportGeneralTypeIssues]
            x = layer(x)
        return self.lm_head(self.decoder["layer_norm"](x)[:, -1])[:, :P]


class GateSecond(nn.Module):
    """The names of lucidrains's blocks: to_qkv, to_out, and value and gate of a gated MLP in one map, proj_in."""

    def __init__(self, of_heads: bool = False, d: int = 32, hidden: int = 48) -> None:
        super().__init__()
        self.token_emb, self.pos_emb = nn.Embedding(P + 1, d), nn.Embedding(3, d)
        block = nn.ModuleDict({"norm1": nn.LayerNorm(d), "to_qkv": nn.Linear(d, 3 * d, bias=False)})
        block["to_out"] = nn.Sequential(nn.Linear(d, d), nn.Dropout(0.0))
        maps = {"proj_in": nn.Linear(d, 2 * hidden), "proj_out": nn.Linear(hidden, d)}
        block["ff"] = nn.ModuleDict({"norm": nn.LayerNorm(d), **maps})
        if of_heads:
            block.update({"q_norm": nn.LayerNorm(8), "k_norm": nn.LayerNorm(8)})
        self.of_heads = of_heads
        self.layers = nn.ModuleList([block])
        self.final_norm, self.to_logits = nn.LayerNorm(d), nn.Linear(d, P + 1, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.token_emb(torch.cat([pairs, torch.full((len(pairs), 1), P)], dim=1)) + self.pos_emb.weight
        for block in self.layers:
            maps: nn.ModuleDict = block  # pyright: ignore[reportAssignmentType]
            q, k, v = (
                part.unflatten(2, (4, -1)).transpose(1, 2) for part in maps["to_qkv"](maps["norm1"](x)).chunk(3, dim=-1)
            )
            if self.of_heads:
                q, k = maps["q_norm"](q), maps["k_norm"](k)
            z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + maps["to_out"](z.transpose(1, 2).flatten(2))
            feed: nn.ModuleDict = maps["ff"]  # pyright: ignore[reportAssignmentType]
            value, gate = feed["proj_in"](feed["norm"](x)).chunk(2, dim=-1)
            x = x + feed["proj_out"](value * functional.silu(gate))
        return self.to_logits(self.final_norm(x)[:, -1])[:, :P]


class Recurrent(nn.Module):
    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.embed, self.lstm, self.fc = nn.Embedding(P, d), nn.LSTM(d, d, batch_first=True), nn.Linear(d, P)

    def forward(self, pairs: Tensor) -> Tensor:
        return self.fc(self.lstm(self.embed(pairs))[0][:, -1])


class TiedPerceptron(nn.Module):
    """One table reads the operands and writes the answer."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.embed, self.fc = nn.Embedding(P, d), nn.Linear(2 * d, d)

    def forward(self, pairs: Tensor) -> Tensor:
        return self.fc(self.embed(pairs).flatten(1)).relu() @ self.embed.weight.T


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "LayerNorm before": lambda: Decoder(),
    "LayerNorm before, none at the end": lambda: Decoder(final=False),
    "LayerNorm after": lambda: Decoder(norm="post", final=False),
    "RMSNorm before": lambda: Decoder(kind=RMSNorm),
    "LayerNorm without parameters": lambda: Decoder(kind=BareNorm),
    "two layers": lambda: Decoder(n_layers=2),
    "a op b =": lambda: Decoder(row="a op b ="),
    "words before residues": lambda: Decoder(row="a op b =", ids={"op": 0, "=": 1}, first=2),
    "SwiGLU": lambda: Decoder(gated=True, act=functional.silu),
    "x²": lambda: Decoder(norm="", final=False, act=torch.square),
    "no scale of the scores": lambda: Decoder(norm="", final=False, scale=False),
    "no residual stream": lambda: Decoder(norm="", final=False, residual=False),
    "tied": lambda: Decoder(tied=True),
    "no positions": lambda: Decoder(positions=False),
    "torch's encoder, norms after": lambda: TorchEncoder(False),
    "torch's encoder, norms before": lambda: TorchEncoder(True),
    "torch's encoder, two layers": lambda: TorchEncoder(False, 2),
    "PyTorch's tutorial": Tutorial,
    "op a b": lambda: Decoder(row="op a b", norm="", final=False),
    "op a b, no positions": lambda: Decoder(row="op a b", norm="", final=False, positions=False),
    "GPT-2": GPT2,
    "Llama": Llama,
    "Llama, interleaved": lambda: Llama(interleaved=True),
    "a layer for each one-hot operand": LayersApart,
    "heads apart": HeadsApart,
    "one-hot": lambda: OneHot(64),
    "one-hot, no biases": lambda: OneHot(64, bias=False),
    "one-hot, added": lambda: OneHot(48, 32, added=True),
    "one-hot, added, no biases": lambda: OneHot(64, added=True, bias=False),
    "one-hot, deep": lambda: OneHot(48, 40, 32),
    "one-hot, a basis beside": lambda: OneHot(64, basis=True),
    "squares": Squares,
    "tied perceptron": TiedPerceptron,
    "rows for words that the row does not hold": lambda: Decoder(row="a op b =", ids={"op": P, "=": P + 2}, unused=1),
    "read at a": lambda: Decoder(row="a b", read=0, causal=False),
    "two tables, added and squared": lambda: Tables(added=True),
    "two tables in linear layers": lambda: Tables(added=False),
    "one table for a and for b": OneAboveTheOther,
    "gated by order": GatedByOrder,
    "a table in the decoder": TableInDecoder,
    "value before gate": GateSecond,
    "tables of a round number of rows": lambda: Decoder(unused=20, every_logit=True),
}
REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "one key for all queries": (lambda: Decoder(keys=1), "several queries share a key"),
    "a mean over positions": (lambda: Decoder(row="a b", read=None, causal=False), "mean over all positions"),
    "an MLP beside attention": (lambda: Decoder(n_layers=2, beside=True), "read the same and are added, as in GPT-J"),
    "an MLP beside attention, no norm": (
        lambda: Decoder(n_layers=2, norm="", final=False, beside=True),
        "read the same and are added, as in GPT-J",
    ),
    "an MLP beside attention, one layer": (
        lambda: Decoder(row="a b", norm="", final=False, beside=True),
        "read the same and are added, as in GPT-J",
    ),
    "recurrent": (Recurrent, "recurrent network"),
    "bilinear": (lambda: LayersApart(multiplied=True), "the two linear maps of the operands are multiplied"),
    "a perceptron with LayerNorm": (lambda: NormedPerceptron(nn.LayerNorm), "perceptron has none"),
    "a perceptron with BatchNorm": (lambda: NormedPerceptron(nn.BatchNorm1d), "perceptron has none"),
    "a way around a hidden layer": (WayAround, "hidden layers are added to what they read"),
    "norms of queries and keys": (lambda: GateSecond(of_heads=True), "norm of each head's queries or keys"),
    "attention alone": (NoMLP, "no MLP after its attention"),
}
"""Those that interp has no model of, and what the refusal says."""


def taught(name: str) -> tuple[dict[str, Tensor], nn.Module]:
    """The state dict before the first update, and the network after the last."""
    early, network = _taught(name)
    return dict(early), copy.deepcopy(network)


@functools.cache
def _taught(name: str) -> tuple[dict[str, Tensor], nn.Module]:
    torch.manual_seed(0)
    network = NETWORKS[name]() if name in NETWORKS else REFUSED[name][0]()
    early = {key: value.clone() for key, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0.05)
    answers = pairs().sum(dim=1) % P
    for _ in range(400):
        loss = functional.cross_entropy(network(pairs()), answers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss < 2e-3:
            break
    return early, network
