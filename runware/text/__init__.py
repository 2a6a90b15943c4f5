"""Text: streams of it, and chats. Loaded when it is first used."""

from typing import TYPE_CHECKING

from runware._support.lazy_modules import lazy_attributes as _lazy_attributes

if TYPE_CHECKING:
    from runware.text.answers import Answer
    from runware.text.chat import AsyncChat, AsyncChatStream, Chat, ChatStream
    from runware.text.completions import ChatPiece
    from runware.text.streams import AsyncTextStream, StreamJob, TextStream
    from runware.text.tools import Tool, ToolRun, tool
else:
    _WHERE = {
        name: module
        for module, names in {
            "answers": "Answer",
            "chat": "AsyncChat AsyncChatStream Chat ChatStream",
            "completions": "ChatPiece",
            "streams": "AsyncTextStream StreamJob TextStream",
            "tools": "Tool ToolRun tool",
        }.items()
        for name in names.split()
    }

    __getattr__ = _lazy_attributes(globals(), _WHERE)

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
