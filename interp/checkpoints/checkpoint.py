"""The network at one step: weights, hooked model, activations, and what measures answer of it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from interp import provenance
from interp.catalogue.names import find
from interp.catalogue.options import checked_options
from interp.contracts.architecture import Architecture, has_neurons, reads_two_operands
from interp.contracts.loss import Loss
from interp.contracts.task import Task
from interp.errors import InterpError, NothingToSay
from interp.files.one_at_a_time import OneAtATime
from interp.machine import devices, process
from interp.results import schema
from interp.results.account import show_panel
from interp.results.series import Moment

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import xarray as xr
    from transformer_lens import ActivationCache

    from interp.contracts.hooked_model import HookedModel

LOGITS_AT_ONCE = 2_000_000
"""16 MB in float64: what is made of so many still fits the processor's caches, or nearly."""
MOST_LOGITS = 100_000_000
"""800 MB in float64."""
OVERFLOW = "the outputs of the network overflow"


@runtime_checkable
class RunOfCheckpoint(Protocol):
    """What a checkpoint, and a measure of it, may ask of the run it belongs to."""

    name: str
    path: Path
    task: Task
    architecture: Architecture
    loss: Loss
    device: str

    @property
    def steps(self) -> list[int]: ...

    @property
    def asked(self) -> list[int]: ...

    @property
    def stamp(self) -> str: ...

    @property
    def recipe_digest(self) -> str: ...

    @property
    def first(self) -> Checkpoint: ...

    @property
    def final(self) -> Checkpoint: ...

    def __getitem__(self, step: Any) -> Checkpoint: ...

    def weights_and_digest(self, step: int) -> tuple[Mapping[str, np.ndarray], str]:
        """The weights at `step`, as stored, and their digest. Raises InterpError where they cannot be read."""
        ...

    def note(self, question: str, answer: str) -> None:
        """Note what is being read of the run."""
        ...

    def measure(self, name: str, **options: Any) -> xr.Dataset: ...


class TensorsOneAtATime(Mapping[str, Tensor]):
    """Arrays that are read one at a time, as tensors on a device: none is kept."""

    def __init__(self, arrays: OneAtATime, device: str) -> None:
        self._arrays, self._device = arrays, device

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self._arrays[name]).to(self._device)

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class RowsWhenAsked(Mapping[str, Tensor]):
    """Some rows of every activation, each taken when it is asked for."""

    def __init__(self, activations: Mapping[str, Tensor], rows: Int[Tensor, " row"]) -> None:
        self._activations, self._rows = activations, rows

    def __getitem__(self, name: str) -> Tensor:
        values = self._activations[name]
        return values[self._rows.to(values.device)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._activations)

    def __len__(self) -> int:
        return len(self._activations)


class Answer:
    """What a measure said of a checkpoint, its record or why it says nothing, and what that was made from."""

    def __init__(self, record: Any, silence: NothingToSay | None, reads: provenance.Reads) -> None:
        self.record, self.silence, self.reads = record, silence, reads

    def given(self) -> Any:
        """The record; whoever asks was made from the same. Raises NothingToSay where the measure said nothing."""
        provenance.note_all(self.reads)
        if self.silence:
            raise self.silence.with_traceback(None)
        return self.record


