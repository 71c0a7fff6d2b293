"""The noise of the posterior that a run's optimiser draws networks from."""

from __future__ import annotations

from interp.checkpoints import Checkpoint, Run
from interp.errors import NothingToSay

RECIPE = "run.yaml"


def posterior_noise(checkpoint: Checkpoint, given: float | None) -> float:
    """σ², the variance of the noise with which examples are taken to be seen: T n/2 at the temperature T.

    It is what was `given`, or that of the recipe's `langevin` or `hmc` with the mean squared error. Raises NothingToSay
    where neither tells it.
    """
    if given is not None:
        return given
    run, train = checkpoint.run, checkpoint.task.train
    training = run.training if isinstance(run, Run) else None
    temperature = training.optimiser.options.get("temperature") if training else None
    if train is None or temperature is None or not run.loss.name.startswith(("mean squared", "squared")):
        raise NothingToSay("its training has no temperature from which the noise would follow, and no noise is given")
    assert isinstance(run, Run)
    run.beside(RECIPE)  # what is said of its training stands there
    return float(temperature) * int(train.sum()) / 2
