"""The multiplication table and the embeddings in the order of a subgroup's cosets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.contracts.architecture import reads_two_operands
from interp.errors import NothingToSay
from interp.figures import Curves, Heatmap, Points
from interp.findings import Claims, Finding
from interp.machine import devices
from interp.measures.shared.composed import Composed, composed

MOST_STEPS = 8
TABLE, BY_COSET, BY_CLASS = "Answers by coset", "Embeddings by coset", "Embeddings by conjugacy class"
WITHIN = "Correlation of embeddings within a coset"


@dataclass(frozen=True)
class CosetTable:
    table: tuple[str, ...]
    """Parameter"""
    element: tuple[str, ...]
    """Element, in the order of the subgroup's left cosets"""
    in_classes: tuple[str, ...]
    """Element, in the order of the conjugacy classes"""
    a: tuple[str, ...]
    """Left factor, in the order of the subgroup's left cosets"""
    b: tuple[str, ...]
    """Right factor, in the order of the subgroup's left cosets"""
    subgroup: int
    """Number of the subgroup that most of the explained neurons see of the right operand, the smallest first"""
    seeing: int
    """Explained neurons whose best subgroup of the right operand it is"""
    neurons: int
    """All neurons"""
    subgroup_order: int
    """Order of that subgroup"""
    cosets: int
    """How many cosets it has"""
    coset: Int[Tensor, " element"]
    """Number of the element's left coset"""
    class_of: Int[Tensor, " in_classes"]
    """Number of the element's conjugacy class"""
    answer: Float[Tensor, "a b"]
    """Number of the left coset of the network's answer; blank where it is wrong"""
    same_coset: Float[Tensor, " table"]
    """Correlation of the vectors of two elements of one coset, mean over all such pairs"""
    same_class: Float[Tensor, " table"]
    """Correlation of the vectors of two elements of one conjugacy class, mean over all such pairs"""
    first: Float[Tensor, "table element"]
    """First component along which the cosets' means differ most"""
    second: Float[Tensor, "table element"]
    """Second component along which the cosets' means differ most"""
    first_by_class: Float[Tensor, "table in_classes"]
    """The first component again, in the order of the classes"""
    second_by_class: Float[Tensor, "table in_classes"]
    """The second component again, in the order of the classes"""


def coset_table(checkpoint: Checkpoint) -> CosetTable:
    r"""In the order of the right subgroup's cosets the table of products shows its blocks, and embeddings cluster.

    The subgroup is the one whose left cosets most of the explained neurons see of the right operand at the last
    checkpoint, by `coset_concentration`; where none is explained there is nothing to order by. Rows, a, and columns, b,
    of the table are in the order of its left cosets gH, and the colour is the number of the coset of what the network
    answers: a·bH depends on b's coset alone, so that columns of one coset are alike where the answers are right.

    The embedding of each operand and the unembedding are shown in the plane in which the means of the cosets differ
    most, coloured by coset and, the same points, by conjugacy class. A picture can deceive, so the correlation of the
    vectors of two elements of one coset, and of one class, stands beside it, of vectors less their mean over the
    elements: that of random vectors is about -1/(n-1). Several subgroups, and conjugates of each, share the neurons of
    a network, and this is one of them: its cosets tell a part of each vector. Stander et al. report correlations of
    81.4% within cosets and -0.2% within classes for unembeddings on S5, and not here how the cosets were chosen.

    Formula: X = \bar X_{gH} + \text{rest}; \quad \bar X_{gH} - \bar X = U \Sigma V^\top, \quad X V_{12}

    Paper: Power et al. 2022, arXiv 2201.02177; Stander et al. 2023, arXiv 2312.06581
    """
    order, concentration = composed(checkpoint), checkpoint.run.final.measure("coset_concentration")
    explained = (concentration.concentration < 1).all(dim=0)
    if not explained.any():
        raise NothingToSay(
            "at the last checkpoint no neuron is explained by a subgroup, so there are no cosets to order by"
        )
    seen = concentration.subgroup[1, explained].bincount()
    number = int(seen.argmax())
    subgroup, classes, names = order.group.subgroups[number], order.group.classes, order.group.elements
    by_coset, by_class = subgroup.left.argsort(stable=True), classes.argsort(stable=True)
    tables = _tables(checkpoint, order)
    planes = torch.stack([_plane(vectors, subgroup.left) for vectors in tables.values()])  # [table, element, 2]
    in_order = tuple(names[k] for k in by_coset.tolist())
    return CosetTable(
        table=tuple(tables),
        element=in_order,
        in_classes=tuple(names[k] for k in by_class.tolist()),
        a=in_order,
        b=in_order,
        subgroup=number,
        seeing=int(seen[number]),
        neurons=len(explained),
        subgroup_order=subgroup.order,
        cosets=subgroup.index,
        coset=subgroup.left[by_coset],
        class_of=classes[by_class],
        answer=_answers(checkpoint, order, subgroup.left)[by_coset][:, by_coset],
        same_coset=torch.stack([_correlation(vectors, subgroup.left) for vectors in tables.values()]),
        same_class=torch.stack([_correlation(vectors, classes) for vectors in tables.values()]),
        first=planes[:, by_coset, 0],
        second=planes[:, by_coset, 1],
        first_by_class=planes[:, by_class, 0],
        second_by_class=planes[:, by_class, 1],
    )


