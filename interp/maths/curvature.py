"""The curvature of the mean loss in the parameters: its Hessian and Gauss–Newton matrix, as products."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from interp.contracts.loss import Derivatives
from interp.maths.matrix_products import OneDNN

Product = Callable[[Float[Tensor, "vector n"]], Float[Tensor, "vector n"]]
"""A symmetric matrix, given by what it makes of each row."""

LARGE = 10**8
"""Parameters times examples from which the faster products gain more than choosing them costs."""


class Curvature:
    """L(θ) = (1/N) Σ_i ℓ_i(z_i(θ)), the mean loss, at one θ: its gradient g, and two matrices as products.

    The Hessian is H = ∇²L, exact: by differentiating v·g (Pearlmutter 1994). The Gauss–Newton matrix,
    G = (1/N) Σ_i J_iᵀ (∂²ℓ_i/∂z²) J_i with J_i the Jacobian of the outputs z_i of example i, is H without the curvature
    of the outputs (Schraudolph 2002); for cross-entropy ∂²ℓ_i/∂z² is diag p_i - p_i p_iᵀ, p_i the softmax. What is
    differentiated is kept, so a product costs about what two gradients do.

    In the precision of `at`; but what depends on the outputs alone is taken from `loss`, float64: where the answers are
    all but certain, float32 has no digits left of 1 - p.
    """

    def __init__(
        self,
        outputs: Callable[[Float[Tensor, " n"]], Float[Tensor, "example output"]],
        at: Float[Tensor, " n"],
        loss: Derivatives,
    ) -> None:
        """`outputs` is differentiable twice; `loss` are the loss's derivatives at their exact values."""
        self._loss = loss
        examples = len(loss.slope)
        self._products = OneDNN if len(at) * examples > LARGE else contextlib.nullcontext
        with torch.enable_grad(), self._products():
            self._at = at.detach().clone().requires_grad_()
            self._outputs = outputs(self._at)
            slope = _Slope.apply(self._outputs, loss)
            (self._gradient,) = torch.autograd.grad(self._outputs, self._at, slope, create_graph=True)

    @property
    def outputs_shape(self) -> torch.Size:
        """[example, output]"""
        return self._outputs.shape

    @property
    def gradient(self) -> Float[Tensor, " n"]:
        return self._gradient.detach()

    def hessian(self, vectors: Float[Tensor, "vector n"]) -> Float[Tensor, "vector n"]:
        """H v of each row v."""
        with self._products():
            return torch.stack([_grad(self._gradient, self._at, v) for v in vectors])

    def gauss_newton(self, vectors: Float[Tensor, "vector n"]) -> Float[Tensor, "vector n"]:
        """G v of each row v: along v the outputs move by J v, and back through what the loss makes of that."""
        weights, pulled_back = self._linear
        with self._products():
            moved = (_grad(pulled_back, weights, v) for v in vectors)
            return torch.stack([self._pull_back(_curved(self._loss, outputs)) for outputs in moved])

    def gauss_newton_root(self, numbers: Float[Tensor, "vector example output"]) -> Float[Tensor, "vector n"]:
        """R u of each u, with R Rᵀ = G: (1/√N) Σ_i J_iᵀ R_i u_i, where R_i R_iᵀ = ∂²ℓ_i/∂z²."""
        root_of_n = len(self._outputs) ** 0.5
        with self._products():
            return torch.stack([self._pull_back(self._loss.root(u) / root_of_n) for u in numbers])

    def _pull_back(self, of_outputs: Float[Tensor, "example output"]) -> Float[Tensor, " n"]:
        return _grad(self._outputs, self._at, of_outputs.to(self._outputs.dtype))

    @functools.cached_property
    def _linear(self) -> tuple[Float[Tensor, "example output"], Float[Tensor, " n"]]:
        """Σ_i J_iᵀ u_i as a function of u: its own derivative gives J v without forward differentiation."""
        with torch.enable_grad(), self._products():
            u = torch.zeros_like(self._outputs, requires_grad=True)
            return u, torch.autograd.grad(self._outputs, self._at, u, create_graph=True)[0]


def _curved(loss: Derivatives, along: Float[Tensor, "example output"]) -> Float[Tensor, "example output"]:
    """(1/N) ∂²ℓ_i/∂z² times what each example's outputs move by, float64."""
    return loss.curved(along.double()) / len(along)


def _grad(of: Tensor, at: Tensor, along: Tensor) -> Tensor:
    return torch.autograd.grad(of, at, along, retain_graph=True)[0]


class _Slope(torch.autograd.Function):
    """The slope of the mean loss as a function of the outputs, whose derivative is the curvature of the loss."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, loss: Derivatives) -> Tensor:
        ctx.loss = loss
        return (loss.slope / len(outputs)).to(outputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, along: Tensor) -> tuple[Tensor, None]:
        return _curved(ctx.loss, along).to(along.dtype), None
