"""Long work in Celery: one task starts a video, another, in any worker process, picks it up by its reference.

python examples/celery_jobs.py --local                      # try it: a worker with two processes, a broker of files
RUNWARE_API_KEY=... celery -A celery_jobs worker            # the real thing, in this directory, with your CELERY_BROKER

Nothing waits in between: the reference is small, and fit for JSON. If a worker is lost and Celery runs a task again,
nothing is made or paid for again: `start` sends the same UUID, which the server takes once, and `collect` only asks.
What the server refuses is not tried again, nor what may have run.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import uuid
from typing import Any

from runware import ConflictError, RunwareError, get_client

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


def uuid_of(run: Any) -> str:
    """The UUID that a run of a Celery task has at the server, in every worker that runs it."""
    digits = hashlib.sha256(f"{run.id} {run.retries}".encode()).digest()[:16]
    return str(uuid.UUID(bytes=digits, version=4))  # the server takes no other version


@app.task(bind=True, name="celery_jobs.start", max_retries=3)
def start(self: Any, prompt: str) -> dict[str, str]:
    # Without attempts of the client's own, which have new UUIDs, the one given here is the one to collect.
    job = get_client().submit.video_inference(
        positive_prompt=prompt,
        model="klingai:5@3",
        duration=5,
        task_uuid=uuid_of(self.request),
        retry=0,
        skip_response=True,
    )
    try:
        job.result()  # the server's first word: it has the task
    except ConflictError:
        pass  # a worker that was lost had sent it
    except RunwareError as error:
        if not error.retryable:  # it is refused, or may run and be paid for
            raise
        raise self.retry(exc=error, countdown=2**self.request.retries) from error
    return job.ref


@app.task(name="celery_jobs.collect")
def collect(ref: dict[str, str], directory: str) -> str:
    (video,) = get_client().job(ref).result()
    return str(video.save(directory, overwrite=True))


def try_it(folder: str) -> None:
    command = [sys.executable, "-m", "celery", "-A", "celery_jobs", "worker", "-P", "prefork", "-c", "2", "-l", "error"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    here = pathlib.Path(__file__).parent
    paths = os.pathsep.join(path for path in (str(here), *sys.path) if path)
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore::UserWarning"}  # that of being root
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
        try_it(folder)
        print(f"{server.ledger.executed} videos made, {server.ledger.connections} connections")
