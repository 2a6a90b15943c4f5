"""pytest fixtures for code that uses `runware`: `runware_server`, `runware_client` and `fake_runware`.

pytest loads this module by itself in every project of an environment that has runware-client installed. It is a
top-level module that imports nothing of `runware` before a test requests a fixture, so that it costs other projects
nothing, and cannot break their collection if another distribution provides the package `runware`.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from runware import Runware
    from runware.local import LocalServer
    from runware.testing import FakeRunware

__all__ = ["fake_runware", "runware_client", "runware_server"]


@pytest.fixture
def runware_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A local Runware server for one test. Use `hold`, `play`, `drop` and `ledger` to control and inspect it.

    `RUNWARE_API_KEY` and `RUNWARE_URL` are set to it, so that code that creates its own client, or calls
    `runware.get_client()`, uses it too. The client of `get_client` is closed after the test. Proxy variables have no
    effect, because the server is on a loopback address. If `RUNWARE_STORE` was set when pytest started, the test has an
    empty store of its own instead.

    A test with the marker `runware_session("session.jsonl")` gets its answers from that file, a recorded session, whose
    path is relative to the file of the test. `pytest --runware-record` runs such tests against the real service, with
    the key in `RUNWARE_API_KEY`, and writes the files: their tasks are billed.
    """
    try:
        from runware.local import LocalServer  # other projects load nothing of `runware`
    except ImportError as error:
        _fail("runware_server", error)

    options = _session_options(request)
    _replace_store(request, monkeypatch)
    with LocalServer(**options) as server:
        if "record" not in options:
            monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        monkeypatch.setenv("RUNWARE_URL", server.url)
        yield server
        if (shared := sys.modules.get("runware.shared_cores")) is not None:  # else nothing called `get_client`
            shared.close_shared_cores(server.url)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that records sessions."""
    group = parser.getgroup("runware")
    group.addoption(
        "--runware-record",
        action="store_true",
        help="run tests with the marker runware_session against the real service, which bills them, and record them",
    )


_store = pytest.StashKey[str | None]()


def _replace_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the store of the environment, in which tasks, runs and bills of tests would be taken for real ones.

    A store that a test or its fixtures have set is kept.
    """
    store = request.config.stash.get(_store, None)
    if store and os.environ.get("RUNWARE_STORE") == store:
        path = request.getfixturevalue("tmp_path") / "runware.db"
        monkeypatch.setenv("RUNWARE_STORE", f"sqlite:///{path.as_posix()}")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of tests with a recorded session, and note the store of the environment."""
    config.stash[_store] = os.environ.get("RUNWARE_STORE")
    config.addinivalue_line(
        "markers", "runware_session(path): answer the tasks of runware_server from a recorded session"
    )


def _session_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of the server of a test with a recorded session; none for another test."""
    marker = request.node.get_closest_marker("runware_session")
    if marker is None:
        return {}
    if len(marker.args) != 1 or marker.kwargs:
        pytest.fail("the marker runware_session takes a path: @pytest.mark.runware_session('session.jsonl')", False)
    path = request.path.parent / marker.args[0]
    if not request.config.getoption("--runware-record"):
        if not path.exists():
            pytest.fail(f"{path} does not exist. Record it: pytest --runware-record {request.node.nodeid}", False)
        return {"replay": path}
    if not os.environ.get("RUNWARE_API_KEY"):
        pytest.fail("--runware-record needs the key of the real service in RUNWARE_API_KEY", False)
    upstream = os.environ.get("RUNWARE_URL")
    return {"record": path, **({"upstream": upstream} if upstream else {})}


@pytest.fixture
def runware_client(runware_server: LocalServer) -> Iterator[Runware]:
    """A client of `runware_server`, the same that `runware.get_client()` returns; closed after the test."""
    try:
        from runware import get_client  # other projects load nothing of `runware`
    except ImportError as error:
        _fail("runware_client", error)

    assert runware_server.url
    client = get_client()
    yield client
    client.close()


@pytest.fixture
def fake_runware(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRunware]:
    """A client that answers its calls itself, for unit tests without a server. `runware.get_client()` returns it."""
    try:
        from runware.testing import FakeRunware  # other projects load nothing of `runware`
    except ImportError as error:
        _fail("fake_runware", error)

    _replace_store(request, monkeypatch)
    client = FakeRunware()
    with client.installed():
        yield client
    client.close()


def _fail(fixture: str, error: ImportError) -> NoReturn:
    """Fail the test with the reason why a fixture cannot be set up."""
    others = []
    for name in ("runware", "runware-sdk"):
        try:
            others.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    reason = f"The fixture {fixture} cannot be set up: {str(error).rstrip('.')}."
    if others:
        reason += (
            f" {' and '.join(others)} is installed and has the same import name as runware-client. Run: pip uninstall "
            "runware runware-sdk runware-client && pip install 'runware-client[local]'."
        )
    pytest.fail(reason, pytrace=False)
