"""A multilayer perceptron on the embeddings of both operands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from interp.contracts.architecture import Architecture, Weights
from interp.contracts.task import Task, TwoOperands
from interp.models.shared.activations import ACTIVATIONS, IN_WORDS, ActFn
from interp.models.shared.operations import affine, plus, rows
from interp.models.shared.two_operand_tasks import task_of_two_operands

if TYPE_CHECKING:
    from interp.models.shared.hooked_mlp import HookedMLP


def mlp(
    task: Task,
    d_model: PositiveInt = 256,
    d_mlp: PositiveInt = 128,
    n_layers: Literal[1, 2] = 1,
    shared_embedding: bool = False,
    combine: Literal["concatenated", "added"] = "concatenated",
    biases: Literal["none", "hidden", "all"] = "none",
    act_fn: ActFn = "relu",
) -> MLP:
    """One or two hidden layers on the two operands' embeddings; the default is that of Chughtai et al. 2023.

    logits = act([E_a[a], E_b[b]] @ W_in + b_in) @ W_U + b_U, where E_a and E_b are one table or two, and the two
    embeddings are put side by side or added; a second hidden layer, mlp2, goes in between. The models A (added),
    B (added, two layers) and D (concatenated) of Zhong et al. 2023 have a shared embedding and hidden biases.

    - biases: "hidden", b_in of each hidden layer; "all", b_U too; or "none".

    Fresh weights are normal with standard deviation 1/√fan_in (embeddings 1/√d_model), biases 0.
    Raises ValueError where the task is not one of two operands.
    """
    return MLP(
        task=task_of_two_operands(task, "mlp"),
        d_model=d_model,
        d_mlp=d_mlp,
        n_layers=n_layers,
        shared_embedding=shared_embedding,
        combine=combine,
        biases=biases,
        act_fn=act_fn,
    )


@dataclass(frozen=True)
class MLP(Architecture):
    """Tables over the residues, hidden layers, a readout; it offers what `ReadsTwoOperands` asks for."""

    task: TwoOperands
    d_model: int
    d_mlp: int
    n_layers: Literal[1, 2]
    shared_embedding: bool
    combine: Literal["concatenated", "added"]
    biases: Literal["none", "hidden", "all"]
    act_fn: ActFn

    @property
    def hidden_layers(self) -> tuple[str, ...]:
        """The names of the hidden layers' modules, from the embeddings up."""
        return ("mlp", "mlp2")[: self.n_layers]

    @property
    def neurons(self) -> str:
        return f"{self.hidden_layers[-1]}.hook_post"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        p = self.task.p
        d_in = self.d_model if self.combine == "added" else 2 * self.d_model
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(sorted(set(self.embeddings)), (p, self.d_model))
        for layer in self.hidden_layers:
            shapes[f"{layer}.W_in"] = (d_in if layer == "mlp" else self.d_mlp, self.d_mlp)
            if self.biases != "none":
                shapes[f"{layer}.b_in"] = (self.d_mlp,)
        shapes["unembed.W_U"] = (self.d_mlp, p)
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
        remarks = {
            "shared embedding": self.shared_embedding,
            "operands added": self.combine == "added",
            "hidden biases": self.biases == "hidden",
            "biases": self.biases == "all",
            IN_WORDS.get(self.act_fn, ""): self.act_fn != "relu",
        }
        return ", ".join(
            [f"{layers} of {self.d_mlp}", f"d_model {self.d_model}"]
            + [remark for remark, holds in remarks.items() if holds]
        )

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
        x = operands.sum(dim=1) if self.combine == "added" else operands.flatten(1)  # [pair, d_in]
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
        if self.n_layers == 2:
            pre = affine(post, weights["mlp2.W_in"], weights.get("mlp2.b_in"))
            post = ACTIVATIONS[self.act_fn](pre)
            activations |= {"mlp2.hook_pre": pre, "mlp2.hook_post": post}
        return activations | {"logits": affine(post, weights["unembed.W_U"], weights.get("unembed.b_U"))}

    def _first_layer_inputs(self, weights: Weights) -> tuple[Float[Tensor, "p neuron"], Float[Tensor, "p neuron"]]:
        """What each residue gives the first hidden layer's neurons, as a and as b."""
        W_in, (E_a, E_b) = weights["mlp.W_in"], (weights[name] for name in self.embeddings)
        W_a, W_b = (W_in, W_in) if self.combine == "added" else W_in.split(self.d_model)
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

    def outputs_from_neurons(
        self,
        weights: Weights,
        post: Float[Tensor, "#pair neuron"],
        activations: Mapping[str, Float[Tensor, "pair ..."]],  # noqa: ARG002 (nothing runs beside the neurons)
    ) -> Float[Tensor, "#pair output"]:
        return affine(post, weights["unembed.W_U"], weights.get("unembed.b_U"))

    def hooked(self, weights: Weights) -> HookedMLP:
        from interp.models.shared.hooked_mlp import HookedMLP

        return HookedMLP(self.embeddings, self.hidden_layers, self.combine, self.act_fn, weights)
