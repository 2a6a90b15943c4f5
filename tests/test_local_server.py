"""The local server: connections, authentication, messages, sessions."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from typing import Any, Self

import pytest
import websocket
from hypothesis import given
from hypothesis import strategies as st

from runware.local import LocalServer
from runware.local.websocket_frames import FrameDecoder, WebSocketError


def new_uuid() -> str:
    return str(uuid.uuid4())


class Peer:
    """A minimal client that sends and receives single frames."""

    def __init__(self, server: LocalServer, auth: bool = True, resume: str | None = None, **options: Any) -> None:
        query = options.pop("query", "")
        self.server = server
        self.socket = websocket.create_connection(server.url + query, timeout=10, skip_utf8_validation=True, **options)
        self.session = ""
        if auth:
            self.authenticate(resume)
            self.session = self.frame()["data"][0]["connectionSessionUUID"]

    def authenticate(self, resume: str | None = None, key: str | None = None) -> None:
        task = {"taskType": "authentication", "apiKey": key or self.server.api_key}
        self.send(task | ({"connectionSessionUUID": resume} if resume else {}))

    def send(self, *tasks: Any) -> None:
        self.socket.send(json.dumps(tasks))

    def task(self, kind: str = "imageInference", **fields: Any) -> str:
        """Send a task; return its UUID."""
        task = {"taskType": kind, "taskUUID": new_uuid(), **fields}
        if kind == "imageInference":
            task.setdefault("positivePrompt", "a red kite over dunes")
        self.send(task)
        return str(task["taskUUID"])

    def ask(self, kind: str = "imageInference", **fields: Any) -> Any:
        """Send a task; return the next frame."""
        self.task(kind, **fields)
        return self.frame()

    def frame(self) -> Any:
        return json.loads(self.socket.recv())

    def raw(self) -> tuple[int, bytes]:
        frame = self.socket.recv_frame()
        return frame.opcode, frame.data

    def lost(self) -> bool:
        """Return whether the connection ended without a close frame."""
        try:
            return self.socket.recv_frame() is None
        except (ConnectionError, websocket.WebSocketConnectionClosedException):
            return True

    def closed_with(self) -> int:
        """Return the code of the close frame, which must be the next frame."""
        opcode, data = self.raw()
        assert opcode == websocket.ABNF.OPCODE_CLOSE, (opcode, data)
        return int.from_bytes(data[:2], "big")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.shutdown()


def errors(frame: Any) -> list[str]:
    """Return the codes of the errors in a frame."""
    return [error["code"] for error in frame["errors"]]


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started
        assert not started.ledger.errors


# Authentication.


def test_valid_key_creates_a_session(server: LocalServer) -> None:
    with Peer(server, auth=False) as peer:
        peer.authenticate()
        [item] = peer.frame()["data"]
        assert item == {"taskType": "authentication", "connectionSessionUUID": item["connectionSessionUUID"]}
        assert uuid.UUID(item["connectionSessionUUID"]).version == 4
    assert server.ledger.authentications == 1


def test_wrong_key_is_rejected_and_the_connection_stays_open(server: LocalServer) -> None:
    with Peer(server, auth=False) as peer:
        peer.authenticate(key="wrong")
        [error] = peer.frame()["errors"]
        assert error["code"] == "invalidApiKey"
        assert error["parameter"] == "apiKey"
        assert error["type"] == "string"
        assert error["taskType"] == "authentication"
        assert "taskUUID" not in error
        peer.authenticate()
        assert "data" in peer.frame()
    assert server.ledger.refusals == 1


def test_missing_key_and_task_before_authentication_are_rejected(server: LocalServer) -> None:
    with Peer(server, auth=False) as peer:
        peer.send({"taskType": "authentication"})
        assert errors(peer.frame()) == ["missingApiKey"]
        task = peer.task()
        [error] = peer.frame()["errors"]
        assert error["code"] == "missingApiKey"
        assert error["taskUUID"] == task
        assert error["taskType"] == "imageInference"
    assert server.ledger.executed == 0


def test_key_can_be_changed_and_revoked(server: LocalServer) -> None:
    with Peer(server) as peer:
        server.revoke_key()
        assert "data" in peer.ask()
        with Peer(server, auth=False) as other:
            other.authenticate()
            assert errors(other.frame()) == ["invalidApiKey"]
        server.api_key = "another-key"
        with Peer(server) as other:
            assert "data" in other.ask()


def test_ledger_does_not_contain_the_key(server: LocalServer) -> None:
    with Peer(server):
        pass
    assert server.api_key not in repr(server.ledger.received)
    assert server.ledger.received == [{"taskType": "authentication", "apiKey": "***"}]


@pytest.mark.parametrize(("value", "code"), [("1008", 1008), ("1000", 1000)])
def test_switch_q3_closes_the_connection_of_a_rejected_key(server: LocalServer, value: str, code: int) -> None:
    server.switch(q3=value)
    with Peer(server, auth=False) as peer:
        peer.authenticate(key="wrong")
        assert errors(peer.frame()) == ["invalidApiKey"]
        assert peer.closed_with() == code


# Messages.


def test_json_and_protocol_pings_are_answered(server: LocalServer) -> None:
    with Peer(server) as peer:
        peer.send({"taskType": "ping", "ping": True})
        assert peer.frame() == {"data": [{"taskType": "ping", "pong": True}]}
        peer.socket.ping("hello")
        assert peer.raw() == (websocket.ABNF.OPCODE_PONG, b"hello")
    assert server.ledger.pings == 1


@pytest.mark.parametrize("text", ["{", '{"taskType":"ping"}', "5", '["x"]', "[" * 100_000])
def test_message_that_is_not_an_array_of_objects_is_rejected(server: LocalServer, text: str) -> None:
    with Peer(server) as peer:
        peer.socket.send(text)
        assert errors(peer.frame()) == ["invalidRequest"]
        server.switch(bad_request_code="badRequest")
        peer.socket.send(text)
        assert errors(peer.frame()) == ["badRequest"]


def test_binary_message_is_rejected(server: LocalServer) -> None:
    with Peer(server) as peer:
        peer.socket.send_binary(b"\x00\x01")
        assert errors(peer.frame()) == ["invalidRequest"]


def test_switch_q13_limits_the_size_of_messages(server: LocalServer) -> None:
    server.switch(q13=1000)
    with Peer(server) as peer:
        peer.task(positivePrompt="x" * 2000)
        assert peer.closed_with() == 1009


def test_switch_q15_limits_the_number_of_tasks(server: LocalServer) -> None:
    server.switch(max_tasks=1)
    with Peer(server) as peer:
        ping = {"taskType": "ping", "ping": True}
        peer.send(ping, ping)
        assert errors(peer.frame()) == ["invalidRequest"]


def test_switch_q16_makes_the_server_ping(server: LocalServer) -> None:
    server.switch(q16=0.01)
    with Peer(server) as peer:
        assert peer.raw() == (websocket.ABNF.OPCODE_PING, b"")


def test_fragmented_message_is_joined(server: LocalServer) -> None:
    with Peer(server) as peer:
        text = json.dumps([{"taskType": "ping", "ping": True}])
        make = websocket.ABNF.create_frame
        peer.socket.send_frame(make(text[:5], websocket.ABNF.OPCODE_TEXT, 0))
        peer.socket.ping("between")
        peer.socket.send_frame(make(text[5:20], websocket.ABNF.OPCODE_CONT, 0))
        peer.socket.send_frame(make(text[20:], websocket.ABNF.OPCODE_CONT, 1))
        assert peer.raw() == (websocket.ABNF.OPCODE_PONG, b"between")
        assert peer.frame()["data"][0]["pong"] is True


def test_close_frame_is_answered(server: LocalServer) -> None:
    with Peer(server) as peer:
        peer.socket.send_close(1000, b"bye")
        assert peer.closed_with() == 1000
        assert peer.lost()
    server.ledger.wait_for(lambda _: server.connections == 0)


def test_unmasked_frame_is_a_protocol_error(server: LocalServer) -> None:
    with Peer(server) as peer:
        peer.socket.sock.sendall(b"\x81\x02[]")
        assert peer.closed_with() == 1002


def test_invalid_upgrade_and_oversized_head_are_rejected(server: LocalServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 426 ")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(b"x" * 70_000)
        try:
            assert sock.recv(1000) == b""
        except ConnectionError:
            return


@given(
    messages=st.lists(st.binary(max_size=300) | st.sampled_from([b"a" * 126, b"b" * 70_000]), max_size=6),
    cuts=st.lists(st.integers(1, 200), min_size=1, max_size=40),
)
def test_frames_are_decoded_from_any_chunks(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(websocket.ABNF.create_frame(m, websocket.ABNF.OPCODE_BINARY).format() for m in messages)
    reader, found, start = FrameDecoder(), [], 0
    sizes = iter(cuts)
    while start < len(stream):
        size = next(sizes, 65_536)
        found += reader.feed(stream[start : start + size])
        start += size
    assert found == [(2, message) for message in messages]


@pytest.mark.parametrize("head", [b"\xc1\x80", b"\x81\x00", b"\x83\x80", b"\x80\x80", b"\x09\x80", b"\x89\xfe\x00\x7e"])
def test_invalid_frames_raise_websocket_error(head: bytes) -> None:
    with pytest.raises(WebSocketError) as caught:
        FrameDecoder().feed(head.ljust(200, b"\0"))
    assert caught.value.code == 1002


# Inactivity and sessions.


def test_inactive_connection_is_closed(server: LocalServer) -> None:
    with Peer(server) as peer:
        server.configure(inactivity=0.05)
        assert peer.closed_with() == 1000
        peer.socket.send_close()
    server.ledger.wait_for(lambda _: server.connections == 0)


def test_undelivered_results_are_replayed_after_a_resume(server: LocalServer) -> None:
    with Peer(server) as first:
        with server.hold():
            task = first.task(numberResults=2)
            server.ledger.wait_for(lambda ledger: ledger.held == 2)
            server.drop()
            server.ledger.wait_for(lambda _: server.connections == 0)
        session = first.session
    with Peer(server, resume=session) as second:
        assert second.session == session
        assert [item["taskUUID"] for item in second.frame()["data"]] == [task, task]
        assert "data" in second.ask()
    assert server.ledger.executions(task) == 1
    assert server.ledger.resumes == 1
    assert server.ledger.replayed == 1


def test_results_go_to_the_connection_that_resumed_the_session(server: LocalServer) -> None:
    with Peer(server) as first, server.hold():
        task = first.task()
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        with Peer(server, resume=first.session) as second:
            server.release()
            assert second.frame()["data"][0]["taskUUID"] == task
            assert errors(first.ask()) == ["missingApiKey"]


def test_switch_q1_changes_the_uuid_of_a_resumed_session(server: LocalServer) -> None:
    server.switch(q1="new")
    with Peer(server) as first:
        server.drop()
        with Peer(server, resume=first.session) as second:
            assert second.session != first.session
            with Peer(server, resume=first.session) as third:
                assert third.session not in (first.session, second.session)
    assert server.ledger.resumes == 1


def test_switch_q2_selects_the_answer_to_an_unknown_session(server: LocalServer) -> None:
    unknown = new_uuid()
    with Peer(server, resume=unknown) as peer:
        assert peer.session != unknown
    server.switch(unknown_session="error")
    with Peer(server, auth=False) as peer:
        peer.authenticate(unknown)
        assert errors(peer.frame()) == ["invalidConnectionSessionUUID"]


def test_session_expires_after_the_resume_window(server: LocalServer) -> None:
    server.configure(resume_window=0)
    with Peer(server) as first:
        server.drop()
        server.ledger.wait_for(lambda _: server.connections == 0)
        with Peer(server, resume=first.session) as second:
            assert second.session != first.session


def test_switches_q4_q5_and_replay_change_what_a_resume_replays(server: LocalServer) -> None:
    with Peer(server) as first:
        delivered = first.ask()
        with server.hold():
            first.task()
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            server.drop()
            server.ledger.wait_for(lambda _: server.connections == 0)
    server.switch(q4="before", q5="yes")
    with Peer(server, auth=False) as second:
        second.authenticate(first.session)
        assert second.frame() == delivered
        assert second.frame()["data"][0]["taskType"] == "imageInference"
        assert second.frame()["data"][0]["taskType"] == "authentication"
        server.drop()
    server.switch(replay=False, q5="no")
    with Peer(server, resume=first.session) as third:
        third.send({"taskType": "ping", "ping": True})
        assert third.frame()["data"][0]["taskType"] == "ping"
