"""What a kept answer is remembered by: all code that can change a number, and nothing else."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from interp.catalogue import source_code
from interp.catalogue.names import KINDS, current_digest, known_names
from interp.catalogue.source_code import PACKAGE, reached_files, source_digest

SOURCES = {
    "__init__.py": "",
    "measure.py": '''"""A measure."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from house.drawing import SHADES
from house.maths import powers
from house.maths.sums import total as summed
from house.parts import Part
from interp.errors import InterpError
from interp.figures import Curves

if TYPE_CHECKING:
    from house.read_by_checkers import Something

LIMIT = 3
UNIT = "nats"
CAPTION = "how it went"
SHADE = SHADES["train"]


@dataclass(frozen=True)
class Answer:
    value: float
    """The value, in nats"""


def measure(checkpoint: Something, power: int = 2, weight: float = 1.5) -> Answer:
    """The claim."""
    from house.late import bonus

    if power > LIMIT:
        raise InterpError(_too_large(power))
    if power == 0:
        raise ValueError(f"the power is {power}; take one above 0 " + f"and below {LIMIT} {UNIT}")
    assert power > -5, "a power this low gives nothing"
    if power < 0:
        warnings.warn(f"the power is {power}", stacklevel=2)
    return Answer(powers.raised(summed(checkpoint), power) + bonus * weight + Part().size + math.pi)


def _too_large(power: int) -> str:
    return f"the power is {power}, which is too large"


def steps(run):
    return run.steps[::2]


def over_run(result):
    return result.max()


def over_runs(result):
    return result.mean()


def figure(result):
    return Curves(CAPTION, {"all": _smooth(result)}, colour=SHADE)


def _smooth(result):
    return _smoothed(result, 5)


def _smoothed(result, times):
    return _smooth(result) if times else 0.5 * result


def summary(result):
    return f"It ended at {result:.1f}."
