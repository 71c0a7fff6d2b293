"""Which account of a network that composes in a group holds: representations, cosets, or nothing but memory.

1. Each account takes the network's place (`accounts`): representations at the neurons, cosets at what enters them.
2. From what becomes of logits and answers, and from the accuracies, the verdict is taken, with its margin and what
   decided it (`verdict_of`).
3. `telling` draws and speaks; no number is made there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import NothingToSay
from interp.measures.coset_concentration import CosetConcentration
from interp.measures.group_verdict.accounts import Accounts, Whole, on_cosets, representations
from interp.measures.group_verdict.telling import figure, summary
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.composed import composed
from interp.measures.shared.conditions import Condition, Decided, above, all_of, below, decided, negated
from interp.measures.shared.factors import Factors, factors
from interp.measures.shared.generalised import GENERALISED
from interp.measures.shared.memory import OfMemory, memory
from interp.measures.shared.seed import Seed

__all__ = ["GroupVerdict", "figure", "group_verdict", "steps", "summary"]

ACCOUNTS = ("representations", "cosets", "other cosets")
AGREES = 0.95
"""The share of the network's divergence from answers all alike that an account accounts for."""
HALF = 0.5
"""Less than this share of the pairs right without the representations; at least of the neurons beyond chance."""
Verdict = Literal["memorisation", "representations", "cosets", "unclear"]
Number = Literal[
    "accuracy", "account accuracy", "agreement", "left accuracy", "beyond chance", "train accuracy", "novel accuracy"
]


@dataclass(frozen=True)
class GroupVerdict:
    account: tuple[str, ...]
    """What is put in the network's place"""
    verdict: Verdict
    """Which account of the network holds"""
    margin: Float[Tensor, ""]
    """How far the number that decided is from its bar, a share of the room on its side"""
    decided_by: Number
    """The number that is nearest to its bar, and so decided the verdict"""
    decided_value: Float[Tensor, ""]
    """The number that decided the verdict"""
    decided_bar: Float[Tensor, ""]
    """Bar that the number which decided was held against"""
    next_verdict: Verdict
    """The verdict on the other side of that bar; unclear where there is no other"""
    accuracy: Float[Tensor, " account"]
    """Share of all pairs answered right with the account in the network's place"""
    loss: Float[Tensor, " account"]
    """Cross-entropy with the account in the network's place, mean over all pairs [nats]"""
    loss_recovered: Float[Tensor, " account"]
    """How much of the way from the loss of answers all alike to the network's the account goes"""
    agreement: Float[Tensor, " account"]
    """Share of the network's divergence from answers all alike that the account accounts for"""
    explained: Float[Tensor, " account"]
    """Share of the logits' variance over the answers that the account explains"""
    left_accuracy: Float[Tensor, ""]
    """Share of all pairs answered right by the logits without those of the representations"""
    beyond_chance: Float[Tensor, ""]
    """Share of the neurons that are nearer to constant on cosets than their representations alone would make them"""
    key_irreps: int
    """Irreps, but the trivial one, to whose characters the logits are similar"""
    all_loss: Float[Tensor, ""]
    """The network's own cross-entropy, mean over all pairs [nats]"""
    all_accuracy: Float[Tensor, ""]
    """Share of all pairs that the network answers right"""
    train_accuracy: Float[Tensor, ""]
    """Share of the training pairs answered right"""
    novel_accuracy: Float[Tensor, ""]
    """Share answered right of the pairs that a lookup table of the training pairs cannot know"""
    novel_examples: int
    """Pairs that a lookup table of the training pairs cannot know"""
    chance: Float[Tensor, ""]
    """Share of all pairs that have the commonest answer"""


