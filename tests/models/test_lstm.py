"""The recurrent network: torch's own nn.LSTM, the hooked module, and how it is initialised."""

from __future__ import annotations

import math

import pytest
import torch

from interp.contracts.texts import Texts
from interp.models.lstm import lstm
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity

WORDS = ("a", "b", "c", "d")
TASK = Texts(
    "rows of letters",
    torch.randint(0, 5, (6, 7), generator=torch.Generator().manual_seed(0)),
    torch.tensor([0, 1, 1, 0, 0, 1]),
    1,
    torch.arange(6) < 3,
    words=WORDS,
)


def small(**options):
    return lstm(TASK, **{"d_model": 3, "d_hidden": 4, "n_layers": 2, **options})


def test_it_is_torch_s_lstm(random_weights):
    architecture = small(output_scale=0.6)
    weights = random_weights(architecture)
    own = torch.nn.LSTM(3, 4, num_layers=2, batch_first=True).double()
    with torch.no_grad():
        for layer in range(2):
            for name in ("W_ih", "W_hh", "b_ih", "b_hh"):
                value = weights[f"lstm.{layer}.{name}"]
                getattr(own, f"{name.replace('W', 'weight').replace('b_', 'bias_')}_l{layer}").copy_(
                    value.mT if value.ndim == 2 else value
                )
        states, (_, cells) = own(weights["embed.W_E"][TASK.inputs])
        expected = 0.6 * (states[:, -1] @ weights["unembed.W_U"] + weights["unembed.b_U"])
    found = architecture.activations(weights, TASK.inputs)
    torch.testing.assert_close(found["logits"], expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(found["lstm.1.hook_h"], states[:, -1], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(found["lstm.0.hook_c"], cells[0], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"n_layers": 1, "output_scale": 2.0}])
def test_the_plain_function_is_the_hooked_module_at_the_last_position(random_weights, options):
    architecture = small(**options)
    weights = random_weights(architecture)
    found = architecture.activations(weights, TASK.inputs)
    model = architecture.hooked(weights)
    outputs, cache = model.run_with_cache(architecture.tokens(TASK.inputs))
    torch.testing.assert_close(found.pop("logits"), outputs, rtol=1e-11, atol=1e-12)
    assert set(found) == set(model.hook_names)
    for name, value in found.items():
        torch.testing.assert_close(value, cache[name][:, -1], rtol=1e-11, atol=1e-12, msg=name)
    parameters = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert parameters == architecture.shapes == {n: tuple(w.shape) for n, w in architecture.initial(0).items()}


def test_a_hook_on_a_layer_s_states_is_seen_by_the_next(random_weights):
    architecture = small()
    weights = random_weights(architecture)
    silent = [("lstm.0.hook_h", lambda value, hook: 0 * value)]  # noqa: ARG005 (TransformerLens's signature)
    found = architecture.hooked(weights).run_with_hooks(TASK.inputs, fwd_hooks=silent)
    without = {**weights, "lstm.1.W_ih": 0 * weights["lstm.1.W_ih"]}
    torch.testing.assert_close(found, architecture.outputs(without, TASK.inputs), rtol=1e-11, atol=1e-12)


def test_fresh_weights_are_as_torch_s_own_modules_draw_them():
    drawn = [lstm(TASK, 5, 64).initial(seed) for seed in range(20)]
    assert drawn[0]["embed.W_E"].shape == (len(WORDS) + 1, 5)
    for name in ("lstm.0.W_ih", "lstm.1.W_hh", "lstm.1.b_ih", "unembed.W_U"):
        values = torch.cat([one[name].flatten() for one in drawn])
        assert 0.97 / 8 < float(values.abs().max()) <= 1 / 8, name
        assert float(values.std()) == pytest.approx(1 / 8 / 3**0.5, rel=5 / math.sqrt(2 * values.numel())), name
    table = torch.cat([one["embed.W_E"].flatten() for one in drawn])
    assert float(table.std()) == pytest.approx(1, rel=5 / math.sqrt(2 * table.numel()))


def test_pairs_of_residues_are_a_row_too_and_numbers_are_refused():
    assert lstm(modular_arithmetic(7)).shapes["embed.W_E"] == (7, 64)
    with pytest.raises(ValueError, match=r"parity of 2 of 5 bits are not; try the model perceptron$"):
        lstm(sparse_parity(n=5, k=2, n_train=4, n_test=4))
