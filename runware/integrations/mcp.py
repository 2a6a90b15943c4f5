"""An MCP server with the tools of `runware.agents` (extra `mcp`), over standard input and output or over HTTP."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread
import uvicorn
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from PIL import Image

from runware import __version__
from runware._support.logs import log_or_stderr
from runware.agents import Toolbox, ToolResult
from runware.agents.toolbox import watcher
from runware.jobs import Progress
from runware.media.kinds import SNIFFED_BYTES, sniff
from runware.text import Tool

__all__ = ["create_server", "serve_http", "serve_stdio"]

log = logging.getLogger("runware.mcp")

_MOST_PREVIEWS = 4
_PREVIEW_BYTES = 256 * 1024
"""A larger image is shown as a preview: hosts limit the size of an answer, some of them to 1 MB in base64."""
_PREVIEW_PIXELS = 768
_SHOWN_AS_IT_IS = ("image/png", "image/jpeg", "image/webp", "image/gif")
_AUDIO_BYTES = 512 * 1024
_RESOURCE_BYTES = 32 * 2**20
_MOST_RESOURCES = 256
_READ_ONLY = ("search_models", "get_price")

Context: TypeAlias = ServerRequestContext[Any]


def create_server(toolbox: Toolbox) -> Server[Any]:
    """Return a server with the tools, for any transport.

    Args:
        toolbox: The tools, with a folder: results are files there, and content of the answers.
    """
    return _Tools(toolbox).server


def serve_stdio(toolbox: Toolbox) -> None:
    """Serve a host that started this process, over standard input and output, until it closes them."""

    async def serve() -> None:
        server = create_server(toolbox)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(serve)


def serve_http(toolbox: Toolbox, port: int) -> None:
    """Serve hosts on this machine over streamable HTTP, at `http://127.0.0.1:<port>/mcp`, until SIGINT or SIGTERM.

    Args:
        toolbox: The tools.
        port: The TCP port.
    """
    # Only on the loopback address, as there is no authentication: whoever reaches it spends the owner's money.
    app = create_server(toolbox).streamable_http_app(host="127.0.0.1")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


class _Tools:
    """The handlers of a server."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._tools = {tool.name: tool for tool in map(Tool, toolbox.functions)}
        self._files: deque[Path] = deque(maxlen=_MOST_RESOURCES)
        self.server: Server[Any] = Server(
            "runware",
            version=__version__,
            title="Runware",
            description="Makes and edits images, videos and speech with the models of Runware.",
            instructions=self._instructions(),
            website_url="https://runware.ai",
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_read_resource=self._read_resource,
        )

    def _instructions(self) -> str:
        toolbox = self._toolbox
        lines = [
            "Tools that make and edit images, videos and speech. Results are saved as files, and images are shown.",
            "Pass the id of a result on to edit it, or to make a video of it.",
            "Every call that makes something costs money; get_price and search_models do not.",
            "What takes long comes back with a job id: call job_status with it, and do not start it again.",
        ]
        if toolbox.folder is not None:
            lines.append(f"Files are saved in {toolbox.folder}.")
        if toolbox.inputs.folders:
            lines.append(f"Only images in {', '.join(map(str, toolbox.inputs.folders))} can be read from the disk.")
        if (left := str(toolbox.budget)) != "":
            lines.append(f"{left}. It counts for all calls together.")
        return "\n".join(lines)

    # ------------------------------------------------------------------ tools

    async def _list_tools(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_definition(tool) for tool in self._tools.values()])

    async def _call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = self._tools.get(params.name)
        if tool is None:
            return _failed(f"There is no tool {params.name!r}. The tools are: {', '.join(self._tools)}.")
        try:
            arguments = tool.arguments(params.arguments or {})
        except ValueError as error:
            return _failed(f"{tool.name}: {error}. It takes {json.dumps(tool.parameters['properties'])}")
        left = threading.Event()
        watching = watcher.set(_reporter(context, left))
        try:
            return await anyio.to_thread.run_sync(lambda: self._answer(tool, arguments), abandon_on_cancel=True)
        finally:
            left.set()
            watcher.reset(watching)

    def _answer(self, tool: Tool, arguments: dict[str, Any]) -> types.CallToolResult:
        try:
            result = tool(**arguments)
        except CancelledError:  # from `_reporter`: nothing waits for the answer
            return _failed("cancelled")
        except Exception as error:  # the host needs an answer; the traceback is for its user
            log_or_stderr(log, "the tool %s failed", tool.name, trace=True)
            return _failed(f"{tool.name} failed ({type(error).__name__}); the log of the MCP server has more.")
        content: list[types.ContentBlock] = [types.TextContent(text=str(result))]
        failed = False
        if isinstance(result, ToolResult):
            failed = result.error is not None and not result.results
            for number, path in enumerate(result.paths):
                try:
                    content += _shown(path, preview=number < _MOST_PREVIEWS)
                except OSError as error:  # it was moved already; the text has its URL
                    log.warning("%s cannot be shown: %s", path.name, error.strerror)
                    continue
                self._files.append(path)
        return types.CallToolResult(content=content, is_error=failed)

    # ------------------------------------------------------------------ resources

    def _made(self) -> tuple[Path, ...]:
        """Return the files that were made. Tools on other threads add to them meanwhile."""
        return tuple(self._files)

    async def _list_resources(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        found = []
        for path in dict.fromkeys(self._made()):
            with suppress(OSError):  # it was removed, maybe at this moment
                found.append(types.Resource(**_facts(path)))
        return types.ListResourcesResult(resources=found)

    async def _read_resource(self, _: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        # Only files that this server has made, by their exact URI; nothing is looked for on the disk.
        path = next((path for path in self._made() if path.as_uri() == str(params.uri)), None)
        if path is None or not path.is_file():
            raise MCPError(types.INVALID_PARAMS, "There is no such file of this session; resources/list has them.")
        if path.stat().st_size > _RESOURCE_BYTES:
            raise MCPError(types.INVALID_PARAMS, f"The file has more than {_RESOURCE_BYTES // 2**20} MiB.")
        data = await anyio.to_thread.run_sync(path.read_bytes)
        content = types.BlobResourceContents(uri=params.uri, mime_type=sniff(data)[0], blob=_base64(data))
        return types.ReadResourceResult(contents=[content])


def _definition(tool: Tool) -> types.Tool:
    title = tool.name.replace("_", " ").capitalize()
    return types.Tool(
        name=tool.name,
        title=title,
        description=tool.description,
        input_schema=dict(tool.parameters),
        annotations=types.ToolAnnotations(
            title=title, read_only_hint=tool.name in _READ_ONLY, destructive_hint=False, open_world_hint=True
        ),
    )


def _reporter(context: Context, left: threading.Event) -> Callable[[Progress], object]:
    """Return a function that sends the progress of a job to the host.

    Args:
        context: The request.
        left: Set when nothing waits for the tool any more. The function then ends the tool's wait.
    """

    def report(now: Progress) -> None:
        if left.is_set():
            raise CancelledError
        percent = "" if now.percent is None else f", {now.percent:.0f} %"
        # Seconds, since progress may only grow, and not every server tells a percentage.
        anyio.from_thread.run(context.session.report_progress, now.elapsed, None, f"{now.status}{percent}")

    return report


def _failed(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)


# ---------------------------------------------------------------------- content


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        kind = sniff(file.read(SNIFFED_BYTES))[0]
    return {"name": path.name, "uri": path.as_uri(), "mime_type": kind, "size": path.stat().st_size}


def _shown(path: Path, *, preview: bool) -> list[types.ContentBlock]:
    """Return a file as content: a link, and the file itself or a preview where hosts can show it."""
    facts = _facts(path)
    shown: list[types.ContentBlock] = []
    kind: str = facts["mime_type"]
    if preview and kind.startswith("image/"):
        if kind in _SHOWN_AS_IT_IS and facts["size"] <= _PREVIEW_BYTES:
            shown.append(types.ImageContent(data=_base64(path.read_bytes()), mime_type=kind))
        elif (small := _preview(path)) is not None:
            shown.append(types.ImageContent(data=_base64(small), mime_type="image/jpeg"))
    elif preview and kind.startswith("audio/") and facts["size"] <= _AUDIO_BYTES:
        shown.append(types.AudioContent(data=_base64(path.read_bytes()), mime_type=kind))
    return [*shown, types.ResourceLink(**facts)]


def _preview(path: Path) -> bytes | None:
    """Return an image as a small JPEG, transparent parts white; `None` if Pillow cannot read it."""
    try:
        with Image.open(path) as image:
            image.thumbnail((_PREVIEW_PIXELS, _PREVIEW_PIXELS))
            whole = image.convert("RGBA")
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError and others
        log.warning("no preview of %s: %s", path.name, type(error).__name__)
        return None
    white = Image.new("RGBA", whole.size, "white")
    buffer = io.BytesIO()
    Image.alpha_composite(white, whole).convert("RGB").save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
