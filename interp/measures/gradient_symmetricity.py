"""Whether the network treats its two operands alike."""

from __future__ import annotations

import functools
import random
from array import array
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor
from torch.nn.functional import cosine_similarity

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import ReadsTwoOperands, Weights, reads_two_operands
from interp.contracts.task import TwoOperands, two_operands
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.machine import devices
from interp.maths.standard_error import standard_error
from interp.measures.shared.seed import Seed

AT_ONCE = 256
"""Triples in one backward pass."""
SHUFFLED = 200**3
"""More triples than this are not shuffled, which takes a second for every 1.5 million."""


@dataclass(frozen=True)
class GradientSymmetricity:
    gradient_symmetricity: Float[Tensor, ""]
    """Mean cosine, over triples, of a logit's gradients with respect to the embeddings of a and of b"""
    gradient_symmetricity_se: Float[Tensor, ""]
    """Standard error of the mean cosine; 0 where all triples were counted, NaN where those drawn do not differ"""
    triples_counted: int
    """Triples drawn, those without a cosine among them"""
    triples_without_cosine: int
    """Triples drawn that have no cosine, since their logit does not move with an operand"""
    triples_in_all: int
    """Triples that there are"""
    sampling_seed: int
    """Seed with which the triples were drawn"""


def gradient_symmetricity(
    checkpoint: Checkpoint, n_triples: PositiveInt = 100, seed: Seed = 42, shift_b: bool = True
) -> GradientSymmetricity:
    r"""A pizza moves its logits alike whichever operand is moved; a clock does not.

    For a triple (a, b, c), the logit of c on the pair (a, b) has a gradient with respect to the embedding of a and one
    with respect to that of b, before positions are added. The mean of their cosine over random triples is near 1 where
    the network sees little more than the sum of the two embeddings, and well below 1 where attention tells them apart.

    The triples are the first `n_triples` of all p³ in lexicographic order, shuffled by Python's random.Random(seed),
    as in the release (its p is 59). Beyond p = 200 they are a sample without replacement drawn by the same generator.
    Where b has tokens of its own, `shift_b: false` feeds it the tokens of a, as the release did. Triples on which
    either gradient is 0 have no cosine and are left out. No triple is drawn twice, so the standard error is that of a
    finite population: it falls with the share of all triples that were counted, and is 0 where all were. The gradient
    is of the logit as the network gives it, as published: what a pair adds to all its logits alike changes no answer,
    but it counts here.

    Formula: s_g = \frac{1}{|S|} \sum_{(a,b,c) \in S}
        \cos\left(\frac{\partial z_c(a,b)}{\partial E_a}, \frac{\partial z_c(a,b)}{\partial E_b}\right), \quad
        \mathrm{se} = \sqrt{1 - \frac{n}{N}}\, \frac{\mathrm{std}}{\sqrt{|S|}}

    Paper: Zhong et al. 2023, arXiv 2306.17844
    """
    task, architecture = two_operands(checkpoint.task), reads_two_operands(checkpoint.run.architecture)
    pairs, c = _triples(task, n_triples, seed)
    weights = {name: devices.float64(value) for name, value in checkpoint.weights.items()}
    device = next(iter(weights.values())).device
    operands = _operands(architecture, weights, pairs.to(device), shift_b)
    chunks = zip(operands.split(AT_ONCE), c.to(device).split(AT_ONCE), strict=True)
    gradient = torch.cat([_gradient(architecture, weights, *chunk) for chunk in chunks])  # [triple, operand, d_model]
    moved = (gradient.abs().amax(dim=2) > 0).all(dim=1)  # [triple]
    if not moved.any():
        raise NothingToSay("no logit moves with the embeddings")
    unit = gradient[moved] / gradient[moved].abs().amax(dim=2, keepdim=True)
    cosine = cosine_similarity(unit[:, 0], unit[:, 1], dim=1, eps=0)  # [triple]
    in_all = len(task.pairs) * task.p
    error = standard_error(cosine.cpu().numpy(), counted=len(c) / in_all)
    return GradientSymmetricity(
        gradient_symmetricity=cosine.mean(),
        gradient_symmetricity_se=cosine.new_tensor(error),
        triples_counted=len(c),
        triples_without_cosine=int((~moved).sum()),
        triples_in_all=in_all,
        sampling_seed=seed,
    )


def _triples(task: TwoOperands, n_triples: int, seed: int) -> tuple[Int[Tensor, "triple 2"], Int[Tensor, " triple"]]:
    """Pairs of the task, and for each of them an answer c that need not be its own."""
    drawn = torch.tensor(_first_shuffled(len(task.pairs) * task.p, n_triples, seed))
    return task.pairs[drawn // task.p], drawn % task.p


@functools.lru_cache(maxsize=8)
def _first_shuffled(size: int, count: int, seed: int) -> tuple[int, ...]:
    """The first `count` of the numbers 0…size-1 in a random order."""
    generator = random.Random(seed)
    if size > SHUFFLED:
        return tuple(generator.sample(range(size), min(count, size)))
    numbers = array("l", range(size))
    generator.shuffle(numbers)
    return tuple(numbers[:count])


def _operands(
    architecture: ReadsTwoOperands, weights: Weights, pairs: Int[Tensor, "triple 2"], shift_b: bool
) -> Float[Tensor, "triple operand d_model"]:
    """The embeddings that the pairs are read as; without `shift_b` both by the tokens of a."""
    operands = architecture.operands(weights, pairs)
    if shift_b:
        return operands
    b_as_a = architecture.operands(weights, pairs.flip(1))[:, 0]
    return torch.stack([operands[:, 0], b_as_a], dim=1)


def _gradient(
    architecture: ReadsTwoOperands,
    weights: Weights,
    operands: Float[Tensor, "triple operand d_model"],
    c: Int[Tensor, " triple"],
) -> Float[Tensor, "triple operand d_model"]:
    """The gradient of each triple's logit with respect to the embeddings of its own two operands."""
    leaf = operands.detach().requires_grad_()
    with torch.enable_grad():
        logits = architecture.logits_of_operands(weights, leaf)
        (gradient,) = torch.autograd.grad(logits.gather(1, c[:, None]).sum(), leaf)
    return gradient


def figure(result: xr.Dataset) -> list[Curves]:
    return [Curves("Gradient symmetricity", {"all": result.gradient_symmetricity})]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Gradient symmetricity")
    told, records = course(claims, "gradient_symmetricity", "2")
    records |= {name: claims.end(name) for name in ("triples_counted", "triples_in_all")}
    sentence = f"The gradient symmetricity {told}"
    error = claims.maybe("gradient_symmetricity_se")
    if records["triples_counted"].value == records["triples_in_all"].value:
        sentence += " (all {triples_in_all:triple} counted)"
    elif error and error.step == records["end"].step:
        records["error"] = error
        sentence += " (± {error:1}, of {triples_counted} of {triples_in_all:triple})"
    return Finding(f"{sentence}.", records, chapter="what", rank=75)
