"""Misbehaving servers on loopback, each one function over a socket."""

from __future__ import annotations

import atexit
import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def listening(handler: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run *handler* for each connection on a thread of its own, and yield the port.

    On exit every connection is shut down, so that handlers may simply wait for more input.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            handler(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sockets.append(sock)
                threads.append(threading.Thread(target=serve, args=(sock,), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        acceptor.join(5)
        for thread in threads:
            thread.join(5)


def read_head(sock: socket.socket) -> bytes:
    """Read up to the empty line, and nothing after it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    return head


def pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes in both directions until either side ends."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=carry, args=(other, one), daemon=True)
    back.start()
    carry(one, other)
    back.join(5)


@contextlib.contextmanager
def swallowing() -> Iterator[int]:
    """Yield a port that answers no attempt to connect, because its queue is full; on Linux only."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


def refusing_port() -> int:
    """Return a port that refuses connections for as long as this process runs."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    atexit.register(reserved.close)
    return int(reserved.getsockname()[1])


def free_port() -> int:
    """Return a port that is free now, for a server that starts at once.

    It is none of those that the system hands out, such as to the local servers of other tests: one of these could take
    it before the server does.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
