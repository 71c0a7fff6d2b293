"""Memorisation, circuit formation and cleanup: when each ended."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves
from interp.findings import Claims, Finding
from interp.measures.shared.reached import USUAL, Share, ask_for_several, reached

TITLE = "Loss, restricted loss and excluded loss"


@dataclass(frozen=True)
class ProgressPhases:
    train_loss: Float[Tensor, ""]
    """Cross-entropy on the training pairs [nats]"""
    test_loss: Float[Tensor, ""]
    """Cross-entropy on the other pairs [nats]"""
    restricted_loss: Float[Tensor, ""]
    """Cross-entropy of the final key frequencies alone, on all pairs [nats]"""
    excluded_loss: Float[Tensor, ""]
    """Cross-entropy without the final key frequencies, on the training pairs [nats]"""
    test_accuracy: Float[Tensor, ""]
    """Share of the other pairs answered right"""
    bar: float
    """Test accuracy at which cleanup is over"""
    logit_freqs: Float[Tensor, ""]
    """Frequencies that the logits use"""
    clear_share: Float[Tensor, ""]
    """Share of all neurons that one frequency explains to more than 85%"""
    weight_norm: Float[Tensor, ""]
    """L2 norm of all weights"""


def progress_phases(checkpoint: Checkpoint, test_accuracy: Share = USUAL) -> ProgressPhases:
    r"""A network that groks memorises, then forms a circuit that its test loss does not show, then drops the memory.

    Nanda et al. drew the borders of the three by eye. Here *memorisation* ends where the excluded loss is lowest: from
    then on the network does worse without the circuit. *Circuit formation* ends, and *cleanup* begins, at the last
    checkpoint at which the test loss is half its highest or more; cleanup ends where so large a share of the test pairs
    is first answered right. The restricted loss falls where it is last half its highest or more, by the rule of the
    test loss, so that the two can be held against each other.

    Restricted and excluded loss are those of the final key frequencies (`restricted_loss`, `excluded_loss`), and the
    frequencies that the logits use those of `key_freqs`. Of a run that never reaches the accuracy only the numbers at
    each step are told, and memorisation's end.

    Formula: t_1 = \arg\min_t \mathcal{L}_\text{excl}(t), \quad
        t_2 = \max\{t : \mathcal{L}_\text{test}(t) \ge \tfrac12 \max_s \mathcal{L}_\text{test}(s)\}, \quad
        t_3 = \min\{t : \mathrm{acc}_\text{test}(t) \ge r\}

    Paper: Nanda et al. 2023, arXiv 2301.05217
    """
    losses = checkpoint.measure("loss")
    if checkpoint.task.train is None:
        raise NothingToSay("nobody knows which examples were trained on")
    if losses.test_accuracy is None or bool(losses.test_accuracy.isnan()):
        raise NothingToSay("there are no test examples")
    restricted, excluded = checkpoint.measure("restricted_loss"), checkpoint.measure("excluded_loss")
    keys = checkpoint.measure("key_freqs")
    return ProgressPhases(
        train_loss=restricted.network_train_loss,
        test_loss=restricted.network_test_loss,
        restricted_loss=restricted.all_loss,
        excluded_loss=excluded.train_loss,
        test_accuracy=losses.test_accuracy,
        bar=test_accuracy,
        logit_freqs=keys.logit_key.sum().to(torch.float64),
        clear_share=keys.clear_share,
        weight_norm=checkpoint.measure("weight_norm").total,
    )


@dataclass(frozen=True)
class Borders:
    memorised_step: float
    """Step at which the excluded loss is lowest, the end of memorisation; NaN where it is never a number"""
    restricted_step: float
    """Last step at which the restricted loss is half its highest or more; NaN where cleanup did not end"""
    cleanup_step: float
    """Last step at which the test loss is half its highest or more, when cleanup begins; NaN where it did not end"""
    cleaned_step: float
    """First step at which the test accuracy is what was asked, the end of cleanup; NaN where it never is"""
    lead: float
    """Steps by which the restricted loss falls before the test loss; NaN where cleanup did not end"""
    norm_fall: float
    """Share of the largest weight norm that is lost by the last step"""
    test_over_restricted: float
    """Test loss over restricted loss at the last step"""


def over_run(result: xr.Dataset) -> Borders:
    end = reached(result.test_accuracy, float(result.bar[-1])).step
    excluded = result.excluded_loss.dropna("step")
    lowest = float(excluded.step[int(excluded.values.argmin())]) if excluded.size else math.nan
    restricted, test = (
        math.nan if math.isnan(end) else last_above_half(result[f"{name}_loss"]) for name in ("restricted", "test")
    )
    norm = result.weight_norm.values
    return Borders(
        memorised_step=lowest,
        restricted_step=restricted,
        cleanup_step=test,
        cleaned_step=end,
        lead=test - restricted,
        norm_fall=float(1 - norm[-1] / norm.max()) if norm.max() > 0 else math.nan,
        test_over_restricted=_over(float(result.test_loss[-1]), float(result.restricted_loss[-1])),
    )


def last_above_half(loss: xr.DataArray) -> float:
    """The last step at which a loss is half its highest or more; NaN where it is never a number."""
    known = loss.dropna("step")
    if not known.size:
        return math.nan
    return float(known.step[int(np.flatnonzero(known.values >= known.values.max() / 2)[-1])])


def _over(test: float, restricted: float) -> float:
    return test / restricted if restricted > 0 else math.nan


def figure(result: xr.Dataset) -> list[Curves]:
    names = ("train", "test", "restricted", "excluded")
    return [
        Curves(TITLE, {name: result[f"{name}_loss"] for name in names}, log=True),
        Curves("Frequencies that the logits use", {"all": result.logit_freqs}, width="half"),
        Curves("Neurons of one frequency", {"all": result.clear_share}, width="half"),
    ]


def summary(result: xr.Dataset) -> Finding:
    ask_for_several(result)
    claims = Claims(result, TITLE)
    records = {"bar": claims.end("bar")}
    if not claims.known("cleaned_step"):
        sentence = "{bar:%} of the test pairs never were right."
        if claims.known("memorised_step"):
            records["memorised"] = claims.step("memorised_step")
            sentence = f"The excluded loss is lowest at {{memorised:step}}; {sentence}"
        return Finding(sentence, records, chapter="when", rank=30)
    records |= {name: claims.step(f"{name}_step") for name in ("memorised", "restricted", "cleanup", "cleaned")}
    sentence = (
        "The excluded loss is lowest at {memorised:step}; the restricted loss is last half its highest or more at "
        "{restricted:step}, the test loss at {cleanup:step}; by {cleaned:step} {bar:%} of the test pairs are right."
    )
    return Finding(sentence, records, chapter="when", rank=30)
