"""Rules for the package as a whole: the direction of imports, its public names, its start."""

from __future__ import annotations

import ast
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import runware

ROOT = pathlib.Path(runware.__file__).parent
PROJECT = ROOT.parent

# From top to bottom: a module may import from its own row and from the rows below it, also inside functions.
ROWS = [
    {"runware.__main__"},
    {"runware.cli", "runware.pytest_plugin"},
    {"runware.integrations"},
    {"runware.agents"},
    {"runware"},
    {"runware.testing"},
    {"runware.client", "runware.answers", "runware.downloads"},
    {"runware.async_client", "runware.client_base", "runware.handles"},
    {"runware.operations", "runware.map"},
    {"runware.store.asynchronous"},
    {"runware.store.runs"},
    {"runware.store.access"},
    {"runware.shared_cores"},
    {"runware.core", "runware.webhooks"},
    {"runware.core_calls", "runware.knowledge"},
    {"runware.serverless"},
    {"runware.display.progress", "runware.text"},
    {"runware.jobs", "runware.futures"},
    {"runware.store"},
    {"runware.requests"},
    {"runware.results"},
    {"runware.display", "runware.display.notebook"},
    {"runware.models"},
    {"runware.media"},
    {"runware.transport"},
    {"runware.protocol"},
    {"runware.options", "runware.task_types"},
    {
        "runware._support.logs",
        "runware._support.event_loops",
        "runware._support.elsewhere",
        "runware._support.threads",
        "runware._support.unknown_names",
    },
    {"runware.errors", "runware.events"},
    {"runware._support", "runware._version"},
]


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: pathlib.Path, *, at_run_time: bool = True) -> set[str]:
    """Return the modules that a file imports, except those for type checkers only."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and at_run_time and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("lazy_module", "load_module"):
            found.update([str(node.args[0].value)] if isinstance(node.args[0], ast.Constant) else [])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def row(name: str) -> int | None:
    matching = [(len(member), number) for number, row in enumerate(ROWS) for member in row if within(name, member)]
    return max(matching)[1] if matching else None


def within(name: str, member: str) -> bool:
    return name == member or name.startswith(member + ".")


CLIENT_FILES = [path for path in sorted(ROOT.rglob("*.py")) if "local" not in path.relative_to(ROOT).parts]
MODULES = {module_name(path): path for path in CLIENT_FILES}


def imported_modules(name: str) -> set[str]:
    """Return the client's modules that one of them imports, also inside functions; not the package around it."""
    found = imports(MODULES[name])
    parents = {one.rpartition(".")[0] for one in found if one in MODULES}
    return {
        one for one in found if one in MODULES and one != "runware" and not (one in parents and one not in USED[name])
    }


def used_packages(path: pathlib.Path) -> set[str]:
    """Return the modules from which a file imports a name that is not a module."""
    nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) and node.module)
    return {node.module for node in nodes if any(f"{node.module}.{alias.name}" not in MODULES for alias in node.names)}


USED = {name: used_packages(path) for name, path in MODULES.items()}


@pytest.mark.parametrize("path", CLIENT_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: pathlib.Path) -> None:
    mine = row(module_name(path))
    assert mine is not None
    for name in imports(path):
        if name.split(".")[0] == "runware" and name != "runware":
            # The command line and the fixtures start a local server on request.
            if within(name, "runware.local") and mine == 1:
                continue
            assert not within(name, "runware.local"), f"{path.name} imports {name}"
            theirs = row(name)
            assert theirs is not None
            assert theirs >= mine, f"{path.name} imports {name}"


def test_imports_have_no_circle() -> None:
    """Also not through imports inside functions."""
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(imported_modules(name) - {name}):
                visit(other, (*way, name))
            done.add(name)

    for name in sorted(MODULES):
        visit(name, ())


