"""Loss and accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import binom
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.task import Task, TwoOperands
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Bar, Claim, Claims, Finding
from interp.maths.rounding import NEGLIGIBLE, settled
from interp.measures.shared.generalised import GENERALISED
from interp.measures.shared.novel import novel_examples
from interp.measures.shared.told_apart import remark_on_zero
from interp.measures.shared.trained_with import in_units, titled, units
from interp.summaries import Phase, listed, number


@dataclass(frozen=True)
class Loss:
    train_loss: Float[Tensor, ""]
    """Loss on the training examples"""
    test_loss: Float[Tensor, ""]
    """Loss on the other examples"""
    all_loss: Float[Tensor, ""]
    """Loss on all examples"""
    novel_loss: Float[Tensor, ""] | None
    """Loss on the test pairs whose mirror was not trained on"""
    train_accuracy: Float[Tensor, ""] | None
    """Share of the training examples answered right"""
    test_accuracy: Float[Tensor, ""] | None
    """Share of the other examples answered right"""
    all_accuracy: Float[Tensor, ""] | None
    """Share of all examples answered right"""
    novel_accuracy: Float[Tensor, ""] | None
    """Share answered right of the test pairs whose mirror was not trained on"""
    test_luck: float | None
    """Chance that guessing answers all but 1% of the test examples right; NaN where there are none"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""


def loss(checkpoint: Checkpoint) -> Loss:
    r"""Grokking is a test loss that falls long after the train loss.

    Expect the train loss to collapse at once, the test loss to climb, and to fall late and fast. On a symmetric
    operation of two operands many test pairs (a, b) can be answered from their mirror (b, a) alone; the *novel* ones,
    whose mirror is not in the training set with the same answer, cannot.

    The loss is the one that the run was trained with, which is cross-entropy unless its recipe says otherwise. It is
    taken in float64 over every output that the network was trained with; a cross-entropy below 5×10⁻³²⁴ is 0, and where
    the outputs are so large that their rounding decides a loss it is no number. Where the split of a run is unknown,
    only the curves over all examples are numbers; where the task asks for values and not for classes, there are no
    accuracies.

    Formula: \mathcal{L} = \frac{1}{|S|} \sum_{i \in S} \ell(z_i, y_i), \quad
        \text{cross-entropy: } \ell(z, y) = -\log \frac{e^{z_y}}{\sum_{y'} e^{z_{y'}}}

    Paper: Power et al. 2022, arXiv 2201.02177; Nanda et al. 2023, arXiv 2301.05217
    """
    task, found = checkpoint.task, [_of_block(checkpoint, *block) for block in checkpoint.blocks()]
    losses, least, most = map(
        torch.cat, ([one[0] for one in found], [one[1] for one in found], [one[2] for one in found])
    )
    answered = [one[3] for one in found if one[3] is not None]
    right = torch.cat(answered) if answered else None
    nothing = torch.zeros(len(task), dtype=torch.bool)
    train, test = (nothing, nothing) if task.train is None else (task.train, ~task.train)
    novel = novel_examples(task) if isinstance(task, TwoOperands) else None

    def mean(examples: Bool[Tensor, " example"]) -> Float[Tensor, ""]:
        return settled(losses[examples].mean(), least[examples].mean(), most[examples].mean())

    return Loss(
        train_loss=mean(train),
        test_loss=mean(test),
        all_loss=mean(torch.ones_like(nothing)),
        novel_loss=None if novel is None else mean(novel),
        train_accuracy=None if right is None else right[train].mean(),
        test_accuracy=None if right is None else right[test].mean(),
        all_accuracy=None if right is None else right.mean(),
        novel_accuracy=None if right is None or novel is None else right[novel].mean(),
        test_luck=None if right is None else _luck(task, int(test.sum())),
        loss_name=checkpoint.loss.name,
        loss_units=checkpoint.loss.units,
    )


