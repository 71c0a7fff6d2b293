"""Any state dict, opened by its weights alone; and revisions of a repository of them."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import interp
from interp.checkpoints import Run, open_run
from interp.describe import describe
from interp.errors import InterpError, NothingToSay
from interp.files.arrays import arrays_digest
from interp.files.one_at_a_time import OneAtATime, on_disk
from interp.importers.weights.revisions import MOST_AT_HAND, Fetched, Revision
from interp.recipes.document import dump_yaml


def network(seed: int = 0) -> nn.Sequential:
    """A network that no importer recognises."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Embedding(11, 8), nn.Conv1d(8, 8, 1), nn.LayerNorm(8), nn.Linear(8, 5))


def odd_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(6, 4, generator=generator) for name in ("b16", "f16", "f32", "f64")}
    return {
        "b16": drawn["b16"].bfloat16(),
        "f16": drawn["f16"].half(),
        "f32": drawn["f32"],
        "f64": drawn["f64"].double(),
        "wave": torch.randn(3, 3, dtype=torch.complex64, generator=generator),
        "ids": torch.arange(7),
        "mask": torch.ones(2, 2, dtype=torch.bool),
        "scale": torch.tensor(2.0),
    }


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_the_arrays_are_the_tensors_under_their_own_names(suffix: str, tmp_path: Path):
    tensors = odd_tensors()
    save = safetensors.torch.save_file if suffix == "safetensors" else torch.save
    save(tensors, tmp_path / f"model_30.{suffix}")
    run = open_run(tmp_path, "weights")
    assert run.steps == [30]
    real = {name: value for name, value in tensors.items() if name in ("b16", "f16", "f32", "f64", "scale")}
    expected = real | {"wave.real": tensors["wave"].real, "wave.imag": tensors["wave"].imag}
    assert set(run.final.weights) == set(expected)
    for name, value in expected.items():
        read = run.final.weights[name]
        assert read.dtype == (torch.float64 if name == "f64" else torch.float32)
        torch.testing.assert_close(read, value.to(read.dtype), rtol=0, atol=0)
    told = " ".join(run.notes)
    assert "ids, mask, whole numbers or text, are no weights and are left out" in told
    assert "float16" in told
    assert "real and its imaginary part" in told
    assert ("bfloat16" in told) == (suffix == "safetensors")


def test_the_norm_counts_each_number_once(tmp_path: Path):
    tied = network()
    state = tied.state_dict() | {"head.weight": tied[0].weight}
    torch.save(state, tmp_path / "step_1.pt")
    run = open_run(tmp_path, "weights")
    numbers = np.concatenate([value.detach().double().numpy().ravel() for value in tied.parameters()])
    assert float(run.final.measure("weight_norm").total) == pytest.approx(float(np.sqrt((numbers**2).sum())), rel=1e-12)
    assert "head.weight is a second name of a tensor that is counted once." in run.notes


def test_the_singular_values_are_those_of_numpy(tmp_path: Path):
    safetensors.torch.save_file(network().state_dict(), tmp_path / "step_1.safetensors")
    found = open_run(tmp_path, "weights").final.measure("spectral")
    place = found.matrix.index("3.weight")
    expected = np.linalg.svd(network()[3].weight.detach().double().numpy(), compute_uv=False)
    np.testing.assert_allclose(found.singular_value[place][: len(expected)], expected, rtol=1e-6)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    for step in (0, 50):
        safetensors.torch.save_file(network(step).state_dict(), tmp_path / f"model_{step}.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    "measure", ["loss", "sharpness", "embedding_dft", "key_freqs", "pair_trace", "mechanism", "attention_spectrum"]
)
def test_what_asks_for_more_than_weights_says_that_nothing_is_known_of_the_task(measure: str, plain: Path):
    with pytest.raises(NothingToSay, match="nothing is known of the task"):
        open_run(plain, "weights").final.measure(measure)


def test_a_report_has_what_needs_only_weights_and_the_reason_for_the_rest(plain: Path, tmp_path: Path):
    run = open_run(plain, "weights")
    page = interp.write_report(run, tmp_path / "report.html", ["loss", "weight_norm", "spectral", "complexity"])
    text = page.read_text()
    assert "nothing is known of the task" in text
    assert "Weight norm" in text
    assert run.measure("complexity").raw_size.notnull().all()


def test_describe_offers_the_weights_of_what_it_does_not_recognise(plain: Path):
    told = "\n".join(describe(plain))
    assert "It could not be opened by the importer state_dicts" in told
    assert "importer:\n    weights:" in told
    assert "interp run weights --run" in told
    (plain / "run.yaml").write_text("importer: weights\n")
    assert "nothing is known of the task" in "\n".join(describe(plain))


