"""A measure that takes `previous`: interrupted anywhere it goes on after its last answer, to the same files."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from pathlib import Path

import pytest

import interp
from interp import parts, results, storage
from interp.chains import Chain
from interp.errors import InterpError
from interp.models.transformer import transformer
from interp.storage import Checkpoints
from interp.tasks.modular_arithmetic import modular_arithmetic

STEPS = [0, 100, 200, 300, 1000, 1100, 1200]
SIZES = {"d_model": 12, "n_heads": 2, "d_mlp": 16}

SETTLING = '''
from dataclasses import dataclass
from jaxtyping import Float, Int
from torch import Tensor

@dataclass(frozen=True)
class Settling:
    kind: tuple[str, ...]
    """Kind"""
    value: Float[Tensor, " kind"]
    """A number"""
    _count: Int[Tensor, ""]
    _half: {half}

def settling(checkpoint, previous: "Settling | None" = None) -> Settling:
    """Every answer so far is in the last."""
    import torch
    before, count = (0, 0) if previous is None else (previous._half, previous._count)
    value = checkpoint.embedding.double().mean() + before
    return Settling(("one", "other"), torch.stack([value, value * count]), torch.as_tensor(count + 1), {answer})
'''


@pytest.fixture
def settling(install):
    """A measure whose answer depends on all before it, through fields that are not in the result."""
    install(
        "elsewhere_settling",
        {"settling": SETTLING.format(half='Float[Tensor, ""]', answer="value / 2")},
    )
    return "settling"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of seven checkpoints in two blocks of steps."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.yaml").write_text(
        f"task: {{modular_arithmetic: {{p: 11, frac_train: 0.5}}}}\nmodel: {{transformer: {SIZES}}}\n"
    )
    add(folder, STEPS)
    return folder


def add(folder: Path, steps: list[int], scale: float = 1) -> None:
    architecture = transformer(modular_arithmetic(p=11), **SIZES)
    for step in steps:
        weights = architecture.initial(step)
        Checkpoints(folder / "weights").save(step, {name: (value * scale).numpy() for name, value in weights.items()})


def replace(folder: Path, step: int) -> None:
    shutil.rmtree(folder / "weights")
    add(folder, [other for other in STEPS if other != step])
    add(folder, [step], scale=2)


def interrupted(monkeypatch: pytest.MonkeyPatch, folder: Path, keep: Path, measure: str, after: int) -> None:
    """Analysed until so many answers are there."""
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        count_rows(patch, after)
        over(folder, keep, measure)


def count_rows(patch: pytest.MonkeyPatch, most: int = 1000) -> list[int]:
    computed: list[int] = []
    row = results._row

    def counted(run, subject, *rest):
        if len(computed) == most:
            raise KeyboardInterrupt
        computed.append(subject.step)
        return row(run, subject, *rest)

    patch.setattr(results, "_row", counted)
    return computed


def over(folder: Path, keep: Path, measure: str) -> str:
    interp.over_steps([measure], interp.open_run(folder), keep=keep).close()
    assert not (keep / ".parts").exists()
    return hashlib.sha256((keep / f"{measure}.nc").read_bytes()).hexdigest()


@pytest.mark.parametrize("after", range(len(STEPS)))
@pytest.mark.parametrize("measure", ["settling", "sharpness", "weight_mixture"])
@pytest.mark.usefixtures("settling")
def test_it_goes_on_after_its_last_answer(folder, tmp_path, monkeypatch, measure, after):
    expected = over(folder, tmp_path / "whole", measure)
    interrupted(monkeypatch, folder, tmp_path / "kept", measure, after)
    computed = count_rows(monkeypatch)
    assert over(folder, tmp_path / "kept", measure) == expected
    assert computed == STEPS[after:]


@pytest.mark.parametrize("after", range(4))
def test_a_checkpoint_added_before_its_last_answer_begins_the_block_again(
    settling, folder, tmp_path, monkeypatch, after
):
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, after)
    add(folder, [50])
    computed = count_rows(monkeypatch)
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "whole", settling)
    done = STEPS[:after] if after <= 1 else []
    assert computed[: len(STEPS) + 1 - len(done)] == [step for step in sorted([*STEPS, 50]) if step not in done]


@pytest.mark.parametrize("after", [1, 2, 3])
def test_answers_of_before_are_not_taken_for_those_of_a_block_that_was_begun_again(
    settling, folder, tmp_path, monkeypatch, after
):
    over(folder, tmp_path / "kept", settling)
    add(folder, [50])
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, after)
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "whole", settling)


def test_steps_that_its_last_answer_does_not_lead_to_begin_the_block_again(settling, folder, tmp_path, monkeypatch):
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, 2)
    run = interp.open_run(folder)
    found, expected = (
        interp.over_steps([settling], run, [200, 300], keep=tmp_path / name).settling for name in ("kept", "whole")
    )
    assert found.value.values.tolist() == expected.value.values.tolist()


@pytest.mark.parametrize("damage", [lambda content: content[:-3], lambda _: b"", lambda _: b"{}"])
def test_a_last_answer_that_cannot_be_read_begins_the_block_again(settling, folder, tmp_path, monkeypatch, damage):
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, 2)
    (file,) = (tmp_path / "kept" / ".parts").rglob("*.chain")
    file.write_bytes(damage(file.read_bytes()))
    computed = count_rows(monkeypatch)
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "whole", settling)
    assert computed[: len(STEPS)] == STEPS


@pytest.mark.parametrize("known", [False, True])
def test_killed_between_an_answer_and_the_note_of_it(settling, folder, tmp_path, monkeypatch, known):
    """What was known of the steps after it, when it was another, is not taken for new."""
    if known:
        over(folder, tmp_path / "kept", settling)
        replace(folder, 0)
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Chain, "add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        over(folder, tmp_path / "kept", settling)
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "whole", settling)


def test_weights_replaced_before_its_last_answer_begin_the_block_again(settling, folder, tmp_path, monkeypatch):
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, 2)
    replace(folder, 0)
    computed = count_rows(monkeypatch)
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "whole", settling)
    assert computed[: len(STEPS)] == STEPS


def test_after_weights_that_are_not_finite_it_starts_from_nothing(settling, folder, tmp_path, monkeypatch):
    add(folder, [150], scale=float("nan"))
    with pytest.warns(UserWarning, match="step 150 are not finite"):
        expected = over(folder, tmp_path / "whole", settling)
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, 3)
    computed = count_rows(monkeypatch)
    assert over(folder, tmp_path / "kept", settling) == expected
    assert computed == STEPS[2:]


def test_a_field_for_the_next_checkpoint_that_cannot_be_kept_is_told_in_one_line(install, folder):
    source = SETTLING.format(half="dict", answer="{}").replace("previous._half", "0")
    install("elsewhere_settling", {"settling": source})
    with pytest.raises(InterpError, match=r"Settling\._half: <class 'dict'> cannot be stored; use a jaxtyping array"):
        interp.over_steps("settling", interp.open_run(folder))


def test_a_row_of_texts_masks_and_numbers_comes_back_as_it_was(folder, tmp_path):
    from interp import schema

    fields = schema.of_measure("weight_mixture", whole=True)
    answer = interp.open_run(folder)[100].measure("weight_mixture")
    parts.write(tmp_path / "row", fields, parts.Row(schema.values(fields, answer, ""), {"a": "b"}), [1, 2])
    again = schema.record("weight_mixture", parts.read(tmp_path / "row", fields).values)
    assert parts.read_about(tmp_path / "row") == ([1, 2], {"a": "b"})
    for field in fields.fields:
        before, after = getattr(answer, field.name), getattr(again, field.name)
        assert type(before) is type(after), field.name
        one, other = ({"": schema._array(value, field)} for value in (before, after))
        if field.kind == "U":
            assert before == after
        else:
            assert storage.digest(one) == storage.digest(other), field.name
