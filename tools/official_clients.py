"""Run the official clients against the local server.

python -m tools.official_clients                     in a temporary directory, which is removed afterwards
python -m tools.official_clients --directory DIR     in DIR, which is kept, so that the next run installs nothing

Each client is installed by name from its own registry, into an environment of its own, and never into this one: they
have the import name `runware` too. Each does the same six things: one image, several images, a polled video, a caption,
an upscale, and a request that the server rejects. What it returns is compared with the server's ledger. The exit code
is 1 if anything failed.
"""

# ruff: noqa: INP001, T201 - a script, which prints a table

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from runware.local import LocalServer

PROGRAMS = Path(__file__).resolve().parent / "official"
STEPS = ("image", "several images", "video", "caption", "upscale", "validation error")
INSTALL_TIMEOUT = 300.0
RUN_TIMEOUT = 120.0


class FailedError(Exception):
    """A client could not be installed or run, or returned a wrong result."""


class Client(NamedTuple):
    """One official client: its name in its registry, the program that uses it, and how to install and run it."""

    package: str
    program: str
    install: Callable[[Path, str], list[str]]


def install_from_pypi(directory: Path, package: str) -> list[str]:
    """Install a Python package into an environment of its own, and return the command that runs programs there."""
    python = directory / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(directory, with_pip=True)
    run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], directory)
    return [str(python)]


def install_from_npm(directory: Path, package: str) -> list[str]:
    """Install a JavaScript package into a directory, and return the command that runs programs there."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise FailedError("node and npm are not installed")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "package.json").write_text('{"private": true, "type": "module"}\n')
    run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", package], directory)
    return [node]


CLIENTS = (
    Client("runware-sdk", "python_new.py", install_from_pypi),
    Client("runware", "python_old.py", install_from_pypi),
    Client("@runware/sdk-js", "javascript.mjs", install_from_npm),
)


def run(command: list[str], directory: Path, timeout: float = INSTALL_TIMEOUT) -> str:
    """Run a command in a directory, isolated from this project, and return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RUNWARE"))}
    try:
        result = subprocess.run(  # noqa: S603 - the commands are those above
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"{Path(command[0]).name} took longer than {timeout:g} s") from error
    if result.returncode:
        raise FailedError(f"{Path(command[0]).name} ended with {result.returncode}: {result.stderr.strip()[-800:]}")
    return result.stdout


def try_client(client: Client, directory: Path) -> dict[str, Any]:
    """Install one client, run all steps, and return its version and its result of each step."""
    command = client.install(directory, client.package)
    program = directory / client.program
    shutil.copyfile(PROGRAMS / client.program, program)  # Node looks for packages beside the program
    with LocalServer(delay={"videoInference": 0.4}, spread=0.05, frame_size=1) as server:
        printed = run([*command, str(program), server.url, server.http_url, server.api_key], directory, RUN_TIMEOUT)
        said: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
        return {"version": said["version"], **{step: judge(step, said.get(step), server) for step in STEPS}}


def judge(step: str, said: Any, server: LocalServer) -> str:
    """Compare a client's result of a step with the expected one; return the difference, empty if there is none."""
    if not isinstance(said, dict):
        return f"it says nothing: {said!r}"
    if "failed" in said:
        return str(said["failed"])
    try:
        if step == "caption":
            expect(said["text"] == "boats tied to a pier", said)
        elif step == "validation error":
            # The newer Python client reports a category in place of the server's code.
            expect(said["code"] in ("invalidWidth", "validation"), said)
            expect(said["parameter"] == "width", said)
        else:
            expect(len(said["urls"]) == (3 if step == "several images" else 1), said)
            for url in said["urls"]:
                expect(url.startswith(server.http_url), said)
                with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server's
                    kind = answer.headers.get_content_maintype()
                expect(kind == ("video" if step == "video" else "image"), said)
        if step == "video":
            (task,) = server.ledger.tasks("videoInference")
            expect(server.ledger.polls(task["taskUUID"]) > 0, "it was not polled for")
    except (KeyError, TypeError, OSError, FailedError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def expect(true: bool, what: Any) -> None:
    """Raise unless a condition holds."""
    if not true:
        raise FailedError(f"not as it should be: {what}")


def main() -> int:
    """Run every client, and print a table."""
    parser = argparse.ArgumentParser(description="Let the official clients work against the local server.")
    parser.add_argument("--directory", type=Path, help="where the clients are installed (default: a temporary one)")
    arguments = parser.parse_args()
    project = PROGRAMS.parent.parent
    if arguments.directory is not None and arguments.directory.resolve().is_relative_to(project):
        parser.error("the directory must be outside this project")
    with tempfile.TemporaryDirectory(prefix="runware-clients-") as temporary:
        root = (arguments.directory or Path(temporary)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        return report({client.package: attempt(client, root) for client in CLIENTS})


def attempt(client: Client, root: Path) -> dict[str, Any]:
    """Run one client; a failure as a whole counts for every step."""
    print(f"{client.package} …", file=sys.stderr, flush=True)
    try:
        return try_client(client, root / client.package.strip("@").replace("/", "-"))
    except (FailedError, OSError, subprocess.SubprocessError, ValueError) as error:
        return {"version": "?", **dict.fromkeys(STEPS, f"{type(error).__name__}: {error}")}


def report(outcomes: dict[str, dict[str, Any]]) -> int:
    """Print the table and the failures, and return the exit code."""
    names = {package: f"{package} {outcome['version']}" for package, outcome in outcomes.items()}
    width = max(map(len, names.values()))
    print("  ".join([" " * width, *STEPS]))
    for package, outcome in outcomes.items():
        cells = [("failed" if outcome[step] else "ok").ljust(len(step)) for step in STEPS]
        print("  ".join([names[package].ljust(width), *cells]).rstrip())
    failures = [
        f"{names[package]}, {step}: {outcome[step]}"
        for package, outcome in outcomes.items()
        for step in STEPS
        if outcome[step]
    ]
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
