"""The webhook receiver under the servers that people use. What is not installed is skipped."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from runware import Runware
from runware.local import LocalServer
from runware.protocol.ids import new_uuid
from runware.webhooks import Delivery, WebhookReceiver, parse, sign

from .conftest import until
from .net import free_port
from .support import image

PROJECT = pathlib.Path(__file__).parent.parent
SECRET = "a secret of the tests, long enough"
PICTURE: dict[str, Any] = {"positive_prompt": "a red kite", "model": "runware:101@1", "width": 512, "height": 512}


def forged(url: str) -> list[str]:
    """URLs that somebody without the secret may try."""
    return [
        url.partition("?")[0],
        sign(url, "another secret, long enough"),
        url[:-1] + ("A" if url[-1] != "A" else "B"),
        url.replace("job=", "job=1"),
        url.replace("runware_token=1", "runware_token=9"),
    ]


class Poster:
    """Posts to one server, over one connection for each thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    def __call__(self, url: str, body: Any) -> int:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            self._connections.append(connection)
        parts = urlsplit(url)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", f"{parts.path}?{parts.query}", data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.will_close:
            connection.close()
        return int(answer.status)


@contextmanager
def uvicorn_with(app: Any) -> Iterator[int]:
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(app, port=0, log_level="error", ws="none", timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)


def test_jobs_are_resolved_once_by_deliveries_to_uvicorn(server: LocalServer, rw: Runware) -> None:
    """1,000 genuine deliveries, each result twice and all tasks mixed, beside forged ones."""
    handled: list[Delivery] = []
    server.configure(webhook_timeout=30.0)
    server.play("W1")
    server.play("W2", interval=0.0005)
    with (
        WebhookReceiver(handled.append, secret=SECRET) as receiver,
        uvicorn_with(receiver.asgi) as port,
        ThreadPoolExecutor(1) as forger,
    ):
        base = f"http://127.0.0.1:{port}/hook/"
        resolved: Counter[str] = Counter()
        pending = []
        for number in range(250):
            url = sign(f"{base}?job={number}", SECRET)
            job = rw.submit.image_inference(**PICTURE, number_results=2, webhook_url=url, retry=0)
            pending.append(receiver.expect(job))
            pending[-1].add_done_callback(lambda one: resolved.update([one.task_uuid]))

        def forge() -> set[int]:
            with Poster(port) as post:
                return {
                    post(url, image(pending[number].task_uuid, 7000 + number))
                    for number in range(50)
                    for url in forged(sign(f"{base}?job={number}", SECRET))
                }

        attack = forger.submit(forge)
        for one in pending:
            results = one.result(50)
            assert len({result.uuid for result in results}) == 2
            assert {result.task_uuid for result in results} == {one.task_uuid}
        server.ledger.wait_for(lambda ledger: sum(hook["delivered"] for hook in ledger.webhooks) == 1000, 50)
        assert attack.result(50) == {403}
    assert set(resolved.values()) == {1}
    assert len(resolved) == 250
    assert sorted(one.key for one in handled) == sorted(
        parse(item)[0].key
        for item in {hook["body"]["imageUUID"]: hook["body"] for hook in server.ledger.webhooks}.values()
    )
    assert server.ledger.executed == 250
    assert all(server.ledger.polls(one.task_uuid) == 0 for one in pending)


SITE = '''
"""A Django project in one file. Its workers share a database, which remembers deliveries and resolves jobs."""
import os
import sqlite3

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

from runware.webhooks import WebhookReceiver

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x" * 50)


def execute(sql, *values):
    database = sqlite3.connect(os.environ["SITE_DATABASE"], timeout=30, isolation_level=None)
    try:
        return database.execute(sql, values).fetchall()
    finally:
        database.close()


class Memory:
    def add(self, key):
        return bool(execute("INSERT OR IGNORE INTO seen VALUES (?) RETURNING key", key))

    def discard(self, key):
        execute("DELETE FROM seen WHERE key = ?", key)


def handle(delivery):
    execute("INSERT INTO handled VALUES (?, ?)", delivery.key, os.getpid())
    left = execute("UPDATE jobs SET missing = missing - 1 WHERE uuid = ? RETURNING missing", delivery.task_uuid)
    if left == [(0,)]:
        execute("INSERT INTO resolved VALUES (?)", delivery.task_uuid)


receiver = WebhookReceiver(handle, secret=os.environ["SITE_SECRET"], remember=Memory(), confirm=CONFIRM)
urlpatterns = [path("hook/", receiver.django_view)]
application = get_wsgi_application()
'''


@pytest.mark.parametrize("confirm", [False, True])
def test_jobs_are_resolved_once_by_deliveries_to_a_django_view_under_gunicorn(
    tmp_path: pathlib.Path, confirm: bool
) -> None:
    """1,000 deliveries in any order, with duplicates and forgeries, to two workers with several threads each."""
    for name in ("django", "gunicorn"):
        pytest.importorskip(name)
    (tmp_path / "site_of_test.py").write_text(textwrap.dedent(SITE).replace("CONFIRM", str(confirm)))
    path = tmp_path / "site.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    for table in (
        "seen (key PRIMARY KEY)",
        "handled (key, pid)",
        "jobs (uuid PRIMARY KEY, missing)",
        "resolved (uuid)",
    ):
        database.execute(f"CREATE TABLE {table}")
    jobs = [new_uuid() for _ in range(200)]
    database.executemany("INSERT INTO jobs VALUES (?, 2)", [(job,) for job in jobs])
    port = free_port()
    base = f"http://127.0.0.1:{port}/hook/"

    deliveries: list[tuple[str, Any, int]] = []
    for number, job in enumerate(jobs):
        url = sign(f"{base}?job={number}", SECRET)
        one, two = image(job, 2 * number), {"data": [image(job, 2 * number + 1)]}
        deliveries += [(url, one, 200), (url, two, 200), (url, one, 200)]
        deliveries += [
            (false, image(job, 9000 + number), 403) for false in random.Random(number).sample(forged(url), 2)
        ]
    assert len(deliveries) == 1000
    random.Random(5).shuffle(deliveries)

    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "4", "--bind", f"127.0.0.1:{port}",
         "--log-level", "warning", "site_of_test"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{PROJECT}", "SITE_DATABASE": str(path), "SITE_SECRET": SECRET},
    )  # fmt: skip
    try:
        wait_until_served(port, base, process)

        def deliver(post: Poster, one: tuple[str, Any, int]) -> bool:
            url, body, expected = one
            for _ in range(200):
                status = post(url, body)
                if status != 503:  # while the same delivery is being confirmed, as the server would come again
                    return status == expected
                time.sleep(0.05)
            return False

        with Poster(port) as post, ThreadPoolExecutor(8) as pool:
            assert all(pool.map(partial(deliver, post), deliveries))
        until(lambda: database.execute("SELECT count(*) FROM resolved").fetchone()[0] >= 200)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    resolved = [uuid for (uuid,) in database.execute("SELECT uuid FROM resolved")]
    assert sorted(resolved) == sorted(jobs)
    assert database.execute("SELECT DISTINCT missing FROM jobs").fetchall() == [(0,)]
    handled = database.execute("SELECT key, pid FROM handled").fetchall()
    expected = {parse(body)[0].key for _, body, status in deliveries if status == 200}
    assert sorted(key for key, _ in handled) == sorted(expected)
    database.close()


def wait_until_served(port: int, base: str, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 40
    while True:
        try:
            with Poster(port) as post:
                assert post(base, b"") == 403
            return
        except OSError:
            assert process.poll() is None, "the web server has ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)  # nothing tells when it listens
