"""Generate images for a list of prompts as a run that resumes when the program is started again after a crash.

python examples/nightly_run.py --local                 # it dies on the way and is started again: no key, no network
RUNWARE_API_KEY=... python examples/nightly_run.py     # against the API; press Ctrl-C, and start it again
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from runware import Runware

COMMON = {"model": "runware:101@1", "width": 512, "height": 512}


def start(count: int, limit: float, dies_after: int | None) -> None:
    """Start the run, or go on with it."""
    prompts = (f"a kite above dune {number}" for number in range(count))
    with Runware(store="sqlite:///nightly.db") as rw:
        answers = rw.map(
            rw.image_inference,
            prompts,
            common=COMMON,
            run="nightly",
            budget=limit,
            save_to="out/{run}/{index:05d}-{n}.{ext}",
            return_exceptions=True,
        )
        for number, images in enumerate(answers, 1):
            if isinstance(images, Exception):
                print(f"input {getattr(images, 'index', '?')}: {images}")
            elif number % 10 == 0:
                print(f"{number} of {count}: {images[0].path}")
            if number == dies_after:
                print("the program dies", flush=True)
                os._exit(9)  # nothing is cleaned up, as if the machine had failed
        print(rw.runs)


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate images as a run that resumes.")
    parser.add_argument("--local", action="store_true", help="show a crash and a second start on a server here")
    parser.add_argument("--count", type=int, default=40, help="number of images (default: 40)")
    parser.add_argument("--budget", type=float, default=1.0, help="limit in dollars for all starts (default: 1.00)")
    parser.add_argument("--dies-after", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.local:
        start(arguments.count, arguments.budget, arguments.dies_after)
        return

    from runware.local import LocalServer

    with LocalServer() as server:
        environment = {**os.environ, "RUNWARE_URL": server.url, "RUNWARE_API_KEY": server.api_key}
        again = [sys.executable, __file__, "--count", str(arguments.count), "--budget", str(arguments.budget)]
        for number, more in enumerate((["--dies-after", str(arguments.count // 2)], []), 1):
            print(f"start {number}", flush=True)
            subprocess.run([*again, *more], env=environment, check=not more)
        executed = server.ledger.executions_by_prompt()
        print(f"{len(executed)} prompts, each executed {max(executed.values())} time, for ${server.ledger.billed:.4f}")


if __name__ == "__main__":
    main()
