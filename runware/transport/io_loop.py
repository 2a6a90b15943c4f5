"""The I/O loop: one thread that owns the socket, feeds the session and performs its effects.

Only this thread reads, writes and closes the socket. Other threads append to the inbox and, if the loop sleeps, write
one byte to its self-pipe. Dialling blocks, so it runs on a separate thread: deadlines, cancellation and `close` work
while a connection is being made.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, assert_never

from runware._support.locks import make_rlock, release_thread_lock, thread_lock_count
from runware._support.logs import RepeatLimit, warn_interrupted
from runware.errors import ClientClosedError, ConnectionFailedError, RunwareError
from runware.options import Options
from runware.protocol.call import Call, CallState, Completion, Wakeable
from runware.protocol.effects import PING as PING_TASK
from runware.protocol.effects import Abort, Close, Ended, Happened, Open, Send, SessionConfig, State
from runware.protocol.frames import CLOSE, OVERSIZED, PING, PONG, TEXT, FrameError, FrameReader, FrameWriter, Payload
from runware.protocol.redaction import secrets_of
from runware.protocol.session import Session
from runware.transport.callbacks import EventFeed
from runware.transport.dialer import Attempt, Dialled, PermanentError, dial
from runware.transport.poller import READ, WRITE, Poller, make_poller
from runware.transport.stream import WOULD_BLOCK, InputFirst, Stream
from runware.transport.wakeup import wake, wakeup_pool

__all__ = ["MAX_MESSAGE", "IOLoop", "clock"]

# The name is older than `IOLoop`, and users' logging configurations may refer to it.
log = logging.getLogger("runware.engine")
log.addFilter(RepeatLimit())

MAX_MESSAGE = 256 * 1024 * 1024
"""The size limit of a message in bytes, both sent and received."""

_POSTS_PER_PASS = 1000
_READS_PER_PASS = 16
"""Limits on one pass of the loop, so that neither a busy caller nor a busy server starves the other."""

clock: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""A monotonic clock in seconds. On Linux it includes the time the machine was suspended."""


def _log_unexpected(what: str, failure: Exception) -> None:
    """Log an unexpected exception with its stack, but without its message, which may contain a password or a prompt."""
    where = "".join(traceback.format_tb(failure.__traceback__))
    log.error("%s with an unexpected %s\n%s", what, type(failure).__name__, where)


def _still_needed(token: object, text: bytes) -> bool:
    """Return whether a queued message is still to be sent: its call has not ended or started another attempt."""
    return not isinstance(token, Call) or token.text is text


class _Connection:
    """The connection of one epoch: its stream, and the partly read and partly written frames."""

    def __init__(self, epoch: int, stream: Stream, max_message: int) -> None:
        self.epoch = epoch
        self.stream = stream
        self.reader = FrameReader(max_message)
        self.writer = FrameWriter(_still_needed)
        self.chunk = memoryview(b"")
        self.fd = stream.fd
        self.interest = READ
        self.stalled = False  # the last write was blocked, and nothing has been written since


class _SelfPipe:
    """A socket pair that interrupts the poller: the I/O thread polls one end, other threads write to the other."""

    def __init__(self) -> None:
        self.near, self._far = socket.socketpair()
        self.near.setblocking(False)
        self._far.setblocking(False)

    def wake(self) -> None:
        """Make the poller return. A full buffer means that it is about to anyway."""
        try:
            self._far.send(b"\0")
        except OSError:
            pass

    def drain(self) -> None:
        """Discard the bytes that have been written."""
        try:
            self.near.recv(4096)
        except WOULD_BLOCK:
            pass

    def close(self) -> None:
        """Close both ends, ignoring that the process may have closed the descriptors already."""
        for end in (self.near, self._far):
            try:
                end.close()
            except OSError:
                pass

    def __del__(self) -> None:
        if hasattr(self, "_far"):
            self.close()


