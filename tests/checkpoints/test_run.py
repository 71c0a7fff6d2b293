from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from interp import provenance
from interp.checkpoints import open_run
from interp.errors import InterpError
from interp.files.arrays import write_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.models.mlp import mlp
from interp.models.transformer import transformer
from interp.recipes.run_paths import run_name
from interp.tasks.modular_arithmetic import modular_arithmetic

TASK = {"modular_arithmetic": {"p": 5, "frac_train": 0.5}}
MODEL = {"transformer": {"d_model": 8, "n_heads": 2, "d_mlp": 6}}
ARCHITECTURE = transformer(modular_arithmetic(5, frac_train=0.5), 1, 8, 2, 6)
STEPS = (0, 100, 200)


@pytest.fixture
def run(make_run):
    return make_run({step: ARCHITECTURE.initial(step) for step in STEPS}, TASK, MODEL)


def refusal(action) -> str:
    with pytest.raises(InterpError) as refused:
        action()
    message = str(refused.value)
    assert "\n" not in message
    return message


# Opening.


def test_a_path_that_is_not_there_is_refused_with_the_runs_of_nearly_that_name(run):
    message = refusal(lambda: open_run(run.path.with_name("rum")))
    assert "rum does not exist; did you mean 'run'" in message
    assert "does not exist" in refusal(lambda: open_run("/no/such/place"))


def test_a_folder_that_is_not_a_run_is_refused_and_said_to_need_an_importer(tmp_path):
    message = refusal(lambda: open_run(tmp_path))
    assert str(tmp_path) in message
    assert "run.yaml" in message
    assert "importer" in message


def test_an_unknown_importer_is_refused(run):
    assert "no importer 'nobody'" in refusal(lambda: open_run(run.path, importer="nobody"))


def test_a_run_without_checkpoints_is_refused_with_the_command_that_trains_it(make_run):
    empty = make_run({}, TASK, MODEL)
    assert "no checkpoints" in repr(empty)
    for ask in (lambda: empty.steps, lambda: empty.first, lambda: empty.final, lambda: list(empty), lambda: empty[0]):
        assert f"interp train {empty.path}" in refusal(ask)


@pytest.mark.parametrize(("missing", "nearest"), [(150, "100 and 200"), (-1, "0"), (10_000, "200")])
def test_a_step_that_is_not_there_is_refused_with_the_nearest(run, missing, nearest):
    message = refusal(lambda: run[missing])
    assert message == f"run has no checkpoint at step {missing:,}; the nearest are {nearest}"


def test_a_task_that_cannot_be_is_refused_with_the_recipe_s_path(make_run):
    message = refusal(lambda: make_run({}, {"modular_arithmetic": {"p": 9, "operation": "x/y"}}, MODEL))
    assert "run.yaml" in message
    assert "not prime" in message
    message = refusal(lambda: make_run({}, TASK, {"transformer": {"d_model": 3}}, name="other"))
    assert "d_model is 3" in message


@pytest.mark.parametrize("wrong", ["shape", "missing", "extra"])
def test_weights_that_are_not_the_recipe_s_are_refused_by_name(make_run, wrong):
    weights = ARCHITECTURE.initial(0)
    name = "blocks.0.mlp.W_in"
    if wrong == "shape":
        weights[name] = torch.zeros(8, 7)
    elif wrong == "missing":
        del weights[name]
    else:
        name = "blocks.7.mlp.W_in"
        weights[name] = torch.zeros(8, 6)
    run = make_run({0: weights}, TASK, MODEL)
    for ask in (lambda: run[0].logits, lambda: run.final.model):
        assert name in refusal(ask)


def test_a_split_of_another_task_is_refused(run):
    write_arrays(run.path / "weights" / "split.safetensors", {"train": np.array([True, False])})
    with pytest.raises(InterpError, match=r"split\.safetensors is not a split of the \d+ examples"):
        open_run(run.path)


@pytest.mark.parametrize("step", ["a", slice(0, 500), 1.5])
def test_a_step_is_a_whole_number(run, step):
    with pytest.raises(InterpError, match="a checkpoint is named by its step"):
        run[step]


def test_variables_and_the_home_folder_are_expanded(run, monkeypatch):
    monkeypatch.setenv("RUNS", str(run.path.parent))
    monkeypatch.setenv("HOME", str(run.path.parent))
    assert open_run("$RUNS/run").steps == open_run("~/run").steps == list(STEPS)


def test_a_stored_split_overrules_the_recipe_s(run):
    mask = np.zeros(25, bool)
    mask[[3, 4]] = True
    write_arrays(run.path / "weights" / "split.safetensors", {"train": mask})
    assert open_run(run.path).task.train.nonzero().flatten().tolist() == [3, 4]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/x/checkpoints/a", "a"),
        ("/x/checkpoints/a/seed=3", "a.seed=3"),
        ("/x/checkpoints/old/checkpoints/b", "b"),
        ("/x/elsewhere/c", "c"),
        ("/x/checkpoints", "checkpoints"),
    ],
)
def test_a_run_is_called_by_its_path_below_checkpoints_else_by_its_last_part(path, name):
    assert run_name(Path(path)) == name


