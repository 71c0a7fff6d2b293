"""What becomes of a network whose embeddings or neurons are tampered with, as Stander et al. do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.contracts.architecture import ReadsTwoOperands, reads_two_operands
from interp.contracts.task import TwoOperands, two_operands
from interp.errors import NothingToSay
from interp.figures import Table
from interp.findings import Claims, Finding
from interp.machine import devices
from interp.maths.cross_entropy import cross_entropy
from interp.maths.standard_error import standard_error
from interp.measures.shared import ablation
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.factors import pre_name
from interp.measures.shared.seed import Seed
from interp.summaries import listed

TITLE = "Interventions, here and in Stander et al."
SIGNS = {"both signs flipped": (-1, -1), "left sign flipped": (-1, 1), "right sign flipped": (1, -1)}
NOISE = {"noise N(0, 0.1)": (0, 0.1), "noise N(0, 1)": (0, 1), "noise N(1, 1)": (1, 1), "noise N(-1, 1)": (-1, 1)}
"""Mean and standard deviation."""
PAPER = {
    "none": (0.9999, 1.97e-6),
    "embeddings swapped": (0.01, 4.76),
    "both signs flipped": (1.0, 1.97e-6),
    "left sign flipped": (0.0, 22.39),
    "right sign flipped": (0.0, 22.36),
    "noise N(0, 0.1)": (0.9999, np.nan),
    "noise N(0, 1)": (0.978, 0.0017),
    "noise N(1, 1)": (0.88, 0.029),
    "noise N(-1, 1)": (0.98, 0.0021),
    "absolute value": (1.0, 3.69e-13),
}
"""Intervention -> accuracy and loss, means over 128 networks on S5."""


@dataclass(frozen=True)
class NeuronInterventions:
    intervention: tuple[str, ...]
    """What is done to the network"""
    accuracy: Float[Tensor, " intervention"]
    """Share of all pairs answered right; NaN where it cannot be done"""
    accuracy_se: Float[Tensor, " intervention"]
    """Standard error of that mean over the draws of noise"""
    loss: Float[Tensor, " intervention"]
    """Cross-entropy, mean over all pairs [nats]"""
    loss_se: Float[Tensor, " intervention"]
    """Standard error of that mean over the draws of noise"""
    absolute_accuracy: Float[Tensor, ""]
    """Share of all pairs answered right with |x| in the place of ReLU; NaN without ReLU"""
    swapped_accuracy: Float[Tensor, ""]
    """Share of all pairs answered right with each operand looked up in the other's table; NaN with one table"""
    flipped_accuracy: Float[Tensor, ""]
    """Share of all pairs answered right with the signs of both embeddings changed"""
    noisy_accuracy: Float[Tensor, ""]
    """Share of all pairs answered right with noise N(0, 1) on what enters the neurons; NaN where they are gated"""
    paper_accuracy: Float[Tensor, " intervention"]
    """Stander et al.'s, mean over 128 networks on S5"""
    paper_loss: Float[Tensor, " intervention"]
    """Stander et al.'s, mean over 128 networks on S5 [nats]"""
    sampling_seed: int
    """Seed with which the noise was drawn"""


def neuron_interventions(
    checkpoint: Checkpoint, draws: Annotated[int, Field(ge=2, le=100)] = 2, seed: Seed = 0
) -> NeuronInterventions:
    r"""A circuit of cosets minds which operand is which, but not the signs of both, nor noise, nor |x| for ReLU.

    Stander et al. tamper with trained networks: each operand is looked up in the other's table; the sign of the
    embedding of the left operand, of the right one, or of both is changed; Gaussian noise is added to what enters the
    neurons; and |x| takes the place of ReLU, so that every neuron speaks for two. Of what a coset circuit is to do, a
    neuron at 0 on the right pairs and elsewhere not, all but the first and the signs of one operand leave the answers
    as they are. Of networks that have not learned the task, |x| mostly lowers the accuracy.

    Embeddings are swapped where the operands have a table each, and |x| is put where the network has ReLU. The paper
    says of its noise that it is added to the activations; taken as what enters the neurons its numbers are met, while
    noise in the embeddings destroys these networks. Beside the numbers stand those of the paper. The standard errors
    are over `draws` of noise.

    Formula: x = E_l[a] W_l + E_r[b] W_r; \quad \lvert x \rvert W_U, \quad \mathrm{relu}(x + \epsilon) W_U,
        \quad \mathrm{relu}(\pm E_l[a] W_l \pm E_r[b] W_r)\, W_U

    Paper: Stander et al. 2023, arXiv 2312.06581
    """
    task = two_operands(checkpoint.task)
    tampered = _Tampered(checkpoint, task, reads_two_operands(checkpoint.run.architecture))
    generator = torch.Generator().manual_seed(seed)
    found = {name: tampered.scores(name, generator, draws if name in NOISE else 1) for name in PAPER}
    if all(np.isnan(scores).all() for name, scores in found.items() if name != "none"):
        raise NothingToSay("nothing of what Stander et al. do to a network can be done to this one")
    means = torch.tensor(np.array([scores.mean(axis=0) for scores in found.values()]))
    errors = [[standard_error(column) for column in scores.T] for scores in found.values()]
    (accuracy, loss), (accuracy_se, loss_se) = means.T, torch.tensor(errors, dtype=torch.float64).T
    paper_accuracy, paper_loss = torch.tensor(list(PAPER.values()), dtype=torch.float64).T
    by_name = dict(zip(PAPER, accuracy, strict=True))
    return NeuronInterventions(
        intervention=tuple(PAPER),
        accuracy=accuracy,
        accuracy_se=accuracy_se,
        loss=loss,
        loss_se=loss_se,
        absolute_accuracy=by_name["absolute value"],
        swapped_accuracy=by_name["embeddings swapped"],
        flipped_accuracy=by_name["both signs flipped"],
        noisy_accuracy=by_name["noise N(0, 1)"],
        paper_accuracy=paper_accuracy,
        paper_loss=paper_loss,
        sampling_seed=seed,
    )


