"""A measure that takes `previous`: whatever happened before, its files are those of a new analysis."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import interp
from interp.errors import InterpError
from interp.files.arrays import read_arrays, write_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.models.transformer import transformer
from interp.results import visit
from interp.results.warm_starts import LastAnswer
from interp.tasks.modular_arithmetic import modular_arithmetic

STEPS = [0, 100, 200, 300, 1000, 1100, 1200]
SIZES = {"d_model": 12, "n_heads": 2, "d_mlp": 16}

SETTLING = '''
from dataclasses import dataclass
from typing import ClassVar, Literal
import numpy as np
import torch
from jaxtyping import Bool, Complex, Float, Int, Shaped, UInt8
from torch import Tensor

@dataclass(frozen=True)
class Settling:
    LIMIT: ClassVar[int] = 3
    kind: tuple[str, ...]
    """Kind"""
    value: Float[Tensor, " kind"]
    """A number"""
    _count: int
    _odd: bool
    _text: Literal["even", "odd"]
    _generator: UInt8[Tensor, " byte"]
    _half: Float[np.ndarray, "_ _"]
    """Returned as lists of lists"""
    _more: {annotation}

def settling(checkpoint, previous: "Settling | None" = None) -> Settling:
    """Every answer so far is in the last."""
    generator = torch.Generator().manual_seed(0)
    half, count = np.zeros((3, 2)), 0
    if previous:
        assert previous._odd is (previous._count % 2 == 1) and previous._text == ("odd" if previous._odd else "even")
        generator.set_state(previous._generator)
        half, count = previous._half, previous._count
    mean = checkpoint.embedding.double().mean()
    half = half.T.copy().T / 2 + mean.item()
    value = torch.stack([torch.rand((), generator=generator).double() + half.sum(), mean * count])
    count += 1
    odd = count % 2 == 1
    text, state = "odd" if odd else "even", generator.get_state()
    return Settling(("one", "other"), value, count, odd, text, state, half.tolist(), {more})
'''


@pytest.fixture
def settling(install: Callable[..., Path]) -> str:
    """A measure whose answer depends on all before it, through fields of every kind that are not in the result."""
    source = SETTLING.format(annotation="float", more="0.5")
    visiting = f"from interp.measures.shared.around_grokking import around_grokking as steps\n{source}"
    install("elsewhere_settling", {"settling": source, "visiting": visiting.replace("def settling(", "def visiting(")})
    return "settling"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of seven checkpoints in two blocks of steps."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.yaml").write_text(
        f"task: {{modular_arithmetic: {{p: 11, frac_train: 0.5}}}}\nmodel: {{transformer: {SIZES}}}\n"
    )
    store(folder, STEPS)
    return folder


def store(folder: Path, steps: list[int], scale: float = 1) -> None:
    architecture = transformer(modular_arithmetic(p=11), **SIZES)
    for step in steps:
        weights = {name: (value * scale).numpy() for name, value in architecture.initial(step).items()}
        CheckpointBlocks(folder / "weights").save(step, weights)


def remove(folder: Path, step: int, replaced: bool = False) -> None:
    shutil.rmtree(folder / "weights")
    store(folder, [other for other in STEPS if other != step])
    store(folder, [step] if replaced else [], scale=2)


def over(folder: Path, keep: Path, measure: str, steps: Any = "all") -> str:
    interp.over_steps([measure], interp.open_run(folder), steps, keep=keep).close()
    assert not (keep / ".parts").exists()
    return hashlib.sha256((keep / f"{measure}.nc").read_bytes()).hexdigest()


def interrupted(
    monkeypatch: pytest.MonkeyPatch, folder: Path, keep: Path, measure: str, after: int, steps: Any = "all"
) -> None:
    """Analysed until so many answers are there."""
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        count_rows(patch, after)
        over(folder, keep, measure, steps)


def count_rows(patch: pytest.MonkeyPatch, most: int = 1000) -> list[int]:
    """The steps whose rows are computed from here on, as they come."""
    computed: list[int] = []
    row = visit.compute_row

    def counted(run, subject, *rest):
        if len(computed) == most:
            raise KeyboardInterrupt
        computed.append(subject.step)
        return row(run, subject, *rest)

    patch.setattr(visit, "compute_row", counted)
    return computed


EVERYWHERE = [("settling", after) for after in range(len(STEPS))]
OURS = [
    (measure, after) for measure in ("sharpness", "weight_mixture") for after in (1, len(STEPS) // 2, len(STEPS) - 1)
]


@pytest.mark.parametrize(
    ("measure", "after"),
    EVERYWHERE + [pytest.param(*each, marks=pytest.mark.slow) for each in OURS],
)
@pytest.mark.usefixtures("settling")
def test_it_goes_on_after_its_last_answer(folder, tmp_path, monkeypatch, measure, after):
    expected = over(folder, tmp_path / "whole", measure)
    interrupted(monkeypatch, folder, tmp_path / "kept", measure, after)
    computed = count_rows(monkeypatch)
    assert over(folder, tmp_path / "kept", measure) == expected
    assert computed == STEPS[after:]


CHANGES: dict[str, Callable[[Path], None]] = {
    "none": lambda folder: None,  # noqa: ARG005
    "one before all": lambda folder: remove(folder, 0),
    "one between": lambda folder: remove(folder, 100),
    "the last of a block": lambda folder: remove(folder, 300),
    "the first replaced": lambda folder: remove(folder, 0, replaced=True),
    "another replaced": lambda folder: remove(folder, 200, replaced=True),
    "one added between": lambda folder: store(folder, [50]),
    "one added after": lambda folder: store(folder, [400]),
}


@pytest.mark.parametrize(
    ("steps", "after"),
    [
        ("all", 1000),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [("all", 2), ("all", 6), *(([200, 1100, 1200], after) for after in (2, 6, 1000))]
        ),
    ],
)
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_meanwhile(settling, folder, tmp_path, monkeypatch, change, after, steps):
    """Also what is asked for; 1000: it was finished."""
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, after)
    CHANGES[change](folder)
    assert over(folder, tmp_path / "kept", settling, steps) == over(folder, tmp_path / "new", settling, steps)
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "new", settling)


@pytest.mark.parametrize("first", [0, 1, 5])
@pytest.mark.parametrize("second", [1, 4])
def test_interrupted_twice_at_other_steps(settling, folder, tmp_path, monkeypatch, first, second):
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, first)
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, second, [100, 200, 300, 1000, 1100])
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "new", settling)


@pytest.mark.parametrize("finished", [False, True])
def test_killed_between_an_answer_and_the_last_answer_whole(settling, folder, tmp_path, monkeypatch, finished):
    if finished:
        over(folder, tmp_path / "kept", settling)
        remove(folder, 0, replaced=True)
    kept, keep = [], LastAnswer.keep
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):

        def killed(*given):
            kept.append(given)
            if len(kept) == 3:
                raise KeyboardInterrupt
            return keep(*given)

        patch.setattr(LastAnswer, "keep", killed)
        over(folder, tmp_path / "kept", settling)
    computed = count_rows(monkeypatch)
    found = over(folder, tmp_path / "kept", settling)
    assert computed == ([200, 300] if finished else STEPS[2:])
    assert found == over(folder, tmp_path / "new", settling)


def test_a_last_answer_of_weights_that_were_replaced_since_is_not_gone_on_from(settling, folder, tmp_path, monkeypatch):
    """The new answer is there, and beside it the old one whole."""
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, 1)
    remove(folder, 0, replaced=True)
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(LastAnswer, "keep", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        over(folder, tmp_path / "kept", settling)
    computed = count_rows(monkeypatch)
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "new", settling)
    assert computed[: len(STEPS)] == STEPS


def test_the_last_answer_of_another_block_is_not_gone_on_from(settling, folder, tmp_path, monkeypatch):
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, 5)
    one, other = sorted((tmp_path / "kept" / ".parts").rglob("*.chain"))
    shutil.copy(one, other)
    computed = count_rows(monkeypatch)
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "new", settling)
    assert computed == [1000, 1100, 1200, *STEPS]


def test_fewer_steps_than_were_there_are_not_computed_again(settling, folder, tmp_path, monkeypatch):
    over(folder, tmp_path / "kept", settling)
    computed = count_rows(monkeypatch)
    over(folder, tmp_path / "kept", settling, [0, 100, 1000])
    assert computed == []


def test_a_run_that_grows_goes_on_from_the_last_answer(settling, folder, tmp_path, monkeypatch):
    """In the block of the last step; the next block starts from nothing, as in a new analysis."""
    over(folder, tmp_path / "kept", settling)
    computed = count_rows(monkeypatch)
    for step in (1300, 1400, 2000):
        store(folder, [step])
        assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / f"new{step}", settling)
        assert computed[0] == step
        assert len(computed) == 1 + len(interp.open_run(folder).steps)  # and then those of the new analysis
        computed.clear()


@pytest.mark.slow
@pytest.mark.usefixtures("settling")
def test_a_run_that_grew_until_not_all_of_it_is_visited(folder, tmp_path, monkeypatch):
    """All of 90 checkpoints are visited, and some of 110."""
    store(folder, list(range(1, 84)))
    over(folder, tmp_path / "kept", "visiting")
    store(folder, list(range(1300, 1320)))
    computed = count_rows(monkeypatch)
    found = over(folder, tmp_path / "kept", "visiting")
    assert 0 < len(computed) < 90
    assert found == over(folder, tmp_path / "new", "visiting")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def other_arrays(file: Path) -> None:
    arrays, about = read_arrays(file)
    write_arrays(file, {"value": arrays["value"][:, None]}, about)


def about(content: Any) -> Callable[[Path], None]:
    return lambda file: write_arrays(file, read_arrays(file)[0], content)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "cut short": cut,
    "empty": lambda file: file.write_bytes(b""),
    "of something else": lambda file: file.write_bytes(b"{}"),
    "other arrays": other_arrays,
    "a part": lambda file: shutil.copy(file.with_name("000000000.safetensors"), file),
    "another part": lambda file: shutil.copy(file.with_name("000000100.safetensors"), file),
    "null": about(None),
    "of null": about({"of": None, "reads": {}, "blank": False, "texts": {}}),
    "reads of text": about({"of": 100, "reads": "text", "blank": False, "texts": {}}),
    "not blank": about({"of": 100, "reads": {}}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_last_answer_that_cannot_be_read_begins_the_block_again(settling, folder, tmp_path, monkeypatch, damage):
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, 2)
    (file,) = (tmp_path / "kept" / ".parts").rglob("*.chain")
    DAMAGE[damage](file)
    computed = count_rows(monkeypatch)
    assert over(folder, tmp_path / "kept", settling) == over(folder, tmp_path / "new", settling)
    assert sorted(computed[: len(STEPS)]) == STEPS  # the damaged block in whatever order to the other


@pytest.mark.parametrize("after", range(6))
def test_after_weights_that_are_not_finite_it_starts_from_nothing(settling, folder, tmp_path, monkeypatch, after):
    store(folder, [150], scale=float("nan"))
    with pytest.warns(UserWarning, match="step 150 are not finite"):
        expected = over(folder, tmp_path / "new", settling)
    interrupted(monkeypatch, folder, tmp_path / "kept", settling, after)
    computed = count_rows(monkeypatch)
    with pytest.warns(UserWarning, match="step 150 are not finite"):
        assert over(folder, tmp_path / "kept", settling) == expected
    assert computed == sorted([*STEPS, 150])[after:]
    alone = interp.over_steps(settling, interp.open_run(folder), [200])
    with xr.open_dataset(tmp_path / "kept" / f"{settling}.nc") as result:
        assert result.value.sel(step=200).values.tolist() == alone.value.sel(step=200).values.tolist()


@pytest.mark.parametrize(
    ("annotation", "more", "told"),
    [
        ("dict", "{}", "<class 'dict'> cannot be stored; use a jaxtyping array"),
        ('Complex[Tensor, ""]', "value[0] * 1j", "cannot be stored; use a jaxtyping array"),
        ('Shaped[Tensor, ""]', "value[0]", "cannot be stored; use a jaxtyping array"),
        ("Literal[32, 64]", "32", "cannot be stored; use a jaxtyping array"),
        ("tuple[int, ...]", "(1, 2)", "cannot be stored; use a jaxtyping array"),
        ('Float[Tensor, ""]', "None", "_more cannot be stored: it is NoneType, expected numbers"),
        ('Float[Tensor, ""]', "value[0].bfloat16()", "_more cannot be stored: Got unsupported ScalarType BFloat16"),
        ('Float[Tensor, " kind more"]', "value[:, None].to_sparse()", "_more cannot be stored: can't convert Sparse"),
        ('Float[Tensor, " kind"]', "value[:1]", "axis kind is 2 long, but 1 in _more"),
    ],
)
def test_what_cannot_be_kept_is_told_in_one_line(install, folder, annotation, more, told):
    install("elsewhere_settling", {"settling": SETTLING.format(annotation=annotation, more=more)})
    with pytest.raises(InterpError) as refused:
        interp.over_steps("settling", interp.open_run(folder))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
