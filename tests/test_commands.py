"""The commands: what they print, what they refuse, how long they make one wait for --help."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import interp
from interp.recipes import run_recipe
from tests.processes import python

ROOT = Path(interp.__file__).parent.parent

RECIPE = """
task: {modular_arithmetic: {p: 7, frac_train: 0.6}}
model: {transformer: {d_model: 8, n_heads: 2, d_mlp: 16}}
training: {steps: 20, optimiser: {adamw: {lr: 1e-2}}, save: {every: 10}}
"""
ANALYSIS = "title: A question?\nruns: [checkpoints/tiny]\nmeasures: [loss, weight_norm]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints" / "tiny").mkdir(parents=True)
    (tmp_path / "checkpoints" / "tiny" / "run.yaml").write_text(RECIPE)
    (tmp_path / "analyses").mkdir()
    (tmp_path / "analyses" / "question.yaml").write_text(ANALYSIS)
    return tmp_path


def call(folder: Path, *arguments: str, fails: bool = False) -> str:
    """What a command prints; where it fails, the error alone."""
    done = python(["-m", *arguments], folder, os.environ | {"PYTHONPATH": str(ROOT)})
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "run.yaml").write_text(RECIPE)
    call(folder, "interp.train", ".")
    return folder


@pytest.fixture
def trained(folder: Path, trained_once: Path) -> Path:
    """The folder with its run trained, which is done once."""
    shutil.copytree(trained_once, folder / "checkpoints" / "tiny", dirs_exist_ok=True)
    return folder


@pytest.mark.slow
def test_train_then_analyse_ends_with_the_path_of_the_report(folder: Path):
    call(folder, "interp.train", "checkpoints/tiny")
    printed = call(folder, "interp.run", "analyses/question.yaml")
    assert printed.splitlines()[-1] == "report: reports/question.html"
    assert (folder / "reports" / "question.html").stat().st_size > 1_000_000
    assert sorted(path.name for path in (folder / "reports" / "question" / "tiny").glob("*.nc")) == [
        "loss.nc",
        "weight_norm.nc",
    ]


@pytest.mark.slow
def test_a_device_that_is_not_there_is_one_clear_line(trained: Path):
    told = call(trained, "interp.run", "analyses/question.yaml", "--device", "cuda:77", fails=True)
    assert "--device cuda:77 cannot be used here" in told
    assert "expected cpu, cuda or mps" in told


@pytest.mark.slow
def test_run_points_an_analysis_at_another_run(trained: Path):
    printed = call(trained, "interp.run", "analyses/question.yaml", "--run", "checkpoints/tiny")
    assert printed.splitlines()[-1] == "report: reports/question-tiny.html"


@pytest.mark.slow
def test_a_range_trains_a_family_and_a_glob_analyses_it(folder: Path):
    call(folder, "interp.train", "checkpoints/tiny", "--set", "training.seed=0..2")
    assert sorted(path.name for path in (folder / "checkpoints" / "tiny").glob("seed=*")) == [
        "seed=0",
        "seed=1",
        "seed=2",
    ]
    weights = [interp.open_run(folder / "checkpoints" / "tiny" / f"seed={seed}").final.weights for seed in (0, 1)]
    assert not weights[0]["embed.W_E"].equal(weights[1]["embed.W_E"])
    (folder / "analyses" / "family.yaml").write_text(ANALYSIS.replace("tiny]", "tiny/seed=*]"))
    printed = call(folder, "interp.run", "analyses/family.yaml")
    assert "tiny.seed=2:" in printed
    assert (folder / "reports" / "family" / "tiny.seed=2" / "loss.nc").exists()


@pytest.mark.slow
def test_a_grid_trains_a_sweep_that_is_analysed_as_one(folder: Path):
    sweep = folder / "checkpoints" / "tiny"
    (sweep / "run.yaml").write_text(
        RECIPE + "grid: {training.seed: 0..1, training.optimiser.adamw.weight_decay: [0, 1]}\n"
    )
    call(folder, "interp.train", "checkpoints/tiny", "--jobs", "2")
    (folder / "analyses" / "question.yaml").write_text(ANALYSIS.replace("loss,", "loss, sharpness_accuracy,"))
    printed = call(folder, "interp.run", "analyses/question.yaml", "--csv", "--jobs", "1")
    assert "table: reports/question.csv" in printed
    lines = (folder / "reports" / "question.csv").read_text().splitlines()
    assert lines[0].startswith("seed,weight_decay,member,step,end,")
    assert len(lines) == 5
    assert {path.name for path in (folder / "reports" / "question" / "tiny").glob("*.nc")} == {
        "loss.nc",
        "weight_norm.nc",
    }
    assert (folder / "reports" / "question.html").stat().st_size < 20e6
    told = call(folder, "interp.describe", "checkpoints/tiny")
    assert "checkpoints/tiny is a sweep; 4 of 4 runs have checkpoints." in told
    single = call(
        folder,
        "interp.run",
        "analyses/question.yaml",
        "--csv",
        "--run",
        "checkpoints/tiny/seed=0,weight_decay=1",
        fails=True,
    )
    assert "of a sweep" in single


@pytest.mark.slow
def test_a_family_goes_on_with_the_members_that_are_not_finished(folder: Path):
    call(folder, "interp.train", "checkpoints/tiny", "--set", "training.seed=0..1")
    printed = call(folder, "interp.train", "checkpoints/tiny", "--set", "training.seed=0..2")
    assert "3 runs (3 seed); 2 finished, 1 to train" in printed
    assert interp.open_run(folder / "checkpoints" / "tiny" / "seed=2").steps == [0, 10, 20]
    call(folder, "interp.train", "checkpoints/tiny", "--set", "training.seed=0..2", fails=True)


def test_values_that_cannot_be_are_told_with_their_lines(folder: Path):
    (folder / "checkpoints" / "tiny" / "run.yaml").write_text(
        "task: {modular_arithmetic: {p: 7, frac_train: 0.001}}\n"
        "model: {transformer: {n_heads: 0, d_mlp: -3}}\n"
        "training:\n  steps: 20\n  seed: -1\n  optimiser: {adamw: {lr: -1, betas: [0.9]}}\n"
    )
    printed = call(folder, "interp.train", "checkpoints/tiny", fails=True).replace("error: ", "")
    assert [line.split(":")[1] for line in printed.splitlines()] == ["1", "2", "2", "5", "6", "6"]
    for found in ("frac_train is 0.001", "'n_heads' is 0", "'d_mlp' is -3", "'seed' is -1", "'lr' is -1", "'betas.1'"):
        assert found in printed


def test_a_value_of_set_does_not_lead_out_of_the_run(folder: Path):
    call(folder, "interp.train", "checkpoints/tiny", "--set", "task.modular_arithmetic.operation=x/y")
    assert (folder / "checkpoints" / "tiny" / "operation=x%2Fy" / "run.yaml").exists()


@pytest.mark.slow
def test_a_file_where_a_folder_should_be_is_one_line(trained: Path):
    (trained / "reports").write_text("in the way")
    assert "reports" in call(trained, "interp.run", "analyses/question.yaml", fails=True)


def test_a_finished_run_is_left_as_it_is(trained: Path):
    before = {path: path.read_bytes() for path in (trained / "checkpoints").rglob("*.safetensors")}
    assert "is finished" in call(trained, "interp.train", "checkpoints/tiny", fails=True)
    assert {path: path.read_bytes() for path in (trained / "checkpoints").rglob("*.safetensors")} == before


@pytest.mark.slow
def test_set_changes_an_option(trained: Path):
    (trained / "analyses" / "question.yaml").write_text(ANALYSIS.replace("weight_norm", "embedding_circle"))
    call(trained, "interp.run", "analyses/question.yaml", "--set", "embedding_circle.freqs=[2]")
    import xarray as xr

    with xr.open_dataset(
        trained / "reports" / "question" / "tiny" / "embedding_circle.nc", engine="h5netcdf"
    ) as result:
        assert result.freq.values.tolist() == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["interp.run"], "error: which analysis?"),
        (["interp.run", "analyses/questoin.yaml"], "error: analyses/questoin.yaml does not exist"),
        (["interp.run", "analyses/question.yaml"], "train it with: interp train checkpoints/tiny"),
        (["interp.run", "analyses/question.yaml", "--run", "checkpoints/tini"], "did you mean 'tiny'?"),
        (["interp.run", "analyses/question.yaml", "--set", "loss.p=3"], "loss has no option 'p'"),
        (["interp.run", "analyses/question.yaml", "--set", "los.p=3"], "did you mean 'loss'?"),
        (["interp.run", "analyses/question.yaml", "--set", "p"], "not of the form measure.option=value"),
        (["interp.run", "analyses/question.yaml", "--importer", "pizza"], "give that too"),
        (["interp.train", "checkpoints/tini"], "holds no run.yaml"),
        (["interp.train", "checkpoints/tiny", "--set", "training.sede=1"], "did you mean 'seed'?"),
        (["interp.train", "checkpoints/tiny", "--set", "training.seed=3..1"], "ends before it begins"),
        (["interp.train", "checkpoints/tiny", "--set", "task.modular_arithmetic.p=9..9"], None),
    ],
)
def test_a_mistake_is_one_clear_line(folder: Path, arguments: list[str], message: str | None):
    if message is None:
        call(folder, *arguments)  # a modulus that is not prime is fine for sums
        return
    printed = call(folder, *arguments, fails=True)
    assert message in printed
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1


def test_all_mistakes_of_an_analysis_are_told_with_their_lines(folder: Path):
    (folder / "analyses" / "wrong.yaml").write_text(
        "titel: x\nruns: [checkpoints/none*]\nsteps: {evry: 3}\nmeasures:\n  - los\n  - embedding_circle: {cuont: 3}\n"
    )
    printed = call(folder, "interp.run", "analyses/wrong.yaml", fails=True)
    assert [line.split(":")[1] for line in printed.replace("error: ", "").splitlines()] == [
        "1",
        "2",
        "3",
        "5",
        "6",
    ]
    for near in ("'title'", "no run matches", "'every'", "'loss'", "'count'"):
        assert near in printed


def test_division_needs_a_prime(folder: Path):
    recipe = folder / "checkpoints" / "tiny" / "run.yaml"
    recipe.write_text(recipe.read_text().replace("p: 7", "p: 8, operation: x/y"))
    printed = call(folder, "interp.train", "checkpoints/tiny", fails=True)
    assert "p is 8, which is not prime" in printed
    assert "7 and 11" in printed


def test_list_names_everything_with_options_and_a_line():
    printed = call(ROOT, "interp.run", "--list")
    for name in (
        "Literal['x+y', 'x-y'",
        "embedding_dft(",
        "modular_arithmetic(p: int = 113",
        "transformer(",
        "mlp(",
        "adamw(",
    ):
        assert name in printed
    assert "The embedding as waves over the residues" in printed


QUICK = """
import runpy, sys
del sys.argv[0]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
finally:
    slow = {"torch", "transformer_lens", "numpy", "xarray", "plotly"} & set(sys.modules)
    print("loaded:", *sorted(slow))
