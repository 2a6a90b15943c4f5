"""Run the code blocks of the documentation and the examples against a local server, and check its links."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

from runware.local import LocalServer

PROJECT = pathlib.Path(__file__).parent.parent
DOCS = PROJECT / "docs"
README = (PROJECT / "README.md").read_text()
PAGES = [*(PROJECT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")), *sorted(DOCS.rglob("*.md"))]
EXAMPLES = sorted((PROJECT / "examples").glob("*.py"))
BLOCK = re.compile(r"^(?:<!-- (not run|needs): (.*?) -->\n)?```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    page: str
    line: int
    mark: str
    reason: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: pathlib.Path) -> list[Block]:
    text = page.read_text()
    name = str(page.relative_to(PROJECT))
    return [
        Block(name, text.count("\n", 0, found.start(4)) + 1, *(part or "" for part in found.groups()))
        for found in BLOCK.finditer(text)
    ]


EVERY = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in EVERY if block.language == "python" and block.mark != "not run"]
NOT_RUN = {"docs/from-official-sdks.md": 2, "docs/guides/testing.md": 1}
"""How many blocks of each page are not run: programs for other packages, and one that needs the real service."""
NEEDS = {
    "docs/guides/agents.md": {"agents", "langchain_core", "pydantic_ai"},
    "docs/guides/celery.md": {"celery"},
    "docs/guides/django.md": {"django"},
    "docs/guides/durable.md": {"dbos", "prefect"},
    "docs/guides/fastapi.md": {"fastapi"},
    "docs/guides/frameworks.md": {"celery", "fastapi"},
    "docs/guides/observability.md": {"opentelemetry", "prometheus_client", "sentry_sdk", "structlog"},
    "docs/guides/webhooks.md": {"django"},
}
"""The packages that blocks need and not every environment has. The extra `examples` installs them."""


def run(arguments: list[str], directory: pathlib.Path, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        check=False,
    )
    assert result.returncode == 0, result.stderr + result.stdout
    # In development mode asyncio logs what took more than 0.1 s, which on a busy machine can be anything.
    assert [line for line in result.stderr.splitlines() if not line.startswith("Executing <")] == []
    return result.stdout


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_code_block_runs(block: Block, server: LocalServer, tmp_path: pathlib.Path) -> None:
    if block.mark == "needs" and importlib.util.find_spec(block.reason) is None:
        pytest.skip(f"{block.reason} is not installed")
    (tmp_path / "test_block.py").write_text(block.text)
    if "def test_" in block.text:
        # The installed plugin brings the fixtures; the project's own settings do not apply to users' tests.
        options = ["-p", "no:cacheprovider", "-p", "no:randomly", "-c", os.devnull, "--rootdir=."]
        shown = run(["-m", "pytest", "-q", *options, "test_block.py"], tmp_path)
        assert f"{block.text.count('def test_')} passed" in shown
        return
    run(["test_block.py"], tmp_path, RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url)


def test_skipped_blocks_are_the_known_ones() -> None:
    skipped = [block for block in EVERY if block.mark == "not run"]
    assert all(block.language == "python" and block.reason for block in skipped)
    assert {page: sum(block.page == page for block in skipped) for page in {block.page for block in skipped}} == NOT_RUN
    needs = [(block.page, block.reason) for block in EVERY if block.mark == "needs"]
    assert {page: {reason for other, reason in needs if other == page} for page, _ in needs} == NEEDS


def test_every_fenced_block_was_found() -> None:
    for page in PAGES:
        fences = len(re.findall(r"^[ \t]*```", page.read_text(), re.MULTILINE))
        indented = len(re.findall(r"^[ \t]+```", page.read_text(), re.MULTILINE))
        assert fences == 2 * len(blocks_of(page)) + indented, page
        assert not re.search(r"^[ \t]+```python", page.read_text(), re.MULTILINE), page  # it would not be run


def anchors(page: pathlib.Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = [re.sub(r"[`*]", "", title) for title in re.findall(r"^#+ (.*)$", prose, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_resolve(page: pathlib.Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", prose):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (PROJECT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    for page in DOCS.rglob("*.md"):
        assert f": {page.relative_to(DOCS).as_posix()}\n" in navigation, page


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run_locally(example: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert run([str(example), "--local"], tmp_path)


def test_bulk_example_runs_where_memory_is_unknown(tmp_path: pathlib.Path) -> None:
    (tmp_path / "resource.py").write_text("raise ImportError('not on Windows')")
    bulk = str(PROJECT / "examples" / "bulk.py")
    paths = os.pathsep.join((str(tmp_path), str(PROJECT)))
    shown = run([bulk, "--local", "--count", "8"], tmp_path, PYTHONPATH=paths)
    assert "8 images for $0.01" in shown
    assert "memory" not in shown
    assert "memory grew by" in run([bulk, "--local", "--count", "8"], tmp_path)


def test_quickstart_shows_progress_and_writes_images(tmp_path: pathlib.Path) -> None:
    shown = run([str(PROJECT / "examples" / "quickstart.py"), "--local", "-o", "images"], tmp_path)
    assert "4 of 4 images" in shown
    images = sorted((tmp_path / "images").iterdir())
    assert len(images) == 4
    assert all(image.read_bytes().startswith(b"\xff\xd8\xff") for image in images)


def test_quickstart_takes_the_key_from_the_environment(server: LocalServer, tmp_path: pathlib.Path) -> None:
    run(
        [str(PROJECT / "examples" / "quickstart.py")],
        tmp_path,
        RUNWARE_API_KEY=server.api_key,
        RUNWARE_URL=server.url,
    )
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_guides_mention_every_option_and_error() -> None:
    import inspect

    from runware import Runware, errors

    options, guide = ((DOCS / "guides" / f"{name}.md").read_text() for name in ("options", "errors"))
    for option in inspect.signature(Runware).parameters:
        assert f"| `{option}` |" in options, option
    for name in errors.__all__:
        assert f"`{name}`" in guide, name


def test_reference_has_every_public_name() -> None:
    import runware
    from runware import errors

    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    requests = (DOCS / "operations.md").read_text()
    other = {"Media", "Task", "__version__"}  # an alias of types, the base of requests, and a text
    for name in runware.__all__:
        known = re.search(rf"^::: runware(\.errors|\.text)?\.{name}$", pages, re.MULTILINE)
        assert known or f"`{name}`" in requests or f"## {name}\n" in requests or name in other, name
    tree = (DOCS / "reference" / "errors.md").read_text().partition("```text")[2].partition("```")[0]
    assert set(re.findall(r"── (\w+)", tree)) | {"RunwareError"} == set(errors.__all__)


def test_protocol_page_lists_every_switch_and_fault() -> None:
    from runware.local import FAULTS, SWITCHES

    text = (DOCS / "protocol.md").read_text()
    for switch in SWITCHES:
        assert f"`{switch.name}`" in text, switch.name
    for fault in FAULTS.values():
        assert f"| {fault.name} | `{fault.alias}`: " in text, fault


def test_protocol_page_maps_codes_to_the_right_classes() -> None:
    from runware.errors import class_for_code

    rows = re.findall(r"^\| (.*?) \| `(\w+Error)` \| (?:yes|no) \|$", (DOCS / "protocol.md").read_text(), re.MULTILINE)
    assert len(rows) == 9
    for codes, name in rows:
        for code in re.findall(r"`(\w+)`", codes.partition(";")[0]):
            cls = class_for_code(code)
            assert cls is not None, code
            assert cls.__name__ == name, code


def test_page_for_javascript_says_how_text_is_streamed() -> None:
    assert '| `deliveryMethod: "stream"` | `rw.stream_text(...)` |' in (DOCS / "from-javascript.md").read_text()


def test_faults_command_of_the_docs_lists_all_faults(tmp_path: pathlib.Path) -> None:
    import runware

    command = "python -m runware.local --list"
    assert command in README
    assert command in (runware.local.__doc__ or "")
    listed = run(command.split()[1:], tmp_path)
    assert all(f"  {name} " in listed for name in runware.local.FAULTS)


def test_readme_fits_on_two_screens_and_has_its_two_commands() -> None:
    assert len(README.splitlines()) <= 100
    assert "pip install -e '.[local]' && python examples/quickstart.py --local" in README
    assert "pip install -e '.[test]' && python -m pytest" in README


def test_architecture_page_has_the_state_tables_of_the_code() -> None:
    from runware.protocol.call import CallState
    from runware.protocol.connection import FOLLOWING

    tables = {**FOLLOWING, **{state: state.following for state in CallState}}
    page = (DOCS / "architecture.md").read_text().partition("## States")[2]
    for state, following in tables.items():
        row = re.search(rf"^\| {state.value} \| [^|]* \| (.*?) ?\|$", page, re.MULTILINE)
        assert row, state
        shown = re.sub(r"\([^)]*\)", "", row[1]).split(",")
        assert {name.strip() for name in shown} - {""} == {one.value for one in following}, state
