"""Generate four images and save them.

python examples/quickstart.py --local                  # against a local server: no key, no network
RUNWARE_API_KEY=... python examples/quickstart.py      # against the API
"""

from __future__ import annotations

import argparse
import contextlib

from runware import Image, Partial, Runware, RunwareError


def show_progress(results: Partial[Image], error: RunwareError | None) -> None:
    if error is None:
        print(f"  {results.completed} of {results.total} images")


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate four images and save them.")
    parser.add_argument("prompt", nargs="?", default="a lighthouse at dusk, oil painting")
    parser.add_argument("--local", action="store_true", help="use a server on this machine")
    parser.add_argument("-o", "--out", default="out", help="the directory for the images (default: out)")
    arguments = parser.parse_args()

    with contextlib.ExitStack() as stack:
        if arguments.local:
            from runware.local import LocalServer

            server = stack.enter_context(LocalServer(delay=0.3, spread=0.3))
            rw = stack.enter_context(Runware(server.api_key, url=server.url))
        else:
            rw = stack.enter_context(Runware())

        print(f"Generating 4 images of {arguments.prompt!r}")
        images = rw.image_inference(
            positive_prompt=arguments.prompt,
            model="runware:101@1",
            width=768,
            height=512,
            number_results=4,
            include_cost=True,
            on_partial=show_progress,
        )
        for path in images.save_all(arguments.out, overwrite=True):
            print(f"  saved {path}")
        print(f"  cost: ${images.cost:.4f}")


if __name__ == "__main__":
    main()
