"""The local server: every fault, alone and combined."""

from __future__ import annotations

import base64
import io
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import websocket
from PIL import Image

from runware.local import FAULTS, LocalServer
from tests.test_local_server import Peer, errors, new_uuid

VIDEO = {"model": "klingai:5@3", "positivePrompt": "waves at dusk"}


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started
        assert not started.ledger.errors


def silent(peer: Peer) -> bool:
    """Return whether nothing arrives for 50 ms."""
    peer.socket.settimeout(0.05)
    try:
        peer.socket.recv_frame()
    except (websocket.WebSocketTimeoutException, TimeoutError):
        return True
    finally:
        peer.socket.settimeout(10)
    return False


def until_lost(peer: Peer) -> list[Any]:
    """Return all frames until the connection ends."""
    frames = []
    try:
        while True:
            frames.append(peer.frame())
    except (ConnectionError, websocket.WebSocketConnectionClosedException):
        return frames


def seeds(*frames: Any) -> list[int]:
    return [item["seed"] for frame in frames for item in frame["data"]]


def test_registry_has_every_fault_with_summary_and_valid_defaults() -> None:
    kinds = [("X", 25), ("W", 6), ("A", 5)]
    assert list(FAULTS) == [f"{kind}{number}" for kind, last in kinds for number in range(1, last + 1)]
    for fault in FAULTS.values():
        assert fault.summary
        for name, values in fault.choices.items():
            assert fault.defaults[name] in values


def test_fault_counts_its_uses_and_stops(server: LocalServer) -> None:
    with Peer(server) as peer:
        with server.play("x9", times=None) as fault:
            for count in (1, 2):
                assert "errors" in peer.ask()
                assert "data" in peer.frame()
                assert fault.played == count
        assert "data" in peer.ask()
        server.play("X9", task_type="caption")
        assert "data" in peer.ask()
        assert "errors" in peer.ask("caption", inputImage="cc000000-0000-4000-8000-000000000001")
        assert "data" in peer.frame()
        server.play("X9")
        server.stop_faults()
        assert "data" in peer.ask()
    assert server.ledger.faults == ["X9"] * 3
    assert "X9" in repr(fault)


# Authentication.


def test_x1_leaves_an_authentication_unanswered(server: LocalServer) -> None:
    server.play("X1")
    with Peer(server, auth=False) as peer:
        peer.authenticate()
        server.ledger.wait_for(lambda ledger: ledger.faults)
        assert silent(peer)
        peer.authenticate()
        assert "data" in peer.frame()


def test_x1_answers_an_authentication_after_a_delay(server: LocalServer) -> None:
    server.play("X1:delay=0.01")
    with Peer(server) as peer:
        assert peer.session


@pytest.mark.parametrize("form", ["plural", "singular", "legacy"])
def test_x2_rejects_the_key_in_each_form(server: LocalServer, form: str) -> None:
    server.play("X2", form=form)
    with Peer(server, auth=False) as peer:
        peer.authenticate()
        frame = peer.frame()
        if form == "plural":
            assert errors(frame) == ["invalidApiKey"]
        elif form == "singular":
            assert frame["error"]["code"] == "invalidApiKey"
        else:
            assert frame["error"] is True
            assert frame["errorId"] == 19
        peer.authenticate()
        assert "data" in peer.frame()


@pytest.mark.parametrize("end", [1008, 1000, "fin", "rst"])
def test_x2_ends_the_connection_after_the_rejection(server: LocalServer, end: int | str) -> None:
    server.play(f"X2:end={end}")
    with Peer(server, auth=False) as peer:
        peer.authenticate()
        if end == "rst":
            # A reset may discard a frame that was written before it.
            assert peer.lost() or peer.lost()
            return
        assert errors(peer.frame()) == ["invalidApiKey"]
        assert peer.closed_with() == end if isinstance(end, int) else peer.lost()


def test_x22_rejects_the_key_of_later_connections(server: LocalServer) -> None:
    server.play("X22")
    with Peer(server) as first:
        assert "data" in first.ask()
        with Peer(server, auth=False) as second:
            second.authenticate(first.session)
            assert errors(second.frame()) == ["invalidApiKey"]
        assert "data" in first.ask()
    server.stop_faults()
    with Peer(server, resume=first.session):
        server.play("X22")
        with Peer(server, auth=False) as third:
            third.authenticate()
            assert errors(third.frame()) == ["invalidApiKey"]


