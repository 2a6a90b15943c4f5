"""Fixtures: a local server, a client of it, and the three interface forms of that client."""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
import signal
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runware import Runware
from runware._support.logs import RepeatLimit
from runware.local import LocalServer

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts into the background so, and the processes that tests start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Remove the variables of this machine, so that no test depends on them; each test has an empty cache."""
    monkeypatch.setenv("RUNWARE_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{uuid.uuid4()}"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for name in (
        "RUNWARE_API_KEY",
        "RUNWARE_API_KEY_FILE",
        "RUNWARE_URL",
        "RUNWARE_TRANSPORT",
        "RUNWARE_LOG",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not measure the coverage of processes that the test starts.

    Coverage runs functions of its own inside the program. They hold locks, which a signal handler that raises leaves
    locked, and allocate memory for each function of the program, which looks like growth.
    """
    for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS")]:
        monkeypatch.delenv(name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run the tests: more than there are processors, since most tests wait for something."""
    return min(12, 2 * (os.cpu_count() or 1))


@pytest.fixture(autouse=True)
def fresh_log_limits() -> None:
    """Reset the limits of the log, so that no test misses a warning that another test has used up."""
    for name in ("runware.engine", "runware.session", "runware.webhooks.refusals"):
        for one in logging.getLogger(name).filters:
            if isinstance(one, RepeatLimit):
                one.reset()


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer(api_key="rw-test-key") as server:
        yield server


@pytest.fixture
def rw(server: LocalServer) -> Iterator[Runware]:
    client = Runware(server.api_key, url=server.url, timeout=20.0, retry_delay=0.05)
    yield client
    client.close()


class Interface:
    """One of the three interface forms of an operation, so that one test body serves all of them."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self._call = call

    def __repr__(self) -> str:
        return self.name

    def __call__(self, client: Runware, operation: str, /, **parameters: Any) -> Any:
        return self._call(client, operation, parameters)


def _asyncio(client: Runware, operation: str, parameters: dict[str, Any]) -> Any:
    async def main() -> Any:
        return await getattr(client.aio, operation)(**parameters)

    return asyncio.run(main())


INTERFACES = [
    Interface("blocking", lambda client, operation, parameters: getattr(client, operation)(**parameters)),
    Interface("job", lambda client, operation, parameters: getattr(client.submit, operation)(**parameters).result(30)),
    Interface("asyncio", _asyncio),
]


@pytest.fixture(params=INTERFACES, ids=repr)
def interface(request: pytest.FixtureRequest) -> Interface:
    return request.param


def until(condition: Callable[[], object]) -> None:
    """Poll for a condition that only the client can see."""
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def spending(path: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Return what a store in a SQLite file has billed and reserved by account, as another program sees it."""
    connection = sqlite3.connect(path)
    try:
        found = connection.execute("SELECT scope, billed, reserved FROM runware_spending").fetchall()
        return {scope: (billed, reserved) for scope, billed, reserved in found}
    finally:
        connection.close()
