"""The waves of some frequencies over the residues, as rows of a matrix hold them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.task import Task, TwoOperands
from interp.errors import InterpError
from interp.maths import fourier


def projection(name: str, task: Task, weight: Tensor, freqs: Sequence[int]) -> Float[Tensor, "p p"]:
    """What takes a matrix's first p rows to their part in the waves of `freqs`, in the type of the weight.

    Raises InterpError, for the intervention `name`, where the task has no residues or the matrix too few rows.
    """
    if not isinstance(task, TwoOperands):
        raise InterpError(f"{name}: {task.description} has no residues, and so no frequencies; leave freqs out")
    p = task.p
    wrong = [freq for freq in freqs if not 0 <= freq <= p // 2]
    if wrong:
        raise InterpError(f"{name}: frequency {wrong[0]} is none of 0 to {p // 2}, those of {p} residues")
    if weight.ndim != 2 or len(weight) < p:
        raise InterpError(
            f"{name}: a weight of shape {list(weight.shape)} has no row for each of {p} residues; name an embedding, "
            "such as embed.W_E"
        )
    return _projection(p, tuple(freqs)).to(weight.dtype)


@functools.lru_cache(maxsize=8)
def _projection(p: int, freqs: tuple[int, ...]) -> Float[Tensor, "p p"]:
    waves = fourier.basis(p)[torch.isin(fourier.freq_of_row(p), torch.tensor(freqs))]  # [wave, p]
    return waves.T @ waves
