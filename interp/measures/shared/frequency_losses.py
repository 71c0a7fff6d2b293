"""Losses of logits that keep, or lose, the waves of some frequencies: together and one frequency at a time."""

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
from interp.measures.shared.cyclic import Cyclic
from interp.summaries import Summary

SETS = ("all", "train", "test")


@dataclass(frozen=True)
class FreqLosses:
    freq: Int[Tensor, " freq"]
    """Frequency"""
    key: Bool[Tensor, " freq"]
    """Counted as a key frequency"""
    all_loss: Float[Tensor, ""]
    """All pairs, the key frequencies together [nats]"""
    train_loss: Float[Tensor, ""]
    """Training pairs, the key frequencies together [nats]"""
    test_loss: Float[Tensor, ""]
    """The other pairs, the key frequencies together [nats]"""
    all_loss_by_freq: Float[Tensor, " freq"]
    """All pairs, one frequency at a time [nats]"""
    train_loss_by_freq: Float[Tensor, " freq"]
    """Training pairs, one frequency at a time [nats]"""
    test_loss_by_freq: Float[Tensor, " freq"]
    """The other pairs, one frequency at a time [nats]"""
    network_all_loss: Float[Tensor, ""]
    """The network's own loss on all pairs [nats]"""
    network_train_loss: Float[Tensor, ""]
    """The network's own loss on the training pairs [nats]"""
    network_test_loss: Float[Tensor, ""]
    """The network's own loss on the other pairs [nats]"""
    uniform_loss: Float[Tensor, ""]
    """What guessing costs: ln of the number of answers [nats]"""


def freq_losses(
    checkpoint: Checkpoint,
    cyclic: Cyclic,
    key: Bool[Tensor, " freq"],
    losses: Float[Tensor, "answer a freq_and_keys"],
) -> FreqLosses:
    """Means of the losses of every pair, [s, a] as by `Cyclic.by_answer`: each frequency's, and last the keys'."""
    everything = torch.ones(cyclic.n, cyclic.n, dtype=torch.bool)
    train, test = torch.zeros_like(everything), torch.zeros_like(everything)
    if cyclic.train is not None:
        train = cyclic.by_answer(cyclic.train)
        test = ~train
    sets = torch.stack([everything, train, test]).flatten(1).double()
    means = sets @ losses.flatten(0, 1) / sets.sum(1, keepdim=True)  # of no pairs: NaN
    network = checkpoint.measure("loss")
    return FreqLosses(
        freq=torch.arange(cyclic.n_freqs),
        key=key,
        **{f"{name}_loss": mean[-1] for name, mean in zip(SETS, means, strict=True)},
        **{f"{name}_loss_by_freq": mean[:-1] for name, mean in zip(SETS, means, strict=True)},
        **{f"network_{name}_loss": getattr(network, f"{name}_loss") for name in SETS},
        uniform_loss=torch.tensor(cyclic.n, dtype=torch.float64).log(),
    )


def with_keys_together(
    parts: Float[Tensor, "answer c freq"], key: Bool[Tensor, " freq"]
) -> Float[Tensor, "answer c freq_and_keys"]:
    """The part of the logits at each frequency, and last that at all key frequencies."""
    return torch.cat([parts, parts[..., key].sum(-1, keepdim=True)], dim=-1)


def restricted_figure(title: str, result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
    by_freq = result.all_loss_by_freq.isel(freq=slice(1, None))
    return [
        Curves(title, {"restricted": result.all_loss} | _network(result), log=True),
        Heatmap(f"{title} to one frequency alone", by_freq, x="step", y="freq"),
        Bars("On one frequency alone, at this step", by_freq, highlight=_highlight(result), width="full"),
    ]


def excluded_figure(title: str, result: xr.Dataset) -> list[Curves | Heatmap | Bars]:
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
    """`of` names what is kept, where it is not the waves of the answer: "ideal cosines at "."""
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
    """`of` as for `restricted_summary`."""
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
    """The first step from which it holds to the end."""
    failing = np.flatnonzero(~holds.values)
    place = failing[-1] + 1 if len(failing) else 0
    return int(result.step[place]) if place < len(holds) else None
