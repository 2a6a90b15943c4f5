"""The options that commands share, and the settings that apply to every part of a command."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import attrs
import typer
from typer.core import TyperCommand, TyperGroup

from runware._support.api_names import wire_name
from runware.cli.completion import complete_file_format, complete_model, complete_setting

__all__ = [
    "EDIT",
    "GENERATE",
    "PLATFORM",
    "SETTINGS",
    "SETUP",
    "App",
    "Extra",
    "Given",
    "Group",
    "Height",
    "Json",
    "Local",
    "Model",
    "Negative",
    "Number",
    "OpenFiles",
    "OptionalModel",
    "Out",
    "Overwrite",
    "Prompt",
    "Seed",
    "Settings",
    "Timeout",
    "Width",
    "command",
    "file_format",
    "read_prompt",
    "read_settings",
]

GENERATE = "Generate"
EDIT = "Work with media"
PLATFORM = "Models, tasks and account"
SETUP = "Set-up and development"

_OUTPUT = "Output"
_CONNECTION = "Connection"

Local = Annotated[
    bool,
    typer.Option(
        "--local",
        help="Use a temporary server on this machine: no key, no network, no cost.",
        rich_help_panel=_CONNECTION,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_OUTPUT)]
Out = Annotated[
    Optional[str],
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Save to a directory (out/), a file (kite.png), a file for each result (kite-{number}.png), or - for "
        "standard output. Default: print URLs; with --local, save to the current directory.",
        rich_help_panel=_OUTPUT,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=_OUTPUT)]
OpenFiles = Annotated[
    bool,
    typer.Option(
        "--open",
        help="Open the saved files; saves to the current directory unless -o says otherwise.",
        rich_help_panel=_OUTPUT,
    ),
]
Timeout = Annotated[
    Optional[float],
    typer.Option("--timeout", metavar="SECONDS", help="Deadline in seconds.", rich_help_panel=_CONNECTION),
]
Extra = Annotated[
    Optional[list[str]],
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Additional parameter, by its API or Python name; repeatable.",
        autocompletion=complete_setting,
    ),
]
Model = Annotated[
    str, typer.Option("--model", "-m", help="The model's AIR.", metavar="AIR", autocompletion=complete_model)
]
OptionalModel = Annotated[
    Optional[str], typer.Option("--model", "-m", help="The model's AIR.", metavar="AIR", autocompletion=complete_model)
]
Width = Annotated[Optional[int], typer.Option("--width", "-W", metavar="PIXELS", help="Width in pixels.")]
Height = Annotated[Optional[int], typer.Option("--height", "-H", metavar="PIXELS", help="Height in pixels.")]
Number = Annotated[int, typer.Option("--number", "-n", metavar="COUNT", min=1, max=20, help="Number of results.")]
Seed = Annotated[Optional[int], typer.Option("--seed", metavar="NUMBER", help="Seed; random by default.")]
Negative = Annotated[Optional[str], typer.Option("--negative", metavar="TEXT", help="What to avoid.")]
Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="What to generate; - reads stdin.")]
Given = Annotated[str, typer.Argument(metavar="MEDIA", help="File, URL, or UUID of stored media.")]

Names = Annotated[
    Literal["api", "python"],
    typer.Option("--names", help="Names of the fields in JSON.", rich_help_panel=_OUTPUT),
]
KeyFile = Annotated[
    Optional[Path],
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="File with the API key, instead of RUNWARE_API_KEY.",
        rich_help_panel=_CONNECTION,
    ),
]


def file_format(*formats: str) -> Any:
    """Return the option `--format` with the file formats of a command."""
    return typer.Option(
        "--format",
        metavar="|".join(formats),
        help="File format. Default: that of the file name given with -o, or the server's.",
        autocompletion=complete_file_format(formats),
    )


class _FlagsWithoutType:
    """A command whose help shows no type beside a flag. Typer 0.29 shows `<bool>`, as if the flag took a value."""

    def get_params(self, ctx: Any) -> list[Any]:
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for one in found:
            if getattr(one, "is_flag", False):
                one.metavar = ""
        return found


class _Command(_FlagsWithoutType, TyperCommand):
    pass


class Group(_FlagsWithoutType, TyperGroup):
    """A group of commands."""


class App(typer.Typer):
    """A `typer.Typer` whose commands and groups are of these classes, unless `cls` is given."""

    def __init__(self, *, cls: type[Group] = Group, **options: Any) -> None:
        super().__init__(cls=cls, rich_markup_mode="rich", pretty_exceptions_enable=False, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Return a decorator that adds a command."""
        return super().command(name, cls=_Command, **options)


@attrs.frozen
class Settings:
    """Options of the running command that apply to every part of it.

    Attributes:
        names: Whether JSON has the names of the API or those of Python.
        key_file: The file with the API key; `None` looks elsewhere.
    """

    names: Literal["api", "python"] = "api"
    key_file: Path | None = None


SETTINGS: ContextVar[Settings] = ContextVar("settings", default=Settings())  # noqa: B039 - it is frozen


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command has: `--names` and `--key-file`."""
    signature = inspect.signature(function, eval_str=True)
    further = [
        inspect.Parameter("names", inspect.Parameter.KEYWORD_ONLY, default="api", annotation=Names),
        inspect.Parameter("key_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=KeyFile),
    ]
    parameters = [*signature.parameters.values(), *further]

    @functools.wraps(function)
    def run(*, names: Literal["api", "python"] = "api", key_file: Path | None = None, **given: Any) -> None:
        token = SETTINGS.set(Settings(names, key_file))
        try:
            function(**given)
        finally:
            SETTINGS.reset(token)

    # typer reads the options from both.
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def read_settings(pairs: Sequence[str] | None) -> dict[str, Any] | None:
    """Return the parameters given as `--set NAME=VALUE`, under the API's names; a value that is JSON is taken as JSON.

    Raises:
        typer.BadParameter: An argument has another form.
    """
    found: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"expected NAME=VALUE; got {pair!r}", param_hint="--set")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        found[wire_name(name) if "_" in name else name] = value
    return found or None


def read_prompt(text: str) -> str:
    """Return a prompt; `-` stands for standard input."""
    return sys.stdin.read().strip() if text == "-" else text
