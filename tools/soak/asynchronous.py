"""Callers in an event loop."""

from __future__ import annotations

import asyncio
import random

from runware import AsyncRunware, ConnectionLostError

from .call_log import Call, CallLog, Outcome
from .clients import Clients
from .threaded import CHAT_MODEL, TEXT_MODEL, add, check_seeds, picture_of, record_outcome

__all__ = ["Asynchronous"]


class Asynchronous:
    """The turns of callers in an event loop. Each method makes one turn.

    Args:
        clients: The clients.
        call_log: Where each call is recorded.
    """

    def __init__(self, clients: Clients, call_log: CallLog) -> None:
        self._clients = clients
        self._aio = clients.main.aio
        self._call_log = call_log

    async def gathered(self, rng: random.Random) -> None:
        """Make many calls at the same time."""
        await asyncio.gather(*(self._one("asyncio", self._aio) for _ in range(rng.randint(1, 39))))

    async def http_gathered(self, _: random.Random) -> None:
        """Make five calls at the same time over HTTP."""
        await asyncio.gather(*(self._one("asyncio, HTTP", self._clients.http.aio) for _ in range(5)))

    async def _one(self, kind: str, rw: AsyncRunware) -> None:
        with self._call_log.call(kind) as call:
            check_seeds(call, await rw.image_inference(**picture_of(call)))

    async def cancelled(self, rng: random.Random) -> None:
        """Start tasks, and cancel some of them at any moment."""
        calls = [self._call_log.begin("cancelled task") for _ in range(10)]
        tasks = [asyncio.create_task(self._image(call)) for call in calls]
        spared = set(range(10)) - set(rng.sample(range(10), 6))
        for number in set(range(10)) - spared:
            await asyncio.sleep(rng.uniform(0.0, 0.004))
            tasks[number].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for number, (call, error) in enumerate(zip(calls, results, strict=True)):
            if error is None:
                self._call_log.end(call)
            elif isinstance(error, asyncio.CancelledError) and number not in spared:
                self._call_log.end(call, Outcome.CANCELLED)
            else:
                self._call_log.lose(call, error)

    async def _image(self, call: Call) -> None:
        check_seeds(call, await self._aio.image_inference(**picture_of(call)))

    async def mapped(self, rng: random.Random) -> None:
        """Run `map` over a number of inputs."""
        calls = [self._call_log.begin("asyncio map") for _ in range(rng.randint(1, 39))]
        inputs = [picture_of(call) for call in calls]
        outcomes = self._aio.map(self._aio.image_inference, inputs, return_exceptions=True)
        number = 0
        async for results in outcomes:
            record_outcome(self._call_log, calls[number], results)
            number += 1

    async def stream(self, rng: random.Random) -> None:
        """Read a token stream; one time in three, cancel the task that reads."""
        with self._call_log.call("asyncio stream") as call:
            task = asyncio.create_task(self._read(call))
            if rng.random() < 0.33:
                await asyncio.sleep(rng.uniform(0.0, 0.05))
                task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                call.outcome = Outcome.CANCELLED
            except ConnectionLostError:
                call.outcome = Outcome.CUT

    async def _read(self, call: Call) -> None:
        question = [{"role": "user", "content": call.prompt}]
        async with self._aio.stream_text(model=TEXT_MODEL, messages=question) as stream:
            pieces = [text async for text in stream.text()]
            answer = await stream.result()
        assert answer.text
        assert "".join(pieces) == answer.text

    async def chat(self, _: random.Random) -> None:
        """Send a message of a chat whose answer calls a function."""
        chat = self._aio.chat(CHAT_MODEL, tools=[add])
        with self._call_log.call("chat with a tool") as call:
            question = f'[call:add {{"first": {call.number}, "second": 1}}] {call.prompt}'
            try:
                answer = await chat.send(question)
            except ConnectionLostError:
                call.outcome = Outcome.CUT
            else:
                assert [one.result for one in answer.tool_calls] == [call.number + 1]

    async def client(self, _: random.Random) -> None:
        """Open a client for one call, as a web service should not."""
        with self._call_log.call("new client, asyncio") as call:
            async with AsyncRunware(self._clients.current_key, **self._clients.options) as client:
                check_seeds(call, await client.image_inference(**picture_of(call)))
