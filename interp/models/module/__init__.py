"""A network of one's own: any nn.Module, in a file beside the recipe.

1. `user_code` runs the file and makes the network; `own_module` calls it as a function of its weights, and looks
   inside.
2. `hooked` makes a TransformerLens module of it.
3. Here the options are checked against it, once, when the recipe is read.
"""

from __future__ import annotations

from pathlib import Path

from interp.contracts.recipe_file import BesideRecipe
from interp.contracts.task import Task, TwoOperands
from interp.models.module.own_module import OwnModule, Parts, checked
from interp.models.module.user_code import Making


def module(
    task: Task,
    file: BesideRecipe,
    make: str,
    embedding: str | None = None,
    neurons: str | None = None,
    logits: str | None = None,
    row: str | None = None,
    read_at: int = -1,
) -> OwnModule:
    """A network of your own: the nn.Module that a file beside the run.yaml makes. The file is run as it stands.

    The weights are its parameters under their own names, hooks are named by the paths of its modules, and it is always
    in evaluation mode. What a measure needs and is not told here, that measure says; the loss, the curvature and all
    that asks for weights and answers alone need nothing.

    - file: the Python file, relative to the run.yaml. It may import what is installed, but no file beside it.
    - make: what makes the network: a class or function of the file called with literals, such as "Net(p=97)".
    - embedding: the parameter whose rows 0…p-1 are the residues', such as "embed.weight".
    - neurons: the module whose output is the last hidden layer's neurons, such as "mlp.act".
    - logits: the module whose output is the answer; else it is what the network returns, or the first of several.
    - row: what the network reads of a pair, such as "a b =": the operands, "=" for the token p, and numbers for other
      tokens; else the inputs as the task has them, for pairs [a, b].
    - read_at: at which position the answer is read, where there is one for each: -1 is the last.

    Raises ValueError, with the file and line, where their code fails, a name is none of the network's, the answers have
    not one number for each output of the task, or it has constants drawn at random.
    """
    told = Parts(embedding, neurons, logits, _row(row, task), read_at)
    return checked(OwnModule(task, Making(Path(file), str(file), make), told))


def _row(row: str | None, task: Task) -> tuple[int | str, ...] | None:
    """Return a row's tokens, "a" and "b" or the number of a fixed one. Raises ValueError where it is no such row."""
    if row is None:
        return None
    if not isinstance(task, TwoOperands):
        raise ValueError(f"row is {row!r}, of two operands, and {task.description} has none; leave it out")
    tokens: list[int | str] = []
    for word in row.split():
        if word in ("a", "b"):
            tokens.append(word)
        elif word == "=" or word.isdecimal():
            tokens.append(task.p if word == "=" else int(word))
        else:
            raise ValueError(f"row is {row!r}; expected a, b, = (the token p) and numbers of tokens, such as 'a b ='")
    if not {"a", "b"} <= set(tokens):
        raise ValueError(f"row is {row!r}, which lacks an operand; expected a and b, such as 'a b ='")
    return tuple(tokens)
