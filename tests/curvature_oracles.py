"""The curvature of a checkpoint's train loss by other people's libraries, on the forward pass of its hooked module."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from curvlinops import GGNLinearOperator, HessianLinearOperator
from hessian_eigenthings import HessianOperator, lanczos, supervised_loss
from scipy.sparse.linalg import eigsh

from interp.checkpoints import Checkpoint


class LastPosition(torch.nn.Module):
    """The network on token pairs, read at the last position, float64."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.model = checkpoint.run.architecture.hooked(
            {name: value.double() for name, value in checkpoint.weights.items()}
        ).requires_grad_()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = self.model(tokens)
        return logits[:, -1] if logits.ndim == 3 else logits


def training_batch(checkpoint: Checkpoint) -> list[tuple[torch.Tensor, torch.Tensor]]:
    train = checkpoint.task.train
    return [(checkpoint.tokens[train], checkpoint.task.answers[train])]


def by_curvlinops(checkpoint: Checkpoint, kind: str) -> HessianLinearOperator | GGNLinearOperator:
    """kind: "hessian" or "gauss_newton"."""
    module = LastPosition(checkpoint)
    operator = {"hessian": HessianLinearOperator, "gauss_newton": GGNLinearOperator}[kind]
    return operator(
        module,
        torch.nn.CrossEntropyLoss(),
        [parameter for parameter in module.parameters() if parameter.requires_grad],
        training_batch(checkpoint),
        check_deterministic=False,
    )


def largest_by_scipy(operator: HessianLinearOperator | GGNLinearOperator, count: int, tol: float = 1e-5) -> np.ndarray:
    values = eigsh(operator.to_scipy(), k=count, which="LA", tol=tol, return_eigenvectors=False)
    return np.sort(values)[::-1]


def largest_by_hessian_eigenthings(checkpoint: Checkpoint, count: int, steps: int, tol: float = 1e-3) -> np.ndarray:
    module = LastPosition(checkpoint)
    operator = HessianOperator(module, training_batch(checkpoint), supervised_loss(torch.nn.functional.cross_entropy))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = lanczos(operator, k=count, max_iter=steps, tol=tol, reorthogonalize=True, which="LA", seed=0)
    return found.eigenvalues.sort(descending=True).values.numpy()
