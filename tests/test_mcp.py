"""The MCP server, used with the official client library of the protocol: in memory, over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from runware import Runware
from runware.local import LocalServer

from .net import free_port

pytest.importorskip("mcp", reason="it needs the extra `mcp`")
PIL = pytest.importorskip("PIL.Image", reason="it needs the extra `mcp`")

from mcp import Client, ClientSession, MCPError, StdioServerParameters, stdio_client  # noqa: E402 - needs the extra

from runware.agents import Toolbox, toolbox  # noqa: E402
from runware.integrations import mcp as integration  # noqa: E402
from runware.integrations.mcp import create_server  # noqa: E402

PROJECT = pathlib.Path(__file__).parent.parent
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEY = "rw-test-key"
TOOLS = [
    "make_image",
    "edit_image",
    "make_video",
    "make_speech",
    "describe_image",
    "search_models",
    "get_price",
    "job_status",
]
# The first knows the handshake only, the second the protocol of 2026-07-28.
MODES = ["legacy", "auto"]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "pictures"


@pytest.fixture(params=MODES)
def serve(request: pytest.FixtureRequest, rw: Runware, folder: pathlib.Path) -> Callable[..., Any]:
    """Return a function that runs a coroutine function with a client of a server in memory."""

    def run(work: Callable[[Client], Awaitable[Any]], **options: Any) -> Any:
        async def main() -> Any:
            server = create_server(Toolbox(rw, folder=folder, **options))
            async with asyncio.timeout(40), Client(server, mode=request.param) as client:
                return await work(client)

        return asyncio.run(main())

    return run


def text_of(result: Any) -> str:
    first = result.content[0].text
    assert KEY not in str(result)
    assert isinstance(first, str)
    return first


def id_in(result: Any) -> str:
    found = UUID.search(text_of(result))
    assert found is not None
    return found[0]


def only_file(folder: pathlib.Path) -> tuple[str, str, bytes]:
    """Return the name, the URI and the content of the one file in a folder."""
    [path] = folder.iterdir()
    return path.name, path.as_uri(), path.read_bytes()


async def call(client: Any, name: str, /, **arguments: Any) -> Any:
    return await client.call_tool(name, arguments)


# ---------------------------------------------------------------------- in memory


def test_tools_have_small_schemas_and_descriptions(serve: Callable[..., Any]) -> None:
    async def work(client: Client) -> Any:
        return (await client.list_tools()).tools

    tools = serve(work)
    assert [tool.name for tool in tools] == TOOLS
    for tool in tools:
        properties = tool.input_schema["properties"]
        assert tool.description
        assert len(properties) <= 6
        assert all(facts["description"] for facts in properties.values())
        assert tool.annotations.read_only_hint is (tool.name in ("search_models", "get_price"))
    assert len(json.dumps([tool.model_dump(mode="json", exclude_none=True) for tool in tools])) < 9000


def test_image_is_made_shown_edited_and_read_as_a_resource(
    serve: Callable[..., Any], folder: pathlib.Path, server: LocalServer
) -> None:
    async def work(client: Client) -> None:
        made = await call(client, "make_image", prompt="a red kite", width=512, height=512)
        assert [part.type for part in made.content] == ["text", "image", "resource_link"]
        assert not made.is_error
        name, uri, data = only_file(folder)
        assert base64.b64decode(made.content[1].data) == data
        assert made.content[1].mime_type == "image/jpeg"
        link = made.content[2]
        assert (link.name, link.uri, link.size, link.mime_type) == (name, uri, len(data), "image/jpeg")
        for image in (id_in(made), name, uri):
            assert not (await call(client, "edit_image", image=image, prompt="make it blue")).is_error
        listed = (await client.list_resources()).resources
        assert len(listed) == 4
        assert listed[0].uri == link.uri
        [content] = (await client.read_resource(link.uri)).contents
        assert base64.b64decode(content.blob) == data
        with pytest.raises(MCPError, match="no such file"):
            await client.read_resource("file:///etc/passwd")

    serve(work)
    assert len(server.ledger.tasks("imageInference")) == 4


def test_price_budget_and_job_status(serve: Callable[..., Any], server: LocalServer) -> None:
    async def work(client: Client) -> None:
        assert "$0.3 of the budget of $0.3 is left" in (client.instructions or "")
        assert "costs $0.23." in text_of(await call(client, "get_price", model="minimax:h3@fast", duration=5))
        with server.hold("videoInference"):
            started = await call(client, "make_video", prompt="waves")
            assert "Not finished yet" in text_of(started)
            refused = await call(client, "make_video", prompt="more waves")
            assert refused.is_error
            assert "costs up to $0.23, and $0.07 of $0.3 is left. Nothing was sent." in text_of(refused)
        finished = await call(client, "job_status", job_id=id_in(started))
        while "Not finished yet" in text_of(finished):
            finished = await call(client, "job_status", job_id=id_in(started))
        assert [part.type for part in finished.content] == ["text", "resource_link"]
        assert finished.content[1].mime_type == "video/mp4"

    serve(work, budget=0.3, wait=0.2)
    assert len(server.ledger.tasks("videoInference")) == 1


def test_progress_is_reported_while_a_tool_waits(
    serve: Callable[..., Any], server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolbox, "_LOOK", 0.01)
    seen: list[tuple[float, float | None, str | None]] = []

    async def work(client: Client) -> None:
        holding = server.hold("imageInference")

        async def progress(now: float, total: float | None, message: str | None) -> None:
            seen.append((now, total, message))
            if len(seen) == 3:
                holding.release()

        result = await client.call_tool("make_image", {"prompt": "a kite"}, progress_callback=progress)
        assert not result.is_error

    serve(work)
    assert len(seen) >= 3
    assert [one[0] for one in seen] == sorted(one[0] for one in seen)


def test_speech_is_audio_content(serve: Callable[..., Any]) -> None:
    async def work(client: Client) -> None:
        spoken = await call(client, "make_speech", text="Good morning")
        assert [part.type for part in spoken.content] == ["text", "audio", "resource_link"]
        assert spoken.content[1].mime_type == "audio/mpeg"

    serve(work)


def test_errors_are_results_for_the_model(serve: Callable[..., Any], server: LocalServer) -> None:
    async def work(client: Client) -> None:
        for name, arguments, words in (
            ("make_image", {"prompt": "a kite", "n": 4}, "the parameters are prompt, model, width, height, number"),
            ("make_image", {"prompt": "a kite", "width": "512"}, "width must be an integer"),
            ("make_image", {}, "prompt"),
            ("make_image", {"prompt": "a kite", "width": 1000}, "multiple of"),
            ("edit_image", {"image": "/etc/passwd", "prompt": "x"}, "outside the folders that may be read"),
            ("paint", {}, "The tools are: make_image, edit_image"),
        ):
            result = await client.call_tool(name, arguments)
            assert result.is_error, name
            assert words in text_of(result)

    serve(work)
    assert server.ledger.executed == 0


def test_failure_of_the_server_itself_is_logged_and_told(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Toolbox, "_matching", lambda *_: 1 / 0)

    async def work(client: Client) -> None:
        result = await call(client, "search_models", query="kite")
        assert result.is_error
        assert "search_models failed (ZeroDivisionError)" in text_of(result)

    serve(work)
    [record] = [record for record in caplog.records if record.name == "runware.mcp"]
    assert record.exc_info is not None


def test_file_that_was_moved_at_once_leaves_the_answer(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    report = Toolbox._report

    def and_move(box: Toolbox, *given: Any) -> Any:
        result = report(box, *given)
        for path in result.paths:
            path.unlink()
        return result

    monkeypatch.setattr(Toolbox, "_report", and_move)

    async def work(client: Client) -> None:
        result = await call(client, "make_image", prompt="a red kite", width=512, height=512)
        assert not result.is_error
        assert id_in(result)
        assert (await client.list_resources()).resources == []

    serve(work)
    assert "cannot be shown" in caplog.text


def test_resource_is_found_while_tools_make_others(rw: Runware, tmp_path: pathlib.Path) -> None:
    tools = integration._Tools(Toolbox(rw, folder=tmp_path))

    class Growing(type(tmp_path)):  # type: ignore[misc]
        """A path of which the tool of another request makes a further one."""

        def as_uri(self) -> str:
            tools._files.append(tmp_path / "other.png")
            return str(super().as_uri())

    path = tmp_path / "kite.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    tools._files += [Growing(tmp_path / "first.png"), path]
    params = integration.types.ReadResourceRequestParams(uri=path.as_uri())
    found = asyncio.run(tools._read_resource(None, params))  # type: ignore[arg-type]
    assert found.contents[0].mime_type == "image/png"


@pytest.mark.parametrize("mode", MODES)
def test_cancelled_request_ends_the_wait(
    rw: Runware,
    folder: pathlib.Path,
    server: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: Any,
) -> None:
    monkeypatch.setattr(toolbox, "_LOOK", 0.01)
    ended = threading.Event()
    answer = integration._Tools._answer

    def watched(*arguments: Any) -> Any:
        try:
            return answer(*arguments)
        finally:
            ended.set()

    monkeypatch.setattr(integration._Tools, "_answer", watched)

    async def main() -> None:
        box = Toolbox(rw, folder=folder, wait=1000)
        async with asyncio.timeout(40), Client(create_server(box), mode=mode) as client:
            waiting = asyncio.ensure_future(call(client, "make_image", prompt="a kite"))
            await asyncio.to_thread(server.ledger.wait_for, lambda ledger: ledger.held == 1)
            assert not ended.is_set()
            waiting.cancel()
            await asyncio.wait([waiting])
            assert await asyncio.to_thread(ended.wait, 10)

    with server.hold("imageInference"):
        asyncio.run(main())
    assert not [record for record in caplog.records if record.name == "runware.mcp"]


# ---------------------------------------------------------------------- content


def image_file(path: pathlib.Path, mode: str, size: tuple[int, int]) -> pathlib.Path:
    picture = PIL.effect_noise(size, 90).convert(mode)
    picture.save(path)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_large_image_is_shown_as_a_small_preview(tmp_path: pathlib.Path, mode: str) -> None:
    large = image_file(tmp_path / "large.png", mode, (1600, 900))
    assert large.stat().st_size > integration._PREVIEW_BYTES
    shown, link = integration._shown(large, preview=True)
    data = base64.b64decode(shown.data)  # type: ignore[union-attr]
    assert len(data) < integration._PREVIEW_BYTES
    with PIL.open(io.BytesIO(data)) as preview:
        assert (preview.format, preview.size) == ("JPEG", (768, 432))
    assert link.type == "resource_link"


def test_transparent_parts_of_a_preview_are_white(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "clear.png"
    PIL.new("RGBA", (64, 64), (255, 0, 0, 0)).save(path)
    data = integration._preview(path)
    assert data is not None
    with PIL.open(io.BytesIO(data)) as preview:
        assert min(preview.getpixel((32, 32))) > 250


def test_image_that_pillow_cannot_read_is_only_linked(tmp_path: pathlib.Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(integration._PREVIEW_BYTES))
    vector = tmp_path / "vector.svg"
    vector.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    for path in (damaged, vector):
        [link] = integration._shown(path, preview=True)
        assert link.type == "resource_link"


# ---------------------------------------------------------------------- the command


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "runware", "mcp", *arguments]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), **more}


def test_command_serves_a_session_over_stdio(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    program, *arguments = command("--local", "--folder", str(folder), "--budget", "0.004")
    log = tmp_path / "log.txt"

    async def main() -> None:
        parameters = StdioServerParameters(command=program, args=arguments, env=environment(RUNWARE_LOG="debug"))
        with log.open("w") as errors:
            async with (
                asyncio.timeout(50),
                stdio_client(parameters, errlog=errors) as (read, write),
                ClientSession(read, write) as session,
            ):
                started = await session.initialize()
                assert started.server_info.name == "runware"
                assert str(folder) in (started.instructions or "")
                assert [tool.name for tool in (await session.list_tools()).tools] == TOOLS
                made = await session.call_tool("make_image", {"prompt": "a red kite", "width": 512, "height": 512})
                edited = await session.call_tool("edit_image", {"image": id_in(made), "prompt": "make it blue"})
                assert not edited.is_error
                price = await session.call_tool("get_price", {"model": "runware:400@2"})
                assert "costs $0.0" in text_of(price)
                refused = await session.call_tool("make_image", {"prompt": "a kite", "number": 20})
                assert refused.is_error
                assert "The budget does not allow it" in text_of(refused)
                outside = await session.call_tool("edit_image", {"image": str(log), "prompt": "x"})
                assert "outside the folders" in text_of(outside)

    asyncio.run(main())
    assert len(list(folder.iterdir())) == 2
    assert "rw-local-key" not in log.read_text()
    assert "runware" in log.read_text()


def test_command_uses_the_key_of_the_environment_and_never_shows_it(
    folder: pathlib.Path, tmp_path: pathlib.Path, server: LocalServer
) -> None:
    program, *arguments = command("--folder", str(folder))
    variables = environment(RUNWARE_API_KEY="rw-wrong-key", RUNWARE_URL=server.url, RUNWARE_LOG="debug")
    log = tmp_path / "log.txt"

    async def main() -> Any:
        with log.open("w") as errors:
            async with (
                asyncio.timeout(50),
                stdio_client(
                    StdioServerParameters(command=program, args=arguments, env=variables), errlog=errors
                ) as streams,
                ClientSession(*streams) as session,
            ):
                await session.initialize()
                return await session.call_tool("make_image", {"prompt": "a red kite"})

    result = asyncio.run(main())
    assert result.is_error
    assert "invalidApiKey" in text_of(result)
    assert "rw-wrong-key" not in str(result) + log.read_text()


def test_command_serves_over_http(folder: pathlib.Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        command("--local", "--folder", str(folder), "--http", str(port)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    async def main() -> Any:
        async with asyncio.timeout(40):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            writer.close()
            await writer.wait_closed()
            async with Client(f"http://127.0.0.1:{port}/mcp") as client:
                return await call(client, "make_image", prompt="a red kite", width=512, height=512)

    def status(**headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        body = '{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
        accepted = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        connection.request("POST", "/mcp", body, {**accepted, **headers})
        code = connection.getresponse().status
        connection.close()
        return code

    try:
        made = asyncio.run(main())
        # A page in the user's browser reaches it, too.
        refused = [status(Host="evil.example"), status(Origin="https://evil.example")]
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert not made.is_error
    assert refused == [421, 403]
    assert len(list(folder.iterdir())) == 1
    assert out == ""
    assert f"MCP server at http://127.0.0.1:{port}/mcp" in err


def test_command_without_a_key_says_what_is_missing(folder: pathlib.Path) -> None:
    variables = {name: value for name, value in environment().items() if name != "RUNWARE_API_KEY"}
    ran = subprocess.run(
        command("--folder", str(folder)),
        env=variables,
        input="",
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert ran.returncode == 2
    assert "RUNWARE_API_KEY" in ran.stderr
    assert ran.stdout == ""
