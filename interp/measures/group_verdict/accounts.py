"""Each account of a network on a group, put in the network's place, and what becomes of its logits and losses.

1. Representations: the last hidden layer's activations are their mean over all pairs of the same product, projected on
   the key irreps of the logits; the network's own readout follows (Chughtai et al.'s restricted network), and where a
   norm lies between, the network as it is.
2. Cosets: what enters each neuron is its mean over the cosets of the neuron's best subgroup, for each operand; a neuron
   that no subgroup explains gets its mean over the whole group. All that follows is the network's own.
3. Other cosets: the same with the subgroup turned into a conjugate, by a random element for each neuron and operand,
   which says how much any cosets of such subgroups would do.

Logits are made of a block of pairs at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import reads_two_operands
from interp.machine import devices
from interp.maths.coset_concentration import coset_means
from interp.maths.cross_entropy import cross_entropy
from interp.measures.coset_concentration import CosetConcentration
from interp.measures.shared import ablation
from interp.measures.shared.composed import Block, Composed
from interp.measures.shared.factors import Factors
from interp.measures.shared.irreps import key_irreps


@dataclass
class StandIn:
    """What comes of some logits in the place of the network's, summed over the pairs of one block after another."""

    right: float = 0.0
    loss: float = 0.0
    divergence: float = 0.0
    left: float = 0.0
    """Squares of what the centred logits of the network have and these have not."""


@dataclass
class Whole:
    """The network, and the accounts in its place."""

    accounts: dict[str, StandIn]
    n_pairs: float = 0.0
    n_outputs: int = 0
    loss: float = 0.0
    right: float = 0.0
    left_right: float = 0.0
    """Pairs that its logits without those of the representations answer right."""
    from_alike: float = 0.0
    """Its divergence from answers all alike, summed over the pairs."""
    squares: float = 0.0
    """Squares of its centred logits."""

    def loss_recovered(self, account: str) -> float:
        """How much of the way from the loss of answers all alike to the network's the account goes."""
        alike, own = math.log(self.n_outputs), self.loss / self.n_pairs
        return (alike - self.accounts[account].loss / self.n_pairs) / (alike - own) if alike > own else math.nan

    def agreement(self, account: str) -> float:
        """The share of the network's divergence from answers all alike that the account accounts for."""
        return 1 - self.accounts[account].divergence / self.from_alike if self.from_alike > 0 else 0.0

    def explained(self, account: str) -> float:
        """The share of the variance of the network's logits over the answers that the account explains."""
        return 1 - self.accounts[account].left / self.squares if self.squares > 0 else 0.0


@dataclass(frozen=True)
class Representations:
    """The account of representations of a checkpoint."""

    neurons: Float[Tensor, "element neuron"]
    """The part in the key irreps of the neurons' mean over all pairs of each product."""
    logits: Float[Tensor, "element output"] | None
    """What the readout makes of it; None where a norm lies between, which is run as it is."""
    keys: Bool[Tensor, " irrep"]
    """Which irreps are key ones."""


