"""The core of a client, shared by its blocking, asyncio and job interfaces: what it has, from its start to its end.

The first call loads and starts the I/O loop. In a forked child, a core starts from scratch.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from runware._support.lazy_modules import lazy_module
from runware._support.locks import make_rlock
from runware._support.logs import log_or_stderr
from runware.core_calls import CoreCalls, CoreView
from runware.errors import (
    ClientClosedError,
    ConfigurationError,
    PayloadTooLargeError,
    RunwareError,
    UsageError,
    ValidationError,
    WrongThreadError,
)
from runware.jobs import Dispatch, Job
from runware.knowledge import Knowledge
from runware.media.downloads import Downloads
from runware.options import Options
from runware.protocol.call import Call, Durable, Origin
from runware.protocol.codec import rules
from runware.protocol.ids import StableUUID
from runware.requests.base import Task
from runware.requests.plan import Plan, Planner
from runware.results import Results
from runware.transport.activity import Activity
from runware.transport.callbacks import CallbackThread, EventFeed, Listener
from runware.transport.patching import check_patches, patch_fingerprint
from runware.transport.wakeup import wakeup_pool

if TYPE_CHECKING:
    from runware import events
    from runware.display import progress
    from runware.requests import platform
    from runware.requests.text import StreamText
    from runware.store import keeper, uploads
    from runware.store.database import Database
    from runware.store.expenses import Expense, ExpenseRecorder
    from runware.store.keeper import Keeper, Place
    from runware.store.lines import StoredTask
    from runware.store.recorder import StoreRecorder
    from runware.store.uploads import Uploads
    from runware.text import open_streams
    from runware.text import streams as text_streams
    from runware.text.open_streams import OpenStreams
    from runware.text.streams import StreamJob
    from runware.transport import http_loop
    from runware.transport import io_loop as socket_loop
    from runware.transport.driver import Driver
else:
    events = lazy_module("runware.events")
    http_loop = lazy_module("runware.transport.http_loop")
    keeper = lazy_module("runware.store.keeper")
    uploads = lazy_module("runware.store.uploads")
    socket_loop = lazy_module("runware.transport.io_loop")
    platform = lazy_module("runware.requests.platform")
    progress = lazy_module("runware.display.progress")
    open_streams = lazy_module("runware.text.open_streams")
    text_streams = lazy_module("runware.text.streams")

log = logging.getLogger("runware.client")

__all__ = [
    "Core",
    "Dispatch",
    "attach_to_every_core",
    "detach_from_new_cores",
]

R = TypeVar("R")
C = TypeVar("C", bound="Part")


class Part(Protocol):
    """What a client has besides its I/O loop, such as the calls of its apps. It holds no reference to the client."""

    def __init__(self, options: Options) -> None: ...

    def close(self, timeout: float = 0.0) -> None:
        """End what runs, and wait at most *timeout* seconds for threads."""

    def drop(self) -> None:
        """Close with a client that was dropped, or at interpreter exit, and log what is left behind."""

    def abandon(self) -> None:
        """Reset after a fork, in the child."""


_FLUSH = 0.5
"""Seconds in which what happened to durable calls is written when the client is closed. A busy store takes longer."""

_cores: weakref.WeakSet[Core] = weakref.WeakSet()


_attached: list[Callable[[Core], object]] = []


def attach_to_every_core(attach: Callable[[Core], object]) -> None:
    """Call a function with every core of this process, and with each new one as it is created."""
    _attached.append(attach)
    for core in list(_cores):
        if core.owns_feed:
            attach(core)


def detach_from_new_cores(attach: Callable[[Core], object]) -> None:
    """Call a function no more with new cores."""
    _attached.remove(attach)


def _reset_after_fork() -> None:
    for core in list(_cores):
        core.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


class Core(CoreCalls):
    """Own a client's options, I/O loop and callback threads.

    Args:
        options: The client's options.
        feed: Receives the events; `None` makes one for `on_event`.

    Attributes:
        activity: Counts and reports calls outside the session.
    """

    def __init__(self, options: Options, feed: EventFeed | None = None) -> None:
        self.options = options
        self._lock = make_rlock()
        self._io_loop: Driver | None = None
        self._prepared = False
        self._patches: tuple[object, object] | None = None
        self._closed = False
        self._callbacks = CallbackThread()
        self._feed = feed or EventFeed(options.on_event)
        self._listeners = self._feed.give_away()
        # For what threads and finalizers refer to: a listener may refer to the client.
        self._quiet_options = options if options.on_event is None else attrs.evolve(options, on_event=None)
        self.activity = Activity(self._feed)
        self.downloads = Downloads.of(options, self._feed)
        self.knowledge = Knowledge(self._quiet_options)
        self._uploads: Uploads | None = self._make_uploads() if options.upload_inputs == "once" else None
        self._planner = Planner(options, self.knowledge, self._uploads)
        self._parts: dict[type[Part], Any] = {}
        self._streams: OpenStreams | None = None
        self._sibling: Core | None = None
        self.owns_feed = feed is None
        durable = options.store is not None or options.budget is not None
        self._keeper: Keeper | None = keeper.Keeper(self._quiet_options, self.knowledge) if durable else None
        self._pid = os.getpid()
        self._finalizer: weakref.finalize[..., Any] | None = None
        _cores.add(self)
        weakref.finalize(self, self._callbacks.stop)
        if feed is None:
            weakref.finalize(self, self._feed.stop)
            for attach in tuple(_attached):
                attach(self)

    def _make_uploads(self) -> Uploads:
        core = weakref.ref(self)  # the planner must not keep the client alive

        def submit(task: Task[Any]) -> Job[Any]:
            if (alive := core()) is None:
                raise _closed_error()
            return alive.submit(task)

        def database() -> Database | None:
            alive = core()
            return None if alive is None or alive.options.store is None else alive.keeper.database

        return uploads.Uploads(submit, database)

    # ------------------------------------------------------------------ the I/O loop

    def io_loop(self, *, prepare: bool = True) -> Driver:
        """Return the I/O loop, which is the driver of the client's transport; the first call creates it.

        Args:
            prepare: Load what checks requests, so that a later call from an event loop need not.

        Raises:
            ClientClosedError: The client is closed.
            ConfigurationError: The I/O thread cannot run here, or the standard library was patched after it started.
        """
        if self._pid != os.getpid():
            self.abandon()  # a fork that skipped the hooks of os.register_at_fork
        io_loop = self._io_loop
        if prepare and not self._prepared:
            self.prepare()
        if io_loop is not None and not (self._closed or io_loop.stopped):
            if self._patches != patch_fingerprint():
                raise ConfigurationError(
                    "The standard library was patched (by gevent?) while this client was connected, so waiting for a "
                    "call would block every greenlet. Patch before anything else, or close this client first and "
                    "create a new one."
                )
            return io_loop
        try:
            driver: type[Driver] = http_loop.HttpLoop if self.options.transport == "http" else socket_loop.IOLoop
            recorder = None if self._keeper is None else self._keeper.recorder
        except OSError as error:
            raise _not_loaded(error) from error

        with self._lock:
            if self._closed:
                raise _closed_error()
            if self._io_loop is None or self._io_loop.stopped:  # stopped here means that its thread failed
                check_patches()
                self._patches = patch_fingerprint()
                io_loop = driver(self._quiet_options, self._feed, recorder)
                if self._finalizer is not None:
                    self._finalizer.detach()
                # It also runs at interpreter exit. Registered before anything can use the I/O loop.
                self._finalizer = weakref.finalize(self, _close_at_exit, io_loop, self._keeper, self._streams)
                self._io_loop = io_loop
            return self._io_loop

    def prepare(self) -> None:
        """Load what checks requests, if it is not loaded yet."""
        try:
            if self.options.check != "off":
                self.knowledge.prepare()
        except OSError as error:
            raise _not_loaded(error) from error
        self._prepared = True

    def abandon(self) -> None:
        """Reset after a fork, in the child: fail the parent's jobs; the next call connects."""
        io_loop, self._io_loop = self._io_loop, None
        if self._finalizer is not None:
            self._finalizer.detach()  # it refers to the parent's I/O loop
        self._lock = make_rlock()
        self._pid = os.getpid()
        wakeup_pool.clear()
        self._callbacks.abandon()
        self._feed.abandon()
        self.activity.abandon()
        if self._keeper is not None:
            self._keeper.abandon()
        self.knowledge.abandon()
        if self._uploads is not None:
            self._uploads.abandon()
        for part in list(self._parts.values()):
            part.abandon()
        if self._streams is not None:
            self._streams.abandon()
        if io_loop is not None:
            for call in io_loop.abandon():
                if call.job is not None:
                    call.job.abandon()

    def part(self, kind: type[C]) -> C:
        """Return the client's one object of a class; the first call creates it. It is closed with the client.

        Raises:
            ClientClosedError: The client is closed.
        """
        if self._pid != os.getpid():
            self.abandon()  # a fork that skipped the hooks of os.register_at_fork
        with self._lock:
            if self._closed:
                raise _closed_error()
            part: C | None = self._parts.get(kind)
            if part is None:
                part = self._parts[kind] = kind(self._quiet_options)
                weakref.finalize(self, part.drop)
            return part

    def _dry_run_sibling(self) -> Core:
        """Return the core for calls whose `dry_run` is not the client's; the first such call creates it.

        Raises:
            ClientClosedError: The client is closed.
        """
        with self._lock:
            if self._closed:
                raise _closed_error()
            if self._sibling is None:
                unbilled: dict[str, Any] = {} if self.options.dry_run else {"store": None, "budget": None}
                options = attrs.evolve(self.options, dry_run=not self.options.dry_run, **unbilled)
                self._sibling = Core(options, self._feed)
            return self._sibling

    @property
    def whole(self) -> Core:
        """This core."""
        return self

    @property
    def state(self) -> str:
        """The state of the connection, in words."""
        io_loop = self._io_loop
        return "closed" if self._closed else "not connected" if io_loop is None else io_loop.state.value

    def stats(self) -> events.Stats:
        """Return the counters."""
        return events.Stats(**{**self.counts(), "events_dropped": self._feed.dropped})

    def counts(self) -> Counter[str]:
        """Return the counters, with those of calls whose `dry_run` is not the client's."""
        io_loop, sibling = self._io_loop, self._sibling
        counts = Counter(self.activity.counts())
        if io_loop is not None:
            counts.update(io_loop.stats())
        if sibling is not None:
            counts.update(sibling.counts())
        return counts

    def listen(
        self, listener: Listener, kinds: tuple[type[events.Event], ...] | None = None, *, content: bool = False
    ) -> None:
        """Add a listener for events, at any time. `EventFeed.add` describes the arguments."""
        self._feed.add(listener, kinds, content=content)
        self.feed_changed()

    def unlisten(self, listener: Listener) -> None:
        """Remove a listener."""
        self._feed.remove(listener)
        self.feed_changed()

    def feed_changed(self) -> None:
        """Take notice of a change of the feed's listeners."""
        with self._lock:
            io_loop, sibling = self._io_loop, self._sibling
            if io_loop is not None:
                io_loop.watch()
        if sibling is not None:
            sibling.feed_changed()

    @property
    def started(self) -> bool:
        """Whether the I/O loop and the models are loaded. Loading them would block an event loop for too long."""
        return self._io_loop is not None and self._prepared

    def close(self, timeout: float = 0.5) -> None:
        """Close permanently, and wait at most *timeout* seconds for the threads to end.

        Queued callbacks and events run first, in the background if they take longer; those still queued
        `callbacks.GRACE` seconds later are dropped. A callback may close its own client.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            io_loop, streams, sibling = self._io_loop, self._streams, self._sibling
        self.knowledge.close()
        if streams is not None:
            streams.close()
        if io_loop is not None:
            io_loop.close(timeout)
        if sibling is not None:
            sibling.close(max(0.0, deadline - time.monotonic()))
        for part in list(self._parts.values()):
            part.close(max(0.0, deadline - time.monotonic()))
        if self._keeper is not None:  # after all that is to end at once: a busy store takes longer
            self._keeper.close(max(_FLUSH, deadline - time.monotonic()) if timeout else 0.0)
        # After what posts the callbacks of the calls that it fails.
        for thread in (self._callbacks, self._feed):
            thread.stop(max(0.0, deadline - time.monotonic()))

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    # ------------------------------------------------------------------ calls

    def submit(
        self,
        task: Task[R],
        dispatch: Dispatch | None = None,
        held: list[Job[R]] | None = None,
        place: Place | None = None,
        planner: Planner | None = None,
    ) -> Job[R]:
        """Encode a request and queue it.

        Args:
            task: The request.
            dispatch: Runs `on_partial` callbacks; `None` means the callback thread.
            held: The job is appended to it before anything is sent, so that an interrupted caller can cancel it.
            place: The task's place in a run of the client's store, or in a call of `map` with a budget.
            planner: Plans the call in place of the client's own, for other options.

        Raises:
            PayloadTooLargeError: The message would exceed the size limit.
        """
        planner = planner or self._planner
        if task.streamed:
            return self._submit_stream(task, dispatch, held, planner, place)  # type: ignore[return-value, arg-type]
        if task.dry_run is not None and task.dry_run is not self.options.dry_run:
            return self._dry_run_sibling().submit(task, dispatch, held, planner=planner)
        io_loop = self.io_loop()
        uuid = None if self._keeper is None else self._keeper.uuid_in(task, place)
        plan = planner.request(task, uuid, counts=place is not None and place.budget is not None)
        if len(plan.text) > io_loop.max_message:
            raise PayloadTooLargeError(
                f"The request has {len(plan.text):,} bytes; the limit for a message is {io_loop.max_message:,}. Store "
                "its media first, and pass their UUIDs or URLs.",
                task_type=task.task_type,
            )
        task.load_results()
        call = plan.start()
        if io_loop.watched:
            call.origin = self._feed.origin(plan.model, plan.sent)
        if self._keeper is not None:
            call.durable = self._keeper.of(task, plan, place)
        elif plan.inputs is not None or type(plan.uuid) is StableUUID:
            call.durable = Durable(stable=type(plan.uuid) is StableUUID, inputs=plan.inputs)
        job = Job(task, call, self, dispatch, plan.sent)
        if held is not None:
            held.append(job)
        if task.progress:
            progress.watch(job, task.progress)
        io_loop.submit(call)
        # After the submission, so that the conversion of results is prepared while the server works.
        rules(task.result_class)  # type: ignore[arg-type]  # every class can be hashed
        return job

    def _submit_stream(
        self,
        task: StreamText,
        dispatch: Dispatch | None,
        held: list[Any] | None,
        planner: Planner,
        place: Place | None,
    ) -> StreamJob:
        """Start a stream as a job.

        Raises:
            UsageError: It is a part of a run, whose next start would buy it again.
        """
        if place is not None and place.run is not None:
            raise UsageError(
                "A run cannot have streams: their texts are not stored, so the next start would buy them again. Use "
                "rw.text_inference.",
                parameter="run",
            )
        job = text_streams.StreamJob(self, task, self.plan(task, planner=planner, place=place), dispatch, place)
        if held is not None:
            held.append(job)
        self._start_stream(job)
        return job

    def _start_stream(self, job: StreamJob) -> None:
        """Start to read a stream, on a thread of its own."""
        job.start()

    def plan(
        self,
        task: StreamText,
        uuid: str | None = None,
        planner: Planner | None = None,
        place: Place | None = None,
    ) -> Plan:
        """Encode the request of a stream. Unless it has a UUID, it gets this one, or a new one.

        Raises:
            ClientClosedError: The client is closed.
        """
        if self._pid != os.getpid():
            self.abandon()
        if self._closed:
            raise _closed_error()
        counts = place is not None and place.budget is not None
        return (planner or self._planner).request(task, uuid, counts=counts)

    def view(self, options: Options) -> CoreView:
        """Return a view of this core whose calls have these options."""
        knowledge = self.knowledge
        if options.check != self.options.check:  # the same models, with another mode of checks
            knowledge = Knowledge(options, knowledge.catalogue)
        return CoreView(self, options, Planner(options, knowledge, self._uploads))

    @property
    def streams(self) -> OpenStreams:
        """The streams that are being read."""
        with self._lock:
            if self._streams is None:
                self._streams = open_streams.OpenStreams()
                weakref.finalize(self, _close_streams, self._streams)
            return self._streams

    def durable_for(self, uuid: str, task_type: str) -> Durable | None:
        """Return what the store keeps of a task that is only waited for; `None` if the client keeps nothing."""
        return None if self._keeper is None else self._keeper.following(uuid, task_type)

    def go_on(self, stored: StoredTask, timeout: float | None) -> Job[Results[Any]]:
        """Follow a task of the store, and send it if the server does not know it."""
        io_loop = self.io_loop()
        assert self._keeper is not None
        task = platform.Existing(task_uuid=stored.task_uuid, timeout=timeout)
        if stored.request is None:
            plan = self._planner.existing(stored.task_uuid, stored.task_type, task.timeout)
        else:
            plan = self._planner.again(stored.request, stored.task_uuid, stored.expected, task.timeout)
        return self.submit_plan(io_loop, task, plan, self._keeper.resuming(stored))

    def expense(
        self, task_type: str, uuid: str, wire: Callable[[], Mapping[str, Any]], place: Place | None = None
    ) -> Expense | None:
        """Return what counts the cost of a stream or chat for the client's budget and store; `None` if nothing does.

        Args:
            task_type: What it is called in errors.
            uuid: The UUID of its task; `""` if there is none.
            wire: Returns the request as an API object of a task, for the estimate.
            place: Its place in a call of `map` with a budget.
        """
        kept = self._keeper
        if kept is None or self.options.dry_run:
            return None

        def recorder() -> ExpenseRecorder:
            self.io_loop(prepare=False)  # with it, the recorder is closed at exit
            return kept.recorder

        return kept.expense(task_type, uuid, wire, recorder, place)

    @property
    def keeper(self) -> Keeper:
        """What keeps the client's durable calls.

        Raises:
            ConfigurationError: The client has no store.
        """
        if self._keeper is None or self.options.store is None:
            raise ConfigurationError(
                "The client has no store: create it with store='sqlite:///jobs.db'.", parameter="store"
            )
        if self._pid != os.getpid():
            self.abandon()
        return self._keeper

    @property
    def store_recorder(self) -> StoreRecorder:
        """What writes into the client's store; the first access opens it.

        Raises:
            ConfigurationError: The client has no store.
            StoreError: The store cannot be opened.
        """
        return self.keeper.recorder  # type: ignore[return-value]

    def catch_up(self, timeout: float) -> None:
        """Wait, up to *timeout* seconds, until the recorder has every call that was submitted so far."""
        if (io_loop := self._io_loop) is not None:
            io_loop.catch_up(timeout)

    def keep_budgets(self) -> Keeper:
        """Return what keeps the client's budgets, and make it if the client has neither a store nor a budget."""
        io_loop = self.io_loop()
        with self._lock:
            if self._keeper is None:
                made = keeper.Keeper(self._quiet_options, self.knowledge)
                io_loop.use_recorder(made.recorder)
                self._keeper = made
            return self._keeper

    def submit_plan(
        self, io_loop: Driver, task: Task[R], plan: Plan, durable: Durable | None = None, *, hidden: bool = False
    ) -> Job[R]:
        """Queue a call that is planned already.

        Args:
            io_loop: The I/O loop.
            task: Its request.
            plan: Its plan.
            durable: What it needs because its task outlives the process, if it does.
            hidden: Whether it is a part of another call, so that it is neither counted nor reported.
        """
        call = plan.start()
        call.durable = durable
        if hidden:
            call.origin = Origin(hidden=True)
        elif io_loop.watched:
            call.origin = self._feed.origin(plan.model, plan.sent)
        job = Job(task, call, self, None, plan.sent)
        io_loop.submit(call)
        return job

    # ------------------------------------------------------------------ for jobs

    def cancel_call(self, call: Call, *, interrupted: bool = False) -> None:
        """Cancel the call: remove it from the queue, or discard its results if it was already sent."""
        if (io_loop := self._io_loop) is not None:
            io_loop.interrupt(call) if interrupted else io_loop.cancel(call)

    @property
    def post_callback(self) -> Callable[[Callable[[], object]], None]:
        """A function that runs a callback on the callback thread. It holds no reference to the client."""
        return self._callbacks.post

    @property
    def complete_error(self) -> Callable[[ValidationError, bytes | Mapping[str, Any]], ValidationError]:
        """A function that completes the server's refusal of a task. It holds no reference to the client."""
        return self.knowledge.complete

    def check_thread(self) -> None:
        """Raise `WrongThreadError` on one of the client's own threads."""
        here, io_loop = threading.get_ident(), self._io_loop
        if here == self._callbacks.ident or (io_loop is not None and here == io_loop.ident):
            raise _wrong_thread_error()


