"""A multilayer perceptron on the embeddings of both operands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor

from interp.contracts.architecture import Architecture, Weights
from interp.contracts.task import Task, TwoOperands
from interp.models.shared.activations import ACTIVATIONS, IN_WORDS, ActFn
from interp.models.shared.operations import affine, plus, rows
from interp.models.shared.two_operand_tasks import task_of_two_operands

if TYPE_CHECKING:
    from interp.models.shared.hooked_mlp import HookedMLP


MAX_LAYERS = 100
Combine = Literal["concatenated", "added", "averaged"]
Layers = Annotated[int, Field(ge=1, le=MAX_LAYERS)]


def mlp(
    task: Task,
    d_model: PositiveInt = 256,
    d_mlp: PositiveInt | tuple[PositiveInt, ...] = 128,
    n_layers: Layers = 1,
    shared_embedding: bool = False,
    combine: Combine = "concatenated",
    biases: Literal["none", "hidden", "all"] = "none",
    act_fn: ActFn = "relu",
    one_hot: bool = False,
) -> MLP:
    """Hidden layers on the two operands' embeddings; the default is that of Chughtai et al. 2023.

    logits = act([E_a[a], E_b[b]] @ W_in + b_in) @ W_U + b_U, where E_a and E_b are one table or two, and the two
    embeddings are put side by side, added, or averaged; further hidden layers, mlp2, mlp3, …, go in between. The models
    A (added), B (added, two layers) and D (concatenated) of Zhong et al. 2023 have a shared embedding and hidden
    biases.

    - d_mlp: the width of the hidden layers, or a list of the width of each.
    - biases: "hidden", b_in of each hidden layer; "all", b_U too; or "none".
    - one_hot: the operands are read as one-hot vectors, side by side (a table each) or added (`shared_embedding`). The
      first hidden layer's matrix, read per operand, is then the embedding, and there is no W_in before that layer's
      neurons: logits = act(E_a[a] + E_b[b] + b_in) @ W_U + b_U, as in Gromov 2023; `combine: averaged` halves the sum.
      `d_model` is that layer's width.

    Fresh weights are normal with standard deviation 1/√fan_in (embeddings 1/√d_model), biases 0.
    Raises ValueError where the task is not one of two operands, `d_mlp` lists another number of layers than `n_layers`.
    """
    widths = d_mlp if isinstance(d_mlp, tuple) else (d_mlp,) * n_layers
    if len(widths) != n_layers:
        raise ValueError(f"d_mlp lists {len(widths)} widths for {n_layers} hidden layers; give one each, or one number")
    return MLP(
        task=task_of_two_operands(task, "mlp"),
        d_model=widths[0] if one_hot else d_model,
        widths=widths,
        shared_embedding=shared_embedding,
        combine=combine,
        biases=biases,
        act_fn=act_fn,
        one_hot=one_hot,
    )


@dataclass(frozen=True)
class MLP(Architecture):
    """Tables over the residues, hidden layers, a readout; it offers what `ReadsTwoOperands` asks for."""

    task: TwoOperands
    d_model: int
    widths: tuple[int, ...]
    """The width of each hidden layer, from the embeddings up."""
    shared_embedding: bool
    combine: Combine
    biases: Literal["none", "hidden", "all"]
    act_fn: ActFn
    one_hot: bool

    @property
    def n_layers(self) -> int:
        return len(self.widths)

    @property
    def hidden_layers(self) -> tuple[str, ...]:
        """The names of the hidden layers' modules, from the embeddings up."""
        return tuple(f"mlp{layer}" if layer > 1 else "mlp" for layer in range(1, self.n_layers + 1))

    @property
    def neurons(self) -> str:
        return f"{self.hidden_layers[-1]}.hook_post"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        p = self.task.p
        d_in = 2 * self.d_model if self.combine == "concatenated" else self.d_model
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(sorted(set(self.embeddings)), (p, self.d_model))
        for layer, width in zip(self.hidden_layers, self.widths, strict=True):
            if not (self.one_hot and layer == "mlp"):
                shapes[f"{layer}.W_in"] = (d_in, width)
            if self.biases != "none":
                shapes[f"{layer}.b_in"] = (width,)
            d_in = width
        shapes["unembed.W_U"] = (d_in, p)
        if self.biases == "all":
            shapes["unembed.b_U"] = (p,)
        return shapes

    @property
    def embeddings(self) -> tuple[str, str]:
        """The names of the parameter that embeds a and of the one that embeds b."""
        return ("embed.W_E", "embed.W_E") if self.shared_embedding else ("embed_a.W_E", "embed_b.W_E")

    @property
    def description(self) -> str:
        layers = "1 hidden layer" if self.n_layers == 1 else f"{self.n_layers} hidden layers"
        one_hot_added = self.shared_embedding and self.combine != "averaged"
        remarks = {
            "one-hot operands": self.one_hot,
            "shared embedding": self.shared_embedding and not self.one_hot,
            "operands added": one_hot_added if self.one_hot else self.combine == "added",
            "operands averaged": self.combine == "averaged",
            "hidden biases": self.biases == "hidden",
            "biases": self.biases == "all",
            IN_WORDS.get(self.act_fn, ""): self.act_fn != "relu",
        }
        widths = ", ".join(map(str, dict.fromkeys(self.widths) if len(set(self.widths)) == 1 else self.widths))
        sizes = [f"{layers} of {widths}"] + [f"d_model {self.d_model}"] * (not self.one_hot)
        return ", ".join(sizes + [remark for remark, holds in remarks.items() if holds])

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)

        def draw(name: str, shape: tuple[int, ...]) -> Tensor:
            if ".b_" in name:
                return torch.zeros(shape)
            fan = self.d_model if name.startswith("embed") else shape[0]
            return torch.randn(shape, generator=generator) / math.sqrt(fan)

        return {name: draw(name, shape) for name, shape in self.shapes.items()}

    def operands(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        embedded = [rows(weights[name], column) for name, column in zip(self.embeddings, pairs.unbind(1), strict=True)]
        return torch.stack(embedded, dim=1)  # [pair, operand, d_model]

    def logits_of_operands(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair output"]:
        if self.one_hot:
            x = operands.mean(dim=1) if self.combine == "averaged" else operands.sum(dim=1)
            return self._from_pre(weights, plus(x, weights.get("mlp.b_in")))["logits"]
        ways = {"concatenated": operands.flatten(1), "added": operands.sum(dim=1), "averaged": operands.mean(dim=1)}
        x = ways[self.combine]  # [pair, d_in]
        return self._from_pre(weights, affine(x, weights["mlp.W_in"], weights.get("mlp.b_in")))["logits"]

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        return torch.cat([weights[name] for name in sorted(set(self.embeddings))], dim=1)  # [p, table * d_model]

    def with_embeddings(
        self, weights: Weights, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
    ) -> dict[str, Tensor]:
        return {**weights, **{name: change(weights[name]) for name in set(self.embeddings)}}

    def activations(self, weights: Weights, inputs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        """Multiply the tables by W_in once a residue: the first layer then adds up a row for a and one for b."""
        a, b = inputs.unbind(1)
        from_a, from_b = self._first_layer_inputs(weights)
        return self._from_pre(weights, plus(rows(from_a, a) + rows(from_b, b), weights.get("mlp.b_in")))

    def _from_pre(self, weights: Weights, pre: Float[Tensor, "pair neuron"]) -> dict[str, Float[Tensor, "pair ..."]]:
        """Every activation, given what goes into the first hidden layer's neurons."""
        post = ACTIVATIONS[self.act_fn](pre)
        activations = {"mlp.hook_pre": pre, "mlp.hook_post": post}
        for layer in self.hidden_layers[1:]:
            pre = affine(post, weights[f"{layer}.W_in"], weights.get(f"{layer}.b_in"))
            post = ACTIVATIONS[self.act_fn](pre)
            activations |= {f"{layer}.hook_pre": pre, f"{layer}.hook_post": post}
        return activations | {"logits": affine(post, weights["unembed.W_U"], weights.get("unembed.b_U"))}

    def _first_layer_inputs(self, weights: Weights) -> tuple[Float[Tensor, "p neuron"], Float[Tensor, "p neuron"]]:
        """What each residue gives the first hidden layer's neurons, as a and as b."""
        E_a, E_b = (weights[name] for name in self.embeddings)
        if self.one_hot:
            return (E_a / 2, E_b / 2) if self.combine == "averaged" else (E_a, E_b)
        W_in = weights["mlp.W_in"]
        if self.combine == "averaged":
            W_in = W_in / 2
        W_a, W_b = W_in.split(self.d_model) if self.combine == "concatenated" else (W_in, W_in)
        return E_a @ W_a, E_b @ W_b

    def neuron_inputs(
        self,
        weights: Weights,
        activations: Mapping[str, Float[Tensor, "pair ..."]],  # noqa: ARG002 (there are no norms)
    ) -> Float[Tensor, "operand p neuron"] | None:
        return torch.stack(self._first_layer_inputs(weights)) if self.n_layers == 1 else None  # [operand, p, neuron]

    def neuron_logits(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, "neuron p"]:
        return self.readout(weights, activations)

    def residue_tables(self, weights: Weights) -> dict[str, Float[Tensor, "table p d"]]:
        names = dict.fromkeys(self.embeddings)
        return {name: weights[name][None] for name in names} | {"unembed.W_U": weights["unembed.W_U"].T[None]}

    def readout(
        self,
        weights: Weights,
        activations: Mapping[str, Float[Tensor, "pair ..."]],  # noqa: ARG002 (no norm follows the neurons)
    ) -> Float[Tensor, "neuron output"]:
        return weights["unembed.W_U"]

    def readout_factor(self, activations: Mapping[str, Float[Tensor, "pair ..."]]) -> None:
        """No norm follows the neurons."""

    def activated(
        self,
        weights: Weights,  # noqa: ARG002 (an activation has none)
        pre: Float[Tensor, "#pair neuron"],
    ) -> Float[Tensor, "#pair neuron"]:
        return ACTIVATIONS[self.act_fn](pre)

    def outputs_from_neurons(
        self,
        weights: Weights,
        post: Float[Tensor, "#pair neuron"],
        activations: Mapping[str, Float[Tensor, "pair ..."]],  # noqa: ARG002 (nothing runs beside the neurons)
    ) -> Float[Tensor, "#pair output"]:
        return affine(post, weights["unembed.W_U"], weights.get("unembed.b_U"))

    def hooked(self, weights: Weights) -> HookedMLP:
        from interp.models.shared.hooked_mlp import HookedMLP

        combine = "one-hot" if self.one_hot and self.combine != "averaged" else self.combine
        return HookedMLP(self.embeddings, self.hidden_layers, combine, self.act_fn, weights)
