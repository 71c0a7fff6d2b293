"""How many linear pieces a network has about its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.contracts.architecture import Architecture
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.maths.standard_error import standard_error
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.continuous import continuous_inputs, drawn_sets, weights_of
from interp.measures.shared.seed import Seed

PANEL = "Local complexity"
WORDS = {"train": "the training examples", "test": "the test examples", "random": "random points"}
AT_ONCE = 1_000
"""Vertices in one forward pass, or those of one point."""


@dataclass(frozen=True)
class LocalComplexity:
    layer: tuple[str, ...]
    """Hidden layer"""
    train: float | None
    """Units whose zero set passes by a training example, mean over those drawn"""
    train_se: float | None
    """Standard error of that mean; NaN where all have as many"""
    test: float | None
    """Units whose zero set passes by a test example, mean over those drawn"""
    test_se: float | None
    """Standard error of that mean; NaN where all have as many"""
    random: float
    """Units whose zero set passes by a random point, mean over those drawn"""
    random_se: float
    """Standard error of that mean; NaN where all have as many"""
    train_by_layer: Float[np.ndarray, " layer"] | None
    """Those of each layer, at the training examples"""
    train_by_layer_se: Float[np.ndarray, " layer"] | None
    """Standard error of each layer's mean over training examples; NaN where all have as many"""
    test_by_layer: Float[np.ndarray, " layer"] | None
    """Those of each layer, at the test examples"""
    test_by_layer_se: Float[np.ndarray, " layer"] | None
    """Standard error of each layer's mean over test examples; NaN where all have as many"""
    random_by_layer: Float[np.ndarray, " layer"]
    """Those of each layer, at the random points"""
    random_by_layer_se: Float[np.ndarray, " layer"]
    """Standard error of each layer's mean over random points; NaN where all have as many"""
    sampling_seed: int
    """Seed with which points and directions were drawn"""


def local_complexity(
    checkpoint: Checkpoint,
    radius: PositiveFloat = 0.005,
    directions: PositiveInt = 25,
    points: PositiveInt = 200,
    seed: Seed = 0,
) -> LocalComplexity:
    r"""Late in training the linear pieces of a network move away from its examples, and it becomes robust.

    A ReLU network is linear in pieces, which meet where a unit's input is 0. The local complexity of a point is how
    many units change their sign between the vertices x ± r·v, where the v are as many random orthonormal `directions`,
    at most the inputs' dimensions, drawn for each point, and r is the `radius`. Humayun et al. see it fall, rise until
    the training examples are known, and fall again as the network generalises and withstands attacks.

    In the first layer, which is linear in its inputs, that is exact: a unit counts where |pre| < r·max |W v|. In the
    others pieces that pass between the vertices without parting them are not seen. Units are those of all hidden
    layers, in a convolution each place of each channel; the outputs, which have no zero set of their own, are none.
    Random points are uniform between the smallest and the largest number of all inputs. The standard errors are those
    of points and directions drawn anew; where no split is known there are random points alone.

    A checkpoint of four layers of 200 units on 8×8 images takes 0.9 s for 3 × 200 points. Of pairs of residues, which
    are looked up in tables, there is nothing to say.

    Formula: \mathrm{LC}(x) = \sum_\ell \left| \left\{ i : \exists\, u, v \in V : \; \mathrm{pre}_{\ell i}(u) > 0 \ge
        \mathrm{pre}_{\ell i}(v) \right\} \right|, \quad V = \{x \pm r v_p\}_{p = 1 \ldots P}

    Paper: Humayun et al. 2024, arXiv 2402.15555
    """
    task, network = checkpoint.task, _Network(checkpoint.run.architecture, weights_of(checkpoint))
    inputs = continuous_inputs(task).cpu()
    sets = {name: inputs[one.places] for name, one in drawn_sets(task, points, seed).items()}
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(points, *inputs.shape[1:], generator=generator, dtype=torch.float64)
    sets["random"] = inputs.min() + (inputs.max() - inputs.min()) * uniform
    found = {
        name: _Counted(torch.cat(list(network.counts(sets[name], radius, directions, generator))).double().numpy())
        for name in WORDS
        if name in sets
    }
    train, test, random = (found.get(name) for name in WORDS)
    assert random is not None
    return LocalComplexity(
        layer=tuple(network.layers),
        train=train and train.mean,
        train_se=train and train.mean_se,
        test=test and test.mean,
        test_se=test and test.mean_se,
        random=random.mean,
        random_se=random.mean_se,
        train_by_layer=train and train.by_layer,
        train_by_layer_se=train and train.by_layer_se,
        test_by_layer=test and test.by_layer,
        test_by_layer_se=test and test.by_layer_se,
        random_by_layer=random.by_layer,
        random_by_layer_se=random.by_layer_se,
        sampling_seed=seed,
    )


