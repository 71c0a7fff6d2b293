"""trace_restricted_loss and trace_excluded_loss."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tests.planted import clock_logits
from tests.tables import losses, noise


def fitted(table, freqs, sign=1):
    """The least-squares Σ α_k cos w_k(a ± b - c) at these frequencies."""
    waves = [clock_logits(len(table), {k: 1.0}, sign) for k in freqs]
    return sum(((table * wave).sum() / wave.square().sum() * wave for wave in waves), torch.zeros_like(table))


@pytest.mark.parametrize(("n", "operation"), [(7, "x+y"), (8, "x+y"), (7, "x-y")])
def test_they_are_the_losses_of_the_fitted_cosines_and_of_the_rest(checkpoint_of, n, operation):
    sign = 1 if operation == "x+y" else -1
    table = noise(n, size=2) + 3 * clock_logits(n, {2: 1, 3: 2}, sign)
    checkpoint = checkpoint_of(table, operation=operation)
    train = checkpoint.task.table(checkpoint.task.train.double()) == 1
    restricted, excluded = (
        checkpoint.measure(f"trace_{kind}_loss", keys=[2, 3]) for kind in ("restricted", "excluded")
    )
    for place, freqs in [(None, [2, 3]), *((k, [k]) for k in range(1, n // 2 + 1))]:
        for found, logits in ((restricted, fitted(table, freqs, sign)), (excluded, table - fitted(table, freqs, sign))):
            expected = losses(logits, sign)
            for name, pairs in (("all", train | ~train), ("train", train), ("test", ~train)):
                value = (
                    getattr(found, f"{name}_loss") if place is None else getattr(found, f"{name}_loss_by_freq")[place]
                )
                assert float(value) == pytest.approx(float(expected[pairs].mean()), rel=1e-10)


def test_a_circuit_alone_loses_what_the_network_does_and_without_it_guesses(checkpoint_of):
    checkpoint = checkpoint_of(clock_logits(11, {2: 9.0, 5: 7.0}))
    restricted, excluded = (
        checkpoint.measure(f"trace_{kind}_loss", keys="traced") for kind in ("restricted", "excluded")
    )
    assert restricted.key.nonzero().flatten().tolist() == [2, 5]
    assert 1e-9 < float(restricted.all_loss) < 1e-3
    assert float(restricted.all_loss) == pytest.approx(float(restricted.network_all_loss), rel=1e-10)
    assert float(excluded.train_loss) == pytest.approx(math.log(11), rel=1e-12)


def test_without_keys_one_guesses_and_the_other_is_the_network(checkpoint_of):
    checkpoint = checkpoint_of(noise(7) + clock_logits(7, {1: 6.0}))
    restricted, excluded = (checkpoint.measure(f"trace_{kind}_loss", keys=[]) for kind in ("restricted", "excluded"))
    assert float(restricted.all_loss) == pytest.approx(math.log(7), rel=1e-14)
    assert float(excluded.train_loss) == pytest.approx(float(excluded.network_train_loss), rel=1e-10)


# The cyclic networks of Chughtai et al. 2023, with the numbers they recorded (reference/README.md).


@pytest.fixture
def published(make_run, reference: Path):
    """The checkpoint of a published cyclic network, and what was recorded of it: [recorded, re-derived, status]."""

    def read(name):
        folder = reference / "rep_theory" / name
        gold = json.loads((folder / "gold.json").read_text())
        tensors = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
        n, config = gold["order"], gold["config"]
        split = {"frac_train": config["frac_train"], "seed": config["seed"], "split": "rep_theory"}
        if "W_x" in tensors:
            model = "mlp"
            names = {"embed_a.W_E": "W_x", "embed_b.W_E": "W_y", "mlp.W_in": "W", "unembed.W_U": "W_U"}
        else:
            model = {"transformer": {"biases": "none", "d_vocab_out": n}}
            parts = ("embed.W_E", "pos_embed.W_pos", "blocks.", "unembed.W_U")
            buffers = (".mask", ".IGNORE")
            names = {
                key: key for key in tensors if key.startswith(parts) and not key.endswith(buffers) and ".b_" not in key
            }
        weights = {ours: tensors[theirs] for ours, theirs in names.items()}
        return make_run({0: weights}, {"modular_arithmetic": {"p": n} | split}, model)[0], gold["metrics"]

    return read


NETWORKS = ["C113_MLP_seed1", "C113_MLP_seed3", "C113_T_seed1", "C118_MLP_seed1", "C118_MLP_seed3", "C118_T_seed3"]


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_have_their_recorded_numbers(published, name):
    checkpoint, metrics = published(name)
    n = checkpoint.task.p
    fit = checkpoint.measure("cosine_fit")
    restricted, excluded = (
        checkpoint.measure(f"trace_{kind}_loss", keys="traced") for kind in ("restricted", "excluded")
    )
    ours = {
        "percent_logits_explained": fit.explained,
        "total_logit_restricted_loss": restricted.all_loss,
        "total_logit_excluded_loss": excluded.train_loss,
    }
    for k in range(1, n // 2 + 1):
        representation = "sign" if 2 * k == n else f"freq_{k}"
        ours[f"logit_{representation}_rep_trace_similarity"] = fit.trace_similarity[k]
        ours[f"logit_restricted_loss_{representation}_rep"] = restricted.all_loss_by_freq[k]
        ours[f"logit_excluded_loss_{representation}_rep"] = excluded.train_loss_by_freq[k]
    for metric, value in ours.items():
        recorded, rederived, status = metrics[metric]
        assert float(value) == pytest.approx(rederived, rel=1e-6, abs=1e-9), metric
        if status == "reproduced":
            assert float(value) == pytest.approx(recorded, rel=1e-4, abs=5e-8), metric
