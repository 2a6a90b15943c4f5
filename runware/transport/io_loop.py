"""The I/O loop: one thread that owns the WebSocket, feeds the session and performs its effects.

Only this thread reads, writes and closes the socket. Other threads append to the inbox and, if the loop sleeps, set
its event. Dialling blocks, so it runs on a separate thread: deadlines, cancellation and `close` work
while a connection is being made.
"""

from __future__ import annotations

import math
import socket
import threading
import weakref
from functools import partial

from runware.errors import ConnectionFailedError, RunwareError
from runware.options import Options
from runware.protocol.call import Call
from runware.protocol.effects import PING as PING_TASK
from runware.protocol.effects import Abort, Close, Effect, Open, State
from runware.protocol.frames import CLOSE, OVERSIZED, PING, PONG, TEXT, FrameError, FrameReader, FrameWriter, Payload
from runware.transport.callbacks import EventFeed
from runware.transport.dialer import Attempt, Dialled, PermanentError, dial
from runware.transport.driver import Driver, Recorder, clock, log_unexpected
from runware.transport.kernel_event import KernelEvent, make_event
from runware.transport.poller import READ, WRITE, Poller, make_poller
from runware.transport.stream import WOULD_BLOCK, InputFirst, Stream
from runware.transport.wakeup import wake

__all__ = ["IOLoop"]

_READS_PER_PASS = 16
"""The limit on one pass of the loop, so that a busy server does not starve the callers."""


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
        self.chunk: bytes | memoryview = b""
        self.fd = stream.fd
        self.interest = READ
        self.stalled = False  # the last write was blocked, and nothing has been written since


