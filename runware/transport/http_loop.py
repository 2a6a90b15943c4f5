"""The HTTP driver: requests on short-lived threads, while the session decides which.

Without work, there is no thread. A caller's post wakes an idle worker, which drives the session itself, makes the
request it asks for, and hands the response to the session: two thread switches for a call. The thread that drives the
session holds `_driving`; it also processes the posts that find the lock held. The I/O thread only watches the time, and
drives when no worker is idle. All threads and connections end a few seconds after the last work.
"""

from __future__ import annotations

import socket
import threading
import weakref
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

import attrs

from runware._support.escaping import one_line
from runware._support.http_headers import secret_values
from runware._support.lazy_modules import lazy_module
from runware.errors import ConnectionFailedError, RunwareError
from runware.options import Options
from runware.protocol.call import Wakeable
from runware.protocol.effects import DropExchange, Effect, Exchange, Happened, SessionConfig, State
from runware.transport.callbacks import EventFeed
from runware.transport.driver import Driver, Recorder, clock, log, log_unexpected
from runware.transport.http_line import HttpLine, RequestError, TooLargeError
from runware.transport.wakeup import wake

if TYPE_CHECKING:
    from runware import events
else:
    events = lazy_module("runware.events")

__all__ = ["LINGER", "MAX_REQUESTS", "HttpLoop"]

MAX_REQUESTS = 100
"""How many requests with tasks are made at once, unless `max_in_flight` says otherwise."""
LINGER = 5.0
"""Seconds for which threads and connections are kept without work."""
_LATEST_WAKEUP = 5.0
"""Seconds within which a worker that was taken from the idle ones is woken, which takes microseconds."""
_POLL_SILENCE = 15.0
"""Seconds to wait for each part of the answer to a poll, which the server sends at once."""


