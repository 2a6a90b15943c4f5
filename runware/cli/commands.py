"""The commands. Each calls one operation of the client."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from runware import ConfigurationError, ValidationError, __version__
from runware._support.lazy_modules import lazy_module
from runware.cli import jobs, models, requests
from runware.cli.completion import complete_model, complete_parameter
from runware.cli.output import Output, client, echo, media, reporting, without_secrets

if TYPE_CHECKING:
    import platformdirs

    from runware import agents
    from runware.cli import doctor as checks
    from runware.integrations import mcp as mcp_server
    from runware.local import __main__ as local_command
else:
    platformdirs = lazy_module("platformdirs")
    agents = lazy_module("runware.agents")
    mcp_server = lazy_module("runware.integrations.mcp")
    checks = lazy_module("runware.cli.doctor")
    local_command = lazy_module("runware.local.__main__")

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Images, video, audio, text and 3D from the Runware API. The key comes from RUNWARE_API_KEY.",
    epilog="Exit codes: 0 success, 1 failure, 2 wrong usage, 3 API key rejected, 4 no connection, 5 timeout, "
    "130 interrupted.",
)

Local = Annotated[
    bool, typer.Option("--local", help="Use a temporary server on this machine: no key, no network, no cost.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[
    Optional[Path],
    typer.Option(
        "--out",
        "-o",
        help="Save to this directory. Default: print URLs; with --local, save to the current directory.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
Timeout = Annotated[Optional[float], typer.Option("--timeout", help="Deadline in seconds.")]
Extra = Annotated[
    Optional[list[str]],
    typer.Option("--set", metavar="NAME=VALUE", help="Additional parameter by API name; repeatable."),
]
Model = Annotated[str, typer.Option("--model", "-m", help="The model's AIR or slug.", autocompletion=complete_model)]
Width = Annotated[Optional[int], typer.Option("--width", "-W", help="Width in pixels.")]
Height = Annotated[Optional[int], typer.Option("--height", "-H", help="Height in pixels.")]
Number = Annotated[int, typer.Option("--number", "-n", min=1, max=20, help="Number of results.")]
Seed = Annotated[Optional[int], typer.Option("--seed", help="Seed; random by default.")]
Negative = Annotated[Optional[str], typer.Option("--negative", help="What to avoid.")]
Prompt = Annotated[str, typer.Argument(help="What to generate; - reads stdin.")]
Given = Annotated[str, typer.Argument(metavar="MEDIA", help="File, URL, or UUID of stored media.")]


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
    pass


def _extra(pairs: list[str] | None) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"expected NAME=VALUE; got {pair!r}", param_hint="--set")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found or None


def _prompt(text: str) -> str:
    return sys.stdin.read().strip() if text == "-" else text


@app.command()
def image(
    prompt: Prompt,
    model: Model = "runware:101@1",
    width: Width = 1024,
    height: Height = 1024,
    number: Number = 1,
    negative: Negative = None,
    seed: Seed = None,
    steps: Annotated[Optional[int], typer.Option("--steps", help="Number of inference steps.")] = None,
    form: Annotated[
        Optional[Literal["JPG", "PNG", "WEBP"]],
        typer.Option("--format", case_sensitive=False, help="File format."),
    ] = None,
    start: Annotated[
        Optional[str],
        typer.Option("--from", metavar="MEDIA", help="Image to start from: file, URL or UUID."),
    ] = None,
    extra: Extra = None,
    out: Out = None,
    overwrite: Overwrite = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Generate images."""
    further = _extra(extra)
    with reporting(as_json, local):
        seed_image = media(start) if start is not None else None
        with client(local) as rw:
            output = Output(as_json, out, overwrite, local)
            job = rw.submit.image_inference(
                positive_prompt=_prompt(prompt),
                model=model,
                width=width,
                height=height,
                number_results=number,
                negative_prompt=negative,
                seed=seed,
                steps=steps,
                output_format=form,
                seed_image=seed_image,
                extra=further,
                timeout=timeout,
                include_cost=True,
            )
            output.finish(job)


