"""What a sweep costs at 10, 100 and 1,000 runs: `python benchmarks/sweeps.py [RUNS …]`.

Planted runs of a small perceptron, ten checkpoints each, in a temporary folder. After imports: seconds of opening the
sweep; of its table; of computing two measures over all of them, the first time; of the same again, and of reading one
field of all; of one run added; and of the report, with its size. Each is asked to be linear in the runs, and opening
and reading to take at most a second at 1,000.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import interp
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.recipes.analysis_recipe import Analysis
from interp.recipes.asks import asks
from interp.report import write

SIZES = (10, 100, 1000)
CHECKPOINTS = 10
MEASURES = ("loss", "weight_norm")
ASKED = {"open": 1.0, "one field": 1.0, "report MB": 20.0}
MEMBER = """task: {{sparse_parity: {{n: 10, k: 2, n_train: 50, n_test: 20}}}}
model: {{perceptron: {{widths: [8]}}}}
training: {{steps: 900, optimiser: adamw, seed: {seed}, save: {{every: 100}}}}
"""


def planted(folder: Path, runs: int) -> Path:
    """A sweep of so many seeds, whose weights are random numbers."""
    folder.mkdir(parents=True)
    text = MEMBER.format(seed=0)
    (folder / "run.yaml").write_text(f"{text}grid: {{training.seed: 0..{runs - 1}}}\n")
    template = folder / "template"
    for seed in range(runs):
        place = folder / f"seed={seed}"
        if seed:
            shutil.copytree(template, place / "weights")
            (place / "run.yaml").write_text(MEMBER.format(seed=seed))
            continue
        place.mkdir()
        (place / "run.yaml").write_text(text)
        blocks = CheckpointBlocks(place / "weights")
        shapes = interp.open_run(place).architecture.shapes
        for step in range(0, 100 * CHECKPOINTS, 100):
            generator = np.random.default_rng(step)
            blocks.save(step, {name: generator.normal(size=shape).astype("f4") for name, shape in shapes.items()})
        blocks.stack()
        shutil.copytree(place / "weights", template)
    shutil.rmtree(template)
    return folder


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def measured(runs: int, place: Path) -> dict[str, float]:
    """Seconds, and megabytes of the report."""
    folder, keep = planted(place / "checkpoints" / f"sweep{runs}", runs), place / f"kept{runs}"
    found: dict[str, float] = {}
    found["open"], sweep = timed(lambda: interp.open_run(folder))
    found["table"], _ = timed(sweep.to_dataframe)
    found["compute"], _ = timed(lambda: interp.over_steps(MEASURES, sweep, keep=keep))
    found["again"], _ = timed(lambda: interp.over_steps(MEASURES, interp.open_run(folder), keep=keep))
    found["one field"], _ = timed(
        lambda: interp.over_steps("loss", interp.open_run(folder), keep=keep).train_loss.values
    )
    shutil.copytree(folder / "seed=0", folder / f"seed={runs}")
    (folder / f"seed={runs}" / "run.yaml").write_text(MEMBER.format(seed=runs))
    recipe = folder / "run.yaml"
    recipe.write_text(recipe.read_text().replace(f"..{runs - 1}", f"..{runs}"))
    found["one more"], _ = timed(lambda: interp.over_steps(MEASURES, interp.open_run(folder), keep=keep))
    report = place / f"report{runs}.html"
    analysis = Analysis(Path("benchmark"), "A sweep", "", (), "all", tuple(asks(MEASURES)))
    results = place / "results"
    shutil.copytree(keep, results / sweep.name)
    found["report"], _ = timed(lambda: write.report(analysis, [interp.open_run(folder)], report, results))
    found["report MB"] = report.stat().st_size / 1e6
    return found


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    with tempfile.TemporaryDirectory() as place:
        measured(2, Path(place) / "warm")  # imports
        table = {size: measured(size, Path(place)) for size in sizes}
    print(f"{'':10}" + "".join(f"{size:>10,} runs" for size in sizes))
    for name in table[sizes[0]]:
        asked = f"   asked at most {ASKED[name]:g}" if name in ASKED else ""
        print(f"{name:10}" + "".join(f"{row[name]:>15.3f}" for row in table.values()) + asked)


if __name__ == "__main__":
    main()
