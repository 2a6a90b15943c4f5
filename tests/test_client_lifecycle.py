"""The life of a client: close() and dropping a client leave nothing behind; and what still runs then."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tenacity

from runware import (
    AsyncRunware,
    ClientClosedError,
    Job,
    RetryPolicy,
    Runware,
    TaskTimeoutError,
    ValidationError,
    events,
    get_client,
)
from runware.core import Core, _cores
from runware.handles import unpickle
from runware.local import LocalServer
from runware.transport import callbacks

from .conftest import until
from .test_three_interfaces import PICTURE


@pytest.fixture
def client_threads(server: LocalServer) -> Threads:
    """Return a function that returns the names of the clients' threads that were started in this test.

    A thread that connects is left out by default: it may still be about to end when the connection is in use.
    """
    before = set(threading.enumerate())

    def names(*, dialling: bool = False) -> set[str]:
        every = {thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("runware-")}
        return {name for name in every if dialling or not name.startswith("runware-dial")}

    return names


Threads = Callable[..., set[str]]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Disable the garbage collector, so that only what is in no cycle is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def with_callback(rw: Runware, callback: Callable[[], object]) -> Job[Any]:
    """Submit a job with a callback. The server must hold its result, or the callback may run on this thread."""
    job = rw.submit.image_inference(**PICTURE)
    job.add_done_callback(lambda _: callback())
    return job


class TestClose:
    def test_close_leaves_no_thread(self, server: LocalServer, client_threads: Threads) -> None:
        rw = Runware(server.api_key, url=server.url, on_event=lambda event: None)
        told, progressed = threading.Event(), threading.Event()
        with server.hold("imageInference"):
            job = with_callback(rw, told.set)
            rw.submit.image_inference(**PICTURE, progress=lambda now: progressed.set())
            assert progressed.wait(20)
            server.release()
            assert told.wait(20)
        assert client_threads() >= {"runware-io", "runware-callbacks", "runware-events"}
        rw.close()
        assert client_threads() <= {"runware-progress"}  # which ends with its job
        until(lambda: not client_threads())
        assert job.result(0)

    def test_close_runs_the_callbacks_of_the_calls_it_ends(self, server: LocalServer, client_threads: Threads) -> None:
        rw = Runware(server.api_key, url=server.url)
        ended: list[type[BaseException]] = []
        rw.connect()
        with server.hold("imageInference"):
            for _ in range(20):
                job = rw.submit.image_inference(**PICTURE)
                job.add_done_callback(lambda job: ended.append(type(job.exception())))
            rw.close()
        assert ended == [ClientClosedError] * 20
        assert not client_threads()

    def test_close_delivers_the_events_of_the_calls_it_ends(self, server: LocalServer, client_threads: Threads) -> None:
        seen: list[str] = []
        rw = Runware(server.api_key, url=server.url, on_event=lambda event: seen.append(type(event).__name__))
        rw.connect()
        with server.hold("imageInference"):
            rw.submit.image_inference(**PICTURE)
            rw.close()
        assert seen[-2:] in (["Disconnected", "Resolved"], ["Resolved", "Disconnected"])
        assert not client_threads()

    def test_close_from_a_callback_of_a_job(self, server: LocalServer, client_threads: Threads) -> None:
        rw = Runware(server.api_key, url=server.url)
        order: list[str] = []

        def first() -> None:
            rw.close()
            order.append("closed")

        with server.hold("imageInference"):
            with_callback(rw, first)
            with_callback(rw, partial(order.append, "second"))
            server.release()
            until(lambda: not client_threads())
        assert order == ["closed", "second"]
        assert rw.closed

    def test_client_can_be_closed_from_on_event(self, server: LocalServer, client_threads: Threads) -> None:
        rw = Runware(server.api_key, url=server.url, on_event=lambda event: rw.close())
        with server.hold("imageInference"):
            job = rw.submit.image_inference(**PICTURE)
            with pytest.raises(ClientClosedError):
                job.result(20)
        until(lambda: not client_threads())

    def test_close_does_not_wait_long_for_a_callback_that_runs(
        self, server: LocalServer, client_threads: Threads
    ) -> None:
        rw = Runware(server.api_key, url=server.url)
        entered, go_on, second = threading.Event(), threading.Event(), threading.Event()

        def slow() -> None:
            entered.set()
            go_on.wait(20)

        with server.hold("imageInference"):
            with_callback(rw, slow)
            with_callback(rw, second.set)
        assert entered.wait(20)
        start = time.monotonic()
        rw.close()
        assert time.monotonic() - start < 5.0
        assert client_threads() == {"runware-callbacks"}
        go_on.set()
        assert second.wait(20)  # it was queued before
        until(lambda: not client_threads())

    def test_callbacks_that_wait_too_long_after_close_are_dropped(
        self,
        server: LocalServer,
        client_threads: Threads,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(callbacks, "GRACE", 0.0)
        rw = Runware(server.api_key, url=server.url)
        entered, go_on = threading.Event(), threading.Event()

        def slow() -> None:
            entered.set()
            go_on.wait(20)

        ran: list[int] = []
        with server.hold("imageInference"):
            with_callback(rw, slow)
        assert entered.wait(20)
        with server.hold("imageInference"):
            jobs = [with_callback(rw, partial(ran.append, number)) for number in range(5)]
        for job in jobs:
            job.result(20)
        with caplog.at_level(logging.WARNING, logger="runware.callbacks"):
            rw.close()
            go_on.set()
            until(lambda: not client_threads())
        assert ran == []
        assert "5 callbacks" in caplog.text

    def test_closing_an_asyncio_client_leaves_no_thread(self, server: LocalServer, client_threads: Threads) -> None:
        async def main() -> None:
            told = threading.Event()
            async with AsyncRunware(server.api_key, url=server.url, on_event=lambda event: None) as rw:
                job = rw.submit.image_inference(**PICTURE)
                job.add_done_callback(lambda job: told.set())
                await job
            assert client_threads() <= {"runware-elsewhere"}  # where the close was awaited
            assert told.is_set()

        asyncio.run(main())
        until(lambda: not client_threads())

    def test_closing_again_and_from_several_threads(self, server: LocalServer, client_threads: Threads) -> None:
        rw = Runware(server.api_key, url=server.url, on_event=lambda event: None)
        with server.hold("imageInference"):
            job = with_callback(rw, lambda: None)
        job.result(20)
        threads = [threading.Thread(target=rw.close) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        rw.close()
        assert not client_threads()


class TestJobKeptAfterClose:
    def test_job_does_not_keep_its_client(self, server: LocalServer, no_collector: None) -> None:
        rw = Runware(server.api_key, url=server.url)
        told = threading.Event()
        with server.hold("imageInference"):
            job = with_callback(rw, told.set)
            cancelled = with_callback(rw, lambda: None)
            cancelled.cancel()
        job.result(20)
        assert told.wait(20)
        core = weakref.ref(rw._core)
        rw.close()
        del rw
        assert core() is None
        assert job.done()
        assert cancelled.cancelled()

    def test_callback_added_to_an_ended_job_runs_at_once_and_starts_nothing(
        self, server: LocalServer, client_threads: Threads
    ) -> None:
        with Runware(server.api_key, url=server.url) as rw:
            job = rw.submit.image_inference(**PICTURE)
            job.result(20)
        threads: list[threading.Thread] = []
        job.add_done_callback(lambda job: threads.append(threading.current_thread()))
        assert threads == [threading.current_thread()]
        assert not client_threads()


class TestCallbackThread:
    def test_callback_posted_after_stop_runs_and_leaves_no_thread(self) -> None:
        thread = callbacks.CallbackThread("test-callbacks-late")
        thread.stop()
        ran: list[int] = []
        for number in range(100):
            thread.post(partial(ran.append, number))
        until(lambda: not [one for one in threading.enumerate() if one.name == "test-callbacks-late"])
        assert ran == list(range(100))

    def test_stop_beside_posts_of_many_threads_leaves_no_thread(self) -> None:
        thread = callbacks.CallbackThread("test-callbacks-busy")
        ran: list[int] = []
        posters = [
            threading.Thread(target=lambda: [thread.post(partial(ran.append, n)) for n in range(200)]) for _ in range(8)
        ]
        for number, poster in enumerate(posters):
            poster.start()
            if number == 4:
                thread.stop(20)
        for poster in posters:
            poster.join(20)
        thread.stop(20)
        until(lambda: not [one for one in threading.enumerate() if one.name == "test-callbacks-busy"])
        assert len(ran) == 8 * 200

    def test_last_callback_is_released(self) -> None:
        class Held:
            pass

        thread = callbacks.CallbackThread("test-callbacks-held")
        held, ran = Held(), threading.Event()
        gone = weakref.ref(held)
        thread.post(partial(lambda held: ran.set(), held))
        assert ran.wait(20)
        del held
        until(lambda: gone() is None)
        thread.stop(20)

    def test_stopped_thread_stays_stopped_in_a_forked_child(self) -> None:
        thread = callbacks.CallbackThread()
        thread.abandon()
        assert not thread.stopped
        thread.stop()
        thread.abandon()
        assert thread.stopped


def blocking(rw: Runware, server: LocalServer) -> None:
    rw.image_inference(**PICTURE)


def failing(rw: Runware, server: LocalServer) -> None:
    with pytest.raises(ValidationError):
        rw.image_inference(**{**PICTURE, "width": 100})


def timing_out(rw: Runware, server: LocalServer) -> None:
    with server.hold("imageInference"), pytest.raises(TaskTimeoutError):
        rw.image_inference(**PICTURE, timeout=0.1)


def job(rw: Runware, server: LocalServer) -> None:
    told = threading.Event()
    with server.hold("imageInference"):
        job = with_callback(rw, told.set)
    job.result(20)
    assert told.wait(20)


def failing_job(rw: Runware, server: LocalServer) -> None:
    with pytest.raises(ValidationError):
        rw.submit.image_inference(**{**PICTURE, "width": 100}).result(20)


def cancelled_job(rw: Runware, server: LocalServer) -> None:
    rw.submit.image_inference(**PICTURE).cancel()


def iterated_job(rw: Runware, server: LocalServer) -> None:
    assert len(list(rw.submit.image_inference(**PICTURE, number_results=2))) == 2


def in_asyncio(rw: Runware, server: LocalServer) -> None:
    async def main() -> None:
        await rw.aio.image_inference(**PICTURE)
        with pytest.raises(ValidationError):
            await rw.aio.image_inference(**{**PICTURE, "width": 100})

    asyncio.run(main())


def mapped(rw: Runware, server: LocalServer) -> None:
    assert len(list(rw.map(rw.image_inference, ["a kite", "a heron"]))) == 2


def with_partials(rw: Runware, server: LocalServer) -> None:
    rw.image_inference(**PICTURE, on_partial=lambda results, error: None)


def connecting(rw: Runware, server: LocalServer) -> None:
    rw.connect()


USES = [
    blocking, failing, timing_out, job, failing_job, cancelled_job, iterated_job, in_asyncio, mapped, with_partials,
    connecting,
]  # fmt: skip


@pytest.mark.usefixtures("no_collector")
class TestDropped:
    @pytest.mark.parametrize("use", USES)
    def test_dropped_client_ends_at_once_without_the_collector(
        self, use: Callable[[Runware, LocalServer], None], server: LocalServer, client_threads: Threads
    ) -> None:
        rw = Runware(server.api_key, url=server.url, retry_delay=0.01, on_event=lambda event: None)
        use(rw, server)
        interface, core, submit, aio = (weakref.ref(one) for one in (rw, rw._core, rw.submit, rw.aio))
        del rw
        until(lambda: interface() is core() is submit() is aio() is None)
        until(lambda: not client_threads())

    def test_two_hundred_dropped_clients_leave_nothing_behind(
        self, server: LocalServer, client_threads: Threads
    ) -> None:
        def descriptors() -> int:
            return len(os.listdir("/dev/fd"))

        def use() -> list[weakref.ref[Any]]:
            rw = Runware(server.api_key, url=server.url)
            job = rw.submit.image_inference(**PICTURE)
            job.result(20)
            io_loop = rw._core._io_loop
            assert io_loop is not None
            return [weakref.ref(one) for one in (rw, rw._core, io_loop, io_loop._session, job)]

        use()  # what the process keeps, such as the wakeup_pool of the waiting threads
        until(lambda: not client_threads())
        before, left = descriptors(), []
        for _ in range(200):
            left += use()
        until(lambda: not [one for one in left if one() is not None])
        until(lambda: not client_threads(dialling=True))
        until(lambda: descriptors() <= before)

    def test_method_kept_alone_keeps_its_client(self, server: LocalServer, client_threads: Threads) -> None:
        make = Runware(server.api_key, url=server.url).image_inference
        assert len(make(**PICTURE)) == 1
        del make
        until(lambda: not client_threads())

    def test_client_is_dropped_by_the_last_callback(self, server: LocalServer, client_threads: Threads) -> None:
        """Also where only the callback's own thread or the I/O thread holds it."""
        for _ in range(20):
            rw = Runware(server.api_key, url=server.url)
            with server.hold("imageInference"):
                with_callback(rw, lambda rw=rw: rw.stats)  # type: ignore[misc]
                rw.submit.image_inference(**PICTURE)
                core = weakref.ref(rw._core)
                del rw
                server.release()
            until(lambda: core() is None)
        until(lambda: not client_threads())

    @pytest.mark.parametrize("transport", ["websocket", "http"])
    @pytest.mark.parametrize("use", ["no", "store", "closed", "dropped"])
    def test_client_whose_listener_refers_to_it_is_garbage_collected(
        self, use: str, transport: Any, server: LocalServer, client_threads: Threads, tmp_path: Path
    ) -> None:
        class Service:
            def __init__(self) -> None:
                self.seen = threading.Event()
                store = tmp_path / "jobs.db" if use == "store" else None
                self.rw = Runware(server.api_key, url=server.url, transport=transport, on_event=self.watch, store=store)
                self.rw._core.listen(self.watch)

            def watch(self, event: events.Event) -> None:
                self.seen.set()

        service = Service()
        if use != "no":
            service.rw.image_inference(**PICTURE)
            assert service.seen.wait(10)
        if use in ("closed", "store"):
            service.rw.close()
        left = weakref.ref(service)
        del service

        def is_gone() -> bool:
            gc.collect()
            return left() is None

        until(is_gone)
        until(lambda: not client_threads())

    def test_failed_io_loop_is_garbage_collected(
        self, server: LocalServer, client_threads: Threads, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL, "runware.engine")  # a log record would hold the traceback, and the I/O loop
        rw = Runware(server.api_key, url=server.url)
        rw.connect()
        io_loop: Any = rw._core._io_loop
        assert io_loop is not None

        def fail(now: float) -> None:
            raise MemoryError

        io_loop._post(fail)
        gone = weakref.ref(io_loop)
        io_loop.close(20.0)
        del io_loop, fail
        rw.image_inference(**PICTURE)
        until(lambda: gone() is None)
        rw.close()
        assert not client_threads()