@app.command()
def video(
    prompt: Prompt,
    model: Model = "klingai:5@3",
    duration: Annotated[float, typer.Option("--duration", "-d", help="Length in seconds.")] = 5,
    width: Width = None,
    height: Height = None,
    number: Number = 1,
    negative: Negative = None,
    seed: Seed = None,
    start: Annotated[
        Optional[str], typer.Option("--from", metavar="MEDIA", help="First frame: file, URL or UUID.")
    ] = None,
    extra: Extra = None,
    out: Out = None,
    overwrite: Overwrite = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Generate videos."""
    further = _extra(extra)
    with reporting(as_json, local):
        frames = [{"inputImage": media(start), "frame": "first"}] if start is not None else None
        with client(local) as rw:
            output = Output(as_json, out, overwrite, local)
            job = rw.submit.video_inference(
                positive_prompt=_prompt(prompt),
                model=model,
                duration=int(duration) if duration == int(duration) else duration,
                width=width,
                height=height,
                number_results=number,
                negative_prompt=negative,
                seed=seed,
                frame_images=frames,
                extra=further,
                timeout=timeout,
                include_cost=True,
            )
            output.finish(job)


@app.command()
def caption(
    given: Given,
    prompt: Annotated[Optional[str], typer.Option("--prompt", help="Instruction for the description.")] = None,
    model: Annotated[Optional[str], typer.Option("--model", "-m", help="The model's AIR.")] = None,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Describe an image in words."""
    with reporting(as_json, local):
        source = media(given)
        with client(local) as rw:
            output = Output(as_json, local=local)
            job = rw.submit.caption(input_image=source, prompt=prompt, model=model, timeout=timeout, include_cost=True)
            output.finish(job)


@app.command()
def upscale(
    given: Given,
    factor: Annotated[
        float, typer.Option("--factor", "-f", help="Scale factor: 2 or 4, and others with some models.")
    ] = 2,
    model: Annotated[Optional[str], typer.Option("--model", "-m", help="The model's AIR.")] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Upscale an image."""
    with reporting(as_json, local):
        source = media(given)
        with client(local) as rw:
            output = Output(as_json, out, overwrite, local)
            job = rw.submit.upscale(
                input_image=source,
                model=model,
                upscale_factor=int(factor) if factor == int(factor) else factor,
                timeout=timeout,
                include_cost=True,
            )
            output.finish(job)


app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")


@app.command()
def account(as_json: Json = False, local: Local = False) -> None:
    """Show the account's balance and usage."""
    with reporting(as_json, local), client(local) as rw:
        output = Output(as_json)
        found = output.wait(rw.submit.account_management())
        if as_json:
            output.json([without_secrets(found.raw)])
            return
        lines: list[tuple[str, object]] = [("organization", found.organization_name), ("balance", found.balance)]
        if (usage := found.usage) is not None:
            parts = {name: getattr(usage, name) for name in ("today", "last_7_days", "last_30_days", "total")}
            lines += [
                (name.replace("_", " "), f"{part.credits} in {part.requests} requests")
                for name, part in parts.items()
                if part is not None
            ]
        lines += [("members", len(found.team)), ("keys", len(found.api_keys))]
        for name, value in lines:
            echo(f"{name:13} {'' if value is None else value}".rstrip())


@app.command()
def job(
    ref: Annotated[str, typer.Argument(help="UUID of the task, or a job's ref as JSON.")],
    out: Out = None,
    overwrite: Overwrite = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Wait for a task that was submitted earlier, and save or print its results."""
    with reporting(as_json, local), client(local) as rw:
        output = Output(as_json, out, overwrite, local)
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


@app.command()
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
            metavar="[NAME=VALUE]...",
            help="Parameters of a model: width=1024 settings.quality=high lora.0.model=civitai:1@1 image=@photo.png",
            autocompletion=complete_parameter,
        ),
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    timeout: Annotated[Optional[float], typer.Option("--timeout", help="Deadline of each task in seconds.")] = None,
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
        with client(local) as rw:
            output = Output(as_json, out, overwrite, local)
            output.finish(*map(rw.submit.run, tasks))


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(context: typer.Context) -> None:
    """Run a local server with the Runware API, for development. Takes the options of `python -m runware.local`."""
    with reporting():
        main = local_command.main
    arguments = [argument for argument in context.args if argument != "--local"]
    raise typer.Exit(main(arguments, context.command_path))


@app.command()
def doctor(as_json: Json = False, local: Local = False) -> None:
    """Check everything a connection needs, and report problems."""
    with reporting(as_json):
        findings = checks.examine(local)
    if as_json:
        Output.json([finding.as_json() for finding in findings])
    else:
        for finding in findings:
            echo(finding.as_text(), lines=True)
    raise typer.Exit(max((finding.exit_code for finding in findings), default=0))


@app.command()
def mcp(
    folder: Annotated[
        Optional[Path],
        typer.Option("--folder", help="Save results here, and read images from here. Default: Pictures/runware."),
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
                # Python's own handler would wait for the thread that reads a line from the terminal.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            stdio(toolbox)
