"""The steps that a slow measure visits by default: few over the whole run, more where the accuracies rise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import NothingToSay
from interp.measures.shared.generalised import GENERALISED

FEW = 100
SPARSE = 24
AT_MEMORISATION, AT_GROKKING = 8, 16


def around_grokking(run: Run) -> list[int]:
    """About 24 checkpoints over the whole run, 16 about the time in which the test accuracy rises, and 8 about the time
    in which the train accuracy does.

    All of them where there are no more than 100. Where the split is unknown the accuracy on all examples counts, and
    where the task has no accuracies the 24 are all.
    """
    steps = run.steps
    if len(steps) <= FEW:
        return steps
    stride = len(steps) // SPARSE
    places = sorted({*range(0, len(steps), stride), len(steps) - 1})
    found = [_loss(run[steps[place]]) for place in places]
    of_training = [_share(one and one.train_accuracy) for one in found]
    of_others = [_share(one and one.test_accuracy, one and one.all_accuracy) for one in found]
    dense = [*_rise(places, of_training, AT_MEMORISATION), *_rise(places, of_others, AT_GROKKING)]
    return [steps[place] for place in sorted({*places, *dense})]


def _loss(checkpoint: Checkpoint) -> Any:
    """What `loss` says of a checkpoint; None where it says nothing."""
    try:
        return checkpoint.measure("loss")
    except NothingToSay:
        return None


def _share(*accuracies: Float[Tensor, ""] | None) -> float:
    """The first of these that is known; 0 where none is."""
    return next((float(one) for one in accuracies if one is not None and one.isfinite()), 0.0)


def _rise(places: Sequence[int], accuracy: Sequence[float], count: int) -> range:
    """About `count` places, evenly from the last before more than half is right to the first where all but 1% is."""
    rises = next((i for i, share in enumerate(accuracy) if share > 0.5), None)
    if rises is None:
        return range(0)
    risen = next((i for i, share in enumerate(accuracy) if share > GENERALISED), len(places) - 1)
    start, end = places[max(rises - 1, 0)], places[risen]
    return range(start, end, max((end - start) // count, 1))
