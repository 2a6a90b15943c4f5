"""How threads wait for a job: each is woken, and none by a wake-up meant for another."""

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
from runware.transport.kernel_event import make_event
from runware.transport.light_future import LightFuture
from runware.transport.wakeup import wakeup_pool

from .conftest import until

GUARD = 20


@pytest.fixture(autouse=True)
def empty_pool() -> Iterator[None]:
    wakeup_pool.clear()
    yield
    wakeup_pool.clear()


class Waiters:
    """Threads that wait for a future."""

    def __init__(self, future: LightFuture[None], count: int, timeout: float | None = None) -> None:
        self.pool = ThreadPoolExecutor(count)
        self.told = [self.pool.submit(future.wait_done, timeout) for _ in range(count)]
        until(lambda: len(future.waiting()) == count)

    def results(self) -> list[bool]:
        found = [one.result(GUARD) for one in self.told]
        self.pool.shutdown()
        return found


@pytest.mark.parametrize("timeout", [None, GUARD])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_settling_wakes_every_waiter_once(count: int, timeout: float | None) -> None:
    future = LightFuture[None]()
    waiters = Waiters(future, count, timeout)
    waiting.wake(future.settle(None, None))
    assert waiters.results() == [True] * count
    assert future.settle(None, None) == ()  # no waiter is left


def test_first_waiters_use_events_and_further_ones_locks() -> None:
    future = LightFuture[None]()
    waiters = Waiters(future, 12)
    sleepers = future.settle(None, None)
    assert sum(isinstance(one, waiting._EventWakeup) for one in sleepers) == (
        0 if waiting.POLL else wakeup_pool.MAX_SIZE
    )
    waiting.wake(sleepers)
    assert waiters.results() == [True] * 12
    assert len(wakeup_pool.idle) == (0 if waiting.POLL else wakeup_pool.MAX_SIZE)


def test_wait_that_times_out_leaves_no_waiter_behind() -> None:
    future = LightFuture[None]()
    assert not future.wait_done(0)
    assert not future.wait_done(0.001)
    assert future.settle(None, None) == ()


class Interrupted:
    """A wake-up whose wait is interrupted by Ctrl-C."""

    def __init__(self, wakeup: Any, meanwhile: Callable[[], None]) -> None:
        self.wakeup, self.meanwhile, self.broken = wakeup, meanwhile, False

    def acquire(self, timeout: float = -1) -> bool:
        if self.broken:
            return bool(self.wakeup.acquire(timeout))
        self.broken = True
        self.meanwhile()
        raise KeyboardInterrupt

    def release(self) -> None:
        self.wakeup.release()

    def close(self) -> None:
        self.wakeup.close()


@pytest.mark.skipif(waiting.POLL is not None, reason="there are no wakeup_pool on Windows")
class TestInterruptedWait:
    def broken_off(
        self, monkeypatch: pytest.MonkeyPatch, future: LightFuture[None], meanwhile: Callable[[], None]
    ) -> Any:
        wakeup = Interrupted(waiting._EventWakeup(make_event(blocking=True)), meanwhile)
        wakeup_pool.created.append(wakeup)  # type: ignore[arg-type]
        monkeypatch.setattr(wakeup_pool, "take", lambda: wakeup)
        with pytest.raises(KeyboardInterrupt):
            future.wait_done()
        monkeypatch.undo()
        return wakeup

    def test_interrupt_before_the_end_leaves_no_waiter_behind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        future = LightFuture[None]()
        wakeup = self.broken_off(monkeypatch, future, lambda: None)
        assert future.settle(None, None) == ()
        assert wakeup_pool.idle == [wakeup]

    @pytest.mark.parametrize("rings", [True, False])
    def test_interrupt_after_the_end_discards_its_wakeup(self, monkeypatch: pytest.MonkeyPatch, rings: bool) -> None:
        future = LightFuture[None]()

        def settle() -> None:
            for one in future.settle(None, None):
                if rings:  # or will
                    one.release()

        self.broken_off(monkeypatch, future, settle)
        assert not wakeup_pool.idle
        another = LightFuture[None]()
        waiters = Waiters(another, 1)
        assert not waiters.told[0].done()
        waiting.wake(another.settle(None, None))
        assert waiters.results() == [True]


@pytest.mark.skipif(waiting.POLL is not None, reason="there are no wakeup_pool on Windows")
def test_waking_a_closed_wakeup_raises_nothing() -> None:
    event = make_event(blocking=True)
    wakeup = waiting._EventWakeup(event)
    event.close()
    waiting.wake([wakeup])


@pytest.mark.skipif(waiting.POLL is not None, reason="there are no wakeup_pool on Windows")
def test_closed_wakeup_leaves_the_pool() -> None:
    wakeup_pool.prepare()
    (wakeup,) = wakeup_pool.created
    wakeup.close()
    future = LightFuture[None]()
    future._sleep(None)  # it comes back at once
    assert wakeup not in wakeup_pool.created
    assert wakeup not in wakeup_pool.idle
    waiters = Waiters(future, 1)
    waiting.wake(future.settle(None, None))
    assert waiters.results() == [True]


def test_waiting_for_a_done_future_returns_at_once() -> None:
    # A signal handler may end it between the last check and the wait.
    future = LightFuture[None]()
    future.settle(None, None)
    future._sleep(None)
    assert future.settle(None, None) == ()
    assert len(wakeup_pool.idle) == len(wakeup_pool.created)


@pytest.mark.parametrize("count", [1, 12])
def test_waking_twice_does_no_harm(count: int) -> None:
    # Ctrl-C may interrupt the first attempt.
    future = LightFuture[None]()
    waiters = Waiters(future, count)
    sleepers = future.settle(None, None)
    waiting.wake(sleepers)
    waiting.wake(sleepers)
    assert waiters.results() == [True] * count


def test_spurious_wakeup_does_not_end_the_wait_for_a_job(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as rw, server.hold(), ThreadPoolExecutor(1) as pool:
        job = rw.submit.image_inference(positive_prompt="a kite", model="runware:101@1")
        waiter = pool.submit(job.exception)
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        for _ in range(5):
            for wakeup in list(wakeup_pool.created):
                wakeup.release()
        assert not waiter.done()
        server.release()
        assert waiter.result(GUARD) is None


def test_wait_ignores_the_default_timeout_of_sockets() -> None:
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


def test_without_descriptors_waiters_use_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: bool) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(waiting, "make_event", fail)
    future = LightFuture[None]()
    waiters = Waiters(future, 2)
    waiting.wake(future.settle(None, None))
    assert waiters.results() == [True, True]
    assert not wakeup_pool.idle
