"""Computations that interp's models do not do, told by this that they answer as much as the model found, and surer.

A mean over positions, a product of the operands, attention and MLP side by side, hidden layers with a way around them:
each goes through the same matrices as one of interp's models, and would be opened as that without a word.
"""

from __future__ import annotations

import dataclasses
import re

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.contracts.imported import Given
from interp.errors import InterpError
from interp.importers.shared import candidates
from interp.importers.shared.guessing.guess import CLEARLY, NOT_OURS, SURER, Guess
from interp.importers.shared.guessing.network import Network, changed, judged_on, sample


def refuse_what_answers_surer(network: Network, found: Guess) -> None:
    """Raises InterpError where one of these computations explains the answers better than the model that was found."""
    if found.model[0] == "transformer":
        _refuse_side_by_side(network, found)
        if found.found:
            _refuse_a_mean(network, found)
    elif found.found:
        _refuse_a_way_around(network, found)
    if found.model[1]["act_fn"] == "x^2" and "embed_b.W_E" in network.layout.names.theirs:
        _refuse_a_product(network, found)


def _refuse_a_mean(network: Network, found: Guess) -> None:
    """Refuse where the mean over all positions answers more surely than the one read, and no mask is in the file.

    After a last norm, or without one, the mean goes through the unembedding as the logits' own mean. A causal mask in
    the file is that of a network that reads its last position, which alone has seen both operands.
    """
    if network.holds_a_causal_mask:
        return
    pairs, one = sample(found.p), network.judged_as(found)
    for act_fn in dict.fromkeys([found.model[1]["act_fn"], *candidates.USUAL]):
        model = changed(found.model, {"causal": False, "act_fn": act_fn})
        places = range(len(found.model[1]["row"].split()))
        at = [network.logits(changed(model, {"read_at": place}), found.p, pairs) for place in places]
        mean = judged_on(torch.stack(at).mean(dim=0), pairs, found.task, model, found.p)
        if _surer(mean, one, 1.0):
            so, else_so = "the mean over all positions is read", "it is one of them, as in interp's transformer"
            raise _refusal(network, found, mean, one, so, else_so)


def _refuse_side_by_side(network: Network, found: Guess) -> None:
    """Refuse where MLPs that read what the attention beside them reads answer far more surely than MLPs after it.

    So it is in GPT-J, GPT-NeoX and PaLM: x + attention(norm(x)) + MLP(norm(x)).
    """
    if found.model[1].get("norm_position", "pre") == "post":
        return
    pairs, one = sample(found.p), network.judged_as(found)
    for act_fn in dict.fromkeys([found.model[1]["act_fn"], *candidates.USUAL]):
        model = changed(found.model, {"act_fn": act_fn})
        beside = judged_on(_side_by_side(network, model, found.p, pairs), pairs, found.task, model, found.p)
        if _surer(beside, one, SURER):
            so = "attention and MLP of a block read the same and are added, as in GPT-J"
            raise _refusal(network, found, beside, one, so, "the MLP reads after attention, as in interp's transformer")


def _side_by_side(
    network: Network, model: Given, p: int, pairs: Int[Tensor, "pair 2"]
) -> Float[Tensor, "pair d_vocab_out"]:
    """The outputs under `model`, but that each MLP, or the norm before it, reads what enters its block."""
    architecture, weights = network.read_as(model, p)
    hooked = architecture.hooked(weights)
    for block in hooked.get_submodule("blocks").children():
        entered: list[Tensor] = []

        def keep(_: nn.Module, given: tuple[Tensor], entered: list[Tensor] = entered) -> None:
            entered[:] = given

        def instead(_: nn.Module, __: tuple[Tensor], entered: list[Tensor] = entered) -> tuple[Tensor]:
            return (entered[0],)

        block.register_forward_pre_hook(keep)
        reader = "ln2" if hasattr(block, "ln2") else "mlp"
        block.get_submodule(reader).register_forward_pre_hook(instead)
    with torch.no_grad():
        return architecture.from_module(hooked(architecture.tokens(pairs)))


def _refuse_a_way_around(network: Network, found: Guess) -> None:
    """Refuse where hidden layers that are added to what they read, x + act(W x + b), answer far more surely.

    Only layers as wide as what they read can be.
    """
    pairs, one = sample(found.p), network.judged_as(found)
    for act_fn in dict.fromkeys([found.model[1]["act_fn"], *candidates.USUAL]):
        model = changed(found.model, {"act_fn": act_fn})
        architecture, weights = network.read_as(model, found.p)
        square = [name for name, weight in weights.items() if re.fullmatch(r"mlp\d+\.W_in", name) and _square(weight)]
        if not square:
            return
        hooked = architecture.hooked(weights)
        for name in square:
            hooked.get_submodule(name.removesuffix(".W_in")).register_forward_hook(_added_to_what_it_reads)
        with torch.no_grad():
            logits = architecture.from_module(hooked(architecture.tokens(pairs)))
        around = judged_on(logits, pairs, found.task, model, found.p)
        if _surer(around, one, SURER):
            so, else_so = "hidden layers are added to what they read", "each reads the last, as in interp's perceptron"
            raise _refusal(network, found, around, one, so, else_so)


def _square(weight: Tensor) -> bool:
    return weight.shape[0] == weight.shape[1]


def _added_to_what_it_reads(_: nn.Module, given: tuple[Tensor], out: Tensor) -> Tensor:
    return given[0] + out


def _refuse_a_product(network: Network, found: Guess) -> None:
    """Refuse where two linear maps of the operands, multiplied, answer more surely than their sum squared.

    Squared, the sum holds twice the product beside two terms that each depend on one operand alone: a bilinear network
    would be read as one of squares. 2uv = ((u + v)² - (u - v)²) / 2 where there are no biases.
    """
    pairs, layout = sample(found.p), network.layout
    if layout.biases != "none" or not layout.one_hot:
        return
    second = layout.names.theirs["embed_b.W_E"]
    minus = dataclasses.replace(network, arrays={**network.arrays, second: -network.arrays[second]})
    with_sum, with_difference = (one.logits(found.model, found.p, pairs) for one in (network, minus))
    square = judged_on(with_sum, pairs, found.task, found.model, found.p)
    product = judged_on((with_sum - with_difference) / 2, pairs, found.task, found.model, found.p)
    if _surer(product, square, 1.0):
        so = "the two linear maps of the operands are multiplied"
        raise _refusal(network, found, product, square, so, "their sum is squared, as in interp's perceptron")


def _surer(other: Guess | None, ours: Guess | None, by: float) -> bool:
    """Whether another computation answers clearly more than ours, or as much with less than this share of its loss."""
    if other is None or ours is None or not other.found:
        return False
    alike = other.accuracy >= ours.accuracy and other.loss < by * ours.loss
    return other.accuracy > ours.accuracy + CLEARLY or alike


def _refusal(
    network: Network, found: Guess, other: Guess | None, ours: Guess | None, so: str, else_so: str
) -> InterpError:
    assert other is not None
    assert ours is not None
    less_surely = "" if other.accuracy > ours.accuracy + CLEARLY else " and less surely"
    return InterpError(
        f"{network.source}: {other.accuracy:.1%} of its answers as {found.operation} are right where {so}, "
        f"{ours.accuracy:.1%}{less_surely} where {else_so}. {NOT_OURS}"
    )
