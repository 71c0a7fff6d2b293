"""Fresh weights of transformers: those of PyTorch's own modules, and the size that Power et al. state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic

POWER = {
    "n_layers": 2,
    "row": "eos a op b =",
    "positions": "sinusoidal",
    "norm": "layer",
    "norm_position": "post",
    "biases": "none",
    "initialisation": "torch",
}


def test_the_decoder_of_power_et_al_has_the_parameters_that_their_code_has():
    weights = transformer(modular_arithmetic(p=97, operation="x/y"), **POWER).initial(0)
    inside = [value.numel() for name, value in weights.items() if name.startswith("blocks.")]
    assert sum(inside) == 394_240


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("embed.W_E", lambda: nn.Embedding(99, 128).weight),
        ("pos_embed.W_pos", lambda: nn.Embedding(300, 128).weight),
        ("blocks.1.attn.W_Q", lambda: nn.Linear(128, 128).weight),
        ("blocks.1.attn.b_V", lambda: nn.Linear(128, 10_000).bias),
        ("blocks.0.attn.W_O", lambda: nn.Linear(4 * 16, 128).weight),
        ("blocks.0.mlp.W_in", lambda: nn.Linear(128, 512).weight),
        ("blocks.0.mlp.W_out", lambda: nn.Linear(512, 128).weight),
        ("blocks.0.mlp.b_out", lambda: nn.Linear(512, 10_000).bias),
        ("unembed.W_U", lambda: nn.Linear(128, 99).weight),
        ("unembed.b_U", lambda: nn.Linear(128, 10_000).bias),
    ],
)
def test_each_tensor_is_drawn_as_pytorch_draws_its_own(name: str, module):
    architecture = transformer(
        modular_arithmetic(p=97), n_layers=2, d_head=16, biases="all", norm="layer", initialisation="torch"
    )
    drawn = architecture.initial(3)[name].flatten().double().numpy()
    torch.manual_seed(0)
    own = module().detach().flatten().double().numpy()
    assert stats.ks_2samp(drawn, own)[1] > 1e-3
    if "W_E" not in name and "W_pos" not in name:
        assert np.abs(drawn).max() <= np.abs(own).max() * 1.01


def test_norms_begin_as_the_identity():
    weights = transformer(modular_arithmetic(p=7), norm="layer", initialisation="torch").initial(0)
    assert all((weights[name] == 1).all() for name in weights if name.endswith(".w"))
    assert all((weights[name] == 0).all() for name in weights if name.endswith("ln1.b"))


def test_the_seed_decides():
    architecture = transformer(modular_arithmetic(p=7), initialisation="torch")
    first, again, other = (architecture.initial(seed)["embed.W_E"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