''',
    "drawing.py": 'SHADES = {"train": "blue"}\n',
    "read_by_checkers.py": "class Something:\n    size: int = 1\n",
    "late.py": "bonus = 1\n",
    "maths/__init__.py": '"""Sums and powers."""\n',
    "maths/powers.py": "from .sums import total\n\n\ndef raised(x, power):\n    return total([x**power])\n",
    "maths/sums.py": "EMPTY = 0\n\n\ndef total(values):\n    return sum(values, EMPTY)\n",
    "parts/__init__.py": (
        'from house.parts.part import Part\nfrom house.parts.spare import Spare\n\n__all__ = ["Part", "Spare"]\n'
    ),
    "parts/part.py": "class Part:\n    size = 4\n",
    "parts/spare.py": "class Spare:\n    size = 5\n",
}
MEASURE = "measure.py"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A package of somebody's, with one measure."""
    for name, source in SOURCES.items():
        place = tmp_path / "house" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(source)
    return tmp_path / "house"


def forget() -> None:
    """Whatever was remembered of files, which a test is about to read changed."""
    for function in vars(source_code).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def digest(path: Path) -> str:
    forget()
    return source_digest(path)


def replaced(folder: Path, name: str, old: str, new: str) -> None:
    source = (folder / name).read_text()
    assert old in source
    (folder / name).write_text(source.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param(MEASURE, '"""A measure."""', '"""What it is for."""', id="opening words"),
        pytest.param(MEASURE, "The claim.", "The claim.\n\n    Formula: x^2\n    ", id="caption"),
        pytest.param(MEASURE, '"""The value, in nats"""', '"""The value [nats]"""', id="words on a field"),
        pytest.param(MEASURE, '    """The value, in nats"""\n', "", id="no words on a field"),
        pytest.param(
            MEASURE, "LIMIT = 3\n", "# Above it nothing converges.\n\n\nLIMIT = 3\n", id="comment, blank lines"
        ),
        pytest.param(
            MEASURE, "x: Something, power: int = 2, ".strip("x"), ": Something,\n    power: int = 2,\n    ", id="layout"
        ),
        pytest.param(MEASURE, "which is too large", "above 3", id="text of an error of ours, worded by a function"),
        pytest.param(MEASURE, "take one above 0 ", "take {LIMIT} or less ", id="text of another error"),
        pytest.param(MEASURE, "a power this low", "so low a power", id="text of an assertion"),
        pytest.param(MEASURE, 'warn(f"the power is', 'warn(f"beware: the power is', id="text of a warning"),
        pytest.param(MEASURE, 'UNIT = "nats"', 'UNIT = "bits"', id="constant of a text"),
        pytest.param(MEASURE, '"how it went"', '"How it went"', id="title of a panel"),
        pytest.param(MEASURE, '"all":', '"everything":', id="label of a curve"),
        pytest.param(MEASURE, "_smoothed(result, 5)", "_smoothed(result, 7)", id="helper of the figure"),
        pytest.param(MEASURE, "0.5 * result", "0.25 * result", id="helper of a helper of the figure"),
        pytest.param(MEASURE, "It ended at", "In the end it was", id="sentence of the summary"),
        pytest.param("drawing.py", "blue", "red", id="colour"),
        pytest.param("read_by_checkers.py", "= 1", "= 2", id="import for type checkers"),
        pytest.param("parts/spare.py", "size = 5", "size = 6", id="what the package hands on to others"),
        pytest.param("maths/__init__.py", "Sums and", "Powers and", id="package whose parts are used"),
        pytest.param("maths/sums.py", "def total", '"""Sums."""\n\ndef total', id="text between definitions"),
        pytest.param("maths/powers.py", "from .sums", "from house.maths.sums", id="the same import otherwise"),
        pytest.param(MEASURE, "powers", "exponents", id="name of an imported module"),
        pytest.param(MEASURE, "summed", "added", id="name given to what is imported"),
    ],
)
def test_what_cannot_change_a_number_changes_no_digest(house, file, old, new):
    before = digest(house / MEASURE)
    replaced(house, file, old, new)
    if new == "exponents":
        (house / "maths/powers.py").rename(house / "maths/exponents.py")
    ast.parse((house / file).read_text())
    assert digest(house / MEASURE) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param(MEASURE, "bonus * weight", "bonus / weight", id="maths"),
        pytest.param(MEASURE, "weight: float = 1.5", "weight: float = 1.25", id="default of an option"),
        pytest.param(MEASURE, "value: float", "value: int", id="kind of a field"),
        pytest.param(MEASURE, "LIMIT = 3", "LIMIT = 4", id="constant"),
        pytest.param(MEASURE, "power > LIMIT", "power >= LIMIT", id="condition of an error"),
        pytest.param(MEASURE, "raise ValueError", "raise OverflowError", id="class of an error"),
        pytest.param(MEASURE, "if power < 0", "if power < 1", id="condition of a warning"),
        pytest.param(MEASURE, "[::2]", "[::3]", id="steps"),
        pytest.param(MEASURE, "result.max()", "result.min()", id="over_run"),
        pytest.param(MEASURE, "result.mean()", "result.median()", id="over_runs"),
        pytest.param(MEASURE, "math.pi", "math.e", id="attribute of another package's module"),
        pytest.param(MEASURE, "import math\n", "import cmath as math\n", id="another package's module"),
        pytest.param("late.py", "1", "2", id="import inside a function"),
        pytest.param("maths/powers.py", "x**power", "x * power", id="imported module"),
        pytest.param("maths/sums.py", "EMPTY = 0", "EMPTY = 1", id="constant of an imported file"),
        pytest.param("parts/part.py", "size = 4", "size = 5", id="what a package hands on"),
        pytest.param(
            "parts/__init__.py",
            "house.parts.part import Part",
            "house.parts.spare import Spare as Part",
            id="from where",
        ),
        pytest.param(
            MEASURE, "from house.maths.sums import total", "from house.late import bonus", id="another name imported"
        ),
    ],
)
def test_what_can_change_a_number_changes_the_digest(house, file, old, new):
    before = digest(house / MEASURE)
    replaced(house, file, old, new)
    assert digest(house / MEASURE) != before


def test_names_told_apart_by_their_modules_alone_count(house):
    """Both modules are imported either way; only which of them is asked differs."""
    (house / "maths/other.py").write_text("def raised(x, power):\n    return x - power\n")
    replaced(house, MEASURE, "from house.maths import powers", "from house.maths import other, powers")
    before = digest(house / MEASURE)
    replaced(house, MEASURE, "powers.raised(summed", "other.raised(summed")
    assert digest(house / MEASURE) != before


def test_a_constant_that_only_a_figure_uses_counts_where_another_file_computes_with_it(house):
    (house / "other.py").write_text("from house.measure import CAPTION\n\n\ndef other(run):\n    return len(CAPTION)\n")
    drawn = "def drawn(run):\n    return 1\n\n\ndef figure(result):\n    return CAPTION\n"
    (house / "drawn.py").write_text(f"from house.measure import CAPTION\n\n\n{drawn}")
    before = digest(house / "other.py"), digest(house / "drawn.py")
    replaced(house, MEASURE, '"how it went"', '"As it went"')
    assert digest(house / "other.py") != before[0]
    assert digest(house / "drawn.py") == before[1]


def test_moving_and_renaming_files_changes_no_digest(house):
    before = digest(house / MEASURE)
    (house / "sums").mkdir()
    (house / "maths/sums.py").rename(house / "sums/plain.py")
    (house / "maths/powers.py").rename(house / "sums/powers.py")
    replaced(house, "sums/powers.py", ".sums", ".plain")
    replaced(house, MEASURE, "from house.maths.sums", "from house.sums.plain")
    replaced(house, MEASURE, "from house.maths import powers", "from house.sums import powers")
    assert digest(house / MEASURE) == before


def test_a_file_may_become_a_folder_with_its_telling_beside_it(house):
    before = digest(house / MEASURE)
    source = (house / MEASURE).read_text()
    start = source.index("def figure")
    (house / "measure").mkdir()
    (house / "measure/telling.py").write_text(
        "from house.drawing import SHADES\nfrom interp.figures import Curves\n\n"
        f'CAPTION = "how it went"\nSHADE = SHADES["train"]\n\n\n{source[start:]}'
    )
    rest = re.sub("(CAPTION|SHADE|from house.drawing|from interp.figures).*\n", "", source[:start])
    inside = rest.replace("from house.parts", "from house.measure.telling import figure, summary\nfrom house.parts")
    (house / "measure/__init__.py").write_text(inside)
    (house / MEASURE).unlink()
    assert digest(house / "measure/__init__.py") == before
    replaced(house, "measure/telling.py", "how it went", "How it went")
    assert digest(house / "measure/__init__.py") == before
    replaced(house, "measure/__init__.py", "bonus * weight", "bonus / weight")
    assert digest(house / "measure/__init__.py") != before


def test_the_digest_does_not_depend_on_where_the_package_lies(house, tmp_path):
    before = digest(house / MEASURE)
    (tmp_path / "moved").mkdir()
    house.rename(tmp_path / "moved/house")
    assert digest(tmp_path / "moved/house" / MEASURE) == before


def test_files_that_nobody_imports_and_those_who_import_do_not_count(house):
    before = digest(house / "maths/sums.py")
    (house / "unrelated.py").write_text("new = True\n")
    replaced(house, "maths/powers.py", "x**power", "x * power")
    assert digest(house / "maths/sums.py") == before


def test_files_that_import_one_another_are_followed_once(house):
    (house / "maths/sums.py").write_text("from . import powers\n\nEMPTY = 0\n")
    before = digest(house / "maths/powers.py")
    replaced(house, "maths/sums.py", "0", "1")
    assert digest(house / "maths/powers.py") != before


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("import house.maths.powers", "house.maths.powers.raised"),
        ("import house.maths.powers as p", "p.raised"),
        ("from house.maths.powers import *", "raised"),
        ("from .maths.powers import raised", "raised"),
        ("from . import hands_on", "hands_on.raised"),
        ("from .hands_on import raised", "raised"),
        ("try:\n    from house.maths.powers import raised\nexcept ImportError:\n    raised = None", "raised"),
    ],
)
def test_every_kind_of_import_is_followed(house, line, call):
    (house / "hands_on").mkdir()
    (house / "hands_on/__init__.py").write_text("from house.maths.powers import *\n")
    (house / "asks.py").write_text(f"{line}\n\n\ndef asks(checkpoint):\n    return {call}(checkpoint, 2)\n")
    before = digest(house / "asks.py")
    replaced(house, "maths/sums.py", "EMPTY = 0", "EMPTY = 1")
    assert digest(house / "asks.py") != before


@pytest.mark.parametrize("first", ["from elsewhere_s.helpers import scale", "from .helpers import scale"])
def test_a_measure_of_another_package_has_its_own_files_and_ours_in_its_digest(install, first):
    ours = "from interp.maths.fourier import power_share"
    source = f"{first}\n{ours}\n\n\ndef theirs(checkpoint):\n    return scale\n\n\ndef figure(result):\n    return 1\n"
    folder = install("elsewhere_s", {"theirs": source})
    before = current_digest("measures", "theirs")
    assert {folder / "helpers.py", PACKAGE / "maths/fourier.py"} < reached_files(folder / "theirs.py")
    replaced(folder, "theirs.py", "return 1", "return 2")
    forget()
    assert current_digest("measures", "theirs") == before
    replaced(folder, "helpers.py", "3", "4")
    forget()
    assert current_digest("measures", "theirs") != before


# Of this package.


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files elsewhere, to be changed."""
    folder = tmp_path_factory.mktemp("copied") / "interp"
    return Path(shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__")))


def all_digests(folder: Path) -> dict[str, str]:
    forget()
    return {name: source_digest(folder / path.relative_to(PACKAGE)) for name, path in known_names("measures").items()}


@pytest.fixture(scope="module")
def digests(copied: Path) -> dict[str, str]:
    """Of every measure, as long as nothing is changed."""
    return all_digests(copied)


@pytest.fixture
def changed(copied: Path, digests: dict[str, str]) -> Callable[..., set[str]]:
    """`changed(files, change)`: the names of the measures whose digests differ once the files are changed."""

    def names(files: list[str], change: Callable[[str], str]) -> set[str]:
        sources = {file: (copied / file).read_text() for file in files}
        for file, source in sources.items():
            (copied / file).write_text(change(source))
        now = all_digests(copied)
        for file, source in sources.items():
            (copied / file).write_text(source)
        return {name for name in digests if digests[name] != now[name]}

    return names


def appended(source: str) -> str:
    return f"{source}\n\nCHANGED = 1\n"


def reaching(file: str) -> set[str]:
    """The measures from which one comes to the file by the words "from interp.… import …", wherever they stand."""
    imports = {}
    for path in PACKAGE.rglob("*.py"):
        words = re.findall(r"from interp\.([\w.]+) import (\([^)]*\)|.*)", path.read_text())
        places = [f"{module}.{name}" for module, names in words for name in ["", *re.findall(r"\w+", names)]]
        imports[path] = {PACKAGE / f"{place.strip('.').replace('.', '/')}.py" for place in places}
    found = set()
    for name, path in known_names("measures").items():
        seen, waiting = set(), [path]
        while waiting:
            if (here := waiting.pop()) not in seen and here in imports:
                seen.add(here)
                waiting += imports[here]
        found |= {name} if PACKAGE / file in seen else set()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("file", ["maths/trace.py", "maths/fourier.py", "measures/shared/cyclic.py"])
def test_a_changed_file_recomputes_what_reaches_it_and_nothing_else(changed, file):
    found = changed([file], appended)
    assert ("sharpness" in found) == (file == "maths/trace.py")
    assert found
    assert found <= reaching(file) < set(known_names("measures"))


def test_colours_errors_reports_recipes_and_files_recompute_nothing(changed):
    folders = ["figures", "report", "recipes", "files", "results", "catalogue", "executors", "findings"]
    files = [path.relative_to(PACKAGE).as_posix() for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    files += ["__init__.py", "describe.py", "errors.py", "notebook.py", "provenance.py", "run.py", "summaries.py"]
    assert not changed([*files, "terminal.py", "train.py", "report/template.html.j2"], appended)


@pytest.mark.slow
def test_captions_and_summaries_of_ours_recompute_nothing(changed):
    def reworded(source: str) -> str:
        assert all(words in source for words in ("The weights grow while", "The weight norm {told}"))
        return source.replace("The weights grow while", "The weights swell while").replace(
            "The weight norm {told}", "The size {told}"
        )

    assert not changed(["measures/weight_norm.py"], reworded)
    computed = changed(["measures/weight_norm.py"], lambda source: source.replace(".square()", ".abs()"))
    assert "weight_norm" in computed
    assert computed <= reaching("measures/weight_norm.py")


def test_no_measure_reaches_what_cannot_change_a_number():
    for path in known_names("measures").values():
        folders = {file.relative_to(PACKAGE).parts[0] for file in reached_files(path)}
        assert folders <= {"measures", "maths", "contracts", "machine", "checkpoints", "tasks", "models", "losses"}


def test_a_checkpoint_counts_and_a_run_does_not(copied):
    """float64 weights, activations and logits are computed by the checkpoint that a measure is given."""
    reached = {file.relative_to(copied).as_posix() for file in reached_files(copied / "measures/weight_norm.py")}
    assert "measures/weight_norm.py" in reached
    assert ("checkpoints/checkpoint.py" in reached) == (copied / "checkpoints/checkpoint.py").exists()
    assert not reached & {"checkpoints/run.py", "checkpoints/opening.py", "checkpoints/__init__.py"}


def other_pythons() -> list[str]:
    """The Pythons from 3.12 on that are at hand, on the path or where pyenv keeps them."""
    kept = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.1[2-9].*/bin/python"))
    on_path = [shutil.which(f"python3.{minor}") for minor in range(12, 20)]
    return [*map(str, kept), *filter(None, on_path)]


@pytest.mark.slow
def test_every_python_gives_the_same_digests():
    pythons = other_pythons()
    if not pythons:
        pytest.skip("there is no Python from 3.12 on at hand")
    paths = [path for kind in KINDS for path in known_names(kind).values()] + [Path(__file__)]
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; "
        "from interp.catalogue.source_code import source_digest; "
        "print(*(source_digest(Path(path)) for path in sys.argv[2:]))"
    )
    ours = [source_digest(path) for path in paths]
    for python in pythons:
        command = [python, "-I", "-c", program, str(PACKAGE.parent), *map(str, paths)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if "pyenv" in answer.stderr:  # a stand-in for a version that is not chosen here
            continue
        assert answer.stdout.split() == ours, answer.stderr
