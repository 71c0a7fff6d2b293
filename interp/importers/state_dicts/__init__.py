"""Anyone's own run: a folder of state dicts, one file a checkpoint.

1. The files are put in the order of their steps, and one checkpoint stands for the run (`_example`).
2. Its tensors are recognised (`tensor_names`) and laid out as ours are (`layouts`).
3. What the shapes leave open is told by what the network answers (`guessing`), and by what is recorded beside it.
4. The split is the one that is recorded or told, else the one under which the recorded losses are the weights' own.
5. What is then computed is held against what was recorded (`agreement`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeInt

from interp.contracts.imported import Arrays, Given, Imported
from interp.errors import InterpError, shown
from interp.importers.shared import candidates, configuration, files_by_step, layouts, tensor_names
from interp.importers.shared.agreement import MOST_LOOKED_AT
from interp.importers.shared.files_by_step import proposals
from interp.importers.shared.guessing import best_guess, best_reading
from interp.importers.shared.guessing.guess import NOT_OURS, Guess, Known
from interp.importers.shared.guessing.network import Network
from interp.importers.shared.readings import readings
from interp.importers.shared.recorded import Recorded, records_beside
from interp.importers.state_dicts import training_pairs, unrecognised
from interp.importers.state_dicts.account import Account, Beside, Opened, most_consistent
from interp.summaries import number


def state_dicts(
    path: Path,
    task: Given | None = None,
    model: Given | None = None,
    pattern: str | None = None,
    names: dict[str, str | None] | None = None,
    train: str | None = None,
    test: str | None = None,
    entry: str | None = None,
    at_steps: list[NonNegativeInt] | dict[Literal["start", "every"], NonNegativeInt] | None = None,
) -> Imported:
    """State dicts of a training loop of your own: a folder of weight files, at any depth, or one file.

    Files are torch's, safetensors, NumPy's .npz or flax's msgpack; Lightning's and Hugging Face's folders are known.
    The step is what a file says inside, else what its name says; of several checkpoints in one file each has its own.

    - pattern: where the step is in a file's name, such as "model_{step}.pt", where the names do not tell it plainly.
    - entry: the key in the file under which the network lies, or its checkpoints do, such as ema, or a.b for b in a.
    - at_steps: the steps of checkpoints in one file that does not tell them: [0, 100, 200], or {start: 0, every: 100}.
    - names: which of their tensors is which of ours, {unembed.W_U: their.name}, null for one to leave out, where it is
      not recognised. Recognised by name, order and shape are TransformerLens's layout, those of the published
      networks, Hugging Face's, and PyTorch's and flax's own modules.
    - train: a file with the training pairs: a mask over the pairs, row-major in (a, b), their numbers, or the pairs.
    - test: the same with the other pairs.

    The operation, the activation, the row of tokens and the number of merged heads, which shapes leave open, are those
    under which the last checkpoint answers most, unless a run.yaml or a configuration beside the weights says them.
    What they record of losses and accuracies is compared with the weights' own.
    Raises InterpError where a tensor is not recognised, with what was found and what fits, and where what was guessed
    contradicts what was recorded.
    """
    read = files_by_step.reading_once()
    asked = files_by_step.Asked(pattern, entry, at_steps)
    run = files_by_step.find(path, asked, read)
    files = dict(run.places)

    def tensors(step: int) -> Arrays:
        return files_by_step.arrays_at(files[step], read)

    of_all = _example(sorted(files), tensors)
    example, arrays = of_all.step, of_all.arrays
    source = str(files[example].path)
    in_one_file = len({place.path for place in files.values()}) == 1
    unchanged = _of_one_moment(len(files), example) if of_all.unchanged and in_one_file else ""
    if unchanged:
        run = dataclasses.replace(run, places={example: files[example]})
        files = dict(run.places)
    recorded = records_beside(path, asked, run)
    if not run.step_told and (last := max((max(curve) for curve in recorded.curves.values()), default=0)):
        files, example = {last: files[example]}, last
        note = f"Its step is taken to be {last:,}, the last of which something was recorded."
        run = dataclasses.replace(run, places=files, notes=(*run.notes[:-1], note))
    told = _told(task, model, recorded)
    recognised = _recognised(_Tensors(arrays, of_all.constant, source), names or {}, told)
    network, found = best_reading(recognised, told)
    if task is None and not found.found:
        raise InterpError(_which_task(network, told, found))
    fitted = network.layout.fitted(found.model)

    def load(step: int) -> Arrays:
        return layouts.in_our_layout(tensors(step), fitted, str(files[step].path))

    given = None
    if train or test:
        which: Literal["train", "test"] = "train" if test is None else "test"
        listed = training_pairs.in_file(path, train or test or "", found.p, which)
        given = listed if which == "train" else ~listed
    beside = Beside(given, read(files[example].path), recorded)
    load_once = functools.lru_cache(MOST_LOOKED_AT + 2)(load)  # every activation asks for the same checkpoints
    account = most_consistent(Opened(found, load_once, [step for step in sorted(files) if step <= example]), beside)
    found = account.found
    if account.wrong and not told.everything:
        raise InterpError(_contradiction(source, account, unchanged))
    return Imported(
        task=(found.task[0], {**found.task[1], **(account.drawn or {})}),
        model=found.model,
        steps=sorted(files),
        load=load,
        train=account.train,
        files={step: place.path for step, place in files.items()},
        notes=(
            *([unchanged] if unchanged else []),
            *_of_the_records(account),
            *_of_the_reading(network, account, told),
            *_left_out(network, names or {}),
            *_of_a_scale(recorded.config, account),
            *account.others,
            *run.notes,
        ),
        read_as=_read_as(network),
    )


def _of_the_records(account: Account) -> list[str]:
    """What is said first: what was recorded and is not so, where the user's word stands against it."""
    wrong = [f"{one.sentence} The run.yaml says otherwise, or they are of something else." for one in account.wrong[:1]]
    return [*wrong, *account.warnings]