# Stalled connections and pings.


def test_x3_stalls_after_authentication(server: LocalServer) -> None:
    server.play("X3")
    with Peer(server) as peer:
        peer.send({"taskType": "ping", "ping": True})
        peer.socket.ping()
        peer.task()
        assert silent(peer)
        assert server.connections == 1
    assert server.ledger.executed == 0


def test_x3_stalls_between_the_results_of_a_task(server: LocalServer) -> None:
    server.play("X3", after_results=1)
    with Peer(server) as first:
        first.task(numberResults=3, seed=1)
        assert seeds(first.frame()) == [1]
        assert silent(first)
        with Peer(server, resume=first.session) as second:
            assert seeds(second.frame()) == [2, 3]


def test_x3_stalls_after_a_number_of_tasks(server: LocalServer) -> None:
    server.play("X3:after_tasks=2")
    with Peer(server) as first:
        assert "data" in first.ask()
        first.task(seed=5)
        assert silent(first)
        with Peer(server, resume=first.session) as second:
            assert seeds(second.frame()) == [5]


def test_x4_leaves_pings_unanswered(server: LocalServer) -> None:
    with Peer(server) as peer:
        for kind in ("json", "protocol"):
            with server.play("X4", kind=kind):
                peer.socket.ping("a")
                peer.send({"taskType": "ping", "ping": True})
                opcode, _ = peer.raw()
                assert opcode == (websocket.ABNF.OPCODE_PONG if kind == "json" else websocket.ABNF.OPCODE_TEXT)
                assert silent(peer)


def test_x17_closes_an_inactive_connection_early(server: LocalServer) -> None:
    with Peer(server) as peer:
        fault = server.play("X17", after=0.05)
        assert peer.closed_with() == 1000
        fault.stop()
    with Peer(server) as peer:
        assert "data" in peer.ask()


# Lost connections.


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_x5_replays_the_acknowledgement_after_a_resume(server: LocalServer, how: str) -> None:
    server.play("X5", how=how)
    with Peer(server) as first:
        task = first.task("videoInference", **VIDEO)
        assert first.lost()
    with Peer(server, resume=first.session) as second:
        assert second.frame() == {"data": [{"taskType": "videoInference", "taskUUID": task}]}
        assert second.ask("getResponse", taskUUID=task)["data"][0]["status"] == "success"
    assert server.ledger.executions(task) == 1


def test_x5_answers_a_resent_task_with_a_conflict(server: LocalServer) -> None:
    server.play("X5:then=conflict")
    with Peer(server) as first:
        task = first.task("videoInference", **VIDEO)
        assert first.lost()
    with Peer(server, resume=first.session) as second:
        assert errors(second.ask("videoInference", taskUUID=task, **VIDEO)) == ["conflictTaskUUID"]
        assert second.ask("getResponse", taskUUID=task)["data"][0]["status"] == "success"
    assert server.ledger.executions(task) == 1


def test_x5_loses_the_submission_completely(server: LocalServer) -> None:
    server.play("X5:then=nothing")
    with Peer(server) as first:
        task = first.task("videoInference", **VIDEO)
        assert first.lost()
    with Peer(server, resume=first.session) as second:
        assert errors(second.ask("getResponse", taskUUID=task)) == ["taskNotFound"]
        assert "data" in second.ask("videoInference", taskUUID=task, **VIDEO)
    assert server.ledger.executions(task) == 1


def test_x5_ends_the_connection_after_an_acknowledgement_and_at_a_poll(server: LocalServer) -> None:
    server.play("X5:when=ack")
    server.play("X5:when=poll")
    with Peer(server) as first:
        task = first.task("videoInference", **VIDEO)
        assert "data" in first.frame()
        assert first.lost()
    with Peer(server, resume=first.session) as second:
        second.task("getResponse", taskUUID=task)
        assert second.lost()
    with Peer(server, resume=first.session) as third:
        assert third.ask("getResponse", taskUUID=task)["data"][0]["status"] == "success"


