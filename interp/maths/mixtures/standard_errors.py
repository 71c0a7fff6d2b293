"""How well weights, means and variances are known, from the curvature of the likelihood at its top."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from interp.maths.mixtures.bins import Bins
from interp.maths.mixtures.likelihood import density, derivatives
from interp.maths.mixtures.mixture import weights


def standard_errors(
    theta: Float[np.ndarray, "problem 3 component"], bins: Bins, projector: Float[np.ndarray, "parameter parameter"]
) -> Float[np.ndarray, "problem 3 component"]:
    """Return the standard errors of weights, means and variances, times √n.

    They are NaN for the numbers in which a direction without curvature has a part, and for those that are no estimates:
    the weight of an only component.
    """
    problems, _, count = theta.shape
    _, hessian = derivatives(theta, bins, density(theta, bins), projector)
    curvature, directions = np.linalg.eigh(-hessian)
    known = curvature > 1e-7
    inverse = np.where(known, 1 / np.where(known, curvature, 1), 0)
    covariance = (directions * inverse[:, None]) @ directions.swapaxes(1, 2)
    unknown = projector - (directions * known[:, None]) @ directions.swapaxes(1, 2)
    weight = weights(theta)
    to_weight = np.eye(count) * weight[:, None] - weight[:, :, None] * weight[:, None]

    def variances(matrix: np.ndarray) -> np.ndarray:
        """Return the variances of weights, means and log variances when `matrix` is the covariance of theta."""
        found = np.diagonal(matrix, axis1=1, axis2=2).reshape(problems, 3, count).copy()  # [problem, 3, component]
        found[:, 0] = np.einsum("pij,pjk,pik->pi", to_weight, matrix[:, :count, :count], to_weight)  # [problem, k]
        return found

    squares, hidden = variances(covariance), variances(unknown)
    squares[:, 2] *= np.exp(2 * theta[:, 2])
    hidden[:, 0] /= np.maximum(weight**2, 1e-300)
    certain = (hidden < 1e-6) & np.all(curvature > -1e-7, axis=1, keepdims=True)[:, None]
    return np.where(certain & (squares > 0), np.sqrt(np.maximum(squares, 0)), np.nan)
