"""⊥Grad: gradients without their part along the weights, which only scales what a network says."""

from __future__ import annotations

from dataclasses import dataclass

from interp.contracts.nested_name import AnOptimiser
from interp.contracts.optimiser import Column, Rows, UpdateRule
from interp.optimisers.shared.around import Around

TINY = 1e-30
"""Added to what is divided by, as in the code of Prieto et al."""


def orthogonal_gradient(of: AnOptimiser = "adamw") -> OrthogonalGradient:
    r"""The optimiser `of`, given each parameter's gradient orthogonal to it, made as long as the gradient was.

    A network whose logits grow with its weights lowers the loss of what it has memorised by growing, until the softmax
    is rounded to certainty and nothing is learnt any more. Without that direction Prieto et al.'s networks generalise
    without delay. Take a decay of 0 in `of` for theirs.

    Formula: g_\perp = g - \frac{w \cdot g}{w \cdot w} w, \quad \hat g = \frac{\lVert g \rVert}{\lVert g_\perp \rVert}
        g_\perp

    Paper: Prieto et al. 2025, arXiv 2501.04697
    """
    assert isinstance(of, UpdateRule)  # the reader of the recipe makes it from the name
    return OrthogonalGradient(of)


@dataclass(frozen=True)
class OrthogonalGradient(Around):
    def change(self, rows: Rows, *numbers: Column) -> None:
        del numbers
        for w_row, g_row in zip(rows.weights, rows.gradients, strict=True):
            for part in rows.parts.values():
                w, g = w_row[part], g_row[part]  # one parameter of one member: its sums are the same in any stack
                size = g.norm()
                g.sub_(w * (w.dot(g) / (w.dot(w) + TINY)))
                g.mul_(size / (g.norm() + TINY))
