"""A network of one's own: what it answers is what the module itself answers, and it is trained by a recipe."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import interp
from interp.contracts.architecture import has_attention, has_neurons, reads_two_operands
from interp.contracts.recipe_file import recipe_file
from interp.contracts.task import Task
from interp.errors import InterpError, NothingToSay
from interp.models.mlp import mlp
from interp.models.module import module
from interp.models.module.own_module import OwnModule
from interp.recipes import run_recipe
from interp.recipes.document import dump_yaml
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training import loop
from interp.training.plan import Plan

P = 7
NETWORKS = '''
import torch
from torch import nn


class Perceptron(nn.Module):
    """The same network as the model mlp with an embedding for both."""

    def __init__(self, p, width=6, hidden=10):
        super().__init__()
        self.embed = nn.Embedding(p, width)
        self.hidden = nn.Linear(2 * width, hidden)
        self.act = nn.ReLU()
        self.out = nn.Linear(hidden, p)

    def forward(self, pairs):
        return self.out(self.act(self.hidden(self.embed(pairs).flatten(1))))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.up, self.act, self.down = nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)

    def forward(self, x):
        normed = self.norm(x)
        x = x + self.attention(normed, normed, normed)[0]
        return x + self.down(self.act(self.up(x)))


class Transformer(nn.Module):
    """On [a, b, =], with a logit at each position, a tied readout and a mask of float in a buffer."""

    def __init__(self, p, width=8, layers=2, final_norm=False):
        super().__init__()
        self.embed = nn.Embedding(p + 1, width)
        self.positions = nn.Parameter(torch.randn(3, width))
        self.blocks = nn.ModuleList([Block(width) for _ in range(layers)])
        self.norm = nn.LayerNorm(width) if final_norm else nn.Identity()
        self.head = nn.Linear(width, p + 1, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.full((1,), 0.5))

    def forward(self, tokens):
        x = self.embed(tokens) * self.scale + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Dropping(Perceptron):
    def forward(self, pairs):
        return nn.functional.dropout(super().forward(pairs), 0.5, self.training)


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.norm, self.out = nn.Embedding(7, 4), nn.BatchNorm1d(8), nn.Linear(8, 7)

    def forward(self, pairs):
        return self.out(self.norm(self.embed(pairs).flatten(1)))


class RandomBuffer(Perceptron):
    def __init__(self):
        super().__init__(7)
        self.register_buffer("noise", torch.randn(3))


class Twice(Perceptron):
    def forward(self, pairs):
        return self.act(super().forward(pairs))


class Failing(Perceptron):
    def forward(self, pairs):
        x = self.embed(pairs)
        return self.no_such_part(x)


class Pairs(Perceptron):
    def forward(self, pairs):
        return super().forward(pairs), None


def seven():
    return 7


VALUE = 3
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_net.py"
    path.write_text(NETWORKS)
    return path


def task() -> Any:
    return modular_arithmetic(p=P, frac_train=0.6)


def made(file: Path, make: str, **options: Any) -> OwnModule:
    return module(task(), recipe_file(file.name, file), make, **options)


PERCEPTRON = {"make": "Perceptron(p=7)", "embedding": "embed.weight", "neurons": "act"}
TRANSFORMER = {
    "make": "Transformer(7)",
    "embedding": "embed.weight",
    "neurons": "blocks.1.act",
    "row": "a b =",
}


def theirs(network: OwnModule, weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Their module, called as they would."""
    net = network.making.network(5).double()
    net.load_state_dict({name: value.double() for name, value in weights.items()}, strict=False)
    return net


def tokens(network: OwnModule) -> torch.Tensor:
    pairs = network.task.inputs
    equals = torch.full((len(pairs), 1), P)
    return torch.cat([pairs, equals], dim=1) if network.told.row else pairs


