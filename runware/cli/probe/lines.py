"""Plain connections to the service over WebSocket and HTTP, message by message, with time limits."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

import attrs
import httpx2
import websocket

from runware import RunwareError
from runware.options import Options, is_loopback
from runware.protocol.redaction import Redactor, secrets_of
from runware.transport.dialer import default_context
from runware.transport.http_client import authorization, http_client

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["COST", "Item", "Probe", "Reply", "UndecidedError", "WebSocketLine", "items_of", "new_uuid", "result_in"]

Item = dict[str, Any]

COST = 0.05
"""What a probe may cost at most, in US dollars. It makes at most ten images with the cheapest model, and seven short
texts, which is less; it stops asking when results have cost this much."""

_STEP = 15.0
"""Longest wait for one answer, in seconds."""
_MEDIA = ("URL", "Base64Data", "DataURI")


class UndecidedError(Exception):
    """A question could not be decided; the message has the reason."""


def new_uuid() -> str:
    """Return a new task UUID."""
    return str(uuid.uuid4())


def items_of(frame: Any, task_uuid: str | None = None) -> tuple[list[Item], list[Item]]:
    """Return the data items and the errors of a message, of one task if its UUID is given."""

    def read(value: Any) -> list[Item]:
        found = value if isinstance(value, list) else [value] if isinstance(value, Mapping) else []
        return [one for one in found if isinstance(one, dict) and task_uuid in (None, one.get("taskUUID"))]

    if not isinstance(frame, Mapping):
        return [], []
    return read(frame.get("data")), [*read(frame.get("errors")), *read(frame.get("error"))]


def result_in(item: Mapping[str, Any]) -> bool:
    """Return whether an item is a result: it has media, or a text."""
    return "text" in item or any(name.endswith(_MEDIA) for name in item)


@attrs.frozen
class Reply:
    """An answer over HTTP.

    Attributes:
        status: Its status.
        headers: Its headers, with names in lower case.
        body: Its JSON value; `None` if it is not JSON.
    """

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def data(self) -> list[Item]:
        """Its data items, without that of an authentication."""
        return [one for one in items_of(self.body)[0] if one.get("taskType") != "authentication"]

    @property
    def errors(self) -> list[Item]:
        """Its errors."""
        return items_of(self.body)[1]

    @property
    def code(self) -> str:
        """The code of its first error; `""` without one."""
        return next((str(one.get("code") or one.get("type") or "") for one in self.errors), "")


class Probe:
    """The connections of one probe, its deadline, and its findings so far.

    Args:
        options: The options of the Runware client.
        seconds: Time for everything.
        listening: How long an idle connection is watched for pings, in seconds.
    """

    def __init__(self, options: Options, *, seconds: float = 240.0, listening: float = 35.0) -> None:
        self.options = options
        self.listening = listening
        self.deadline = time.monotonic() + seconds
        self.found: dict[str, str] = {}
        """Answers by question. The answer to a switch is one of its values."""
        self.notes: dict[str, str] = {}
        """Notes by question: details of the answer, or the reason why there is none."""
        self.header_names: set[str] = set()
        self.requests = 0
        self.cost = 0.0
        self.is_local = is_loopback(httpx2.URL(options.service_url("api")).host)
        """Whether the service is on this machine, so that prompts may contain marks that make tasks fail."""
        self._stack = ExitStack()
        self._redactor = Redactor(secrets_of(options))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def hide(self, text: str) -> str:
        """Return a text without the API key and other secrets."""
        return self._redactor.hide(text)

    def limit(self, seconds: float = _STEP) -> float:
        """Return the seconds for the next wait.

        Raises:
            UndecidedError: The probe's time is up, or it has cost enough.
        """
        if self.cost >= COST:
            raise UndecidedError(f"the results before have cost ${self.cost:.4f}, and that is enough")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise UndecidedError("the time of the probe was up")
        return min(seconds, left)

    def pay(self, items: Sequence[Item]) -> None:
        """Add the cost of results to the sum."""
        self.cost += sum(one["cost"] for one in items if isinstance(one.get("cost"), (int, float)))

    # ------------------------------------------------------------------ WebSocket

    def connect(
        self, *, session: str | None = None, key: str | None = None, dry: bool = False, wait: bool = True
    ) -> WebSocketLine:
        """Open a WebSocket and authenticate.

        Args:
            session: The session to resume.
            key: Another API key than that of the options.
            dry: Whether the connection is for dry runs.
            wait: Whether to wait for the answer to the authentication.

        Raises:
            UndecidedError: There is no connection.
        """
        url = self.options.url
        if dry:
            url += ("&" if "?" in url else "?") + "dryRun=1"
        try:
            line = websocket.create_connection(
                url, timeout=self.limit(), sslopt={"context": default_context()}, enable_multithread=False
            )
        except (OSError, websocket.WebSocketException) as error:
            raise UndecidedError(f"no connection ({type(error).__name__})") from error
        found = WebSocketLine(self, line)
        self._stack.callback(found.close)
        task: Item = {"taskType": "authentication", "apiKey": key or self._key()}
        if session is not None:
            task["connectionSessionUUID"] = session
        found.send([task])
        if wait:
            found.authenticated()
        return found

    def _key(self) -> str:
        key = self.options.api_key
        return key() if callable(key) else str(key)

    # ------------------------------------------------------------------ HTTP

    def post(
        self, body: Any, *, path: str = "", dry: bool = False, raw: bytes | None = None, base: str | None = None
    ) -> Reply:
        """Send a POST request with JSON to the API.

        Args:
            body: The tasks, or the body of another endpoint.
            path: What follows the API's URL.
            dry: Whether it is a dry run.
            raw: The body itself, in place of JSON.
            base: Another URL than the API's.
        """
        headers = {"Content-Type": "application/json", **({"X-Runware-Dry-Run": "1"} if dry else {})}
        content = json.dumps(body).encode() if raw is None else raw
        return self._request("POST", (base or self.options.service_url("api")) + path, headers, content)

    def get(self, url: str, *, key: bool = True) -> Reply:
        """Send a GET request to one of the API's services."""
        return self._request("GET", url, {}, None, key=key)

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, *, key: bool = True
    ) -> Reply:
        self.requests += 1
        sent = {**headers, **(authorization(self.options) if key else {})}
        try:
            with http_client(self.options, url, timeout=self.limit(30.0)) as client:
                answer = client.request(method, url, headers=sent, content=content)
                names = {name.lower(): value for name, value in answer.headers.items()}
                with suppress(ValueError):
                    return self._noted(Reply(answer.status_code, names, json.loads(answer.content)))
                return self._noted(Reply(answer.status_code, names, None))
        except (httpx2.HTTPError, RunwareError) as error:
            raise UndecidedError(f"no answer over HTTP ({type(error).__name__})") from error

    def _noted(self, reply: Reply) -> Reply:
        self.header_names |= reply.headers.keys()
        return reply

    def stream(self, task: Item, *, pieces: int | None = None) -> tuple[int, list[Item]]:
        """Stream a text; return the status and its events.

        Args:
            task: The task.
            pieces: After how many pieces the connection is dropped; `None` reads all.
        """
        self.requests += 1
        url = self.options.service_url("api")
        headers = {**authorization(self.options), "Accept": "text/event-stream"}
        events: list[Item] = []
        try:
            with (
                http_client(self.options, url, timeout=self.limit(30.0)) as client,
                client.stream("POST", url, headers=headers, json=[task]) as answer,
            ):
                for line in answer.iter_lines():
                    if line.startswith("data:") and line[5:].strip() != "[DONE]":
                        with suppress(ValueError):
                            events.append(json.loads(line[5:]))
                    if pieces is not None and len(events) >= pieces:
                        break
                return answer.status_code, events
        except (httpx2.HTTPError, RunwareError) as error:
            raise UndecidedError(f"no stream over HTTP ({type(error).__name__})") from error

    def until(self, work: Callable[[], Any], seconds: float = 30.0, pause: float = 0.5) -> Any:
        """Repeat a request until it returns something true; return that, or `None` after a time."""
        end = time.monotonic() + self.limit(seconds)
        while not (found := work()):
            if time.monotonic() + pause > end:
                return None
            time.sleep(pause)
        return found


