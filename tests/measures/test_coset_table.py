"""The table of products in the order of cosets that were planted, and pictures of vectors with known cosets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.errors import NothingToSay
from tests import planted_groups
from tests.planted_groups import permutations, products
from tests.told import summary


@pytest.fixture
def found(make_run):
    network = planted_groups.of_cosets(4)
    network.weights["unembed.W_U"][:, 3] = 0  # the fourth element is never answered
    return make_run({0: network.weights}, network.task, network.model)[0].measure("coset_table")


def test_columns_of_one_coset_are_alike_and_wrong_answers_are_blank(found):
    assert (found.subgroup_order, found.cosets) == (6, 4)
    names = ["".join(map(str, row)) for row in permutations(4).tolist()]
    order = [names.index(name) for name in found.b]
    product = products(4)[np.ix_(order, order)]
    wrong = found.answer.isnan().numpy()
    np.testing.assert_array_equal(wrong, product == 3)
    blocks = found.answer.view(24, 4, 6)  # four cosets of six columns
    for row in range(24):
        for block in blocks[row]:
            assert len(block[~block.isnan()].unique()) == 1
    point = int(permutations(4)[order[0]][0])  # left cosets of a point's stabiliser: where x comes from
    assert point in range(4)
    sources = np.argsort(permutations(4), axis=1)[order]  # [element, point]: its inverse's images
    assert any((sources[:, fixed].reshape(4, 6).std(axis=1) == 0).all() for fixed in range(4))


def test_the_correlation_within_cosets_is_that_of_numpy(found, make_run):
    network = planted_groups.of_cosets(4)
    vectors = network.weights["embed_b.W_E"].numpy()
    centred = vectors - vectors.mean(axis=0)
    correlation = centred @ centred.T / np.outer(*[np.linalg.norm(centred, axis=1)] * 2)
    images = permutations(4)
    place = found.table.index("embed_b.W_E")
    group = make_run({}, network.task, network.model, "empty").task.structure
    labels = group.subgroups[found.subgroup].left.numpy()
    alike = (labels[:, None] == labels) & ~np.eye(24, dtype=bool)
    assert float(found.same_coset[place]) == pytest.approx(correlation[alike].mean())
    orders = [tuple(sorted(np.sum(np.linalg.matrix_power(np.eye(4)[x], k).trace()) for k in (1, 2, 3))) for x in images]
    alike = np.array([[one == other for other in orders] for one in orders]) & ~np.eye(24, dtype=bool)
    assert float(found.same_class[place]) == pytest.approx(correlation[alike].mean())


def test_the_points_are_the_same_in_either_order(found):
    by_class = dict(zip(found.in_classes, found.first_by_class[0].tolist(), strict=True))
    for name, value in zip(found.element, found.first[0].tolist(), strict=True):
        assert by_class[name] == value
    assert sorted(found.class_of.tolist()) == found.class_of.tolist()
    assert found.coset.tolist() == [k for k in range(4) for _ in range(6)]


def test_the_sentence_names_the_subgroup(make_run):
    network = planted_groups.of_cosets(3)
    run = make_run({0: network.weights}, network.task, network.model)
    said = summary("coset_table", run.measure("coset_table")).sentence  # a third of b's places have each stabiliser
    assert "of order 2 with 3 cosets, is the one that explains the most neurons, 9 of 27" in said
    assert torch.is_tensor(run[0].measure("coset_table").answer)


def test_no_subgroup_is_made_up_where_no_neuron_sees_one(make_run):
    network = planted_groups.lookup_table(4)
    checkpoint = make_run({0: network.weights}, network.task, network.model)[0]
    assert float(checkpoint.measure("coset_concentration").explained) == 0
    with pytest.raises(NothingToSay, match="no neuron is explained by a subgroup"):
        checkpoint.measure("coset_table")
