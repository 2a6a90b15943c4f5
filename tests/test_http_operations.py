"""Every operation over HTTP: the tests of `test_every_operation.py`, with a client of the other transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runware import Runware
from runware.local import LocalServer

from .test_every_operation import (
    Stage,
    stage,
    test_failure_of_one_of_several_results_keeps_the_others,
    test_failure_of_the_only_result_is_raised,
    test_sent_task_and_result_have_the_documented_form,
    test_server_error_is_raised_with_its_details,
    test_several_results_arrive,
)

__all__ = [
    "stage",
    "test_failure_of_one_of_several_results_keeps_the_others",
    "test_failure_of_the_only_result_is_raised",
    "test_sent_task_and_result_have_the_documented_form",
    "test_server_error_is_raised_with_its_details",
    "test_several_results_arrive",
]


@pytest.fixture(scope="module")
def theatre() -> Iterator[Stage]:
    with LocalServer(api_key="rw-test-key") as server:
        options = {"timeout": 20.0, "long_timeout": 20.0, "max_retries": 0}
        with Runware(server.api_key, transport="http", url=server.url, **options) as client:
            yield Stage(server, client)
        assert server.ledger.errors == []
        assert server.ledger.connections == 0