def test_memory_is_that_of_the_largest_tensor(tmp_path: Path):
    safetensors.torch.save_file({f"w{i}": torch.randn(500, 1_000) for i in range(20)}, tmp_path / "model_0.safetensors")
    run = open_run(tmp_path, "weights")
    tracemalloc.start()
    try:
        arrays_digest(run.final.arrays)
        assert run.final.finite
        assert tracemalloc.get_traced_memory()[1] < 4 * 4 * 500 * 1_000
    finally:
        tracemalloc.stop()


def test_a_file_cut_short_is_left_out_and_the_other_is_read(plain: Path):
    cut = plain / "model_50.safetensors"
    cut.write_bytes(cut.read_bytes()[:-10])
    with pytest.raises(InterpError, match="cut short"):
        open_run(plain, "weights")  # the last one stands for the run
    cut.rename(plain / "model_0.tmp")
    (plain / "model_0.safetensors").rename(plain / "model_70.safetensors")
    (plain / "model_0.tmp").rename(plain / "model_0.safetensors")
    with pytest.warns(UserWarning, match="step 0 left out"):
        assert open_run(plain, "weights").steps == [70]


def test_shards_are_named_and_refused(tmp_path: Path):
    safetensors.torch.save_file({"w": torch.zeros(2)}, tmp_path / "model-00001-of-00002.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(InterpError, match=r"model-00001-of-00002.safetensors is a part of a network.*save it whole"):
        open_run(tmp_path, "weights")


def test_only_whole_numbers_are_no_weights(tmp_path: Path):
    safetensors.torch.save_file({"ids": torch.arange(3)}, tmp_path / "model_1.safetensors")
    with pytest.raises(InterpError, match=r"holds no weights: .*ids"):
        open_run(tmp_path, "weights")


# Revisions.


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e@e", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Branches step0 and step1000, a tag step2000, and main, which has no step; each holds other weights."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for step in (0, 1000, 2000):
        git(folder, "checkout", "-q", "-B", "working" if step == 2000 else f"step{step}")
        safetensors.torch.save_file(network(step).state_dict(), folder / "model.safetensors")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", f"step {step}")
    git(folder, "tag", "-a", "step2000", "-m", "two thousand")
    git(folder, "checkout", "-q", "-B", "main")
    git(folder, "rm", "-q", "model.safetensors")
    git(folder, "commit", "-q", "-m", "nothing")
    return folder


def holds(run: Run, step: int) -> None:
    state = network(step).state_dict()
    assert run[step].weights.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(run[step].weights[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("bare", [False, True])
def test_branches_and_tags_of_a_clone_are_checkpoints(bare: bool, repository: Path, tmp_path: Path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", *(["--bare"] if bare else []), str(repository), str(clone))
    before = git(repository, "rev-parse", "HEAD")
    run = open_run(clone, "weights", revisions="step*")
    assert run.steps == [0, 1000, 2000]
    for step in run.steps:
        holds(run, step)
    assert git(repository, "rev-parse", "HEAD") == before
    listed = open_run(clone, "weights", revisions=["step1000", "step0"])
    assert listed.steps == [0, 1000]
    everything = open_run(clone, "weights", revisions="*")
    assert any("no step in their names: main" in note for note in everything.notes)


def test_a_run_yaml_names_revisions_and_results_are_kept_by_commit(repository: Path, monkeypatch: Any):
    tmp_path = repository.parent
    folder = tmp_path / "run"
    folder.mkdir()
    importer = {"weights": {"path": "../repository", "revisions": ["step0", "step1000"], "keep": False}}
    (folder / "run.yaml").write_text(dump_yaml({"importer": importer}))
    monkeypatch.chdir(tmp_path)
    first = interp.over_steps(["weight_norm"], open_run(folder), keep="kept")
    fetched: list[str] = []
    own = Fetched.path
    monkeypatch.setattr(Fetched, "path", lambda self, step: fetched.append(str(step)) or own(self, step))
    again = open_run(folder)
    opening = len(fetched)
    second = interp.over_steps(["weight_norm"], again, keep="kept")
    assert len(fetched) == opening  # what is known by its commit is not fetched to be compared
    np.testing.assert_array_equal(first["weight_norm"].total.values, second["weight_norm"].total.values)


def test_no_more_than_two_fetched_files_lie_at_hand():
    def fetch(folder: Path) -> Path:
        file = folder / "model.bin"
        file.write_text("weights")
        return file

    fetched = Fetched({step: Revision(str(step), "there", str(step), fetch) for step in range(5)})
    paths = [fetched.path(step) for step in range(5)]
    assert [path.exists() for path in paths] == [False] * (5 - MOST_AT_HAND) + [True] * MOST_AT_HAND
    assert fetched.path(0).read_text() == "weights"


@pytest.mark.parametrize(
    ("revisions", "message"),
    [
        (["step7"], "has no revision 'step7'; did you mean"),
        (["main"], "no step in the name of the revision 'main'"),
        ("epoch*", r"no revision is called 'epoch\*'"),
    ],
)
def test_a_revision_that_is_not_there_is_told(revisions: Any, message: str, repository: Path):
    with pytest.raises(InterpError, match=message):
        open_run(repository, "weights", revisions=revisions)


def test_two_revisions_of_one_step_are_told_apart_by_a_pattern(repository: Path):
    git(repository, "branch", "step1000-tokens2000", "step0")
    with pytest.raises(InterpError, match="are both of step 1,000"):
        open_run(repository, "weights", revisions="step*")
    holds(open_run(repository, "weights", revisions=["step1000"], pattern="step{step}"), 1000)


def pointer(oid: str, size: int) -> str:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"


def test_a_git_lfs_pointer_is_refused_until_its_file_is_there(repository: Path):
    oid = "ab" * 32
    git(repository, "checkout", "-q", "-b", "step3000")
    (repository / "model.safetensors").write_text(pointer(oid, 123_456))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "pointer")
    with pytest.raises(InterpError, match=r"git-lfs pointer, not the file of 123,456 bytes.*lfs fetch origin"):
        open_run(repository, "weights", revisions="step3000")
    stored = repository / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    stored.parent.mkdir(parents=True)
    safetensors.torch.save_file(network(3000).state_dict(), stored)
    holds(open_run(repository, "weights", revisions="step3000"), 3000)


def test_nothing_that_a_clone_configures_is_run(repository: Path, tmp_path: Path):
    told = tmp_path / "was_run"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {told}\n")
    script.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "core.sshCommand", "filter.evil.smudge", "diff.external"):
        git(repository, "config", name, str(script))
    (repository / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(script.read_text())
    hook.chmod(0o755)
    holds(open_run(repository, "weights", revisions="step*"), 1000)
    assert not told.exists()


def test_a_folder_of_the_hubs_cache_is_read(tmp_path: Path):
    for step, commit in ((1, "c1"), (2, "c2")):
        snapshot = tmp_path / "snapshots" / commit
        snapshot.mkdir(parents=True)
        safetensors.torch.save_file(network(step).state_dict(), snapshot / "model.safetensors")
        (tmp_path / "refs").mkdir(exist_ok=True)
        (tmp_path / "refs" / f"step{step}").write_text(commit)
    run = open_run(tmp_path, "weights", revisions="step*")
    assert run.steps == [1, 2]
    holds(run, 2)


class Ref:
    def __init__(self, name: str, commit: str) -> None:
        self.name, self.target_commit = name, commit


def hub(folder: Path, asked: list[tuple[str, bool]]) -> types.ModuleType:
    """A Hub of one repository, whose revisions are the files that `folder` holds."""
    module: Any = types.ModuleType("huggingface_hub")

    class HfApi:
        def list_repo_refs(self, repo: str) -> Any:
            assert repo == "someone/model"
            refs = [Ref(file.stem, f"commit-{file.stem}") for file in sorted(folder.glob("step*.safetensors"))]
            return types.SimpleNamespace(tags=[], branches=[*refs, Ref("main", "m")])

        def list_repo_files(self, repo: str, revision: str) -> list[str]:  # noqa: ARG002
            return ["README.md", "training_args.bin", "model.safetensors"]

    def hf_hub_download(repo: str, path: str, revision: str, local_dir: str | None = None) -> str:  # noqa: ARG001
        asked.append((revision, local_dir is not None))
        source = folder / f"{revision.removeprefix('commit-')}.safetensors"
        if local_dir is None:
            return str(source)
        target = Path(local_dir) / path
        target.write_bytes(source.read_bytes())
        return str(target)

    module.HfApi, module.hf_hub_download = HfApi, hf_hub_download
    return module


@pytest.mark.parametrize("keep", [True, False])
def test_revisions_of_a_repository_of_the_hub(keep: bool, tmp_path: Path, monkeypatch: Any):
    for step in (0, 512):
        safetensors.torch.save_file(network(step).state_dict(), tmp_path / f"step{step}.safetensors")
    asked: list[tuple[str, bool]] = []
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub(tmp_path, asked))
    run = open_run(tmp_path, "weights", repo="someone/model", keep=keep)
    assert run.steps == [0, 512]
    holds(run, 0)
    assert {revision for revision, _ in asked} == {"commit-step0", "commit-step512"}
    assert all(temporary != keep for _, temporary in asked)


def test_without_the_library_of_the_hub_the_extra_is_named(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InterpError, match=r'pip install "interp\[hub\]"'):
        open_run(tmp_path, "weights", repo="someone/model")


def test_a_type_that_numpy_has_not_is_named(tmp_path: Path):
    file = tmp_path / "model_1.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(2, 2).to(torch.float8_e4m3fn)}, file)
    with pytest.raises(InterpError, match="F8_E4M3, which NumPy has not; save it as F32"):
        OneAtATime(on_disk(lambda: file))
