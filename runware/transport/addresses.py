"""Look up the addresses of a host, and connect to the first that answers (RFC 8305, "Happy Eyeballs").

`getaddrinfo` cannot be interrupted, so it runs on a thread that may be left behind. All attempts to connect to one name
share its lookup, and few lookups can be left behind at a time.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - name lookups would import it outside of the import lock
import errno
import ipaddress
import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

from runware._support.locks import make_rlock
from runware.transport.attempt import Attempt
from runware.transport.poller import WRITE, make_poller

__all__ = ["Address", "UnreachableError", "connect", "look_up"]

Address = tuple[int, int, int, str, tuple[Any, ...]]
"""What `getaddrinfo` returns: family, kind, protocol, canonical name, socket address."""

_MAX_ABANDONED = 8
"""The number of lookups without an attempt that waits for them at which no further one is started."""
_STALE = 30.0
"""Seconds after which a lookup is not joined: the network may have changed since, and a new one may succeed."""

_ATTEMPT_DELAY = 0.25
"""Seconds until the next address is tried beside those that have not answered (RFC 8305, section 5)."""
_REMEMBERED = 600.0
"""Seconds for which an address that won against others is tried first (RFC 6555, section 4.2). Then those that the
system prefers, usually IPv6, get another chance, which costs at most `_ATTEMPT_DELAY`."""
_MAX_REMEMBERED = 64
_MAX_SHOWN = 8
"""The number of addresses in an error message."""

_IN_PROGRESS = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))


# ---------------------------------------------------------------------- name lookup


class _Lookup:
    """A name lookup that runs on a thread of its own."""

    def __init__(self, host: str, port: int) -> None:
        self.name = host, port
        self.started = time.monotonic()
        self.waiting: set[Attempt] = set()
        self.done = False
        self.addresses: list[Address] = []
        self.error: Exception | None = None


class _Lookups:
    """The running lookups of the process."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = make_rlock()
        self._running: set[_Lookup] = set()
        self._pid = os.getpid()

    def wait(self, host: str, port: int, attempt: Attempt) -> list[Address]:
        """Return the addresses of a name, from the lookup that runs already or from a new one."""
        if self._pid != os.getpid():
            self._reset()  # after a fork: the threads do not exist in the child
        lookup, is_new = self._join(host, port, attempt)
        try:
            if is_new:
                self._start(lookup)
            while not lookup.done:
                attempt.wait_for_wake()
        finally:
            lookup.waiting.discard(attempt)
        if lookup.error is not None:
            raise lookup.error
        return lookup.addresses

    def _join(self, host: str, port: int, attempt: Attempt) -> tuple[_Lookup, bool]:
        with self._lock:
            full = sum(not one.waiting for one in self._running) >= _MAX_ABANDONED
            same = [one for one in self._running if one.name == (host, port)]
            lookup = max(same, key=lambda one: one.started, default=None)
            if is_new := lookup is None or (not full and time.monotonic() - lookup.started > _STALE):
                if full:
                    raise OSError(f"{_MAX_ABANDONED} earlier lookups of other names have not returned")
                lookup = _Lookup(host, port)
                self._running.add(lookup)
            assert lookup is not None
            lookup.waiting.add(attempt)
            return lookup, is_new

    def _start(self, lookup: _Lookup) -> None:
        try:
            threading.Thread(target=self._run, args=(lookup,), name="runware-lookup", daemon=True).start()
        except RuntimeError as error:
            lookup.error = OSError(f"could not start a thread: {error}")
            self._end(lookup)

    def _run(self, lookup: _Lookup) -> None:
        try:
            lookup.addresses = _getaddrinfo(*lookup.name)
        except Exception as error:
            lookup.error = error.with_traceback(None)  # its frames would keep the thread's variables
        self._end(lookup)

    def _end(self, lookup: _Lookup) -> None:
        with self._lock:
            self._running.discard(lookup)
            lookup.done = True
            waiting = tuple(lookup.waiting)
        for attempt in waiting:
            attempt.wake()


_lookups = _Lookups()


def _getaddrinfo(host: str, port: int) -> list[Address]:
    return list(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))


