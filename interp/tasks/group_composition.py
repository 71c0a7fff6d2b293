"""Composition in a finite group: the operations of Power et al. 2022 (arXiv 2201.02177, A.1.1), on any group."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Int
from pydantic import NonNegativeInt
from torch import Tensor

from interp.contracts.recipe_file import BesideRecipe
from interp.contracts.task import TwoOperands
from interp.errors import shown
from interp.maths.groups.finite_group import FiniteGroup, TableGroup
from interp.maths.groups.named import ElementOrder, named_group, refuse_above_most
from interp.maths.groups.table import checked_table
from interp.tasks.shared.split import Split, refuse_no_share, shuffled, trained_on

Operation = Literal["x*y", "x*y*x^-1", "x*y*x"]
Composition = Literal["x first", "y first"]


def group_composition(
    group: str | None = None,
    table: BesideRecipe | None = None,
    operation: Operation = "x*y",
    composition: Composition = "x first",
    element_order: ElementOrder = "lexicographic",
    frac_train: float = 0.4,
    seed: NonNegativeInt = 0,
    split: Split = "rep_theory",
) -> TwoOperands:
    """Products of two elements of a finite group, trained on a random part of the table of all pairs.

    - group: C_n, D_n (of order 2n), S_n, A_n, Q8, or a direct product, "C2 x S3"; S5 where neither it nor `table` is
      given.
    - table: a file with the products of any other group, relative to the run.yaml: a row of whole numbers for each
      left factor, in text (blanks or commas between them), as a JSON list of rows, or .npy. Elements are numbered from
      0, or from 1, in which case they are counted down. Whether it is a group's is checked.
    - operation: x*y, x*y*x^-1 or x*y*x, in the group.
    - composition: what x*y means of permutations: "x first", (x*y)(i) = y(x(i)), as Power et al. and Chughtai et al.
      have it, or "y first", x(y(i)). Of every other group, "y first" multiplies the other way round.
    - element_order: how the permutations of S_n and A_n are numbered: lexicographic, or rep_theory, as the networks of
      Chughtai et al. number those of S5, S6 and A5. Rotations r^i of C_n and D_n have the number i and, in D_n,
      r^i s has n + i, in either order; a table has its own.
    - seed and split draw the training pairs by the rules that `modular_arithmetic` explains.

    Raises ValueError where there is no such group, it has more than 1,000 elements, or the table is no group's: it
    names an element that a row or a column holds twice, else a triple with (x y) z ≠ x (y z).
    """
    refuse_no_share(frac_train)
    if group is not None and table is not None:
        raise ValueError(f"both group, {group!r}, and table are given; leave one of them out")
    found = _of_table(table) if table is not None else named_group(group or "S5", element_order)
    found = _composed(found, composition)
    order = shuffled(split, found.order**2, seed)
    return TwoOperands(
        description=_description(found, operation, composition, element_order),
        inputs=torch.cartesian_prod(torch.arange(found.order), torch.arange(found.order)),
        targets=_answers(operation, found).flatten(),
        n_outputs=found.order,
        train=trained_on(split, order, frac_train),
        order=order,
        p=found.order,
        structure=found,
        elements=torch.arange(found.order),
    )


def _of_table(table: BesideRecipe) -> TableGroup:
    """The group whose products stand in a file. Raises ValueError where they are no group's."""
    written = str(table)
    products = _table_in(Path(table), written)
    if products.ndim == 2:
        refuse_above_most(len(products), written)
    checked = torch.from_numpy(checked_table(products, written))
    name = Path(written).stem
    return TableGroup(f"the group of {name}", checked, tuple(map(str, range(len(checked)))))


def _table_in(file: Path, written: str) -> np.ndarray:
    """The numbers in a file. Raises ValueError where it holds anything else."""
    try:
        if file.suffix == ".npy":
            return np.load(file, allow_pickle=False)
        text = file.read_text(encoding="utf-8")
        if text.lstrip().startswith("["):
            return np.array(_of_one_length(json.loads(text)))
        lines = [line.split("#")[0].strip(" \t,;") for line in text.splitlines()]
        return np.array(_of_one_length([[int(word) for word in re.split(r"[\s,;]+", line)] for line in lines if line]))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{written} is no table of whole numbers: {shown(error)}; expected a row for each left factor"
        ) from None


def _of_one_length(rows: list[Any]) -> list[Any]:
    """The rows of a table. Raises ValueError where one has not as many entries as there are rows."""
    for place, row in enumerate(rows):
        if isinstance(row, list) and len(row) != len(rows):
            raise ValueError(f"row {place} has {len(row)} entries where there are {len(rows)} rows")
    return rows


def _composed(group: FiniteGroup, composition: Composition) -> FiniteGroup:
    """The group, or that with x·y and y·x exchanged, whose characters are the same."""
    if composition not in get_args(Composition):
        raise ValueError(f"composition is {composition!r}; it is one of {', '.join(get_args(Composition))}")
    if composition == "x first" or group.abelian:
        return group
    return TableGroup(group.description, group.product.T.contiguous(), group.elements, group.known)


def _answers(operation: Operation, group: FiniteGroup) -> Int[Tensor, "x y"]:
    product, x = group.product, torch.arange(group.order)[:, None]
    match operation:
        case "x*y":
            return product
        case "x*y*x^-1":
            return product[product, group.inverse[x]]
        case "x*y*x":
            return product[product, x]
        case _:
            raise ValueError(f"operation is {operation!r}; it is one of {', '.join(get_args(Operation))}")


def _description(
    group: FiniteGroup, operation: Operation, composition: Composition, element_order: ElementOrder
) -> str:
    """For "S5": "x*y in S5 (x first, lexicographic order)"; an abelian group is composed in either order alike."""
    said = []
    if not group.abelian:
        said.append(composition)
    if re.search(r"\b[SA]\d", group.description) and not group.description.startswith("the group of"):
        said.append(f"{element_order} order")
    return f"{operation} in {group.description}" + (f" ({', '.join(said)})" if said else "")
