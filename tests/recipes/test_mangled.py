"""Whatever stands in a recipe or an analysis, reading it ends in a value or in lines, and takes little memory."""

from __future__ import annotations

import copy
import functools
import math
import random
import tracemalloc
from pathlib import Path

import pytest

from interp.errors import InterpError
from interp.recipes import analysis_recipe, run_recipe
from interp.recipes.document import dump_yaml, parse_value
from tests.damage import assert_one_line

pytestmark = pytest.mark.slow

MEGABYTE = 2**20
ROOT = Path(__file__).parents[2]

RECIPES = [path for path in sorted(ROOT.glob("checkpoints/*/run.yaml")) if "file:" not in path.read_text()]
"""But for those that name a file beside them, which is not beside what is mangled."""
ANALYSIS = ROOT / "analyses" / "fourier.yaml"


def read_text(path, text):
    """What a recipe or an analysis of this text is: a value, or lines, asserted to name the file and to be short."""
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        return (analysis_recipe if "analysis" in path.name else run_recipe).read(path)
    except InterpError as error:
        for line in str(error).split("\n"):
            assert line.startswith(str(path)), line
            assert_one_line(line, len(str(path)) + 600)
        return str(error)


VALUES = [
    *(None, True, -1, 0, 0.5, 10**9, 10**12, 2**63, 2**64 - 1, 1e300, math.inf, -math.inf, math.nan, ""),
    *("x", "x" * 5000),
    *("\x1b[31m\x07", "a\nb\u2028c", "\u202e", "$HOME", "$NOT_THERE_AT_ALL", "~/x", "*", "\x00", "all", "1:2:3"),
    *([], {}, [[]], [{}], [None] * 3, {"a": None}, {1: 2}, {None: 3}, {"every": 10**12}),
    *({"log": 10**9}, {"dense": ["0:9:1"]}),
    *({"every": 1, "log": None}, {"count": 2.5}, ["x", 3], {"path": 3}, {"adamw": {"lr": 0}}),
    {"adamw": {"betas": [1, 2]}},
]  # fmt: skip


def places(value, place=()):
    """Every path into nested dicts and lists."""
    yield place
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*place, key))


def replaced(content, rng):
    """`content` with one or two of its parts replaced, removed or named differently."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice([1, 1, 2])):
        path = rng.choice([path for path in places(content) if path] or [("x",)])
        parent = functools.reduce(lambda value, key: value[key], path[:-1], content)
        kind = rng.randrange(4)
        if kind == 0:
            del parent[path[-1]]
        elif kind == 1 and isinstance(parent, dict):
            parent[rng.choice(["lr", "path", "every", "seed", "x" * 200, "\x1b", 3])] = parent.pop(path[-1])
        else:
            parent[path[-1]] = rng.choice(VALUES)
    return content


PIECES = [
    *(
        "",
        "\t",
        ":",
        "{",
        "}",
        "[",
        "]",
        "-",
        "&a ",
        "*a",
        "!!int ",
        "!!timestamp ",
        "!!binary ",
        "|",
        "'",
        '"',
        "\n",
        "#",
    ),
    *("\x00", "\x1b", "\udcff", "\u2028", "9" * 30, "e", "?", "%", "@", "<<: ", "~"),
]


def damaged_text(text, rng):
    place = rng.randrange(len(text))
    piece = rng.choice(PIECES)
    return text[:place] + piece + text[place + rng.randrange(3) :]


@pytest.mark.parametrize("path", [*RECIPES, ANALYSIS], ids=lambda path: path.parent.name)
def test_a_mangled_recipe_or_analysis_is_valid_or_ends_in_lines(tmp_path, path):
    name = "analysis.yaml" if path == ANALYSIS else "run.yaml"
    text = path.read_text().replace("p: 113", "p: 13")
    content = parse_value(text)
    rng = random.Random(path.parent.name)
    mangled = [damaged_text(text, rng) for _ in range(50)]
    mangled += [dump_yaml(replaced(content, rng)) for _ in range(50)]
    found = {type(read_text(tmp_path / name, one)) for one in mangled}
    assert found == {str, analysis_recipe.Analysis if path == ANALYSIS else run_recipe.Recipe}


SIZES = {
    "p": "task: {modular_arithmetic: {p: 1000000000}}",
    "small p": "task: {modular_arithmetic: {p: 2001}}",
    "d_model": "model: {transformer: {d_model: 1000000000000}}",
    "n_layers": "model: {transformer: {n_layers: 1000000000000}}",
    "d_mlp": "model: {mlp: {d_mlp: 1000000000000}}",
    "steps": "training: {steps: 1000000000000, save: {every: 1}}",
    "log": "training: {steps: 100, save: {log: 1000000000000}}",
    "dense": "training: {steps: 1000000000000, save: {dense: ['0:1000000000000:1']}}",
    "hexadecimal": f"training: {{steps: 0x{'f' * 9000}}}",
    "base 60": f"training: {{steps: 1{':59' * 3000}}}",
    "digits": f"training: {{steps: {'9' * 9000}}}",
}


@pytest.mark.parametrize("size", SIZES)
def test_a_size_no_run_has_is_refused_with_its_line(tmp_path, size):
    parts = {
        "task": "task: {modular_arithmetic: {p: 7}}",
        "model": "model: {transformer: {d_model: 8, n_heads: 2}}",
        "training": "training: {steps: 10}",
    }
    parts[SIZES[size].partition(":")[0]] = SIZES[size]
    tracemalloc.start()
    message = read_text(tmp_path / "run.yaml", "\n".join(parts.values()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = list(parts.values()).index(SIZES[size]) + 1
    assert isinstance(message, str)
    assert message.startswith(f"{tmp_path / 'run.yaml'}:{line}: ") or "digits" in message
    assert peak < 32 * MEGABYTE


LAUGHS = "a: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
YAML_BOMBS = {
    "aliases": LAUGHS,
    "merges": "a: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40)),
    "long text by aliases": f"a: &a {'x' * 50_000}\nb: [{'*a, ' * 5000}]\n",
    "contains itself": "task: &a {b: *a}\n",
    "nested": "a: " + "[" * 400 + "]" * 400,
    "nested names": "a: " + "{b: " * 300 + "}" * 300,
    "nested by aliases": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000)),
    "long": "a: 1\n" * 100_000,
    "many names": "".join(f"a{n}: 1\n" for n in range(1000)),
    "one name often": "a: 1\n" * 1500,
    "no time": "a: !!timestamp x",
    "no number": "a: !!int ''",
    "no truth": "a: !!bool perhaps",
    "a day 99": "a: 2001-99-99",
    "before all time": "a: 0001-01-01 00:00:00 +23:00",
    "a key of a list": "{? [1, 2] : 3}",
    "a key of names": "{? {a: 1} : 3}",
    "base 60": "a: 1" + ":1" * 2000 + ".5",
}


@pytest.mark.parametrize("bomb", YAML_BOMBS)
def test_yaml_made_to_take_time_or_memory_is_refused(tmp_path, bomb):
    for name in ("run.yaml", "analysis.yaml"):
        tracemalloc.start()
        message = read_text(tmp_path / name, YAML_BOMBS[bomb])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(message, str)
        assert message.count("\n") <= 50
        assert peak < 100 * MEGABYTE
