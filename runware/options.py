"""Client options and the retry policy, with their validation."""

from __future__ import annotations

import io
import ipaddress
import math
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union
from urllib.parse import SplitResult, urlsplit

import attrs

from runware._support.http_headers import header_problem
from runware._support.lazy_modules import lazy_module
from runware._support.logs import LOG_VARIABLE, log_to_stderr
from runware._support.pydantic_schemas import ValidatedAsInstance
from runware.errors import ConfigurationError

if TYPE_CHECKING:
    import hashlib
    import inspect
    import pickle
    import ssl

    from tenacity import RetryCallState

    from runware.events import Event
else:
    hashlib = lazy_module("hashlib")
    inspect = lazy_module("inspect")
    pickle = lazy_module("pickle")
    ssl = lazy_module("ssl")

__all__ = [
    "DEFAULT_TIMEOUT",
    "DEFAULT_URL",
    "KEY_VARIABLE",
    "STORE_VARIABLE",
    "TRANSPORT_VARIABLE",
    "URL_VARIABLE",
    "Budget",
    "Options",
    "RetryPolicy",
    "StorePath",
]

DEFAULT_URL = "wss://ws-api.runware.ai/v1"
KEY_VARIABLE = "RUNWARE_API_KEY"
URL_VARIABLE = "RUNWARE_URL"
TRANSPORT_VARIABLE = "RUNWARE_TRANSPORT"
STORE_VARIABLE = "RUNWARE_STORE"
DEFAULT_TIMEOUT = 60.0
"""Deadline of a call in seconds, unless the user sets another."""

ApiKey = Union[str, Callable[[], str]]
Service = Literal["api", "content", "schemas", "serverless"]

_SERVICES: dict[Service, str] = {
    "api": "https://api.runware.ai/v1",
    "content": "https://content.runware.ai",
    "schemas": "https://schemas.runware.ai",
    "serverless": "https://api.serverless.runware.ai",
}
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}
_TRANSPORTS = ("websocket", "http")

_LONGEST = 86_400.0
# The JavaScript client takes milliseconds. These limits are above any sensible number of seconds and below the usual
# values there: 60000 for the whole call, 45000 and 2000 for the others.
_LONGEST_CALL = 10_000.0
_LONGEST_STEP = 1000.0
_LONGEST_AGE = 31_536_000.0
_LONG_TASKS = " For tasks that take long, set long_timeout, or the timeout of the call."


@attrs.frozen(kw_only=True)
class RetryPolicy(ValidatedAsInstance):
    """When and how often a failed call is retried, in terms of tenacity.

    Each part is a tenacity stop, wait or retry object, or a callable with the same signature. It is called with a
    `tenacity.RetryCallState`, on a thread that serves all calls of the client, so that it must not block. No thread
    sleeps between attempts, and no attempt starts after the deadline of the call.

    Attributes:
        stop: When to give up, such as `tenacity.stop_after_attempt(3)`. `None` uses the client's `max_retries`.
        wait: Seconds before the next attempt, such as `tenacity.wait_exponential_jitter()`. `None` uses exponential
            backoff with full jitter, starting at the client's `retry_delay`, up to 30 s.
        retry: Which failures to retry, such as `tenacity.retry_if_exception_type(RateLimitError)`. `None` retries
            errors whose `retryable` is true. In any case, a task is only run again after the server has reported that
            the attempt failed.
    """

    stop: Callable[[RetryCallState], bool] | None = None
    wait: Callable[[RetryCallState], float] | None = None
    retry: Callable[[RetryCallState], bool] | None = None


