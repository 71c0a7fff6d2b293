"""Networks as other people write them, opened by their weights alone: they answer as their own code does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interp.checkpoints import open_run
from interp.recipes.document import dump_yaml
from tests.importers.other_networks import NETWORKS, REFUSED, P, pairs, taught

QUICK = (
    "one-hot, added",
    "a layer for each one-hot operand",
    "two tables, added and squared",
    "two tables in linear layers",
    "one table for a and for b",
)
TOLD = {
    "GPT-2": {"act_fn": "gelu_tanh"},  # whose answers as a ReLU network would be as right
    "squares": {"activation": "square"},  # a ReLU network that still memorises may answer more so too
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in NETWORKS])
def test_it_answers_as_its_own_code_does(name: str, tmp_path: Path):
    early, network = taught(name)
    torch.save(early, tmp_path / "model_0.pt")
    torch.save({"state_dict": network.state_dict(), "config": TOLD.get(name, {})}, tmp_path / "model_400.pt")
    with torch.no_grad():
        expected = network.double()(pairs())[:, :P]
    run = open_run(tmp_path, "state_dicts")
    assert run.steps == [0, 400]
    assert run.task.description == f"x+y mod {P}"
    torch.testing.assert_close(run.final.logits[:, :P], expected, rtol=1e-5, atol=1e-5)
    hooked = run.architecture.from_module(run.final.model.double()(run.architecture.tokens(pairs())))
    torch.testing.assert_close(hooked[:, :P], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_rows_that_the_answers_do_not_tell_apart_are_said(tmp_path: Path):
    _, network = taught("op a b, no positions")  # so that a and op may change places
    torch.save(network.state_dict(), tmp_path / "model_400.pt")
    assert "hardly tell row a op b or op a b apart" in open_run(tmp_path, "state_dicts").notes[0]


@pytest.mark.slow
def test_what_norms_add_to_the_variance_is_what_the_configuration_says(tmp_path: Path):
    _, network = taught("LayerNorm before")
    content = {"state_dict": network.state_dict(), "config": {"layer_norm_eps": 1e-3}}
    torch.save(content, tmp_path / "model_400.pt")
    for module in network.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-3
    with torch.no_grad():
        expected = network.double()(pairs())
    found = open_run(tmp_path, "state_dicts").final.logits[:, :P]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_scale_of_the_embeddings_is_found_and_said(tmp_path: Path):
    _, network = taught("PyTorch's tutorial")
    torch.save(network.state_dict(), tmp_path / "model_400.pt")
    run = open_run(tmp_path, "state_dicts")
    assert run.model_call.options["embedding_scale"] == pytest.approx(32**0.5)
    assert run.model_call.options["positions"] == "sinusoidal"
    assert any("multiplied by √d_model, 5.657" in note for note in run.notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_network_of_another_kind_is_refused_with_what_to_do(name: str, tmp_path: Path):
    from interp.errors import InterpError

    _, network = taught(name)
    torch.save(network.state_dict(), tmp_path / "model_400.pt")
    with pytest.raises(InterpError, match=REFUSED[name][1]) as refusal:
        open_run(tmp_path, "state_dicts")
    assert "importer weights" in str(refusal.value)
    assert open_run(tmp_path, "weights").steps == [400]


@pytest.mark.slow
def test_a_network_whose_causal_mask_is_saved_does_not_average_its_positions(tmp_path: Path):
    _, network = taught("a mean over positions")
    mask = torch.ones(2, 2).tril()
    torch.save({**network.state_dict(), "layers.0.attn_mask": mask}, tmp_path / "model_400.pt")
    assert open_run(tmp_path, "state_dicts").steps == [400]


@pytest.mark.slow
def test_the_recipe_that_describes_it_opens_it_alike(tmp_path: Path):
    from interp.describe import describe

    _, network = taught("heads apart")
    torch.save(network.state_dict(), tmp_path / "model_400.pt")
    said = describe(tmp_path)
    recipe = next(text for text in said if text.startswith("run.yaml that opens it"))
    (tmp_path / "elsewhere").mkdir()
    lines = "\n".join(line[2:] for line in recipe.splitlines()[2:])
    (tmp_path / "elsewhere" / "run.yaml").write_text(lines)
    again = open_run(tmp_path / "elsewhere")
    torch.testing.assert_close(again.final.logits, open_run(tmp_path, "state_dicts").final.logits)
    assert "tensor" in said[-1]
    assert "embedding.weight" in said[-1]
    assert "embed.W_E" in said[-1]


def test_a_modulus_of_the_configuration_that_the_tensors_do_not_have_is_named(tmp_path: Path):
    from interp.errors import InterpError

    _, network = taught("one table for a and for b")
    torch.save({"state_dict": network.state_dict(), "config": {"p": P + 2}}, tmp_path / "model_400.pt")
    with pytest.raises(InterpError, match=f"configuration beside the weights says p {P + 2}.*run.yaml"):
        open_run(tmp_path, "state_dicts")
    (tmp_path / "run.yaml").write_text(
        dump_yaml({"task": {"modular_arithmetic": {"p": P, "operation": "x+y"}}, "importer": "state_dicts"})
    )
    assert open_run(tmp_path).task.description == f"x+y mod {P}"


@pytest.mark.parametrize("wrong", [{"frac": 3}, {"act_fn": "gelu"}])
def test_what_the_configuration_says_of_the_activation_is_taken(wrong: dict, tmp_path: Path):
    _, network = taught("one-hot, added")
    torch.save({"state_dict": network.state_dict(), "config": wrong}, tmp_path / "model_400.pt")
    run = open_run(tmp_path, "state_dicts")
    assert run.model_call.options["act_fn"] == wrong.get("act_fn", "relu")
    said = "as the configuration says" if "act_fn" in wrong else "no file says which"
    assert any(said in note for note in run.notes)


@pytest.mark.parametrize("told", [2, 4, 5])
def test_heads_that_a_configuration_tells_are_taken_where_answers_tell_nothing(told: int, tmp_path: Path):
    """Fresh weights answer at chance; a width of 32 has no five heads, and what says so is of something else."""
    early, _ = taught("LayerNorm before")
    torch.save({"state_dict": early, "config": {"num_heads": told}}, tmp_path / "model_0.pt")
    (tmp_path / "run.yaml").write_text(
        dump_yaml({"task": {"modular_arithmetic": {"p": P, "operation": "x+y"}}, "importer": "state_dicts"})
    )
    found = open_run(tmp_path).model_call.options["n_heads"]
    assert (found == told) == (32 % told == 0)


def test_heads_that_a_configuration_tells_wrongly_are_those_that_answer(tmp_path: Path):
    _, network = taught("LayerNorm before")
    torch.save({"state_dict": network.state_dict(), "config": {"n_heads": 16}}, tmp_path / "model_400.pt")
    run = open_run(tmp_path, "state_dicts")
    assert run.model_call.options["n_heads"] == 4
    assert "The configuration says 16 heads; with 4 it answers far more." in run.notes


def test_a_recorded_loss_that_is_not_the_network_s_is_refused_unless_the_user_settles_it(tmp_path: Path):
    from interp.errors import InterpError

    _, network = taught("one-hot, added")
    content = {
        "state_dict": network.state_dict(),
        "train_loss": 2.3,
        "test_loss": 2.4,
        "train_acc": 0.2,
        "test_acc": 0.1,
    }
    torch.save(content, tmp_path / "model_400.pt")
    with pytest.raises(InterpError, match=r"record .* as it is read here it is"):
        open_run(tmp_path, "state_dicts")
    settled = {
        "task": {"modular_arithmetic": {"p": P, "operation": "x+y"}},
        "model": {
            "mlp": {"d_mlp": [48, 32], "n_layers": 2, "shared_embedding": True, "biases": "all", "one_hot": True}
        },
        "importer": "state_dicts",
    }
    (tmp_path / "run.yaml").write_text(dump_yaml(settled))
    assert "record" in open_run(tmp_path).notes[0]


@pytest.mark.slow
def test_norms_that_the_file_does_not_hold_are_said(tmp_path: Path):
    _, network = taught("LayerNorm without parameters")
    torch.save(network.state_dict(), tmp_path / "model_400.pt")
    notes = open_run(tmp_path, "state_dicts").notes
    assert any("LayerNorm without parameters before each sublayer and at the end" in note for note in notes)


def test_whether_one_hot_operands_are_added_or_averaged_is_said_to_be_open_until_it_is_told(tmp_path: Path):
    _, network = taught("one-hot, added")
    state = network.state_dict()
    state["layers.0.weight"] = 2 * state["layers.0.weight"]  # the same network, that averages
    with torch.no_grad():
        logits = network.double()(pairs())
    torch.save(state, tmp_path / "model_400.pt")
    first = open_run(tmp_path, "state_dicts").notes[0]
    assert "The scale of the logits cannot be known" in first
    model = {"d_mlp": [48, 32], "n_layers": 2, "shared_embedding": True, "biases": "all", "one_hot": True}
    told = {
        "task": {"modular_arithmetic": {"p": P, "operation": "x+y"}},
        "model": {"mlp": {**model, "combine": "averaged"}},
        "importer": "state_dicts",
    }
    (tmp_path / "run.yaml").write_text(dump_yaml(told))
    run = open_run(tmp_path)
    torch.testing.assert_close(run.final.logits, logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(run.final.model.double()(pairs()), logits, rtol=1e-5, atol=1e-5)
    weights = {name: torch.from_numpy(array).double() for name, array in run.final.arrays.items()}
    hidden = run.architecture.activations(weights, pairs())
    torch.testing.assert_close(hidden["logits"], logits, rtol=1e-5, atol=1e-5)
    assert "operands averaged" in run.architecture.description
    assert "operands added" not in run.architecture.description


@pytest.mark.slow
def test_norms_without_shifts_that_are_called_ln_are_layer_norms(tmp_path: Path):
    _, network = taught("LayerNorm before")
    state = {name: value for name, value in network.state_dict().items() if not ("ln" in name and "bias" in name)}
    torch.save(state, tmp_path / "model_400.pt")
    assert open_run(tmp_path, "state_dicts").model_call.options["norm"] == "layer"


@pytest.mark.slow
def test_a_norm_is_never_proposed_to_be_left_out(tmp_path: Path):
    from interp.errors import InterpError

    _, network = taught("a perceptron with LayerNorm")
    torch.save(network.state_dict(), tmp_path / "model_400.pt")
    with pytest.raises(InterpError) as refusal:
        open_run(tmp_path, "state_dicts")
    assert "null" not in str(refusal.value)


def test_what_was_tried_of_a_perceptron_is_what_perceptrons_have(tmp_path: Path):
    _, network = taught("one-hot, added")
    state = network.state_dict()
    noise = torch.randn(state["layers.2.weight"].shape, generator=torch.Generator().manual_seed(0))
    state["layers.2.weight"] += 1.5 * state["layers.2.weight"].std() * noise
    torch.save(state, tmp_path / "model_400.pt")
    said = open_run(tmp_path, "state_dicts").notes[0]
    assert said.startswith("Another architecture?")
    assert "every activation" in said
    assert "mask" not in said
    assert "attention" not in said
