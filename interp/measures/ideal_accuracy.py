"""The best accuracy that the training pairs of a sum allow a network that knows them by its representation."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.contracts.sums import sums
from interp.figures import Curves
from interp.findings import Claims, Finding
from interp.measures.shared.parallelograms import Parallelograms, accuracies


@dataclass(frozen=True)
class IdealAccuracy:
    accuracy: Float[Tensor, ""]
    """Ideal accuracy on all pairs"""
    test_accuracy: Float[Tensor, ""]
    """Ideal accuracy on the test pairs"""
    trained: int
    """Parallelograms of which both pairs were trained on"""
    dependent: int
    """Parallelograms that follow from these"""
    parallelograms: int
    """Parallelograms that there are"""


def ideal_accuracy(checkpoint: Checkpoint) -> IdealAccuracy:
    r"""What the training pairs say of the others, whatever network learns them.

    A network that fits two training pairs of one sum may as well draw their parallelogram; and with some parallelograms
    others are drawn, which are sums of multiples of them. A pair is ideally known that was trained on, or that a
    parallelogram which follows joins to such a pair. It depends on which pairs were trained on alone, so it is of the
    last checkpoint only. Of the numbers 0…9 Liu et al. find that it leaves the training share behind at about 0.4 of
    the pairs.

    Formula: P(D) = \{P : e_i + e_n - e_j - e_m \in \mathrm{span}\, P_0(D)\}, \quad
        \overline{\mathrm{Acc}} = \frac{|D \cup \{(j, m) : (i, n) \in D, (i, n, j, m) \in P(D)\}|}{|D_0|}

    Paper: Liu et al. 2022, arXiv 2205.10343
    """
    task = sums(checkpoint.task)
    of = Parallelograms.of(task)
    follow = of.dependent(task.p)
    whole, test = accuracies(of.known(follow), of.train)
    return IdealAccuracy(whole, test, int(of.trained.sum()), int(follow.sum()), len(follow))


def steps(run: Run) -> list[int]:
    return run.steps[-1:]


def figure(result: xr.Dataset) -> list[Curves]:
    shares = {"all": result.accuracy, "test": result.test_accuracy}
    return [Curves("Ideal accuracy", shares, percent=True, width="half")]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Ideal accuracy")
    records = {name: claims.end(name) for name in ("accuracy", "trained", "dependent", "parallelograms")}
    sentence = (
        "The training pairs hold {trained} of {parallelograms} parallelograms of equal sums, from which {dependent} "
        "follow: with them {accuracy:%} of all pairs can be known"
    )
    if claims.known("test_accuracy"):
        records["test"] = claims.end("test_accuracy")
        sentence += ", {test:%} of the test pairs"
    return Finding(f"{sentence}.", records, chapter="how", rank=61)
