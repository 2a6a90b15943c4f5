"""A durable workflow with DBOS: its program is killed in the middle of a step, and nothing is bought twice.

python examples/dbos_workflow.py --local             # local server; the program is killed, and started again
RUNWARE_API_KEY=... python examples/dbos_workflow.py # against the API: 3 images

DBOS runs a step again if it does not know how it ended. The step's task has a UUID that is made from the workflow and
the number of the step, so the server meets it again instead of running another task.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile

from runware import get_client, task_uuid_for

try:
    from dbos import DBOS, DBOSConfig, SetWorkflowID
except ImportError as missing:
    print(f"skipped: this example needs dbos ({missing}): pip install dbos")
    sys.exit(0)

PROMPTS = ["a heron at dawn", "a kite at noon", "an owl at night"]


@DBOS.step()
def make_image(prompt: str) -> str:
    (image,) = get_client().image_inference(
        positive_prompt=prompt,
        model="runware:101@1",
        width=512,
        height=512,
        task_uuid=task_uuid_for(f"{DBOS.workflow_id}/{DBOS.step_id}"),
    )
    if prompt == os.environ.get("DIE_AFTER"):  # the image is made and billed, and DBOS does not know it
        os.kill(os.getpid(), signal.SIGKILL)
    assert image.url is not None
    return image.url


@DBOS.workflow()
def illustrate(prompts: list[str]) -> list[str]:
    return [make_image(prompt) for prompt in prompts]


def run(folder: str) -> list[str]:
    config: DBOSConfig = {
        "name": "illustrations",
        "system_database_url": f"sqlite:///{folder}/dbos.sqlite",
        "run_admin_server": False,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()  # goes on with workflows that were broken off
    try:
        with SetWorkflowID("book-7"):
            return illustrate(PROMPTS)
    finally:
        DBOS.destroy()


def main() -> None:
    if "--run" in sys.argv:
        print("\n".join(run(sys.argv[-1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        if "--local" not in sys.argv:
            print("\n".join(run(folder)))
            return
        from runware.local import LocalServer

        with LocalServer() as server:
            environment = {**os.environ, "RUNWARE_API_KEY": server.api_key, "RUNWARE_URL": server.url}
            command = [sys.executable, __file__, "--run", folder]
            first = subprocess.run(command, env={**environment, "DIE_AFTER": PROMPTS[1]}, timeout=50, check=False)
            print(f"the program ended with {first.returncode}, after {server.ledger.executed} images")
            subprocess.run(command, env=environment, timeout=50, check=True)
            print(f"{server.ledger.executed} images made, for {len(PROMPTS)} prompts")
            if first.returncode != -signal.SIGKILL or set(server.ledger.executions_by_prompt().values()) != {1}:
                sys.exit("a task was lost, or billed more than once")


if __name__ == "__main__":
    main()
