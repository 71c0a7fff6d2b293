from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from interp import provenance
from interp.catalogue import names
from interp.catalogue.listing import listings
from interp.catalogue.names import KINDS, current_digest, find, known_names, module_of, singular
from interp.catalogue.options import OptionError, checked_options, default_options
from interp.errors import InterpError
from tests.conftest import forget

FOREIGN = '''
"""A measure of somebody else."""

from {package}.helpers import scale


def {name}(checkpoint, power: float = 2.0):
    """Something of theirs."""
    return scale * power
'''


# Names.


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_a_function_in_the_file_of_that_name(kind):
    for name, path in known_names(kind).items():
        function = find(kind, name)
        assert (path.parent.name if path.stem == "__init__" else path.stem) == name == function.__name__
        assert Path(inspect.getsourcefile(inspect.unwrap(function))) == path


@pytest.mark.parametrize("kind", [kind for kind, ours in KINDS.items() if ours])
def test_the_first_parameter_of_every_function_is_ours(kind):
    for name in known_names(kind):
        parameters = list(inspect.signature(find(kind, name)).parameters)
        if kind == "optimisers" and not set(KINDS[kind]) & set(parameters):
            continue  # it is told what to move when it moves it
        first, *rest = parameters
        assert first in KINDS[kind]
        assert not {"measure", "steps"} & set(rest)  # reserved in an analysis


def test_the_kinds_are_the_folders_that_say_what_is_given_to_their_functions():
    folders = {"measures", "models", "tasks", "optimisers", "losses", "interventions", "importers", "executors"}
    assert set(KINDS) == folders
    for kind, ours in KINDS.items():
        assert ours == importlib.import_module(f"interp.{kind}").GIVEN


def test_helpers_and_files_without_their_function_are_not_names():
    assert "loss" in known_names("measures")
    for kind in KINDS:
        assert not [name for name in known_names(kind) if name.startswith("_") or name == "shared"]
    assert "schedule" not in known_names("tasks")


def test_a_name_may_be_a_folder_whose_init_file_defines_its_function(tmp_path, monkeypatch):
    sources = {
        "long/__init__.py": "from interp.measures.long.fits import fit\ndef long(checkpoint):\n    pass\n",
        "long/fits.py": "def fits(x):\n    pass\n",
        "shared/__init__.py": "",
        "shared/shared.py": "def shared(x):\n    pass\n",
        "other/__init__.py": "def another(checkpoint):\n    pass\n",
        "short.py": "def short(checkpoint):\n    pass\n",
    }
    for name, source in sources.items():
        (tmp_path / "measures" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "measures" / name).write_text(source)
    monkeypatch.setattr(names, "PACKAGE", tmp_path)
    folder = tmp_path / "measures"
    assert known_names("measures") == {"long": folder / "long" / "__init__.py", "short": folder / "short.py"}


@pytest.mark.parametrize(
    ("kind", "wrong", "meant"),
    [
        ("measures", "los", "loss"),
        ("measures", "key_freq", "key_freqs"),
        ("tasks", "modular_arithmetik", "modular_arithmetic"),
    ],
)
def test_an_unknown_name_is_refused_with_the_near_misses(kind, wrong, meant):
    with pytest.raises(InterpError, match=f"no {singular(kind)} '{wrong}'; did you mean '{meant}'"):
        find(kind, wrong)


def test_one_of_a_kind_in_a_word():
    assert [singular(kind) for kind in ("losses", "measures", "tasks")] == ["loss", "measure", "task"]


def test_a_name_like_no_other_is_refused_with_the_names_there_are():
    with pytest.raises(InterpError, match=r"no model 'qqqq'; known: .*mlp.*transformer"):
        find("models", "qqqq")


# Options.


def test_options_are_checked_and_completed_by_the_signature():
    given = checked_options("tasks", "modular_arithmetic", {"p": 7})
    assert given == {
        "p": 7,
        "operation": "x+y",
        "frac_train": 0.3,
        "seed": 0,
        "split": "progress_measures",
        "pairs": "ordered",
    }
    assert checked_options("optimisers", "adamw", {"betas": [0.9, 0.99]})["betas"] == (0.9, 0.99)
    assert "task" not in checked_options("models", "transformer", {})


