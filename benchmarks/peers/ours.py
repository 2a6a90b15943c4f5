"""This client through one of its interface forms: `blocking` or `futures`."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Literal

from serving import EVERY, HOLD, NUMBER, Peer, serve

from runware import Runware

TIMEOUT = 300.0


def small(prompt: str, **more: Any) -> dict[str, Any]:
    """Return the parameters of the task that all clients run."""
    return {"positive_prompt": prompt, "model": "runware:101@1", "width": 1024, "height": 1024, **more}


def asked(prompt: str) -> dict[str, Any]:
    """Give the parameters of a stream."""
    return {"model": "google:gemma@4-31b", "messages": [{"role": "user", "content": prompt}]}


def telling(told: Callable[[int], object]) -> Callable[..., None]:
    """Return a callback for partial results that reports their timestamps."""

    def on_partial(results: Any, error: Exception | None) -> None:
        for one in results:
            told(one.seed)

    return on_partial


def read(found: Iterable[Any]) -> list[Any]:
    """Read the URL of each result: this client parses nothing of a response before it is accessed."""
    answers = list(found)
    for one in answers:
        assert isinstance(one, BaseException) or one[0].url or one[0].base64_data
    return answers


def options() -> dict[str, Any]:
    """Return the options that the arguments after the first one name."""
    found: dict[str, Any] = {}
    if "unchecked" in sys.argv[2:]:
        found["check"] = "off"
    if "once" in sys.argv[2:]:
        found["max_retries"] = 0
    if "store" in sys.argv[2:]:
        found["store"] = f"sqlite:///{importlib.import_module('tempfile').mkdtemp()}/jobs.db"
    return found


def make(url: str) -> Runware:
    """Return a client, which uses HTTP for the URL of that scheme."""
    transport: Literal["http", "websocket"] = "http" if url.startswith("http") else "websocket"
    return Runware("bench", url=url, transport=transport, timeout=TIMEOUT, long_timeout=TIMEOUT, **options())


class Blocking(Peer):
    """Blocking calls; many at once go through `map`, and polled ones through threads."""

    rw: Runware

    def open(self, url: str) -> None:
        self.rw = make(url)
        if not url.startswith("http"):  # there, it would only check the key, by a request of its own
            self.rw.connect()

    def call(self, prompt: str, seed_image: str | None = None) -> Any:
        if seed_image is None:
            return self.rw.image_inference(positive_prompt=prompt, model="runware:101@1", width=1024, height=1024)
        return self.rw.image_inference(**small(prompt, seed_image=seed_image))

    def data(self, results: Any) -> str:
        text: str = results[0].base64_data
        return text

    def together(self, prompt: str, count: int) -> list[Any]:
        inputs = [small(prompt)] * count
        return read(self.rw.map(self.rw.image_inference, inputs, concurrency=count, return_exceptions=True))

    def partial(self, told: Callable[[int], object]) -> None:
        self.rw.image_inference(**small(EVERY, number_results=NUMBER), on_partial=telling(told))

    def stream(self, prompt: str, told: Callable[[str], object]) -> None:
        with self.rw.stream_text(**asked(prompt)) as stream:
            for text in stream.text():
                told(text)

    def polled(self, prompts: list[str], told: Callable[[int, int], object], spacing: float) -> None:
        def one(number: int) -> None:
            told(number, self.rw.image_inference(**small(prompts[number]), delivery_method="async")[0].seed or 0)

        with ThreadPoolExecutor(len(prompts)) as pool:
            waiting = []
            for number in range(len(prompts)):
                waiting.append(pool.submit(one, number))
                time.sleep(spacing)
            for each in waiting:
                each.result()


class Futures(Blocking):
    """Calls that return a job immediately."""

    def call(self, prompt: str, seed_image: str | None = None) -> Any:
        if seed_image is None:
            return self.rw.submit.image_inference(
                positive_prompt=prompt, model="runware:101@1", width=1024, height=1024
            ).result()
        return self.rw.submit.image_inference(**small(prompt, seed_image=seed_image)).result()

    def together(self, prompt: str, count: int) -> list[Any]:
        parameters = small(prompt)
        jobs = [self.rw.submit.image_inference(**parameters) for _ in range(count)]
        return read(job.exception() or job.result() for job in jobs)

    def partial(self, told: Callable[[int], object]) -> None:
        self.rw.submit.image_inference(**small(EVERY, number_results=NUMBER), on_partial=telling(told)).result()

    def stream(self, prompt: str, told: Callable[[str], object]) -> None:
        for piece in self.rw.submit.stream_text(**asked(prompt)):
            told(piece.text)

    def polled(self, prompts: list[str], told: Callable[[int, int], object], spacing: float) -> None:
        left = set(range(len(prompts)))

        def start(number: int) -> Any:
            def done(job: Any) -> None:
                told(number, job.result(0)[0].seed)
                left.discard(number)

            job = self.rw.submit.image_inference(**small(prompts[number]), delivery_method="async")
            job.add_done_callback(done)
            return job

        jobs = []
        for number in range(len(prompts)):
            jobs.append(start(number))
            if spacing:
                time.sleep(spacing)
        wait(jobs)  # one wake-up; the callbacks report
        while left:
            time.sleep(0.001)

    def leave(self, count: int) -> None:
        parameters = small(HOLD)
        kept = [self.rw.submit.image_inference(**parameters) for _ in range(count)]
        self.kept = [*getattr(self, "kept", []), *kept]


if __name__ == "__main__":
    serve({"blocking": Blocking, "futures": Futures}[sys.argv[1]]())
