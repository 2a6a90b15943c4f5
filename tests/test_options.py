"""Options: what is read from where, and what cannot work."""

from __future__ import annotations

import math
from typing import Any

import pytest

from runware import AsyncRunware, ConfigurationError, RetryPolicy, Runware
from runware.options import read_options

LOCAL = "ws://127.0.0.1:9/v1"


def test_the_environment_is_read_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", "rw-from-env")
    monkeypatch.setenv("RUNWARE_URL", LOCAL)
    options = Runware()._core.options
    assert (options.api_key, options.url) == ("rw-from-env", LOCAL)
    assert Runware("rw-given", url="wss://example.com/v1")._core.options.api_key == "rw-given"


def test_the_defaults() -> None:
    options = Runware("key")._core.options
    assert options.url == "wss://ws-api.runware.ai/v1"
    assert (options.timeout, options.long_timeout, options.max_retries, options.retry_delay) == (60.0, 600.0, 2, 1.0)
    assert (options.reconnect, options.heartbeat_interval, options.max_in_flight) == (True, 45.0, None)


def test_no_key_names_the_variable_and_where_to_get_one() -> None:
    with pytest.raises(ConfigurationError, match=r"RUNWARE_API_KEY.*my\.runware\.ai") as caught:
        Runware()
    assert caught.value.parameter == "api_key"


def test_an_unknown_option_is_a_type_error() -> None:
    for make in (Runware, AsyncRunware, Runware.initialize):
        name = "AsyncRunware" if make is AsyncRunware else "Runware"
        with pytest.raises(TypeError, match=rf"^{name} has no parameter 'tiemout'; did you mean 'timeout'\?$"):
            make("key", tiemout=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="did you mean 'max_retries'"):
        Runware("key", maxRetries=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Runware takes its options by name"):
        Runware("key", "wss://example.com")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", ""),
        ("api_key", " "),
        ("api_key", "rw-key\n"),
        ("api_key", 7),
        ("url", "https://ws-api.runware.ai/v1"),
        ("url", "ws-api.runware.ai"),
        ("url", "wss://"),
        ("url", "wss://user:secret@example.com"),
        ("url", "ws://example.com/v1"),
        ("url", 7),
        ("timeout", 0),
        ("timeout", -1.0),
        ("timeout", math.nan),
        ("timeout", math.inf),
        ("timeout", "60"),
        ("timeout", True),
        ("timeout", 60_000_000),
        ("timeout", 90_000),
        ("long_timeout", 600_000),
        ("connect_timeout", 0),
        ("max_retries", -1),
        ("max_retries", 2.5),
        ("max_retries", True),
        ("retry_delay", -0.1),
        ("heartbeat_interval", 0),
        ("liveness_timeout", -1),
        ("max_in_flight", 0),
        ("max_in_flight", 1.5),
        ("max_queued", 0),
        ("reconnect", 1),
        ("include_cost", "yes"),
        ("dry_run", 1),
        ("proxy", "proxy.example:3128"),
        ("proxy", "ftp://proxy.example"),
        ("proxy", 7),
        ("ssl_context", "yes"),
        ("insecure_ws", "yes"),
    ],
)
def test_what_cannot_work_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Runware(**{"api_key": "rw-secret", name: value})
    assert caught.value.parameter == name
    assert "secret" not in str(caught.value)


def test_milliseconds_are_recognised() -> None:
    with pytest.raises(ConfigurationError, match="milliseconds"):
        Runware("key", timeout=90_000)


def test_ws_to_another_machine_only_when_asked_for() -> None:
    assert Runware("key", url="ws://10.0.0.1/v1", insecure_ws=True)._core.options.url == "ws://10.0.0.1/v1"
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]"):
        Runware("key", url=f"ws://{host}:9/v1")


def test_none_means_the_default() -> None:
    assert read_options({"api_key": "key", "timeout": None, "max_retries": None}).timeout == 60.0


def test_a_policy_for_max_retries() -> None:
    policy = RetryPolicy()
    assert Runware("key", max_retries=policy)._core.options.max_retries is policy


def test_the_key_is_not_shown() -> None:
    client = Runware("rw-very-secret", url=LOCAL, proxy="http://user:hidden@127.0.0.1:1")
    for text in (repr(client), str(client), repr(client._core.options), repr(client.aio), repr(client.submit)):
        assert "rw-very-secret" not in text
        assert "hidden" not in text
