"""The commands. Each calls one operation of the client."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from runware import ConfigurationError, ValidationError, __version__
from runware._support.escaping import escape_controls, one_line
from runware._support.lazy_modules import lazy_module
from runware.cli import completion, generate, jobs, key, media, models, requests, text
from runware.cli.common import (
    EDIT,
    GENERATE,
    PLATFORM,
    SETUP,
    App,
    Json,
    Local,
    OpenFiles,
    Out,
    Overwrite,
    Timeout,
    command,
)
from runware.cli.completion import complete_model, complete_parameter
from runware.cli.output import Output, accept_any_text, client, echo, replace_closed_streams, reporting, without_secrets
from runware.cli.screen import dollars, is_terminal, print_styled

if TYPE_CHECKING:
    import platformdirs

    from runware import agents
    from runware.cli import doctor as checks
    from runware.cli import probing
    from runware.integrations import mcp as mcp_server
    from runware.local import __main__ as local_command
else:
    platformdirs = lazy_module("platformdirs")
    agents = lazy_module("runware.agents")
    mcp_server = lazy_module("runware.integrations.mcp")
    checks = lazy_module("runware.cli.doctor")
    probing = lazy_module("runware.cli.probing")
    local_command = lazy_module("runware.local.__main__")

__all__ = ["app"]

app = App(
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Images, video, audio, text and 3D from the Runware API. The key comes from RUNWARE_API_KEY, or a file or "
    "keyring (see key --help); --local needs none.",
    epilog="Exit codes: 0 success, 1 failure, 2 wrong usage, 3 API key rejected, 4 no connection, 5 timeout, "
    "130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"runware-client {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version  # the callback of the option has printed it
    replace_closed_streams()
    accept_any_text()


app.command(rich_help_panel=GENERATE)(generate.image)
app.command(rich_help_panel=GENERATE)(generate.video)
app.command(rich_help_panel=GENERATE)(generate.audio)
app.command("3d", rich_help_panel=GENERATE)(generate.three_d)
app.command(rich_help_panel=GENERATE)(text.text)
app.command(rich_help_panel=GENERATE)(text.chat)
app.command(rich_help_panel=EDIT)(media.caption)
app.command(rich_help_panel=EDIT)(media.upscale)
app.command("remove-background", rich_help_panel=EDIT)(media.remove_background)
app.command(rich_help_panel=EDIT)(media.vectorize)
app.command(rich_help_panel=EDIT)(media.upload)
app.add_typer(jobs.app, name="jobs", rich_help_panel=PLATFORM)
app.add_typer(models.app, name="models", rich_help_panel=PLATFORM)


@app.command(rich_help_panel=PLATFORM)
@command
def account(as_json: Json = False, local: Local = False) -> None:
    """Show the account's balance and usage."""
    with reporting(as_json, local), client(local) as rw:
        output = Output(as_json)
        found = output.wait(rw.submit.account_management())
        if as_json:
            output.json([without_secrets(found.raw)])
            return
        balance = found.balance_amount
        lines: list[tuple[str, object]] = [
            ("organization", found.organization_name),
            ("balance", found.balance if balance is None else dollars(balance)),
        ]
        if (usage := found.usage) is not None:
            parts = {name: getattr(usage, name) for name in ("today", "last_7_days", "last_30_days", "total")}
            lines += [
                (name.replace("_", " "), f"{_amount(part.credits)} in {part.requests} requests")
                for name, part in parts.items()
                if part is not None
            ]
        lines += [("members", len(found.team)), ("keys", len(found.api_keys))]
        for name, value in lines:
            shown = "" if value is None else one_line(value)
            if is_terminal():
                print_styled((f"{name:13} ", "bold"), (shown, ""))
            else:
                echo(f"{name:13} {shown}".rstrip())


def _amount(value: object) -> object:
    return dollars(value) if isinstance(value, (int, float)) else value