def _of_the_reading(network: Network, account: Account, told: Known) -> list[str]:
    """What was taken for granted of task and model, and what the files lack or have twice."""
    found, layout = account.found, network.layout
    said = found.sentences(told, account.explained) if not told.everything or not found.found else []
    if said and found.found and not account.logits_known and found.combination:
        said[0] += f" {found.combination}"
    if layout.names.is_transformer and layout.n_ctx is None:
        said.append(f"The files hold no position embedding: positions are {found.model[1].get('positions', 'none')}.")
    if (scale := found.model[1].get("embedding_scale", 1.0)) != 1 and not told.model:
        said.append(
            f"The embedding is taken to be multiplied by √d_model, {number(scale, 4)}, before positions are added, as "
            "in Vaswani et al. 2017: so its answers say."
        )
    if found.model[1].get("norm", "none") != "none" and not (layout.norms or told.model):
        kind = {"layer": "LayerNorm", "rms": "RMSNorm"}[found.model[1]["norm"]]
        place = {"pre": "before each sublayer and at the end", "post": "after each sublayer"}
        said.append(
            f"The files hold no norms: {kind} without parameters {place[found.model[1]['norm_position']]} is what its "
            "answers say. Whether there is one at the end they do not, and the losses depend on it: final_norm in a "
            "run.yaml."
        )
    if found.model[1].get("norm") == "rms" and not (told.model or told.norm_eps):
        eps = found.model[1].get("norm_eps", 1e-5)
        said.append(
            f"The norms are taken to add {number(eps)} to the mean square: no file says it (norm_eps in a run.yaml)."
        )
    if layout.names.is_transformer and told.modulus is None and found.p not in {one.p for one in readings(layout)}:
        said.append(
            f"The modulus was taken to be {found.p}, which of all explains most answers: the tables have "
            f"{layout.d_vocab} rows."
        )
    n_heads = found.model[1].get("n_heads")
    if told.n_heads and n_heads and not told.model and n_heads != told.n_heads:
        said.append(f"The configuration says {told.n_heads} heads; with {number(n_heads)} it answers far more.")
    if layout.tied:
        said.append("The unembedding is the embedding's own table.")
    if layout.gate_last:
        said.append("Gate and input of an MLP are one matrix, and its second half is the gate: so its answers say.")
    return said


def _of_a_scale(config: Mapping[str, Any], account: Account) -> list[str]:
    """What is said of a number by which the logits may be multiplied, unless the recorded losses show that none is."""
    scale = configuration.logit_scale(config)
    if scale is None or account.distance is not None:
        return []
    return [
        f"The configuration says {shown(scale[0])}: {number(scale[1], 4)}. Logits are read as the last matrix gives "
        "them: where the network scales them by it, its answers are the same and its losses are others."
    ]


def _read_as(network: Network) -> dict[str, str]:
    """What became of each tensor."""
    names = network.layout.names
    ours = {theirs: name for name, theirs in names.theirs.items()}
    if network.layout.sinusoidal:
        ours[names.theirs["pos_embed.W_pos"]] = "sines and cosines, which are no parameters"
    return {name: ours.get(name, "left out: no parameter") for name in network.arrays}