def look_up(host: str, port: int, attempt: Attempt) -> list[Address]:
    """Return the addresses of a host in the order of preference of the system.

    Args:
        host: The host name, or an IP address.
        port: The port.
        attempt: Ends the wait by its deadline or its cancellation. The lookup itself goes on.

    Raises:
        TimeoutError: There was no answer by the deadline.
        OSError: The name cannot be resolved.
        UnicodeError: The name is not valid.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _lookups.wait(host, port, attempt)
    return _getaddrinfo(host, port)  # which needs no name server


# ---------------------------------------------------------------------- TCP


class UnreachableError(Exception):
    """No address accepted a connection.

    Args:
        host: The host that was looked up.
        failures: The addresses in the order in which they were tried, and the error of each.

    Attributes:
        cause: The error of the last address.
    """

    def __init__(self, host: str, failures: dict[Address, OSError]) -> None:
        shown = [(str(address[4][0]), _reason(error)) for address, error in failures.items()]
        self.cause = next(reversed(failures.values()), None)
        if not shown:
            what = "the name has no address"
        elif len(shown) == 1 and shown[0][0] == host:
            what = shown[0][1]
        else:
            more = f" and {len(shown) - _MAX_SHOWN} more" if len(shown) > _MAX_SHOWN else ""
            tried = ", ".join(f"{address} ({why})" for address, why in shown[:_MAX_SHOWN])
            what = f"no address of the host accepted a connection: {tried}{more}"
        super().__init__(what)


def _reason(error: OSError) -> str:
    return "no response in time" if isinstance(error, TimeoutError) else error.strerror or str(error)


_winners: dict[tuple[str, int], tuple[tuple[Any, ...], float]] = {}
"""For each host and port, the socket address that won against others, and until when it is tried first."""


def _in_order(host: str, port: int, addresses: Iterable[Address]) -> list[Address]:
    """Return the addresses in the order in which to try them: the last winner, then the families in turn."""
    unique = list(dict.fromkeys(addresses))
    preferred = [address for address in unique if address[0] == unique[0][0]]
    others = [address for address in unique if address[0] != unique[0][0]]
    order = [address for pair in zip_longest(preferred, others) for address in pair if address is not None]
    winner, until = _winners.get((host, port), (None, 0.0))
    if winner is not None and time.monotonic() < until:
        order.sort(key=lambda address: address[4] != winner)
    return order


def _remember(host: str, port: int, winner: Address) -> None:
    if len(_winners) >= _MAX_REMEMBERED:
        _winners.clear()
    _winners[host, port] = winner[4], time.monotonic() + _REMEMBERED


def connect(
    host: str,
    port: int,
    addresses: Iterable[Address],
    attempt: Attempt,
    meanwhile: Callable[[], object] = lambda: None,
) -> socket.socket:
    """Connect to the first address that answers.

    The next address is tried when one has failed, or has not answered for 0.25 s; those before go on beside it. An
    address that won against others is remembered for ten minutes, in which it is tried first as long as lookups return
    it.

    Args:
        host: The host that the addresses belong to.
        port: The port.
        addresses: The addresses, in the order of preference of the system.
        attempt: The deadline, and the means to cancel.
        meanwhile: Called once, while the first address is on its way to answer.

    Raises:
        UnreachableError: No address accepted a connection.
    """
    race = _Race(_in_order(host, port, addresses), attempt, meanwhile)
    won = race.run()
    if won is None:
        _winners.pop((host, port), None)
        raise UnreachableError(host, race.failures)
    sock, address = won
    if address is not race.order[0]:
        _remember(host, port, address)
    return sock


class _Race:
    """Attempts to connect to several addresses, of which the first that answers wins.

    Args:
        order: The addresses in the order in which to try them.
        attempt: The deadline, and the means to cancel.
        meanwhile: Called once, while the first address is on its way to answer.

    Attributes:
        order: The same.
    """

    def __init__(self, order: list[Address], attempt: Attempt, meanwhile: Callable[[], object]) -> None:
        self.order = order
        self._attempt = attempt
        self._meanwhile = meanwhile
        self._waiting = deque(order)
        self._racing: dict[int, tuple[socket.socket, Address]] = {}
        self._failures: dict[Address, OSError] = {}
        self._poller = make_poller()
        self._next_start = 0.0

    @property
    def failures(self) -> dict[Address, OSError]:
        """The error of each address that was tried, in their order."""
        return {address: self._failures[address] for address in self.order if address in self._failures}

    def run(self) -> tuple[socket.socket, Address] | None:
        """Return the connected socket and its address; `None` if no address answered."""
        won = None
        try:
            while won is None and (self._waiting or self._racing):
                due = self._waiting and (not self._racing or time.monotonic() >= self._next_start)
                won = self._start_next() if due else self._wait()
        finally:
            self._give_up()
        return won

    def _start_next(self) -> tuple[socket.socket, Address] | None:
        address = self._waiting.popleft()
        try:
            sock = socket.socket(*address[:3])
        except OSError as error:  # no support for the family
            self._failures[address] = error
            return None
        fd = sock.fileno()
        self._racing[fd] = sock, address
        self._attempt.adopt(sock)
        code = sock.connect_ex(address[4])
        if code not in _IN_PROGRESS:
            return self._ended(fd, code)
        self._poller.register(fd, WRITE)
        self._next_start = time.monotonic() + _ATTEMPT_DELAY
        if address is self.order[0]:
            self._meanwhile()
        return None

    def _wait(self) -> tuple[socket.socket, Address] | None:
        """Wait until an address has answered, the next one is due, or the time is up."""
        ready = self._attempt.poll(self._poller, self._next_start if self._waiting else math.inf)
        ended = [(fd, self._racing[fd][0].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) for fd, _ in ready]
        if not ended and not self._attempt.remaining():
            self._failures.update((address, TimeoutError("timed out")) for _, address in self._racing.values())
            self._give_up()
        for fd, _ in ended:
            self._poller.unregister(fd)
        results = (self._ended(fd, code) for fd, code in ended)
        return next((won for won in results if won is not None), None)

    def _ended(self, fd: int, code: int) -> tuple[socket.socket, Address] | None:
        """Take the outcome of one attempt: 0, or the code of an error, after which the next one starts at once."""
        sock, address = self._racing.pop(fd)
        if not code:
            return sock, address
        self._attempt.discard(sock)
        self._failures[address] = OSError(code, os.strerror(code))
        self._next_start = 0.0
        return None

    def _give_up(self) -> None:
        """End the attempts that go on, and start no further one."""
        self._waiting.clear()
        for sock, _ in self._racing.values():
            self._attempt.discard(sock)
        self._racing.clear()
