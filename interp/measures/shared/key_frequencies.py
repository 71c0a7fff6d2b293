"""Which frequencies count as the circuit's: the option `keys`."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from interp import provenance
from interp.checkpoints import Checkpoint
from interp.checkpoints.checkpoint import RunOfCheckpoint
from interp.errors import InterpError, NothingToSay
from interp.measures.shared.cyclic import Cyclic, cyclic

Keys = Literal["final", "checkpoint", "ever", "logits", "traced"] | list[int]
"""The frequencies that count as the circuit's, by a rule or as they are listed:

- final: those that some neuron has for its own at the last checkpoint (Nanda et al. 2023);
- checkpoint: those that some neuron has for its own at the checkpoint that is measured;
- ever: those that were clear in more than 2% of the neurons at some checkpoint the analysis visits;
- logits: those that the logits use at the last checkpoint, whichever the neurons have (`key_freqs`);
- traced: those of trace similarity above 0.005 at the last checkpoint (Chughtai et al. 2023).
"""

MANY = 0.02
"""The share of the neurons above which a frequency that has them clearly is one of those ever used."""
TRACED = 0.005
"""The trace similarity above which Chughtai et al. count a representation to the key ones."""

_ever: dict[tuple[str, ...], tuple[Bool[Tensor, " freq"], provenance.Reads]] = {}
"""What `_ever_used` found last, by what it was made from."""


def key_mask(checkpoint: Checkpoint, order: Cyclic, keys: Keys) -> Bool[Tensor, " freq"]:
    """True at the key frequencies, which `keys` names. Raises InterpError where a listed number is not a frequency."""
    if keys == "final":
        return _final(checkpoint.run)
    if keys == "checkpoint":
        return checkpoint.measure("key_freqs").key
    if keys == "logits":
        return checkpoint.run.final.measure("key_freqs").logit_key
    if keys == "ever":
        return _ever_used(checkpoint.run)
    if keys == "traced":
        return checkpoint.run.final.measure("cosine_fit").trace_similarity > TRACED
    mask = torch.zeros(order.n_freqs, dtype=torch.bool)
    for freq in keys:
        if not 1 <= int(freq) < order.n_freqs:
            raise InterpError(
                f"keys: {freq} is not a frequency of {checkpoint.task.description}; they are 1 to {order.n_freqs - 1}"
            )
        mask[int(freq)] = True
    return mask


def _final(run: RunOfCheckpoint) -> Bool[Tensor, " freq"]:
    """Those of the last checkpoint. Raises NothingToSay, in words of it, where it has none."""
    try:
        return run.final.measure("key_freqs").key
    except NothingToSay as reason:
        raise NothingToSay(f"the last checkpoint has no key frequencies: {reason}") from None


def _ever_used(run: RunOfCheckpoint) -> Bool[Tensor, " freq"]:
    """The frequencies of the rule "ever", computed once in a process while the weights at these steps stay the same."""
    made_of = (str(run.path), run.recipe_digest, run.stamp, repr(run.asked))
    if made_of not in _ever:
        with provenance.recording() as reads:
            masks = [_clear(run[step]) for step in run.asked]
        _ever.clear()
        _ever[made_of] = torch.stack(masks).any(0), reads
    mask, reads = _ever[made_of]
    provenance.note_all(reads)
    return mask


def _clear(checkpoint: Checkpoint) -> Bool[Tensor, " freq"]:
    """True at the frequencies that clearly have many of the checkpoint's neurons; of one that has none, nowhere."""
    try:
        return checkpoint.measure("key_freqs").clear_neurons > MANY * checkpoint.neurons.shape[1]
    except NothingToSay:
        return torch.zeros(cyclic(checkpoint).n_freqs, dtype=torch.bool)