def _tables(checkpoint: Checkpoint, order: Composed) -> dict[str, Float[Tensor, "element d"]]:
    """The parameters with a vector for each element, by name."""
    network = reads_two_operands(checkpoint.run.architecture)
    weights = {name: devices.float64(value) for name, value in checkpoint.weights.items()}
    return {
        name if len(of_one) == 1 else f"{name} of {operand}": rows.cpu()[order.axis]
        for name, of_one in network.residue_tables(weights).items()
        for operand, rows in zip("ab", of_one, strict=False)
    }


def _answers(checkpoint: Checkpoint, order: Composed, labels: Int[Tensor, " element"]) -> Float[Tensor, "a b"]:
    """The coset of the network's answer to each pair, NaN where it is wrong."""
    given = torch.full((order.n, order.n), torch.nan, dtype=torch.float64)
    for block in order.blocks(checkpoint):
        rows, answers, a, b = block.pairs.unbind(1)
        right = block.activations["logits"].argmax(dim=1).cpu()[rows] == order.axis[answers]
        given[a, b] = labels[answers].double().where(right, torch.nan)
    return given


def _plane(vectors: Float[Tensor, "element d"], labels: Int[Tensor, " element"]) -> Float[Tensor, "element 2"]:
    """The vectors in the plane in which the means of the cosets differ most; 0 where there is no second direction."""
    centred = vectors - vectors.mean(dim=0)
    means = torch.zeros(int(labels.max()) + 1, vectors.shape[1], dtype=vectors.dtype).index_add_(0, labels, centred)
    _, _, directions = torch.linalg.svd(means, full_matrices=False)
    plane = torch.zeros(len(vectors), 2, dtype=vectors.dtype)
    plane[:, : min(2, len(directions))] = centred @ directions[:2].T
    return plane


def _correlation(vectors: Float[Tensor, "element d"], labels: Int[Tensor, " element"]) -> Float[Tensor, ""]:
    """The mean correlation of the vectors, less their mean, of two elements of one label; NaN without two."""
    centred = vectors - vectors.mean(dim=0)
    unit = centred / centred.norm(dim=1, keepdim=True)
    alike = (labels[:, None] == labels).fill_diagonal_(False)
    return (unit @ unit.T)[alike].mean()


def steps(run: Run) -> list[int]:
    """At most eight steps, evenly apart, and the last."""
    stride = -(-len(run.steps) // MOST_STEPS)
    return run.steps[::-1][::stride][::-1]


def figure(result: xr.Dataset) -> list[Heatmap | Points | Curves]:
    axes = ("first direction", "second direction")
    tables = [str(name) for name in result.table.values]
    correlations = {f"{name}, coset": result.same_coset.sel(table=name) for name in tables}
    correlations |= {f"{name}, class": result.same_class.sel(table=name) for name in tables}
    return [
        Heatmap(TABLE, result.answer, x="b", y="a", paper=-1.0),
        Points(BY_COSET, result["first"], result.second, choice="table", axes=axes),
        Points(BY_CLASS, result.first_by_class, result.second_by_class, choice="table", axes=axes),
        Curves(WITHIN, correlations),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, WITHIN)
    records = {name: claims.end(name) for name in ("subgroup_order", "cosets", "seeing", "neurons")}
    told = []
    for place, name in enumerate(result.table.values.tolist()):
        pair = {kind: claims.maybe(f"same_{kind}", table=name) for kind in ("coset", "class")}
        if pair["coset"] and pair["class"]:
            records |= {f"{kind}_{place}": record for kind, record in pair.items() if record}
            told.append(f"{{coset_{place}:2}} and {{class_{place}:2}} in {name}")
    if not told:
        return []
    sentence = (
        "The subgroup shown, of order {subgroup_order} with {cosets:coset}, is the one that explains the most "
        "neurons, {seeing} of {neurons}; vectors of two elements of one of its cosets, and of one conjugacy class, "
        f"have the correlations {'; '.join(told)}."
    )
    return [Finding(sentence, records, chapter="how", rank=33)]
