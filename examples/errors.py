"""Handle errors: their attributes, partial success, and more retries for one call.

python examples/errors.py --local                # against a local server that fails on request
RUNWARE_API_KEY=... python examples/errors.py    # against the API, where the second part may succeed
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
        print("An invalid parameter:")
        try:
            rw.image_inference(positive_prompt="a rendering of a house", model="runware:101@1", width=1000, height=1024)
        except ValidationError as error:
            print(f"  change {error.parameter}: {error.message}")

        print("A failure of some results:")
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
            images = error.results  # these are complete, and billed
        print(f"  {len(images)} images")

        print("A temporary failure, with more retries, and the cost of the call:")
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
            main(Runware(server.api_key, url=server.url, retry_delay=0.1, check="error"))
    else:
        main(Runware(check="error"))
