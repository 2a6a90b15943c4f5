"""The local server over HTTP: tasks, status codes, token streams."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from runware.local import LocalServer
from tests.test_local_server import Peer, errors, new_uuid

TEXT = {
    "taskType": "textInference",
    "model": "minimax:m2.7@0",
    "deliveryMethod": "stream",
    "messages": [{"role": "user", "content": "Say hi"}],
    "includeUsage": True,
    "includeCost": True,
}


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started
        assert not started.ledger.errors


def image(**fields: Any) -> dict[str, Any]:
    return {"taskType": "imageInference", "taskUUID": new_uuid(), "positivePrompt": "a kite", **fields}


def post(server: LocalServer, body: Any, key: str | None = None, **headers: str) -> tuple[int, Any]:
    """POST tasks; return the status and the JSON."""
    status, _, data = post_raw(server, body, key, **headers)
    return status, json.loads(data)


def post_raw(server: LocalServer, body: Any, key: str | None = None, **headers: str) -> tuple[int, str, bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if key != "":
        sent["Authorization"] = f"Bearer {key or server.api_key}"
    request = urllib.request.Request(f"{server.http_url}/v1", data, sent)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def test_key_in_the_header_authenticates(server: LocalServer) -> None:
    status, frame = post(server, [image(numberResults=3, seed=1)])
    assert status == 200
    assert [item["seed"] for item in frame["data"]] == [1, 2, 3]
    assert "errors" not in frame
    assert server.ledger.http_requests == 1


def test_key_in_the_body_authenticates(server: LocalServer) -> None:
    authentication = {"taskType": "authentication", "apiKey": server.api_key}
    status, frame = post(server, [authentication, image(), {"taskType": "ping", "ping": True}], key="")
    assert status == 200
    assert [item["taskType"] for item in frame["data"]] == ["authentication", "imageInference", "ping"]
    assert server.api_key not in repr(server.ledger.received)


@pytest.mark.parametrize(("key", "code"), [("wrong", "invalidApiKey"), ("", "missingApiKey")])
def test_missing_or_wrong_key_gets_status_401(server: LocalServer, key: str, code: str) -> None:
    status, frame = post(server, [image()], key=key)
    assert (status, errors(frame)) == (401, [code])
    assert server.ledger.executed == 0


@pytest.mark.parametrize(
    ("prompt", "status"),
    [
        ("[rate-limit]", 429),
        ("[timeout]", 504),
        ("[provider-error]", 500),
        ("[unsafe]", 400),
        ("[error:modelNotFound]", 404),
        ("[error:serviceUnavailable]", 503),
        ("[error:missingApiKey]", 401),
    ],
)
def test_failed_task_sets_the_http_status(server: LocalServer, prompt: str, status: int) -> None:
    found, frame = post(server, [image(positivePrompt=f"x {prompt}")])
    assert found == status
    assert frame["data"] == []
    assert len(frame["errors"]) == 1


def test_http_status_of_conflict_partial_failure_and_missing_credits(server: LocalServer) -> None:
    task = image()
    assert post(server, [task])[0] == 200
    status, frame = post(server, [task])
    assert (status, errors(frame), frame["data"]) == (400, ["conflictTaskUUID"], [])
    status, frame = post(server, [image(), image(width=1)])
    assert (status, errors(frame), len(frame["data"])) == (200, ["invalidWidth"], 1)
    server.balance = 0
    assert post(server, [image()])[0] == 402


def test_body_that_is_not_an_array_of_tasks_is_rejected(server: LocalServer) -> None:
    assert post(server, b"{")[0] == 400
    assert post(server, {"taskType": "ping"})[0] == 400
    assert errors(post(server, ["x"])[1]) == ["invalidRequest"]


def test_asynchronous_tasks_are_acknowledged_and_polled(server: LocalServer) -> None:
    task = image(deliveryMethod="async")
    with server.hold():
        status, frame = post(server, [task])
        assert (status, frame) == (200, {"data": [{"taskType": "imageInference", "taskUUID": task["taskUUID"]}]})
        poll = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
        assert post(server, [poll])[1]["data"][0]["status"] == "processing"
    assert post(server, [poll])[1]["data"][0]["status"] == "success"
    assert post(server, [{**poll, "taskUUID": new_uuid()}]) == (200, {"data": []})
    failing = image(deliveryMethod="async", positivePrompt="x [timeout]")
    assert post(server, [failing])[0] == 200
    status, frame = post(server, [{**poll, "taskUUID": failing["taskUUID"]}])
    assert (status, errors(frame), frame["data"]) == (200, ["timeoutProvider"], [])


def test_response_waits_for_a_delayed_poll(server: LocalServer) -> None:
    server.configure(delay={"getResponse": 0.01})
    task = image()
    assert post(server, [task, {"taskType": "getResponse", "taskUUID": task["taskUUID"]}])[1]["data"][1]["status"]


def test_dry_run_header_returns_costs_only(server: LocalServer) -> None:
    status, frame = post(server, [image()], X_Runware_Dry_Run="1")
    assert status == 200
    assert frame["data"][0]["cost"] == 0.0013
    assert "imageURL" not in frame["data"][0]
    assert server.ledger.executed == 0


def test_task_goes_on_after_its_request_timed_out(server: LocalServer) -> None:
    server.configure(sync_window=0.02)
    task = image()
    with server.hold():
        status, frame = post(server, [task])
    assert (status, errors(frame)) == (504, ["requestTimeout"])
    poll = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
    assert post(server, [poll])[1]["data"][0]["status"] == "success"


def test_unknown_paths_and_methods_get_404_and_405(server: LocalServer) -> None:
    def status(method: str, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request(method, path)
        reply = connection.getresponse()
        reply.read()
        connection.close()
        return reply.status

    assert [status("GET", path) for path in ("/", "/v1", "/nothing")] == [200, 405, 404]
    assert [status(method, "/nothing") for method in ("POST", "DELETE")] == [404, 404]


def test_script_answers_http_requests(server: LocalServer) -> None:
    server.script(lambda _: [{"data": [{"odd": 1}]}, {"error": {"code": "odd"}}, "ignored"])
    assert post(server, [image()]) == (200, {"data": [{"odd": 1}], "errors": [{"code": "odd"}]})


def test_drop_ends_http_requests_in_flight(server: LocalServer) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            post(server, [image()])
        except (OSError, http.client.HTTPException) as error:
            failures.append(error)

    with server.hold():
        thread = threading.Thread(target=run)
        thread.start()
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        server.drop()
        thread.join(10)
    assert len(failures) == 1


# Streams.


def events(data: bytes) -> list[Any]:
    lines = [line[5:].strip() for line in data.decode().splitlines() if line.startswith("data:")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_stream_has_events_usage_and_cost(server: LocalServer) -> None:
    task = {**TEXT, "taskUUID": new_uuid()}
    status, content_type, data = post_raw(server, [task], Accept="text/event-stream")
    assert (status, content_type) == (200, "text/event-stream")
    assert data.startswith(b": ping\n\n")
    *chunks, last, done = events(data)
    assert done == "[DONE]"
    assert {chunk["taskUUID"] for chunk in chunks} == {task["taskUUID"]}
    assert all(chunk["finishReason"] is None for chunk in chunks)
    assert "reasoningContent" in chunks[0]["delta"]
    words = "".join(chunk["delta"].get("text", "") for chunk in chunks)
    assert "Say hi" in words
    assert words.endswith("☃.")
    assert (last["delta"], last["finishReason"], last["cost"]) == ({}, "stop", 0.00002)
    assert last["usage"]["totalTokens"] > 0
    assert server.ledger.executions(task["taskUUID"]) == 1


def test_rejected_stream_is_answered_with_a_json_error(server: LocalServer) -> None:
    task = {**TEXT, "taskUUID": new_uuid(), "messages": [{"role": "user", "content": "x [rate-limit]"}]}
    status, frame = post(server, [task])
    assert status == 429
    assert frame["error"]["code"] == "rateLimitExceeded"
    assert (frame["taskUUID"], frame["taskType"]) == (task["taskUUID"], "textInference")
    status, frame = post(server, [{**TEXT, "taskUUID": new_uuid(), "taskType": "imageInference"}])
    assert (status, frame["error"]["code"]) == (400, "missingPositivePrompt")


def stream(server: LocalServer, form: str) -> bytes:
    server.play("X21", form=form)
    return post_raw(server, [{**TEXT, "taskUUID": new_uuid()}])[2]


def test_x21_changes_the_form_of_a_stream(server: LocalServer) -> None:
    plain = post_raw(server, [{**TEXT, "taskUUID": new_uuid()}])[2]
    assert events(stream(server, "no-done"))[-1]["finishReason"] == "stop"
    assert b"\r\n\r\n" in stream(server, "crlf")
    assert b"data:[DONE]" in stream(server, "no-space+joined")
    assert stream(server, "no-newline").endswith(b"[DONE]")
    assert len(events(stream(server, "split+joined"))) == len(events(plain))
    assert errors(events(stream(server, "error"))[-1]) == ["timeoutProvider"]
    assert events(stream(server, "error-singular"))[-1]["error"]["code"] == "timeoutProvider"
    with pytest.raises((OSError, http.client.HTTPException)):
        stream(server, "cut")


@pytest.mark.parametrize("form", ["fin", "torn", "torn-fin"])
def test_x21_breaks_streams_off(server: LocalServer, form: str) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        stream(server, form)


def test_x21_changes_the_events_of_a_stream(server: LocalServer) -> None:
    *_, last, usage, done = events(stream(server, "late-usage"))
    assert (last["finishReason"], done) == ("stop", "[DONE]")
    assert "usage" not in last
    assert "cost" not in last
    assert usage["usage"]["totalTokens"]
    assert usage["cost"]
    assert "finishReason" not in usage
    assert {event["taskUUID"] for event in events(stream(server, "empty-uuid"))[:-1]} == {""}
    assert all(set(event) == {"data"} for event in events(stream(server, "nested"))[:-1])
    with pytest.raises(json.JSONDecodeError):
        events(stream(server, "garbage"))
    server.play("X21", form="error", after=4)
    assert len(events(post_raw(server, [{**TEXT, "taskUUID": new_uuid()}])[2])) == 5


@pytest.mark.parametrize("form", ["silence", "pings"])
def test_x21_silences_a_stream_until_its_client_leaves(server: LocalServer, form: str) -> None:
    server.play("X21", form=form, after=1)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    headers = {"Authorization": f"Bearer {server.api_key}"}
    connection.request("POST", "/v1", json.dumps([{**TEXT, "taskUUID": new_uuid()}]), headers)
    reply = connection.getresponse()
    seen = b""
    while b"reasoningContent" not in seen or (form == "pings" and seen.count(b": ping") < 5):
        seen += reply.read1(65536)
    assert b"[DONE]" not in seen
    reply.close()
    connection.close()
    server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)
    assert server.ledger.streams == 1


@pytest.mark.parametrize("form", ["tools", "toolCalls", "none"])
def test_tools_are_called_in_a_stream_as_the_prompt_asks(server: LocalServer, form: str) -> None:
    server.switch(stream_tools=form, stream_index="present")
    messages = [{"role": "user", "content": 'x [tool:f={"a": 1}] [tool:unknown]'}]
    task = {**TEXT, "taskUUID": new_uuid(), "messages": messages, "tools": [{"name": "f", "schema": {}}]}
    *chunks, last, _ = events(post_raw(server, [task])[2])
    calls = [call for chunk in chunks for call in chunk["delta"].get(form, ())]
    assert {chunk["resultIndex"] for chunk in chunks} == {0}
    assert last["finishReason"] == ("stop" if form == "none" else "tool_calls")
    if form == "tools":
        assert calls == [{"id": "call_1", "name": "f", "input": {"a": 1}}]
    elif form == "toolCalls":
        assert calls[0]["function"]["name"] == "f"
        assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"a": 1}


@pytest.mark.parametrize("known", ["runs", "unknown"])
def test_streamed_task_can_be_asked_for_afterwards(server: LocalServer, known: str) -> None:
    server.switch(dropped_stream=known)
    task = {**TEXT, "taskUUID": new_uuid()}
    text = "".join(chunk["delta"].get("text", "") for chunk in events(post_raw(server, [task])[2])[:-1])
    for kind in ("getResponse", "getTaskDetails"):
        _, frame = post(server, [{"taskType": kind, "taskUUID": task["taskUUID"]}])
        assert (text in json.dumps(frame, ensure_ascii=False)) == (known == "runs")


def test_x21_splits_characters_between_writes(server: LocalServer) -> None:
    server.play("X21")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    headers = {"Authorization": f"Bearer {server.api_key}"}
    connection.request("POST", "/v1", json.dumps([{**TEXT, "taskUUID": new_uuid()}]), headers)
    reply = connection.getresponse()
    pieces = list(iter(lambda: reply.read1(65536), b""))
    connection.close()
    with pytest.raises(UnicodeDecodeError):
        [piece.decode() for piece in pieces]
    assert "☃" in b"".join(pieces).decode()


# Faults of requests.


def test_x20_loses_the_response_of_an_executed_task(server: LocalServer) -> None:
    fault = server.play("X20")
    task = image()
    with pytest.raises((OSError, http.client.HTTPException)):
        post(server, [task])
    assert (fault.played, server.ledger.faults) == (1, ["X20"])
    assert server.ledger.executions(task["taskUUID"]) == 1
    status, frame = post(server, [task])
    assert (status, errors(frame)) == (400, ["conflictTaskUUID"])


def test_x20_answers_with_a_status_and_text(server: LocalServer) -> None:
    server.play("X20:status=503,run=false")
    task = image()
    status, content_type, body = post_raw(server, [task])
    assert (status, content_type, body) == (503, "text/plain; charset=utf-8", b"upstream unavailable")
    assert server.ledger.executions(task["taskUUID"]) == 0
    assert post(server, [task])[0] == 200


@pytest.mark.parametrize(
    ("parameters", "body"),
    [("body=empty", b""), ("body=data", b'{"data":[]}'), ("body=error", b"serviceUnavailable")],
)
def test_x20_answers_with_a_chosen_body(server: LocalServer, parameters: str, body: bytes) -> None:
    server.play(f"X20:status=503,run=false,{parameters}")
    task = image()
    status, _, answer = post_raw(server, [task])
    assert status == 503
    assert body in answer if body else answer == b""
    assert server.ledger.executed == 0


@pytest.mark.parametrize(("date", "expected"), [("false", "7"), ("true", "GMT")])
def test_x20_asks_to_wait(server: LocalServer, date: str, expected: str) -> None:
    server.play(f"X20:status=429,run=false,retry_after=7,date={date}")
    request = urllib.request.Request(
        f"{server.http_url}/v1", json.dumps([image()]).encode(), {"Authorization": f"Bearer {server.api_key}"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value as error:
        assert expected in error.headers["Retry-After"]


def test_x20_answers_late_or_never(server: LocalServer) -> None:
    server.play("X20:how=late,delay=0.2")
    task = image()
    started = time.monotonic()
    assert post(server, [task])[0] == 200
    assert time.monotonic() - started >= 0.2
    server.play("X20:how=never")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.3)
    with contextlib.closing(connection), pytest.raises(TimeoutError):
        connection.request("POST", "/v1", json.dumps([image()]), {"Authorization": f"Bearer {server.api_key}"})
        connection.getresponse()
    assert server.ledger.executed == 2


def test_x20_answers_twice(server: LocalServer) -> None:
    server.play("X20:how=twice")
    body = json.dumps([image()])
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(
            f"POST /v1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.api_key}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        data = b""
        while data.count(b"imageUUID") < 2:
            data += sock.recv(65536)
    assert data.count(b"HTTP/1.1 200") == 2


def test_x20_may_concern_polls_only(server: LocalServer) -> None:
    fault = server.play("X20:status=502,run=false,task_type=getResponse")
    task = image(deliveryMethod="async")
    assert post(server, [task])[0] == 200
    question = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
    assert post_raw(server, [question])[0] == 502
    assert post(server, [question])[0] == 200
    assert fault.played == 1


def test_x6_cuts_http_connections(server: LocalServer) -> None:
    server.play("X6")
    with pytest.raises((OSError, http.client.HTTPException)):
        post(server, [image(numberResults=3)])
    with Peer(server) as peer:
        assert "data" in peer.ask()
