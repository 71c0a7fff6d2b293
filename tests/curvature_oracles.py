"""The curvature of a checkpoint's train loss by other people's libraries."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from curvlinops import GGNLinearOperator, HessianLinearOperator
from hessian_eigenthings import HessianOperator, lanczos, supervised_loss
from scipy.sparse.linalg import eigsh

from interp.checkpoints import Checkpoint
from interp.maths.landscape import flattened, unflattened


class Network(torch.nn.Module):
    """A checkpoint as a function of pairs, float64, its weights one flat parameter."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self._architecture = checkpoint.run.architecture
        self._shapes = {name: value.shape for name, value in checkpoint.weights.items()}
        self.flat = torch.nn.Parameter(flattened(checkpoint.weights).double())

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        return self._architecture.activations(unflattened(self.flat, self._shapes), pairs)["logits"]


def training_batch(checkpoint: Checkpoint) -> list[tuple[torch.Tensor, torch.Tensor]]:
    train = checkpoint.task.train
    return [(checkpoint.task.pairs[train], checkpoint.task.targets[train])]


def by_curvlinops(checkpoint: Checkpoint, kind: str) -> HessianLinearOperator | GGNLinearOperator:
    """kind: "hessian" or "gauss_newton"."""
    module = Network(checkpoint)
    operator = {"hessian": HessianLinearOperator, "gauss_newton": GGNLinearOperator}[kind]
    return operator(
        module,
        torch.nn.CrossEntropyLoss(),
        [module.flat],
        training_batch(checkpoint),
        check_deterministic=False,
    )


def largest_by_scipy(operator: HessianLinearOperator | GGNLinearOperator, count: int, tol: float = 1e-5) -> np.ndarray:
    values = eigsh(operator.to_scipy(), k=count, which="LA", tol=tol, return_eigenvectors=False)
    return np.sort(values)[::-1]


def largest_by_hessian_eigenthings(checkpoint: Checkpoint, count: int, steps: int, tol: float = 1e-3) -> np.ndarray:
    operator = HessianOperator(
        Network(checkpoint), training_batch(checkpoint), supervised_loss(torch.nn.functional.cross_entropy)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = lanczos(operator, k=count, max_iter=steps, tol=tol, reorthogonalize=True, which="LA", seed=0)
    return found.eigenvalues.sort(descending=True).values.numpy()
