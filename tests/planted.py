"""Networks with hand-made weights whose algorithm is known, as `make_run` takes them, and their closed forms.

A ring of phases turns ReLU into a multiplication: summed over φ in a ring of N, an odd number,
ReLU(cos(x + φ)) cos(y + 2φ) is N/(3π) cos(2x - y), but for the harmonics of ReLU at 2(N - 1) and above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import interp.models.transformer
from interp.tasks.group_composition import group_composition
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests.tables import grid


@dataclass(frozen=True)
class Planted:
    """`make_run({step: planted.weights}, planted.task, planted.model)`."""

    weights: dict[str, Tensor]
    task: dict[str, Any]
    model: dict[str, Any]


_CLOCK_HARMONIC = 4 / (3 * math.pi**2)
"""The mean of ReLU(cos x + cos y) cos(x + y)."""
_PIZZA_HARMONIC = 2 / (3 * math.pi)
"""The mean of ReLU(2 cos x) cos 2x."""


def clock_logits(p: int, sizes: dict[int, float], sign: int = 1) -> Tensor:
    """Σ_k α_k cos w_k(a ± b - c), [a, b, c]."""
    a, b, c = grid(p)
    nothing = torch.zeros(p, p, p).double()
    return sum((size * torch.cos(_w(p, k) * (a + sign * b - c)) for k, size in sizes.items()), nothing)


def pizza_logits(p: int, sizes: dict[int, float], sign: int = 1) -> Tensor:
    """Σ_k β_k |cos(w_k(a ∓ b)/2)| cos w_k(a ± b - c), [a, b, c]."""
    a, b, _ = grid(p)
    loudness = {k: torch.cos(_w(p, k) * (a - sign * b) / 2).abs() for k in sizes}
    nothing = torch.zeros(p, p, p).double()
    return sum((loudness[k] * clock_logits(p, {k: size}, sign) for k, size in sizes.items()), nothing)


def clock_mlp(p: int = 13, sizes: dict[int, float] | None = None, ring: int = 9) -> Planted:
    """A Clock: each neuron has a phase for a and one for b, all pairs of a ring; operands side by side.

    ReLU(cos(w a + φ) + cos(w b + ψ)), read with cos(w c + φ + ψ).
    """
    W_in, W_U, E = _clock_neurons(p, sizes or {1: 20.0, 3: 15.0}, ring)
    return Planted(
        {"embed_a.W_E": E, "embed_b.W_E": E.clone(), "mlp.W_in": W_in, "unembed.W_U": W_U},
        _sum(p),
        {"mlp": {"d_model": E.shape[1], "d_mlp": W_in.shape[1]}},
    )


def clock_transformer(p: int = 13, sizes: dict[int, float] | None = None, ring: int = 9) -> Planted:
    """The same Clock at the "=" of a transformer: two heads, each looking at one operand, keep them apart."""
    W_in, W_U, E = _clock_neurons(p, sizes or {1: 20.0, 3: 15.0}, ring)
    m = E.shape[1]
    at_a, at_b, flag, written = m, 2 * m, 3 * m, 3 * m + 4
    d_model = written + p + (written + p) % 2
    W_E, W_pos = torch.zeros(p + 1, d_model).double(), torch.zeros(3, d_model).double()
    W_E[:p, :m] = E
    W_pos[:, flag : flag + 3] = torch.eye(3)
    per_head = torch.zeros(2, d_model, d_model // 2).double()
    W_Q, W_K, W_V, W_O = per_head.clone(), per_head.clone(), per_head.clone(), per_head.transpose(1, 2).clone()
    W_Q[:, flag + 2, 0] = 1e5
    W_V[:, :m, :m] = torch.eye(m)
    for head, at in enumerate((at_a, at_b)):
        W_K[head, flag + head, 0] = 1
        W_O[head, :m, at : at + m] = torch.eye(m)
    return _transformer(
        p,
        {"W_E": W_E, "W_pos": W_pos, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O},
        {at_a: W_in[:m], at_b: W_in[m:]},
        W_U,
        written,
        {"n_heads": 2},
    )


def clock_behind_norms(
    p: int = 13, norm: str = "layer", position: str = "pre", final: bool | None = None, ring: int = 9
) -> Planted:
    """The Clock of `clock_transformer`, a norm about each sublayer, which so passes what it reads up to a constant.

    - Every dimension of the residual stream has a mirror image that holds its negative: the stream has no mean, so a
      LayerNorm takes none away. What reads the stream reads one of each pair.
    - The circles have the same length for every residue, so that at each position σ is one number, and the weight of
      the norm is that number: at the operands where attention reads them, else where the answer is read. Only after
      the MLP it wavers, by a hundredth, as far as the ring's harmonics add to the logits.
    """
    plain = clock_transformer(p, ring=ring)
    w, d_model = {}, 2 * plain.model["transformer"]["d_model"]
    for name, value in plain.weights.items():
        short = name.rpartition(".")[2]
        if short in ("W_E", "W_pos", "W_O", "W_out"):  # they write to the stream
            w[name] = torch.cat([value, -value], -1)
        elif short in ("W_Q", "W_K", "W_V", "W_in", "W_U"):
            w[name] = torch.cat([value, torch.zeros_like(value)], -2)
    options = plain.model["transformer"] | {
        "d_model": d_model,
        "d_head": d_model // 4,
        "norm": norm,
        "norm_position": position,
        "final_norm": final,
    }
    architecture = interp.models.transformer.transformer(modular_arithmetic(p), **options)
    names = [name for name in architecture.shapes if name.endswith((".w", ".b"))]
    w |= {name: (torch.ones if name.endswith(".w") else torch.zeros)(d_model).double() for name in names}
    weights = {name: w[name] for name in architecture.shapes}
    _set_scales(architecture, weights)
    return Planted(weights, plain.task, {"transformer": options})


def _set_scales(architecture: Any, weights: dict[str, Tensor]) -> None:
    """Make each norm's weight its mean σ, one norm after another as they are passed."""
    for name in ("blocks.0.ln1", "blocks.0.ln2", "ln_final"):
        if f"{name}.w" in weights:
            _, cache = architecture.hooked(weights).run_with_cache(architecture.tokens(architecture.task.pairs))
            scale = cache[f"{name}.hook_scale"].detach()[..., 0]  # [pair, pos]
            at_operands = architecture.blocks.norm.position == "pre" and name == "blocks.0.ln1"
            weights[f"{name}.w"] = weights[f"{name}.w"] * scale[:, 0 if at_operands else -1].mean()


