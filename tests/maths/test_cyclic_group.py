"""The cyclic group's table is that of a group, and its representations are all there are."""

from __future__ import annotations

import pytest
import torch

from interp.contracts.group import Group
from interp.maths.cyclic_group import CyclicGroup

orders = pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12])


def characters(group):
    """The trace of every matrix, [irrep, element]."""
    return torch.stack([irrep.matrices.diagonal(dim1=-2, dim2=-1).sum(-1) for irrep in group.irreps])


@orders
def test_it_is_what_the_contract_asks_for(n):
    group = CyclicGroup(n)
    assert isinstance(group, Group)
    assert group.order == n
    assert group.description == f"C{n}"


@orders
def test_the_product_is_associative_has_0_as_its_identity_and_inverses(n):
    table = CyclicGroup(n).product
    elements = torch.arange(n)
    assert torch.equal(table[0], elements)
    assert torch.equal(table[:, 0], elements)
    left = table[table[:, :, None], elements]  # (i j) k
    assert torch.equal(left, table[elements[:, None, None], table[None]])  # i (j k)
    assert ((table == 0).sum(dim=1) == 1).all()


@orders
def test_every_element_is_a_power_of_element_1(n):
    table, power, seen = CyclicGroup(n).product, 0, set()
    for _ in range(n):
        seen.add(power)
        power = int(table[power, 1 % n])
    assert seen == set(range(n))
    assert power == 0


@orders
def test_every_representation_is_a_homomorphism_into_orthogonal_matrices(n):
    group = CyclicGroup(n)
    for irrep in group.irreps:
        of_products = irrep.matrices[group.product]  # [left, right, row, column]
        products = torch.einsum("irk,jkc->ijrc", irrep.matrices, irrep.matrices)
        torch.testing.assert_close(products, of_products, rtol=0, atol=1e-12)
        gram = irrep.matrices @ irrep.matrices.transpose(1, 2)
        torch.testing.assert_close(gram, torch.eye(irrep.dimension).double().expand_as(gram), rtol=0, atol=1e-12)


@orders
def test_characters_of_two_representations_are_orthogonal(n):
    """Over the reals ⟨χ, χ⟩ is n times the number of complex representations that χ is the sum of: 1, or 2."""
    group = CyclicGroup(n)
    found = characters(group)
    gram = found @ found.T
    expected = torch.diag(torch.tensor([n * irrep.dimension for irrep in group.irreps]).double())
    torch.testing.assert_close(gram, expected, rtol=0, atol=1e-10)


@orders
def test_there_is_no_other_representation_and_the_trivial_one_comes_first(n):
    """The matrix elements that differ, one of a sign and two of a rotation, span all n functions on the group."""
    group = CyclicGroup(n)
    functions = torch.cat([irrep.matrices.flatten(1) for irrep in group.irreps], dim=1)  # [element, matrix element]
    assert int(torch.linalg.matrix_rank(functions)) == n == sum(irrep.dimension for irrep in group.irreps)
    assert (group.irreps[0].matrices == 1).all()
    assert len({irrep.name for irrep in group.irreps}) == len(group.irreps)


def test_the_element_1_turns_the_plane_of_a_frequency_by_its_angle():
    rotation = CyclicGroup(12).irreps[2].matrices[1]
    half = 3**0.5 / 2  # 2 · 30°
    torch.testing.assert_close(rotation, torch.tensor([[0.5, -half], [half, 0.5]]).double())


def test_an_even_group_has_the_sign():
    names = [irrep.name for irrep in CyclicGroup(6).irreps]
    assert names == ["0", "1", "2", "sign"]
    assert CyclicGroup(6).irreps[-1].matrices.flatten().tolist() == [1, -1, 1, -1, 1, -1]
    assert "sign" not in [irrep.name for irrep in CyclicGroup(7).irreps]