def _not_loaded(error: OSError) -> RunwareError:
    return RunwareError(f"Could not load the client's modules: {error.strerror}.", retryable=True)


def _closed_error() -> ClientClosedError:
    return ClientClosedError("The client is closed. Create a new one for further calls.")


def _wrong_thread_error() -> WrongThreadError:
    """Return the error of a blocking call on one of the client's own threads."""
    return WrongThreadError(
        "A blocking call on one of the client's own threads (callbacks of submitted jobs run there) would deadlock. "
        "Use rw.submit, or block in a thread of your own."
    )


def _close_at_exit(io_loop: Driver, keeper: Keeper | None, streams: OpenStreams | None) -> None:
    """Close the I/O loop of a client that is garbage or at interpreter exit, and log the tasks it leaves behind.

    Args:
        io_loop: The I/O loop.
        keeper: What keeps the client's durable calls.
        streams: The streams that there were before the I/O loop. Finalizers run from the last to the first, so theirs
            would come when their bills cannot be written any more.
    """
    if streams is not None:
        _close_streams(streams)
    running = [] if io_loop.stopped else io_loop.unfinished_tasks()
    io_loop.close(0.3)
    if keeper is not None:
        keeper.close(1.0)
    _log_unfinished(running, "call")


def _close_streams(streams: OpenStreams) -> None:
    """Close the streams of such a client, and log those that it leaves behind."""
    running = streams.unfinished()
    streams.close()
    _log_unfinished(running, "stream")


def _log_unfinished(running: list[str], kind: str) -> None:
    if running:
        log_or_stderr(
            log,
            "the program ended with %d %s%s in flight; tasks that were sent may run and be billed. "
            "Wait for jobs with result(), or end them with cancel() or close(). task_uuid: %s",
            len(running),
            kind,
            "" if len(running) == 1 else "s",
            ", ".join(running[:20]) + (", ..." if len(running) > 20 else ""),
        )
