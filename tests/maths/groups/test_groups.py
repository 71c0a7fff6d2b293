"""Groups: their tables are those of groups, their characters and subgroups those of textbooks and the release."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.contracts.group import NORMS, Group
from interp.maths.groups import subgroups
from interp.maths.groups.characters import complex_characters
from interp.maths.groups.finite_group import TableGroup
from interp.maths.groups.named import direct_product, named_group
from interp.maths.groups.table import checked_table
from tests.groups_by_hand import SL23, TABLES

NAMES = [
    "C1",
    "C2",
    "C7",
    "C12",
    "D1",
    "D2",
    "D5",
    "D6",
    "S1",
    "S3",
    "S4",
    "A3",
    "A4",
    "A5",
    "Q8",
    "C2 x S3",
    "C3 x C3",
]
groups = pytest.mark.parametrize("name", NAMES)


def permutations_composed(n: int) -> np.ndarray:
    """The table of S_n in lexicographic order, x first, by dictionaries."""
    listed = list(itertools.permutations(range(n)))
    place = {images: number for number, images in enumerate(listed)}
    return np.array([[place[tuple(y[i] for i in x)] for y in listed] for x in listed])


def of_table(table: np.ndarray) -> TableGroup:
    return TableGroup("given", torch.from_numpy(table), tuple(map(str, range(len(table)))))


@groups
def test_a_named_group_is_what_the_contract_asks_for(name):
    group = named_group(name)
    assert isinstance(group, Group)
    assert group.description == name
    assert group.order == len(group.elements) == len(set(group.elements)) == len(group.product)
    checked = checked_table(group.product.numpy(), name)
    assert np.array_equal(checked, group.product.numpy())


@groups
def test_identity_inverses_and_quotients_are_those_of_the_table(name):
    group = named_group(name)
    number = torch.arange(group.order)
    assert torch.equal(group.product[group.identity], number)
    assert (group.product[number, group.inverse] == group.identity).all()
    assert torch.equal(group.product[group.quotient, number], number[:, None].expand(group.order, group.order))


def test_permutations_are_composed_x_first_in_lexicographic_order():
    assert np.array_equal(named_group("S4").product.numpy(), permutations_composed(4))
    assert named_group("S3").elements == ("012", "021", "102", "120", "201", "210")


@pytest.mark.parametrize("name", ["S5", "S6", "A5", "D59", "D61", "C113", "C118"])
def test_the_release_s_groups_have_its_order_products_and_characters(name, reference: Path):
    theirs = json.loads((reference / "groups" / f"{name}.json").read_text())
    group = named_group(name, "rep_theory")
    assert group.identity == theirs["identity_index"]
    table = group.product.numpy().astype("<i4").tobytes()
    assert hashlib.sha256(table).hexdigest() == theirs["product_table_int32le_sha256"]
    if theirs["elements_one_line"]:
        assert [list(map(int, element)) for element in group.elements] == theirs["elements_one_line"]
    ours = {irrep.name: irrep for irrep in group.irreps}
    assert list(ours)[: len(theirs["irreps"])] == list(theirs["irreps"])
    for irrep, facts in theirs["irreps"].items() if isinstance(theirs["irreps"], dict) else ():
        assert ours[irrep].scale == pytest.approx(facts["projector_scale"])
        if facts["character"]:
            np.testing.assert_allclose(ours[irrep].character, facts["character"], atol=1e-10)


@pytest.mark.parametrize("name", [*NAMES, "S5", "A6", "D12", "C2 x C2 x C4", *TABLES])
def test_projectors_of_characters_are_projectors_that_sum_to_one(name):
    """Each P = scale · χ(x y⁻¹) is its own square, two of different irreps have product 0, and all of them sum to 1."""
    group = of_table(TABLES[name]()) if name in TABLES else named_group(name)
    basis, row = group.basis
    everything = torch.zeros(group.order, group.order, dtype=torch.float64)
    for place, irrep in enumerate(group.irreps):
        projector = irrep.scale * irrep.character[group.quotient]
        torch.testing.assert_close(projector @ projector, projector, rtol=0, atol=1e-10)
        rows = basis[row == place]
        torch.testing.assert_close(rows.T @ rows, projector, rtol=0, atol=1e-10)
        assert len(rows) == round(irrep.dimension**2 / NORMS[irrep.kind])
        everything += projector
    torch.testing.assert_close(everything, torch.eye(group.order).double(), rtol=0, atol=1e-10)
    assert len({irrep.name for irrep in group.irreps}) == len(group.irreps)
    assert group.irreps[0].name == "trivial"


@pytest.mark.parametrize("name", ["S6", "A6", "D50", "C4 x S4"])
def test_complex_characters_are_orthonormal_and_as_many_as_classes(name):
    group = named_group(name)
    found = complex_characters(group.product.numpy(), group.inverse.numpy(), group.classes.numpy())
    assert len(found) == int(group.classes.max()) + 1
    np.testing.assert_allclose(found @ found.conj().T / group.order, np.eye(len(found)), atol=1e-10)


@pytest.mark.parametrize(
    ("name", "degrees"),
    [
        ("S4", [1, 1, 3, 3, 2]),
        ("S6", [1, 1, 5, 5, 5, 5, 9, 9, 10, 10, 16]),
        ("A5", [1, 4, 5, 3, 3]),
        ("A6", [1, 5, 5, 8, 8, 9, 10]),
        ("D5", [1, 1, 2, 2]),
    ],
)
def test_degrees_are_those_of_textbooks(name, degrees):
    assert [irrep.dimension for irrep in named_group(name).irreps] == degrees


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("Q8", {(1, "real"): 4, (4, "quaternionic"): 1}),
        ("dicyclic", {(1, "real"): 2, (2, "complex"): 1, (2, "real"): 1, (4, "quaternionic"): 1}),
        ("SL(2,3)", {(1, "real"): 1, (2, "complex"): 1, (3, "real"): 1, (4, "quaternionic"): 1, (4, "complex"): 1}),
        ("Heisenberg mod 3", {(1, "real"): 1, (2, "complex"): 4, (6, "complex"): 1}),
        ("C4", {(1, "real"): 2, (2, "complex"): 1}),
    ],
)
def test_the_kinds_are_those_of_textbooks(name, kinds):
    """The dicyclic group of order 12 has 1, -1 and ±i of degree 1, and two of degree 2: S3's, and one quaternionic."""
    group = of_table(TABLES[name]()) if name in TABLES else named_group(name)
    found: dict[tuple[int, str], int] = {}
    for irrep in group.irreps:
        found[irrep.dimension, irrep.kind] = found.get((irrep.dimension, irrep.kind), 0) + 1
    assert found == kinds


