"""Which file holds which checkpoint at which step: folders and files planted as other people save them.

Each checkpoint is a network whose numbers are all its step (or a number that tells which it is), so what is found is
checked by what the weights say.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from interp.catalogue.options import checked_options
from interp.errors import InterpError
from interp.files import foreign
from interp.importers.shared.files_by_step import Asked, Found, Place, arrays_at, find, reading_once
from interp.recipes import analysis_recipe
from interp.recipes.document import parse_value
from interp.recipes.run_paths import run_name

SHAPES = {"embed.weight": (7, 4), "linear.weight": (6, 4), "linear.bias": (6,), "out.weight": (7, 6)}


def network(value: float, d: int = 4) -> dict[str, torch.Tensor]:
    """A state dict all of whose numbers are `value`."""
    return {name: torch.full([d if n == 4 else n for n in shape], float(value)) for name, shape in SHAPES.items()}


def prefixed(prefix: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def plant(folder: Path, files: Mapping[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            safetensors.torch.save_file(content, path)
        elif path.suffix == ".json":
            path.write_text(json.dumps(content))
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
    return folder


def held(found: Found) -> dict[int, float]:
    """Step -> the number that the weights found there are made of."""
    read = reading_once()
    values = {}
    for step, place in found.places.items():
        arrays = arrays_at(place, read)
        assert arrays.keys() == SHAPES.keys()
        (values[step],) = {float(each) for array in arrays.values() for each in array.ravel()}
    return values


def refusal(path: Path, asked: Asked | None = None) -> str:
    with pytest.raises(InterpError) as caught:
        find(path, asked)
    return str(caught.value)


def proposals(message: str, path: Path) -> list[Found]:
    """What each proposed line of a message finds: lines of a run.yaml, entries of `runs:`, commands."""
    found = []
    for line in message.splitlines():
        if "importer: {state_dicts:" in line and "--run" not in line and not line.lstrip().startswith("- "):
            (options,) = parse_value(line[line.index("importer: ") :])["importer"].values()
            checked = checked_options("importers", "state_dicts", options)
            found.append(find(path, Asked(**{name: checked[name] for name in options})))
        elif line.lstrip().startswith("- {path"):
            (run,) = parse_value(line.strip())
            found.append(find(Path(run["path"]), _asked(run["importer"])))
        elif "--run" in line:
            words = shlex.split(line)
            importer = parse_value(words[words.index("--importer") + 1])
            found.append(find(Path(words[words.index("--run") + 1]), _asked(importer)))
    return found


def _asked(importer: Any) -> Asked:
    return Asked(**importer["state_dicts"]) if isinstance(importer, dict) else Asked()


STATES = [network(value) for value in (0, 10, 20, 30)]
ALL = {0: 0, 10: 10, 20: 20, 30: 30}
BESIDE = {"config": {"p": 113}, "train_losses": [0.1] * 31, "test_losses": [0.2] * 31, "train_indices": torch.arange(9)}


# Several checkpoints in one file.


@pytest.mark.parametrize(
    "content",
    [
        {"model": STATES[3], "checkpoints": STATES, "checkpoint_epochs": [0, 10, 20, 30], **BESIDE},
        {"net": STATES, "net_its": np.array([0, 10, 20, 30]), "its": list(range(31))},
        {"state_dicts": STATES, "epochs": [0, 10, 20, 30]},
        {"snapshots": STATES, "saved_steps": torch.tensor([0, 10, 20, 30])},
        {"weights": tuple(STATES), "iters": (0.0, 10.0, 20.0, 30.0), "lr": [1, 2, 3, 4]},
        {"results": {"checkpoints": STATES, "steps": [0, 10, 20, 30]}, "config": {"steps": [1, 2, 3, 4]}},
        {"run": {"results": {"checkpoints": STATES}}, "checkpoint_steps": [0, 10, 20, 30]},
        {0: STATES[0], 10: STATES[1], 20: STATES[2], 30: STATES[3]},
        {"30": STATES[3], "0": STATES[0], "10": STATES[1], "20": STATES[2], "config": {"p": 7}},
        {f"epoch_{10 * place}": state for place, state in enumerate(STATES)},
        {f"step_{10 * place}": {"model": state, "loss": 0.1} for place, state in enumerate(STATES)},
        {"history": {f"ckpt-{10 * place}": state for place, state in enumerate(STATES)}},
        [{"epoch": 10 * place, "state_dict": state, "loss": 0.1} for place, state in enumerate(STATES)],
        {"log": [{"step": 10 * place, "net": prefixed("module.", state)} for place, state in enumerate(STATES)]},
        {**{name: torch.stack([each[name] for each in STATES]) for name in SHAPES}, "steps": np.array([0, 10, 20, 30])},
    ],
    ids=lambda content: " ".join(map(str, list(content)[:3])) if isinstance(content, dict) else "list",
)
def test_checkpoints_in_one_file_are_found_with_their_steps(content: Any, tmp_path: Path):
    path = plant(tmp_path, {"all.pt": content}) / "all.pt"
    assert held(find(path)) == ALL
    assert held(find(tmp_path)) == ALL


@pytest.mark.parametrize("key", [0, "0", "epoch_0", "step_0"])
def test_one_checkpoint_by_its_step_is_one(key: Any, tmp_path: Path):
    assert held(find(plant(tmp_path, {"a.pt": {key: STATES[0]}}))) == {0: 0}


STACKED = {name: torch.stack([each[name] for each in STATES]) for name in SHAPES}


@pytest.mark.parametrize(
    "content", [STATES, tuple(STATES), {"checkpoints": STATES}, STACKED, {"all": STACKED}], ids=lambda each: type(each)
)
def test_steps_that_are_nowhere_are_asked_for(content: Any, tmp_path: Path):
    plant(tmp_path, {"all.pt": content})
    message = refusal(tmp_path)
    assert "holds 4 checkpoints" in message
    (proposed,) = proposals(message, tmp_path)
    assert list(proposed.places) == [0, 100, 200, 300]
    assert held(find(tmp_path, Asked(at_steps=[0, 10, 20, 30]))) == ALL
    assert held(find(tmp_path, Asked(at_steps={"start": 0, "every": 10}))) == ALL
    assert "expected 4" in refusal(tmp_path, Asked(at_steps=[0, 10]))
    assert "do not ascend" in refusal(tmp_path, Asked(at_steps=[0, 20, 10, 30]))


@pytest.mark.parametrize(
    ("settings", "every"),
    [
        ({"checkpoint_every": 50, "log_every": 10}, 50),
        ({"training": {"lr": 1e-3}, "args": {"save_interval": 25}}, 25),
        ({"ckptFreq": 20}, 20),
        ({"save_every": 20, "checkpoint_every": 30}, 100),
        ({"eval_every": 20}, 100),
    ],
    ids=str,
)
@pytest.mark.parametrize("beside", [False, True])
def test_how_many_steps_lie_between_two_is_what_the_settings_say(
    settings: dict[str, Any], every: int, beside: bool, tmp_path: Path
):
    plant(tmp_path, {"all.pt": {"checkpoints": STATES} | ({} if beside else {"config": settings})})
    if beside:
        (tmp_path / "config.json").write_text(json.dumps(settings))
    message = refusal(tmp_path)
    (proposed,) = proposals(message, tmp_path)
    assert list(proposed.places) == [0, every, 2 * every, 3 * every]
    assert (f"is {every} in its settings" in message) == (every != 100)


def test_npz_files_of_several_checkpoints(tmp_path: Path):
    arrays = {f"step_{step}/{name}": array for step in ALL for name, array in network(step).items()}
    np.savez(tmp_path / "all.npz", **{name: array.numpy() for name, array in arrays.items()})
    assert held(find(tmp_path / "all.npz")) == ALL


def test_a_network_beside_its_checkpoints_is_said_to_be_left_out_where_it_is_another(tmp_path: Path):
    content = {"model": network(40), "checkpoints": STATES, "steps": [0, 10, 20, 30]}
    found = find(plant(tmp_path, {"all.pt": content}))
    assert held(found) == ALL
    (note,) = found.notes
    assert "model, which is left out" in note
    assert held(proposals(note.replace(" reads it).", ""), tmp_path)[0]) == {0: 40}
    assert not find(plant(tmp_path, {"all.pt": content | {"model": network(30)}})).notes


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_what_numpy_pickled_is_read(ending: str, tmp_path: Path):
    states = {step: {name: array.numpy() for name, array in network(step).items()} for step in ALL}
    if ending == "npy":
        np.save(tmp_path / "all.npy", states, allow_pickle=True)  # pyright: ignore[reportArgumentType]
    else:
        np.savez(tmp_path / "all.npz", networks=np.array([*states.values()], object), steps=np.array([*states]))
    assert held(find(tmp_path)) == ALL


def test_layers_in_a_list_are_no_checkpoints(tmp_path: Path):
    layers = [{"w": torch.ones(5, 4), "b": torch.ones(4)}, {"w": torch.ones(4, 5), "b": torch.ones(5)}]
    (place,) = find(plant(tmp_path, {"params_5.pt": layers})).places.values()
    assert {name: array.shape for name, array in arrays_at(place).items()} == {
        "0/w": (5, 4),
        "0/b": (4,),
        "1/w": (4, 5),
        "1/b": (5,),
    }


def test_several_runs_in_one_file_are_told(tmp_path: Path):
    content = {f"seed_{seed}": {0: network(seed), 10: network(seed)} for seed in (3, 4)}
    message = refusal(plant(tmp_path, {"a.pt": content}))
    assert "holds 2 runs" in message
    assert [held(each) for each in proposals(message, tmp_path)] == [{0: 3, 10: 3}, {0: 4, 10: 4}]


def test_numbers_after_a_letter_that_may_be_seeds_or_steps_are_asked_for_and_either_line_opens(tmp_path: Path):
    message = refusal(plant(tmp_path, {f"s{n}.pt": network(n) for n in (0, 100, 200)}))
    assert "3 runs, not one" in message
    (line,) = [line for line in message.splitlines() if "pattern" in line]
    assert line.strip() == 'importer: {state_dicts: {pattern: "s{step}.pt"}}'
    assert held(find(tmp_path, Asked("s{step}.pt"))) == {0: 0, 100: 100, 200: 200}
    assert "pattern" not in refusal(plant(tmp_path / "seeds", {f"seed{n}.pt": network(n) for n in (0, 1)}))


# Several networks in one file.


@pytest.mark.parametrize(
    "content",
    [
        {"ema": network(1), "online": network(2), "step": 5},
        {"student": network(1), "teacher": network(2), "step": 5},
        {"nets": {"one": network(1), "other": network(2)}, "step": 5},
        {**prefixed("student.", network(1)), **prefixed("teacher.", network(2)), "step": 5},
        {
            **prefixed("online_model.", network(1)),
            **prefixed("ema_model.", network(2)),
            "initted": torch.tensor(True),
            "step": torch.tensor(5),
        },
    ],
    ids=lambda content: next(iter(content)),
)
def test_networks_of_one_shape_under_unknown_names_are_named_and_asked_for(content: Any, tmp_path: Path):
    message = refusal(plant(tmp_path, {"a.pt": content}))
    assert "2 networks of the same shapes" in message
    assert "embed.weight [7, 4]" in message
    assert [held(each) for each in proposals(message, tmp_path)] == [{5: 1}, {5: 2}]


@pytest.mark.parametrize("known", ["model", "state_dict", "model_state_dict", "net", "params", "weights"])
@pytest.mark.parametrize("other", ["ema", "swa_model", "averaged", "best_state"])
def test_a_usual_name_wins_over_a_copy_and_a_note_says_so(known: str, other: str, tmp_path: Path):
    found = find(plant(tmp_path, {"step_5.pt": {other: network(1), known: network(2)}}))
    assert held(found) == {5: 2}
    (note,) = found.notes
    assert f"{known} is read, and {other} left out" in note
    assert [held(each) for each in proposals(note.replace(" reads that).", ""), tmp_path)] == [{5: 1}]


def test_an_entry_is_found_at_any_depth_and_a_wrong_one_is_told(tmp_path: Path):
    content = {"out": {"v1.0": {"ema": network(3), "raw": network(4)}}, "model": network(5)}
    plant(tmp_path, {"a_7.pt": content})
    assert held(find(tmp_path, Asked(entry="out.v1.0.ema"))) == {7: 3}
    assert "holds no out.v2: expected within out one of v1.0" in refusal(tmp_path, Asked(entry="out.v2"))


@pytest.mark.parametrize(
    "state",
    [
        prefixed("module.", network(3)),
        prefixed("_orig_mod.module.", network(3)),
        prefixed("net.", network(3)),
        {"n_averaged": torch.tensor(4), **prefixed("module.", network(3))},
        {**prefixed("model.", network(3)), **prefixed("ema_model.module.", network(4))},
    ],
)
def test_what_wrappers_add_is_no_matter(state: dict[str, torch.Tensor], tmp_path: Path):
    assert held(find(plant(tmp_path, {"a_5.ckpt": {"state_dict": state}}))) == {5: 3}


def test_parts_of_a_network_are_one(tmp_path: Path):
    parts = {"embed": {"weight": torch.ones(7, 4)}, "mlp": {"weight": torch.ones(6, 4), "bias": torch.ones(6)}}
    (place,) = find(plant(tmp_path, {"a_5.pt": parts | {"head": {"weight": torch.ones(7, 6)}}})).places.values()
    assert list(arrays_at(place)) == ["embed.weight", "mlp.weight", "mlp.bias", "head.weight"]


# The step.


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["epoch=9-val_loss=3.14.ckpt", "epoch=99-val_loss=0.21.ckpt", "epoch=49-val_loss=1.ckpt"], [9, 99, 49]),
        (["epoch=9-step=100.ckpt", "epoch=19-step=200.ckpt"], [100, 200]),
        (["model_500.pt", "model_1k.pt", "model_1.5k.pt", "model_10k.pt"], [500, 1000, 1500, 10_000]),
        (["ckpt_1e3.pt", "ckpt_1e4.pt"], [1000, 10_000]),
        (["model_500.pt", "model_1_000.pt", "model_40_000.pt"], [500, 1000, 40_000]),
        (["step_1_000.pt", "step_2_000.pt"], [1000, 2000]),
        (["m-1,000.pt", "m-40,000.pt"], [1000, 40_000]),
        (["step_9_seed_7.pt", "step_2_100_seed_7.pt"], [9, 2100]),
        (["2024-01-31_model_100.pt", "2024-02-01_model_200.pt"], [100, 200]),
        (["20240131_1200/ckpt5.pt", "20240131_1200/ckpt15.pt"], [5, 15]),
        (["bs512_p113_lr0.001_seed3_100.pt", "bs512_p113_lr0.001_seed3_200.pt"], [100, 200]),
        (["p113_lr0.001_s42_step0005.pt"], [5]),
        (["wd1_d128_iter7.pt", "wd1_d128_iter8.pt"], [7, 8]),
        (["run-x/v2/model10.pt", "run-x/v2/model20.pt"], [10, 20]),
        (["a1b2c3d_5.pt", "a1b2c3d_6.pt"], [5, 6]),
        (["epoch_10/ckpt_3.pt", "epoch_20/ckpt_3.pt"], [10, 20]),
        (["init_0.pt", "model_5.pt", "model_6.pt"], [0, 5, 6]),
        (["loss0.12_acc0.9_epoch12.pt", "loss0.02_acc1.0_epoch13.pt"], [12, 13]),
    ],
    ids=lambda each: str(each[0]),
)
def test_the_step_in_names_is_the_number_that_speaks_of_it(names: list[str], steps: list[int], tmp_path: Path):
    plant(tmp_path, {name: network(step) for name, step in zip(names, steps, strict=True)})
    assert held(find(tmp_path)) == {step: step for step in steps}


@pytest.mark.parametrize(
    "around",
    [
        {"global_step": 400, "epoch": 3, "step": 7},
        {"step": torch.tensor(400)},
        {"iteration": 400.0},
        {"meta": {"steps": 400}},
        {"epoch": 3, "train_state": {"it": np.int64(400)}},
        {"hyper_parameters": {"step": 9, "epochs": 50_000}, "global_step": 400},
    ],
)
def test_what_the_file_says_inside_is_the_step(around: dict[str, Any], tmp_path: Path):
    found = find(plant(tmp_path, {"final.pt": {"state_dict": network(1), **around}}))
    assert held(found) == {400: 1}
    assert found.unit == "step"


def test_what_files_say_inside_wins_over_names(tmp_path: Path):
    files = {f"epoch={epoch}-val_loss=0.{epoch}.ckpt": (epoch, 4 * epoch + 4) for epoch in (0, 9, 99)}
    plant(tmp_path, {n: {"state_dict": network(s), "epoch": e, "global_step": s} for n, (e, s) in files.items()})
    assert held(find(tmp_path)) == {4: 4, 40: 40, 400: 400}


def test_steps_that_are_epochs_are_said_to_be(tmp_path: Path):
    found = find(plant(tmp_path, {f"epoch_{n}.pt": network(n) for n in (1, 2)}))
    assert found.unit == "epoch"
    assert found.notes == ("The steps are epochs: how many updates one takes is not told.",)


def test_off_by_one_is_no_contradiction_and_the_file_wins(tmp_path: Path):
    plant(tmp_path, {f"model_{n}.pt": {"model": network(n), "epoch": n - 1} for n in (100, 200)})
    assert held(find(tmp_path)) == {99: 100, 199: 200}


def test_names_that_count_something_else_are_told(tmp_path: Path):
    plant(tmp_path, {f"model_{n}.pt": {"model": network(n), "step": 100 * n} for n in (1, 2, 7)})
    found = find(tmp_path)
    assert held(found) == {100: 1, 200: 2, 700: 7}
    assert "count something else" in found.notes[0]


def test_a_number_inside_that_never_changes_is_no_step(tmp_path: Path):
    plant(tmp_path, {f"model_{n}.pt": {"model": network(n), "epochs": 50_000} for n in (1, 2, 7)})
    assert held(find(tmp_path)) == {1: 1, 2: 2, 7: 7}


def test_a_contradiction_is_refused_and_the_names_can_be_chosen(tmp_path: Path):
    plant(tmp_path, {f"model_{n}.pt": {"model": network(n), "step": inside} for n, inside in ((100, 200), (200, 500))})
    message = refusal(tmp_path)
    assert "model_100.pt: step 100 in its name, step 200 inside" in message
    assert [held(each) for each in proposals(message, tmp_path)] == [{100: 100, 200: 200}]
    alone = tmp_path / "step_7.pt"
    torch.save({"model": network(7), "step": 90}, alone)
    assert "step 7 in its name, step 90 inside" in refusal(alone)


def test_several_numbers_that_vary_are_asked_about(tmp_path: Path):
    plant(tmp_path, {f"{one}_{two}.pt": network(10 * one + two) for one in (1, 2) for two in (5, 6)})
    message = refusal(tmp_path)
    assert "which number is the step in 1_5" in message
    assert {5: 15, 6: 16} in [held(each) for each in proposals(message, tmp_path)]


def test_a_step_that_nothing_tells_is_said_to_be_taken_for_0(tmp_path: Path):
    found = find(plant(tmp_path, {"final.pt": network(1)}))
    assert list(found.places) == [0]
    assert "final.pt tells no step" in found.notes[0]


@pytest.mark.parametrize("protocol", ["2", "1_000", "{step"])
def test_a_pattern_without_a_step_is_told(protocol: str, tmp_path: Path):
    plant(tmp_path, {"a_5.pt": network(5)})
    assert "should hold {step} once" in refusal(tmp_path, Asked(pattern=protocol))


def test_a_pattern_chooses_files_and_reads_the_step(tmp_path: Path):
    plant(tmp_path, {"run2_10_seed7.pt": network(10), "run2_1.5k_seed7.pt": network(1500), "x_3.pt": network(3)})
    assert held(find(tmp_path, Asked(pattern="run2_{step}_*.pt"))) == {10: 10, 1500: 1500}
    assert "is in no file's name" in refusal(tmp_path, Asked(pattern="y_{step}.pt"))


# Files without a step in their names.


def test_final_last_and_best_are_placed_by_what_they_hold(tmp_path: Path):
    numbered = {f"model_{n}.pt": {"model": network(n), "step": n} for n in (5, 6)}
    others = {"final.pt": {"model": network(9), "step": 9}, "last.pt": {"model": network(6), "step": 6}}
    found = find(plant(tmp_path, {**numbered, **others, "best.pt": {"model": network(5.5)}}))
    assert held(found) == {5: 5, 6: 6, 9: 9}
    assert {file.name for file in found.skipped} == {"last.pt", "best.pt"}
    (note,) = found.notes
    assert note.startswith("Left out: best.pt")
    name = re.search(r"such as (\S+)\.$", note)
    assert name
    (tmp_path / "best.pt").rename(tmp_path / name[1])
    assert 5.5 in held(find(tmp_path)).values()


def test_a_copy_without_a_step_is_no_matter(tmp_path: Path):
    found = find(plant(tmp_path, {"model_5.pt": network(5), "model_6.pt": network(6), "final.pt": network(6)}))
    assert held(found) == {5: 5, 6: 6}
    assert not found.notes


def test_an_optimiser_tells_the_step_of_a_file_that_says_none(tmp_path: Path):
    model = nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(model.parameters())
    for _ in range(3):
        model(torch.ones(1, 2)).sum().backward()
        optimiser.step()
    content = {"model": network(1), "optimizer": optimiser.state_dict()}
    assert held(find(plant(tmp_path, {"final.pt": content}))) == {3: 1}


def test_files_that_only_their_contents_tell_apart_are_placed(tmp_path: Path):
    plant(tmp_path, {name: {"net": network(n), "iteration": n} for name, n in (("a.pt", 3), ("b.pt", 13))})
    assert held(find(tmp_path)) == {3: 3, 13: 13}


def test_data_beside_a_network_is_none(tmp_path: Path):
    data = {"inputs": torch.randn(50, 30), "targets": torch.randn(50)}
    found = find(plant(tmp_path, {"final.pt": {"model": network(1), "step": 9}, "data.pt": data}))
    assert held(found) == {9: 1}
    assert "Skipped, for they hold no network: data.pt." in found.notes


def test_endings_after_one_another_are_endings(tmp_path: Path):
    plant(tmp_path, {f"checkpoint_{n}.pth.tar": {"state_dict": network(n)} for n in (5, 6)})
    assert held(find(tmp_path)) == {5: 5, 6: 6}


def test_a_bare_number_in_the_name_of_one_file_is_said_to_be_the_step(tmp_path: Path):
    assert "its step is taken to be 97" in find(plant(tmp_path, {"model_add_97.pt": network(1)})).notes[0]


def test_two_networks_that_nothing_tells_apart_are_refused(tmp_path: Path):
    message = refusal(plant(tmp_path, {"x.pt": network(1), "y.pt": network(2)}))
    assert "2 networks without a step" in message
    assert [held(each) for each in proposals(message, tmp_path)] == [{0: 1}, {0: 2}, {0: 1}]


# Several runs.


@pytest.mark.parametrize(
    ("files", "runs"),
    [
        ({f"seed_{seed}/final.pt": seed for seed in (0, 1, 2)}, [{0: 0}, {0: 1}, {0: 2}]),
        (
            {f"run_{run}/ckpt_{step}.pt": step + place for place, run in enumerate("ab") for step in (100, 200)},
            [{100: 100, 200: 200}, {100: 101, 200: 201}],
        ),
        (
            {f"out/lr{lr}/seed{seed}/{step}.pt": step + seed for lr in (0.1,) for seed in (0, 1) for step in (5, 6)},
            [{5: 5, 6: 6}, {5: 6, 6: 7}],
        ),
        (
            {f"p23_seed{seed}_{step}.pt": step + seed for seed in (0, 1) for step in (100, 200)},
            [{100: 100, 200: 200}, {100: 101, 200: 201}],
        ),
        (
            {f"logs/version_{v}/checkpoints/epoch={e}-step={3 * e}.ckpt": e + v for v in (0, 1) for e in (1, 2)},
            [{3: 1, 6: 2}, {3: 2, 6: 3}],
        ),
        (
            {f"wd_{wd}/{step}.pt": step + wd for wd in (0.5, 1) for step in (100, 200)},
            [{100: 100.5, 200: 200.5}, {100: 101, 200: 201}],
        ),
        ({f"{letter}_5.pt": place for place, letter in enumerate("ab")}, [{5: 0}, {5: 1}]),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)  # fmt: skip
def test_several_runs_are_told_with_the_lines_that_open_each(
    files: dict[str, float], runs: list[dict[int, float]], tmp_path: Path
):
    message = refusal(plant(tmp_path, {name: network(value) for name, value in files.items()}))
    assert f"holds {len(runs)} " in message
    assert ", not one" in message
    found = [held(each) for each in proposals(message, tmp_path)]
    assert found[: len(runs)] == runs
    assert all(each in runs for each in found)
    block = [line for line in message.splitlines() if line.strip() == "runs:" or line.lstrip().startswith("- {path")]
    (tmp_path / "analysis.yaml").write_text("\n".join(["measures: [loss]", *(line[2:] for line in block)]))
    read = analysis_recipe.read(tmp_path / "analysis.yaml").sources
    assert len({source.name or run_name(source.path) for source in read}) == len(runs)


def test_files_that_hold_a_run_each_are_told(tmp_path: Path):
    content = {"net": STATES, "net_its": [0, 10, 20, 30]}
    message = refusal(plant(tmp_path, {"first.pth": content, "second.pth": content}))
    assert [held(each) for each in proposals(message, tmp_path)] == [ALL, ALL, ALL]


def test_a_network_beside_a_file_of_checkpoints_is_its_last_or_said(tmp_path: Path):
    plant(tmp_path, {"all.pt": {"net": STATES, "net_its": [0, 10, 20, 30]}, "final.pt": network(30)})
    found = find(tmp_path)
    assert held(found) == ALL
    assert not found.notes
    plant(tmp_path, {"best.pt": network(25)})
    assert "left out: best.pt" in find(tmp_path).notes[0]


def test_an_averaged_series_beside_the_usual_one_is_left_out_and_said(tmp_path: Path):
    plant(tmp_path, {f"model{kind}_{n}.pt": network(n + len(kind)) for kind in ("", "_ema") for n in (5, 6)})
    found = find(tmp_path)
    assert held(found) == {5: 5, 6: 6}
    assert "Left out, as averages" in found.notes[0]


# Folders.


def test_a_run_lies_at_any_depth_and_hidden_folders_are_none(tmp_path: Path):
    plant(
        tmp_path, {"a/b/c/d/model_5.pt": network(5), "a/b/c/d/model_6.pt": network(6), ".cache/model_7.pt": network(7)}
    )
    assert held(find(tmp_path)) == {5: 5, 6: 6}


def test_a_folder_of_the_trainer(tmp_path: Path):
    optimiser = torch.optim.AdamW([torch.ones(2, 2, requires_grad=True)]).state_dict()
    for step in (500, 1000):
        folder = f"checkpoint-{step}"
        plant(tmp_path, {f"{folder}/model.safetensors": network(step), f"{folder}/optimizer.pt": optimiser})
        plant(tmp_path, {f"{folder}/{name}": {} for name in ("scheduler.pt", "rng_state.pth", "training_args.bin")})
        plant(tmp_path, {f"{folder}/trainer_state.json": {"global_step": step, "epoch": step / 10, "log_history": []}})
    plant(tmp_path, {"model.safetensors": network(1000), "training_args.bin": {}})
    found = find(tmp_path)
    assert held(found) == {500: 500, 1000: 1000}
    assert "Skipped by their names: " in found.notes[0]
    plant(tmp_path, {"model.safetensors": network(1200), "trainer_state.json": {"global_step": 1200}})
    assert held(find(tmp_path)) == {500: 500, 1000: 1000, 1200: 1200}
    for step in (500, 1000):  # both formats of one network
        plant(tmp_path, {f"checkpoint-{step}/pytorch_model.bin": network(step)})
    assert held(find(tmp_path)) == {500: 500, 1000: 1000, 1200: 1200}


def test_what_holds_no_network_is_skipped_by_its_content_and_said(tmp_path: Path):
    adam = {"state": {0: {"exp_avg": torch.ones(3, 4), "exp_avg_sq": torch.ones(3, 4)}}, "param_groups": [{"lr": 1}]}
    others = {"adam_6.pt": adam, "train_losses.pt": [0.5, 0.1], "history.pt": {"train_loss": torch.ones(9)}}
    others |= {
        "key_freqs.pt": {"key_frequencies": torch.ones(9, 5), "norms": torch.ones(9)},
        "split.pt": torch.ones(49),
    }
    found = find(plant(tmp_path, {"model_5.pt": network(5), "model_6.pt": network(6), **others}))
    assert held(found) == {5: 5, 6: 6}
    assert {file.name for file in found.skipped} == others.keys()
    assert all(name in found.notes[0] for name in others)


def test_curves_instead_of_weights_are_named(tmp_path: Path):
    curves = {"train_loss": torch.ones(201), "key_frequencies": torch.ones(201, 5), "test_acc": [0.1] * 201}
    plant(tmp_path, {"measures.pt": curves})
    assert "no weights: these look like curves (train_loss [201], key_frequencies [201, 5]" in refusal(tmp_path)
    assert "no weights: these look like curves" in refusal(tmp_path / "measures.pt")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], "a network in 2 pieces"),
        (["net.h5"], "Keras"),
        (["net.keras"], "Keras"),
        (["10/_METADATA", "10/manifest.ocdbt"], "orbax"),
        (["optimizer.pt"], "beside it lie optimizer.pt"),
        (["notes.txt"], "holds no weight file; expected files that end in .pt"),
    ],
)
def test_what_is_not_read_is_named(files: list[str], told: str, tmp_path: Path):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert told in refusal(tmp_path)


def test_a_file_that_cannot_be_read_keeps_its_place_and_one_without_a_step_is_said(tmp_path: Path):
    plant(tmp_path, {"model_5.pt": network(5), "model_6.pt": b"cut", "last.pt": b"cut too"})
    found = find(tmp_path)
    assert list(found.places) == [5, 6]
    assert "last.pt" in found.notes[0]


def test_flax_files_keep_their_names(tmp_path: Path):
    tree = {
        "params": {"Dense_0": {"kernel": np.ones((3, 2)), "bias": np.ones(2)}, "Dense_1": {"kernel": np.ones((2, 3))}}
    }
    (tmp_path / "ckpt_10.pkl").write_bytes(pickle.dumps({**tree, "opt_state": {"0": {"mu": tree["params"]}}}))
    np.savez(
        tmp_path / "ckpt_20.npz", **{"params/Dense_0/kernel": np.ones((3, 2)), "params/Dense_1/kernel": np.ones((2, 3))}
    )
    found = find(tmp_path)
    assert list(found.places) == [10, 20]
    assert set(arrays_at(found.places[10])) == {"params/Dense_0/kernel", "params/Dense_0/bias", "params/Dense_1/kernel"}
    assert set(arrays_at(found.places[20])) == {"params/Dense_0/kernel", "params/Dense_1/kernel"}


def test_many_files_are_told_by_a_few_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = io.BytesIO()
    torch.save(network(1), file)
    for step in range(500):
        (tmp_path / f"{step}.pt").write_bytes(file.getvalue())
    read: list[Path] = []
    outline = foreign.outline
    monkeypatch.setattr(foreign, "outline", lambda path: read.append(path) or outline(path))
    assert list(find(tmp_path).places) == list(range(500))
    assert len(read) < 100


# How often a file is read.


def save(path: Path, value: float) -> None:
    torch.save({step: {name: torch.full((2, 2), value + (step > 0)) for name in "wv"} for step in (0, 50)}, path)


def test_a_file_of_many_checkpoints_is_read_once_until_it_changes(tmp_path: Path):
    path, read = tmp_path / "all.pt", reading_once()
    save(path, 3.0)
    places = find(path, read=read).places
    assert places == {0: Place(path, (0,)), 50: Place(path, (50,))}
    assert read(path) is read(path)
    assert [arrays_at(place, read)["w"][0].tolist() for place in places.values()] == [[3, 3], [4, 4]]
    save(path, 7.0)
    assert arrays_at(places[50], read)["w"][0].tolist() == [8, 8]


def test_a_file_that_is_gone_is_not_answered_from_memory(tmp_path: Path):
    path, read = tmp_path / "all.pt", reading_once()
    save(path, 3.0)
    assert find(path, read=read)
    path.unlink()
    with pytest.raises(InterpError):
        read(path)


@pytest.mark.parametrize("pack", [tuple, list])
def test_a_list_of_checkpoints_that_begin_with_their_steps(pack: type, tmp_path: Path):
    plant(tmp_path, {"history.pt": [pack((step, network(step), 0.5)) for step in (0, 250, 900)]})
    assert held(find(tmp_path / "history.pt")) == {0: 0, 250: 250, 900: 900}
