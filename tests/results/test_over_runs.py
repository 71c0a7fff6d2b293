"""Measures of several runs: a row a run, kept, resumed and looked at together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interp
from interp.executors.here import here
from interp.recipes.asks import asks
from interp.results import visit
from interp.results.computing import Request, compute
from tests.results.test_over_steps import replace, write_run

APART = '''
from dataclasses import dataclass
import numpy as np
import xarray as xr
from jaxtyping import Float

@dataclass(frozen=True)
class Point:
    size: float
    """Mean of the embedding at the end"""

@dataclass(frozen=True)
class Order:
    largest: str
    """The run of the largest"""
    spread: Float[np.ndarray, ""]
    """Between the largest and the least"""

def apart(run) -> Point:
    """A point a run."""
    return Point(float(run.final.embedding.mean()))

def over_runs(result: xr.Dataset) -> Order:
    size = result["size"]
    return Order(str(result.run[int(np.argmax(size.values))].values), np.array(float(np.ptp(size.values))))
'''

ALL = '''
from dataclasses import dataclass

@dataclass(frozen=True)
class Together:
    total: float
    """Of all runs"""

def together(runs) -> Together:
    """All at once."""
    return Together(sum(float(run.final.embedding.mean()) for run in runs))
'''


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [
        write_run(tmp_path / name, range(0, 300, 150), d_mlp=size) for name, size in (("a", 8), ("b", 12), ("c", 16))
    ]


def computed_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose rows are computed from here on."""
    computed: list[str] = []
    row = visit.compute_row
    monkeypatch.setattr(
        visit, "compute_row", lambda runs, *rest: computed.extend(run.name for run in runs) or row(runs, *rest)
    )
    return computed


def over(folders: list[Path], measure: str, keep: Path):
    keep.mkdir(exist_ok=True)
    runs = tuple(interp.open_run(folder) for folder in folders)
    with here(1, keep) as executor:
        (found,) = compute([Request(tuple(asks(measure)), runs, keep, across=True)], executor, 1)
    return found[measure]


def test_each_run_has_a_row_and_all_are_looked_at_together(install, folders, tmp_path):
    install("elsewhere_apart", {"apart": APART})
    result = over(folders, "apart", tmp_path / "kept")
    sizes = [float(interp.open_run(folder).final.embedding.mean()) for folder in folders]
    assert result["size"].dims == ("run",)
    assert result["size"].values.tolist() == sizes
    assert result.run.values.tolist() == ["a", "b", "c"]
    assert str(result.largest.values) == "abc"[int(np.argmax(sizes))]
    assert float(result.spread) == max(sizes) - min(sizes)


def test_one_run_added_or_replaced_is_computed_alone(install, folders, tmp_path, monkeypatch):
    install("elsewhere_apart", {"apart": APART})
    keep = tmp_path / "kept"
    over(folders[:2], "apart", keep).close()
    computed = computed_runs(monkeypatch)
    over(folders, "apart", keep).close()
    assert computed == ["c"]
    replace(folders[0], 150)
    over(folders, "apart", keep).close()
    assert computed == ["c", "a"]
    whole = (keep / "apart.nc").read_bytes()
    over(folders, "apart", tmp_path / "anew").close()
    assert (tmp_path / "anew" / "apart.nc").read_bytes() == whole


def test_a_measure_of_all_runs_at_once_is_kept_while_none_of_them_changes(install, folders, tmp_path, monkeypatch):
    install("elsewhere_together", {"together": ALL})
    keep = tmp_path / "kept"
    before = float(over(folders, "together", keep).total)
    assert before == pytest.approx(sum(float(interp.open_run(one).final.embedding.mean()) for one in folders))
    computed = computed_runs(monkeypatch)
    over(folders, "together", keep).close()
    assert computed == []
    replace(folders[1], 150)
    assert float(over(folders, "together", keep).total) != before
    assert computed == ["a", "b", "c"]
