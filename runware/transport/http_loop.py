"""The HTTP driver: requests on short-lived threads, while the session decides which.

No thread is there without work. A caller's post goes to an idle worker, which drives the session itself, makes the
request it asks for, and hands the response to the session: two thread switches for a call. Whoever drives the session
holds `_driving`; a post that finds it held is processed by the holder. The I/O thread only watches the time, and drives
when no worker is idle. All threads and connections end a few seconds after the last work.
"""

from __future__ import annotations

import socket
import threading
import weakref
from collections import deque
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
_LATEST_RING = 5.0
"""Seconds within which a worker that was taken from the idle ones is rung, which takes microseconds."""
_POLL_SILENCE = 15.0
"""Seconds to wait for each part of the answer to a poll, which the server sends at once."""


class _Bell:
    """Wakes one thread. Rings are not counted."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the thread, or make its next wait return at once."""
        try:
            self._lock.release()
        except RuntimeError:  # it rings already
            pass

    def wait(self, timeout: float) -> bool:
        """Wait for the bell, up to *timeout* seconds (-1: forever); return whether it rang."""
        return self._lock.acquire(timeout=timeout)


class _Worker:
    """A thread that makes requests, one after another, and its connection.

    Attributes:
        bell: Wakes the thread.
        exchange: The request to make next. Whoever takes the worker from the idle ones sets it, before ringing.
        line: The connection.
        thread: The thread.
    """

    def __init__(self) -> None:
        self.bell = _Bell()
        self.exchange: Exchange | None = None
        self.line: HttpLine | None = None
        self.thread: threading.Thread | None = None


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
        self._bell = _Bell()
        self._look = object()  # another one each time before a thread looks into the inbox
        self._rung: object = None  # the one of when a thread was rung last
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
        self._bell.ring()
        for worker in list(self._workers):
            worker.bell.ring()
        for worker in list(self._workers):
            if (thread := worker.thread) is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - clock()))

    # ------------------------------------------------------------------ waking

    def _wake(self) -> None:
        look = self._look
        if self._rung is look:
            return  # a thread was rung that has not looked yet: one is enough for many posts
        if self._thread is None or self.stopped:
            self._bell.ring()
        else:
            try:
                worker = self._idle.pop()
            except IndexError:
                self._bell.ring()
            else:
                worker.bell.ring()
        self._rung = look  # last, so that the posts of a signal handler, before this, ring too

    # ------------------------------------------------------------------ driving

    def _drive(self) -> _Round:
        """Feed the session what is in the inbox and perform its effects, unless another thread does.

        The thread that did it has to look into the inbox again afterwards: a post that came meanwhile is left to it.
        """
        done = _Round()
        driving = self._driving
        self._look = object()
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
            self._bell.ring()
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
            try:
                worker = self._idle.pop()
            except IndexError:
                self._start_worker(exchange)
            else:
                worker.exchange = exchange
                worker.bell.ring()

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
            worker.bell.ring()

    def _run_once(self) -> bool:
        """Wait until something is due, or no worker was idle; end the thread if there is nothing to do for long.

        Returns:
            Whether to go on: `False` once the session is closed.
        """
        done = _Round()
        driving = self._driving
        with driving:
            self.ident = threading.get_ident()
            self._look = object()
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
        self._assign(done.fresh)
        if self._inbox or self._session.state is State.CLOSED:  # a worker may have closed the session
            pass
        elif due is not None:
            self._bell.wait(min(max(0.0, due - clock()), threading.TIMEOUT_MAX))
        elif not self._workers or not self._bell.wait(LINGER):
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
            while self._serve(worker):
                pass
        except BaseException:  # such as from `sys.exit()` in a callback of a future
            if not self._orphaned:
                log.exception("a request thread failed; all calls fail")
                self.stopped = True
                self._inbox.append((self._session.close, ()))
                self._bell.ring()
        if self._orphaned:
            threading.Event().wait()  # see `Driver._run`
        if worker.line is not None:
            worker.line.close()
        self._workers.discard(worker)
        if not self._workers:
            self._bell.ring()  # the I/O thread may end too

    def _serve(self, worker: _Worker) -> bool:
        """Do what there is to do, or wait for it; return whether the worker goes on."""
        done = self._drive()
        if worker.exchange is None:
            worker.exchange = done.fresh.pop() if done.fresh else self._next_waiting() if self._waiting else None
        self._assign(done.fresh)
        if (exchange := worker.exchange) is not None:
            worker.exchange = None
            wake(done.to_wake)
            if self._inbox and not done.by_other:
                self._wake()  # another thread
            self._make_guarded(worker, exchange)
            return True
        if self.stopped or self._orphaned:
            wake(done.to_wake)
            return False
        self._idle.append(worker)
        wake(done.to_wake)  # only now, so that their next calls find this worker idle
        if ((self._inbox and not done.by_other) or self.stopped) and self._leave_idle(worker):
            return True
        if worker.bell.wait(LINGER):
            self._leave_idle(worker)  # it is still there if the ring was a late one
            return True
        if self._leave_idle(worker):
            return bool(self._inbox or self._waiting)
        # It was taken at the last moment, and will be rung. Going on before could overwrite the request it is given. An
        # exception: Ctrl-C between the two steps of `_wake`, after which nothing rings it. Two waits, as the first
        # may be over at once in a process that was frozen.
        for _ in range(2):
            if worker.bell.wait(_LATEST_RING) or self.stopped or self._orphaned:
                break
        return True

    def _next_waiting(self) -> Exchange | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _leave_idle(self, worker: _Worker) -> bool:
        """Take a worker from the idle ones; return whether it was still there: otherwise it was, or will be, rung."""
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
                answer = line.check_key(self.options.connect_timeout)
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
