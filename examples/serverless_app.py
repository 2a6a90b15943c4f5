"""Calling a serverless app: one call, several at once, a failure, and what happens when an answer is lost.

python examples/serverless_app.py --local    # no key and no network: an app on this machine
RUNWARE_API_KEY=... python examples/serverless_app.py my-upscaler run '{"image": "https://example.com/a.png"}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

from runware import Runware, TaskError


def call(rw: Runware, name: str, endpoint: str, payload: dict[str, Any]) -> None:
    task = rw.app(name).call(endpoint, payload)
    print(f"{task.id} {task.status}: {json.dumps(task.output)}")


def local() -> None:
    from runware.local import LocalServer

    def upscale(payload: dict[str, Any]) -> dict[str, Any]:
        if payload["scale"] > 4:
            raise ValueError("a scale above 4 is not possible")
        return {"width": 512 * payload["scale"], "height": 512 * payload["scale"]}

    with LocalServer(delay=0.2) as server:
        server.app("my-upscaler", {"run": upscale})
        with Runware(server.api_key, url=server.url, retry_delay=0.1) as rw:
            print("One call:")
            call(rw, "my-upscaler", "run", {"scale": 2})

            print("Several at once:")
            app = rw.submit.app("my-upscaler")
            for job in [app.call("run", scale=scale) for scale in (1, 3, 4)]:
                print(f"  {job.result().output}")

            print("A failure of the app:")
            try:
                rw.app("my-upscaler").call("run", scale=8)
            except TaskError as error:
                print(f"  {error.message} (task {error.task_uuid})")

            print("An answer that is lost on its way:")
            server.play("A1")
            task = rw.app("my-upscaler").call("run", scale=2)
            times = server.ledger.submissions(task.id), server.ledger.executions(task.id)
            print(f"  sent {times[0]} times, run {times[1]} time")


if __name__ == "__main__":
    if "--local" in sys.argv:
        local()
    elif len(sys.argv) == 4:
        call(Runware(), sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
    else:
        print(__doc__)
