"""Random vectors and what a teacher says of them: a polynomial of one direction, or a random network."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from interp.contracts.taught import Taught, Teacher
from interp.maths.teachers import HermiteTeacher, NetworkTeacher

MAX_NUMBERS = 10**9
"""4 GB of inputs in float32."""


def teacher_student(
    teacher: Literal["hermite", "network"] = "hermite",
    d: PositiveInt = 150,
    n_train: PositiveInt = 3_000,
    n_test: NonNegativeInt = 1_000,
    epsilon: float = -0.3,
    widths: tuple[PositiveInt, ...] = (100, 100),
    n_outputs: PositiveInt = 1,
    tolerance: PositiveFloat | None = None,
    seed: NonNegativeInt = 0,
) -> Taught:
    r"""Inputs x of d numbers N(0, 1), and the teacher's answers, to be met with the loss mse.

    - teacher: "hermite", Rubin et al.'s: $y = H_1(w \cdot x) + \epsilon H_3(w \cdot x)$ of a random direction w of
      length 1, with $H_1(z) = z$ and $H_3(z) = z^3 - 3z$; or "network", Omnigrok's: a perceptron of `widths` with tanh,
      its weights fresh as PyTorch's, and `n_outputs` outputs.
    - tolerance: an output counts as right where its mean squared distance from the answer is less; without one nothing
      is right or wrong, and there are losses alone. Omnigrok's code has 0.001, its text 0.01.

    The defaults are Rubin et al.'s; Omnigrok has
    `{teacher: network, d: 5, n_outputs: 5, n_train: 100, n_test: 100, tolerance: 0.001}`. `seed` draws the teacher,
    then the inputs, of which the first n_train are trained on.

    Paper: Rubin et al. 2023, arXiv 2310.03789; Liu et al. 2022, arXiv 2210.01117

    Raises ValueError where the polynomial is to have several outputs, or there is no room for the inputs.
    """
    count = n_train + n_test
    if count * d > MAX_NUMBERS:
        raise ValueError(f"{count:,} inputs of {d:,} are more numbers than the {MAX_NUMBERS:,} kept in memory; lower d")
    if teacher == "hermite" and n_outputs > 1:
        raise ValueError(f"n_outputs is {n_outputs}, and the teacher hermite says one number; leave it out")
    generator = torch.Generator().manual_seed(seed)
    of, said = _teacher(teacher, d, epsilon, (*widths, n_outputs), generator)
    inputs = torch.randn(count, d, generator=generator)
    return Taught(
        description=said,
        inputs=inputs,
        targets=of.answers(inputs.double()).float(),
        n_outputs=n_outputs,
        train=torch.arange(count) < n_train,
        teacher=of,
        tolerance=tolerance,
    )


def _teacher(
    kind: str, d: int, epsilon: float, sizes: tuple[int, ...], generator: torch.Generator
) -> tuple[Teacher, str]:
    """The teacher, and in words what it says."""
    if kind == "hermite":
        drawn = torch.randn(d, generator=generator, dtype=torch.float64)
        sign = "-" if epsilon < 0 else "+"
        said = f"H1 {sign} {abs(epsilon):g} H3 of one direction in {d}"
        return HermiteTeacher(drawn / drawn.norm(), epsilon), said
    shape = "-".join(map(str, (d, *sizes)))
    return NetworkTeacher.drawn((d, *sizes), generator), f"a random tanh network {shape}"
