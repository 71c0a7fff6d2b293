"""A task of graphs: nodes with features, and edges with features of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from interp.contracts.task import Task


class Parts(NamedTuple):
    """Dense, padded graphs: what is not there is 0."""

    mask: Float[Tensor, "graph node"]
    """1 where the node is there."""
    nodes: Float[Tensor, "graph node feature"]
    linked: Float[Tensor, "graph node source"]
    """1 where an edge leads from `source` to `node`."""
    edges: Float[Tensor, "graph node source edge_feature"]


@dataclass(frozen=True)
class Graphs(Task):
    """Graphs in one array [graph, node, 1 + feature + node·(1 + edge_feature)], of numbers.

    Each node has in a row whether it is there, its features, whether an edge leads to it from each node, and the
    features of these edges, one source after another.
    """

    noun: ClassVar[str] = "graph"
    n_features: int
    n_edge_features: int

    def parts(self, inputs: Float[Tensor, "graph node number"]) -> Parts:
        """Return what lies in the array."""
        nodes = inputs.shape[1]
        mask, features, linked, edges = inputs.split([1, self.n_features, nodes, nodes * self.n_edge_features], dim=2)
        return Parts(mask[..., 0], features, linked, edges.unflatten(2, (nodes, self.n_edge_features)))


def graphs(task: Task) -> Graphs:
    """`task`, which is one of graphs. Raises NothingToSay where it is not."""
    if isinstance(task, Graphs):
        return task
    raise task.silence("is not one of graphs")