def drawing() -> str:
    """Return the rows of the package, each with the numbers of the rows that it imports from, and what points up."""
    used: dict[int, set[int]] = {number: set() for number in range(len(ROWS))}
    for name in MODULES:
        mine = row(name)
        assert mine is not None
        used[mine] |= {theirs for other in imported_modules(name) if (theirs := row(other)) is not None}
    lines = [
        f"{number:2}  {', '.join(sorted(ROWS[number]))}  ->  {' '.join(map(str, sorted(rows - {number}))) or 'nothing'}"
        for number, rows in used.items()
    ]
    up = [f"row {number} imports from row {other}" for number, rows in used.items() for other in rows if other < number]
    inside = [f"{file} imports {module}: {reason}" for (file, module), reason in FUNCTION_LEVEL_IMPORTS.items()]
    return "\n".join([*lines, "", "Up:", *(up or ["nothing"]), "", "Inside functions:", *inside])


def test_drawing_shows_nothing_that_points_up() -> None:
    assert "\nUp:\nnothing\n" in drawing()


FUNCTION_LEVEL_IMPORTS = {
    ("pytest_runware.py", "runware.local"): "every project with the plugin loads it, and must load nothing of runware",
    (
        "pytest_runware.py",
        "runware.testing",
    ): "every project with the plugin loads it, and must load nothing of runware",
    ("pytest_runware.py", "runware"): "every project with the plugin loads it, and must load nothing of runware",
}
"""Every import inside a function of the client, and its reason. All others are at the top of a file: imports, or
`lazy_module` for what takes long to import or is not always installed."""

IMPORT_LOCK_USERS = {
    "_support/lazy_modules.py": "loads modules",
    "shared_cores.py": "the registry of shared clients: creating one imports, and an import may look one up",
    "operations/own.py": "a user's function that returns a request class usually imports it",
}
"""Every file of the client that takes the import lock, and its reason."""


def function_level_imports(path: pathlib.Path) -> set[str]:
    """Return the modules that a file imports inside functions."""
    found = set()
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    found.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    found.add(node.module or ".")
                elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("lazy_module", "__import__"):
                    found.add(ast.unparse(node))
    return found


def test_every_function_level_import_is_listed_with_its_reason() -> None:
    files = [*CLIENT_FILES, PROJECT / "pytest_runware.py"]
    found = {(path.relative_to(PROJECT).as_posix(), name) for path in files for name in function_level_imports(path)}
    assert found == set(FUNCTION_LEVEL_IMPORTS)