def pizza_transformer(p: int = 13, sizes: dict[int, float] | None = None, ring: int = 25) -> Planted:
    """A Pizza: constant attention adds the embeddings, each neuron has one phase for their sum.

    ReLU(cos(w a + φ) + cos(w b + φ)), read with cos(w c + 2φ); cos(w a + φ) + cos(w b + φ)
    = 2 cos(w(a - b)/2) cos(w(a + b)/2 + φ).
    """
    W_in, W_U, E = _pizza_neurons(p, sizes or {1: 20.0, 3: 15.0}, ring)
    m = E.shape[1]
    summed, written = m, 2 * m
    d_model = written + p
    W_E = torch.zeros(p, d_model).double()
    W_E[:, :m] = E
    W_V = torch.zeros(1, d_model, d_model).double()
    W_V[0, :m, :m] = torch.eye(m)
    W_O = torch.zeros(1, d_model, d_model).double()
    W_O[0, :m, summed : summed + m] = torch.eye(m)
    nothing = torch.zeros_like(W_V)
    return _transformer(
        p,
        {"W_E": W_E, "W_pos": torch.zeros(2, d_model), "W_Q": nothing, "W_K": nothing, "W_V": W_V, "W_O": W_O},
        {summed: W_in},
        W_U,
        written,
        {"n_heads": 1, "causal": False, "attention_rate": 0.0, "row": "a b"},
    )


def five_neurons(p: int = 7) -> Planted:
    """PAIR's closed form: one circle, five neurons at angles θ and their outputs at 2θ, embedding and unembedding tied.

    A Pizza; exact with x² for neurons, with their ReLU up to the harmonics of a ring of five.
    """
    E = _circle(p, 1)
    angles = 2 * math.pi * torch.arange(5).double() / 5
    W_in = torch.stack([angles.cos(), angles.sin()])
    W_out = torch.stack([(2 * angles).cos(), (2 * angles).sin()], dim=1)
    model = {"d_model": 2, "d_mlp": 5, "shared_embedding": True, "combine": "added"}
    return Planted({"embed.W_E": E, "mlp.W_in": W_in, "unembed.W_U": 20 * W_out @ E.T}, _sum(p), {"mlp": model})


