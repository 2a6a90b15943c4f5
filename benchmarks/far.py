"""A line with latency, in a process of its own: `python -m benchmarks.far`.

It relays bytes between a client and a server of this machine, and delays them in each direction by half of a round
trip. TCP, TLS, WebSocket and HTTP pass through it as bytes. It can add jitter, limit the bandwidth, stall, and reset
connections. The order of bytes is kept.

**The TCP handshake** ends at the relay, so that it cannot be delayed. Instead, the first bytes of a client leave the
relay one round trip after its connection was accepted, as if the client had waited for the handshake before it sent
them; if the client sends later, only the rest of that round trip is added. The handshake counts as a round trip.
Congestion control is left out: on a real line, slow start adds round trips to large messages on a new connection.

**Round trips** are counted as they depend on each other. Each end has a counter of half trips. Bytes carry the counter
of their sender plus one, and raise that of their receiver to that value when they are delivered. Messages that wait
for an answer to earlier ones add a round trip, messages that are sent together do not, however many there are. The
counter cannot exceed the time that has passed, in half round trips. All connections of a line share it.

**Its own error** is the time by which it delivers bytes later than they were due; `stats` has its percentiles.

The control port takes commands as JSON lines, and answers each with one:

    {"do": "line", "to": PORT, "rtt": S, "jitter": S, "rate": BYTES}  open a port that leads to PORT; answers its `port`
                    `rtt` and `jitter` are in seconds: each direction takes half of `rtt`, and up to `jitter` more.
                    `rate` is in bytes a second in each direction; 0 for no limit
    {"do": "stall", "port": PORT, "seconds": S}   deliver nothing for a while, in place of an earlier stall
    {"do": "drop", "port": PORT}                  reset its connections at both ends; answers how many
    {"do": "reset", "port": PORT}                 start to count anew
    {"do": "stats", "port": PORT}                 see `Line.stats`

It listens on the loopback address only, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import random
import select
import selectors
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks.harness import Child, Control, percentile

__all__ = ["Far", "Line", "Relay", "Way"]

CHUNK = 256 * 1024
MOST_WAITING = 64 * 1024 * 1024
"""Bytes on their way in one direction of a connection, beyond which nothing more is read."""
RESET = struct.pack("ii", 1, 0)
"""The value of SO_LINGER with which closing a socket resets its connection."""
KEPT = 20_000
"""The number of delays of the relay that are kept."""
UP, DOWN = 0, 1
Clock = Callable[[], float]


class Parcel(NamedTuple):
    """Bytes on their way: when they are due, the half trips they count as, and the bytes; `b""` for the end."""

    due: float
    trips: int
    data: bytes


class Way:
    """When bytes in one direction of a connection are due. It has no socket and no clock.

    Args:
        line: The line, for its settings and counters.
        direction: `UP` for client to server, `DOWN` for server to client.
        opens: When the line is there: bytes that arrive before count as sent at that time.
        first: The least count of the half trips of its bytes.

    Attributes:
        parcels: The bytes on their way, in order.
        waiting: How many bytes those are.
    """

    def __init__(self, line: Line, direction: int, opens: float = 0.0, first: int = 0) -> None:
        self.line = line
        self.direction = direction
        self.parcels: deque[Parcel] = deque()
        self.waiting = 0
        self._opens = opens
        self._first = first
        self._free = 0.0  # when the line has transmitted everything so far
        self._last = 0.0

    def take(self, data: bytes, now: float) -> None:
        """Put bytes on their way; `b""` for the end of the stream."""
        line = self.line
        self._free = max(now, self._opens, self._free)
        if line.rate:
            self._free += len(data) / line.rate
        jitter = line.random.uniform(0.0, line.jitter) if line.jitter else 0.0
        self._last = max(self._last, self._free + line.rtt / 2 + jitter)  # never before what came earlier
        trips = max(line.trips[self.direction], self._first) + 1
        self.parcels.append(Parcel(self._last, trips, data))
        self.waiting += len(data)

    def forget(self) -> None:
        """Count what is on its way, and what follows, as if nothing had been before."""
        self._first = 0
        self.parcels = deque(parcel._replace(trips=1) for parcel in self.parcels)

    def due(self) -> float | None:
        """Return when the next bytes are due; `None` if there are none."""
        return max(self.parcels[0].due, self.line.stalled_until) if self.parcels else None

    def deliver(self, now: float) -> bytes | None:
        """Return the next bytes that are due; `None` if there are none."""
        due = self.due()
        if due is None or due > now:
            return None
        parcel = self.parcels.popleft()
        self.waiting -= len(parcel.data)
        if parcel.data:
            self.line.delivered(1 - self.direction, parcel.trips, now - due)
        return parcel.data


class Line:
    """The settings and counters of a line.

    Args:
        to: The port of the server.
        rtt: Seconds of a round trip.
        jitter: Seconds by which each direction may take longer.
        rate: Bytes a second in each direction; 0 for no limit.
        seed: The seed of the jitter.

    Attributes:
        trips: The half trips that the bytes delivered to the client, and to the server, depend on.
        stalled_until: When a stall ends.
    """

    def __init__(self, to: int, rtt: float, jitter: float = 0.0, rate: float = 0.0, seed: int = 1) -> None:
        self.to = to
        self.rtt = rtt
        self.jitter = jitter
        self.rate = rate
        self.random = random.Random(seed)
        self.stalled_until = 0.0
        self.links: set[Link] = set()
        self.reset()

    def reset(self) -> None:
        """Start to count anew."""
        self.trips = [0, 0]
        self.connections = 0
        self.bytes = [0, 0]
        self.writes = [0, 0]
        self.late: deque[float] = deque(maxlen=KEPT)
        for link in self.links:
            link.up.way.forget()
            link.down.way.forget()

    def delivered(self, end: int, trips: int, late: float) -> None:
        """Count bytes that were delivered to an end."""
        self.trips[end] = max(self.trips[end], trips)
        self.late.append(late)

    def stats(self) -> dict[str, Any]:
        """Return the counters: `trips` are round trips until the client's last bytes, `late` is the error in seconds.

        `up` and `down` are the bytes that the client and the server sent, and `writes_up` and `writes_down` the pieces
        they came in; `connections` is how many were accepted, `open` how many are left.
        """
        late = list(self.late)
        return {
            "trips": self.trips[UP] / 2,
            "connections": self.connections,
            "open": len(self.links),
            "up": self.bytes[UP],
            "down": self.bytes[DOWN],
            "writes_up": self.writes[UP],
            "writes_down": self.writes[DOWN],
            "late": {str(part): percentile(late, part) if late else 0.0 for part in (0.5, 0.99, 1.0)},
        }


class Pump:
    """One direction of a connection: reads from one socket, writes to another."""

    def __init__(self, link: Link, way: Way, source: socket.socket, sink: socket.socket) -> None:
        self.link = link
        self.way = way
        self.source = source
        self.sink = sink
        self.reading = True
        self.ended = False  # nothing more is to be read
        self.done = False  # the receiver was told so
        self.out = memoryview(b"")
        self.blocked = False  # the receiver did not take all of it
        self.scheduled = False

    def readable(self, now: float) -> None:
        """Take what arrived."""
        try:
            data = self.source.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.link.fail()
            return
        line = self.way.line
        if data:
            line.bytes[self.way.direction] += len(data)
            line.writes[self.way.direction] += 1
        self.way.take(data, now)
        if not data or self.way.waiting > MOST_WAITING:
            self.ended = not data
            self.reading = False
            self.link.watch()
        self.schedule()

    def schedule(self) -> None:
        """Have `deliver` called when the next bytes are due."""
        due = self.way.due()
        if due is not None and not self.scheduled and not self.out:
            self.scheduled = True
            self.link.relay.at(due, self.deliver)

    def reschedule(self) -> None:
        """Have `deliver` called at another time; calls at the earlier one deliver nothing too soon."""
        self.scheduled = False
        self.schedule()

    def deliver(self, now: float) -> None:
        """Write what is due."""
        self.scheduled = False
        while not self.out and not self.link.closed:
            data = self.way.deliver(now)
            if data is None:
                break
            if not data:
                self.done = True
                with suppress(OSError):
                    self.sink.shutdown(socket.SHUT_WR)
                self.link.ended()
                return
            self.out = memoryview(data)
            self.write()
        if not self.reading and not self.ended and self.way.waiting <= MOST_WAITING // 2:
            self.reading = True
            self.link.watch()
        self.schedule()

    def writable(self) -> None:
        """Go on with what the receiver did not take."""
        self.write()
        self.schedule()

    def write(self) -> None:
        """Write as much as the receiver takes."""
        try:
            self.out = self.out[self.sink.send(self.out) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.link.fail()
        if self.blocked != bool(self.out):
            self.blocked = bool(self.out)
            self.link.watch()


class Link:
    """One connection: both directions, and both sockets."""

    def __init__(self, relay: Relay, line: Line, client: socket.socket, server: socket.socket, now: float) -> None:
        self.relay = relay
        self.line = line
        self.closed = False
        self.sockets = (client, server)
        # The client's first bytes follow the handshake, which is the round trip that the relay does not see.
        up = Way(line, UP, opens=now + line.rtt, first=line.trips[UP] + 2)
        down = Way(line, DOWN, opens=now + line.rtt / 2, first=line.trips[UP] + 1)
        self.up = Pump(self, up, client, server)
        self.down = Pump(self, down, server, client)
        self._events = [0, 0]
        for sock in self.sockets:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.links.add(self)
        line.connections += 1
        self.watch()

    def watch(self) -> None:
        """Wait for what both sockets can do now."""
        if self.closed:
            return
        selector = self.relay.selector
        for number, (reads, writes) in enumerate(((self.up, self.down), (self.down, self.up))):
            events = selectors.EVENT_READ * reads.reading | selectors.EVENT_WRITE * bool(writes.out)
            before, self._events[number] = self._events[number], events
            if before and before != events:
                selector.unregister(self.sockets[number])
            if events and before != events:
                selector.register(self.sockets[number], events, (reads, writes))

    def ended(self) -> None:
        """Close the connection if both directions have ended."""
        if self.up.done and self.down.done:
            self._close()

    def fail(self) -> None:
        """Reset both ends in half a round trip: one of them has reset the connection."""
        for pump in (self.up, self.down):
            pump.reading, pump.ended, pump.out = False, True, memoryview(b"")
        self.watch()
        self.relay.at(self.relay.clock() + self.line.rtt / 2, lambda now: self.reset())

    def reset(self) -> None:
        """Reset both ends now."""
        if not self.closed:
            for sock in self.sockets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._close()

    def _close(self) -> None:
        self.closed = True
        self.line.links.discard(self)
        for sock, events in zip(self.sockets, self._events, strict=True):
            if events:
                self.relay.selector.unregister(sock)
            sock.close()


class Relay:
    """All lines, the control port, and the timers.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.selector = selectors.DefaultSelector()
        self.lines: dict[int, Line] = {}
        self.running = True
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()

    def at(self, due: float, action: Callable[[float], None]) -> None:
        """Run a function at this time."""
        heapq.heappush(self._timers, (due, next(self._numbers), action))

    def listen(self, take: Callable[[socket.socket], None]) -> int:
        """Open a port and return its number."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        listener.setblocking(False)

        def accept() -> None:
            with suppress(OSError):
                take(listener.accept()[0])

        self.selector.register(listener, selectors.EVENT_READ, accept)
        return int(listener.getsockname()[1])

    def open(self, line: Line) -> int:
        """Open a port for a line and return its number."""

        def take(client: socket.socket) -> None:
            server = socket.socket()
            server.setblocking(False)  # a full backlog must not hold up the other lines
            server.connect_ex(("127.0.0.1", line.to))
            Link(self, line, client, server, self.clock())

        port = self.listen(take)
        self.lines[port] = line
        return port

    def run(self, lifetime: float) -> None:
        """Relay until standard input ends, or for this many seconds."""
        end = self.clock() + lifetime
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._stdin)
        poll = [self.selector.fileno()]
        while self.running and (now := self.clock()) < end:
            wait = max(0.0, min(end, self._timers[0][0] if self._timers else end) - now)
            select.select(poll, (), (), wait)  # epoll's own timeout is in milliseconds
            for key, events in self.selector.select(0):
                self._ready(key, events)
            while self._timers and self._timers[0][0] <= (now := self.clock()):
                heapq.heappop(self._timers)[2](now)

    def _ready(self, key: selectors.SelectorKey, events: int) -> None:
        if not isinstance(key.data, tuple):
            key.data()
            return
        reads, writes = key.data
        if events & selectors.EVENT_READ and not reads.link.closed:
            reads.readable(self.clock())
        if events & selectors.EVENT_WRITE and not writes.link.closed:
            writes.writable()

    def _stdin(self) -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            self.running = False

    def take_control(self, sock: socket.socket) -> None:
        """Accept a control connection."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray()

        def readable() -> None:
            data = sock.recv(65_536)
            if not data:
                self.selector.unregister(sock)
                sock.close()
                return
            buffer.extend(data)
            while (end := buffer.find(b"\n")) >= 0:
                answer = self.command(json.loads(buffer[:end]))
                del buffer[: end + 1]
                sock.sendall(json.dumps(answer).encode() + b"\n")

        self.selector.register(sock, selectors.EVENT_READ, readable)

    def command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run a command of the control port."""
        what = command.pop("do")
        if what == "line":
            return {"port": self.open(Line(**command))}
        line = self.lines[command["port"]]
        if what == "stall":
            line.stalled_until = self.clock() + command["seconds"]
            for link in line.links:
                link.up.reschedule()
                link.down.reschedule()
        elif what == "drop":
            links = list(line.links)
            for link in links:
                link.reset()
            return {"dropped": len(links)}
        elif what == "reset":
            line.reset()
        elif what == "stats":
            return line.stats()
        else:
            return {"error": f"there is no command {what!r}"}
        return {}


class Far(Child):
    """The relay.

    Args:
        cores: The processors it may use; `None` for all.

    Attributes:
        control: Its control port.
    """

    def __init__(self, cores: set[int] | None = None) -> None:
        super().__init__("benchmarks.far", cores=cores)

    def __enter__(self) -> Self:
        self.control = Control(self.start()["control"])
        return self

    def line(self, to: int, rtt: float, jitter: float = 0.0, rate: float = 0.0) -> int:
        """Open a line to a port, and return the port of its near end."""
        port: int = self.control("line", to=to, rtt=rtt, jitter=jitter, rate=rate)["port"]
        return port

    def stats(self, port: int) -> dict[str, Any]:
        """Return the counters of a line."""
        return self.control("stats", port=port)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.control.close()
        super().__exit__(kind, error, trace)


def main() -> None:
    """Open the control port, print its number on standard output, and relay."""
    parser = argparse.ArgumentParser(description="Relay bytes over lines with latency.")
    parser.add_argument("--lifetime", type=float, default=3600.0, help="seconds after which it ends in any case")
    arguments = parser.parse_args()
    relay = Relay()
    print(json.dumps({"control": relay.listen(relay.take_control)}), flush=True)
    relay.run(arguments.lifetime)


if __name__ == "__main__":
    main()
