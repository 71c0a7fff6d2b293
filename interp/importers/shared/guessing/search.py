"""The models that are tried on one network, and what explains most of its answers."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import get_args

from jaxtyping import Int
from torch import Tensor

from interp.contracts.imported import Given
from interp.errors import InterpError
from interp.importers.shared import candidates
from interp.importers.shared.guessing.guess import (
    ALIKE,
    CLEARLY,
    NEARLY_ALL,
    NOT_ALL,
    SURER,
    Guess,
    Known,
    spelt,
    undecided,
)
from interp.importers.shared.guessing.network import (
    Network,
    changed,
    few,
    judged_on,
    plain_task,
    sample,
    table_of,
    without_p,
)
from interp.models.shared.activations import ACTIVATIONS
from interp.tasks.modular_arithmetic import Operation

LIKELY = 3
"""Every number of heads and activation is tried under so many readings of the operands, those that explain most."""
STARTS = 6
"""Unusual options are looked for from so many guesses, one of each row."""
SURELY = 0.98
"""With as many answered right on a sample, no other reading is tried."""
READING = {"row", "shared_vocab", "tokens", "answers", "d_vocab", "d_vocab_out", "read_at"}
"""The options of `transformer` that say how it reads two residues."""
USUAL_READINGS = 4
"""So many are searched through before the others."""
ACTIVATION_APART = 0.24
"""Another activation is taken where it answers so much more. Of perceptrons modulo 23, five trained with ReLU and three
with each of six others, at seven steps each, one with ReLU, GELU, SiLU or leaky ReLU answers up to .17 more as |x| or
x² than as ReLU; one with |x| or x² at least .30 less as ReLU."""
UNSURE = 0.3
"""A median loss of the right answers, in nats."""


class Search:
    """Models tried on one network, and the reasons for which some could not be."""

    def __init__(self, network: Network, told: Known) -> None:
        self._network, self._told = network, told
        self.misfits: list[str] = []

    def structure(self, readings: Iterator[list[Given]]) -> Guess | None:
        """What answers most, its unusual options found too: among the usual readings, and where none of these is sure
        among all. None where no model fits."""
        guesses: list[Guess] = []
        found: Guess | None = None
        while tier := list(itertools.islice(readings, USUAL_READINGS if not guesses else None)):
            more = self.until_explained(tier, every=not guesses)
            guesses += more
            best = self._with_unusual_options(guesses, more)
            if found is None or (best is not None and best.accuracy > found.accuracy + ALIKE):
                found = best
            if found is not None and found.accuracy >= SURELY:
                return self._among_rivals(found, [*itertools.chain(*tier), *itertools.chain(*readings)])
        return found

    def _among_rivals(self, found: Guess, models: list[Given]) -> Guess:
        """The structure found, or the same under another reading of as many residues that answers clearly surer.

        Of x+y, which does not tell a from b, a reading with two positions changed round may answer everything too.
        """
        structure = {name: value for name, value in found.model[1].items() if name not in READING}
        readings = [{name: value for name, value in options.items() if name in READING} for _, options in models]
        rivals = [
            (found.model[0], {**reading, **structure})
            for reading, (_, options) in zip(readings, models, strict=True)
            if options.get("p") == found.p
        ]
        unlike = {repr(sorted(one[1].items())): one for one in rivals}
        unlike.pop(repr(sorted(found.model[1].items())), None)
        judged = [one for one in self.judged(unlike.values(), found) if one.accuracy >= SURELY]
        likely = self.best([found, *judged])
        if likely is None or not judged:
            return found
        surer = [one for one in judged if one.accuracy > found.accuracy + ALIKE or one.loss < SURER * found.loss]
        surest = min(surer or [found], key=lambda one: (-round(one.accuracy / ALIKE), one.loss))
        own = [found.ambiguity] if surest is found else []
        told = " ".join(dict.fromkeys(filter(None, [*own, likely.ambiguity])))
        return dataclasses.replace(surest, ambiguity=told, tried=found.tried)

    def _with_unusual_options(self, guesses: list[Guess], more: list[Guess]) -> Guess | None:
        """The best of the guesses, some option changed where that explains more."""
        best = self.best(guesses)
        if best is None or best.accuracy == 1:
            return best
        best = self.varied(best)
        # what answers most at chance tells nothing: the first guess of each row is another start
        firsts = {one.model[1].get("row"): one for one in reversed(more)}
        starts = [one for one in more if firsts[one.model[1].get("row")] is one][:STARTS]
        varied = (best if best.found else self.varied(start) for start in starts)
        return next((one for one in varied if one.found), best)

    def until_explained(self, readings: Iterable[list[Given]], every: bool = True) -> list[Guess]:
        """The models of one reading after another, until one of them explains nearly all answers.

        The most usual ones come first under every reading, and all others under the readings that explain most so: even
        with other heads and another activation than its own, a network answers above chance. Without `every` those
        that answer no more than chance does are left at the usual models.
        """
        tried: list[tuple[list[Given], list[Guess]]] = []
        for models in readings:
            usual = [model for model in models if _is_usual(model, models[0])]
            tried.append(([model for model in models if model not in usual], self.judged(usual)))
            if _sure(tried[-1][1]):
                break
        guesses = [one for _, judged in tried for one in judged]
        likely = sorted(tried, key=lambda each: -max((one.accuracy * one.p for one in each[1]), default=0))
        if _sure(guesses):
            return guesses + self.judged(likely[0][0])
        if not every:
            likely = [(others, judged) for others, judged in likely if _above_chance(judged)]
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
            tasks = [start.task] if start and start.found else self._tasks(p)
            keys = [(repr(without_p(model)), p, every_pair, table_of(task)) for task in tasks]
            known = self._network.judged
            try:
                if any(key not in known for key in keys):
                    known |= zip(keys, self._on_some_pairs(model, p, tasks, every_pair), strict=True)
            except (ValueError, InterpError) as error:
                self.misfits.append(str(error))
                continue
            judged = zip(tasks, (known[key] for key in keys), strict=True)
            guesses += [dataclasses.replace(one, task=task) for task, one in judged if one is not None]
        return guesses

    def _on_some_pairs(self, model: Given, p: int, tasks: list[Given], every_pair: bool) -> list[Guess | None]:
        """How much of each task the model answers: of a sample, of few pairs where these show that it answers nothing,
        or of all."""
        first_few, some = few(p), sample(p)

        def judged(pairs: Int[Tensor, "pair 2"]) -> list[Guess | None]:
            logits = self._network.logits(without_p(model), p, pairs)
            return [judged_on(logits, pairs, task, model, p) for task in tasks]

        if every_pair:
            return judged(plain_task(p).pairs)
        if len(first_few) < len(some) // 3:
            first = judged(first_few)
            if not _above_chance([one for one in first if one]):
                return first
        return judged(some)

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
        return dataclasses.replace(chosen, ambiguity=undecided(same_task))

    def varied(self, start: Guess) -> Guess:
        """Change one unusual option after another, as long as each explains clearly more."""
        best = start
        for _ in range(3):
            options = candidates.variations(best.model, best.p, self._network.layout)
            judged = self.judged([changed(best.model, option) for option in options], best)
            own_norm = best.model[1].get("norm")  # norms that no file holds have to explain nearly everything
            judged = [one for one in judged if one.model[1].get("norm") == own_norm or one.explained]
            found = max(judged, key=lambda one: (one.accuracy, -one.loss), default=best)
            surer = [one for one in judged if _same_activation(one, best) and _better_and_surer(one, best)]
            if not _clearly_better(found, best):
                if not surer:
                    break
                found = max(surer, key=lambda one: (one.accuracy, -one.loss))
            best = found
        return dataclasses.replace(best, tried=TRIED if best.model[0] == "transformer" else TRIED_OF_A_PERCEPTRON)

    def with_activation(self, structure: Guess) -> Guess:
        """The structure with the activation that the configuration says, else ReLU unless another is clearly better."""
        gated = self._network.layout.gated
        order = [*([self._told.act_fn] if self._told.act_fn else candidates.USUAL_GATED if gated else ()), *ACTIVATIONS]
        options = [changed(structure.model, {"act_fn": act_fn}) for act_fn in dict.fromkeys(order)]
        judged = self.judged(options, structure, every_pair=structure.found)
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
        twins = [changed(one.model, other) for one in judged for other in candidates.other_combination(one.model)]
        judged += self.judged(twins, structure, every_pair=structure.found)
        twin = next((one for one in judged if one.is_but_for_combination(chosen)), chosen)
        if twin.accuracy > chosen.accuracy + CLEARLY:
            chosen = twin
        others = tuple(one for one in judged if one is not chosen)
        own = {name: getattr(structure, name) for name in ("ambiguity", "tried", "instead")}
        own |= {"others": others, "act_fn_by": by, "settled": settled}
        if not structure.found:
            chosen = self.on_all_pairs(chosen)
        return dataclasses.replace(chosen, **own)

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
    decisive = ("act_fn", "n_heads", "norm", "positions", "embedding_scale")
    return all(options.get(name) == usual.get(name) for name in decisive)


def _sure(guesses: list[Guess]) -> bool:
    return any(one.accuracy >= SURELY for one in guesses)


def _above_chance(judged: list[Guess]) -> bool:
    return any(one.above_chance for one in judged)


def _same_activation(one: Guess, other: Guess) -> bool:
    return one.model[1].get("act_fn") == other.model[1].get("act_fn")


def _better_and_surer(one: Guess, other: Guess) -> bool:
    """Whether it answers more, and is far surer of it: of structures, unlike activations, that tells.

    Where nearly all is answered already, neither larger embeddings nor other positions tell anything: the first make
    any network surer, and one that still has pairs to learn answers some of them without its positions.
    """
    unlike = {name for name in ("embedding_scale", "positions") if one.model[1].get(name) != other.model[1].get(name)}
    if unlike and other.accuracy >= NEARLY_ALL:
        return False
    return one.accuracy > other.accuracy and one.loss < SURER * other.loss


TRIED = (
    "Tried were every operation, every activation, other positions, no mask, no scale of the scores, no residual "
    "stream, norms without parameters, embeddings times √d_model, the answer read at a; not tried: dropout at test "
    "time, a mean over positions, other scales of the embeddings, an MLP or attention twice over."
)
TRIED_OF_A_PERCEPTRON = (
    "Tried were every operation and every activation; not tried: norms, layers with a way around them, embeddings that "
    "are scaled or multiplied, dropout at test time."
)
