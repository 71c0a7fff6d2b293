"""The five largest Hessian eigenvalues beside hessian-eigenthings: `python benchmarks/sharpness.py RUN`.

RUN is the trained mainline run, `checkpoints/modular_addition_113`. Over consecutive checkpoints ours starts from the
eigenvectors of the checkpoint before, as `sharpness` does; hessian-eigenthings starts cold on the hooked module, the
network as its formulas read, in float64, as it must for equal accuracy once the loss is small, with as few Lanczos
steps as give five digits on the first checkpoint. Both take turns on one thread, denormal numbers flushed. With
`--forward factorised` the other library gets our forward pass. The whole measure, with traces, Gauss–Newton matrix and
the most negative eigenvalue, is timed beside them.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, Literal

import hessian_eigenthings
import torch
from jaxtyping import Float
from torch import Tensor

import interp
from interp.checkpoints import Checkpoint
from interp.maths.curvature import Curvature
from interp.maths.extreme_eigenpairs import SPARE, extreme_eigenpairs
from interp.maths.landscape import flattened, unflattened
from interp.measures.shared.train_loss import trained
from interp.measures.sharpness import sharpness
from interp.measures.sharpness.search import agree

ASKED = 5.0
LARGEST = 5
DIGITS = 1e-5


class Network(torch.nn.Module):
    """A checkpoint in float64, on its training examples."""

    def __init__(self, checkpoint: Checkpoint, forward: Literal["factorised", "hooked"]) -> None:
        super().__init__()
        weights = {name: value.double() for name, value in checkpoint.weights.items()}
        self._architecture = checkpoint.run.architecture
        self._shapes = {name: value.shape for name, value in weights.items()}
        self.hooked = self._architecture.hooked(weights).requires_grad_() if forward == "hooked" else None
        self.flat = None if self.hooked else torch.nn.Parameter(flattened(weights))

    def forward(self, inputs: Tensor) -> Float[Tensor, "example output"]:
        if self.hooked is not None:
            return self.hooked(self._architecture.tokens(inputs))[:, -1]
        assert self.flat is not None
        return self._architecture.activations(unflattened(self.flat, self._shapes), inputs)["logits"]


def theirs(checkpoint: Checkpoint, forward: Literal["factorised", "hooked"], steps: int) -> Float[Tensor, " largest"]:
    train = checkpoint.task.train
    operator = hessian_eigenthings.HessianOperator(
        Network(checkpoint, forward),
        [(checkpoint.task.inputs[train], checkpoint.task.targets[train])],
        hessian_eigenthings.supervised_loss(torch.nn.functional.cross_entropy),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of residuals at its own tolerance: the values are compared below
        found = hessian_eigenthings.lanczos(
            operator, k=LARGEST, max_iter=steps, reorthogonalize=True, which="LA", seed=0
        )
    return found.eigenvalues.sort(descending=True).values.double()


def ours(checkpoint: Checkpoint, start: Tensor | None) -> tuple[Float[Tensor, " largest"], Tensor]:
    """As `sharpness` finds them, with its check against float64."""
    found = trained(checkpoint)
    loss = found.loss.derivatives(found.outputs(found.weights), found.targets)
    curvature = Curvature(found.outputs, found.weights.float(), loss)
    if start is None:
        start = torch.randn(LARGEST + SPARE, len(found.weights), generator=torch.Generator().manual_seed(0))
    pairs = extreme_eigenpairs(curvature.hessian, torch.cat([start, curvature.gradient[None]]), LARGEST)
    precise = Curvature(found.outputs, found.weights, loss)
    if not agree(pairs, precise):
        pairs = extreme_eigenpairs(precise.hessian, pairs.start.double(), LARGEST)
    return pairs.largest, pairs.start.float()


def fewest_steps(checkpoint: Checkpoint, forward: Literal["factorised", "hooked"]) -> int:
    """Of Lanczos, a multiple of ten, after which its five eigenvalues are those of twice as many."""
    for steps in range(20, 200, 10):
        if _apart(theirs(checkpoint, forward, steps), theirs(checkpoint, forward, 2 * steps)) < DIGITS:
            return steps
    raise SystemExit("hessian-eigenthings did not converge in 200 steps")


def _apart(left: Tensor, right: Tensor) -> float:
    return float(((left - right) / right).abs().max())


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    before = time.process_time()
    answer = function(*arguments)
    return time.process_time() - before, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--first", type=int, default=7_000)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--forward", choices=["hooked", "factorised"], default="hooked")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    run = interp.open_run(options.run)
    checkpoints = [run[step] for step in run.steps if step >= options.first][: options.count]
    steps = fewest_steps(checkpoints[0], options.forward)
    start = previous = None
    times: dict[str, list[float]] = {"theirs": [], "ours": [], "measure": []}
    apart = []
    for checkpoint in checkpoints:
        taken, reference = timed(theirs, checkpoint, options.forward, steps)
        times["theirs"].append(taken)
        taken, (values, start) = timed(ours, checkpoint, start)
        times["ours"].append(taken)
        taken, previous = timed(sharpness, checkpoint, previous)
        times["measure"].append(taken)
        apart.append(_apart(values, reference))
        print(
            f"step {checkpoint.step:>6,}   hessian-eigenthings {times['theirs'][-1]:6.2f} s   "
            f"ours {times['ours'][-1]:5.2f} s   all of sharpness {taken:6.2f} s   apart {apart[-1]:.0e}",
            flush=True,
        )
    mean = {name: statistics.mean(values) for name, values in times.items()}
    print(
        f"process time per checkpoint, {len(checkpoints)} of {run.name}, one thread, {options.forward} forward pass:\n"
        f"  hessian-eigenthings, cold, {steps} Lanczos steps   {mean['theirs']:.2f} s\n"
        f"  ours, five largest, warm but for the first    {mean['ours']:.2f} s   "
        f"{mean['theirs'] / mean['ours']:.1f} times less (asked: {ASKED:g})\n"
        f"  ours, the whole measure                       {mean['measure']:.2f} s\n"
        f"eigenvalues agree to {max(apart):.0e}; peak memory of the process {_peak():.2f} GB"
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
