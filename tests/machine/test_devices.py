"""Devices: refused in one line where they are not there, compared with the CPU where they are."""

from __future__ import annotations

import warnings

import pytest
import torch

from interp.errors import InterpError
from interp.machine import devices


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InterpError, match="--device cuda:99 cannot be used here"):
        devices.check("cuda:99")
    with pytest.raises(InterpError, match="--device toaster cannot be used here"):
        devices.check("toaster")
    devices.check("cpu")


def test_numbers_that_differ_are_warned_about():
    numbers = torch.tensor([1.0, -200.0], dtype=torch.float64)
    with pytest.warns(UserWarning, match="differ from the CPU's by 5×10⁻⁶"):
        devices.compare("x", numbers + 1e-3, numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        devices.compare("x", numbers + 1e-5, numbers)


def test_float64_keeps_the_value():
    assert devices.float64(torch.tensor(0.1)).item() == torch.tensor(0.1).item()
    assert devices.float64(torch.tensor(0.1)).dtype == torch.float64