def test_x5_affects_only_its_delivery(server: LocalServer) -> None:
    server.play("X5")
    server.play("X5:delivery=sync,then=nothing")
    with Peer(server) as peer:
        peer.ask("modelSearch")
        peer.task()
        assert peer.lost()
    assert server.ledger.faults == ["X5"]
    assert server.ledger.executed == 0


@pytest.mark.parametrize(
    ("replay", "expected"), [("rest", [[2, 3]]), ("all", [[1], [2, 3]]), ("nothing", [])]
)  # fmt: skip
@pytest.mark.parametrize("how", ["fin", "close"])
def test_x6_ends_the_connection_between_results_and_replays_as_chosen(
    server: LocalServer, replay: str, expected: list[list[int]], how: str
) -> None:
    server.play("X6", after_results=1, replay=replay, how=how)
    with Peer(server) as first:
        task = first.task(numberResults=3, seed=1)
        assert seeds(first.frame()) == [1]
        assert first.closed_with() == 1000 if how == "close" else first.lost()
        server.drop()
    with Peer(server, resume=first.session) as second:
        assert [seeds(second.frame()) for _ in expected] == expected
        second.send({"taskType": "ping", "ping": True})
        assert second.frame()["data"][0]["taskType"] == "ping"
        assert seeds(second.ask("getResponse", taskUUID=task)) == [1, 2, 3]
    assert server.ledger.executions(task) == 1


def test_x6_discards_results_that_finish_without_a_connection(server: LocalServer) -> None:
    server.play("X6:replay=nothing")
    with Peer(server) as first, server.hold():
        lost, task = first.task(numberResults=3), None
        server.ledger.wait_for(lambda ledger: ledger.held == 3)
        server.release(2)
        assert "data" in first.frame()
        assert first.lost()
        server.release(1)
        server.ledger.wait_for(lambda ledger: ledger.results == 3)
        with Peer(server, resume=first.session) as second:
            task = second.task()
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            server.release(1)
            assert second.frame()["data"][0]["taskUUID"] == task != lost


def test_x6_counts_the_results_in_poll_responses(server: LocalServer) -> None:
    server.play("X6:after_results=2")
    with Peer(server) as first, server.hold():
        task = first.task("videoInference", numberResults=3, **VIDEO)
        first.frame()
        server.ledger.wait_for(lambda ledger: ledger.held == 3)
        server.release(1)
        assert first.ask("getResponse", taskUUID=task)["data"][1]["status"] == "processing"
        server.release(1)
        assert first.ask("getResponse", taskUUID=task)["data"][1]["status"] == "success"
        assert first.lost()
    with Peer(server, resume=first.session) as second:
        assert len(seeds(second.ask("getResponse", taskUUID=task))) == 3


def test_x6_ends_the_connection_inside_a_frame(server: LocalServer) -> None:
    server.play("X6:after_results=0,mid_frame=true")
    with Peer(server) as first:
        first.task(seed=9)
        with pytest.raises(websocket.WebSocketConnectionClosedException):
            first.socket.recv_frame()
    with Peer(server, resume=first.session) as second:
        assert seeds(second.frame()) == [9]


def test_x6_can_be_played_several_times(server: LocalServer) -> None:
    server.play("X6", times=2)
    session, found = None, []
    for _ in range(2):
        with Peer(server, resume=session) as peer:
            session = peer.session
            peer.task(numberResults=2, seed=1)
            found += seeds(*until_lost(peer))
    with Peer(server, resume=session) as peer:
        found += seeds(peer.frame())
        assert "data" in peer.ask()
    assert sorted(found) == [1, 1, 2, 2]
    assert server.ledger.faults == ["X6", "X6"]


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1013])
def test_x7_sends_a_close_frame_while_a_task_runs(server: LocalServer, code: int) -> None:
    server.play("X7", code=code)
    with Peer(server) as first:
        first.task(seed=3)
        assert first.closed_with() == code
    with Peer(server, resume=first.session) as second:
        assert seeds(second.frame()) == [3]