def _left_out(network: Network, told: dict[str, str | None]) -> list[str]:
    """What is said of tensors that never change and that nothing says are masks or counters."""
    names, arrays = network.layout.names, network.arrays
    known = tensor_names.constants(arrays) | told.keys()
    odd = [name for name in names.ignored if name not in known and not _is_second(name, names, arrays)]
    numbers = [name for name, ours in told.items() if ours is None and name in arrays and arrays[name].size == 1]
    if numbers:
        return [
            f"Left out, because it was said so: {', '.join(numbers)}. Where the network multiplies by it, its logits "
            "are others."
        ]
    if not odd:
        return []
    listed = ", ".join(f"{name} {list(arrays[name].shape)}" for name in odd[:4]) + (" and others" if odd[4:] else "")
    return [f"Left out, because never trained: {listed}. Where the network multiplies by it, its logits are others."]


def _is_second(name: str, names: tensor_names.Names, arrays: Arrays) -> bool:
    return any(_same(arrays[name], arrays[theirs]) for theirs in names.theirs.values())


def recognises(path: Path) -> bool:
    """Whether there is a state dict of a network at `path`; the most general of the importers."""
    try:
        files_by_step.find(path)
    except InterpError:
        return False
    return True


def _told(task: Given | None, model: Given | None, recorded: Recorded) -> Known:
    """What the user says, and, where the user says nothing, what the configuration does."""
    settings = configuration.settings(recorded.config)
    unknown = configuration.unknown_activation(recorded.config)
    if task is not None:
        settings |= {"p": None, "operation": None}
    return Known(task, model, unknown_act_fn=unknown, **settings)


@dataclasses.dataclass(frozen=True)
class _Tensors:
    """A checkpoint as it was saved."""

    arrays: Arrays
    constant: frozenset[str]
    """The names of those that are the same at all checkpoints, where others change."""
    source: str


@dataclasses.dataclass(frozen=True)
class _Example:
    """The checkpoint that stands for the run, and what those that were read with it have in common."""

    step: int
    arrays: Arrays
    constant: frozenset[str]
    """The names of those that are the same at all checkpoints, where others change."""
    unchanged: bool
    """Whether all are the same at several checkpoints."""


def _of_one_moment(n: int, step: int) -> str:
    return (
        f"All {n} checkpoints hold the same numbers, as where state_dict() is kept without a copy of it "
        f"(copy.deepcopy(network.state_dict()) makes one): so they are one, taken to be the last, at step {step:,}."
    )


