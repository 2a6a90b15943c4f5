"""What `Runware` and `AsyncRunware` have in common: their options, views with other options, jobs, and `submit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, cast, overload

from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import names_checked, unknown_name_error
from runware.core import Core
from runware.errors import RunwareError, UsageError
from runware.handles import Handle
from runware.operations import JobOperations
from runware.options import read_options
from runware.requests.base import Task

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from runware import serverless
    from runware.events import Event, Stats
    from runware.jobs import Job
    from runware.models.problems import Problem
    from runware.options import ApiKey, Budget, RetryPolicy
    from runware.results import Acknowledgement, Partial, Results
else:
    serverless = lazy_module("runware.serverless")

__all__ = ["ClientBase", "Submitter", "parameters_of", "run_misused", "stream_misused", "with_parameters"]

P = ParamSpec("P")
R = TypeVar("R")


class Submitter(Handle, JobOperations):
    """The operations, each returning a `Job` immediately. Available as `rw.submit`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @overload
    def run(self, task: Task[R]) -> Job[R]: ...
    @overload
    def run(self, task: Mapping[str, Any]) -> Job[Results[Any]]: ...
    def run(self, task: Any = None, **given: Any) -> Any:
        """Start a task and return its job.

        Media inputs are read and encoded before this returns; nothing else blocks.

        Args:
            task: A request object, or a dict, as for `rw.run`.
            given: Not accepted; the `UsageError` shows the right call.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            UsageError: There are arguments besides *task*. Nothing was sent.
            ClientClosedError: The client is closed.
        """
        if given:
            raise run_misused(given)
        core = self._core
        held: list[Job[Any]] = []
        try:
            return core.submit(task if isinstance(task, Task) else core.task_of(task), None, held)
        except BaseException:
            core.interrupt(held)
            raise

    def app(self, name: str, *, environment: str | None = None) -> serverless.AppSubmitter:
        """Return a handle on a serverless app, whose calls return jobs. Nothing is sent.

        Args:
            name: The app's ID, such as `"my-upscaler"`.
            environment: The environment, such as `"staging"`. `None` means the server's default, `"production"`.

        Raises:
            ValidationError: *name* or *environment* cannot be one.
        """
        return serverless.AppSubmitter(self._core, name, environment)


_HEADERS = frozenset(("headers", "default_headers", "extra_headers"))
"""What a constructor may be given for the headers of requests, as other packages have it."""


