"""Losses of logits that keep, or lose, the waves of some frequencies: together and one frequency at a time.

Four measures share the record, the means over training and test pairs, the panels and the sentences here; each says in
its own file which part of the logits belongs to a frequency. The losses are cross-entropies, whichever loss a run was
trained with; one that rounding decides is NaN, and one below 5e-324, the smallest number of float64, is 0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Bars, Curves, Heatmap
from interp.findings import Bar, Claim, Claims, Finding, UndefinedError
from interp.maths.cross_entropy import cross_entropy, of_log_odds
from interp.maths.rounding import NEGLIGIBLE, settled
from interp.measures.shared.cyclic import Cyclic
from interp.measures.shared.told_apart import remark_on_zero

SETS = ("all", "train", "test")


@dataclass(frozen=True)
class FreqLosses:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    key: Bool[Tensor, " freq"]
    """The frequency counts as a key frequency"""
    all_loss: Float[Tensor, ""]
    """Cross-entropy on all pairs, the key frequencies together [nats]"""
    train_loss: Float[Tensor, ""]
    """Cross-entropy on the training pairs, the key frequencies together [nats]"""
    test_loss: Float[Tensor, ""]
    """Cross-entropy on the other pairs, the key frequencies together [nats]"""
    all_loss_by_freq: Float[Tensor, " freq"]
    """Cross-entropy on all pairs, one frequency at a time [nats]"""
    train_loss_by_freq: Float[Tensor, " freq"]
    """Cross-entropy on the training pairs, one frequency at a time [nats]"""
    test_loss_by_freq: Float[Tensor, " freq"]
    """Cross-entropy on the other pairs, one frequency at a time [nats]"""
    network_all_loss: Float[Tensor, ""]
    """The network's own cross-entropy on all pairs [nats]"""
    network_train_loss: Float[Tensor, ""]
    """The network's own cross-entropy on the training pairs [nats]"""
    network_test_loss: Float[Tensor, ""]
    """The network's own cross-entropy on the other pairs [nats]"""
    uniform_loss: Float[Tensor, ""]
    """What guessing costs: ln of the number of answers [nats]"""


def freq_losses(
    checkpoint: Checkpoint,
    order: Cyclic,
    key: Bool[Tensor, " freq"],
    log_odds: Float[Tensor, "answer a freq_and_keys"],
    rounding: Float[Tensor, " #freq_and_keys"],
) -> FreqLosses:
    """The record of the losses that each pair has for each frequency, and last for the key frequencies together.

    `log_odds` are the logarithms of the odds against each pair's answer, and `rounding` what rounding may add to the
    logits that they are of. The pairs are arranged as by `Cyclic.by_answer`.
    """
    once = order.by_answer(order.once).flatten()
    train = None if order.train is None else order.by_answer(order.train).flatten()[once]
    flat = log_odds.flatten(0, 1)
    means = _mean_losses(flat if once.all() else flat[once], rounding, train)  # [set, freq_and_keys]
    own = cross_entropy(checkpoint.logits, checkpoint.task.targets.to(checkpoint.logits.device)).cpu()
    network = _means(own[:, None], checkpoint.task.train)[:, 0]
    return FreqLosses(
        freq=torch.arange(order.n_freqs),
        key=key,
        **{f"{name}_loss": mean[-1] for name, mean in zip(SETS, means, strict=True)},
        **{f"{name}_loss_by_freq": mean[:-1] for name, mean in zip(SETS, means, strict=True)},
        **{f"network_{name}_loss": mean for name, mean in zip(SETS, network, strict=True)},
        uniform_loss=torch.tensor(order.n, dtype=torch.float64).log(),
    )


def _mean_losses(
    log_odds: Float[Tensor, "pair number"], rounding: Float[Tensor, " #number"], train: Bool[Tensor, " pair"] | None
) -> Float[Tensor, "set number"]:
    """The mean losses; NaN where rounding decides them, as where logits of 1e22 are taken from one another."""
    means = _means(of_log_odds(log_odds), train)
    if rounding.max() < NEGLIGIBLE:
        return means
    least, most = (_means(of_log_odds(log_odds + sign * 2 * rounding), train) for sign in (-1, 1))
    return settled(means, least, most)


def _means(losses: Float[Tensor, "pair number"], train: Bool[Tensor, " pair"] | None) -> Float[Tensor, "set number"]:
    """Over all pairs, the training pairs and the others; NaN over none, as where the split is unknown."""
    everything = torch.ones(len(losses), dtype=torch.bool)
    parts = (~everything, ~everything) if train is None else (train, ~train)
    sets = torch.stack([everything, *parts]).double()  # [set, pair]
    return sets @ losses / sets.sum(1, keepdim=True)


def with_keys_together(
    parts: Float[Tensor, "answer c freq"], key: Bool[Tensor, " freq"]
) -> Float[Tensor, "answer c freq_and_keys"]:
    """The part of the logits at each frequency, and last the part at all key frequencies together."""
    return torch.cat([parts, parts[..., key].sum(-1, keepdim=True)], dim=-1)