def _example(steps: list[int], tensors: Callable[[int], Arrays]) -> _Example:
    """Return the checkpoint that stands for the run: the last that is finite and has the tensors that most have.

    Only the last three and about four spread over the run are read; where none of them can be, the others, from the
    last on, until one can.
    Raises the reason for the last one where none can be read.
    """
    sample = dict.fromkeys([*steps[-3:], *steps[:: -max(1, len(steps) // 4)]])
    others = [step for step in steps if step not in sample]
    read: dict[int, Arrays] = {}
    reasons: dict[int, InterpError] = {}
    for step in [*sample, *reversed(others)]:
        if read and step not in sample:
            break
        try:
            read[step] = layouts.heads_together(tensors(step))
        except InterpError as error:
            reasons[step] = error
    if not read:
        raise reasons[steps[-1]]
    shapes = {step: frozenset((name, array.shape) for name, array in arrays.items()) for step, arrays in read.items()}
    count = Counter(shapes.values())
    usual = [step for step in read if count[shapes[step]] == max(count.values())]
    finite = [step for step in usual if all(np.isfinite(array).all() for array in read[step].values())]
    chosen = max(finite or usual)
    same = {
        name for name, array in read[chosen].items() if all(_same(array, read[step][name]) for step in finite or usual)
    }
    all_same = same == read[chosen].keys()
    unchanged = all_same and len(finite or usual) == len(read) > 1
    return _Example(chosen, read[chosen], frozenset() if all_same else frozenset(same), unchanged)


def _recognised(tensors: _Tensors, names: dict[str, str | None], told: Known) -> Network:
    """The network of these tensors. Raises InterpError, with the line to add, where not all are recognised."""
    arrays, source = tensors.arrays, tensors.source
    try:
        matched = _matched(tensors, names)
        missing = layouts.missing(matched)
        if not (matched.unknown or missing):
            return Network(arrays, layouts.layout(arrays, matched), source)
    except InterpError as error:
        to_do = "" if NOT_OURS in str(error) or str(error).startswith("names:") else f". {NOT_OURS}"
        raise InterpError(f"{source}: {error}{to_do}") from None

    def opens(more: dict[str, str | None]) -> bool:
        """Whether these names as well make a network that answers something."""
        try:
            again = _matched(tensors, {**names, **more})
            if again.unknown or layouts.missing(again):
                return False
            _, found = best_reading(Network(arrays, layouts.layout(arrays, again), source), told)
        except InterpError:
            return False
        return found.explained if None in more.values() else found.found  # weights left out might be needed

    shapes = {name: array.shape for name, array in arrays.items()}
    raise InterpError(unrecognised.message(source, shapes, matched, missing, opens))


def _matched(tensors: _Tensors, names: dict[str, str | None]) -> tensor_names.Names:
    """Which tensor is which; those that never change are weights only where something would be missing without them."""
    arrays = tensors.arrays
    matched = _without_second_names(tensor_names.match(arrays, names, tensors.constant), arrays)
    if not (matched.unknown or layouts.missing(matched)):
        return matched
    every = _without_second_names(tensor_names.match(arrays, names), arrays)
    return matched if every.unknown or layouts.missing(every) else every


def _without_second_names(names: tensor_names.Names, arrays: Arrays) -> tensor_names.Names:
    """Take an unknown tensor that equals a known one to be that one, saved under two names."""
    known = [arrays[theirs] for theirs in names.theirs.values()]
    second = [name for name in names.unknown if any(_same(arrays[name], array) for array in known)]
    unknown = tuple(name for name in names.unknown if name not in second)
    return dataclasses.replace(names, unknown=unknown, ignored=(*names.ignored, *second))


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


def _contradiction(source: str, account: Account, unchanged: str) -> str:
    """What was recorded and is not so, and the run.yaml that opens it all the same.

    `unchanged` says that all checkpoints are one, where that may be why.
    """
    found = account.found
    guessed = found.tried or "Its activation, operation and row of tokens were guessed."
    lines = [
        proposals.in_yaml({singular: {name: options}})[1:-1]
        for singular, (name, options) in (("task", found.task), ("model", found.model))
    ]
    why = f"{account.wrong[0].sentence} {unchanged}".strip()
    return (
        f"{source}: {why} So it is another network than it was taken for, or the records are of something else, or of "
        f"another loss. {guessed} Where you know better, say so in a run.yaml beside the files, with which it opens "
        "with a note; as it was taken it is\n"
        + "\n".join([*lines, "importer: state_dicts"])
        + f"\n{unrecognised.WEIGHTS}"
    )


def _which_task(network: Network, told: Known, found: Guess) -> str:
    """The question for the task, and lines that answer it, each tried."""
    task: dict[str, Any] = {
        "p": told.p or (found.p if found.above_chance else candidates.usual_modulus(network.layout)),
        "operation": told.operation or "x+y",
    }
    if found.instead is not None:
        task["operation"] = found.instead.task[1]["operation"]
    lines = f"task: {{modular_arithmetic: {{p: {task['p']}, operation: {task['operation']}}}}}\nimporter: state_dicts\n"
    moduli = sorted({p for _, p, *_ in network.judged})
    every = len(moduli) > 2 and moduli == list(range(moduli[0], moduli[-1] + 1))
    tried = f"{moduli[0]} to {moduli[-1]}" if every else ", ".join(map(str, moduli))
    another = "" if told.p else "; where it is another one, say so in a run.yaml"
    try:
        so = best_guess(network, dataclasses.replace(told, task=("modular_arithmetic", task)))
    except (InterpError, ValueError):
        what_opens = "None of these answers. "
    else:
        what_opens = (
            f"Write the task it was trained on into a run.yaml beside the files; if it is this one,\n{lines}"
            if so.found
            else "None of these answers. Only where it has learned nothing yet, and you know its task, does a run.yaml "
            f"beside the files open it: as {so.operation} {so.accuracy:.1%} of its answers are right, {so.to_chance}, "
            f"and that is said\n{lines}"
        )
    instead = f" {found.said_instead}" if found.instead else ""
    return (
        f"{network.source}: which task? no operation explains its answers: at best {found.accuracy:.1%} of the pairs, "
        f"as {found.operation}, and chance is {1 / found.p:.1%}.{instead} It may be one that interp does not know, "
        f"another architecture, or a network that has learned nothing yet. {found.tried} Moduli tried: "
        f"{tried}{another}. {what_opens}{unrecognised.WEIGHTS}"
    )
