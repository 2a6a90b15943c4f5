"""Serverless apps: what is sent, what comes back, and each way to fail, in the three forms."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import signal
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme

from runware import (
    AppTask,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    ConnectionLostError,
    Image,
    InsufficientCreditsError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitError,
    Runware,
    RunwareError,
    ServerError,
    TaskCancelledError,
    TaskError,
    TaskTimeoutError,
    ValidationError,
)
from runware.local import LocalServer
from runware.options import DEFAULT_URL, Options
from runware.protocol.redaction import Redactor
from runware.serverless.flows import FRESH, Answer, AppFlows, Exchange, Failure, Invocation, Pause
from runware.serverless.inputs import AppAddress
from runware.serverless.problems import problem_error

from .conftest import until
from .net import listening, read_head
from .test_processes import needs_fork, run, start

NAME = "my-upscaler"
ID = "7f1a5a52-6a0e-4a6e-9d0d-0d8d9a1f6b11"
PNG = b"\x89PNG\r\n\x1a\n"
PNG_URI = "data:image/png;base64,iVBORw0KGgo="


class Form:
    """One way to call an app, so that one test body serves all three."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self.call = call

    def __repr__(self) -> str:
        return self.name


def asynchronously(rw: Runware, method: str, args: Any, given: Any, environment: str | None) -> Any:
    async def main() -> Any:
        return await getattr(rw.aio.app(NAME, environment=environment), method)(*args, **given)

    return asyncio.run(main())


FORMS = [
    Form(
        "blocking", lambda rw, method, args, given, env: getattr(rw.app(NAME, environment=env), method)(*args, **given)
    ),
    Form("asyncio", asynchronously),
    Form(
        "job",
        lambda rw, method, args, given, env: getattr(rw.submit.app(NAME, environment=env), method)(
            *args, **given
        ).result(30),
    ),
]


@pytest.fixture(params=FORMS, ids=repr)
def call(request: pytest.FixtureRequest, rw: Runware) -> Callable[..., AppTask]:
    form: Form = request.param

    def call(*args: Any, app_environment: str | None = None, **given: Any) -> Any:
        return form.call(rw, "call", args, given, app_environment)

    return call


@pytest.fixture
def app(server: LocalServer) -> Iterator[LocalServer]:
    """A server with an app, whose endpoint `run` returns its payload."""
    server.app(
        NAME,
        {"run": lambda payload: {"got": payload}, "v1/chat/completions": lambda payload: "hello", "bad": fail},
        default="run",
        environments=("production", "staging"),
    )
    yield server
    assert server.ledger.errors == []


def fail(payload: dict[str, Any]) -> None:
    error = ValueError(f"no such scale: {payload.get('scale')}")
    error.output = payload.get("output")  # type: ignore[attr-defined]
    raise error


def sent(server: LocalServer) -> list[dict[str, Any]]:
    return server.ledger.tasks("serverless")


