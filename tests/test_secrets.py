"""Key, prompts and base64 go to the server only: not to logs, reprs, errors, tracebacks, URLs or arguments."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import io
import json
import logging
import pathlib
import pickle
import random
import socket
import struct
import sys
import threading
import traceback
import warnings
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

import attrs
import pytest

import runware
from runware import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ContentModerationError,
    ImageInference,
    IncompleteResultsError,
    PayloadTooLargeError,
    ProviderError,
    Runware,
    RunwareError,
    TaskCancelledError,
    TaskTimeoutError,
    ValidationError,
)
from runware.local import LocalServer

from .net import listening, read_head, refusing_port
from .test_io_loop import read_frame, upgrade

KEY = "rw-key-7f3aqxw0v5"
PROMPT = "clandestine lighthouse of zirconium"
NEGATIVE = "no vermilion gulls"
SHORT = "zirconium dusk"
PASSWORD = "proxy-pass-word-91"
PICTURE = b"\x89PNG" + random.Random(9).randbytes(30_000)
BASE64 = base64.b64encode(PICTURE).decode()
# Any part of them counts, wherever it was cut.
PIECES = [KEY, KEY[:10], "zirconium", "lighthouse", "vermilion", PASSWORD, BASE64[:40], BASE64[1000:1040], BASE64[-40:]]
ECHOED = "The prompt 'clandestine lighthouse of zirconium' is not liked."


class Recorder(logging.Handler):
    """Records everything that is logged in the process, as text, with its tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("runware.local"):
            self.lines.append(f"{self.format(record)} {record.args!r} {record.msg!r}")


@attrs.define
class Witness:
    """Collects everything that became visible. `secrets` returns which secrets it contains."""

    recorder: Recorder
    said: list[tuple[str, str]] = attrs.field(factory=list)

    def hears(self, what: str, text: object) -> None:
        self.said.append((what, str(text)))

    def sees(self, error: BaseException) -> None:
        """Record an error, as it may be printed, logged, forwarded or inspected."""
        for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
            self.hears("its text", one)
            self.hears("its repr", repr(one))
            self.hears("its arguments", repr(one.args))
        self.hears("its traceback", "".join(traceback.format_exception(error)))
        assert KEY.encode() not in pickle.dumps(error)  # it holds the results that arrived, as it should
        for frame_of in chain(error):
            for variables in ours(frame_of.__traceback__):
                found = {name: text(value) for name, value in variables.items()}
                self.hears("a variable in its traceback", {name: KEY for name, value in found.items() if KEY in value})

    def sees_client(self, rw: Runware) -> None:
        core = rw._core
        self.hears("a client", (rw, rw.aio, rw.submit, core.options))
        self.hears("a pickled client", pickle.dumps(rw).decode("latin-1"))
        io_loop = core._io_loop
        if io_loop is not None:
            self.hears("the I/O loop", (io_loop, io_loop._session, list(io_loop._session.calls.values())))
            self.hears("the session's variables", {name: repr(value) for name, value in vars(io_loop._session).items()})
        self.hears("threads", [(thread, thread.name) for thread in threading.enumerate()])

    def secrets(self) -> list[tuple[str, str]]:
        said = [*self.said, *(("a log", line) for line in self.recorder.lines)]
        return [(what, text[:500]) for what, text in said for piece in PIECES if piece in text]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def ours(trace: TracebackType | None) -> Iterator[dict[str, Any]]:
    """Return the variables of this package's frames, as error reporters collect them."""
    package = str(pathlib.Path(runware.__file__).parent)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(package):
            yield trace.tb_frame.f_locals
        trace = trace.tb_next


def deep(value: object) -> str:
    """Return a variable with its contents, as error reporters show objects they do not know."""
    return (
        f"{text(value)} {text(getattr(value, '__dict__', ''))}" if type(value).__module__ != "builtins" else text(value)
    )