"""


CONSOLE = "from interp.run import console; console()"


def loaded(folder: Path, module: str, *arguments: str) -> tuple[str, str]:
    """What a command says on stderr, and which of the libraries that take seconds to load it has loaded."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", QUICK, module, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.stderr, done.stdout.rpartition("loaded:")[2].strip()


@pytest.mark.parametrize("module", ["interp.run", "interp.train", "interp.describe"])
def test_help_loads_neither_torch_nor_transformer_lens(module: str):
    assert loaded(ROOT, module, "--help") == ("", "")


def test_list_loads_neither_torch_nor_transformer_lens():
    assert loaded(ROOT, "interp.run", "--list") == ("", "")


MISTYPED = {
    "analysis": "titel: x\nruns: [checkpoints/tini]\nsteps: {evry: 3}\n"
    "measures: [los, {embedding_circle: {cuont: 3}}]\n",
    "recipe": "task: {modular_arithmetic: {frac_trian: 1}}\nmodel: {mpl: {}}\n"
    "training: {stepz: 10, optimiser: adamv}\n",
}


@pytest.mark.parametrize(
    ("command", "messages"),
    [
        ("interp.run;missing.yaml", ["missing.yaml does not exist"]),
        ("interp.run;wrong.yaml", ["'title'", "'tiny'", "'every'", "'loss'", "'count'"]),
        ("interp.run;analyses/question.yaml;--run;checkpoints/tini", ["did you mean 'tiny'"]),
        ("interp.run;analyses/question.yaml;--run;analyses", ["is not a run", "interp describe"]),
        ("interp.run;analyses/question.yaml;--run;analyses;--importer;pizzo", ["did you mean 'pizza'"]),
        (
            "interp.run;analyses/question.yaml;--run;analyses;--importer;{state_dicts: {patern: x}}",
            ["did you mean 'pattern'"],
        ),
        ("interp.run;analyses/question.yaml;--set;los.p=3", ["did you mean 'loss'"]),
        ("interp.run;analyses/question.yaml;--set;loss.p=3", ["loss has no option 'p'"]),
        ("interp.describe;missing", ["missing does not exist"]),
        ("interp.train;missing", ["holds no run.yaml"]),
        ("interp.train;wrong", ["'frac_train'", "'mlp'", "'steps'", "'adamw'"]),
        ("interp.train;checkpoints/tiny;--set;training.sede=3", ["did you mean 'seed'"]),
    ],
)
def test_a_mistyped_name_is_told_without_loading_torch(folder: Path, command: str, messages: list[str]):
    (folder / "wrong").mkdir()
    (folder / "wrong" / "run.yaml").write_text(MISTYPED["recipe"])
    (folder / "wrong.yaml").write_text(MISTYPED["analysis"])
    told, slow = loaded(folder, *command.split(";"))
    assert slow == ""
    assert told.startswith("error: ")
    for message in messages:
        assert message in told


