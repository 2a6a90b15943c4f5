"""The I/O thread: it owns the socket, feeds the session, and performs what the session decides.

Nobody else reads, writes or closes the socket. Other threads only post: a job goes into the inbox, and one byte into
the wake-up pair. Dialling runs on a thread of its own, so that deadlines, cancellation and `close` are kept meanwhile.
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
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from runware._support.locks import make_rlock
from runware._support.logs import Sparing, say_interrupted
from runware.errors import ClientClosedError, ConnectionFailedError, RunwareError
from runware.options import Options
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.codec import dumps, rules
from runware.protocol.effects import PING as PING_TASK
from runware.protocol.effects import Abort, Close, Ended, Happened, Open, Send, SessionConfig, State
from runware.protocol.frames import CLOSE, OVERSIZED, PING, PONG, TEXT, FrameError, FrameReader, FrameWriter, Payload
from runware.protocol.redaction import secrets_of
from runware.protocol.session import Session
from runware.transport.callbacks import EventFeed
from runware.transport.dialer import Attempt, Dialled, PermanentError, dial
from runware.transport.poller import READ, WRITE, Poller
from runware.transport.stream import WOULD_BLOCK, InputFirst, Stream
from runware.transport.wakeup import Sleeper, bells, wake

__all__ = ["MAX_MESSAGE", "Engine", "Waiter", "clock"]

log = logging.getLogger("runware.engine")
log.addFilter(Sparing())

MAX_MESSAGE = 256 * 1024 * 1024
"""Bytes a message may have, in and out."""

_POSTS_A_TURN = 1000
_READS_A_TURN = 16

clock: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""Seconds that never run back; on Linux those in which the machine slept are counted."""


def _log_unforeseen(what: str, failure: Exception) -> None:
    """Log a failure and where it came from, without its text, which may hold a password or a prompt."""
    where = "".join(traceback.format_tb(failure.__traceback__))
    log.error("%s in a way that is not foreseen: %s\n%s", what, type(failure).__name__, where)


class Waiter(Protocol):
    """Whoever waits for a call. Both are called on the I/O thread, and must neither block nor raise."""

    def call_arrived(self, call: Call) -> None:
        """The call goes on, and has new items."""

    def call_ended(self, call: Call, error: RunwareError | None) -> Sequence[Sleeper]:
        """The call is over. Give those who are to be woken."""
        ...

    def done(self) -> bool:
        """Return whether the call has ended or was cancelled. It may be asked on any thread."""
        ...


def _is_wanted(token: object, text: bytes) -> bool:
    """Tell whether somebody still waits for what a message asks for: its call has not ended, and has no other text."""
    return not isinstance(token, Call) or token.text is text


class _Connection:
    """The stream of one epoch, with what is half read and half written."""

    def __init__(self, epoch: int, stream: Stream, max_message: int) -> None:
        self.epoch = epoch
        self.stream = stream
        self.reader = FrameReader(max_message)
        self.writer = FrameWriter(_is_wanted)
        self.chunk = memoryview(b"")
        self.fd = stream.fd
        self.interest = READ
        self.stuck = False  # output waits, and nothing of it has been taken since


class _Bell:
    """Wakes the I/O thread from its sleep in the poller."""

    def __init__(self) -> None:
        self.near, self._far = socket.socketpair()
        self.near.setblocking(False)
        self._far.setblocking(False)

    def ring(self) -> None:
        """Wake it; if it cannot be written to, it has been rung often enough."""
        try:
            self._far.send(b"\0")
        except OSError:
            pass

    def stop(self) -> None:
        """Take back what was rung."""
        try:
            self.near.recv(4096)
        except WOULD_BLOCK:
            pass

    def close(self) -> None:
        """Give back the sockets, which somebody else may have closed before."""
        for end in (self.near, self._far):
            try:
                end.close()
            except OSError:
                pass

    def __del__(self) -> None:
        if hasattr(self, "_far"):
            self.close()


