"""Weights that torch keeps as what they are computed from: pruned ones, those of weight and spectral normalisation.

Such a module has no "weight" in its state dict. The one that it multiplies by is, for what lies beside "weight_":

- orig and mask (torch.nn.utils.prune): orig · mask;
- g and v, or parametrizations.weight.original0 and original1 (weight normalisation, Salimans & Kingma 2016):
  g · v / ‖v‖, the norm over the axes along which g has one entry, the inputs of each output;
- orig, u and v, or parametrizations.weight.original, 0._u and 0._v (spectral normalisation, Miyato et al. 2018):
  orig / (u · orig · v), as in evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from interp.contracts.imported import Arrays


def _pruned(orig: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return orig * mask


def _weight_normed(g: np.ndarray, v: np.ndarray) -> np.ndarray:
    axes = tuple(axis for axis in range(v.ndim) if g.ndim != v.ndim or g.shape[axis] == 1)
    with np.errstate(all="ignore"):
        return v * (g / np.sqrt(np.square(v).sum(axis=axes, keepdims=True)))


def _spectrally_normed(orig: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return orig / (u @ orig.reshape(len(u), -1) @ v)


KINDS: tuple[tuple[tuple[str, ...], Callable[..., np.ndarray]], ...] = (
    (("{}_orig", "{}_mask"), _pruned),
    (("{}_g", "{}_v"), _weight_normed),
    (("parametrizations.{}.original0", "parametrizations.{}.original1"), _weight_normed),
    (("{}_orig", "{}_u", "{}_v"), _spectrally_normed),
    (("parametrizations.{}.original", "parametrizations.{}.0._u", "parametrizations.{}.0._v"), _spectrally_normed),
)
"""The names beside each other, {} being the weight's own, and what it is of their values."""
WEIGHT = re.compile(
    r"^(?P<module>(?:.*?\.)??)(?:parametrizations\.)?(?P<weight>(?:\w*_)?(?:weight|bias))(?:_orig|_g|\.original0?)$"
)


def as_used(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return the arrays, those of such a weight replaced by the weight, under its own name and in its first's place."""
    computed: Arrays = {}
    gone: dict[str, str] = {}
    for name in arrays:
        found = WEIGHT.match(name)
        for parts, value in KINDS if found else ():
            assert found is not None
            names = [f"{found['module']}{part.format(found['weight'])}" for part in parts]
            if name == names[0] and all(each in arrays for each in names):
                weight = f"{found['module']}{found['weight']}"
                computed[weight] = value(*(np.asarray(arrays[each]) for each in names))
                gone |= dict.fromkeys(names, weight)
                break
    if not gone:
        return dict(arrays)
    return {gone.get(name, name): computed[gone[name]] if name in gone else array for name, array in arrays.items()}