def test_a_run_that_is_a_file_is_called_without_its_suffix(tmp_path):
    (tmp_path / "model_x.pt").touch()
    assert run_name(tmp_path / "model_x.pt") == "model_x"


# Steps and checkpoints.


def test_checkpoints_come_in_the_order_of_their_steps(run):
    assert run.steps == list(STEPS)
    assert len(run) == 3
    assert [checkpoint.step for checkpoint in run] == list(STEPS)
    assert (run.first.step, run.final.step) == (0, 200)
    assert run[100].step == 100
    assert run[np.int64(100)].step == 100
    assert "3 checkpoints, steps 0" in repr(run)


def test_the_ends_of_a_run_are_where_its_weights_are_finite(make_run):
    def weights(step: int) -> dict[str, torch.Tensor]:
        factor = float("nan") if step in (0, 300) else 1.0
        return {name: factor * value for name, value in ARCHITECTURE.initial(step).items()}

    run = make_run({step: weights(step) for step in (0, 100, 200, 300)}, TASK, MODEL)
    assert (run.first.step, run.final.step) == (100, 200)
    nowhere = make_run({step: weights(0) for step in (0, 100)}, TASK, MODEL, "nowhere")
    assert (nowhere.first.step, nowhere.final.step) == (0, 100)


def test_a_run_that_is_still_training_grows(run):
    CheckpointBlocks(run.path / "weights").save(300, {k: v.numpy() for k, v in ARCHITECTURE.initial(3).items()})
    assert run.steps == list(STEPS)
    assert run.refreshed().steps == [*STEPS, 300]
    assert run.refreshed().final.step == 300


def test_a_run_is_what_was_there_when_it_was_opened_in_every_process(run):
    CheckpointBlocks(run.path / "weights").save(300, {k: v.numpy() for k, v in ARCHITECTURE.initial(3).items()})
    for kept in (run, run.refreshed(run.steps), pickle.loads(pickle.dumps(run))):
        assert kept.steps == list(STEPS)
        assert (kept.final.step, kept.answer("final")) == (200, run.digest(200))
        assert "the nearest are 200" in refusal(lambda kept=kept: kept[300])


def test_weights_replaced_since_it_was_opened_are_refused_and_told_by_the_run_as_it_is_now(run):
    before = run.digest(100)
    assert not run.has_changed()
    path = run.path / "weights" / "step-000000100.safetensors"
    write_arrays(path, {k: v.numpy()[None] for k, v in ARCHITECTURE.initial(9).items()}, [100], by_row=True)
    assert run.has_changed()
    assert "step 100 were replaced" in refusal(lambda: run[100].weights)
    now = run.refreshed()
    assert run.digest(100) == before != now.digest(100)
    assert {
        question for question in ("step 0", "step 100", "final") if now.answer(question) != run.answer(question)
    } == {"step 100"}


def test_the_steps_of_a_run_with_a_damaged_file_are_the_same_whenever_they_are_asked_for(run):
    path = run.path / "weights" / "step-000000200.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="step 200 left out"):
        before = open_run(run.path).answer("steps")
    again = open_run(run.path)
    with pytest.raises(InterpError):
        again[200]
    with pytest.warns(UserWarning, match="step 200 left out"):
        assert again.answer("steps") == before
    assert again.answer("step 200") == ""
    assert again.answer("final") == again.digest(100)
    assert [(gone.steps, path.name in gone.reason) for gone in again.left_out] == [([200], True)]


def test_weights_are_those_that_were_stored_under_the_names_of_the_architecture(run):
    for step in STEPS:
        weights = run[step].weights
        assert weights.keys() == ARCHITECTURE.shapes.keys()
        assert all(torch.equal(value, weights[name]) for name, value in ARCHITECTURE.initial(step).items())


def test_activations_have_the_shapes_and_precision_they_promise(run):
    checkpoint = run.final
    assert checkpoint.logits.shape == (25, 6)
    assert checkpoint.neurons.shape == (25, 6)
    assert checkpoint.embedding.shape == (5, 8)
    assert {tensor.dtype for tensor in (checkpoint.logits, checkpoint.neurons, checkpoint.embedding)} == {torch.float64}
    assert checkpoint.cache["blocks.0.mlp.hook_post"].shape == (25, 3, 6)
    assert checkpoint.cache["blocks.0.attn.hook_pattern"].shape == (25, 2, 3, 3)
    assert checkpoint.tokens.tolist() == [[a, b, 5] for a in range(5) for b in range(5)]
    assert {value.dtype for value in checkpoint.weights.values()} == {torch.float32}
    assert not checkpoint.logits.requires_grad


def test_logits_and_cache_are_the_hooked_model_s(run):
    checkpoint = run.final
    logits = checkpoint.model(checkpoint.tokens)[:, -1]
    torch.testing.assert_close(logits.double(), checkpoint.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        checkpoint.cache["blocks.0.mlp.hook_post"][:, -1].double(), checkpoint.neurons, rtol=1e-4, atol=1e-5
    )


