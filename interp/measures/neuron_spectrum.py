"""The frequencies of the neurons' activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from scipy.stats import beta, chi2
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claims, Finding
from interp.maths import fourier
from interp.measures.shared.cyclic import cyclic
from interp.summaries import listed

CLEAR = 0.85
"""The share of a neuron's variance above which Nanda et al. count it to its frequency's cluster."""


@dataclass(frozen=True)
class NeuronSpectrum:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    variance_explained: Float[Tensor, "neuron freq"]
    """Share of each neuron's variance that one frequency explains"""
    own_freq: Int[Tensor, " neuron"]
    """Frequency that explains most of the neuron's variance; 0 where two explain as much, -1 where it never varies"""
    own_share: Float[Tensor, " neuron"]
    """Largest share of the neuron's variance that one frequency explains"""
    cluster_size: Float[Tensor, " freq"]
    """Neurons that this frequency explains to more than 85%, its cluster"""
    clear_share: Float[Tensor, ""]
    """Share of all neurons that one frequency explains to more than 85%"""
    clear_chance: float
    """The same share of neurons whose waves of a and of b are random"""
    clear_variance: Float[Tensor, ""]
    """Share of all activations' variance that the neurons hold which one frequency explains to more than 85%"""
    own_variance: Float[Tensor, ""]
    """Share of all activations' variance that one frequency of each neuron explains, the one that explains most"""
    own_chance: float
    """The same share of neurons whose waves of a and of b are random"""


def neuron_spectrum(checkpoint: Checkpoint) -> NeuronSpectrum:
    r"""Each neuron fires in waves of one frequency, and neurons of one frequency form a cluster.

    Expect neurons that mix many frequencies at initialisation, and in a trained network most of them, holding
    nearly all of the activations' variance, explained by one frequency each.

    A neuron's activations on all pairs are centred and written as waves in both operands; a frequency explains the part
    that its eight waves carry. Where two frequencies explain as much, up to a millionth of the variance, the neuron has
    no frequency of its own: one that fires on a single pair has all alike. Operands are taken in the order in which the
    task is cyclic: for products by discrete logarithm, and without 0.

    Formula: \mathrm{FVE}_k = \frac{1}{\lVert N \rVert^2} \sum_{(f,g) \neq (1,1)} \langle N, f \otimes g \rangle^2,
        \quad f, g \in \{1, \cos w_k, \sin w_k\}

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    order = cyclic(checkpoint)
    explained, variance = fourier.variance_explained(order.table(checkpoint.neurons))  # [freq, neuron], [neuron]
    share, own = fourier.leading(explained)
    clear = share > CLEAR
    everything = variance.sum()
    if not everything > 0:
        raise NothingToSay("no neuron ever varies")
    return NeuronSpectrum(
        freq=torch.arange(order.n_freqs),
        variance_explained=explained.T.float(),
        own_freq=own,
        own_share=share,
        cluster_size=torch.bincount(own[clear], minlength=order.n_freqs).double(),
        clear_share=clear.double().mean(),
        clear_chance=_clear_chance(order.n),
        clear_variance=variance[clear].sum() / everything,
        own_variance=(share * variance).nansum() / everything,
        own_chance=_own_chance(order.n),
    )


def _clear_chance(n: int) -> float:
    """The chance that one frequency explains so much of f(a) + g(b), where f and g are of independent Gaussian values.

    A frequency has four waves of the 2(n - 1) of both operands (for even n the last has two), and its share of their
    squares a beta distribution. Two frequencies cannot both be above one half.
    """
    waves = 2 * torch.bincount(fourier.freq_of_row(n))[1:].double()  # [freq]
    others = waves.sum() - waves
    tails = beta.sf(CLEAR, waves[others > 0].numpy() / 2, others[others > 0].numpy() / 2)
    return float(tails.sum() + (others == 0).sum())


def _own_chance(n: int) -> float:
    """The largest share of f(a) + g(b) that one frequency explains, on average, f and g of independent Gaussian values.

    Shares are independent of their sum, so that it is E max_k X_k / E Σ_k X_k of squares X_k, each chi-squared with as
    many degrees of freedom as the frequency has waves.
    """
    waves = 2 * torch.bincount(fourier.freq_of_row(n))[1:].double().numpy()  # [freq]
    x = np.linspace(0, chi2.isf(1e-9 / len(waves), waves.max()), 4_000)
    below = np.prod([chi2.cdf(x, dof) ** np.sum(waves == dof) for dof in set(waves)], axis=0)
    return float(np.trapezoid(1 - below, x) / waves.sum())


@dataclass(frozen=True)
class Order:
    order: Int[np.ndarray, " neuron"]
    """Neurons sorted by their own frequency at the last step, the clearest of each first"""


def over_run(result: xr.Dataset) -> Order:
    last = result.isel(step=-1)
    return Order(np.lexsort((-last.own_share.fillna(0).values, last.own_freq.values)))


def figure(result: xr.Dataset) -> list[Heatmap | Bars | Curves]:
    varying = result.isel(freq=slice(1, None))
    in_order = varying.variance_explained.isel(neuron=result.order.values)
    return [
        Heatmap(
            "Neurons by frequency",
            in_order.rename(neuron="neuron, sorted by its last frequency"),
            x="neuron, sorted by its last frequency",
            y="freq",
        ),
        Bars("Clusters at this step", varying.cluster_size, width="half"),
        Curves(
            "Explained by one frequency",
            {
                "neurons, above 85%": result.clear_share,
                "their variance": result.clear_variance,
                "variance, all neurons": result.own_variance,
            },
            percent=True,
            width="half",
        ),
    ]


MOST_CLUSTERS = 12


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Explained by one frequency")
    records = {name: claims.end(name) for name in ("clear_share", "clear_variance", "own_chance")}
    records["own_variance"] = claims.end(
        "own_variance", bar=Bar("what neurons of random waves give", array="own_chance")
    )
    claims.panel = "Clusters at this step"
    some = Bar("one neuron", 0.5)
    records["clusters"] = clusters = claims.end("cluster_size", "labels", some)
    records["cluster_count"] = claims.end("cluster_size", "count", some)
    sentence = (
        "The neurons' own frequencies explain {own_variance:.1%} of their variance ({own_chance:.0%} by chance); "
    )
    if clusters.value:
        sentence += "the neurons that one frequency explains to more than 85% hold {clear_variance:.1%} of it"
    else:
        sentence += "one frequency explains no neuron to more than 85%"
    if 0 < len(clusters.value) <= MOST_CLUSTERS:
        sizes = []
        for freq in clusters.value:
            records[f"size_{freq}"] = claims.end("cluster_size", freq=freq)
            sizes.append(f"{{size_{freq}:neuron}} of frequency {freq}")
        sentence += f": {listed(sizes)}"
    elif clusters.value:
        sentence += ", in {cluster_count:cluster}"
    return Finding(f"{sentence}.", records, chapter="what", rank=40)