def test_all_mistakes_come_at_once_each_with_its_place():
    with pytest.raises(OptionError) as refused:
        checked_options(
            "tasks", "modular_arithmetic", {"operation": "x^y", "frac_trian": 0.5, "p": "seven", "seed": 1.5}
        )
    problems = dict(refused.value.problems)
    assert set(problems) == {("operation",), ("frac_trian",), ("p",), ("seed",)}
    assert "has no option 'frac_trian'; did you mean 'frac_train'" in problems["frac_trian",]
    assert "'seven'" in problems["p",]
    assert "'x^y'" in problems["operation",]
    assert "x^2+y^2" in problems["operation",]


def test_a_mistake_inside_an_option_has_its_place_too():
    with pytest.raises(OptionError) as refused:
        checked_options("optimisers", "adamw", {"betas": [0.9, "high"]})
    ((where, message),) = refused.value.problems
    assert where == ("betas", 1)
    assert "betas.1" in message


@pytest.mark.parametrize("ours", ["checkpoint", "previous", "run"])
def test_our_own_parameters_are_no_options(ours):
    with pytest.raises(OptionError, match=f"has no option '{ours}'"):
        checked_options("measures", "embedding_circle", {ours: 1})


def test_a_truth_value_is_not_a_number():
    with pytest.raises(OptionError, match="'seed'"):
        checked_options("tasks", "modular_arithmetic", {"seed": True})


def test_defaults_are_those_of_the_signature():
    assert default_options("models", "mlp")["d_mlp"] == 128
    assert "task" not in default_options("models", "mlp")


@pytest.mark.parametrize("kind", KINDS)
def test_the_listing_names_every_function_with_its_options_and_its_claim(kind):
    found = {listing.name: listing for listing in listings(kind)}
    assert set(found) == set(known_names(kind))
    for name, listing in found.items():
        function = inspect.unwrap(find(kind, name))
        ours = KINDS[kind]
        options = [option for option in inspect.signature(function).parameters if option not in ours]
        call = ast.parse(f"def f({listing.options}): ...").body[0]
        assert [argument.arg for argument in call.args.args + call.args.kwonlyargs] == options
        assert listing.claim == inspect.getdoc(function).split("\n")[0]


# What others add.


def test_an_entry_point_adds_a_name_with_options_and_a_listing(install):
    folder = install("elsewhere_a", {"theirs": FOREIGN.format(package="elsewhere_a", name="theirs")})
    assert known_names("measures")["theirs"] == folder / "theirs.py"
    assert find("measures", "theirs")(None) == 6
    assert checked_options("measures", "theirs", {"power": "1e-3"}) == {"power": 1e-3}
    assert "theirs" in [listing.name for listing in listings("measures")]
    assert module_of("measures", "theirs").__name__ == "elsewhere_a.theirs"


def test_a_name_of_ours_stays_ours_whatever_others_add(install):
    install("elsewhere_b", {"loss": FOREIGN.format(package="elsewhere_b", name="loss")})
    path = known_names("measures")["loss"]
    assert inspect.getsourcefile(inspect.unwrap(find("measures", "loss"))) == str(path)


def test_an_entry_point_whose_package_is_broken_does_not_take_the_other_names_away(install, tmp_path):
    install("elsewhere_c", {})
    info = tmp_path / "elsewhere_c-1.0.dist-info"
    (info / "entry_points.txt").write_text("[interp.measures]\ngone = elsewhere_missing.gone:gone\n")
    forget()
    assert "loss" in known_names("measures")


def test_whoever_looks_a_name_up_is_noted_to_be_made_from_its_file():
    with provenance.recording() as outer:
        with provenance.recording() as inner:
            find("tasks", "modular_arithmetic")
        find("models", "mlp")
    assert inner == {"tasks/modular_arithmetic": current_digest("tasks", "modular_arithmetic")}
    assert set(outer) == {"tasks/modular_arithmetic", "models/mlp"}
    assert current_digest("tasks", "no_such_task") == ""
