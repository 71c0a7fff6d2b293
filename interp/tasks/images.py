"""Images and their classes: scikit-learn's digits, MNIST or CIFAR-10, of which some are trained on."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt

from interp.contracts.recipe_file import BesideRecipe, RecipeFile
from interp.contracts.task import Task
from interp.contracts.vector_answers import NearestCode
from interp.tasks.shared.image_files import ImageSet, from_file, from_torchvision

N_CLASSES = 10
MOST_LEVELS = {"digits": 16, "mnist": 255, "cifar10": 255}
"""The largest number of a pixel."""
WHAT = {"digits": "scikit-learn's digits, 8 × 8", "mnist": "MNIST's digits", "cifar10": "CIFAR-10's images"}


def images(
    data: Literal["digits", "mnist", "cifar10"] = "digits",
    n_train: PositiveInt = 500,
    n_test: PositiveInt | None = None,
    targets: Literal["class", "one_hot"] = "class",
    seed: NonNegativeInt | None = 0,
    file: BesideRecipe | None = None,
    root: str = "data",
    download: bool = False,
) -> Task:
    """Images, [channel, row, column] with numbers from 0 to 1, of ten classes each; `n_train` of them are trained on.

    - data: "digits", 1,797 images of 1 × 8 × 8 that come with scikit-learn; "mnist", 1 × 28 × 28; "cifar10",
      3 × 32 × 32.
    - n_test: how many others are the test examples; all there are where it is not given. Of digits, which nobody
      has split, they are of the images that are not trained on; else of those published for testing.
    - targets: "class" for its number, which the loss mse compares with a one-hot vector all the same; "one_hot" for
      that vector, so that any loss of values takes it. The answer is the largest output either way.
    - seed: draws which images; null takes the first ones in their order, as Omnigrok does.
    - file: MNIST or CIFAR-10 in a file, relative to the run.yaml: mnist.npz or another .npz with the arrays x_train,
      y_train, x_test and y_test; of MNIST train-images-idx3-ubyte as it is published (or .gz), the other three beside
      it; of CIFAR-10 cifar-10-binary.tar.gz.
    - root: without a file, the folder in which torchvision keeps them (interp[vision]); `download` fetches what is
      not there.

    Omnigrok's MNIST is `{data: mnist, n_train: 1_000, seed: null}`, Humayun et al.'s MNIST the same with 1,000 drawn.

    Paper: Liu et al. 2022, arXiv 2210.01117; Humayun et al. 2024, arXiv 2402.15555

    Raises ValueError where the images are not there, in one line that says what to install or to give, or are fewer.
    """
    found = _found(data, file, root, download)
    train, test = _chosen(found, n_train, n_test, seed, parted=data != "digits")
    x = np.concatenate([found.x_train[train], found.x_test[test]]) / np.float32(MOST_LEVELS[data])
    classes = torch.from_numpy(np.concatenate([found.y_train[train], found.y_test[test]]).astype(np.int64))
    description = f"{len(train):,} of {WHAT[data]}, 10 classes"
    inputs, mask = torch.from_numpy(x.astype(np.float32)), torch.arange(len(x)) < len(train)
    if targets == "class":
        return Task(description, inputs, classes, N_CLASSES, mask)
    codes = torch.eye(N_CLASSES)
    return NearestCode(
        f"{description} as one-hot vectors", inputs, codes[classes], N_CLASSES, mask, codes=codes, classes=classes
    )


def _found(data: str, file: BesideRecipe | None, root: str, download: bool) -> ImageSet:
    """All images there are. Raises ValueError where they are not there."""
    if data != "digits":
        if file is None:
            return from_torchvision(data, os.path.expanduser(os.path.expandvars(root)), download)
        assert isinstance(file, RecipeFile)  # the reader of the recipe makes it from the path
        return from_file(data, file)
    if file is not None:
        raise ValueError("file is of mnist and cifar10, and data is digits, which come with scikit-learn; leave it out")
    from sklearn.datasets import load_digits

    x, y = (np.asarray(array) for array in load_digits(return_X_y=True))
    x = x.reshape(-1, 1, 8, 8)
    return ImageSet(x, y, x, y)


def _chosen(
    found: ImageSet, n_train: int, n_test: int | None, seed: int | None, *, parted: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the images trained on, and of those for testing; of a set that nobody has parted, of the others.

    Raises ValueError where there are not as many.
    """
    draw = None if seed is None else np.random.default_rng(seed)

    def shuffled(count: int) -> np.ndarray:
        return np.arange(count) if draw is None else draw.permutation(count)

    order = shuffled(len(found.x_train))
    others = shuffled(len(found.x_test)) if parted else order[n_train:]
    if n_train > len(order):
        raise ValueError(f"n_train is {n_train:,}, and there are {len(order):,} images to train on; lower it")
    if n_test is not None and n_test > len(others):
        raise ValueError(f"n_test is {n_test:,}, and there are {len(others):,} other images; lower it")
    return order[:n_train], others[:n_test]
