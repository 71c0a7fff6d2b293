"""The ends of the spectrum of a large symmetric matrix that is known by its products alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.maths.curvature import Product

ROOM = 96
"""Vectors held at most; where there would be more, the search goes on with those at the ends."""
SPARE, SPARE_SMALLEST = 2, 8
"""Vectors next to the largest, and to the smallest, that the next search starts from too: one of them may overtake. A
negative end is dense, so more of them may."""
EXPLORED, EXPLORED_SMALLEST = 8, 24
"""Products with a vector drawn at random, and where a negative end is looked for."""
SHORT = 4096
"""Terms of an inner product that are added up in the precision of the vectors."""


@dataclass(frozen=True)
class Eigenpairs:
    largest: Float[Tensor, " largest"]
    """Descending, float64"""
    smallest: Float[Tensor, " smallest"]
    """Ascending, float64"""
    largest_residual: Float[Tensor, " largest"]
    """‖A v - λ v‖ of each unit vector v: there is an eigenvalue of A no farther from λ than this"""
    smallest_residual: Float[Tensor, " smallest"]
    vectors: Float[Tensor, "largest n"]
    """Those of the largest, orthonormal"""
    start: Float[Tensor, "vector n"]
    """For a search in a matrix near this one: the largest and `SPARE` more, the smallest and `SPARE_SMALLEST` more"""
    converged: bool
    """Whether every residual is as small as was asked, or as rounding lets it be"""
    products: int
    """Vectors that were multiplied by A"""


def extreme_eigenpairs(
    product: Product,
    start: Float[Tensor, "vector n"],
    largest: int,
    smallest: int = 0,
    tolerance: float = 1e-3,
    smallest_tolerance: float = 1e-3,
    most: int = 1000,
) -> Eigenpairs:
    """The algebraically largest and smallest eigenvalues of A and their vectors, until ‖A v - λ v‖ ≤ tolerance · |λ|.

    The Rayleigh–Ritz pairs of a space that is widened by the residuals of those that are not there yet: block Lanczos
    (Golub & Underwood 1977) that leaves out what has converged, with a thick restart (Wu & Simon 2000). The nearer the
    rows of `start`, the sooner it ends (ARPACK, SciPy's `eigsh`, can start from one vector only); of equal eigenvalues
    as many are found as it has rows. When all has converged a few products with a vector drawn at random look for ends
    that no row of `start` had a part in.

    An eigenvalue of 0 has no relative residual: what is below the rounding of ‖A‖ has converged. After `most` products
    the search ends with the residuals it has. Raises ValueError where `start` has fewer independent rows than
    eigenvalues are asked for, FloatingPointError where a product is not finite.
    """
    space = _Space(product, start, max(ROOM, 4 * (largest + smallest + SPARE), len(start)))
    wanted = largest + smallest
    if space.size < wanted:
        raise ValueError(f"{space.size} independent vectors to start from, {wanted} eigenvalues asked for")
    tolerances = torch.tensor([tolerance] * largest + [smallest_tolerance] * smallest, dtype=torch.float64)
    everything = missing = torch.ones(wanted, dtype=torch.bool)
    explored = False
    while True:
        values, mix = space.ritz()
        ends = _ends(space.size, largest, smallest)
        residuals = space.residuals(values[ends][missing], mix[:, ends][:, missing])
        sizes = residuals.norm(dim=1).double().cpu()
        rounding = 8 * torch.finfo(start.dtype).eps * float(values.abs().max())
        far = sizes > (tolerances * values[ends].abs()).clamp(min=rounding)[missing]
        if far.any() and space.products < most:
            if space.size + int(far.sum()) > space.room:
                space.keep(mix[:, _ends(space.size, 2 * largest, space.room // 4 if smallest else 0)])
                continue
            if space.widen(residuals[far.to(residuals.device)]):
                missing = missing.masked_scatter(missing, far)
                continue
        if missing.all() and (explored or space.products >= most):
            break
        if missing.all():
            space.explore(EXPLORED_SMALLEST if smallest else EXPLORED)
            explored = True
        missing = everything  # what had converged is looked at again in the space as it is now
    upper = [*ends[:largest], *range(space.size - largest - 1, smallest - 1, -1)[:SPARE]]
    lower = [*range(space.size - len(upper))[: smallest + SPARE_SMALLEST if smallest else 0]]
    return Eigenpairs(
        largest=values[ends[:largest]],
        smallest=values[ends[largest:]],
        largest_residual=sizes[:largest],
        smallest_residual=sizes[largest:],
        vectors=space.vectors(mix[:, ends[:largest]]),
        start=space.vectors(mix[:, upper + lower]),
        converged=not bool(far.any()),
        products=space.products,
    )


def _ends(count: int, largest: int, smallest: int) -> list[int]:
    """Places of the largest, descending, and then of the smallest, ascending, among `count` ascending values."""
    return [*range(count - 1, count - 1 - largest, -1), *range(smallest)]


class _Space:
    """An orthonormal basis, what A makes of it, and A within it."""

    def __init__(self, product: Product, start: Float[Tensor, "vector n"], room: int) -> None:
        self.room = room
        self.size = self.products = 0
        self._product = product
        self._basis = start.new_empty(room + EXPLORED_SMALLEST, start.shape[1])
        self._images = torch.empty_like(self._basis)
        self._within = torch.zeros(len(self._basis), len(self._basis), dtype=torch.float64)
        self.widen(start)

    def widen(self, vectors: Float[Tensor, "vector n"]) -> int:
        """Widen the space by what the vectors add to it; return how many dimensions that is."""
        new = self._orthonormal(vectors)
        if not len(new):
            return 0
        before, self.size = self.size, self.size + len(new)
        self._basis[before : self.size] = new
        self._images[before : self.size] = self._product(new)
        if not self._images[before : self.size].isfinite().all():
            raise FloatingPointError("the products are not finite")
        columns = _inner(self._basis[: self.size], self._images[before : self.size])
        self._within[: self.size, before : self.size] = columns
        self._within[before : self.size, : self.size] = columns.T
        own = columns[before:]
        self._within[before : self.size, before : self.size] = (own + own.T) / 2
        self.products += len(new)
        return len(new)

    def explore(self, products: int) -> None:
        """Widen the space by a random vector, by A times that, by A times this, and so on, so many products."""
        vector = torch.rand(1, self._basis.shape[1], generator=torch.Generator().manual_seed(0)).to(self._basis) - 0.5
        for _ in range(products):
            if not self.widen(vector):
                return
            vector = self._images[self.size - 1 : self.size]

    def ritz(self) -> tuple[Float[Tensor, " vector"], Float[Tensor, "vector vector"]]:
        """Eigenvalues of A within the space, ascending, and their vectors as columns over the basis."""
        return torch.linalg.eigh(self._within[: self.size, : self.size])

    def vectors(self, mix: Float[Tensor, "size vector"]) -> Float[Tensor, "vector n"]:
        return mix.T.to(self._basis) @ self._basis[: self.size]

    def residuals(
        self, values: Float[Tensor, " vector"], mix: Float[Tensor, "size vector"]
    ) -> Float[Tensor, "vector n"]:
        """A v - λ v of each."""
        return mix.T.to(self._images) @ self._images[: self.size] - values.to(self._basis)[:, None] * self.vectors(mix)

    def keep(self, mix: Float[Tensor, "size vector"]) -> None:
        """Only the space of these Ritz vectors."""
        basis, images = self.vectors(mix), mix.T.to(self._images) @ self._images[: self.size]
        within = mix.T @ self._within[: self.size, : self.size] @ mix
        self.size = len(basis)
        self._basis[: self.size], self._images[: self.size] = basis, images
        self._within[: self.size, : self.size] = within

    def _orthonormal(self, vectors: Float[Tensor, "vector n"]) -> Float[Tensor, "new n"]:
        basis, smallest = self._basis[: self.size], torch.finfo(vectors.dtype).eps ** 0.5
        while len(vectors):
            vectors = vectors / vectors.norm(dim=1, keepdim=True)
            vectors = vectors - (vectors @ basis.T) @ basis
            left = vectors.norm(dim=1)
            vectors = vectors[left > smallest]
            if (left > 0.5).all():  # else rounding has left a part along the basis
                break
        columns, triangle = torch.linalg.qr(vectors.T)
        new = columns.T[(triangle.diagonal().abs() > smallest)[: columns.shape[1]]]
        # among rows that hardly differ from one another, QR makes the rounding along the basis large
        new = torch.linalg.qr((new - (new @ basis.T) @ basis).T).Q.T
        return new / new.double().norm(dim=1, keepdim=True).to(new)


def _inner(x: Float[Tensor, "left n"], y: Float[Tensor, "right n"]) -> Float[Tensor, "left right"]:
    """x yᵀ in float64, but for short sums: float32 has five digits left after adding up 10⁵ terms."""
    parts = zip(x.split(SHORT, dim=1), y.split(SHORT, dim=1), strict=True)
    return torch.stack([(part @ other.T).double() for part, other in parts]).sum(0).cpu()