def test_irreps_without_a_name_are_called_by_dimension_and_place_the_larger_character_first():
    names = [irrep.name for irrep in named_group("S6").irreps]
    assert names[6:] == ["9d_1", "9d_2", "10d_1", "10d_2", "16d_1"]
    group = named_group("C2 x C2")
    first = group.irreps[1]
    assert first.name == "1d_1"
    assert first.character[int((group.classes == 1).nonzero()[0, 0])] == pytest.approx(1)


def test_conjugacy_classes_of_s5_are_its_cycle_types():
    group = named_group("S5")
    types = {}
    for element, number in zip(group.elements, group.classes.tolist(), strict=True):
        left, lengths = set(range(5)), []
        while left:
            point, length = min(left), 0
            while point in left:
                left.remove(point)
                point, length = int(element[point]), length + 1
            lengths.append(length)
        types.setdefault(tuple(sorted(lengths)), set()).add(number)
    assert all(len(numbers) == 1 for numbers in types.values())
    assert len(types) == int(group.classes.max()) + 1 == 7
    assert int(group.classes[group.identity]) == 0


SUBGROUPS = {
    "S3": 6,
    "S4": 30,
    "S5": 156,
    "A4": 10,
    "A5": 59,
    "Q8": 6,
    "C12": 6,
    "D4": 10,
    "D6": 16,
    "C2 x C2 x C2": 16,
}


@pytest.mark.parametrize(("name", "count"), [*SUBGROUPS.items(), ("A6", 501), ("C3 x C3 x C3", 28)])
def test_there_are_as_many_subgroups_as_textbooks_count(name, count):
    found = named_group(name).subgroups
    assert len(found) == count == len({one.members.numpy().tobytes() for one in found})
    assert [one.order for one in found] == sorted(one.order for one in found)


def test_s6_has_1455_subgroups():
    assert len(named_group("S6").subgroups) == 1455


@pytest.mark.parametrize("name", ["S4", "D6", "Q8", *TABLES])
def test_subgroups_are_those_that_pairs_and_triples_generate(name):
    """Every subgroup of these groups has at most three generators, so that closing all triples finds them all."""
    group = of_table(TABLES[name]()) if name in TABLES else named_group(name)
    product = group.product.numpy()
    closed = set()
    for generators in itertools.combinations_with_replacement(range(group.order), 3):
        members = {group.identity}
        while True:
            larger = members | {int(product[x, g]) for x in members for g in generators}
            if larger == members:
                break
            members = larger
        closed.add(frozenset(members))
    assert {frozenset(one.members.nonzero().flatten().tolist()) for one in group.subgroups} == closed


@pytest.mark.parametrize("name", ["S4", "A4", "D5", "Q8"])
def test_cosets_are_g_h_and_h_g(name):
    group = named_group(name)
    for subgroup in group.subgroups:
        inside = subgroup.members.nonzero().flatten()
        for g in range(group.order):
            left, right = set(group.product[g, inside].tolist()), set(group.product[inside, g].tolist())
            assert set((subgroup.left == subgroup.left[g]).nonzero().flatten().tolist()) == left
            assert set((subgroup.right == subgroup.right[g]).nonzero().flatten().tolist()) == right
        assert int(subgroup.left.max()) + 1 == int(subgroup.right.max()) + 1 == subgroup.index


