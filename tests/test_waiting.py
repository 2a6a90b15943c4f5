"""How a thread waits for a job: nobody sleeps on, and nobody is woken by what was meant for another."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runware import Runware
from runware.local import LocalServer
from runware.transport import wakeup as waiting
from runware.transport.light_future import LightFuture
from runware.transport.wakeup import wakeup_pool

from .conftest import until

GUARD = 20


@pytest.fixture(autouse=True)
def no_bells() -> Iterator[None]:
    wakeup_pool.clear()
    yield
    wakeup_pool.clear()


class Waiters:
    """Threads that wait for a future."""

    def __init__(self, future: LightFuture[None], count: int, timeout: float | None = None) -> None:
        self.pool = ThreadPoolExecutor(count)
        self.told = [self.pool.submit(future.wait_done, timeout) for _ in range(count)]
        until(lambda: len(future._wakeables or ()) == count)

    def results(self) -> list[bool]:
        found = [one.result(GUARD) for one in self.told]
        self.pool.shutdown()
        return found


@pytest.mark.parametrize("timeout", [None, GUARD])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_everybody_is_woken_once(count: int, timeout: float | None) -> None:
    future = LightFuture[None]()
    waiters = Waiters(future, count, timeout)
    waiting.wake(future.settle(None, None))
    assert waiters.results() == [True] * count
    assert future.settle(None, None) == ()  # nobody is left


def test_a_few_wait_for_a_bell_and_the_others_for_locks() -> None:
    future = LightFuture[None]()
    waiters = Waiters(future, 12)
    sleepers = future.settle(None, None)
    assert sum(isinstance(one, waiting._SocketWakeup) for one in sleepers) == (
        0 if waiting.POLL else wakeup_pool.MAX_SIZE
    )
    waiting.wake(sleepers)
    assert waiters.results() == [True] * 12
    assert len(wakeup_pool.idle) == (0 if waiting.POLL else wakeup_pool.MAX_SIZE)


def test_a_wait_that_is_over_takes_its_time_with_it() -> None:
    future = LightFuture[None]()
    assert not future.wait_done(0)
    assert not future.wait_done(0.001)
    assert future.settle(None, None) == ()


class Interrupted:
    """A bell whose wait is broken off, as Ctrl-C does."""

    def __init__(self, bell: Any, meanwhile: Callable[[], None]) -> None:
        self.bell, self.meanwhile, self.broken = bell, meanwhile, False

    def acquire(self, timeout: float = -1) -> bool:
        if self.broken:
            return bool(self.bell.acquire(timeout))
        self.broken = True
        self.meanwhile()
        raise KeyboardInterrupt

    def release(self) -> None:
        self.bell.release()

    def close(self) -> None:
        self.bell.close()


@pytest.mark.skipif(waiting.POLL is not None, reason="there are no wakeup_pool on Windows")
class TestInterruptedWait:
    def broken_off(
        self, monkeypatch: pytest.MonkeyPatch, future: LightFuture[None], meanwhile: Callable[[], None]
    ) -> Any:
        bell = Interrupted(waiting._SocketWakeup(socket.socketpair()), meanwhile)
        wakeup_pool.created.append(bell)  # type: ignore[arg-type]
        monkeypatch.setattr(wakeup_pool, "take", lambda: bell)
        with pytest.raises(KeyboardInterrupt):
            future.wait_done()
        monkeypatch.undo()
        return bell

    def test_leaves_nothing_behind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        future = LightFuture[None]()
        bell = self.broken_off(monkeypatch, future, lambda: None)
        assert future.settle(None, None) == ()
        assert wakeup_pool.idle == [bell]

    @pytest.mark.parametrize("rings", [True, False])
    def test_gives_up_a_bell_that_rings_for_nobody(self, monkeypatch: pytest.MonkeyPatch, rings: bool) -> None:
        future = LightFuture[None]()

        def tell() -> None:
            for one in future.settle(None, None):
                if rings:  # or will
                    one.release()

        self.broken_off(monkeypatch, future, tell)
        assert not wakeup_pool.idle
        another = LightFuture[None]()
        waiters = Waiters(another, 1)
        assert not waiters.told[0].done()
        waiting.wake(another.settle(None, None))
        assert waiters.results() == [True]


@pytest.mark.skipif(waiting.POLL is not None, reason="there are no wakeup_pool on Windows")
def test_ringing_a_bell_that_is_closed_disturbs_nobody() -> None:
    ends = socket.socketpair()
    bell = waiting._SocketWakeup(ends)
    ends[1].close()
    waiting.wake([bell])


@pytest.mark.skipif(waiting.POLL is not None, reason="there are no wakeup_pool on Windows")
def test_a_bell_that_was_closed_is_not_waited_for_again() -> None:
    wakeup_pool.prepare()
    (bell,) = wakeup_pool.created
    bell.close()
    future = LightFuture[None]()
    future._sleep(None)  # it comes back at once
    assert bell not in wakeup_pool.created
    assert bell not in wakeup_pool.idle
    waiters = Waiters(future, 1)
    waiting.wake(future.settle(None, None))
    assert waiters.results() == [True]


def test_nobody_waits_for_what_is_over_already() -> None:
    # A signal's handler may end it after the last look and before the wait.
    future = LightFuture[None]()
    future.settle(None, None)
    future._sleep(None)
    assert future.settle(None, None) == ()
    assert len(wakeup_pool.idle) == len(wakeup_pool.created)


@pytest.mark.parametrize("count", [1, 12])
def test_being_woken_twice_does_no_harm(count: int) -> None:
    # Ctrl-C may break off the first time.
    future = LightFuture[None]()
    waiters = Waiters(future, count)
    sleepers = future.settle(None, None)
    waiting.wake(sleepers)
    waiting.wake(sleepers)
    assert waiters.results() == [True] * count


def test_a_job_is_not_over_because_a_bell_rings_for_nothing(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as rw, server.hold(), ThreadPoolExecutor(1) as pool:
        job = rw.submit.image_inference(positive_prompt="a kite", model="runware:101@1")
        waiter = pool.submit(job.exception)
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        for _ in range(5):
            for bell in list(wakeup_pool.created):
                bell.release()
        assert not waiter.done()
        server.release()
        assert waiter.result(GUARD) is None


def test_the_default_timeout_of_sockets_is_not_that_of_a_wait() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.001)
    try:
        future = LightFuture[None]()
        waiters = Waiters(future, 1)
        assert not threading.Event().wait(0.05)  # not for anything to happen: it is the time that must not end the wait
        waiting.wake(future.settle(None, None))
        assert waiters.results() == [True]
    finally:
        socket.setdefaulttimeout(before)


def test_without_descriptors_there_are_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", fail)
    future = LightFuture[None]()
    waiters = Waiters(future, 2)
    waiting.wake(future.settle(None, None))
    assert waiters.results() == [True, True]
    assert not wakeup_pool.idle
