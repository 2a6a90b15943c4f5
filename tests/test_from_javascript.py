"""docs/from-javascript.md: every Python name in it exists, every JavaScript name is in it, and its code runs."""

from __future__ import annotations

import inspect
import pathlib
import re
from typing import Any

import pytest

import runware
from runware import AsyncRunware, Image, Job, Partial, Results, Runware, RunwareError, requests
from runware.local import LocalServer
from runware.results import Meta

from .test_docs import run
from .test_operations import JAVASCRIPT, RENAMED, python_name

PROJECT = pathlib.Path(__file__).parent.parent
PAGE = (PROJECT / "docs" / "from-javascript.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)


def ours() -> list[str]:
    """Return the Python side of the page: the Python (or last) columns of its tables, and the text around them."""
    found = re.findall(r"^[^|].*", PROSE, re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n)+", PROSE, re.MULTILINE):
        head, _, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines())
        first = head.index("Python") if "Python" in head else len(head) - 1
        found += [cell for row in rows for cell in row[first:]]
    return found


SPANS = sorted({span for text in ours() for span in re.findall("`([^`]+)`", text)})
PARAMETERS = {
    name
    for request, *_ in requests.OPERATIONS.values()
    for name in inspect.signature(getattr(requests, request)).parameters
}
OPTIONS = set(inspect.signature(Runware).parameters)
OBJECTS: dict[str, Any] = {
    "image": Image,
    "images": Results,
    "results": Partial,
    "error": RunwareError("x"),
    "job": Job,
    "meta": Meta,
    "logging": __import__("logging"),
    "asyncio": __import__("asyncio"),
}
BUILTIN = {"Path", "True", "False", "None", "TypeError"}
JAVASCRIPT_WORDS = {"RUNWARE_API_KEY", "RUNWARE_URL", "undefined"}


def has(thing: Any, name: str) -> bool:
    return hasattr(thing, name) or any(name in vars(cls).get("__annotations__", {}) for cls in thing.__mro__)


def test_page_has_spans_and_code_blocks() -> None:
    assert len(SPANS) > 150
    assert len(BLOCKS) == 3


@pytest.mark.parametrize("span", SPANS)
def test_every_python_name_on_the_page_exists(span: str) -> None:
    for interface, name in re.findall(r"\brw\.(submit\.|aio\.)?(\w+)", span):
        assert has(AsyncRunware if interface else Runware, name), name
    for first, name in re.findall(r"\b(\w+)\.(\w+)", span):
        if first in OBJECTS:
            assert has(OBJECTS[first], name), f"{first}.{name}"
    for name in re.findall(r"\bRunware\((\w+)=", span):
        assert name in OPTIONS
    if not span.startswith(("Runware(", "rw.map")):
        for name in re.findall(r"^(\w+)=", span):
            assert name in PARAMETERS, name
    for name in re.findall(r"(?<![\w\"./@])[A-Z]\w+", span):
        if name not in BUILTIN | JAVASCRIPT_WORDS:
            assert hasattr(runware, name), name
    if re.fullmatch(r"[a-z]+(_[a-z]+)+", span):
        assert span in OPTIONS | PARAMETERS | {"may_have_run"}, span


@pytest.mark.parametrize("names", JAVASCRIPT)
def test_every_javascript_method_is_on_the_page(names: str) -> None:
    for name in names.split():
        assert f"`{name}`" in PROSE, name
        assert f"`rw.{python_name(name)}`" in PROSE, name


def test_every_renamed_parameter_is_on_the_page() -> None:
    for names in JAVASCRIPT.values():
        for name in names.split():
            if name in RENAMED or python_name(name) not in PARAMETERS:
                assert re.search(rf"`{name}\b", PROSE), name


WORDS = re.findall(
    r"\w+",
    """
    apiKey url shouldReconnect globalMaxRetries timeoutDuration timeout maxRetries retryDelay heartbeatInterval dryRun
    enableLogging includeCost includePayload includeGenerationTime skipResponse moreOptions onPartialImages retry
    IImageInference IImage IError ETaskType ensureConnection initialize connect disconnect
    """,
)


@pytest.mark.parametrize("name", WORDS)
def test_every_javascript_option_and_type_is_on_the_page(name: str) -> None:
    assert re.search(rf"\b{name}\b", PROSE)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code_of_the_page_runs(number: int, server: LocalServer, tmp_path: pathlib.Path) -> None:
    (tmp_path / "block.py").write_text(BLOCKS[number])
    assert run(["block.py"], tmp_path, RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url)


def test_links_of_the_page_resolve() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (PROJECT / "docs" / target).exists(), target