class Gate:
    """An endpoint that runs until it is told to end."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, payload: dict[str, Any]) -> dict[str, Any]:
        self.entered.set()
        assert self.open.wait(30)
        return payload


@pytest.fixture
def gate(app: LocalServer) -> Iterator[Gate]:
    gate = Gate()
    app.app(NAME, {"run": gate})
    yield gate
    gate.open.set()


# ---------------------------------------------------------------------- calls


def test_call_returns_the_finished_task(app: LocalServer, call: Callable[..., AppTask]) -> None:
    task = call("run", scale=2, image="https://example.com/a.png")
    assert task.output == {"got": {"scale": 2, "image": "https://example.com/a.png"}}
    assert (task.status, task.done, task.error) == ("completed", True, None)
    assert (task.app_id, task.endpoint) == (NAME, "run")
    assert task.created_at is not None
    assert task.completed_at is not None
    assert task.raw["appId"] == NAME
    (body,) = sent(app)
    assert (body["action"], body["environment"], body["taskId"]) == ("invoke-async", "production", task.id)
    assert task.id == str(uuid.UUID(task.id)).lower()


def test_call_uses_no_thread_and_no_websocket(app: LocalServer, rw: Runware) -> None:
    before = set(threading.enumerate())
    rw.app(NAME).call("run", scale=2)
    started = set(threading.enumerate()) - before
    assert not [thread for thread in started if thread.name in ("runware-io", "runware-app-call")]
    assert app.ledger.connections == 0


def test_payload_may_be_a_dict_with_any_keys(app: LocalServer, call: Callable[..., AppTask]) -> None:
    payload = {"timeout": 3, "wait": False, "endpoint": None, "deep": [{"a": (1, 2.5, True)}]}
    assert call("run", payload).output == {"got": {**payload, "deep": [{"a": [1, 2.5, True]}]}}
    assert call("run", endpoint=1, payload=2).output == {"got": {"endpoint": 1, "payload": 2}}
    assert call().output == {"got": {}}


def test_endpoint_may_be_the_default_one_or_have_several_parts(app: LocalServer, call: Callable[..., AppTask]) -> None:
    assert call(scale=2).endpoint == "run"
    assert call("v1/chat/completions").output == "hello"
    assert [body["endpoint"] for body in sent(app)] == ["", "v1/chat/completions"]


def test_environment_is_sent(app: LocalServer, rw: Runware, call: Callable[..., AppTask]) -> None:
    task = call("run", app_environment="staging")
    assert sent(app)[0]["environment"] == "staging"
    staging = rw.app(NAME, environment="staging")
    assert repr(staging) == "<App my-upscaler in staging>"
    assert staging.task(task.id) == task
    assert [one.id for one in staging.tasks()] == [task.id]
    assert list(rw.app(NAME).tasks()) == []


def test_call_without_waiting_returns_the_accepted_task(gate: Gate, rw: Runware, call: Callable[..., AppTask]) -> None:
    task = call("run", wait=False, sync=True)
    assert (task.status, task.done, task.output) == ("pending", False, None)
    gate.open.set()
    assert rw.app(NAME).task(task.id, wait=True).output == {}


def test_synchronous_call_is_answered_with_the_finished_task(app: LocalServer, call: Callable[..., AppTask]) -> None:
    task = call("run", sync=True, scale=2)
    assert task.output == {"got": {"scale": 2}}
    assert sent(app)[0]["action"] == "invoke-sync"
    assert app.ledger.polls(task.id) == 0


def test_synchronous_call_that_outlives_the_window_is_polled_and_not_repeated(
    app: LocalServer, gate: Gate, call: Callable[..., AppTask]
) -> None:
    app.configure(sync_window=0.05)
    threading.Thread(target=lambda: (app.ledger.wait_for(lambda ledger: ledger.polls(ID)), gate.open.set())).start()
    assert call("run", sync=True, task_id=ID).status == "completed"
    assert app.ledger.submissions(ID) == 1
    assert app.ledger.polls(ID) >= 1


def test_several_calls_run_at_once(app: LocalServer, rw: Runware) -> None:
    barrier = threading.Barrier(40)
    app.app(NAME, {"run": lambda payload: barrier.wait(20) and payload})

    async def main() -> list[AppTask]:
        return await asyncio.gather(*(rw.aio.app(NAME).call("run", n=n) for n in range(40)))

    assert [task.status for task in asyncio.run(main())] == ["completed"] * 40
    jobs = [rw.submit.app(NAME).call("run", n=n) for n in range(40)]
    assert [job.result(30).status for job in jobs] == ["completed"] * 40


# ---------------------------------------------------------------------- the same task again


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("run", [True, False])
def test_lost_answer_is_asked_for_with_the_same_id(
    app: LocalServer, call: Callable[..., AppTask], run: bool, sync: bool
) -> None:
    fault = app.play("A1", run=run, times=2)
    task = call("run", scale=2, sync=sync)
    assert fault.played == 2
    assert task.output == {"got": {"scale": 2}}
    assert app.ledger.executions(task.id) == 1
    assert app.ledger.submissions(task.id) == (3 if run else 1)
    assert {body["taskId"] for body in sent(app)} == {task.id}


def test_call_with_a_known_id_returns_its_task_and_runs_nothing(app: LocalServer, call: Callable[..., AppTask]) -> None:
    given = ID.upper()
    first, second = (call("run", scale=scale, task_id=given) for scale in (2, 3))
    assert first == second
    assert first.id == ID
    assert app.ledger.executions(ID) == 1


def test_task_of_another_app_is_followed_there(app: LocalServer, gate: Gate, rw: Runware) -> None:
    app.app("other-app", {"run": lambda payload: payload})
    rw.app(NAME).call("run", {"n": 1}, task_id=ID, wait=False)
    job = rw.submit.app("other-app").call("run", task_id=ID)
    app.ledger.wait_for(lambda ledger: ledger.polls(ID))
    gate.open.set()
    task = job.result(30)
    assert (task.app_id, task.output) == (NAME, {"n": 1})


def test_lost_and_late_answers_to_polls_change_nothing(app: LocalServer, call: Callable[..., AppTask]) -> None:
    app.play("A1", on="task", times=2)
    app.play("A2", on="task", seconds=0.05)
    app.play("A3", on="task", status=503, times=2)
    assert call("run", scale=2).status == "completed"


def test_fresh_task_may_be_unknown_at_first(app: LocalServer, call: Callable[..., AppTask]) -> None:
    fault = app.play("A5", times=3)
    assert call("run", scale=2).status == "completed"
    assert fault.played == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_refused_call_is_tried_again(app: LocalServer, call: Callable[..., AppTask], status: int) -> None:
    app.play("A3", status=status, times=2)
    task = call("run", scale=2)
    assert app.ledger.executions(task.id) == 1


@pytest.mark.parametrize(("status", "error"), [(429, RateLimitError), (503, ServerError)])
def test_refusals_end_after_max_retries(
    app: LocalServer, call: Callable[..., AppTask], status: int, error: type[RunwareError]
) -> None:
    fault = app.play("A3", status=status, times=None)
    with pytest.raises(error) as failure:
        call("run", scale=2)
    assert fault.played == 3
    assert not failure.value.may_have_run
    assert failure.value.code == "refused"
    assert str(failure.value.request_id).startswith("req_")


def test_paused_environment_is_not_tried_again(app: LocalServer, call: Callable[..., AppTask]) -> None:
    fault = app.play("A4")
    with pytest.raises(InsufficientCreditsError) as failure:
        call("run", scale=2)
    assert fault.played == 1
    assert (failure.value.code, failure.value.retryable) == ("environment-paused", False)
    assert failure.value.documentation == "https://docs.runware.ai/serverless/errors#environment-paused"
    assert sent(app) == []


# ---------------------------------------------------------------------- failures


def test_failed_task_is_a_typed_error_with_its_output_so_far(app: LocalServer, call: Callable[..., AppTask]) -> None:
    with pytest.raises(TaskError, match="The app failed: ValueError: no such scale: 9") as failure:
        call("bad", scale=9, output={"half": 1})
    error = failure.value
    assert type(error) is TaskError
    assert error.raw == {"error": "ValueError: no such scale: 9"}
    assert [task.output for task in error.results] == [{"half": 1}]
    assert error.may_have_run
    assert error.task_uuid is not None


def test_failed_task_can_be_read(app: LocalServer, rw: Runware) -> None:
    job = rw.submit.app(NAME).call("bad", scale=9, task_id=ID)
    assert isinstance(job.exception(30), TaskError)
    assert job.status == "failed"
    task = rw.app(NAME).task(ID)
    assert (task.status, task.error) == ("failed", "ValueError: no such scale: 9")
    with pytest.raises(TaskError):
        rw.app(NAME).task(ID, wait=True)


def test_what_does_not_exist_is_a_typed_error(app: LocalServer, call: Callable[..., AppTask], rw: Runware) -> None:
    with pytest.raises(NotFoundError, match="no endpoint 'walk'"):
        call("walk")
    with pytest.raises(NotFoundError, match="no environment 'test'"):
        call("run", app_environment="test")
    with pytest.raises(NotFoundError, match="no app 'other-app'"):
        rw.app("other-app").call()
    with pytest.raises(NotFoundError, match="no task"):
        rw.app(NAME).task(ID)


def test_rejected_key_is_not_tried_again(app: LocalServer, call: Callable[..., AppTask]) -> None:
    app.revoke_key()
    with pytest.raises(AuthenticationError):
        call("run")
    assert app.ledger.http_requests == 1


def test_deadline_ends_the_wait_and_names_the_task(app: LocalServer, gate: Gate, rw: Runware, call: Any) -> None:
    with pytest.raises(TaskTimeoutError, match=rf"rw.app\('my-upscaler'\).task\('{ID}', wait=True\)") as failure:
        call("run", n=1, task_id=ID, timeout=0.3)
    assert failure.value.may_be_running
    assert failure.value.task_uuid == ID
    gate.open.set()
    assert rw.app(NAME).task(ID, wait=True).output == {"n": 1}
    assert app.ledger.executions(ID) == 1


def test_answer_that_never_comes_ends_at_the_deadline(app: LocalServer, call: Callable[..., AppTask]) -> None:
    app.play("A2", seconds=30.0, times=None)
    with pytest.raises(TaskTimeoutError) as failure:
        call("run", timeout=0.3)
    assert failure.value.may_be_running


def drips_head(sock: socket.socket) -> None:
    read_head(sock)
    sock.sendall(b"HTTP/1.1 202 Accepted\r\n")
    while True:
        sock.sendall(b"X-Drip: 1\r\n")
        time.sleep(0.05)  # faster than any timeout of a single read


def drips_body(sock: socket.socket) -> None:
    read_head(sock)
    sock.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100000\r\n\r\n")
    while True:
        sock.sendall(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize("form", FORMS, ids=repr)
@pytest.mark.parametrize("peer", [drips_head, drips_body], ids=lambda one: one.__name__)
def test_no_peer_extends_the_deadline(form: Form, peer: Callable[[socket.socket], None]) -> None:
    with listening(peer) as port:
        rw = Runware("rw-secret-key", url=f"ws://127.0.0.1:{port}/v1")
        began = time.monotonic()
        with pytest.raises(TaskTimeoutError) as failure:
            form.call(rw, "call", ("run",), {"timeout": 0.7}, None)
        assert time.monotonic() - began < 10.0
        assert failure.value.may_be_running
        rw.close()


def test_server_that_is_not_there_cannot_have_run_anything(call: Callable[..., AppTask], server: LocalServer) -> None:
    server.stop()
    with pytest.raises(ConnectionFailedError) as failure:
        call("run", timeout=0.3)
    assert not failure.value.may_have_run


def test_lost_answers_up_to_the_deadline_may_have_run(app: LocalServer, call: Callable[..., AppTask]) -> None:
    app.play("A1", times=None)
    with pytest.raises((ConnectionLostError, TaskTimeoutError), match="wait=True") as failure:
        call("run", timeout=1.5)
    error = failure.value  # a timeout if the last request was still on its way
    assert error.may_be_running if isinstance(error, TaskTimeoutError) else error.may_have_run
    assert error.task_uuid is not None
    assert app.ledger.executions(error.task_uuid) == 1


def test_redirect_is_not_followed_with_the_key(tmp_path: Path) -> None:
    heads: list[bytes] = []

    def elsewhere(sock: socket.socket) -> None:
        heads.append(read_head(sock))

    def redirecting(port: int, sock: socket.socket) -> None:
        while head := read_head(sock):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            sock.recv(length) if length else None
            sock.sendall(
                f"HTTP/1.1 307 Moved\r\nLocation: http://localhost:{port}/\r\nContent-Length: 0\r\n\r\n".encode()
            )

    with listening(elsewhere) as other, listening(lambda sock: redirecting(other, sock)) as port:
        rw = Runware("rw-secret-key", url=f"ws://127.0.0.1:{port}/v1")
        with pytest.raises(ServerError, match="HTTP status 307") as failure:
            rw.app(NAME).call("run")
        rw.close()
    assert not failure.value.may_have_run
    assert heads == []


def test_key_is_kept_out_of_errors() -> None:
    key = "rw-secret-key-0123456789"
    problem = json.dumps({"title": "No", "status": 400, "detail": f"Bad header: Bearer {key}"}).encode()

    def echoing(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n%s" % (len(problem), problem))

    with listening(echoing) as port:
        rw = Runware(lambda: key, url=f"ws://127.0.0.1:{port}/v1")
        with pytest.raises(ValidationError, match="redacted") as failure:
            rw.app(NAME).call("run")
        rw.close()
    assert key not in str(failure.value) + repr(failure.value.raw)


def no_key() -> str:
    raise OSError("vault is closed")


@pytest.mark.parametrize(
    ("key", "error"),
    [(no_key, ConnectionFailedError), (lambda: None, ConfigurationError), (lambda: "", ConfigurationError)],
)
def test_key_function_that_fails_is_a_typed_error(app: LocalServer, key: Any, error: type[RunwareError]) -> None:
    rw = Runware(key, url=app.url)
    with pytest.raises(error):
        rw.app(NAME).call("run")
    assert app.ledger.http_requests == 0
    rw.close()


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_key_that_was_rotated_during_a_call_is_read_again(app: LocalServer, form: Form) -> None:
    current = "rw-test-key"

    def rotate(payload: dict[str, Any]) -> dict[str, Any]:
        nonlocal current
        app.api_key = current = "rw-new-key"
        return payload

    app.app(NAME, {"run": rotate})
    rw = Runware(lambda: current, url=app.url)
    assert form.call(rw, "call", ("run",), {"n": 1}, None).output == {"n": 1}
    assert len(sent(app)) == 1
    rw.close()


def test_key_that_stays_the_same_is_rejected_once(app: LocalServer) -> None:
    asked: list[str] = []

    def key() -> str:
        asked.append("rw-old-key")
        return asked[-1]

    rw = Runware(key, url=app.url)
    with pytest.raises(AuthenticationError):
        rw.app(NAME).call("run")
    assert len(asked) == 2
    assert app.ledger.refusals == 1
    rw.close()


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("args", "given", "parameter", "words"),
    [
        (("Run",), {}, "endpoint", "Did you mean 'run'"),
        (("my_method",), {}, "endpoint", "Did you mean 'my-method'"),
        (("/run",), {}, "endpoint", "Did you mean 'run'"),
        (("a//b",), {}, "endpoint", "must be a path"),
        (("",), {}, "endpoint", "must be a path"),
        (("a" * 256,), {}, "endpoint", "must be a path"),
        (("run\n",), {}, "endpoint", "must be a path"),
        ((b"run",), {}, "endpoint", "must be a path"),
        (({"scale": 2},), {}, "endpoint", "must be a path"),
        (("run", [1]), {}, "payload", "must be a dict"),
        (("run", "text"), {}, "payload", "must be a dict"),
        (("run", {"a": 1}), {"b": 2}, "payload", "exclude each other"),
        (("run", {1: 2}), {}, "payload", "must have text as its keys"),
        (("run",), {"a": {"b": {2: 3}}}, "a.b", "must have text as its keys"),
        (("run",), {"a": [1, float("nan")]}, "a[1]", "NaN"),
        (("run",), {"a": {"b": object()}}, "a.b", "must be JSON"),
        (("run",), {"a": Path("no-such-file.png")}, "a", "cannot be read"),
        (("run",), {"a": b""}, "a", "empty"),
        (("run",), {"a": Image(uuid=ID)}, "a", "cannot open its UUID"),
        (("run",), {"a": Image(base64_data="!")}, "a", "base64"),
        (("run",), {"task_id": "abc"}, "task_id", "must be a UUID"),
        (("run",), {"timeout": 0}, "timeout", "above zero"),
        (("run",), {"sync": "yes"}, "sync", "must be True or False"),
        (("run",), {"wait": 5}, "wait", "pass a dict"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(
    app: LocalServer, call: Callable[..., AppTask], args: Any, given: Any, parameter: str, words: str
) -> None:
    with pytest.raises((ValidationError, ConfigurationError), match=words) as failure:
        call(*args, **given)
    assert failure.value.parameter == parameter
    assert app.ledger.http_requests == 0


@pytest.mark.parametrize(
    "name", ["", "short", "My-Upscaler", "my_upscaler", "a" * 31, "my-upscaler-", "my-upscaler\n", None]
)
def test_name_of_an_app_is_checked(rw: Runware, name: Any) -> None:
    for form in (rw, rw.aio, rw.submit):
        with pytest.raises(ValidationError) as failure:
            form.app(name)
        assert failure.value.parameter == "name"


@pytest.mark.parametrize("environment", ["", "Staging", "-a", "a" * 64, "a b", 3])
def test_name_of_an_environment_is_checked(rw: Runware, environment: Any) -> None:
    with pytest.raises(ValidationError) as failure:
        rw.app(NAME, environment=environment)
    assert failure.value.parameter == "environment"


def test_payload_that_contains_itself_is_refused(app: LocalServer, call: Callable[..., AppTask]) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValidationError, match="contains itself") as failure:
        call("run", loop=loop)
    assert str(failure.value.parameter).startswith("loop[0][0]")


def test_large_payload_is_refused(rw: Runware) -> None:
    with pytest.raises(PayloadTooLargeError, match="limit is 67,108,864"):
        rw.app(NAME).call("run", text="x" * 2**26)


def test_client_that_only_validates_calls_no_app(app: LocalServer) -> None:
    rw = Runware(app.api_key, url=app.url, dry_run=True)
    with pytest.raises(ConfigurationError) as failure:
        rw.app(NAME).call("run")
    assert failure.value.parameter == "dry_run"
    rw.close()


def test_task_of_an_app_is_no_job_of_the_client(rw: Runware) -> None:
    with pytest.raises(ValidationError, match=r"rw\.app"):
        rw.job({"task_uuid": ID, "task_type": "serverless"})


# ---------------------------------------------------------------------- media


def test_media_are_sent_as_data_uris_and_urls(app: LocalServer, call: Callable[..., AppTask], tmp_path: Path) -> None:
    import io

    from PIL import Image as PILImage

    (tmp_path / "a.png").write_bytes(PNG)
    task = call(
        "run",
        path=tmp_path / "a.png",
        nested={"list": [PNG, bytearray(PNG), io.BytesIO(PNG)]},
        pil=PILImage.new("RGB", (2, 2)),
        result=Image(uuid=ID, url="https://im.runware.ai/a.png"),
        inline=Image(uuid=ID, base64_data="iVBORw0KGgo="),
        uri=Image(data_uri=PNG_URI),
        text=str(tmp_path / "a.png"),
    )
    got = task.output["got"]
    assert got["path"] == PNG_URI
    assert got["nested"] == {"list": [PNG_URI] * 3}
    assert got["pil"].startswith("data:image/png;base64,")
    assert got["result"] == "https://im.runware.ai/a.png"
    assert got["inline"] == got["uri"] == PNG_URI
    assert got["text"] == str(tmp_path / "a.png")


def test_foreign_numbers_are_sent_as_numbers(app: LocalServer, rw: Runware) -> None:
    class Foreign:
        def __index__(self) -> int:
            return 7

    assert rw.app(NAME).call("run", n=Foreign(), many=[Foreign()]).output == {"got": {"n": 7, "many": [7]}}


# ---------------------------------------------------------------------- tasks


def test_tasks_are_listed_page_by_page(app: LocalServer, rw: Runware) -> None:
    ids = [rw.app(NAME).call("run", n=n).id for n in range(5)]
    before = app.ledger.http_requests
    assert [task.id for task in rw.app(NAME).tasks(page_size=2)] == ids[::-1]
    assert app.ledger.http_requests == before + 3

    async def main() -> list[str | None]:
        return [task.id async for task in rw.aio.app(NAME).tasks(page_size=2)]

    assert asyncio.run(main()) == ids[::-1]


@pytest.mark.parametrize("size", [0, -1, True, "2"])
def test_page_size_is_checked(rw: Runware, size: Any) -> None:
    with pytest.raises(ValidationError) as failure:
        rw.app(NAME).tasks(page_size=size)
    assert failure.value.parameter == "page_size"


# ---------------------------------------------------------------------- cancelling and closing


def test_cancelled_job_ends_at_once_and_the_app_goes_on(app: LocalServer, gate: Gate, rw: Runware) -> None:
    job = rw.submit.app(NAME).call("run", n=1, task_id=ID)
    assert gate.entered.wait(10)
    assert repr(job) == f"<AppJob my-upscaler {ID} running>"
    assert job.cancel()
    assert job.cancelled()
    assert job.status == "cancelled"
    with pytest.raises(TaskCancelledError, match=ID):
        job.result()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "runware-app-call"])
    gate.open.set()
    assert rw.app(NAME).task(ID, wait=True).output == {"n": 1}


def test_cancelled_await_ends_at_once(gate: Gate, rw: Runware) -> None:
    async def main() -> None:
        call = asyncio.ensure_future(rw.aio.app(NAME).call("run"))
        await asyncio.to_thread(gate.entered.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancel", "timeout", "close"])
def test_call_that_ends_during_the_tls_handshake_closes_its_connection(how: str) -> None:
    greeted, ended = threading.Event(), threading.Event()

    def never_answer(sock: socket.socket) -> None:
        while sock.recv(65536):
            greeted.set()
        ended.set()

    async def main(port: int) -> None:
        rw = Runware("rw-test-key", url=f"wss://127.0.0.1:{port}/v1", max_retries=0, reconnect=False)
        timeout = 0.2 if how == "timeout" else 60.0
        call = asyncio.ensure_future(rw.aio.app(NAME).call("run", timeout=timeout))
        assert await asyncio.to_thread(greeted.wait, 10)
        if how == "cancel":
            call.cancel()
        elif how == "close":
            await rw.aio.close()
        with pytest.raises((asyncio.CancelledError, ClientClosedError, ConnectionFailedError, TaskTimeoutError)):
            await call
        assert await asyncio.to_thread(ended.wait, 10)
        await rw.aio.close()

    gc.disable()  # which would close it
    try:
        with listening(never_answer) as port:
            asyncio.run(main(port))
    finally:
        gc.enable()


def test_cancelled_job_cuts_its_connection(app: LocalServer, gate: Gate, rw: Runware) -> None:
    job = rw.submit.app(NAME).call("run", sync=True)  # whose answer is not there yet
    assert gate.entered.wait(10)
    assert job.cancel()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "runware-app-call"])


def test_ctrl_c_ends_the_wait_and_names_the_task(app: LocalServer, gate: Gate) -> None:
    script = f"""
        try:
            rw.app("{NAME}").call("run", sync=True, task_id="{ID}")
        except KeyboardInterrupt:
            print("interrupted")
        """
    process = start(app, script)
    assert gate.entered.wait(30)
    process.send_signal(signal.SIGINT)
    shown, said = process.communicate(timeout=30)
    assert shown == "interrupted\n"
    assert f".task('{ID}')" in said


def test_program_that_ends_names_the_tasks_it_leaves_behind(app: LocalServer, gate: Gate) -> None:
    script = f"""
        job = rw.submit.app("{NAME}").call("run", sync=True, task_id="{ID}")
        while not list(rw.app("{NAME}").tasks()):
            pass
        """
    run(app, script, said=ID)


def test_close_ends_a_call_that_waits_over_tls() -> None:
    authority, gate = trustme.CA(), Gate()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    authority.configure_trust(trusting)
    with LocalServer(ssl_context=serving) as server:
        server.app(NAME, {"run": gate})
        rw = Runware(server.api_key, url=server.url, ssl_context=trusting)
        job = rw.submit.app(NAME).call("run", sync=True)
        assert gate.entered.wait(10)
        rw.close()
        assert isinstance(job.exception(5), ClientClosedError)
        assert not [thread for thread in threading.enumerate() if thread.name == "runware-app-call"]
        untrusting = Runware(server.api_key, url=server.url)
        with pytest.raises(ConnectionFailedError, match="is not trusted") as failure:
            untrusting.app(NAME).call("run")
        assert (failure.value.stage, failure.value.retryable) == ("TLS", False)
        untrusting.close()
        gate.open.set()


@pytest.mark.parametrize("sync", [False, True])
def test_close_ends_what_runs(app: LocalServer, gate: Gate, rw: Runware, sync: bool) -> None:
    errors: list[BaseException] = []

    def blocking() -> None:
        try:
            rw.app(NAME).call("run", sync=sync)
        except BaseException as error:
            errors.append(error)

    async def main() -> None:
        thread = threading.Thread(target=blocking)
        thread.start()
        job = rw.submit.app(NAME).call("run", sync=sync)
        awaited = asyncio.ensure_future(rw.aio.app(NAME).call("run", sync=sync))
        await asyncio.to_thread(app.ledger.wait_for, lambda ledger: ledger.executed == 3)
        await rw.aio.close()
        with pytest.raises(ClientClosedError):
            await awaited
        with pytest.raises(ClientClosedError):
            job.result(5)
        await asyncio.to_thread(thread.join, 5)

    asyncio.run(main())
    assert [type(error) for error in errors] == [ClientClosedError]
    assert not [thread for thread in threading.enumerate() if thread.name == "runware-app-call"]
    for form in (rw, rw.submit):
        with pytest.raises(ClientClosedError):
            form.app(NAME).call("run")


def test_job_can_be_awaited_and_tells_its_callbacks(app: LocalServer, rw: Runware) -> None:
    told = threading.Event()
    job = rw.submit.app(NAME).call("run", n=1)
    job.add_done_callback(lambda done: told.set())

    async def main() -> AppTask:
        return await job

    assert asyncio.run(main()).output == {"got": {"n": 1}}
    assert told.wait(10)
    assert job.done()
    assert not job.cancel()
    assert not job.running()


def test_dropped_client_leaves_no_thread(app: LocalServer, gate: Gate) -> None:
    def use() -> None:
        rw = Runware(app.api_key, url=app.url)
        rw.submit.app(NAME).call("run", wait=False).result(10)

    use()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "runware-app-call"])


@needs_fork
def test_forked_child_calls_apps_and_leaves_the_parents_alone(app: LocalServer, gate: Gate) -> None:
    app.app("other-app", {"run": lambda payload: payload})
    shown = run(
        app,
        f"""
        from runware.errors import ClientClosedError
        job = rw.submit.app("{NAME}").call("run", n=1, task_id="{ID}")
        rw.app("other-app").call("run")
        child = os.fork()
        if not child:
            try:
                job.result(10)
            except ClientClosedError as error:
                print("ended" if "{ID}" in str(error) else error)
            print(rw.app("other-app").call("run", n=2).output, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(rw.app("other-app").call("run", n=3).output)
        print(job.running(), job.cancel())
        rw.close()
        """,
    )
    assert shown.splitlines() == ["ended", "{'n': 2}", "{'n': 3}", "True True"]


# ---------------------------------------------------------------------- decisions, without I/O


class Paper:
    """A flow, performed on paper: with a made-up clock, and answers that a test writes."""

    def __init__(self, **options: Any) -> None:
        self.now = 100.0
        self.exchanges: list[Exchange] = []
        self.pauses: list[float] = []
        given = Options(api_key="rw-test-key", url=DEFAULT_URL, **options)
        self.flows = AppFlows(
            AppAddress(NAME),
            given,
            Redactor(),
            clock=lambda: self.now,
            wall_clock=lambda: 1_700_000_000.0,
            rng=random.Random(1),
        )

    def invoke(self, *replies: Any, sync: bool = False, wait: bool = True, timeout: float | None = None) -> AppTask:
        call = Invocation(task_id=ID, endpoint="run", content=b"{}", sync=sync, wait=wait, timeout=timeout)
        return self.perform(self.flows.invoke(call), *replies)

    def perform(self, flow: Any, *replies: Any) -> Any:
        """Answer one exchange after the other; the last answer is repeated. A reply `(seconds, answer)` takes time."""
        left, reply = list(replies), None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                return end.value
            if isinstance(step, Pause):
                self.pauses.append(step.seconds)
                self.now += step.seconds
                reply = None
                continue
            assert step.timeout > 0
            self.exchanges.append(step)
            reply = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(reply, tuple):
                seconds, reply = reply
                self.now += min(seconds, step.timeout)


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(
        status, names, b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    )


def task(status: str, **more: Any) -> Answer:
    return answer(200 if status == "completed" else 202, {"id": ID, "status": status, "appId": NAME, **more})


LOST = Failure("lost", sent=True)
UNSENT = Failure("no route", sent=False)


def test_polls_come_at_growing_intervals_up_to_two_seconds() -> None:
    paper = Paper()
    with pytest.raises(TaskTimeoutError):
        paper.invoke(task("pending"))
    assert paper.now == pytest.approx(100.0 + 1200.0)
    assert paper.pauses[:3] == [0.1, 0.1, 0.1]
    assert min(paper.pauses[:-1]) == 0.1
    assert 1.8 <= max(paper.pauses) <= 2.0
    assert len(paper.exchanges) < 700
    assert [paper.exchanges[0].method, paper.exchanges[1].method] == ["POST", "GET"]
    assert paper.exchanges[1].path == f"/v1/apps/{NAME}/tasks/{ID}"


@pytest.mark.parametrize(
    ("given", "waited"),
    [
        ("7", 7.0),
        ("3.5", 3.5),
        (formatdate(1_700_000_009, usegmt=True), 9.0),
        (formatdate(1_600_000_000, usegmt=True), 0.0),
        ("86400", 60.0),
        ("nan", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept_and_capped(status: int, given: str, waited: float) -> None:
    paper = Paper(retry_delay=0.0)
    paper.invoke(answer(status, {"status": status}, retry_after=given), task("completed"), timeout=500)
    assert paper.pauses == [waited]


def test_retry_after_of_a_poll_is_kept() -> None:
    paper = Paper(retry_delay=0.0)
    paper.invoke(task("pending"), answer(429, {}, retry_after="5"), task("completed"))
    assert paper.pauses[1] == 5.0


def test_refusal_is_raised_when_no_attempt_fits_before_the_deadline() -> None:
    paper = Paper()
    with pytest.raises(RateLimitError):
        paper.invoke(answer(429, {}, retry_after="50"), timeout=20)
    assert paper.now == 100.0


def test_call_is_accepted_within_the_short_timeout_and_ends_within_the_long_one() -> None:
    paper = Paper(timeout=10.0, long_timeout=100.0)
    with pytest.raises(ConnectionFailedError):
        paper.invoke((0.1, UNSENT))
    assert paper.now == pytest.approx(110.0, abs=1.0)
    paper = Paper(timeout=10.0, long_timeout=100.0)
    with pytest.raises(TaskTimeoutError):
        paper.invoke((8.0, task("pending")), (0.1, task("pending")))
    assert paper.now == pytest.approx(200.0, abs=3.0)


def test_synchronous_call_waits_for_its_answer_up_to_the_long_deadline() -> None:
    paper = Paper(timeout=10.0, long_timeout=100.0)
    assert paper.invoke((90.0, task("completed")), sync=True).status == "completed"
    assert paper.exchanges[0].timeout == 100.0


def test_conflict_after_a_lost_answer_means_that_it_had_arrived() -> None:
    paper = Paper()
    assert paper.invoke(LOST, answer(409, {}), task("completed")).status == "completed"
    assert [exchange.method for exchange in paper.exchanges] == ["POST", "POST", "GET"]
    assert Paper().invoke(answer(408, {}), answer(409, {}), task("completed")).status == "completed"
    with pytest.raises(ConflictError):
        Paper().invoke(answer(409, {}))


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", {"id": "other", "status": "completed"}, {"status": "completed"}, b""]
)
def test_answer_without_the_task_is_no_answer(body: Any) -> None:
    paper = Paper(retry_delay=0.01)
    assert paper.invoke(answer(200, body), task("completed")).status == "completed"
    with pytest.raises(ServerError) as failure:
        Paper(retry_delay=0.01).invoke(answer(200, body))
    assert failure.value.may_have_run
    paper = Paper(retry_delay=0.01)
    assert paper.invoke(task("pending"), answer(200, body), task("completed")).status == "completed"


def test_unknown_statuses_are_waited_for_until_they_are_over() -> None:
    assert Paper().invoke(task("queued"), task("running"), task("completed")).status == "completed"
    with pytest.raises(TaskError):
        Paper().invoke(task("cancelled", completedAt="2026-10-20T09:00:00Z"))


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        ("out of memory", "The app failed: out of memory.", None),
        ({"message": "out of memory", "code": "oom"}, "The app failed: out of memory.", "oom"),
        ({"detail": "out of memory!", "type": "OOM"}, "The app failed: out of memory!", "OOM"),
        (None, "The app failed, and the server does not say why.", None),
        ([1], "The app failed, and the server does not say why.", None),
    ],
)
def test_error_of_a_failed_task_is_read_in_any_form(error: Any, message: str, code: str | None) -> None:
    with pytest.raises(TaskError) as failure:
        Paper().invoke(task("failed", error=error))
    assert (failure.value.message, failure.value.code) == (message, code)


def test_task_that_stays_unknown_is_an_error_after_half_a_minute() -> None:
    paper = Paper()
    with pytest.raises(NotFoundError) as failure:
        paper.invoke(task("pending"), answer(404, {}))
    assert failure.value.may_have_run
    assert FRESH <= paper.now - 100.0 < FRESH + 3.0


def test_poll_that_is_refused_for_good_ends_the_wait() -> None:
    with pytest.raises(AuthenticationError) as failure:
        Paper().invoke(task("pending"), answer(401, {}))
    assert failure.value.may_have_run


def test_untrusted_certificate_is_not_tried_again() -> None:
    paper = Paper()
    with pytest.raises(ConnectionFailedError) as failure:
        paper.invoke(Failure("not trusted", sent=False, permanent=True, stage="TLS"))
    assert (failure.value.stage, failure.value.retryable) == ("TLS", False)
    assert paper.pauses == []


def test_gateway_error_may_have_run_the_task_and_a_refusal_did_not() -> None:
    for status, may in ((502, True), (500, True), (503, False), (429, False), (400, False)):
        with pytest.raises(RunwareError) as failure:
            Paper(max_retries=0).invoke(answer(status, b"<html>"))
        assert failure.value.may_have_run is may
    with pytest.raises(ValidationError) as rejected:
        Paper().invoke(LOST, answer(400, {}))
    assert rejected.value.may_have_run


def test_client_that_does_not_reconnect_gives_up_at_the_first_loss() -> None:
    paper = Paper(reconnect=False)
    with pytest.raises(ConnectionLostError):
        paper.invoke(LOST)
    assert len(paper.exchanges) == 1


def test_listing_that_does_not_go_on_ends() -> None:
    paper = Paper()
    page = answer(200, {"data": [{"id": ID}, 3], "nextCursor": "c"})
    items, cursor = paper.perform(paper.flows.page(None, 5, None), page)
    assert [item.id for item in items] == [ID]
    assert paper.exchanges[0].query == {"limit": "5"}
    with pytest.raises(ServerError):
        paper.perform(paper.flows.page(cursor, None, None), answer(200, {"data": [], "nextCursor": "c"}))
    with pytest.raises(ServerError):
        paper.perform(paper.flows.page(None, None, None), answer(200, {"rows": []}))


def test_reading_ends_at_its_deadline() -> None:
    paper = Paper(timeout=10.0)
    with pytest.raises(TaskTimeoutError) as failure:
        paper.perform(paper.flows.read(ID, None), (30.0, Failure("late", sent=True, late=True)))
    assert not failure.value.may_have_run


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, ValidationError), (401, AuthenticationError), (402, InsufficientCreditsError), (403, AuthenticationError),
        (404, NotFoundError), (405, TaskError), (409, ConflictError), (413, PayloadTooLargeError),
        (422, ValidationError), (429, RateLimitError), (500, ServerError), (503, ServerError), (599, ServerError),
    ],
)  # fmt: skip
@pytest.mark.parametrize("problem", [None, [], "no", {}, {"type": 3, "detail": None, "errors": 7}, {"errors": [1, {}]}])
def test_problems_are_typed_by_their_status(status: int, cls: type[RunwareError], problem: Any) -> None:
    error = problem_error(status, problem, "req_1", ID)
    assert type(error) is cls
    assert error.task_uuid == ID
    assert error.request_id == "req_1"


def test_problem_names_the_fields_as_python_does() -> None:
    error = problem_error(
        422,
        {
            "type": "https://docs.runware.ai/serverless/errors#validation",
            "title": "Invalid",
            "status": 422,
            "detail": "The request is not valid",
            "requestId": "req_2",
            "errors": [
                {"detail": "must be a string", "pointer": "#/payload/images/0/a~1b"},
                {"detail": "must be a UUID", "pointer": "#/taskId"},
                {"detail": "is too much"},
            ],
        },
        "req_1",
        None,
    )
    assert error.message == (
        "The request is not valid. images[0].a/b must be a string. task_id must be a UUID. is too much."
    )
    assert error.parameter == ["images[0].a/b", "task_id"]
    assert (error.code, error.request_id) == ("validation", "req_2")
    one = problem_error(422, {"errors": [{"detail": "no", "pointer": "#/payload/image"}]}, None, None)
    assert (one.parameter, one.request_id) == ("image", None)
    whole = problem_error(422, {"errors": [{"detail": "no", "pointer": "#/payload"}]}, None, None)
    assert whole.parameter == "payload"


def test_field_errors_of_the_server_reach_the_caller(app: LocalServer, rw: Runware) -> None:
    class Odd(dict[str, Any]):
        pass

    app.switch(q13=200)
    with pytest.raises(PayloadTooLargeError, match="exceeds 200 bytes"):
        rw.app(NAME).call("run", Odd(text="x" * 300))


# ---------------------------------------------------------------------- the local server


@pytest.mark.parametrize(
    ("name", "endpoints", "options"),
    [
        ("no", {}, {}),
        (NAME, {"/run": str}, {}),
        (NAME, {"Run": str}, {}),
        (NAME, {"run": str}, {"default": "walk"}),
        (NAME, {"run": str}, {"environments": ()}),
        (NAME, {"run": str}, {"environments": "production"}),
    ],
)
def test_invalid_local_app_raises(server: LocalServer, name: str, endpoints: Any, options: Any) -> None:
    with pytest.raises(ValueError, match="got"):
        server.app(name, endpoints, **options)


def post(server: LocalServer, path: str, body: Any, *, method: str = "POST") -> tuple[int, Any]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, {"Authorization": f"Bearer {server.api_key}"})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, json.loads(content)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("invoke-async/run", {"taskId": ID.upper(), "payload": {}}, 422),
        ("invoke-async/run", {"taskId": ID, "payload": []}, 422),
        ("invoke-async/run", {"taskId": ID, "payload": {}, "more": 1}, 422),
        ("invoke-async/run", {"payload": {}}, 422),
        ("invoke-async/run", [], 422),
        ("invoke-async/run", b"{", 400),
        ("invoke-async/v1%2Fchat%2Fcompletions", {"taskId": ID, "payload": {}}, 422),
        ("invoke-async/walk", {"taskId": ID, "payload": {}}, 404),
        ("invoke-later/run", {"taskId": ID, "payload": {}}, 404),
        ("tasks", {}, 405),
    ],
)
def test_local_server_refuses_what_the_service_refuses(app: LocalServer, path: str, body: Any, status: int) -> None:
    got, problem = post(app, f"/v1/apps/{NAME}/{path}", body)
    assert got == status
    assert problem["status"] == status
    assert problem["type"].startswith("https://docs.runware.ai/serverless/errors#")
    assert sent(app) == []


def test_local_app_may_have_coroutine_functions_and_method_names(app: LocalServer, rw: Runware) -> None:
    async def my_method(payload: dict[str, Any]) -> int:
        await asyncio.sleep(0)
        return len(payload)

    async def broken(payload: dict[str, Any]) -> object:
        return object()

    app.app(NAME, {"my_method": my_method, "broken": broken})
    assert rw.app(NAME).call("my-method", a=1).output == 1
    with pytest.raises(TaskError, match="not JSON serializable"):
        rw.app(NAME).call("broken")
    with pytest.raises(NotFoundError, match="default"):
        rw.app(NAME).call()


def test_local_app_takes_the_delay_of_its_task_type(app: LocalServer, rw: Runware) -> None:
    app.configure(delay={"serverless": 0.05})
    assert rw.app(NAME).call("run").status == "completed"
