"""Which frequencies count as the circuit's: the option `keys`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from interp import provenance
from interp.checkpoints import Checkpoint, Run
from interp.errors import InterpError
from interp.measures.shared.cyclic import Cyclic

Rule = Literal["final", "checkpoint", "ever", "traced"]

MANY = 0.02
"""The share of the neurons above which a frequency that has them clearly is one of those ever used."""
TRACED = 0.005
"""The trace similarity above which Chughtai et al. count a representation to the key ones."""

_ever: dict[tuple[str, ...], tuple[Bool[Tensor, " freq"], provenance.Reads]] = {}
"""The last answer of this process, and what it was made from."""


def key_mask(checkpoint: Checkpoint, cyclic: Cyclic, keys: Rule | Sequence[int]) -> Bool[Tensor, " freq"]:
    """True at the key frequencies, by rule or as listed.

    final: some neuron's own frequency at the last checkpoint (Nanda et al. 2023); checkpoint: at this one; ever: clear
    in more than 2 % of the neurons at some checkpoint the analysis visits; traced: trace similarity above 0.005 at the
    last checkpoint (Chughtai et al. 2023).

    Raises InterpError where a listed number is not a frequency.
    """
    if keys == "final":
        return checkpoint.run.final.measure("key_freqs").key
    if keys == "checkpoint":
        return checkpoint.measure("key_freqs").key
    if keys == "ever":
        return _ever_used(checkpoint.run)
    if keys == "traced":
        return checkpoint.run.final.measure("cosine_fit").trace_similarity > TRACED
    mask = torch.zeros(cyclic.n_freqs, dtype=torch.bool)
    for freq in keys:
        if not 1 <= int(freq) < cyclic.n_freqs:
            raise InterpError(
                f"keys: {freq} is not a frequency of {checkpoint.task.description}; they are 1 to {cyclic.n_freqs - 1}"
            )
        mask[int(freq)] = True
    return mask


def _ever_used(run: Run) -> Bool[Tensor, " freq"]:
    """Computed once per process while the weights at the steps asked for stay as they are."""
    made_of = (str(run.path), run.recipe_digest, repr([(step, run.state_of(step)) for step in run.asked]))
    if made_of not in _ever:
        with provenance.recording() as reads:
            masks = [_clear(run[step]) for step in run.asked]
        _ever.clear()
        _ever[made_of] = torch.stack(masks).any(0), reads
    mask, reads = _ever[made_of]
    provenance.note_all(reads)
    return mask


def _clear(checkpoint: Checkpoint) -> Bool[Tensor, " freq"]:
    return checkpoint.measure("key_freqs").clear_neurons > MANY * checkpoint.neurons.shape[1]
