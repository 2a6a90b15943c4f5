"""Single calls that are only validated, on a client that runs its tasks, and the reverse."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from runware import ClientClosedError, Runware, StreamText, ValidationError
from runware.local import LocalServer

from .conftest import Interface

PICTURE: dict[str, Any] = {"positive_prompt": "a kite", "model": "runware:101@1", "width": 512, "height": 512}


@pytest.fixture(params=["websocket", "http"])
def rw(request: pytest.FixtureRequest, server: LocalServer) -> Any:
    with Runware(server.api_key, url=server.url, transport=request.param) as client:
        yield client


def test_dry_run_of_one_call_executes_and_bills_nothing(rw: Runware, interface: Interface, server: LocalServer) -> None:
    (image,) = interface(rw, "image_inference", **PICTURE, dry_run=True, include_cost=True)
    assert image.cost is not None
    assert image.url is None
    assert server.ledger.executed == 0
    assert server.ledger.billed == 0
    (image,) = interface(rw, "image_inference", **PICTURE)
    assert image.url
    assert server.ledger.executed == 1


def test_client_that_validates_can_run_one_call(server: LocalServer, interface: Interface) -> None:
    with Runware(server.api_key, url=server.url, dry_run=True) as client:
        (image,) = interface(client, "image_inference", **PICTURE, dry_run=False)
        assert image.url
        assert server.ledger.executed == 1
        interface(client, "image_inference", **PICTURE)
        assert server.ledger.executed == 1


def test_setting_that_says_what_the_client_does_anyway_makes_no_connection(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as client:
        client.image_inference(**PICTURE)
        client.image_inference(**PICTURE, dry_run=False)
        assert server.ledger.connections == 1


def test_connection_of_dry_runs_ends_with_the_client(server: LocalServer) -> None:
    before = threading.active_count()
    client = Runware(server.api_key, url=server.url)
    client.image_inference(**PICTURE, dry_run=True)
    client.close()
    assert threading.active_count() <= before
    with pytest.raises(ClientClosedError):
        client.image_inference(**PICTURE, dry_run=True)


def test_refused_task_fails_in_a_dry_run_as_in_a_run(rw: Runware) -> None:
    with pytest.raises(ValidationError):
        rw.image_inference(**PICTURE | {"width": 100}, dry_run=True)


def test_setting_is_not_sent(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as client:
        client.image_inference(**PICTURE, dry_run=True)
    (task,) = server.ledger.tasks("imageInference")
    assert "dryRun" not in task


@pytest.mark.parametrize("value", ["yes", 1, []])
def test_value_that_is_no_bool_is_refused(server: LocalServer, value: Any) -> None:
    with Runware(server.api_key, url=server.url) as client, pytest.raises(ValidationError) as caught:
        client.image_inference(**PICTURE, dry_run=value)
    assert caught.value.parameter == "dry_run"


def test_streams_say_what_to_use() -> None:
    with pytest.raises(ValidationError, match="text_inference"):
        StreamText(model="google:gemma@4-31b", messages=[{"role": "user", "content": "Hello"}], dry_run=True)
