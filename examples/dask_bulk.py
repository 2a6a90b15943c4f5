"""Generate many images on many machines with Dask and a store, each billed once, even if a worker dies.

python examples/dask_bulk.py --local                   # local server: 500 images; a worker is killed; all started again
RUNWARE_API_KEY=... RUNWARE_STORE=postgresql+psycopg://... python examples/dask_bulk.py  # against the API: 20 images

The client is pickled with the function: with its options, but without its key and its store, which each worker reads
from its own RUNWARE_API_KEY and RUNWARE_STORE. All threads of a worker share one connection. Each image has a UUID made
from the name of the run and its number, so that a task which Dask runs again, or a second start of the program, gets
what is there instead of buying again. Workers on several machines need a store that they share, such as PostgreSQL.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable

from runware import Image, Runware, task_uuid_for

try:
    from dask.distributed import Client, LocalCluster, as_completed
except ImportError as missing:
    print(f"skipped: this example needs dask ({missing}): pip install 'dask[distributed]'")
    sys.exit(0)


RUN = "kites-2026"


def generator_of(rw: Runware) -> Callable[[int], Image]:
    def generate_one(number: int) -> Image:
        (image,) = rw.image_inference(
            positive_prompt=f"a kite, number {number}",
            model="runware:101@1",
            width=512,
            height=512,
            task_uuid=task_uuid_for(f"{RUN}/{number}"),
            include_cost=True,
        )
        return image

    return generate_one


def generate(rw: Runware, count: int, *, kill_one: bool = False) -> list[Image]:
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=8, dashboard_address=None, silence_logs=logging.CRITICAL, protocol="tcp"
    )
    with cluster, Client(cluster) as dask:
        futures = dask.map(generator_of(rw), range(count), pure=False)
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

    with LocalServer(delay=0.02) as server, tempfile.TemporaryDirectory() as folder:
        os.environ.update(RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url)
        os.environ.setdefault("RUNWARE_STORE", f"sqlite:///{folder}/jobs.db")
        images = generate(Runware(), 500, kill_one=True)
        again = generate(Runware(), 500)
        print(f"started again: the same images: {[image.uuid for image in again] == [image.uuid for image in images]}")
        ledger = server.ledger
        prompts = ledger.executions_by_prompt()
        print(f"{len({image.uuid for image in images})} images from {len(prompts)} prompts")
        print(f"billed more than once: {sum(times > 1 for times in prompts.values())}")
        print(
            f"connections: {ledger.connections} (of two workers and the replacement of the killed one, and of two more)"
        )
        if len(images) != 500 or set(prompts.values()) != {1} or ledger.connections > 5:
            sys.exit("a task was lost, or billed more than once")


if __name__ == "__main__":
    main()
