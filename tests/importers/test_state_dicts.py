"""Anyone's state dicts, opened: the run answers as the network that was saved."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import prune

from interp.checkpoints import Run, open_run
from interp.errors import InterpError
from interp.models.transformer import transformer
from interp.recipes.document import dump_yaml
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests.importers.plain_networks import MODELS, NETWORKS, P, pairs, taught

ADDITION = {"modular_arithmetic": {"p": P, "operation": "x+y"}}


def write_run(folder: Path, **content: Any) -> Path:
    (folder / "run.yaml").write_text(dump_yaml(content))
    return folder


def says(run: Run) -> torch.Tensor:
    return run.final.logits[:, :P]


def expected(network: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return network.double()(pairs())[:, :P]


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_plain_torch_is_opened(name: str, suffix: str, tmp_path: Path):
    network = NETWORKS[name]()
    if suffix == "pt":
        torch.save(network.state_dict(), tmp_path / "model_120.pt")
    else:  # the order in which the network was written down is lost
        safetensors.torch.save_file(network.state_dict(), tmp_path / "model_120.safetensors")
    run = open_run(write_run(tmp_path, task=ADDITION, model=MODELS[name], importer="state_dicts"))
    assert run.steps == [120]
    torch.testing.assert_close(says(run), expected(network), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["Perceptron", "DeepAddedPerceptron", "BareParameters"])
def test_a_taught_network_is_opened_by_its_weights_alone(name: str, tmp_path: Path):
    network = taught(name)
    torch.save(network.state_dict(), tmp_path / "model_120.pt")
    run = open_run(tmp_path, "state_dicts")
    assert run.task.description == "x+y mod 7"
    torch.testing.assert_close(says(run), expected(network), rtol=1e-5, atol=1e-6)
    assert "The task was taken to be x+y mod 7" in run.notes[0]


@pytest.mark.slow
def test_what_the_answers_leave_open_is_said(tmp_path: Path):
    torch.save(taught("SeparateProjections").state_dict(), tmp_path / "1.pt")  # p = 7 hardly needs attention
    notes = open_run(tmp_path, "state_dicts").notes
    assert "The activation was taken to be ReLU: no file says which, and the answers hardly tell." in notes


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model."])
def test_what_wrappers_put_before_every_name_is_no_matter(prefix: str, tmp_path: Path):
    network = taught("Perceptron")
    state = {prefix + name: value for name, value in network.state_dict().items()}
    torch.save({"model_state_dict": state, "optimizer": {"state": {}}, "epoch": 9}, tmp_path / "checkpoint.pt")
    run = open_run(tmp_path, "state_dicts")
    assert run.steps == [9]
    torch.testing.assert_close(says(run), expected(network), rtol=1e-5, atol=1e-6)


def old_transformer_lens(transformer_weights: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """As HookedTransformer saved it: biases everywhere, buffers beside the weights."""
    state = {name: torch.from_numpy(value) for name, value in transformer_weights.items()}
    head, d_model, d_head = state["blocks.0.attn.W_Q"].shape
    for letter in "QKV":
        state[f"blocks.0.attn.b_{letter}"] = torch.zeros(head, d_head)
    state["blocks.0.attn.b_O"] = torch.zeros(d_model)
    state["blocks.0.attn.mask"] = torch.ones(3, 3).tril().bool()
    state["blocks.0.attn.IGNORE"] = torch.tensor(-1e5)
    state["unembed.b_U"] = torch.zeros(state["unembed.W_U"].shape[1])
    return state


@pytest.fixture
def shipped() -> Run:
    return open_run(Path(__file__).parents[2] / "checkpoints" / "modular_addition_small")


@pytest.mark.slow
def test_an_old_transformer_lens_state_dict(shipped: Run, tmp_path: Path):
    for step in (0, 9000):
        torch.save(old_transformer_lens(shipped[step].arrays), tmp_path / f"{step}.pth")
    run = open_run(tmp_path, "state_dicts")
    assert run.steps == [0, 9000]
    assert run.model_call.options["biases"] == "hidden"  # the others were never trained
    torch.testing.assert_close(run.final.logits, shipped.final.logits)


@pytest.mark.slow
@pytest.mark.parametrize(
    "turned",
    [
        {"embed.W_E": "vd->dv", "attn.W_Q": "hmd->hdm", "attn.W_K": "hmd->hdm", "attn.W_V": "hmd->hdm"},
        {"attn.W_O": "hdm->m(hd)", "mlp.W_in": "md->dm", "mlp.W_out": "md->dm"},
        {"attn.W_Q": "hmd->(hd)m", "attn.W_K": "hmd->(hd)m", "attn.W_V": "hmd->(hd)m", "unembed.W_U": "md->md"},
    ],
    ids=["transposed", "merged output", "merged heads"],
)
def test_layouts_are_recognised_by_shape(turned: dict[str, str], shipped: Run, tmp_path: Path):
    """Every tensor in the layout of the published networks: [head, d_head, d_model], [out, in]."""
    arrays = shipped[9000].arrays
    state = {
        name: torch.from_numpy(np.ascontiguousarray(np.einsum("...ij->...ji", array) if array.ndim == 3 else array))
        for name, array in arrays.items()
    }
    head, d_model, d_head = arrays["blocks.0.attn.W_Q"].shape
    state["embed.W_E"] = torch.from_numpy(arrays["embed.W_E"].T.copy())
    state["blocks.0.mlp.W_in"] = torch.from_numpy(arrays["blocks.0.mlp.W_in"].T.copy())
    state["blocks.0.mlp.W_out"] = torch.from_numpy(arrays["blocks.0.mlp.W_out"].T.copy())
    if any("(hd)" in shape for shape in turned.values()):
        for letter in "QKV":
            name = f"blocks.0.attn.W_{letter}"
            state[name] = state[name].reshape(head * d_head, d_model)
    output = arrays["blocks.0.attn.W_O"].reshape(head * d_head, d_model).T
    state["blocks.0.attn.W_O"] = torch.from_numpy(output.copy())
    torch.save(state, tmp_path / "9000.pt")
    torch.testing.assert_close(open_run(tmp_path, "state_dicts").final.logits, shipped.final.logits)


def test_names_that_tell_nothing_are_told_in_the_recipe(tmp_path: Path):
    network = taught("BareParameters")
    renamed = dict(zip("abcd", network.state_dict().values(), strict=True))
    torch.save(renamed, tmp_path / "5.pt")
    names = {"embed_a.W_E": "a", "b": "embed_b.W_E", "mlp.W_in": "c", "unembed.W_U": "d"}  # either way round
    run = open_run(write_run(tmp_path, task=ADDITION, importer={"state_dicts": {"names": names}}))
    torch.testing.assert_close(says(run), expected(network), rtol=1e-5, atol=1e-6)


def test_a_task_that_nothing_shows_has_to_be_told(tmp_path: Path):
    torch.save(NETWORKS["Perceptron"]().state_dict(), tmp_path / "5.pt")
    with pytest.raises(
        InterpError, match=r"which task\? no operation explains its answers.*\ntask: {modular_arithmetic"
    ) as refusal:
        open_run(tmp_path, "state_dicts")
    assert "None of these answers" in str(refusal.value)  # what opens at chance is not offered as if it were right
    assert "at chance" in str(refusal.value)
    assert "if it is this one" not in str(refusal.value)


def test_the_split_of_somebody_else_is_unknown_until_it_is_told(tmp_path: Path):
    torch.save(taught("Perceptron").state_dict(), tmp_path / "5.pt")
    write_run(tmp_path, task=ADDITION, importer="state_dicts")
    assert open_run(tmp_path).task.train is None
    told = {"modular_arithmetic": {"p": P, "operation": "x+y", "split": "progress_measures", "frac_train": 0.5}}
    write_run(tmp_path, task=told, importer="state_dicts")
    train = open_run(tmp_path).task.train
    assert train is not None
    assert int(train.sum()) == 24


@pytest.mark.parametrize("form", ["mask", "table", "numbers", "pairs"])
def test_training_pairs_from_a_file(form: str, tmp_path: Path):
    torch.save(taught("Perceptron").state_dict(), tmp_path / "5.pt")
    mask = torch.rand(P * P, generator=torch.Generator().manual_seed(1)) < 0.4
    stored = {"mask": mask, "table": mask.reshape(P, P), "numbers": mask.nonzero()[:, 0], "pairs": pairs()[mask]}[form]
    (tmp_path / "split").mkdir()
    torch.save(stored, tmp_path / "split" / "train.pt")
    run = open_run(tmp_path, "state_dicts", train="split/train.pt")
    assert run.task.train is not None
    assert torch.equal(run.task.train, mask)


@pytest.mark.slow
def test_what_does_not_fit_is_listed_with_the_closest_and_the_line_to_add(tmp_path: Path):
    state = taught("SeparateProjections").state_dict()
    state["zzz"] = state.pop("lm_head.weight")[:7, :20].clone()
    torch.save(state, tmp_path / "5.pt")
    with pytest.raises(InterpError) as caught:
        open_run(tmp_path, "state_dicts")
    message = str(caught.value)
    assert "not recognised: zzz [7, 20]; the closest are 'unembed.W_U'" in message
    assert "recognised: q_proj.weight [24, 24] as blocks.0.attn.W_Q" in message
    assert "not there: unembed.W_U" in message
    assert message.endswith("importer: weights")  # no name for zzz makes a network that answers


def test_layer_normalisation_is_named(tmp_path: Path):
    state = taught("SeparateProjections").state_dict() | {"ln1.weight": torch.ones(24), "ln1.bias": torch.ones(24)}
    torch.save(state, tmp_path / "5.pt")
    with pytest.raises(InterpError, match=r"layer normalisation at blocks.0.ln1; .* one at each sublayer"):
        open_run(tmp_path, "state_dicts")


def test_null_leaves_a_tensor_out(tmp_path: Path):
    network = taught("Perceptron")
    torch.save(network.state_dict() | {"temperature": torch.ones(())}, tmp_path / "5.pt")
    run = open_run(tmp_path, "state_dicts", names={"temperature": None})
    torch.testing.assert_close(says(run), expected(network), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("files", "pattern", "steps"),
    [
        (["model_10.pt", "model_200.pt", "model_3.pt"], None, [3, 10, 200]),
        (["p7_lr0.01_step0005.pth"], None, [5]),
        (["epoch_10/model.pt", "epoch_20/model.pt"], None, [10, 20]),
        (["model_10.pt", "optim_10.pt", "model_20.pt"], "model_{step}.pt", [10, 20]),
        (["run2_10_seed7.pt", "run2_30_seed7.pt"], "run2_{step}_*.pt", [10, 30]),
        (["final.pt"], None, [0]),
    ],
)
def test_the_step_is_read_from_the_name(files: list[str], pattern: str | None, steps: list[int], tmp_path: Path):
    state = taught("Perceptron").state_dict()
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        torch.save(state, tmp_path / file)
    assert open_run(tmp_path, "state_dicts", pattern=pattern).steps == steps


def test_two_files_of_one_step_are_told_apart_by_a_pattern(tmp_path: Path):
    for file, network in (("a_5.pt", taught("Perceptron")), ("b_5.pt", NETWORKS["Perceptron"]())):
        torch.save(network.state_dict(), tmp_path / file)
    with pytest.raises(InterpError, match=r'2 series of files.*(?s:.*)pattern: "a_\{step\}.pt"'):
        open_run(tmp_path, "state_dicts")


@pytest.mark.parametrize("layout", ["lists", "by step"])
def test_several_checkpoints_in_one_file(layout: str, tmp_path: Path):
    early, late = NETWORKS["Perceptron"]().state_dict(), taught("Perceptron").state_dict()
    series = {"state_dicts": [early, late], "epochs": [0, 50]} if layout == "lists" else {0: early, 50: late}
    torch.save(series, tmp_path / "all.pt")
    assert open_run(tmp_path / "all.pt", "state_dicts").steps == [0, 50]


def test_a_folder_without_weights_says_so(tmp_path: Path):
    with pytest.raises(InterpError, match=r"holds no weight file; expected files that end in \.pt"):
        open_run(tmp_path, "state_dicts")


def test_half_precision_is_widened(tmp_path: Path):
    network = taught("Perceptron")
    torch.save({name: value.half() for name, value in network.state_dict().items()}, tmp_path / "5.pt")
    run = open_run(tmp_path, "state_dicts")
    assert {array.dtype for array in run[5].arrays.values()} == {np.dtype("float32")}
    torch.testing.assert_close(says(run), expected(network), rtol=0.02, atol=0.02)


@pytest.fixture(autouse=True)
def _one_thread() -> Callable[[], None]:
    torch.set_num_threads(1)
    return lambda: None


@pytest.mark.slow
def test_second_names_of_a_tensor_are_no_matter(shipped: Run, tmp_path: Path):
    state = old_transformer_lens(shipped[9000].arrays)
    state = {"x_embed": state["embed.W_E"], "y_embed": state["embed.W_E"], **state}
    torch.save(state, tmp_path / "1.pt")
    torch.testing.assert_close(open_run(tmp_path, "state_dicts").final.logits, shipped.final.logits)


def test_biases_that_were_trained_belong_to_the_model(tmp_path: Path):
    architecture = transformer(modular_arithmetic(p=P), d_model=8, n_heads=2, d_mlp=16, biases="all")
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in architecture.shapes.items()}
    torch.save(weights, tmp_path / "1.pt")
    model = {"transformer": {"d_model": 8, "n_heads": 2, "d_mlp": 16, "biases": "all"}}
    run = open_run(write_run(tmp_path, task=ADDITION, model=model, importer="state_dicts"))
    exact = {name: value.double() for name, value in weights.items()}
    expected = architecture.activations(exact, architecture.task.pairs)["logits"]
    torch.testing.assert_close(run.final.logits, expected)


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_last_checkpoint_that_is_not_finite_is_no_example(value: float, shipped: Run, tmp_path: Path):
    state = old_transformer_lens(shipped[9000].arrays)
    torch.save(state, tmp_path / "1.pt")
    torch.save({name: torch.full_like(tensor.float(), value) for name, tensor in state.items()}, tmp_path / "2.pt")
    run = open_run(tmp_path, "state_dicts")
    assert run.task.description == "x+y mod 59"
    assert run[1].finite
    assert not run[2].finite


def test_one_odd_file_does_not_decide_for_the_others(tmp_path: Path):
    network = taught("Perceptron")
    for step in range(5):
        torch.save(network.state_dict(), tmp_path / f"{step}.pt")
    torch.save({"encoder.weight": torch.ones(3, 4), "encoder.bias": torch.ones(3)}, tmp_path / "9.pt")
    with pytest.warns(UserWarning, match="9 left out"):
        assert open_run(tmp_path, "state_dicts").steps == [0, 1, 2, 3, 4]


def test_tables_whose_names_tell_nothing_are_told_by_their_shapes(tmp_path: Path):
    network = NETWORKS["SeparateProjections"]()
    renamed = {"token_embedding.weight": "tok.weight", "position_embedding": "where", "lm_head.weight": "zz.weight"}
    torch.save({renamed.get(name, name): value for name, value in network.state_dict().items()}, tmp_path / "1.pt")
    run = open_run(write_run(tmp_path, task=ADDITION, model=MODELS["SeparateProjections"], importer="state_dicts"))
    torch.testing.assert_close(says(run), expected(network), rtol=1e-5, atol=1e-6)


def test_two_tables_side_by_side_are_the_operands(tmp_path: Path):
    network = taught("BareParameters")
    renamed = {"W_x": "left.weight", "W_y": "right.weight"}
    state = {renamed.get(name, name): value for name, value in network.state_dict().items()}
    torch.save(state, tmp_path / "1.pt")
    run = open_run(write_run(tmp_path, task=ADDITION, model=MODELS["BareParameters"], importer="state_dicts"))
    torch.testing.assert_close(says(run), expected(network), rtol=1e-5, atol=1e-6)


def test_the_line_that_is_proposed_leaves_out_what_nothing_lacks(tmp_path: Path):
    network = taught("Perceptron")
    torch.save(network.state_dict() | {"temperature": torch.ones(3, 3, 3)}, tmp_path / "5.pt")
    with pytest.raises(InterpError) as caught:
        open_run(tmp_path, "state_dicts")
    line = re.search(r"importer: \{.*\}$", str(caught.value), re.MULTILINE)
    assert line
    (tmp_path / "run.yaml").write_text(line[0])
    torch.testing.assert_close(says(open_run(tmp_path)), expected(network), rtol=1e-5, atol=1e-6)


def test_a_number_that_is_left_out_is_said_to_be_a_scale_perhaps(tmp_path: Path):
    state = dict(taught("Perceptron").state_dict()) | {"logit_scale": torch.tensor(2.0)}
    torch.save(state, tmp_path / "5.pt")
    with pytest.raises(InterpError, match="logit_scale is one number: left out, the logits are right only where"):
        open_run(tmp_path, "state_dicts")
    write_run(tmp_path, importer={"state_dicts": {"names": {"logit_scale": None}}})
    assert any("logit_scale. Where the network multiplies by it" in note for note in open_run(tmp_path).notes)


def test_layer_normalisation_gets_no_line(tmp_path: Path):
    state = taught("SeparateProjections").state_dict() | {"ln1.weight": torch.ones(24), "ln1.bias": torch.ones(24)}
    torch.save(state, tmp_path / "5.pt")
    with pytest.raises(InterpError) as caught:
        open_run(tmp_path, "state_dicts")
    assert "importer:" not in str(caught.value)


def test_an_epoch_and_a_step_in_one_name_are_not_one_number(tmp_path: Path):
    """checkpoint_2_100 is step 2,100 only where it does not lie beside checkpoint_1_50."""
    state = taught("Perceptron").state_dict()
    for epoch, step in ((1, 50), (2, 100)):
        torch.save(state | {"net.0.bias": epoch * state["net.0.bias"]}, tmp_path / f"checkpoint_{epoch}_{step}.pt")
    with pytest.raises(InterpError, match="which number is the step") as caught:
        open_run(tmp_path, "state_dicts")
    lines = re.findall(r"importer: \{.*\}$", str(caught.value), re.MULTILINE)
    opened = []
    for line in lines:
        (tmp_path / "run.yaml").write_text(line)
        opened.append(open_run(tmp_path).steps)
    assert opened == [[1, 2], [50, 100]]


REPARAMETRISED: dict[str, Callable[[nn.Module], object]] = {
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
    "weight norm": nn.utils.parametrizations.weight_norm,
    "weight norm, as it was": nn.utils.weight_norm,
    "spectral norm": nn.utils.parametrizations.spectral_norm,
    "spectral norm, as it was": nn.utils.spectral_norm,
}


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("kind", REPARAMETRISED)
def test_a_weight_is_the_one_that_its_module_multiplies_by(kind: str, tmp_path: Path):
    network = taught("Perceptron")
    for layer in ("net.0", "net.2"):
        REPARAMETRISED[kind](network.get_submodule(layer))
    network(pairs())  # a step of the power iteration
    network.eval()
    torch.save(network.state_dict(), tmp_path / "120.pt")
    run = open_run(write_run(tmp_path, task=ADDITION, model=MODELS["Perceptron"], importer="state_dicts"))
    with torch.no_grad():
        answers = network(pairs())  # in float32: torch's own functions keep the weight in it
    torch.testing.assert_close(says(run), answers.double(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("separator", ["/", "."])
def test_an_optimiser_s_state_flat_beside_the_weights_is_none_of_them(separator: str, tmp_path: Path):
    network = taught("Perceptron")
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    beside = {f"opt_state{separator}0{separator}mu{separator}{name}": 0 * value for name, value in state.items()}
    np.savez(tmp_path / "120.npz", **beside, **state)
    torch.testing.assert_close(says(open_run(tmp_path, "state_dicts")), expected(network), rtol=1e-5, atol=1e-6)


def test_layers_that_are_pairs_of_a_matrix_and_a_vector(tmp_path: Path):
    """As in JAX's examples: [(W, b), (), (W, b)], applied as x @ W + b."""
    generator = np.random.default_rng(0)
    sizes = [(2 * P, 2 * P), (2 * P, P)]
    layers = [(generator.normal(size=size), generator.normal(size=size[1])) for size in sizes]
    (tmp_path / "5.pkl").write_bytes(pickle.dumps([layers[0], (), layers[1]]))
    model = {"mlp": {"d_mlp": 2 * P, "one_hot": True, "biases": "all"}}
    run = open_run(write_run(tmp_path, task=ADDITION, model=model, importer="state_dicts"))
    one_hot = np.eye(P)[pairs().numpy()].reshape(-1, 2 * P)
    (first, shift), (last, bias) = layers
    answers = np.maximum(one_hot @ first + shift, 0) @ last + bias
    torch.testing.assert_close(says(run), torch.from_numpy(answers), rtol=1e-5, atol=1e-6)


def test_a_bias_is_never_proposed_to_be_left_out_and_what_is_may_be_needed(tmp_path: Path):
    state = taught("Perceptron").state_dict()
    torch.save(state | {"extra.bias": torch.ones(5)}, tmp_path / "5.pt")
    with pytest.raises(InterpError) as refusal:
        open_run(tmp_path, "state_dicts")
    assert "null" not in str(refusal.value)
    torch.save(state | {"layer_scale": torch.ones(5)}, tmp_path / "5.pt")
    with pytest.raises(InterpError, match="Without layer_scale the logits are right only where the network does not"):
        open_run(tmp_path, "state_dicts")


def test_a_matrix_that_fits_nothing_is_refused_with_what_to_do(tmp_path: Path):
    state = taught("Perceptron").state_dict()
    state["net.0.weight"] = torch.ones(48, 2 * 16 + 1)  # a number beside both embeddings
    torch.save(state, tmp_path / "5.pt")
    with pytest.raises(InterpError, match=r"expected 16 or 32 inputs.*importer weights opens any"):
        open_run(tmp_path, "state_dicts")
