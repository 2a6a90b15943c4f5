"""Jobs as futures: for other libraries, with signal handlers and Ctrl-C at any line, in event loops, with contexts."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import linecache
import logging
import math
import pathlib
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import InvalidStateError, as_completed, wait
from decimal import Decimal
from fractions import Fraction
from queue import Empty
from types import FrameType
from typing import Any, Self

import pytest

import runware
import runware._support.event_loops
from runware import (
    ConfigurationError,
    ImageInference,
    Job,
    Results,
    Runware,
    RunwareAsyncUsageWarning,
    TaskCancelledError,
    jobs,
)
from runware.local import LocalServer
from runware.options import waiting_time
from runware.protocol.call import Call
from runware.transport import wakeup as waiting
from runware.transport.light_future import LightFuture
from runware.transport.loop_inbox import LoopWait, call_soon_in
from runware.transport.wakeup import wake

from .conftest import until
from .support import A
from .test_three_interfaces import PICTURE

GUARD = 20
PACKAGE = str(pathlib.Path(runware.__file__).parent)


@pytest.fixture(params=[True, False], ids=["light", "plain"])
def light(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run with the client's own futures, and as on a Python whose futures have other parts."""
    monkeypatch.setattr(LightFuture, "light", request.param)
    return bool(request.param)


class Owner:
    """Stands for the client of a job that is never sent."""

    downloads: Any = None

    def cancel_call(self, call: Call, *, interrupted: bool = False) -> None:
        pass

    def post_callback(self, callback: Callable[[], object]) -> None:
        callback()

    def check_thread(self) -> None:
        pass


def unsent_job(**parameters: Any) -> Job[Any]:
    call = Call(uuid=A, text=b"", task_type="imageInference", timeout=GUARD)
    return Job(ImageInference(**PICTURE, **parameters), call, Owner(), None)


class AtLine:
    """Runs a function when this thread reaches the n-th line of the package, or of some of its files."""

    def __init__(self, number: int, action: Callable[[], object], *files: str) -> None:
        self.number, self.action = number, action
        self.files = tuple(f"{PACKAGE}/{file}" for file in files) or (PACKAGE,)
        self.reached = False
        self.entered: set[tuple[FrameType, int]] = set()

    def __enter__(self) -> Self:
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self.files):
            return None
        if event == "line" and not self.reached and not self.leaves_with(frame):
            self.number -= 1
            if self.number == 0:
                self.reached = True
                self.action()  # the function itself is not traced
        return self.trace

    def leaves_with(self, frame: FrameType) -> bool:
        """Return whether a `with` ends on the line: it is traced before the lock is released, unlike a signal."""
        if not linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with "):
            return False
        place = (frame, frame.f_lineno)
        left = place in self.entered
        self.entered ^= {place}
        return left


