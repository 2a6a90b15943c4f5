"""The line with latency of the benchmarks: it delays, keeps the order, counts round trips, stalls and resets."""

from __future__ import annotations

import os
import pathlib
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks import far_cases
from benchmarks.environments import PEERS
from benchmarks.far import DOWN, UP, Far, Line, Way
from benchmarks.far_cases import CASES
from benchmarks.harness import Control, ServerProcess
from benchmarks.stage import CLIENTS, Stage
from benchmarks.standings import Board
from tests.test_benchmark_comparison import start

GUARD = 20.0


def drain(way: Way, now: float) -> bytes:
    """Deliver everything that is due, and return it."""
    found = b""
    while (data := way.deliver(now)) is not None:
        found += data
    return found


# ---------------------------------------------------------------------- the schedule


def test_bytes_take_half_a_round_trip() -> None:
    way = Way(Line(1, 1.0), UP)
    way.take(b"ab", 10.0)
    assert way.due() == 10.5
    assert way.deliver(10.25) is None
    assert way.deliver(10.5) == b"ab"
    assert way.due() is None


def test_jitter_keeps_the_order_of_bytes() -> None:
    way = Way(Line(1, 0.5, jitter=2.0), DOWN)
    due = []
    for number in range(50):
        way.take(bytes([number]), number / 100)
        due.append(way.parcels[-1].due)
    assert due == sorted(due)
    assert len(set(due)) > 2
    assert all(one - number / 100 >= 0.25 for number, one in enumerate(due))
    assert due[-1] <= 0.49 + 0.25 + 2.0
    assert drain(way, 3.0) == bytes(range(50))


def test_first_bytes_of_a_client_wait_for_the_handshake() -> None:
    way = Way(Line(1, 1.0), UP, opens=6.0)
    way.take(b"a", 5.0)
    way.take(b"b", 8.0)
    assert [parcel.due for parcel in way.parcels] == [6.5, 8.5]


def test_bandwidth_limit_transmits_one_after_another() -> None:
    way = Way(Line(1, 1.0, rate=100.0), UP)
    way.take(bytes(50), 0.0)
    way.take(bytes(100), 0.0)
    way.take(bytes(100), 10.0)
    assert [parcel.due for parcel in way.parcels] == [1.0, 2.0, 11.5]


def test_stall_holds_everything_back() -> None:
    line = Line(1, 1.0)
    way = Way(line, UP)
    way.take(b"a", 0.0)
    line.stalled_until = 3.0
    way.take(b"b", 1.0)
    assert drain(way, 2.5) == b""
    assert drain(way, 3.0) == b"ab"


def test_lateness_of_the_relay_is_counted() -> None:
    line = Line(1, 1.0)
    way = Way(line, UP)
    way.take(b"a", 0.0)
    way.deliver(0.75)
    assert line.stats()["late"]["1.0"] == 0.25


# ---------------------------------------------------------------------- round trips


def test_messages_that_wait_for_answers_add_round_trips() -> None:
    line = Line(1, 1.0)
    up, down = Way(line, UP), Way(line, DOWN)
    for number in range(3):
        now = float(number)
        up.take(b"question", now)
        assert drain(up, now + 0.5)
        down.take(b"answer", now + 0.5)
        assert drain(down, now + 1.0)
    assert line.stats()["trips"] == 3


def test_messages_that_are_sent_together_share_a_round_trip() -> None:
    line = Line(1, 1.0)
    ways = [(Way(line, UP), Way(line, DOWN)) for _ in range(4)]  # of several connections
    for up, _ in ways:
        up.take(b"one", 0.0)
        up.take(b"two", 0.25)
    for up, down in ways:
        drain(up, 0.75)
        down.take(b"answers", 0.75)
    for _, down in ways:
        drain(down, 1.25)
    assert line.stats()["trips"] == 1


def test_handshake_counts_as_a_round_trip() -> None:
    line = Line(1, 1.0)
    up, down = Way(line, UP, opens=1.0, first=2), Way(line, DOWN, opens=0.5, first=1)
    up.take(b"question", 0.0)
    drain(up, 1.5)
    down.take(b"answer", 1.5)
    drain(down, 2.0)
    assert line.stats()["trips"] == 2


def test_greeting_of_a_server_arrives_with_the_handshake() -> None:
    line = Line(1, 1.0)
    down = Way(line, DOWN, opens=0.5, first=1)
    down.take(b"hello", 0.0)
    assert down.due() == 1.0
    drain(down, 1.0)
    assert line.stats()["trips"] == 1


# ---------------------------------------------------------------------- the process


