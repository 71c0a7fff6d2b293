"""An embedding that may not use some frequencies: which others does the network find, and how much later?"""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt

from interp.contracts.intervention import Intervention, Training
from interp.errors import InterpError
from interp.interventions.shared.chosen import chosen
from interp.interventions.shared.waves import projection


def frequency_filter(
    remove: list[int],
    weights: str = "embed*.W_E",
    start: NonNegativeInt = 0,
    stop: NonNegativeInt | None = None,
) -> Intervention:
    r"""Take the waves of the frequencies `remove` out of the weights, before the first update and after each.

    On a task of two residues: what is left of the first p rows of each matrix, the residues', has none of these waves.
    `weights` says which matrices, by a pattern of their names; frequency 0 is the mean over the residues.

    Formula: W \leftarrow W - \sum_{k} F_k^\top F_k W \; \text{ over the waves } F_k \text{ of the frequencies}

    Paper: Nanda et al. 2023, arXiv 2301.05217, whose excluded loss takes them out of the logits
    """
    if not remove:
        raise InterpError("frequency_filter: remove is empty; name a frequency, such as [3]")

    def act(training: Training) -> None:
        for weight in chosen("frequency_filter", training.weights, weights).values():
            onto = projection("frequency_filter", training.task, weight, remove)
            rows = weight[: len(onto)]
            rows.sub_(torch.mm(onto, rows))

    def at_start(training: Training) -> None:
        if start == 0:
            act(training)

    def before_update(training: Training) -> None:
        if training.step == start > 0:
            act(training)

    return Intervention(at_start=at_start, before_update=before_update, after_update=act, start=start, stop=stop)