class _Wakeup:
    """Wakes one thread. Several wake-ups before its next wait count as one."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """Wake the thread, or make its next wait return at once."""
        try:
            self._lock.release()
        except RuntimeError:  # it was woken already
            pass

    def wait(self, timeout: float) -> bool:
        """Wait for a wake-up, up to *timeout* seconds (-1: forever); return whether there was one."""
        return self._lock.acquire(timeout=timeout)


class WorkerState(Enum):
    """The state of a worker. `FOLLOWING` holds which state may follow which."""

    DRIVING = "driving"
    """Drives the session, unless another thread does, and looks for a request to make."""
    REQUESTING = "requesting"
    """Makes the request it was given."""
    IDLE = "idle"
    """Waits in the list of idle workers. A thread that has something to do takes it from there, then wakes it."""
    TAKEN = "taken"
    """Was taken from the list just as its wait timed out; the wake-up will follow."""
    ENDED = "ended"
    """Its thread ends, and closes its connection."""


_DRIVING, _REQUESTING, _IDLE, _TAKEN, _ENDED = WorkerState
FOLLOWING: dict[WorkerState, tuple[WorkerState, ...]] = {
    # A post that came while the session was driven makes the same worker drive it again.
    _DRIVING: (_REQUESTING, _IDLE, _DRIVING, _ENDED),
    _REQUESTING: (_DRIVING,),
    _IDLE: (_DRIVING, _TAKEN, _ENDED),
    _TAKEN: (_DRIVING,),
    _ENDED: (),
}
"""The states that may follow each state."""


class _Worker:
    """A thread that makes requests, one after another, and its connection.

    Attributes:
        state: The state, which only its own thread changes, through `enter`.
        wakeup: Wakes the thread.
        exchange: The request to make next. The thread that takes the worker from the idle ones sets it, then wakes it.
        line: The connection.
        thread: The thread.
    """

    def __init__(self) -> None:
        self.state = _DRIVING
        self.wakeup = _Wakeup()
        self.exchange: Exchange | None = None
        self.line: HttpLine | None = None
        self.thread: threading.Thread | None = None

    def enter(self, state: WorkerState) -> None:
        """Change the state.

        Raises:
            RuntimeError: The state does not follow the current one.
        """
        if state not in FOLLOWING[self.state]:
            raise RuntimeError(f"a worker cannot go from {self.state.value} to {state.value}")
        self.state = state


class _Round:
    """What is left to do when the session has been driven.

    Attributes:
        fresh: New requests, each of which needs a worker.
        to_wake: Threads to wake.
        by_other: Whether another thread is driving the session, and takes care of the inbox.
    """

    __slots__ = ("by_other", "fresh", "to_wake")

    def __init__(self) -> None:
        self.fresh: list[Exchange] = []
        self.to_wake: list[Wakeable] = []
        self.by_other = False


class HttpLoop(Driver):
    """Drive one session over HTTP.

    Args:
        options: The client's options.
        feed: Receives the events.
        recorder: Keeps durable calls, if the client has a store or a budget.
    """

    def __init__(self, options: Options, feed: EventFeed | None = None, recorder: Recorder | None = None) -> None:
        super().__init__(options, feed, recorder)
        self._driving = threading.Lock()
        self._io_wakeup = _Wakeup()
        self._inbox_check = object()  # a new one each time, before a thread looks into the inbox
        self._woken_for: object = None  # the check before which a thread was woken last
        self._sleeps_until = float("inf")  # when the I/O thread looks at the time by itself
        self._fresh: list[Exchange] = []  # to be given to a worker
        self._waiting: deque[Exchange] = deque()  # for which there was none
        self._active: dict[Exchange, HttpLine] = {}  # being made
        self._idle: list[_Worker] = []  # the last one is woken first, so that the others may end
        self._workers: set[_Worker] = set()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()  # including those still connecting
        self._numbers = 0
        self._rejected_key: str | None = ""

    def _session_config(self, options: Options) -> SessionConfig:
        return attrs.evolve(super()._session_config(options), exchanges=options.max_in_flight or MAX_REQUESTS)

    def close(self, timeout: float = 0.5) -> None:
        """End every call with `ClientClosedError`, abort the requests, and wait for the threads."""
        if self.ident == threading.get_ident():
            timeout = 0.0  # in a callback of this thread, for which the others wait
        deadline = clock() + timeout
        super().close(timeout)
        self._io_wakeup.wake()
        for worker in list(self._workers):
            worker.wakeup.wake()
        for worker in list(self._workers):
            if (thread := worker.thread) is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - clock()))

    # ------------------------------------------------------------------ waking

    def _wake(self) -> None:
        check = self._inbox_check
        if self._woken_for is check:
            return  # a thread was woken that has not looked yet: one is enough for many posts
        worker = None if self._thread is None or self.stopped else self._pop_idle()
        (self._io_wakeup if worker is None else worker.wakeup).wake()
        self._woken_for = check  # last, so that posts of a signal handler, before this, wake a thread too

    # ------------------------------------------------------------------ driving

    def _drive(self) -> _Round:
        """Feed the session what is in the inbox and perform its effects, unless another thread does.

        The thread that did has to look into the inbox again afterwards: a post that came meanwhile is left to it.
        """
        done = _Round()
        driving = self._driving
        self._inbox_check = object()
        if not self._inbox or self._orphaned:
            return done
        if not driving.acquire(blocking=False):
            done.by_other = True
            return done
        try:
            self.ident = threading.get_ident()
            self._drain_inbox()
            due = self._session.next_deadline()
            self._collect(done)
        finally:
            self.ident = None
            driving.release()
        if due is not None and due < self._sleeps_until:
            self._io_wakeup.wake()
        return done

    def _collect(self, done: _Round) -> None:
        """Take what the effects have left to do, which needs no lock."""
        done.to_wake, self._to_wake = self._to_wake, []
        done.fresh, self._fresh = self._fresh, []

    def _act(self, effect: Effect) -> None:
        if isinstance(effect, Exchange):
            self._fresh.append(effect)
        elif isinstance(effect, DropExchange):
            line = self._active.get(effect.exchange)
            if line is not None:
                line.abort()

    def _assign(self, exchanges: list[Exchange]) -> None:
        """Assign each request to an idle worker, or start one. Without a thread to start, busy workers take it."""
        for exchange in exchanges:
            worker = self._pop_idle()
            if worker is None:
                self._start_worker(exchange)
            else:
                worker.exchange = exchange
                worker.wakeup.wake()

    # ------------------------------------------------------------------ the I/O thread: time

    def _run(self) -> None:
        with self._lock:
            if self._thread is not None and self._thread is not threading.current_thread() and self._thread.is_alive():
                return  # Ctrl-C during the start of a thread made the next call start another one
            self._thread = threading.current_thread()
        try:
            while not self._orphaned and self._run_once():
                if self._thread is not threading.current_thread():
                    return  # there was nothing to do for long
        except BaseException:
            if not self._orphaned:
                log.exception("the I/O thread failed; all calls fail")
        self._end()

    def _end(self) -> None:
        with self._lock:
            self.stopped = self._thread_ended = True
        if self._orphaned:
            threading.Event().wait()  # see `Driver._run`
        with self._driving:
            self._shut_down()
        for worker in list(self._workers):
            worker.wakeup.wake()

    def _run_once(self) -> bool:
        """Wait until something is due, or no worker was idle; end the thread if there is nothing to do for long.

        Returns:
            Whether to go on: `False` once the session is closed.
        """
        done = _Round()
        driving = self._driving
        with driving:
            self.ident = threading.get_ident()
            self._inbox_check = object()
            try:
                self._drain_inbox()
                due = self._session.next_deadline()
                now = clock()
                if due is not None and now >= due:
                    self._session.tick(now)
                    self._perform()
                    due = self._session.next_deadline()
                self._sleeps_until = float("inf") if due is None else due
                self._collect(done)
            finally:
                self.ident = None
        if self._waiting and not self._workers:
            done.fresh += self._waiting
            self._waiting.clear()
        wake(done.to_wake)
        done.to_wake.clear()  # else this thread, while it sleeps, would keep the event loops of the last calls
        self._assign(done.fresh)
        if self._inbox or self._session.state is State.CLOSED:  # a worker may have closed the session
            pass
        elif due is not None:
            self._io_wakeup.wait(min(max(0.0, due - clock()), threading.TIMEOUT_MAX))
        elif not self._workers or not self._io_wakeup.wait(LINGER):
            self._rest()
        return self._session.state is not State.CLOSED

    def _rest(self) -> None:
        """End the I/O thread if there is no work."""
        with self._lock:
            if not (self._inbox or self._session.calls or self.stopped):
                self._thread = None

    # ------------------------------------------------------------------ workers

    def _start_worker(self, exchange: Exchange) -> None:
        worker = _Worker()
        worker.exchange = exchange
        self._numbers += 1
        name = f"runware-http-{self._numbers}"
        worker.thread = threading.Thread(target=self._work, args=(worker,), name=name, daemon=True)
        self._workers.add(worker)
        try:
            worker.thread.start()
        except RuntimeError as failure:
            self._workers.discard(worker)
            if self._workers:
                self._waiting.append(exchange)
                return
            error = ConnectionFailedError(f"Could not start a thread for a request: {failure}.", stage="key")
            self._report_failure(exchange, RequestError(error, sent=False))

    def _work(self, worker: _Worker) -> None:
        try:
            while worker.state is not _ENDED:
                worker.enter(self._next_state(worker))
        except BaseException:  # such as from `sys.exit()` in a callback of a future
            if not self._orphaned:
                log.exception("a request thread failed; all calls fail")
                self.stopped = True
                self._inbox.append((self._session.close, ()))
                self._io_wakeup.wake()
        if self._orphaned:
            threading.Event().wait()  # see `Driver._run`
        if worker.line is not None:
            worker.line.close()
        self._workers.discard(worker)
        if not self._workers:
            self._io_wakeup.wake()  # the I/O thread may end too

    def _next_state(self, worker: _Worker) -> WorkerState:
        """Do what there is to do in the state of a worker; return the state that follows."""
        if worker.state is _DRIVING:
            return self._drive_as(worker)
        if worker.state is _REQUESTING:
            exchange, worker.exchange = worker.exchange, None
            assert exchange is not None
            self._make_guarded(worker, exchange)
            return _DRIVING
        return self._wait_idle(worker) if worker.state is _IDLE else self._wait_for_wakeup(worker)

    def _drive_as(self, worker: _Worker) -> WorkerState:
        """Drive the session, and take one of the requests it asks for."""
        done = self._drive()
        if worker.exchange is None:
            worker.exchange = done.fresh.pop() if done.fresh else self._next_waiting() if self._waiting else None
        self._assign(done.fresh)
        if worker.exchange is not None:
            wake(done.to_wake)
            if self._inbox and not done.by_other:
                self._wake()  # another thread
            return _REQUESTING
        if self.stopped or self._orphaned:
            wake(done.to_wake)
            return _ENDED
        self._idle.append(worker)
        wake(done.to_wake)  # only now, so that their next calls find this worker idle
        if ((self._inbox and not done.by_other) or self.stopped) and self._leave_idle(worker):
            return _DRIVING
        return _IDLE

    def _wait_idle(self, worker: _Worker) -> WorkerState:
        """Wait for a wake-up. Without one, end the worker, unless there is something to do by then."""
        if worker.wakeup.wait(LINGER):
            self._leave_idle(worker)  # it is still there if the wake-up was a late one
            return _DRIVING
        if not self._leave_idle(worker):
            return _TAKEN
        return _DRIVING if self._inbox or self._waiting else _ENDED

    def _wait_for_wakeup(self, worker: _Worker) -> WorkerState:
        """Wait for the thread that has taken the worker: going on before could overwrite the request it gives.

        After Ctrl-C between the two steps of `_wake`, nothing wakes it, so that the wait is bounded. There are two
        waits, as the first may be over at once in a process that was frozen.
        """
        for _ in range(2):
            if worker.wakeup.wait(_LATEST_WAKEUP) or self.stopped or self._orphaned:
                break
        return _DRIVING

    def _next_waiting(self) -> Exchange | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _pop_idle(self) -> _Worker | None:
        """Take a worker from the idle ones, which has to be woken then; return `None` if there is none."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _leave_idle(self, worker: _Worker) -> bool:
        """Take a worker from the idle ones; return whether it was still there: otherwise it was, or will be, woken."""
        try:
            self._idle.remove(worker)
        except ValueError:
            return False
        return True

    def _make_guarded(self, worker: _Worker, exchange: Exchange) -> None:
        try:
            self._make(worker, exchange)
        except Exception as failure:
            log_unexpected("a request failed", failure)
            what = f"A request failed with an unexpected {type(failure).__name__}; see the log."
            self._report_failure(exchange, RequestError(RunwareError(what), sent=True))

    def _make(self, worker: _Worker, exchange: Exchange) -> None:
        """Make a request, and post its outcome for the session."""
        line = worker.line
        if line is not None and (line.aborted or line.key == self._rejected_key or clock() - line.used > 2 * LINGER):
            # After so long, the process was frozen, and the other end has probably given the connection up.
            line.close()
            line = None
        try:
            if line is None:
                line = HttpLine(self.options, self.max_message, self._sockets.add)
            worker.line = line
            self._active[exchange] = line
            if not exchange.open:
                return
            opened = line.opened
            if exchange.text:
                answer = line.post(exchange.text, _POLL_SILENCE if exchange.question else None, exchange.headers)
            else:
                answer = line.check_key(self.options.connect_timeout, exchange.headers)
        except RequestError as failure:
            key = line.key if line is not None and callable(self.options.api_key) else None
            self._report_failure(exchange, failure, key)
        except RunwareError as error:
            self._report_failure(exchange, RequestError(error, sent=False, permanent=True))
        except TooLargeError:
            line = worker.line
            if line is not None:
                line.close()
            worker.line = None
            self._inbox.append((self._session.response_too_large, (exchange, self.max_message)))
        else:
            line.used = clock()
            if answer.status == 401 and callable(self.options.api_key):
                self._rejected_key = line.key  # the next request asks for another one
            self._inbox.append((self._answered, (exchange, answer, line, line.opened - opened)))
        finally:
            self._active.pop(exchange, None)

    def _answered(self, exchange: Exchange, answer: Any, line: HttpLine, opened: int, now: float) -> None:
        session = self._session
        self._bytes_out += len(exchange.text)
        self._bytes_in += len(answer.body)
        if exchange.headers:
            session.redactor.add(*secret_values(exchange.headers))  # a gateway may repeat them
        if callable(self.options.api_key) and line.key is not None:
            session.redactor.add(line.key)  # last, and each time: it keeps only the newest secrets
        if opened:
            session.counts["connections"] += opened
            if session.watched:
                self._report(self._connection_event(events.Connected, line.connect_time, host=line.host))
        session.response_received(exchange, answer.status, answer.body, now, retry_after=answer.retry_after)

    def _report_failure(self, exchange: Exchange, failure: RequestError, key: str | None = None) -> None:
        self._inbox.append((self._failed, (exchange, failure, key)))

    def _failed(self, exchange: Exchange, failure: RequestError, key: str | None, now: float) -> None:
        session, error = self._session, failure.error
        session.redactor.add(*secret_values(exchange.headers))
        if key is not None:
            session.redactor.add(key)  # the error may quote what the server said
        session.redactor.clean_error(error)
        if session.watched and exchange.open:
            stage = getattr(error, "stage", None)
            elapsed = getattr(error, "elapsed", 0.0)
            facts = {"reason": one_line(error), "stage": stage, "in_flight": session.in_flight}
            self._report(self._connection_event(events.Disconnected, elapsed, **facts))
        session.exchange_failed(exchange, error, now, sent=failure.sent, permanent=failure.permanent)

    def _connection_event(self, kind: type[events.ConnectionEvent], elapsed: float, **facts: Any) -> Happened:
        return Happened(kind, {"connection": self._session.counts["connections"], "elapsed": elapsed, **facts})

    # ------------------------------------------------------------------ the end

    def _disconnect_all(self) -> None:
        self._waiting.clear()
        for line in list(self._active.values()):
            line.abort()

    def _drop_connections(self) -> None:
        self._driving = threading.Lock()
        self._waiting.clear()
        # Only close the descriptors: a shutdown or TLS alert would end the parent's connections.
        for sock in self._sockets:
            sock.close()
        self._workers.clear()
        self._idle.clear()
        self._active.clear()
