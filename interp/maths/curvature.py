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
TOGETHER = 10**7
"""Parameters times examples, of vectors that are multiplied in one go."""


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
        self._at_once = max(1, TOGETHER // (len(at) * examples))
        self._products = OneDNN if len(at) * examples > LARGE else contextlib.nullcontext
        with torch.enable_grad(), self._products():
            self._at = at.detach().clone().requires_grad_()
            self._outputs = outputs(self._at)
            slope = _Slope.apply(self._outputs, loss)
            (self._gradient,) = torch.autograd.grad(self._outputs, self._at, slope, create_graph=True)

    @property
    def outputs_shape(self) -> torch.Size:
        """The shape of the outputs that the loss is a function of, [example, output]."""
        return self._outputs.shape

    @property
    def gradient(self) -> Float[Tensor, " n"]:
        return self._gradient.detach()

    def hessian(self, vectors: Float[Tensor, "vector n"]) -> Float[Tensor, "vector n"]:
        """H v of each row v."""
        with self._products():
            return torch.cat([_grads(self._gradient, self._at, some) for some in vectors.split(self._at_once)])

    def gauss_newton(self, vectors: Float[Tensor, "vector n"]) -> Float[Tensor, "vector n"]:
        """G v of each row v: along v the outputs move by J v, and back through what the loss makes of that."""
        weights, pulled_back = self._linear
        with self._products():
            moved = (_grads(pulled_back, weights, some) for some in vectors.split(self._at_once))
            curved = (torch.stack([_curved(self._loss, outputs) for outputs in some]) for some in moved)
            return torch.cat([self._pull_back(outputs) for outputs in curved])

    def gauss_newton_root(self, numbers: Float[Tensor, "vector example output"]) -> Float[Tensor, "vector n"]:
        """R u of each u, with R Rᵀ = G: (1/√N) Σ_i J_iᵀ R_i u_i, where R_i R_iᵀ = ∂²ℓ_i/∂z²."""
        root_of_n = len(self._outputs) ** 0.5
        with self._products():
            roots = (torch.stack([self._loss.root(u) for u in some]) for some in numbers.split(self._at_once))
            return torch.cat([self._pull_back(outputs / root_of_n) for outputs in roots])

    def _pull_back(self, of_outputs: Float[Tensor, "vector example output"]) -> Float[Tensor, "vector n"]:
        return _grads(self._outputs, self._at, of_outputs.to(self._outputs.dtype))

    @functools.cached_property
    def _linear(self) -> tuple[Float[Tensor, "example output"], Float[Tensor, " n"]]:
        """Σ_i J_iᵀ u_i as a function of u: its own derivative gives J v without forward differentiation."""
        with torch.enable_grad(), self._products():
            u = torch.zeros_like(self._outputs, requires_grad=True)
            return u, torch.autograd.grad(self._outputs, self._at, u, create_graph=True)[0]


def _curved(loss: Derivatives, along: Float[Tensor, "example output"]) -> Float[Tensor, "example output"]:
    """(1/N) ∂²ℓ_i/∂z² times what each example's outputs move by, float64."""
    return loss.curved(along.double()) / len(along)


def _grads(of: Tensor, at: Tensor, along: Tensor) -> Tensor:
    """The gradient of `of` in `at` along each row: rows in one go save what a product costs besides its sums."""
    if len(along) == 1:
        return torch.autograd.grad(of, at, along[0], retain_graph=True)[0][None]
    return torch.autograd.grad(of, at, along, retain_graph=True, is_grads_batched=True)[0]


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
