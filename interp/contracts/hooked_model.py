"""The base of the hooked modules. The only place that imports transformer-lens, which takes seconds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "IProgress not found")  # in a notebook, of progress bars that nothing here shows
    from transformer_lens import ActivationCache, HookedRootModule
    from transformer_lens.hook_points import HookPoint

__all__ = ["HookPoint", "HookedModel", "HookedPart", "register_weights"]


class HookedModel(HookedRootModule):
    """A TransformerLens root module: `run_with_cache`, `run_with_hooks`, `hook_dict`, `add_hook`.

    Call it on tokens [batch, pos], as TransformerLens models are called; it returns logits.
    """

    @property
    def hook_names(self) -> list[str]:
        """Every activation that can be cached or replaced."""
        return list(self.hook_dict)

    def run_with_cache(self, *args: Any, **options: Any) -> tuple[Tensor, Any]:
        """The logits, and an `ActivationCache` of every activation (`return_cache_object=False`: a dict)."""
        as_object = options.pop("return_cache_object", True)
        logits, cache = super().run_with_cache(*args, **options)
        return logits, ActivationCache(cache, self) if as_object else cache


class HookedPart(nn.Module):
    """A part of a hooked model, whose class names its weights and hook points in annotations.

    Each `hook_…` is made; each weight `W_…` and bias `b_…` is None until `register_weights` gives it a value.
    """

    def __init__(self) -> None:
        super().__init__()
        for name in type(self).__annotations__:
            if name.startswith("hook_"):
                setattr(self, name, HookPoint())
            elif name.startswith(("W_", "b_")):
                self.register_parameter(name, None)


def register_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Make each weight, "blocks.0.attn.W_Q", a parameter of the submodule its name leads to."""
    for path, value in weights.items():
        owner, _, name = path.rpartition(".")
        module.get_submodule(owner).register_parameter(name, nn.Parameter(value))