class WebSocketLine:
    """One WebSocket connection.

    Args:
        probe: What it belongs to.
        line: The open connection.
    """

    def __init__(self, probe: Probe, line: websocket.WebSocket) -> None:
        self._probe = probe
        self._line: Any = line
        self.session: str | None = None
        self.close_code: int | None = None
        self.pings = 0
        self.early: list[Any] = []
        """Messages that came before the answer to the authentication."""

    def send(self, tasks: Any) -> None:
        """Send one message: JSON, or a text as it is.

        Raises:
            UndecidedError: The connection is lost.
        """
        self._probe.requests += 1
        try:
            self._line.settimeout(self._probe.limit(60.0))
            self._line.send(tasks if isinstance(tasks, str) else json.dumps(tasks))
        except (OSError, websocket.WebSocketException) as error:
            raise UndecidedError(f"the connection was lost ({type(error).__name__})") from error

    def receive(self, seconds: float = _STEP) -> Any:
        """Return the next message; `None` if there is none in that time, or the connection has ended."""
        end = time.monotonic() + self._probe.limit(seconds)
        while self.close_code is None:
            left = end - time.monotonic()
            if left <= 0:
                return None
            try:
                self._line.settimeout(left)
                opcode, data = self._line.recv_data(control_frame=True)
            except websocket.WebSocketTimeoutException:
                return None
            except (OSError, websocket.WebSocketException):
                self.close_code = self.close_code or 1006
                return None
            if opcode == websocket.ABNF.OPCODE_PING:
                self.pings += 1
            elif opcode == websocket.ABNF.OPCODE_CLOSE:
                self.close_code = struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005
            elif opcode in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY):
                with suppress(ValueError):
                    return json.loads(data)
        return None

    def messages(self, seconds: float = _STEP) -> Iterator[Any]:
        """Yield messages until none has come for a time."""
        while (frame := self.receive(seconds)) is not None:
            yield frame

    def authenticated(self) -> None:
        """Wait for the answer to the authentication.

        Raises:
            UndecidedError: The key or the session was refused, or there is no answer.
        """
        for frame in self.messages():
            data, errors = items_of(frame)
            for item in data:
                if item.get("taskType") == "authentication":
                    self.session = item.get("connectionSessionUUID")
                    return
            if any(one.get("taskType") in (None, "authentication") for one in errors):
                raise UndecidedError(f"authentication was refused ({errors[0].get('code')})")
            self.early.append(frame)
        raise UndecidedError("authentication was not answered")

    def ask(self, task: Item, seconds: float = _STEP) -> tuple[list[Item], list[Item]]:
        """Send a task; return the items and the errors of the first message about it."""
        self.send([task])
        return self.about(task["taskUUID"], seconds)

    def about(self, task_uuid: str, seconds: float = _STEP) -> tuple[list[Item], list[Item]]:
        """Return the items and the errors of the next message that is about a task.

        Raises:
            UndecidedError: There is none.
        """
        for frame in self.messages(seconds):
            data, errors = items_of(frame, task_uuid)
            if data or errors:
                return data, errors
            if frame == {"data": []}:
                return [], []
        raise UndecidedError("there was no answer")

    def pong(self) -> list[Any]:
        """Send a JSON ping, and return the messages before its pong: the server has read everything before."""
        self.send([{"taskType": "ping", "ping": True}])
        before: list[Any] = []
        for frame in self.messages():
            if any(one.get("pong") is True for one in items_of(frame)[0]):
                return before
            before.append(frame)
        raise UndecidedError("a ping was not answered")

    def reset(self) -> None:
        """Reset the connection without a close frame, as a failing network does."""
        raw = self._line.sock
        if raw is not None:
            with suppress(OSError):
                # Lingering for zero seconds sends RST. Windows has two shorts in this structure.
                form = "hh" if hasattr(socket, "SIO_RCVALL") else "ii"
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(form, 1, 0))
            raw.close()
        self.close_code = 1006

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError, websocket.WebSocketException):
            self._line.settimeout(1.0)
            self._line.close(timeout=1)
        self._line.shutdown()  # which `close` does not do after the server has closed

    def watch(self, seconds: float) -> threading.Thread:
        """Start counting the server's pings on this idle connection, while other questions are asked."""
        thread = threading.Thread(target=lambda: self.receive(seconds), name="runware-probe-pings", daemon=True)
        thread.start()
        return thread
