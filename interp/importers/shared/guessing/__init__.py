"""What a network was to learn and what its shapes leave open, told by what its last checkpoint answers.

1. Every reading of two residues that the tables leave room for, every number of heads, every place of the norms
   (`candidates`) is tried on a sample of pairs, with the usual activations and under every operation: the few most
   usual readings first, and each model on few pairs first, which tell those that answer nothing.
2. Where that explains few answers, one option after another is changed: activation, positions, mask, scale, residual.
   So much is done of the usual readings before the others are looked at.
3. Activations are then compared on all pairs. ReLU is taken unless another one answers far more: neither a higher
   accuracy nor a lower loss tells one from another, for a network that half memorises generalises better when its ReLUs
   are read as |x| or x². What was recorded beside the weights may.
4. Where nothing is answered, tables may have more rows than the residues and few words need: the modulus is then
   looked for among all, and taken where nearly everything is answered.
5. Where another computation than interp's, on the same matrices, answers as much and is surer (`refusals`), the network
   is refused.
6. All of it is done of each way in which the tensors may lie, the most likely first, until one answers nearly
   everything: heads merged into one matrix are as many as a configuration says, or any number, and of a gate and an
   input in one matrix either may be the first.

What was taken for granted is said, and so is what was tried where the answers stay unexplained.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

from interp.contracts.imported import Given
from interp.errors import InterpError
from interp.importers.shared import candidates
from interp.importers.shared.guessing.guess import CLEARLY, NEARLY_ALL, NOT_OURS, Guess, Known
from interp.importers.shared.guessing.network import Network, changed
from interp.importers.shared.guessing.refusals import refuse_what_answers_surer
from interp.importers.shared.guessing.search import Search
from interp.importers.shared.layouts import Layout

FLAX_EPS = 1e-6
"""What flax's norms add to the variance, where torch's LayerNorm adds 1e-5."""


def best_reading(network: Network, told: Known) -> tuple[Network, Guess]:
    """Return the network, its tensors laid out in the way in which it answers most, and the best guess of it so.

    Raises InterpError as `best_guess` does of the first way where it does so of all.
    """
    best: tuple[Network, Guess] | None = None
    refused: list[InterpError] = []
    for way in _ways(network, told):
        try:
            found = best_guess(way, told)
        except InterpError as error:
            refused.append(error)
            continue
        if best is None or (found.found and found.accuracy > best[1].accuracy + CLEARLY):
            best = way, found
        if best[1].accuracy >= NEARLY_ALL:
            break
    if best is None:
        raise refused[0]
    return best


def _ways(network: Network, told: Known) -> Iterator[Network]:
    """The network with its tensors laid out in each way that they may be, the most likely first."""
    layout = network.layout
    merged = layout.names.is_transformer and layout.n_heads is None
    heads = [told.n_heads, None] if told.n_heads and merged and layout.d_inner % told.n_heads == 0 else [layout.n_heads]
    for n_heads, gate_last in itertools.product(heads, (False, True) if layout.gate_fused else (False,)):
        so = dataclasses.replace(layout, n_heads=n_heads, gate_last=gate_last)
        yield network if so == layout else dataclasses.replace(network, layout=so, judged={})


def best_guess(network: Network, told: Known) -> Guess:
    """Return the task and the model under which the network answers most; those told are kept.

    Raises InterpError where the sizes are those of no network on two residues, and where a computation that none of
    interp's models does explains the answers better.
    """
    search = Search(network, told)
    if told.model:
        structure = search.best(search.until_explained([[told.model]]))
    else:
        models = candidates.models(network.layout, told.modulus, told.act_fn)
        structure = search.structure(_with_eps(models, network.layout, told.norm_eps))
    if (structure is None or not structure.found) and (padded := _of_any_modulus(network, told)):
        return padded
    if structure is None:
        misfits = search.misfits
        if told.p and told.task is None and _fits_without(network, told):
            raise InterpError(
                f"{network.source}: the configuration beside the weights says p {told.p}, and the sizes of the tensors "
                f"are of another: {misfits[0] if misfits else _sizes(network.layout)}. Say the task in a run.yaml "
                "beside the files, which has the last word; of each of its residues the embedding has a row"
            )
        what_fits = f"{misfits[0]}. {NOT_OURS}" if misfits else _sizes(network.layout)
        raise InterpError(f"{network.source}: {what_fits}")
    if told.model:
        return search.on_all_pairs(structure)
    found = search.with_activation(dataclasses.replace(structure, instead=_instead(network, told, structure)))
    refuse_what_answers_surer(network, found)
    return found


def _of_any_modulus(network: Network, told: Known) -> Guess | None:
    """The best guess where the tables of a transformer have more rows than its task needs; None where none explains."""
    if not network.layout.names.is_transformer or told.model or told.modulus:
        return None
    search = Search(network, told)
    judged = search.judged(itertools.chain(*candidates.of_any_modulus(network.layout, told.act_fn)))
    likely = max(judged, key=lambda one: one.accuracy, default=None)
    if likely is None or not likely.found:
        return None
    found = best_guess(network, dataclasses.replace(told, p=likely.p))
    return found if found.explained else None


def _fits_without(network: Network, told: Known) -> bool:
    """Whether the sizes are those of a network on two residues, but for the modulus that is told."""
    search = Search(network, dataclasses.replace(told, p=None))
    return bool(search.until_explained(candidates.models(network.layout, None, told.act_fn)))


def _with_eps(readings: Iterable[list[Given]], layout: Layout, norm_eps: float | None) -> Iterator[list[Given]]:
    """The models with what is added to the variance in their norms: as told, else as flax has it, or torch."""
    eps = norm_eps or (FLAX_EPS if layout.modules_inputs_first and layout.says_scale else None)
    for models in readings:
        yield [changed(model, {"norm_eps": eps}) if eps and "norm" in model[1] else model for model in models]


def _instead(network: Network, told: Known, found: Guess) -> Guess | None:
    """The operation that explains the answers, where the one that the user or a configuration tells does not."""
    if found.found or not (told.task or told.operation):
        return None
    other = best_guess(network, dataclasses.replace(told, task=None, operation=None, p=found.p))
    return other if other.explained else None


def _sizes(layout: Layout) -> str:
    positions = f", {layout.n_ctx} positions" if layout.n_ctx else ""
    return (
        f"a vocabulary of {layout.d_vocab} in and {layout.d_vocab_out} out{positions} fit no network on two residues; "
        "interp's read [a, b] or [a, b, =], with an operator or not, and answer with a residue. The importer weights "
        "opens any network for what its weights alone tell"
    )
