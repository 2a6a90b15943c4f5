"""Long work in Celery: one task starts a video; another, in any worker process, collects it by its reference.

python examples/celery_jobs.py --local                      # local server, two worker processes, file broker
RUNWARE_API_KEY=... celery -A celery_jobs worker            # against the API, in this directory, with CELERY_BROKER

No worker waits in between: the reference is small, and can be sent as JSON. If a worker is lost and Celery runs a task
again, nothing is executed or billed again: `start` uses the same UUID, which the server accepts once, and `collect`
only polls. Tasks that the server rejects, or that may have run, are not retried. With RUNWARE_STORE, such as
postgresql+psycopg://..., the workers of all machines know what was started, also after the server has forgotten it.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from runware import RunwareError, get_client, task_uuid_for

try:
    from celery import Celery, chain
except ImportError as missing:
    print(f"skipped: this example needs celery ({missing}): pip install celery")
    sys.exit(0)

app = Celery("celery_jobs", broker=os.environ.get("CELERY_BROKER", "memory://"))
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=False)


def keep_in_files(folder: str) -> None:
    """Use a broker and a result backend of plain files, which need no service."""
    queue = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder, "polling_interval": 0.05}
    app.conf.update(broker_url="filesystem://", broker_transport_options=queue, result_backend=f"file://{folder}")


if "CELERY_FOLDER" in os.environ:
    keep_in_files(os.environ["CELERY_FOLDER"])


@app.task(bind=True, name="celery_jobs.start", max_retries=3)
def start(self: Any, prompt: str) -> dict[str, str]:
    # Without retries of the client, which have new UUIDs, so that the task can be collected by this UUID.
    job = get_client().submit.video_inference(
        positive_prompt=prompt,
        model="bytedance:seedance@1.5-pro",
        duration=5,
        task_uuid=task_uuid_for(f"{self.request.id} {self.request.retries}"),  # the same in every worker
        retry=0,
        skip_response=True,
    )
    try:
        job.result()  # returns when the server acknowledges the task
    except RunwareError as error:
        if not error.retryable:  # it was rejected, or may run and be billed
            raise
        raise self.retry(exc=error, countdown=2**self.request.retries) from error
    return job.ref


@app.task(name="celery_jobs.collect")
def collect(ref: dict[str, str], directory: str) -> str:
    (video,) = get_client().job(ref).result()
    return str(video.save(directory, overwrite=True))


def run_locally(folder: str) -> None:
    command = [sys.executable, "-m", "celery", "-A", "celery_jobs", "worker", "-P", "prefork", "-c", "2", "-l", "error"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    here = pathlib.Path(__file__).parent
    paths = os.pathsep.join(path for path in (str(here), *sys.path) if path)
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore::UserWarning"}  # about running as root
    with subprocess.Popen([*command, *quiet], cwd=folder, env=environment, stdout=subprocess.DEVNULL) as worker:
        try:
            results = [
                chain(start.s(f"waves, number {number}"), collect.s(folder)).apply_async() for number in range(4)
            ]
            for result in results:
                print(f"saved {pathlib.Path(result.get(timeout=40, interval=0.05)).name}")
        finally:
            worker.terminate()


if __name__ == "__main__":
    if "--local" not in sys.argv:
        sys.exit("Run it with celery (see above), or try it with --local.")
    from runware.local import LocalServer

    with LocalServer(delay=0.5) as server, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ.update(RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url, CELERY_FOLDER=folder)
        keep_in_files(folder)
        run_locally(folder)
        print(f"{server.ledger.executed} videos made, {server.ledger.connections} connections")