def read_key(path: str = "", *, key: str = "rw-test-key") -> str:
    return key


class KeyFile:
    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self) -> str:
        return self.key

    def read(self) -> str:
        return self.key


PICKLED_OPTIONS: list[dict[str, Any]] = [
    {"max_retries": RetryPolicy(stop=tenacity.stop_after_attempt(3))},
    {
        "max_retries": RetryPolicy(
            stop=tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(10.0),
            wait=tenacity.wait_fixed(0.1) + tenacity.wait_exponential_jitter(max=2.0),
        )
    },
    {"api_key": read_key},
    {"api_key": partial(read_key, "key.txt", key="rw-test-key")},
    {"api_key": KeyFile("rw-test-key")},
    {"api_key": KeyFile("rw-test-key").read},
    {"on_event": partial(setattr, KeyFile(""), "key")},
]


class TestUnpickled:
    @pytest.mark.parametrize("options", PICKLED_OPTIONS, ids=range(len(PICKLED_OPTIONS)))
    def test_thousand_unpickled_clients_are_one(
        self,
        options: dict[str, Any],
        server: LocalServer,
        client_threads: Threads,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        client = Runware(url=server.url, **options)
        data = pickle.dumps(client)
        clients = [pickle.loads(data) for _ in range(1000)]
        again = pickle.loads(pickle.dumps(clients[0]))
        assert len({id(one._core) for one in (*clients, again)}) == 1
        for one in clients[::100]:
            assert len(one.image_inference(**PICTURE)) == 1
        assert sorted(client_threads() - {"runware-events"}) == ["runware-io"]
        assert server.ledger.connections == 1
        again.close()
        assert not client_threads()

    def test_client_pickled_by_version_0_7_can_be_unpickled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", "k")
        names = b"crunware.client\n_unpickle\n(crunware.client\nAsyncRunware\n"
        client = pickle.loads(names + b"(dVurl\nVws://127.0.0.1:9\nsVtimeout\nF7.0\nsVkey_mark\nVea6e45dff90d\nstR.")
        assert type(client) is AsyncRunware
        assert client._core.options.timeout == 7.0

    def test_different_policies_are_different_clients(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        policies = [RetryPolicy(stop=tenacity.stop_after_attempt(number)) for number in (3, 4)]
        one, other = (pickle.loads(pickle.dumps(Runware(url=server.url, max_retries=policy))) for policy in policies)
        assert one._core is not other._core

    def test_client_with_an_option_that_has_no_name_ends_when_it_is_dropped(
        self, server: LocalServer, client_threads: Threads, no_collector: None
    ) -> None:
        # As cloudpickle would deliver it, which serializes functions by value.
        portable = {"url": server.url, "api_key": lambda: "rw-test-key"}
        cores = set()
        for _ in range(20):
            client = unpickle(Runware, portable)
            assert len(client.image_inference(**PICTURE)) == 1
            cores.add(weakref.ref(client._core))
            del client
        until(lambda: not client_threads())
        assert len(cores) == 20
        assert all(core() is None for core in cores)

    def test_closed_client_is_not_kept(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch, no_collector: None
    ) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        monkeypatch.setenv("RUNWARE_URL", server.url)
        client = get_client()
        client.image_inference(**PICTURE)
        gone = weakref.ref(client._core)
        client.close()
        del client
        get_client().close()
        assert gone() is None

    def test_equal_options_of_a_subclass_share_the_connection(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        one = pickle.loads(pickle.dumps(Subclass(url=server.url)))
        other = pickle.loads(pickle.dumps(Runware(url=server.url)))
        assert type(one) is Subclass
        assert one._core is other._core

    def test_bound_method_is_pickled_with_its_client(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        with Runware(url=server.url) as rw:
            make = pickle.loads(pickle.dumps(rw.image_inference))
        assert len(make(**PICTURE)) == 1
        make.__self__.close()


class Subclass(Runware):
    """A user's own client class."""


def test_forks_know_no_core_of_a_dropped_client(no_collector: None) -> None:
    core = Core(Runware("key")._core.options)
    assert core in _cores
    gone = weakref.ref(core)
    del core
    assert gone() is None
