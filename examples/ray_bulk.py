"""Generate many images on a cluster with Ray and a store: workers and programs may die, each image is billed once.

python examples/ray_bulk.py --local                  # local server: 100 images; a worker and then all of it is killed
RUNWARE_API_KEY=... RUNWARE_STORE=postgresql+psycopg://... python examples/ray_bulk.py  # against the API: 20 images

Each image has a UUID made from the name of the run and the number of the image. Ray runs the tasks of a lost worker
again, and a second start of the program runs all of them: both meet what is there, in the store or at the server. The
machines of a real cluster need a store that they share, such as PostgreSQL.
"""

from __future__ import annotations

import logging
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from runware import get_client, task_uuid_for

try:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
except ImportError as missing:
    print(f"skipped: this example needs ray ({missing}): pip install ray")
    sys.exit(0)

RUN = "ray-kites-2026"


@ray.remote(max_retries=3)
def make_image(number: int, die_in: str | None = None) -> str:
    (image,) = get_client().image_inference(
        positive_prompt=f"a kite, number {number}",
        model="runware:101@1",
        width=512,
        height=512,
        task_uuid=task_uuid_for(f"{RUN}/{number}"),
    )
    if die_in is not None:  # once, after the image was made and billed
        try:
            pathlib.Path(die_in).touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    assert image.url is not None
    return image.url


def generate(count: int, folder: str | None = None, *, die_after: int | None = None) -> list[str]:
    """Generate images; for the local run, lose a worker, and the program after some of them."""
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    lost = [make_image.remote(0, None if folder is None else f"{folder}/lost-a-worker")]
    waiting = lost + [make_image.remote(number) for number in range(1, count)]
    urls = {}
    while waiting:
        (done, *_), waiting = ray.wait(waiting)
        urls[done] = ray.get(done)
        if len(urls) == die_after:
            os.kill(0, signal.SIGKILL)  # the whole process group: Ray, its workers, and this
    return list(urls.values())


def main() -> None:
    if "--run" in sys.argv:
        folder, die_after = sys.argv[-2:]
        print(f"{len(generate(100, folder, die_after=int(die_after) or None))} images")
        return
    if "--local" not in sys.argv:
        print("\n".join(generate(20)))
        return
    from runware.local import LocalServer

    with LocalServer(delay=0.02) as server, tempfile.TemporaryDirectory() as folder:
        environment = {
            "RUNWARE_STORE": f"sqlite:///{folder}/jobs.db",
            **os.environ,
            "RUNWARE_API_KEY": server.api_key,
            "RUNWARE_URL": server.url,
        }
        for die_after in ("40", "0"):
            command = [sys.executable, __file__, "--run", folder, die_after]
            ended = subprocess.run(command, env=environment, start_new_session=True, timeout=80, check=False)
            print(f"the program ended with {ended.returncode}; {server.ledger.executed} images were made so far")
        prompts = server.ledger.executions_by_prompt()
        if ended.returncode or len(prompts) != 100 or set(prompts.values()) != {1}:
            sys.exit("a task was lost, or billed more than once")
        print("100 prompts, each billed once")


if __name__ == "__main__":
    main()