def test_text_of_a_file_cannot_play_with_the_terminal(folder: Path):
    (folder / "analyses" / "evil.yaml").write_text(ANALYSIS.replace("loss", '"lo\\e[31mss"'))
    assert "\x1b" not in call(folder, "interp.run", "analyses/evil.yaml", fails=True)


def test_dense_adds_checkpoints_and_leaves_the_recipe_as_it_was(trained: Path):
    before = (trained / "checkpoints" / "tiny" / "run.yaml").read_bytes()
    printed = call(trained, "interp.train", "checkpoints/tiny", "--dense", "3:5:1", "--dense", "12:12:1")
    assert "4 checkpoints to add: training again to step 20" in printed
    assert interp.open_run(trained / "checkpoints" / "tiny").steps == [0, 3, 4, 5, 10, 12, 20]
    assert (trained / "checkpoints" / "tiny" / "run.yaml").read_bytes() == before
    printed = call(trained, "interp.train", "checkpoints/tiny", "--dense", "3:5:1", fails=True)
    assert printed == "error: checkpoints/tiny has every checkpoint of 3:5:1 already\n"


@pytest.mark.slow
def test_dense_needs_a_run_that_is_trained_here(folder: Path):
    recipe = folder / "checkpoints" / "tiny" / "run.yaml"
    recipe.write_text(RECIPE.partition("training")[0])
    assert "has no 'training'" in call(folder, "interp.train", "checkpoints/tiny", "--dense", "3:5:1", fails=True)
    recipe.write_text(RECIPE)
    assert "is not finished" in call(folder, "interp.train", "checkpoints/tiny", "--dense", "3:5:1", fails=True)


