"""A flow with Prefect, whose tasks are retried: nothing is bought twice.

python examples/prefect_flow.py --local              # local server; each task fails once after its image was made
RUNWARE_API_KEY=... python examples/prefect_flow.py  # against the API: 3 images

Prefect runs a task again after it has failed. The UUID of its image is made from the run of the flow and the prompt, so
that the second attempt gets the image that the first one has bought.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile

from runware import get_client, task_uuid_for

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
if "--local" in sys.argv:
    os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="prefect-")
    # Prefect starts a server of its own with an empty database, which takes a slow machine longer than its 20 seconds.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")

try:
    from prefect import flow, task
    from prefect.runtime import flow_run
except ImportError as missing:
    print(f"skipped: this example needs prefect ({missing}): pip install prefect")
    sys.exit(0)

PROMPTS = ["a heron at dawn", "a kite at noon", "an owl at night"]
failed: set[str] = set()


@task(retries=2, retry_delay_seconds=0)
def make_image(prompt: str) -> str:
    (image,) = get_client().image_inference(
        positive_prompt=prompt,
        model="runware:101@1",
        width=512,
        height=512,
        task_uuid=task_uuid_for(f"{flow_run.get_id()}/{prompt}"),
    )
    if "--local" in sys.argv and prompt not in failed:
        failed.add(prompt)
        raise OSError("the disk is full, say, after the image was made and billed")
    assert image.url is not None
    return image.url


@flow(log_prints=False)
def illustrate(prompts: list[str]) -> list[str]:
    return [make_image(prompt) for prompt in prompts]


def main() -> None:
    if "--local" not in sys.argv:
        print("\n".join(illustrate(PROMPTS)))
        return
    from runware.local import LocalServer

    logging.disable(logging.CRITICAL)  # the failures are wanted here
    with LocalServer() as server:
        os.environ.update(RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url)
        urls = illustrate(PROMPTS)
        ledger = server.ledger
        print(f"{len(urls)} images, {ledger.executed} made, {ledger.conflicts} met again after a retry")
        if set(ledger.executions_by_prompt().values()) != {1} or ledger.conflicts != len(PROMPTS):
            sys.exit("a task was lost, or billed more than once")
    get_client().close()


if __name__ == "__main__":
    main()
