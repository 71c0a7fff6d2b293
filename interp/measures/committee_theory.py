"""The overlaps that a network's neurons have, beside those of the theory of its posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from pydantic import PositiveFloat

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding
from interp.maths.committee_action import Setting, solved
from interp.maths.teachers import hermite_teacher
from interp.measures.overlap import FAR
from interp.measures.shared.posterior_noise import posterior_noise

WIDEST, BINS = 1.5, 61
PANEL = "Action of the overlap, all checkpoints of the second half together"


@dataclass(frozen=True)
class CommitteeTheory:
    noise: float
    """Variance σ² of the noise"""
    u: float
    """Effective interaction u"""
    linear: float
    """b of the theory, what is left of H1"""
    cubic: float
    """c of the theory, what is left of H3"""
    far: float
    """Share of the neurons whose overlap is beyond 0.5, of the theory"""
    phi: Float[np.ndarray, " phi"]
    """Overlap Φ"""
    counted: Float[np.ndarray, " phi"]
    """Neurons whose overlap is in the bin about Φ"""
    expected: Float[np.ndarray, " phi"]
    """Neurons that the theory expects there"""


def committee_theory(
    checkpoint: Checkpoint,
    noise: PositiveFloat | None = None,
    sigma_w2: PositiveFloat | None = None,
    sigma_a2: PositiveFloat | None = None,
) -> CommitteeTheory:
    r"""A network in equilibrium has neurons whose overlap with the teacher costs them little action.

    The action S of the overlap Φ is minus the logarithm of its density, of which the theory has a closed form in the b
    and c that the network leaves of the target, and these follow from the overlaps again: both are solved together, at
    the dimension of the inputs, where the paper takes the limit and finds a jump. With falling noise expect wells to
    form at ±Φ*, beside the one at 0. It holds in equilibrium and on average; one network of one draw of the data is
    some way off.

    `noise` is σ², that of the run's optimiser where it is not given; `sigma_w2` and `sigma_a2` are those of the model's
    prior, of which the mean squares of fresh weights times their numbers are taken where they are not given.

    Formula: S(\Phi) = d \left[ \frac{\Phi^2}{2\sigma_w^2} - \frac{2u}{\pi} \frac{\Phi^2}{D}
        \left(b - \frac{2c\Phi^2}{D}\right)^2 \right], \quad D = 1 + 2(\sigma_w^2 + \Phi^2), \quad
        u = \frac{n^2 \sigma_a^2}{\sigma^4 d N}

    Paper: Rubin et al. 2023, arXiv 2310.03789
    """
    phi = checkpoint.measure("overlap").overlap.numpy()  # which says why where it does not apply
    task, teacher = checkpoint.task, hermite_teacher(checkpoint.task)
    sigma2 = posterior_noise(checkpoint, noise)
    assert task.train is not None  # `posterior_noise` has refused it
    d, N = len(teacher.direction), len(phi)
    of_w, of_a = _prior(checkpoint)
    setting = Setting(d, N, int(task.train.sum()), sigma_w2 or of_w, sigma_a2 or of_a, teacher.epsilon, sigma2)
    try:
        found = solved(setting)
    except ArithmeticError as error:
        raise NothingToSay(str(error)) from error
    edges = np.linspace(-WIDEST, WIDEST, BINS + 1)
    share, _ = np.histogram(found.q, edges, weights=found.density / found.density.sum())
    return CommitteeTheory(
        noise=sigma2,
        u=setting.u,
        linear=found.b,
        cubic=found.c,
        far=found.beyond(FAR),
        phi=(edges[1:] + edges[:-1]) / 2,
        counted=np.histogram(phi, edges)[0].astype(np.float64),
        expected=N * share,
    )


def _prior(checkpoint: Checkpoint) -> tuple[float, float]:
    """σ_w² and σ_a², which the architecture says, or its fresh weights: d and N times their mean squares."""
    architecture = checkpoint.run.architecture
    told = getattr(architecture, "sigma_w2", None), getattr(architecture, "sigma_a2", None)
    if None not in told:
        return told  # pyright: ignore[reportReturnType]
    fresh = architecture.initial(0)
    W, a = fresh["mlp.W_in"].double(), fresh["unembed.W_U"].double()
    return float(W.square().mean()) * len(W), float(a.square().mean()) * len(a)


@dataclass(frozen=True)
class Pooled:
    action: Float[np.ndarray, " phi"]
    """Action -ln p(Φ) of the neurons of all steps of the second half, less the least [nats]"""
    theory: Float[np.ndarray, " phi"]
    """Action of the theory, less the least [nats]"""


def over_run(result: xr.Dataset) -> Pooled:
    half = result.isel(step=slice(len(result.step) // 2, None))
    return Pooled(_action(half.counted.sum("step").values), _action(half.expected.mean("step").values))


def _action(counts: Float[np.ndarray, " phi"]) -> Float[np.ndarray, " phi"]:
    """-ln of the counts, less the least; NaN of none."""
    found = np.full(len(counts), math.nan)
    some = counts > 0
    found[some] = math.log(counts.max()) - np.log(counts[some]) if some.any() else math.nan
    return found


def figure(result: xr.Dataset) -> list[Curves]:
    shown = result.theory.where(result.theory < 12)  # beyond, no network here has a neuron
    return [Curves(PANEL, {"networks": result.action, "theory": shown})]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, PANEL)
    records = {name: claims.end(name) for name in ("noise", "u", "linear", "cubic", "far")}
    sentence = (
        "In equilibrium with noise of variance {noise:3}, an effective interaction u of {u:3}, theory has {linear:3} "
        "of H1 and {cubic:3} of H3 left of the target, and {far:.1%} of the neurons with an overlap beyond 0.5."
    )
    return Finding(sentence, records, chapter="how", rank=57)
