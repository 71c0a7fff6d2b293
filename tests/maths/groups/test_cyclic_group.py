"""The cyclic group's table is that of a group, and its representations are all there are."""

from __future__ import annotations

import pytest
import torch

from interp.contracts.group import Group
from interp.maths.groups.cyclic_group import CyclicGroup
from interp.maths.groups.finite_group import TableGroup

orders = pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12])


def characters(group):
    """The trace of each element in every representation, [irrep, element]."""
    return torch.stack([irrep.character for irrep in group.irreps])


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
def test_characters_of_two_representations_are_orthogonal(n):
    """Over the reals ⟨χ, χ⟩ is n times the number of complex representations that χ is the sum of: 1, or 2."""
    group = CyclicGroup(n)
    found = characters(group)
    gram = found @ found.T
    expected = torch.diag(torch.tensor([n * irrep.dimension for irrep in group.irreps]).double())
    torch.testing.assert_close(gram, expected, rtol=0, atol=1e-10)


@orders
def test_there_is_no_other_representation_and_the_trivial_one_comes_first(n):
    """The functions that belong to them, one for a sign and two for a rotation, are all n functions on the group."""
    group = CyclicGroup(n)
    assert n == sum(irrep.dimension for irrep in group.irreps)
    assert (group.irreps[0].character == 1).all()
    assert len({irrep.name for irrep in group.irreps}) == len(group.irreps)


@orders
def test_the_closed_form_is_what_the_table_of_products_gives(n):
    group = CyclicGroup(n)
    computed = TableGroup("given", group.product, group.elements)
    basis, row = group.basis
    assert len(computed.irreps) == len(group.irreps)
    for place, irrep in enumerate(group.irreps):
        (same,) = (one for one in computed.irreps if (one.character - irrep.character).abs().max() < 1e-9)
        assert (same.kind, same.scale) == (irrep.kind, pytest.approx(irrep.scale))
        projector = basis[row == place].T @ basis[row == place]
        torch.testing.assert_close(projector, irrep.scale * irrep.character[group.quotient], rtol=0, atol=1e-12)


def test_the_element_1_has_the_trace_of_a_rotation_by_the_frequency_s_angle():
    assert CyclicGroup(12).irreps[3].name == "freq_2"
    assert float(CyclicGroup(12).irreps[3].character[1]) == pytest.approx(1)  # 2 cos(2 · 30°)


def test_an_even_group_has_the_sign():
    names = [irrep.name for irrep in CyclicGroup(6).irreps]
    assert names == ["trivial", "sign", "freq_1", "freq_2"]
    assert CyclicGroup(6).irreps[1].character.tolist() == [1, -1, 1, -1, 1, -1]
    assert "sign" not in [irrep.name for irrep in CyclicGroup(7).irreps]
