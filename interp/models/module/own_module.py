"""Somebody's own nn.Module as a plain function of its weights, and what lies between its neurons and its answers.

Its weights are its trained parameters; buffers and frozen parameters are constants. All that is asked of the inside is
had by hooks: what a module gives is read, or other numbers are put in its place. The operands' embeddings are replaced
by rows added to the table, which the network then looks up itself.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from interp.contracts.architecture import Architecture, Weights
from interp.contracts.task import two_operands
from interp.errors import InterpError, NothingToSay, near_misses
from interp.models.module.user_code import Making

if TYPE_CHECKING:
    from interp.models.module.hooked import HookedModule

TOKENS = "hook_tokens"
"""Among the activations, what the network was called on, as floating numbers."""
TRIED = 64
"""Examples on which a network is tried before it is trained."""
WRAPPERS = ("", "module.", "_orig_mod.", "_orig_mod.module.", "model.", "net.", "network.")
"""What wrappers put before every name."""
LINEAR = 1e-6
"""By how much, as a share of the largest, a linear map may differ from itself."""

Hook = Callable[[Tensor, Tensor], Tensor | None]
"""What a module was given, and what it gives -> what it gives in the place of that; None for the same."""


@dataclass(frozen=True)
class Parts:
    """What the options say of the parts of a network; None where they do not."""

    embedding: str | None
    """A parameter."""
    neurons: str | None
    """The path of a module, as the next."""
    logits: str | None
    row: tuple[int | str, ...] | None
    """The tokens of a pair: "a" and "b" for the operands."""
    read_at: int
    """The position at which the answer is read."""


@dataclass(frozen=True)
class OwnModule(Architecture):
    """An nn.Module that a file of the user's makes; it offers what its options tell, and says what they do not."""

    making: Making
    told: Parts

    # What it is.

    @functools.cached_property
    def _network(self) -> nn.Module:
        return self.making.network(0)

    @functools.cached_property
    def _parameters(self) -> dict[str, nn.Parameter]:
        return {name: value for name, value in self._network.named_parameters() if value.requires_grad}

    @functools.cached_property
    def _constants(self) -> dict[str, Tensor]:
        return constants_of(self._network)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in self._parameters.items()}

    @property
    def description(self) -> str:
        numbers = sum(map(math.prod, self.shapes.values()))
        count = len(self.shapes)
        return f"{self.making.make} of {self.making.written}, {count} tensor{'s' * (count != 1)}, {numbers:,} numbers"

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"The network is {self.making.make} of {self.making.written}, which was run to open this.",)

    def silence(self, lack: str) -> NothingToSay:
        """Return what is said of what no option tells, such as attention."""
        return NothingToSay(f"the network is a module of one's own, so it is not known whether it {_without_not(lack)}")

    def require(self, part: str) -> None:
        self._part(part)

    def initial(self, seed: int) -> dict[str, Tensor]:
        """Return fresh weights. Raises InterpError where the network is another in training than in evaluation."""
        network = self.making.network(seed)
        parameters = dict(network.named_parameters())
        _refuse_chance(network, self.making, self.tokens(self.task.inputs[:TRIED]), self.from_module)
        fresh = {name: parameters[name].detach().clone() for name in self.shapes}
        return {name: value if value.dtype == torch.float64 else value.float() for name, value in fresh.items()}

    def weights_of(self, tensors: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
        alike = _names_by_tensor(self._network)
        prefix = max(WRAPPERS, key=lambda before: sum(f"{before}{name}" in tensors for name in self.shapes))
        inside = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
        what = f"{self.making.make} of {self.making.written}"
        unknown = [name for name in inside if name not in alike]
        if unknown:
            raise InterpError(f"{source} holds {unknown[0]!r}, which {what} has not{near_misses(unknown[0], alike)}")
        found = {}
        for name, shape in self.shapes.items():
            named = next((one for one in alike[name] if one in inside), None)
            if named is None:
                raise InterpError(f"{source} has no {name!r}, which {what} has{near_misses(name, inside)}")
            if inside[named].shape != shape:
                raise InterpError(f"{source}: {named} has shape {list(inside[named].shape)}; {what} has {list(shape)}")
            found[name] = inside[named]
        for name, constant in self._constants.items():
            array = inside.get(name)
            if array is not None and not _alike(array, constant):
                raise InterpError(
                    f"{source}: {name} is no parameter and differs from that of a fresh {what}; what training changes "
                    "beside the parameters, such as the statistics of a batch normalisation, is not read here"
                )
        return found

    # What it answers.

    def tokens(self, inputs: Shaped[Tensor, "example ..."]) -> Shaped[Tensor, "example ..."]:
        if self.told.row is None:
            return inputs
        return self._row({"a": inputs[:, 0], "b": inputs[:, 1]})

    def _row(self, operands: Mapping[str, Int[Tensor, " example"]]) -> Int[Tensor, "example pos"]:
        """Return the tokens of pairs whose operands are these tokens: [a, b] where no row is told."""
        a = operands["a"]
        row = self.told.row or ("a", "b")
        return torch.stack([operands[one] if isinstance(one, str) else torch.full_like(a, one) for one in row], dim=1)

    def from_module(self, outputs: Any) -> Float[Tensor, "example output"]:
        """Return what it gave where the answer is read. Raises InterpError where that is not [example, output]."""
        if isinstance(outputs, list | tuple) and outputs:
            outputs = outputs[0]
        elif isinstance(outputs, Mapping) and "logits" in outputs:
            outputs = outputs["logits"]
        read = self._at_answer(outputs) if isinstance(outputs, Tensor) else None
        read = read[:, None] if read is not None and read.ndim == 1 else read
        if read is None or read.ndim != 2 or not read.is_floating_point():
            given = f"numbers [{', '.join(map(str, outputs.shape))}]" if isinstance(outputs, Tensor) else type(outputs)
            raise InterpError(
                f"{self.making.make} of {self.making.written} returns {given}; expected [example, output], or "
                "[example, pos, output]; say which module gives the answer: logits: …"
            )
        return read

    def _at_answer(self, values: Float[Tensor, "example ..."]) -> Float[Tensor, "example ..."]:
        """Return what stands at the position where the answer is read; all of it where there are no positions."""
        return values[:, self.told.read_at] if values.ndim == 3 else values

    def outputs(self, weights: Weights, inputs: Shaped[Tensor, "example ..."]) -> Float[Tensor, "example output"]:
        return self._run(weights, self.tokens(inputs), {})

    def activations(
        self, weights: Weights, inputs: Shaped[Tensor, "example ..."]
    ) -> dict[str, Float[Tensor, "example ..."]]:
        tokens = self.tokens(inputs)
        inside: dict[str, Tensor] = {}

        def note(given: Tensor, gives: Tensor) -> None:
            inside[f"{self.told.neurons}.hook_pre"] = self._at_answer(given)
            inside[f"{self.told.neurons}.hook_post"] = self._at_answer(gives)

        logits = self._run(weights, tokens, {self.told.neurons: note} if self.told.neurons else {})
        return {TOKENS: tokens.to(logits.dtype), **inside, "logits": logits}

    def _run(
        self, weights: Weights, tokens: Shaped[Tensor, "example ..."], hooks: Mapping[str, Hook]
    ) -> Float[Tensor, "example output"]:
        """Call the network with these weights. Raises InterpError, with the place, where their code fails."""
        like = next(iter(weights.values()))
        kept: list[Any] = []
        constants = {name: _like(value, like) for name, value in self._constants.items()}
        with contextlib.ExitStack() as stack:
            for path, hook in hooks.items():
                stack.enter_context(_hooked_at(self._network, path, hook))
            if self.told.logits is not None:
                stack.enter_context(_hooked_at(self._network, self.told.logits, lambda _, gives: kept.append(gives)))
            stack.enter_context(_plain_attention())
            stack.enter_context(self.making.told(InterpError))
            whole = torch.func.functional_call(
                self._network, {**constants, **weights}, (_like(tokens, like),), tie_weights=True
            )
        return self.from_module(kept[-1] if kept else whole).to(like.dtype)

    def hooked(self, weights: Weights) -> HookedModule:
        from interp.models.module.hooked import hooked_module

        return hooked_module(self.making.network(0), weights, self.told.neurons)

    # Its neurons.

    @property
    def neurons(self) -> str:
        return f"{self.told.neurons}.hook_post"

    def activated(self, weights: Weights, pre: Float[Tensor, "#example neuron"]) -> Float[Tensor, "#example neuron"]:
        """Return what the neurons' module gives when it is given `pre`."""
        path = self._part("neurons")
        whole = {**{name: _like(value, pre) for name, value in self._constants.items()}, **weights}
        own = {name.removeprefix(f"{path}."): value for name, value in whole.items() if name.startswith(f"{path}.")}
        with self.making.told(InterpError):
            return torch.func.functional_call(self._network.get_submodule(path), own, (pre,))

    def outputs_from_neurons(
        self,
        weights: Weights,
        post: Float[Tensor, "#example neuron"],
        activations: Mapping[str, Float[Tensor, "example ..."]],
    ) -> Float[Tensor, "#example output"]:
        tokens = activations[TOKENS].to(self._token_type)

        def replaced(_: Tensor, gives: Tensor) -> Tensor:
            wanted = post.expand(len(gives), -1)
            if gives.ndim == 2:
                return wanted
            changed = gives.clone()
            changed[:, self.told.read_at] = wanted
            return changed

        return self._run(weights, tokens, {self._part("neurons"): replaced})

    @property
    def _token_type(self) -> torch.dtype:
        return torch.int64 if self.told.row is not None else self.task.inputs.dtype

    def readout(
        self,
        weights: Weights,
        activations: Mapping[str, Float[Tensor, "example ..."]],  # noqa: ARG002 (no norm is folded)
    ) -> Float[Tensor, "neuron output"]:
        """Return the linear map behind the neurons, found by what each of them adds to the answers to two examples.

        Raises NothingToSay where it is no linear map, because a norm or another layer lies there.
        """
        with torch.no_grad():
            two = self.activations(weights, self.task.inputs[:2].to(next(iter(weights.values())).device))
            own = two[self.neurons]  # [example, neuron]
            unit = torch.eye(own.shape[1]).to(own)
            first = self._added(weights, unit, 0, two)
            doubled = self._added(weights, 2 * unit, 0, two) / 2
            other = self._added(weights, unit, 1, two)
            off = torch.maximum((doubled - first).abs(), (other - first).abs())
            if not (off <= LINEAR * first.abs().max()).all():
                raise NothingToSay("what lies behind the neurons is no linear map: a norm or another layer")
        return first

    def _added(
        self, weights: Weights, posts: Float[Tensor, "row neuron"], example: int, activations: Mapping[str, Tensor]
    ) -> Float[Tensor, "row output"]:
        """Return what each row of neurons adds to the answer to an example, beside what silent neurons give."""
        rows = torch.cat([torch.zeros_like(posts[:1]), posts])
        beside = {TOKENS: activations[TOKENS][[example]].expand(len(rows), *activations[TOKENS].shape[1:])}
        outputs = self.outputs_from_neurons(weights, rows, beside)
        return outputs[1:] - outputs[:1]

    def readout_factor(self, activations: Mapping[str, Float[Tensor, "example ..."]]) -> None:
        """Return None: a readout across a norm is none."""

    def neuron_logits(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "example ..."]]
    ) -> Float[Tensor, "neuron p"]:
        return self.readout(weights, activations)[:, : two_operands(self.task).p]

    def neuron_inputs(self, weights: Weights, activations: Mapping[str, Float[Tensor, "example ..."]]) -> None:
        """Return None: what lies between the embedding and the neurons is not known to be weights alone."""

    # Its operands.

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        return weights[self._part("embedding")][: two_operands(self.task).p]

    def residue_tables(self, weights: Weights) -> dict[str, Float[Tensor, "table p d"]]:
        return {self._part("embedding"): self.embedding(weights)[None]}  # [table, p, d_model]

    def operands(self, weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair operand d_model"]:
        return weights[self._part("embedding")][pairs.to(next(iter(weights.values())).device)]

    def with_embeddings(
        self, weights: Weights, change: Callable[[Float[Tensor, "p d_model"]], Float[Tensor, "p d_model"]]
    ) -> dict[str, Tensor]:
        name = self._part("embedding")
        rest = weights[name][two_operands(self.task).p :]
        return {**weights, name: torch.cat([change(self.embedding(weights)), rest])}

    def logits_of_operands(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair output"]:
        """Return the outputs with these vectors as the operands' embeddings.

        Raises NothingToSay where the network does not look its operands up in the table.
        """
        pairs = two_operands(self.task).pairs[:2].to(operands.device)
        try:
            with torch.no_grad():
                same = self._with_rows(weights, self.operands(weights, pairs))
                own = self.outputs(weights, pairs)
            if not torch.allclose(same, own, rtol=LINEAR, atol=LINEAR * float(own.abs().max())):
                raise InterpError
        except InterpError:
            table = self._part("embedding")
            raise NothingToSay(f"the network does not look both operands up in {table} alone") from None
        return self._with_rows(weights, operands)

    def _with_rows(
        self, weights: Weights, operands: Float[Tensor, "pair operand d_model"]
    ) -> Float[Tensor, "pair output"]:
        """Return the outputs where each pair looks up two rows of its own, added to the table."""
        name = self._part("embedding")
        table = weights[name]
        first = len(table) + 2 * torch.arange(len(operands), device=table.device)
        longer = {**weights, name: torch.cat([table, operands.flatten(0, 1)])}  # [token + 2 * pair, d_model]
        outputs = self._run(longer, self._row({"a": first, "b": first + 1}), {})
        tied = outputs.shape[1] - 2 * len(operands)  # a readout tied to the table has grown with it
        return outputs[:, :tied] if tied >= self.task.n_outputs else outputs

    def _part(self, option: str) -> str:
        """Return what the option names. Raises NothingToSay where it is not told."""
        value = getattr(self.told, option)
        if value is None:
            raise NothingToSay(f"the run.yaml does not tell the {option} of its module (model: module: {option}: …)")
        return value


def checked(network: OwnModule) -> OwnModule:
    """Return it, tried on the first and the last example.

    Raises ValueError, one line, where it is not what its options say.
    """
    try:
        inputs = network.task.inputs[[0, -1]]  # of pairs the last has the largest operands
        _check_names(network)
        _check_constants(network)
        _check_answers(network, inputs)
    except (InterpError, NothingToSay) as error:
        raise ValueError(str(error)) from None
    return network


def _check_names(network: OwnModule) -> None:
    own, told, written = network._network, network.told, network.making.written
    if not network.shapes:
        raise ValueError(f"{network.making.make} of {written} has no parameter that is trained")
    paths = {path for path, _ in own.named_modules() if path}
    for option, path in (("neurons", told.neurons), ("logits", told.logits)):
        if path is not None and path not in paths:
            raise ValueError(
                f"{option} is {path!r}, which is no module of {network.making.make}{near_misses(path, paths)}"
            )
    odd = [name for name, value in network._parameters.items() if not value.is_floating_point()]
    if odd:
        raise ValueError(f"{written}: the parameter {odd[0]} is complex; keep its real and imaginary part apart")
    if told.embedding is None:
        return
    if told.embedding not in network.shapes:
        known = near_misses(told.embedding, network.shapes)
        raise ValueError(f"embedding is {told.embedding!r}, which is no parameter of {network.making.make}{known}")
    shape, p = network.shapes[told.embedding], two_operands(network.task).p
    if len(shape) != 2 or shape[0] < p:
        raise ValueError(f"embedding {told.embedding} has shape {list(shape)}; expected a row for each of {p} residues")


def _check_constants(network: OwnModule) -> None:
    """Raises ValueError where a constant is drawn at random: it would be another each time the network is made."""
    other = constants_of(network.making.network(1))
    for name, constant in network._constants.items():
        if not torch.equal(constant, other[name]):
            raise ValueError(
                f"{network.making.written}: {name}, which is not trained, is drawn at random, so it would be another "
                "whenever the file is run; draw it from a torch.Generator with a seed of its own"
            )


def _check_answers(network: OwnModule, inputs: Shaped[Tensor, "example ..."]) -> None:
    weights = {name: value.detach().double() for name, value in network._parameters.items()}
    calls: dict[str, int] = {}

    def count(path: str) -> Hook:
        def counted(_: Tensor, gives: Tensor) -> None:
            calls[path] = calls.get(path, 0) + 1
            if path == network.told.neurons and gives.ndim not in (2, 3):
                raise InterpError(
                    f"neurons: {path} gives {list(gives.shape)}; expected [example, neuron] or [example, pos, neuron]"
                )

        return counted

    watched = [path for path in (network.told.neurons,) if path is not None]
    with torch.no_grad():
        outputs = network._run(weights, network.tokens(inputs), {path: count(path) for path in watched})
    for path in watched:
        if calls.get(path) != 1:
            raise ValueError(
                f"{network.making.written}: the module {path} is called {calls.get(path, 0)} times, not once; give "
                "each layer a module of its own"
            )
    wanted = network.task.n_outputs
    if len(outputs) != len(inputs) or outputs.shape[1] < wanted or (wanted == 1 and outputs.shape[1] != 1):
        raise ValueError(
            f"{network.making.make} of {network.making.written} answers {len(inputs)} examples with "
            f"{list(outputs.shape)}; expected [{len(inputs)}, {wanted}], a number for each output of "
            f"{network.task.description}"
        )


def constants_of(network: nn.Module) -> dict[str, Tensor]:
    """Return its buffers, and its parameters that are not trained."""
    frozen = {name: value.detach() for name, value in network.named_parameters() if not value.requires_grad}
    return frozen | {name: value.detach() for name, value in network.named_buffers() if value is not None}


def _refuse_chance(network: nn.Module, making: Making, tokens: Tensor, answers: Callable[[Any], Tensor]) -> None:
    """Raises InterpError where training would differ from evaluation: by chance, or by what it changes on the way."""
    kind = next(network.parameters()).dtype
    given = tokens.to(kind) if tokens.is_floating_point() else tokens
    before = {name: value.clone() for name, value in constants_of(network).items()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]), _plain_attention(), making.told(InterpError):
        still = answers(network(given))
        moved = answers(network.train()(given))
    changed = [name for name, value in constants_of(network).items() if not torch.equal(value, before[name])]
    network.eval()
    if changed or not torch.allclose(still, moved, rtol=1e-4, atol=1e-5 * float(still.abs().max())):
        what = (
            f"{changed[0]} changes with each update" if changed else "its answers are others in training, as by dropout"
        )
        raise InterpError(
            f"{making.make} of {making.written}: {what}; a training here is the same whenever it is resumed, so it has "
            "no chance and no memory but the weights. Leave it out, or train in a loop of your own, and open the "
            "checkpoints with importer: weights"
        )


@contextlib.contextmanager
def _hooked_at(network: nn.Module, path: str, hook: Hook) -> Iterator[None]:
    """Let `hook` see, and replace, what the module at `path` gives."""

    def called(_: nn.Module, given: tuple[Any, ...], gives: Any) -> Any:
        first = gives[0] if isinstance(gives, tuple) else gives
        changed = hook(given[0] if given else first, first)
        if changed is None or not isinstance(gives, tuple):
            return changed
        return (changed, *gives[1:])

    handle = network.get_submodule(path).register_forward_hook(called)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Without torch's fused encoder layers, which are another path in evaluation than in training."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _names_by_tensor(network: nn.Module) -> dict[str, tuple[str, ...]]:
    """Return each name with all names of the same tensor, such as an unembedding tied to the embedding."""
    tensors = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    return {name: tuple(other for other, one in tensors if one is value) for name, value in tensors}


def _alike(array: np.ndarray, constant: Tensor) -> bool:
    return array.shape == tuple(constant.shape) and np.allclose(array, constant.double().numpy(), rtol=1e-2, atol=1e-6)


def _like(value: Tensor, like: Tensor) -> Tensor:
    """Return `value` where `like` lies, and in its precision where it is a floating number."""
    return value.to(like) if value.is_floating_point() else value.to(like.device)


def _without_not(lack: str) -> str:
    """Return "has attention" of "has no attention"."""
    return lack.replace("has no ", "has ").replace("reads no ", "reads ")
