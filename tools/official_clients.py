"""Run the official clients against the local server.

python -m tools.official_clients                     in a temporary directory, which is removed afterwards
python -m tools.official_clients --directory DIR     in DIR, which is kept, so that the next run installs nothing
    --typescript CHECKOUT       build `@runware/sdk` from a checkout of Runware/runware-typescript, in place of npm's
    --suite CHECKOUT            also run the tests of a checkout of Runware/sdk-js, against a server of their own

Each client is installed by name from its own registry, into an environment of its own, and never into this one: they
have the import name `runware` too. Each does what it can of the same things: one image, several images, a polled video,
a caption, an upscale, and a request that the server rejects; and over HTTP a streamed text, an image, a polled video,
and a call of a serverless app. What it returns is compared with the server's ledger. Every program has a time limit.
The exit code is 1 if anything failed.
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
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from runware.local import LocalServer

PROGRAMS = Path(__file__).resolve().parent / "official"
BASIC = ("image", "several images", "video", "caption", "upscale", "validation error")
OVER_HTTP = ("stream", "HTTP image", "HTTP video")
SERVERLESS = "serverless"
STEPS = (*BASIC, *OVER_HTTP, SERVERLESS)
APP = "kite-factory"
QUESTION = "What is a lighthouse?"
INSTALL_TIMEOUT = 300.0
RUN_TIMEOUT = 120.0
SUITE_TIMEOUT = 300.0
NPM_OPTIONS = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")


class FailedError(Exception):
    """A client could not be installed or run, or returned a wrong result."""


class Client(NamedTuple):
    """One official client: its name in its registry, the program that uses it, how to install it, and what it can."""

    package: str
    program: str
    install: Callable[[Path, str], list[str]]
    steps: tuple[str, ...] = BASIC


def install_from_pypi(directory: Path, package: str) -> list[str]:
    """Install a Python package into an environment of its own, and return the command that runs programs there."""
    python = directory / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(directory, with_pip=True)
    run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], directory)
    return [str(python)]


def install_from_npm(directory: Path, *packages: str) -> list[str]:
    """Install JavaScript packages into a directory, and return the command that runs programs there."""
    node = tool("node")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "package.json").write_text('{"private": true, "type": "module"}\n')
    run([tool("npm"), "install", *NPM_OPTIONS, *packages], directory)
    return [node]


def install_from_checkout(checkout: Path, directory: Path, package: str) -> list[str]:
    """Bundle a TypeScript package from its source, and return the command that runs programs there."""
    command = install_from_npm(directory, "esbuild", "ws")
    bundler = directory / "node_modules" / "esbuild" / "bin" / "esbuild"
    target = directory / "node_modules" / package
    source = [str(checkout / "src" / "index.ts"), "--bundle", "--platform=node", "--format=esm", "--external:ws"]
    run([*command, str(bundler), *source, "--external:ajv", f"--outfile={target / 'index.js'}"], directory)
    about = json.loads((checkout / "package.json").read_text())
    about = {"name": package, "version": about["version"], "type": "module", "main": "index.js"}
    (target / "package.json").write_text(json.dumps(about))
    return command


def tool(name: str) -> str:
    """Return the path of a program that has to be there."""
    found = shutil.which(name)
    if found is None:
        raise FailedError(f"{name} is not installed")
    return found


def clients(typescript: Path | None) -> list[Client]:
    """Return the clients.

    Args:
        typescript: A checkout of the TypeScript client; `None` takes the published package.
    """
    build = install_from_npm if typescript is None else partial(install_from_checkout, typescript)
    return [
        Client("runware-sdk", "python_new.py", install_from_pypi, STEPS),
        Client("runware", "python_old.py", install_from_pypi),
        Client("@runware/sdk", "typescript.mjs", build, (*BASIC, *OVER_HTTP)),
        Client("@runware/sdk-js", "javascript.mjs", install_from_npm),
    ]


def run_suite(checkout: Path, directory: Path) -> str:
    """Run the tests of the JavaScript client in a copy of its checkout; return what failed, empty if nothing did."""
    if not directory.exists():
        shutil.copytree(checkout, directory, ignore=shutil.ignore_patterns("node_modules", ".git"))
    if not (directory / "node_modules" / "vitest").exists():
        run([tool("npm"), "install", *NPM_OPTIONS], directory)
    outcome = directory / "outcome.json"
    outcome.unlink(missing_ok=True)
    command = [tool("node"), "node_modules/vitest/vitest.mjs", "run", "tests/", "--reporter=json"]
    with LocalServer() as server:
        more = {"API_KEY": server.api_key, "VITE_RUNWARE_SDK_URL": server.url}
        try:
            run([*command, f"--outputFile={outcome.name}"], directory, SUITE_TIMEOUT, more)
        except FailedError:
            if not outcome.exists():
                raise
    said = json.loads(outcome.read_text())
    passed, total = said["numPassedTests"], said["numTotalTests"]
    print(f"tests of @runware/sdk-js: {passed} of {total} passed")
    tests = [test for file in said["testResults"] for test in file["assertionResults"]]
    failed = [test["fullName"] for test in tests if test["status"] != "passed"]
    return ", ".join(failed) or ("" if total and passed == total else f"{passed} of {total} passed")


def run(
    command: list[str], directory: Path, timeout: float = INSTALL_TIMEOUT, more: Mapping[str, str] | None = None
) -> str:
    """Run a command in a directory, isolated from this project, and return its output.

    Args:
        command: The program and its arguments.
        directory: The directory.
        timeout: Seconds after which it is ended.
        more: Variables to add to the environment.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RUNWARE"))}
    environment |= more or {}
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
        server.app(APP, {"paint": lambda payload: {"painted": payload["colour"]}})
        printed = run([*command, str(program), server.url, server.http_url, server.api_key], directory, RUN_TIMEOUT)
        said: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
        return {"version": said["version"], **{step: judge(step, said.get(step), server) for step in client.steps}}


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
        elif step == "stream":
            (task,) = server.ledger.tasks("textInference")
            expect(task["deliveryMethod"] == "stream", task)
            expect(said["pieces"] > 1, said)
            expect(said["joined"] == said["text"] and QUESTION in said["text"], said)
            expect(said["finish"] == "stop", said)
        elif step == SERVERLESS:
            expect(said["status"] == "completed" and said["output"] == {"painted": "red"}, said)
            expect(len(server.ledger.tasks("serverless")) == 1, "it was sent more than once")
        else:
            expect(len(said["urls"]) == (3 if step == "several images" else 1), said)
            for url in said["urls"]:
                expect(url.startswith(server.http_url), said)
                with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server's
                    kind = answer.headers.get_content_maintype()
                expect(kind == ("video" if step.endswith("video") else "image"), said)
        if step.endswith("video"):
            task = server.ledger.tasks("videoInference")[("video", "HTTP video").index(step)]
            expect(server.ledger.polls(task["taskUUID"]) > 0, "it was not polled for")
    except (LookupError, TypeError, ValueError, OSError, FailedError) as error:
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
    parser.add_argument("--typescript", type=Path, help="a checkout of the TypeScript client (default: npm's package)")
    parser.add_argument("--suite", type=Path, help="a checkout of the JavaScript client, whose tests to run as well")
    arguments = parser.parse_args()
    project = PROGRAMS.parent.parent
    if arguments.directory is not None and arguments.directory.resolve().is_relative_to(project):
        parser.error("the directory must be outside this project")
    with tempfile.TemporaryDirectory(prefix="runware-clients-") as temporary:
        root = (arguments.directory or Path(temporary)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        typescript, suite = (path and path.resolve() for path in (arguments.typescript, arguments.suite))
        failed = report({client: attempt(client, root) for client in clients(typescript)})
        return max(failed, 0 if suite is None else attempt_suite(suite, root))


def attempt(client: Client, root: Path) -> dict[str, Any]:
    """Run one client; a failure as a whole counts for every step."""
    print(f"{client.package} …", file=sys.stderr, flush=True)
    try:
        return try_client(client, root / client.package.strip("@").replace("/", "-"))
    except (FailedError, OSError, subprocess.SubprocessError, ValueError) as error:
        return {"version": "?", **dict.fromkeys(client.steps, f"{type(error).__name__}: {error}")}


def attempt_suite(checkout: Path, root: Path) -> int:
    """Run the tests of the JavaScript client, print what failed, and return the exit code."""
    print("tests of @runware/sdk-js …", file=sys.stderr, flush=True)
    try:
        failure = run_suite(checkout, root / "suite")
    except (FailedError, OSError, subprocess.SubprocessError, ValueError) as error:
        failure = f"{type(error).__name__}: {error}"
    if failure:
        print(f"tests of @runware/sdk-js: failed: {failure}")
    return 1 if failure else 0


def report(outcomes: dict[Client, dict[str, Any]]) -> int:
    """Print the table and the failures, and return the exit code. What a client cannot do is left blank."""
    names = {client: f"{client.package} {outcome['version']}" for client, outcome in outcomes.items()}
    width = max(map(len, names.values()))
    print("  ".join([" " * width, *STEPS]))
    for client, outcome in outcomes.items():
        told = {step: "failed" if outcome[step] else "ok" for step in client.steps}
        cells = [told.get(step, "").ljust(len(step)) for step in STEPS]
        print("  ".join([names[client].ljust(width), *cells]).rstrip())
    failures = [
        f"{names[client]}, {step}: {outcome[step]}"
        for client, outcome in outcomes.items()
        for step in client.steps
        if outcome[step]
    ]
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
