"""The open exchanges: which request was made for which calls, over a transport of requests and responses."""

from __future__ import annotations

from collections.abc import Iterable

from runware.protocol.call import Call
from runware.protocol.effects import DropExchange, Exchange
from runware.protocol.output import Output

__all__ = ["Exchanges"]


class Exchanges:
    """Begins exchanges, and drops those that no call waits for any more. A call is part of one at most.

    Args:
        limit: How many may be open at once; questions about tasks are made beyond it.
        output: Takes the effects.
    """

    def __init__(self, limit: int, output: Output) -> None:
        self._limit = limit
        self._output = output
        self._of: dict[Call, Exchange] = {}
        self._tasks = 0

    @property
    def full(self) -> bool:
        """Whether no further task can be sent now."""
        return self._tasks >= self._limit

    def of(self, call: Call) -> Exchange | None:
        """Return the open exchange that a call is part of, if any."""
        return self._of.get(call)

    def begin(self, text: bytes, calls: Iterable[Call], *, question: bool) -> None:
        """Make a request for some calls."""
        exchange = Exchange(text, tuple(calls), question=question)
        for call in exchange.calls:
            self.leave(call)
            self._of[call] = exchange
        if not question:
            self._tasks += 1
        self._output.effects.append(exchange)

    def finish(self, exchange: Exchange) -> list[Call]:
        """Close an exchange that has an outcome, and return the calls that still wait for it."""
        if not exchange.open:
            return []
        self._close(exchange)
        waiting = [call for call in exchange.calls if self._of.get(call) is exchange]
        for call in waiting:
            del self._of[call]
        return waiting

    def leave(self, call: Call) -> None:
        """Take a call out of its exchange, and drop that if nothing else waits for it."""
        exchange = self._of.pop(call, None)
        if exchange is not None and not any(self._of.get(other) is exchange for other in exchange.calls):
            self._close(exchange)
            self._output.effects.append(DropExchange(exchange))

    def _close(self, exchange: Exchange) -> None:
        exchange.open = False
        if not exchange.question:
            self._tasks -= 1