def gromov_mlp(p: int = 23, width: int = 4000, seed: int = 0, size: float = 2.0) -> Planted:
    """Gromov's analytic solution with ReLU in the place of the square, a Clock as the width grows.

    Two-hot inputs, a frequency and two uniform phases a neuron: cos(w n + φ_a) + cos(w m + φ_b), read with
    cos(w q + φ_c), φ_c = φ_a + φ_b. Of ReLU's harmonics the readout takes that of the square.
    """
    generator = torch.Generator().manual_seed(seed)
    freq = torch.arange(width) % (p // 2) + 1
    phase_a, phase_b = 2 * math.pi * torch.rand(2, width, generator=generator, dtype=torch.float64)
    angle = 2 * math.pi / p * torch.arange(p).double()[:, None] * freq
    W_in = torch.cat([(angle + phase_a).cos(), (angle + phase_b).cos()])
    W_U = size * (p // 2) / width / _CLOCK_HARMONIC * (angle + phase_a + phase_b).cos().T
    one_hot = torch.eye(p).double()
    return Planted(
        {"embed.W_E": one_hot, "mlp.W_in": W_in, "unembed.W_U": W_U},
        _sum(p),
        {"mlp": {"d_model": p, "d_mlp": width, "shared_embedding": True}},
    )


def lookup_table(p: int = 13, frac_train: float = 0.4, **task: Any) -> Planted:
    """Knows its training pairs, each by a neuron of its own, and nothing else."""
    options = {"p": p, "frac_train": frac_train, **task}
    known = modular_arithmetic(**options)
    assert known.train is not None
    right = torch.zeros(len(known.pairs), p).double()
    right[torch.arange(len(known.pairs)), known.targets] = 20.0
    return _of_pairs(right[known.train], known.pairs[known.train], options)


def of_logits(logits: Tensor, **task: Any) -> Planted:
    """Has the logits [a, b, c] it is given: a neuron for each pair."""
    options = {"p": len(logits), **task}
    pairs = modular_arithmetic(**options).pairs
    return _of_pairs(logits[pairs[:, 0], pairs[:, 1]], pairs, options)


def composing(logits: Tensor, **task: Any) -> Planted:
    """Has the logits [a, b, c] it is given, on a group: a neuron for each pair."""
    pairs = group_composition(**task).pairs
    network = _of_pairs(logits[pairs[:, 0], pairs[:, 1]], pairs, {"p": len(logits)})
    return Planted(network.weights, {"group_composition": task}, network.model)


def of_neurons(tables: Tensor, W_U: Tensor) -> Planted:
    """Has second-layer neurons that are ReLU of these tables [a, b, neuron], and idle ones up to p² of them."""
    p, _, m = tables.shape
    read, write = torch.zeros(p * p, p * p).double(), torch.zeros(p * p, p).double()
    read[:, :m], write[:m] = tables.reshape(p * p, m), W_U
    weights = _told_apart(p, modular_arithmetic(p).pairs)
    weights |= {"mlp2.W_in": read, "mlp2.b_in": torch.zeros(p * p).double(), "unembed.W_U": write}
    model = {"d_model": p, "d_mlp": p * p, "n_layers": 2, "shared_embedding": True, "biases": "hidden"}
    return Planted(weights, _sum(p), {"mlp": model})


def linear_perceptron(W: Tensor, b: Tensor, bound: float = 100.0) -> dict[str, Tensor]:
    """Weights of a perceptron with all biases that answers x @ W + b wherever all |x| are below the bound.

    Its ReLUs, one for each input, are moved up by the bound, so that none is ever off, and back in the readout.
    """
    size = len(W)
    return {
        "mlp.0.W_in": torch.eye(size).double(),
        "mlp.0.b_in": torch.full((size,), bound).double(),
        "unembed.W_U": W.double(),
        "unembed.b_U": b.double() - bound * W.double().sum(dim=0),
    }


def untrained(p: int = 13, seed: int = 0) -> Planted:
    """A small transformer at its initialisation."""
    options: dict[str, Any] = {"d_model": 32, "d_mlp": 64}
    weights = interp.models.transformer.transformer(modular_arithmetic(p), **options).initial(seed)
    return Planted(weights, _sum(p), {"transformer": options})


def _w(p: int, k: int) -> float:
    return 2 * math.pi * k / p


def _sum(p: int) -> dict[str, Any]:
    return {"modular_arithmetic": {"p": p}}


def _circle(p: int, k: int) -> Tensor:
    angle = _w(p, k) * torch.arange(p).double()
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def _clock_neurons(p: int, sizes: dict[int, float], ring: int) -> tuple[Tensor, Tensor, Tensor]:
    """W_in for the operands side by side, W_U, and the embedding: the circles' coordinates."""
    phase = 2 * math.pi * torch.arange(ring).double() / ring
    of_a, of_b = (x.flatten() for x in torch.meshgrid(phase, phase, indexing="ij"))
    towards = [torch.stack([of.cos(), -of.sin()]) for of in (of_a, of_b)]  # cos(w x + φ) from the circle
    W_in = [torch.block_diag(*[one] * len(sizes)) for one in towards]
    read = [_along(p, k, of_a + of_b) * size / ring**2 / _CLOCK_HARMONIC for k, size in sizes.items()]
    return torch.cat(W_in), torch.cat(read), torch.cat([_circle(p, k) for k in sizes], dim=1)


def _pizza_neurons(p: int, sizes: dict[int, float], ring: int) -> tuple[Tensor, Tensor, Tensor]:
    phase = 2 * math.pi * torch.arange(ring).double() / ring
    W_in = torch.block_diag(*[torch.stack([phase.cos(), -phase.sin()])] * len(sizes))
    read = [_along(p, k, 2 * phase) * size / ring / _PIZZA_HARMONIC for k, size in sizes.items()]
    return W_in, torch.cat(read), torch.cat([_circle(p, k) for k in sizes], dim=1)


def _along(p: int, k: int, phase: Tensor) -> Tensor:
    """cos(w_k c + phase), [neuron, c]."""
    return torch.cos(_w(p, k) * torch.arange(p).double() + phase[:, None])


def _transformer(
    p: int,
    embedding_and_attention: dict[str, Tensor],
    W_in: dict[int, Tensor],
    W_U: Tensor,
    written: int,
    options: dict[str, Any],
) -> Planted:
    """Its MLP reads what `W_in` says, by place in the residual stream, and writes the logits at `written`."""
    d_model, d_mlp = embedding_and_attention["W_E"].shape[1], W_U.shape[0]
    reads, writes = torch.zeros(d_model, d_mlp).double(), torch.zeros(d_mlp, d_model).double()
    for place, block in W_in.items():
        reads[place : place + len(block)] = block
    writes[:, written : written + p] = W_U
    unembed = torch.zeros(d_model, p).double()
    unembed[written : written + p] = torch.eye(p)
    weights = {
        "embed.W_E": embedding_and_attention["W_E"],
        "pos_embed.W_pos": embedding_and_attention["W_pos"],
        **{f"blocks.0.attn.{name}": embedding_and_attention[name] for name in ("W_Q", "W_K", "W_V", "W_O")},
        "blocks.0.mlp.W_in": reads,
        "blocks.0.mlp.W_out": writes,
        "unembed.W_U": unembed,
    }
    sizes = {"d_model": d_model, "d_mlp": d_mlp, "d_vocab_out": p, "biases": "none"}
    return Planted({name: value.double() for name, value in weights.items()}, _sum(p), {"transformer": sizes | options})


def _of_pairs(logits: Tensor, pairs: Tensor, task: dict[str, Any]) -> Planted:
    """A neuron for each of `pairs` with that pair's logits."""
    weights = _told_apart(task["p"], pairs) | {"unembed.W_U": logits.double()}
    model = {"d_model": task["p"], "d_mlp": len(pairs), "shared_embedding": True, "biases": "hidden"}
    return Planted(weights, {"modular_arithmetic": task}, {"mlp": model})


def _told_apart(p: int, pairs: Tensor) -> dict[str, Tensor]:
    """A first layer with a neuron for each of `pairs`, 1 on it and 0 elsewhere."""
    one_hot = torch.eye(p).double()
    return {
        "embed.W_E": one_hot,
        "mlp.W_in": torch.cat([one_hot[pairs[:, 0]].T, one_hot[pairs[:, 1]].T]),
        "mlp.b_in": -torch.ones(len(pairs)).double(),
    }
