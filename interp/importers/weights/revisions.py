"""The revisions of a repository of weights: which there are, the step of each, and its weight file, fetched when asked.

A repository is one of three: that of a git clone, read by git's own plumbing without a checkout; the folder of one
repository in the Hugging Face Hub's cache (`refs`, `snapshots`); or one on the Hub, by `huggingface_hub`. Nothing that
a repository holds is run: no hook, no filter, no transport of its configuration.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from interp.errors import DamagedError, InterpError, near_misses, shown
from interp.files.foreign import lfs_pointer

USUAL = ("model.safetensors", "pytorch_model.bin")
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
BESIDE_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|rng_state|scaler)\b")
"""Files of a training that hold no weights."""
SHARD = re.compile(r"-\d{5}-of-\d{5}\.|\.index\.json$")
STEP_WORDS = r"(?:global_?step|step|iteration|iter|epoch|checkpoint|ckpt)"
MOST_AT_HAND = 2
"""Files that lie in a temporary folder at one time: that of the checkpoint being measured, and that of the last."""
SAFE_GIT = {
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class Chosen:
    """What the options of the importer say of revisions."""

    repo: str | None
    revisions: Sequence[str] | str | None
    pattern: str | None
    file: str | None
    keep: bool


@dataclass(frozen=True)
class Revision:
    """One revision: what names its content for good, and how its weight file is had."""

    name: str
    where: str
    """The repository, for messages."""
    version: str
    """A commit, or the content of the file."""
    fetch: Callable[[Path], Path]
    """Put the weight file into a folder, or say where it lies already. Raises InterpError where it cannot be had."""

    def __str__(self) -> str:
        return f"{self.where} at {self.name}"


@runtime_checkable
class Repository(Protocol):
    """Where revisions come from."""

    @property
    def where(self) -> str:
        """What messages call it."""
        ...

    def names(self) -> Mapping[str, str]:
        """The name of each branch and tag, and the commit it stands for."""
        ...

    def files(self, commit: str) -> Mapping[str, str]:
        """The path of each file of a commit, and what names its content for good."""
        ...

    def fetch(self, commit: str, path: str, folder: Path) -> Path:
        """Put a file of a commit into the folder, or say where it lies already."""
        ...


def found_revisions(path: Path, chosen: Chosen) -> tuple[dict[int, Revision], tuple[str, ...]]:
    """The revisions that were chosen, by step, and what a reader should know of them.

    Raises InterpError where there is no repository, or a revision that was named, or none fits, or two have one step.
    """
    repository = _repository(path, chosen)
    known = repository.names()
    listed = [] if chosen.revisions is None or isinstance(chosen.revisions, str) else list(chosen.revisions)
    for name in listed:
        if name not in known:
            raise InterpError(f"{repository.where} has no revision {name!r}{near_misses(name, known)}")
    fitting = chosen.revisions if isinstance(chosen.revisions, str) else "*"
    names = listed or [name for name in known if fnmatch.fnmatchcase(name, fitting)]
    steps = {name: _step(name, chosen.pattern) for name in names}
    without = sorted(name for name, step in steps.items() if step is None)
    if without and (listed or len(without) == len(names)):
        raise InterpError(
            f"{repository.where}: there is no step in the name of the revision {without[0]!r}, or more than one number "
            "that may be it; say where it is: pattern: step{step}"
        )
    if not names:
        raise InterpError(f"{repository.where}: no revision is called {fitting!r}{near_misses(fitting, known)}")
    found: dict[int, Revision] = {}
    for name, step in sorted(steps.items()):
        if step is None:
            continue
        revision = _revision(repository, name, known[name], chosen.file)
        if step in found and found[step].version != revision.version:
            raise InterpError(
                f"{repository.where}: the revisions {found[step].name} and {name} are both of step {step:,}; choose "
                "between them: revisions: [...], or a pattern such as step{step}"
            )
        found.setdefault(step, revision)
    notes = (f"Left out, no step in their names: {', '.join(without)}.",) if without else ()
    return found, (f"The checkpoints are revisions of {repository.where}.", *notes)


def _repository(path: Path, chosen: Chosen) -> Repository:
    if chosen.repo is not None:
        return Hub(chosen.repo, chosen.keep)
    if (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir()):
        return Clone(path)
    if (path / "refs").is_dir() and (path / "snapshots").is_dir():
        return Cached(path)
    raise InterpError(
        f"{path} is neither a git repository nor a repository's folder in the Hub's cache (models--…), so it has no "
        "revisions; clone it there, or name one on the Hub: repo: EleutherAI/pythia-14m"
    )


def _revision(repository: Repository, name: str, commit: str, wanted: str | None) -> Revision:
    def fetch(folder: Path) -> Path:
        path = _weight_file(list(repository.files(commit)), wanted, f"{repository.where} at {name}")
        return repository.fetch(commit, path, folder)

    return Revision(name, repository.where, f"{commit} {wanted or ''}".strip(), fetch)


def _step(name: str, pattern: str | None) -> int | None:
    """The step in a revision's name; None where it is not told."""
    if pattern is not None:
        if pattern.count("{step}") != 1:
            raise InterpError(f"pattern {pattern!r} should hold {{step}} once, such as step{{step}}")
        text = re.escape(pattern).replace(r"\{step\}", r"(\d+)").replace(r"\*", ".*")
        found = re.fullmatch(text, name)
        return int(found[1]) if found else None
    after_word = re.findall(rf"{STEP_WORDS}[-_=.]?(\d+)", name, re.IGNORECASE)
    numbers = after_word or re.findall(r"\d+", name)
    return int(numbers[0]) if len(numbers) == 1 else None


