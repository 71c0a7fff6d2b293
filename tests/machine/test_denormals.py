"""Denormals are flushed where it was asked for, and nowhere else."""

from __future__ import annotations

import numpy as np
import torch

from interp.machine import denormals


def flushes() -> bool:
    return float(np.float64(1e-310) * np.float64(1.0)) == 0.0


def test_a_block_flushes_and_leaves_the_thread_as_it_was():
    torch.set_flush_denormal(False)
    with denormals.flushed():
        assert flushes()
        with denormals.flushed():
            assert flushes()
        assert flushes()
    assert not flushes()


def test_a_process_that_flushes_goes_on_flushing():
    torch.set_flush_denormal(True)
    try:
        with denormals.flushed():
            assert flushes()
        assert flushes()
    finally:
        torch.set_flush_denormal(False)
