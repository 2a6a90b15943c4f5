"""The local server: controls, ledger, start and stop, TLS, command line."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
import websocket

from runware.local import FAULTS, SWITCHES, Ledger, LocalServer, Switches
from tests.test_local_server import Peer, errors, new_uuid


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started
        assert not started.ledger.errors


# Controls.


def test_release_delivers_held_results_one_by_one(server: LocalServer) -> None:
    with Peer(server) as peer:
        server.hold()
        task = peer.task(numberResults=3, seed=7)
        server.ledger.wait_for(lambda ledger: ledger.held == 3)
        for seed in (7, 8):
            server.release(1)
            [item] = peer.frame()["data"]
            assert (item["taskUUID"], item["seed"]) == (task, seed)
        assert server.ledger.held == 1
        server.release()
        assert peer.frame()["data"][0]["seed"] == 9
        assert len(peer.ask()["data"]) == 1


def test_hold_affects_only_its_task_type(server: LocalServer) -> None:
    with Peer(server) as peer, server.hold("caption"):
        held = peer.task("caption", inputImage=new_uuid())
        assert peer.ask()["data"][0]["taskType"] == "imageInference"
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        server.release(5)
        assert peer.frame()["data"][0]["taskUUID"] == held


def test_results_stay_held_until_every_overlapping_hold_ends(server: LocalServer) -> None:
    with Peer(server) as peer:
        outer, inner = server.hold(), server.hold("imageInference")
        peer.task()
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        outer.release()
        assert server.ledger.held == 1
        inner.release()
        assert "data" in peer.frame()
        inner.release()


def test_delay_can_be_a_number_a_mapping_or_a_function(server: LocalServer) -> None:
    seen = []
    with Peer(server) as peer:
        server.configure(delay=0.001)
        assert "data" in peer.ask()
        server.configure(delay={"imageInference": 0.05})
        first, second = peer.task(), peer.task("caption", inputImage="cc000000-0000-4000-8000-000000000001")
        assert [peer.frame()["data"][0]["taskUUID"] for _ in range(2)] == [second, first]
        server.configure(delay=lambda task: seen.append(task["taskType"]) or 0.0)
        assert "data" in peer.ask()
    assert seen == ["imageInference"]


@pytest.mark.parametrize(
    ("order", "size", "expected"),
    [
        ("as-is", None, [[0, 1, 2, 3, 4]]),
        ("reversed", 2, [[4, 3], [2, 1], [0]]),
        ("as-is", 1, [[0], [1], [2], [3], [4]]),
    ],
)
def test_result_order_and_frame_size_apply_to_one_task(
    server: LocalServer, order: str, size: int | None, expected: list[list[int]]
) -> None:
    server.configure(result_order=order, frame_size=size)
    with Peer(server) as peer:
        peer.task(numberResults=5, seed=100)
        frames = [peer.frame() for _ in expected]
    assert [[item["seed"] - 100 for item in frame["data"]] for frame in frames] == expected


def test_shuffled_results_arrive_one_by_one_with_spread(server: LocalServer) -> None:
    server.configure(result_order="shuffled", spread=0.001)
    with Peer(server) as peer:
        peer.task(numberResults=20, seed=1)
        seeds = [item["seed"] for _ in range(20) for item in peer.frame()["data"]]
    assert sorted(seeds) == list(range(1, 21)) != seeds


def test_mix_tasks_puts_results_of_different_tasks_into_one_frame(server: LocalServer) -> None:
    server.configure(mix_tasks=True)
    with Peer(server) as peer:
        tasks = [
            {"taskType": "imageInference", "taskUUID": new_uuid(), "positivePrompt": "a kite"},
            {"taskType": "caption", "taskUUID": new_uuid(), "inputImage": "cc000000-0000-4000-8000-000000000001"},
            {"taskType": "nothing", "taskUUID": new_uuid()},
        ]
        peer.send(*tasks)
        frame = peer.frame()
    assert [item["taskUUID"] for item in frame["data"]] == [task["taskUUID"] for task in tasks[:2]]
    assert errors(frame) == ["unsupportedTaskType"]


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_drop_ends_every_connection(server: LocalServer, how: str) -> None:
    with Peer(server) as one, Peer(server) as two:
        assert server.connections == 2
        assert server.drop(how) == 2
        assert one.lost()
        assert two.lost()
        server.ledger.wait_for(lambda _: server.connections == 0)
    assert server.ledger.connections == 2


def test_send_pushes_frames_and_close_connections_sends_the_close_code(server: LocalServer) -> None:
    with Peer(server) as peer:
        server.send({"data": []})
        server.send("not JSON")
        server.send(b"\x01\x02")
        assert peer.frame() == {"data": []}
        assert peer.raw() == (1, b"not JSON")
        assert peer.raw() == (2, b"\x01\x02")
        server.close_connections(1012, "restart")
        assert peer.closed_with() == 1012


def test_stalled_connection_continues_after_wake(server: LocalServer) -> None:
    with Peer(server) as peer:
        server.stall()
        server.send("lost")
        peer.task()
        server.wake()
        assert peer.frame()["data"][0]["taskType"] == "imageInference"


def test_unplugged_server_refuses_connections_until_plugged(server: LocalServer) -> None:
    with Peer(server) as peer:
        server.unplug()
        assert peer.lost()
        with pytest.raises(ConnectionRefusedError):
            Peer(server)
        with pytest.raises(OSError, match="in use"):  # another server must not get this one's clients
            socket.create_server(("127.0.0.1", server.port))
        server.plug()
        server.plug()
        with Peer(server, resume=peer.session) as again:
            assert again.session == peer.session


def test_script_answers_in_place_of_the_server(server: LocalServer) -> None:
    def script(task: dict[str, Any]) -> list[Any] | None:
        if task["taskType"] == "ping":
            return []
        return [{"data": []}, "text", {"data": [{"odd": task["taskUUID"]}]}] if task["taskType"] == "odd" else None

    server.script(script)
    with Peer(server) as peer:
        peer.send({"taskType": "ping", "ping": True})
        task = peer.task("odd")
        assert peer.frame() == {"data": []}
        assert peer.raw() == (1, b"text")
        assert peer.frame() == {"data": [{"odd": task}]}
        server.script(None)
        assert errors(peer.ask("odd")) == ["unsupportedTaskType"]


def test_exception_of_a_script_is_recorded_in_the_ledger(server: LocalServer) -> None:
    server.script(lambda task: task["nothing"])
    with Peer(server, auth=False) as peer:
        peer.authenticate()
        assert errors(peer.frame()) == ["internalServerError"]
    assert [type(error) for error in server.ledger.errors] == [KeyError]
    server.ledger.errors.clear()


def test_exception_of_a_delay_function_fails_the_task_and_is_recorded(server: LocalServer) -> None:
    server.configure(delay=lambda task: task["nothing"])
    with Peer(server) as peer:
        assert errors(peer.ask()) == ["internalServerError"]
    assert [type(error) for error in server.ledger.errors] == [KeyError]
    server.ledger.errors.clear()


# Ledger.


def test_ledger_counts_by_task_and_prompt(server: LocalServer) -> None:
    with Peer(server) as peer:
        first = peer.task(positivePrompt="one", numberResults=2)
        second = peer.task(positivePrompt="one")
        third = peer.task(positivePrompt="two", width=1)
        for _ in range(3):
            peer.frame()
        peer.task("imageInference", taskUUID=first, positivePrompt="one")
        assert errors(peer.frame()) == ["conflictTaskUUID"]
    ledger = server.ledger
    assert ledger.executions_by_prompt() == {"one": 2}
    assert ledger.results_by_prompt() == {"one": 3}
    assert [ledger.executions(task) for task in (first, second, third, new_uuid())] == [1, 1, 0, 0]
    assert ledger.submissions(first) == 2
    assert ledger.cost(first) == 0.0026
    assert ledger.billed == 0.0039
    assert (ledger.executed, ledger.results, ledger.rejected, ledger.conflicts) == (2, 3, 2, 1)
    assert len(ledger.tasks("imageInference")) == 4
    assert "executed=2" in repr(ledger)
    server.forget()
    assert ledger.received == []
    assert ledger.billed == 0


def test_timeout_of_wait_for_shows_the_counters_of_the_ledger() -> None:
    with pytest.raises(TimeoutError, match="received=0"):
        Ledger().wait_for(lambda _: False, timeout=0.01)


def test_keep_limits_the_tasks_that_are_kept() -> None:
    with LocalServer(keep=2) as server, Peer(server) as peer:
        tasks = [peer.task() for _ in range(12)]
        for _ in tasks:
            peer.frame()
        assert len(server.ledger.received) <= 5
        assert errors(peer.ask("getResponse", taskUUID=tasks[0])) == ["taskNotFound"]
        assert "data" in peer.ask("getResponse", taskUUID=tasks[-1])
        assert server.ledger.executed == 12


def test_many_tasks_at_once_are_answered_in_order(server: LocalServer) -> None:
    count = 3000
    with Peer(server) as peer:
        tasks = [new_uuid() for _ in range(count)]

        def send() -> None:
            for task in tasks:
                peer.task(taskUUID=task)

        sender = threading.Thread(target=send)
        sender.start()
        found = [peer.frame()["data"][0]["taskUUID"] for _ in tasks]
        sender.join()
    assert found == tasks
    assert server.ledger.executed == count


# Start, options and command line.


def test_restarted_server_keeps_its_port_and_its_tasks() -> None:
    server = LocalServer()
    assert server.connections == 0
    with pytest.raises(RuntimeError):
        server.hold()
    server.stop()
    with server:
        port, url = server.port, server.url
        with Peer(server) as peer:
            task = peer.task()
            peer.frame()
        with pytest.raises(RuntimeError):
            server.start()
    with server:
        assert (server.port, server.url) == (port, url)
        with Peer(server) as peer:
            assert "data" in peer.ask("getTaskDetails", taskUUID=task)
    assert str(port) in repr(server)


def test_port_in_use_raises_oserror(server: LocalServer) -> None:
    second = LocalServer(port=server.port)
    with pytest.raises(OSError, match="in use"):
        second.start()
    second.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.com", ""])
def test_host_that_is_not_loopback_is_rejected(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        LocalServer(host=host)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"result_order": "random"}, ValueError),
        ({"delay": -1}, ValueError),
        ({"switches": {"q1": "maybe"}}, ValueError),
        ({"switches": {"q99": "x"}}, ValueError),
        ({"switches": {"q13": "many"}}, ValueError),
        ({"switches": {"q15": -1}}, ValueError),
        ({"faults": ["X99"]}, ValueError),
        ({"faults": ["X6:nothing=1"]}, ValueError),
        ({"faults": ["X6:replay=maybe"]}, ValueError),
        ({"faults": ["X6:replay"]}, ValueError),
        ({"faults": ["X21:form=split+odd"]}, ValueError),
    ],
)
def test_invalid_constructor_argument_raises(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        LocalServer(**options)


def test_invalid_option_at_run_time_raises(server: LocalServer) -> None:
    with pytest.raises(TypeError, match="colour"):
        server.configure(colour="red")
    with pytest.raises(ValueError, match="rst"):
        server.drop("softly")


def test_every_switch_accepts_every_value_by_name_and_alias() -> None:
    assert {f"q{number}" for number in range(1, 19)} <= {switch.name for switch in SWITCHES}
    for switch in SWITCHES:
        for value in switch.values or (getattr(Switches(), switch.name),):
            for name in (switch.name, switch.alias):
                switches = Switches()
                switches.update({name: str(value)})
                assert getattr(switches, switch.name) == value


def test_rejected_switch_changes_no_other_switch() -> None:
    switches = Switches()
    with pytest.raises(ValueError, match="q2"):
        switches.update({"q1": "new", "q2": "odd"})
    assert switches == Switches()


def test_tls_server_serves_websocket_and_files() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    with LocalServer(ssl_context=context) as server:
        assert server.url.startswith("wss://")
        with Peer(server, sslopt={"context": client}) as peer:
            [item] = peer.ask()["data"]
            assert item["imageURL"].startswith("https://")
            with urllib.request.urlopen(item["imageURL"], context=client) as reply:
                assert reply.headers["Content-Type"] == "image/jpeg"
            server.drop("fin")
            assert peer.lost()


def test_signal_at_any_line_ends_the_command() -> None:
    program = """if True:
        import signal, sys, threading
        from types import SimpleNamespace
        from runware.local import __main__ as command

        def interrupt(frame, event, argument):
            if event == "line":
                signal.raise_signal(signal.SIGINT)
            return interrupt

        def trace(frame, event, argument):
            return interrupt if frame.f_code.co_filename in (command.__file__, threading.__file__) else None

        def start():
            sys.settrace(trace)
            sys._getframe(1).f_trace = interrupt

        server = SimpleNamespace(start=start, stop=lambda: None, url="ws://x", api_key="", inspector_url="http://x")
        sys.exit(command._serve(server, SimpleNamespace(host="", port=0, record=None, open=False)))
    """
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=20, check=False).returncode == 0


def test_command_line_serves_until_sigterm() -> None:
    command = [sys.executable, "-W", "error", "-m", "runware.local", "--port", "0", "--key", "k", "--delay", "0.001"]
    command += ["--fault", "X18", "--switch", "q18=object"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        sock = websocket.create_connection(url, timeout=10)
        sock.send(json.dumps([{"taskType": "authentication", "apiKey": "k"}]))
        assert "connectionSessionUUID" in sock.recv()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        sock.shutdown()
        way = process.stdout.read()
        assert f"\nexport RUNWARE_URL={url}\n" in way
        assert "export RUNWARE_API_KEY='the key given with --key'" in way
        assert way.endswith(f"Watch it: {url.replace('ws', 'http', 1).replace('/v1', '/inspector')}\n")
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_command_line_lists_faults_and_switches_and_rejects_unknown_ones() -> None:
    command = [sys.executable, "-m", "runware.local"]
    listing = subprocess.run([*command, "--list"], capture_output=True, text=True, check=True).stdout
    assert all(f"{name} " in listing for name in FAULTS)
    assert all(switch.alias in listing for switch in SWITCHES)
    wrong = subprocess.run([*command, "--fault", "X99"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "X99" in wrong.stderr


@pytest.mark.parametrize("missing", ["aiohttp", "PIL"])
def test_missing_dependency_error_names_the_extra(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import runware.local"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install 'runware-client[local]'" in result.stderr


def test_ledger_counts_polls_of_unknown_tasks(server: LocalServer) -> None:
    with Peer(server) as peer:
        task = new_uuid()
        peer.ask("getResponse", taskUUID=task)
        assert server.ledger.polls(task) == 1
        assert server.ledger.submissions(task) == 0
        peer.ask(taskUUID=task, positivePrompt="later")
        assert server.ledger.executions_by_prompt() == {"later": 1}
