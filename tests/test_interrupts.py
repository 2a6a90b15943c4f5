"""Ctrl-C at any instant of a first call, and a system that has no descriptors or threads left."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dis
import gc
import importlib
import inspect
import pathlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from functools import partial
from types import CodeType, FrameType, SimpleNamespace
from typing import Any, Literal

import pytest

from runware import ConnectionFailedError, Runware, RunwareError
from runware.local import LocalServer
from runware.text.chat import Chat, ChatStream, Conversation
from runware.text.drivers import BlockingDriver
from runware.text.turns import Turn
from runware.transport import io_loop as io_loop_module
from runware.transport.http_loop import HttpLoop
from runware.transport.io_loop import IOLoop
from runware.transport.loop_inbox import LoopWait, _Inbox, call_soon_in

from .conftest import until
from .test_three_interfaces import PICTURE

PROJECT = pathlib.Path(__file__).parent.parent
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits are others there")


def run(server: LocalServer, script: str) -> str:
    """Run a script with a client of the server, in a process of its own; return what it prints."""
    head = f"""
        import os, random, signal, sys, threading, time
        from runware import *
        PICTURE = {PICTURE!r}
        def client(**options):
            return Runware({server.api_key!r}, url={server.url!r}, timeout=20.0, retry_delay=0.01, **options)
        def io_threads():
            return [one for one in threading.enumerate() if one.name == "runware-io" and one.is_alive()]
        def until(condition):
            end = time.monotonic() + 10
            while not condition():
                assert time.monotonic() < end, condition()
                time.sleep(0.001)
    """
    code = textwrap.dedent(head) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", code],
        cwd=PROJECT, capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@posix
@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(("seed", "transport"), [(1, "websocket"), (2, "websocket"), (1, "http"), (2, "http")])
def test_three_hundred_first_calls_interrupted_at_random_leave_usable_clients(
    server: LocalServer, seed: int, transport: str
) -> None:
    out = run(
        server,
        f"""
        import faulthandler, logging, warnings
        faulthandler.dump_traceback_later(40, exit=True)
        logging.basicConfig(filename=os.devnull)  # tasks that were sent before the interrupt are named there
        warnings.simplefilter("ignore", ResourceWarning)  # `socket.socketpair` may be interrupted with one end made
        rng = random.Random({seed})
        def interrupt(number, frame):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        with client(transport="{transport}") as warm:
            warm.image_inference(**PICTURE)  # what is loaded by a first call is loaded once a process
        interrupted = 0
        for number in range(150):
            rw = client(transport="{transport}")
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 1e-3))
                try:
                    rw.image_inference(**PICTURE)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            assert len(rw.image_inference(**PICTURE)) == 1
            until(lambda: len(io_threads()) == 1)
            rw.close()
            until(lambda: not io_threads())
        print(interrupted)
        """,
    )
    assert int(out) > 100


def lines_of(function: Any) -> list[int]:
    """Return the lines of a function at which it may be interrupted."""
    found = {line for _, _, line in function.__code__.co_lines() if line is not None}
    return sorted(found - {function.__code__.co_firstlineno})


PLACES = [
    pytest.param(
        driver, function, line, id=f"{driver} {function.__qualname__} +{line - function.__code__.co_firstlineno}"
    )
    for driver, loop in (("websocket", IOLoop), ("http", HttpLoop))
    for function in (loop._start, loop.submit, loop._wake, threading.Thread.start)
    for line in lines_of(function)
]


@pytest.mark.parametrize(("transport", "function", "line"), PLACES)
def test_first_call_interrupted_at_a_line_leaves_a_usable_client(
    server: LocalServer, transport: Literal["websocket", "http"], function: Any, line: int
) -> None:
    client = Runware(server.api_key, url=server.url, transport=transport, timeout=20.0)
    reached: list[int] = []

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code is not function.__code__:
            return None
        mine = frame.f_locals["self"]
        if mine is not client._core._io_loop and getattr(mine, "name", "") != "runware-io":
            return None  # of another client, during a garbage collection
        if event == "line" and frame.f_lineno == line and not reached:
            reached.append(line)
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        client.image_inference(**PICTURE)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    assert len(client.image_inference(**PICTURE)) == 1
    io_loop = client._core.io_loop()
    mine = [one for one in threading.enumerate() if getattr(one, "_target", None) == io_loop._run and one.is_alive()]
    until(lambda: sum(one.is_alive() for one in mine) == 1)
    client.close()
    until(lambda: not any(one.is_alive() for one in mine))


@pytest.mark.parametrize("starts", [True, False], ids=["it was started", "it was not"])
def test_interrupted_thread_start_leaves_a_usable_client(
    server: LocalServer, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the thread runs cannot be known then; never more than one does anything."""
    real = threading.Thread.start
    interrupted: list[threading.Thread] = []

    def start(self: threading.Thread) -> None:
        if self.name == "runware-io" and not interrupted:
            interrupted.append(self)
            if starts:
                real(self)
            raise KeyboardInterrupt
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    client = Runware(server.api_key, url=server.url, timeout=20.0)
    with pytest.raises(KeyboardInterrupt):
        client.image_inference(**PICTURE)
    assert len(client.image_inference(**PICTURE)) == 1
    thread = client._core.io_loop()._thread
    assert thread is not None
    assert thread.is_alive()
    client.close()
    assert not thread.is_alive()
    if starts:
        interrupted[0].join(10)
        assert not interrupted[0].is_alive()
    assert server.ledger.connections == 1


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"7 degrees in {city}"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["whole", "with a tool", "left early"])
@pytest.mark.parametrize(
    "function",
    [
        BlockingDriver.next_piece, BlockingDriver._take_steps, BlockingDriver._end, BlockingDriver.abort,
        BlockingDriver._begin, BlockingDriver._advance, Turn.steps, Turn._settle, Turn._tidy, Turn._asked,
        Turn._run_tools, Conversation.occupy, Conversation.release, ChatStream.__exit__, ChatStream.result,
    ],
    ids=lambda one: one.__qualname__,
)  # fmt: skip
def test_chat_interrupted_at_a_line_is_usable(server: LocalServer, function: Any, how: str) -> None:
    with Runware(server.api_key, url=server.url, timeout=20.0) as rw:
        for line in lines_of(function):
            chat = rw.chat("local-model", tools=[get_weather])
            reached: list[int] = []
            answers: list[str] = []

            def trace(frame: FrameType, event: str, _: Any, line: int = line, reached: list[int] = reached) -> Any:
                if frame.f_code is function.__code__ and event == "line" and frame.f_lineno == line and not reached:
                    reached.append(line)
                    raise KeyboardInterrupt
                return trace

            def interrupted(chat: Chat = chat, trace: Any = trace, answers: list[str] = answers) -> None:
                message = 'x [call:get_weather {"city": "Oslo"}]' if how == "with a tool" else "Hello"
                stream: Any = None
                sys.settrace(trace)
                try:
                    with chat.stream(message) as stream:
                        next(stream) if how == "left early" else stream.result()
                except KeyboardInterrupt:
                    pass
                finally:
                    sys.settrace(None)
                    stream = None  # whose exit may have been interrupted before it began
                answers.append(chat.send("Again").text)

            gc.disable()  # it would end what is left behind, at some time
            try:
                # A thread of its own, because Python may take what it was handling when a trace function raised for the
                # context of all later exceptions of the thread.
                thread = threading.Thread(target=interrupted)
                thread.start()
                thread.join(30)
                assert answers == ["You wrote “Again”, ☃."]
            finally:
                gc.enable()
            roles = [message["role"] for message in chat.messages]
            assert roles[-2:] == ["user", "assistant"]
            assert roles[:-2] in (
                [], ["user", "assistant"], ["user", "assistant", "tool"], ["user", "assistant", "tool", "assistant"],
            )  # fmt: skip
    gc.collect()  # the connections that were left behind, here and not in another test


