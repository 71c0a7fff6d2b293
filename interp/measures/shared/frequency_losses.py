"""Losses of logits that keep, or lose, the waves of some frequencies: together and one frequency at a time.

Four measures share the record, the means over training and test pairs, the panels and the sentences here; each says in
its own file which part of the logits belongs to a frequency. The losses are cross-entropies, whichever loss a run was
trained with; one that rounding decides is NaN, and one below 5e-324, the smallest number of float64, is 0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Bars, Curves, Heatmap
from interp.maths.cross_entropy import cross_entropy, of_log_odds
from interp.maths.rounding import NEGLIGIBLE, settled
from interp.measures.shared.cyclic import Cyclic
from interp.summaries import Summary

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
    train = None if order.train is None else order.by_answer(order.train).flatten()
    means = _mean_losses(log_odds.flatten(0, 1), rounding, train)  # [set, freq_and_keys]
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
        Curves(title, {"restricted": result.all_loss} | _network(result), log=True),
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


def restricted_summary(result: xr.Dataset, of: str = "") -> Summary:
    """What a loss says that keeps only the key frequencies.

    `of` names what is kept, where it is not the waves of the answer: "ideal cosines at ".
    """
    keys, said = _keys(result)
    test = result.network_all_loss if pairs(result) == "all" else result.network_test_loss
    name = "loss" if pairs(result) == "all" else "test loss"
    half = result.uniform_loss / 2
    values = keys | {
        "final": float(result.all_loss[-1]),
        "network_final": float(test[-1]),
        "half_step": _stays(result, result.all_loss < half),
        "network_half_step": _stays(result, test < half),
    }
    ends, network = values["final"], values["network_final"]
    sentence = f"On {of}{said} alone the loss ends at **{ends:.2g}**, the {name} at **{network:.2g}**"
    first, second = values["half_step"], values["network_half_step"]
    if first is not None and second is not None:
        sentence += (
            f"; it fell below half of what guessing costs at **step {first:,}**, the {name} at **step {second:,}**"
        )
    return Summary(sentence + ".", values)


def excluded_summary(result: xr.Dataset, of: str = "") -> Summary:
    """What a loss says that lacks the key frequencies; `of` as for `restricted_summary`."""
    keys, said = _keys(result)
    name = pairs(result)
    excluded = result[f"{name}_loss"]
    place = int(excluded.values.argmax())
    guessing = float(result.uniform_loss[-1])
    values = keys | {
        "final": float(excluded[-1]),
        "highest": float(excluded[place]),
        "highest_step": int(result.step[place]),
        "above_guessing_step": _stays(result, excluded > guessing),
    }
    which = "train loss" if name == "train" else "loss"
    sentence = f"Without {of}{said} the {which} ends at **{values['final']:.3g}**, where guessing costs {guessing:.2f}"
    if values["above_guessing_step"] not in (None, int(result.step[0])):
        sentence += f"; it is above that from **step {values['above_guessing_step']:,}** on"
    return Summary(sentence + ".", values)


def _keys(result: xr.Dataset) -> tuple[dict[str, object], str]:
    """The key frequencies at the last step and the rule that chose them, as values and in words."""
    rule = json.loads(result.attrs.get("options", "{}")).get("keys", "final")
    key = [int(freq) for freq in result.freq.values[result.key[-1].values]]
    rule = rule if isinstance(rule, str) else "listed"
    listed = f"**{', '.join(map(str, key))}**" if 0 < len(key) <= 12 else f"**{len(key)}**"
    noun = "frequency" if len(key) == 1 else "frequencies"
    if not key:
        return {"key_freqs": key, "keys": rule}, f"**no** frequency (keys: {rule})"
    words = f"the key {noun} {listed}" if len(key) <= 12 else f"the {listed} key {noun}"
    return {"key_freqs": key, "keys": rule}, f"{words} (keys: {rule})"


def _stays(result: xr.Dataset, holds: xr.DataArray) -> int | None:
    """The first step from which `holds` is true to the end; None where it is false at the end."""
    failing = np.flatnonzero(~holds.values)
    place = failing[-1] + 1 if len(failing) else 0
    return int(result.step[place]) if place < len(holds) else None
