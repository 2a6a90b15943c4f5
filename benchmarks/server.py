"""A fast server for measurements, in a process of its own: `python -m benchmarks.server`.

It implements the part of the protocol that the measurements need, with one selector and its own WebSocket frames, so
that its work per task is a fraction of a client's. A POST over HTTP may hold one task, which is answered as over the
WebSocket, always with status 200; `#size` and `#every` need a WebSocket. Marks in a task's prompt control the response;
a prompt without `#` is answered at once, on the fast path:

    #hold         kept until the number of the control command `hold` has arrived, then all are answered together; at
                  once without such a command
    #size=N       results contain N characters of base64 instead of a URL
    #every=MS     results are pushed one by one at this interval, each with its time in `sentNS`
    #ms=N         the duration of an asynchronous task; its results have their time in `doneNS`
    #pieces=N     a token stream (a POST over HTTP) has N pieces, at the interval `#every=MS`; the text of each is its
                  time

Times are `time.monotonic_ns()`, the same clock for every process of the machine; the `seed` is the time as well. Of a
message of more than 256 KiB only the first and last 2 KiB are parsed. A second TCP port takes commands as JSON lines
(see `Control`), a third echoes, and with `--certificate` a fourth takes clients over TLS 1.3. The server listens on the
loopback address only and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import base64
import heapq
import itertools
import json
import os
import random
import selectors
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.frames import (
    CANONICAL,
    HEAVY_HEAD,
    HEAVY_TAIL,
    ITEM,
    PONG,
    PROMPT,
    SMALL,
    SMALL_RESPONSE,
    UUID,
    WHOLE,
    edges,
    frame,
    head,
    lone,
    response,
    stamped,
    upgrade,
)
from benchmarks.tls import Tls, server_context

CHUNK = 1 << 20
PIECE = 1 << 17
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"taskUUID":"%b","taskType":"textInference","delta":{%b},"finishReason":%b}\n\n'


def chunk(data: bytes) -> bytes:
    """Give a chunk of an HTTP response; an empty one is its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Task:
    """A task with more than one immediate response."""

    __slots__ = ("done_at", "number", "size", "uuid")

    def __init__(self, uuid: bytes, number: int, size: int = 0) -> None:
        self.uuid = uuid
        self.number = number
        self.size = size
        self.done_at = 0


class Ledger:
    """Counters for the measurements."""

    def __init__(self) -> None:
        self.executed: set[bytes] = set()
        self.conflicts = 0
        self.received = 0
        self.connections = 0
        self.frames = 0
        self.bytes = 0
        self.polls = 0
        self.poll_frames = 0
        self.pings = 0
        self.dropped_ns = 0
        self.resumed_ns = 0

    def report(self) -> dict[str, int]:
        """Return the counters."""
        counters = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        return {**counters, "executed": len(self.executed)}


