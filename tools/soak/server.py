"""The server, in a process of its own: breaks its connections on request, and counts what it executes."""

from __future__ import annotations

import hashlib
import logging
import random
import ssl
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs

from runware.local import LocalServer

__all__ = ["DROPS", "FIRST_KEY", "LARGE_RESULT", "Account", "digest", "resident", "serve"]

FIRST_KEY = "rw-soak-key-0"
DROPS = {"rst": 3, "fin": 3, "close": 3, "stall": 1}
"""How connections end, and how often. Silence holds up a client's calls for seconds, and is rarer for that."""
LARGE_RESULT = 3 * 2**20
"""Characters of base64 of an image in a result."""
_KEPT = 8000
"""Tasks that the server remembers at least. At 1,000 calls a second, more than the 5 s in which a drop is repaired."""


@attrs.frozen
class Account:
    """What the server reports at the end.

    Attributes:
        executed: How often each call was executed, by its number; one byte each.
        spoilt: Prompts of large inputs that did not arrive as they were sent.
        connections: WebSocket connections.
        resumes: Sessions that were resumed.
        conflicts: Tasks refused because their UUID was in use.
        errors: Exceptions in the server.
        cpu: CPU time of its process in seconds.
    """

    executed: bytes
    spoilt: list[str]
    connections: int
    resumes: int
    conflicts: int
    errors: list[str]
    cpu: float = 0.0


def digest(text: str) -> str:
    """Return a short digest of a large text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def resident(process: int | str = "self") -> float:
    """Return the resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


class _Durations:
    """The duration of each task: a while for polled ones, little for the others.

    Args:
        scale: 1 for polled tasks of 0.5 to 2.5 s.
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._random = random.Random(1)

    def __call__(self, task: dict[str, Any]) -> float:
        chance = self._random.random()
        if task.get("deliveryMethod") == "async":
            return self._scale * (0.5 + 2.0 * chance)
        return max(0.0, 0.03 * (chance - 0.5))


def serve(pipe: Connection, certificate: bytes, limit: int, scale: float) -> None:
    """Run the server until the pipe signals the end.

    Args:
        pipe: Orders come from it, and the account is sent to it.
        certificate: PEM of the private key and the certificate.
        limit: The number of calls that there may be.
        scale: Scale of the durations of polled tasks.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        path.write_bytes(certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    # Requests that a drop has cut in two are no news.
    logging.getLogger("aiohttp.server").disabled = True
    executed = bytearray(limit)
    spoilt: list[str] = []

    def check(task: dict[str, Any]) -> None:
        # A large input is complete if it has the digest in its prompt.
        prompt = str(task.get("positivePrompt", ""))
        if prompt.startswith("large input") and digest(task["seedImage"]) != prompt.split()[2]:
            spoilt.append(prompt)

    with LocalServer(
        api_key=FIRST_KEY, ssl_context=context, delay=_Durations(scale), spread=0.001, keep=_KEPT
    ) as server:
        ledger = server.ledger
        book = ledger.execute

        def execute(record: Any) -> None:
            number = record.prompt.rpartition(" ")[2]
            if number.isdecimal():
                executed[int(number)] = min(executed[int(number)] + 1, 255)
            book(record)

        ledger.execute = execute  # type: ignore[method-assign]
        server.script(check)
        server.play("X11", size=LARGE_RESULT)
        pipe.send(server.url)
        while (order := pipe.recv()) != "stop":
            if order == "close":
                server.close_connections(1001)
            elif order == "stall":
                server.stall()
            elif order in DROPS:
                server.drop(order)
            else:
                server.api_key = order
                server.drop()
                pipe.send("done")
        errors = list(map(repr, ledger.errors))
        counts = (ledger.connections, ledger.resumes, ledger.conflicts)
        pipe.send(Account(bytes(executed), spoilt, *counts, errors, time.process_time()))
