"""Streams of text: how late a piece is, and how many pieces a second there can be."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import httpx2

from benchmarks.harness import Context, Figure, interleave, percentile
from benchmarks.loopback import client
from runware import Runware

__all__ = ["tokens"]

MODEL = "google:gemma@4-31b"
NANO = 1e-9

Read = Callable[[Runware, str, Callable[[str], object]], None]


def asked(prompt: str) -> dict[str, Any]:
    """Give the parameters of a stream."""
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}


def blocking(rw: Runware, prompt: str, told: Callable[[str], object]) -> None:
    """Read in the caller's thread."""
    with rw.stream_text(**asked(prompt)) as stream:
        for piece in stream:
            told(piece.text)


def in_loop(rw: Runware, prompt: str, told: Callable[[str], object]) -> None:
    """Read in an event loop."""

    async def run() -> None:
        async with rw.aio.stream_text(**asked(prompt)) as stream:
            async for piece in stream:
                told(piece.text)

    asyncio.run(run())


def job(rw: Runware, prompt: str, told: Callable[[str], object]) -> None:
    """Read a job, whose pieces come from another thread."""
    for piece in rw.submit.stream_text(**asked(prompt)):
        told(piece.text)


def bare(url: str) -> Read:
    """Make a loop on the HTTP library that does nothing else: the limit."""

    def read(_: Runware, prompt: str, told: Callable[[str], object]) -> None:
        task = {"taskType": "textInference", "taskUUID": str(uuid.uuid4()), "deliveryMethod": "stream", **asked(prompt)}
        with httpx2.Client(trust_env=False) as http, http.stream("POST", url, json=[task]) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    told(json.loads(line[6:])["delta"].get("text", ""))

    return read


def tokens(context: Context) -> list[Figure]:
    """From the server's write of a piece to the caller who gets it, and pieces a second, for all three forms."""
    forms: dict[str, Read] = {"blocking": blocking, "submit": job, "asyncio": in_loop}
    forms["bare"] = bare(context.url.replace("ws://", "http://"))
    pieces, many = 100 if context.quick else 250, 5_000 if context.quick else 20_000
    figures: list[Figure] = []
    with client(context) as rw:
        for name, read in forms.items():
            runs = [_lags(rw, read, pieces) for _ in range(context.runs + 1)][1:]  # the first one loads modules
            note = "server's write to the caller"
            figures += [
                Figure(f"tokens.{name}.median", [percentile(run, 0.5) for run in runs], "ms", "lower", note),
                Figure(f"tokens.{name}.p99", [percentile(run, 0.99) for run in runs], "ms", "lower", note),
            ]
        columns = interleave(context.runs, *(_rate(rw, read, many) for read in forms.values()))
    limit = columns[-1]
    for name, column in zip(forms, columns, strict=True):
        note = f"{many:,} pieces at once"
        figures.append(Figure(f"tokens.{name}.rate", column.each(float), "1/s", "higher", note))
        if column is not limit:
            against = f"time of {note} / that of a bare httpx2 loop"
            figures.append(Figure(f"tokens.{name}.share", limit.over(column, float), "x", "lower", against))
    return figures


def _lags(rw: Runware, read: Read, pieces: int) -> list[float]:
    """Give the lag of each piece, in milliseconds."""
    lags: list[float] = []

    def told(text: str) -> None:
        now = time.monotonic_ns()
        lags.extend((now - stamp) * NANO * 1e3 for stamp in _stamps(text))

    read(rw, f"x #pieces={pieces} #every=2", told)
    assert len(lags) == pieces
    return lags


def _stamps(text: str) -> Iterable[int]:
    return map(int, text.split())


def _rate(rw: Runware, read: Read, pieces: int) -> Callable[[], float]:
    """Make what measures how many pieces a second are read when all are there."""

    def measure() -> float:
        texts: list[str] = []
        started = time.perf_counter()
        read(rw, f"x #pieces={pieces}", texts.append)
        taken = time.perf_counter() - started
        assert sum(map(bool, texts)) == pieces
        return pieces / taken

    return measure