def test_x8_replays_before_the_reply_and_x18_changes_the_session_uuid(server: LocalServer) -> None:
    server.play("X7")
    server.play("X8")
    server.play("X18")
    with Peer(server) as first:
        first.task(seed=3)
        assert first.closed_with() == 1000
    with Peer(server, auth=False) as second:
        second.authenticate(first.session)
        assert seeds(second.frame()) == [3]
        assert second.frame()["data"][0]["connectionSessionUUID"] != first.session


# Frames.


def test_x9_sends_an_error_of_an_unknown_task(server: LocalServer) -> None:
    server.play("X9:code=providerInternalError")
    with Peer(server) as peer:
        task = peer.task()
        [error] = peer.frame()["errors"]
        assert error["code"] == "providerInternalError"
        assert error["taskUUID"] != task
        assert peer.frame()["data"][0]["taskUUID"] == task


def test_x10_sends_data_and_errors_in_one_frame(server: LocalServer) -> None:
    other = new_uuid()
    with Peer(server) as peer:
        server.play("X10", form="F19", other=other)
        task = peer.task()
        frame = peer.frame()
        assert frame["data"][0]["taskUUID"] == task
        assert [error["taskUUID"] for error in frame["errors"]] == [other]
        server.play("X10", form="F20")
        task = peer.task(numberResults=3, seed=1)
        frame = peer.frame()
        assert seeds(frame) == [1, 2]
        assert [(error["code"], error["taskUUID"]) for error in frame["errors"]] == [("inferenceError", task)]
        assert server.ledger.cost(task) == 0.0026


def test_x10_sends_errors_in_every_shape(server: LocalServer) -> None:
    with Peer(server) as peer:

        def play(form: str) -> tuple[str, Any]:
            server.play("X10", form=form)
            return peer.task(), peer.frame()

        task, frame = play("F18")
        assert frame["errors"][0]["parameter"] == ["width", "height"]
        assert server.ledger.cost(task) == 0
        task, frame = play("F22")
        assert frame[0]["errors"][0]["taskUUID"] == task
        task, frame = play("singular")
        assert frame["error"]["taskUUID"] == task
        task, frame = play("singular-list")
        assert frame["error"][0]["taskUUID"] == task
        for form, key in (("F21", "errors"), ("legacy", "error")):
            task, frame = play(form)
            assert key in frame
            assert task not in repr(frame)
            assert peer.frame()["data"][0]["taskUUID"] == task


def test_x11_pads_images_that_can_still_be_decoded(server: LocalServer) -> None:
    server.play("X11")
    with Peer(server) as peer:
        data = peer.ask(outputType="base64Data", width=128, height=128)["data"][0]["imageBase64Data"]
        assert len(data) >= 3 * 2**20
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (128, 128)


def test_x12_delivers_results_without_delay(server: LocalServer) -> None:
    server.configure(delay=60)
    server.play("X12", in_ack=True)
    with Peer(server) as peer:
        assert "imageURL" in peer.ask()["data"][0]
        [item] = peer.ask("videoInference", **VIDEO)["data"]
        assert (item["status"], "videoURL" in item) == ("success", True)


def test_x13_delivers_extra_results_and_copies(server: LocalServer) -> None:
    server.play("X13", extra=2, copies=1)
    with Peer(server) as peer:
        task = peer.task(numberResults=2, seed=1)
        frames = [peer.frame() for _ in range(2)]
        assert seeds(*frames) == [1, 2, 3, 4] * 2
        assert server.ledger.cost(task) == 0.0026


def test_x14_sends_meaningless_frames_first(server: LocalServer) -> None:
    server.play("X14")
    with Peer(server) as peer:
        task = peer.task()
        frames = [peer.raw() for _ in range(9)]
        assert [data for _, data in frames[:-1]] == [
            b'{"data":[]}', b'{"data":null}', b"{}", b"[]", b"this is not JSON {", b"\x00\x01\x02",
            b'{"data":["a string",null,5]}', b"null",
        ]  # fmt: skip
        assert [opcode for opcode, _ in frames].count(websocket.ABNF.OPCODE_BINARY) == 1
        assert task.encode() in frames[-1][1]
        server.stop_faults()
        server.play("X14:form=text")
        peer.task("videoInference", taskUUID=(task := new_uuid()), **VIDEO)
        assert peer.raw()[1] == b"this is not JSON {"
        assert "data" in peer.frame()
        peer.task("getResponse", taskUUID=task)
        assert peer.raw()[1] == b"this is not JSON {"
        assert "data" in peer.frame()


