"""Faults over HTTP: quick and polled tasks, in all three forms.

As over a WebSocket, a call ends by its deadline, with the right result or the right error, and the server's ledger
shows one execution for its prompt.
"""

from __future__ import annotations

from typing import Any

import pytest

from runware import (
    AuthenticationError,
    IncompleteResultsError,
    ProviderError,
    Results,
    ServerError,
    TaskTimeoutError,
    ValidationError,
)
from runware.local import LocalServer

from .conftest import Interface
from .test_faults import PROMPT, Case, Clients, case, in_every_interface, outcome, parameters, right

POLLED: dict[str, Any] = {"kinds": ("polled",)}
QUICK: dict[str, Any] = {"kinds": ("quick",)}
SEVERAL: dict[str, Any] = {"results": 3}
GATEWAY = (500, 502, 503, 504)

CASES = [
    case(),
    case(**SEVERAL),
    # The response is lost, before or after the task was executed.
    *(case(f"X20:run={run},how=cut,times={times}") for run in ("true", "false") for times in (1, 3)),
    case("X20:run=true,how=cut", **SEVERAL),
    case("X20:how=late,delay=0.3"),
    case("X20:how=twice"),
    case("X20:how=twice,times=3", **SEVERAL),
    case(
        "X20:how=never,task_type=imageInference",
        client={"timeout": 0.5, "long_timeout": 0.5},
        error=TaskTimeoutError,
    ),
    # Something else than the API answers.
    *(
        case(f"X20:run={run},status={status},body={body}")
        for run in ("true", "false")
        for status in (*GATEWAY, 200)
        for body in ("text", "empty", "data")
    ),
    case("X20:run=true,status=504,body=error"),
    case("X20:run=false,status=504,body=error"),
    case("X20:run=true,status=503,body=text,times=3"),
    case("X20:run=false,status=503,body=text,retry_after=0.2"),
    case("X20:run=true,status=200,body=text", switches={"sync_polls": False}),
    case("X20:run=false,status=200,body=text", switches={"q6": "error"}),
    # The API refuses the request, for now or for good.
    *(case(f"X20:run=false,status={status},body=error") for status in (429, 500, 503)),
    case("X20:run=false,status=429,body=error,times=2"),
    case("X20:run=false,status=429,body=text"),
    case("X20:run=false,status=429,body=empty,retry_after=0"),
    case("X20:run=false,status=404,body=text", error=ServerError, executions=0),
    case("X20:run=false,status=302,body=text", error=ServerError, executions=0),
    case("X20:run=false,status=403,body=text", error=ServerError, executions=0),
    case("X20:run=false,status=401,body=text", error=AuthenticationError, executions=0),
    # The answer to a poll is lost, or is none.
    *(
        case(f"X20:task_type=getResponse,how={how}", server={"delay": 0.1}, **POLLED)
        for how in ("cut", "late", "twice")
    ),
    *(
        case(f"X20:task_type=getResponse,run=false,status={status},body={body}", server={"delay": 0.1}, **POLLED)
        for status in (*GATEWAY, 404, 429, 200)
        for body in ("text", "error", "empty", "data")
    ),
    case("X20:task_type=getResponse,how=cut,times=3", server={"delay": 0.1}, **POLLED),
    case("X20:run=true,how=cut", "X20:task_type=getResponse,how=cut,times=2"),
    # Errors and results, as over a WebSocket.
    case("X9"),
    case("X10:form=F18", error=ValidationError),
    case("X10:form=F20", results=3, error=IncompleteResultsError, comes=2),
    case("X10:form=F20", results=1, error=ProviderError),
    *(case(f"X10:form={form}", error=ServerError) for form in ("F22", "singular", "singular-list")),
    case("X11", task={"output_type": "base64Data", "output_format": "PNG"}),
    case("X13", results=2, comes=3),
    *(case(f"X15:form={form}", results=3, **POLLED) for form in ("shrink", "reorder")),
    *(case(f"X15:form={form}", results=2, **POLLED) for form in ("no-ids", "status-only")),
    *(
        case(f"X16:code={code},times={times}", server={"delay": 0.1}, **POLLED)
        for code, times in (("rateLimitExceeded", 2), ("internalServerError", 1), ("serviceUnavailable", 1))
    ),
    case("X19"),
    *(
        case("X20:run=true,how=cut", switches=switches, results=3)
        for switches in (
            {"q6": "empty"}, {"q8": "processing"}, {"q8": "finished"}, {"q9": "one"}, {"q9": "known"},
            {"q17": "getResponse"}, {"sync_polls": False}, {"sync_polls": False, "task_details": "array"},
            {"sync_polls": False, "q6": "empty"},
        )
    ),
    # A synchronous task that takes longer than the server lets a request wait.
    case(server={"delay": 0.5, "sync_window": 0.2}, **QUICK),
    case(server={"delay": 0.5, "sync_window": 0.2}, results=3, **QUICK),
]  # fmt: skip

CONCERNED = [
    pytest.param(kind, case, id=f"{kind} {case} {'' if case.results == 1 else case.results}".strip())
    for case in CASES
    for kind in case.kinds
]


@pytest.mark.parametrize(("kind", "case"), CONCERNED)
@in_every_interface
def test_call_over_http_ends_right_and_is_bought_once(
    kind: str, case: Case, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    server.configure(**case.server)
    server.switch(case.switches)
    for fault in case.faults:
        server.play(fault)
    client = client_of(**{"max_retries": 2, "transport": "http", **case.client})
    retry = 0 if case.error is not None else None
    ended = outcome(
        lambda: interface(client, "image_inference", **parameters(kind, case.results, retry=retry, **case.task))
    )
    comes = case.results if case.comes is None else case.comes
    if case.error is not None:
        assert type(ended) is case.error, ended
        assert len(ended.results) == (case.comes or len(ended.results))
    else:
        assert isinstance(ended, Results), ended
        right(ended, comes, case)
    assert server.ledger.executions_by_prompt() == ({PROMPT: case.executions} if case.executions else {})
    assert server.ledger.errors == []
    assert server.ledger.connections == 0
