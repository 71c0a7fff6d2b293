"""Signatures read from the source are those that Python tells of the functions."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing

import pytest

from interp.catalogue import signatures
from interp.catalogue.names import KINDS, find, known_names
from interp.catalogue.options import OptionError, changed_options, checked_options

NAMES = [(kind, name) for kind in KINDS for name in known_names(kind)]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_options_are_told_from_the_source_as_python_tells_them_of_the_function(kind, name):
    function = find(kind, name)
    hints = typing.get_type_hints(function, include_extras=True)
    expected = {
        option: (repr(hints[option]), told.default if told.default is not told.empty else ...)
        for option, told in inspect.signature(function).parameters.items()
        if option not in KINDS[kind]
    }
    found = signatures.options(kind, name)
    assert {option: (repr(annotation), default) for option, (annotation, default) in found.items()} == expected
    assert signatures.all_parameters(kind, name) == set(inspect.signature(function).parameters)


def test_no_option_of_ours_costs_an_import():
    code = (
        "import sys\n"
        "from interp.catalogue import names, signatures\n"
        "told = [signatures.options(kind, name) for kind in names.KINDS for name in names.known_names(kind)]\n"
        "assert len(told) > 30\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


ODD = '''
from {package}.helpers import scale
from {package}.types import Share


def {name}(checkpoint, share: Share = 0.5, power: float = scale):
    """Something of theirs."""
    return share
'''


def test_what_the_source_does_not_tell_is_imported(install):
    folder = install("elsewhere_d", {"theirs": ODD.format(package="elsewhere_d", name="theirs")})
    (folder / "types.py").write_text("import pydantic\nShare = pydantic.confloat(gt=0, lt=1)\n")
    assert checked_options("measures", "theirs", {}) == {"share": 0.5, "power": 3}
    with pytest.raises(OptionError, match="'share' is 2"):
        checked_options("measures", "theirs", {"share": 2})


def test_a_name_that_is_no_function_in_its_file_has_the_signature_it_has_in_python(install):
    source = "from {package}.made import theirs\n"
    folder = install("elsewhere_e", {"theirs": source.format(package="elsewhere_e")})
    (folder / "made.py").write_text("def theirs(checkpoint, n: int = 2):\n    pass\n")
    assert signatures.options("measures", "theirs") == {"n": (int, 2)}
    assert signatures.all_parameters("measures", "theirs") == {"checkpoint", "n"}


def test_what_a_reader_sees_of_options_is_what_differs_from_the_defaults_and_what_identifies():
    given = checked_options("tasks", "modular_arithmetic", {"frac_train": 0.5})
    assert changed_options("tasks", "modular_arithmetic", given) == {
        "p": 113,
        "operation": "x+y",
        "frac_train": 0.5,
        "split": "progress_measures",
    }
