"""How many examples are still answered right when each is moved a little against the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.contracts.vector_answers import NearestCode, classes
from interp.figures import Curves
from interp.findings import Bar, Claim, Claims, Finding, course
from interp.maths.standard_error import standard_error
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.continuous import Drawn, continuous_inputs, drawn_sets, weights_of
from interp.measures.shared.reached import reached
from interp.measures.shared.seed import Seed

PANEL = "Examples answered right, and when moved against the network"
HALF = 0.5
FURTHER = 2.5
"""The steps together reach this many times as far as an example may be moved."""
AT_ONCE = 250
"""Examples in one forward pass."""


@dataclass(frozen=True)
class AdversarialAccuracy:
    train: float
    """Share of the training examples drawn that stay answered right; NaN where there are none"""
    train_se: float
    """Standard error of that share over the training set; 0 where all were looked at, NaN where all fare alike"""
    test: float
    """Share of the test examples drawn, or of all where no split is known, that stay answered right"""
    test_se: float
    """Standard error of that share over these; 0 where all were looked at, NaN where all fare alike"""
    unmoved_train: float
    """Share of the same training examples answered right where they are"""
    unmoved_test: float
    """Share of the same test examples answered right where they are"""
    epsilon: float
    """How far each coordinate is moved at most"""
    sampling_seed: int
    """Seed with which the examples were drawn"""


def adversarial_accuracy(
    checkpoint: Checkpoint,
    epsilon: PositiveFloat = 0.06,
    iterations: PositiveInt = 10,
    step_size: PositiveFloat | None = None,
    examples: PositiveInt = 500,
    in_range: bool = False,
    seed: Seed = 0,
) -> AdversarialAccuracy:
    r"""Long after the test examples a network may learn to withstand attacks: delayed robustness.

    Each of so many `examples`, drawn by `seed` once for a run, is moved by projected gradient ascent, in so many
    `iterations` by `step_size` in every coordinate (2.5·epsilon/iterations where it is not given; Humayun et al.:
    0.0156), never further than `epsilon` from where it was, and with `in_range` not beyond the smallest and the largest
    of all inputs. It counts as right where it is so unmoved and after each of two attacks. One raises the cross-
    entropy. The other brings up, against the right class, the wrong one that would win first were the network linear,
    so that of a linear network the share is exact: z_y - z_k > ε‖w_y - w_k‖₁ for all k. Whatever the run was trained
    with, ascent is on ln of the odds against the right answer, whose slopes have the signs of those of the cross-
    entropy and do not vanish.

    Humayun et al. move images in [0, 1] by 0.03 to 0.2. Expect the share to be small when the test examples are known,
    and to rise later. The standard errors are those of the share of the whole set. Tokens cannot be moved, and tasks
    that ask for values have no right answers. A checkpoint of four layers of 200 units takes 1.2 s for 2 × 500 examples
    of ten classes.

    Formula: x \leftarrow \Pi_{\lVert x - x_0 \rVert_\infty \le \epsilon}\left(x + \alpha \, \mathrm{sign} \, \nabla_x
        \ln \frac{\sum_{k \ne y} e^{z_k}}{e^{z_y}}\right)

    Paper: Humayun et al. 2024, arXiv 2402.15555; Madry et al. 2018, arXiv 1706.06083
    """
    task = checkpoint.task
    inputs = continuous_inputs(task)
    targets = classes(task)
    network = _Network(checkpoint, weights_of(checkpoint), targets)
    low, high = (inputs.min(), inputs.max()) if in_range else (inputs.min() - epsilon, inputs.max() + epsilon)
    by = FURTHER * epsilon / iterations if step_size is None else step_size
    attack = _Attack(epsilon, iterations, by, float(low), float(high))
    sets = drawn_sets(task, examples, seed)
    found = {name: _held(network, attack, inputs, one) for name, one in sets.items()}
    nobody = _Held(torch.zeros(0, dtype=torch.bool), torch.zeros(0, dtype=torch.bool), 0.0)
    train, test = found.get("train", nobody), found.get("test", found.get("all", nobody))
    return AdversarialAccuracy(
        train=train.share,
        train_se=train.share_se,
        test=test.share,
        test_se=test.share_se,
        unmoved_train=train.unmoved_share,
        unmoved_test=test.unmoved_share,
        epsilon=epsilon,
        sampling_seed=seed,
    )


@dataclass(frozen=True)
class _Attack:
    """Projected gradient ascent in a box about each example."""

    epsilon: float
    iterations: int
    by: float
    low: float
    high: float

    def moved(
        self, x0: Float[Tensor, "example ..."], gain: Callable[[Tensor], Float[Tensor, " example"]]
    ) -> Float[Tensor, "example ..."]:
        """Where the examples are after ascending `gain`, the number of each."""
        x = x0
        least, most = (x0 - self.epsilon).clamp(min=self.low), (x0 + self.epsilon).clamp(max=self.high)
        for _ in range(self.iterations):
            x = torch.maximum(torch.minimum(x + self.by * _slope(x, gain).sign(), most), least)
        return x


def _slope(
    x: Float[Tensor, "example ..."], gain: Callable[[Tensor], Float[Tensor, " example"]]
) -> Float[Tensor, "example ..."]:
    """The gradient of each example's number in the example."""
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(gain(leaf).sum(), leaf)
    return slope


