"""Events of the kernel, in both forms, and the event loops that watch one."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import select
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from runware import Runware
from runware.transport import kernel_event
from runware.transport.kernel_event import KernelEvent, make_event
from runware.transport.loop_inbox import LoopWait, _inbox_of, call_soon_in

from .conftest import until
from .test_three_interfaces import PICTURE


def descriptors() -> int:
    gc.collect()  # others may close some meanwhile, but open none
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


FORMS = ["socket pair"] + ["eventfd"] * hasattr(os, "eventfd")


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "socket pair":
        monkeypatch.delattr(os, "eventfd", raising=False)
    return str(request.param)


def is_set(event: KernelEvent) -> bool:
    return bool(select.select([event], [], [], 0)[0])


def test_event_is_taken_once_however_often_it_was_set(form: str) -> None:
    event = make_event(blocking=False)
    assert type(event) is (kernel_event._EventFd if form == "eventfd" else kernel_event._SocketPair)
    assert not is_set(event)
    assert not event.take()
    for _ in range(3):
        event.set()
    assert is_set(event)
    assert event.take()
    assert not is_set(event)
    event.close()


@pytest.mark.usefixtures("form")
def test_setting_an_event_that_nothing_takes_never_blocks() -> None:
    event = make_event(blocking=True)
    for _ in range(10_000):  # more than the buffer of a socket holds
        event.set()
    assert event.take()
    event.close()


@pytest.mark.usefixtures("form")
def test_blocking_event_wakes_the_thread_that_waits() -> None:
    event = make_event(blocking=True)
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(event.take()))
    thread.start()
    event.set()
    thread.join(20)
    assert taken == [True]
    event.close()


@pytest.mark.usefixtures("form")
def test_closed_event_raises_an_os_error() -> None:
    event = make_event(blocking=False)
    event.close()
    event.close()
    with pytest.raises(OSError, match=r"closed|Bad file descriptor"):
        event.set()
    with pytest.raises(OSError, match=r"closed|Bad file descriptor"):
        event.take()


@pytest.mark.usefixtures("form")
def test_dropped_event_leaves_no_descriptor() -> None:
    before = descriptors()
    for _ in range(10):
        make_event(blocking=False)
    assert descriptors() <= before


# In event loops.


class Blind(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, such as that of Windows."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        raise NotImplementedError


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("kind", [asyncio.SelectorEventLoop, Blind])
def test_callbacks_of_other_threads_run_in_the_loop_in_order(kind: Any) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        LoopWait(loop)  # so that the loop watches an event, if it can
        assert (_inbox_of(loop)._event is None) is (kind is Blind)
        got: list[int] = []
        done = asyncio.Event()

        def post() -> None:
            for number in range(1000):
                call_soon_in(loop, lambda number=number: got.append(number))  # type: ignore[misc]
            call_soon_in(loop, done.set)

        thread = threading.Thread(target=post)
        thread.start()
        await asyncio.wait_for(done.wait(), 20)
        thread.join(20)
        return got

    with asyncio.Runner(loop_factory=kind) as runner:
        assert runner.run(main()) == list(range(1000))


class Kept:
    def __call__(self) -> None:
        raise AssertionError("the loop has ended")


def test_loop_that_has_ended_keeps_no_callback_and_no_descriptor() -> None:
    async def main() -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        LoopWait(loop)
        return loop

    before = descriptors()
    ended = [asyncio.run(main())]
    callback = Kept()
    watched = weakref.ref(callback)
    call_soon_in(ended[0], callback)
    del callback
    gc.collect()
    assert watched() is None
    ended.clear()
    assert descriptors() <= before


def test_loop_keeps_no_context_of_the_first_call() -> None:
    value: contextvars.ContextVar[Any] = contextvars.ContextVar("value")

    async def main() -> None:
        async def first() -> weakref.ref[Any]:
            big = type("Big", (), {})()
            value.set(big)
            LoopWait(asyncio.get_running_loop())
            return weakref.ref(big)

        big = await asyncio.create_task(first())
        await asyncio.sleep(0)
        gc.collect()
        assert big() is None

    asyncio.run(main())


def test_idle_client_keeps_no_event_loop(rw: Runware) -> None:
    async def call() -> weakref.ref[asyncio.AbstractEventLoop]:
        await rw.aio.image_inference(**PICTURE)
        return weakref.ref(asyncio.get_running_loop())

    ended = asyncio.run(call())

    def gone() -> bool:
        gc.collect()
        return ended() is None

    until(gone)


def test_many_event_loops_leave_no_descriptor(rw: Runware) -> None:
    async def call() -> None:
        await rw.aio.image_inference(**PICTURE)

    asyncio.run(call())
    before = descriptors()
    for _ in range(10):
        asyncio.run(call())
    assert descriptors() <= before


class Disturbed:
    """An event of a loop at whose clearing something happens once, before it or after it."""

    def __init__(self, event: KernelEvent, *, before: Callable[[], object], after: Callable[[], object]) -> None:
        self.real = event
        self.steps = [before, after]

    def fileno(self) -> int:
        return self.real.fileno()

    def set(self) -> None:
        self.real.set()

    def take(self) -> bool:
        before, after = self.steps or (int, int)
        self.steps = []
        before()
        taken = self.real.take()
        after()
        return taken

    def close(self) -> None:
        self.real.close()


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("interrupted", [False, True])
def test_callback_posted_while_the_event_of_the_loop_is_cleared_runs(when: str, interrupted: bool) -> None:
    loop = asyncio.SelectorEventLoop()
    ran: list[str] = []
    done = asyncio.Event()

    def last() -> None:
        ran.append("last")
        done.set()

    def post() -> None:
        thread = threading.Thread(target=call_soon_in, args=(loop, last))
        thread.start()
        thread.join(20)

    def interrupt() -> None:
        if interrupted:
            raise KeyboardInterrupt

    async def watch() -> None:
        LoopWait(asyncio.get_running_loop())

    loop.run_until_complete(watch())
    inbox = _inbox_of(loop)
    assert inbox._event is not None
    steps = (post, interrupt) if when == "before" else (int, lambda: (post(), interrupt()))
    inbox._event = Disturbed(inbox._event, before=steps[0], after=steps[1])
    call_soon_in(loop, lambda: ran.append("first"))
    try:
        loop.run_until_complete(asyncio.wait_for(done.wait(), 20))
    except KeyboardInterrupt:
        loop.run_until_complete(asyncio.wait_for(done.wait(), 20))
    assert ran == ["first", "last"]
    loop.close()


def test_loop_whose_event_the_process_has_closed_is_woken_all_the_same(rw: Runware) -> None:
    async def main() -> int:
        await rw.aio.image_inference(**PICTURE)
        event = _inbox_of(asyncio.get_running_loop())._event
        assert event is not None
        event.close()
        return len(await asyncio.wait_for(rw.aio.image_inference(**PICTURE), 20))

    assert asyncio.run(main()) == 1


def test_loop_without_a_descriptor_left_is_woken_all_the_same(rw: Runware, monkeypatch: pytest.MonkeyPatch) -> None:
    rw.image_inference(**PICTURE)

    def refuse(**_: bool) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("runware.transport.loop_inbox.make_event", refuse)

    async def call() -> int:
        return len(await rw.aio.image_inference(**PICTURE))

    assert asyncio.run(call()) == 1
