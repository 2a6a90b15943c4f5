"""The command `doctor --probe`: ask for permission, run the probe, and print its report."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from runware import ConfigurationError, ValidationError, __version__
from runware._support.lazy_modules import lazy_module
from runware.cli.key_sources import NO_KEY, find_key
from runware.cli.output import Output, echo, note
from runware.cli.probe import COST, Answer, Probe, run_probe
from runware.cli.screen import dollars, is_terminal, print_styled, waiting
from runware.options import read_options

if TYPE_CHECKING:
    from runware import local as local_package
else:
    local_package = lazy_module("runware.local")

__all__ = ["report"]

SECONDS = 240.0
"""Seconds that a probe may take."""
LISTENING = 35.0
"""Seconds for which an idle connection is watched for pings, while other questions are asked."""

_STYLES = {"holds": "bold green", "differs": "bold yellow", "found": "bold cyan", "open": "dim"}


def report(as_json: bool, local: bool, yes: bool) -> None:
    """Run the probe and print what it found.

    Args:
        as_json: Print JSON.
        local: Probe a temporary server on this machine.
        yes: Do not ask for permission.

    Raises:
        ConfigurationError: There is no API key.
        ValidationError: There is no permission.
    """
    with ExitStack() as stack:
        given: dict[str, Any]
        if local:
            server = stack.enter_context(local_package.LocalServer(delay={"imageInference": 0.4}))
            given = {"api_key": server.api_key, "url": server.url}
        else:
            key = find_key()
            if not key.value:
                raise ConfigurationError(NO_KEY, parameter="api_key")
            given = {"api_key": key.value}
        options = read_options(given)
        if not local:
            _ask_permission(options.url, yes)
        seconds, listening = (60.0, 2.0) if local else (SECONDS, LISTENING)
        probe = stack.enter_context(Probe(options, seconds=seconds, listening=listening))
        with waiting("connecting", shown=not as_json) as show:
            answers = list(run_probe(probe, lambda keys: show(f"asking about {keys}")))
        if as_json:
            Output.json([one.as_json() for one in answers])
            return
        _print(probe, answers)


def _ask_permission(url: str, yes: bool) -> None:
    note(
        f"The probe sends about 100 requests to {url}: mostly dry runs and questions, at most ten images of the "
        f"cheapest model, and seven short texts. It also sends 42 MiB of padding, one wrong API key, and malformed "
        "messages. "
        f"It takes up to {SECONDS / 60:.0f} minutes, and may cost up to {dollars(COST)}; about a cent is usual."
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise ValidationError("The probe costs money: give your consent with --yes.", parameter="--yes")
    if not typer.confirm("Go on?", default=False, err=True):
        raise typer.Exit(1)


def _print(probe: Probe, answers: list[Answer]) -> None:
    echo(
        f"runware-client {__version__}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}, {probe.hide(probe.options.url)}"
    )
    for one in answers:
        if is_terminal():
            text = one.as_text()
            print_styled((text[:7], _STYLES[one.mark]), (text[7:], ""))
        else:
            echo(one.as_text())
    counts = Counter(one.mark for one in answers)
    echo(", ".join(f"{counts[mark]} {words}" for mark, words in _WORDS.items() if counts[mark]))
    note(f"{probe.requests} requests, {dollars(probe.cost)}")


_WORDS = {
    "holds": "assumptions hold",
    "differs": "differ",
    "found": "found without an assumption",
    "open": "open",
}
