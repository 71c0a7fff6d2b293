"""The convolutional network: a loop over pixels in NumPy, the hooked module, and how it is initialised."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.contracts.architecture import HasNeurons
from interp.contracts.task import Task
from interp.models.conv import conv
from interp.tasks.images import images
from interp.tasks.sparse_parity import sparse_parity
from tests.models.agreement import assert_plain_is_hooked


def drawings(shape=(2, 5, 6), count=4):
    """A task of random images."""
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    return Task("drawings", x, torch.arange(count) % 3, 3, torch.arange(count) < 2)


def by_loops(x, W, b, stride):
    """The convolution as a sum over the pixels under the kernel, [example, channel, row, column]."""
    k = W.shape[1]
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    rows, columns = (range(0, length, stride) for length in x.shape[2:])
    out = np.zeros((len(x), W.shape[3], len(rows), len(columns)))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            out[:, :, i, j] = np.einsum("echw,chwo->eo", padded[:, :, r : r + k, c : c + k], W) + b
    return out


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_it_is_these_lines_of_numpy(random_weights, kernel):
    task = drawings()
    architecture = conv(task, (3, 4), kernel=kernel, d_mlp=5, output_scale=0.7)
    weights = random_weights(architecture)
    w = {name: value.numpy() for name, value in weights.items()}
    x = task.inputs.double().numpy()
    for layer, stride in enumerate((1, 2)):
        x = np.maximum(by_loops(x, w[f"conv.{layer}.W_in"], w[f"conv.{layer}.b_in"], stride), 0)
    assert x.shape == (4, 4, 3, 3)
    post = np.maximum(x.reshape(4, -1) @ w["mlp.W_in"] + w["mlp.b_in"], 0)
    expected = 0.7 * (post @ w["unembed.W_U"] + w["unembed.b_U"])
    np.testing.assert_allclose(architecture.outputs(weights, task.inputs).numpy(), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"channels": (3,), "strides": (3,), "act_fn": "gelu", "output_scale": 2.0}])
def test_its_paths_are_one_network(random_weights, options):
    architecture = conv(drawings(), **options)
    assert isinstance(architecture, HasNeurons)
    weights = random_weights(architecture)
    assert_plain_is_hooked(architecture, weights)
    post = architecture.activations(weights, architecture.task.inputs)[architecture.neurons]
    silent = architecture.outputs_from_neurons(weights, torch.zeros(1, post.shape[1]).double(), {})
    found = post @ architecture.readout(weights, {}) + silent
    torch.testing.assert_close(found, architecture.outputs(weights, architecture.task.inputs))


def test_it_has_five_convolutions_and_two_linear_layers():
    architecture = conv(images(n_train=3, n_test=3))
    matrices = {name: shape for name, shape in architecture.shapes.items() if ".W_" in name}
    assert list(matrices)[:5] == [f"conv.{layer}.W_in" for layer in range(5)]
    assert matrices["mlp.W_in"] == (64 * 2 * 2, 128)  # 8 × 8 pixels, halved twice
    assert matrices["unembed.W_U"] == (128, 10)


def test_fresh_weights_and_biases_are_uniform_between_the_inverse_roots_of_their_inputs():
    architecture = conv(images(n_train=3, n_test=3))
    drawn = [architecture.initial(seed) for seed in range(20)]
    for name, inputs in (("conv.1.W_in", 9 * 16), ("conv.4.b_in", 9 * 32), ("mlp.b_in", 256), ("unembed.W_U", 128)):
        values = torch.cat([one[name].flatten() for one in drawn])
        assert 0.97 * inputs**-0.5 < float(values.abs().max()) <= inputs**-0.5, name
        assert float(values.std()) == pytest.approx((3 * inputs) ** -0.5, rel=5 / math.sqrt(2 * values.numel())), name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channels": ()}, r"channels is empty"),
        ({"kernel": 4}, r"kernel is 4, which has no middle; make it odd, such as 5$"),
        ({"strides": (1,)}, r"strides lists 1 convolutions, channels 5; give as many$"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        conv(drawings(), **options)


def test_what_are_no_images_is_refused():
    with pytest.raises(ValueError, match=r"parity of 2 of 5 bits are not; try the model perceptron$"):
        conv(sparse_parity(n=5, k=2, n_train=4, n_test=4))
