"""What the faces of one client share: its options, its engine, its callback thread; and one of them a process.

The engine is loaded and started by the first call. A core survives forks: in the child it starts anew.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from runware._support.import_lock import loading
from runware._support.locks import make_rlock
from runware._support.logs import say
from runware.errors import (
    ClientClosedError,
    ConfigurationError,
    PayloadTooLargeError,
    RunwareError,
    ValidationError,
)
from runware.jobs import Job, wrong_thread
from runware.media.downloads import Downloads
from runware.options import Options, seconds
from runware.protocol.call import Call, Completion
from runware.protocol.ids import is_uuid, new_uuid
from runware.protocol.retry import Retries
from runware.requests.base import Task
from runware.requests.raw import as_task
from runware.results import Results
from runware.results.base import shortened
from runware.transport.callbacks import CallbackThread, EventFeed
from runware.transport.patching import check_patches, patches
from runware.transport.wakeup import bells

if TYPE_CHECKING:
    from runware.events import Stats
    from runware.transport.io_loop import Engine

log = logging.getLogger("runware.client")

__all__ = ["Core", "Dispatch", "shared_core"]

R = TypeVar("R")
T = TypeVar("T")
_REMEMBERED = 16_384
"""Bytes up to which a message is kept as it is, for `Result.meta`."""
Dispatch = Callable[[Callable[[], object]], object]
"""Runs a callback where its owner wants it; what it raises is logged there."""

_cores: weakref.WeakSet[Core] = weakref.WeakSet()


def _start_anew() -> None:
    for core in list(_cores):
        core.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


class Core:
    """What the faces of one client share: its options, its engine, its callback thread."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._lock = make_rlock()
        self._engine: Engine | None = None
        self._patches: tuple[object, object] | None = None
        self._closed = False
        self.downloads = Downloads.of(options)
        self._callbacks = CallbackThread()
        self._feed = None if options.on_event is None else EventFeed(options.on_event)
        self._retries = Retries.of(None, options.max_retries, options.retry_delay)
        self._pid = os.getpid()
        self._ending: weakref.finalize[..., Any] | None = None
        _cores.add(self)
        weakref.finalize(self, self._callbacks.stop)
        if self._feed is not None:
            weakref.finalize(self, self._feed.stop)

    task_of = staticmethod(as_task)  # so that faces need not load the requests before there is a client

    # ------------------------------------------------------------------ engine

    def engine(self) -> Engine:
        """Give the engine; it is made by the first call.

        Raises:
            ClientClosedError: The client is closed.
            ConfigurationError: The client's thread cannot work here, or the standard library was patched under it.
        """
        if self._pid != os.getpid():
            self.abandon()  # forked in a way that skips the hooks
        engine = self._engine
        if engine is not None and not (self._closed or engine.stopped):
            if self._patches != patches():
                raise ConfigurationError(
                    "The standard library was patched (by gevent?) while this client was connected: waiting for a call "
                    "would stop every greenlet. Patch first of all, or close the client before and make a new one."
                )
            return engine
        try:
            with loading:
                import runware.requests.image  # noqa: F401 - so that a first call from an event loop finds it there
                from runware.transport.io_loop import Engine
        except OSError as error:
            raise RunwareError(f"The client cannot be loaded: {error.strerror}.", retryable=True) from error

        with self._lock:
            if self._closed:
                raise ClientClosedError("The client is closed. Make a new one for further calls.")
            if self._engine is None or self._engine.stopped:  # as it is when it has failed
                check_patches()
                self._patches = patches()
                engine = Engine(self.options, self._feed)
                if self._ending is not None:
                    self._ending.detach()
                # At interpreter exit too; and before anything can use it.
                self._ending = weakref.finalize(self, _leave, engine)
                self._engine = engine
            return self._engine

    def abandon(self) -> None:
        """In a child that was forked: start anew. Jobs that came along end, and the next call connects."""
        engine, self._engine = self._engine, None
        if self._ending is not None:
            self._ending.detach()  # so that nothing keeps the parent's engine
        self._lock = make_rlock()
        self._pid = os.getpid()
        bells.forget()
        self._callbacks.abandon()
        if self._feed is not None:
            self._feed.abandon()
        if engine is not None:
            for call in engine.abandon():
                call.job.abandon()

    @property
    def state(self) -> str:
        """Where the connection stands, in words."""
        engine = self._engine
        return "closed" if self._closed else "not connected" if engine is None else engine.state.value

    def stats(self) -> Stats:
        """Give the counters."""
        from runware.events import Stats

        engine = self._engine
        return Stats() if engine is None else Stats(**engine.stats())

    @property
    def started(self) -> bool:
        """Whether the engine is loaded; loading it takes a fifth of a second, which belongs off an event loop."""
        return self._engine is not None

    def close(self, timeout: float = 0.5) -> None:
        """Close for good, and wait at most *timeout* seconds for the threads to end.

        Callbacks and events that wait for their turn are run first, in the background if that takes longer; those
        that still wait `callbacks.GRACE` seconds later are dropped. A callback may close its own client.
        """
        patience = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            engine = self._engine
        if engine is not None:
            engine.close(timeout)
        # Last, because the I/O thread posts what it has to tell of the calls that it ends.
        for thread in (self._callbacks, self._feed):
            if thread is not None:
                thread.stop(max(0.0, patience - time.monotonic()))

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    # ------------------------------------------------------------------ calls

    def start(self, task: Task[R], dispatch: Dispatch | None, then: Callable[[Job[R]], T]) -> T:
        """Submit a task and go on with its job. Whatever interrupts that cancels the call.

        If the task was sent by then, its UUID is logged, since nobody has a handle on what may be billed.

        Args:
            task: What to run.
            dispatch: Runs callbacks where the caller wants them.
            then: What to do with the job: to wait for it, or to return it.
        """
        held: list[Job[R]] = []
        try:
            return then(self.submit(task, dispatch, held))
        except BaseException:
            for job in held:
                job.interrupt()
            raise

    def submit(self, task: Task[R], dispatch: Dispatch | None = None, held: list[Job[R]] | None = None) -> Job[R]:
        """Encode a task and hand it to the engine.

        Args:
            task: What to run.
            dispatch: Runs callbacks where the caller wants them.
            held: Gets the job before anything is sent, for a caller who cancels it if he is interrupted.
        """
        engine = self.engine()
        options = self.options
        wire = task.wire()
        if options.include_cost is not None and task.priced:
            wire.setdefault("includeCost", options.include_cost)
        task_uuid = task.task_uuid or new_uuid()
        wire = {"taskType": task.task_type, "taskUUID": task_uuid, **wire}
        text = engine.encode([wire])
        if len(text) > engine.max_message:
            raise PayloadTooLargeError(
                f"The task has {len(text):,} bytes, and a message may have {engine.max_message:,}. Store its media "
                "first, and pass their UUIDs or URLs.",
                task_type=task.task_type,
            )
        long_timeout = options.longest_timeout
        call = Call(
            uuid=task_uuid,
            text=text,
            task_type=task.task_type,
            timeout=task.timeout or (long_timeout if task.takes_long(wire) else options.timeout),
            long_timeout=task.timeout or long_timeout,
            expected=task.expected(wire),
            completion=_completion(task, wire),
            repeatable=task.repeatable,
            policy=self._retries
            if task.retry is None
            else Retries.of(task.retry, options.max_retries, options.retry_delay),
        )
        # Results remember what was sent, but are not to keep large inputs in memory.
        sent = text if len(text) <= _REMEMBERED else shortened(wire)
        job = Job(task, call, self, dispatch, sent)
        if held is not None:
            held.append(job)
        if task.progress:
            from runware.display.progress import watch

            watch(job, task.progress)
        engine.submit(call)
        engine.prepare(task.result_class)  # type: ignore[arg-type]  # every class can be hashed
        return job

    def follow(self, ref: str | Mapping[str, Any], timeout: float | None, on_partial: Any) -> Job[Results[Any]]:
        """Wait for a task that was submitted before, perhaps by another process."""
        engine = self.engine()
        with loading:
            from runware.requests.platform import Existing

        found = ref if isinstance(ref, Mapping) else {"task_uuid": ref}
        if not is_uuid(found.get("task_uuid")):
            raise ValidationError(
                "job(): ref must be a job's ref or the UUID of a task.", code="invalidParameter", parameter="ref"
            )
        task = Existing(task_uuid=found["task_uuid"], timeout=timeout, on_partial=on_partial)
        call = Call(
            uuid=task.task_uuid,
            text=b"",
            task_type=str(found.get("task_type") or ""),
            timeout=task.timeout or self.options.longest_timeout,
            completion=Completion.EXISTING,
        )
        job: Job[Results[Any]] = Job(task, call, self, None)
        engine.submit(call)
        return job

    def connect(self, timeout: float | None) -> Job[Any]:
        """Ask the engine for a connection that is ready."""
        engine = self.engine()
        call = Call(
            uuid=new_uuid(),
            text=b"",
            task_type="",
            timeout=self.options.timeout if timeout is None else seconds(timeout, "timeout"),
            completion=Completion.CONNECTION,
        )
        job: Job[Any] = Job(_Connect(), call, self, None)
        engine.submit(call)
        return job

    # ------------------------------------------------------------------ for jobs

    def cancel_call(self, call: Call, *, interrupted: bool = False) -> None:
        """Cancel the call: remove it from the queue, or discard its results if it was already sent."""
        if (engine := self._engine) is not None:
            engine.interrupt(call) if interrupted else engine.cancel(call)

    @property
    def post_callback(self) -> Callable[[Callable[[], object]], None]:
        """What runs a callback on the client's callback thread. It holds no reference to the client."""
        return self._callbacks.post

    def check_thread(self) -> None:
        """Raise `WrongThreadError` on one of the client's own threads."""
        here, engine = threading.get_ident(), self._engine
        if here == self._callbacks.ident or (engine is not None and here == engine.ident):
            raise wrong_thread()