class IOLoop:
    """Drive one session on a background thread.

    The first call starts the thread; `close` ends it. Public methods are thread-safe.

    Args:
        options: The client's options.
        feed: Receives the events, if the client has an `on_event`.
    """

    max_message = MAX_MESSAGE

    def __init__(self, options: Options, feed: EventFeed | None = None) -> None:
        self.options = options
        self._feed = feed
        self._bytes_in = self._bytes_out = 0
        retries = options.max_retries
        self._session = Session(
            SessionConfig(
                connect_timeout=options.connect_timeout,
                reconnect=options.reconnect,
                dial_attempts=1 + (retries if isinstance(retries, int) else 2),
                retry_delay=options.retry_delay,
                heartbeat_interval=options.heartbeat_interval,
                liveness_timeout=options.liveness_timeout,
                max_in_flight=options.max_in_flight,
                max_queued=options.max_queued,
                dry_run=options.dry_run,
                events=feed is not None or log.isEnabledFor(logging.DEBUG),
            )
        )
        self._session.redactor.add(*secrets_of(options), lasting=True)
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._lock = make_rlock()  # re-entrant: a signal handler may close the client in the middle of `submit`
        self._thread: threading.Thread | None = None
        self.ident: int | None = None  # of the I/O thread
        self._thread_ended = False
        self.stopped = False  # accepts no more calls: it was closed, or has failed
        self._asleep = False  # in the poller, or about to be, so that a post has to wake it
        self._wake_byte_unread = False  # the self-pipe has to be drained
        self._to_wake: list[Wakeable] = []
        self._connection: _Connection | None = None
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()  # including those still connecting
        self._poller: Poller = make_poller()  # replaced by `_start`
        self._self_pipe: _SelfPipe | None = None
        self._attempt: tuple[int, Attempt] | None = None  # the dial in progress, and its epoch

    # ------------------------------------------------------------------ from any thread

    @property
    def state(self) -> State:
        """The state of the connection; a snapshot."""
        return self._session.state

    def stats(self) -> dict[str, int]:
        """Return the counters of `Stats`, a snapshot taken while the I/O thread runs."""
        session = self._session
        in_flight = session.in_flight
        # `list` copies in one step, so the I/O thread cannot change the dict meanwhile. `connect` is not a task.
        tasks = sum(call.completion is not Completion.CONNECTION for call in list(session.calls.values()))
        return {
            **session.counts,
            "calls": sum(session.counts[how] for how in ("succeeded", "failed", "cancelled")) + tasks,
            "in_flight": in_flight,
            "queued": max(0, tasks - in_flight),
            "bytes_sent": self._bytes_out,
            "bytes_received": self._bytes_in,
            "events_dropped": self._feed.dropped if self._feed is not None else 0,
        }

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
        # Only close the descriptors: a shutdown, close frame or TLS alert would end the parent's connection.
        if self._self_pipe is not None:
            self._self_pipe.close()
        for sock in self._sockets:
            sock.close()
        self._self_pipe = self._connection = None
        return calls

    def _post(self, fact: Callable[..., None], *args: Any) -> None:
        self._inbox.append((fact, args))
        self._wake()

    def _wake(self) -> None:
        # The loop sets `_asleep` before it checks the inbox for the last time, so no post is missed; while it is awake,
        # a post costs no system call.
        if self._asleep and (self_pipe := self._self_pipe) is not None:
            try:
                self._asleep = False
                self_pipe.wake()
            except BaseException:  # a signal handler raised, perhaps before the write: the next post repeats it
                self._asleep = True
                raise

    def _start(self) -> None:
        """Start the I/O thread. It may be called again if a signal interrupted it; see `_claim`."""
        held = thread_lock_count()
        try:
            wakeup_pool.prepare()
            if self._self_pipe is None:
                self_pipe, poller = _SelfPipe(), make_poller()
                poller.register(self_pipe.near.fileno(), READ)
                self._self_pipe, self._poller = self_pipe, poller
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

    # ------------------------------------------------------------------ the loop

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
            while self._session.state is not State.CLOSED and self._self_pipe is not None:
                self._run_once()
        except BaseException:
            if self._self_pipe is not None:
                log.exception("the I/O thread failed; all calls fail")
        finally:
            with self._lock:
                self.stopped = self._thread_ended = True
            if self._self_pipe is None:
                # gevent copies greenlets into a forked child. `threading` does not know this one there, and would
                # raise if it ended.
                threading.Event().wait()
            self._shut_down()
            self.ident = None  # the number may be reused

    def _run_once(self) -> None:
        """Drain the inbox, wake waiting threads, write, poll, read, and run what is due."""
        assert self._self_pipe is not None
        if self._inbox:
            self._drain_inbox()
        if self._to_wake:
            # After everything else: a woken thread competes for the GIL, and may submit a new call at once.
            to_wake, self._to_wake = self._to_wake, []
            wake(to_wake)
            if self._inbox:
                self._drain_inbox()
        session, connection = self._session, self._connection
        if connection is not None and (connection.chunk or connection.writer.waiting or connection.stream.backlog):
            self._flush()
            connection = self._connection
        if session.state is State.CLOSED:
            return
        if self._wake_byte_unread:
            self._wake_byte_unread = False
            self._self_pipe.drain()  # after the write, which is what the caller waits for
        deadline = session.next_deadline()
        self._asleep = True
        if self._inbox or self._to_wake or (connection is not None and connection.stream.pending):
            timeout: int | None = 0
        else:
            # Rounded up: waking a fraction of a millisecond early would poll once more for nothing.
            timeout = None if deadline is None else math.ceil(max(0.0, deadline - clock()) * 1000)
        ready = self._poller.poll(timeout)
        self._asleep = False
        for fd, event in ready:
            if connection is not None and fd == connection.fd:
                if event & ~WRITE and connection is self._connection:
                    self._read(deadline)
            else:
                self._wake_byte_unread = True
        if connection is not None and connection.stream.pending and connection is self._connection:
            self._read(deadline)
        # A greenlet that was forked has no self-pipe any more.
        if deadline is not None and (now := clock()) >= deadline and self._self_pipe is not None:
            session.tick(now)
            self._perform()

    def _cancel_interrupted(self, call: Call, now: float) -> None:
        if call.may_have_run and not call.repeatable:  # even if it has ended and that is not delivered yet
            warn_interrupted(log, call.uuid)
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
            self._disconnect("the client was closed")
        finally:
            wake(self._to_wake)
        assert self._self_pipe is not None
        self._self_pipe.close()

    # ------------------------------------------------------------------ effects

    def _perform(self) -> None:
        effects = self._session.effects
        several = False
        while effects:
            effect = effects[0]
            if isinstance(effect, Send):
                effects.popleft()
                if self._connection is not None:
                    token = PING_TASK if effect.text is PING_TASK else effect.call
                    self._connection.writer.put(TEXT, effect.text, token)
                continue
            if ended := isinstance(effect, Ended):
                call, error = effect
            elif isinstance(effect, Call):
                call, error = effect, None
            else:
                effects.popleft()
                self._act(effect)
                continue
            try:
                waiter = call.job
                assert waiter is not None
                if ended:
                    self._to_wake += waiter.call_ended(call, error)
                    # A timer may keep the call until its deadline. Free the job and its results now.
                    call.job = None
                else:
                    waiter.call_arrived(call)
            except Exception:  # must not affect other calls
                log.exception("delivering the outcome of %s failed", call)
            finally:
                effects.popleft()  # only now: a child forked meanwhile has to find it
            several = several or call.expected > 1
        if several:
            self._yield_gil()

    def _act(self, effect: Open | Abort | Close | Happened) -> None:
        if isinstance(effect, Open):
            self._open(effect.epoch)
        elif isinstance(effect, Abort):
            self._abort(effect)
        elif isinstance(effect, Happened):
            self._report(effect)
        elif isinstance(effect, Close):
            self._close_gracefully()
        else:
            assert_never(effect)

    def _yield_gil(self) -> None:
        """Poll for a millisecond to release the GIL, unless there is work to do.

        A thread that was just handed a partial result can only run once the GIL is free. The rest of the pass can wait
        for that.
        """
        connection = self._connection
        if self._to_wake or connection is None or connection.chunk or connection.writer.waiting:
            return
        if connection.stream.pending or connection.stream.backlog:
            return
        self._asleep = True
        if not self._inbox:
            self._poller.poll(1)  # level-triggered: the next poll reports the same events
        self._asleep = False

    def _report(self, effect: Happened) -> None:
        """Pass an event to `on_event`, and to the log at level DEBUG."""
        event = effect.kind(at=time.time(), **effect.facts)
        log.debug("%s", event)
        if self._feed is not None:
            self._feed.post(event)

    def _open(self, epoch: int) -> None:
        attempt = Attempt(self.options.connect_timeout, self._sockets.add)
        self._attempt = epoch, attempt
        try:
            name = f"runware-dial-{epoch}"
            threading.Thread(target=self._dial, args=(epoch, attempt), name=name, daemon=True).start()
        except RuntimeError as failure:
            error = ConnectionFailedError(f"Could not start a thread to connect: {failure}.", stage="name lookup")
            self._session.connection_failed(epoch, error, clock())

    def _abort(self, effect: Abort) -> None:
        if self._attempt is not None and self._attempt[0] == effect.epoch:
            self._attempt[1].cancel()
            self._attempt = None
        if self._connection is not None and self._connection.epoch == effect.epoch:
            self._disconnect(effect.reason)

    def _close_gracefully(self) -> None:
        if self._connection is not None:
            self._connection.writer.leave_out_rest()  # their calls have ended
            self._connection.writer.put(CLOSE, (1000).to_bytes(2, "big"))
            self._flush()
            if self._connection is not None:
                self._connection.stream.finish()
            self._disconnect("the client was closed")

    def _disconnect(self, reason: str) -> None:
        """Close the connection and report to the session, with the calls that were not written completely."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._poller.unregister(connection.fd)
        connection.stream.close()
        unsent = {token for token in connection.writer.unwritten() if isinstance(token, Call)}
        self._session.connection_lost(connection.epoch, reason, unsent, clock())

    # ------------------------------------------------------------------ dialling, on its own thread

    def _dial(self, epoch: int, attempt: Attempt) -> None:
        def report(stage: str, host: str) -> None:
            self._post(lambda now: self._session.dial_reached(epoch, stage, host))

        try:
            dialled = dial(self.options, report, attempt)
        except PermanentError as failure:
            error = failure.error
            self._post(lambda now: self._session.connection_failed(epoch, error, now, permanent=True))
        except RunwareError as failure:
            error = failure
            self._post(lambda now: self._session.connection_failed(epoch, error, now))
        except Exception as failure:
            _log_unexpected("connecting failed", failure)
            error = RunwareError(f"Could not connect because of an unexpected {type(failure).__name__}; see the log.")
            self._post(lambda now: self._session.connection_failed(epoch, error, now, permanent=True))
        else:
            with self._lock:
                if not self.stopped:
                    self._inbox.append((self._opened, (epoch, dialled)))
                    dialled = None  # type: ignore[assignment]
            if dialled is None:
                self._wake()
            else:
                dialled.stream.close()

    def _opened(self, epoch: int, dialled: Dialled, now: float) -> None:
        if epoch != self._session.epoch or self._session.state is not State.CONNECTING:
            dialled.stream.close()
            return
        self._attempt = None
        self._connection = _Connection(epoch, dialled.stream, self.max_message)
        self._poller.register(self._connection.fd, READ)
        self._session.connection_opened(epoch, dialled.key, now)

    # ------------------------------------------------------------------ the socket

    def _read(self, deadline: float | None) -> None:
        """Read and process what has arrived, until the next deadline at most."""
        connection = self._connection
        assert connection is not None
        stream, reader = connection.stream, connection.reader
        for _ in range(_READS_PER_PASS):
            try:
                data = stream.recv()
            except WOULD_BLOCK:
                break
            except OSError as error:
                self._disconnect(error.strerror or type(error).__name__)
                break
            if not data:
                self._disconnect("the server closed it")
                break
            now = clock()
            self._bytes_in += len(data)
            whole = False
            try:
                for opcode, payload in reader.feed(data):
                    whole = True
                    try:
                        if opcode == TEXT and connection is self._connection:
                            self._session.frame_received(payload, now)
                        else:
                            self._message(connection, opcode, payload, now)
                    except Exception as failure:  # one message must not fail the calls of others
                        _log_unexpected("processing a message failed", failure)
            except FrameError as error:
                self._disconnect(str(error))
            self._perform()
            # After delivering the results: their callers wait for that, and not for the keepalive.
            if whole:
                self._session.bytes_received(now)
            else:
                self._session.bytes_received(now, reader.unfinished, whole=False)
            if connection is not self._connection or (len(data) < 4096 and not stream.pending):
                return  # disconnected, or drained for now: the poller reports more
            if deadline is not None and now >= deadline:
                return
        self._perform()  # the effects of a disconnect

    def _message(self, connection: _Connection, opcode: int, payload: Payload, now: float) -> None:
        if opcode == PING:
            connection.writer.pong(bytes(payload))
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            connection.writer.put(CLOSE, bytes(payload[:2]))
            self._flush()
            self._disconnect(f"the server closed it with code {code}")
        elif opcode == OVERSIZED:
            self._session.message_too_large(str(payload, "ascii").split(), self.max_message, now)
        elif opcode != PONG and connection is self._connection:
            self._session.frame_received(payload, now)

    def _flush(self) -> None:
        """Write pending output until it is gone or the socket would block."""
        connection = self._connection
        if connection is None:
            return
        stream, writer = connection.stream, connection.writer
        blocked = False
        while connection.chunk or writer.waiting or stream.backlog:
            if not connection.chunk:
                connection.chunk = memoryview(writer.chunk())
            try:
                count = stream.send(connection.chunk)
            except WOULD_BLOCK:
                blocked = True
                break
            except InputFirst:
                break
            except OSError as error:
                self._disconnect(error.strerror or type(error).__name__)
                self._perform()
                return
            self._bytes_out += count
            connection.chunk = connection.chunk[count:]
            connection.stalled = False
            for token in writer.written(count):
                if token is PING_TASK:
                    self._session.ping_written(clock())
        if blocked or connection.interest != READ:
            self._watch_output(connection, blocked)

    def _watch_output(self, connection: _Connection, blocked: bool) -> None:
        """Poll for writability while output is blocked."""
        if not (blocked and connection.stalled):
            self._session.bytes_written(clock(), pending=blocked)
        connection.stalled = blocked
        interest = READ | (WRITE if blocked else 0)
        if interest != connection.interest:
            connection.interest = interest
            self._poller.modify(connection.fd, interest)
