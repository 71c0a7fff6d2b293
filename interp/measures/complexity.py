"""How few bytes describe the network."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from pydantic import PositiveFloat

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Bar, Claims, Finding, course
from interp.maths.description_length import Description, Weights, raw_size, shortest_description, zeros_like
from interp.maths.landscape import flattened, unflattened
from interp.measures.shared.train_loss import train_loss
from interp.measures.shared.trained_with import in_units, titled, units

SMALL = 1_000_000
"""Weights times training examples below which one loss costs so little that it is asked for at hundreds of Δ."""


@dataclass(frozen=True)
class Complexity:
    complexity: Float[np.ndarray, ""] | None
    """Size of the shortest description found [bytes]"""
    bits_per_weight: Float[np.ndarray, ""] | None
    """Size of the shortest description found, per weight [bits]"""
    raw_size: Float[np.ndarray, ""]
    """Size of the weights as they are, compressed [bytes]"""
    tau: Float[np.ndarray, ""] | None
    """Share of the sum of each matrix's singular values that is kept"""
    delta: Float[np.ndarray, ""] | None
    """Step size of rounding"""
    factored_share: Float[np.ndarray, ""] | None
    """Share of the matrices kept as two factors; each head's are counted on their own"""
    described_loss: Float[np.ndarray, ""] | None
    """Train loss of the network described"""
    zeros_loss: Float[np.ndarray, ""] | None
    """Train loss of a network of zeros, which guesses"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""


def complexity(checkpoint: Checkpoint, epsilon: PositiveFloat = 1.0, exhaustive: bool = False) -> Complexity:
    r"""What a network memorised takes many bytes to write down; what it understood takes few.

    Each matrix is truncated to its largest singular values, everything is rounded to multiples of one step size and
    compressed; the complexity is the smallest size found of a network whose train loss differs by less than `epsilon`
    from this one's. Expect it to rise while the training set is memorised and to fall as the circuit takes over, while
    the weights compressed as they are stay as large as they were. At the start it is next to nothing: a network of
    zeros guesses as well as a fresh one.

    The train loss is that which the run was trained with, cross-entropy unless its recipe says otherwise. `epsilon`
    is 1, for cross-entropy a nat, as in the paper's curves of the total description; a smaller one gives larger sizes
    (at 0.01 the fresh weights, too, have to be described) that rise and fall alike. It has to be small beside what
    learning gains, the loss of a network of zeros (`zeros_loss`) less this one's: where it is more, the shortest
    description is that of zeros, whatever was learned. With two answers guessing costs ln 2, less than a nat, and a
    mean squared error is rarely as large as 1; there choose a smaller `epsilon`.

    τ is one of 1, 0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6 and 0.5; Δ is one of 177 in a grid of factor 1.09. For
    each τ a search finds the largest Δ that keeps the loss, or nearly. Of small networks, whose weights times training
    examples are below a million, and of those that lose no less than a network of zeros, a rougher Δ may keep it by
    chance: there all Δ are looked at, until two octaves of finer ones need more bytes. `exhaustive` looks at the whole
    grid whatever the network is, which takes about twenty times as long. A matrix is kept as two factors, U√σ and √σVᵀ,
    only where that saves numbers, k < mn/(m + n); a head's weights are matrices of their own; biases and norms are only
    rounded. The multiples are compressed by bzip2. Where the split is unknown, or nothing was trained on, only the raw
    size is a number.

    Formula: \min_{\tau, \Delta} \left|\mathrm{bzip2}(\hat\theta_{\tau,\Delta})\right| \quad \text{subject to} \quad
        \left|\mathcal{L}(\hat\theta_{\tau,\Delta}) - \mathcal{L}(\theta)\right| < \epsilon, \qquad
        k(\tau) = \min\Big\{k : \sum_{i \le k} \bar\sigma_i \ge \tau\Big\}

    Paper: DeMoss et al. 2024, arXiv 2412.09810
    """
    raw = raw_size(checkpoint.weights)
    trained_with = checkpoint.loss.name, checkpoint.loss.units
    try:
        of_vector, x = train_loss(checkpoint)
    except NothingToSay:  # the raw size needs no split
        return Complexity(None, None, np.array(float(raw)), None, None, None, None, None, *trained_with)

    def loss(weights: Weights) -> float:
        with torch.no_grad():
            return float(of_vector(flattened(weights)))

    weights = unflattened(x, {name: value.shape for name, value in checkpoint.weights.items()})
    n_train = 0 if checkpoint.task.train is None else int(checkpoint.task.train.sum())
    looked_at = "whole" if exhaustive else "smaller" if len(x) * n_train < SMALL else "searched"
    shortest = shortest_description(weights, loss, epsilon, looked_at)
    shortest = shortest or Description(raw, tau=1.0, delta=0.0, loss=loss(weights), factored_share=0.0)
    return Complexity(
        np.array(float(shortest.size)),
        np.array(8 * shortest.size / len(x)),
        np.array(float(raw)),
        np.array(shortest.tau),
        np.array(shortest.delta),
        np.array(shortest.factored_share),
        np.array(shortest.loss),
        np.array(loss(zeros_like(weights))),
        *trained_with,
    )


def figure(result: xr.Dataset) -> list[Curves]:
    if not result.complexity.notnull().any():
        return [Curves("Size, and that of the weights as they are", {"as they are": result.raw_size})]
    return [
        Curves("Size of the shortest description", {"all": result.complexity}),
        Curves(
            "Size, and that of the weights as they are",
            {"shortest": result.complexity, "as they are": result.raw_size},
            log=True,
            width="half",
        ),
        Curves(
            titled("Train loss of the network described", result),
            {"all": in_units(result.described_loss, result)},
            width="half",
        ),
        Curves("Step size of rounding Δ", {"all": result.delta}, log=True, width="half"),
        Curves(
            "Share kept of the singular values τ, and of matrices factored",
            {"τ": result.tau, "factored": result.factored_share},
            percent=True,
            width="half",
        ),
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Size, and that of the weights as they are")
    raw = {name: getattr(claims, name)("raw_size") for name in ("end", "lowest", "highest")}
    raw = {f"raw_{name}": record for name, record in raw.items()}
    low, high = (f"{raw[f'raw_{name}']:bytes}" for name in ("lowest", "highest"))
    takes = "{raw_end:bytes}" if low == high else "between {raw_lowest:bytes} and {raw_highest:bytes}"
    beside = f"Compressed as they are the weights take {takes}."
    if not claims.known("complexity"):
        return Finding(f"{beside} What was trained on is unknown, or nothing was, so no loss has to be kept.", raw)
    told, records = course(claims, "complexity", "bytes")
    sentence = f"Its shortest description {told}"
    if "highest:bytes" in told:
        records["fall"] = claims.compared(records["end"], "relative to", records["highest"])
        records["kept"] = claims.compared(records["end"], "over", records["highest"])
        sentence += ", {kept:%} of its largest"
    zeros, described = (claims.maybe(name) for name in ("zeros_loss", "described_loss"))
    if zeros and described and math.isclose(zeros.value, described.value, rel_tol=1e-9):
        records |= {"zeros": replace(zeros, unit=units(result), bar=Bar("ε", _epsilon(result)))}
        form = "2 nat" if units(result) == "nats" else "2"
        sentence += f", that of a network of zeros, whose loss of {{zeros:{form}}} differs by less than ε = "
        sentence += f"{{zeros.bar:{form}}}"
    return Finding(f"{sentence}. {beside}", records | raw, chapter="how", rank=50)


def _epsilon(result: xr.Dataset) -> float:
    """The option `epsilon` with which the result was made."""
    return float(json.loads(result.attrs.get("options", "{}")).get("epsilon", 1.0))
