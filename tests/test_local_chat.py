"""The local server's OpenAI-compatible endpoint for chats, as bytes on the wire."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from runware.local import LocalServer

FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}
TOOL = {"type": "function", "function": FUNCTION}


def call(
    server: LocalServer,
    body: Any,
    *,
    path: str = "/v1/chat/completions",
    key: str | None = None,
    method: str | None = None,
) -> tuple[int, Any]:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {server.api_key if key is None else key}", "Content-Type": "application/json"}
    request = urllib.request.Request(server.http_url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            text = reply.read().decode()
            status = reply.status
    except urllib.error.HTTPError as error:
        with error:
            text, status = error.read().decode(), error.code
    return status, json.loads(text) if not text.startswith("data:") and not text.startswith(":") else text


def chat(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "local-model", "messages": [{"role": "user", "content": prompt}], **more}


def message(reply: Any) -> dict[str, Any]:
    found: dict[str, Any] = reply["choices"][0]["message"]
    return found


def test_answer_repeats_the_prompt_and_is_billed(server: LocalServer) -> None:
    status, reply = call(server, chat("Hello"))
    assert status == 200
    assert reply["object"] == "chat.completion"
    assert message(reply)["content"] == "You wrote “Hello”, ☃."
    assert reply["choices"][0]["finish_reason"] == "stop"
    usage = reply["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert usage["cost"] == pytest.approx(server.ledger.billed) == pytest.approx(server.ledger.cost(reply["id"]))
    assert server.ledger.executions_by_prompt() == {"Hello": 1}
    assert server.ledger.tasks("chat")[0]["model"] == "local-model"


def test_models_are_listed(server: LocalServer) -> None:
    status, rows = call(server, None, path="/v1/models")
    assert status == 200
    assert {"id", "max_output_tokens", "pricing"} <= rows[0].keys()
    server.switch(model_list="data")
    assert call(server, None, path="/v1/models")[1] == {"data": rows}
    assert call(server, None, path="/v1/models", key="wrong")[0] == 401
    assert call(server, {}, path="/v1/models")[0] == 405


def test_marks_call_tools_in_rounds(server: LocalServer) -> None:
    first = chat('[call:f {"x": [1]}] [call:g] [then] [call:h {}]', tools=[TOOL])
    _, reply = call(server, first)
    calls = message(reply)["tool_calls"]
    assert [(one["function"]["name"], one["function"]["arguments"]) for one in calls] == [
        ("f", '{"x": [1]}'),
        ("g", ""),
    ]
    assert reply["choices"][0]["finish_reason"] == "tool_calls"
    results = [{"role": "tool", "tool_call_id": one["id"], "content": one["function"]["name"]} for one in calls]
    second = {**first, "messages": [*first["messages"], message(reply), *results]}
    _, reply = call(server, second)
    assert [one["function"]["name"] for one in message(reply)["tool_calls"]] == ["h"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalidRequest"),
        ([], "invalidModel"),
        ({"messages": []}, "invalidModel"),
        ({"model": "m", "messages": []}, "invalidMessages"),
        ({"model": "m", "messages": ["x"]}, "invalidMessages"),
        (chat("x", max_tokens=9999), "invalidMaxTokens"),
        (chat("x", tools=[{"type": "function", "function": {"name": "f"}}]), "invalidTools"),
        ({"model": "m", "messages": [{"role": "tool", "tool_call_id": "1", "content": ""}]}, "invalidMessages"),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "invalidMessages"),
    ],
    ids=str,
)
def test_bad_requests_are_refused(server: LocalServer, body: Any, code: str) -> None:
    status, reply = call(server, body)
    assert (status, reply["errors"][0]["code"]) == (400, code)
    assert server.ledger.executed == 0
    assert server.ledger.rejected == 1


def test_deviations_from_the_documentation_are_switches(server: LocalServer) -> None:
    server.switch(tools_without_parameters="accepted", chat_default_length="exceeds")
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "search"}]
    assert call(server, chat("x", tools=tools))[1]["errors"][0]["parameter"] == "max_tokens"
    assert call(server, chat("x", tools=tools, max_tokens=10))[0] == 200


def test_switch_chooses_the_form_of_errors(server: LocalServer) -> None:
    bodies = {}
    for form in ("errors", "error", "openai", "provider"):
        server.switch(chat_errors=form)
        status, bodies[form] = call(server, chat("x [unsafe]"))
        assert status == 400
    assert bodies["errors"] == {"errors": [bodies["error"]["error"]]}
    assert bodies["openai"]["error"]["code"] == "invalid_provider_content"
    assert bodies["provider"]["type"] == "error"


@pytest.mark.parametrize(
    ("mark", "status"),
    [("[rate-limit]", 429), ("[overloaded]", 503), ("[unsafe]", 400), ("[provider-error]", 500), ("[timeout]", 504)],
)
def test_marks_make_chats_fail(server: LocalServer, mark: str, status: int) -> None:
    assert call(server, chat(f"x {mark}"))[0] == status
    counted = f"y {mark[:-1]}:1]"
    assert [call(server, chat(counted))[0] for _ in range(2)] == [status, 200]


def test_key_and_credits_are_checked(server: LocalServer) -> None:
    assert call(server, chat("x"), key="wrong")[0] == 401
    assert call(server, chat("x"), key="")[0] == 401
    assert call(server, None, method="GET")[0] == 405
    server.balance = 0.0
    assert call(server, chat("x"))[0] == 402
    server.balance = 1.0
    cost = call(server, chat("x"))[1]["usage"]["cost"]
    assert server.balance == pytest.approx(1.0 - cost)


def test_stream_has_fragments_and_usage(server: LocalServer) -> None:
    body = chat(
        '[call:f {"x": 12345678901234567890}]', stream=True, stream_options={"include_usage": True}, tools=[TOOL]
    )
    _, text = call(server, body)
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["cost"] == pytest.approx(server.ledger.billed)
    parts = [part for one in chunks[:-1] for part in one["choices"][0]["delta"].get("tool_calls", [])]
    assert len(parts) > 2
    assert "".join(part["function"]["arguments"] for part in parts) == '{"x": 12345678901234567890}'
    _, text = call(server, chat("x", stream=True))
    assert "usage" not in text


def test_answer_fits_a_schema(server: LocalServer) -> None:
    schema = {
        "type": "object",
        "properties": {
            "unit": {"enum": ["c", "f"]},
            "days": {"type": "array", "items": {"$ref": "#/$defs/Day"}},
            "more": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "when": {"type": "string", "format": "date"},
        },
        "$defs": {"Day": {"type": "object", "properties": {"rain": {"type": "boolean"}, "t": {"type": "number"}}}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    _, reply = call(server, chat("x", response_format=wanted))
    assert json.loads(message(reply)["content"]) == {
        "unit": "c", "days": [{"rain": True, "t": 7.5}], "more": None, "when": "2026-11-28",
    }  # fmt: skip
    _, reply = call(server, chat("x", tools=[TOOL], tool_choice="required"))
    assert message(reply)["tool_calls"][0]["function"]["arguments"] == '{"x": 7}'
