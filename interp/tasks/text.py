"""Texts and their classes: IMDb's reviews, positive or negative."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from interp.contracts.recipe_file import BesideRecipe, RecipeFile
from interp.contracts.texts import Texts
from interp.tasks.shared.reviews import from_datasets, from_file

WORD = re.compile(r"[a-z']+")
BREAK = re.compile(r"<br\s*/?>")


def text(
    data: Literal["imdb"] = "imdb",
    n_train: PositiveInt = 750,
    n_test: NonNegativeInt = 250,
    n_words: PositiveInt = 1_000,
    length: PositiveInt = 500,
    seed: NonNegativeInt = 0,
    file: BesideRecipe | None = None,
    download: bool = False,
) -> Texts:
    """Reviews of films as rows of tokens; the class is 1 where the review is positive, and a single output answers.

    `seed` draws the reviews, half of them positive among those trained on and among the others. A text is in small
    letters; its words are runs of letters. The `n_words` commonest words of the training texts are tokens 1, 2, …,
    other words are left out; a text is its first `length` of these tokens, with 0 before it where it is shorter. The
    defaults are Omnigrok's.

    - file: the reviews in a file, relative to the run.yaml: aclImdb_v1.tar.gz as it is published, or a .csv with the
      columns review and sentiment (positive, negative), or text and label (1, 0). Without it they are those for
      training that the package datasets keeps (interp[text]); `download` fetches them.

    Paper: Liu et al. 2022, arXiv 2210.01117

    Raises ValueError where the reviews are not there, in one line that says what to install or to give, or are fewer.
    """
    if file is None:
        reviews = from_datasets(download)
    else:
        assert isinstance(file, RecipeFile)  # the reader of the recipe makes it from the path
        reviews = from_file(file)
    train, test = _drawn([side for _, side in reviews], n_train, n_test, seed)
    chosen = [reviews[place] for place in (*train, *test)]
    texts = [WORD.findall(BREAK.sub(" ", told.lower())) for told, _ in chosen]
    counts = collections.Counter(word for one in texts[:n_train] for word in one)
    words = tuple(sorted(counts, key=lambda word: (-counts[word], word))[:n_words])
    return Texts(
        description=f"{n_train:,} reviews of {data}, positive or negative, {len(words):,} words",
        inputs=_tokens(texts, words, length),
        targets=torch.tensor([side for _, side in chosen]),
        n_outputs=1,
        train=torch.arange(len(chosen)) < n_train,
        words=words,
    )


def _drawn(sides: Sequence[int], n_train: int, n_test: int, seed: int) -> tuple[list[int], list[int]]:
    """The numbers of the reviews trained on, and of the others, as many of either side.

    Raises ValueError where there are not as many.
    """
    draw = np.random.default_rng(seed)
    train: list[int] = []
    test: list[int] = []
    for side in (1, 0):
        places = draw.permutation(np.flatnonzero(np.asarray(sides) == side)).tolist()
        own = (n_train + side) // 2, (n_test + side) // 2
        if sum(own) > len(places):
            which = "positive" if side else "negative"
            raise ValueError(
                f"n_train + n_test is {n_train + n_test:,}, half of them {which}, and there are {len(places):,} "
                f"{which} reviews; lower them"
            )
        train += places[: own[0]]
        test += places[own[0] : sum(own)]
    return train, test


def _tokens(texts: Sequence[Sequence[str]], words: Sequence[str], length: int) -> Int[Tensor, "text pos"]:
    token = {word: number for number, word in enumerate(words, 1)}
    rows = torch.zeros(len(texts), length, dtype=torch.long)
    for row, one in zip(rows, texts, strict=True):
        known = [token[word] for word in one if word in token][:length]
        if known:
            row[-len(known) :] = torch.tensor(known)
    return rows
