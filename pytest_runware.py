"""pytest fixtures for code that uses `runware`: `runware_server`, `runware_client` and `fake_runware`.

pytest loads this module by itself in every project of an environment that has runware-client installed. It is a
top-level module that imports nothing of `runware` before a test requests a fixture, so that it costs other projects
nothing, and cannot break their collection if another distribution provides the package `runware`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from runware import Runware
    from runware.local import LocalServer
    from runware.testing import FakeRunware

__all__ = ["fake_runware", "runware_client", "runware_server"]


@pytest.fixture
def runware_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A local Runware server for one test. Use `hold`, `play`, `drop` and `ledger` to control and inspect it.

    `RUNWARE_API_KEY` and `RUNWARE_URL` are set to it, so that code that creates its own client, or calls
    `runware.get_client()`, uses it too. Proxy variables have no effect, because the server is on a loopback address.
    """
    try:
        from runware.local import LocalServer  # other projects load nothing of `runware`
    except ImportError as error:
        _fail("runware_server", error)

    with LocalServer() as server:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        monkeypatch.setenv("RUNWARE_URL", server.url)
        yield server


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
def fake_runware() -> Iterator[FakeRunware]:
    """A client that answers its calls itself, for unit tests without a server. `runware.get_client()` returns it."""
    try:
        from runware.testing import FakeRunware  # other projects load nothing of `runware`
    except ImportError as error:
        _fail("fake_runware", error)

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
