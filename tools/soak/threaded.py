"""Callers in threads: blocking calls, jobs, `map`, large messages, text, forks, clients that come and go."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, Literal

from runware import ConnectionLostError, Runware

from .call_log import Call, CallLog, Outcome
from .clients import Clients
from .server import LARGE_RESULT, digest

__all__ = ["CHAT_MODEL", "TEXT_MODEL", "Threaded", "add", "check_seeds", "picture_of", "record_outcome"]

TEXT_MODEL = CHAT_MODEL = "google:gemma@4-31b"
_CHILD_TIME = 60
"""Seconds after which a forked child that hangs is ended."""
MIB = 2**20


def picture_of(call: Call) -> dict[str, Any]:
    """Return the parameters of a small image."""
    return {
        "positive_prompt": call.prompt,
        "seed": call.seed,
        "model": "runware:101@1",
        "width": 512,
        "height": 512,
    }


def check_seeds(call: Call, results: Iterable[Any], count: int = 1) -> None:
    """Raise `AssertionError` unless these are the results of this call."""
    seeds = sorted(result.seed for result in results)
    expected = list(range(call.seed, call.seed + count))
    assert seeds == expected, f"got seeds {seeds} instead of {expected}"


def add(first: int, second: int) -> int:
    """Add two numbers; a tool of the chats."""
    return first + second


def record_outcome(call_log: CallLog, call: Call, results: Any) -> None:
    """Record how one call of `map` ended, with results or an exception."""
    try:
        if isinstance(results, Exception):
            raise results
        check_seeds(call, results)
    except Exception as error:
        # Whatever it is, this call is lost, and the others are not.
        call_log.lose(call, error)
    else:
        call_log.end(call)


class Threaded:
    """The turns of callers in threads. Each method makes one turn.

    Args:
        clients: The clients.
        call_log: Where each call is recorded.
        seed: Of the large inputs.
    """

    def __init__(self, clients: Clients, call_log: CallLog, seed: int) -> None:
        self._clients = clients
        self._rw = clients.main
        self._call_log = call_log
        self._bytes = random.Random(seed).randbytes(2 * MIB)
        self._runs = itertools.count()

    # Small calls.

    def small(self, _: random.Random) -> None:
        """Make one blocking call."""
        with self._call_log.call("small") as call:
            check_seeds(call, self._rw.image_inference(**picture_of(call)))

    def http(self, _: random.Random) -> None:
        """Make one blocking call over HTTP."""
        with self._call_log.call("HTTP") as call:
            check_seeds(call, self._clients.http.image_inference(**picture_of(call)))

    def futures(self, rng: random.Random) -> None:
        """Submit many jobs, and collect them in one of several ways."""
        calls = [self._call_log.begin("future") for _ in range(rng.randint(1, 39))]
        start = time.monotonic()
        jobs: dict[Future[Any], Call] = {self._rw.submit.image_inference(**picture_of(call)): call for call in calls}
        how = rng.randrange(3)
        if how == 0:
            for job in concurrent.futures.as_completed(jobs):
                self._settle(job, jobs[job])
        elif how == 1:
            for job, call in jobs.items():
                self._settle(job, call)
        else:
            for job, call in jobs.items():
                job.add_done_callback(partial(self._settle, call=call))
            concurrent.futures.wait(jobs)
        self._call_log.took("future", time.monotonic() - start)

    def _settle(self, job: Future[Any], call: Call) -> None:
        try:
            check_seeds(call, job.result())
        except CancelledError:
            self._call_log.end(call, Outcome.CANCELLED)
        except Exception as error:
            # Whatever it is, this call is lost, and the others are not.
            self._call_log.lose(call, error)
        else:
            self._call_log.end(call)

    def cancelled(self, rng: random.Random) -> None:
        """Submit jobs, and cancel some of them at any moment."""
        calls = [self._call_log.begin("cancelled job") for _ in range(10)]
        method: Literal["sync", "async"] = "async" if rng.random() < 0.2 else "sync"
        jobs = {self._rw.submit.image_inference(**picture_of(call), delivery_method=method): call for call in calls}
        for job in rng.sample(list(jobs), 6):
            time.sleep(rng.uniform(0.0, 0.004))
            job.cancel()
        for job, call in jobs.items():
            self._settle(job, call)

    def mapped(self, rng: random.Random) -> None:
        """Run `map` over a number of inputs; one time in five, leave it early."""
        calls: list[Call] = []
        count = rng.randint(1, 39)
        leave = rng.randrange(count) if rng.random() < 0.2 else count
        ended = 0
        outcomes = self._rw.map(self._rw.image_inference, self._inputs("map", calls, count), return_exceptions=True)
        for call_number, results in enumerate(outcomes):
            record_outcome(self._call_log, calls[call_number], results)
            ended += 1
            if ended > leave:
                break
        del outcomes
        for call in calls[ended:]:
            self._call_log.end(call, Outcome.CANCELLED)

    def _inputs(self, kind: str, calls: list[Call], count: int) -> Iterator[dict[str, Any]]:
        for _ in range(count):
            calls.append(self._call_log.begin(kind))
            yield picture_of(calls[-1])

    # Polled tasks.

    def polled(self, _: random.Random) -> None:
        """Run a polled task with two results, as a job."""
        with self._call_log.call("polled") as call:
            job = self._rw.submit.image_inference(**picture_of(call), number_results=2, delivery_method="async")
            check_seeds(call, job.result(), 2)

    def video(self, _: random.Random) -> None:
        """Make a video."""
        with self._call_log.call("video") as call:
            videos = self._rw.video_inference(positive_prompt=call.prompt, model="klingai:5@3", duration=5)
            assert len(videos) == 1
            assert videos[0].url

    # Large messages.

    def large_result(self, _: random.Random) -> None:
        """Ask for an image as base64."""
        with self._call_log.call("large result") as call:
            images = self._rw.image_inference(**picture_of(call), output_type="base64Data", output_format="PNG")
            check_seeds(call, images)
            data = images[0].base64_data
            assert data is not None
            assert len(data) >= LARGE_RESULT
            assert base64.b64decode(data).startswith(b"\x89PNG")
            self._call_log.carried(len(data))

    def large_input(self, rng: random.Random) -> None:
        """Send an image of 0.3 to 1.3 MB of base64.

        Until the server has answered it, silence is allowed to last a second longer for each 64 KiB of it. So a
        connection that falls silent then holds up all calls for up to 25 s.
        """
        uri = "data:image/png;base64," + self._base64(rng, MIB // 4, MIB)
        with self._call_log.call("large input") as call:
            prompt = f"large input {digest(uri)} {call.number}"
            images = self._rw.image_inference(positive_prompt=prompt, seed=call.seed, seed_image=uri, strength=0.5)
            check_seeds(call, images)
            self._call_log.carried(len(uri))

    def stored_input(self, rng: random.Random) -> None:
        """Send one of 50 images that the client stores on the server first, unless it has stored them before."""
        start = rng.randrange(50)
        uri = "data:image/png;base64," + base64.b64encode(self._bytes[start : start + 100_000]).decode()
        with self._call_log.call("stored input") as call:
            once = self._clients.once
            images = once.image_inference(positive_prompt=call.prompt, seed=call.seed, seed_image=uri, strength=0.5)
            check_seeds(call, images)

    def upload(self, rng: random.Random) -> None:
        """Upload an image."""
        with self._call_log.call("upload"):
            upload = self._rw.image_upload(image="data:image/png;base64," + self._base64(rng, 20_000, 60_000))
            assert upload.uuid

    def _base64(self, rng: random.Random, smallest: int, largest: int) -> str:
        start = rng.randrange(1000)
        return base64.b64encode(self._bytes[start : start + rng.randrange(smallest, largest)]).decode()

    # Text.

    def stream(self, _: random.Random) -> None:
        """Read a token stream to its end."""
        with self._call_log.call("stream") as call:
            try:
                with self._rw.stream_text(model=TEXT_MODEL, messages=_question(call)) as stream:
                    pieces = "".join(stream.text())
                    answer = stream.result()
            except ConnectionLostError:
                call.outcome = Outcome.CUT
            else:
                assert answer.text
                assert pieces == answer.text

    def stream_left(self, rng: random.Random) -> None:
        """Leave a token stream after some pieces."""
        with self._call_log.call("stream left early") as call:
            call.outcome = Outcome.CANCELLED
            with (
                contextlib.suppress(ConnectionLostError),
                self._rw.stream_text(model=TEXT_MODEL, messages=_question(call)) as stream,
            ):
                for _ in itertools.islice(stream, rng.randrange(6)):
                    pass

    def stream_job(self, _: random.Random) -> None:
        """Read a token stream as a job."""
        with self._call_log.call("stream job") as call:
            job = self._rw.submit.stream_text(model=TEXT_MODEL, messages=_question(call))
            try:
                pieces = "".join(piece.text for piece in job)
                answer = job.result()
            except ConnectionLostError:
                call.outcome = Outcome.CUT
            else:
                assert pieces == answer.text

    def chat(self, _: random.Random) -> None:
        """Send two messages of a chat, one of them by pieces."""
        chat = self._rw.chat(CHAT_MODEL)
        with self._call_log.call("chat") as call:
            try:
                assert call.prompt in chat.send(call.prompt).text
            except ConnectionLostError:
                call.outcome = Outcome.CUT
        with self._call_log.call("chat") as call:
            try:
                with chat.stream(call.prompt) as stream:
                    pieces = "".join(stream.text())
                assert call.prompt in pieces
            except ConnectionLostError:
                call.outcome = Outcome.CUT

    def tools(self, _: random.Random) -> None:
        """Send a message of a chat whose answer calls a function."""
        chat = self._rw.chat(CHAT_MODEL, tools=[add])
        with self._call_log.call("chat with a tool") as call:
            question = f'[call:add {{"first": {call.number}, "second": 1}}] {call.prompt}'
            try:
                answer = chat.send(question)
            except ConnectionLostError:
                call.outcome = Outcome.CUT
            else:
                assert [one.result for one in answer.tool_calls] == [call.number + 1]

    # Processes and clients.

    def fork(self, _: random.Random) -> None:
        """Fork a child, which makes a call with the client that it inherits."""
        with self._call_log.call("forked child") as call:
            child = os.fork()
            if child == 0:
                self._be_child(call)
            deadline = time.monotonic() + _CHILD_TIME
            while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    raise AssertionError("the child hangs")
                time.sleep(0.02)
            assert ended[1] == 0, f"the child ended with {ended[1]}"

    def _be_child(self, call: Call) -> None:
        status = 1
        try:
            check_seeds(call, self._rw.image_inference(**picture_of(call)))
            status = 0
        except BaseException as error:
            # The child must end here, whatever happens.
            os.write(2, f"in a child: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)

    def client(self, rng: random.Random) -> None:
        """Open a client, make a call, and close the client, or drop it without closing."""
        transport: Literal["websocket", "http"] = "websocket" if rng.random() < 0.5 else "http"
        with self._call_log.call(f"new client, {transport}") as call:
            client = Runware(self._clients.current_key, transport=transport, **self._clients.options)
            check_seeds(call, client.image_inference(**picture_of(call)))
            if rng.random() < 0.5:
                client.close()

    def durable(self, _: random.Random) -> None:
        """Submit five durable calls."""
        calls = [self._call_log.begin("durable") for _ in range(5)]
        jobs = {self._clients.durable.submit.image_inference(**picture_of(call)): call for call in calls}
        for job, call in jobs.items():
            self._settle(job, call)

    def durable_run(self, _: random.Random) -> None:
        """Start a run twice; the second start must send nothing."""
        rw = self._clients.durable
        run = f"run-{next(self._runs)}"
        calls = [self._call_log.begin("durable run") for _ in range(10)]
        inputs = [picture_of(call) for call in calls]
        for _start in range(2):
            outcomes = rw.map(rw.image_inference, inputs, run=run, return_exceptions=True)
            for call, results in zip(calls, outcomes, strict=True):
                record_outcome(self._call_log, call, results)


def _question(call: Call) -> list[dict[str, str]]:
    return [{"role": "user", "content": call.prompt}]
