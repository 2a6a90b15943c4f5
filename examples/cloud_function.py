"""A cloud function that generates an image: a handler for AWS Lambda and similar services.

python examples/cloud_function.py --local       # try it here: a cold start, warm calls, a bad request
# In the cloud: set RUNWARE_API_KEY, and name cloud_function.handler as the handler.

Between two calls such a process is frozen, for minutes, and the network forgets its connections. Over HTTP the client
has none that must be kept: it makes one for a call, and reuses it while calls follow each other.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from typing import Any

from runware import AuthenticationError, Runware, RunwareError, ValidationError


@cache
def client() -> Runware:
    """Return the client of this process, which all its calls share."""
    return Runware(transport="http", check="error")  # what a model does not accept is not sent


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request."""
    prompt = (event.get("queryStringParameters") or {}).get("prompt", "")
    # A call must end before the function is stopped, so that a task that may run is at least reported.
    left = max(1.0, context.get_remaining_time_in_millis() / 1000 - 1.0)
    try:
        (image,) = client().image_inference(
            positive_prompt=prompt, model="runware:101@1", width=512, height=512, timeout=left
        )  # fmt: skip
    except ValidationError as error:
        return answer(400, {"error": error.message, "parameter": error.parameter})
    except AuthenticationError:
        raise  # the function is set up wrongly: let it fail where its owner sees it
    except RunwareError as error:
        return answer(502, {"error": error.message, "ref": error.ref, "may_have_run": error.may_have_run})
    return answer(200, {"url": image.url, "seed": image.seed})


def answer(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}


class Context:
    """What the platform passes, as far as the handler needs it."""

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def try_it() -> None:
    for prompt in ("a red kite over dunes", "a blue kite", ""):
        result = handler({"queryStringParameters": {"prompt": prompt}}, Context())
        print(f"{prompt!r}: {result['statusCode']} {result['body']}")
    print(f"{client().stats.sent} tasks sent over {client().stats.connections} connection(s)")
    client().close()


if __name__ == "__main__":
    if "--local" not in sys.argv:
        sys.exit("It is called by a cloud platform; try it with --local.")
    from runware.local import LocalServer

    with LocalServer(delay=0.1) as server:
        os.environ.update(RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url)
        try_it()
