"""What the first attention reads at each position of the row: of a and b a vector for each residue, else one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.models.shared.blocks import Blocks, sinusoidal
from interp.models.shared.operations import plus
from interp.models.transformer.last_mlp import Activations, mean_factor
from interp.models.transformer.row import OPERANDS, Row


@dataclass(frozen=True)
class FirstLayer:
    """The residual stream before the first attention, a table over the residues, and the circuits of its heads."""

    row: Row
    blocks: Blocks
    p: int

    def operand_embeddings(self, weights: Weights) -> Float[Tensor, "operand p d_model"]:
        """Return what the embeddings of a and b put into the residual stream, without positions."""
        return self.blocks.embedded(self.operand_rows(weights))

    def operand_rows(self, weights: Weights) -> Float[Tensor, "operand p d_model"]:
        """Return W_E's rows for a and for b."""
        p, W_E = self.p, weights["embed.W_E"]
        return torch.stack([W_E[first : first + p] for first in (self.row.first, self.row.second)])

    def operands(self, weights: Weights) -> Float[Tensor, "operand p d_model"]:
        """Return the residual stream at a and at b, for every residue."""
        positions = self._positions(weights)
        if positions is None:
            return self.operand_embeddings(weights)
        return self.operand_embeddings(weights) + torch.stack([positions[at] for at in self.row.places])[:, None]

    def read_at(self, weights: Weights) -> Float[Tensor, " d_model"] | Float[Tensor, "p d_model"]:
        """Return the residual stream where the answer is read: a row for each residue where that is at an operand."""
        if self.row.read_word in OPERANDS:
            return self.operands(weights)[OPERANDS.index(self.row.read_word)]
        return self._fixed(weights, self.row.read_at)

    def _fixed(self, weights: Weights, pos: int) -> Float[Tensor, " d_model"]:
        """The residual stream at the position of a word that is no operand."""
        positions = self._positions(weights)
        embedded = self.blocks.embedded(weights["embed.W_E"][dict(self.row.fixed)[self.row.words[pos]]])
        return embedded if positions is None else embedded + positions[pos]

    def _positions(self, weights: Weights) -> Float[Tensor, "pos d_model"] | None:
        """What is added to the embedding at each position; None where nothing is."""
        match self.blocks.positions:
            case "learned":
                return weights["pos_embed.W_pos"]
            case "sinusoidal":
                return sinusoidal(len(self.row.words), like=weights["embed.W_E"])
            case _:
                return None

    @property
    def seen(self) -> range:
        """The positions that are seen from where the answer is read."""
        return range(self.row.read_at + 1 if self.blocks.causal else len(self.row.words))

    def scores(self, weights: Weights) -> Float[Tensor, "a b head pos"]:
        """Return the score of each position that is seen from where the answer is read, before the softmax."""
        reads, at = self._reads(weights), self.row.read_at
        query = self._projected(weights, "Q", reads[at], at)
        keys = [self._projected(weights, "K", reads[pos], pos) for pos in self.seen]
        scale = self.blocks.score_scale(query.shape[-1])
        scores = [torch.einsum("abhd,abhd->abh", *torch.broadcast_tensors(query / scale, key)) for key in keys]
        return torch.stack([one.expand(self.p, self.p, -1) for one in scores], dim=-1)  # each [a, b, head]

    def _projected(
        self, weights: Weights, to: str, read: Float[Tensor, "#a #b d_model"], pos: int
    ) -> Float[Tensor, "#a #b head d_head"]:
        """The queries ("Q") or keys ("K") of what is read at a position, turned where positions are rotary."""
        projected = torch.einsum("abm,hmd->abhd", read, weights[f"blocks.0.attn.W_{to}"])
        return self._turned(plus(projected, weights.get(f"blocks.0.attn.b_{to}")), pos)

    def _turned(self, x: Float[Tensor, "... head d_head"], pos: int) -> Float[Tensor, "... head d_head"]:
        return self.blocks.turned(x, torch.tensor(pos, device=x.device))

    @property
    def _before(self) -> list[str]:
        """The name of the norm before the first attention, where there is one."""
        return ["blocks.0.ln1"] if self.blocks.norm and self.blocks.norm.position == "pre" else []

    @property
    def _after(self) -> list[str]:
        """The name of the norm between the first attention and its MLP, where there is one."""
        return [f"blocks.0.ln{2 if self.blocks.norm.position == 'pre' else 1}"] if self.blocks.norm else []

    def _operand_factors(self, weights: Weights) -> Float[Tensor, " operand"]:
        """The mean over the residues of 1/σ before the first attention, at a and at b; 1 without a norm there."""
        operands = self.operands(weights)
        if not self._before or self.blocks.norm is None:
            return operands.new_ones(2)
        return (1 / self.blocks.norm.scale(self.blocks.norm.centred(operands))).mean(dim=(1, 2))

    def _embeddings_read(self, weights: Weights) -> Float[Tensor, "operand p d_model"]:
        """What the first attention reads of the residues' embeddings alone, its norm folded."""
        read = self.blocks.folded(self.operand_embeddings(weights), weights, self._before)
        return read * self._operand_factors(weights)[:, None, None] if self._before else read

    def qk_circuit(self, weights: Weights) -> Float[Tensor, "a b head"]:
        of_operand = OPERANDS.index(self.row.read_word)
        tables = []
        for operand, (read, pos) in enumerate(zip(self._embeddings_read(weights), self.row.places, strict=True)):
            to = weights[f"blocks.0.attn.W_{'Q' if operand == of_operand else 'K'}"]
            tables.append(self._turned(torch.einsum("pm,hmd->phd", read, to), pos))  # [p, head, d_head]
        return torch.einsum("ahd,bhd->abh", *tables)

    def ov_circuit(self, weights: Weights, activations: Activations) -> Float[Tensor, "operand head p neuron"]:
        W_V, W_O = weights["blocks.0.attn.W_V"], weights["blocks.0.attn.W_O"]
        mlp = ["W_gate", "W_in"] if self.blocks.gated else ["W_in"]
        moved = self.blocks.folded(self._embeddings_read(weights)[:, None] @ W_V @ W_O, weights, self._after)
        seen = moved @ torch.cat([weights[f"blocks.0.mlp.{name}"] for name in mlp], dim=1)
        return seen * mean_factor(activations, self._after) if self._after else seen

    def ov_factors(self, weights: Weights, activations: Activations) -> Float[Tensor, " site"] | None:
        if self.blocks.norm is None:
            return None
        return torch.cat([self._operand_factors(weights), mean_factor(activations, self._after)[None]])

    def _reads(self, weights: Weights) -> list[Float[Tensor, "#a #b d_model"]]:
        """What attention reads at each position: after the norm, where one stands before it."""
        operands = self.operands(weights)
        of = {"a": operands[0][:, None], "b": operands[1][None, :]}
        streams = [
            of[word] if word in of else self._fixed(weights, pos)[None, None] for pos, word in enumerate(self.row.words)
        ]
        for name in self._before:
            assert self.blocks.norm is not None
            streams = [self.blocks.norm.applied(stream, weights, name) for stream in streams]
        return streams
