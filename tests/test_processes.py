"""Processes: forks at any moment, pickles, Ctrl-C, and interpreter exit. Each test runs a script of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request

import pytest

from runware import ConfigurationError, Image, ImageInference, Results, Runware, get_client
from runware.local import LocalServer

from .net import free_port
from .test_three_interfaces import PICTURE

PROJECT = pathlib.Path(__file__).parent.parent
# Python 3.12 and later warn about a fork in a process with threads, which these tests do on purpose. The text of -W is
# the literal start of the warning, not a pattern. Until 3.14, a fork goes on even if that warning is made an error.
PYTHON = [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore:This process (pid=:DeprecationWarning"]
START = f"""
import os, signal, sys, threading, time
from runware import *
PICTURE = {PICTURE!r}
rw = Runware(timeout=20.0, retry_delay=0.05)
def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def environment(server: LocalServer) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "RUNWARE_API_KEY": server.api_key,
        "RUNWARE_URL": server.url,
    }


def run(server: LocalServer, code: str, *, said: str = "") -> str:
    result = subprocess.run(
        [*PYTHON, "-c", START + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment(server),
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert said in result.stderr if said else result.stderr == ""
    return result.stdout


def start(server: LocalServer, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PYTHON, "-c", START + textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(server),
    )


@needs_fork
class TestFork:
    def test_fork_before_the_first_call_works(self, server: LocalServer) -> None:
        run(server, "in_child(lambda: rw.image_inference(**PICTURE)); rw.image_inference(**PICTURE); rw.close()")
        assert server.ledger.connections == 2

    def test_fork_during_a_late_import_works(self, server: LocalServer) -> None:
        run(
            server,
            """
            entered = threading.Event()
            class Slow:
                def find_spec(self, name, path=None, target=None):
                    if name == "encodings.idna":
                        entered.set()
                        threading.Event().wait(0.3)  # so that the fork falls into it
            assert "encodings.idna" not in sys.modules
            sys.meta_path.insert(0, Slow())
            job = rw.submit.image_inference(**PICTURE)
            assert entered.wait(20)
            in_child(lambda: rw.image_inference(**PICTURE))
            job.result()
            rw.close()
            """,
        )

    def test_fork_while_idle_leaves_the_parents_connection_alone(self, server: LocalServer) -> None:
        run(
            server,
            """
            rw.image_inference(**PICTURE)
            for _ in range(3):
                in_child(lambda: rw.image_inference(**PICTURE))
                rw.image_inference(**PICTURE)
            rw.close()
            """,
        )
        # The parent's connection is untouched: one for it, and one for each child.
        assert server.ledger.connections == 4

    def test_fork_in_an_event_loop_lets_go_of_its_connections(self, server: LocalServer) -> None:
        """A connection that a child has too stays open when the parent closes it, and the server goes on."""
        gate = threading.Event()
        server.app("my-upscaler", {"run": lambda payload: gate.wait(30)})
        with server.play("X21", form="silence", after=3, times=2):
            shown = run(
                server,
                f"""
                import asyncio, socket, stat
                def open_connections():
                    found = 0
                    for number in range(3, 100):
                        try:
                            if stat.S_ISSOCK(os.fstat(number).st_mode):
                                with socket.socket(fileno=os.dup(number)) as sock:
                                    found += sock.getpeername()[1] == {server.port}
                        except (OSError, IndexError):
                            pass
                    return found

                async def main():
                    asyncio.get_running_loop().slow_callback_duration = 30.0  # the fork is one
                    chat = rw.aio.chat("local-model").stream("Hello")
                    messages = [{{"role": "user", "content": "Hello"}}]
                    text = rw.aio.stream_text(model="google:gemma@4-31b", messages=messages)
                    app = asyncio.create_task(rw.aio.app("my-upscaler").call("run", sync=True))
                    await anext(chat), await anext(text)
                    while open_connections() < 3:
                        await asyncio.sleep(0.01)
                    in_child(lambda: print(open_connections(), flush=True))
                    print(open_connections())
                    app.cancel()
                    await chat.close()
                    await text.close()
                    await asyncio.wait([app])

                asyncio.run(main())
                rw.close()
                """,
            )
        gate.set()
        assert shown.split() == ["0", "3"]

    def test_fork_while_a_call_runs_ends_it_in_the_child_only(self, server: LocalServer) -> None:
        with server.hold("imageInference"):
            script = start(
                server,
                """
                job = rw.submit.image_inference(**PICTURE)
                sys.stdin.readline() if False else None
                while job.status != "sent": pass
                def child():
                    try:
                        job.result(5)
                    except ClientClosedError as error:
                        assert "forked" in str(error)
                    else:
                        raise AssertionError("the job went on in the child")
                    other = rw.submit.image_inference(**PICTURE)
                    print("child waits", flush=True)
                    assert len(other.result()) == 1
                in_child(child)
                assert len(job.result()) == 1
                print("parent done", flush=True)
                rw.close()
                """,
            )
            server.ledger.wait_for(lambda ledger: ledger.held == 2, 20)
        out, err = script.communicate(timeout=40)
        assert (script.returncode, err) == (0, "")
        assert out.split() == ["child", "waits", "parent", "done"]
        assert server.ledger.connections == 2

    @pytest.mark.parametrize("place", ["dialer.socket.getaddrinfo", "dialer._upgrade", "io_loop.IOLoop._opened"])
    def test_fork_while_connecting_closes_the_childs_descriptors(self, server: LocalServer, place: str) -> None:
        run(
            server,
            f"""
            import gc, runware.transport.dialer, runware.transport.io_loop
            place = runware.transport.{place.rpartition(".")[0]}
            real, entered, go_on = place.{place.rpartition(".")[2]}, threading.Event(), threading.Event()
            def slow(*args):
                entered.set()
                go_on.wait(20)
                return real(*args)
            place.{place.rpartition(".")[2]} = slow
            job = rw.submit.image_inference(**PICTURE)
            assert entered.wait(10)
            def child():
                place.{place.rpartition(".")[2]} = real
                for number in range(3, 20):  # but for those of the standard streams
                    try:
                        descriptor = os.readlink(f"/proc/self/fd/{{number}}")
                    except OSError:
                        continue
                    assert "socket" not in descriptor, (number, descriptor)
                gc.collect()
                rw.image_inference(**PICTURE)
            in_child(child)
            go_on.set()
            assert len(job.result()) == 1
            rw.close()
            """,
        )
        assert server.ledger.connections == 2

    def test_fork_beside_a_name_lookup_that_hangs_lets_the_child_look_up_the_name(self, server: LocalServer) -> None:
        out = run(
            server,
            """
            import socket
            real, entered, go_on = socket.getaddrinfo, threading.Event(), threading.Event()
            def slow(host, *args):
                entered.set()
                go_on.wait(20)
                return real("127.0.0.1", *args)
            socket.getaddrinfo = slow
            rw = Runware(url=os.environ["RUNWARE_URL"].replace("127.0.0.1", "localhost"), timeout=20.0)
            job = rw.submit.image_inference(**PICTURE)
            assert entered.wait(10)
            def child():
                socket.getaddrinfo = lambda host, *args: real("127.0.0.1", *args)
                assert len(rw.image_inference(**PICTURE)) == 1
                print("child", flush=True)
            in_child(child)
            go_on.set()
            assert len(job.result()) == 1
            rw.close()
            print("parent")
            """,
        )
        assert out.split() == ["child", "parent"]
        assert server.ledger.connections == 2

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
    def test_fork_while_addresses_are_tried_closes_all_of_them_in_the_child(self, server: LocalServer) -> None:
        run(
            server,
            """
            import socket
            from runware.transport import addresses
            from tests.net import swallowing
            addresses._ATTEMPT_DELAY = 0.0
            dead, begun = swallowing(), threading.Semaphore(0)
            port = dead.__enter__()
            tried = [(socket.AF_INET, socket.SOCK_STREAM, 6, name, ("127.0.0.1", port)) for name in ("one", "other")]
            known = set(os.listdir("/proc/self/fd"))
            class Known(socket.socket):
                def connect_ex(self, address):
                    code = super().connect_ex(address)
                    begun.release()
                    return code
            socket.getaddrinfo, socket.socket = (lambda *args: tried), Known
            rw = Runware(url=f"ws://localhost:{port}/v1", timeout=20.0)
            job = rw.submit.image_inference(**PICTURE)
            assert begun.acquire(timeout=10) and begun.acquire(timeout=10)
            def child():
                for number in set(os.listdir("/proc/self/fd")) - known:
                    try:
                        descriptor = os.readlink(f"/proc/self/fd/{number}")
                    except OSError:
                        continue
                    assert "socket" not in descriptor, (number, descriptor)
            in_child(child)
            rw.close()
            assert job.done()
            dead.__exit__(None, None, None)
            """,
        )

    def test_fork_while_calls_are_being_ended_ends_all_in_the_child(self, server: LocalServer) -> None:
        with server.hold("imageInference"):
            run(
                server,
                """
                real, entered, go_on = Job.call_ended, threading.Event(), threading.Event()
                def slow(*args):
                    entered.set()
                    go_on.wait(20)
                    return real(*args)
                jobs = [rw.submit.image_inference(**PICTURE) for _ in range(3)]
                while jobs[-1].status != "sent": pass
                Job.call_ended = slow
                closing = threading.Thread(target=rw.close)
                closing.start()
                assert entered.wait(10)  # the first is being told, and the others are to be
                def child():
                    Job.call_ended = real
                    for job in jobs:
                        try:
                            job.result(5)
                        except ClientClosedError as error:
                            assert "forked" in str(error)
                        else:
                            raise AssertionError("the job went on in the child")
                in_child(child)
                go_on.set()
                for job in jobs:
                    assert "forked" not in str(job.exception())
                closing.join()
                """,
            )

    def test_fork_beside_threads_that_submit_works(self, server: LocalServer) -> None:
        run(
            server,
            """
            stop = threading.Event()
            def busy():
                while not stop.is_set():
                    rw.image_inference(**PICTURE)
            threads = [threading.Thread(target=busy) for _ in range(4)]
            for thread in threads: thread.start()
            for _ in range(15):
                in_child(lambda: rw.image_inference(**PICTURE))
            stop.set()
            for thread in threads: thread.join()
            rw.close()
            """,
        )

    def test_grandchild_and_child_that_exits_normally_work(self, server: LocalServer) -> None:
        run(
            server,
            """
            rw.image_inference(**PICTURE)
            def child():
                rw.image_inference(**PICTURE)
                in_child(lambda: rw.image_inference(**PICTURE))
                rw.image_inference(**PICTURE)
            in_child(child)
            if (pid := os.fork()) == 0:
                sys.exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            rw.image_inference(**PICTURE)
            """,
        )

    def test_events_and_counters_belong_to_the_process(self, server: LocalServer) -> None:
        run(
            server,
            """
            from queue import SimpleQueue
            queue = SimpleQueue()
            watched = Runware(on_event=lambda event: queue.put(type(event).__name__))
            def kinds():
                return [queue.get(timeout=20) for _ in range(4)]
            def work():
                watched.image_inference(**PICTURE)
                assert kinds() == ["Connected", "Authenticated", "Sent", "Resolved"]
                assert watched.stats.calls == watched.stats.connections == 1
            work()
            in_child(work)
            assert watched.stats.calls == 1
            watched.close()
            """,
        )

    def test_callbacks_and_events_of_a_child_leave_no_thread_after_its_close(self, server: LocalServer) -> None:
        run(
            server,
            """
            entered, go_on = threading.Event(), threading.Event()
            seen = []
            watched = Runware(on_event=lambda event: seen.append(type(event).__name__))
            def with_callback(callback):
                job = watched.submit.image_inference(**PICTURE)
                job.add_done_callback(lambda job: callback())
                return job
            def slow():
                entered.set()
                go_on.wait(20)
            with_callback(slow).add_done_callback(lambda job: seen.append("second"))
            assert entered.wait(20)
            def child():
                seen.clear()
                told = threading.Event()
                with_callback(told.set).result()
                assert told.wait(20)
                watched.close()
                assert threading.enumerate() == [threading.current_thread()], threading.enumerate()
                assert "second" not in seen and seen[-1] == "Disconnected", seen
            in_child(child)
            in_child(watched.close)
            go_on.set()
            watched.close()
            assert "second" in seen
            assert threading.enumerate() == [threading.current_thread()], threading.enumerate()
            """,
        )
        assert server.ledger.connections == 2

    def test_client_closed_in_a_child_leaves_the_parent_its_requests(self, server: LocalServer) -> None:
        run(
            server,
            """
            import socket
            listener = socket.create_server(("127.0.0.1", 0))
            other = Runware(url=f"ws://127.0.0.1:{listener.getsockname()[1]}/v1", timeout=20.0)
            found = []
            asking = threading.Thread(target=lambda: found.append(other.estimate(exact=True, **PICTURE)))
            asking.start()
            sock, _ = listener.accept()
            assert sock.recv(65536)
            in_child(other.close)
            body = b'{"data": [{"cost": 0.5}]}'
            sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%b" % (len(body), body))
            asking.join(20)
            assert found[0].cost == 0.5, found
            sock.close()
            listener.close()
            other.close()
            """,
        )

    def test_closed_client_stays_closed_in_a_child(self, server: LocalServer) -> None:
        run(
            server,
            """
            rw.image_inference(**PICTURE)
            rw.close()
            def child():
                try:
                    rw.image_inference(**PICTURE)
                except ClientClosedError:
                    pass
                else:
                    raise AssertionError("it was closed")
                assert threading.enumerate() == [threading.current_thread()]
            in_child(child)
            """,
        )

    @pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
    def test_multiprocessing_shares_clients_and_results(
        self, server: LocalServer, method: str, tmp_path: pathlib.Path
    ) -> None:
        script = tmp_path / "work.py"
        script.write_text(
            textwrap.dedent(f"""
            import multiprocessing, sys
            from runware import Runware
            PICTURE = {PICTURE!r}
            rw = Runware(timeout=20.0)
            def work(arguments):
                client, seed = arguments
                (image,) = client.image_inference(**PICTURE, seed=seed)
                return image
            if __name__ == "__main__":
                (first,) = rw.image_inference(**PICTURE)
                with multiprocessing.get_context({method!r}).Pool(2) as pool:
                    images = pool.map(work, [(rw, seed) for seed in range(1, 9)])
                assert [image.seed for image in images] == list(range(1, 9))
                assert all(image.raw["imageURL"] == image.url for image in images)
                rw.image_inference(**PICTURE)
            """)
        )
        result = subprocess.run(
            [*PYTHON, str(script)], capture_output=True, text=True, timeout=50, env=environment(server), check=False
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert server.ledger.connections <= 3

    def test_gunicorn_with_preload_serves_calls(self, server: LocalServer, tmp_path: pathlib.Path) -> None:
        pytest.importorskip("gunicorn")
        (tmp_path / "site.py").write_text("")
        (tmp_path / "gallery.py").write_text(
            textwrap.dedent(f"""
            import os, json
            from runware import Runware
            PICTURE = {PICTURE!r}
            rw = Runware(timeout=20.0)
            rw.image_inference(**PICTURE)  # the master is connected before it forks
            def app(environ, start_response):
                (image,) = rw.image_inference(**PICTURE)
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps([os.getpid(), image.url]).encode()]
            """)
        )
        (tmp_path / "site.py").unlink()
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", f"127.0.0.1:{port}", "gallery:app"],
            cwd=tmp_path, env=environment(server), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            server.ledger.wait_for(lambda ledger: ledger.connections >= 1, 30)
            workers, deadline = set(), time.monotonic() + 30
            while len(workers) < 2 and time.monotonic() < deadline:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                        pid, url = json.load(answer)
                        assert url.startswith("http")
                        workers.add(pid)
                except urllib.error.URLError:
                    time.sleep(0.05)  # it is not listening yet; nothing signals when it does
            assert len(workers) == 2
        finally:
            process.terminate()
            process.communicate(timeout=20)
        assert server.ledger.connections == 3


class TestExit:
    def test_exit_without_close_is_clean(self, server: LocalServer) -> None:
        run(server, "rw.image_inference(**PICTURE)")

    def test_exit_with_calls_in_flight_names_them(self, server: LocalServer) -> None:
        with server.hold("imageInference"):
            before = time.monotonic()
            run(server, "jobs = [rw.submit.image_inference(**PICTURE) for _ in range(20)]", said="20 calls")
            assert time.monotonic() - before < 10

    def test_exit_does_not_name_cancelled_and_ended_calls(self, server: LocalServer) -> None:
        script = """
jobs = [rw.submit.image_inference(**PICTURE) for _ in range(20)]
while jobs[-1].status != "sent": pass
busy = threading.Event()
rw._core._io_loop._post(lambda now: busy.wait(20))  # the I/O thread hears of no cancellation before the end
assert all(job.cancel() for job in jobs{})
print(jobs[-1].task_uuid)
"""
        with server.hold("imageInference"):
            run(server, script.format(""))
            run(server, script.format("[:-1]"), said="1 call ")

    def test_exit_while_connecting_names_the_call(self, server: LocalServer) -> None:
        server.play("X1")
        run(server, "job = rw.submit.image_inference(**PICTURE)", said="1 call ")

    def test_exit_does_not_wait_for_a_callback(self, server: LocalServer) -> None:
        run(server, "rw.submit.image_inference(**PICTURE, on_partial=lambda results, error: time.sleep(30)).result()")

    def test_calls_at_exit_are_refused(self, server: LocalServer) -> None:
        out = run(
            server,
            """
            import atexit
            def late():
                try:
                    rw.image_inference(**PICTURE)
                except RunwareError as error:
                    print(type(error).__name__)
            atexit.register(late)
            rw.image_inference(**PICTURE)
            rw.close()
            """,
        )
        assert out == "ClientClosedError\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
class TestInterrupt:
    @pytest.mark.parametrize("partial", ["None", "lambda results, error: None"])
    def test_ctrl_c_ends_a_blocking_call_at_once(self, server: LocalServer, partial: str) -> None:
        with server.hold("imageInference"):
            script = start(
                server,
                f"""
                import signal
                signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores it
                try:
                    rw.image_inference(**PICTURE, on_partial={partial})
                except KeyboardInterrupt:
                    print("interrupted", flush=True)
                assert len(rw.image_inference(positive_prompt="afterwards")) == 1
                """,
            )
            server.ledger.wait_for(lambda ledger: ledger.held == 1, 20)
            before = time.monotonic()
            script.send_signal(signal.SIGINT)
            assert script.stdout is not None
            assert script.stdout.readline() == "interrupted\n"
            assert time.monotonic() - before < 5
            server.ledger.wait_for(lambda ledger: ledger.held == 2, 20)
        _, err = script.communicate(timeout=20)
        assert script.returncode == 0
        assert re.fullmatch(r"runware\.jobs: A call was interrupted .* rw\.job\('[0-9a-f-]{36}'\)\.\n", err)


class TestPickle:
    def test_unpickled_clients_of_one_configuration_share_a_core(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        client = Runware(url=server.url, timeout=12.0)
        data = pickle.dumps(client)
        assert server.api_key.encode() not in data
        one, two = pickle.loads(data), pickle.loads(data)
        assert one._core is two._core
        assert one._core.options.timeout == 12.0
        assert len(one.image_inference(**PICTURE)) == 1
        one.close()
        assert pickle.loads(pickle.dumps(client.aio))._core is not one._core

    def test_unpickled_client_refuses_a_different_key(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = pickle.dumps(Runware("rw-one", url=server.url))
        monkeypatch.setenv("RUNWARE_API_KEY", "rw-another")
        client = pickle.loads(data)  # in a worker, whose caller must see the error
        assert "without its key" in repr(client)
        for use in (client.connect, client.submit.image_inference, lambda: asyncio.run(client.aio.model_search())):
            with pytest.raises(ConfigurationError, match="different API key"):
                use()

    def test_key_from_the_environment_may_be_rotated(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", "rw-before-the-rotation")
        data = pickle.dumps(Runware(url=server.url))
        assert b"rw-before-the-rotation" not in data
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        with pickle.loads(data) as client:
            assert len(client.image_inference(**PICTURE)) == 1
            again = pickle.dumps(client)
        monkeypatch.setenv("RUNWARE_API_KEY", "rw-after-the-next-rotation")
        assert pickle.loads(again)._core.options.api_key == "rw-after-the-next-rotation"

    def test_key_that_was_passed_must_be_the_same_after_pickling_twice(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        data = pickle.dumps(pickle.loads(pickle.dumps(Runware(server.api_key, url=server.url))))
        monkeypatch.setenv("RUNWARE_API_KEY", "rw-after-the-rotation")
        with pytest.raises(ConfigurationError, match="different API key"):
            pickle.loads(data).connect()

    def test_missing_key_is_reported_at_first_use(self, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        data = pickle.dumps(Runware(url=server.url))
        monkeypatch.delenv("RUNWARE_API_KEY")
        client = pickle.loads(data)
        with pytest.raises(ConfigurationError, match="RUNWARE_API_KEY"):
            client.connect()

    def test_client_with_an_ssl_context_cannot_be_pickled(self) -> None:
        import ssl

        with pytest.raises(TypeError, match="SSL_CERT_FILE"):
            pickle.dumps(Runware("rw-one", ssl_context=ssl.create_default_context()))

    def test_results_and_requests_can_be_pickled(self, rw: Runware) -> None:
        images = rw.image_inference(**PICTURE, number_results=2)
        again = pickle.loads(pickle.dumps(images))
        assert isinstance(again, Results)
        assert again == images
        assert isinstance(again[0], Image)
        assert again[0].raw == images[0].raw
        task = ImageInference(**PICTURE)
        assert pickle.loads(pickle.dumps(task)) == task

    def test_get_client_returns_one_client_per_process(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ConfigurationError, match="RUNWARE_API_KEY"):
            get_client()
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        monkeypatch.setenv("RUNWARE_URL", server.url)
        assert get_client()._core is get_client()._core
        assert len(get_client().image_inference(**PICTURE)) == 1
        closed = get_client()
        closed.close()
        assert get_client()._core is not closed._core
        assert len(get_client().image_inference(**PICTURE)) == 1
        get_client().close()
