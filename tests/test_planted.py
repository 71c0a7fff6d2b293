"""The planted networks do what their closed forms say."""

import math

import pytest
import torch

from tests import planted


@pytest.fixture
def logits_of(make_run):
    """The logits of a planted network, [a, b, c], its task, and the share of right answers on train and test pairs."""

    def measure(network):
        checkpoint = make_run({0: network.weights}, network.task, network.model)[0]
        loss = checkpoint.measure("loss")
        return checkpoint.task.table(checkpoint.logits)[..., : checkpoint.task.p], loss

    return measure


def away(found, expected):
    """Size of what the expected logits, at their best scale, leave of the found ones, relative to them."""
    found = found - found.mean(-1, keepdim=True)
    scale = (found * expected).sum() / expected.square().sum()
    return float((found - scale * expected).norm() / found.norm()), float(scale)


@pytest.mark.parametrize("plant", [planted.clock_mlp, planted.clock_transformer])
def test_the_planted_clock_has_a_clock_s_logits(logits_of, plant):
    found, loss = logits_of(plant())
    distance, scale = away(found, planted.clock_logits(13, {1: 20, 3: 15}))
    assert distance < 0.02
    assert scale == pytest.approx(1, abs=0.01)
    assert loss.all_accuracy == 1


def test_both_planted_clocks_have_the_same_logits(logits_of, make_run):
    found, _ = logits_of(planted.clock_mlp())
    network = planted.clock_transformer()
    checkpoint = make_run({0: network.weights}, network.task, network.model, name="transformer")[0]
    torch.testing.assert_close(checkpoint.task.table(checkpoint.logits), found, atol=1e-9, rtol=0)


def test_the_planted_pizza_has_a_pizza_s_logits(logits_of):
    found, loss = logits_of(planted.pizza_transformer())
    distance, scale = away(found, planted.pizza_logits(13, {1: 20, 3: 15}))
    assert distance < 0.01
    assert scale == pytest.approx(1, abs=0.01)
    assert loss.all_accuracy == 1


def test_pair_s_five_neurons_are_a_pizza_up_to_relu(logits_of):
    found, loss = logits_of(planted.five_neurons(7))
    assert away(found, planted.pizza_logits(7, {1: 1.0}))[0] < 0.1
    assert away(found, planted.clock_logits(7, {1: 1.0}))[0] > 0.4
    assert loss.all_accuracy == 1


def test_pair_s_five_neurons_with_squares_are_the_closed_form_of_the_explorable():
    weights, p = planted.five_neurons(11).weights, 11
    pre = (weights["embed.W_E"] @ weights["mlp.W_in"])[:, None] + weights["embed.W_E"] @ weights["mlp.W_in"]
    logits = pre.square() @ weights["unembed.W_U"]
    a, b, c = torch.meshgrid(*[torch.arange(p).double()] * 3, indexing="ij")
    expected = (math.pi * (a - b) / p).cos().square() * (2 * math.pi * (a + b - c) / p).cos()
    torch.testing.assert_close(logits / logits.max(), expected, atol=1e-12, rtol=0)


def test_gromov_s_network_is_a_clock_on_every_frequency_the_better_the_wider(make_run):
    expected = planted.clock_logits(11, dict.fromkeys(range(1, 6), 2.0))
    distances = []
    for width in (400, 6400):
        network = planted.gromov_mlp(11, width)
        checkpoint = make_run({0: network.weights}, network.task, network.model, name=f"of {width}")[0]
        distances.append(away(checkpoint.task.table(checkpoint.logits), expected)[0])
        accuracy = checkpoint.measure("loss").all_accuracy
    assert accuracy == 1
    assert distances[1] < distances[0] / 2
    assert distances[1] < 0.2


def test_the_lookup_table_knows_its_training_pairs_and_nothing_else(logits_of):
    _, loss = logits_of(planted.lookup_table(13, 0.4))
    assert loss.train_accuracy == 1
    assert loss.test_accuracy < 0.2
    assert loss.train_loss < 1e-6
    assert float(loss.test_loss) == pytest.approx(math.log(13))


def test_a_network_of_given_logits_has_them(logits_of):
    given = torch.randn(7, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(logits_of(planted.of_logits(given))[0], given)


def test_the_untrained_network_knows_nothing(logits_of):
    assert logits_of(planted.untrained())[1].all_accuracy < 0.2