class IOLoop(Driver):
    """Drive one session over a WebSocket.

    Args:
        options: The client's options.
        feed: Receives the events.
        recorder: Keeps durable calls, if the client has a store or a budget.
    """

    def __init__(self, options: Options, feed: EventFeed | None = None, recorder: Recorder | None = None) -> None:
        super().__init__(options, feed, recorder)
        self._event_set = False  # the event has to be cleared
        self._connection: _Connection | None = None
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()  # including those still connecting
        self._poller: Poller = make_poller()  # replaced by `_prepare`
        self._event: KernelEvent | None = None
        self._attempt: tuple[int, Attempt] | None = None  # the dial in progress, and its epoch

    def _prepare(self) -> None:
        if self._event is None:
            event, poller = make_event(blocking=False), make_poller()
            poller.register(event.fileno(), READ)
            self._event, self._poller = event, poller

    def _wake(self) -> None:
        # The loop sets `_asleep` before it checks the inbox for the last time, so no post is missed; while it is awake,
        # a post costs no system call.
        if self._asleep and (event := self._event) is not None:
            try:
                self._asleep = False
                event.set()
            except OSError:  # the thread has ended
                pass
            except BaseException:  # a signal handler raised, perhaps before the write: the next post repeats it
                self._asleep = True
                raise

    def _run_once(self) -> bool:
        """Drain the inbox, wake waiting threads, write, poll, read, and run what is due.

        Returns:
            Whether to go on: `False` once the session is closed.
        """
        assert self._event is not None
        if self._inbox:
            self._drain_inbox()
        if self._to_wake:
            # After everything else: a woken thread competes for the GIL, and may submit a new call at once.
            to_wake, self._to_wake = self._to_wake, []
            wake(to_wake)
            del to_wake  # else an idle I/O thread would keep the event loops of the last calls
            if self._inbox:
                self._drain_inbox()
        session, connection = self._session, self._connection
        if connection is not None and (connection.chunk or connection.writer.waiting or connection.stream.backlog):
            self._flush()
            connection = self._connection
        if connection is None and session.state is State.CLOSED:
            return False
        if self._event_set:
            self._event_set = False
            self._event.take()  # after the write, which is what the caller waits for
        deadline = session.next_deadline()
        self._asleep = True
        timeout: int | None = None
        if self._inbox or self._to_wake or (connection is not None and connection.stream.pending):
            timeout = 0
        elif deadline is not None:
            # Rounded up: waking a fraction of a millisecond early would poll once more for nothing.
            timeout = math.ceil(wait * 1000) if (wait := deadline - clock()) > 0 else 0
        ready = self._poller.poll(timeout)
        self._asleep = False
        for fd, event in ready:
            if connection is not None and fd == connection.fd:
                if event & ~WRITE and connection is self._connection:
                    self._read(deadline)
            else:
                self._event_set = True
        if connection is not None and connection.stream.pending and connection is self._connection:
            self._read(deadline)
        # If something was ready after a wait, the next pass finds out whether the deadline has come meanwhile: it is
        # later than the results that came. A greenlet that was forked has no event any more.
        waited_in_vain = not (timeout and ready)
        if waited_in_vain and deadline is not None and (now := clock()) >= deadline and self._event is not None:
            session.tick(now)
            self._perform()
        return True

    def _free(self) -> None:
        assert self._event is not None
        self._event.close()

    def _drop_connections(self) -> None:
        # Only close the descriptors: a shutdown, close frame or TLS alert would end the parent's connection.
        if self._event is not None:
            self._event.close()
        for sock in self._sockets:
            sock.close()
        self._event = self._connection = self._put = None

    # ------------------------------------------------------------------ effects

    def _act(self, effect: Effect) -> None:
        if isinstance(effect, Open):
            self._open(effect.epoch)
        elif isinstance(effect, Abort):
            self._abort(effect)
        elif isinstance(effect, Close):
            self._close_gracefully()

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

    def _open(self, epoch: int) -> None:
        # The dialer gives up a little before the session does, as its error says more.
        limit = self.options.connect_timeout
        attempt = Attempt(limit - min(0.25, 0.02 * limit), self._sockets.add)
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

    def _disconnect_all(self) -> None:
        self._disconnect("the client was closed")

    def _disconnect(self, reason: str) -> None:
        """Close the connection and report to the session, with the calls that were not written completely."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._put = None
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
            log_unexpected("connecting failed", failure)
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
        self._put = partial(self._connection.writer.put, TEXT)
        self._poller.register(self._connection.fd, READ)
        self._session.connection_opened(epoch, dialled.key, now)

    # ------------------------------------------------------------------ the socket

    def _read(self, deadline: float | None) -> None:
        """Read and process what has arrived, until the next deadline at most."""
        connection = self._connection
        assert connection is not None
        stream, reader = connection.stream, connection.reader
        for _ in range(_READS_PER_PASS):
            space, data = reader.space(), b""
            try:
                if space is None:
                    data = stream.recv()
                    size = len(data)
                else:
                    with space:
                        size = stream.recv_into(space)
            except WOULD_BLOCK:
                break
            except OSError as error:
                self._disconnect(error.strerror or type(error).__name__)
                break
            if not size:
                self._disconnect("the server closed it")
                break
            now = clock()
            self._bytes_in += size
            whole = False
            try:
                for opcode, payload in reader.feed(data) if space is None else reader.filled(size):
                    whole = True
                    try:
                        if opcode == TEXT and connection is self._connection:
                            self._session.frame_received(payload, now)
                        else:
                            self._message(connection, opcode, payload, now)
                    except Exception as failure:  # one message must not fail the calls of others
                        log_unexpected("processing a message failed", failure)
            except FrameError as error:
                self._disconnect(str(error))
            self._perform()
            # After delivering the results: their callers wait for that, and not for the keepalive.
            if whole:
                self._session.bytes_received(now)
            else:
                self._session.bytes_received(now, reader.unfinished, whole=False)
            if connection is not self._connection or (size < 4096 and not stream.pending):
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
        while (chunk := connection.chunk) or writer.waiting or stream.backlog:
            if not chunk:
                chunk = connection.chunk = writer.chunk()
            try:
                count = stream.send(chunk)
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
            connection.chunk = memoryview(chunk)[count:] if count < len(chunk) else b""
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