def _of_block(
    checkpoint: Checkpoint, examples: Int[Tensor, " example"], activations: Mapping[str, Float[Tensor, "example ..."]]
) -> tuple[
    Float[Tensor, " example"], Float[Tensor, " example"], Float[Tensor, " example"], Float[Tensor, " example"] | None
]:
    """The losses of some examples, the least and the most that they may be, and which are right."""
    outputs, targets = activations["logits"], checkpoint.task.targets[examples]
    losses = checkpoint.loss.per_example(outputs, targets.to(outputs.device))
    return losses, *_bounds(checkpoint, losses, outputs, targets), _right(checkpoint.task, outputs, examples)


def _bounds(
    checkpoint: Checkpoint,
    losses: Float[Tensor, " example"],
    outputs: Float[Tensor, "example output"],
    targets: Shaped[Tensor, "example ..."],
) -> tuple[Float[Tensor, " example"], Float[Tensor, " example"]]:
    """The least and the most that the losses may be if the right answer's output, of several, is off by rounding."""
    rounding = torch.finfo(outputs.dtype).eps * outputs.abs().amax(1, keepdim=True)  # [example, 1]
    if targets.is_floating_point() or outputs.shape[1] == 1 or not rounding.max() > NEGLIGIBLE:
        return losses, losses
    answer = targets.to(outputs.device)[:, None]
    moved = (outputs.scatter_add(1, answer, sign * 2 * rounding) for sign in (1, -1))
    least, most = (checkpoint.loss.per_example(one, answer[:, 0]) for one in moved)
    return least, most


def _right(
    task: Task, outputs: Float[Tensor, "example output"], examples: Int[Tensor, " example"]
) -> Float[Tensor, " example"] | None:
    """1 where the example is answered right, else 0; None where the task does not ask for classes."""
    try:
        return task.correct(outputs, examples).double()
    except NothingToSay:
        return None


def _luck(task: Task, n_test: int) -> float:
    """The chance of guessing more than 99% of so many test examples, each right with the commonest answer's share."""
    if not n_test:
        return math.nan
    share = float(torch.unique(task.targets, return_counts=True)[1].max()) / len(task)
    return float(binom.sf(math.floor(GENERALISED * n_test), n_test, share))


def figure(result: xr.Dataset) -> list[Curves]:
    split = bool(result.train_loss.notnull().any())
    losses = {name: in_units(result[f"{name}_loss"], result) for name in (("train", "test") if split else ("all",))}
    shares = {name: result[f"{name}_accuracy"] for name in (("train", "test", "novel") if split else ("all",))}
    shares = {name: share for name, share in shares.items() if share.notnull().any()}
    panels = [Curves(titled("Loss", result), losses, log=True)]
    return [*panels, Curves("Accuracy", shares, percent=True)] if shares else panels


KNOWN = Bar("all training examples", 1 - 1e-9)
LEARNT = Bar("all but 1% of the test examples", GENERALISED)
LUCKY = 0.01


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, "Accuracy")
    losses = _losses(Claims(result, titled("Loss", result), units(result)))
    if not claims.known("all_accuracy"):
        return [losses]
    return [_learnt(claims) if claims.known("train_accuracy") else _answers(claims), losses]


def _answers(claims: Claims) -> Finding:
    """How much it answers, where nobody knows what it was trained on."""
    sentence = "At the end it answers {all:.1%} of all examples; which of them it was trained on is unknown."
    return Finding(sentence, {"all": claims.end("all_accuracy")}, chapter="answer", rank=10)


def _learnt(claims: Claims) -> Finding:
    """Whether it came to know the training examples and the others, when, and what of it is left at the end."""
    first, last = (int(claims.result.step[place]) for place in (0, -1))
    ends = {name: claims.maybe(f"{name}_accuracy") for name in ("train", "test")}
    known = claims.when("first above", "train_accuracy", KNOWN)
    general = claims.when("first above", "test_accuracy", LEARNT)
    best = claims.highest("train_accuracy")
    records = {
        "memorised_step": known,
        "generalised_step": general,
        "train_best": best,
        **{f"{name}_accuracy": end for name, end in ends.items()},
        "train_best_step": claims.step_of(best),
    }
    records = {name: record for name, record in records.items() if record}
    if ends["test"]:
        records["test_best"] = claims.highest("test_accuracy")
    shares = [f"{{{name}_accuracy:.1%}} of the {words}" for name, words in _SETS.items() if ends[name]]
    now = f"{listed(shares)} examples are right"
    if first == last:
        sentence = f"At its only checkpoint, step {number(first)}, {now}"
    else:
        sentence = f"{_when(records, claims)}; {_since(records, claims)}at the end {now}"
    luck = claims.maybe("test_luck")
    if general and luck and luck.value > LUCKY:
        records["luck"] = luck
        sentence += " (with so few test examples guessing would do as well with a chance of {luck:%})"
    if not ends["test"]:
        sentence += ", and there are no others"
    return Finding(
        f"{sentence}.",
        records,
        chapter="answer",
        rank=10,
        phases=_phases(first, last, known and known.value, general and general.value, records),
    )