def test_x15_changes_poll_responses(server: LocalServer) -> None:
    with Peer(server) as peer:
        task = peer.task("videoInference", numberResults=3, **VIDEO)
        peer.frame()

        def poll() -> Any:
            return peer.ask("getResponse", taskUUID=task)["data"]

        full = poll()
        with server.play("X15", form="shrink"):
            assert poll() == full[1:]
        with server.play("X15", form="reorder"):
            assert poll() == full[::-1]
        with server.play("X15", form="no-ids"):
            assert [set(item) for item in poll()] == [set(full[0]) - {"videoUUID"}] * 3
        with server.play("X15", form="status-only"):
            assert [set(item) for item in poll()] == [{"taskType", "taskUUID", "status"}] * 3
        assert poll() == full


def test_x16_answers_polls_with_a_temporary_error(server: LocalServer) -> None:
    server.play("X16", times=2)
    with Peer(server) as peer:
        task = peer.task("videoInference", **VIDEO)
        peer.frame()
        frames = [peer.ask("getResponse", taskUUID=task) for _ in range(3)]
        assert [errors(frame) for frame in frames[:2]] == [["rateLimitExceeded"]] * 2
        assert frames[2]["data"][0]["status"] == "success"


def test_x19_executes_two_tasks_with_one_uuid(server: LocalServer) -> None:
    server.play("X19")
    with Peer(server) as peer:
        task = new_uuid()
        for _ in range(2):
            assert peer.ask(taskUUID=task)["data"][0]["taskUUID"] == task
    assert server.ledger.executions(task) == 2


def test_x23_delivers_results_of_all_tasks_one_by_one(server: LocalServer) -> None:
    server.play("X23", interval=0.001)
    with Peer(server) as peer:
        tasks = [peer.task(numberResults=4) for _ in range(4)]
        items = [item for _ in range(16) for item in peer.frame()["data"]]
    order = [tasks.index(item["taskUUID"]) for item in items]
    assert sorted(order) == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 != order


@pytest.mark.parametrize("spread", [0, 0.001])
def test_x24_changes_the_statuses_of_a_model_upload(server: LocalServer, spread: float) -> None:
    server.configure(spread=spread)
    upload = {"category": "lora", "name": "n", "downloadURL": "https://example.com/m"}
    with Peer(server) as peer:

        def statuses(count: int) -> list[Any]:
            peer.task("modelUpload", **upload)
            return [peer.frame()["data"][0] for _ in range(count)]

        with server.play("X24", form="repeat"):
            names = [item["status"] for item in statuses(10)]
            assert names[::2] == names[1::2] == ["validated", "downloaded", "optimized", "stored", "ready"]
        with server.play("X24", form="no-task-type"):
            assert not any("taskType" in item for item in statuses(5))
        with server.play("X24", form="failed"):
            assert [item["status"] for item in statuses(2)] == ["validated", "failed"]
            peer.send({"taskType": "ping", "ping": True})
            assert peer.frame()["data"][0]["taskType"] == "ping"


def test_several_faults_can_be_combined(server: LocalServer) -> None:
    server.play("X13:extra=1,copies=0")
    server.play("X9")
    server.play("X6:after_results=2,replay=all")
    server.play("X8")
    with Peer(server) as first:
        first.task(numberResults=3, seed=1)
        assert "errors" in first.frame()
        assert seeds(first.frame()) == [1, 2]
        assert first.lost()
    with Peer(server, auth=False) as second:
        second.authenticate(first.session)
        assert "errors" in second.frame()
        assert seeds(second.frame(), second.frame()) == [1, 2, 3, 4]
        assert "connectionSessionUUID" in second.frame()["data"][0]


def test_stalled_connection_stays_open_until_the_server_stops() -> None:
    with LocalServer(faults=["X3"]) as server, Peer(server) as peer:
        peer.socket.sock.shutdown(socket.SHUT_WR)
        assert silent(peer)
        assert server.connections == 1
