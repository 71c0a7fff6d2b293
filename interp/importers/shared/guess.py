"""What a network was to learn and what its shapes leave open, told by what its last checkpoint answers.

1. Every reading of two residues that the tables leave room for (`readings`), every number of heads, every place of the
   norms is tried on a sample of pairs, with the usual activations and under every operation.
2. Where that explains few answers, one option after another is changed: activation, positions, mask, scale, residual.
3. Activations are then compared on all pairs. ReLU is taken unless another one answers far more: neither a higher
   accuracy nor a lower loss tells one from another, for a network that half memorises generalises better when its ReLUs
   are read as |x| or x². What was recorded beside the weights may.

What was taken for granted is said, and so is what was tried where the answers stay unexplained.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.catalogue.names import find
from interp.contracts.imported import Arrays, Given
from interp.contracts.task import TwoOperands, two_operands
from interp.errors import InterpError
from interp.importers.shared.layouts import Layout, in_our_layout
from interp.importers.shared.readings import Reading, readings
from interp.maths.cross_entropy import cross_entropy
from interp.models.shared.activations import ACTIVATIONS
from interp.tasks.modular_arithmetic import Operation, modular_arithmetic

HEADS = (4, 8, 2, 1, 16, 3, 6, 12, 5, 10, 7, 9, 11, 13, 14, 15)
"""Tried in this order where the heads are merged into one matrix."""
USUAL, USUAL_GATED = ("relu", "gelu"), ("silu", "gelu")
CHANCE = 5
"""An operation counts as found where it is answered this many times as often as chance would."""
EXPLAINED = 0.95
"""A share of all pairs; with fewer answered right, another architecture may have been trained."""
SURER = 0.6
LIKELY = 3
"""Every number of heads and activation is tried under so many readings of the operands, those that explain most."""
SURELY = 0.98
"""With as many answered right on a sample, no other reading is tried."""
SAMPLE = 600
"""Pairs on which structures are compared."""
ALIKE = 0.005
"""Models whose accuracies differ by no more than this are not told apart by it."""
CLEARLY, NEARLY_ALL, NOT_ALL = 0.05, 0.99, 0.97
"""An unusual option is taken where it answers so much more of the pairs, or nearly all where the usual does not."""
ACTIVATION_APART = 0.24
"""Another activation is taken where it answers so much more. Of perceptrons modulo 23, five trained with ReLU and three
with each of six others, at seven steps each, one with ReLU, GELU, SiLU or leaky ReLU answers up to .17 more as |x| or
x² than as ReLU; one with |x| or x² at least .30 less as ReLU."""
UNSURE = 0.3
"""A median loss of the right answers, in nats."""


@dataclass(frozen=True)
class Network:
    """Somebody's tensors at one step, and how they are laid out."""

    arrays: Arrays
    layout: Layout
    source: str

    def logits(self, model: Given, p: int, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair output"]:
        """The outputs under `model`, in float32. Raises ValueError, saying what does not fit, where shapes differ."""
        architecture = _made_by(model[0])(_plain_task(p), **model[1])
        ours = in_our_layout(self.arrays, self.layout.fitted(model), self.source)
        for name, shape in architecture.shapes.items():
            if name not in ours or ours[name].shape != shape:
                found = f"has shape {list(ours[name].shape)}" if name in ours else "is not there"
                raise ValueError(f"{name} {found}; the model expects {list(shape)}")
        if left := sorted(ours.keys() - architecture.shapes.keys()):
            raise ValueError(f"{left[0]} {list(ours[left[0]].shape)} has no place in the model")
        weights = {name: torch.from_numpy(np.asarray(array, np.float32)) for name, array in ours.items()}
        with torch.no_grad():
            return architecture.outputs(weights, pairs)


@dataclass(frozen=True)
class Told:
    """What need not be guessed: from the user's run.yaml, or from a configuration beside the weights."""

    task: Given | None = None
    model: Given | None = None
    p: int | None = None
    operation: str | None = None
    act_fn: str | None = None
    unknown_act_fn: str | None = None
    """What a configuration calls the activation, where interp has none of that name."""

    @property
    def everything(self) -> bool:
        """Whether the user's own run.yaml settles task and model."""
        return self.task is not None and self.model is not None

    @property
    def source_of_act_fn(self) -> str:
        """Why the activation is the one it is, where nothing that was computed or recorded tells."""
        if self.act_fn:
            return "as the configuration says"
        return self.unread_act_fn + ("" if self.unknown_act_fn else ", and the answers hardly tell")

    @property
    def unread_act_fn(self) -> str:
        if self.unknown_act_fn:
            return f"the configuration says {self.unknown_act_fn}, which interp does not know; its losses are not these"
        return "no file says which"

    @property
    def modulus(self) -> int | None:
        return self.p if self.task is None else self.task[1].get("p", 113)


@dataclass(frozen=True)
class Guess:
    """A task and a model, and how much of the task's table the network answers right under them."""

    task: Given
    model: Given
    p: int
    accuracy: float
    loss: float
    """The median cross-entropy over the pairs it answers right, in nats."""
    ambiguity: str = ""
    """The options that the answers hardly settle, in words."""
    tried: str = ""
    """What was tried, in words."""
    act_fn_by: str = ""
    """What settled the activation, in words; "" where nothing but the answers did."""
    others: tuple[Guess, ...] = ()
    """The same with other activations."""
    settled: bool = False
    """Whether a configuration says the activation."""
    instead: Guess | None = None
    """What explains the answers, where the task that is told does not."""

    @property
    def found(self) -> bool:
        """Whether the answers are far above chance."""
        return self.accuracy > CHANCE / self.p

    @property
    def explained(self) -> bool:
        """Whether nearly all answers are right; with an unusual activation, which was chosen for it, still more."""
        usual = self.model[1].get("act_fn", "relu") in (*USUAL, *USUAL_GATED)
        return self.accuracy >= (EXPLAINED if usual else NEARLY_ALL)

    @property
    def operation(self) -> str:
        return f"{self.task[1].get('operation', self.task[0])} mod {self.p}"

    @property
    def said_instead(self) -> str:
        return f"As {self.instead.operation} {self.instead.accuracy:.1%} are." if self.instead else ""

    def sentences(self, told: Told, agrees: bool = False) -> list[str]:
        """What was taken for granted, and why, for the report; `agrees` where what was recorded of it is so."""
        if not self.found:
            first = f"The answers are at chance: {self.accuracy:.1%} of all pairs are right as {self.operation}."
            first += f" {self.said_instead}" if self.instead else ""
        else:
            taken = "The model is the one that fits best" if told.task else f"The task was taken to be {self.operation}"
            first = f"{taken}: the last checkpoint answers {self.accuracy:.1%} of all pairs so."
        said = [f"{first} {self.ambiguity}".rstrip()]
        if not self.explained and not told.model and not agrees:
            said.insert(0, f"{'Another task?' if self.instead else 'Another architecture?'} {first} {self.tried}")
            said[1] = self.ambiguity
        act_fn = self.model[1].get("act_fn")
        if act_fn and not told.model:
            said.append(f"The activation was taken to be {spelt(act_fn)}: {self.act_fn_by or told.source_of_act_fn}.")
        return [sentence for sentence in said if sentence]


def guess(network: Network, told: Told) -> Guess:
    """Return the task and the model under which the network answers most; those told are kept.

    Raises InterpError where the sizes are those of no network on two residues.
    """
    search = _Search(network, told)
    guesses = search.until_explained([[told.model]] if told.model else _models(network.layout, told))
    structure = search.best(guesses)
    if structure is None:
        misfits = search.misfits
        what_fits = f"{misfits[0]}. {NOT_OURS}" if misfits else _sizes(network.layout)
        raise InterpError(f"{network.source}: {what_fits}")
    if told.model:
        return search.on_all_pairs(structure)
    if structure.accuracy < 1:
        structure = search.varied(structure)
        # what answers most at chance tells nothing: the first guess of each row is another start
        firsts = {one.model[1].get("row"): one for one in reversed(guesses)}
        starts = [one for one in guesses if firsts[one.model[1].get("row")] is one][:LIKELY]
        varied = (structure if structure.found else search.varied(start) for start in starts)
        structure = next((one for one in varied if one.found), structure)
    found = search.with_activation(dataclasses.replace(structure, instead=_instead(network, told, structure)))
    if found.model[0] == "transformer" and found.found:
        search.refuse_a_mean(found)
    return found


def _instead(network: Network, told: Told, found: Guess) -> Guess | None:
    """The operation that explains the answers, where the one that the user or a configuration tells does not."""
    if found.found or not (told.task or told.operation):
        return None
    other = guess(network, dataclasses.replace(told, task=None, operation=None, p=found.p))
    return other if other.explained else None


class _Search:
    """Models tried on one network, and the reasons for which some could not be."""

    def __init__(self, network: Network, told: Told) -> None:
        self._network, self._told = network, told
        self.misfits: list[str] = []

    def until_explained(self, readings: Iterable[list[Given]]) -> list[Guess]:
        """The models of one reading after another, until one of them explains nearly all answers.

        The most usual ones come first under every reading, and all others under the readings that explain most so: even
        with other heads and another activation than its own, a network answers above chance.
        """
        tried: list[tuple[list[Given], list[Guess]]] = []
        for models in readings:
            usual = [model for model in models if _is_usual(model, models[0])]
            tried.append(([model for model in models if model not in usual], self.judged(usual)))
            if _sure(tried[-1][1]):
                break
        guesses = [one for _, judged in tried for one in judged]
        likely = sorted(tried, key=lambda each: -max((one.accuracy for one in each[1]), default=0))
        if _sure(guesses):
            return guesses + self.judged(likely[0][0])
        for others, _ in likely[:LIKELY]:
            guesses += self.judged(others)
            if _sure(guesses):
                break
        return guesses

    def judged(self, models: Iterable[Given], start: Guess | None = None, every_pair: bool = False) -> list[Guess]:
        """Each model under each task, or that of a `start` that answers much, on a sample of the pairs or on all."""
        guesses = []
        for model in models:
            p = start.p if start else self._told.modulus or model[1].get("p", self._network.layout.d_vocab_out)
            pairs = _plain_task(p).pairs if every_pair else _sample(p)
            try:
                logits = self._network.logits(_without_p(model), p, pairs)
            except (ValueError, InterpError) as error:
                self.misfits.append(str(error))
                continue
            for task in [start.task] if start and start.found else self._tasks(p):
                judged = _judged(logits, pairs, task, model, p)
                guesses += [judged] if judged is not None else []
        return guesses

    def _tasks(self, p: int) -> list[Given]:
        if self._told.task:
            return [self._told.task]
        known = [self._told.operation] if self._told.operation else get_args(Operation)
        return [
            ("modular_arithmetic", {"p": p, "operation": operation, "split": "unknown"})
            for operation in known
            if operation != "random"
        ]

    def best(self, guesses: list[Guess]) -> Guess | None:
        """The first of those that answer nearly as much as the one that answers most and are not far less sure."""
        if not guesses:
            return None
        best = max(guesses, key=lambda one: (one.accuracy, -one.loss))
        alike = [one for one in guesses if one.accuracy >= best.accuracy - ALIKE and one.loss <= 2 * best.loss]
        chosen = next((one for one in alike if one.accuracy == best.accuracy), best)
        same_task = [one for one in alike if one.task == chosen.task]
        return dataclasses.replace(chosen, ambiguity=_ambiguity(same_task))

    def varied(self, start: Guess) -> Guess:
        """Change one unusual option after another, as long as each explains clearly more."""
        best = start
        for _ in range(3):
            changed = [_changed(best.model, option) for option in _variations(best, self._network.layout)]
            judged = self.judged(changed, best)
            found = max(judged, key=lambda one: (one.accuracy, -one.loss), default=best)
            surer = [one for one in judged if _same_activation(one, best) and _better_and_surer(one, best)]
            if not _clearly_better(found, best):
                if not surer:
                    break
                found = max(surer, key=lambda one: (one.accuracy, -one.loss))
            best = found
        options = "every activation, other positions, no mask, no scale of the scores, no residual stream, "
        options += "the answer read at a"
        return dataclasses.replace(best, tried=f"Tried were every operation, {options}; not tried: {NOT_TRIED}.")

    def with_activation(self, structure: Guess) -> Guess:
        """The structure with the activation that the configuration says, else ReLU unless another is clearly better."""
        gated = self._network.layout.gated
        order = [*([self._told.act_fn] if self._told.act_fn else USUAL_GATED if gated else ()), *ACTIVATIONS]
        options = [_changed(structure.model, {"act_fn": act_fn}) for act_fn in dict.fromkeys(order)]
        judged = self.judged(options, structure, every_pair=True)
        if not judged:
            return structure
        usual, best, by = judged[0], _steep_as_trained(judged), ""
        settled = self._told.act_fn is not None
        chosen = best if best.accuracy > usual.accuracy + ACTIVATION_APART and not settled else usual
        if chosen is not usual:
            by = f"with {spelt(usual.model[1]['act_fn'])} {usual.accuracy:.1%} of the answers would be right"
            alike = [one for one in judged if one is not chosen and one.accuracy > chosen.accuracy - CLEARLY]
            if alike:
                by += f", and about as many with {' or '.join(spelt(one.model[1]['act_fn']) for one in alike)}"
        elif best.accuracy > usual.accuracy + CLEARLY and not settled:
            by = (
                f"{self._told.unread_act_fn}. With {spelt(best.model[1]['act_fn'])} more of the answers would be "
                f"right, {best.accuracy:.1%}, which is so of many a network that was trained with "
                f"{spelt(usual.model[1]['act_fn'])} and still memorises; where you know it, say act_fn in a run.yaml"
            )
        others = tuple(one for one in judged if one is not chosen)
        own = {name: getattr(structure, name) for name in ("ambiguity", "tried", "instead")}
        own |= {"others": others, "act_fn_by": by, "settled": settled}
        return dataclasses.replace(chosen, **own)

    def refuse_a_mean(self, found: Guess) -> None:
        """Raises InterpError where the mean over all positions answers as much as the one read, and is surer of it.

        After a last norm, or without one, the mean goes through the unembedding as the logits' own mean.
        """
        pairs = _sample(found.p)
        places = range(len(found.model[1]["row"].split()))
        one = self.judged([found.model], found)[0]
        for act_fn in dict.fromkeys([found.model[1]["act_fn"], *USUAL]):
            model = _changed(found.model, {"causal": False, "act_fn": act_fn})
            at = [self._network.logits(_changed(model, {"read_at": place}), found.p, pairs) for place in places]
            mean = _judged(torch.stack(at).mean(dim=0), pairs, found.task, model, found.p)
            if mean and mean.accuracy >= one.accuracy and mean.loss < one.loss:
                raise InterpError(
                    f"{self._network.source}: {mean.accuracy:.1%} of its answers as {found.operation} are right where "
                    f"the mean over all positions is read, {one.accuracy:.1%} and less surely where it is one of them, "
                    f"as in interp's transformer. {NOT_OURS}"
                )

    def on_all_pairs(self, one: Guess) -> Guess:
        again = self.judged([one.model], one, every_pair=True)
        return dataclasses.replace(again[0], ambiguity=one.ambiguity, tried=one.tried) if again else one


def _steep_as_trained(judged: list[Guess]) -> Guess:
    """The activation with the highest loss that is low, among those that answer about as much as the best.

    A network read with a steeper activation than it was trained with is surer than it was; with a flatter one it is
    unsure of answers that are right: networks with |x| have a loss of .004 to .12 so, read as x² far less; those with
    x² have at most .04, and read as |x| .7 or more.
    """
    best = max(judged, key=lambda one: (one.accuracy, -one.loss))
    alike = [one for one in judged if one.accuracy >= best.accuracy - CLEARLY]
    return max((one for one in alike if one.loss < UNSURE), key=lambda one: one.loss, default=best)


def _clearly_better(unusual: Guess, usual: Guess) -> bool:
    return unusual.accuracy > usual.accuracy + CLEARLY or unusual.accuracy >= NEARLY_ALL > NOT_ALL > usual.accuracy


def _is_usual(model: Given, first: Given) -> bool:
    """Whether all that leaves a network's answers above chance where it is wrong is as in the first model."""
    options, usual = model[1], first[1]
    return all(options.get(name) == usual.get(name) for name in ("act_fn", "n_heads", "norm", "positions"))


def _sure(guesses: list[Guess]) -> bool:
    return any(one.accuracy >= SURELY for one in guesses)


def _same_activation(one: Guess, other: Guess) -> bool:
    return one.model[1].get("act_fn") == other.model[1].get("act_fn")


def _better_and_surer(one: Guess, other: Guess) -> bool:
    """Whether it answers more, and is far surer of it: of structures, unlike activations, that tells."""
    return one.accuracy > other.accuracy and one.loss < SURER * other.loss


NOT_TRIED = "dropout at test time, a mean over positions, embeddings that are scaled, an MLP or attention twice over"


def _models(layout: Layout, told: Told) -> Iterator[list[Given]]:
    """Every model of these shapes with a usual activation, those of one reading of the operands at a time.

    The modulus stands among the options as "p", which is none of the model's.
    """
    if not layout.names.is_transformer:
        yield [("mlp", _perceptron(layout) | {"act_fn": act_fn}) for act_fn in _usual(layout, told)]
        return
    heads = [layout.n_heads] if layout.n_heads else [n for n in HEADS if layout.d_inner % n == 0]
    causal = (True, False) if layout.names.n_layers > 1 else (True,)
    for reading in readings(layout, told.modulus):
        ways = itertools.product(heads, _norms(layout), _positions(layout)[:2], causal, _usual(layout, told))
        yield [
            (
                "transformer",
                _transformer(layout, reading, n_heads) | norm | positions | {"causal": masked, "act_fn": act_fn},
            )
            for n_heads, norm, positions, masked, act_fn in ways
        ]


def usual_modulus(layout: Layout) -> int:
    """The modulus of the most usual reading; the number of outputs where there is none."""
    found = readings(layout) if layout.names.is_transformer else []
    return found[0].p if found else layout.d_vocab_out


def _usual(layout: Layout, told: Told) -> tuple[str, ...]:
    if told.act_fn:
        return (told.act_fn,)
    return USUAL_GATED if layout.gated else USUAL


def _perceptron(layout: Layout) -> dict[str, Any]:
    same = len(set(layout.widths)) == 1
    return {
        **({"one_hot": True} if layout.one_hot else {"d_model": layout.d_model}),
        "d_mlp": layout.widths[0] if same else layout.widths,
        "n_layers": len(layout.widths),
        "shared_embedding": not layout.concatenated if layout.one_hot else "embed.W_E" in layout.names.theirs,
        **({} if layout.one_hot else {"combine": "concatenated" if layout.concatenated else "added"}),
        "biases": layout.biases,
    }


def _transformer(layout: Layout, reading: Reading, n_heads: int) -> dict[str, Any]:
    usual_head = layout.d_model // n_heads
    return {
        "p": reading.p,
        "n_layers": layout.names.n_layers,
        "d_model": layout.d_model,
        "n_heads": n_heads,
        **({"d_head": layout.d_inner // n_heads} if layout.d_inner // n_heads != usual_head else {}),
        "d_mlp": layout.d_hidden,
        "biases": layout.biases,
        **({"gated": True} if layout.gated else {}),
        **reading.options(layout),
    }


def _norms(layout: Layout) -> list[dict[str, Any]]:
    """The places and kinds of norms that their parameters leave open."""
    if not layout.norms:
        return [{}]
    parameters = "all" if layout.norm_shifts else "weight"
    kinds = ["layer"] if layout.norm_shifts else ["rms"] if layout.says_rms else ["rms", "layer"]
    final = "ln_final" in layout.norms
    places = ["pre", "post"] if final else ["post", "pre"]
    return [
        {"norm": kind, "norm_position": place, "norm_parameters": parameters, "final_norm": final}
        for kind, place in itertools.product(kinds, places)
    ]


def _positions(layout: Layout) -> list[dict[str, Any]]:
    if layout.sinusoidal:
        return [{"positions": "sinusoidal"}]
    return [{}] if layout.n_ctx is not None else [{"positions": "none"}, {"positions": "rotary"}]


def _variations(start: Guess, layout: Layout) -> Iterator[dict[str, Any]]:
    name, options = start.model
    yield from ({"act_fn": act_fn} for act_fn in ACTIVATIONS if act_fn != options["act_fn"])
    if name == "transformer":
        yield {"causal": not options["causal"]}
        yield {"attention_scale": not options.get("attention_scale", True)}
        yield {"residual": not options.get("residual", True)}
        if options["row"].endswith("b"):
            yield {"causal": False, "read_at": options["row"].split().index("a")}
        if layout.tied and not options.get("answers") and options.get("d_vocab_out") != start.p < layout.d_vocab:
            yield {"d_vocab_out": start.p}
        known = "learned" if layout.n_ctx is not None and not layout.sinusoidal else options.get("positions", "none")
        yield from (
            {"positions": positions}
            for positions in dict.fromkeys([known, "none", "sinusoidal", "rotary"])
            if positions != options.get("positions", "learned")
        )
        if len(heads := [n for n in HEADS if layout.d_inner % n == 0]) > 1 and not layout.n_heads:
            yield from ({"n_heads": n} for n in heads if n != options["n_heads"])


def _changed(model: Given, options: Mapping[str, Any]) -> Given:
    return model[0], {**model[1], **options}


def _without_p(model: Given) -> Given:
    return model[0], {name: value for name, value in model[1].items() if name != "p"}


def _judged(
    logits: Float[Tensor, "pair output"], pairs: Int[Tensor, "pair 2"], task: Given, model: Given, p: int
) -> Guess | None:
    """How much of the task the logits answer right; None where there is no such task modulo p."""
    answers = _answers(task[0], tuple(sorted(task[1].items())))
    if answers is None:
        return None
    right = answers[pairs[:, 0], pairs[:, 1]]
    valid = right >= 0
    said, right = logits[valid], right[valid]
    hit = said.argmax(dim=1) == right
    losses = cross_entropy(said[hit], right[hit])  # those of pairs answered wrong may be anything
    accuracy = float(hit.double().mean()) if len(hit) else 0.0
    return Guess(task, _without_p(model), p, accuracy, float(losses.median()) if len(losses) else math.inf)


@functools.cache
def _answers(name: str, options: tuple[tuple[str, Any], ...]) -> Int[Tensor, "a b"] | None:
    """The answer to each pair, -1 where it has none; None where there is no such task."""
    try:
        made = two_operands(find("tasks", name)(**dict(options)))
    except ValueError:  # p is not prime, and the task divides
        return None
    table = torch.full((made.p, made.p), -1)
    table[made.pairs[:, 0], made.pairs[:, 1]] = made.targets
    return table


@functools.cache
def _made_by(model: str) -> Callable[..., Any]:
    return find("models", model)


@functools.cache
def _plain_task(p: int) -> TwoOperands:
    return modular_arithmetic(p=p, split="unknown")


@functools.cache
def _sample(p: int) -> Int[Tensor, "pair 2"]:
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(0))
    return _plain_task(p).pairs[order[:SAMPLE].sort().values]


def _ambiguity(alike: list[Guess]) -> str:
    """Say which options the answers hardly settle; "" where they settle all. The activation is spoken of anyway."""
    options = set().union(*(one.model[1] for one in alike)) - {"act_fn", "p"}
    tried = {name: {spelt(one.model[1].get(name)) for one in alike} for name in sorted(options)}
    open_options = {name: values for name, values in tried.items() if len(values) > 1}
    if not open_options:
        return ""
    listed = "; ".join(f"{name} {' or '.join(sorted(values))}" for name, values in open_options.items())
    return f"Its answers hardly tell {listed} apart; say which in a run.yaml."


def spelt(value: Any) -> str:
    """An option's value in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return {True: "true", False: "false", None: "left out", "relu": "ReLU", "gelu": "GELU", "silu": "SiLU"}.get(
        value, str(value)
    )


NOT_OURS = (
    "The model `module` runs a network of your own (docs/checkpoints.md), and the importer weights opens any for what "
    "its weights alone tell"
)


def _sizes(layout: Layout) -> str:
    positions = f", {layout.n_ctx} positions" if layout.n_ctx else ""
    return (
        f"a vocabulary of {layout.d_vocab} in and {layout.d_vocab_out} out{positions} fit no network on two residues; "
        "interp's read [a, b] or [a, b, =], with an operator or not, and answer with a residue. The importer weights "
        "opens any network for what its weights alone tell"
    )
