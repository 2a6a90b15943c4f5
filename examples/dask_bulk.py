"""Generate many images on many machines with Dask, each billed once, even if a worker dies.

python examples/dask_bulk.py --local                   # local server: 500 images, 2 workers, one is killed
RUNWARE_API_KEY=... python examples/dask_bulk.py       # against the API: 20 images

The client is pickled with the function: with its options, but without its key, which each worker reads from its own
RUNWARE_API_KEY. All threads of a worker share one connection. Each image has a fixed task UUID, so that a task which
Dask runs again is collected instead of being executed and billed again.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable

from runware import ConflictError, Image, Runware

try:
    from dask.distributed import Client, LocalCluster, as_completed
except ImportError as missing:
    print(f"skipped: this example needs dask ({missing}): pip install 'dask[distributed]'")
    sys.exit(0)


def generator_of(rw: Runware) -> Callable[[int, str], Image]:
    def generate_one(number: int, task_uuid: str) -> Image:
        try:
            (image,) = rw.image_inference(
                positive_prompt=f"a kite, number {number}",
                model="runware:101@1",
                width=512,
                height=512,
                task_uuid=task_uuid,
                include_cost=True,
            )
        except ConflictError:  # a lost worker has sent it
            (image,) = rw.job(task_uuid).result()
        return image

    return generate_one


def generate(rw: Runware, count: int, *, kill_one: bool = False) -> list[Image]:
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=8, dashboard_address=None, silence_logs=logging.CRITICAL, protocol="tcp"
    )
    with cluster, Client(cluster) as dask:
        task_uuids = [str(uuid.uuid4()) for _ in range(count)]
        futures = dask.map(generator_of(rw), range(count), task_uuids, pure=False)
        for done, _ in enumerate(as_completed(futures), 1):
            if kill_one and done == count // 4:
                victim = next(iter(dask.run(os.getpid).values()))
                print(f"{done} images; killing worker process {victim}")
                os.kill(victim, signal.SIGKILL)
                kill_one = False
        images: list[Image] = dask.gather(futures)
    return images


def main() -> None:
    if "--local" not in sys.argv:
        images = generate(Runware(), 20)
        print(f"{len(images)} images, ${sum(image.cost or 0 for image in images):.4f}")
        return
    from runware.local import LocalServer

    with LocalServer(delay=0.02) as server:
        os.environ.update(RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url)
        images = generate(Runware(), 500, kill_one=True)
        ledger = server.ledger
        prompts = ledger.executions_by_prompt()
        print(f"{len({image.uuid for image in images})} images from {len(prompts)} prompts")
        print(f"billed more than once: {sum(times > 1 for times in prompts.values())}")
        print(f"connections: {ledger.connections} (two workers, and the replacement of the killed one)")
        if len(images) != 500 or set(prompts.values()) != {1} or ledger.connections > 3:
            sys.exit("a task was lost, or billed more than once")


if __name__ == "__main__":
    main()
