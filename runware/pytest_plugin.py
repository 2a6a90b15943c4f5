"""Fixtures for the tests of code that uses this package: `runware_server` and `runware_client`.

pytest finds them by itself when the package is installed with the extra `local`. Nothing is imported before a test
asks for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from runware import Runware
    from runware.local import LocalServer

__all__ = ["runware_client", "runware_server"]


@pytest.fixture
def runware_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A Runware server on this machine, for one test: `hold`, `play`, `drop` and its `ledger` are for the taking.

    `RUNWARE_API_KEY` and `RUNWARE_URL` lead to it, so that code which makes its own client, or uses
    `runware.get_client()`, meets it too. Proxy variables do not matter, as it is on a loopback address.
    """
    from runware.local import LocalServer

    with LocalServer() as server:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        monkeypatch.setenv("RUNWARE_URL", server.url)
        yield server


@pytest.fixture
def runware_client(runware_server: LocalServer) -> Iterator[Runware]:
    """A client of `runware_server`, the one that `runware.get_client()` gives; it is closed after the test."""
    from runware import get_client

    assert runware_server.url
    client = get_client()
    yield client
    client.close()