_SETS = {"train": "training", "test": "test"}


def _when(records: dict[str, Claim], claims: Claims) -> str:
    """When it knew the training examples, and when the others."""
    known, general = (records.get(name) for name in ("memorised_step", "generalised_step"))
    if not known and not general:
        return "It never knew all training examples, at best {train_best:.1%} of them at {train_best_step:step}"
    if not known:
        return (
            "It generalised at {generalised_step:step} without ever knowing all training examples, at best "
            "{train_best:.1%} of them at {train_best_step:step}"
        )
    if not general:
        never = " and never generalised" if "test_accuracy" in records else ""
        return f"It knew all training examples by {{memorised_step:step}}{never}"
    if general.value == known.value:
        return "It knew all training examples and generalised by {memorised_step:step}"
    if general.value < known.value:
        return "It generalised at {generalised_step:step}, and knew all training examples by {memorised_step:step}"
    told = "It knew all training examples by {memorised_step:step} and generalised at {generalised_step:step}"
    if known.value and general.value >= 2 * known.value:
        records["times"] = claims.compared(general, "over", known)
        told += ", {times:2} times as late"
    return told


def _since(records: dict[str, Claim], claims: Claims) -> str:
    """Whether it lost again what it had come to know, and had it once more."""
    for name, event, bar in (("test", "generalised_step", LEARNT), ("train", "memorised_step", KNOWN)):
        if event not in records or f"{name}_accuracy" not in records:
            continue
        for_good = claims.when("above for good", f"{name}_accuracy", bar)
        if for_good is None:
            return "it lost that again: "
        if for_good.value != records[event].value:
            records[f"{name}_for_good"] = for_good
            which = "generalises" if name == "test" else "knows the training examples"
            if not claims.for_good(for_good):
                return f"it lost that again, and {which} once more at {{{name}_for_good:step}}, the last; "
            return f"it lost that again, and {which} for good from {{{name}_for_good:step}} on; "
    return ""


def _losses(claims: Claims) -> Finding:
    """The losses at the end."""
    name = str(claims.result.loss_name.values[-1])
    unit = f" {claims.unit.removesuffix('s')}" if claims.unit else ""
    records = {name: claims.maybe(name) for name in ("train_loss", "test_loss")}
    records = {name: record for name, record in records.items() if record} or {"all_loss": claims.end("all_loss")}
    told = [f"{{{name}:3{unit}}} on {_ON[name]}" for name in records]
    how = "ends at" if claims.result.sizes["step"] > 1 else "is"
    sentence = f"The loss ({name}) {how} {listed(told)}{remark_on_zero(records)}."
    return Finding(sentence, records, chapter="when", rank=60)


_ON = {"train_loss": "the training examples", "test_loss": "the test examples", "all_loss": "all examples"}


def generalised_step(result: xr.Dataset) -> int | None:
    """The first step at which all but 1% of the test examples are answered right; None where there is none."""
    holds = result.test_accuracy > GENERALISED
    return int(result.step[int(holds.values.argmax())]) if bool(holds.any()) else None


def _phases(
    first: int, last: int, known: int | None, general: int | None, records: dict[str, Claim]
) -> tuple[Phase, ...]:
    """The phases of training that these steps bound; none after it lost again what it had learnt."""
    if known is None:
        return ()
    if general is None or general <= known:
        return (Phase("fitting", first, known),)
    kept = records["test_accuracy"].value > GENERALISED
    generalised = (Phase("generalised", general, last),) if kept else ()
    return (Phase("fitting", first, known), Phase("plateau", known, general), *generalised)
