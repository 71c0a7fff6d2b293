"""How far each neuron has turned to the direction of its teacher, and whether some have and others have not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import has_neurons
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.machine import devices
from interp.maths.mixtures import Mixture, fit_symmetric
from interp.maths.teachers import hermite_teacher

FAR = 0.5
"""An overlap beyond this is that of a neuron that has turned to the teacher."""
LOOKED_AT = 20
FEWEST = 30
"""Neurons of which a mixture is fitted."""
NONE_LEFT = 0.01
"""A centre of less weight than this is no well."""
PLACES = 400
"""Between the centre and a side, at which the density of a mixture is looked at."""
WEIGHTS = "mlp.W_in"
PANEL = "Neurons turned to the teacher"


@dataclass(frozen=True)
class Overlap:
    overlap: Float[Tensor, " neuron"]
    """Overlap Φ of each neuron's weights with the teacher's direction"""
    far: float
    """Share of the neurons whose overlap is beyond 0.5"""
    square: float
    """Mean of Φ²"""
    beside: float
    """Mean square of the weights along any other direction"""
    left_linear: float
    """b, what is left of H1 in what the network says"""
    left_cubic: float
    """c, what is left of H3"""
    phase: str
    """Phase: GFL, GMFL-I or GMFL-II; blank where there are too few neurons"""
    centre: float
    """Weight of the centre of the symmetric mixture of three Gaussians"""
    side: float
    """Where its sides are, ±"""
    margin: float
    """BIC of one Gaussian about 0 less that of the mixture [nats]"""


def overlap(checkpoint: Checkpoint) -> Overlap:
    r"""Where a network learns features, a few neurons turn to the direction that the target depends on, all at once.

    Φ is the product of a neuron's weights with the teacher's direction w*, the order parameter of Rubin et al.'s first
    order transition. Expect a Gaussian about 0, as wide as along any other direction, as long as the network is one of
    Gaussian feature learning (GFL); then, as the noise falls, neurons that have jumped to ±Φ* beside those that have
    not (GMFL-I, a Gaussian mixture), and in the end none that have not (GMFL-II).

    The phase is that of a mixture of a centre and two equal sides at ±μ, fitted by maximum likelihood to all neurons:
    it is GFL unless the mixture has a lower BIC than one Gaussian about 0 and its density has a well at ±μ apart from
    the centre, and GMFL-II where the centre holds less than 1%. The paper fits no mixture; it draws histograms.

    b and c are what is left of the target H1 + ε H3, over all inputs of independent N(0, 1), in closed form.

    Formula: \Phi_i = w_i \cdot w^*, \quad b = 1 - \sum_i \frac{2 a_i \Phi_i}{\sqrt{\pi (1 + 2 |w_i|^2)}}, \quad
        c = \epsilon + \frac{1}{6} \sum_i \frac{4 a_i \Phi_i^3}{\sqrt{\pi} (1 + 2 |w_i|^2)^{3/2}}

    Paper: Rubin et al. 2023, arXiv 2310.03789
    """
    teacher = hermite_teacher(checkpoint.task)
    network = has_neurons(checkpoint.run.architecture)
    if WEIGHTS not in checkpoint.weights or checkpoint.weights[WEIGHTS].shape[0] != len(teacher.direction):
        raise NothingToSay("the neurons do not read the inputs themselves")
    W = devices.float64(checkpoint.weights[WEIGHTS]).cpu()  # [d, neuron]
    a = network.readout(checkpoint.weights, checkpoint.activations)[:, 0].double().cpu()
    phi = teacher.direction @ W
    norms = 1 + 2 * W.square().sum(dim=0)
    erf = _are_error_functions(checkpoint, W)
    linear = 1 - float((2 * a * phi / (math.pi * norms).sqrt()).sum())
    cubic = teacher.epsilon + float((4 * a * phi**3 / (math.sqrt(math.pi) * norms**1.5)).sum()) / 6
    phase, mixture, margin = _phase(phi.numpy())
    return Overlap(
        overlap=phi,
        far=float((phi.abs() > FAR).double().mean()),
        square=float(phi.square().mean()),
        beside=float((W.square().sum() - phi.square().sum()) / (W.shape[1] * (len(W) - 1))),
        left_linear=linear if erf else math.nan,
        left_cubic=cubic if erf else math.nan,
        phase=phase,
        centre=math.nan if mixture is None else float(mixture.weight[1]),
        side=math.nan if mixture is None else float(mixture.mean[2]),
        margin=margin,
    )


def _are_error_functions(checkpoint: Checkpoint, W: Float[Tensor, "d neuron"]) -> bool:
    """Whether the neurons are error functions of W and the inputs, without biases: of others b and c have no number."""
    inputs = checkpoint.task.inputs[:LOOKED_AT].flatten(1).double()
    return bool(torch.allclose(checkpoint.neurons[:LOOKED_AT].cpu(), torch.erf(inputs @ W), rtol=1e-4, atol=1e-6))


def _phase(values: Float[np.ndarray, " neuron"]) -> tuple[str, Mixture | None, float]:
    if len(values) < FEWEST or not values.any():
        return "", None, math.nan
    fit = fit_symmetric([values])[0]
    one = -len(values) / 2 * (math.log(2 * math.pi * float(np.square(values).mean())) + 1)
    margin = math.log(len(values)) - 2 * one - fit.bic
    if margin <= 0 or not _apart(fit.mixture):
        return "GFL", fit.mixture, margin
    return "GMFL-II" if fit.mixture.weight[1] < NONE_LEFT else "GMFL-I", fit.mixture, margin


def _apart(mixture: Mixture) -> bool:
    """Whether the density has a well of its own on the side: it rises again between the centre and μ."""
    density = mixture.log_density(np.linspace(0, float(mixture.mean[2]), PLACES))
    return bool(density[-1] > density.min() + 1e-9) and bool(density.argmin() < PLACES - 1)


def figure(result: xr.Dataset) -> list[Curves]:
    return [
        Curves(PANEL, {"all": result.far}, percent=True, width="half"),
        Curves("What is left of the target", {"H1": result.left_linear, "H3": result.left_cubic}, width="half"),
        Curves(
            "Mean square of the weights",
            {"along the teacher": result.square, "along another direction": result.beside},
            width="half",
        ),
        Curves("Margin of the mixture over one Gaussian", {"all": result.margin}, width="half"),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, PANEL)
    told, records = course(claims, "far", ".1%")
    found = [
        Finding(
            f"The share of the neurons whose overlap with the teacher's direction is beyond 0.5 {told}.",
            records,
            chapter="how",
            rank=58,
        )
    ]
    if claims.known("margin"):
        claims.panel = "Margin of the mixture over one Gaussian"
        records = {name: claims.end(name) for name in ("phase", "centre", "side", "margin")}
        sentence = (
            "At the end the overlaps are those of {phase}: a centre of weight {centre:.1%} and sides at ±{side:2}, "
            "whose BIC is {margin:3} nats below that of one Gaussian."
        )
        found.append(Finding(sentence, records, chapter="how", rank=59))
    return found