LIMITED = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "module", "arguments", "file"),
    [
        (6_000, "interp.train", ["checkpoints/tiny"], "training.safetensors"),
        (6_000, "interp.run", ["analyses/question.yaml", "--jobs", "1"], "loss.nc"),
        (200_000, "interp.run", ["analyses/question.yaml", "--jobs", "1"], "question.html"),
    ],
)
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    folder: Path, limit: int, module: str, arguments: list[str], file: str
):
    if module == "interp.run":
        call(folder, "interp.train", "checkpoints/tiny")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = python(["-c", LIMITED, str(limit), module, *arguments], folder, environment)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert re.match(
        rf"error: \S*{file} cannot be written \(File too large\); .* start the same command again$",
        done.stderr.splitlines()[-1],
    )
    assert not list(folder.rglob("*.tmp"))
    call(folder, module, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("command", [["interp.run", "--list"], ["interp.train", "checkpoints/tiny"]])
def test_whoever_reads_the_output_may_leave(folder: Path, command: list[str]):
    reader, writer = os.pipe()
    os.close(reader)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.slow
def test_a_path_may_have_spaces_and_any_letters(folder: Path):
    """Trained, stopped, resumed and analysed: the same weights as under another name."""
    place = folder / "checkpoints" / "läuft gut" / "ø 1"
    place.mkdir(parents=True)
    (place / "run.yaml").write_text(RECIPE)
    program = (
        "from pathlib import Path; import signal; from interp import train\n"
        "train._progress = lambda steps: lambda step, *_: step == 10 or signal.raise_signal(signal.SIGINT)\n"
        "train.train(Path('checkpoints/läuft gut/ø 1'))"
    )
    done = python(["-c", program], folder, os.environ | {"PYTHONPATH": str(ROOT)})
    assert "stopped at step 1 of 20" in done.stderr
    call(folder, "interp.train", "checkpoints/läuft gut/ø 1")
    call(folder, "interp.train", "checkpoints/tiny")
    found, expected = (interp.open_run(path) for path in (place, folder / "checkpoints" / "tiny"))
    assert found.steps == expected.steps
    assert [found.digest(step) for step in found.steps] == [expected.digest(step) for step in expected.steps]
    call(folder, "interp.run", "analyses/question.yaml", "--run", "checkpoints/läuft gut/ø 1")
    assert list((folder / "reports").glob("question-*ø 1.html"))


@pytest.mark.slow
def test_an_analysis_of_an_imported_run(tmp_path: Path):
    """Named by --importer, with options, and in the analysis itself."""
    shipped = interp.open_run(ROOT / "checkpoints" / "modular_addition_small")
    folder = tmp_path / "mine"
    folder.mkdir()
    for step in (0, 9000):
        tensors = {name: torch.from_numpy(array) for name, array in shipped[step].arrays.items()}
        torch.save(tensors, folder / f"run7_{step}_x.pt")
    analysis = tmp_path / "a.yaml"
    analysis.write_text("measures: [loss, key_freqs]\nruns: [{path: mine, importer: state_dicts}]\n")
    importer = "{state_dicts: {pattern: 'run7_{step}_*.pt'}}"
    for arguments in (["--run", "mine", "--importer", importer], []):
        said = call(tmp_path, "interp.run", "a.yaml", "--jobs", "1", *arguments)
        assert "which of them it was trained on is unknown" in said
        assert "frequencies 1 (31 neurons), 7 (46 neurons) and 24 (31 neurons)" in said


STOPPED = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where these tests run in the background it is ignored
from interp.catalogue import names
module, name = sys.argv[1:3]
find = names.find


def stop(kind, asked):
    if asked == name:
        signal.raise_signal(signal.SIGINT)
    return find(kind, asked)


names.find = stop
sys.argv = sys.argv[3:]
sys.argv.insert(0, module)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_is_told_as_a_stop_not_as_an_error(folder: Path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STOPPED, "interp.train", "modular_arithmetic", "checkpoints/tiny"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "stopped; what was finished is kept: start again to go on\n"


@pytest.mark.slow
def test_a_training_that_is_stopped_says_how_to_go_on_and_is_no_error(folder: Path):
    program = (
        "import signal, sys; from interp import terminal, train\n"
        "train._progress = lambda steps: lambda step, *_: step == 10 or signal.raise_signal(signal.SIGINT)\n"
        "sys.argv[1:] = ['checkpoints/tiny']\n"
        "terminal.command(train.main)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "stopped at step 1 of 20; the same command resumes checkpoints/tiny\n"


def typed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the console command `interp` says, by the entry that it has in pyproject.toml."""
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["interp"]
    module, _, function = entry.partition(":")
    code = f"from {module} import {function}; {function}()"
    return python(["-c", code, *arguments], folder, os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("command", ["run", "describe", "train"])
def test_the_console_command_is_the_module_of_its_name(folder: Path, command: str):
    done = typed(folder, command, "missing.yaml")
    assert done.returncode == 1
    assert done.stderr == call(folder, f"interp.{command}", "missing.yaml", fails=True)
    assert f"Usage: interp {command} " in typed(folder, command, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, ["Usage: interp ", "run ", "train ", "describe "]),
        (["trian", "checkpoints/tiny"], 1, ["error: no command 'trian'; did you mean 'train'?\n"]),
        (["describ"], 1, ["error: no command 'describ'; did you mean 'describe'?\n"]),
        (["checkpoints/tiny"], 1, ["known: describe, run, train"]),
        (["run", "fourrier"], 1, ["fourrier does not exist; did you mean 'fourier'?"]),
        (["run", "question"], 1, ["did you mean 'analyses/question.yaml'?"]),
        (["run", "analyses/questoin"], 1, ["did you mean 'question.yaml'?"]),
        (["run", "analyses/fourier.yaml"], 1, ["did you mean 'fourier'?"]),
        (["run", "analyses"], 1, ["analyses is a folder"]),
        (["run", "checkpoints/tiny"], 1, ["interp run fourier --run checkpoints/tiny"]),
        (["run", "fourier"], 1, ["modular_addition_small does not exist", "(or give --run PATH)"]),
        (["run", "fourier", "--run", "checkpoints/tiny"], 1, ["train it with: interp train checkpoints/tiny\n"]),
    ],
)
def test_what_the_console_command_cannot_do_is_told(folder: Path, arguments: list[str], code: int, told: list[str]):
    done = typed(folder, *arguments)
    assert done.returncode == code
    assert not done.stdout
    for words in told:
        assert words in done.stderr


def test_the_version_is_that_of_the_project(folder: Path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert interp.__version__ == project
    assert typed(folder, "--version").stdout == f"{project}\n"
    assert f"\nversion: {project}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_console_command_answers_without_loading_torch(folder: Path):
    for arguments in (["--help"], ["run", "--list"], ["trian"], ["run", "fourrier"], ["train", "missing"]):
        code = QUICK.replace('runpy.run_module(sys.argv[0], run_name="__main__")', CONSOLE)
        command = [sys.executable, "-c", code, "interp", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.stdout.rpartition("loaded:")[2].strip() == "", arguments


@pytest.mark.slow
def test_any_runs_are_compared_on_one_page(trained: Path):
    other = trained / "checkpoints" / "other"
    other.mkdir()
    (other / "run.yaml").write_text(RECIPE.replace("steps: 20", "steps: 30, seed: 5"))
    call(trained, "interp.train", "checkpoints/other")
    both = ["--run", "checkpoints/tiny", "--run", "checkpoints/other"]
    done = typed(trained, "run", "compare", *both, "--jobs", "2")
    assert done.stdout.splitlines()[-1] == "report: reports/compare-tiny-other.html", done.stderr
    assert "differ in 2 options of" in done.stdout
    assert "training.seed and training.steps" in done.stdout
    done = typed(trained, "run", "analyses/question.yaml", *both, "--jobs", "1")
    assert done.stdout.splitlines()[-1] == "report: reports/question-tiny-other.html", done.stderr


@pytest.mark.slow
def test_a_bare_name_is_a_shipped_analysis_unless_a_file_is_called_so(trained: Path):
    done = typed(trained, "run", "fourier", "--run", "checkpoints/tiny", "--jobs", "1")
    assert done.stdout.splitlines()[-1] == "report: reports/fourier-tiny.html", done.stderr
    assert "Interp report · analyses/fourier.yaml" in (trained / "reports" / "fourier-tiny.html").read_text()
    (trained / "fourier").write_text("title: Mine?\nmeasures: [loss]\n")
    typed(trained, "run", "fourier", "--run", "checkpoints/tiny", "--jobs", "1")
    assert "Mine?" in (trained / "reports" / "fourier-tiny.html").read_text()


def test_the_recipe_in_the_help_is_a_recipe_which_begins_a_run(tmp_path: Path):
    assert "interp train --help shows how" in typed(tmp_path, "train", ".").stderr
    shown = re.findall(r"^    (\w+: \{.*\})$", typed(tmp_path, "train", "--help").stdout, re.MULTILINE)
    (tmp_path / "run.yaml").write_text("\n".join(shown))
    assert run_recipe.read_to_train(tmp_path / "run.yaml")


def test_what_is_to_be_typed_next_is_quoted_as_a_shell_reads_it(folder: Path):
    place = folder / "my runs" / "first"
    place.mkdir(parents=True)
    (place / "run.yaml").write_text(RECIPE)
    told = typed(folder, "run", "fourier", "--run", "my runs/first").stderr.strip()
    assert shlex.split(told.partition("train it with: interp ")[2]) == ["train", "my runs/first"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unpacked: what `pip install` puts beside other packages."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "--wheel-dir", str(place)]
    done = subprocess.run(build, capture_output=True, text=True)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("the build backend is not to be had here")
    assert done.returncode == 0, done.stderr
    (file,) = place.glob("*.whl")
    shutil.unpack_archive(file, place / "installed", "zip")
    return place / "installed"


@pytest.mark.slow
def test_the_wheel_holds_the_analyses_the_mark_of_types_and_the_entry(wheel: Path):
    def analyses(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.yaml")}

    shipped = analyses(ROOT / "analyses")
    assert {"fourier.yaml", "papers/pair.yaml"} < shipped.keys()
    assert analyses(wheel / "interp" / "analyses") == shipped
    assert (wheel / "interp" / "py.typed").exists()
    (entries,) = wheel.glob("*.dist-info/entry_points.txt")
    assert "interp = interp.run:console" in entries.read_text()
    assert {path.name for path in wheel.iterdir()} == {"interp", entries.parent.name}


@pytest.mark.slow
def test_what_the_tool_says_to_type_next_works_from_the_wheel_in_any_folder(wheel: Path, tmp_path: Path):
    """From nothing to a report: each command but the first is one that the tool told."""
    place = tmp_path / "a run"
    place.mkdir()

    def follow(line: str) -> str:
        command = shlex.split(line)
        assert command.pop(0) == "interp"
        done = python(["-c", CONSOLE, *command], tmp_path, os.environ | {"PYTHONPATH": str(wheel)})
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    recipe = re.findall(r"^    (\w+: \{.*\})$", follow("interp train --help"), re.MULTILINE)
    (place / "run.yaml").write_text("\n".join(recipe).replace("1_000", "20").replace("every: 50", "every: 10"))
    assert "interp run fourier --run FOLDER" in follow("interp run")
    train = follow("interp run fourier --run 'a run'").partition("train it with: ")[2]
    looked = next_line(follow(train), "look at it with: ")
    described = next_line(follow("interp describe 'a run'"), "analyse it:")
    named = next_line(follow("interp run 'a run'"), "a run: ")
    for command in (looked, described, named):
        assert "report: reports/fourier-a run.html" in follow(command)


def next_line(told: str, after: str) -> str:
    return told.partition(after)[2].strip().splitlines()[0]


CLUMSY = """
from dataclasses import dataclass
from jaxtyping import Float
from torch import Tensor, tensor


@dataclass(frozen=True)
class Half:
    half: Float[Tensor, ""]


def clumsy(checkpoint) -> Half:
    return Half(tensor(0.5))


def figure(result):
    raise KeyError("no such thing")
"""


@pytest.mark.slow
def test_a_mistake_in_a_figure_leaves_the_report_written_and_is_told_each_time(trained: Path, install, monkeypatch):
    install("elsewhere_g", {"clumsy": CLUMSY})
    monkeypatch.setattr(sys.modules[__name__], "ROOT", f"{ROOT}{os.pathsep}{trained}")
    (trained / "analyses" / "clumsy.yaml").write_text("runs: [checkpoints/tiny]\nmeasures: [loss, clumsy]\n")
    for _ in range(2):
        told = call(trained, "interp.run", "analyses/clumsy.yaml", "--jobs", "1", fails=True)
        assert re.search("error: .*clumsy.*no such thing", told)
        assert "clumsy" in (trained / "reports" / "clumsy.html").read_text()
