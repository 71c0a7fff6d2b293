from __future__ import annotations

import json

import pytest

from interp.recipes import run_recipe

GOOD = """\
task: {modular_arithmetic: {p: 7, frac_train: 0.5}}
model: {mlp: {d_mlp: 16}}
training: {steps: 1_000, optimiser: {adamw: {lr: 1e-3, betas: [0.9, 0.98]}}, save: {every: 100}}
text: A sentence.
"""


@pytest.fixture
def read(tmp_path):
    def make(text, *overrides):
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return run_recipe.read_to_train(path, overrides)

    return make


def test_a_recipe_is_read_with_its_defaults_filled_in(read):
    found = read(GOOD)
    assert (found.task.name, found.task.options["p"], found.task.options["operation"]) == (
        "modular_arithmetic",
        7,
        "x+y",
    )
    assert (found.model.name, found.model.options["d_mlp"]) == ("mlp", 16)
    training = found.training
    assert (training.steps, training.seed, training.batch_size, training.save) == (1000, 0, None, {"every": 100})
    assert training.optimiser.options["lr"] == 1e-3
    assert training.optimiser.options["betas"] == (0.9, 0.98)
    assert found.importer is None
    assert found.text == "A sentence."


def test_training_needs_nothing_but_its_steps(read):
    training = read("task: modular_arithmetic\nmodel: mlp\ntraining: {steps: 5}\n").training
    assert training.optimiser.name == "adamw"
    assert training.seed == 0


def test_every_mistake_is_told_at_once_with_its_line(mistakes):
    found = mistakes(
        "task:\n"
        "  modular_arithmetic:\n"
        "    p: seven\n"
        "    frac_trian: 0.5\n"
        "model: {mpl: {}}\n"
        "trainnig: {}\n"
        "training:\n"
        "  stepz: 100\n"
        "  optimiser:\n"
        "    adamw: {lr: fast,\n"
        "            weight_decai: 1}\n"
    )
    assert set(found) == {3, 4, 5, 6, 7, 8, 10, 11}
    assert "'seven'" in found[3][0]
    assert "did you mean 'frac_train'" in found[4][0]
    assert "no model 'mpl'; did you mean 'mlp'" in found[5][0]
    assert "a run has no 'trainnig'; did you mean 'training'" in found[6][0]
    assert "training needs the option 'steps'" in found[7][0]
    assert "did you mean 'steps'" in found[8][0]
    assert "'fast'" in found[10][0]
    assert "did you mean 'weight_decay'" in found[11][0]


@pytest.mark.parametrize("key", ["task", "model"])
def test_a_run_needs_a_task_and_a_model(mistakes, key):
    text = "\n".join(line for line in GOOD.split("\n") if not line.startswith(key))
    assert mistakes(text) == {1: [f"a run needs '{key}'"]}


@pytest.mark.parametrize(
    ("training", "word"),
    [
        ("{steps: 0}", "steps"),
        ("{steps: 1e3}", "steps"),
        ("{steps: true}", "steps"),
        ("{steps: 5, seed: one}", "seed"),
        ("{steps: 5, seed: true}", "seed"),
        ("{steps: 5, batch_size: 0}", "batch_size"),
        ("{steps: 5, save: 100}", "save"),
        ("{steps: 5, save: {evry: 100}}", "save"),
        ("{steps: 5, save: {every: 0}}", "every"),
        ("{steps: 5, save: {every: often}}", "every"),
        ("{steps: 5, save: {dense: ['1:2']}}", "dense"),
        ("{steps: 5, optimiser: {adamv: {}}}", "adamw"),
        ("{steps: 5, save: {log: true}}", "log"),
        ("{steps: 5, interventions: initial_scale}", "list of names"),
        ("{steps: 5, interventions: [no_such_thing]}", "no intervention 'no_such_thing'"),
        ("{steps: 5, loss: no_such_loss}", "no loss 'no_such_loss'"),
        ("{steps: 5, optimiser: {grokfast: {of: {adamm: {}}}}}", "no optimiser 'adamm'"),
        ("{steps: 5, optimiser: {grokfast: {of: {adamw: {lrr: 1}}}}}", "did you mean 'lr'"),
        ("{steps: 5, optimiser: {grokfast: {of: {}}}}", "one name with options"),
        ("{steps: 5, optimiser: {grokfast: {of: {hmc: {}}}}}", "take a rule"),
        ("{steps: 5, optimiser: {grokfast: {of: {grokfast: {of: sgd}}}}}", "around itself"),
        ("{steps: 5, optimiser: {grokfast: {of: 3}}}", "option 'of' is 3"),
        ("5", "training"),
        ("", "training"),
    ],
)
def test_what_is_wrong_with_a_training_is_said_on_its_line(mistakes, training, word):
    found = mistakes(f"task: modular_arithmetic\nmodel: mlp\ntraining: {training}\n")
    assert set(found) == {3}
    assert word in found[3][0]


