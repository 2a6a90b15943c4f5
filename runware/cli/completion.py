"""Shell completion: the values to offer, and the command that prints the completion script of a shell."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    from runware import models as knowledge
else:
    knowledge = lazy_module("runware.models")

__all__ = [
    "complete_file_format",
    "complete_model",
    "complete_parameter",
    "complete_setting",
    "completing_in_bash",
    "completion",
]

_PROGRAM = "runware"
_TASK_TYPES = {
    "image": "imageInference",
    "video": "videoInference",
    "audio": "audioInference",
    "3d": "3dInference",
    "text": "textInference",
    "chat": "textInference",
    "upscale": "upscale",
    "caption": "caption",
    "remove-background": "removeBackground",
    "vectorize": "vectorize",
}
"""The capabilities that the models of a command need."""

_BREAKS = re.compile(r"[:=@]+")


def complete_model(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield the AIRs and slugs that begin with a text, of the models that fit the command."""
    wanted = _TASK_TYPES.get(ctx.info_name or "")
    for model in knowledge.list():
        if wanted is None or model.task_type == wanted:
            for name in (model.air, model.slug):
                if name and name.startswith(incomplete):
                    yield name, _plain(model.name)


def complete_parameter(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of the model on the command line that begin with a text, or the values after its `=`."""
    name = ctx.params.get("target") or ctx.params.get("model")
    model = knowledge.catalogue().catalogue.get(name) if name else None
    parameters = [one for one in model.parameters if "[]" not in one.name] if model is not None else []
    wanted, equals, _ = incomplete.partition("=")
    if equals:
        for one in parameters:
            if wanted in (one.name, one.api_name):
                allowed = one.allowed or (("true", "false") if one.takes == "True or False" else ())
                yield from ((f"{wanted}={value}", "") for value in allowed if isinstance(value, (str, int, float)))
        return
    for one in parameters:
        if one.name.startswith(incomplete):
            yield f"{one.name}=", _plain(one.takes)


def complete_setting(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of the model on the command line that begin with a text, by their API names."""
    model = knowledge.catalogue().catalogue.get(ctx.params.get("model") or "")
    for one in model.parameters if model is not None else ():
        if "." not in one.api_name and "[" not in one.api_name and one.api_name.startswith(incomplete):
            yield f"{one.api_name}=", _plain(one.takes)


def complete_file_format(formats: Sequence[str]) -> Callable[[str], Iterator[str]]:
    """Return a function that yields the file formats that begin with a text."""

    def complete(incomplete: str) -> Iterator[str]:
        return (one for one in formats if one.startswith(incomplete.upper()))

    return complete


def completion(
    context: typer.Context,
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the completion script of a shell. It completes commands, options, models and their parameters."""
    # typer's own scripts call the program in the same way.
    variable = f"_{_PROGRAM.upper()}_COMPLETE"
    os.environ[variable] = f"source_{shell}"
    try:
        context.find_root().command.main(args=[], prog_name=_PROGRAM)
    finally:
        del os.environ[variable]


def _plain(text: str) -> str:
    return text.replace("[", "(").replace("]", ")")  # typer takes brackets for markup


def completing_in_bash(app: Callable[[], object]) -> None:
    """Run the command line for a completion in bash, which splits words at `:`, `=` and `@`.

    The words are joined again, and the part of the last one that bash keeps is removed from the completions.
    """
    typed = os.environ["COMP_WORDS"]
    try:
        split = shlex.split(typed)
    except ValueError:  # a quotation mark is still open
        split = typed.split()
    words, kept = _joined(split, int(os.environ["COMP_CWORD"]))
    os.environ["COMP_WORDS"] = shlex.join(words)
    os.environ["COMP_CWORD"] = str(len(words) - 1)
    found = io.StringIO()
    try:
        with redirect_stdout(found):
            app()
    finally:
        sys.stdout.write("".join(line.removeprefix(kept) for line in found.getvalue().splitlines(keepends=True)))


def _joined(words: list[str], current: int) -> tuple[list[str], str]:
    """Return the words up to the current one as they were typed, and the part of that one which bash keeps.

    Args:
        words: The words as bash splits them, without an empty one at the end.
        current: The position of the current word.
    """
    made: list[str] = []
    broken = False
    for word in [*words, ""][: current + 1]:
        is_break = _BREAKS.fullmatch(word) is not None
        if made and (is_break or broken) and not (broken and not word):
            made[-1] += word
        else:
            made.append(word)
        broken = is_break
    breaks = list(_BREAKS.finditer(made[-1]))
    return made, made[-1][: breaks[-1].end()] if breaks else ""
