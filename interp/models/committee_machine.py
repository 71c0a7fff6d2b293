"""Rubin et al.'s student: a layer of error functions on vectors, whose answers are added up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Shaped
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from interp.contracts.architecture import Buffers, Passes, Weights
from interp.contracts.task import Task
from interp.models.shared.erf_passes import ErfPasses
from interp.models.shared.linear_readout import LinearReadout
from interp.models.shared.scaled_passes import scaled
from interp.models.shared.vector_tasks import task_of_vectors
from interp.summaries import number

if TYPE_CHECKING:
    from interp.models.shared.hooked_committee_machine import HookedCommitteeMachine

NAMES = ("mlp.W_in", "unembed.W_U")


def committee_machine(
    task: Task,
    d_mlp: PositiveInt = 700,
    sigma_w2: PositiveFloat = 0.5,
    sigma_a2: PositiveFloat | None = None,
    output_scale: PositiveFloat = 1.0,
) -> CommitteeMachine:
    r"""A layer of N = d_mlp neurons without biases, each the error function of its input, and a linear readout.

    Fresh weights are normal, those of a neuron of d inputs with the variance `sigma_w2`/d, those of the readout with
    `sigma_a2`/N, which is 8/N² where it is not given, as at the base point of the paper's figures. These are the
    variances of its prior: the optimisers `langevin` and `hmc` take them as
    `prior: {mlp.W_in: sigma_w2/d, unembed.W_U: sigma_a2/N}`.

    Formula: f(x) = s \sum_{i=1}^{N} a_i \, \mathrm{erf}(w_i \cdot x), \quad \mathrm{Var}(w) = \sigma_w^2/d, \quad
        \mathrm{Var}(a) = \sigma_a^2/N

    Paper: Rubin et al. 2023, arXiv 2310.03789

    Raises ValueError where the inputs are not numbers but are to be looked up.
    """
    task_of_vectors(task, "committee_machine")
    return CommitteeMachine(task, d_mlp, sigma_w2, 8 / d_mlp if sigma_a2 is None else sigma_a2, output_scale)


@dataclass(frozen=True)
class CommitteeMachine(LinearReadout):
    """Two matrices and erf between them; it offers what `HasNeurons` asks for."""

    d_mlp: int
    sigma_w2: float
    sigma_a2: float
    output_scale: float

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        d = math.prod(self.task.inputs.shape[1:])
        return {"mlp.W_in": (d, self.d_mlp), "unembed.W_U": (self.d_mlp, self.task.n_outputs)}

    @property
    def neurons(self) -> str:
        return "mlp.hook_post"

    @property
    def description(self) -> str:
        by = "" if self.output_scale == 1 else f", outputs × {number(self.output_scale, 4)}"
        return f"committee machine of {self.d_mlp} erf neurons, no biases{by}"

    def initial(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        variances = self.sigma_w2 / self.shapes["mlp.W_in"][0], self.sigma_a2 / self.d_mlp
        return {
            name: torch.randn(shape, generator=generator) * math.sqrt(variance)
            for (name, shape), variance in zip(self.shapes.items(), variances, strict=True)
        }

    def activations(
        self, weights: Weights, inputs: Shaped[Tensor, "example ..."]
    ) -> dict[str, Float[Tensor, "example ..."]]:
        pre = inputs.flatten(1).to(weights["mlp.W_in"]) @ weights["mlp.W_in"]
        activations = {"mlp.hook_pre": pre, "mlp.hook_post": torch.erf(pre)}
        return activations | {"logits": self.outputs_from_neurons(weights, activations["mlp.hook_post"], activations)}

    def passes(self, weights: Weights, gradients: Weights, buffers: Buffers) -> Passes:
        """Write the gradient by hand: `WritesGradients` of the contract."""
        return scaled(ErfPasses(NAMES, weights, gradients, buffers), self.output_scale, buffers)

    def activated(
        self,
        weights: Weights,  # noqa: ARG002 (an activation has none)
        pre: Float[Tensor, "#example neuron"],
    ) -> Float[Tensor, "#example neuron"]:
        return torch.erf(pre)

    def hooked(self, weights: Weights) -> HookedCommitteeMachine:
        from interp.models.shared.hooked_committee_machine import HookedCommitteeMachine

        return HookedCommitteeMachine(self.output_scale, weights)
