"""Asking the server about tasks that it has, or may have."""

from __future__ import annotations

from collections.abc import Iterable

from runware._support.http_headers import Headers
from runware.protocol.call import Call
from runware.protocol.connection import Connection
from runware.protocol.effects import Send, State
from runware.protocol.exchanges import Exchanges
from runware.protocol.output import Output
from runware.protocol.poll_schedule import ANSWER_TIMEOUT, EXCHANGE_TIMEOUT, question_frames
from runware.protocol.timers import Timers

__all__ = ["TaskPoller"]


class TaskPoller:
    """Sends polls, and sets the time limits of their answers."""

    def __init__(self, connection: Connection, timers: Timers, output: Output, exchanges: Exchanges | None) -> None:
        self._connection = connection
        self._timers = timers
        self._output = output
        self._exchanges = exchanges
        self._limit = ANSWER_TIMEOUT if exchanges is None else EXCHANGE_TIMEOUT

    def took(self, call: Call, now: float) -> float:
        """Return how many seconds ago a call was polled. Its timer is that of the poll, whose answer has just come."""
        return now - (call.timer - self._limit)

    def poll(self, calls: list[Call], now: float) -> None:
        """Ask about some calls, unless there is no connection: once there is one, every such call is asked about."""
        if not calls or self._connection.state is not State.READY:
            return
        exchanges = self._exchanges
        due = now + self._limit
        for call in calls:
            self._timers.set_poll_limit(call, due)
            call.polling.outstanding = True
            if self._output.watched:
                self._output.task_event("Polled", call, now, progress=call.progress)
        self._output.counts["questions"] += len(calls)
        if exchanges is None:
            self._output.effects.extend(Send(text) for text, _ in question_frames(calls))
            return
        for group in _with_equal_headers(calls):
            for text, asked in question_frames(group):
                exchanges.begin(text, asked, question=True)


def _with_equal_headers(calls: list[Call]) -> Iterable[list[Call]]:
    """Group calls: those of one request share its headers."""
    if not any(call.headers for call in calls):
        return (calls,)  # the common case
    groups: dict[Headers, list[Call]] = {}
    for call in calls:
        groups.setdefault(call.headers, []).append(call)
    return groups.values()