@dataclass(frozen=True)
class _Counted:
    """The numbers of units of some points, and their means."""

    units: Float[np.ndarray, "point layer"]

    @property
    def mean(self) -> float:
        return float(self.units.sum(axis=1).mean())

    @property
    def mean_se(self) -> float:
        return standard_error(self.units.sum(axis=1))

    @property
    def by_layer(self) -> Float[np.ndarray, " layer"]:
        return self.units.mean(axis=0)

    @property
    def by_layer_se(self) -> Float[np.ndarray, " layer"]:
        return np.array([standard_error(column) for column in self.units.T])


@dataclass(frozen=True)
class _Network:
    """The signs of a network's units."""

    architecture: Architecture
    weights: dict[str, Tensor]

    @property
    def layers(self) -> list[str]:
        """The hidden layers, from the input on. Raises NothingToSay where none is known."""
        first = self.architecture.task.inputs[:1].to(next(iter(self.weights.values())).device)
        found = [name for name in self.architecture.activations(self.weights, first) if name.endswith(".hook_pre")]
        if not found:
            raise NothingToSay("it is not known what goes into the network's hidden units")
        return [name.removesuffix(".hook_pre") for name in found]

    def counts(
        self, points: Float[Tensor, "point ..."], radius: float, directions: int, generator: torch.Generator
    ) -> Iterator[Int[Tensor, "point layer"]]:
        """How many units of each layer change their sign between a point's vertices, some points at a time."""
        layers = self.layers
        size = points[0].numel()
        frame = min(directions, size)
        device = next(iter(self.weights.values())).device
        for some in points.split(max(AT_ONCE // (2 * frame), 1)):
            drawn = torch.randn(len(some), size, frame, generator=generator, dtype=torch.float64)
            steps = radius * torch.linalg.qr(drawn).Q.transpose(1, 2).reshape(len(some), frame, *some.shape[1:])
            vertices = torch.cat([some[:, None] + steps, some[:, None] - steps], dim=1)  # [point, vertex, …]
            with torch.no_grad():
                found = self.architecture.activations(self.weights, vertices.flatten(0, 1).to(device))
            signs = [(found[f"{layer}.hook_pre"] > 0).reshape(len(some), 2 * frame, -1) for layer in layers]
            yield torch.stack([_parted(sign).sum(dim=1) for sign in signs], dim=1).cpu()


def _parted(positive: Bool[Tensor, "point vertex unit"]) -> Bool[Tensor, "point unit"]:
    return positive.any(dim=1) & ~positive.all(dim=1)


def steps(run: Run) -> list[int]:
    return around_grokking(run)


@dataclass(frozen=True)
class Course:
    train_first: float
    """That of the training examples at the first checkpoint; NaN where nobody knows which they are"""
    train_highest: float
    """The highest over the run"""
    train_highest_step: float
    """The step at which it is"""


def over_run(result: xr.Dataset) -> Course:
    known = result.train.dropna("step")
    if not known.size:
        return Course(np.nan, np.nan, np.nan)
    place = int(known.values.argmax())
    return Course(float(known[0]), float(known[place]), float(known.step[place]))


def figure(result: xr.Dataset) -> list[Curves]:
    there = [name for name in WORDS if result[name].notnull().any()]
    curves = {name: result[name] for name in there}
    panels = [Curves(PANEL, curves, errors={name: result[f"{name}_se"] for name in there})]
    for name in there if result.sizes["layer"] > 1 else []:
        labels = [str(layer) for layer in result.layer.values]
        lines = {layer: result[f"{name}_by_layer"].sel(layer=layer) for layer in labels}
        errors = {layer: result[f"{name}_by_layer_se"].sel(layer=layer) for layer in labels}
        panels.append(Curves(f"Local complexity by layer, {WORDS[name]}", lines, width="half", errors=errors))
    return panels


def summary(result: xr.Dataset) -> list[Finding]:
    claims, found = Claims(result, PANEL), []
    for rank, (name, words) in enumerate(WORDS.items(), 80):
        if claims.known(name):
            told, records = course(claims, name, "2")
            sentence = f"The number of units whose zero set passes by {words} {told}"
            error = claims.maybe(f"{name}_se")
            if error and error.step == records["end"].step:
                records["error"] = error
                sentence += " (± {error:1})"
            found.append(Finding(f"{sentence}.", records, chapter="how", rank=rank))
    return found
