"""How much faster a training step is than the straightforward one: `python benchmarks/training_step.py [RUN]`.

Both train the mainline network of Nanda et al. 2023 (addition modulo 113, 3,830 pairs), each in a process of
its own, taking turns while the other waits. Ours is the loop as shipped, a checkpoint every 50 steps included.
They start from fresh weights and from weights after training: those at the end of the run in the folder RUN,
else of a run of 1,500 steps, after which the moments of neurons that are off have become denormal numbers.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.intervention import Intervention
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.maths.cross_entropy import cross_entropy
from interp.models.transformer import Transformer, transformer
from interp.recipes.call import Call
from interp.recipes.run_recipe import Training
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training.loop import train
from interp.training.plan import Plan

ADAMW = Call("optimisers", "adamw")
ASKED = 5.0
STEPS_PER_TURN = 50
TURNS = 5
SAVE_EVERY = 50

Weights = dict[str, Tensor]


def straightforward_logits(weights: Weights, tokens: Int[Tensor, "pair pos"]) -> Float[Tensor, "pair pos logit"]:
    """The network as its formulas read: every head, every position, all logits."""
    W_Q, W_K, W_V, W_O = (weights[f"blocks.0.attn.W_{letter}"] for letter in "QKVO")
    x = weights["embed.W_E"][tokens] + weights["pos_embed.W_pos"]
    q, k, v = (torch.einsum("bpm,hmd->bhpd", x, W) for W in (W_Q, W_K, W_V))
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(q.shape[-1])
    causal = torch.tril(torch.ones(3, 3, dtype=torch.bool))
    pattern = scores.masked_fill(~causal, -1e10).softmax(dim=-1)
    z = torch.einsum("bhqk,bhkd->bhqd", pattern, v)
    x = x + torch.einsum("bhqd,hdm->bqm", z, W_O)
    pre = torch.einsum("bpm,mn->bpn", x, weights["blocks.0.mlp.W_in"]) + weights["blocks.0.mlp.b_in"]
    post = torch.nn.functional.relu(pre)
    x = x + torch.einsum("bpn,nm->bpm", post, weights["blocks.0.mlp.W_out"]) + weights["blocks.0.mlp.b_out"]
    return torch.einsum("bpm,mv->bpv", x, weights["unembed.W_U"])


class Turns:
    """Lets one process work while the other waits, and tells what each turn took."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.steps = 0
        self._start()

    def _start(self) -> None:
        self.connection.recv()
        self._wall, self._process = time.perf_counter(), time.process_time()

    def after_step(self) -> None:
        self.steps += 1
        if self.steps % STEPS_PER_TURN == 0:
            wall, process = time.perf_counter() - self._wall, time.process_time() - self._process
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            self.connection.send(Turn(wall / STEPS_PER_TURN, process / STEPS_PER_TURN, peak))
            self._start()


@dataclass(frozen=True)
class Turn:
    """Seconds per step, and the most memory this process ever had, in MiB."""

    wall: float
    process: float
    peak: float


def train_straightforwardly(initial: Weights, connection: Connection) -> None:
    """Autograd, torch's default AdamW, nothing saved."""
    task = modular_arithmetic()
    tokens, answers = transformer(task).tokens(task.pairs[task.train]), task.targets[task.train]
    weights = {name: weight.clone().requires_grad_() for name, weight in initial.items()}
    optimiser = torch.optim.AdamW(weights.values(), lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda update: min(update / 10, 1))
    turns = Turns(connection)
    while True:
        straightforward_loss(weights, tokens, answers).backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        turns.after_step()


def straightforward_loss(
    weights: Weights, tokens: Int[Tensor, "pair pos"], answers: Int[Tensor, " pair"]
) -> Float[Tensor, ""]:
    logits = straightforward_logits(weights, tokens)[:, -1].to(torch.float64)
    return torch.nn.functional.cross_entropy(logits, answers)