@dataclass(frozen=True)
class _Network:
    """A network's answers, the class of the largest number.

    One output is that of class 1, against 0 for class 0; outputs that are to meet a class's code have a number for each
    class that is the larger the nearer they are to its code.
    """

    checkpoint: Checkpoint
    weights: dict[str, Tensor]
    targets: Int[Tensor, " example"]

    def outputs(self, x: Float[Tensor, "example ..."]) -> Float[Tensor, "example class"]:
        z = self.checkpoint.run.architecture.activations(self.weights, x)["logits"]
        task = self.checkpoint.task
        if isinstance(task, NearestCode):
            codes = task.codes.to(z)
            return z @ codes.T - codes.square().sum(dim=1) / 2
        return torch.cat([torch.zeros_like(z), z], dim=1) if z.shape[1] == 1 else z

    def lead(self, x: Float[Tensor, "example ..."], y: Int[Tensor, " example"]) -> Float[Tensor, "example class"]:
        """By how much each class is ahead of the right one, -∞ for that one itself."""
        z = self.outputs(x)
        ahead = z - z.gather(1, y[:, None])
        return ahead.scatter(1, y[:, None], -torch.inf)

    def right(self, x: Float[Tensor, "example ..."], y: Int[Tensor, " example"]) -> Bool[Tensor, " example"]:
        return (self.lead(x, y) < 0).all(dim=1)

    def first_to_win(
        self, x: Float[Tensor, "example ..."], y: Int[Tensor, " example"], epsilon: float
    ) -> Int[Tensor, " example"]:
        """The wrong class whose lead would be largest within the box, were the network linear."""
        leaf = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            ahead = self.lead(leaf, y)
        lead = ahead.detach().clone()
        for k in range(lead.shape[1]):
            (slope,) = torch.autograd.grad(ahead[:, k][y != k].sum(), leaf, retain_graph=True)
            lead[:, k] += epsilon * slope.flatten(1).abs().sum(dim=1)
        return lead.argmax(dim=1)


@dataclass(frozen=True)
class _Held:
    """Which examples of a set are answered right, unmoved and moved."""

    unmoved: Bool[Tensor, " example"]
    moved: Bool[Tensor, " example"]
    counted: float

    @property
    def unmoved_share(self) -> float:
        return float(self.unmoved.double().mean())

    @property
    def share(self) -> float:
        return float(self.moved.double().mean())

    @property
    def share_se(self) -> float:
        return standard_error(self.moved.double().numpy(), self.counted) if len(self.moved) else float("nan")


def _held(network: _Network, attack: _Attack, inputs: Float[Tensor, "example ..."], drawn: Drawn) -> _Held:
    """Which of the examples drawn stay answered right."""
    device = next(iter(network.weights.values())).device
    unmoved, moved = [], []
    for places in drawn.places.split(AT_ONCE):
        x, y = inputs[places].to(device), network.targets[places].to(device)
        right = network.right(x, y)
        unmoved.append(right)
        to = network.first_to_win(x, y, attack.epsilon)
        for gain in (
            lambda at, y=y: network.lead(at, y).logsumexp(dim=1),
            lambda at, y=y, to=to: network.lead(at, y).gather(1, to[:, None])[:, 0],
        ):
            right = right & network.right(attack.moved(x, gain), y)
        moved.append(right)
    return _Held(torch.cat(unmoved).cpu(), torch.cat(moved).cpu(), drawn.counted)


def steps(run: Run) -> list[int]:
    return around_grokking(run)


@dataclass(frozen=True)
class Robust:
    robust_step: float
    """First step at which half of the test examples stay right when moved; NaN where there is none"""
    known_step: float
    """First step at which half of the same examples are right unmoved; NaN where there is none"""
    robustness_delay: float
    """Steps from the one to the other; NaN where one is not reached"""


def over_run(result: xr.Dataset) -> Robust:
    robust, known = (reached(result[name], HALF).step for name in ("test", "unmoved_test"))
    return Robust(robust, known, robust - known)


def figure(result: xr.Dataset) -> list[Curves]:
    names = {"train, moved": "train", "test, moved": "test", "train": "unmoved_train", "test": "unmoved_test"}
    there = {label: result[name] for label, name in names.items() if result[name].notnull().any()}
    errors = {label: result[f"{name}_se"] for label, name in names.items() if label in there and "moved" in label}
    return [Curves(PANEL, there, percent=True, errors=errors)]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, PANEL)
    told, records = course(claims, "test", "%")
    records |= {"epsilon": claims.end("epsilon")}
    sentence = f"The share of the test examples that stay right when each number is moved by {{epsilon:2}} {told}"
    error = claims.maybe("test_se")
    if error and error.step == records["end"].step and error.value > 0:
        records["error"] = error
        sentence += " (± {error:.1%})"
    steps: dict[str, Claim | None] = {
        "known": claims.when("first above", "unmoved_test", Bar("half", HALF)),
        "robust": claims.when("first above", "test", Bar("half", HALF)),
    }
    records |= {name: record for name, record in steps.items() if record}
    if steps["known"] and steps["robust"]:
        sentence += "; half of them are right by {known:step}, and moved by {robust:step}"
    elif steps["known"]:
        sentence += "; half of them are right by {known:step}, and moved at none"
    return Finding(f"{sentence}.", records, chapter="when", rank=40)
