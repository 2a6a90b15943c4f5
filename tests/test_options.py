"""Options: where each is read from, and which values are rejected."""

from __future__ import annotations

import math
from typing import Any

import pytest

from runware import AsyncRunware, ConfigurationError, Image, ImageInference, RetryPolicy, Runware
from runware.options import read_options

LOCAL = "ws://127.0.0.1:9/v1"


@pytest.mark.parametrize("key", [7, b"rw-key"])
def test_key_of_another_type_is_said_to_be(key: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^api_key must be a str, .*; got {type(key).__name__}"):
        Runware(key)


def test_environment_is_read_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", "rw-from-env")
    monkeypatch.setenv("RUNWARE_URL", LOCAL)
    options = Runware()._core.options
    assert (options.api_key, options.url) == ("rw-from-env", LOCAL)
    assert Runware("rw-given", url="wss://example.com/v1")._core.options.api_key == "rw-given"


def test_defaults_are_as_documented() -> None:
    options = Runware("key")._core.options
    assert options.url == "wss://ws-api.runware.ai/v1"
    assert (options.timeout, options.long_timeout, options.max_retries, options.retry_delay) == (60.0, 1200.0, 2, 1.0)
    assert (options.reconnect, options.heartbeat_interval, options.max_in_flight) == (True, 45.0, None)


def test_missing_key_names_the_variable_and_where_to_get_one() -> None:
    with pytest.raises(ConfigurationError, match=r"RUNWARE_API_KEY.*my\.runware\.ai") as caught:
        Runware()
    assert caught.value.parameter == "api_key"


def test_unknown_option_is_a_type_error() -> None:
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
        ("url", "ws://[::1"),
        ("url", "ws://localhost:99999/v1"),
        ("url", "wss://example.com:port/v1"),
        ("url", "wss://user:sec/secret@example.com"),
        ("url", 7),
        ("timeout", 0),
        ("timeout", -1.0),
        ("timeout", math.nan),
        ("timeout", math.inf),
        ("timeout", "60"),
        ("timeout", True),
        ("timeout", 60_000_000),
        ("timeout", 90_000),
        ("timeout", 10_001),
        ("long_timeout", 600_000),
        ("connect_timeout", 1001),
        ("retry_delay", 2000),
        ("heartbeat_interval", 45_000),
        ("liveness_timeout", 1001),
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
        ("proxy", "http://[::1:80"),
        ("proxy", "http://proxy.example:99999"),
        ("proxy", "http://bob:secret/9@proxy.example:80"),
        ("proxy", "http://bob:secret#9@proxy.example:80"),
        ("proxy", "http://bob:12/secret@proxy.example:80"),
        ("proxy", "http://bob:12?secret@proxy.example:80"),
        ("proxy", 7),
        ("ssl_context", "yes"),
        ("insecure_ws", "yes"),
    ],
)
def test_invalid_option_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Runware(**{"api_key": "rw-secret", name: value})
    assert caught.value.parameter == name
    assert "secret" not in str(caught.value)
    # urllib's message about a port contains a part of the password.
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "retry_delay", "heartbeat_interval"])
def test_milliseconds_as_in_the_javascript_library_are_recognised(name: str) -> None:
    theirs = {"timeout": 60_000, "connect_timeout": 15_000, "retry_delay": 2000, "heartbeat_interval": 45_000}[name]
    with pytest.raises(ConfigurationError, match="seconds, not milliseconds") as caught:
        Runware("key", **{name: theirs})  # type: ignore[arg-type]
    assert ("long_timeout" in caught.value.message) is (name == "timeout")


def test_timeout_of_a_day_is_accepted() -> None:
    assert Runware("key", timeout=10_000, long_timeout=86_400)._core.options.long_timeout == 86_400
    assert ImageInference(positive_prompt="x", timeout=86_400).timeout == 86_400


@pytest.mark.parametrize(
    ("given", "longest"),
    [
        ({}, 1200.0),
        ({"timeout": 30.0}, 1200.0),
        ({"timeout": 1500.0}, 1500.0),
        ({"timeout": 1500.0, "long_timeout": 100.0}, 1500.0),
        ({"timeout": 30.0, "long_timeout": 90.0}, 90.0),
    ],
)
def test_larger_timeout_lengthens_long_calls(given: dict[str, float], longest: float) -> None:
    options = Runware("key", **given)._core.options  # type: ignore[arg-type]
    assert options.longest_timeout == longest


def test_collected_task_has_the_longest_timeout() -> None:
    rw = Runware("key", url=LOCAL, timeout=1500.0)
    job = rw.job("0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01")
    assert job._call.timeout == 1500.0
    rw.close()


@pytest.mark.parametrize("url", ["https://ws-api.runware.ai/v1", "ws-api.runware.ai/v1", "localhost:8080", "wss:///v1"])
def test_url_of_another_kind_is_answered_with_one_that_works(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_URL", url)
    with pytest.raises(ConfigurationError, match=r"wss://ws-api\.runware\.ai/v1.*RUNWARE_URL"):
        Runware("key")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "address", ["http://bob:secret/9@proxy.example:80", "bob:12/secret@proxy:80", "http://p:99999"]
)
def test_invalid_proxy_variable_is_named(name: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, address)
    with pytest.raises(ConfigurationError, match="%2F") as caught:
        Runware("key")
    assert caught.value.parameter == name
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(ConfigurationError) as caught:
        Image(url="https://example.com/x.png").read()
    assert caught.value.parameter == name
    Runware("key", proxy="")  # then it is not read


def test_ws_to_another_machine_needs_insecure_ws() -> None:
    assert Runware("key", url="ws://10.0.0.1/v1", insecure_ws=True)._core.options.url == "ws://10.0.0.1/v1"
    for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]"):
        Runware("key", url=f"ws://{host}:9/v1")


@pytest.mark.parametrize("host", ["127.0.0.1.attacker.example", "127.evil", "localhost.example", "[::2]", "0.0.0.0"])
def test_host_that_only_looks_local_needs_wss(host: str) -> None:
    with pytest.raises(ConfigurationError, match="in the clear"):
        Runware("key", url=f"ws://{host}/v1")


def test_none_means_the_default() -> None:
    assert read_options({"api_key": "key", "timeout": None, "max_retries": None}).timeout == 60.0


def test_max_retries_takes_a_policy() -> None:
    policy = RetryPolicy()
    assert Runware("key", max_retries=policy)._core.options.max_retries is policy


def test_key_and_proxy_password_are_in_no_repr() -> None:
    client = Runware("rw-very-secret", url=LOCAL, proxy="http://user:hidden@127.0.0.1:1")
    for text in (repr(client), str(client), repr(client._core.options), repr(client.aio), repr(client.submit)):
        assert "rw-very-secret" not in text
        assert "hidden" not in text