class Engine:
    """One session and the thread that drives it.

    The thread starts with the first call and ends with `close`. Every method may be called from any thread.
    """

    encode = staticmethod(dumps)
    prepare = staticmethod(rules)
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
        self._lock = make_rlock()  # a signal's handler may close the client in the middle of `submit`
        self._thread: threading.Thread | None = None
        self.ident: int | None = None  # of the I/O thread
        self._thread_ended = False
        self.stopped = False  # it takes no more calls: it was closed, or has failed
        self._asleep = False
        self._rung = False  # what is in the bell has not been read
        self._sleepers: list[Sleeper] = []
        self._connection: _Connection | None = None
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()  # also those that are not connected yet
        self._poller: Any = None
        self._bell: _Bell | None = None
        self._attempt: tuple[int, Attempt] | None = None  # the epoch that is being dialled for

    # ------------------------------------------------------------------ from any thread

    @property
    def state(self) -> State:
        """Where the connection stands; it may have moved on when you read it."""
        return self._session.state

    def stats(self) -> dict[str, int]:
        """Give the numbers of `Stats`. They are read while the I/O thread goes on."""
        session = self._session
        in_flight = session.in_flight
        # The list is made in one step, whatever the I/O thread does meanwhile. The wish to be connected is no task.
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

    def running(self) -> list[str]:
        """Give the UUIDs of the tasks that have not ended, but for those that can be picked up elsewhere."""
        tasks = (call for call in self._calls() if call.completion is not Completion.CONNECTION)
        wanted = ((call, call.job) for call in tasks if call.state is not CallState.ACCEPTED)
        # The session may not have heard yet of a call that was cancelled.
        return [call.uuid for call, job in wanted if job is not None and not job.done()]

    def _calls(self) -> list[Call]:
        """Give the calls that have not ended, those that the session has not heard of yet included."""
        posted = [args[0] for _, args in list(self._inbox) if args and isinstance(args[0], Call)]
        calls = self._session.calls
        every = [*list(calls.values()), *(call for call in posted if call.key not in calls)]
        return [call for call in every if call.job is not None]

    def submit(self, call: Call) -> None:
        """Hand a call to the session.

        Raises:
            ClientClosedError: The engine is closed; the call was not taken.
            RunwareError: The system gives no thread, or no descriptors for it.
        """
        with self._lock:
            if not self.stopped:
                if self._thread is None:
                    self._start()
                self._inbox.append((self._session.submit, (call,)))
            if self.stopped:  # before, or by a signal's handler meanwhile
                raise ClientClosedError("The client is closed.")
        self._wake()

    def cancel(self, call: Call) -> None:
        """Tell the session that nobody waits for a call any more."""
        self._post(self._session.cancel, call)

    def interrupt(self, call: Call) -> None:
        """Cancel a call whose caller was interrupted, and log the task's UUID if it was sent."""
        self._asleep = True  # the post of the call may have been interrupted before it rang the bell
        self._post(self._interrupted, call)

    def close(self, timeout: float = 0.5) -> None:
        """End every call with `ClientClosedError` and close the connection.

        Args:
            timeout: Seconds to wait for it. Whatever the network does, the thread ends on its own soon after.
        """
        with self._lock:
            already, self.stopped = self.stopped, True
            thread = self._thread
            if not already:  # also before there is a thread, which a signal's handler may keep from knowing of it
                self._inbox.append((self._session.close, ()))
            self._asleep = True  # even if a post before was interrupted halfway, the bell is rung
        self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def abandon(self) -> list[Call]:
        """In a child that was forked: let go of the parent's connection without touching it, and give its calls.

        The I/O thread was not forked, and whatever lock it held stays locked, so nothing here takes one.
        """
        self.stopped = True
        self._lock = make_rlock()
        self._asleep = False
        untold = [effect.call for effect in self._session.effects if isinstance(effect, Ended) and effect.call.job]
        calls = self._calls() + untold
        self._inbox.clear()
        self._thread = None
        # Closing gives back the descriptors only: no shutdown, no close frame, no TLS alert.
        if self._bell is not None:
            self._bell.close()
        for sock in self._sockets:
            sock.close()
        self._poller = self._bell = self._connection = None
        return calls

    def _post(self, fact: Callable[..., None], *args: Any) -> None:
        self._inbox.append((fact, args))
        self._wake()

    def _wake(self) -> None:
        # The loop says that it is about to sleep before it looks at the inbox a last time, so that a job is never left
        # without a byte; and while it is awake anyway, nobody pays for one.
        if self._asleep and (bell := self._bell) is not None:
            try:
                self._asleep = False
                bell.ring()
            except BaseException:  # a signal's handler raised, perhaps before the bell was rung: the next one does it
                self._asleep = True
                raise

    def _start(self) -> None:
        """Start a thread for the loop. Interrupted halfway, it may be called again; see `_claim`."""
        try:
            bells.prepare()
            if self._bell is None:
                bell, poller = _Bell(), Poller()
                poller.register(bell.near.fileno(), READ)
                self._bell, self._poller = bell, poller
            thread = threading.Thread(target=self._run, name="runware-io", daemon=True)
            thread.start()
            self._thread = thread
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RunwareError(f"The client's thread cannot be started: {reason}.", retryable=True) from error

    # ------------------------------------------------------------------ the loop

    def _claim(self) -> bool:
        """Take over the engine, unless another thread has.

        Ctrl-C during `Thread.start` leaves it open whether there will be a thread, so the next call starts another one.
        The first to come here is the I/O thread.
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
            while self._session.state is not State.CLOSED and self._bell is not None:
                self._turn()
        except BaseException:
            if self._bell is not None:
                log.exception("the I/O thread failed; every call ends")
        finally:
            with self._lock:
                self.stopped = self._thread_ended = True
            if self._bell is None:
                # gevent forks greenlets too. `threading` has forgotten this one, and would complain if it ended.
                threading.Event().wait()
            self._finish()
            self.ident = None  # another thread may get it

    def _turn(self) -> None:
        assert self._bell is not None
        if self._inbox:
            self._take_posts()
        if self._sleepers:
            # When all else is done, because whoever is woken takes the interpreter lock, and may send something new.
            sleepers, self._sleepers = self._sleepers, []
            wake(sleepers)
            if self._inbox:
                self._take_posts()
        session, connection = self._session, self._connection
        if connection is not None and (connection.chunk or connection.writer.waiting or connection.stream.backlog):
            self._flush()
            connection = self._connection
        if session.state is State.CLOSED:
            return
        if self._rung:
            self._rung = False
            self._bell.stop()  # after what it rang for was sent
        deadline = session.next_deadline()
        self._asleep = True
        if self._inbox or self._sleepers or (connection is not None and connection.stream.pending):
            timeout: int | None = 0
        else:
            # Rounded up, so that what is due then is due.
            timeout = None if deadline is None else math.ceil(max(0.0, deadline - clock()) * 1000)
        ready = self._poller.poll(timeout)
        self._asleep = False
        for fd, event in ready:
            if connection is not None and fd == connection.fd:
                if event & ~WRITE and connection is self._connection:
                    self._read(deadline)
            else:
                self._rung = True
        if connection is not None and connection.stream.pending and connection is self._connection:
            self._read(deadline)
        if deadline is not None and (now := clock()) >= deadline and self._bell is not None:  # not a forked greenlet
            session.tick(now)
            self._perform()

    def _interrupted(self, call: Call, now: float) -> None:
        if call.may_have_run and not call.repeatable:  # also if its end has not been delivered yet
            say_interrupted(log, call.uuid)
        self._session.cancel(call, now)

    def _take_posts(self) -> None:
        inbox = self._inbox
        now = clock()
        for _ in range(min(len(inbox), _POSTS_A_TURN)):
            fact, args = inbox.popleft()
            fact(*args, now)
        self._perform()

    def _finish(self) -> None:
        """The last turn: whoever still waits is told, and nothing is left open."""
        try:
            self._session.close(clock())
            self._take_posts()
            while self._inbox:
                self._take_posts()
            self._hang_up("the client was closed")
        finally:
            wake(self._sleepers)
        assert self._bell is not None
        self._bell.close()

    # ------------------------------------------------------------------ effects

    def _perform(self) -> None:
        effects = self._session.effects
        news = False
        while effects:
            effect: Any = effects[0]
            kind = type(effect)
            if kind is Call or kind is Ended:
                call: Call = effect if kind is Call else effect.call
                waiter: Waiter = call.job
                try:
                    if kind is Call:
                        waiter.call_arrived(call)
                    else:
                        self._sleepers += waiter.call_ended(call, effect.error)
                        call.job = None  # a timer may hold the call until its deadline; what it carried goes now
                except Exception:  # one caller's trouble must not become everybody's
                    log.exception("%s could not be told", call)
                finally:
                    effects.popleft()  # not before: if the process forks meanwhile, the child is to find it
                news = news or call.expected > 1
                continue
            effects.popleft()
            if kind is Send:
                if self._connection is not None:
                    token = PING_TASK if effect.text is PING_TASK else effect.call
                    self._connection.writer.put(TEXT, effect.text, token)
            elif kind is Open:
                self._open(effect.epoch)
            elif kind is Abort:
                self._abort(effect)
            elif kind is Happened:
                self._report(effect)
            elif kind is Close:
                self._take_leave()
        if news:
            self._nap()

    def _nap(self) -> None:
        """Sleep for a moment, unless there is something to do.

        Who was just told of a result has nothing but the interpreter lock to wait for, which sleeping lets go of. All
        that comes before a longer sleep can be done afterwards.
        """
        connection = self._connection
        if self._sleepers or connection is None or connection.chunk or connection.writer.waiting:
            return
        if connection.stream.pending or connection.stream.backlog:
            return
        self._asleep = True
        if not self._inbox:
            self._poller.poll(1)  # what it finds is still there at the next
        self._asleep = False

    def _report(self, effect: Happened) -> None:
        """Tell those who watch; at the level DEBUG that is the log too."""
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
            error = ConnectionFailedError(f"No thread can be started to connect: {failure}.", stage="name lookup")
            self._session.connection_failed(epoch, error, clock())

    def _abort(self, effect: Abort) -> None:
        if self._attempt is not None and self._attempt[0] == effect.epoch:
            self._attempt[1].cancel()
            self._attempt = None
        if self._connection is not None and self._connection.epoch == effect.epoch:
            self._hang_up(effect.reason)

    def _take_leave(self) -> None:
        if self._connection is not None:
            self._connection.writer.leave_out_rest()  # whose calls have ended
            self._connection.writer.put(CLOSE, (1000).to_bytes(2, "big"))
            self._flush()
            if self._connection is not None:
                self._connection.stream.finish()
            self._hang_up("the client was closed")

    def _hang_up(self, reason: str) -> None:
        """Close the socket, and tell the session what had not been written."""
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
            _log_unforeseen("dialling failed", failure)
            error = RunwareError(f"Could not connect, for a reason that is not foreseen ({type(failure).__name__}).")
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
        """Take in what has come, but no more than the time allows until something else is due."""
        connection = self._connection
        assert connection is not None
        stream, reader = connection.stream, connection.reader
        for _ in range(_READS_A_TURN):
            try:
                data = stream.recv()
            except WOULD_BLOCK:
                break
            except OSError as error:
                self._hang_up(error.strerror or type(error).__name__)
                break
            if not data:
                self._hang_up("the server closed it")
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
                    except Exception as failure:  # one message must not end the calls that others are for
                        _log_unforeseen("a message was not understood", failure)
            except FrameError as error:
                self._hang_up(str(error))
            self._perform()
            # After whoever waits for them was told.
            if whole:
                self._session.bytes_received(now)
            else:
                self._session.bytes_received(now, reader.unfinished, whole=False)
            if connection is not self._connection or (len(data) < 4096 and not stream.pending):
                return  # gone, or empty for now: the poller tells when there is more
            if deadline is not None and now >= deadline:
                return
        self._perform()  # what comes of a loss

    def _message(self, connection: _Connection, opcode: int, payload: Payload, now: float) -> None:
        if opcode == PING:
            connection.writer.pong(bytes(payload))
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            connection.writer.put(CLOSE, bytes(payload[:2]))
            self._flush()
            self._hang_up(f"the server closed it with code {code}")
        elif opcode == OVERSIZED:
            self._session.message_too_large(str(payload, "ascii").split(), self.max_message, now)
        elif opcode != PONG and connection is self._connection:
            self._session.frame_received(payload, now)

    def _flush(self) -> None:
        """Write what there is, as far as the network takes it."""
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
                self._hang_up(error.strerror or type(error).__name__)
                self._perform()
                return
            self._bytes_out += count
            connection.chunk = connection.chunk[count:]
            connection.stuck = False
            for token in writer.written(count):
                if token is PING_TASK:
                    self._session.ping_written(clock())
        if blocked or connection.interest != READ:
            self._watch_output(connection, blocked)

    def _watch_output(self, connection: _Connection, blocked: bool) -> None:
        """Ask the poller for the moment at which the network takes more, or no longer."""
        if not (blocked and connection.stuck):
            self._session.bytes_written(clock(), pending=blocked)
        connection.stuck = blocked
        interest = READ | (WRITE if blocked else 0)
        if interest != connection.interest:
            connection.interest = interest
            self._poller.modify(connection.fd, interest)
