"""Dropout: activations that an update's forward pass leaves out at random."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt
from torch import Tensor

from interp.contracts.intervention import Intervention
from interp.errors import InterpError
from interp.interventions.shared.draws import Draws

Share = Annotated[float, Field(ge=0, lt=1)]


def dropout(
    hooks: list[str],
    share: Share = 0.1,
    seed: NonNegativeInt = 0,
    start: NonNegativeInt = 0,
    stop: NonNegativeInt | None = None,
) -> Intervention:
    r"""Set a `share` of the activations at these hooks to 0 in each update, and divide the others by 1 - `share`.

    The activations are named as TransformerLens does; residual dropout is [blocks.0.hook_attn_out,
    blocks.0.hook_mlp_out]. Each is left out by a draw of its own. What is measured is the whole network.

    Formula: x \leftarrow x \, \frac{b}{1 - \mathrm{share}}, \quad b \sim \mathrm{Bernoulli}(1 - \mathrm{share})

    Paper: Power et al. 2022, arXiv 2201.02177; Srivastava et al. 2014, JMLR 15
    """
    if not hooks:
        raise InterpError("dropout: hooks is empty; name an activation, such as [blocks.0.hook_mlp_out]")
    draws = Draws(seed)

    def dropped(activation: Tensor) -> Tensor:
        return activation * (draws.uniform_like(activation) >= share) / (1 - share)

    return Intervention(hooks=dict.fromkeys(hooks, dropped), start=start, stop=stop, state=draws.state)
