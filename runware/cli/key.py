"""The commands `key ...`: where the API key comes from, and keeping it in the keyring of the operating system."""

from __future__ import annotations

import getpass
import sys

import typer

from runware import ConfigurationError
from runware.cli.common import SETTINGS, App, Json, command
from runware.cli.key_sources import NO_KEY, delete_key, find_key, read_key_file, store_key
from runware.cli.output import Output, echo, reporting

__all__ = ["app"]

app = App(
    no_args_is_help=True,
    help="Keep the API key in the keyring of the operating system (extra keyring).",
)


@app.command("show")
@command
def show(as_json: Json = False) -> None:
    """Show where the API key comes from. The key itself is never printed."""
    with reporting(as_json):
        found = find_key()
        if as_json:
            Output.json({"source": found.source or None})
        elif found.source:
            echo(f"from {found.source}")
        else:
            raise ConfigurationError(NO_KEY, parameter="api_key")


@app.command("set")
@command
def set_key() -> None:
    """Store the API key in the keyring. It is asked for, or read from standard input or --key-file."""
    with reporting():
        if (file := SETTINGS.get().key_file) is not None:
            value = read_key_file(file)
        else:
            terminal = sys.stdin.isatty()
            value = (getpass.getpass("API key (not shown): ") if terminal else sys.stdin.readline()).strip()
        if not value or not value.isprintable() or " " in value:
            raise ConfigurationError("That is no API key: it is empty, or has white space in it.", parameter="api_key")
        typer.echo(f"stored in {store_key(value)}", err=True)


@app.command()
@command
def delete() -> None:
    """Delete the API key from the keyring."""
    with reporting():
        typer.echo("deleted" if delete_key() else "there was none", err=True)