@pytest.mark.parametrize(
    "function",
    [_Inbox._run_batch, _Inbox._run_some, _Inbox._clear_event, _Inbox._schedule],
    ids=lambda one: one.__qualname__,
)
def test_event_loop_that_is_interrupted_at_a_line_runs_all_callbacks_later(function: Any) -> None:
    async def watch() -> None:
        LoopWait(asyncio.get_running_loop())  # so that the loop watches an event

    def interrupt(line: int, ran: list[int]) -> None:
        reached: list[int] = []

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if frame.f_code is function.__code__ and event == "line" and frame.f_lineno == line and not reached:
                reached.append(line)
                raise KeyboardInterrupt
            return trace

        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(watch())
            loop, done = runner.get_loop(), asyncio.Event()
            for number in range(_Inbox.BATCH_SIZE + 1):
                call_soon_in(loop, partial(ran.append, number))
            call_soon_in(loop, done.set)
            sys.settrace(trace)
            with contextlib.suppress(KeyboardInterrupt):
                runner.run(done.wait())
            sys.settrace(None)
            runner.run(asyncio.wait_for(done.wait(), 10))

    for line in lines_of(function):
        ran: list[int] = []
        thread = threading.Thread(target=interrupt, args=(line, ran))  # as for chats
        thread.start()
        thread.join(30)
        assert ran == list(range(_Inbox.BATCH_SIZE + 1)), line


