"""Reviews from planted files of each form, their tokens, and what is said where they are not there."""

from __future__ import annotations

import csv
import io
import sys
import tarfile
import types
from pathlib import Path

import pytest

from interp.contracts.recipe_file import recipe_file
from interp.recipes.document import dump_yaml
from interp.tasks.text import text
from interp.train import train
from tests.tasks.curves import curves

REVIEWS = [(f"Good<br />film, a {'very ' * n}good one!", 1) for n in range(8)]
REVIEWS += [(f"Bad film. A {'very ' * n}BAD one; don't", 0) for n in range(8)]


def table(folder: Path, columns=("review", "sentiment"), sides=("negative", "positive")) -> Path:
    file = folder / "IMDB Dataset.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(columns)
        rows.writerows((told, sides[side]) for told, side in REVIEWS)
    return file


def archive(folder: Path) -> Path:
    file = folder / "aclImdb_v1.tar.gz"
    with tarfile.open(file, "w:gz") as opened:
        for number, (told, side) in enumerate(REVIEWS):
            name = f"aclImdb/{'train' if number % 2 else 'test'}/{'pos' if side else 'neg'}/{number}_9.txt"
            for path, content in ((name, told), (f"aclImdb/train/unsup/{number}_0.txt", "neither")):
                member = tarfile.TarInfo(path)
                member.size = len(content.encode())
                opened.addfile(member, io.BytesIO(content.encode()))
    return file


def read(file: Path, **options):
    return text(**{"n_train": 10, "n_test": 6, "length": 8, **options}, file=recipe_file(file.name, file))


def spelt(task) -> list[str]:
    """The words of each text again."""
    return [" ".join(task.words[token - 1] for token in row if token) for row in task.inputs.tolist()]


FORMS = {
    "a table": table,
    "another table": lambda folder: table(folder, ("text", "label"), ("0", "1")),
    "the archive": archive,
}


@pytest.mark.parametrize("form", FORMS)
def test_reviews_are_read_from_each_form(form: str, tmp_path: Path):
    task = read(FORMS[form](tmp_path), length=20)
    good, bad = "good film a {}good one", "bad film a {}bad one don't"
    expected = [(say.format("very " * n), side) for say, side in ((good, 1), (bad, 0)) for n in range(8)]
    assert sorted(zip(spelt(task), task.targets.tolist(), strict=True)) == sorted(expected)
    for which in (task.train, ~task.train):
        assert int(task.targets[which].sum()) * 2 == int(which.sum())  # half of them are positive
    assert int(task.train.sum()) == 10
    assert task.n_outputs == 1


def test_tokens_are_the_commonest_words_of_the_training_texts_and_the_last_words_are_last(tmp_path: Path):
    file = table(tmp_path)
    task = read(file, n_words=3, length=4)
    counts: dict[str, int] = {}
    whole = read(file, length=40)
    for one in spelt(whole)[:10]:
        for word in one.split():
            counts[word] = counts.get(word, 0) + 1
    assert list(task.words) == sorted(counts, key=lambda word: (-counts[word], word))[:3]
    assert task.d_vocab == 4
    for row, one in zip(task.inputs.tolist(), spelt(whole), strict=True):
        known = [task.words.index(word) + 1 for word in one.split() if word in task.words][:4]
        assert row == [0] * (4 - len(known)) + known


def test_the_seed_draws_the_reviews(tmp_path: Path):
    file = table(tmp_path)
    first, again, other = (read(file, seed=seed) for seed in (0, 0, 1))
    assert spelt(first) == spelt(again)
    assert spelt(first) != spelt(other)


def refused(**options) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        text(**options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_not_there_is_said_with_what_to_give(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    said = refused()
    assert said.startswith(
        "imdb is read by the package datasets, which is not installed; install interp[text], or give"
    )
    assert "file: aclImdb_v1.tar.gz, or a .csv with the columns review and sentiment" in said

    def nothing(*_, **__):
        raise ConnectionError("no route\nto anywhere")

    stand_in = types.SimpleNamespace(DownloadConfig=lambda **_: None, load_dataset=nothing)
    monkeypatch.setitem(sys.modules, "datasets", stand_in)
    assert refused().startswith("imdb is not among what datasets has kept; set download: true, or give file:")
    assert refused(download=True).startswith("imdb could not be fetched (no route); give file:")


def test_the_package_datasets_is_asked_for_the_reviews_published_for_training(monkeypatch: pytest.MonkeyPatch):
    asked = {}

    def load(name, split, download_config):
        asked.update(name=name, split=split, **download_config)
        return [{"text": told, "label": side} for told, side in REVIEWS]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(DownloadConfig=dict, load_dataset=load))
    task = text(n_train=10, n_test=6)
    assert asked == {"name": "stanfordnlp/imdb", "split": "train", "local_files_only": True}
    assert int(task.targets.sum()) == 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "its columns are a, b"),
        ("review,sentiment\nfine,so-so\n", "row 1 has the sentiment 'so-so', which is neither positive nor negative"),
        ("review,sentiment\n", "holds no reviews"),
    ],
)
def test_tables_of_another_form_are_refused(content: str, said: str, tmp_path: Path):
    (tmp_path / "data.csv").write_text(content)
    found = refused(file=recipe_file("data.csv", tmp_path / "data.csv"))
    assert said in found
    assert "aclImdb_v1.tar.gz, or a .csv" in found


def test_an_archive_that_is_none_and_too_few_reviews_are_refused(tmp_path: Path):
    (tmp_path / "aclImdb_v1.tar.gz").write_bytes(b"nothing")
    assert "cannot be read" in refused(file=recipe_file("aclImdb_v1.tar.gz", tmp_path / "aclImdb_v1.tar.gz"))
    few = recipe_file("few.csv", table(tmp_path))
    assert "n_train + n_test is 20, half of them positive, and there are 8" in refused(n_train=14, n_test=6, file=few)


def test_a_recipe_trains_on_the_file_beside_it(tmp_path: Path):
    table(tmp_path)
    task = {"text": {"n_train": 10, "n_test": 6, "length": 5, "file": "IMDB Dataset.csv"}}
    training = {"steps": 4, "batch_size": 5, "interventions": [{"gradient_clip": {"norm": 5}}], "save": {"every": 2}}
    recipe = {"task": task, "model": {"lstm": {"d_model": 3, "d_hidden": 4}}, "training": training}
    (tmp_path / "run.yaml").write_text(dump_yaml(recipe))
    train(tmp_path)
    assert curves(tmp_path) == ["test_accuracy", "test_loss", "train_accuracy", "train_loss"]
