"""Small networks trained on groups in seconds: what the verdict says while they are learning."""

from __future__ import annotations

import pytest

from interp.checkpoints import open_run
from interp.recipes.document import dump_yaml
from interp.train import train_what_is_left


@pytest.mark.slow
@pytest.mark.parametrize(("group", "order"), [("D7", 14), ("A5", 60)])
def test_a_network_is_memorising_before_it_knows_the_group(tmp_path, group, order):
    """It knows its training pairs long before the others; at the start it knows nothing."""
    recipe = {
        "task": {"group_composition": {"group": group, "frac_train": 0.75}},
        "model": {"mlp": {"d_model": 64, "d_mlp": 96}},
        "training": {
            "steps": 600,
            "optimiser": {"adamw": {"lr": 5e-3, "weight_decay": 1.0, "betas": [0.9, 0.98]}},
            "save": {"every": 600},
        },
    }
    (tmp_path / "run.yaml").write_text(dump_yaml(recipe))
    train_what_is_left(tmp_path)
    run = open_run(tmp_path)
    assert run.task.structure.order == order
    first, last = (checkpoint.measure("group_verdict") for checkpoint in (run.first, run.final))
    assert first.verdict == "unclear"
    assert last.verdict == "memorisation"
    assert float(last.train_accuracy) == 1
    assert last.explained[0] > first.explained[0] + 0.02  # the account of representations is on its way
