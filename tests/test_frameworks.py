"""Django under three servers, Celery, ASGI and Dask. Each is tested for real.

What is not installed is skipped; the extra `examples` installs it all.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

import pytest

import runware
from runware.local import LocalServer

from .net import free_port

PROJECT = pathlib.Path(__file__).parent.parent
GALLERY = PROJECT / "examples" / "django_gallery"
SERVERS = {
    "runserver": ["manage.py", "runserver", "--noreload", "127.0.0.1:{port}"],
    "gunicorn": ["-m", "gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:{port}", "gallery.wsgi"],
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", "gallery.asgi:application"],
}


def environment(server: LocalServer, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "RUNWARE_API_KEY": server.api_key,
        "RUNWARE_URL": server.url,
        **more,
    }


class Visitor:
    """A minimal browser: it keeps cookies and reads forms."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/"
        self._open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar())).open

    def see(self, path: str, form: dict[str, Any] | None = None) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        with self._open(self._address + path, data, timeout=30) as answer:
            return str(answer.read().decode())

    def ask(self, path: str, prompt: str, number: int = 2) -> str:
        found = re.search(r'csrfmiddlewaretoken" value="(\w+)"', self.see(path))
        assert found is not None
        return self.see(path, {"csrfmiddlewaretoken": found[1], "prompt": prompt, "number": number})

    def wait_until_served(self, process: subprocess.Popen[Any]) -> None:
        import time

        deadline = time.monotonic() + 40
        while True:
            try:
                self.see("")
                return
            except OSError:
                assert process.poll() is None, "the web server has ended"
                assert time.monotonic() < deadline
                time.sleep(0.05)  # nothing signals when it listens


@pytest.mark.parametrize("name", SERVERS)
def test_django_gallery_works_under_each_server(name: str, server: LocalServer, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("django")
    if name != "runserver":
        pytest.importorskip(name)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *(argument.format(port=port) for argument in SERVERS[name])],
        cwd=GALLERY, env=environment(server, GALLERY_IMAGES=str(tmp_path)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        visitor = Visitor(port)
        visitor.wait_until_served(process)
        assert server.ledger.connections == 0  # nothing is made while Django loads
        for number in range(4):
            assert visitor.ask("", f"kite {number}").count("<img") == min(24, 4 * number + 2)
            page = visitor.ask("async/", f"heron {number}")
            assert "async view" in page
        image = re.search(r'src="/(images/[\w-]+\.jpg)"', page)
        assert image is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{image[1]}", timeout=10) as answer:
            assert answer.read().startswith(b"\xff\xd8\xff")
        shown = visitor.see("").count("<img")
        assert "<footer>webhook," in visitor.ask("later/", "stork 0")
        server.ledger.wait_for(lambda ledger: sum(hook["delivered"] for hook in ledger.webhooks) == 2, 20)
        assert visitor.see("later/").count("<img") == min(24, shown + 2)
        assert "at least 2" in visitor.ask("", "x")
        assert "The provider failed" in visitor.ask("async/", "x [provider-error]", 1)
    finally:
        process.terminate()
        process.wait(20)
    prompts = server.ledger.executions_by_prompt()
    assert {prompt: times for prompt, times in prompts.items() if "provider" not in prompt} == {
        **{f"{bird} {number}": 1 for bird in ("kite", "heron") for number in range(4)},
        "stork 0": 1,
    }
    assert server.ledger.connections <= (2 if name == "gunicorn" else 1)


def test_django_gallery_works_in_a_browser(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("django")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("there is no Chromium here")
    result = subprocess.run(
        [sys.executable, str(GALLERY / "drive.py"), "runserver", "-o", str(tmp_path)],
        capture_output=True, text=True, timeout=55, check=False, env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "12 images, 2 kinds of page, 1 connections; each prompt was billed {1} times" in result.stdout
    assert (tmp_path / "runserver.png").stat().st_size > 100_000


def example(name: str, tmp_path: pathlib.Path) -> str:
    result = subprocess.run(
        [sys.executable, str(PROJECT / "examples" / name), "--local"],
        capture_output=True, text=True, timeout=58, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_celery_example_makes_four_videos_with_few_connections(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("celery")
    shown = example("celery_jobs.py", tmp_path)
    assert shown.count("saved ") == 4
    assert re.search(r"^4 videos made, [12] connections$", shown, re.MULTILINE)


@pytest.fixture
def start(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the Celery task that starts a video in this process."""
    pytest.importorskip("celery")
    monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
    monkeypatch.setenv("RUNWARE_URL", server.url)
    monkeypatch.syspath_prepend(PROJECT / "examples")
    yield importlib.import_module("celery_jobs").start
    runware.get_client().close()


def test_resumed_celery_task_sends_nothing_again(start: Any, server: LocalServer) -> None:
    first, second = (start.apply(("waves",), task_id="one-and-the-same").get() for _ in range(2))
    assert first == second
    assert runware.get_client().job(second).result()[0].url
    assert (server.ledger.executed, server.ledger.conflicts) == (1, 1)


def test_celery_task_is_retried_only_where_that_helps(start: Any, server: LocalServer) -> None:
    for prompt, error in (("x [error:invalidProviderContent]", "ContentModerationError"), ("x", "ValidationError")):
        with pytest.raises(getattr(runware, error)):
            start.apply((prompt,)).get()
    assert len(server.ledger.tasks("videoInference")) == 2
    assert runware.get_client().job(start.apply(("waves [rate-limit:2]",)).get()).result()
    assert server.ledger.executed == 1


def test_dask_example_runs(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("distributed")
    shown = example("dask_bulk.py", tmp_path)
    assert "killing worker process" in shown
    assert "500 images from 500 prompts" in shown
    assert "billed more than once: 0" in shown


def test_asgi_service_works_under_uvicorn(server: LocalServer) -> None:
    pytest.importorskip("uvicorn")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "asgi_service:app", "--port", str(port)], cwd=PROJECT / "examples",
        env=environment(server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        server.ledger.wait_for(lambda ledger: ledger.authentications == 1, 40)  # it connects when it starts
        visitor = Visitor(port)
        answer = json.loads(_patiently(visitor, "?prompt=a+red+kite"))
        assert answer["url"].startswith(server.http_url)
    finally:
        process.terminate()
        assert process.wait(20) in (0, -15)
    assert server.ledger.connections == 1


def _patiently(visitor: Visitor, path: str) -> str:
    import time

    for _ in range(400):
        try:
            return visitor.see(path)
        except OSError:
            time.sleep(0.05)  # it listens just after it has connected
    raise AssertionError("it does not answer")
