"""How large the outputs are, and how large for the size of the weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Curves
from interp.findings import Claims, Finding, course


@dataclass(frozen=True)
class LogitScale:
    scale: Float[Tensor, ""]
    """Root mean square of the outputs, each example's less their mean over all outputs"""
    per_norm: Float[Tensor, ""]
    """The scale over the L2 norm of all weights"""


def logit_scale(checkpoint: Checkpoint) -> LogitScale:
    r"""A circuit is efficient that makes large outputs of small weights.

    In Varma et al.'s account the generalising circuit gives larger logits for the same parameter norm than memory does,
    and weight decay moves a network to it: expect the scale per norm to rise at grokking. What is added to all outputs
    of an example alike changes no answer, and is taken off; a single output is taken as it is.

    Formula: s = \sqrt{\frac{1}{NK} \sum_{i,k} (z_{ik} - \bar z_i)^2}, \quad \frac{s}{\lVert\theta\rVert_2}

    Paper: Varma et al. 2023, arXiv 2309.02390
    """
    z = checkpoint.logits
    centred = z if z.shape[1] == 1 else z - z.mean(dim=1, keepdim=True)
    scale = centred.square().mean().sqrt().cpu()
    norm = torch.stack([value.double().square().sum() for value in checkpoint.weights.values()]).sum().sqrt().cpu()
    return LogitScale(scale, scale / norm if norm > 0 else torch.tensor(torch.nan, dtype=torch.float64))


def figure(result: xr.Dataset) -> list[Curves]:
    return [
        Curves("Scale of the outputs", {"all": result.scale}, width="half"),
        Curves("Scale of the outputs per weight norm", {"all": result.per_norm}, width="half"),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, "Scale of the outputs")
    told, records = course(claims, "scale")
    found = [Finding(f"The scale of the outputs {told}.", records, chapter="how", rank=61)]
    if claims.known("per_norm"):
        claims.panel = "Scale of the outputs per weight norm"
        told, records = course(claims, "per_norm")
        found.append(Finding(f"The scale of the outputs for the norm of the weights {told}.", records, "how", 62))
    return found