@pytest.mark.parametrize("options", [PERCEPTRON, TRANSFORMER], ids=["mlp", "transformer"])
def test_it_answers_what_the_module_itself_answers(options: dict[str, Any], file: Path):
    network = made(file, **options)
    weights = network.initial(3)
    expected = theirs(network, weights)(tokens(network)).detach()
    expected = expected[:, -1] if expected.ndim == 3 else expected
    double = {name: value.double() for name, value in weights.items()}
    torch.testing.assert_close(network.outputs(double, network.task.inputs).detach(), expected, rtol=1e-9, atol=1e-9)
    inside = network.activations(double, network.task.inputs)
    torch.testing.assert_close(inside["logits"].detach(), expected, rtol=1e-9, atol=1e-9)
    hooked = network.hooked(double)
    given, cache = hooked.run_with_cache(network.tokens(network.task.inputs))
    torch.testing.assert_close(network.from_module(given).detach(), expected, rtol=1e-9, atol=1e-9)
    assert set(dict(network.hooked(double).named_parameters())) == set(weights)
    neurons = cache[network.neurons].detach()
    neurons = neurons[:, -1] if neurons.ndim == 3 else neurons
    torch.testing.assert_close(neurons, inside[network.neurons].detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("options", [PERCEPTRON, TRANSFORMER], ids=["mlp", "transformer"])
def test_every_submodule_has_a_hook_that_sees_and_replaces_what_it_gives(options: dict[str, Any], file: Path):
    network = made(file, **options)
    weights = {name: value.double() for name, value in network.initial(0).items()}
    hooked = network.hooked(weights)
    paths = {path for path, _ in network.making.network(0).named_modules() if path}
    assert paths <= set(hooked.hook_names)
    inputs = network.tokens(network.task.inputs)
    silent = hooked.run_with_hooks(inputs, fwd_hooks=[(options["neurons"], lambda x, hook: 0 * x)])  # noqa: ARG005 (called by name)
    beside = network.activations(weights, network.task.inputs)
    expected = network.outputs_from_neurons(weights, torch.zeros_like(beside[network.neurons]), beside)
    if network.told.row is None:  # in a transformer the other positions matter no more after the last attention
        torch.testing.assert_close(silent, expected, rtol=1e-9, atol=1e-9)
    else:
        torch.testing.assert_close(silent[:, -1], expected, rtol=1e-9, atol=1e-9)


def test_curvature_is_that_of_the_module(file: Path):
    """A Hessian-vector product through functional_call, against finite differences of the module's own gradient."""
    network = made(file, **TRANSFORMER)
    weights = {name: value.double() for name, value in network.initial(0).items()}
    flat = torch.cat([value.flatten() for value in weights.values()])
    along = torch.randn(len(flat), generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = vector.split([value.numel() for value in weights.values()])
        named = {name: part.view(value.shape) for (name, value), part in zip(weights.items(), parts, strict=True)}
        return torch.nn.functional.cross_entropy(network.outputs(named, network.task.inputs), network.task.targets)

    _, product = torch.autograd.functional.hvp(loss, flat, along)

    def gradient(vector: torch.Tensor) -> torch.Tensor:
        net = theirs(network, weights)
        torch.nn.utils.vector_to_parameters(vector, [dict(net.named_parameters())[name] for name in weights])
        answers = net(tokens(network))[:, -1]
        torch.nn.functional.cross_entropy(answers, network.task.targets).backward()
        return torch.cat([dict(net.named_parameters())[name].grad.flatten() for name in weights])

    step = 1e-5
    expected = (gradient(flat + step * along) - gradient(flat - step * along)) / (2 * step)
    torch.testing.assert_close(product, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


def as_mlp(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of Perceptron as those of our mlp."""
    return {
        "embed.W_E": weights["embed.weight"],
        "mlp.W_in": weights["hidden.weight"].T,
        "mlp.b_in": weights["hidden.bias"],
        "unembed.W_U": weights["out.weight"].T,
        "unembed.b_U": weights["out.bias"],
    }


def test_what_lies_inside_is_what_the_model_mlp_says_of_the_same_network(file: Path):
    network = made(file, **PERCEPTRON)
    weights = {name: value.double() for name, value in network.initial(1).items()}
    same, own = mlp(task(), d_model=6, d_mlp=10, shared_embedding=True, biases="all"), as_mlp(weights)
    assert {name: tuple(value.shape) for name, value in own.items()} == same.shapes
    for ours, reference in (
        (network.embedding(weights), same.embedding(own)),
        (network.readout(weights, {}), same.readout(own, {})),
        (network.neuron_logits(weights, {}), same.neuron_logits(own, {})),
        (network.operands(weights, task().pairs), same.operands(own, task().pairs)),
    ):
        torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-9)
    vectors = torch.randn(5, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        network.logits_of_operands(weights, vectors), same.logits_of_operands(own, vectors), rtol=1e-9, atol=1e-9
    )
    doubled = network.with_embeddings(weights, lambda table: 2 * table)
    torch.testing.assert_close(doubled["embed.weight"], 2 * weights["embed.weight"])


def test_rows_of_a_table_that_is_the_readout_too_are_replaced_where_they_are_read(file: Path):
    network = made(file, **TRANSFORMER)
    weights = {name: value.double() for name, value in network.initial(1).items()}
    pairs = network.task.inputs
    own = network.operands(weights, pairs)
    torch.testing.assert_close(network.logits_of_operands(weights, own), network.outputs(weights, pairs))
    swapped = network.logits_of_operands(weights, own.flip(1))
    torch.testing.assert_close(swapped, network.outputs(weights, pairs.flip(1)))


def test_behind_a_norm_there_is_no_readout(file: Path):
    network = made(file, "Transformer(7, final_norm=True)", neurons="blocks.1.act", row="a b =")
    weights = {name: value.double() for name, value in network.initial(1).items()}
    with pytest.raises(NothingToSay, match="no linear map: a norm or another layer"):
        network.readout(weights, {})


def test_what_is_not_told_is_said(file: Path):
    network = made(file, "Perceptron(7)")
    weights = network.initial(0)
    with pytest.raises(NothingToSay, match="does not tell the neurons of its module"):
        _ = has_neurons(network).neurons
    with pytest.raises(NothingToSay, match="does not tell the embedding"):
        reads_two_operands(network).embedding(weights)
    with pytest.raises(NothingToSay, match="not known whether it has attention"):
        has_attention(network)


def test_the_first_of_several_outputs_is_the_answer_or_a_module_that_is_named(file: Path):
    first = made(file, "Pairs(7)")
    weights = first.initial(0)
    expected = made(file, "Perceptron(7)").outputs(weights, first.task.inputs)
    torch.testing.assert_close(first.outputs(weights, first.task.inputs), expected)
    named = made(file, "Twice(7)", logits="out")
    torch.testing.assert_close(named.outputs(weights, first.task.inputs), expected)


def test_fresh_weights_are_those_of_their_code_under_its_seed_and_disturb_nobody(file: Path):
    network = made(file, **PERCEPTRON)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    fresh = network.initial(4)
    assert torch.equal(torch.get_rng_state(), before)
    scope: dict[str, Any] = {}
    exec(NETWORKS, scope)
    torch.manual_seed(4)
    expected = scope["Perceptron"](7)
    for name, value in expected.named_parameters():
        assert torch.equal(fresh[name], value)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        ("Perceptron(p=__import__('os'))", {}, "expected the call of a class or function of the file with literals"),
        ("open('x')", {}, "defines no 'open'"),
        ("nn.Linear(2, 2)", {}, "expected the call of a class"),
        ("(lambda: 3)()", {}, "expected the call of a class"),
        ("Perceptron(**{'p': 7})", {}, "expected the call of a class"),
        ("Perceptron(7); 3", {}, "expected the call of a class"),
        ("torch(7)", {}, "defines no 'torch'"),
        ("VALUE(3)", {}, "defines no 'VALUE'"),
        ("Percepton(7)", {}, "did you mean 'Perceptron'"),
        ("seven()", {}, "is a int; expected a torch.nn.Module"),
        ("Perceptron()", {}, r"TypeError: Perceptron.__init__\(\) missing 1 required"),
        ("Failing(7)", {}, r"my_net.py:\d+: AttributeError: 'Failing' object has no attribute 'no_such_part'"),
        ("Perceptron(7)", {"neurons": "acts"}, "neurons is 'acts', which is no module of .*; did you mean 'act'"),
        ("Perceptron(7)", {"embedding": "embed"}, "embedding is 'embed', which is no parameter"),
        ("Perceptron(7)", {"embedding": "out.bias"}, "expected a row for each of 7 residues"),
        ("Perceptron(5)", {}, r"my_net.py:\d+: IndexError: index out of range"),
        ("Twice(7)", {"neurons": "act"}, "the module act is called 2 times, not once"),
        ("RandomBuffer()", {}, "noise, which is not trained, is drawn at random"),
        ("Perceptron(7)", {"row": "a ="}, "lacks an operand"),
        ("Perceptron(7)", {"row": "a b c"}, "expected a, b, ="),
    ],
)
def test_a_mistake_is_a_line(make: str, options: dict[str, Any], message: str, file: Path):
    with pytest.raises(ValueError, match=message) as told:
        made(file, make, **options)
    assert "\n" not in str(told.value)


def test_a_file_that_is_no_python_is_told_with_its_line(file: Path):
    file.write_text("import torch\n\ndef broken(:\n")
    with pytest.raises(ValueError, match=r"my_net.py:3: invalid syntax"):
        made(file, "broken()")
    file.write_text("import torch\nimport no_such_package\n\ndef net():\n    pass\n")
    with pytest.raises(ValueError, match=r"my_net.py:2: ModuleNotFoundError: No module named 'no_such_package'"):
        made(file, "net()")


@pytest.mark.parametrize(("make", "why"), [("Dropping(7)", "as by dropout"), ("Normed()", "norm.running_mean changes")])
def test_a_network_whose_training_is_no_function_of_its_weights_is_measured_and_not_trained(
    make: str, why: str, file: Path
):
    network = made(file, make)
    weights = {name: torch.zeros(shape).double() for name, shape in network.shapes.items()}
    assert torch.equal(network.outputs(weights, task().inputs), network.outputs(weights, task().inputs))
    with pytest.raises(InterpError, match=why):
        network.initial(0)


RECIPE: dict[str, Any] = {
    "task": {"modular_arithmetic": {"p": P, "operation": "x+y", "frac_train": 0.6}},
    "model": {"module": {"file": "my_net.py", "make": "Perceptron(p=7)", "neurons": "act"}},
    "training": {"steps": 6, "save": {"every": 3}, "optimiser": {"adamw": {"lr": 0.01, "warmup": 0}}},
}


def write_run(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "my_net.py").write_text(NETWORKS)
    (folder / "run.yaml").write_text(dump_yaml(RECIPE | changes))
    return folder


def test_a_training_is_torchs_own_and_a_resumed_one_the_uninterrupted(tmp_path: Path):
    whole = write_run(tmp_path / "whole")
    plan = Plan.of(run_recipe.read_to_train(whole / "run.yaml"))
    loop.train(whole, plan)
    cut = write_run(tmp_path / "cut")
    stopped = dataclasses.replace(plan.training, steps=3)
    loop.train(cut, dataclasses.replace(plan, training=stopped))
    loop.train(cut, Plan.of(run_recipe.read_to_train(cut / "run.yaml")))
    first, second = (interp.open_run(folder).final.weights for folder in (whole, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)

    net = plan.architecture.making.network(0)  # type: ignore[attr-defined]
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=1.0)
    examples = plan.task.inputs[plan.task.train], plan.task.targets[plan.task.train]
    for _ in range(6):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(examples[0]), examples[1]).backward()
        optimiser.step()
    for name, value in net.named_parameters():
        torch.testing.assert_close(first[name], value.detach(), rtol=1e-4, atol=1e-6)


def test_a_file_is_found_beside_the_recipe_and_a_missing_one_is_told_with_its_line(tmp_path: Path, monkeypatch: Any):
    folder = write_run(tmp_path / "run")
    monkeypatch.chdir("/")
    assert run_recipe.read(folder / "run.yaml").model is not None
    (folder / "my_net.py").unlink()
    with pytest.raises(InterpError, match=r"run.yaml:\d+: module: .*my_net.py does not exist; file is relative to"):
        run_recipe.read(folder / "run.yaml")


def test_a_changed_file_is_another_network_and_a_moved_folder_the_same(tmp_path: Path):
    folder = write_run(tmp_path / "run")
    loop.train(folder, Plan.of(run_recipe.read_to_train(folder / "run.yaml")))
    before = interp.open_run(folder)
    moved = tmp_path / "moved"
    folder.rename(moved)
    assert interp.open_run(moved).recipe_digest == before.recipe_digest
    (moved / "my_net.py").write_text(NETWORKS.replace("nn.ReLU()", "nn.Tanh()"))
    after = interp.open_run(moved)
    assert after.recipe_digest != before.recipe_digest
    assert not torch.allclose(after.final.logits, _relu(after))
    with pytest.raises(InterpError, match="begun with another recipe"):
        loop.train(moved, Plan.of(run_recipe.read_to_train(moved / "run.yaml")))


def _relu(run: interp.Run) -> torch.Tensor:
    weights = {name: value.double() for name, value in run.final.weights.items()}
    x = weights["embed.weight"][run.task.inputs].flatten(1)
    hidden = torch.relu(x @ weights["hidden.weight"].T + weights["hidden.bias"])
    return hidden @ weights["out.weight"].T + weights["out.bias"]


def test_opening_says_that_their_code_was_run(tmp_path: Path):
    folder = write_run(tmp_path / "run")
    loop.train(folder, Plan.of(run_recipe.read_to_train(folder / "run.yaml")))
    assert interp.open_run(folder).notes == (
        "The network is Perceptron(p=7) of my_net.py, which was run to open this.",
    )


def test_checkpoints_of_a_loop_of_ones_own_are_opened_with_the_network(tmp_path: Path, file: Path):
    network = made(file, **TRANSFORMER)
    for step in (0, 10):
        net = network.making.network(step)
        torch.save({"model": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / f"step_{step}.pt")
    model = {"module": {"file": "my_net.py", **TRANSFORMER}}
    recipe = {"task": RECIPE["task"], "model": model, "importer": {"weights": {"pattern": "step_{step}.pt"}}}
    (tmp_path / "run.yaml").write_text(dump_yaml(recipe))
    run = interp.open_run(tmp_path)
    assert run.steps == [0, 10]
    expected = network.making.network(10).double()(tokens(network))[:, -1].detach()
    torch.testing.assert_close(run.final.logits, expected, rtol=1e-9, atol=1e-9)
    assert np.isfinite(float(run.final.measure("loss").all_loss))


def test_another_networks_tensors_and_moved_statistics_are_refused(file: Path, tmp_path: Path):
    normed = made(file, "Normed()")
    state = {name: value.numpy() for name, value in normed.making.network(0).state_dict().items()}
    assert set(normed.weights_of(state, "file")) == set(normed.shapes)
    with pytest.raises(InterpError, match=r"norm.running_mean is no parameter and differs"):
        normed.weights_of(state | {"norm.running_mean": np.ones(8, np.float32)}, "file")
    with pytest.raises(InterpError, match=r"holds 'more\.weight', which Normed"):
        normed.weights_of(state | {"more.weight": np.ones(8, np.float32)}, "file")
    with pytest.raises(InterpError, match=r"out.weight has shape \[3, 8\]"):
        normed.weights_of(state | {"out.weight": np.ones((3, 8), np.float32)}, "file")
    del state["out.bias"]
    with pytest.raises(InterpError, match=r"has no 'out\.bias'"):
        normed.weights_of(state, "file")
    safetensors.torch.save_file({"w": torch.zeros(2, 2)}, tmp_path / "model_0.safetensors")
    recipe = {"task": RECIPE["task"], "model": "transformer", "importer": "weights"}
    (tmp_path / "run.yaml").write_text(dump_yaml(recipe))
    with pytest.raises(InterpError, match="take the importer state_dicts"):
        interp.open_run(tmp_path)


def test_a_sample_is_read_as_the_task_has_it(file: Path):
    file.write_text("from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))\n")
    numbers = torch.randn(6, 2, 2)
    sample = Task("samples", numbers, torch.arange(6) % 3, 3, torch.ones(6, dtype=torch.bool))
    network = module(sample, recipe_file(file.name, file), "net()")
    weights = {name: value.double() for name, value in network.initial(0).items()}
    expected = numbers.double().flatten(1) @ weights["1.weight"].T + weights["1.bias"]
    torch.testing.assert_close(network.outputs(weights, numbers), expected)


@pytest.mark.slow
def test_the_commands_train_it_and_report_on_it(tmp_path: Path):
    folder = write_run(tmp_path / "run")
    root = Path(interp.__file__).parents[1]
    for arguments in (
        ["interp.train", "run", "--set", "training.seed=0..1"],
        ["interp.run", str(root / "analyses" / "fourier.yaml"), "--run", "run/seed=1", "--jobs", "2"],
    ):
        command = [
            sys.executable,
            "-c",
            f"import sys, runpy; sys.path.insert(0, {str(root)!r}); "
            f"sys.argv = {arguments!r}; runpy.run_module({arguments[0]!r}, run_name='__main__', alter_sys=True)",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (folder / "seed=1" / "weights").is_dir()
    assert "which was run to open this" in next((tmp_path / "reports").glob("*.html")).read_text()
