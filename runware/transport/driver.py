"""What drives a session: a thread that feeds it facts and performs its effects.

A driver owns the inbox, the thread and the clock; how messages reach the server is the business of its subclasses:
`IOLoop` has a WebSocket, `HttpLoop` makes requests. Other threads append to the inbox and wake the driver.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from runware._support.lazy_modules import load_module
from runware._support.locks import make_rlock, release_thread_lock, thread_lock_count
from runware._support.logs import RepeatLimit, warn_interrupted
from runware.errors import ClientClosedError, RunwareError
from runware.options import Options
from runware.protocol.call import Call, CallState, Completion, Wakeable
from runware.protocol.effects import PING as PING_TASK
from runware.protocol.effects import Effect, Ended, Happened, Record, Renew, Send, SessionConfig, State
from runware.protocol.redaction import secrets_of
from runware.protocol.session import Session
from runware.transport.callbacks import EventFeed
from runware.transport.wakeup import wake, wakeup_pool

__all__ = ["MAX_MESSAGE", "Driver", "Recorder", "clock", "log_unexpected"]

# The name is older than the drivers, and users' logging configurations may refer to it.
log = logging.getLogger("runware.engine")
log.addFilter(RepeatLimit())

MAX_MESSAGE = 256 * 1024 * 1024
"""The size limit of a message in bytes, both sent and received."""

_POSTS_PER_PASS = 1000
"""The limit on one pass over the inbox, so that a busy caller does not starve the server."""


def _suspend_aware_clock() -> Callable[[], float]:
    # Of `time.monotonic`, Linux and macOS leave out the time that the machine slept. Windows counts it.
    if (boot_time := getattr(time, "CLOCK_BOOTTIME", None)) is not None:
        return partial(time.clock_gettime, boot_time)
    return partial(time.clock_gettime, time.CLOCK_MONOTONIC) if sys.platform == "darwin" else time.monotonic


clock: Callable[[], float] = _suspend_aware_clock()
"""A monotonic clock in seconds, which includes the time that the machine was suspended."""


def log_unexpected(what: str, failure: Exception) -> None:
    """Log an unexpected exception with its stack, but without its message, which may contain a password or a prompt."""
    where = "".join(traceback.format_tb(failure.__traceback__))
    log.error("%s with an unexpected %s\n%s", what, type(failure).__name__, where)


class Recorder(Protocol):
    """Keeps durable calls in a store. Its methods are called on the I/O thread, and do not block."""

    def attach(self, driver: Driver) -> None:
        """Report to this driver, with its methods `task_recorded` to `recording_failed`."""

    def record(self, effect: Record) -> None:
        """Write a step of a call."""

    def arrived(self, call: Call) -> None:
        """Write the results of a call that goes on."""

    def ended(self, call: Call, error: RunwareError | None) -> None:
        """Write the end of a call."""


class Driver:
    """Drive one session on a background thread.

    The first call starts the thread; `close` ends it. Public methods are thread-safe.

    Args:
        options: The client's options.
        feed: Receives the events.
        recorder: Keeps durable calls, if the client has a store or a budget.

    Attributes:
        watched: Whether events are wanted. Set it with `watch`.
    """

    max_message = MAX_MESSAGE

    def __init__(self, options: Options, feed: EventFeed | None = None, recorder: Recorder | None = None) -> None:
        self.options = options
        self._feed = feed or EventFeed()
        self.watched = self._feed.wanted
        self._load_events()
        self._recorder: Recorder | None = None
        if recorder is not None:
            self.use_recorder(recorder)
        self._bytes_in = self._bytes_out = 0
        self._session = Session(self._session_config(options))
        self._session.redactor.add(*secrets_of(options), lasting=True)
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._lock = make_rlock()  # re-entrant: a signal handler may close the client in the middle of `submit`
        self._thread: threading.Thread | None = None
        self.ident: int | None = None  # of the I/O thread
        self._thread_ended = False
        self._orphaned = False  # in a forked child, where the thread does not exist
        self.stopped = False  # accepts no more calls: it was closed, or has failed
        self._asleep = False  # waiting, or about to, so that a post has to wake it
        self._to_wake: list[Wakeable] = []
        self._put: Callable[[bytes, object], None] | None = None
        """Queues a message for the connection; `None` while there is none."""

    def use_recorder(self, recorder: Recorder) -> None:
        """Hand the steps of durable calls to this recorder from now on."""
        self._recorder = recorder
        recorder.attach(self)

    def _session_config(self, options: Options) -> SessionConfig:
        """Return the session's settings."""
        retries = options.max_retries
        return SessionConfig(
            connect_timeout=options.connect_timeout,
            reconnect=options.reconnect,
            dial_attempts=1 + (retries if isinstance(retries, int) else 2),
            retry_delay=options.retry_delay,
            heartbeat_interval=options.heartbeat_interval,
            liveness_timeout=options.liveness_timeout,
            max_in_flight=options.max_in_flight,
            max_queued=options.max_queued,
            dry_run=options.dry_run,
            events=self.watched,
        )

    # ------------------------------------------------------------------ for subclasses

    def _prepare(self) -> None:
        """Make what the thread needs. It may be called again, if a signal interrupted the start."""

    def _wake(self) -> None:
        """Make the thread look into the inbox."""
        raise NotImplementedError

    def _run_once(self) -> bool:
        """Wait for something to happen, and process it; return `False` once the session is closed."""
        raise NotImplementedError

    def _act(self, effect: Effect) -> None:
        """Perform an effect on the network."""
        raise NotImplementedError

    def _disconnect_all(self) -> None:
        """Close every connection, when the session is closed."""
        raise NotImplementedError

    def _drop_connections(self) -> None:
        """After a fork, in the child: close the parent's descriptors without writing to them."""
        raise NotImplementedError

    def _free(self) -> None:
        """Free what `_prepare` made."""

    def _yield_gil(self) -> None:
        """Release the GIL for a moment, so that a thread that was handed a partial result can run."""

    # ------------------------------------------------------------------ from any thread

    @property
    def state(self) -> State:
        """The state of the connection; a snapshot."""
        return self._session.state

    def stats(self) -> dict[str, Any]:
        """Return the counters of `Stats`, a snapshot taken while the I/O thread runs."""
        session = self._session
        in_flight = session.in_flight
        # `list` copies in one step, so the I/O thread cannot change the dict meanwhile. `connect` is not a task.
        tasks = sum(
            call.completion is not Completion.CONNECTION and not (call.origin is not None and call.origin.hidden)
            for call in list(session.calls.values())
        )
        return {
            **session.counts,
            **{name: total or 0 for name, total in session.spent.facts().items()},
            "calls": sum(session.counts[how] for how in ("succeeded", "failed", "cancelled")) + tasks,
            "in_flight": in_flight,
            "queued": max(0, tasks - in_flight),
            "bytes_sent": self._bytes_out,
            "bytes_received": self._bytes_in,
            "events_dropped": self._feed.dropped,
        }

    def watch(self) -> None:
        """Take notice of a change of the feed's listeners."""
        self.watched = self._feed.wanted
        self._load_events()
        self._session.watched = self.watched

    def _load_events(self) -> None:
        """Load the classes of events if they are wanted: the I/O thread must import nothing."""
        if self.watched:
            load_module("runware.events")

    def unfinished_tasks(self) -> list[str]:
        """Return the UUIDs of unfinished tasks, except accepted ones, which another process can still pick up."""
        tasks = (call for call in self._calls() if call.completion is not Completion.CONNECTION)
        wanted = ((call, call.job) for call in tasks if call.state is not CallState.ACCEPTED)
        # A cancellation may still be in the inbox.
        return [call.uuid for call, job in wanted if job is not None and not job.done()]

    def _calls(self) -> list[Call]:
        """Return the unfinished calls, including those still in the inbox."""
        posted = [args[0] for _, args in list(self._inbox) if args and isinstance(args[0], Call)]
        calls = self._session.calls
        every = [*list(calls.values()), *(call for call in posted if call.key not in calls)]
        return [call for call in every if call.job is not None]

    def submit(self, call: Call) -> None:
        """Queue a call.

        Raises:
            ClientClosedError: The I/O loop is closed; the call was not queued.
            RunwareError: The system is out of threads or file descriptors.
        """
        with self._lock:
            if not self.stopped:
                if self._thread is None:
                    self._start()
                self._inbox.append((self._session.submit, (call,)))
            if self.stopped:  # before, or just now by a signal handler
                raise ClientClosedError("The client is closed.")
        self._wake()

    def cancel(self, call: Call) -> None:
        """Cancel the call: remove it from the queue, or discard its results if it was already sent."""
        self._post(self._session.cancel, call)

    def interrupt(self, call: Call) -> None:
        """Cancel a call whose caller was interrupted, and log the task UUID if it was sent."""
        self._asleep = True  # the interrupted post may have cleared the flag without writing the byte
        self._post(self._cancel_interrupted, call)

    def task_recorded(self, call: Call, uuid: str) -> None:
        """Report that the store has this attempt."""
        self._post(self._session.task_recorded, call, uuid)

    def task_known(self, call: Call, uuid: str, current: str, items: list[dict[str, Any]], *, elsewhere: bool) -> None:
        """Report that the store has the call's task already; see `Session.task_known`."""
        self._post(self._session.task_known, call, uuid, current, items, elsewhere)

    def task_settled(self, call: Call, items: list[dict[str, Any]], error: RunwareError | None) -> None:
        """Report the outcome that the store has for a call's task."""
        self._post(self._session.task_settled, call, items, error)

    def recording_failed(self, call: Call, uuid: str, error: RunwareError) -> None:
        """Report that this attempt is not to be sent."""
        self._post(self._session.recording_failed, call, uuid, error)

    def catch_up(self, timeout: float) -> None:
        """Wait, up to *timeout* seconds, until what was posted so far is processed, so that the recorder has it."""
        if self._thread is None or self.stopped or self.ident == threading.get_ident():
            return
        done = threading.Event()

        def caught_up(_now: float) -> None:
            self._perform()  # the effects of what was posted before
            done.set()

        self._post(caught_up)
        done.wait(timeout)

    def close(self, timeout: float = 0.5) -> None:
        """End every call with `ClientClosedError` and close the connection.

        Args:
            timeout: Seconds to wait for the thread, which ends soon after whatever the network does.
        """
        with self._lock:
            already, self.stopped = self.stopped, True
            thread = self._thread
            if not already:  # even without a thread: a signal handler may have interrupted its start
                self._inbox.append((self._session.close, ()))
            self._asleep = True  # an interrupted post may have cleared the flag without writing the byte
        self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def abandon(self) -> list[Call]:
        """After a fork, in the child: drop the parent's connection without writing to it; return its calls.

        The child has no I/O thread, and locks that the parent's thread held stay locked, so this takes none.
        """
        self.stopped = True
        self._lock = make_rlock()
        self._asleep = False
        undelivered = [effect.call for effect in self._session.effects if isinstance(effect, Ended) and effect.call.job]
        calls = self._calls() + undelivered
        self._inbox.clear()
        self._thread = None
        self._orphaned = True
        self._drop_connections()
        return calls

    def _post(self, fact: Callable[..., None], *args: Any) -> None:
        self._inbox.append((fact, args))
        self._wake()

    def _start(self) -> None:
        """Start the I/O thread. It may be called again if a signal interrupted it; see `_claim`."""
        held = thread_lock_count()
        try:
            wakeup_pool.prepare()
            self._prepare()
            thread = threading.Thread(target=self._run, name="runware-io", daemon=True)
            thread.start()
            self._thread = thread
        except (OSError, RuntimeError) as error:
            if error.__context__ is not None and not isinstance(error.__context__, Exception):
                # Ctrl-C inside a lock of `threading`, which then fails to release it, with an error of its own.
                raise error.__context__ from None
            reason = getattr(error, "strerror", None) or error
            raise RunwareError(f"Could not start the client's I/O thread: {reason}.", retryable=True) from error
        finally:
            release_thread_lock(held)

    # ------------------------------------------------------------------ the thread

    def _claim(self) -> bool:
        """Make the current thread the I/O thread, unless there is one; return whether it is.

        After Ctrl-C during `Thread.start` the thread may or may not run, so the next call starts another one. The first
        to claim the loop runs it.
        """
        with self._lock:
            if self.ident is not None or self._thread_ended:
                return False
            self.ident = threading.get_ident()
            self._thread = threading.current_thread()
            return True

    def _run(self) -> None:
        if not self._claim():
            return
        try:
            while not self._orphaned and self._run_once():
                pass
        except BaseException:
            if not self._orphaned:
                log.exception("the I/O thread failed; all calls fail")
        finally:
            with self._lock:
                self.stopped = self._thread_ended = True
            if self._orphaned:
                # gevent copies greenlets into a forked child. `threading` does not know this one there, and would
                # raise if it ended.
                threading.Event().wait()
            self._shut_down()
            self.ident = None  # the number may be reused

    def _cancel_interrupted(self, call: Call, now: float) -> None:
        if call.may_have_run and not call.repeatable:  # even if it has ended and that is not delivered yet
            warn_interrupted(call.uuid)
        self._session.cancel(call, now)

    def _drain_inbox(self) -> None:
        inbox = self._inbox
        now = clock()
        for _ in range(_POSTS_PER_PASS):
            if not inbox:
                break
            fact, args = inbox.popleft()
            fact(*args, now)
        self._perform()

    def _shut_down(self) -> None:
        """Fail the remaining calls and close everything."""
        try:
            self._session.close(clock())
            self._drain_inbox()
            while self._inbox:
                self._drain_inbox()
            self._disconnect_all()
        finally:
            wake(self._to_wake)
        self._free()

    # ------------------------------------------------------------------ effects

    def _perform(self) -> None:
        """Perform the session's effects, in order."""
        effects = self._session.effects
        several = False
        while effects:
            effect = effects[0]
            if isinstance(effect, Send):
                effects.popleft()
                if (put := self._put) is not None:
                    text, token = effect
                    put(text, PING_TASK if text is PING_TASK else token)
            elif isinstance(effect, (Ended, Call)):
                call, error = effect if isinstance(effect, Ended) else (effect, None)
                try:
                    self._deliver(call, error, ended=call is not effect)
                finally:
                    effects.popleft()  # only now: a child forked meanwhile has to find it
                several = several or call.expected > 1
            else:
                effects.popleft()
                self._perform_rare(effect)
        if several:
            self._yield_gil()

    def _deliver(self, call: Call, error: RunwareError | None, *, ended: bool) -> None:
        """Bring the outcome of a call, or its new results, to its job."""
        try:
            waiter = call.job
            assert waiter is not None
            if call.durable is not None and call.durable.line is not None:
                self._keep(call, error, ended=ended)
            if ended:
                self._to_wake += waiter.call_ended(call, error)
                # A timer may keep the call until its deadline. Free the job and its results now.
                call.job = None
            else:
                waiter.call_arrived(call)
        except Exception:  # must not affect other calls
            log.exception("delivering the outcome of %s failed", call)

    def _perform_rare(self, effect: Effect) -> None:
        """Perform an effect that not every call has."""
        if isinstance(effect, Happened):
            self._report(effect)
        elif isinstance(effect, Record):
            assert self._recorder is not None
            self._recorder.record(effect)
        elif isinstance(effect, Renew):
            session, call = self._session, effect.call
            effect.inputs.renew(
                partial(self._post, session.inputs_renewed, call), partial(self._post, session.renewal_failed, call)
            )
        else:
            self._act(effect)

    def _keep(self, call: Call, error: RunwareError | None, *, ended: bool) -> None:
        """Pass results or the end of a durable call to the recorder, whose mistakes must not keep a job from ending."""
        assert self._recorder is not None
        try:
            self._recorder.ended(call, error) if ended else self._recorder.arrived(call)
        except Exception:
            log.exception("writing the outcome of %s failed", call)

    def _report(self, effect: Happened) -> None:
        """Pass an event to the listeners, and to the log at level DEBUG."""
        self._feed.report(effect.kind, effect.facts, effect.origin)
