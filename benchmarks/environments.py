"""An environment for each client, created on demand outside the source tree, and its contents."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import venv
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.harness import ROOT, environment

__all__ = ["ENVIRONMENTS", "MakingError", "command", "machine", "make", "surroundings", "versions"]

PEERS = Path(__file__).parent / "peers"
LIMIT = 300.0
"""Seconds that creating an environment may take."""
ENVIRONMENTS = {
    "ours": str(ROOT),
    "ours-fast": f"{ROOT}[fast]",
    "ours-store": f"{ROOT}[store]",
    "runware-sdk": "runware-sdk",
    "runware": "runware",
    "sdk-js": "@runware/sdk-js",
}
"""What is installed in each; for this client, the source tree itself, so that its current state is measured."""
SHOWN = (
    "runware-client",
    "runware-sdk",
    "runware",
    "websocket-client",
    "websockets",
    "aiohttp",
    "httpx2",
    "orjson",
    "SQLAlchemy",
    "attrs",
)
LIST = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


class MakingError(Exception):
    """An environment could not be created."""


def make(directory: Path, names: Iterable[str]) -> dict[str, str]:
    """Create the missing environments, and return which could not be created, and why."""
    directory.mkdir(parents=True, exist_ok=True)

    def attempt(name: str) -> str:
        done = directory / f"{name}.done"  # an interrupted attempt is started anew
        if done.exists() and done.read_text(encoding="utf-8") == ENVIRONMENTS[name]:
            return ""
        shutil.rmtree(directory / name, ignore_errors=True)
        try:
            (_npm if name == "sdk-js" else _pip)(directory / name, name)
        except (MakingError, OSError, subprocess.SubprocessError) as error:
            return str(error) or type(error).__name__
        done.write_text(ENVIRONMENTS[name], encoding="utf-8")
        return ""

    with ThreadPoolExecutor(2) as pool:
        tried = {name: pool.submit(attempt, name) for name in names}
    return {name: text for name, one in tried.items() if (text := one.result())}


def _pip(place: Path, name: str) -> None:
    venv.create(place, with_pip=True)
    what = ["--editable", ENVIRONMENTS[name]] if name.startswith("ours") else [ENVIRONMENTS[name]]
    _run([str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what], place)


def _npm(place: Path, name: str) -> None:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise MakingError("node and npm are not installed")
    place.mkdir(parents=True)
    (place / "package.json").write_text('{"private": true, "type": "module"}\n', encoding="utf-8")
    _run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", ENVIRONMENTS[name]], place)


def _run(line: list[str], place: Path) -> str:
    done = subprocess.run(
        line, cwd=place, env=surroundings("runware"), capture_output=True, text=True, timeout=LIMIT, check=False
    )
    if done.returncode:
        said = [one for one in done.stderr.strip().splitlines() if "WARNING" not in one]
        raise MakingError(f"{Path(line[0]).name} ended with {done.returncode}: " + " ".join(said[-3:])[-300:])
    return done.stdout


def surroundings(name: str) -> dict[str, str]:
    """Return the environment variables of a client: only ours finds this project.

    The source tree keeps its bytecode, as the packages of the other clients do since their installation.
    """
    if name.startswith("ours"):
        return {key: value for key, value in environment().items() if key != "PYTHONDONTWRITEBYTECODE"}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "RUNWARE"))}
    if name == "runware":  # see peers/runware_old.py
        kept |= {
            "RUNWARE_MAX_CONCURRENT_REQUESTS": "1000000",
            "RUNWARE_VIDEO_INITIAL_TIMEOUT": "1000",
            "RUNWARE_VIDEO_POLLING_DELAY": "1000",
        }
    return kept


def command(directory: Path, name: str, program: str, *arguments: str) -> list[str]:
    """Return the command that runs a client's program in its environment."""
    place = directory / name
    if name == "sdk-js":
        beside = place / program  # Node looks for packages beside the program
        shutil.copyfile(PEERS / program, beside)
        return [shutil.which("node") or "node", "--expose-gc", str(beside), *arguments]
    return [str(place / "bin/python"), str(PEERS / program), *arguments]


def versions(directory: Path, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the relevant versions in the environments."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        place = directory / name
        if name == "sdk-js":
            packages = ("@runware/sdk-js", "ws")
            files = {one: place / "node_modules" / one / "package.json" for one in packages}
            here = {one: json.loads(file.read_text(encoding="utf-8"))["version"] for one, file in files.items()}
            found[name] = {**here, "node": _run(["node", "--version"], place).strip().lstrip("v")}
        else:
            installed = json.loads(_run([str(place / "bin/python"), "-c", LIST], place))
            found[name] = {one: installed[one] for one in SHOWN if one in installed}
            found[name]["python"] = platform.python_version()
    return found


def machine() -> dict[str, str]:
    """Describe the machine, without its name."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    release = ".".join(platform.release().split(".")[:2])
    return {"cpu": model, "cores": str(os.cpu_count()), "kernel": f"{platform.system()} {release}"}