def _weight_file(paths: Sequence[str], wanted: str | None, where: str) -> str:
    """The weight file among those of a revision. Raises InterpError where there is none, several, or shards of one."""
    if wanted is not None:
        if wanted not in paths:
            raise InterpError(f"{where} has no file {wanted!r}{near_misses(wanted, paths)}")
        return wanted
    top = [path for path in paths if "/" not in path and path.endswith(SUFFIXES) and not BESIDE_WEIGHTS.match(path)]
    whole = [path for path in top if not SHARD.search(path)]
    usual = [path for path in USUAL if path in whole]
    safetensors = [path for path in whole if path.endswith(".safetensors")]
    for candidates in (usual[:1], safetensors, whole):
        if len(candidates) == 1:
            return candidates[0]
    if whole:
        raise InterpError(f"{where} holds several weight files: {', '.join(whole)}; say which: file: {whole[0]}")
    if top:
        raise InterpError(_shards_refused(where, top))
    raise InterpError(f"{where} holds no weight file; expected one that ends in {', '.join(SUFFIXES)}; say which: file")


def refuse_shards(path: Path) -> None:
    """Raises InterpError where the files at `path` are shards of one network, and no whole one is there."""
    names = [path.name] if path.is_file() else [one.name for one in _folder(path)]
    shards = [name for name in names if SHARD.search(name)]
    if shards and not [name for name in names if name.endswith(".safetensors") and name not in shards]:
        raise InterpError(_shards_refused(str(path), shards))