class Connection:
    """One client connection, from its upgrade to its end."""

    def __init__(self, server: Server, sock: socket.socket, tls: Tls | None = None) -> None:
        self.server = server
        self.sock = sock
        self.tls = tls
        self.upgraded = False
        self.wrap: Callable[[bytes], bytes] = frame
        self.small = SMALL
        self.chunks: list[bytes] = []
        self.have = 0
        self.need = 2
        self.out: deque[memoryview] = deque()
        self.answers: list[bytes] = []
        self.writing = False
        self.open = True
        self.fragments: list[bytes] = []

    # ------------------------------------------------------------------ in

    def readable(self) -> None:
        """Read once, answer every complete message, and write the answers together."""
        space = self.server.space
        try:
            count = self.sock.recv_into(space)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        if not count:
            self.close()
            return
        data = bytes(space[:count])
        self.server.ledger.bytes += len(data)
        if self.tls is not None:
            try:
                data = self.tls.decrypt(data)
            except ssl.SSLError:
                self.close()
                return
            if handshake := self.tls.pending():
                self.out.append(memoryview(handshake))
        self.chunks.append(data)
        self.have += len(data)
        if self.have >= self.need:
            buffer = data if len(self.chunks) == 1 else b"".join(self.chunks)
            rest = self._frames(buffer) if self.upgraded else self._upgrade(buffer)
            self.chunks = [rest] if rest else []
            self.have = len(rest)
        self.flush()

    def _upgrade(self, buffer: bytes) -> bytes:
        request, end, rest = buffer.partition(b"\r\n\r\n")
        if not end:
            return buffer
        if request.startswith(b"POST "):
            length = int(request.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(rest) < length:
                return buffer
            self.wrap, self.small = response, SMALL_RESPONSE
            body = rest[:length]
            if b'"textInference"' in body:
                self.server.stream(self, json.loads(body)[0])
            else:
                self.server.message(self, body, length)
            return rest[length:]
        self.upgraded = True
        self.answers.append(upgrade(request))
        return self._frames(rest)

    def _frames(self, buffer: bytes) -> bytes:
        start, size = 0, len(buffer)
        ledger = self.server.ledger
        while True:
            self.need = 2
            if size - start < 2:
                break
            first, length = buffer[start], buffer[start + 1] & 0x7F
            body = start + 2
            if length == 126:
                body += 2
                length = int.from_bytes(buffer[start + 2 : body], "big")
            elif length == 127:
                body += 8
                length = int.from_bytes(buffer[start + 2 : body], "big")
            end = body + 4 + length
            if body + 4 > size or end > size:
                self.need = (end if body + 4 <= size else body + 4) - start
                break
            ledger.frames += 1
            message = edges(buffer, body + 4, end, buffer[body : body + 4])
            start = end
            if first == 0x81:
                self.server.message(self, message, length)
            else:
                self._unusual(first, message)
            if not self.open:
                return b""
        return buffer[start:]

    def _unusual(self, first: int, message: bytes) -> None:
        opcode = first & 0x0F
        if opcode == 8:
            self.answers.append(frame(message[:2], 8))
            self.flush()
            self.close()
        elif opcode == 9:
            self.answers.append(frame(message, 10))
        elif opcode in (0, 1, 2):
            self.fragments.append(message)
            if first & 0x80:
                whole, self.fragments = b"".join(self.fragments), []
                self.server.message(self, whole, len(whole))

    # ------------------------------------------------------------------ out

    def flush(self) -> None:
        """Write as many answers as the network takes."""
        if self.answers:
            self._add(b"".join(self.answers))
            self.answers = []
        if self.out and self.open:
            self.writable()

    def _add(self, data: bytes | memoryview) -> None:
        self.out.append(memoryview(data if self.tls is None else self.tls.encrypt(data)))

    def send_heavy(self, prefix: bytes, body: memoryview, suffix: bytes) -> None:
        """Add a large answer without copying it; over TLS, encrypt and send it piece by piece."""
        self.answers.append(head(len(prefix) + len(body) + len(suffix)) + prefix)
        self._add(b"".join(self.answers))
        if self.tls is None:
            self._add(body)
        else:
            for start in range(0, len(body), PIECE):
                self._add(body[start : start + PIECE])
                if self.open:
                    self.writable()  # so that the client decrypts while the rest is encrypted
        self.answers = [suffix]

    def writable(self) -> None:
        """Write as much as the network takes."""
        out = self.out
        while out:
            try:
                count = self.sock.sendmsg(list(itertools.islice(out, 16)))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self.close()
                return
            while count:
                if count >= len(out[0]):
                    count -= len(out.popleft())
                else:
                    out[0] = out[0][count:]
                    count = 0
        if self.writing != bool(out):
            self.writing = bool(out)
            self.server.watch(self, writing=self.writing)

    def close(self) -> None:
        """Close the connection."""
        if self.open:
            self.open = False
            self.server.forget(self)
            self.sock.close()


class Control:
    """The control port: one JSON object per line, one JSON object in response.

    `{"do": "hold", "count": N, "order": "same"|"reversed"|"shuffled"|"slow"}`: answer held tasks when N are there, with
    `slow` by the error that asks for fewer requests.
    `{"do": "release"}`: answer what is held now.
    `{"do": "drop", "after": N}`: cut every connection when N further tasks were received; what they would have been
    answered can be asked for afterwards.
    `{"do": "ledger"}`, `{"do": "reset"}`: the counters; forget all tasks and counters.
    `{"do": "usage"}`: CPU seconds of the server so far, and its process number.
    """

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.buffer = b""

    def readable(self) -> None:
        """Answer the complete commands."""
        try:
            data = self.sock.recv(65_536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.server.forget(self)
            self.sock.close()
            return
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            answer = self.server.command(json.loads(line))
            with suppress(OSError):
                self.sock.sendall(json.dumps(answer).encode() + b"\n")


class Server:
    """All connections, all tasks, the timers and the ledger."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.ledger = Ledger()
        self.tasks: dict[bytes, Task] = {}
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count(1)
        self.connections: set[Connection] = set()
        self.held: list[tuple[Connection, Task]] = []
        self.hold_count = 0
        self.hold_order = "same"
        self.drop_after = 0
        self.bodies: dict[int, memoryview] = {}
        self.session = 0
        self.running = True
        self.space = memoryview(bytearray(CHUNK))

    # ------------------------------------------------------------------ the loop

    def listen(self, take: Callable[[socket.socket], None]) -> int:
        """Open a port and return its number."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        listener.setblocking(False)

        def accept() -> None:
            with suppress(OSError):
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                take(sock)

        self.selector.register(listener, selectors.EVENT_READ, accept)
        return int(listener.getsockname()[1])

    def take_client(self, sock: socket.socket, tls: Tls | None = None) -> None:
        """Accept a client."""
        connection = Connection(self, sock, tls)
        self.ledger.connections += 1
        self.connections.add(connection)
        self.selector.register(sock, selectors.EVENT_READ, connection)

    def take_control(self, sock: socket.socket) -> None:
        """Accept a control connection."""
        control = Control(self, sock)
        self.selector.register(sock, selectors.EVENT_READ, control.readable)

    def take_echo(self, sock: socket.socket) -> None:
        """Accept an echo connection, the limit of all requests and responses."""

        def echo() -> None:
            try:
                data = sock.recv(65_536)
            except OSError:
                data = b""
            if data:
                sock.sendall(data)
            else:
                self.selector.unregister(sock)
                sock.close()

        self.selector.register(sock, selectors.EVENT_READ, echo)

    def watch(self, connection: Connection, *, writing: bool) -> None:
        """Start or stop waiting for room in the send buffer."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        self.selector.modify(connection.sock, events, connection)

    def forget(self, end: Connection | Control) -> None:
        """Handle the end of a connection."""
        self.selector.unregister(end.sock)
        if isinstance(end, Connection):
            self.connections.discard(end)

    def run(self, lifetime: float) -> None:
        """Serve until standard input ends, or for this many seconds."""
        end = time.monotonic() + lifetime
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._stdin)
        while self.running and time.monotonic() < end:
            now = time.monotonic()
            wait = min(end, self.timers[0][0] if self.timers else end) - now
            for key, events in self.selector.select(max(0.0, wait)):
                target = key.data
                if isinstance(target, Connection):
                    if events & selectors.EVENT_WRITE and target.open:
                        target.writable()
                    if events & selectors.EVENT_READ and target.open:
                        target.readable()
                else:
                    target()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                heapq.heappop(self.timers)[2]()

    def _stdin(self) -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            self.running = False

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run a function after a delay."""
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.numbers), action))

    # ------------------------------------------------------------------ messages

    def message(self, connection: Connection, text: bytes, length: int) -> None:
        """Handle a message; of a large one, *text* has only the edges."""
        canonical = text.startswith(CANONICAL) and b'"numberResults"' not in text
        uuid = text[len(CANONICAL) : len(CANONICAL) + 36] if canonical else lone(text)
        if uuid:
            if b"#" not in text:
                self._at_once(connection, uuid)
                return
            if b"#hold" in text:
                self._start(connection, uuid, "#hold", {})
                return
        if length > WHOLE:
            found = UUID.search(text)
            prompt = PROMPT.search(text)
            if found:
                self._start(connection, found[1], prompt[1].decode() if prompt else "", {})
            return
        tasks = json.loads(text)
        ledger = self.ledger
        ledger.poll_frames += bool(tasks) and tasks[0].get("taskType") == "getResponse"
        for task in tasks:
            self._task(connection, task)
            if not connection.open:
                return

    def _at_once(self, connection: Connection, uuid: bytes) -> None:
        ledger = self.ledger
        ledger.received += 1
        if self._is_new(connection, uuid):
            number = len(ledger.executed)
            connection.answers.append(connection.small % (uuid, number, number))
        if self.drop_after:
            self._count_down()

    def _is_new(self, connection: Connection, uuid: bytes) -> bool:
        if uuid not in self.ledger.executed:
            self.ledger.executed.add(uuid)
            return True
        self.ledger.conflicts += 1
        self._error(connection, uuid, "conflictTaskUUID")
        return False

    def _error(self, connection: Connection, uuid: bytes, code: str) -> None:
        error = {"code": code, "message": code, "taskUUID": uuid.decode()}
        connection.answers.append(connection.wrap(json.dumps({"errors": [error]}).encode()))

    def _task(self, connection: Connection, task: dict[str, Any]) -> None:
        kind = task.get("taskType")
        if kind == "ping":
            self.ledger.pings += 1
            connection.answers.append(connection.wrap(PONG))
        elif kind == "authentication":
            if self.ledger.dropped_ns and not self.ledger.resumed_ns:
                self.ledger.resumed_ns = time.monotonic_ns()
            self.session += 1
            session = task.get("connectionSessionUUID") or f"5b1f0c5e-6a0f-4d0e-9a5c-{self.session:012x}"
            answer = {"data": [{"taskType": kind, "connectionSessionUUID": session}]}
            connection.answers.append(connection.wrap(json.dumps(answer).encode()))
        elif kind in ("getResponse", "getTaskDetails"):
            self._asked(connection, task)
        else:
            self._start(connection, task["taskUUID"].encode(), str(task.get("positivePrompt", "")), task)

    def _start(self, connection: Connection, uuid: bytes, prompt: str, wire: dict[str, Any]) -> None:
        self.ledger.received += 1
        if self._is_new(connection, uuid):
            task = Task(uuid, int(wire.get("numberResults", 1)), _number(prompt, "#size="))
            self.tasks[uuid] = task
            if every := _number(prompt, "#every="):
                self._push(connection, task, every / 1000)
            elif self.hold_count and "#hold" in prompt:
                self.held.append((connection, task))
                if len(self.held) >= self.hold_count:
                    self.release()
            elif wire.get("deliveryMethod") == "async":
                task.done_at = time.monotonic_ns() + _number(prompt, "#ms=") * 1_000_000
                ack = {"data": [{"taskType": wire["taskType"], "taskUUID": uuid.decode()}]}
                connection.answers.append(connection.wrap(json.dumps(ack).encode()))
            else:
                self.answer(connection, task)
        if self.drop_after:
            self._count_down()

    def _count_down(self) -> None:
        self.drop_after -= 1
        if not self.drop_after:
            self.ledger.dropped_ns = time.monotonic_ns()
            self.held = []
            self.hold_count = 0
            for connection in list(self.connections):
                connection.answers = []
                connection.close()

    # ------------------------------------------------------------------ answers

    def _items(self, task: Task) -> list[bytes]:
        return [ITEM % (task.uuid, k, k) for k in range(task.number)]

    def answer(self, connection: Connection, task: Task) -> None:
        """Answer a whole task in one message."""
        if task.size:
            if task.size not in self.bodies:
                self.bodies[task.size] = memoryview(_base64(task.size))
            connection.send_heavy(HEAVY_HEAD % (task.uuid, len(self.tasks)), self.bodies[task.size], HEAVY_TAIL)
        elif task.number == 1:
            number = len(self.ledger.executed)
            connection.answers.append(connection.small % (task.uuid, number, number))
        else:
            connection.answers.append(connection.wrap(b'{"data":[' + b",".join(self._items(task)) + b"]}"))

    def _push(self, connection: Connection, task: Task, every: float) -> None:
        left = iter(range(task.number))

        def push() -> None:
            number = next(left, None)
            if number is None or not connection.open:
                return
            item = ITEM % (task.uuid, number, number)
            item = stamped(item, b"sentNS", time.monotonic_ns())
            connection.answers.append(frame(b'{"data":[' + item + b"]}"))
            connection.flush()
            self.later(every, push)

        self.later(every, push)

    def stream(self, connection: Connection, task: dict[str, Any]) -> None:
        """Stream the pieces of a text, all at once or one by one."""
        prompt = task["messages"][0]["content"]
        every, left = _number(prompt, "#every=") / 1000, _number(prompt, "#pieces=")
        uuid = task["taskUUID"].encode()
        self.ledger.received += 1
        connection.answers.append(STREAM_HEAD)

        def push() -> None:
            nonlocal left
            while left and connection.open:
                left -= 1
                connection.answers.append(chunk(EVENT % (uuid, b'"text":"%d "' % time.monotonic_ns(), b"null")))
                if every:
                    connection.flush()
                    self.later(every, push)
                    return
            if connection.open:
                connection.answers += [chunk(EVENT % (uuid, b"", b'"stop"')), chunk(b"data: [DONE]\n\n"), chunk(b"")]
                connection.flush()

        push()

    def release(self) -> None:
        """Answer everything that is held, each connection's tasks together."""
        held, self.held = self.held, []
        self.hold_count = 0
        if self.hold_order == "reversed":
            held.reverse()
        elif self.hold_order == "shuffled":
            random.Random(1).shuffle(held)
        for connection, task in held:
            if self.hold_order == "slow":
                self._error(connection, task.uuid, "rateLimitExceeded")
            else:
                self.answer(connection, task)
        for connection in {connection for connection, _ in held}:
            connection.flush()

    def _asked(self, connection: Connection, question: dict[str, Any]) -> None:
        uuid = str(question["taskUUID"])
        name = uuid.encode()
        self.ledger.polls += 1
        task = self.tasks.get(name)
        data: list[dict[str, Any]]
        if name not in self.ledger.executed:
            self._error(connection, name, "taskNotFound")
            return
        kind = "imageInference"
        if task is not None and task.done_at > time.monotonic_ns():
            data = [{"taskType": kind, "taskUUID": uuid, "status": "processing"} for _ in range(task.number)]
        else:
            task = task or Task(name, 1)
            items = [stamped(item, b"doneNS", task.done_at) for item in self._items(task)]
            data = [json.loads(item) | {"status": "success"} for item in items]
        if question["taskType"] == "getTaskDetails":
            data = [{"taskType": "getTaskDetails", "taskUUID": uuid, "response": {"data": data}}]
        connection.answers.append(connection.wrap(json.dumps({"data": data}).encode()))

    # ------------------------------------------------------------------ commands

    def command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run a command of the control port."""
        what = command["do"]
        if what == "hold":
            self.hold_count = int(command["count"])
            self.hold_order = str(command.get("order", "same"))
        elif what == "release":
            self.release()
        elif what == "drop":
            self.drop_after = int(command["after"])
        elif what == "reset":
            self.ledger = Ledger()
            self.tasks = {}
            self.held = []
            self.hold_count = self.drop_after = 0
        elif what == "ledger":
            return self.ledger.report()
        elif what == "usage":
            return {"cpu": time.process_time(), "pid": os.getpid()}
        else:
            return {"error": f"there is no command {what!r}"}
        return {}


def _number(prompt: str, mark: str) -> int:
    """Return the number after a mark; 0 if the mark is missing."""
    _, found, rest = prompt.partition(mark)
    digits = "".join(itertools.takewhile(str.isdigit, rest[:12])) if found else ""
    return int(digits or 0)


def _base64(size: int) -> bytes:
    return base64.b64encode(random.Random(size).randbytes(size * 3 // 4 + 3))[:size]


def main() -> None:
    """Open the ports, print them on standard output, and serve."""
    parser = argparse.ArgumentParser(description="A fast server for measurements.")
    parser.add_argument("--lifetime", type=float, default=3600.0, help="seconds after which it ends in any case")
    parser.add_argument("--certificate", type=Path, help="a PEM file: serve TLS as well, on the port `tls`")
    arguments = parser.parse_args()
    server = Server()
    ports = {
        "port": server.listen(server.take_client),
        "control": server.listen(server.take_control),
        "echo": server.listen(server.take_echo),
    }
    if arguments.certificate:
        context = server_context(arguments.certificate)
        ports["tls"] = server.listen(lambda sock: server.take_client(sock, Tls(context)))
    print(json.dumps(ports), flush=True)
    server.run(arguments.lifetime)


if __name__ == "__main__":
    main()
