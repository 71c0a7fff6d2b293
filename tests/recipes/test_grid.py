"""Grids: which runs there are, what their folders are called, what is refused, and where it stands."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import interp
from interp.errors import InterpError
from interp.recipes import run_recipe
from interp.recipes.document import read_document
from interp.recipes.grid import Axis, Grid, portable, read_grid, text_of

RECIPE = """# what it is for
task: {modular_arithmetic: {p: 7, frac_train: 0.6}}
model: {transformer: {d_model: 8, n_heads: 2, d_mlp: 16}}
training:
  steps: 20
  optimiser: {adamw: {lr: 1e-2}}
  interventions: [{initial_scale: {alpha: 2}}]
grid:
"""
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))}


@pytest.fixture
def write(tmp_path: Path):
    def of(grid: str, recipe: str = RECIPE) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(recipe + "".join(f"  {line}\n" for line in grid.splitlines()))
        return path

    return of


def grid_at(path: Path, *assignments: str) -> Grid:
    found = read_grid(path, assignments)
    assert found is not None
    return found


def labels() -> st.SearchStrategy:
    return st.one_of(
        st.text(max_size=8), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False)
    )


@given(labels())
@settings(max_examples=300)
def test_a_label_makes_a_name_that_every_system_takes(label):
    name = f"x={portable(label)}"
    assert re.fullmatch(r"[0-9A-Za-z_.+%=-]*", name)
    assert not name.endswith((".", " "))
    assert name.partition(".")[0].casefold() not in RESERVED


@given(labels(), labels())
@settings(max_examples=300)
def test_two_labels_that_are_written_otherwise_have_other_names(one, other):
    assert (portable(one) == portable(other)) == (text_of(one) == text_of(other))


@given(st.lists(st.lists(st.text(max_size=5), min_size=1, max_size=3, unique_by=str.casefold), min_size=1, max_size=3))
@settings(max_examples=100)
def test_no_two_members_share_a_folder(values):
    axes = tuple(
        Axis(f"axis_{number}", tuple(column), tuple((("task.x", one),) for one in column), ((),) * len(column))
        for number, column in enumerate(values)
        if len({portable(one).casefold() for one in column}) == len(column)
    )
    folders = [
        Grid(None, axes).member(places).folder for places in itertools.product(*(range(len(a.labels)) for a in axes))
    ]  # type: ignore[arg-type]
    assert len({folder.casefold() for folder in folders}) == len(folders)


def test_the_members_are_the_product_of_the_axes_the_first_outermost(write):
    grid = grid_at(write("training.optimiser.adamw.weight_decay: [0.1, 1.0]\ntraining.seed: 0..2"))
    assert [axis.name for axis in grid.axes] == ["weight_decay", "seed"]
    assert [member.folder for member in grid.members] == [
        f"weight_decay={decay},seed={seed}" for decay in ("0.1", "1") for seed in range(3)
    ]


def test_slash_and_star_come_out_different_and_readable_by_others(write):
    grid = grid_at(write("task.modular_arithmetic.operation: [x/y, x*y]"))
    assert [member.folder for member in grid.members] == ["operation=x%2Fy", "operation=x%2Ay"]


def test_a_member_has_its_own_recipe_with_the_comments_of_the_other(write):
    path = write("training.interventions.initial_scale.alpha: {plain: 1, large: 8}\ntraining.seed: [3]")
    grid = grid_at(path)
    own = path.parent / "own.yaml"
    own.write_text(grid.own_recipe(grid.members[1]).dump())
    assert "# what it is for" in own.read_text()
    recipe = run_recipe.read(own)
    assert recipe.training is not None
    assert recipe.training.seed == 3
    assert recipe.training.interventions[0].options["alpha"] == 8
    assert "grid" not in read_document(own).content


def test_keys_of_a_zip_move_together(write):
    grid = grid_at(write("zip: {seed: {training.seed: 0..2, task.modular_arithmetic.seed: [5, 6, 7]}}"))
    contents = [grid.recipe(member).content for member in grid.members]
    assert [one["training"]["seed"] for one in contents] == [0, 1, 2]
    assert [one["task"]["modular_arithmetic"]["seed"] for one in contents] == [5, 6, 7]
    assert [member.folder for member in grid.members] == ["seed=0", "seed=1", "seed=2"]


def test_files_beside_the_recipe_lie_one_folder_up_for_a_member(tmp_path, write):
    (tmp_path / "data.csv").write_text("0,1\n")
    recipe = RECIPE.replace("{modular_arithmetic: {p: 7, frac_train: 0.6}}", "{examples: {file: data.csv}}")
    grid = grid_at(write("training.seed: 0..1", recipe))
    assert "../data.csv" in grid.own_recipe(grid.members[0]).dump()


def test_set_makes_the_folders_of_a_grid(write, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(RECIPE.replace("grid:\n", ""))
    by_set = grid_at(path, "training.seed=0..2", "training.optimiser.adamw.lr=1e-3")
    by_grid = grid_at(write("training.seed: 0..2\ntraining.optimiser.adamw.lr: [1e-3]"))
    assert [one.folder for one in by_set.members] == [one.folder for one in by_grid.members]
    for one, other in zip(by_set.members, by_grid.members, strict=True):
        assert by_set.own_recipe(one).content == by_grid.own_recipe(other).content


def test_present_members_lie_in_the_folders_that_they_had(write):
    grid = grid_at(
        write("training.seed: 0..1\ntraining.optimiser.adamw.weight_decay: [1, 3]\npresent: {weight_decay: 1.0}")
    )
    assert [one.folder for one in grid.members] == [
        "seed=0",
        "seed=0,weight_decay=3",
        "seed=1",
        "seed=1,weight_decay=3",
    ]


@pytest.mark.parametrize(
    ("only", "folders"),
    [
        ("seed=3", ["seed=3,p=5", "seed=3,p=7"]),
        ("seed=1..2,p=7", ["seed=1,p=7", "seed=2,p=7"]),
    ],
)
def test_only_names_some_members(write, only, folders):
    grid = grid_at(write("training.seed: 0..4\ntask.modular_arithmetic.p: [5, 7]"))
    assert [one.folder for one in grid.chosen([only])] == folders


MISTAKES = {
    "an axis that is no option": ("training.optimiser.adamw.weigth_decay: [1]", 9, "no option 'weigth_decay'"),
    "a key of nothing": ("trainig.seed: 0..1", 9, "did you mean 'training'"),
    "no item of the list": ("training.interventions.initial_scales.alpha: [1]", 9, "no 'initial_scales'"),
    "a value of a wrong kind": ("training.seed:\n  - 1\n  - two", 11, "'seed' is 'two'"),
    "a value out of range": ("training.steps: [10, 0]", 9, "'steps' is 0"),
    "a range backwards": ("training.seed: 3..1", 9, "ends before it begins"),
    "an empty list": ("training.seed: []", 9, "has no values"),
    "one value": ("training.seed: 3", 9, "expected a list, a range 0..8"),
    "a value twice": ("training.optimiser.adamw.lr: [0.1, 0.10]", 9, "0.1 twice"),
    "capitals alone": ("task.modular_arithmetic.operation: {a: x+y, A: x-y}", 9, "would be one"),
    "unequal lengths": ("zip: {seed: {training.seed: 0..2, task.modular_arithmetic.seed: 0..3}}", 9, "as many values"),
    "one name twice": ("training.seed: 0..1\ntask.modular_arithmetic.seed: 0..1", 9, "two axes are called 'seed'"),
    "values that need labels": ("training.optimiser: [{adamw: {lr: 1}}, {sgd: {lr: 1}}]", 9, "needs a label"),
    "a name that is taken": ("zip: {step: {training.seed: 0..2}}", 9, "cannot be called 'step'"),
    "no such axis present": ("training.seed: 0..1\npresent: {sed: 1}", 10, "did you mean 'seed'"),
    "too many": ("training.seed: 0..99999\ntraining.steps: 1..99999", 8, "at most 100,000"),
    "a name too long": (f"task.modular_arithmetic.operation: {{{'a' * 230}: x+y}}", 8, "letters"),
}


def test_of_what_the_recipe_does_not_list_it_is_told_how_to_list_it(write):
    path = write("training.interventions.dropout.p: [0.1]")
    with pytest.raises(InterpError, match=r"no 'dropout'.* let the recipe list it: interventions: \[dropout\]"):
        grid_at(path).check()
    path.write_text(re.sub(r"interventions: \[.*?\],? ?", "", path.read_text()))
    assert "interventions: [" not in path.read_text()
    with pytest.raises(InterpError, match=r"expected a list of names: interventions: \[dropout\]"):
        grid_at(path).check()


def test_a_name_that_stands_twice_is_told_once(write):
    with pytest.raises(InterpError) as raised:
        grid_at(write("training.seed: 0..1\ntask.modular_arithmetic.seed: 0..1"))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line(write, mistake):
    grid, line, told = MISTAKES[mistake]
    path = write(grid)
    with pytest.raises(InterpError) as raised:
        grid_at(path).check()
    assert any(text.startswith(f"{path}:{line}:") and told in text for text in str(raised.value).splitlines())


def test_values_that_do_not_go_together_are_told(write):
    """8 is no prime, which matters to division alone."""
    path = write("task.modular_arithmetic.p: [7, 8, 11]\ntask.modular_arithmetic.operation: [x+y, x/y]")
    with pytest.raises(InterpError, match="p is 8, which is not prime"):
        grid_at(path).check()


def test_wrong_names_are_told_without_torch(write):
    path = write("training.optimiser.adamw.weigth_decay: [1]")
    code = (
        "import sys\nfrom pathlib import Path\nfrom interp.errors import InterpError\n"
        "from interp.recipes.grid import read_grid\n"
        f"try:\n    read_grid(Path({str(path)!r})).check_names()\n"
        "except InterpError as error:\n    print('weigth_decay' in str(error), 'torch' in sys.modules)\n"
    )
    root = Path(interp.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_a_start_may_be_an_axis_and_its_path_is_that_of_the_recipes_own_folder(write):
    recipe = RECIPE.replace("grid:", "from: {run: ../parent, step: 5}\ngrid:")
    grid = grid_at(write("from.step: [5, 10]\nfrom.run: {one: ../parent, two: $PLACE/other}", recipe))
    assert [member.folder for member in grid.members][:2] == ["from_step=5,from_run=one", "from_step=5,from_run=two"]
    for member in grid.members:
        there, own = grid.recipe(member), grid.own_recipe(member)
        step, name = member.labels
        assert there.content["from"] == {"run": {"one": "../parent", "two": "$PLACE/other"}[name], "step": step}
        assert own.content["from"] == {"run": {"one": "../../parent", "two": "$PLACE/other"}[name], "step": step}
    whole = grid_at(write("from: {a: {run: ../parent, step: 5}, b: {run: ../parent, step: 6}}"))
    assert [axis.name for axis in whole.axes] == ["parent"]
    for _ in range(2):
        assert [whole.own_recipe(member).content["from"]["run"] for member in whole.members] == ["../../parent"] * 2


def test_a_start_that_no_run_has_is_told_with_the_line_of_the_grid(write):
    grid = grid_at(write("from.run: [../parent]\nfrom.step:\n  - 5\n  - 30"))
    with pytest.raises(InterpError, match="starts at step 30 of its parent"):
        grid.check()
