"""The base of the hooked modules. The only place that imports transformer-lens, which takes seconds."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint

__all__ = ["HookPoint", "HookedModel"]


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
