"""How many of the equal sums an embedding draws as parallelograms, and the accuracy that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.sums import has_embedding, sums
from interp.figures import Curves
from interp.findings import Bar, Claims, Finding, course
from interp.measures.shared.parallelograms import Parallelograms, accuracies

PANEL = "Representation quality"
STRUCTURED = Bar("structured", 0.95)


@dataclass(frozen=True)
class RepresentationQuality:
    quality: float
    """Share of the parallelograms that the embedding draws"""
    drawn: int
    """Parallelograms that the embedding draws"""
    parallelograms: int
    """Parallelograms that there are"""
    predicted_accuracy: Float[Tensor, ""]
    """Accuracy on all pairs that follows from those drawn"""
    predicted_test_accuracy: Float[Tensor, ""]
    """Accuracy on the test pairs that follows from those drawn"""


def representation_quality(checkpoint: Checkpoint, tolerance: PositiveFloat = 0.01) -> RepresentationQuality:
    r"""A network that adds generalises where its embedding lays the numbers out so that equal sums are equal vectors.

    The quality is the share of all parallelograms, i < j <= m < n with i + n = j + m, of which the mean over dimensions
    of (E_i + E_n - E_j - E_m)² is below the `tolerance`, each dimension of E having been put to mean 0 and variance 1
    over the numbers. Expect it to rise before the test accuracy does, or with it; 0.95 counts as structured.

    From what is drawn an accuracy follows: a pair is known that was trained on, or that a parallelogram which is drawn
    joins to such a pair. Of embeddings of one dimension Liu et al. find it to be the accuracy that is measured.

    Formula: \mathrm{RQI} = \frac{|\{(i, n, j, m) : \lVert E_i + E_n - E_j - E_m \rVert^2 / d < 0.01\}|}
        {|\{(i, n, j, m) : i + n = j + m\}|}

    Paper: Liu et al. 2022, arXiv 2205.10343
    """
    task, network = sums(checkpoint.task), has_embedding(checkpoint.run.architecture)
    of = Parallelograms.of(task)
    drawn = of.drawn(network.embedding(checkpoint.weights), tolerance)
    whole, test = accuracies(of.known(drawn), of.train)
    return RepresentationQuality(
        quality=float(drawn.mean()),
        drawn=int(drawn.sum()),
        parallelograms=len(drawn),
        predicted_accuracy=whole,
        predicted_test_accuracy=test,
    )


def figure(result: xr.Dataset) -> list[Curves]:
    return [
        Curves(PANEL, {"all": result.quality}, percent=True, width="half"),
        Curves(
            "Accuracy that follows from the representation",
            {"all": result.predicted_accuracy, "test": result.predicted_test_accuracy},
            percent=True,
            width="half",
        ),
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, PANEL)
    told, records = course(claims, "quality", "%")
    records["there"] = claims.end("parallelograms")
    sentence = f"The share of the {{there}} parallelograms of equal sums that the embedding draws {told}"
    passed = claims.when("above for good", "quality", STRUCTURED)
    if passed is not None:
        records["passed"] = passed
        sentence += ", above {passed.bar:%} " + claims.for_good(passed) + "from {passed:step} on"
    if claims.known("predicted_test_accuracy"):
        records["predicted"] = claims.end("predicted_test_accuracy")
        sentence += "; from those drawn at the end {predicted:%} of the test pairs follow"
    return Finding(f"{sentence}.", records, chapter="how", rank=62)
