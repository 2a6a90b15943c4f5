"""Text: streams of it, and chats. Loaded when it is first used."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from runware._support.import_lock import loading as _loading

if TYPE_CHECKING:
    from runware.text.answers import Answer
    from runware.text.chat import AsyncChat, AsyncChatStream, Chat, ChatStream
    from runware.text.completions import ChatPiece
    from runware.text.streams import AsyncTextStream, StreamJob, TextStream
    from runware.text.tools import Tool, ToolRun, tool
else:
    _WHERE = {
        name: f"runware.text.{module}"
        for module, names in {
            "answers": "Answer",
            "chat": "AsyncChat AsyncChatStream Chat ChatStream",
            "completions": "ChatPiece",
            "streams": "AsyncTextStream StreamJob TextStream",
            "tools": "Tool ToolRun tool",
        }.items()
        for name in names.split()
    }

    def __getattr__(name: str) -> object:
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with _loading:
            found = globals()[name] = getattr(_import_module(_WHERE[name]), name)
        return found


__all__ = [
    "Answer",
    "AsyncChat",
    "AsyncChatStream",
    "AsyncTextStream",
    "Chat",
    "ChatPiece",
    "ChatStream",
    "StreamJob",
    "TextStream",
    "Tool",
    "ToolRun",
    "tool",
]
