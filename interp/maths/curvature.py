"""The curvature of the mean cross-entropy in the parameters: its Hessian and Gauss–Newton matrix, as products."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from interp.maths.matrix_products import OneDNN

Product = Callable[[Float[Tensor, "vector n"]], Float[Tensor, "vector n"]]
"""A symmetric matrix, given by what it makes of each row."""

LARGE = 10**8
"""Parameters times pairs from which the faster products gain more than choosing them costs."""


class Curvature:
    """L(θ) = (1/N) Σ_i -log softmax(z_i(θ))_{y_i} at one θ: the gradient g, and two matrices as products.

    The Hessian is H = ∇²L, exact: by differentiating v·g (Pearlmutter 1994). The Gauss–Newton matrix,
    G = (1/N) Σ_i J_iᵀ (diag p_i - p_i p_iᵀ) J_i with J_i the Jacobian of the logits of pair i and p_i their softmax, is
    H without the curvature of the logits (Schraudolph 2002). What is differentiated is kept, so a product costs about
    what two gradients do.

    In the precision of `at`; but what depends on the logits alone is taken from `exact`, float64: where the answers are
    all but certain, float32 has no digits left of 1 - p.
    """

    def __init__(
        self,
        logits: Callable[[Float[Tensor, " n"]], Float[Tensor, "pair logit"]],
        at: Float[Tensor, " n"],
        answers: Int[Tensor, " pair"],
        exact: Float[Tensor, "pair logit"],
    ) -> None:
        """`logits` is differentiable twice; `exact` are its values at `at`."""
        self._p = exact.softmax(1)
        slope = self._p.scatter(1, answers[:, None], 0)  # of the loss of each pair in its logits
        slope.scatter_(1, answers[:, None], -slope.sum(1, keepdim=True)).div_(len(answers))
        self._products = OneDNN if len(at) * len(answers) > LARGE else contextlib.nullcontext
        with torch.enable_grad(), self._products():
            self._at = at.detach().clone().requires_grad_()
            self._logits = logits(self._at)
            slope = _Slope.apply(self._logits, slope, self._p)
            (self._gradient,) = torch.autograd.grad(self._logits, self._at, slope, create_graph=True)

    @property
    def logits_shape(self) -> torch.Size:
        """[pair, logit]"""
        return self._logits.shape

    @property
    def gradient(self) -> Float[Tensor, " n"]:
        return self._gradient.detach()

    def hessian(self, vectors: Float[Tensor, "vector n"]) -> Float[Tensor, "vector n"]:
        """H v of each row v."""
        with self._products():
            return torch.stack([_grad(self._gradient, self._at, v) for v in vectors])

    def gauss_newton(self, vectors: Float[Tensor, "vector n"]) -> Float[Tensor, "vector n"]:
        """G v of each row v: along v the logits move by J v, and back through what the loss makes of that."""
        weights, pulled_back = self._linear
        with self._products():
            moved = (_grad(pulled_back, weights, v) for v in vectors)
            return torch.stack([self._pull_back(_of_softmax(self._p, logits)) for logits in moved])

    def gauss_newton_root(self, numbers: Float[Tensor, "vector pair logit"]) -> Float[Tensor, "vector n"]:
        """R u of each u, with R Rᵀ = G: (1/√N) Σ_i J_iᵀ (√p_i ∘ u_i - (√p_i · u_i) p_i)."""
        root, n = self._p.sqrt(), len(self._p)
        with self._products():
            return torch.stack(
                [self._pull_back((root * u - self._p * (root * u).sum(1, keepdim=True)) / n**0.5) for u in numbers]
            )

    def _pull_back(self, of_logits: Float[Tensor, "pair logit"]) -> Float[Tensor, " n"]:
        return _grad(self._logits, self._at, of_logits.to(self._logits.dtype))

    @functools.cached_property
    def _linear(self) -> tuple[Float[Tensor, "pair logit"], Float[Tensor, " n"]]:
        """Σ_i J_iᵀ u_i as a function of u: its own derivative gives J v without forward differentiation."""
        with torch.enable_grad(), self._products():
            u = torch.zeros_like(self._logits, requires_grad=True)
            return u, torch.autograd.grad(self._logits, self._at, u, create_graph=True)[0]


def _of_softmax(p: Float[Tensor, "pair logit"], u: Float[Tensor, "pair logit"]) -> Float[Tensor, "pair logit"]:
    """(1/N) (diag p - p pᵀ) u of each pair, float64."""
    u = u.double()
    return (p * (u - (p * u).sum(1, keepdim=True))).div_(len(u))


def _grad(of: Tensor, at: Tensor, along: Tensor) -> Tensor:
    return torch.autograd.grad(of, at, along, retain_graph=True)[0]


class _Slope(torch.autograd.Function):
    """The given slope of the loss, as a function of the logits, whose softmax is p."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, slope: Tensor, p: Tensor) -> Tensor:
        ctx.save_for_backward(p)
        return slope.to(logits.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor, None, None]:
        (p,) = ctx.saved_tensors
        return _of_softmax(p, u).to(u.dtype), None, None
