"""What a file or folder seems to be, told so that it can be opened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interp.checkpoints import open_run
from interp.describe import describe
from interp.errors import InterpError
from interp.recipes.document import parse_value
from tests.importers.plain_networks import taught
from tests.processes import python

SHIPPED = Path(__file__).parent.parent / "checkpoints" / "modular_addition_small"


def proposed(paragraphs: list[str]) -> str:
    """The run.yaml in a description."""
    found = next(text for text in paragraphs if text.startswith("run.yaml that opens it"))
    return "\n".join(line[2:] for line in found.splitlines()[2:])


def test_a_folder_of_state_dicts_is_described_and_the_recipe_opens_it(tmp_path: Path):
    folder = tmp_path / "läuft gut"
    folder.mkdir()
    for step in (0, 40):
        torch.save(taught("Perceptron").state_dict(), folder / f"model_{step}.pt")
    said = describe(folder)
    text = "\n".join(said)
    assert "a folder of 2 weight files, steps 0 to 40" in text
    assert "embedding.weight  [7, 16] float32" in text
    assert "x+y mod 7; the split is unknown" in text
    assert "--importer state_dicts" in text
    elsewhere = tmp_path / "run"
    elsewhere.mkdir()
    (elsewhere / "run.yaml").write_text(proposed(said), encoding="utf-8")
    run = open_run(elsewhere)
    assert run.steps == [0, 40]
    assert torch.equal(run.final.logits, open_run(folder, "state_dicts").final.logits)


def test_a_run_of_ours_is_described():
    text = "\n".join(describe(SHIPPED))
    assert "is a run" in text
    assert "x+y mod 59; 1,392 training pairs" in text
    assert "111 checkpoints" in text


@pytest.mark.slow
def test_the_published_networks_are_recognised(reference: Path):
    for path, importer in (
        (reference / "pizza" / "model_7r4zst7evs.pt", "pizza"),
        (reference / "progress_measures" / "low_precision_mod_addition.pth", "progress_measures"),
    ):
        said = describe(path)
        assert f"The importer {importer} opens it." in said
        assert importer in parse_value(proposed(said))["importer"]


def test_what_cannot_be_opened_is_described_all_the_same(tmp_path: Path):
    torch.save({"encoder.weight": torch.ones(3, 5), "scale": torch.ones(2)}, tmp_path / "a.pt")
    text = "\n".join(describe(tmp_path / "a.pt"))
    assert "encoder.weight  [3, 5] float32" in text
    assert "could not be opened" in text


@pytest.mark.parametrize(
    "content", [b"", b"words", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"]
)
def test_what_is_no_weight_file_is_one_line(content: bytes, tmp_path: Path):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InterpError, match=r"a\.pt"):
        describe(tmp_path / "a.pt")


def test_the_command_ends_in_one_line_where_nothing_is(tmp_path: Path):
    done = python(["-m", "interp.describe", str(tmp_path / "nothing")], SHIPPED.parent.parent)
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: {tmp_path / 'nothing'} does not exist"
