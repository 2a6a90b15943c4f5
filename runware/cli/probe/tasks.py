"""Questions about tasks: acknowledgements, polls, failures, details, webhooks."""

from __future__ import annotations

import http.server
import json
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from runware.cli.probe.lines import Item, Probe, UndecidedError, WebSocketLine, new_uuid, result_in

__all__ = [
    "IMAGE_MODEL",
    "TEXT_MODEL",
    "ask_details",
    "ask_failures",
    "ask_polls",
    "ask_unasked",
    "ask_webhooks",
    "image_task",
    "text_task",
]  # fmt: skip

IMAGE_MODEL = "runware:100@1"
"""The cheapest model for images that the catalogue knows."""
TEXT_MODEL = "google:gemma@4-31b"


def image_task(prompt: str = "a red dot", **more: Any) -> Item:
    """Return the cheapest task that makes an image."""
    return {
        "taskType": "imageInference", "taskUUID": new_uuid(), "model": IMAGE_MODEL, "positivePrompt": prompt,
        "width": 512, "height": 512, "steps": 4, "includeCost": True, **more,
    }  # fmt: skip


def text_task(prompt: str = "Answer with the word yes.", **more: Any) -> Item:
    """Return a task that makes a short text."""
    return {
        "taskType": "textInference", "taskUUID": new_uuid(), "model": TEXT_MODEL, "includeCost": True,
        "messages": [{"role": "user", "content": prompt}], **more,
    }  # fmt: skip


def _poll(line: WebSocketLine, task_uuid: str) -> tuple[list[Item], list[Item]]:
    return line.ask({"taskType": "getResponse", "taskUUID": task_uuid})


def ask_unasked(probe: Probe) -> None:
    """Tasks without deliveryMethod; polls of synchronous tasks; the form of task details."""
    line = probe.connect()
    task = image_task()
    data, errors = line.ask(task, 30.0)
    if errors:
        raise UndecidedError(f"the image was refused ({errors[0].get('code')})")
    probe.found["unasked_async"] = str(not any(map(result_in, data)))
    probe.pay(data)
    if probe.found["unasked_async"] == "True":
        probe.until(lambda: any(map(result_in, _poll(line, task["taskUUID"])[0])))
        task = image_task(deliveryMethod="sync")
        probe.pay(line.ask(task, 30.0)[0])
    data, errors = _poll(line, task["taskUUID"])
    probe.found["sync_polls"] = str(any(map(result_in, data)))


def ask_polls(probe: Probe) -> None:
    """Q6, Q8, Q9, Q17 and details of running tasks: three images that are made asynchronously."""
    line = probe.connect()
    _ask_unknown(probe, line)
    quick = text_task(deliveryMethod="async")
    acknowledgements = line.ask(quick)[0]
    task = image_task(numberResults=3, deliveryMethod="async")
    uuid = task["taskUUID"]
    data, errors = line.ask(task)
    if errors:
        raise UndecidedError(f"the task was refused ({errors[0].get('code')})")
    acknowledgements = [*acknowledgements, *data]
    if any(map(result_in, acknowledgements)):
        probe.found["q8"] = "finished"
    else:
        probe.found["q8"] = "processing" if any("status" in one for one in acknowledgements) else "none"
    details = line.ask({"taskType": "getTaskDetails", "taskUUID": uuid})
    early, _ = _poll(line, uuid)
    if len([one for one in early if result_in(one)]) == 3:
        probe.notes["q9"] = probe.notes["running_details"] = "the task was finished before it could be asked about"
    else:
        waiting = [one for one in early if not result_in(one)]
        made = 3 - (len(early) - len(waiting))
        probe.found["q9"] = "known" if not waiting else "all" if len(waiting) == made else "one"
        probe.found["running_details"] = "unknown" if details[1] else "partial"
    items = probe.until(lambda: _all_of(line, uuid, 3)) or early
    probe.pay(items)
    if items:
        probe.found["q17"] = "getResponse" if items[0].get("taskType") == "getResponse" else "original"