@dataclass(frozen=True)
class StartingAt(Transformer):
    """The mainline network whose fresh weights are given ones."""

    weights: Weights

    def initial(self, seed: int) -> Weights:  # noqa: ARG002
        return {name: weight.clone() for name, weight in self.weights.items()}


@dataclass(frozen=True, kw_only=True)
class TakingTurns(Call):
    """An intervention that waits for its turn after an update."""

    turns: Turns

    def __call__(self) -> Intervention:
        return Intervention(after_update=lambda _: self.turns.after_step())


def train_with_the_loop(initial: Weights, connection: Connection) -> None:
    torch.set_flush_denormal(True)
    architecture = StartingAt(**vars(transformer(modular_arithmetic())), weights=initial)
    turns = TakingTurns("interventions", "taking_turns", turns=Turns(connection))
    training = Training(10**6, ADAMW, seed=0, save={"every": SAVE_EVERY}, interventions=(turns,))
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), Plan(architecture.task, architecture, training))


def measure(initial: Weights) -> dict[str, list[Turn]]:
    """Both ways' turns from the same weights, one after the other; the first of each is warm-up."""
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    for name, work in {"straightforward": train_straightforwardly, "interp": train_with_the_loop}.items():
        connections[name], theirs = context.Pipe()
        processes.append(context.Process(target=work, args=(initial, theirs), daemon=True))
        processes[-1].start()
    taken: dict[str, list[Turn]] = {name: [] for name in connections}
    for _ in range(TURNS + 1):
        for name, connection in connections.items():
            connection.send("your turn")
            taken[name].append(connection.recv())
    for process in processes:
        process.terminate()
        process.join()
    return {name: turns[1:] for name, turns in taken.items()}


def report(title: str, initial: Weights) -> float:
    """Prints what the turns took; the ratio of the median wall times."""
    check_same_loss(initial)
    turns = measure(initial)
    print(title)
    for name, of_name in turns.items():
        wall, process = ([1e3 * getattr(turn, kind) for turn in of_name] for kind in ("wall", "process"))
        print(
            f"  {name:16s} wall {statistics.median(wall):6.1f} ms a step (least {min(wall):.1f}), "
            f"process {statistics.median(process):6.1f} ms, peak memory {of_name[-1].peak:.0f} MiB"
        )
    slow, fast = (statistics.median(turn.wall for turn in of_name) for of_name in turns.values())
    print(f"  ratio {slow / fast:.1f}")
    return slow / fast


def check_same_loss(weights: Weights) -> None:
    task = modular_arithmetic()
    architecture = transformer(task)
    pairs, answers = task.pairs[task.train], task.targets[task.train]
    exact = {name: weight.double() for name, weight in weights.items()}
    slow = straightforward_loss(exact, architecture.tokens(pairs), answers)
    fast = cross_entropy(architecture.outputs(exact, pairs), answers).mean()
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-15)


def trained(run: Path | None) -> Weights:
    """The last weights in the run's folder; of a run of 1,500 steps where none is given."""
    with tempfile.TemporaryDirectory() as temporary:
        if run is None:
            run, task = Path(temporary), modular_arithmetic()
            train(run, Plan(task, transformer(task), Training(1500, ADAMW, seed=0, save={"every": 1500})))
        checkpoints = CheckpointBlocks(run / "weights")
        return {name: torch.from_numpy(array) for name, array in checkpoints.load(checkpoints.steps[-1]).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="a trained mainline run's folder")
    run = parser.parse_args().run
    if run and not CheckpointBlocks(run / "weights").steps:
        parser.error(f"{run} has no weights; train it with: interp train {run}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    ratios = [
        report("fresh weights", transformer(modular_arithmetic()).initial(seed=0)),
        report(f"weights at the end of {run}" if run else "weights after 1,500 steps", trained(run)),
    ]
    verdict = "reached" if min(ratios) >= ASKED else "NOT reached"
    print(f"{min(ratios):.1f} times faster at the least; asked {ASKED:.0f}: {verdict}")


if __name__ == "__main__":
    main()
