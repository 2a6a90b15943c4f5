"""Try the client with other people's frameworks, each in an environment of its own.

python -m tools.frameworks                     all of them, in a temporary directory, which is removed afterwards
python -m tools.frameworks celery rq           some of them
    --directory DIR                            in DIR, which is kept, so that the next run installs nothing
    --jobs N                                   N at a time; 2 by default

Each script of `tests/frameworks/` uses the client as a program with that framework would, against a local server. Every
installation and every script has a time limit. The exit code is 1 if anything failed.
"""

# ruff: noqa: INP001, T201 - a script, which prints a table

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from runware.local import LocalServer

PROJECT = Path(__file__).resolve().parent.parent
SCRIPTS = PROJECT / "tests" / "frameworks"
PACKAGES = {
    "fastapi": ("fastapi", "httpx"),
    "flask": ("flask",),
    "celery": ("celery", "pytest"),  # pytest: its worker for tests imports it
    "rq": ("rq", "fakeredis"),
    "pydantic": ("pydantic",),
    "pandas": ("pandas",),
    "orjson": ("orjson",),
    "streamlit": ("streamlit",),
    "gradio": ("gradio",),
    "marimo": ("marimo",),
    "langchain": ("langchain-core",),
    "openai_agents": ("openai-agents",),
    "mcp": (),
}
EXTRAS = {"mcp": "[mcp]", "gradio": "[images]", "langchain": "[images]", "openai_agents": "[images]"}
INSTALL_TIMEOUT = 600.0
RUN_TIMEOUT = 120.0


class FailedError(Exception):
    """A framework could not be installed, or its script failed."""


class Outcome(NamedTuple):
    """What became of one framework."""

    name: str
    version: str
    passed: bool
    words: str
    seconds: float


def run(command: list[str], directory: Path, timeout: float, **environment: str) -> str:
    """Run a command and return its output.

    Raises:
        FailedError: It failed, or took too long; the message ends with what it wrote last.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the commands below
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"took more than {timeout:g} s: {Path(command[0]).name} {command[-1]}") from error
    if done.returncode:
        raise FailedError((done.stderr or done.stdout).strip()[-2000:])
    return done.stdout.strip()


def install(directory: Path, name: str) -> str:
    """Install a framework and the client into an environment of its own, and return the path of its Python."""
    python = directory / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = directory / "installed"
    if not done.exists():
        venv.create(directory, with_pip=True, clear=True)
        client = f"{PROJECT}{EXTRAS.get(name, '')}"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--editable", client, *PACKAGES[name]], directory, INSTALL_TIMEOUT)
        done.touch()
    return str(python)


def attempt(name: str, directory: Path) -> Outcome:
    """Install a framework, run its script against a local server, and return what became of it."""
    started = time.monotonic()
    version = ""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        python = install(directory, name)
        packages = PACKAGES[name] or ("mcp",)
        asked = f"from importlib.metadata import version; print(version({packages[0]!r}))"
        version = run([python, "-c", asked], directory, RUN_TIMEOUT)
        with LocalServer() as server:
            # Without the folder of the script in the path: the scripts have the names of the frameworks.
            words = run(
                [python, "-P", str(SCRIPTS / f"{name}.py")],
                directory,
                RUN_TIMEOUT,
                RUNWARE_API_KEY=server.api_key,
                RUNWARE_URL=server.url,
                GRADIO_ANALYTICS_ENABLED="False",
                OPENAI_API_KEY="unused",
            )
        outcome = Outcome(name, version, True, words.splitlines()[-1], time.monotonic() - started)
    except FailedError as error:
        outcome = Outcome(name, version, False, str(error), time.monotonic() - started)
    print(f"{name}: {'passed' if outcome.passed else 'FAILED'} after {outcome.seconds:.0f} s", file=sys.stderr)
    return outcome


def show(outcomes: list[Outcome]) -> None:
    """Print the outcomes as a table, and what the failed ones wrote."""
    wide = max(len(outcome.name) for outcome in outcomes)
    for outcome in outcomes:
        words = outcome.words if outcome.passed else outcome.words.splitlines()[-1]
        print(f"{outcome.name:<{wide}}  {outcome.version:<10}  {'passed' if outcome.passed else 'FAILED'}  {words}")
    for outcome in outcomes:
        if not outcome.passed:
            print(f"\n{outcome.name}:\n{outcome.words}")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Try the client with other people's frameworks.")
    parser.add_argument("names", nargs="*", choices=[*PACKAGES, []], metavar="name", help=", ".join(PACKAGES))
    parser.add_argument("--directory", type=Path, help="keep the environments here")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    arguments = parser.parse_args()
    names = arguments.names or list(PACKAGES)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        where = (arguments.directory or Path(temporary)).resolve()
        with ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
            outcomes = list(pool.map(lambda name: attempt(name, where / name), names))
    show(outcomes)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