def group_verdict(checkpoint: Checkpoint, seed: Seed = 0) -> GroupVerdict:
    r"""The account that holds can be put in the network's place; what knows nothing novel is memory.

    On a group's products there are two accounts of what a network learns. By *representations* (Chughtai et al. 2023)
    the last hidden layer computes ρ(ab) for a few key irreps, those to whose characters the logits are similar: the
    neurons are replaced by their mean over all pairs of one product, projected on these irreps, and read out by the
    network itself, without anything that runs beside the neurons (where a norm follows them, by all that follows). By
    *cosets* (Stander et al. 2023) each neuron sees of a only its right coset, and of b only its left coset, of a
    subgroup: what enters each neuron is replaced by its mean over the cosets of its best subgroup, that of the least
    coset concentration, and a neuron that no subgroup explains by its mean. Beside it stand *other cosets*, of
    conjugates of these subgroups by random elements.

    Functions that are constant on cosets have the characters of a few irreps, so that a network of cosets meets the
    account of representations too; it is the more special one. The verdict is *cosets* where the network answers 99%
    of all pairs right, and so does the account in its place, which has to account for 95% of the network's divergence
    from answers all alike, and where at least half of the neurons are beyond chance: nearer to constant on cosets than
    functions turned at random within the same representations. It is *representations* where it is not cosets, and that
    account answers as many pairs right and accounts for as much, while less than half are answered right without it.

    The verdict is *memorisation* where neither holds, 99% of the training pairs are answered right, and of the novel
    ones no more than chance and a quarter of what chance leaves: a lookup table knows the training pairs, and the
    mirror of one that has the same answer. All else is *unclear*. The margin is 0 at a bar and 1 at the end of the
    range; of several bars the nearest counts. Where the group has no subgroups between the whole and the identity, as
    C113, there are no cosets.

    Right is what has the largest of all logits. Loss recovered is (L(alike) - L(account)) / (L(alike) - L(network)),
    means over all pairs of elements, and explained is of the logits less their mean over the answers.

    Formula: \hat h_\rho(ab) = \sum_{\rho \in \text{key}} P_\rho\, \mathbb{E}[h \mid ab], \quad
        \hat x(a, b) = \mathbb{E}[x \mid Ha, bK]

    Paper: Chughtai et al. 2023, arXiv 2302.03025; Stander et al. 2023, arXiv 2312.06581
    """
    order, of_memory = composed(checkpoint), memory(checkpoint)
    by_irreps, cosets = representations(checkpoint, order), _cosets(checkpoint)
    whole = Accounts(checkpoint, order, by_irreps, _inputs(checkpoint, cosets, seed)).compared()
    beyond = math.nan if cosets is None else float(cosets.beyond_chance)
    made = verdict_of(whole, of_memory, beyond)

    def by_account(number: Callable[[str], float]) -> Float[Tensor, " account"]:
        return _number([number(name) if name in whole.accounts else math.nan for name in ACCOUNTS])

    return GroupVerdict(
        account=ACCOUNTS,
        verdict=cast("Verdict", made.verdict),
        margin=_number(made.margin),
        decided_by=cast("Number", made.by.number),
        decided_value=_number(made.by.value),
        decided_bar=_number(made.by.bar),
        next_verdict=cast("Verdict", made.next),
        accuracy=by_account(lambda name: whole.accounts[name].right / whole.n_pairs),
        loss=by_account(lambda name: whole.accounts[name].loss / whole.n_pairs),
        loss_recovered=by_account(whole.loss_recovered),
        agreement=by_account(whole.agreement),
        explained=by_account(whole.explained),
        left_accuracy=_number(whole.left_right / whole.n_pairs),
        beyond_chance=_number(beyond),
        key_irreps=int(by_irreps.keys.sum()),
        all_loss=_number(whole.loss / whole.n_pairs),
        all_accuracy=_number(whole.right / whole.n_pairs),
        train_accuracy=_number(of_memory.train_accuracy),
        novel_accuracy=_number(of_memory.novel_accuracy),
        novel_examples=of_memory.novel_examples,
        chance=_number(of_memory.chance),
    )


def steps(run: Run) -> list[int]:
    return around_grokking(run)


def _number(value: float | list[float]) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _cosets(checkpoint: Checkpoint) -> CosetConcentration | None:
    """The coset concentration; None where there are no cosets to see, or no neurons that see them."""
    try:
        return checkpoint.measure("coset_concentration")
    except NothingToSay:
        return None


def _inputs(checkpoint: Checkpoint, cosets: CosetConcentration | None, seed: int) -> dict[str, Factors]:
    """What enters the neurons by the account of cosets, and by other cosets."""
    if cosets is None:
        return {}
    own, generator = factors(checkpoint), torch.Generator().manual_seed(seed)
    return {"cosets": on_cosets(own, cosets), "other cosets": on_cosets(own, cosets, generator)}


def verdict_of(whole: Whole, of_memory: OfMemory, beyond_chance: float) -> Decided:
    """Return the verdict on a network with these accounts in its place, and what it hung on."""
    right = above("accuracy", whole.right / whole.n_pairs, GENERALISED)

    def stands_in(account: str) -> list[Condition]:
        known = account in whole.accounts
        accuracy = whole.accounts[account].right / whole.n_pairs if known else math.nan
        agreement = whole.agreement(account) if known else math.nan
        return [right, above("account accuracy", accuracy, GENERALISED), above("agreement", agreement, AGREES)]

    by_cosets = all_of(*stands_in("cosets"), above("beyond chance", beyond_chance, HALF))
    left = below("left accuracy", whole.left_right / whole.n_pairs, HALF)
    by_irreps = all_of(*stands_in("representations"), left)
    return decided(
        {
            "cosets": by_cosets,
            "representations": all_of(by_irreps, negated(by_cosets, "cosets")),
            "memorisation": all_of(
                *of_memory.conditions,
                negated(by_cosets, "cosets"),
                negated(by_irreps, "representations"),
            ),
        }
    )