@pytest.mark.parametrize("optimiser", ["{hmc: %s}", "{langevin: %s}", "{grokfast: {of: {langevin: %s}}}"])
def test_a_prior_is_of_the_weights_of_the_network_that_is_trained(read, mistakes, optimiser):
    text = f"task: modular_arithmetic\nmodel: mlp\ntraining: {{steps: 5, optimiser: {optimiser}}}\n"
    assert read(text % "{prior: {embed_*: 0.5}}").training
    assert "no weight is named so" in mistakes(text % "{prior: {embd_*: 0.5}}")[3][0]


@pytest.mark.parametrize(
    ("acting", "said"),
    [
        ("wrong_answers: {examples: 10_000}", "examples is 10,000, and the training set has"),
        ("data_switch: {n_train: 10_000}", "n_train is 10,000, and the training set has"),
        ("adversarial_training: {}", "are tokens; take it off"),
    ],
)
def test_an_intervention_that_cannot_act_on_the_task_is_told_with_its_line(mistakes, acting, said):
    text = "task: modular_arithmetic\nmodel: mlp\ntraining:\n  steps: 5\n  interventions:\n    - {%s}\n"
    assert said in mistakes(text % acting)[6][0]


def test_a_run_is_trained_here_or_imported_not_both(mistakes):
    (message,) = mistakes(GOOD + "importer: no_such_importer\n")[5][-1:]
    assert "no importer" in message or "not both" in message


def test_the_loss_of_an_imported_run_stands_beside_its_importer_that_of_a_trained_one_in_its_training(mistakes):
    assert "no loss 'no_such_loss'" in mistakes("importer: state_dicts\nloss: no_such_loss\n")[2][0]
    assert "stands in its training" in mistakes(GOOD + "loss: no_such_loss\n")[5][-1]


def test_overrides_change_the_recipe_and_their_mistakes_are_told(read, mistakes):
    found = read(GOOD, "training.seed=3", "task.modular_arithmetic.p=11")
    assert found.training.seed == 3
    assert found.task.options["p"] == 11
    told = mistakes(GOOD, "training.sede=3", "model.mlp.d_mlp=big")
    assert "did you mean 'seed'" in told[3][0]
    assert "'big'" in told[2][0]


def test_an_empty_text_is_empty(read):
    assert read(GOOD.replace("text: A sentence.", "text:")).text == ""


def test_the_canonical_text_is_the_same_for_the_same_recipe_in_another_layout(read):
    other = """\
model:
  mlp: {d_mlp: 16, d_model: 256}
text: Other words about it.
training:
  save: {every: 100}
  optimiser:
    adamw:
      betas:
        - 0.9
        - 0.98
      lr: 0.001
  steps: 1000
  seed: 0
task: {modular_arithmetic: {frac_train: 0.5, p: 7}}
"""
    assert read(GOOD).canonical == read(other).canonical
    assert json.loads(read(GOOD).canonical)["task"]["modular_arithmetic"]["p"] == 7


def test_the_canonical_text_is_that_of_the_runs_begun_before_recipes_could_name_a_loss(read):
    assert list(json.loads(read(GOOD).canonical)["training"]) == ["batch_size", "optimiser", "save", "seed", "steps"]


@pytest.mark.parametrize(
    "assignment", ["training.seed=1", "training.steps=2000", "model.mlp.biases=hidden", "training.save.every=50"]
)
def test_the_canonical_text_is_another_for_another_recipe(read, assignment):
    assert read(GOOD).canonical != read(GOOD, assignment).canonical


FROM = "from: {run: ../parent, step: 500}\n"


def test_a_recipe_may_start_from_another_run(read, tmp_path):
    parent = read(GOOD + FROM).parent
    assert (parent.run, parent.step, parent.optimiser) == ("../parent", 500, False)
    assert parent.folder.resolve() == (tmp_path.parent / "parent").resolve()
    assert read(GOOD).parent is None
    assert read(GOOD + FROM).canonical != read(GOOD + FROM, "from.step=600").canonical


@pytest.mark.parametrize(
    ("given", "line", "word"),
    [
        ("from: ../parent\n", 5, "expected a run and a step of it"),
        ("from: {run: ., step: 500}\n", 5, "this run itself"),
        ("from: {run: ../parent}\n", 5, "from needs the option 'step'"),
        ("from: {run: ../parent, stepp: 500}\n", 5, "did you mean 'step'"),
        ("from:\n  run: ../parent\n  step: -1\n", 7, "'step' is -1"),
        ("from:\n  run: ../parent\n  step: true\n", 7, "'step'"),
        ("from:\n  run: 3\n  step: 1\n", 6, "'run' is 3"),
        ("from:\n  run: ../parent\n  step: 1\n  optimiser: adamw\n", 8, "'optimiser' is 'adamw'"),
        ("from: {run: ../parent, step: 1_000}\n", 3, "steps is 1,000, and the run starts at step 1,000 of its parent"),
        ("form: {run: ../parent, step: 500}\n", 5, "did you mean 'from'"),
    ],
)
def test_what_is_wrong_with_a_start_is_said_on_its_line(mistakes, given, line, word):
    found = mistakes(GOOD + given)
    assert any(word in message for message in found[line])


def test_what_starts_from_another_run_is_trained_here(mistakes):
    assert "is trained here" in mistakes("importer: state_dicts\n" + FROM)[2][0]