@dataclass(frozen=True)
class Accounts:
    """The accounts of a checkpoint, ready to be put in its place."""

    checkpoint: Checkpoint
    order: Composed
    representations: Representations
    inputs: dict[str, Factors]
    """What enters the neurons under each account of cosets."""

    def compared(self) -> Whole:
        """Put each account in the place of the network on all pairs."""
        whole = Whole({name: StandIn() for name in ("representations", *self.inputs)})
        for block in self.order.blocks(self.checkpoint):
            self._add(block, whole)
        return whole

    def _add(self, block: Block, whole: Whole) -> None:
        """The logarithm of a softmax is z - z_y - ℓ, where ℓ is the loss on the answer y."""
        _, answers, a, b = block.pairs.unbind(1)
        own, weight = block.of_pairs(block.activations["logits"].cpu()), self.order.once[a, b].double()
        targets = self.order.axis[answers]
        loss = cross_entropy(own, targets)
        log_p = own - (own.gather(1, targets[:, None]) + loss[:, None])
        p = log_p.exp()
        entropy = (p * log_p).sum(dim=1)
        whole.n_pairs, whole.n_outputs = whole.n_pairs + float(weight.sum()), own.shape[1]
        whole.loss += float(loss @ weight)
        whole.right += float(ablation.right(own, targets, own) @ weight)
        whole.from_alike += float((entropy + math.log(own.shape[1])) @ weight)
        whole.squares += float(_centred_squares(own) @ weight)
        for name, one in whole.accounts.items():
            logits = self._logits(name, block)
            loss = cross_entropy(logits, targets)
            one.loss += float(loss @ weight)
            one.right += float(ablation.right(logits, targets, own) @ weight)
            cross = (p * logits).sum(dim=1) - logits.gather(1, targets[:, None])[:, 0] - loss
            one.divergence += float((entropy - cross) @ weight)
            left = own - logits
            one.left += float(_centred_squares(left) @ weight)
            if name == "representations":
                whole.left_right += float(ablation.right(left, targets, own) @ weight)

    def _logits(self, name: str, block: Block) -> Float[Tensor, "pair output"]:
        """The logits of a block's pairs under an account."""
        architecture = reads_two_operands(self.checkpoint.run.architecture)
        weights = {key: devices.float64(value) for key, value in self.checkpoint.weights.items()}
        device = next(iter(weights.values())).device
        _, answers, a, b = block.pairs.unbind(1)
        if name == "representations":
            if self.representations.logits is not None:
                return self.representations.logits[answers]
            post = self.representations.neurons[answers].to(device)
        else:
            factors = self.inputs[name]
            pre = factors.mean + factors.from_a[a] + factors.from_b[factors.second[b]]  # [pair, neuron]
            post = architecture.activated(weights, pre.to(device))
        beside = {name: block.of_pairs(values) for name, values in block.activations.items()}
        return architecture.outputs_from_neurons(weights, post, beside).cpu()


def _centred_squares(rows: Float[Tensor, "pair output"]) -> Float[Tensor, " pair"]:
    """The squares of each row less its mean."""
    return rows.square().sum(dim=1) - rows.sum(dim=1).square() / rows.shape[1]


def representations(checkpoint: Checkpoint, order: Composed) -> Representations:
    """The part of the neurons that is a function of the product in the key irreps, and what is read out of it."""
    architecture = reads_two_operands(checkpoint.run.architecture)
    keys = key_irreps(checkpoint, order.group, "checkpoint")
    by_product = torch.cat(
        [block.activations[architecture.neurons].cpu()[block.place].mean(dim=1) for block in order.blocks(checkpoint)]
    )
    rows, of_irrep = order.group.basis
    chosen = rows[keys[of_irrep]]
    neurons = chosen.T @ (chosen @ by_product)
    readout = ablation.linear_readout(checkpoint)
    return Representations(neurons, None if readout is None else neurons @ readout, keys)


def on_cosets(factors: Factors, cosets: CosetConcentration, generator: torch.Generator | None = None) -> Factors:
    """What enters the neurons by the cosets of each one's best subgroup alone, and its mean alone where none explains.

    With a generator, of another subgroup, the best one turned by a random element g into a conjugate: right cosets of
    g⁻¹Hg are alike where those of H are at g·x, left cosets of gHg⁻¹ where those of H are at x·g.
    """
    explained = (cosets.concentration.nan_to_num(0.0) < 1).all(dim=0)  # what does not vary is constant on any coset
    smoothed = [torch.zeros_like(factors.from_a) for _ in range(2)]
    group = factors.order.group
    for side, functions in enumerate((factors.from_a, factors.from_b)):
        chosen = cosets.subgroup[side].where(explained, -1)
        for number in chosen[chosen >= 0].unique().tolist():
            neurons = (chosen == number).nonzero()[:, 0]
            subgroup = group.subgroups[number]
            labels = subgroup.right if side == 0 else subgroup.left
            own = functions[:, neurons]
            if generator is None:
                smoothed[side][:, neurons] = coset_means(own, labels)
                continue
            turn = torch.randint(group.order, (len(neurons),), generator=generator)
            there, back = (
                group.product[one].T if side == 0 else group.product[:, one] for one in (turn, group.inverse[turn])
            )
            smoothed[side][:, neurons] = coset_means(own.gather(0, back), labels).gather(0, there)
    return Factors(factors.order, factors.second, factors.mean, *smoothed)
