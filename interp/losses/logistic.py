"""The logistic loss of one output, clipped: what is learnt well enough, or wrong enough, moves nothing any more."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from interp.contracts.loss import Derivatives, Loss, Outputs, Targets, WritesSlope
from interp.losses.shared.margins import LogisticSlope, logistic_derivatives
from interp.losses.shared.margins import logistic as logistic_of_margins
from interp.losses.shared.targets import signs

NAME = "logistic"


def logistic(least: NonNegativeFloat = 1.19e-7, most: NonNegativeFloat = 15.94) -> Logistic:
    r"""Minus the logarithm of the right class's probability by one output, kept between `least` and `most`.

    Where the loss of an example is clipped it has no gradient: an example is learnt once its loss is below `least`, and
    weights move on by their decay alone. The defaults are float32's: Keras clips the probability to [ε, 1 - ε] with
    ε = 1.19e-7, so that losses lie between ε and -log ε = 15.94, and with them PAIR's sparse parity comes out as
    recorded. With `least` 0 and `most` infinite it is the cross-entropy of one output. Raises ValueError where `least`
    is not below `most`.

    Formula: \ell_i = \min(\max(\log(1 + e^{-(2 y_i - 1) z_i}), \mathrm{least}), \mathrm{most})

    Paper: Pearce et al. 2023, PAIR explorables, "Do Machine Learning Models Memorize or Generalize?"
    """
    if not least < most:
        raise ValueError(f"least is {least} and most is {most}: every loss would be the same; swap them")
    return Logistic("clipped logistic loss", "nats", least, most)


@dataclass(frozen=True)
class Logistic(Loss):
    """Minus the log-probability of the right class of two, clipped at both ends."""

    least: float
    most: float

    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        return logistic_of_margins(_margins(outputs, targets)).clamp(self.least, self.most)

    def slope_writer(self, targets: Targets, outputs: Outputs) -> WritesSlope:
        _check_one(outputs)
        return LogisticSlope(self, targets, signs(targets, NAME, outputs), clipped=(self.least, self.most))

    def derivatives(self, outputs: Outputs, targets: Targets) -> Derivatives:
        free = logistic_derivatives(outputs, signs(targets, NAME, outputs))
        losses = logistic_of_margins(_margins(outputs, targets))
        inside = (losses == losses.clamp(self.least, self.most)).to(outputs.dtype)[:, None]
        return Derivatives(
            inside * free.slope, lambda along: inside * free.curved(along), lambda numbers: inside * free.root(numbers)
        )


def _margins(outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
    """How far each output lies on the right side of 0. Raises ValueError where there are several outputs."""
    _check_one(outputs)
    return signs(targets, NAME, outputs) * outputs[:, 0]


def _check_one(outputs: Outputs) -> None:
    if outputs.shape[1] != 1:
        raise ValueError(
            f"{NAME} is for networks of one output, and this has {outputs.shape[1]}: take the loss cross_entropy, or "
            "give the task one output"
        )
