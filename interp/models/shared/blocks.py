"""What the shapes of a transformer do not tell: its norms, its positions, and how its blocks are put together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.models.shared.activations import ACTIVATIONS, ActFn
from interp.models.shared.operations import affine, plus

Positions = Literal["learned", "sinusoidal", "rotary", "rotary_interleaved", "none"]


@dataclass(frozen=True)
class Norm:
    """A LayerNorm or an RMSNorm: x, less its mean in a LayerNorm, over σ = √(mean x² + eps), times w, plus b."""

    kind: Literal["layer", "rms"]
    position: Literal["pre", "post"]
    """"pre": x + f(norm(x)); "post": norm(x + f(x))."""
    parameters: Literal["none", "weight", "all"]
    """Which of w and b there are; an RMSNorm has no b."""
    final: bool
    """Whether one more stands before the unembedding, ln_final."""
    eps: float

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters that each norm has."""
        either = {"none": (), "weight": ("w",), "all": ("w", "b")}[self.parameters]
        return either[:1] if self.kind == "rms" else either

    def centred(self, x: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row d_model"]:
        return x - x.mean(dim=-1, keepdim=True) if self.kind == "layer" else x

    def scale(self, centred: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row 1"]:
        """Return σ, by which a vector that has been centred is divided."""
        return (centred.square().mean(dim=-1, keepdim=True) + self.eps).sqrt()

    def applied(
        self, x: Float[Tensor, "*row d_model"], weights: Mapping[str, Tensor], name: str
    ) -> Float[Tensor, "*row d_model"]:
        """Return the norm of x; its parameters are those of the norm of this name, "blocks.0.ln1"."""
        centred = self.centred(x)
        return plus(times(centred / self.scale(centred), weights.get(f"{name}.w")), weights.get(f"{name}.b"))

    def folded(
        self, x: Float[Tensor, "*row d_model"], weights: Mapping[str, Tensor], name: str
    ) -> Float[Tensor, "*row d_model"]:
        """Return what the norm is but for σ and b: linear in x."""
        return times(self.centred(x), weights.get(f"{name}.w"))


@dataclass(frozen=True)
class Blocks:
    """How a transformer's blocks work."""

    n_layers: int
    act_fn: ActFn
    gated: bool
    causal: bool
    attention_rate: float
    attention_scale: bool
    """Whether scores are divided by √d_head."""
    residual: bool
    """Whether a sublayer's output is added to its input."""
    positions: Positions
    embedding_scale: float
    """What the embedding of a token is multiplied by before positions are added."""
    norm: Norm | None

    def embedded(self, rows: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row d_model"]:
        """Return what these rows of W_E put into the residual stream."""
        return rows if self.embedding_scale == 1 else rows * self.embedding_scale

    @property
    def rotary(self) -> bool:
        """Whether queries and keys are turned by their position."""
        return self.positions in ("rotary", "rotary_interleaved")

    def turned(self, x: Float[Tensor, "... head d_head"], pos: Int[Tensor, "*pos"]) -> Float[Tensor, "... head d_head"]:
        """Return a query or key at `pos`, turned where positions are rotary."""
        return rotated(x, pos, interleaved=self.positions == "rotary_interleaved") if self.rotary else x

    def score_scale(self, d_head: int) -> float:
        """Return what scores are divided by."""
        return math.sqrt(d_head) if self.attention_scale else 1.0

    def added(
        self, x: Float[Tensor, "*#row d_model"], f: Float[Tensor, "*#row d_model"]
    ) -> Float[Tensor, "... d_model"]:
        """Return the residual stream after a sublayer that read it as x and wrote f."""
        return x + f if self.residual else f

    def folded(
        self, x: Float[Tensor, "*row d_model"], weights: Mapping[str, Tensor], norms: Iterable[str]
    ) -> Float[Tensor, "*row d_model"]:
        """Return what these norms, one after another, make of x but for their σ and b."""
        for name in norms:
            assert self.norm is not None
            x = self.norm.folded(x, weights, name)
        return x

    def neurons(self, x: Float[Tensor, "*row d_model"], weights: Mapping[str, Tensor], mlp: str) -> Tensor:
        """Return the neurons' activations, [*row, d_mlp], of the MLP of this name, "blocks.0.mlp", which reads x."""
        linear = affine(x, weights[f"{mlp}.W_in"], weights.get(f"{mlp}.b_in"))
        if not self.gated:
            return ACTIVATIONS[self.act_fn](linear)
        return ACTIVATIONS[self.act_fn](affine(x, weights[f"{mlp}.W_gate"], weights.get(f"{mlp}.b_gate"))) * linear


def times(x: Float[Tensor, "*row d_model"], w: Float[Tensor, " d_model"] | None) -> Float[Tensor, "*row d_model"]:
    """Return x * w, or x where there is no w."""
    return x if w is None else x * w


def sinusoidal(n_ctx: int, like: Float[Tensor, "... d_model"]) -> Float[Tensor, "pos d_model"]:
    """Return sin(pos/10000^(i/d_model)) at even i, and the cosine of the same angle at i + 1, as `like` is stored.

    The positions of Vaswani et al. 2017, arXiv 1706.03762, section 3.5, and of openai/grok.
    """
    d_model = like.shape[-1]
    even = torch.arange(d_model) // 2 * 2
    angle = torch.arange(n_ctx).double()[:, None] / 10_000 ** (even.double() / d_model)  # [pos, d_model]
    return torch.where(torch.arange(d_model) == even, angle.sin(), angle.cos()).to(like)


def rotated(
    x: Float[Tensor, "... head d_head"], pos: Int[Tensor, "*pos"], interleaved: bool = False
) -> Float[Tensor, "... head d_head"]:
    """Return a query or key at `pos`, turned: its i-th plane by the angle pos/10000^(2i/d_head).

    `pos` is one position, or one for each entry of the axis before the heads. Rotary positions, Su et al. 2021, arXiv
    2104.09864, whose planes are (2i, 2i + 1), interleaved, as in Meta's own code of Llama and in GPT-J; else halves
    apart, (i, i + d_head/2), as in GPT-NeoX and in Hugging Face's Llama.
    """
    if interleaved:
        # [..., head, d_head] -> [..., head, plane, 2] -> [..., head, 2, plane] -> [..., head, d_head], and back
        apart = rotated(x.unflatten(-1, (-1, 2)).mT.flatten(-2), pos, interleaved=False)
        return apart.unflatten(-1, (2, -1)).mT.flatten(-2)
    half = x.shape[-1] // 2
    rate = 10_000 ** (-torch.arange(half, device=pos.device).double() / half)
    angle = (pos.double()[..., None] * rate)[..., None, :]  # [pos, 1, d_head / 2]
    cos, sin = angle.cos().to(x), angle.sin().to(x)
    first, second = x.split(half, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