def test_post_interrupted_before_the_wakeup_loses_no_later_one(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Runware(server.api_key, url=server.url, timeout=20.0)
    client.connect()
    io_loop = client._core.io_loop()
    until(lambda: io_loop._asleep)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(io_loop, "_event", SimpleNamespace(set=interrupted))
        with pytest.raises(KeyboardInterrupt):
            client.submit.image_inference(**PICTURE)
    assert len(client.image_inference(**PICTURE)) == 1
    client.close()


class TestResourcesExhausted:
    """Without descriptors or threads, a typed error is raised before anything is sent; later the client works."""

    @posix
    @pytest.mark.parametrize("spare", range(8))
    def test_descriptor_limit_raises_a_typed_error(self, server: LocalServer, spare: int) -> None:
        run(
            server,
            f"""
            import resource
            with client() as warm:
                warm.image_inference(**PICTURE)
            rw = client(max_retries=0, connect_timeout=5.0)
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            free = os.open(os.devnull, os.O_RDONLY)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + {spare}, hard))
            try:
                rw.image_inference(**PICTURE)
            except RunwareError as error:
                assert type(error) in (RunwareError, ConnectionFailedError), repr(error)
                print(repr(error))
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            assert len(rw.image_inference(**PICTURE)) == 1
            until(lambda: len(io_threads()) == 1)
            rw.close()
            until(lambda: not io_threads())
            """,
        )
        assert server.ledger.executed in (2, 3)

    def test_failed_event_raises_a_retryable_error(self, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
        client = Runware(server.api_key, url=server.url, timeout=20.0)
        with monkeypatch.context() as patch:
            patch.setattr(io_loop_module, "make_event", self.refuse)
            with pytest.raises(RunwareError, match="Too many open files") as caught:
                client.image_inference(**PICTURE)
        assert caught.value.retryable
        assert len(client.image_inference(**PICTURE)) == 1
        client.close()

    def test_failed_socket_raises_a_connection_error(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import runware.transport.addresses as edge

        client = Runware(server.api_key, url=server.url, timeout=20.0, max_retries=0)
        with monkeypatch.context() as patch:
            patch.setattr(edge, "socket", SimpleNamespace(**{**vars(edge.socket), "socket": self.refuse}))
            with pytest.raises(ConnectionFailedError, match="Too many open files") as caught:
                client.image_inference(**PICTURE)
        assert caught.value.stage == "TCP"
        assert len(client.image_inference(**PICTURE)) == 1
        client.close()

    @staticmethod
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(24, "Too many open files")


def test_interrupt_that_a_lock_turns_into_an_error_stays_an_interrupt(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(thread: threading.Thread) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("release unlocked lock")

    client = Runware(server.api_key, url=server.url)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", interrupted)
        client.image_inference(**PICTURE)
    assert len(client.image_inference(**PICTURE)) == 1
    client.close()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="before, nothing leaves the lock of threading locked")
def test_interrupt_leaves_the_lock_that_starts_threads_free(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(thread: threading.Thread) -> None:
        threading._active_limbo_lock.acquire()  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    client = Runware(server.api_key, url=server.url, timeout=20.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", interrupted)
        client.image_inference(**PICTURE)
    assert len(client.image_inference(**PICTURE)) == 1
    client.close()


@posix
@pytest.mark.usefixtures("unmeasured")
def test_lock_is_released_when_a_signal_handler_raises() -> None:
    """Python 3.14 looks for signals between the call of `__enter__` and the body of `with`."""
    code = """
        import random, signal
        from runware._support.locks import make_rlock
        def interrupt(number, frame):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        for number in range(1000):
            lock = make_rlock()
            nested = number % 2
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 1e-4))
                try:
                    while True:
                        with lock:
                            if nested:
                                with lock:
                                    pass
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                pass
            assert not lock._is_owned(), number
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=PROJECT, timeout=50, check=False)
    assert done.returncode == 0


SIGNALLED = (
    "core", "core_calls", "futures", "jobs", "map", "map.context", "map.inputs", "map.iteration", "map.window",
    "media.downloadable", "store.uploads", "text.drivers", "text.open_streams", "text.readers", "text.tool_calls",
    "transport.callbacks", "transport.light_future", "transport.loop_inbox", "transport.wakeup",
    "webhooks.expectations", "webhooks.memory",
)  # fmt: skip
"""The modules whose code runs in threads of the user, one of which may be the main thread."""
UNSIGNALLED = {"Expectations._watch"}
"""Functions that only run on threads of their own."""


def code_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_of(constant)


def within(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what is in it, except for other functions."""
    yield node
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.GeneratorExp)):
        for child in ast.iter_child_nodes(node):
            yield from within(child)


def handled_loops(tree: ast.AST) -> set[tuple[int, int]]:
    """Return the first and the last line of each loop in the body of a `try` or `with`."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, (ast.Try, ast.With))]
    nodes = [node for body in bodies for statement in body for node in within(statement)]
    kinds = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp)
    return {(node.lineno, node.end_lineno or 0) for node in nodes if isinstance(node, kinds)}


@pytest.mark.skipif(sys.version_info < (3, 13), reason="before, Python looked for signals after the jump")
@pytest.mark.parametrize("name", SIGNALLED)
def test_no_loop_can_be_left_past_its_handler(name: str) -> None:
    """Ctrl-C between two rounds must find the `finally`, `except` or `with` around a loop.

    Python looks for signals at the jump to the next round. Where a loop or a comprehension is in a `try` or `with`, the
    compiler may leave that jump out of the table of handlers: a lock then stays locked, or a paid task is not named. A
    loop in a function of its own, which is called in the `try` or `with`, has no such gap.
    """
    module = importlib.import_module(f"runware.{name}")
    source = inspect.getsource(module)
    loops = handled_loops(ast.parse(source))
    for code in code_of(compile(source, name, "exec")):
        if code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR) or code.co_qualname in UNSIGNALLED:
            continue  # asyncio cancels the task instead
        table = dis._parse_exception_table(code)  # type: ignore[attr-defined]
        instructions = {one.offset: one for one in dis.get_instructions(code)}
        for jump in instructions.values():
            if jump.opname == "JUMP_BACKWARD" and not any(one.start <= jump.offset < one.end for one in table):
                target = instructions[jump.argval].positions
                line = target.lineno if target is not None and target.lineno is not None else 0
                inside = [first for first, last in loops if first <= line <= last and first > code.co_firstlineno]
                assert not inside, f"{code.co_qualname}, line {line}"