def _check_limit(_: object, _field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigurationError(
            f"budget must be a number of US dollars, zero or more; got {value!r}.", parameter="budget"
        )


def _check_per(_: object, _field: attrs.Attribute[Any], value: object) -> None:
    if value not in ("client", "store", "day", "run", None):
        raise ConfigurationError(
            f"Budget.per must be 'client', 'store', 'day' or 'run'; got {value!r}.", parameter="budget"
        )


@attrs.frozen
class Budget:
    """A limit on spending. What might exceed it fails with `BudgetExceededError` before it is sent.

    Tasks, streams of text and each request of a chat count. What they have cost is taken from their bills; what running
    ones may cost is reserved by the catalogue's estimates. Set `max_tokens` for texts, whose estimate is often unknown
    otherwise. Calls of apps are not limited, and do not count: their answers do not say what they cost.

    Attributes:
        limit: US dollars, zero or more. With 0.0, only tasks that cost nothing are sent.
        per: What the limit is for. `"client"`: everything this client spends. `"store"`: everything that is spent with
            the client's store, by all processes, for ever. `"day"`: the same, for each day (UTC). `"run"`: each run of
            `map(run=...)`. `None` means `"store"` for a client that has one, and otherwise `"client"`.
    """

    limit: float = attrs.field(validator=_check_limit)
    per: Literal["client", "store", "day", "run"] | None = attrs.field(default=None, validator=_check_per)


def _as_budget(value: float | Budget | None) -> Budget | None:
    return value if value is None or isinstance(value, Budget) else Budget(value)


class StorePath(str):
    """The URL of an SQLite store that was given as a `Path`: what follows `sqlite:///` is the path, unescaped."""

    __slots__ = ()

    @property
    def path(self) -> str:
        """The path."""
        return self.removeprefix("sqlite:///")


def _as_store(value: str | Path | None) -> str | None:
    return StorePath(f"sqlite:///{value}") if isinstance(value, Path) else value


def _seconds(name: str, value: object, *, zero: bool = False, longest: float = _LONGEST, advice: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name} must be a number of seconds; got {type(value).__name__}.", parameter=name)
    if not (value > 0 or (zero and value == 0)):
        limit = "zero or more" if zero else "above zero"
        raise ConfigurationError(f"{name} must be {limit}; got {value!r} seconds.", parameter=name)
    if value > longest:
        raise ConfigurationError(
            f"{name} is in seconds, not milliseconds, and may be at most {longest:,.0f}; got {value!r}.{advice}",
            parameter=name,
        )
    return float(value)


def seconds(value: object, name: str) -> float:
    """Validate a duration: seconds as a number, above zero, at most a day.

    Raises:
        ConfigurationError: The value is invalid; `parameter` is *name*.
    """
    return _seconds(name, value)


def waiting_time(timeout: Any) -> float:
    """Validate the *timeout* of a wait: seconds as a number of any type. Zero and less do not wait.

    Returns:
        The seconds, at most as many as the system can wait.

    Raises:
        ConfigurationError: It is no number.
    """
    try:
        number = float(timeout) if hasattr(timeout, "__float__") and not isinstance(timeout, bool) else math.nan
    except OverflowError:  # an integer beyond all floats
        number = math.inf
    except (TypeError, ValueError):  # an array
        number = math.nan
    if math.isnan(number):
        given = timeout if isinstance(timeout, float) else type(timeout).__name__
        raise ConfigurationError(f"timeout must be a number of seconds; got {given}.", parameter="timeout")
    return min(number, threading.TIMEOUT_MAX)


_Validator = Callable[[object, "attrs.Attribute[Any]", object], None]


def _duration(longest: float, *, zero: bool = False, advice: str = "") -> _Validator:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        _seconds(field.name, value, zero=zero, longest=longest, advice=advice)

    return check


def _flag(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not (isinstance(value, bool) or (value is None and field.default is None)):
        raise ConfigurationError(f"{field.name} must be True or False; got {value!r}.", parameter=field.name)


def _whole(at_least: int) -> _Validator:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ConfigurationError(
                f"{field.name} must be an integer of at least {at_least}; got {value!r}.",
                parameter=field.name,
            )

    return check


def _one_of(*values: str) -> _Validator:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if value not in values:
            words = ", ".join(map(repr, values[:-1])) + f" or {values[-1]!r}"
            raise ConfigurationError(f"{field.name} must be {words}; got {value!r}.", parameter=field.name)

    return check


def _check_retries(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, RetryPolicy):
        _whole(0)(_, field, value)


def _check_key(_: object, _field: attrs.Attribute[Any], value: object) -> None:
    if callable(value):
        return
    if not (isinstance(value, str) or value is None):
        raise ConfigurationError(
            f"api_key must be a str, or a function that returns one; got {type(value).__name__}.", parameter="api_key"
        )
    if value is None or not value.strip():
        raise ConfigurationError(
            f"No API key: pass api_key=, or set the environment variable {KEY_VARIABLE}. "
            "Create a key at https://my.runware.ai. Without one, `python -m runware.local` serves the API on this "
            "machine, and prints the two variables that lead there.",
            parameter="api_key",
        )
    if value != value.strip() or not value.isprintable():
        raise ConfigurationError(
            "api_key contains or is surrounded by white space or control characters; copy it again without them.",
            parameter="api_key",
        )


def is_loopback(host: str | None) -> bool:
    """Return whether a host name refers to this machine."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _split(address: str) -> SplitResult | None:
    """Parse a URL; return `None` if that is impossible.

    No details and no exception are passed on: after a `/` that should have been `%2F`, part of a password stands in
    place of the port.
    """
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _check_transport(_: Any, _field: attrs.Attribute[Any], value: object) -> None:
    if value not in _TRANSPORTS:
        raise ConfigurationError(
            f'transport must be "websocket" or "http"; got {value!r} (transport=, or {TRANSPORT_VARIABLE}).',
            parameter="transport",
        )


def _check_url(self: Options, _field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"url must be a str; got {type(value).__name__}.", parameter="url")
    parts = _split(value)
    if parts is not None and parts.scheme in ("http", "https") and parts.hostname:
        if self.transport != "http":
            raise ConfigurationError(
                f"url must look like {DEFAULT_URL}, or ws://localhost:8080/v1 for a server on this machine; "
                f'{parts.scheme}:// needs transport="http" (url=, or {URL_VARIABLE}).',
                parameter="url",
            )
    elif parts is None or parts.scheme not in ("ws", "wss") or not parts.hostname:
        wrong = "this one has an invalid host or port" if parts is None else "this one has no host"
        if parts is not None and parts.scheme not in ("ws", "wss"):
            wrong = f"this one starts with {parts.scheme}://" if "://" in value else "this one has no scheme"
        raise ConfigurationError(
            f"url must look like {DEFAULT_URL}, or ws://localhost:8080/v1 for a server on this machine; {wrong} "
            f"(url=, or {URL_VARIABLE}).",
            parameter="url",
        )
    if parts.username or parts.password:
        raise ConfigurationError("url must not contain a user name or password.", parameter="url")
    if parts.scheme in ("ws", "http") and not self.insecure_ws and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"{parts.scheme}:// to {parts.hostname} would send the API key in the clear. Use {parts.scheme}s://, or "
            "pass insecure_ws=True if the network is trusted.",
            parameter="url",
        )


_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def split_proxy(address: str, name: str) -> SplitResult:
    """Parse a proxy URL.

    Args:
        address: The URL, which may contain a password.
        name: The option or variable it comes from.

    Raises:
        ConfigurationError: It is not a valid proxy URL.
    """
    parts = _split(address)
    # If the password was cut off at a `/`, the @ after it is in the path.
    whole = parts is not None and "@" not in parts.path + parts.query + parts.fragment
    if parts is None or not whole or parts.scheme not in _PROXY_SCHEMES or not parts.hostname:
        raise ConfigurationError(
            f"{name} must look like http://user:password@host:port or socks5h://host:port, with %2F, %23, %3F and %40 "
            "for /, #, ? and @ in the password.",
            parameter=name,
        )
    return parts


def _check_proxy(_: object, _field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and value != "":
        split_proxy(value if isinstance(value, str) else "", "proxy")


def environment_proxy(environment: Mapping[str, str]) -> SplitResult | None:
    """Return the proxy set in the environment, if any.

    Raises:
        ConfigurationError: It is not a valid proxy URL; `parameter` is the variable.
    """
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        if found := environment.get(name):
            return split_proxy(found if "://" in found else f"http://{found}", name)
    return None


def _check_environment(self: Options, _field: attrs.Attribute[Any], value: Mapping[str, str]) -> None:
    if self.proxy is None:
        environment_proxy(value)


def _check_callable(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(
            f"{field.name} must be a function that takes one argument; got {type(value).__name__}.",
            parameter=field.name,
        )
    if value is not None and inspect.iscoroutinefunction(value):
        raise ConfigurationError(
            f"{field.name} must be a plain function, not a coroutine function: it is called on a thread of its own.",
            parameter=field.name,
        )


_PRODUCT = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?")
"""A product and its version, as RFC 9110 writes them in a User-Agent."""


def _check_app(_: object, _field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, str) and len(value) <= 100 and _PRODUCT.fullmatch(value)):
        raise ConfigurationError(
            f"app must be a product and perhaps its version, such as 'shop/1.2'; got {value!r}.", parameter="app"
        )


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _check_headers(_: object, _field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (wrong := header_problem(value)):
        raise ConfigurationError(f"extra_headers {wrong}.", parameter="extra_headers")


def _check_store(_: object, _field: attrs.Attribute[Any], value: object) -> None:
    if value is None:
        return
    advice = "use a Path, 'sqlite:///jobs.db', or another URL that SQLAlchemy takes, such as 'postgresql+psycopg://...'"
    if not isinstance(value, str):
        raise ConfigurationError(
            f"store must be a str or a Path; got {type(value).__name__}: {advice}.", parameter="store"
        )
    scheme, separator, rest = value.partition("://")
    if not separator or not scheme:
        raise ConfigurationError(f"store must be the URL of a database: {advice}.", parameter="store")
    if scheme.startswith("sqlite") and (rest.strip("/") == "" or ":memory:" in rest or "mode=memory" in rest):
        raise ConfigurationError(
            f"store must outlive the process, and a database in memory does not: {advice}.", parameter="store"
        )


def _check_budget(self: Any, _field: attrs.Attribute[Any], value: Budget | None) -> None:
    if value is None:
        return
    if self.include_cost is False:
        raise ConfigurationError(
            "budget needs the bills of tasks, which include_cost=False leaves out.", parameter="include_cost"
        )
    if value.per in ("store", "day", "run") and self.store is None:
        raise ConfigurationError(
            f"A budget per {value.per} needs a store, which keeps what was spent: pass store='sqlite:///jobs.db'.",
            parameter="budget",
        )


def _check_context(_: object, _field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, ssl.SSLContext):
        raise ConfigurationError(
            f"ssl_context must be an ssl.SSLContext; got {type(value).__name__}.", parameter="ssl_context"
        )


@attrs.frozen(kw_only=True)
class Options:
    """Options of a client. All durations are in seconds.

    The environment is read when the object is created, not on import. `repr` does not show the key.
    """

    api_key: ApiKey = attrs.field(repr=False, validator=_check_key)
    transport: Literal["websocket", "http"] = attrs.field(default="websocket", validator=_check_transport)
    url: str = attrs.field(validator=_check_url)
    timeout: float = attrs.field(default=DEFAULT_TIMEOUT, validator=_duration(_LONGEST_CALL, advice=_LONG_TASKS))
    long_timeout: float = attrs.field(default=1200.0, validator=_duration(_LONGEST))
    connect_timeout: float = attrs.field(default=15.0, validator=_duration(_LONGEST_STEP))
    max_retries: int | RetryPolicy = attrs.field(default=2, validator=_check_retries)
    retry_delay: float = attrs.field(default=1.0, validator=_duration(_LONGEST_STEP, zero=True))
    reconnect: bool = attrs.field(default=True, validator=_flag)
    heartbeat_interval: float = attrs.field(default=45.0, validator=_duration(_LONGEST_STEP))
    liveness_timeout: float = attrs.field(default=15.0, validator=_duration(_LONGEST_STEP))
    max_in_flight: int | None = attrs.field(default=None, validator=attrs.validators.optional(_whole(1)))
    max_queued: int = attrs.field(default=100_000, validator=_whole(1))
    include_cost: bool | None = attrs.field(default=None, validator=_flag)
    check: Literal["off", "warn", "error"] = attrs.field(default="warn", validator=_one_of("off", "warn", "error"))
    models_max_age: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_duration(_LONGEST_AGE))
    )
    dry_run: bool = attrs.field(default=False, validator=_flag)
    proxy: str | None = attrs.field(default=None, repr=False, validator=_check_proxy)
    ssl_context: ssl.SSLContext | None = attrs.field(default=None, repr=False, validator=_check_context)
    insecure_ws: bool = attrs.field(default=False, validator=_flag)
    on_event: Callable[[Event], object] | None = attrs.field(default=None, repr=False, validator=_check_callable)
    store: str | None = attrs.field(default=None, repr=False, converter=_as_store, validator=_check_store)
    app: str | None = attrs.field(default=None, validator=_check_app)
    upload_inputs: Literal["inline", "once"] = attrs.field(default="inline", validator=_one_of("inline", "once"))
    budget: Budget | None = attrs.field(default=None, converter=_as_budget, validator=_check_budget)
    extra_headers: Mapping[str, str] | None = attrs.field(
        default=None, repr=False, converter=_copied, validator=_check_headers
    )
    """Headers of the requests over HTTP, set by `with_options`."""
    environment: Mapping[str, str] = attrs.field(factory=dict, repr=False, validator=_check_environment)
    """The proxy variables at construction."""
    key_from_environment: bool = attrs.field(default=False, repr=False)
    """Whether `api_key` was read from the environment. Another process then reads its own environment."""
    store_from_environment: bool = attrs.field(default=False, repr=False, eq=False)
    """Whether `store` was read from the environment."""

    @property
    def longest_timeout(self) -> float:
        """Deadline in seconds of calls that the server runs asynchronously; a larger `timeout` extends it."""
        return max(self.long_timeout, self.timeout)

    def service_url(self, service: Service) -> str:
        """Return the base URL of one of the API's HTTP services, without a slash at the end.

        They are derived from `url`: Runware's own hosts for Runware's WebSocket, and the same host for any other
        server, such as a local one, which offers all of them on one port.

        Args:
            service: `"api"` (tasks), `"serverless"`, `"content"` (the catalogue of models) or `"schemas"`.
        """
        parts = urlsplit(self.url)
        if parts.hostname in (urlsplit(DEFAULT_URL).hostname, urlsplit(_SERVICES["api"]).hostname):
            return _SERVICES[service]
        base = f"{_HTTP_SCHEMES.get(parts.scheme, parts.scheme)}://{parts.netloc}"
        return base + parts.path.rstrip("/") if service == "api" else base

    def http_transport(self) -> Any:
        """Return what carries requests over HTTP in place of connections; `None` for connections. For fake clients."""
        return None

    @property
    def server_url(self) -> str:
        """The URL that tasks are sent to, over the client's transport."""
        return self.service_url("api") if self.transport == "http" else self.url

    def portable(self) -> dict[str, Any]:
        """Return the options that another process needs to create an equal client: all but the key.

        Raises:
            TypeError: There is an `ssl_context`, which cannot be pickled, a password in `store`, or `extra_headers`.
        """
        if self.extra_headers:
            raise TypeError(
                "A client with extra_headers cannot be pickled, since they may hold secrets. Pickle the client without "
                "them, and call with_options(extra_headers=...) in the other process."
            )
        if self.ssl_context is not None:
            raise TypeError(
                "A client with an ssl_context cannot be pickled. Set SSL_CERT_FILE in the other process instead."
            )
        if self.store is not None and not self.store_from_environment and "@" in self.store:
            raise TypeError(
                f"A client whose store= may contain a password cannot be pickled. Set {STORE_VARIABLE} instead."
            )
        given = {
            field.name: value
            for field in attrs.fields(Options)
            if (value := getattr(self, field.name)) != field.default and field.name not in _OF_PROCESS
        }
        if self.store_from_environment:
            del given["store"]
        if self.key_from_environment:
            return given
        if isinstance(self.api_key, str):
            return {**given, "key_mark": _mark(self.api_key)}
        return {**given, "api_key": self.api_key}

    def identity(self) -> tuple[object, ...] | None:
        """Return a value that is equal for equal options, also after pickling.

        Returns:
            A hashable value; `None` if an option is an object that cannot be compared.
        """
        fields = (field.name for field in attrs.fields(Options) if field.name != "environment")
        try:
            return tuple(_content(getattr(self, name)) for name in fields)
        except Exception:  # such as a lambda; pickling may raise anything
            return None


_OF_PROCESS = frozenset(("api_key", "environment", "key_from_environment", "store_from_environment"))


def _content(value: object) -> object:
    """Return a value that is equal for equal options, also for a copy made by pickling.

    Most objects, including tenacity's, compare by identity, so they are compared by their pickles.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    pickled = io.BytesIO()
    pickler = pickle.Pickler(pickled, 4)
    pickler.fast = True  # no memo, which distinguishes identical from equal strings
    pickler.dump(value)
    return pickled.getvalue()


def _mark(key: str) -> str:
    """Return a short hash to distinguish keys without revealing them."""
    return hashlib.sha256(b"runware-client:" + key.encode()).hexdigest()[:12]


def restore_options(portable: Mapping[str, object]) -> Options:
    """Return the options of a client pickled in another process.

    Raises:
        ConfigurationError: `RUNWARE_API_KEY` is not set here, or differs from the key the client was created with.
    """
    given = dict(portable)
    mark = given.pop("key_mark", None)
    options = read_options(given)
    if mark is None:
        return options
    if isinstance(options.api_key, str) and _mark(options.api_key) != mark:
        raise ConfigurationError(
            f"The client was created with a different API key than {KEY_VARIABLE} contains here. A key passed "
            "as api_key= is never pickled. Omit it to read the variable in each process, or pass a function.",
            parameter="api_key",
        )
    return attrs.evolve(options, key_from_environment=False)  # so that pickling it again keeps the mark


_PROXY_VARIABLES = ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def read_options(given: Mapping[str, Any]) -> Options:
    """Return `Options` from the given values, and from the environment where they are `None`.

    Raises:
        ConfigurationError: A value is invalid; `parameter` names it.
    """
    if level := os.environ.get(LOG_VARIABLE):
        log_to_stderr(level)
    chosen = {name: value for name, value in given.items() if value is not None}
    chosen["key_from_environment"] = "api_key" not in chosen
    chosen.setdefault("api_key", os.environ.get(KEY_VARIABLE, ""))
    if variable := os.environ.get(TRANSPORT_VARIABLE):
        chosen.setdefault("transport", variable)
    chosen.setdefault("url", os.environ.get(URL_VARIABLE) or DEFAULT_URL)
    if "store" not in chosen and (variable := os.environ.get(STORE_VARIABLE)):
        chosen["store"], chosen["store_from_environment"] = variable, True
    chosen["environment"] = proxy_environment()
    return Options(**chosen)


def proxy_environment() -> dict[str, str]:
    """Return the proxy variables that are set."""
    return {name: value for name in _PROXY_VARIABLES if (value := os.environ.get(name.lower()) or os.environ.get(name))}