def _named(init: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Wrap a constructor so that errors name the user's class and suggest the right option."""
    names = ["api_key", *(init.__kwdefaults__ or ())]

    @wraps(init)
    def named(self: Any, /, *args: P.args, **options: P.kwargs) -> None:
        if len(args) > 1 or not options.keys() <= set(names):
            cls = type(self).__name__
            if found := sorted(_HEADERS & options.keys()):
                raise UsageError(
                    f"{cls} has no {found[0]}: pass extra_headers to a call, or use "
                    "rw.with_options(extra_headers=...) for all calls.",
                    parameter="extra_headers",
                )
            raise unknown_name_error(cls, names, options) or UsageError(
                f"{cls} takes its options by name, except for the key."
            )
        init(self, *args, **options)

    return named


class ClientBase(Handle):
    """Base of the classes users construct: options, `submit` and `job`."""

    @_named
    def __init__(
        self,
        api_key: ApiKey | None = None,
        *,
        transport: Literal["websocket", "http"] | None = None,
        url: str | None = None,
        timeout: float | None = None,
        long_timeout: float | None = None,
        connect_timeout: float | None = None,
        max_retries: int | RetryPolicy | None = None,
        retry_delay: float | None = None,
        reconnect: bool | None = None,
        heartbeat_interval: float | None = None,
        liveness_timeout: float | None = None,
        max_in_flight: int | None = None,
        max_queued: int | None = None,
        include_cost: bool | None = None,
        check: Literal["off", "warn", "error"] | None = None,
        models_max_age: float | None = None,
        dry_run: bool | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        insecure_ws: bool | None = None,
        app: str | None = None,
        upload_inputs: Literal["inline", "once"] | None = None,
        store: str | Path | None = None,
        budget: float | Budget | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        """Set the options. Nothing is sent and no thread starts before the first call.

        Args:
            api_key: The API key, or a function that returns it. The function is called for each connection, on a
                separate thread; over HTTP also when the server rejects the key of a kept connection. `None` reads the
                environment variable `RUNWARE_API_KEY`.
            transport: How to reach the server: `"websocket"` keeps one connection for everything, `"http"` makes a
                request for each task, for cloud functions and networks without WebSockets (docs/guides/http.md). `None`
                reads `RUNWARE_TRANSPORT` and defaults to `"websocket"`.
            url: URL of the server. `None` reads `RUNWARE_URL` and defaults to `wss://ws-api.runware.ai/v1`. `ws://` is
                rejected unless the server is on this machine. With `transport="http"`, `https://` is accepted too, and
                `wss://` stands for the same server's HTTP API.
            timeout: Deadline of a call in seconds, including connecting; 60 by default.
            long_timeout: Deadline in seconds of tasks the server runs asynchronously, such as videos, and of calls to
                models whose typical run takes more than half of the default *timeout*; 1200 by default. A larger
                *timeout* extends it.
            connect_timeout: Seconds allowed for one attempt to connect and authenticate; 15 by default.
            max_retries: Extra attempts for a failed call, or a `RetryPolicy`; 2 by default. 0 makes a single attempt.
                Only retryable failures are retried, and a task only after the server has reported that it failed.
            retry_delay: Base of the exponential backoff between attempts, in seconds; 1 by default. Delays double and
                are jittered. The first reconnect waits at most a tenth of it.
            reconnect: Whether calls survive the loss of the connection, or of the response to their request; `True` by
                default.
            heartbeat_interval: Seconds without traffic before an idle connection is checked with a ping; 45 by default.
                The server closes connections that are silent for 120 seconds. No effect over HTTP.
            liveness_timeout: Seconds without incoming data before a connection with calls in flight is considered dead
                and replaced; 15 by default. Over HTTP, the operating system checks connections in this time.
            max_in_flight: Maximum number of calls in flight; further calls are queued. `None` means no limit; over
                HTTP, it means at most 100 requests with tasks at a time, and a number limits those too.
            max_queued: Maximum number of queued calls; 100,000 by default.
            include_cost: Ask the server to report costs, for calls that do not set `include_cost`. `None` leaves it to
                the server.
            check: What happens to a request that its model does not accept, as far as the catalogue knows: `"warn"`
                (the default) logs each problem and still sends it, since the catalogue may be older than the model;
                `"error"` raises one `ValidationError` with all problems; `"off"` does not check. Parameters are never
                changed or filled in.
            models_max_age: Seconds after which the catalogue of models counts as too old. The next call or look at it
                then starts one refresh in the background, of 5 seconds at most. No call waits for it, and a failure is
                only logged, by `runware.models` at level `info`. `None`, the default, means that only
                `rw.models.refresh()` asks the network.
            dry_run: Only validate tasks at the server, without running or billing them; `False` by default.
            proxy: Proxy URL: `http://` or, with the extra `socks`, `socks5h://`. `None` reads `HTTPS_PROXY`,
                `ALL_PROXY` and `NO_PROXY`; `""` disables proxies.
            ssl_context: TLS settings. `None` uses the trust store of the operating system, or `SSL_CERT_FILE` and
                `SSL_CERT_DIR`.
            insecure_ws: Allow `ws://` to other machines, which sends the key unencrypted; `False` by default.
            app: Your own product, and perhaps its version, such as `"shop/1.2"`: it comes first in the User-Agent.
            upload_inputs: `"inline"` (the default) sends media with each task. `"once"` first stores media of more than
                about 75 kB on the platform, once for equal content, and refers to it by its UUID; with a store, later
                processes do so too. If the platform has deleted it, it is stored again.
            store: Database in which tasks are written before they are sent, so that none is lost or bought twice when
                the program dies (docs/guides/durable.md): a `Path`, `"sqlite:///jobs.db"`, or another URL that
                SQLAlchemy takes, such as `"postgresql+psycopg://..."`. Several processes may share it. It sets
                *include_cost*. `None` reads `RUNWARE_STORE`; without that, nothing is kept. Needs the extra `store`.
            budget: Limit on spending in US dollars, or a `Budget`. A task, stream or request of a chat that might
                exceed it fails with `BudgetExceededError` before it is sent; running ones go on. It sets
                *include_cost*. With a store, the limit is for everything that is spent with it, by all processes.
                `None` means no limit; with 0, only what is known to cost nothing is sent. Calls of apps are not
                limited.
            on_event: Callback for the events of `runware.events`, on a separate thread. Exceptions it raises are
                logged. If 10,000 events are pending, further ones are dropped and counted. If it refers to the client,
                the client is kept alive until it is closed.

        A client pickles without its key. When unpickled, a key from the environment is read again from the environment
        of that process, even if it has changed; a key passed as an argument must equal `RUNWARE_API_KEY` there; a
        function is pickled. Unpickled clients with equal options share one connection.

        Raises:
            ConfigurationError: The key is missing or an option is invalid; `parameter` names it.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self._core = Core(read_options(given))

    @property
    def stats(self) -> Stats:
        """Counters of the client in this process: calls, retries, connections, bytes. A snapshot."""
        return self._core.stats()

    @cached_property
    def submit(self) -> Submitter:
        """The same operations, each returning a `Job` immediately."""
        return Submitter(self._core)

    @names_checked
    def with_options(
        self,
        *,
        timeout: float | None = None,
        long_timeout: float | None = None,
        max_retries: int | RetryPolicy | None = None,
        retry_delay: float | None = None,
        include_cost: bool | None = None,
        check: Literal["off", "warn", "error"] | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a client on the same connection whose calls have other options.

        It is a view: closing either closes both, and counters, store and budget are common. What is not given stays.

        Args:
            timeout: Deadline of a call in seconds.
            long_timeout: Deadline in seconds of tasks that the server runs asynchronously.
            max_retries: Extra attempts for a failed call, or a `RetryPolicy`; 0 makes a single attempt.
            retry_delay: Base of the backoff between attempts, in seconds.
            include_cost: Whether the server reports costs.
            check: What happens to a request that its model does not accept: `"warn"`, `"error"` or `"off"`.
            extra_headers: Headers of the requests over HTTP, such as those that a gateway needs: tasks, polls, streams,
                chats and `connect`. `{}` removes them. Over a WebSocket, a task with headers raises `UsageError`.

        Raises:
            ConfigurationError: An option is invalid; `parameter` names it.
        """
        given = {name: value for name, value in locals().items() if value is not None and name != "self"}
        made = type(self).__new__(type(self))
        made._core = cast("Core", self._core.with_options(given))
        return made

    def check(self, task: Task[Any] | Mapping[str, Any] | None = None, /, **parameters: Any) -> list[Problem]:
        """Return every problem of a request, as far as the catalogue knows its model. Nothing is sent.

        Args:
            task: A request object, or a dict with Python or API names.
            parameters: Parameters of the request, in place of *task*, or besides a dict.

        Returns:
            The problems, each with the parameter, what is allowed and the nearest good value; empty if there are none.

        Raises:
            NotFoundError: The model is not in the catalogue, so that nothing can be checked.
            ValidationError: It has a file name in place of media, or a setting of the call that is invalid.
        """
        model, wire = self._core.model_of(with_parameters(task, parameters))
        return model.check_task(wire)

    def job(
        self,
        ref: str | Mapping[str, Any] | Acknowledgement,
        *,
        timeout: float | None = None,
        on_partial: Callable[[Partial[Any], RunwareError | None], object] | None = None,
    ) -> Job[Results[Any]]:
        """Resume a task submitted earlier, by this process or another, and wait for its results.

        The client polls until nothing of the task runs any more. It never sends anything that could run the task again.
        With a store, a task that the store has is not polled if its outcome is there, or if another client, or another
        call of this one, follows it.

        Args:
            ref: A job's or an error's `ref`, the UUID of the task, or the `Acknowledgement` that a call returned.
            timeout: Deadline in seconds. `None` uses the client's `long_timeout`, or `timeout` if that is larger.
            on_partial: Callback for new results. It runs on the client's callback thread.

        Returns:
            A job whose results are instances of their own result classes. It fails with `NotFoundError` if the server
                does not know the task (any more), and with the task's own error if the task failed.

        Raises:
            ValidationError: *ref* is none of these.
        """
        return self._core.follow(ref, timeout, on_partial)


def with_parameters(
    task: Task[Any] | Mapping[str, Any] | None, parameters: dict[str, Any]
) -> Task[Any] | Mapping[str, Any]:
    """Return a request that is given as an object, by parameters, or as an API object with further parameters.

    Raises:
        UsageError: There are parameters besides a request object.
    """
    if task is not None and not isinstance(task, (Task, Mapping)):
        raise UsageError(f"It takes a request object, a dict or parameters; got {type(task).__name__}.")
    if isinstance(task, Task) and parameters:
        raise UsageError(f"Parameters cannot be added to a request object; put {next(iter(parameters))!r} into it.")
    return task if isinstance(task, Task) or (task and not parameters) else {**(task or {}), **parameters}


def run_misused(given: Mapping[str, Any]) -> UsageError:
    """Return the error for `run(model=...)`, and for `run("model", input={...})` as elsewhere."""
    return UsageError(
        f"run() takes one request object or dict, and no {next(iter(given))!r} besides: rw.run({{'model': ..., "
        "'positive_prompt': ...}). Or call the operation, as in rw.image_inference(model=..., positive_prompt=...).",
        parameter=next(iter(given)),
    )


def stream_misused() -> UsageError:
    """Return the error for what `stream` does not take."""
    return UsageError("stream() takes a StreamText. rw.stream_text(model=..., messages=[...]) streams a text.")


def parameters_of(
    _: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]:
    """Copy the signature of a method to another, for type checkers and `help`."""

    def apply(method: Callable[..., R]) -> Callable[Concatenate[Any, P], R]:
        method.__wrapped__ = ClientBase.__init__  # type: ignore[attr-defined]
        return method

    return apply
