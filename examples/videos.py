"""Generate one video, then three concurrently. The client polls until they are finished.

python examples/videos.py --local                # against a local server: no key, no network
RUNWARE_API_KEY=... python examples/videos.py    # against the API
"""

from __future__ import annotations

import sys
from concurrent.futures import as_completed

from runware import Runware

SUBJECTS = ["ocean waves at sunset", "city traffic, time-lapse", "a forest in autumn"]


def main(rw: Runware) -> None:
    with rw:
        (video,) = rw.video_inference(
            positive_prompt="a serene mountain landscape at sunset",
            model="bytedance:seedance@1.5-pro",
            duration=10,
            width=1920,
            height=1080,
        )
        print(f"One video after {video.meta.elapsed:.1f} s: {video.url}")

        jobs = [
            rw.submit.video_inference(positive_prompt=subject, model="bytedance:seedance@1.5-pro", duration=10)
            for subject in SUBJECTS
        ]
        print("Three concurrently, in the order of completion:")
        for job in as_completed(jobs):
            (video,) = job.result()
            print(f"  {video.meta.request['positivePrompt']}: {video.url}")


if __name__ == "__main__":
    if "--local" in sys.argv:
        from runware.local import LocalServer

        with LocalServer(delay=lambda task: len(task.get("positivePrompt", "")) / 50) as server:
            main(Runware(server.api_key, url=server.url))
    else:
        main(Runware(long_timeout=600.0, max_retries=3, retry_delay=2.0))
