"""Hosts with several addresses, some of them dead, and name lookups that hang."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runware import ConnectionFailedError, Runware
from runware.local import LocalServer
from runware.transport import addresses
from runware.transport.addresses import Address, UnreachableError, connect, look_up
from runware.transport.attempt import Attempt, CancelledError
from runware.transport.dialer import dial

from .conftest import until
from .net import listening, pump, refusing_port, swallowing
from .test_dialer import dial_threads
from .test_io_loop import client_for
from .test_three_interfaces import PICTURE

LONG = 60.0
needs_silent_ports = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")


def v4(port: int, ip: str = "127.0.0.1") -> Address:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))


def v6(port: int, ip: str = "::1") -> Address:
    return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (ip, port, 0, 0))


def lookup_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "runware-lookup"]


def port_of(server: LocalServer) -> int:
    return int(server.url.rpartition(":")[2].partition("/")[0])


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without remembered addresses and running lookups."""
    monkeypatch.setattr(addresses, "_winners", {})
    monkeypatch.setattr(addresses, "_lookups", addresses._Lookups())


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never try an address beside one that has not answered."""
    monkeypatch.setattr(addresses, "_ATTEMPT_DELAY", 3600.0)


class Opened(list[socket.socket]):
    """The sockets of an attempt."""

    def attempt(self, timeout: float = LONG) -> Attempt:
        return Attempt(timeout, self.append)

    def still_open(self) -> list[socket.socket]:
        return [sock for sock in self if sock.fileno() != -1]


@pytest.fixture
def alive() -> Iterator[int]:
    """Return a port that accepts connections."""

    def wait_for_the_end(sock: socket.socket) -> None:
        sock.recv(1)

    with listening(wait_for_the_end) as port:
        yield port


@pytest.fixture
def dead() -> Iterator[int]:
    """Return a port that never answers."""
    with swallowing() as port:
        yield port


class TestRace:
    @needs_silent_ports
    def test_address_that_does_not_answer_is_overtaken_and_closed(self, alive: int, dead: int) -> None:
        opened = Opened()
        with connect("host", 1, [v4(dead), v4(alive)], opened.attempt()) as sock:
            assert sock.getpeername()[1] == alive
            assert len(opened) == 2
            assert opened.still_open() == [sock]

    @needs_silent_ports
    def test_no_second_address_is_tried_while_the_delay_lasts(self, alive: int, dead: int, patient: None) -> None:
        opened = Opened()
        attempt = opened.attempt(0.05)
        with pytest.raises(UnreachableError):
            connect("host", 1, [v4(dead), v4(alive)], attempt)
        assert len(opened) == 1

    def test_delay_is_that_of_the_rfc(self) -> None:
        assert addresses._ATTEMPT_DELAY == 0.25

    def test_next_address_is_tried_at_once_when_one_fails(self, alive: int, patient: None) -> None:
        opened = Opened()
        with connect("host", 1, [v4(refusing_port()), v4(refusing_port()), v4(alive)], opened.attempt()) as sock:
            assert sock.getpeername()[1] == alive
            assert opened.still_open() == [sock]

    @needs_silent_ports
    def test_failure_beside_a_silent_address_brings_the_next_one(
        self, alive: int, dead: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class AtOnceThenNever:
            """A delay of 0 after the first address, and of an hour after the next ones."""

            passed = iter([0.0])

            def __radd__(self, now: float) -> float:
                return now + next(self.passed, 3600.0)

        monkeypatch.setattr(addresses, "_ATTEMPT_DELAY", AtOnceThenNever())
        with connect("host", 1, [v4(dead), v4(refusing_port()), v4(alive)], Opened().attempt()) as sock:
            assert sock.getpeername()[1] == alive

    @needs_silent_ports
    def test_first_address_wins_if_it_answers_late(
        self, alive: int, dead: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is still waited for while the next ones are tried."""
        monkeypatch.setattr(addresses, "_ATTEMPT_DELAY", 0.0)
        with connect("host", 1, [v4(alive), v4(dead)], Opened().attempt()) as sock:
            assert sock.getpeername()[1] == alive

    @needs_silent_ports
    def test_cancel_ends_the_race_and_closes_every_socket(self, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(addresses, "_ATTEMPT_DELAY", 0.0)
        opened = Opened()
        attempt = opened.attempt()
        ended: list[BaseException] = []

        def run() -> None:
            try:
                connect("host", 1, [v4(dead), v4(dead, "127.0.0.2")], attempt)
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        until(lambda: len(opened) == 2)
        attempt.cancel()
        thread.join(20)
        assert isinstance(ended[0], CancelledError)
        assert opened.still_open() == []

    def test_work_that_can_be_done_meanwhile_runs_after_the_connection_was_begun(self) -> None:
        reached = threading.Event()

        def accepted(sock: socket.socket) -> None:
            reached.set()
            sock.recv(1)

        done: list[bool] = []
        with listening(accepted) as port:
            found = [v4(port), v4(refusing_port())]
            connect("host", 1, found, Opened().attempt(), lambda: done.append(reached.wait(20))).close()
        assert done == [True]

    def test_trust_store_is_read_while_the_server_is_connected_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import runware.transport.dialer as edge

        reached = threading.Event()

        def accepted(sock: socket.socket) -> None:
            reached.set()
            sock.recv(1)

        read: list[bool] = []

        def slow() -> ssl.SSLContext:
            read.append(reached.wait(20))
            return ssl.create_default_context()

        monkeypatch.setattr(edge, "default_context", slow)
        with listening(accepted) as port:
            client = client_for(f"wss://127.0.0.1:{port}/v1")
            with pytest.raises(ConnectionFailedError) as caught:
                client.connect()
            client.close()
        assert caught.value.stage == "TLS"
        assert read[0]

    def test_families_take_turns_in_the_order_of_the_lookup(self) -> None:
        found = [v6(1), v6(2), v6(3), v4(1), v6(1), v4(2)]
        assert addresses._in_order("host", 1, found) == [v6(1), v4(1), v6(2), v4(2), v6(3)]
        assert addresses._in_order("host", 1, [v4(1), v6(1), v6(2)]) == [v4(1), v6(1), v6(2)]
        assert addresses._in_order("host", 1, []) == []

    def test_ipv6_is_used_where_ipv4_is_refused(self) -> None:
        try:
            listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError:
            pytest.skip("this machine has no IPv6")
        with listener:
            port = listener.getsockname()[1]
            with connect("host", port, [v4(refusing_port()), v6(port)], Opened().attempt()) as sock:
                assert sock.family == socket.AF_INET6


class TestMemory:
    def test_winner_is_tried_first_the_next_time(self, alive: int) -> None:
        found = [v4(refusing_port()), v4(alive)]
        for expected in (2, 1, 1):
            opened = Opened()
            connect("host", 1, found, opened.attempt()).close()
            assert len(opened) == expected
        other = Opened()
        connect("another", 1, found, other.attempt()).close()
        assert len(other) == 2

    def test_winner_is_forgotten_after_a_while(self, alive: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(addresses, "_REMEMBERED", 0.0)
        for _ in range(2):
            opened = Opened()
            connect("host", 1, [v4(refusing_port()), v4(alive)], opened.attempt()).close()
            assert len(opened) == 2

    def test_winner_that_the_lookup_no_longer_returns_is_not_used(self, alive: int) -> None:
        connect("host", 1, [v4(refusing_port()), v4(alive, "127.0.0.1")], Opened().attempt()).close()
        with pytest.raises(UnreachableError):
            connect("host", 1, [v4(refusing_port())], Opened().attempt())

    def test_winner_that_fails_later_gives_way(self, alive: int) -> None:
        gone = refusing_port()
        addresses._remember("host", 1, v4(gone))
        found = [v4(alive), v4(gone)]
        for expected in (2, 1):
            opened = Opened()
            connect("host", 1, found, opened.attempt()).close()
            assert len(opened) == expected

    def test_first_choice_of_the_system_is_not_remembered(self, alive: int) -> None:
        """So a host with several addresses keeps the rotation of its name server."""
        connect("host", 1, [v4(alive), v4(refusing_port())], Opened().attempt()).close()
        assert addresses._winners == {}

    def test_memory_is_bounded(self) -> None:
        for number in range(1000):
            addresses._remember(f"host{number}", 1, v4(number))
        assert len(addresses._winners) <= addresses._MAX_REMEMBERED


class TestMessages:
    @needs_silent_ports
    def test_every_address_and_its_failure_is_named(self, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(addresses, "_ATTEMPT_DELAY", 0.0)
        refusing = refusing_port()
        with pytest.raises(UnreachableError) as caught:
            connect("host", 1, [v4(dead), v4(refusing, "127.0.0.3")], Opened().attempt(0.1))
        text = str(caught.value)
        assert text.endswith("127.0.0.1 (no response in time), 127.0.0.3 (Connection refused)")

    def test_error_of_a_client_names_the_stage_and_the_addresses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        port = refusing_port()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [v4(port), v4(port, "127.0.0.9")])
        client = client_for(f"ws://localhost:{port}/v1")
        with pytest.raises(ConnectionFailedError) as caught:
            client.connect()
        client.close()
        assert (caught.value.stage, caught.value.host) == ("TCP", f"localhost:{port}")
        assert "127.0.0.1 (Connection refused), 127.0.0.9 (Connection refused)" in str(caught.value)
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    @needs_silent_ports
    def test_dialer_names_addresses_that_do_not_answer(self, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(addresses, "_ATTEMPT_DELAY", 0.0)
        found = [v4(dead), v6(refusing_port())]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        client = Runware("rw-test-key", url=f"ws://localhost:{dead}/v1", connect_timeout=0.1)
        with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1 \(no response in time\)") as caught:
            dial(client._core.options, lambda stage, host: None)
        assert "::1 (" in str(caught.value)
        assert caught.value.stage == "TCP"

    def test_dialer_gives_up_before_the_session_whose_error_says_less(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits: list[float] = []

        class Recorded(Attempt):
            def __init__(self, timeout: float, *more: Any) -> None:
                limits.append(timeout)
                super().__init__(timeout, *more)

        monkeypatch.setattr("runware.transport.io_loop.Attempt", Recorded)
        for timeout in (20.0, 5.0):
            with client_for(server.url, connect_timeout=timeout):
                pass
        assert limits == [19.75, 4.9]

    def test_long_lists_are_cut(self) -> None:
        failures: dict[Address, OSError] = {v4(1, f"10.0.0.{number}"): OSError(5, "no") for number in range(100)}
        assert str(UnreachableError("host", failures)).endswith("10.0.0.7 (no) and 92 more")

    def test_name_without_addresses_is_reported(self) -> None:
        with pytest.raises(UnreachableError, match="the name has no address"):
            connect("host", 1, [], Opened().attempt())


@needs_silent_ports
class TestClients:
    @pytest.fixture(autouse=True)
    def names(self, monkeypatch: pytest.MonkeyPatch, dead: int) -> None:
        """Give localhost a first address that is dead."""
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, port, *_: [v4(dead)] * (host == "localhost") + [v4(port)]
        )

    def test_websocket_connects_past_a_dead_address_and_remembers_the_other(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with client_for(f"ws://localhost:{port_of(server)}/v1") as client:
            client.image_inference(**PICTURE)
            monkeypatch.setattr(addresses, "_ATTEMPT_DELAY", 3600.0)  # reconnecting would take that long
            server.drop("rst")
            client.image_inference(**PICTURE)
        assert server.ledger.connections == 2

    def test_http_connects_past_a_dead_address(self, server: LocalServer) -> None:
        with client_for(f"http://localhost:{port_of(server)}/v1", transport="http") as client:
            assert len(client.image_inference(**PICTURE)) == 1

    @pytest.mark.parametrize("scheme", ["http", "socks5h"])
    def test_proxy_is_reached_past_a_dead_address(self, server: LocalServer, scheme: str) -> None:
        def proxy(sock: socket.socket) -> None:
            if scheme == "http":
                while not sock.recv(4096).endswith(b"\r\n\r\n"):
                    pass
                sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                sock.recv(3)
                sock.sendall(b"\x05\x00")
                sock.recv(4096)
                sock.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            with socket.create_connection(("127.0.0.1", port_of(server))) as far:
                pump(sock, far)

        with listening(proxy) as port, client_for(server.url, proxy=f"{scheme}://localhost:{port}") as client:
            assert len(client.image_inference(**PICTURE)) == 1


class Resolver:
    """A resolver whose lookups hang until `answer` or `fail`, one after another."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.calls = 0
        self._go_on = threading.Semaphore(0)
        self.result: Callable[[int], list[Address]] = lambda port: [v4(port)]

    def __call__(self, host: str, port: int, *_: Any) -> list[Address]:
        self.calls += 1
        self.begun.release()
        assert self._go_on.acquire(timeout=50)
        return self.result(port)

    def go_on(self, count: int = 1) -> None:
        self._go_on.release(count)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.go_on(1000)
    until(lambda: not lookup_threads())


class Looking(threading.Thread):
    """A lookup on a thread of its own."""

    def __init__(self, host: str = "host", timeout: float = LONG) -> None:
        super().__init__(daemon=True)
        self.attempt = Attempt(timeout)
        self._host = host
        self.found: list[Address] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.found = look_up(self._host, 443, self.attempt)
        except BaseException as error:
            self.error = error

    def outcome(self) -> list[Address]:
        self.join(20)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.found


class TestHangingLookup:
    def test_deadline_ends_the_wait(self, resolver: Resolver) -> None:
        with pytest.raises(TimeoutError):
            look_up("host", 443, Attempt(0.05))
        assert len(lookup_threads()) == 1

    def test_cancel_ends_the_wait_at_once(self, resolver: Resolver) -> None:
        looking = Looking()
        assert resolver.begun.acquire(timeout=20)
        looking.attempt.cancel()
        with pytest.raises(CancelledError):
            looking.outcome()

    def test_lookups_of_one_name_are_one(self, resolver: Resolver) -> None:
        every = [Looking() for _ in range(5)]
        until(lambda: [len(one.waiting) for one in addresses._lookups._running] == [5])
        with pytest.raises(TimeoutError):
            look_up("host", 443, Attempt(0.01))
        every[0].attempt.cancel()
        with pytest.raises(CancelledError):
            every[0].outcome()
        resolver.go_on()
        assert [looking.outcome() for looking in every[1:]] == [[v4(443)]] * 4
        assert resolver.calls == 1
        until(lambda: not lookup_threads())
        assert not addresses._lookups._running

    def test_failure_reaches_every_waiter(self, resolver: Resolver) -> None:
        def fail(port: int) -> list[Address]:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        resolver.result = fail
        every = [Looking() for _ in range(3)]
        until(lambda: [len(one.waiting) for one in addresses._lookups._running] == [3])
        resolver.go_on()
        for looking in every:
            with pytest.raises(socket.gaierror, match="unknown"):
                looking.outcome()

    def test_different_names_are_looked_up_at_the_same_time(self, resolver: Resolver) -> None:
        every = [Looking(f"host{number}") for number in range(20)]
        for _ in every:
            assert resolver.begun.acquire(timeout=20)
        resolver.go_on(20)
        assert all(looking.outcome() for looking in every)

    def test_lookups_left_behind_are_bounded(self, resolver: Resolver) -> None:
        for number in range(addresses._MAX_ABANDONED):
            with pytest.raises(TimeoutError):
                look_up(f"host{number}", 443, Attempt(0.01))
        with pytest.raises(OSError, match="have not returned"):
            look_up("one-more", 443, Attempt(LONG))
        looking = Looking("host0")  # joins the one that was left behind
        until(lambda: looking.attempt._wakes.empty() and any(one.waiting for one in addresses._lookups._running))
        resolver.go_on(addresses._MAX_ABANDONED)
        assert looking.outcome() == [v4(443)]
        assert resolver.calls == addresses._MAX_ABANDONED
        resolver.go_on()
        assert look_up("one-more", 443, Attempt(LONG)) == [v4(443)]

    def test_old_lookup_is_not_waited_for(self, resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
        """It may have begun before the network changed. A new one may succeed."""
        with pytest.raises(TimeoutError):
            look_up("host", 443, Attempt(0.01))
        monkeypatch.setattr(addresses, "_STALE", -1.0)
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_: [v4(port)])
        assert look_up("host", 443, Attempt(LONG)) == [v4(443)]
        until(lambda: len(lookup_threads()) == 1)

    def test_ip_addresses_need_no_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(addresses._lookups, "wait", None)
        assert look_up("127.0.0.1", 80, Attempt(LONG))[0][4] == ("127.0.0.1", 80)
        assert look_up("::1", 80, Attempt(LONG))[0][4][0] == "::1"

    def test_missing_thread_is_a_failed_lookup(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="can't start new thread"):
            look_up("host", 443, Attempt(LONG))
        assert not addresses._lookups._running

    def test_client_fails_in_time_and_leaves_one_thread(self, resolver: Resolver) -> None:
        client = client_for("wss://somewhere.example/v1", connect_timeout=0.05, max_retries=3)
        with pytest.raises(ConnectionFailedError) as caught:
            client.connect()
        assert (caught.value.stage, caught.value.retryable) == ("name lookup", True)
        until(lambda: not dial_threads())
        assert len(lookup_threads()) == 1
        client.close()
        assert resolver.calls == 1

    @pytest.mark.parametrize("transport", ["websocket", "http"])
    def test_close_waits_for_no_lookup(self, resolver: Resolver, transport: Any) -> None:
        url = "https://somewhere.example/v1" if transport == "http" else "wss://somewhere.example/v1"
        others = set(threading.enumerate())  # of clients of other tests
        client = client_for(url, connect_timeout=LONG, transport=transport)
        job = client.submit.image_inference(**PICTURE)
        assert resolver.begun.acquire(timeout=20)
        client.close()
        assert job.done()
        ours = ("runware-io", "runware-http", "runware-dial")
        until(lambda: not [one for one in threading.enumerate() if one.name.startswith(ours) and one not in others])
        assert len(lookup_threads()) == 1

    @pytest.mark.parametrize("scheme", ["http", "socks5h"])
    def test_unknown_name_of_a_proxy_is_reported(self, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
        def fail(*_: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        client = client_for("wss://somewhere.example/v1", proxy=f"{scheme}://proxy.example:1080")
        with pytest.raises(ConnectionFailedError, match=r"could not resolve the name 'proxy\.example'") as caught:
            client.connect()
        client.close()
        assert caught.value.stage == ("proxy" if scheme == "socks5h" else "name lookup")

    def test_dialer_says_that_the_lookup_took_too_long(self, resolver: Resolver) -> None:
        client = Runware("rw-test-key", url="wss://somewhere.example/v1", connect_timeout=0.05)
        with pytest.raises(ConnectionFailedError, match=r"'somewhere\.example' was not resolved in time") as caught:
            dial(client._core.options, lambda stage, host: None)
        assert caught.value.stage == "name lookup"
