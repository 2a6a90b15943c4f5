"""The calls of a core: what a client's options, or other ones for some calls, apply to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import attrs

from runware._support.http_headers import Headers, encode_headers
from runware._support.lazy_modules import lazy_module, load_module
from runware.errors import NotFoundError, UsageError, ValidationError
from runware.jobs import Dispatch, Job
from runware.options import Options
from runware.protocol.ids import is_uuid
from runware.requests.base import PartialCallback, Task
from runware.requests.plan import Plan, Planner
from runware.results import Acknowledgement, Results

if TYPE_CHECKING:
    from runware.core import C, Core
    from runware.models import dry_run, estimates
    from runware.models.catalogue import Model
    from runware.models.estimates import Estimate
    from runware.requests import platform, raw
    from runware.requests.text import StreamText
    from runware.store.keeper import Place
else:
    dry_run = lazy_module("runware.models.dry_run")
    estimates = lazy_module("runware.models.estimates")
    platform = lazy_module("runware.requests.platform")
    raw = lazy_module("runware.requests.raw")

__all__ = ["CoreCalls", "CoreView"]

R = TypeVar("R")
T = TypeVar("T")


class CoreCalls(ABC):
    """The calls of a core with certain options.

    Attributes:
        options: The options.
    """

    options: Options
    _planner: Planner

    @property
    @abstractmethod
    def whole(self) -> Core:
        """The core, which has the connection and all else that its views share."""

    @abstractmethod
    def submit(
        self,
        task: Task[R],
        dispatch: Dispatch | None = None,
        held: list[Job[R]] | None = None,
        place: Place | None = None,
    ) -> Job[R]:
        """Encode a request and queue it; see `Core.submit`."""

    @abstractmethod
    def plan(self, task: StreamText, uuid: str | None = None) -> Plan:
        """Encode the request of a stream; see `Core.plan`."""

    def start(self, task: Task[R], dispatch: Dispatch | None, then: Callable[[Job[R]], T]) -> T:
        """Submit a request and pass its job to *then*. An exception in between, such as Ctrl-C, cancels the call.

        If the task was sent by then, its UUID is logged: it may be billed, and the caller has no handle on it.

        Args:
            task: The request.
            dispatch: Runs `on_partial` callbacks; `None` means the callback thread.
            then: Waits for the job, or returns it.
        """
        held: list[Job[R]] = []
        try:
            return then(self.submit(task, dispatch, held))
        except BaseException:
            self.interrupt(held)
            raise

    @staticmethod
    def interrupt(held: list[Job[R]]) -> None:
        """Cancel a job that was submitted, because its caller was interrupted, and log its UUID if it was sent."""
        for job in held:
            job.interrupt()

    def connect(self, timeout: float | None) -> Job[None]:
        """Request a connection; the job is done when it is ready."""
        whole = self.whole
        started = whole.started
        job = whole.submit_plan(whole.io_loop(prepare=False), _Connect(), self._planner.connection(timeout))
        if started:
            return job
        try:  # what the first call needs is loaded while the connection is being made
            whole.prepare()
            load_module("runware.requests.image")
        except BaseException:
            job.cancel()
            raise
        return job

    def with_options(self, changes: Mapping[str, Any]) -> CoreView:
        """Return a view of the core whose calls have other options.

        Raises:
            ConfigurationError: An option is invalid.
        """
        return self.whole.view(attrs.evolve(self.options, **changes))

    def follow(
        self,
        ref: str | Mapping[str, Any] | Acknowledgement,
        timeout: float | None,
        on_partial: PartialCallback | None,
        *,
        hidden: bool = False,
        headers: Headers | None = None,
    ) -> Job[Results[Any]]:
        """Wait for a task that was submitted before, perhaps by another process.

        Args:
            ref: What names it.
            timeout: Deadline in seconds; `None` uses the client's.
            on_partial: Callback for new results.
            hidden: Whether this is a part of another call, so that it is neither counted nor reported.
            headers: The headers of that call, which are used if the client's transport is HTTP; `None` uses those of
                the options.

        Raises:
            ValidationError: *ref* is neither a job's ref nor a UUID nor an acknowledgement.
        """
        whole = self.whole
        io_loop = whole.io_loop()
        if isinstance(ref, Acknowledgement):
            ref = {"task_uuid": ref.task_uuid, "task_type": ref.task_type}
        found = ref if isinstance(ref, Mapping) else {"task_uuid": ref}
        uuid = found.get("task_uuid")
        if found.get("task_type") == "serverless":
            raise ValidationError(
                "job(): ref is of a task of an app; rw.app(...).task(uuid, wait=True) waits for it.",
                code="invalidParameter",
                parameter="ref",
            )
        if not is_uuid(uuid):
            raise ValidationError(
                "job(): ref must be a job's ref, the UUID of a task, or an Acknowledgement.",
                code="invalidParameter",
                parameter="ref",
            )
        task = platform.Existing(task_uuid=uuid, timeout=timeout, on_partial=on_partial)
        plan = self._planner.existing(uuid, str(found.get("task_type") or ""), task.timeout, headers)
        return whole.submit_plan(io_loop, task, plan, whole.durable_for(uuid, plan.task_type), hidden=hidden)

    # ------------------------------------------------------------------ models

    def check_model(self, name: str, task_type: str) -> None:
        """Report a known model that makes something else than a request asks for. It may block, to read them.

        Raises:
            ValidationError: It does, and the client's `check` is `"error"`.
        """
        if self.options.check != "off":
            self.whole.prepare()
            self._planner.check_model(name, task_type)

    def task_of(self, task: Task[Any] | Mapping[str, Any]) -> Task[Any]:
        """Return a request object unchanged; wrap an API object, whose task type may be that of its model."""
        return task if isinstance(task, Task) else raw.as_task(task, self._with_task_type)

    def _with_task_type(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return an API object with its task type and the API's names, for which models are needed only sometimes."""
        if "taskType" in body and not any("_" in str(name) for name in body):
            return dict(body)
        return self.whole.knowledge.checker.completed(body)

    def model_of(self, task: Task[Any] | Mapping[str, Any]) -> tuple[Model, dict[str, Any]]:
        """Return the model of a request, and the request with API names.

        Raises:
            NotFoundError: The model is not known.
        """
        self._check_known(task)
        wire = self._wire_of(task)
        return self.whole.knowledge.checker.model_of(wire), wire

    def _check_known(self, task: Task[Any] | Mapping[str, Any]) -> None:
        """Raise `NotFoundError` for a dict whose model is not known, even if it has no task type."""
        if isinstance(task, Mapping) and "model" in task:
            self.whole.knowledge.checker.model_of(dict(task))

    def _wire_of(self, task: Task[Any] | Mapping[str, Any]) -> dict[str, Any]:
        whole = self.task_of(task)
        return {"taskType": whole.task_type, **self._planner.wire(whole)}

    def estimate(self, task: Task[Any] | Mapping[str, Any], *, exact: bool) -> Estimate:
        """Return what a request will cost, from the catalogue or, if *exact*, from the server. The latter blocks.

        Raises:
            NotFoundError: The model is not known, and *exact* is not set.
            RunwareError: The server refuses the request, or cannot be reached.
        """
        if not exact:
            self._check_known(task)
        whole = self.task_of(task)
        wire = self._wire_of(whole)
        try:
            known = estimates.estimate(self.whole.knowledge.checker.model_of(wire), wire)
        except NotFoundError:
            if not exact:
                raise
            known = estimates.Estimate()
        if not exact:
            return known
        options = self.options
        if whole.extra_headers:
            headers = encode_headers(options.extra_headers, whole.extra_headers)
            options = attrs.evolve(options, extra_headers={name.decode(): value.decode() for name, value in headers})
        return dry_run.exact_estimate(options, wire, known, self.whole.knowledge.requests)


