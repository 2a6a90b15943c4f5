"""The API's own dry run, over HTTP: the server checks a task and says what it would cost, without running it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs

from runware._support.lazy_modules import lazy_module
from runware.errors import ConnectionFailedError, error_from_wire
from runware.models.estimates import Estimate
from runware.options import Options
from runware.protocol.codec import dumps
from runware.protocol.ids import new_uuid
from runware.protocol.redaction import Redactor, secrets_of
from runware.protocol.spending import cost_of
from runware.transport import http_client
from runware.transport.http_client import OpenRequests

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = lazy_module("httpx2")

__all__ = ["exact_estimate"]


def exact_estimate(options: Options, task: Mapping[str, Any], otherwise: Estimate, requests: OpenRequests) -> Estimate:
    """Return the cost of a task according to the server.

    Args:
        options: The client's options, whose `timeout` applies.
        task: The task with API names.
        otherwise: The estimate to return if the server names no cost, as in an acknowledgement.
        requests: The requests of the client, which ends them when it is closed.

    Raises:
        ClientClosedError: The client is closed.
        TaskError: The server refuses the task.
        ConnectionFailedError: The server cannot be reached, or does not answer in time.
    """
    whole = {**task, "taskUUID": new_uuid(), "includeCost": True}
    answer = _post(options, dumps([whole]), requests)
    errors = [one for one in answer.get("errors") or () if isinstance(one, dict)]
    if isinstance(answer.get("error"), dict):
        errors.append(answer["error"])
    if errors:
        raise error_from_wire(errors[0], task_type=str(task.get("taskType")))
    items = [one for one in answer.get("data") or () if isinstance(one, Mapping)]
    costs = [cost for one in items if (cost := cost_of(one)) is not None]
    if not costs:
        return otherwise
    return attrs.evolve(otherwise, minimum=sum(costs), maximum=sum(costs), basis="dry run", exact=True)


def _post(options: Options, body: bytes, requests: OpenRequests) -> dict[str, Any]:
    url = options.service_url("api")
    host = url.partition("://")[2].partition("/")[0]
    redactor, header = Redactor(secrets_of(options)), http_client.KeyHeader(options)
    redactor.add(header.key)
    answer: Any = None
    problem = ""
    with (
        http_client.Deadline(options.timeout, requests) as deadline,
        http_client.http_client(options, url, connecting=deadline.connecting) as client,
    ):
        try:
            response = client.post(
                url,
                content=body,
                headers={
                    **(options.extra_headers or {}),
                    "Content-Type": "application/json",
                    "X-Runware-Dry-Run": "1",
                    **header.headers,
                },
                timeout=deadline.left,
                extensions=deadline.extensions,
            )
        except httpx2.HTTPError as error:
            late = deadline.left <= 0
            words = redactor.hide(str(error)) or type(error).__name__
            problem = f"did not answer within {deadline.seconds:g} s" if late else f"failed ({words})"
        else:
            status = response.status_code
            with suppress(ValueError, RecursionError):
                answer = redactor.clean(response.json())
            del response  # the server may echo the key
            problem = "" if answer is not None else f"was answered with status {status}, and not with JSON"
    if problem:  # raised outside of `except`, because those errors and their frames may contain the key
        requests.check()
        raise ConnectionFailedError(f"The dry run at {host} {problem}.", stage="HTTP", host=host)
    return answer if isinstance(answer, dict) else {"data": answer}
