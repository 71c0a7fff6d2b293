"""The local learning coefficient: how many parameters of a network its loss holds fast, counted by degrees.

1. `sampling` draws weights about the checkpoint, by HMC or by SGLD, and refuses chains that have not come to rest.
2. Here the posterior is made of the run's train loss, and the result is described.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import xarray as xr
from jaxtyping import Float, Shaped
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import InterpError, NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.maths import landscape
from interp.measures.local_learning_coefficient.sampling import Batches, Drawn, Effort, Posterior, by_hmc, by_sgld
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.seed import Seed
from interp.measures.shared.train_loss import Trained, trained
from interp.summaries import number

__all__ = ["LocalLearningCoefficient", "figure", "local_learning_coefficient", "steps", "summary"]

LARGE = 2_000_000
"""Weights times examples from which a gradient costs more than calling it."""
OF_LARGE, OF_SMALL = Effort(1, 52, 12, 10), Effort(4, 240, 60, 10)
BY_SGLD = Effort(2, 1_000, 200, 10)
FEWEST_DRAWS = 8
Draws = Annotated[int, Field(ge=FEWEST_DRAWS)]
PANEL = "Local learning coefficient"


@dataclass(frozen=True)
class LocalLearningCoefficient:
    coefficient: float
    """Local learning coefficient"""
    coefficient_se: float
    """Its standard error"""
    coefficient_low: float
    """Lower end of its interval of 95%"""
    coefficient_high: float
    """Upper end of that interval"""
    effective_draws: float
    """Independent draws that would know it as well"""
    r_hat: float
    """Split R-hat of the chains, 1 where they agree"""
    accepted: float
    """Share of the trajectories that were accepted"""
    step_size: float
    """Step of the sampler"""
    n_beta: float
    """Training examples times the inverse temperature"""
    precision: float
    """Precision γ of the Gaussian about the checkpoint"""
    train_loss: float
    """Train loss of the checkpoint"""
    sampling_seed: int
    """Seed with which the weights were drawn"""
    sampler: str
    """How they were drawn"""
    loss_name: str
    """Loss that the run was trained with"""


def local_learning_coefficient(
    checkpoint: Checkpoint,
    sampler: Literal["hmc", "sgld"] = "hmc",
    beta: PositiveFloat | None = None,
    precision: NonNegativeFloat = 100.0,
    chains: PositiveInt | None = None,
    draws: Draws | None = None,
    warm_up: PositiveInt | None = None,
    leapfrog: PositiveInt | None = None,
    step_size: PositiveFloat | None = None,
    batch: PositiveInt = 256,
    seed: Seed = 0,
) -> LocalLearningCoefficient:
    r"""A network that generalises sits in a broader basin: fewer of its weights matter to the train loss.

    Weights are drawn about the checkpoint w*, with a probability that falls with the train loss and with the distance,
    and the coefficient is by how much the loss rises on average, in units in which each direction that the loss holds
    fast counts ½. Expect it to rise while the network memorises and to fall as it generalises. It is local, and of the
    temperature and the prior that it was drawn with: `beta` is 1/ln n for n training examples unless it is given, and
    the prior is a Gaussian of `precision` γ about w*; compare coefficients of the same two alone.

    Where L is ½ Σ h_i w_i² it is ½ Σ nβh_i/(nβh_i + γ), half of the number of directions as γ goes to 0.

    HMC takes all examples, and draws without error of its own once it is in equilibrium. Each of the `chains` begins at
    w*, takes `warm_up` gradients to get there, and `draws` times `leapfrog` to draw; without these options 1, 52, 12
    and 10 where weights times examples are above two million (some 1.5 seconds a checkpoint for p = 59), else 4, 240,
    60 and 10. SGLD, for more examples than a gradient can take, moves by batches of `batch` with steps of `step_size`,
    a hundredth of 1/γ unless given; half of its chains take half the step, and the coefficient is what both tend to.

    The interval is Student's, for as many draws as the chains are worth. Chains that differ (by split R-hat, above 1.2
    and above what as many independent draws come to once in a hundred times) have no number, nor have weights about
    which the loss is lower than where they are.

    Formula: \hat\lambda = n\beta \left( \mathbb{E}_{w}\left[L(w)\right] - L(w^*) \right), \quad
        p(w) \propto \exp\left( -n\beta L(w) - \tfrac{\gamma}{2} \lVert w - w^* \rVert^2 \right)

    Paper: Lau et al. 2023, arXiv 2308.12108
    """
    of = trained(checkpoint)
    n = len(of.targets)
    if beta is None and n < 3:
        raise NothingToSay(f"1/ln n is no temperature for {n} training examples, and no beta is given")
    n_beta = n * beta if beta is not None else n / math.log(n)
    if sampler == "sgld" and (chains or BY_SGLD.chains) % 2:
        raise InterpError(f"local_learning_coefficient: half of the chains take half the step, and chains is {chains}")
    if sampler == "sgld" and step_size is None and not precision:
        raise InterpError(
            "local_learning_coefficient: sgld has no step of its own for a precision of 0; give step_size"
        )
    large = n * len(of.weights) > LARGE
    usual = BY_SGLD if sampler == "sgld" else OF_LARGE if large else OF_SMALL
    asked = {"chains": chains, "warm_up": warm_up, "draws": draws, "leapfrog": leapfrog}
    effort = replace(usual, **{name: count for name, count in asked.items() if count is not None})
    posterior = Posterior(
        _by_differentiation(of), of.weights, n_beta, precision, torch.float32 if large else torch.float64
    )
    lowest = replace(posterior, dtype=torch.float64).lowest
    if not math.isfinite(lowest):
        raise NothingToSay("the train loss overflows")
    if sampler == "hmc":
        drawn = by_hmc(posterior, effort, seed)
    else:
        batches = Batches(_on_examples(checkpoint, of), n, batch)
        drawn = by_sgld(posterior, batches, step_size or 0.01 / precision, effort, seed)
    _above(drawn)
    return LocalLearningCoefficient(
        coefficient=drawn.mean.value,
        coefficient_se=drawn.mean.se,
        coefficient_low=drawn.mean.low,
        coefficient_high=drawn.mean.high,
        effective_draws=drawn.mean.effective,
        r_hat=drawn.mean.r_hat,
        accepted=drawn.accepted,
        step_size=drawn.step,
        n_beta=n_beta,
        precision=precision,
        train_loss=lowest,
        sampling_seed=seed,
        sampler=sampler,
        loss_name=of.loss.name,
    )


def _above(drawn: Drawn) -> None:
    if drawn.mean.high < 0:
        raise NothingToSay(
            f"the loss is lower about these weights than at them, by {number(-drawn.mean.value, 3)} nats: "
            "training has not come to a minimum"
        )


def _by_differentiation(of: Trained):
    def value_and_slope(weights: Float[Tensor, " weight"]) -> tuple[float, Float[Tensor, " weight"]]:
        return landscape.value_and_gradient(lambda at: of.loss.mean(of.outputs(at), of.targets), weights)

    return value_and_slope


def _on_examples(checkpoint: Checkpoint, of: Trained):
    """The same on the training examples of these places alone."""
    shapes = {name: value.shape for name, value in checkpoint.weights.items()}
    train = checkpoint.task.train
    assert train is not None  # `trained` has refused it
    inputs: Shaped[Tensor, "example ..."] = checkpoint.task.inputs[train].to(of.weights.device)
    architecture = checkpoint.run.architecture

    def value_and_slope(weights: Float[Tensor, " weight"], rows: Tensor) -> tuple[float, Float[Tensor, " weight"]]:
        seen = rows.to(of.weights.device)

        def loss(at: Float[Tensor, " weight"]) -> Float[Tensor, ""]:
            outputs = architecture.activations(landscape.unflattened(at, shapes), inputs[seen])["logits"]
            return of.loss.mean(outputs, of.targets[seen])

        return landscape.value_and_gradient(loss, weights)

    return value_and_slope


def steps(run: Run) -> list[int]:
    return around_grokking(run)


def figure(result: xr.Dataset) -> list[Curves]:
    return [
        Curves(PANEL, {"all": result.coefficient}, errors={"all": result.coefficient_se}),
        Curves("Split R-hat of the chains", {"all": result.r_hat}, width="half"),
        Curves("Effective draws", {"all": result.effective_draws}, width="half"),
    ]


def summary(result: xr.Dataset) -> Finding | None:
    claims = Claims(result, PANEL)
    if not claims.known("coefficient"):
        return None
    told, records = course(claims, "coefficient")
    records |= {
        "low": claims.end("coefficient_low"),
        "high": claims.end("coefficient_high"),
        "n_beta": claims.end("n_beta"),
        "precision": claims.end("precision"),
    }
    sentence = (
        f"The local learning coefficient, with nβ {{n_beta:3}} and a prior of precision {{precision:3}}, {told} "
        "(95% interval {low:3} to {high:3})."
    )
    return Finding(sentence, records, chapter="how", rank=64)