Pairs = Int[Tensor, " pair"]
"""Numbers of examples."""
Activations = Mapping[str, Float[Tensor, "pair ..."]]
Outputs = Callable[[Pairs, Activations], Float[Tensor, "pair output"]]


@dataclass(frozen=True)
class _Tampered:
    """A checkpoint whose embeddings or neurons are changed, a block of pairs at a time."""

    checkpoint: Checkpoint
    task: TwoOperands
    network: ReadsTwoOperands

    def scores(self, name: str, generator: torch.Generator, draws: int) -> Float[np.ndarray, "draw 2"]:
        """The accuracy and the loss under an intervention, of each draw; NaN where it cannot be done."""
        try:
            outputs = self._outputs(name, generator)
            return np.array([self._score(outputs) for _ in range(draws)])
        except NothingToSay:
            return np.full((draws, 2), np.nan)

    def _score(self, outputs: Outputs) -> tuple[float, float]:
        right = loss = 0.0
        for pairs, activations in self.checkpoint.blocks():
            with torch.no_grad():
                logits, targets = outputs(pairs, activations).cpu(), self.task.targets[pairs]
            right += float(ablation.right(logits, targets, logits).sum())
            loss += float(cross_entropy(logits, targets).sum())
        return right / len(self.task), loss / len(self.task)

    def _outputs(self, name: str, generator: torch.Generator) -> Outputs:
        """What gives the outputs under an intervention. Raises NothingToSay where it cannot be done to the network."""
        if name == "none":
            return lambda _, activations: activations["logits"]
        if name == "embeddings swapped":
            return self._swapped
        if name in SIGNS:
            signs = torch.tensor(SIGNS[name], dtype=torch.float64)[:, None]
            return lambda pairs, _: self._of_operands(self._operands(self.task.pairs[pairs]) * signs)
        if name == "absolute value":
            return self._absolute
        mean, deviation = NOISE[name]

        def noisy(_: Pairs, activations: Activations) -> Float[Tensor, "pair output"]:
            pre = activations[pre_name(self.network)]
            noise = deviation * torch.randn(pre.shape, generator=generator, dtype=pre.dtype) + mean
            post = self.network.activated(self._weights, pre + noise.to(pre.device))
            return self.network.outputs_from_neurons(self._weights, post, activations)

        return noisy

    @functools.cached_property
    def _weights(self) -> dict[str, Tensor]:
        return {name: devices.float64(value) for name, value in self.checkpoint.weights.items()}

    def _operands(self, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        return self.network.operands(self._weights, pairs.to(next(iter(self._weights.values())).device))

    def _of_operands(self, operands: Float[Tensor, "pair operand d_model"]) -> Float[Tensor, "pair output"]:
        return self.network.logits_of_operands(self._weights, operands)

    def _swapped(self, pairs: Pairs, _: Activations) -> Float[Tensor, "pair output"]:
        """Look a up in the table of b, and b in that of a."""
        first = torch.zeros(1, 2, dtype=torch.long)
        if torch.equal(*self._operands(first)[0]):
            raise NothingToSay("both operands are looked up in one table")
        return self._of_operands(self._operands(self.task.pairs[pairs].flip(1)).flip(1))

    def _absolute(self, _: Pairs, activations: Activations) -> Float[Tensor, "pair output"]:
        ends = torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
        if self.network.activated(self._weights, ends).tolist() != [[0.0, 1.0]]:
            raise NothingToSay("the network has no ReLU")
        return self.network.outputs_from_neurons(self._weights, activations[pre_name(self.network)].abs(), activations)


def steps(run: Run) -> list[int]:
    return around_grokking(run)


def figure(result: xr.Dataset) -> list[Table]:
    last = result.isel(step=-1)
    columns = {
        "accuracy": last.accuracy,
        "accuracy, paper": last.paper_accuracy,
        "loss [nats]": last.loss,
        "loss, paper [nats]": last.paper_loss,
    }
    return [Table(TITLE, columns, digits=4)]


def summary(result: xr.Dataset) -> Finding | None:
    claims = Claims(result, TITLE)
    names = {
        "own": "none",
        "absolute": "absolute value",
        "swapped": "embeddings swapped",
        "flipped": "both signs flipped",
    }
    records = {key: claims.maybe("accuracy", intervention=name) for key, name in names.items()}
    records = {key: record for key, record in records.items() if record}
    words = {
        "absolute": "with |x| in the place of ReLU {absolute:.2%}",
        "swapped": "with each operand looked up in the other's table {swapped:.2%}",
        "flipped": "with the signs of both operands' embeddings changed {flipped:.2%}",
    }
    told = [sentence for key, sentence in words.items() if key in records]
    if "own" not in records or not told:
        return None
    sentence = f"It answers {{own:.2%}} of all pairs right; {listed(told)}."
    return Finding(sentence, records, chapter="how", rank=32)