def _folder(path: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from sorted(path.iterdir())


def _shards_refused(where: str, shards: Sequence[str]) -> str:
    return (
        f"{where} is sharded: {shards[0]} is a part of a network. Shards are not read here; save it whole, "
        'model.save_pretrained(folder, max_shard_size="1000GB"), or put the tensors of all shards into one file'
    )


@dataclass
class Fetched:
    """The weight files of revisions, as long as they are needed: the last two that were fetched lie at hand."""

    revisions: Mapping[int, Revision]
    _at_hand: dict[int, tuple[Path, tempfile.TemporaryDirectory[str]]] = field(default_factory=dict)

    def path(self, step: int) -> Path:
        """Return where a step's file lies, fetched unless it is there. Raises InterpError where it cannot be had."""
        if step in self._at_hand:
            self._at_hand[step] = self._at_hand.pop(step)  # the last that was used
            return self._at_hand[step][0]
        while len(self._at_hand) >= MOST_AT_HAND:
            self._at_hand.pop(next(iter(self._at_hand)))[1].cleanup()
        folder = tempfile.TemporaryDirectory(prefix="interp-revision-", ignore_cleanup_errors=True)
        self._at_hand[step] = self.revisions[step].fetch(Path(folder.name)), folder
        return self._at_hand[step][0]


@dataclass
class Clone:
    """A git repository on this machine, with a work tree or bare; branches of its remote are revisions too."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    def names(self) -> Mapping[str, str]:
        kinds = ("refs/remotes/origin", "refs/heads", "refs/tags")  # the later win: a local branch is what one works on
        form = "%(refname)%00%(objectname)%00%(*objectname)"
        found: dict[str, dict[str, str]] = {kind: {} for kind in kinds}
        for line in self._git("for-each-ref", f"--format={form}", *kinds).decode(errors="replace").splitlines():
            name, commit, tagged = line.split("\0")
            kind = next(kind for kind in kinds if name.startswith(f"{kind}/"))
            found[kind][name.removeprefix(f"{kind}/")] = tagged or commit
        merged = {name: commit for kind in kinds for name, commit in found[kind].items()}
        merged.pop("HEAD", None)
        return merged

    def files(self, commit: str) -> Mapping[str, str]:
        listed = self._git("ls-tree", "-r", "-z", commit).decode(errors="replace").split("\0")
        entries = [line.split("\t", 1) for line in listed if line]
        return {path: about.split()[2] for about, path in entries if about.split()[1] == "blob"}

    def fetch(self, commit: str, path: str, folder: Path) -> Path:
        target = folder / Path(path).name
        with target.open("wb") as file:
            self._git("cat-file", "blob", self.files(commit)[path], to=file)
        with target.open("rb") as file:
            head = file.read(1024)
        if not lfs_pointer(head):
            return target
        oid = re.search(rb"\noid sha256:([0-9a-f]{64})\n", head)
        if oid:
            name = oid[1].decode()
            common = Path(self._git("rev-parse", "--git-common-dir").decode().strip())
            stored = self.path / common / "lfs" / "objects" / name[:2] / name[2:4] / name
            if stored.is_file():
                target.unlink()
                with contextlib.suppress(OSError):  # where links are not to be had it is copied
                    target.symlink_to(stored.resolve())
                    return target
                return Path(shutil.copy(stored, target))
        size = re.search(rb"\nsize (\d{1,15})\n", head)
        bytes_ = f" of {int(size[1]):,} bytes" if size else ""
        raise DamagedError(
            f"{self.path}: {path} at {commit[:12]} is a git-lfs pointer, not the file{bytes_} it stands for; fetch it "
            f"with: git -C {self.path} lfs fetch origin {commit}"
        )

    def _git(self, *arguments: str, to: Any = subprocess.PIPE) -> bytes:
        """What git says. Raises InterpError where there is no git, or it refuses."""
        safe = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "protocol.allow=never")
        command = ["git", "-C", str(self.path), "--no-pager", "--no-replace-objects", *safe, *arguments]
        try:
            done = subprocess.run(
                command, env=os.environ | SAFE_GIT, stdin=subprocess.DEVNULL, stdout=to, stderr=subprocess.PIPE
            )
        except FileNotFoundError:
            raise InterpError(
                f"{self.path} is a git repository, and there is no git here to read it; install git"
            ) from None
        if done.returncode:
            told = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[0]
            raise InterpError(f"{self.path}: git {arguments[0]} failed: {shown(told)}")
        return done.stdout or b""


@dataclass
class Cached:
    """One repository's folder in the Hub's cache: `refs` name commits, whose files lie in `snapshots`."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    def names(self) -> Mapping[str, str]:
        refs = self.path / "refs"
        found = {one.relative_to(refs).as_posix(): one for one in sorted(refs.rglob("*")) if one.is_file()}
        commits = {name: one.read_text(encoding="utf-8", errors="replace").strip() for name, one in found.items()}
        return {name: commit for name, commit in commits.items() if (self.path / "snapshots" / commit).is_dir()}

    def files(self, commit: str) -> Mapping[str, str]:
        folder = self.path / "snapshots" / commit
        return {one.relative_to(folder).as_posix(): commit for one in sorted(folder.rglob("*")) if one.is_file()}

    def fetch(self, commit: str, path: str, folder: Path) -> Path:  # noqa: ARG002 (it is here)
        return self.path / "snapshots" / commit / path


@dataclass
class Hub:
    """A repository of the Hugging Face Hub."""

    repo: str
    keep: bool

    @property
    def where(self) -> str:
        return self.repo

    def names(self) -> Mapping[str, str]:
        with self._asked() as hub:
            refs = hub.HfApi().list_repo_refs(self.repo)
        return {ref.name: ref.target_commit for ref in (*refs.tags, *refs.branches)}

    def files(self, commit: str) -> Mapping[str, str]:
        with self._asked() as hub:
            return dict.fromkeys(hub.HfApi().list_repo_files(self.repo, revision=commit), commit)

    def fetch(self, commit: str, path: str, folder: Path) -> Path:
        place = {} if self.keep else {"local_dir": str(folder)}
        with self._asked() as hub:
            return Path(hub.hf_hub_download(self.repo, path, revision=commit, **place))

    @contextlib.contextmanager
    def _asked(self) -> Iterator[Any]:
        """The library that asks the Hub. Raises InterpError where it is not installed, or the Hub does not answer."""
        try:
            import huggingface_hub
        except ImportError:
            raise InterpError(
                f'{self.repo} is on the Hugging Face Hub; to read it: pip install "interp[hub]"'
            ) from None
        try:
            yield huggingface_hub
        except Exception as error:  # the Hub's errors, those of HTTP and of the network have no common class
            told = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InterpError(
                f"{self.repo}: the Hub did not give it ({shown(told)}); check the name and the connection, or clone "
                "it and give the clone: importer: {weights: {path: CLONE, revisions: step*}}"
            ) from None
