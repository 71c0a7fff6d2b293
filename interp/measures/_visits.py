"""The steps that a slow measure visits by default."""

from __future__ import annotations

from interp.checkpoints import Run

FEW = 100
SPARSE = 24
DENSE = 16


def around_grokking(run: Run) -> list[int]:
    """About 24 checkpoints over the whole run, and 16 about the time in which the test accuracy rises.

    All of them where there are no more than 100. Where the split is unknown the accuracy on all pairs counts.
    """
    steps = run.steps
    if len(steps) <= FEW:
        return steps
    stride = len(steps) // SPARSE
    places = sorted({*range(0, len(steps), stride), len(steps) - 1})
    accuracy = [_accuracy(run, steps[place]) for place in places]
    last = len(places) - 1
    rises = next((i for i, share in enumerate(accuracy) if share > 0.5), last)
    risen = next((i for i, share in enumerate(accuracy) if share > 0.99), last)
    start, end = places[max(rises - 1, 0)], places[risen]
    dense = range(start, end, max((end - start) // DENSE, 1))
    return [steps[place] for place in sorted({*places, *dense})]


def _accuracy(run: Run, step: int) -> float:
    found = run[step].measure("loss")
    accuracy = found.test_accuracy if found.test_accuracy.isfinite() else found.all_accuracy
    return float(accuracy)
