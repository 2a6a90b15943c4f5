"""Why an official client is ahead where it is, and why a budget is missed: sentences for the tables."""

from __future__ import annotations

__all__ = ["BUDGET_REASONS", "REASONS"]

_TWO_THREADS = (
    "The I/O thread hands each result to the event loop, and wakes it: two changes of thread for each call. They are "
    "the price of a connection that is served whatever the program does."
)
_THREE_WAITS = (
    "The kernel counts three waits of threads for each result, of the I/O thread and of the caller's, in place of "
    "one. Whether that explains the slowest results was not shown."
)
_TURNS = (
    "Nothing spins: two threads take turns with the one that computes, where the other client has one. The kernel "
    "counts about as much time for the caller as for the I/O thread."
)
_GIL = (
    "The I/O thread waits for the interpreter lock beside the program's own work: once more for each call than a "
    "client in one thread."
)

REASONS: dict[tuple[str, str, str], str] = {
    ("serial.wall", "ours-asyncio", "runware-sdk"): _TWO_THREADS,
    ("serial.cpu", "ours-asyncio", "runware-sdk"): _TWO_THREADS,
    ("timers.median", "ours-asyncio", "runware-sdk"): _GIL,
    ("timers.p99", "ours-asyncio", "runware-sdk"): _GIL,
    ("timers.cost", "ours-asyncio", "runware-sdk"): _GIL,
    **{
        (f"thread.{what}", f"ours-{form}", client): _TURNS if what == "cost" else _GIL
        for what in ("median", "p99", "cost")
        for form in ("blocking", "asyncio")
        for client in ("runware-sdk", "runware")
    },
    **{
        ("partial.p99", f"ours-{form}", client): _THREE_WAITS
        for form in ("blocking", "asyncio")
        for client in ("runware-sdk", "runware")
    },
    ("partial.median", "ours-asyncio", "runware-sdk"): _TWO_THREADS,
    ("partial.median", "ours-asyncio", "runware"): _TWO_THREADS,
    **{
        (f"partial.{what}", f"ours-{form}", "sdk-js"): "Node runs the callback in the thread that reads."
        for what in ("median", "p99")
        for form in ("blocking", "futures", "asyncio")
    },
}
"""The key of the line, the form of this client that was compared, such as `ours-asyncio`, and the official client.

A reason is entered when a profile has shown it, and removed with the line.
"""

_COLLECTOR = (
    "The garbage collector visits the objects of all calls in flight (three for each, nine for an awaited one) more "
    "often the more there are. With the collector switched off, the growth is within the budget."
)
BUDGET_REASONS: dict[str, str] = {
    "flight.asyncio": "A third of the difference is asyncio's own: a task, its context, and callbacks. The rest is a "
    "coroutine and a wait for each call, and the turns that the event loop and the I/O thread take.",
    "growth.blocking": _COLLECTOR,
    "growth.futures": _COLLECTOR,
    "growth.asyncio": _COLLECTOR,
    "memory.asyncio": "About 1 KiB is asyncio's own and the caller's: the task, its context, and the coroutine around "
    "the call.",
    "large.socket": "Receiving and decrypting take as long as in the bare loop, which ends there. The client then "
    "finds the text in the message and makes a `str` of it, while nothing more is on its way: 0.3 of 2 ms.",
    "large.orjson": "Long texts do not pass through the JSON parser, so that one parser is as good as the other.",
    "options.store": "The task is written to the disk before it is sent, so that not even a power failure loses what "
    "is paid for. Calls in flight share a write.",
}
"""The reason why a budget is missed, by its figure. A reason is shown only while the budget is missed."""
