"""Completion in the shell: what to offer, and the command that prints the script of a shell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    from runware import models as knowledge
    from runware.models.catalogue import Parameter
else:
    knowledge = lazy_module("runware.models")

__all__ = ["complete_file_format", "complete_model", "complete_parameter", "complete_setting", "completion"]

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
"""What the models of a command do."""


_BASH = r"""_runware_completion() {
    local words=() word glue="" last=-1 current
    # bash splits words at colons, which AIRs have.
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ $word == : && $last -ge 0 ]]; then
            words[last]+=:; glue=1
        elif [[ $glue ]]; then
            words[last]+=$word; glue=""
        else
            words+=("$word"); last=$((last + 1))
        fi
    done
    current=${words[last]}
    local IFS=$'\n'
    COMPREPLY=($(IFS=' '; COMP_WORDS="${words[*]}" COMP_CWORD=$last _RUNWARE_COMPLETE=complete_bash "$1"))
    if [[ $current == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*:}"}"}")
    fi
    if [[ ${COMPREPLY[0]} == *= ]] && type compopt &>/dev/null; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}

complete -o default -F _runware_completion runware
"""
"""The script for bash. typer's own cannot complete words with colons."""


def complete_model(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield the AIRs and slugs that begin with a text, of the models that fit the command."""
    wanted = _TASK_TYPES.get(ctx.info_name or "")
    for model in knowledge.list():
        if wanted is None or model.task_type == wanted:
            for name in (model.air, model.slug):
                if name and name.startswith(incomplete):
                    yield name, model.name


def complete_parameter(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of the model on the command line that begin with a text, by their Python names."""
    for one in _parameters(ctx):
        if one.name.startswith(incomplete):
            yield f"{one.name}=", one.takes


def complete_setting(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of the model on the command line that begin with a text, by their API names."""
    for one in _parameters(ctx):
        if "." not in one.api_name and one.api_name.startswith(incomplete):
            yield f"{one.api_name}=", one.takes


def _parameters(ctx: typer.Context) -> Sequence[Parameter]:
    name = ctx.params.get("target") or ctx.params.get("model")
    model = knowledge.catalogue().catalogue.get(name) if name else None
    return model.parameters if model is not None else ()


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
    if shell == "bash":
        typer.echo(_BASH, nl=False)
        return
    # The protocol by which typer's own scripts call the program.
    variable = f"_{_PROGRAM.upper()}_COMPLETE"
    os.environ[variable] = f"source_{shell}"
    try:
        context.find_root().command.main(args=[], prog_name=_PROGRAM)
    finally:
        del os.environ[variable]
