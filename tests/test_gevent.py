"""Programs patched by gevent or eventlet, sub-interpreters and trio: each in a process of its own."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from runware.local import LocalServer

from .net import free_port

PROJECT = pathlib.Path(__file__).parent.parent
HEAD = """
import os, sys, time
def client(**options):
    from runware import Runware
    return Runware(os.environ["RUNWARE_API_KEY"], **{"url": os.environ["RUNWARE_URL"], "timeout": 30.0, **options})
PICTURE = {"positive_prompt": "a kite", "model": "runware:101@1", "width": 512, "height": 512}
"""
PATCHED = "from gevent import monkey; monkey.patch_all()\nimport gevent\n" + HEAD


def environment(server: LocalServer) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "RUNWARE_API_KEY": server.api_key,
        "RUNWARE_URL": server.url,
        "PYTHONFAULTHANDLER": "1",
    }


def run(server: LocalServer, body: str, head: str = PATCHED, *, late: bool = False) -> str:
    """Run a script and return what it printed. gevent warns on exit of a script that is patched late."""
    script = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(body)], capture_output=True, text=True, timeout=50, check=False,
        cwd=PROJECT, env=environment(server),
    )  # fmt: skip
    assert script.returncode == 0, script.stderr
    assert late or not script.stderr
    return script.stdout


class TestGevent:
    @pytest.fixture(autouse=True)
    def gevent(self) -> None:
        pytest.importorskip("gevent", reason="gevent is not installed", exc_type=ImportError)

    def test_greenlets_call_apps_at_the_same_time(self, server: LocalServer) -> None:
        barrier = threading.Barrier(20)
        server.app("my-upscaler", {"run": lambda payload: (barrier.wait(20), payload["n"])[1]})
        out = run(
            server,
            """
            rw = client()
            def call(n):
                return rw.app("my-upscaler").call("run", n=n, sync=bool(n % 2)).output
            greenlets = [gevent.spawn(call, n) for n in range(20)]
            gevent.joinall(greenlets, raise_error=True)
            print(sum(one.value for one in greenlets))
            jobs = [rw.submit.app("my-upscaler").call("run", n=n) for n in range(20)]
            print(sum(job.result(30).output for job in jobs))
            rw.close()
            """,
        )
        assert out.split() == ["190", "190"]

    def test_name_lookup_that_hangs_blocks_no_greenlet_and_no_close(self, server: LocalServer) -> None:
        out = run(
            server,
            """
            import socket
            from gevent.event import Event
            entered, never = Event(), Event()
            def hang(*args):
                entered.set()
                never.wait()
            real, socket.getaddrinfo = socket.getaddrinfo, hang
            rw = client(url="wss://somewhere.example/v1", connect_timeout=60.0)
            job = rw.submit.image_inference(**PICTURE)
            assert entered.wait(20)
            socket.getaddrinfo = real
            other = client(url=os.environ["RUNWARE_URL"].replace("127.0.0.1", "localhost"))
            print(len(other.image_inference(**PICTURE)))
            rw.close()
            print(type(job.exception(20)).__name__)
            other.close()
            """,
        )
        assert out.split() == ["1", "ClientClosedError"]

    def test_dead_first_address_is_overtaken(self, server: LocalServer) -> None:
        out = run(
            server,
            """
            import socket
            from urllib.parse import urlsplit
            from tests.net import swallowing
            with swallowing() as dead:
                ports = dead, urlsplit(os.environ["RUNWARE_URL"]).port
                found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
                socket.getaddrinfo = lambda *args: found
                with client(url=os.environ["RUNWARE_URL"].replace("127.0.0.1", "localhost")) as rw:
                    print(len(rw.image_inference(**PICTURE)))
            """,
        )
        assert out.split() == ["1"]

    def test_twenty_greenlets_share_a_client(self, server: LocalServer) -> None:
        out = run(
            server,
            """
            rw = client()
            def calls(number):
                for turn in range(10):
                    seed = 1000 * number + turn + 1
                    (image,) = rw.image_inference(**PICTURE, seed=seed)
                    assert image.seed == seed
                return turn + 1
            greenlets = [gevent.spawn(calls, number) for number in range(20)]
            gevent.joinall(greenlets, raise_error=True)
            print(sum(one.value for one in greenlets))
            print(len(rw.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5)))
            print(len(list(rw.map(rw.image_inference, [PICTURE] * 40))))
            told = []
            rw.image_inference(**PICTURE, number_results=3, on_partial=lambda new, error: told.extend(new))
            print(len(told))
            rw.close()
            """,
        )
        assert out.split() == ["200", "1", "40", "3"]
        assert server.ledger.connections == 1

    def test_jobs_have_callbacks_and_can_be_waited_for_in_every_way(self, server: LocalServer) -> None:
        out = run(
            server,
            """
            from concurrent.futures import as_completed, wait
            from threading import Event
            from runware import TaskCancelledError
            rw = client()
            done, all_done = [], Event()
            def tell(job):
                done.append(job)
                if len(done) == 10:
                    all_done.set()
            jobs = [rw.submit.image_inference(**PICTURE) for _ in range(10)]
            for job in jobs:
                job.add_done_callback(tell)
            print(sum(len(job.result()) for job in as_completed(jobs, 20)))
            print(len(wait(jobs, 20).done), all_done.wait(20))
            told, last = [], Event()
            job = rw.submit.image_inference(**PICTURE, number_results=4, on_partial=lambda new, error: (
                told.extend(new), new.completed == 4 and last.set()))
            print(sum(1 for _ in job), last.wait(20), len(told))
            job = rw.submit.image_inference(**PICTURE)
            def wait():
                try:
                    job.result()
                except TaskCancelledError:
                    return "cancelled"
            waiter = gevent.spawn(wait)
            gevent.sleep(0)
            print(job.cancel(), waiter.get(timeout=20))
            rw.close()
            """,
        )
        assert out.split("\n") == ["10", "10 True", "4 True 4", "True cancelled", ""]

    def test_other_greenlets_run_while_one_waits(self, server: LocalServer) -> None:
        server.hold("promptEnhance")
        out = run(
            server,
            """
            rw = client()
            turns = 0
            def count():
                global turns
                while True:
                    gevent.sleep(0)
                    turns += 1
            counting = gevent.spawn(count)
            rw.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5)
            counting.kill()
            print(turns > 100)
            job = rw.submit.prompt_enhance(prompt="harbour")
            try:
                with gevent.Timeout(0.2):
                    job.result()
            except gevent.Timeout:
                print("timeout", job.cancel())
            print(len(rw.image_inference(**PICTURE)))
            """,
        )
        assert out.split() == ["True", "timeout", "True", "1"]

    def test_connection_survives_a_program_that_computes_without_a_pause(self, server: LocalServer) -> None:
        out = run(
            server,
            """
            rw = client(liveness_timeout=2.0)  # a machine that is busy may take longer than 0.5 s for an answer
            rw.connect()
            jobs = [rw.submit.image_inference(**PICTURE) for _ in range(5)]
            gevent.sleep(0)
            end = time.monotonic() + 4.0
            while time.monotonic() < end:
                pass
            print(sum(len(job.result()) for job in jobs), rw.stats.drops)
            """,
        )
        assert out.split() == ["5", "0"]

    @pytest.mark.parametrize("when", ["runware is imported", "a client is made", "a client is closed"])
    def test_late_patch_works_while_no_client_is_connected(self, when: str, server: LocalServer) -> None:
        before = {
            "runware is imported": "import runware, runware.core, runware.map",
            "a client is made": "rw = client(on_event=lambda event: None)",
            "a client is closed": "rw = client(); rw.image_inference(**PICTURE); rw.close(); rw = client()",
        }
        out = run(
            server,
            f"""
            import warnings
            warnings.simplefilter("ignore")  # gevent's, of modules that are imported already
            {before[when]}
            from gevent import monkey; monkey.patch_all()
            import gevent
            rw = globals().get("rw") or client()
            greenlets = [gevent.spawn(rw.image_inference, **PICTURE) for _ in range(20)]
            gevent.joinall(greenlets, raise_error=True)
            told = []
            rw.submit.image_inference(**PICTURE, on_partial=lambda new, error: told.append(len(new))).result()
            gevent.sleep(0.05)
            print(sum(len(one.value) for one in greenlets), told, len(list(rw.map(rw.image_inference, [PICTURE] * 5))))
            """,
            HEAD,
            late=True,
        )
        assert out == "20 [1] 5\n"

    def test_first_calls_after_a_late_patch_start_each_thread_once(
        self, server: LocalServer, tmp_path: pathlib.Path
    ) -> None:
        out = run(
            server,
            f"""
            import warnings
            warnings.simplefilter("ignore")
            import runware.core, runware.store.recorder
            from gevent import monkey; monkey.patch_all()
            import gevent, threading
            from collections import Counter
            started, real = Counter(), threading.Thread.start
            def start(thread):
                started[thread.name] += 1
                real(thread)
            threading.Thread.start = start
            rw = client(store="sqlite:///{tmp_path}/jobs.db")
            greenlets = [gevent.spawn(rw.image_inference, **PICTURE) for _ in range(5)]
            gevent.joinall(greenlets, raise_error=True)
            print(started["runware-io"], started["runware-store"])
            """,
            HEAD,
            late=True,
        )
        assert out == "1 1\n"

    def test_patched_while_connected_raises_before_anything_is_sent(self, server: LocalServer) -> None:
        out = run(
            server,
            """
            import warnings
            warnings.simplefilter("ignore")
            from runware import ConfigurationError
            rw = client()
            rw.connect()
            from gevent import monkey; monkey.patch_all()
            for call in (rw.image_inference, rw.submit.image_inference):
                try:
                    call(**PICTURE)
                except ConfigurationError as error:
                    print("patched" in str(error))
            """,
            HEAD,
            late=True,
        )
        assert out.split() == ["True", "True"]
        assert not server.ledger.tasks("imageInference")

    @pytest.mark.parametrize(
        "patch", ["patch_all(thread=False)", "patch_all(socket=False)", "patch_all(select=False)", "patch_socket()"]
    )
    def test_partial_patch_raises_before_anything_is_sent(self, patch: str, server: LocalServer) -> None:
        out = run(
            server,
            f"""
            from gevent import monkey; monkey.{patch}
            from runware import ConfigurationError
            for make in (client().image_inference, client().submit.image_inference):
                try:
                    make(**PICTURE)
                except ConfigurationError as error:
                    print("patch_all" in str(error))
            """,
            HEAD,
        )
        assert out.split() == ["True", "True"]
        assert server.ledger.connections == 0

    def test_gevent_without_patches_changes_nothing(self, server: LocalServer) -> None:
        out = run(server, "import gevent.monkey\nprint(len(client().image_inference(**PICTURE)))", HEAD)
        assert out == "1\n"

    def test_child_of_a_fork_starts_anew_under_gevent(self, server: LocalServer) -> None:
        server.hold("promptEnhance")
        out = run(
            server,
            """
            rw = client()
            rw.connect()
            job = rw.submit.prompt_enhance(prompt="harbour")
            gevent.sleep(0.1)
            pid = os.fork()
            if pid == 0:
                try:
                    failed = job.exception()
                    print(type(failed).__name__, len(rw.image_inference(**PICTURE)), flush=True)
                finally:
                    os._exit(0)
            print(os.waitpid(pid, 0)[1], len(rw.image_inference(**PICTURE)), rw.stats.drops, job.cancel(), flush=True)
            rw.close()
            """,
        )
        assert out == "ClientClosedError 1\n0 1 0 True\n"
        assert server.ledger.connections == 2


APPLICATION = """
import os
import runware
rw = runware.Runware(timeout=30.0)
if os.environ.get("CONNECT"):
    rw.connect()