class Checkpoint(Moment):
    """The network at one step: `.step .weights .model .task .run`, and activations, each computed when asked for."""

    run: RunOfCheckpoint

    def __init__(self, run: Any, step: int, answers: dict[str, Answer] | None = None) -> None:
        """`answers` are remembered beyond this object, where it is given: every checkpoint may ask for the last's."""
        self.run = run
        self.step = step
        self._answers = {} if answers is None else answers

    def __repr__(self) -> str:
        return f"Checkpoint({self.run.name}, step {self.step:,})"

    @property
    def task(self) -> Task:
        return self.run.task

    @property
    def loss(self) -> Loss:
        """The loss the run was trained with."""
        return self.run.loss

    @functools.cached_property
    def _read(self) -> tuple[Mapping[str, np.ndarray], str]:
        return self.run.weights_and_digest(self.step)

    @property
    def digest(self) -> str:
        """A fingerprint of its weights."""
        return self._read[1]

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The weights as they are stored."""
        return self._read[0]

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Parameter name -> tensor, in the precision they were trained in.

        Weights opened by the importer `weights` may be read one at a time: each whenever it is asked for.
        """
        self._note()
        return self._weights

    @functools.cached_property
    def _weights(self) -> Mapping[str, Tensor]:
        arrays = self._read[0]
        if isinstance(arrays, OneAtATime):
            return TensorsOneAtATime(arrays, self.run.device)
        return {name: torch.from_numpy(array).to(self.run.device) for name, array in arrays.items()}

    @property
    def finite(self) -> bool:
        """Whether every weight is a finite number."""
        return all(np.isfinite(array).all() for array in self._read[0].values())

    @functools.cached_property
    def model(self) -> HookedModel:
        """The network as a TransformerLens hooked module, this checkpoint's own."""
        return self.run.architecture.hooked({name: value.clone() for name, value in self.weights.items()})

    @functools.cached_property
    def tokens(self) -> Shaped[Tensor, "example ..."]:
        """Every input of the task, as `model` takes it."""
        return self.run.architecture.tokens(self.task.inputs).to(self.run.device)

    @functools.cached_property
    def cache(self) -> ActivationCache:
        """Every activation on every input, [example, pos, …], by the hooked path."""
        with torch.no_grad(), process.measuring():
            return self.model.run_with_cache(self.tokens)[1]

    @property
    def activations(self) -> Mapping[str, Float[Tensor, "example ..."]]:
        """Activations where the answer is read, on every input, float64, by hook name."""
        self._note()
        return self._activations

    @functools.cached_property
    def _activations(self) -> Mapping[str, Float[Tensor, "example ..."]]:
        if self._logits > MOST_LOGITS:
            raise NothingToSay(
                f"the network has {self._logits:,} logits on all {len(self.task):,} {self.task.noun}s, more than the "
                f"{MOST_LOGITS:,} that are kept in memory at once; checkpoint.blocks() gives them some rows at a time"
            )
        return self._computed(self.task.inputs)

    def _computed(self, inputs: Shaped[Tensor, "example ..."]) -> Mapping[str, Float[Tensor, "example ..."]]:
        with torch.no_grad(), process.measuring():
            weights = self._float64_weights
            inputs = inputs.to(next(iter(weights.values())).device)
            return self.run.architecture.activations(weights, inputs)

    @functools.cached_property
    def _float64_weights(self) -> dict[str, Tensor]:
        return {name: devices.float64(value) for name, value in self._weights.items()}

    @property
    def _logits(self) -> int:
        """How many there are of all examples."""
        return len(self.task) * self.task.n_outputs

    @property
    def few(self) -> bool:
        """Whether the activations on all examples come together: of at most 2 million logits, or asked before."""
        return self._logits <= LOGITS_AT_ONCE or "_activations" in self.__dict__

    @property
    def rows_at_once(self) -> int:
        """How many examples there are whose activations are computed together where there are many logits."""
        return max(LOGITS_AT_ONCE // self.task.n_outputs, 1)

    def activations_of(self, examples: Int[Tensor, " example"]) -> Mapping[str, Float[Tensor, "example ..."]]:
        """Activations on these examples, given by number: computed for them alone where there are many logits in all.

        Many are more than 2 million, unless `activations` have been asked.
        """
        self._note()
        return RowsWhenAsked(self._activations, examples) if self.few else self._computed(self.task.inputs[examples])

    def blocks(self) -> Iterator[tuple[Int[Tensor, " example"], Mapping[str, Float[Tensor, "example ..."]]]]:
        """All examples in their order, by number, and their activations, in blocks of at most 2 million logits.

        Raises NothingToSay where the outputs overflow.
        """
        everything = torch.arange(len(self.task))
        for examples in (everything,) if self.few else everything.split(self.rows_at_once):
            activations = self.activations if self.few else self.activations_of(examples)
            finite(activations["logits"], OVERFLOW)
            yield examples, activations

    @property
    def logits(self) -> Float[Tensor, "example output"]:
        """The network's outputs on every input, float64.

        Raises NothingToSay where they overflow, and where there are more than 100 million, for which `blocks` is.
        """
        return finite(self.activations["logits"], OVERFLOW)

    @property
    def neurons(self) -> Float[Tensor, "example neuron"]:
        """The last hidden layer's activations where the answer is read, on every input, float64.

        Raises NothingToSay where the network has no such layer, and where they overflow.
        """
        neurons = self.activations[has_neurons(self.run.architecture).neurons]
        return finite(neurons, "the activations of the neurons overflow")

    @property
    def embedding(self) -> Float[Tensor, "p d_model"]:
        """W_E's rows for the residues 0…p-1, float64; separate embeddings of a and b side by side.

        Raises NothingToSay where the network has no embeddings of two operands.
        """
        with process.measuring():
            return devices.float64(reads_two_operands(self.run.architecture).embedding(self.weights))

    def measure(self, name: str, **options: Any) -> Any:
        """Another measure's answer at this checkpoint, computed once and shared.

        Raises NothingToSay where the measure has no answer, InterpError where there is no such measure or option.
        """
        key = f"{name} {options!r}"
        if key not in self._answers:
            if schema.subject(name) != "checkpoint":
                raise InterpError(f"{name} measures a whole run, not a checkpoint: run.measure({name!r})")
            checked = checked_options("measures", name, options)
            with provenance.recording() as reads, process.measuring():
                function = find("measures", name)
                record = silence = None
                try:
                    record = function(self, **checked)
                except NothingToSay as reason:
                    silence = reason
            self._answers[key] = Answer(record, silence, reads)
        return self._answers[key].given()

    def show(self, measure: str, panel: str | None = None, **options: Any) -> go.Figure:
        """The report's panel of `measure` at this step. Raises NothingToSay where the measure has no answer."""
        return show_panel(measure, self.run.measure(measure, **options), panel, step=self.step)

    def _note(self) -> None:
        self.run.note(f"step {self.step}", self.digest)


def finite(values: Float[Tensor, "..."], otherwise: str) -> Float[Tensor, "..."]:
    """`values`, all of which are finite numbers. Raises NothingToSay, in these words, where one is not."""
    if values.numel() and not torch.stack(values.aminmax()).isfinite().all():  # which pass on what is no number
        raise NothingToSay(otherwise)
    return values