def text(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return type(error).__name__


@pytest.fixture
def witness() -> Iterator[Witness]:
    recorder = Recorder()
    root, own = logging.getLogger(), logging.getLogger("runware")
    levels = root.level, own.level
    root.setLevel(logging.DEBUG)
    own.setLevel(logging.DEBUG)
    root.addHandler(recorder)
    yield Witness(recorder)
    root.removeHandler(recorder)
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer(api_key=KEY) as server:
        yield server


def task(**more: Any) -> dict[str, Any]:
    return {
        "positive_prompt": PROMPT,
        "negative_prompt": NEGATIVE,
        "seed_image": PICTURE,
        "strength": 0.5,
        "output_type": "base64Data",
        "width": 128,
        "height": 128,
        **more,
    }


def marked(mark: str) -> dict[str, Any]:
    return {"positive_prompt": f"{PROMPT} [{mark}]"}


Act = Callable[[LocalServer, Runware], None]


@attrs.frozen(kw_only=True)
class Situation:
    """What happens, and the error that the call ends with."""

    act: Act = lambda server, rw: None
    task: dict[str, Any] = attrs.field(factory=dict)
    client: dict[str, Any] = attrs.field(factory=dict)
    error: type[BaseException] | None = None


def plays(*faults: str, **switches: Any) -> Act:
    def act(server: LocalServer, rw: Runware) -> None:
        server.switch(switches)
        for fault in faults:
            server.play(fault)

    return act


def silent(server: LocalServer, rw: Runware) -> None:
    server.script(lambda task: None if task["taskType"] == "authentication" else [])


def forgetful(server: LocalServer, rw: Runware) -> None:
    server.hold()
    server.play("X6", after_tasks=1, replay="nothing")
    server.script(lambda task: [] if task["taskType"].startswith("get") else None)


def echoing(server: LocalServer, rw: Runware) -> None:
    """Repeat the prompt in messages about other tasks, which the client may log."""

    def script(task: dict[str, Any]) -> list[Any] | None:
        error = {"code": "inferenceError", "message": ECHOED}
        strange = [{"errors": [error]}, {"errors": [{**error, "taskUUID": "somebody-else"}]}, PROMPT, f'["{PROMPT}"]']
        strange += [{"data": [{"taskType": "ping", "text": PROMPT}]}, {"data": [{"taskType": "other", "x": BASE64}]}]
        if task["taskType"] == "imageInference":
            item = {name: task[name] for name in ("taskType", "taskUUID")}
            return [
                *strange,
                {"data": [{**item, "imageUUID": "i", "imageBase64Data": BASE64, "seed": PROMPT, "cost": []}]},
            ]
        return None

    server.script(script)


def repeating(kind: str, code: str) -> Act:
    """Refuse, and repeat what was sent in the errors, except for the prompt, which is the caller's own."""

    def act(server: LocalServer, rw: Runware) -> None:
        def script(task: dict[str, Any]) -> list[Any] | None:
            if task["taskType"] != kind:
                return None
            image = task.get("seedImage", "")
            basic = base64.b64encode(f"key:{KEY}".encode()).decode()
            error = {
                "code": code,
                "message": f"{KEY}: {image} may not, nor may {KEY[:10]}..., {basic}, {KEY.upper()}, {image[30:]}.",
                "parameter": KEY,
                "documentation": f"https://runware.ai/docs?key={KEY}",
                "request": {"headers": [f"Authorization: Bearer {KEY}"], KEY: [image, BASE64[1000:2000]]},
            }
            named = {**error, "taskUUID": task["taskUUID"]} if "taskUUID" in task else error
            return [{"errors": [{**error, "taskUUID": KEY}, named]}, {"data": [{"taskType": KEY, "taskUUID": KEY}]}]

        server.script(script)

    return act


class Unreadable(io.BytesIO):
    def read(self, *args: Any) -> bytes:
        raise OSError("the disk is gone")


SITUATIONS: dict[str, Situation] = {
    "a result": Situation(),
    "a polled result": Situation(task={"delivery_method": "async"}),
    "several results": Situation(task={"number_results": 3}),
    "a short prompt": Situation(task={"positive_prompt": SHORT}),
    "the server says no": Situation(task={"width": 100}, error=ValidationError),
    "the client says no": Situation(task={"width": PROMPT}, error=ValidationError),
    "a prompt of the wrong type": Situation(task={"positive_prompt": [PROMPT]}, error=ValidationError),
    "a prompt where there is none": Situation(task={"output_format": PROMPT}, error=ValidationError),
    "media that are no media": Situation(task={"seed_image": {PROMPT: BASE64}}, error=ValidationError),
    "a value that JSON cannot represent": Situation(task={"extra": {"x": {PROMPT}}}, error=ValidationError),
    "a refused key": Situation(act=plays("X2"), error=AuthenticationError),
    "a refused key, legacy": Situation(act=plays("X2:form=legacy"), error=AuthenticationError),
    "a key revoked while it ran": Situation(act=plays("X5:delivery=any", "X22"), error=AuthenticationError),
    "moderation": Situation(task=marked("unsafe"), error=ContentModerationError),
    "some of several": Situation(
        task={"number_results": 2, "retry": 0} | marked("fail:1"), error=IncompleteResultsError
    ),
    "retries that help": Situation(task=marked("rate-limit:2")),
    "retries that do not": Situation(task=marked("provider-error"), error=ProviderError),
    "drops": Situation(act=plays("X6:mid_frame=true,times=2", "X13", "X14"), task={"number_results": 3}),
    "a lost submission": Situation(act=plays("X5:then=nothing,delivery=any")),
    "a lost reply": Situation(act=plays("X5:then=conflict,delivery=any", sync_polls=False)),
    "no answer": Situation(act=silent, task={"timeout": 0.1}, error=TaskTimeoutError),
    "an outcome that is not learned": Situation(act=forgetful, task={"timeout": 0.4}, error=ConnectionLostError),
    "no reconnection": Situation(
        act=plays("X5:then=conflict,delivery=any"), client={"reconnect": False}, error=ConnectionLostError
    ),
    "no authentication": Situation(
        act=plays("X1:times=none"), client={"connect_timeout": 0.1, "max_retries": 0}, error=ConnectionFailedError
    ),
    "nobody there": Situation(
        act=lambda server, rw: server.unplug(), client={"max_retries": 0}, error=ConnectionFailedError
    ),
    "a client that is closed": Situation(act=lambda server, rw: rw.close(), error=RunwareError),
    "an unreadable path": Situation(task={"seed_image": pathlib.Path("/nowhere") / "picture.png"}, error=RunwareError),
    "an unreadable file": Situation(task={"seed_image": Unreadable(PICTURE)}, error=RunwareError),
    "a directory": Situation(task={"seed_image": pathlib.Path(__file__).parent}, error=RunwareError),
    "a server that echoes": Situation(act=echoing),
    "a refusal that repeats the key": Situation(
        act=repeating("imageInference", "invalidSeedImage"), error=ValidationError
    ),
    "a failure that repeats the key": Situation(
        act=repeating("imageInference", "inferenceError"), client={"max_retries": 1}, error=ProviderError
    ),
    "a sign-in that repeats the key": Situation(
        act=repeating("authentication", "invalidApiKey"), error=AuthenticationError
    ),
    "a sign-in that fails and repeats the key": Situation(
        act=repeating("authentication", "internalServerError"), client={"max_retries": 0}, error=ConnectionFailedError
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=list(SITUATIONS))
@pytest.mark.parametrize("interface", ["blocking", "job", "asyncio"])
def test_no_situation_reveals_a_secret(
    situation: Situation, interface: str, server: LocalServer, witness: Witness
) -> None:
    options = {"timeout": 10.0, "long_timeout": 10.0, "retry_delay": 0.01, **situation.client}
    rw = Runware(KEY, url=server.url, **options)
    given = task(**situation.task)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            situation.act(server, rw)
            witness.sees_client(rw)
            with contextlib.nullcontext() if situation.error is None else pytest.raises(situation.error) as caught:
                call(rw, interface, given, witness)
            if caught is not None:
                witness.sees(caught.value)
            witness.sees_client(rw)
        finally:
            rw.close()
    witness.hears("warnings", [str(one.message) for one in warned])
    assert witness.secrets() == []


def call(rw: Runware, interface: str, given: dict[str, Any], witness: Witness) -> None:
    def on_partial(news: Any, error: Any) -> None:
        witness.hears("a partial", (news, news.all, error))
        if error is not None:
            witness.sees(error)

    if interface == "asyncio":

        async def main() -> Any:
            return await rw.aio.image_inference(**given)

        results = asyncio.run(main())
    elif interface == "blocking":
        results = rw.image_inference(**given, on_partial=on_partial)
    else:
        job = rw.submit.image_inference(**given)
        witness.hears("a job", (job, job.task_uuid, job.status, job._call, job.results))
        with contextlib.suppress(AttributeError):
            witness.hears("a reference", job.ref)
        try:
            results = job.result(20)
        finally:
            witness.hears("a job", (job, job.status, job._call, job.results, job.exception()))
    for result in results:
        data = getattr(result, "base64_data", None)
        assert data is None or not any(data[start : start + 40] in repr(results) for start in (0, 400, 4000))
    witness.hears("results", (results, results[0], results.errors))


def test_reprs_of_requests_show_no_prompt(witness: Witness) -> None:
    request = ImageInference(**task(extra={"hidden": PROMPT}, positive_prompt=SHORT))
    witness.hears("a request", request)
    witness.hears("a request in a list", [request])
    witness.hears("a request with a short prompt", ImageInference(positive_prompt="vermilion"))
    assert witness.secrets() == []


@pytest.mark.parametrize("given", [SHORT, SHORT.encode(), [SHORT], {SHORT: 1}], ids=["str", "bytes", "list", "dict"])
@pytest.mark.parametrize("make", [
    lambda given: Runware(KEY).run(given) if not isinstance(given, dict) else Runware(KEY).run({"taskType": given}),
    lambda given: ImageInference(positive_prompt=7 if isinstance(given, str) else given),
    lambda given: ImageInference(positive_prompt="x", width=8, negative_prompt=8 if isinstance(given, str) else given),
    lambda given: runware.Message(role="user", content=8 if isinstance(given, str) else given),
], ids=["run", "positive", "negative", "message"])  # fmt: skip
def test_invalid_prompt_is_not_quoted(make: Callable[[Any], Any], given: Any, witness: Witness) -> None:
    with pytest.raises((ValidationError, TypeError)) as caught:
        make(given)
    witness.sees(caught.value)
    assert witness.secrets() == []


REFUSAL = json.dumps({"errors": [{"code": "x", "message": KEY}]})
HEAD = f"{KEY}\r\nX-Key: {KEY}\r\nConnection: close\r\n\r\n"
REPLIES: dict[str, str] = {
    "a reset": "",
    "no HTTP": f"SSH-2.0 {KEY}\r\n\r\n",
    "a page": f"HTTP/1.1 200 {HEAD}{KEY}",
    "a refusal": f"HTTP/1.1 401 {HEAD}{REFUSAL}",
}
OVER_HTTP: dict[str, Callable[[Runware], Any]] = {
    "app": lambda rw: rw.app("my-upscaler").call("run", n=1),
    "asyncio app": lambda rw: asyncio.run(awaited(rw.aio.app("my-upscaler").call("run", n=1))),
    "tasks of an app": lambda rw: list(rw.app("my-upscaler").tasks()),
    "estimate": lambda rw: rw.estimate({"model": "runware:101@1", "positive_prompt": SHORT}, exact=True),
}


async def awaited(call: Awaitable[Any]) -> Any:
    return await call


@pytest.mark.parametrize("reply", REPLIES.values(), ids=list(REPLIES))
@pytest.mark.parametrize("call", OVER_HTTP.values(), ids=list(OVER_HTTP))
def test_failed_request_over_http_reveals_no_key(call: Callable[[Runware], Any], reply: str, witness: Witness) -> None:
    def answer(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(reply.encode())
        if not reply:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(answer) as port:
        rw = Runware(KEY, url=f"ws://127.0.0.1:{port}/v1", timeout=1.0, max_retries=0)
        with pytest.raises(RunwareError) as caught:
            call(rw)
        rw.close()
    for one in chain(caught.value):
        assert KEY not in f"{one} {one!r} {one.args} {vars(one)}"
        trace = one.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename != __file__:
                shown = {name: text(value) for name, value in trace.tb_frame.f_locals.items()}
                assert not {name for name, value in shown.items() if KEY in value}, trace.tb_frame
            trace = trace.tb_next


def test_reprs_of_texts_show_no_text(server: LocalServer, witness: Witness) -> None:
    said = {"text": PROMPT, "reasoningContent": PROMPT, "thoughtSignature": PROMPT, "structuredData": {"said": PROMPT}}

    def script(task: dict[str, Any]) -> list[Any] | None:
        kind, uuid = task["taskType"], task.get("taskUUID")
        return [{"data": [{"taskType": kind, "taskUUID": uuid, **said}]}] if kind == "promptEnhance" else None

    server.script(script)
    with Runware(KEY, url=server.url) as rw:
        texts = rw.prompt_enhance(prompt=SHORT)
    assert str(texts[0]) == PROMPT
    assert f"text=<str of length {len(PROMPT)}>" in repr(texts)
    witness.hears("results", (texts, texts[0]))
    assert witness.secrets() == []


def test_error_about_a_large_request_shows_nothing_of_it(
    server: LocalServer, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runware.transport.io_loop.IOLoop.max_message", 1000)
    rw = Runware(KEY, url=server.url)
    with pytest.raises(PayloadTooLargeError) as caught:
        rw.image_inference(**task())
    witness.sees(caught.value)
    rw.close()
    assert witness.secrets() == []


def test_cancelled_and_closed_jobs_show_no_secret(server: LocalServer, witness: Witness) -> None:
    rw = Runware(KEY, url=server.url)
    with server.hold():
        cancelled, closed = (rw.submit.image_inference(**task()) for _ in range(2))
        server.ledger.wait_for(lambda ledger: ledger.held == 2)
        cancelled.cancel()
        rw.close()
    for job in (cancelled, closed):
        with pytest.raises((TaskCancelledError, RunwareError)) as caught:
            job.result(5)
        witness.sees(caught.value)
        witness.hears("a job", job)
    assert witness.secrets() == []


def test_failure_to_make_a_result_shows_nothing_of_it(
    server: LocalServer, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, results: Any) -> Any:
        raise KeyError("nothing said")

    monkeypatch.setattr(ImageInference, "assemble", broken)
    rw = Runware(KEY, url=server.url)
    with pytest.raises(RunwareError) as caught:
        rw.image_inference(**task())
    witness.sees(caught.value)
    rw.close()
    assert "making the result of" in "".join(witness.recorder.lines)
    assert witness.secrets() == []


@pytest.mark.parametrize(
    "made", [f" {KEY}", f"{KEY}\n", KEY.encode(), [KEY]], ids=["space", "line end", "bytes", "list"]
)
def test_invalid_key_is_not_quoted(made: Any, witness: Witness) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Runware(made)
    witness.hears("its text", caught.value)
    witness.hears("its traceback", "".join(traceback.format_exception(caught.value)))
    assert witness.secrets() == []


def test_failing_key_function_reveals_no_key(server: LocalServer, witness: Witness) -> None:
    def vault() -> str:
        raise LookupError("sealed")

    rw = Runware(vault, url=server.url, max_retries=0)
    with pytest.raises(ConnectionFailedError) as caught:
        rw.image_inference(**task())
    witness.sees(caught.value)
    witness.hears("a client", rw)
    rw.close()
    assert witness.secrets() == []


@pytest.mark.parametrize("how", ["stream", "chat", "app"])
@pytest.mark.parametrize("text", [KEY, f"{KEY}\r\nX-More: 1"], ids=["raises", "returns"])
def test_key_of_a_function_stays_out_of_errors_of_requests(
    how: str, text: str, server: LocalServer, witness: Witness
) -> None:
    """The function raises an exception with a key in its text, or returns a key that no header can hold."""

    def vault() -> str:
        if text == KEY:
            raise LookupError(f"not valid: {text}")
        return text

    rw = Runware(vault, url=server.url, max_retries=0)
    with pytest.raises((ConnectionFailedError, ConfigurationError)) as caught:
        if how == "stream":
            with rw.stream_text(model="google:gemma@4-31b", messages=[{"role": "user", "content": "Hello"}]) as stream:
                stream.result()
        elif how == "chat":
            rw.chat(model="google:gemma@4-31b").send("Hello")
        else:
            rw.app("my-upscaler").call("run", {})
    rw.close()
    assert KEY not in str(caught.value)
    if how != "app":  # there, the exception of the function is the cause
        witness.sees(caught.value)
        assert witness.secrets() == []


class TestTheHandshake:
    def test_key_is_in_the_first_message_and_nowhere_before(self, witness: Witness) -> None:
        heads: list[bytes] = []
        first: list[bytes] = []

        def handler(sock: socket.socket) -> None:
            upgrade(Recorded(sock, heads))  # type: ignore[arg-type]
            first.append(read_frame(sock)[1])
            sock.recv(1)

        with listening(handler) as port:
            rw = Runware(KEY, url=f"ws://127.0.0.1:{port}/v1", connect_timeout=5.0, max_retries=0)
            job = rw.submit.image_inference(**task())
            while not first:
                assert not job.done()
            witness.sees_client(rw)
            rw.close()
        witness.hears("the handshake", b"".join(heads).decode("latin-1"))
        assert b"GET /v1?sdk=runware-client" in b"".join(heads)
        assert KEY.encode() in first[0]
        assert PROMPT.encode() not in first[0]
        assert witness.secrets() == []

    def test_server_that_does_not_upgrade_receives_no_key(self, witness: Witness) -> None:
        heads: list[bytes] = []

        def handler(sock: socket.socket) -> None:
            heads.append(read_head(sock))
            sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:9/elsewhere\r\nContent-Length: 0\r\n\r\n")
            heads.append(sock.recv(65536))

        with listening(handler) as port:
            rw = Runware(KEY, url=f"ws://127.0.0.1:{port}/v1?team=7", max_retries=0)
            with pytest.raises(ConnectionFailedError) as caught:
                rw.image_inference(**task())
            witness.sees(caught.value)
            witness.sees_client(rw)
            rw.close()
        witness.hears("the handshake", b"".join(heads).decode("latin-1"))
        assert witness.secrets() == []

    @pytest.mark.parametrize("scheme", ["http", "socks5h"])
    def test_proxy_password_is_sent_to_the_proxy_only(self, scheme: str, server: LocalServer, witness: Witness) -> None:
        heads: list[bytes] = []

        def refuse(sock: socket.socket) -> None:
            heads.append(sock.recv(1) if scheme == "socks5h" else read_head(sock))
            sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n" if scheme == "http" else b"\x05\xff")

        with listening(refuse) as port:
            rw = Runware(KEY, url=server.url, proxy=f"{scheme}://user:{PASSWORD}@127.0.0.1:{port}", max_retries=0)
            with pytest.raises(RunwareError) as caught:
                rw.image_inference(**task())
            witness.sees(caught.value)
            witness.hears("a client", (rw, rw._core.options))
            rw.close()
        assert heads
        witness.hears("what the proxy is told", [head.decode("latin-1") for head in heads])
        assert witness.secrets() == []

    @pytest.mark.parametrize("stage", ["greeting", "password", "connect", "end"])
    @pytest.mark.parametrize("scheme", ["socks5", "http"])
    def test_proxy_password_is_in_no_frame_of_an_error(
        self, scheme: str, stage: str, server: LocalServer, witness: Witness
    ) -> None:
        """Whatever frames the error and its causes have, of this package or another."""

        def refuse(sock: socket.socket) -> None:
            if scheme == "http":
                read_head(sock)
                sock.sendall({"greeting": b"SSH-2.0\r\n\r\n", "end": b""}.get(stage, b"HTTP/1.1 502 No\r\n\r\n"))
                return
            sock.recv(4)
            if stage == "end":
                return
            sock.sendall(b"\x09\x02" if stage == "greeting" else b"\x05\x02")
            sock.recv(1024)
            sock.sendall(b"\x01\x01" if stage == "password" else b"\x01\x00")
            sock.recv(1024)
            sock.sendall(b"\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00")

        with listening(refuse) as port:
            rw = Runware(KEY, url=server.url, proxy=f"{scheme}://user:{PASSWORD}@127.0.0.1:{port}", max_retries=0)
            with pytest.raises(ConnectionFailedError) as caught:
                rw.connect()
            rw.close()
        assert caught.value.stage == "proxy"
        witness.sees(caught.value)
        for error in chain(caught.value):
            trace = error.__traceback__
            while trace is not None:
                if trace.tb_frame.f_code is not sys._getframe().f_code:
                    witness.hears("a variable", {name: deep(value) for name, value in trace.tb_frame.f_locals.items()})
                trace = trace.tb_next
        assert witness.secrets() == []

    def test_password_that_cannot_be_encoded_is_not_quoted(self, server: LocalServer, witness: Witness) -> None:
        with listening(lambda sock: sock.sendall(b"\x05\x02") or (sock.recv(1024) and None)) as port:
            url = f"socks5://user:{PASSWORD}%E2%82%AC@127.0.0.1:{port}"
            rw = Runware(KEY, url=server.url, proxy=url, max_retries=0)
            with pytest.raises(RunwareError) as caught:
                rw.connect()
            rw.close()
        witness.sees(caught.value)
        witness.hears("its causes", [(one, one.args, vars(one)) for one in chain(caught.value)])
        assert witness.secrets() == []

    def test_unreachable_proxy_reveals_no_password(self, server: LocalServer, witness: Witness) -> None:
        for scheme in ("http", "socks5"):
            url = f"{scheme}://user:{PASSWORD}@127.0.0.1:{refusing_port()}"
            rw = Runware(KEY, url=server.url, proxy=url, max_retries=0)
            with pytest.raises(RunwareError) as caught:
                rw.image_inference(**task())
            witness.sees(caught.value)
            rw.close()
        for url in (f"ftp://user:{PASSWORD}@127.0.0.1:1", f"user:{PASSWORD}@127.0.0.1"):
            with pytest.raises(ConfigurationError) as refused:
                Runware(KEY, url=server.url, proxy=url)
            witness.hears("its text", refused.value)
        with pytest.raises(ConfigurationError) as refused:
            Runware(KEY, url=f"wss://user:{PASSWORD}@api.example/v1")
        witness.hears("its text", refused.value)
        assert witness.secrets() == []


def test_unexpected_dial_error_reveals_no_secret(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    def dial(*_: Any) -> Any:
        raise ValueError(f"nobody thought of {PASSWORD}")

    monkeypatch.setattr("runware.transport.io_loop.dial", dial)
    rw = Runware(KEY, max_retries=0)
    with pytest.raises(RunwareError, match="ValueError") as caught:
        rw.image_inference(**task())
    witness.sees(caught.value)
    rw.close()
    assert any("unexpected ValueError" in line for line in witness.recorder.lines)
    assert witness.secrets() == []


class Recorded:
    """A socket that records everything read from it."""

    def __init__(self, sock: socket.socket, heads: list[bytes]) -> None:
        self._sock = sock
        self._heads = heads

    def recv(self, size: int) -> bytes:
        data = self._sock.recv(size)
        self._heads.append(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_process_arguments_and_environment_have_no_secret(server: LocalServer, witness: Witness) -> None:
    """Nothing is added to the arguments or the environment of the process, which its children inherit."""
    rw = Runware(KEY, url=server.url)
    rw.image_inference(**task())
    for name in ("cmdline", "environ", "comm"):
        path = pathlib.Path("/proc/self") / name
        witness.hears(name, path.read_bytes().decode("latin-1") if path.exists() else "")
    for path in pathlib.Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):
            witness.hears("a thread's name", path.read_text())
    rw.close()
    assert witness.secrets() == []


def test_no_other_logger_is_changed(server: LocalServer) -> None:
    before = {name: (logger.level, logger.handlers) for name, logger in logging.root.manager.loggerDict.items()
              if isinstance(logger, logging.Logger) and not name.startswith("runware")}  # fmt: skip
    root = (logging.root.level, list(logging.root.handlers))
    rw = Runware(KEY, url=server.url)
    rw.image_inference(**task())
    rw.close()
    assert (logging.root.level, list(logging.root.handlers)) == root
    for name, (level, handlers) in before.items():
        logger = logging.getLogger(name)
        assert (logger.level, logger.handlers) == (level, handlers)
