"""Generate images for any number of prompts, with a progress bar, in constant memory, through network failures.

python examples/bulk.py --local                        # against a local server: no key, no network
python examples/bulk.py --local --count 10000 --fault  # with a drop of the connection and a rate limit
RUNWARE_API_KEY=... python examples/bulk.py --count 20 # against the API
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator

from runware import Runware


def prompts(count: int, *, fault: bool) -> Iterator[dict[str, object]]:
    for number in range(count):
        # With this mark, the local server rate-limits the first attempt.
        mark = "[rate-limit:1] " if fault and number == count // 3 else ""
        yield {
            "positive_prompt": f"{mark}a kite above dune {number}",
            "model": "runware:101@1",
            "width": 512,
            "height": 512,
        }


def memory() -> float | None:
    """Return the peak memory of this process in MiB; `None` where the standard library cannot tell."""
    try:
        import resource
    except ImportError:  # on Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate images in bulk.")
    parser.add_argument("--local", action="store_true", help="use a server on this machine")
    parser.add_argument("--count", type=int, default=200, help="number of images (default: 200)")
    parser.add_argument("--concurrency", type=int, default=64, help="calls in flight (default: 64)")
    parser.add_argument(
        "--fault", action="store_true", help="with --local: drop the connection once, and limit the rate"
    )
    arguments = parser.parse_args()

    with contextlib.ExitStack() as stack:
        server = None
        if arguments.local:
            from runware.local import LocalServer

            server = stack.enter_context(LocalServer(keep=1000))
            rw = stack.enter_context(Runware(server.api_key, url=server.url, include_cost=True))
        else:
            rw = stack.enter_context(Runware(include_cost=True))

        cost, done, before = 0.0, 0, memory()
        inputs = prompts(arguments.count, fault=arguments.fault)
        answers = rw.map(rw.image_inference, inputs, concurrency=arguments.concurrency, progress=sys.stderr.isatty())
        for done, images in enumerate(answers, 1):
            cost += images.cost or 0.0
            if done == arguments.count // 4:
                before = memory()
            if server is not None and arguments.fault and done == arguments.count // 2:
                server.drop()
        after = memory()
        print(f"{done} images for ${cost:.4f}")
        if before is not None and after is not None:
            print(f"memory grew by {after - before:.1f} MiB after the first quarter")
        if server is not None:
            print(f"the server billed ${server.ledger.billed:.4f} over {server.ledger.connections} connections")


if __name__ == "__main__":
    main()