def restricted_figure(title: str, result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    """The panels of a loss that keeps the waves of some frequencies."""
    by_freq = result.all_loss_by_freq.isel(freq=slice(1, None))
    return [
        Curves(title, {"restricted": result.all_loss, "guessing": result.uniform_loss} | _network(result), log=True),
        Heatmap(f"{title} to one frequency alone", by_freq, x="step", y="freq"),
        Bars("On one frequency alone, at this step", by_freq, highlight=_highlight(result), width="full"),
    ]


def excluded_figure(title: str, result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    """The panels of a loss that lacks the waves of some frequencies."""
    name = pairs(result)
    by_freq = result[f"{name}_loss_by_freq"].isel(freq=slice(1, None))
    return [
        Curves(
            title, {"excluded": result[f"{name}_loss"], "guessing": result.uniform_loss} | _network(result), log=True
        ),
        Heatmap(f"{title} of one frequency", by_freq, x="step", y="freq"),
        Bars("Without one frequency, at this step", by_freq, highlight=_highlight(result), width="full"),
    ]


def _network(result: xr.Dataset) -> dict[str, xr.DataArray]:
    if pairs(result) == "all":
        return {"all": result.network_all_loss}
    return {"train": result.network_train_loss, "test": result.network_test_loss}


def _highlight(result: xr.Dataset) -> dict[str, xr.DataArray]:
    return {"accent": result.key.isel(freq=slice(1, None))}


def pairs(result: xr.Dataset) -> str:
    """ "train", or "all" where nobody knows which pairs were trained on."""
    return "train" if bool(result.train_loss.notnull().any()) else "all"


MOST_NAMED = 12


def restricted_summary(result: xr.Dataset, of: str = "") -> Finding:
    """What a loss says that keeps only the key frequencies.

    `of` names what is kept, where it is not the waves of the answer: "ideal cosines at ".
    """
    claims = Claims(result, figure_title("Restricted loss", of))
    which, records = _keys(claims)
    network = "network_all_loss" if pairs(result) == "all" else "network_test_loss"
    own = "the network's own" + ("" if pairs(result) == "all" else " over the test pairs")
    records["final"] = claims.end("all_loss", bar=Bar("what guessing costs", array="uniform_loss"))
    sentence = f"On {of}{which} alone the cross-entropy is {{final:3 nat}} at the end"
    if claims.known(network):
        records["network_final"] = claims.end(network)
        sentence += f", {own} {{network_final:3 nat}}"
    sentence += "; guessing costs {final.bar:3 nat}"
    half = Bar("half of what guessing costs", array="uniform_loss", times=0.5)
    first, second = (claims.when("below for good", array, half) for array in ("all_loss", network))
    if first and second and int(result.step[0]) not in (first.value, second.value):
        records |= {"half_step": first, "network_half_step": second}
        sentence += (
            f", and it is below half of that {claims.for_good(first, second)}from {{half_step:step}} on, the network's "
            "own from {network_half_step:step} on"
        )
    losses = {name: record for name, record in records.items() if name in ("final", "network_final")}
    return Finding(f"{sentence}{remark_on_zero(losses)}.", records, chapter="when", rank=30)


def excluded_summary(result: xr.Dataset, of: str = "") -> Finding:
    """What a loss says that lacks the key frequencies; `of` as for `restricted_summary`."""
    claims = Claims(result, figure_title("Excluded loss", of))
    which, records = _keys(claims)
    name = pairs(result)
    guessing = Bar("what guessing costs", array="uniform_loss")
    records["final"] = claims.end(f"{name}_loss", bar=guessing)
    records["highest"] = claims.highest(f"{name}_loss")
    records["highest_step"] = claims.step_of(records["highest"])
    sentence = (
        f"Without {of}{which} the {'train cross-entropy' if name == 'train' else 'cross-entropy'} is "
        "{final:3 nat} at the end, where guessing costs {final.bar:3 nat}"
    )
    above = claims.when("above for good", f"{name}_loss", guessing)
    if above and above.value != int(result.step[0]):
        records["above_guessing_step"] = above
        sentence += f"; it is above that {claims.for_good(above)}from {{above_guessing_step:step}} on"
    return Finding(f"{sentence}.", records, chapter="when", rank=40)


def figure_title(title: str, of: str) -> str:
    """The title of the curves: "Restricted loss", or "Restricted loss, by trace"."""
    return f"{title}, by trace" if of else title


def _keys(claims: Claims) -> tuple[str, dict[str, Claim]]:
    """The key frequencies at the last step and the rule that chose them, in words, and their records.

    Raises UndefinedError where there is none.
    """
    rule = json.loads(claims.result.attrs.get("options", "{}")).get("keys", "final")
    chosen = f"keys: {rule if isinstance(rule, str) else 'listed'}"
    freqs = claims.result.freq.values[1:].tolist()
    records = {"key_freqs": claims.end("key", "labels"), "keys": claims.end("key", "count")}
    count = records["keys"].value
    if not count:
        raise UndefinedError("no frequency is key")
    if count == len(freqs):
        return f"all {{keys:frequency}} ({chosen})" if count > 1 else f"the one frequency there is ({chosen})", records
    if count <= MOST_NAMED:
        return f"the key {{key_freqs:frequency}} ({chosen})", records
    return f"the {{keys}} key frequencies ({chosen})", records