def test_modules_are_imported_by_name_in_one_place() -> None:
    """Elsewhere it would be without the lock that makes a fork beside an import safe."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in CLIENT_FILES
        if any(name.startswith("importlib") and not name.startswith("importlib.metadata") for name in imports(path))
    }
    assert users == {"_support/lazy_modules.py", "protocol/codec.py"}  # codec looks for orjson when it is imported


def test_import_lock_has_few_users() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in CLIENT_FILES
        if "runware._support.import_lock.loading" in imports(path)
    }
    assert found == set(IMPORT_LOCK_USERS)


@pytest.mark.parametrize("path", sorted((ROOT / "local").rglob("*.py")), ids=lambda path: path.name)
def test_local_server_imports_nothing_of_the_client(path: pathlib.Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] != "runware" or within(name, "runware.local"), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "protocol").glob("*.py")), ids=lambda path: path.name)
def test_protocol_does_no_io(path: pathlib.Path) -> None:
    forbidden = {"socket", "ssl", "threading", "time", "select", "selectors", "websocket", "asyncio"}
    assert not {module.split(".")[0] for module in imports(path)} & forbidden


MAX_LINES = 60
"""The most lines that a function may have, without its docstring."""


@pytest.mark.parametrize("path", CLIENT_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short(path: pathlib.Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            documented = ast.get_docstring(node, clean=False) is not None
            first = (node.body[0].end_lineno or 0) + 1 if documented else node.lineno
            assert (node.end_lineno or 0) - first < MAX_LINES, node.name


WEBSOCKET_USERS = {
    "transport/dialer.py": "the client's connection",
    "cli/probe/lines.py": "asks the service what the client's connection hides",
}
"""Every file of the client that imports websocket-client, and its reason."""


def test_few_modules_import_websocket_client() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in CLIENT_FILES
        if "websocket" in {name.split(".")[0] for name in imports(path)}
    }
    assert users == set(WEBSOCKET_USERS)


# Modules of other distributions, which are only used where the program or the interpreter brings them.
BROUGHT_ALONG = {"IPython", "anyio", "django", "pydantic_core", "pytest"}
DISTRIBUTIONS = {"PIL": "pillow", "opentelemetry": "opentelemetry-api", "websocket": "websocket-client"}


def test_every_distribution_that_is_imported_is_a_dependency() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = [lines for extra, lines in project["optional-dependencies"].items() if extra not in ("docs", "test")]
    lines = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    declared = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in lines}
    modules = {name.split(".")[0] for path in sorted(ROOT.rglob("*.py")) for name in imports(path)}
    others = modules - sys.stdlib_module_names - BROUGHT_ALONG - {"runware", "pytest_runware"}
    assert {DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in others} <= declared


def test_public_names_are_the_listed_ones() -> None:
    assert sorted(runware.__all__) == runware.__all__
    for name in runware.__all__:
        assert hasattr(runware, name), name
    for name, value in vars(runware).items():
        if isinstance(value, type) and value.__module__.startswith("runware."):
            assert name in runware.__all__, name


def test_modules_with_public_names_need_no_import_of_their_own() -> None:
    code = "import runware; print(runware.results.Image is runware.Image, runware.events.Sent, runware.jobs.Job)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert result.stdout == "True <class 'runware.events.Sent'> <class 'runware.jobs.Job'>\n"
    code = "import runware; print(runware.local.LocalServer)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert result.stdout == "<class 'runware.local.server.LocalServer'>\n"


def test_newest_version_of_the_changelog_is_that_of_the_package() -> None:
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == runware.__version__


def test_import_is_light_and_starts_nothing() -> None:
    code = """
import sys, threading, json, logging
before, loaded = set(logging.root.manager.loggerDict), set(sys.modules)
import runware
unwanted = ("asyncio", "ssl", "websocket", "attrs", "cattrs", "tenacity", "httpx2", "urllib.request", "PIL", "tqdm",
            "uuid", "http.client", "aiohttp")
heavy = [name for name in unwanted if name in sys.modules and name not in loaded]
ours = [name for name in logging.root.manager.loggerDict if name not in before and not name.startswith("runware")]
print(json.dumps([heavy, threading.active_count(), logging.root.handlers, ours]))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    heavy, threads, handlers, loggers = json.loads(result.stdout)
    assert heavy == []
    assert threads == 1
    assert handlers == []
    assert set(loggers) <= {"concurrent", "concurrent.futures"}


def test_mixture_of_distributions_is_explained(tmp_path: pathlib.Path) -> None:
    """Another distribution with the same import name has overwritten some of our files."""
    package = tmp_path / "runware"
    package.mkdir()
    (package / "__init__.py").write_text((ROOT / "__init__.py").read_text())
    (package / "_version.py").write_text((ROOT / "_version.py").read_text())
    (package / "client.py").write_text("class RunwareClient: pass\n")
    result = subprocess.run(
        [sys.executable, "-c", "import runware"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert "ImportError" in result.stderr
    assert "pip uninstall runware runware-sdk" in result.stderr


def test_another_websocket_package_is_explained(tmp_path: pathlib.Path) -> None:
    (tmp_path / "websocket.py").write_text("class Server: pass\n")
    code = "import runware; runware.Runware('key', url='ws://127.0.0.1:9').connect()"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{PROJECT}"},
        check=False,
    )
    assert "ImportError" in result.stderr
    assert "pip uninstall websocket " in result.stderr


if __name__ == "__main__":
    print(drawing())
