"""Questions about text: streams, and the endpoint for chats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runware.cli.probe.lines import Item, Probe, Reply, UndecidedError
from runware.cli.probe.tasks import TEXT_MODEL, text_task

__all__ = ["ask_chats", "ask_dropped_stream", "ask_streams", "ask_websocket_stream"]

_TOOL = {
    "name": "get_time", "description": "Return the time in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}  # fmt: skip


def ask_websocket_stream(probe: Probe) -> None:
    """Q10: a stream over a WebSocket."""
    data, errors = probe.connect().ask(text_task(deliveryMethod="stream"), 30.0)
    probe.pay(data)
    if errors:
        probe.found["q10"] = "error"
    elif any("text" in one for one in data):
        probe.found["q10"] = "sync"
    else:
        raise UndecidedError("the answer holds neither an error nor a text")


def ask_streams(probe: Probe) -> None:
    """P5, P25: the events of a stream, and calls of tools in it."""
    task = text_task("What is the time in Oslo? Call the tool. [tool:get_time]", deliveryMethod="stream", tools=[_TOOL])
    status, events = probe.stream(task)
    if status >= 400 or not events:
        raise UndecidedError(f"the stream was refused with status {status}")
    probe.pay(events)
    probe.found["p25"] = "present" if any("resultIndex" in one for one in events) else "absent"
    deltas = [one["delta"] for one in events if isinstance(one.get("delta"), Mapping)]
    names = {name for delta in (*deltas, *events) for name in delta}
    ended = {one.get("finishReason") for one in events} & {"tool_calls", "tool_use"}
    if "tools" in names or "toolCalls" in names or "tool_calls" in names:
        probe.found["p5"] = "tools" if "tools" in names else "toolCalls" if "toolCalls" in names else "tool_calls"
    elif ended or probe.is_local:
        probe.found["p5"] = "none"
    else:
        probe.notes["p5"] = "the model called no tool"


def ask_dropped_stream(probe: Probe) -> None:
    """P7: what is known of a stream that was dropped."""
    task = text_task("Count from one to twenty in words.", deliveryMethod="stream")
    probe.stream(task, pieces=1)

    def known() -> bool:
        asked = {"taskType": "getTaskDetails", "taskUUID": task["taskUUID"]}
        return any("text" in str(one.get("response")) for one in probe.post([asked]).data)

    probe.found["p7"] = "runs" if probe.until(known, 8.0) else "unknown"
    probe.notes["p7"] = "whether a dropped stream is billed in full is seen in the account only, hours later"


def _chat(probe: Probe, **more: Any) -> Reply:
    body: Item = {"model": TEXT_MODEL, "messages": [{"role": "user", "content": "Answer with the word yes."}]}
    return probe.post(body | more, path="/chat/completions")


def ask_chats(probe: Probe) -> None:
    """P8, P21, tools without parameters, and the default length of answers."""
    reply = probe.get(f"{probe.options.service_url('api')}/models")
    if isinstance(reply.body, (list, Mapping)) and reply.status < 400:
        probe.found["p21"] = "array" if isinstance(reply.body, list) else "data"
    else:
        probe.notes["p21"] = f"no list of models: status {reply.status}"
    refused = _chat(probe, messages=[])
    if refused.status < 400 or not isinstance(refused.body, Mapping):
        probe.notes["p8"] = f"a chat without messages got status {refused.status}"
    else:
        probe.found["p8"] = _error_form(refused.body)
    tool = {"type": "function", "function": {"name": "now", "description": "Return the time.", "parameters": {}}}
    empty = _chat(probe, tools=[tool], max_tokens=16)
    probe.found["empty_parameters"] = "refused" if empty.status == 400 else "accepted"
    if empty.status >= 400 and empty.status != 400:
        del probe.found["empty_parameters"]
        probe.notes["empty_parameters"] = f"status {empty.status}"
    plain = _chat(probe)
    if plain.status == 400:
        probe.found["default_max_tokens"] = "exceeds"
    elif plain.status < 400:
        probe.found["default_max_tokens"] = "fits"
    else:
        probe.notes["default_max_tokens"] = f"status {plain.status}"
    for one in (empty, plain):
        usage = one.body.get("usage") if isinstance(one.body, Mapping) else None
        probe.pay([usage] if isinstance(usage, dict) else [])


def _error_form(body: Mapping[str, Any]) -> str:
    error = body.get("error")
    if "errors" in body:
        return "errors"
    if isinstance(error, Mapping) and body.get("type") == "error":
        return "provider"
    if isinstance(error, Mapping) and ("type" in error or "param" in error):
        return "openai"
    return "error" if error is not None else f"an object with {', '.join(sorted(map(str, body))[:5])}"
