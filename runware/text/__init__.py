"""Text: streams of it, and chats. Loaded when it is first used."""

from typing import TYPE_CHECKING

from runware._support.lazy_modules import load_module as _load_module

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
        found = globals()[name] = getattr(_load_module(_WHERE[name]), name)
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
