"""What the teachers say, against NumPy; that they are kept; and when an answer is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.contracts.taught import taught
from interp.errors import NothingToSay
from interp.maths.teachers import HermiteTeacher, NetworkTeacher, hermite_teacher
from interp.tasks.sparse_parity import sparse_parity
from interp.tasks.teacher_student import teacher_student

OMNIGROK = {"teacher": "network", "d": 5, "n_outputs": 5, "n_train": 100, "n_test": 100, "tolerance": 0.001}


def test_the_polynomial_of_a_direction_is_these_lines_of_numpy():
    task = teacher_student(d=6, n_train=50, n_test=30, epsilon=-1.2)
    w = hermite_teacher(task).direction.numpy()
    assert float(np.linalg.norm(w)) == pytest.approx(1, abs=1e-12)
    z = task.inputs.double().numpy() @ w
    np.testing.assert_allclose(task.targets[:, 0].numpy(), z - 1.2 * (z**3 - 3 * z), rtol=1e-5, atol=1e-5)


def test_its_two_parts_are_orthogonal_and_have_the_variances_1_and_6():
    teacher = hermite_teacher(teacher_student(d=3, n_train=1, n_test=0))
    x = torch.randn(400_000, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    first, third = teacher.linear(x), teacher.cubic(x)
    close = 6 * math.sqrt(15 / len(x))
    assert float((first * third).mean()) == pytest.approx(0, abs=close)
    assert float(first.square().mean()) == pytest.approx(1, abs=close)
    assert float(third.square().mean()) == pytest.approx(6, abs=50 * close)


def test_the_random_network_is_kept_and_is_these_lines_of_numpy():
    task = teacher_student(**OMNIGROK)
    teacher = task.teacher
    assert isinstance(teacher, NetworkTeacher)
    (W0, b0), (W1, b1), (W2, b2) = [(W.numpy(), b.numpy()) for W, b in teacher.layers]
    assert [W.shape for W in (W0, W1, W2)] == [(5, 100), (100, 100), (100, 5)]
    x = task.inputs.double().numpy()
    expected = np.tanh(np.tanh(x @ W0 + b0) @ W1 + b1) @ W2 + b2
    np.testing.assert_allclose(task.targets.numpy(), expected, rtol=1e-5, atol=1e-6)
    for values, d_in in ((W0, 5), (b0, 5), (W1, 100), (b2, 100)):
        assert np.abs(values).max() <= d_in**-0.5
    assert W1.std() == pytest.approx(100**-0.5 / 3**0.5, rel=5 / math.sqrt(2 * W1.size))


def test_inputs_are_standard_normal_and_the_first_are_trained_on():
    task = teacher_student(d=100, n_train=300, n_test=200)
    assert task.train.tolist() == [True] * 300 + [False] * 200
    assert float(task.inputs.mean()) == pytest.approx(0, abs=5 / task.inputs.numel() ** 0.5)
    assert float(task.inputs.var()) == pytest.approx(1, abs=5 * (2 / task.inputs.numel()) ** 0.5)


def test_an_answer_is_right_within_the_tolerance_of_the_mean_square():
    task = teacher_student(**OMNIGROK)
    off = torch.zeros(200, 5).double()
    off[:100, 0] = (0.0009 * 5) ** 0.5
    off[100:, 0] = (0.0011 * 5) ** 0.5
    assert task.correct(task.targets.double() + off).tolist() == [True] * 100 + [False] * 100
    with pytest.raises(NothingToSay, match=r"no tolerance, so no answer is right or wrong$"):
        teacher_student(d=3, n_train=4, n_test=4).correct(torch.zeros(8, 1).double())


def test_the_teacher_is_drawn_before_the_inputs_and_by_the_seed():
    few, many, other = (teacher_student(d=9, n_train=n, n_test=0, seed=seed) for n, seed in ((3, 0), (8, 0), (3, 1)))
    directions = [hermite_teacher(task).direction for task in (few, many, other)]
    assert torch.equal(directions[0], directions[1])
    assert not torch.equal(directions[0], directions[2])


def test_a_measure_asks_for_the_teacher_it_needs():
    task = teacher_student(**OMNIGROK)
    assert taught(task) is task
    with pytest.raises(NothingToSay, match=r"^the task has a teacher that is no function of one direction$"):
        hermite_teacher(task)
    with pytest.raises(NothingToSay, match=r"^the task has no teacher$"):
        hermite_teacher(sparse_parity(n=5, k=2, n_train=4, n_test=4))
    assert isinstance(hermite_teacher(teacher_student(d=3, n_train=4, n_test=4)), HermiteTeacher)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_outputs": 2}, "n_outputs is 2, and the teacher hermite says one number; leave it out"),
        ({"d": 10**9}, "more numbers than the 1,000,000,000 kept in memory; lower d"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as refused:
        teacher_student(**options)
    assert "\n" not in str(refused.value)