def test_an_mlp_s_run_has_the_same_offer(make_run):
    architecture = mlp(modular_arithmetic(5), 4, 6)
    checkpoint = make_run({7: architecture.initial(0)}, TASK, {"mlp": {"d_model": 4, "d_mlp": 6}}).final
    assert checkpoint.logits.shape == (25, 5)
    assert checkpoint.embedding.shape == (5, 8)  # two tables side by side
    torch.testing.assert_close(checkpoint.model(checkpoint.tokens).double(), checkpoint.logits, rtol=1e-4, atol=1e-5)


def test_the_models_of_two_steps_are_independent(run):
    first, last = run[0].model, run[200].model
    before = {name: value.clone() for name, value in last.state_dict().items()}
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    first.add_hook("blocks.0.mlp.hook_post", lambda value, hook: value * 0)  # noqa: ARG005
    assert all(torch.equal(value, before[name]) for name, value in last.state_dict().items())
    tokens = run[200].tokens
    torch.testing.assert_close(last(tokens), run.architecture.hooked(before)(tokens))


def test_changing_a_checkpoint_s_model_does_not_change_the_checkpoint(run):
    checkpoint = run.final
    logits = checkpoint.logits
    with torch.no_grad():
        for parameter in checkpoint.model.parameters():
            parameter.zero_()
    assert all(torch.equal(value, run.final.weights[name]) for name, value in checkpoint.weights.items())
    torch.testing.assert_close(run.final.logits, logits)


def test_weights_that_are_not_numbers_are_noticed(make_run):
    broken = ARCHITECTURE.initial(0)
    broken["blocks.0.mlp.b_in"][0] = float("inf")
    run = make_run({0: ARCHITECTURE.initial(0), 1: broken}, TASK, MODEL)
    assert run[0].finite
    assert not run[1].finite


def test_a_run_among_several_is_that_in_a_worker_too(run):
    """What it notes says whose it is, so that the answer is not looked for in another run."""
    again = pickle.loads(pickle.dumps(run.scoped("one: ")))
    with provenance.recording() as reads:
        again[again.steps[-1]].measure("weight_norm")
    assert {question.partition(" ")[0] for question in reads if "/" not in question} == {"one:"}


def test_a_pickled_run_opens_itself_again(run):
    again = pickle.loads(pickle.dumps(run))
    assert (again.path, again.name, again.steps) == (run.path, run.name, run.steps)
    assert torch.equal(again.final.logits, run.final.logits)
    assert again.recipe_digest == run.recipe_digest
    assert len(pickle.dumps(run)) < 2000


# Measures at a checkpoint, and what they were made from.


def test_a_measure_s_answer_is_computed_once_and_what_it_read_is_noted_every_time(run):
    checkpoint = run.final
    with provenance.recording() as first:
        answer = checkpoint.measure("loss")
    with provenance.recording() as second:
        assert checkpoint.measure("loss") is answer
    assert first == second
    assert {"step 200", "measures/loss", "final"} & set(first) >= {"step 200", "measures/loss"}


def test_another_option_is_another_answer(run):
    checkpoint = run.final
    assert checkpoint.measure("embedding_circle", count=1).freq.shape == (1,)
    assert checkpoint.measure("embedding_circle", count=2).freq.shape == (2,)
    with pytest.raises(InterpError, match="did you mean 'count'"):
        checkpoint.measure("embedding_circle", cuont=2)


def test_whatever_is_read_of_a_checkpoint_is_noted(run):
    for attribute in ("weights", "model", "cache", "logits", "neurons", "embedding"):
        with provenance.recording() as reads:
            getattr(run[100], attribute)
        assert reads["step 100"] == run.digest(100), attribute
    with provenance.recording() as reads:
        assert run.steps
        assert run.final.weights
        assert run.first.weights
    assert {"steps", "final", "first", "step 0", "step 200"} <= reads.keys()
    assert all(run.answer(question) == answer for question, answer in reads.items())


def test_answers_change_with_what_they_are_about_and_with_nothing_else(run, make_run):
    reads = {question: run.answer(question) for question in ("step 0", "step 200", "final", "first", "steps", "recipe")}
    CheckpointBlocks(run.path / "weights").save(300, {k: v.numpy() for k, v in ARCHITECTURE.initial(3).items()})
    again = open_run(run.path)
    changed = {question for question, answer in reads.items() if again.answer(question) != answer}
    assert changed == {"final", "steps"}
    other = make_run({0: ARCHITECTURE.initial(9)}, TASK | {"modular_arithmetic": {"p": 5, "seed": 1}}, MODEL, "other")
    assert other.answer("recipe") != reads["recipe"]
    assert other.answer("step 0") != reads["step 0"]
    assert other.answer("step 200") == ""


def test_the_panels_of_a_run_and_of_a_checkpoint_go_by_one_name(run):
    assert run.show("loss").layout.title.text == "Loss"
    assert run.show("loss", "accuracy").layout.title.text == "Accuracy"
    assert run[100].show("embedding_dft").layout.title.text == "Spectrum at this step, step 100"
    with pytest.raises(InterpError, match="no panel 'acuracy'; did you mean 'Accuracy'"):
        run.show("loss", "acuracy")
