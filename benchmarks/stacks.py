"""Process time per network and step in a stack, against one network after another: `python benchmarks/stacks.py`.

The other side is what one writes without thinking of stacks: `nn.Linear` layers (a transformer as its formulas read,
every position), autograd and `torch.optim.AdamW(fused=True)`, one network after another. Both have the same loss, data,
weights and hyperparameters, and one thread each; they take turns, so that what else runs on the machine meets both.
Ours is the stack as `interp.training` makes it, its updates alone, with nothing saved.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from training_step import straightforward_logits  # the file beside this one

from interp.contracts.task import Task
from interp.machine import denormals, process
from interp.models.perceptron import perceptron
from interp.models.transformer import transformer
from interp.recipes.call import Call
from interp.recipes.run_recipe import Training as Options
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity
from interp.training.plan import Plan
from interp.training.stack import Stack
from interp.training.state import Training

LR, DECAY, BETAS = 1e-3, 1.0, (0.9, 0.98)


@dataclass(frozen=True)
class Case:
    """A network to time, and how many times less than the other side it is asked to take."""

    name: str
    task: Task
    network: Callable[[Task], object]
    asked: float
    steps: int
    """In a turn."""

    def plan(self, seed: int) -> Plan:
        adamw = Call("optimisers", "adamw", {"lr": LR, "weight_decay": DECAY, "betas": BETAS, "warmup": 0})
        return Plan(self.task, self.network(self.task), Options(10**6, adamw, seed=seed, save={}))  # pyright: ignore


CASES = [
    *(
        Case(
            f"perceptron, {width} neurons",
            sparse_parity(n_train=1250),
            lambda task, w=width: perceptron(task, (w,)),
            *of,
        )
        for width, of in {16: (3.5, 60), 64: (2.3, 30), 258: (1.8, 10)}.items()
    ),
    Case(
        "transformer, d_model 32, p = 59",
        modular_arithmetic(p=59, seed=0),
        lambda task: transformer(task, d_model=32, n_heads=4, d_mlp=128),
        1.8,
        5,
    ),
]


class Plain:
    """One network as one writes it: autograd and a fused optimiser."""

    def __init__(self, training: Training) -> None:
        self.training, task = training, training.task
        self.inputs, self.targets = task.inputs[task.train], task.targets[task.train]
        if task.inputs.is_floating_point():
            self.layers = [nn.Linear(W.shape[0], W.shape[1]) for name, W in training.weights.items() if W.ndim == 2]
            parameters: Sequence[Tensor] = [one for layer in self.layers for one in layer.parameters()]
        else:
            self.tokens = training.architecture.tokens(self.inputs)
            self.weights = {name: w.detach().clone().requires_grad_() for name, w in training.weights.items()}
            parameters = list(self.weights.values())
        self.optimiser = torch.optim.AdamW(parameters, lr=LR, weight_decay=DECAY, betas=BETAS, fused=True)

    def outputs(self) -> Tensor:
        if not self.training.task.inputs.is_floating_point():
            return straightforward_logits(self.weights, self.tokens)[:, -1]
        x = self.inputs
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)

    def update(self) -> None:
        loss = self.training.loss.mean(self.outputs(), self.targets)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def timed(work: Callable[[], object], steps: int) -> float:
    """Process milliseconds a step."""
    start = time.process_time()
    for _ in range(steps):
        work()
    return (time.process_time() - start) / steps * 1e3


def compare(case: Case, members: int, turns: int) -> float:
    """Prints what a network and step takes on either side; how many times less ours takes."""
    folder = Path("nowhere")
    stack = Stack([Training.fresh(folder, folder, case.plan(seed)) for seed in range(members)])
    plain = [Plain(Training.fresh(folder, folder, case.plan(seed))) for seed in range(2)]

    def one_after_another() -> None:
        for one in plain:
            one.update()

    ours, theirs = [], []
    for turn in range(turns + 1):
        slow = timed(one_after_another, max(1, case.steps)) / len(plain)
        fast = timed(stack.update, max(1, 2 * case.steps // members)) / members
        if turn:
            theirs.append(slow)
            ours.append(fast)
    ratio = statistics.median(slow / fast for slow, fast in zip(theirs, ours, strict=True))
    print(
        f"{case.name:34s} {members:3d} in a stack: {statistics.median(ours):7.3f} ms a network and step, one after "
        f"another {statistics.median(theirs):7.3f}: {ratio:.2f} times less, asked {case.asked}"
    )
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="*", default=[1, 16], help="sizes of the stack")
    parser.add_argument("--turns", type=int, default=15)
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    process.keep_freed_memory()
    print(f"torch {torch.__version__}, one thread")
    with denormals.flushed(), process.deterministic(), process.threads(1):
        ratios = {(one, case.name): compare(case, one, given.turns) for one in given.members for case in CASES}
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    asked = {case.name: case.asked for case in CASES}
    missed = [name for (members, name), ratio in ratios.items() if members > 1 and ratio < asked[name]]
    print(f"NOT what is asked of a stack: {', '.join(missed)}" if missed else "what is asked of a stack: reached")


if __name__ == "__main__":
    main()