class CoreView(CoreCalls):
    """A core with other options for its calls: it shares everything else with the core of the client.

    Args:
        core: The core of the client.
        options: The options of the calls.
        planner: Plans the calls.
    """

    def __init__(self, core: Core, options: Options, planner: Planner) -> None:
        self._whole = core
        self._planner = planner
        self.options = options

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    @property
    def whole(self) -> Core:
        """The core of the client."""
        return self._whole

    def submit(
        self,
        task: Task[R],
        dispatch: Dispatch | None = None,
        held: list[Job[R]] | None = None,
        place: Place | None = None,
    ) -> Job[R]:
        """Encode a request and queue it, as a core does."""
        return self._whole.submit(task, dispatch, held, place, self._planner)

    def plan(self, task: StreamText, uuid: str | None = None) -> Plan:
        """Encode the request of a stream, as a core does."""
        return self._whole.plan(task, uuid, self._planner)

    def part(self, kind: type[C]) -> C:
        """Return the client's one object of a class, as a core does.

        Raises:
            UsageError: There are headers, which calls of apps do not have.
        """
        if self.options.extra_headers:
            raise UsageError(
                "extra_headers are for tasks, streams and chats; calls of apps have none. Use the client without them.",
                parameter="extra_headers",
            )
        return self._whole.part(kind)


class _Connect(Task[None]):
    """The request of `connect`. It is never sent."""

    task_type: ClassVar[str] = ""

    @classmethod
    def assemble(cls, results: Results[Any]) -> None:
        """Return `None`: `connect` has no result."""
