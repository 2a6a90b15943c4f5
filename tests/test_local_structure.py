"""The imports and the size of the modules of `runware.local`."""

from __future__ import annotations

import ast
import pathlib
from graphlib import CycleError, TopologicalSorter

import pytest

from runware import local

FOLDER = pathlib.Path(local.__file__).parent
FILES = sorted(FOLDER.glob("*.py"))
MODULES = {path.stem: ast.parse(path.read_text()) for path in FILES}

# From top to bottom: a module may import from the rows below its own. `test_rows_name_every_module` keeps this list
# complete, and `test_imports_point_down` keeps it true.
ROWS = [
    ["__main__"],
    ["__init__"],
    ["server"],
    ["running_server"],
    ["http_api", "websocket_api"],
    ["chat_api", "inspector", "serverless_api"],
    ["task_processor"],
    ["inspector_view", "model_rules", "session_manager", "task_runner"],
    ["active_faults"],
    ["fault_registry"],
    ["app_faults", "connection_faults", "result_faults", "service_failures", "webhook_faults"],
    ["http_failures"],
    ["faults", "request_router", "result_items", "stream_writer"],
    ["recording_relay"],
    ["connection", "result_details", "task_queries", "webhooks"],
    ["prompt_marks", "state"],
    ["apps", "model_services", "recording", "task_run", "task_types"],
    ["model_check", "planned_answers", "request_body", "task_schema"],
    ["chat_model", "client_session", "media", "stream_plan", "validation"],
    [
        "access_control", "audio", "encoding", "images", "ledger", "meshes", "model_catalogue", "model_prices",
        "model_records", "model_words", "options", "output", "switches", "task_inputs", "uuids", "video",
        "websocket_frames",
    ],
]  # fmt: skip

# Imports inside functions, as (module, imported name), each with the reason in a comment.
FUNCTION_LEVEL_IMPORTS = {
    # It takes longer to import than the server to start, and servers that refuse nothing by a schema do not need it.
    ("model_check", "import jsonschema.validators"),
}


def imported_modules(node: ast.AST) -> set[str]:
    """Return the modules of `runware.local` that an import statement names."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        module = node.module or ""
        # `from runware.local import media` imports a module, `from runware.local import FAULTS` a name of the package.
        submodules = [alias.name for alias in node.names if module == "runware.local" and alias.name in MODULES]
        names = [f"{module}.{name}" for name in submodules] or [module]
    ours = [name.split(".") for name in names if name == "runware.local" or name.startswith("runware.local.")]
    return {parts[2] if len(parts) > 2 else "__init__" for parts in ours}


def dependencies(name: str) -> set[str]:
    """Return all imported modules, also those imported for type checkers only and inside functions."""
    return {module for node in ast.walk(MODULES[name]) for module in imported_modules(node)}


def test_imports_have_no_circle() -> None:
    try:
        TopologicalSorter({name: dependencies(name) for name in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"modules of runware.local import each other in a circle: {' -> '.join(error.args[1])}")


def test_rows_name_every_module() -> None:
    named = [name for row in ROWS for name in row]
    assert sorted(named) == sorted(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    row_of = {module: number for number, row in enumerate(ROWS) for module in row}
    upward = sorted(module for module in dependencies(name) if row_of[module] <= row_of[name])
    assert not upward, f"{name} imports {upward}, which are not below it"


@pytest.mark.parametrize("name", MODULES)
def test_imports_inside_functions_are_listed(name: str) -> None:
    functions = [node for node in ast.walk(MODULES[name]) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    found = {
        (name, ast.unparse(node))
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert found == {entry for entry in FUNCTION_LEVEL_IMPORTS if entry[0] == name}


@pytest.mark.parametrize("name", MODULES)
def test_no_import_is_for_type_checkers_only(name: str) -> None:
    names = {node.id for node in ast.walk(MODULES[name]) if isinstance(node, ast.Name)}
    assert "TYPE_CHECKING" not in names


@pytest.mark.parametrize("name", MODULES)
def test_server_imports_nothing_of_the_client(name: str) -> None:
    for node in ast.walk(MODULES[name]):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        foreign = [found for found in names if found.split(".")[0] == "runware" and not imported_modules(node)]
        assert not foreign, f"{name} imports {foreign}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_and_functions_are_short(path: pathlib.Path) -> None:
    assert len(path.read_text().splitlines()) <= 600
    for node in ast.walk(MODULES[path.stem]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{node.name} in {path.name}"


def test_no_class_has_the_name_of_a_client_class() -> None:
    server = {
        node.name for module in MODULES.values() for node in ast.walk(module)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }  # fmt: skip
    client = {
        node.name
        for path in FOLDER.parent.rglob("*.py")
        if FOLDER not in path.parents
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    assert not server & client
