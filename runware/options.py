"""What a client can be told: its options, and how failed calls are tried again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import urlsplit

import attrs

from runware.errors import ConfigurationError
from runware.logs import LOG_VARIABLE, log_to_stderr

if TYPE_CHECKING:
    import ssl

    from tenacity import RetryCallState

    from runware.events import Event

__all__ = ["DEFAULT_URL", "KEY_VARIABLE", "URL_VARIABLE", "Options", "RetryPolicy"]

DEFAULT_URL = "wss://ws-api.runware.ai/v1"
KEY_VARIABLE = "RUNWARE_API_KEY"
URL_VARIABLE = "RUNWARE_URL"

ApiKey = Union[str, Callable[[], str]]

_LONGEST = 86_400.0
_LOOPBACK = ("localhost", "::1")


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When and how often a failed call is tried again, in tenacity's own terms.

    The three parts are tenacity's stop, wait and retry objects, or any callable of the same form. They are
    asked with a `tenacity.RetryCallState`; nobody sleeps for them, and they never run past the call's deadline.

    Attributes:
        stop: When to give up, for example `tenacity.stop_after_attempt(3)`. `None` leaves it to the client's
            `max_retries`.
        wait: Seconds before the next attempt, for example `tenacity.wait_exponential_jitter()`. `None` means
            exponential from the client's `retry_delay`, at most 30 s, with full jitter.
        retry: Which failures are tried again, for example `tenacity.retry_if_exception_type(RateLimitError)`.
            `None` means those whose `retryable` is true. Whatever it says, a task is only run again after the
            server's own word that the attempt before failed.
    """

    stop: Callable[[RetryCallState], bool] | None = None
    wait: Callable[[RetryCallState], float] | None = None
    retry: Callable[[RetryCallState], bool] | None = None


def _seconds(name: str, value: object, *, zero: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name} must be a number of seconds, not {type(value).__name__}.", parameter=name)
    if not (value > 0 or (zero and value == 0)):
        limit = "zero or more" if zero else "above zero"
        raise ConfigurationError(f"{name} must be {limit}, not {value!r} seconds.", parameter=name)
    if value > _LONGEST:
        raise ConfigurationError(
            f"{name} is {value!r} seconds, which is more than a day. Did you pass milliseconds?", parameter=name
        )
    return float(value)


def seconds(value: object, name: str) -> float:
    """Check a duration that a caller gave: float seconds, above zero, at most a day.

    Raises:
        ConfigurationError: It is something else; `parameter` is *name*.
    """
    return _seconds(name, value)


def _duration(*, zero: bool = False) -> Any:
    def check(_: Any, field: attrs.Attribute[Any], value: object) -> None:
        _seconds(field.name, value, zero=zero)

    return check


def _flag(_: Any, field: attrs.Attribute[Any], value: object) -> None:
    if not (isinstance(value, bool) or (value is None and field.default is None)):
        raise ConfigurationError(f"{field.name} must be True or False, not {value!r}.", parameter=field.name)


