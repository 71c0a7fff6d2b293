"""What one checkpoint and a whole run cost: `python benchmarks/measures.py [RUN]`.

First, in process time on one thread, for one checkpoint of the mainline network (p = 113): everything that is read off
one forward pass, beside a part of the same computed as the formulas read, an array over all pairs for every frequency;
then the interventions. Last, with two jobs, 200 checkpoints end to end: wall time, memory of the largest process.
RUN is a trained mainline run; without one the network is untrained, which costs the same.
"""

from __future__ import annotations

import argparse
import math
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

import interp
from interp.checkpoints import Checkpoint, Run
from interp.contracts.task import two_operands
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.maths import fourier
from interp.models.transformer import transformer
from interp.results import over_steps
from interp.tasks.modular_arithmetic import modular_arithmetic

READ_OFF = (
    "loss",
    "key_freqs",
    "logit_spectrum",
    "neuron_spectrum",
    "neuron_logit_spectrum",
    "attention_spectrum",
    "pair_trace",
    "restricted_loss",
    "excluded_loss",
    "trace_restricted_loss",
    "trace_excluded_loss",
    "cosine_fit",
    "distance_irrelevance",
    "circularity",
    "inverse_participation",
    "phase_alignment",
)
INTERVENTIONS = ("circuit", "gradient_symmetricity")
ASKED = {"read off": 0.8, "interventions": 2.0, "minutes": 5.0, "GB": 1.5}
CHECKPOINTS = 200
P = 113


def straightforward(checkpoint: Checkpoint) -> None:
    """Frequencies of the neurons, both kinds of restricted and excluded losses, trace similarities."""
    logits = checkpoint.logits[:, :P]
    train = checkpoint.task.train
    assert train is not None
    answers = checkpoint.task.targets
    F = fourier.basis(P)
    neurons = checkpoint.neurons.reshape(P, P, -1)
    spectrum = torch.einsum("abn,fa,gb->fgn", neurons - neurons.mean((0, 1)), F, F)
    explained = [_block(spectrum, k).square().sum((0, 1)) for k in range(1, P // 2 + 1)]
    torch.stack(explained).argmax(0)
    a, b = two_operands(checkpoint.task).pairs.double().unbind(1)
    c = torch.arange(P).double()
    centred = logits - logits.mean(1, keepdim=True)
    for k in range(1, P // 2 + 1):
        w = 2 * math.pi * k / P
        waves = torch.stack([(w * (a + b)).cos(), (w * (a + b)).sin()]) * math.sqrt(2) / P
        kept = waves.T @ (waves @ logits)
        _loss(kept + (logits - kept).mean(0), answers)
        _loss((logits - kept)[train], answers[train])
        trace = (w * ((a + b)[:, None] - c)).cos()
        part = trace * (centred * trace).sum() / trace.square().sum()
        _loss(part, answers)
        _loss((centred - part)[train], answers[train])


def _block(spectrum: Float[Tensor, "f g n"], k: int) -> Float[Tensor, "3 3 n"]:
    rows = torch.tensor([0, 2 * k - 1, 2 * k])
    return spectrum[rows][:, rows]


def _loss(logits: Float[Tensor, "pair c"], answers: Tensor) -> float:
    return torch.nn.functional.cross_entropy(logits, answers).item()


def seconds(work: Callable[[], None]) -> float:
    """Process time of the second call: the first warms caches that a run shares."""
    work()
    start = time.process_time()
    work()
    return time.process_time() - start


def measured(run: Run, step: int, names: tuple[str, ...]) -> Callable[[], None]:
    def work() -> None:
        checkpoint = run[step]
        for name in names:
            checkpoint.measure(name)

    return work


def one_checkpoint(run: Run) -> list[bool]:
    torch.set_num_threads(1)
    step = run.steps[-1]
    ours = seconds(measured(run, step, READ_OFF))
    theirs = seconds(lambda: straightforward(run[step]))
    print(f"read off one forward pass: {ours:.2f} s ({len(READ_OFF)} measures); asked {ASKED['read off']}")
    print(f"  as the formulas read, a part of them: {theirs:.2f} s; ratio {theirs / ours:.1f}")
    for name in READ_OFF:
        print(f"  {name:24s} {seconds(measured(run, step, (name,))):.3f} s, its own forward pass included")
    interventions = seconds(measured(run, step, INTERVENTIONS))
    print(f"interventions: {interventions:.2f} s; asked {ASKED['interventions']}")
    return [ours <= ASKED["read off"], interventions <= ASKED["interventions"]]


def whole_run(folder: Path, run: Run) -> list[bool]:
    """200 checkpoints with two jobs: copies of what there is where there are fewer."""
    store = CheckpointBlocks(folder / "weights")
    (folder / "run.yaml").write_text("task: {modular_arithmetic: {}}\nmodel: {transformer: {}}\n")
    steps = run.steps
    for number in range(CHECKPOINTS):
        store.save(100 * number, run[steps[number * len(steps) // CHECKPOINTS]].arrays)
    store.stack()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        over_steps.over_steps([*READ_OFF, *INTERVENTIONS], interp.open_run(folder), keep=folder / "kept", jobs=2)
    minutes = (time.perf_counter() - start) / 60
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
    print(f"{CHECKPOINTS} checkpoints, two jobs: {minutes:.1f} min; asked {ASKED['minutes']:.0f}")
    print(f"largest process: {peak:.2f} GB; asked {ASKED['GB']}")
    return [minutes <= ASKED["minutes"], peak <= ASKED["GB"]]


def untrained(folder: Path) -> Run:
    architecture = transformer(modular_arithmetic())
    (folder / "run.yaml").write_text("task: {modular_arithmetic: {}}\nmodel: {transformer: {}}\n")
    for step in range(2):
        arrays = {name: weight.numpy() for name, weight in architecture.initial(step).items()}
        CheckpointBlocks(folder / "weights").save(step, arrays)
    return interp.open_run(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="a trained mainline run's folder")
    path = parser.parse_args().run
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        run = interp.open_run(path) if path else untrained(Path(first))
        reached = one_checkpoint(run) + whole_run(Path(second), run)
    print("all reached" if all(reached) else "NOT all reached")


if __name__ == "__main__":
    main()