@contextmanager
def echo() -> Iterator[int]:
    """Yield the port of a server that echoes on one connection after another, until each ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    try:
                        while data := sock.recv(65_536):
                            sock.sendall(data)
                    except OSError:  # it was reset
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(GUARD)


def near(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=GUARD)


def read(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := sock.recv(1 << 20)):
        found += data
    return found


def test_relay_keeps_every_byte_and_the_end() -> None:
    data = bytes(range(256)) * 8_192
    with echo() as server, Far() as far:
        port = far.line(server, 0.01, jitter=0.002)
        with near(port) as sock:
            sender = threading.Thread(target=sock.sendall, args=(data,))
            sender.start()
            assert read(sock, len(data)) == data
            sender.join(GUARD)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
        stats = far.stats(port)
    assert (stats["up"], stats["down"], stats["connections"]) == (len(data), len(data), 1)


def test_relay_counts_the_round_trips_of_a_client() -> None:
    with echo() as server, Far() as far:
        port = far.line(server, 0.002)
        with near(port) as sock:
            for _ in range(5):
                sock.sendall(b"question")
                assert read(sock, 8) == b"question"
            assert far.stats(port)["trips"] == 6  # with the handshake
            far.control("reset", port=port)
            sock.sendall(b"question")
            assert read(sock, 8) == b"question"
            assert far.stats(port)["trips"] == 1


def test_relay_stalls_and_goes_on() -> None:
    with echo() as server, Far() as far:
        port = far.line(server, 0.002)
        with near(port) as sock:
            far.control("stall", port=port, seconds=3600.0)
            sock.sendall(b"question")
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            sock.settimeout(GUARD)
            far.control("stall", port=port, seconds=0.0)
            assert read(sock, 8) == b"question"


def test_relay_resets_connections_and_takes_new_ones() -> None:
    with echo() as server, Far() as far:
        port = far.line(server, 0.002)
        with near(port) as sock:
            sock.sendall(b"question")
            assert read(sock, 8) == b"question"
            assert far.control("drop", port=port) == {"dropped": 1}
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        with near(port) as sock:
            sock.sendall(b"again")
            assert read(sock, 5) == b"again"
        assert far.stats(port)["connections"] == 2


def test_relay_resets_a_client_whose_server_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unused = int(closed.getsockname()[1])
    with Far() as far, near(far.line(unused, 0.002)) as sock, pytest.raises(ConnectionResetError):
        sock.recv(1)


def test_our_client_needs_the_round_trips_of_the_protocol() -> None:
    with ServerProcess() as ports, Far() as far, start("ours.py", "futures") as peer:
        port = far.line(ports["port"], 0.002)
        peer.ask(GUARD, "open", url=f"ws://127.0.0.1:{port}/v1")
        assert far.stats(port)["trips"] == 3  # TCP, upgrade, authentication
        assert peer.ask(GUARD, "serial", count=2, seconds=GUARD)["count"] == 2
        assert far.stats(port)["trips"] == 5
        far.control("reset", port=port)
        control = Control(ports["control"])
        control("hold", count=50)
        assert peer.ask(GUARD, "flight", count=50)["right"] == 50
        assert far.stats(port)["trips"] == 1
        control.close()


def test_our_client_needs_one_round_trip_for_a_post_on_a_used_connection() -> None:
    with ServerProcess() as ports, Far() as far, start("ours.py", "blocking") as peer:
        port = far.line(ports["port"], 0.002)
        peer.ask(GUARD, "open", url=f"http://127.0.0.1:{port}/v1")
        assert peer.ask(GUARD, "serial", count=3, seconds=GUARD)["count"] == 3
        assert far.stats(port)["trips"] == 4  # with the handshake
        assert far.stats(port)["connections"] == 1


@pytest.mark.parametrize("case", ["far-first", "far-calls", "far-large", "far-polled", "far-drop", "far-stall"])
def test_cases_measure_our_client(case: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(directory: pathlib.Path, environment: str, program: str, *how: str) -> list[str]:
        return [sys.executable, str(PEERS / program), *how]

    monkeypatch.setattr(far_cases, "command", command)
    monkeypatch.setattr(far_cases, "USUAL", 2)
    monkeypatch.setattr(far_cases, "OTHERS", (1, 2))
    clients = [client for client in CLIENTS if client.name in ("ours-blocking", "ours-futures")]
    board = Board()
    with ServerProcess() as ports:
        control = Control(ports["control"])
        cores = os.sched_getaffinity(0)
        stage = Stage(ports, control, tmp_path, clients, 1, True, board, cores, tmp_path)
        try:
            CASES[case](stage)
        finally:
            stage.close()
            control.close()
    assert not [cell.failed for cells in board.cells.values() for cell in cells.values() if cell.failed]
    for line, cells in board.cells.items():
        for cell in cells.values():
            (value,) = cell.values
            if line.endswith((".lost", ".doubled")):
                assert value == 0
            elif line.startswith("far-calls") and line.endswith(".trips"):
                assert value == 1
            else:
                assert value > 0


def test_every_case_says_what_it_measures() -> None:
    assert all(case.__doc__ for case in CASES.values())