def _whole(at_least: int) -> Any:
    def check(_: Any, field: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ConfigurationError(
                f"{field.name} must be a whole number of at least {at_least}, not {value!r}.",
                parameter=field.name,
            )

    return check


def _check_retries(_: Any, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, RetryPolicy):
        _whole(0)(_, field, value)


def _check_key(_: Any, _field: attrs.Attribute[Any], value: object) -> None:
    if callable(value):
        return
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(
            f"No API key: pass api_key=, or set the environment variable {KEY_VARIABLE}. "
            "A key is made at https://my.runware.ai.",
            parameter="api_key",
        )
    if value != value.strip() or not value.isprintable():
        raise ConfigurationError(
            "api_key has white space or control characters in or around it; copy it again without them.",
            parameter="api_key",
        )


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name means this machine."""
    return host is not None and (host.lower() in _LOOPBACK or host.startswith("127."))


def _check_url(self: Options, _field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"url must be a str, not {type(value).__name__}.", parameter="url")
    parts = urlsplit(value)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ConfigurationError(
            f"url must look like {DEFAULT_URL}, not {parts.scheme or '(no scheme)'}://{parts.hostname or ''}.",
            parameter="url",
        )
    if parts.username or parts.password:
        raise ConfigurationError("url must not hold a user name or password.", parameter="url")
    if parts.scheme == "ws" and not self.insecure_ws and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"ws:// to {parts.hostname} would send the API key in the clear. Use wss://, or pass "
            "insecure_ws=True if the way there is safe.",
            parameter="url",
        )


def _check_proxy(_: Any, _field: attrs.Attribute[Any], value: object) -> None:
    if value is None or value == "":
        return
    schemes = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        raise ConfigurationError(
            "proxy must look like http://user:password@host:port or socks5h://host:port.", parameter="proxy"
        )


def _check_callable(_: Any, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(
            f"{field.name} must be a function that takes one argument, not {type(value).__name__}.",
            parameter=field.name,
        )


def _check_context(_: Any, _field: attrs.Attribute[Any], value: object) -> None:
    import ssl  # here, because it takes 20 ms of every import and most clients never pass one

    if value is not None and not isinstance(value, ssl.SSLContext):
        raise ConfigurationError(
            f"ssl_context must be an ssl.SSLContext, not {type(value).__name__}.", parameter="ssl_context"
        )


@attrs.frozen(kw_only=True)
class Options:
    """The options of one client. All durations are float seconds.

    The environment is read when the object is made, never at import. `repr` does not show the key.
    """

    api_key: ApiKey = attrs.field(repr=False, validator=_check_key)
    url: str = attrs.field(validator=_check_url)
    timeout: float = attrs.field(default=60.0, validator=_duration())
    long_timeout: float = attrs.field(default=600.0, validator=_duration())
    connect_timeout: float = attrs.field(default=15.0, validator=_duration())
    max_retries: int | RetryPolicy = attrs.field(default=2, validator=_check_retries)
    retry_delay: float = attrs.field(default=1.0, validator=_duration(zero=True))
    reconnect: bool = attrs.field(default=True, validator=_flag)
    heartbeat_interval: float = attrs.field(default=45.0, validator=_duration())
    liveness_timeout: float = attrs.field(default=15.0, validator=_duration())
    max_in_flight: int | None = attrs.field(default=None, validator=attrs.validators.optional(_whole(1)))
    max_queued: int = attrs.field(default=100_000, validator=_whole(1))
    include_cost: bool | None = attrs.field(default=None, validator=_flag)
    dry_run: bool = attrs.field(default=False, validator=_flag)
    proxy: str | None = attrs.field(default=None, repr=False, validator=_check_proxy)
    ssl_context: ssl.SSLContext | None = attrs.field(default=None, repr=False, validator=_check_context)
    insecure_ws: bool = attrs.field(default=False, validator=_flag)
    on_event: Callable[[Event], object] | None = attrs.field(default=None, repr=False, validator=_check_callable)
    environment: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """The proxy variables, as they were at construction."""

    def portable(self) -> dict[str, Any]:
        """Give what another process needs to make the same client: everything but the key, which it finds itself.

        Raises:
            TypeError: There is an `ssl_context`, which cannot leave the process.
        """
        if self.ssl_context is not None:
            raise TypeError(
                "A client with an ssl_context cannot be pickled. Set SSL_CERT_FILE where it is to be used instead."
            )
        given = {
            field.name: value
            for field in attrs.fields(Options)
            if (value := getattr(self, field.name)) != field.default and field.name not in ("api_key", "environment")
        }
        if isinstance(self.api_key, str):
            return {**given, "key_mark": _mark(self.api_key)}
        return {**given, "api_key": self.api_key}

    def identity(self) -> tuple[Any, ...]:
        """Tell which clients are the same: those with equal options."""
        return tuple(
            value if value.__hash__ else repr(value)
            for field in attrs.fields(Options)
            if field.name != "environment"
            for value in (getattr(self, field.name),)
        )


def _mark(key: str) -> str:
    """Tell keys apart without telling them."""
    import hashlib

    return hashlib.sha256(b"runware-client:" + key.encode()).hexdigest()[:12]


def restore_options(portable: Mapping[str, Any]) -> Options:
    """Make the options of a client that was pickled in another process.

    Raises:
        ConfigurationError: `RUNWARE_API_KEY` is not set here, or is another key than the client had there.
    """
    given = dict(portable)
    mark = given.pop("key_mark", None)
    options = read_options(given)
    if mark is not None and isinstance(options.api_key, str) and _mark(options.api_key) != mark:
        raise ConfigurationError(
            f"The client was pickled with another API key than {KEY_VARIABLE} holds here. The key itself is never "
            "pickled: set the variable in both processes, or pass a function as api_key.",
            parameter="api_key",
        )
    return options


_PROXY_VARIABLES = ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def read_options(given: Mapping[str, Any]) -> Options:
    """Make `Options` from what a caller gave and, for what is `None`, from the environment.

    Raises:
        ConfigurationError: A value cannot work; `parameter` names it.
    """
    if level := os.environ.get(LOG_VARIABLE):
        log_to_stderr(level)
    chosen = {name: value for name, value in given.items() if value is not None}
    chosen.setdefault("api_key", os.environ.get(KEY_VARIABLE, ""))
    chosen.setdefault("url", os.environ.get(URL_VARIABLE) or DEFAULT_URL)
    chosen["environment"] = proxy_environment()
    return Options(**chosen)


def proxy_environment() -> dict[str, str]:
    """Give the proxy variables that are set."""
    return {name: value for name in _PROXY_VARIABLES if (value := os.environ.get(name.lower()) or os.environ.get(name))}