def _leave(engine: Engine) -> None:
    """End an engine that nobody can use any more, because the program ends; say what is lost by it."""
    running = [] if engine.stopped else engine.running()
    engine.close(0.3)  # the thread is told, and not waited for longer than this
    if running:
        say(
            log,
            "the program ended while %d call%s under way; what was sent may run and be billed. "
            "Wait for jobs with result(), or end them with cancel() or close(). task_uuid: %s",
            len(running),
            " was" if len(running) == 1 else "s were",
            ", ".join(running[:20]) + (", ..." if len(running) > 20 else ""),
        )


def _completion(task: Task[Any], wire: Mapping[str, Any]) -> Completion:
    if task.skip_response or "webhookURL" in wire:
        return Completion.ACKNOWLEDGEMENT
    if task.statuses:
        return Completion.STATUSES
    return Completion.ANSWER if task.inspects else Completion.RESULTS


class _Connect(Task[None]):
    """Stands for the wish to be connected; nothing of it goes on the wire."""

    task_type: ClassVar[str] = ""

    @classmethod
    def assemble(cls, results: Any) -> None:
        """Give the answer of `connect`, which is none."""


# ---------------------------------------------------------------------- one client a process

_shared: dict[Any, Core] = {}


def shared_core(options: Options) -> Core:
    """Return the core that all clients of the same configuration share in this process.

    Options that cannot be compared with others get a core of their own, which ends when it is dropped.
    """
    key = options.identity()
    if key is None:
        return Core(options)
    with loading:
        core = _shared.get(key)
        if core is None or core.closed:
            for closed in [other for other, shared in _shared.items() if shared.closed]:
                del _shared[closed]
            core = _shared[key] = Core(options)
        return core