def test_too_many_subgroups_are_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(subgroups, "MOST", 15)
    with pytest.raises(ValueError, match=r"^C2 x C2 x C2 has more than 15 subgroups") as refused:
        direct_product(named_group("C2 x C2"), named_group("C2")).subgroups  # noqa: B018
    assert "\n" not in str(refused.value)


def test_a_group_by_name_is_the_same_object_and_its_subgroups_are_kept():
    assert named_group("S4") is named_group("S4")
    assert named_group("S4").subgroups is named_group("S4").subgroups


def test_the_direct_product_multiplies_each_in_its_group():
    one, other = named_group("S3"), named_group("C4")
    both = direct_product(one, other)
    for x, y in ((3, 2), (4, 3), (1, 1)):
        for z, w in ((2, 3), (5, 1)):
            expected = int(one.product[x, z]) * 4 + (y + w) % 4
            assert int(both.product[x * 4 + y, z * 4 + w]) == expected


def test_dihedral_relations():
    n = 6
    group = named_group("D6")
    r, s = 1, n
    assert int(group.product[s, s]) == group.identity == 0
    assert group.elements[int(group.product[s, r])] == "r5 s"
    assert group.order == 12


def test_quaternion_relations():
    group = named_group("Q8")
    number = {name: place for place, name in enumerate(group.elements)}
    for word in ("i i -1", "j j -1", "k k -1", "i j k", "j k i", "k i j"):
        x, y, z = word.split()
        assert group.elements[int(group.product[number[x], number[y]])] == z
    assert group.elements[int(group.product[number["j"], number["i"]])] == "-k"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("S7", r"S7 has 5,040 elements, which make 25,401,600 pairs; take a group of at most 1,000"),
        ("C30 x C40", r"1,200 elements, which make 1,440,000 pairs"),
        ("S999", r"pairs"),
        ("M11", r"group is 'M11', and the groups that have names are .*table"),
        ("Q16", r"groups that have names"),
        ("", r"groups that have names"),
    ],
)
def test_other_names_are_refused_in_one_line(name, message):
    with pytest.raises(ValueError, match=message) as refused:
        named_group(name)
    assert "\n" not in str(refused.value)


def test_an_order_of_the_release_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match=r"order of the S4 of the rep-theory release is not known.*table"):
        named_group("S4", "rep_theory")


# Tables.


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_tables_of_groups_pass_numbered_from_0_or_1(table):
    given = table()
    assert np.array_equal(checked_table(given, "it"), given)
    assert np.array_equal(checked_table(given + 1, "it"), given)


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_entry_is_named_by_the_element_that_its_row_holds_twice(seed):
    rng = np.random.default_rng(seed)
    table = SL23()
    row, column = rng.integers(0, 24, 2)
    wrong = (table[row, column] + rng.integers(1, 24)) % 24
    before = int(np.flatnonzero(table[row] == wrong)[0])
    table[row, column] = wrong
    first, second = sorted((before, int(column)))
    with pytest.raises(ValueError, match=f"row {row} holds element {wrong} twice, in columns {first} and {second}"):
        checked_table(table, "it")


def test_a_column_that_holds_an_element_twice_is_named_where_all_rows_are_right():
    table = named_group("C5").product.numpy().copy()
    table[2, [0, 1]] = table[2, [1, 0]]
    with pytest.raises(ValueError, match=r"column 0 holds element 3 twice, in rows 2 and 3"):
        checked_table(table, "it")


def test_a_latin_square_that_is_no_group_is_named_by_a_failing_triple():
    """The smallest loop that is no group has five elements."""
    table = np.array([[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]])
    with pytest.raises(
        ValueError, match=r"not associative: \((\d)·(\d)\)·(\d) is (\d), and \1·\(\2·\3\) is (\d)"
    ) as refused:
        checked_table(table, "it")
    x, y, z, left = [int(character) for character in str(refused.value) if character.isdigit()][:4]
    assert table[table[x, y], z] == left != table[x, table[y, z]]


def test_a_table_without_identity_is_told_with_a_failing_triple():
    subtraction = (np.arange(5)[:, None] - np.arange(5)) % 5
    with pytest.raises(ValueError, match=r"and has no identity e") as refused:
        checked_table(subtraction, "it")
    x, y, z, left = [int(character) for character in str(refused.value) if character.isdigit()][:4]
    assert (x - y - z) % 5 == left != (x - (y - z)) % 5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((2, 3), int), r"shape \[2, 3\]; expected a square table"),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), r"holds float64; expected the whole numbers"),
        (np.array([[0, 7], [1, 0]]), r"row 0, column 1: 7.*numbered 0 to 1, or 1 to 2"),
        (np.array([[0, -1], [1, 0]]), r"row 0, column 1: -1"),
        (np.zeros((0, 0), int), r"square table"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(table, message):
    with pytest.raises(ValueError, match=message) as refused:
        checked_table(table, "it")
    assert "\n" not in str(refused.value)


def test_every_subgroup_s_order_divides_the_group_s():
    assert all(120 % one.order == 0 and one.index * one.order == 120 for one in named_group("S5").subgroups)
