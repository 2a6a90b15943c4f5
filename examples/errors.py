"""What goes wrong, and what is left of it: errors with their facts, partial success, and more retries for one call.

python examples/errors.py --local                # no key and no network: a server on this machine that fails on request
RUNWARE_API_KEY=... python examples/errors.py    # the real thing, where the second part may well succeed
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from runware import Image, ImageInference, IncompleteResultsError, Partial, Runware, RunwareError, ValidationError


def show(results: Partial[Image], error: RunwareError | None) -> None:
    if error is None:
        print(f"  {results.completed} of {results.total}")
    else:
        print(f"  {error.message}")


def main(rw: Runware) -> None:
    with rw:
        print("A mistake in a parameter:")
        try:
            rw.image_inference(positive_prompt="a rendering of a house", model="runware:101@1", width=1000, height=1024)
        except ValidationError as error:
            print(f"  change {error.parameter}: {error.message} (task {error.task_uuid})")

        print("Some pictures of several:")
        request = ImageInference(
            positive_prompt="[fail:3] a series of landscape photographs",
            width=1024,
            height=1024,
            number_results=4,
            seed=1,
            retry=0,
            on_partial=show,
        )
        try:
            images: Sequence[Image] = rw.run(request)
        except IncompleteResultsError as error:
            images = error.results  # these are complete, and paid for
        print(f"  {len(images)} to go on with")

        print("Trouble that passes, with more retries and the cost of this one call:")
        important = rw.image_inference(
            positive_prompt="[rate-limit:2] ultra-detailed fantasy artwork",
            width=1024,
            height=1024,
            retry=5,
            include_cost=True,
        )
        print(f"  ${important.cost} after {len(important[0].meta.attempts)} failed attempts")


if __name__ == "__main__":
    if "--local" in sys.argv:
        from runware.local import LocalServer

        with LocalServer(delay=0.1, spread=0.1, frame_size=1) as server:
            main(Runware(server.api_key, url=server.url, retry_delay=0.1))
    else:
        main(Runware())