def application(environ, start_response):
    if environ["PATH_INFO"] == "/up":
        text = "up"
    else:
        videos = rw.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5)
        told = []
        images = rw.image_inference(
            positive_prompt="a kite", model="runware:101@1", on_partial=lambda new, error: told.extend(new)
        )
        mapped = list(rw.map(rw.image_inference, [{"positive_prompt": "a kite", "model": "runware:101@1"}] * 3))
        text = f"{len(videos)} {len(images)} {len(told)} {len(mapped)}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
"""


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return str(answer.read().decode())


@contextmanager
def gunicorn(server: LocalServer, tmp_path: pathlib.Path, *options: str, **variables: str) -> Iterator[int]:
    (tmp_path / "served.py").write_text(APPLICATION)
    port = free_port()
    command = ["-m", "gunicorn", "-k", "gevent", "--workers", "2", "--bind", f"127.0.0.1:{port}", *options, "served"]
    command += ["--graceful-timeout", "5"]  # a worker that is still starting when it is told to end misses the signal
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=tmp_path, stdout=log, stderr=log, env={**environment(server), **variables}
        )
    try:
        import time

        for _ in range(600):
            try:
                assert get(port, "/up") == "up"
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.05)  # nothing signals when it listens
        yield port
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("way", ["", "--preload", "--preload, connected"])
def test_gunicorn_with_gevent_workers(way: str, server: LocalServer, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed", exc_type=ImportError)
    pytest.importorskip("gunicorn")
    options = ["--preload"] if way else []
    variables = {"CONNECT": "1"} if "connected" in way else {}
    with gunicorn(server, tmp_path, *options, **variables) as port, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: get(port, "/"), range(20)))
    assert answers == ["1 1 1 3"] * 20, (tmp_path / "log").read_text()
    assert len(server.ledger.tasks("imageInference")) == 80


def test_celery_with_gevent_workers(server: LocalServer, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed", exc_type=ImportError)
    pytest.importorskip("celery")
    for name in ("queue", "results"):
        (tmp_path / name).mkdir()
    (tmp_path / "worked.py").write_text(
        textwrap.dedent(
            """
            import celery, runware
            app = celery.Celery(broker="filesystem://", backend="file://results")
            app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue"}
            @app.task
            def images(prompt):
                return len(runware.get_client().image_inference(positive_prompt=prompt, model="runware:101@1"))
            """
        )
    )
    log = (tmp_path / "log").open("w")
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "worked", "worker", "-P", "gevent", "-c", "20", "--without-gossip",
         "--without-mingle", "--without-heartbeat", "-l", "info"],
        cwd=tmp_path, env=environment(server), stdout=log, stderr=log,
    )  # fmt: skip
    try:
        asked = subprocess.run(
            [sys.executable, "-c",
             "import worked; print([one.get(timeout=40) for one in [worked.images.delay('kite') for _ in range(20)]])"],
            cwd=tmp_path, env=environment(server), capture_output=True, text=True, timeout=55, check=False,
        )  # fmt: skip
        assert asked.stdout.strip() == str([1] * 20), asked.stderr + (tmp_path / "log").read_text()
    finally:
        worker.terminate()
        worker.wait(20)
        log.close()
    assert server.ledger.connections == 1


def test_eventlet_is_refused_before_anything_is_sent(server: LocalServer) -> None:
    pytest.importorskip("eventlet", reason="eventlet is not installed", exc_type=ImportError)
    out = run(
        server,
        """
        import warnings
        warnings.simplefilter("ignore")
        import eventlet
        eventlet.monkey_patch()
        from runware import ConfigurationError
        try:
            client().image_inference(**PICTURE)
        except ConfigurationError as error:
            print("eventlet" in str(error))
        """,
        HEAD,
    )
    assert out == "True\n"
    assert server.ledger.connections == 0


def test_trio_is_refused_before_anything_is_sent(server: LocalServer) -> None:
    pytest.importorskip("trio", reason="trio is not installed", exc_type=ImportError)
    out = run(
        server,
        """
        import trio
        from runware import WrongThreadError
        rw = client()
        async def main():
            async def each():
                async for _ in rw.aio.map(rw.aio.image_inference, [PICTURE]):
                    pass
            for call in (lambda: rw.aio.image_inference(**PICTURE), rw.aio.connect, each):
                try:
                    await call()
                except WrongThreadError as error:
                    print("trio.to_thread" in str(error))
            job = await trio.to_thread.run_sync(lambda: rw.submit.image_inference(**PICTURE))
            async def iterate():
                async for _ in job:
                    pass
            for wait in (job.wait_async, iterate):
                try:
                    await wait()
                except WrongThreadError as error:
                    print("trio.to_thread" in str(error))
            print(len(await trio.to_thread.run_sync(job.result)))
        trio.run(main)
        rw.close()
        """,
        HEAD,
    )
    assert out.split() == ["True"] * 5 + ["1"]
    assert len(server.ledger.tasks("imageInference")) == 1


@pytest.mark.skipif(sys.version_info < (3, 13), reason="before, the module of sub-interpreters has another name")
@pytest.mark.usefixtures("unmeasured")  # coverage cannot measure an isolated interpreter, and warns
def test_isolated_sub_interpreter_is_refused_before_anything_is_sent(server: LocalServer) -> None:
    out = run(
        server,
        '''
        import _interpreters
        made = _interpreters.create("isolated")
        failed = _interpreters.exec(made, HEAD + """
        from runware import ConfigurationError
        try:
            client().image_inference(**PICTURE)
        except ConfigurationError as error:
            assert "sub-interpreter" in str(error), error
        else:
            raise AssertionError
        """.replace("\\n        ", "\\n"))
        _interpreters.destroy(made)
        print(failed)
        ''',
        f"HEAD = {HEAD!r}\n",
    )
    assert out == "None\n"
    assert server.ledger.connections == 0
