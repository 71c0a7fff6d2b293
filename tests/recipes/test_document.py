from __future__ import annotations

import pytest

from interp.errors import InterpError
from interp.recipes.call import call_at
from interp.recipes.document import dump_yaml, parse_value, read_document


@pytest.fixture
def document(tmp_path):
    def make(text):
        path = tmp_path / "some.yaml"
        path.write_text(text)
        return read_document(path)

    return make


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-2.5e-08", -2.5e-8),
        ("+1e+3", 1e3),
        ("1.5e3", 1.5e3),
        ("1_000e1", 1e4),
        (".5e-3", 0.5e-3),
        (".5e3", 0.5e3),
        ("40_000", 40_000),
        ("0.3", 0.3),
    ],
)
def test_numbers_are_numbers_however_they_are_written(document, text, number):
    for found in (document(f"lr: {text}").content["lr"], parse_value(text)):
        assert found == number
        assert type(found) is type(number)


@pytest.mark.parametrize("text", ["x+y", "e5", "1e", "1e-", "12e4f", "x/y if y odd else x-y", "1e-3 or so"])
def test_text_that_only_looks_like_a_number_is_text(document, text):
    assert document(f"operation: {text}").content["operation"] == text


def test_every_value_knows_its_line(document):
    found = document("a: 1\nb:\n  c: [1,\n      2]\n  d: {e: 3,\n      f: 4}\n")
    assert found.lines["a",] == 1
    assert found.lines["b",] == 2
    assert found.lines["b", "c"] == 3
    assert found.lines["b", "c", 1] == 4
    assert found.lines["b", "d", "e"] == 5
    assert found.lines["b", "d", "f"] == 6


def test_mistakes_are_told_together_in_the_order_of_their_lines_or_of_the_nearest_thing_around_them(document):
    found = document("a: 1\nb:\n  c: 2\n")
    found.problem(("b", "c"), "third")
    found.problem(("a",), "first")
    found.problem(("b", "nothing", "here"), "second")
    found.problem(("nowhere",), "also first")
    with pytest.raises(InterpError) as refused:
        found.settle()
    path = found.path
    assert str(refused.value).split("\n") == [
        f"{path}:1: also first",
        f"{path}:1: first",
        f"{path}:2: second",
        f"{path}:3: third",
    ]


def test_without_mistakes_there_is_nothing_to_settle(document):
    found = document("a: 1\n")
    found.settle()
    assert found.problems == []
    assert found.content == {"a": 1}


def test_not_yaml_is_one_line_that_names_the_place(document, tmp_path):
    with pytest.raises(InterpError) as refused:
        document("a: 1\nb: 2\nc: d: e\n")
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'some.yaml'}:3: not YAML")
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text", "1: a\n", "--- {a: 1}\n--- {b: 2}\n", "a: \x00"])
def test_what_is_not_names_and_values_is_one_line(document, text):
    with pytest.raises(InterpError, match=r"some\.yaml") as refused:
        document(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "{a: !!python/name:os.system x}"])
def test_a_file_cannot_make_python_objects(document, text):
    with pytest.raises(InterpError, match="not YAML"):
        document(f"a: {text}")


@pytest.mark.parametrize("text", ["a: &a [1, *a]", "&a {b: 1, a: *a}", "a: &a {b: [1, {c: *a}]}"])
def test_a_file_that_contains_itself_is_refused(document, text):
    with pytest.raises(InterpError, match=r":1: not YAML: it contains itself"):
        document(text)


def test_an_alias_stands_for_what_it_names(document):
    assert document("a: &a [1, 2]\nb: *a\nc: {<<: {d: *a}}").content == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


def test_a_name_that_stands_twice_is_refused(document):
    with pytest.raises(InterpError, match=r":3: .*'a'.*twice"):
        document("a: 1\nb: 2\na: 3\n")


def test_all_names_that_stand_twice_are_told_at_once(document):
    with pytest.raises(InterpError) as refused:
        document("a: {c: 1, c: 2}\nb: 2\na: 3\n")
    assert [line.split(":")[1] for line in str(refused.value).split("\n")] == ["1", "3"]


def test_missing_files_folders_and_files_that_are_not_text_are_one_line(tmp_path):
    with pytest.raises(InterpError, match=r"none\.yaml does not exist"):
        read_document(tmp_path / "none.yaml")
    with pytest.raises(InterpError, match="is a folder, expected a file in YAML"):
        read_document(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00a: \x80")
    with pytest.raises(InterpError, match=r"binary\.yaml"):
        read_document(tmp_path / "binary.yaml")


# --set


def test_set_puts_a_value_in_its_place_as_yaml_reads_it(document):
    found = document("training: {seed: 0}\n")
    found.set("training.seed=3")
    found.set("training.optimiser.adamw.lr=1e-3")
    found.set("text=a = b")
    assert found.content == {
        "training": {"seed": 3, "optimiser": {"adamw": {"lr": 1e-3}}},
        "text": "a = b",
    }


@pytest.mark.parametrize("text", ["task: modular_arithmetic\n", "task: {modular_arithmetic: }\n"])
def test_set_gives_options_to_a_name_that_had_none(document, text):
    found = document(text)
    found.set("task.modular_arithmetic.p=7")
    assert found.content == {"task": {"modular_arithmetic": {"p": 7}}}


@pytest.mark.parametrize("assignment", ["training.seed", "=3", "training.seed.more=3", "training.seed=[1"])
def test_set_refuses_what_it_cannot_place_and_repeats_it(document, assignment):
    with pytest.raises(InterpError) as refused:
        document("training: {seed: 0}\n").set(assignment)
    assert assignment.rpartition("=")[2] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_was_set_is_written_with_the_comments_of_the_file(document):
    found = document("# why\ntraining: {seed: 0, steps: 40_000}  # few\nmodel: mlp\n")
    found.set("training.seed=3")
    found.set("model.mlp.d_mlp=8")
    text = found.dump()
    assert "# why" in text
    assert "steps: 40_000}  # few" in text
    assert (
        document(text).content
        == found.content
        == {
            "training": {"seed": 3, "steps": 40_000},
            "model": {"mlp": {"d_mlp": 8}},
        }
    )


def test_a_value_set_in_one_of_two_parts_that_are_written_once_changes_that_one(document):
    found = document("a: &a {x: 1}\nb: *a\n")
    found.set("b.x=2")
    assert document(found.dump()).content == found.content == {"a": {"x": 1}, "b": {"x": 2}}


# Calls.


def test_a_call_is_a_name_or_a_name_with_options(document):
    for text in ("mlp", "{mlp: {}}", "{mlp: }"):
        found = document(f"model: {text}")
        call = call_at(found, ("model",), found.content["model"], "models")
        found.settle()
        assert (call.kind, call.name, call.options["d_mlp"]) == ("models", "mlp", 128)


@pytest.mark.parametrize("text", ["{mlp: {}, transformer: {}}", "[mlp]", "3", "{mlp: 3}", "{3: {}}", ""])
def test_anything_else_is_not_a_call(document, text):
    found = document(f"model: {text}")
    assert call_at(found, ("model",), found.content["model"], "models") is None
    with pytest.raises(InterpError, match=r":1: "):
        found.settle()


def test_what_is_written_down_reads_back_the_same(document):
    content = {"b": {"lr": 1e-3, "betas": [0.9, 0.98]}, "a": "x+y", "text": "größer als 1e-3"}
    found = document(dump_yaml(content))
    assert found.content == content
    assert list(found.content) == ["b", "a", "text"]