@app.command(rich_help_panel=PLATFORM)
@command
def job(
    ref: Annotated[str, typer.Argument(metavar="REF", help="UUID of the task, or a job's ref as JSON.")],
    out: Out = None,
    overwrite: Overwrite = False,
    open_files: OpenFiles = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Wait for a task that was submitted earlier, and save or print its results."""
    with reporting(as_json, local), client(local) as rw:
        output = Output(as_json, out, overwrite, local, open_files)
        output.finish(rw.job(_ref(ref), timeout=timeout))


def _ref(text: str) -> str | dict[str, Any]:
    if not text.lstrip().startswith("{"):
        return text
    expected = 'REF is the UUID of a task, or JSON such as {"task_uuid": "...", "task_type": "videoInference"}'
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ValidationError(f"{expected}; this is not JSON: {error}.", parameter="REF") from error
    if "task_uuid" not in found:
        raise ValidationError(f"{expected}; this has no task_uuid.", parameter="REF")
    return found


@app.command(rich_help_panel=GENERATE)
@command
def run(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|MODEL",
            help="JSON file with one API object or a list of them; - reads stdin. Or a model's AIR or slug.",
            autocompletion=complete_model,
        ),
    ],
    pairs: Annotated[
        Optional[list[str]],
        typer.Argument(
            metavar="NAME=VALUE",
            help="Parameters of a model: width=1024 settings.quality=high lora.0.model=civitai:1@1 image=@photo.png",
            autocompletion=complete_parameter,
        ),
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    open_files: OpenFiles = False,
    timeout: Annotated[
        Optional[float], typer.Option("--timeout", metavar="SECONDS", help="Deadline of each task in seconds.")
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Only list what the models do not accept; exit code 2 if anything.")
    ] = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only estimate the costs.")] = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Run a model, or tasks from a JSON file concurrently. Results are saved and printed even if other tasks fail."""
    with reporting(as_json, local):
        tasks = requests.tasks_of(target, pairs or [], timeout)
        if check_only or estimate:
            raise typer.Exit(requests.examine(tasks, check_only, estimate, as_json))
        output = Output(as_json, out, overwrite, local, open_files)
        output.check(sum(requests.expected_results(task) for task in tasks))
        with client(local, include_cost=True) as rw:
            output.finish(*map(rw.submit.run, tasks))


@app.command(
    rich_help_panel=SETUP,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def serve(context: typer.Context) -> None:
    """Run a local server with the Runware API, for development. Takes the options of python -m runware.local."""
    with reporting():
        main = local_command.main
    arguments = [argument for argument in context.args if argument != "--local"]
    raise typer.Exit(main(arguments, context.command_path))


app.add_typer(key.app, name="key", rich_help_panel=SETUP)
app.command("completion", rich_help_panel=SETUP)(completion.completion)


def _show_finding(finding: checks.Finding) -> None:
    text = finding.as_text(shutil.get_terminal_size().columns if is_terminal() else None)
    if is_terminal():
        style = {"FAIL": "bold red", "note": "bold yellow"}.get(text[:4], "bold green")
        print_styled((text[:4], style), (escape_controls(text[4:]), ""))
    else:
        echo(text, lines=True)


@app.command(rich_help_panel=SETUP)
@command
def doctor(
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Ask the service what its documentation leaves open. Says what it may cost, and asks first."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Probe without asking.")] = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Check everything a connection needs, and report problems.

    With --probe, ask the service what its documentation leaves open instead, and print a report without secrets.
    """
    if probe:
        with reporting(as_json):
            probing.report(as_json, local, yes)
        return
    with reporting(as_json):
        findings = checks.examine(local)
        if as_json:
            Output.json([finding.as_json() for finding in findings])
        else:
            for finding in findings:
                _show_finding(finding)
    raise typer.Exit(max((finding.exit_code for finding in findings), default=0))


@app.command(rich_help_panel=SETUP)
@command
def mcp(
    folder: Annotated[
        Optional[Path],
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="Save results here, and read images from here. Default: Pictures/runware.",
        ),
    ] = None,
    read: Annotated[
        Optional[list[Path]],
        typer.Option("--read", metavar="FOLDER", help="Also read images from here; repeatable. No other file is read."),
    ] = None,
    budget: Annotated[
        Optional[float],
        typer.Option(
            "--budget", metavar="DOLLARS", help="The most that all calls together may spend. Default: no limit."
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", metavar="SECONDS", help="How long a tool waits before it returns a job to look at later."
        ),
    ] = 45.0,
    port: Annotated[
        Optional[int],
        typer.Option("--http", metavar="PORT", help="Serve over HTTP on this machine, in place of stdin and stdout."),
    ] = None,
    local: Local = False,
) -> None:
    """Serve tools to assistants such as Claude, over MCP."""
    with reporting(local=local), client(local) as rw:
        where = platformdirs.user_pictures_path() / "runware" if folder is None else folder
        toolbox = agents.Toolbox(rw, folder=where, read=read or (), budget=budget, wait=wait)
        try:
            stdio, http = mcp_server.serve_stdio, mcp_server.serve_http
        except ImportError as error:
            raise ConfigurationError("runware mcp needs an extra: pip install 'runware-client[mcp]'.") from error
        # Standard output belongs to the protocol.
        if port is not None:
            echo(f"MCP server at http://127.0.0.1:{port}/mcp, files in {toolbox.folder}", err=True)
            http(toolbox, port)
        else:
            if sys.stdin.isatty():
                echo("MCP server on standard input; an MCP host starts it. End it with Ctrl-C.", err=True)
                # Python's default handler would wait for the thread that reads a line from the terminal.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            stdio(toolbox)