class TestFuture:
    """What libraries do with a `concurrent.futures.Future`."""

    @pytest.fixture(autouse=True)
    def both(self, light: bool) -> None:
        pass

    def test_wait_and_as_completed_accept_jobs(self, rw: Runware) -> None:
        jobs = [rw.submit.image_inference(**PICTURE) for _ in range(5)]
        assert {len(job.result()) for job in as_completed(jobs, GUARD)} == {1}
        assert wait(jobs, GUARD).done == set(jobs)

    def test_wait_ends_when_a_job_is_cancelled(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            waiter = threading.Thread(target=wait, args=([job], GUARD))
            waiter.start()
            until(lambda: bool(job._waiters))
            job.cancel()
            waiter.join(GUARD)
            assert not waiter.is_alive()
            assert [job.cancelled() for job in as_completed([job], GUARD)] == [True]

    def test_wrap_future_accepts_jobs(self, rw: Runware) -> None:
        async def main() -> int:
            return len(await asyncio.wrap_future(rw.submit.image_inference(**PICTURE)))

        assert asyncio.run(main()) == 1

    def test_outside_code_cannot_end_a_job(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            for change in (lambda: job.set_result(Results()), lambda: job.set_exception(ValueError())):
                with pytest.raises(InvalidStateError):
                    change()
            assert not job.done()
            server.release()
            assert len(job.result(GUARD)) == 1
            with pytest.raises(InvalidStateError):
                job.set_result(Results())
            assert len(job.result(GUARD)) == 1

    def test_set_running_or_notify_cancel_changes_nothing(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job, other = (rw.submit.image_inference(**PICTURE) for _ in range(2))
            assert job.set_running_or_notify_cancel()
            assert other.set_running_or_notify_cancel()
            assert other.cancel()
            assert not other.set_running_or_notify_cancel()
            server.release()
            assert len(job.result(GUARD)) == 1
            with pytest.raises(RuntimeError):
                job.set_running_or_notify_cancel()

    def test_job_is_running_while_the_server_has_it(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            until(job.running)
            server.release()
            job.result(GUARD)
        assert not job.running()

    def test_every_waiter_is_woken(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            threads = [threading.Thread(target=job.result, args=(limit,)) for limit in (None, GUARD) for _ in range(6)]
            for thread in threads:
                thread.start()
            until(lambda: len(job.waiting()) == len(threads))
            server.release()
            for thread in threads:
                thread.join(GUARD)
            assert not any(thread.is_alive() for thread in threads)

    def test_callbacks_run_once_in_their_order(self, rw: Runware, server: LocalServer) -> None:
        told: list[int] = []
        done = threading.Event()
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            for number in range(20):
                job.add_done_callback(lambda _, number=number: told.append(number))  # type: ignore[misc]
            job.add_done_callback(lambda _: done.set())
            server.release()
            assert done.wait(GUARD)
        assert told == list(range(20))
        job.add_done_callback(lambda _: told.append(20))
        assert told[20:] == [20]

    def test_callback_that_raises_disturbs_no_other(
        self, rw: Runware, server: LocalServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        done = threading.Event()
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            job.add_done_callback(lambda _: 1 / 0)
            job.add_done_callback(lambda _: done.set())
            job.cancel()
        assert done.wait(GUARD)
        job.add_done_callback(lambda _: 1 / 0)
        assert [record.message for record in caplog.records].count("a callback raised") == 2


def test_light_future_supports_this_python() -> None:
    assert LightFuture.light


def test_unknown_future_layout_falls_back_to_plain_futures(server: LocalServer) -> None:
    script = f"""
from concurrent import futures
class Future(futures.Future):
    def __init__(self):
        super().__init__()
        self._something_new = None
futures.Future = futures._base.Future = Future
from runware import Runware
from runware.transport.light_future import LightFuture
assert not LightFuture.light
rw = Runware({server.api_key!r}, url={server.url!r})
assert len(rw.image_inference(positive_prompt="a kite", model="runware:101@1")) == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=GUARD)


class TestSignalHandlers:
    """A signal handler that runs between any two lines cancels the job that the main thread works on."""

    @pytest.fixture(autouse=True)
    def both(self, light: bool) -> None:
        pass

    def each_line(self, work: Callable[[Job[Any]], object]) -> None:
        number, reached = 0, True
        while reached:
            number += 1
            job = unsent_job()
            at = AtLine(number, job.cancel)
            with at:
                work(job)
            reached = at.reached
        assert number > 10

    def test_handler_that_cancels_ends_an_await(self) -> None:
        async def awaited(job: Job[Any]) -> None:
            asyncio.get_running_loop().call_soon(job.cancel)  # if the handler has not
            with pytest.raises(TaskCancelledError):
                await asyncio.wait_for(job.wait_async(), GUARD)

        self.each_line(lambda job: asyncio.run(awaited(job)))

    def test_handler_that_cancels_ends_a_blocking_result(self) -> None:
        def result(job: Job[Any]) -> None:
            timer = threading.Timer(0.02, job.cancel)
            timer.start()
            with pytest.raises(TaskCancelledError):
                job.result(GUARD)
            timer.cancel()
            timer.join()

        self.each_line(result)
        waiting.wakeup_pool.clear()

    def test_callback_runs_once_beside_a_handler_that_cancels(self) -> None:
        told: list[Job[Any]] = []

        def add(job: Job[Any]) -> None:
            job.add_done_callback(told.append)
            job.cancel()
            assert told == [job]
            told.clear()

        self.each_line(add)

    def test_cancel_during_cancel_notifies_each_once(self) -> None:
        told: list[Job[Any]] = []

        def cancel(job: Job[Any]) -> None:
            job.add_done_callback(told.append)
            told.clear()
            assert job.cancel()

        number, reached = 0, True
        while reached:
            number += 1
            job = unsent_job()
            counted: list[Job[Any]] = []
            job.add_done_callback(counted.append)
            job._waiters.append(waiter := Waiter())
            at = AtLine(number, job.cancel)
            with at:
                job.cancel()
            reached = at.reached
            assert counted == [job]
            assert waiter.told == 1
        assert number > 5

    def test_handler_that_posts_into_a_loop_loses_no_callback(self) -> None:
        """The handler posts into the loop while the main thread is about to."""
        number, reached = 0, True
        while reached:
            number += 1
            loop = asyncio.new_event_loop()
            told: list[str] = []
            at = AtLine(number, lambda loop=loop, told=told: call_soon_in(loop, lambda: told.append("handler")))  # type: ignore[misc]
            with at:
                call_soon_in(loop, lambda: told.append("main"))
            reached = at.reached
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.close()
            assert sorted(told) == ["handler", "main"][not reached :]

    def test_post_that_a_handler_interrupts_stops_no_later_one(self) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        number, reached = 0, True
        while reached:
            number += 1
            loop = asyncio.new_event_loop()
            told: list[str] = []
            at = AtLine(number, interrupt, "transport/loop_inbox.py")
            try:
                with at:
                    call_soon_in(loop, lambda told=told: told.append("interrupted"))  # type: ignore[misc]
            except KeyboardInterrupt:
                pass
            reached = at.reached
            call_soon_in(loop, lambda told=told: told.append("later"))  # type: ignore[misc]
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.close()
            assert told[-1:] == ["later"], f"after an interrupt at line {number}"
        assert number > 5


class Waiter:
    """Stands for what `concurrent.futures.wait` adds to a future."""

    told = 0

    def add_cancelled(self, future: Any) -> None:
        self.told += 1


@pytest.mark.filterwarnings("ignore:unclosed <socket", "ignore::pytest.PytestUnraisableExceptionWarning")
class TestInterrupt:
    """Ctrl-C at any line of a call leaves no billed task running without a log record."""

    def check(self, rw: Runware, words: list[str], returned: int) -> None:
        rw.connect()  # after what was posted before
        io_loop = rw._core._io_loop
        assert io_loop is not None
        assert not io_loop._session.calls
        assert returned < 0 or len(words) == rw.stats.sent - returned

    @pytest.fixture
    def words(self, caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
        caplog.set_level(logging.WARNING)
        words: list[str] = []

        class Heard(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if "interrupted" in record.msg:
                    assert record.levelno == logging.WARNING
                    words.append(record.getMessage())

        handler = Heard()
        logging.getLogger("runware").addHandler(handler)
        yield words
        logging.getLogger("runware").removeHandler(handler)
        waiting.wakeup_pool.clear()
        gc.collect()  # those whose wait was interrupted

    def interrupt(self) -> None:
        raise KeyboardInterrupt

    @pytest.mark.parametrize("form", ["plain", "on_partial", "map"])
    def test_interrupt_at_any_line_of_a_call_leaves_no_call(
        self, form: str, server: LocalServer, words: list[str]
    ) -> None:
        calls: dict[str, Callable[[Runware], object]] = {
            "plain": lambda rw: rw.image_inference(**PICTURE),
            "on_partial": lambda rw: rw.image_inference(**PICTURE, on_partial=lambda new, error: None),
            "map": lambda rw: list(rw.map(rw.image_inference, [PICTURE])),
        }
        with Runware(server.api_key, url=server.url, timeout=GUARD) as rw:
            calls[form](rw)
            number, returned, reached = 0, 1, True
            while reached:
                number += 1
                at = AtLine(
                    number,
                    self.interrupt,
                    "core.py",
                    "core_calls.py",
                    "client.py",
                    "futures.py",
                    "jobs.py",
                    "map/",
                    "transport/light_future.py",
                )
                try:
                    with at:
                        calls[form](rw)
                    returned += 1
                except KeyboardInterrupt:
                    pass
                reached = at.reached
                self.check(rw, words, -1 if form == "map" else returned)  # some of its results may have been yielded
        assert number > 30
        assert words

    @pytest.mark.parametrize("ordered", [True, False])
    def test_interrupt_at_any_line_of_map_names_each_task_that_was_not_yielded(
        self, ordered: bool, server: LocalServer, words: list[str]
    ) -> None:
        with Runware(server.api_key, url=server.url, timeout=GUARD) as rw:
            known = [rw.image_inference(**PICTURE)[0].task_uuid]
            number, reached = 0, True
            while reached:
                number += 1
                at = AtLine(number, self.interrupt, "map/")
                try:
                    with at:
                        for images in rw.map(rw.image_inference, [PICTURE] * 3, concurrency=3, ordered=ordered):
                            known.append(images[0].task_uuid)
                            # The others are done by then, and wait to be yielded.
                            until(lambda: not rw._core.io_loop()._session.calls)
                except KeyboardInterrupt:
                    pass
                reached = at.reached
            rw.connect()  # after what was posted before
            ran = [task["taskUUID"] for task in server.ledger.tasks("imageInference")]
            said = " ".join([*words, *known])
            assert [uuid for uuid in ran if uuid not in said] == []
        assert number > 30

    def test_interrupts_of_many_calls_name_every_task(self, server: LocalServer, words: list[str]) -> None:
        with Runware(server.api_key, url=server.url, timeout=GUARD) as rw, server.hold():
            jobs = [rw.submit.image_inference(**PICTURE) for _ in range(50)]
            server.ledger.wait_for(lambda ledger: ledger.held == 50)
            for job in jobs:
                job.interrupt()
            rw.connect()
            said = " ".join(words)
            assert [job.task_uuid for job in jobs if job.task_uuid not in said] == []

    def test_interrupt_at_any_line_of_submit_leaves_no_call(self, server: LocalServer, words: list[str]) -> None:
        with Runware(server.api_key, url=server.url, timeout=GUARD) as rw:
            rw.connect()
            number, reached = 0, True
            while reached:
                number += 1
                at = AtLine(
                    number,
                    self.interrupt,
                    "core.py",
                    "core_calls.py",
                    "client_base.py",
                    "transport/io_loop.py",
                    "transport/driver.py",
                )
                try:
                    with at:
                        job = rw.submit.image_inference(**PICTURE)
                    job.result()
                except KeyboardInterrupt:
                    rw.connect()
                    assert not rw._core.io_loop()._session.calls
                reached = at.reached
        assert number > 20


class TestEventLoop:
    def test_event_loop_turns_while_callbacks_keep_coming(self) -> None:
        async def main() -> int:
            loop = asyncio.get_running_loop()
            runs = 0

            def again() -> None:
                nonlocal runs
                runs += 1
                if runs < 1_000_000:
                    call_soon_in(loop, again)

            call_soon_in(loop, again)
            for _ in range(20):
                await asyncio.sleep(0)
            found, runs = runs, 1_000_000
            await asyncio.sleep(0)
            return found

        assert asyncio.run(main()) < 100

    def test_many_callbacks_keep_their_order_and_leave_the_loop_its_turns(self) -> None:
        async def main() -> tuple[list[int], int]:
            loop = asyncio.get_running_loop()
            told: list[int] = []
            for number in range(5000):
                call_soon_in(loop, lambda number=number: told.append(number))  # type: ignore[misc]
            turns = 0
            while len(told) < 5000:
                await asyncio.sleep(0)
                turns += 1
            return told, turns

        told, turns = asyncio.run(main())
        assert told == list(range(5000))
        assert turns >= 50

    def test_cancelled_waits_leave_nothing_on_the_job(self, rw: Runware, server: LocalServer) -> None:
        async def main() -> None:
            job = rw.submit.image_inference(**PICTURE)
            for _ in range(50):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(job.wait_async(), 0.001)
            assert not job._callbacks
            server.release()
            assert len(await job) == 1

        with server.hold():
            asyncio.run(main())

    def test_await_outside_of_asyncio_raises_a_typed_error(self) -> None:
        with pytest.raises(runware.WrongThreadError, match="asyncio"):
            unsent_job().__await__().send(None)


@pytest.mark.parametrize("timeout", ["5", b"5", [5], True, math.nan, Decimal("nan"), 1j], ids=repr)
@pytest.mark.parametrize("method", ["result", "exception"])
def test_timeout_of_a_wait_that_is_no_number_is_named(light: bool, method: str, timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds; got") as caught:
        getattr(unsent_job(), method)(timeout)
    assert caught.value.parameter == "timeout"


@pytest.mark.parametrize("timeout", [0, -1, 0.001, Fraction(1, 1000), Decimal("0.001"), -math.inf], ids=repr)
def test_timeout_of_a_wait_is_any_number(light: bool, timeout: Any) -> None:
    with pytest.raises(TimeoutError):
        unsent_job().result(timeout)


def test_longest_wait_is_the_longest_of_the_system() -> None:
    assert waiting_time(10**400) == waiting_time(math.inf) == threading.TIMEOUT_MAX


def test_ended_job_releases_its_callbacks_and_client(server: LocalServer) -> None:
    rw = Runware(server.api_key, url=server.url, timeout=GUARD)
    told = threading.Event()

    def done(job: Any) -> None:
        told.set()

    def on_partial(new: Any, error: Any) -> None:
        pass

    job = rw.submit.image_inference(**PICTURE, on_partial=on_partial)
    job.add_done_callback(done)
    job.result()
    assert told.wait(GUARD)
    rw.close()
    refs = [weakref.ref(done), weakref.ref(on_partial), weakref.ref(rw._core)]
    del rw, done, on_partial

    def gone() -> bool:
        gc.collect()
        return [ref() for ref in refs[:2]] == [None, None] and job._owner is None

    until(gone)


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="none")


class TestContext:
    """Callbacks see the context variables of the code that made the call."""

    @pytest.fixture(autouse=True)
    def variable(self) -> Iterator[None]:
        token = VARIABLE.set("caller")
        yield
        VARIABLE.reset(token)

    def told(self, told: list[str], count: int = 1) -> list[str]:
        until(lambda: len(told) >= count)
        return told

    def test_on_partial_of_a_job_sees_the_callers_context(self, rw: Runware) -> None:
        told: list[str] = []
        rw.submit.image_inference(**PICTURE, on_partial=lambda new, error: told.append(VARIABLE.get()))
        assert self.told(told) == ["caller"]

    def test_on_partial_of_a_blocking_call_sees_the_callers_context(self, rw: Runware) -> None:
        told: list[str] = []

        def on_partial(new: Any, error: Any) -> None:
            told.append(VARIABLE.get())
            VARIABLE.set("changed")

        rw.image_inference(**PICTURE, on_partial=on_partial)
        assert told == ["caller"]
        assert VARIABLE.get() == "changed"  # it runs in the caller's own context

    @pytest.mark.parametrize("first", [True, False])
    def test_on_partial_in_asyncio_sees_the_callers_context(self, rw: Runware, first: bool) -> None:
        told: list[str] = []
        if not first:
            rw.connect()

        async def main() -> None:
            VARIABLE.set("task")
            await rw.aio.image_inference(**PICTURE, on_partial=lambda new, error: told.append(VARIABLE.get()))

        asyncio.run(main())
        assert told == ["task"]

    def test_done_callback_sees_the_callers_context(self, rw: Runware, server: LocalServer) -> None:
        told: list[str] = []
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            job.add_done_callback(lambda job: told.append(VARIABLE.get()))
        assert self.told(told) == ["caller"]

    def test_progress_function_sees_the_callers_context(self, rw: Runware) -> None:
        told: list[str] = []
        rw.image_inference(**PICTURE, progress=lambda now: told.append(VARIABLE.get()))
        assert set(self.told(told)) == {"caller"}


class TestWarning:
    """A blocking call in a running event loop warns once, at the user's line."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda rw, job, results, path: rw.image_inference(**PICTURE),
            lambda rw, job, results, path: rw.connect(),
            lambda rw, job, results, path: list(rw.map(rw.image_inference, [PICTURE] * 2)),
            lambda rw, job, results, path: job.result(),
            lambda rw, job, results, path: job.exception(GUARD),
            lambda rw, job, results, path: list(job),
            lambda rw, job, results, path: results[0].read(),
            lambda rw, job, results, path: results[0].save(path),
            lambda rw, job, results, path: results.save_all(path),
        ],
        ids=["call", "connect", "map", "result", "exception", "iteration", "read", "save", "save_all"],
    )
    def test_blocking_call_in_an_event_loop_warns_at_the_callers_line(
        self, call: Any, rw: Runware, server: LocalServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results = rw.image_inference(**PICTURE)
        monkeypatch.setattr(runware._support.event_loops, "_warned", [])

        async def main() -> None:
            server.hold("imageInference")
            job = rw.submit.image_inference(**PICTURE)
            release = threading.Timer(0.05, server.release)
            release.start()
            call(rw, job, results, tmp_path)
            release.join()
            server.release()
            job.result()

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            asyncio.run(main())
        assert [(one.category, one.filename) for one in caught] == [(RunwareAsyncUsageWarning, __file__)]

    def test_call_that_does_not_block_does_not_warn(self, rw: Runware, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runware._support.event_loops, "_warned", [])
        job = rw.submit.image_inference(**PICTURE, output_type="base64Data")
        job.result()

        async def main() -> None:
            assert job.result()[0].read()
            assert job.exception() is None

        asyncio.run(main())


def test_wait_for_partial_results_lasts_a_second_at_most_so_that_an_early_signal_is_seen() -> None:
    waits: list[float | None] = []

    class Watched:
        def get(self, timeout: float | None = None) -> str:
            waits.append(timeout)
            if len(waits) == 1:
                raise Empty
            return "item"

    assert jobs.get_interruptibly(Watched()) == "item"  # type: ignore[arg-type]
    assert len(waits) == 2
    assert all(wait is not None and 0 < wait <= 1 for wait in waits)


class TestLoopWait:
    """What `asyncio.Task` takes in place of a future."""

    @pytest.mark.parametrize("kind", [asyncio.Task, asyncio.tasks._PyTask])  # type: ignore[attr-defined]
    def test_every_kind_of_task_waits_for_it(self, kind: Any) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_task_factory(lambda loop, coro, **options: kind(coro, loop=loop, **options))
            waits = [LoopWait(loop) for _ in range(3)]

            async def wait(one: LoopWait) -> str:
                await one
                return "done"

            tasks = [loop.create_task(wait(one)) for one in waits]
            await asyncio.sleep(0)
            waits[0].release()
            tasks[1].cancel("enough")
            assert await tasks[0] == "done"
            with pytest.raises(asyncio.CancelledError):
                await tasks[1]
            assert not tasks[2].done()
            for one in waits:
                one.release()  # also those that are over
            assert await tasks[2] == "done"
            assert [one.done() for one in waits] == [True] * 3
            await waits[0]  # at once
            assert not waits[0].cancel()

        asyncio.run(main())

    def test_future_is_awaited_where_tasks_take_nothing_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main() -> None:
            one = LoopWait(asyncio.get_running_loop())
            monkeypatch.setattr(one._inbox, "takes_waits", False)
            task = asyncio.ensure_future(one)
            await asyncio.sleep(0)
            one.release()
            await task

        asyncio.run(main())

    def test_context_of_the_task_is_that_of_its_next_step(self) -> None:
        name: contextvars.ContextVar[str] = contextvars.ContextVar("name")

        async def main() -> None:
            one = LoopWait(asyncio.get_running_loop())

            async def wait() -> str:
                name.set("inner")
                await one
                return name.get()

            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            name.set("outer")
            one.release()
            assert await task == "inner"
            assert name.get() == "outer"

        asyncio.run(main())

    def test_variables_set_after_the_wait_stay_set_in_a_task_that_began_without_any(self) -> None:
        name: contextvars.ContextVar[str] = contextvars.ContextVar("name")

        async def main() -> None:
            one = LoopWait(asyncio.get_running_loop())

            async def wait() -> str:
                await one
                name.set("set")
                await asyncio.sleep(0)
                return name.get("lost")

            task = contextvars.Context().run(asyncio.ensure_future, wait())
            await asyncio.sleep(0)
            one.release()
            assert await task == "set"

        asyncio.run(main())

    def test_settling_leaves_waking_the_loop_to_its_caller(self) -> None:
        async def main() -> None:
            future: LightFuture[str] = LightFuture()
            waits = [LoopWait(asyncio.get_running_loop()) for _ in range(3)]
            for one in waits:
                future.add_wakeable(one)
            assert future.remove_wakeable(waits[1])
            released = future.settle("made", None)
            assert [*released] == [waits[0], waits[2]]
            assert future.settle("again", None) == ()
            assert not future.remove_wakeable(waits[0])
            tasks = [asyncio.ensure_future(_awaited(one)) for one in released]
            await asyncio.sleep(0)
            assert not any(task.done() for task in tasks)
            wake(released)
            await asyncio.wait_for(asyncio.gather(*tasks), 20)
            late = LoopWait(asyncio.get_running_loop())
            future.add_wakeable(late)  # it is done
            await asyncio.wait_for(_awaited(late), 20)
            assert not waits[1].done()

        asyncio.run(main())


async def _awaited(wait: LoopWait) -> None:
    await wait
