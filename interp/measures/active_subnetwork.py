"""How few neurons answer as the whole network does: the sparse network inside a dense one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.contracts.architecture import HasNeurons, has_neurons
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.machine import devices
from interp.measures.shared.around_grokking import around_grokking


@dataclass(frozen=True)
class ActiveSubnetwork:
    active: int
    """Neurons of the smallest subnetwork that answers as the whole network does"""
    neurons: int
    """Neurons of the last hidden layer"""
    faithfulness: float
    """Share of the examples that were not looked at which it answers as the whole network does"""
    active_norm: Float[Tensor, ""]
    """Mean norm of the incoming weights of its neurons"""
    other_norm: Float[Tensor, ""]
    """Mean norm of the incoming weights of the others"""


def active_subnetwork(
    checkpoint: Checkpoint, examples: PositiveInt = 500, seed: NonNegativeInt = 0
) -> ActiveSubnetwork:
    r"""At grokking a few neurons take over what all of them memorised.

    The neurons of the last hidden layer are taken in the order of the norm of their incoming weights, largest first,
    and the others are set to 0. The active subnetwork is the smallest number of them with which each of so many
    `examples`, drawn by `seed`, is answered as the whole network answers it. Expect most neurons while the network
    memorises, and few once it has generalised: 6 to 8 of 1,000 in Merrill et al.'s parities. Its faithfulness is how
    many of all other examples it answers alike; there is none where all were looked at.

    Formula: k^* = \min \{ k : \hat y(x_i; h \odot 1_{\text{top } k}) = \hat y(x_i) \text{ for all } i \}

    Paper: Merrill et al. 2023, arXiv 2303.11873
    """
    network, task = has_neurons(checkpoint.run.architecture), checkpoint.task
    if task.targets.is_floating_point():
        raise NothingToSay("the task asks for values, not for classes, so no two answers are the same")
    post, activations = checkpoint.neurons, checkpoint.activations
    weights = {name: devices.float64(value) for name, value in checkpoint.weights.items()}
    norms = _incoming(network, weights)
    order = norms.argsort(descending=True, stable=True)
    whole = _answers(checkpoint.logits)
    drawn = torch.randperm(len(post), generator=torch.Generator().manual_seed(seed))
    rows, others = (part.to(post.device) for part in (drawn[:examples], drawn[examples:]))

    def alike(count: int, rows: Tensor) -> Tensor:
        """Whether so many neurons answer each of these examples as all do."""
        kept = torch.zeros_like(post[rows])
        kept[:, order[:count]] = post[rows][:, order[:count]]
        beside = {name: value[rows] for name, value in activations.items()}
        return _answers(network.outputs_from_neurons(weights, kept, beside)) == whole[rows]

    active = _smallest(len(order), rows, alike)
    inside, outside = norms[order[:active]], norms[order[active:]]
    return ActiveSubnetwork(
        active=active,
        neurons=len(order),
        faithfulness=float(alike(active, others).double().mean()) if len(others) else float("nan"),
        active_norm=inside.mean().cpu(),
        other_norm=outside.mean().cpu(),
    )


def _smallest(neurons: int, rows: Tensor, alike: Callable[[int, Tensor], Tensor]) -> int:
    """The smallest number of neurons with which each of these examples is answered alike.

    Examples that the last number answered otherwise are asked first: most often they are enough to refuse the next.
    """
    doubtful = rows[:0]
    for count in range(neurons):
        if bool(alike(count, doubtful).all()):
            right = alike(count, rows)
            if bool(right.all()):
                return count
            doubtful = rows[~right][:8]
    return neurons


def _incoming(network: HasNeurons, weights: dict[str, Tensor]) -> Float[Tensor, " neuron"]:
    """The norm of what leads into each neuron, of a gated one both ways. Raises NothingToSay where no matrix does."""
    module = network.neurons.removesuffix("hook_post")
    matrices = [weights[name] for name in (f"{module}W_in", f"{module}W_gate") if name in weights]
    if not matrices:
        raise NothingToSay("it is not known which weights lead into the neurons")
    return torch.cat(matrices).norm(dim=0)  # [in, neuron]


def _answers(outputs: Float[Tensor, "example output"]) -> Tensor:
    return outputs[:, 0] > 0 if outputs.shape[1] == 1 else outputs.argmax(dim=1)


def steps(run: Run) -> list[int]:
    return around_grokking(run)


def figure(result: xr.Dataset) -> list[Curves]:
    norms = {"in the subnetwork": result.active_norm, "other neurons": result.other_norm}
    return [
        Curves("Neurons of the active subnetwork", {"all": result.active}, width="half"),
        Curves("Mean norm of incoming weights", norms, width="half"),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, "Neurons of the active subnetwork")
    told, records = course(claims, "active")
    records["all"] = claims.end("neurons")
    sentence = f"The number of neurons that answer as all {{all:3}} do {told}"
    if claims.known("faithfulness"):
        records["faithful"] = claims.end("faithfulness")
        sentence += "; these answer {faithful:.1%} of the examples that they were not chosen by as the network does"
    return [Finding(f"{sentence}.", records, chapter="how", rank=67)]