def _all_of(line: WebSocketLine, uuid: str, count: int) -> list[Item]:
    found = [one for one in _poll(line, uuid)[0] if result_in(one)]
    return found if len(found) >= count else []


def _ask_unknown(probe: Probe, line: WebSocketLine) -> None:
    unknown = {"taskType": "getResponse", "taskUUID": new_uuid()}
    over_websocket = bool(line.ask(unknown)[1])
    over_http = bool(probe.post([{**unknown, "taskUUID": new_uuid()}]).errors)
    forms = {(True, False): "auto", (False, False): "empty", (True, True): "error"}
    other = "empty over WebSocket, an error over HTTP"
    probe.found["q6"] = forms.get((over_websocket, over_http), other)


def ask_details(probe: Probe) -> None:
    """The form of getTaskDetails."""
    line = probe.connect()
    task = image_task(deliveryMethod="sync")
    probe.pay(line.ask(task, 30.0)[0])

    def asked() -> Any:
        data, _ = line.ask({"taskType": "getTaskDetails", "taskUUID": task["taskUUID"]})
        return next((one.get("response") for one in data if one.get("response")), None)

    response = probe.until(asked, 10.0)
    if response is None:
        raise UndecidedError("the details of a finished task were not found")
    probe.found["task_details"] = "array" if isinstance(response, list) else "object"


def ask_failures(probe: Probe) -> None:
    """Q7: how a poll reports failures."""
    line = probe.connect()
    if probe.is_local:
        whole = _failure_form(probe, line, image_task("a dot [provider-error]", deliveryMethod="async"))
        part = _failure_form(probe, line, image_task("a dot [fail:1]", numberResults=2, deliveryMethod="async"))
    else:
        # The only failure that costs nothing and is not found before the task starts.
        source = "https://probe.invalid/image.png"
        whole = _failure_form(probe, line, image_task(deliveryMethod="async", inputs={"seedImage": source}))
        part = ""
        probe.notes["q7"] = f"a task that fails as a whole: {whole}; no probe makes one of several results fail"
    if whole == "errors" and part != "errors":
        probe.found["q7"] = "mixed" if part else "mixed or errors"
    else:
        probe.found["q7"] = whole


def _failure_form(probe: Probe, line: WebSocketLine, task: Item) -> str:
    _, errors = line.ask(task)
    if errors:
        raise UndecidedError(f"the task was refused at once ({errors[0].get('code')}), not while it ran")

    def failed() -> str:
        items, faults = _poll(line, task["taskUUID"])
        if faults:
            return "errors"
        return "item" if any(one.get("status") == "error" or "error" in one for one in items) else ""

    form = probe.until(failed, 40.0)
    if not form:
        raise UndecidedError("the task did not fail")
    return str(form)


# ---------------------------------------------------------------------- webhooks


def ask_webhooks(probe: Probe) -> None:
    """Q12: the body of a webhook, if the service is on this machine and so reaches this process."""
    if not probe.is_local:
        reason = "needs an address that the service can reach, which this machine does not have"
        probe.notes |= {"q12": reason, "webhook_error": reason}
        return
    line = probe.connect()
    with _receiver() as (url, bodies):
        line.ask(image_task(deliveryMethod="async", webhookURL=url))
        good = bodies.get(timeout=probe.limit(20.0))
        probe.found["q12"] = "data" if "data" in good else "flat"
        line.ask(image_task("a dot [provider-error]", deliveryMethod="async", webhookURL=url))
        probe.found["webhook_error"] = _error_form(bodies.get(timeout=probe.limit(20.0)))


def _error_form(body: Mapping[str, Any]) -> str:
    if "errors" in body:
        return "errors"
    if "data" in body:
        return "data"
    if "taskUUID" not in body:
        return "error"
    return "item" if isinstance(body.get("error"), Mapping) else "flat"


@contextmanager
def _receiver() -> Iterator[tuple[str, queue.Queue[Item]]]:
    bodies: queue.Queue[Item] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        """Puts the body of each POST into the queue."""

        def do_POST(self) -> None:
            bodies.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - the name in http.server

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/probe", bodies
        finally:
            server.shutdown()
            thread.join(5.0)
