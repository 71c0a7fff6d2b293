"""Whether neurons say the same thing, or together what none of them says alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from pydantic import Field
from scipy.cluster import hierarchy

from interp.checkpoints import Checkpoint, Run
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.maths.o_information import gaussian_entropies, multiplets, normal_scores
from interp.measures.shared.around_grokking import around_grokking

RAW, SCALED = "O-information of clusters of neurons", "Synergy and redundancy, each from 0 to 1 over the run"
Clusters = Annotated[int, Field(ge=3, le=14)]
"""More than 14 have too many sets."""


@dataclass(frozen=True)
class OInformation:
    synergy: float
    """O-information of the clusters that are most synergistic together, the lowest [nats]"""
    redundancy: float
    """O-information of the clusters that are most redundant together, the highest [nats]"""
    synergy_size: int
    """Clusters in the most synergistic set"""
    redundancy_size: int
    """Clusters in the most redundant set"""
    all_clusters: float
    """O-information of all clusters together; NaN where one is fixed by the others [nats]"""
    clusters: int
    """Clusters of neurons"""
    neurons: int
    """Neurons that vary over the examples"""


def o_information(checkpoint: Checkpoint, clusters: Clusters = 10) -> OInformation:
    r"""Before a network groks, groups of its neurons are said to work together: synergy peaks early.

    O-information is positive where several variables say the same thing, redundancy, and negative where they say
    together what none says alone, synergy; of two variables it is 0. The variables are clusters of the last hidden
    layer's neurons, by Ward's method on their activations over all examples, each cluster's mean activation (the paper
    does not say how a cluster becomes one variable); neurons that never vary are left out. Of all sets of three
    clusters or more the synergy is the lowest O-information and the redundancy the highest. The clusters are found
    anew at each checkpoint.

    Entropies are those of a Gaussian copula, corrected for the number of examples as for independent draws. All
    examples are looked at and nothing is drawn; a set in which one cluster is fixed by the others is left out. The
    paper's curves are those of the last panel: each is scaled from 0 to 1 over the run, synergy with its sign
    inverted. A checkpoint of the run that ships takes 0.1 s.

    Formula: \Omega(Z) = (n - 2) H(Z) + \sum_j \left[ H(Z_j) - H(Z_{\setminus j}) \right], \quad
        H = \tfrac12 \ln \left( (2 \pi e)^n \lvert \Sigma \rvert \right)

    Paper: Clauw et al. 2024, arXiv 2408.08944; Rosas et al. 2019, arXiv 1902.11239; Ince et al. 2017
    """
    neurons = checkpoint.neurons.cpu().numpy()  # [example, neuron]
    varying = neurons[:, np.ptp(neurons, axis=0) > 0]
    count = min(clusters, varying.shape[1])
    if count < 3:
        raise NothingToSay(f"only {varying.shape[1]} of its neurons vary over the examples, and two have no synergy")
    labels = hierarchy.fcluster(hierarchy.linkage(varying.T, "ward"), count, "maxclust")
    means = _means(varying, labels)
    found = multiplets(gaussian_entropies(np.atleast_2d(np.cov(normal_scores(means).T)), len(means)))
    if not found:
        raise NothingToSay("each of its clusters of neurons is fixed by others")
    whole = {len(one.members): one.information for one in found if len(one.members) == means.shape[1]}
    return OInformation(
        synergy=found[0].information,
        redundancy=found[-1].information,
        synergy_size=len(found[0].members),
        redundancy_size=len(found[-1].members),
        all_clusters=whole.get(means.shape[1], math.nan),
        clusters=means.shape[1],
        neurons=varying.shape[1],
    )


def _means(
    neurons: Float[np.ndarray, "example neuron"], labels: Int[np.ndarray, " neuron"]
) -> Float[np.ndarray, "example cluster"]:
    """The mean activation of each cluster."""
    return np.stack([neurons[:, labels == label].mean(axis=1) for label in np.unique(labels)], axis=1)


def steps(run: Run) -> list[int]:
    return around_grokking(run)


def figure(result: xr.Dataset) -> list[Curves]:
    raw = {"redundancy": result.redundancy, "synergy": result.synergy}
    scaled = {"redundancy": _scaled(result.redundancy), "synergy": _scaled(-result.synergy)}
    return [Curves(RAW, raw, width="half"), Curves(SCALED, scaled, width="half")]


def _scaled(curve: xr.DataArray) -> xr.DataArray:
    """From 0 at its lowest to 1 at its highest; without units."""
    low, high = float(curve.min()), float(curve.max())
    return ((curve - low) / (high - low or 1.0)).assign_attrs(units="")


def summary(result: xr.Dataset) -> list[Finding]:
    claims, found = Claims(result, RAW), []
    for rank, (name, what) in enumerate((("synergy", "lowest"), ("redundancy", "highest")), 93):
        told, records = course(claims, name, "2", "nats")
        sentence = f"The {what} O-information of sets of clusters of neurons {told}"
        found.append(Finding(f"{sentence}.", records, chapter="how", rank=rank))
    return found
