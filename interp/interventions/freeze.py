"""Weights, or waves of an embedding, that no update moves: what can be learnt by the rest alone?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import NonNegativeInt
from torch import Tensor

from interp.contracts.intervention import Intervention, Training
from interp.interventions.shared.chosen import chosen
from interp.interventions.shared.waves import projection


def freeze(
    weights: str, freqs: list[int] | None = None, start: NonNegativeInt = 0, stop: NonNegativeInt | None = None
) -> Intervention:
    r"""Put the weights back, after every update, to what they were before it; decay moves them no more either.

    `weights` says which, by a pattern of their names. With `freqs`, on a task of two residues, only the waves of these
    frequencies over the residues are held: the part of the matrix's first p rows in their span. Frequency 0 is the
    mean.

    Formula: W \leftarrow W - P (W - W_\text{before}), \quad P = \sum_{k} F_k^\top F_k \; \text{ over the waves } F_k
        \text{ of the frequencies; without them } P = 1

    Paper: PAIR's frozen circle: Pearce et al. 2023, Do machine learning models memorize or generalize?
    """
    before: dict[str, Float[Tensor, "..."]] = {}

    def before_update(training: Training) -> None:
        before.update({name: one.clone() for name, one in chosen("freeze", training.weights, weights).items()})

    def after_update(training: Training) -> None:
        for name, weight in chosen("freeze", training.weights, weights).items():
            if freqs is None:
                weight.copy_(before[name])
                continue
            onto = projection("freeze", training.task, weight, freqs)
            rows = weight[: len(onto)]
            rows.sub_(torch.mm(onto, rows - before[name][: len(onto)]))

    return Intervention(before_update=before_update, after_update=after_update, start=start, stop=stop)
