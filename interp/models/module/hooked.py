"""A network of one's own as a TransformerLens module: what each of its modules gives passes through a hook point.

The network is made anew, and its class becomes one that is a `HookedModel` too: so its parameters keep their names, and
its `forward` is its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, HookPoint


class HookedModule(HookedModel):
    """Hook points by the path of the module whose output they see; for `neurons` also what goes in, and comes out."""

    def hook(self, neurons: str | None) -> None:
        """Set a hook point behind every module of the network. It is called once, in the place of `setup`."""
        self.is_caching, self.context_level = False, 0
        paths = {path: module for path, module in self.named_modules() if path}
        points = {path: HookPoint() for path in paths}
        for path, module in paths.items():
            module.register_forward_hook(_behind(points[path]))
        if neurons is not None:
            pre, post = (points.setdefault(f"{neurons}.hook_{when}", HookPoint()) for when in ("pre", "post"))
            paths[neurons].register_forward_pre_hook(lambda _, given: (pre(given[0]), *given[1:]))
            paths[neurons].register_forward_hook(_behind(post))
        for path, point in points.items():
            point.name = path
        object.__setattr__(self, "hook_dict", points)  # they are no parts of the network
        object.__setattr__(self, "mod_dict", points)


def hooked_module(network: nn.Module, weights: Weights, neurons: str | None) -> HookedModule:
    """Return `network` with these weights and with hook points; it is changed."""
    kind = type(f"Hooked{type(network).__name__}", (HookedModule, type(network)), {})
    network.__class__ = kind
    assert isinstance(network, HookedModule)
    parameters = dict(network.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, value in weights.items():
            parameters[name].data = value
            parameters[name].requires_grad_()
    like = next(iter(weights.values()))
    network.to(like.device)
    for value in network.buffers():
        if value.is_floating_point():
            value.data = value.to(like.dtype)
    network.hook(neurons)
    return network


def _behind(point: HookPoint) -> Any:
    """Return what lets a module's output, or the first of several, pass through a hook point."""

    def passed(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return point(output)
        if type(output) is tuple and output and isinstance(output[0], Tensor):
            return (point(output[0]), *output[1:])
        return output

    return passed
