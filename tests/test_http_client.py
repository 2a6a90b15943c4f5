"""HTTP clients with a client's connection settings, and the URLs of the API's services."""

from __future__ import annotations

import ssl

import pytest

from runware.errors import ConfigurationError
from runware.options import DEFAULT_URL, Options
from runware.transport.http_client import authorization, http_client


def options(url: str = DEFAULT_URL, **given: object) -> Options:
    return Options(api_key="rw-test-key", url=url, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "service", "expected"),
    [
        (DEFAULT_URL, "api", "https://api.runware.ai/v1"),
        (DEFAULT_URL, "serverless", "https://api.serverless.runware.ai"),
        (DEFAULT_URL, "content", "https://content.runware.ai"),
        (DEFAULT_URL, "schemas", "https://schemas.runware.ai"),
        ("ws://127.0.0.1:8080/v1", "api", "http://127.0.0.1:8080/v1"),
        ("ws://127.0.0.1:8080/v1/", "serverless", "http://127.0.0.1:8080"),
        ("wss://runware.example.com/v1", "content", "https://runware.example.com"),
    ],
)
def test_services_are_found_from_the_url(url: str, service: str, expected: str) -> None:
    assert options(url).service_url(service) == expected  # type: ignore[arg-type]


def test_http_client_has_the_options_of_its_client_and_no_key() -> None:
    context = ssl.create_default_context()
    with http_client(options(ssl_context=context, proxy=""), "https://api.runware.ai/v1") as client:
        assert client.headers["User-Agent"].startswith("runware-client/")
        assert "Authorization" not in client.headers
        assert not client.follow_redirects
        assert not client.trust_env


def test_key_may_come_from_a_function() -> None:
    assert authorization(options()) == {"Authorization": "Bearer rw-test-key"}
    keyed = Options(api_key=lambda: "rw-other", url=DEFAULT_URL)
    assert authorization(keyed) == {"Authorization": "Bearer rw-other"}


def test_proxy_that_http_cannot_use_is_a_typed_error() -> None:
    with pytest.raises(ConfigurationError, match="kind of proxy") as failure:
        http_client(options(proxy="socks4://127.0.0.1:1"), "https://api.runware.ai/v1")
    assert failure.value.parameter == "proxy"
