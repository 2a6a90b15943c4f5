"""What a chat asks its driver to do. Decisions are made without I/O, and the blocking and the asyncio form share them.

A generator yields steps; its driver performs them, and sends the outcome back or throws the error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from runware.text.completions import ChatPiece
from runware.text.exchange import BrokenConnectionError, DeadlineError, Read, Reply, Sleep
from runware.text.tools import Tool, ToolRun

__all__ = [
    "AwaitTool",
    "BrokenConnectionError",
    "DeadlineError",
    "Hand",
    "Open",
    "Prepare",
    "Prepared",
    "Read",
    "Reply",
    "Sleep",
    "StartTools",
    "Step",
]


class Open(NamedTuple):
    """Connect and send a request. The outcome is a `Reply`.

    Attributes:
        path: The path below the API's base URL.
        body: The body to POST; `None` for a GET.
        until: When it must be done, in the time of the driver's clock.
    """

    path: str
    body: bytes | None
    until: float


class Prepare(NamedTuple):
    """Run something that may read files. The outcome is what it returns.

    Attributes:
        work: The function.
        blocks: Whether it may take long, and must not run on an event loop.
    """

    work: Callable[[], Any]
    blocks: bool


class Prepared(NamedTuple):
    """A call of a tool that can run.

    Attributes:
        run: The call.
        tool: Its tool.
        function: The function with its arguments.
    """

    run: ToolRun
    tool: Tool
    function: Callable[[], Any]


class StartTools(NamedTuple):
    """Start calls of tools, all at the same time.

    Attributes:
        calls: The calls.
    """

    calls: Sequence[Prepared]


class AwaitTool(NamedTuple):
    """Wait for the next call that ends. The outcome is its `ToolRun`.

    Attributes:
        until: When it must be done.
    """

    until: float


class Hand(NamedTuple):
    """Hand a piece to the caller.

    Attributes:
        piece: The piece.
    """

    piece: ChatPiece


Step = Open | Read | Sleep | Prepare | StartTools | AwaitTool | Hand
