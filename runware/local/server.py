"""`LocalServer`: a Runware API server in a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from runware.local.catalogue import catalogue
from runware.local.connection import Connection, FrontDoor, reset
from runware.local.couriers import is_loopback
from runware.local.engine import Engine, Script
from runware.local.faults import Fault, Faults
from runware.local.ledger import UNIT, Ledger
from runware.local.media import MediaStore
from runware.local.runner import Hold
from runware.local.state import ORDERS, Delay, Options, State
from runware.local.switches import Switches, SwitchValue
from runware.local.web import WebSide

__all__ = ["Holding", "LocalServer"]

T = TypeVar("T")

_START_TIMEOUT = 30.0
_CALL_TIMEOUT = 30.0


class Holding:
    """Results being kept back, until the end of the `with` block or `release()`."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def release(self) -> None:
        """Stop keeping results back and let those through that no other hold keeps."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class LocalServer:
    """A Runware API server on this machine, in a thread and an event loop of its own.

    Args:
        port: The TCP port. 0: any free one.
        host: The address to listen on; one of this machine's loopback addresses.
        api_key: The one key that is accepted.
        delay: Seconds until a task's first result; or seconds by task type (others: 0); or a function that is
            given the task and returns seconds. Questions (getResponse, modelSearch, …) wait only if a mapping or
            function says so.
        spread: Seconds between the results of one task. 0: all at once.
        result_order: The order in which one task's results finish: `as-is`, `reversed`, `shuffled`.
        frame_size: Results in one frame. `None`: all that finish at the same moment.
        mix_tasks: Put results of different tasks that finish at the same moment into one frame.
        ssl_context: Serve over TLS with this context. `None`: no TLS.
        balance: Credits in dollars; a task that costs more than is left gets `insufficientCredits`. `None`: no
            end.
        switches: The open questions of the protocol: names and values as in `switch`.
        faults: Faults to play from the start, each as on the command line: `"X6:replay=rest,times=2"`.
        inactivity: Seconds without a message after which a connection is closed. 0: never.
        resume_window: Seconds for which a lost connection's session can be resumed.
        keep: How many tasks the server and its ledger remember at least. `None`: all of them.
        allowed_hosts: Names, each with or without a port, that requests may have in `Host` and `Origin` besides those
            of this machine. Others are refused, so that no web page can use the server through a browser: add
            `"localhost:3000"` for a page of your own there, and `"host.docker.internal"` for a container.

    Use it as a context manager, or call `start` and `stop`. Every method may be called from any thread.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        api_key: str = "rw-local-key",
        delay: Delay = 0.0,
        spread: float = 0.0,
        result_order: str = "as-is",
        frame_size: int | None = None,
        mix_tasks: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        balance: float | None = None,
        switches: Mapping[str, SwitchValue] | None = None,
        faults: list[str] | None = None,
        inactivity: float = 120.0,
        resume_window: float = 120.0,
        keep: int | None = None,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        if not is_loopback(host):
            raise ValueError(f"the local server listens on this machine's loopback addresses only, not {host!r}")
        if isinstance(allowed_hosts, str):
            raise TypeError("allowed_hosts is a list of names, not one name")
        options = Options(
            api_key, inactivity=inactivity, resume_window=resume_window, allowed_hosts=tuple(allowed_hosts)
        )
        self.ledger = Ledger(keep)
        self._state = State(options, Switches(), self.ledger, MediaStore(keep), catalogue(), keep=keep)
        self._host = host
        self._port = port
        self._key = api_key
        self._ssl = ssl_context
        self._faults = Faults(self._state)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None
        self._listener: asyncio.Server | None = None
        self._stop: asyncio.Event | None = None
        self._script: Script | None = None
        self.configure(
            delay=delay,
            spread=spread,
            result_order=result_order,
            frame_size=frame_size,
            mix_tasks=mix_tasks,
            balance=balance,
        )
        self.switch(switches or {})
        for fault in faults or []:
            self.play(fault)

    # Life cycle.

    def start(self) -> Self:
        """Listen, and return when connections are accepted. A stopped server starts again on the same port.

        Raises:
            RuntimeError: It runs already.
            OSError: The port is taken.
        """
        if self._thread is not None:
            raise RuntimeError("the local server runs already")
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="runware-local", daemon=True)
        self._thread.start()
        try:
            ready.result(_START_TIMEOUT)
        except BaseException:
            self._thread.join(_START_TIMEOUT)
            self._thread = None
            raise
        return self

    def stop(self) -> None:
        """End every connection at once and stop. What the server knows is kept for the next start."""
        thread, loop, stop = self._thread, self._loop, self._stop
        if thread is None or loop is None or stop is None:
            return
        loop.call_soon_threadsafe(stop.set)
        thread.join(_CALL_TIMEOUT)
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<LocalServer {self.url if self._port else 'not started'}>"

    def _run(self, ready: Future[None]) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: Future[None]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._note_error)
        with ThreadPoolExecutor(2, thread_name_prefix="runware-local-draw") as executor:
            side = WebSide(self._state, executor)
            http = web.Server(side.handle, access_log=None, loop=loop)
            engine = side.engine = Engine(self._state, self._faults, loop, executor, http)
            engine.script = self._script
            self._loop, self._engine, self._stop = loop, engine, asyncio.Event()
            try:
                await self._listen()
            except BaseException as error:
                ready.set_exception(error)
                self._engine = None
                return
            ready.set_result(None)
            try:
                await self._stop.wait()
            finally:
                await self._shut_down(engine, http)

    def _note_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # Peers that go away in the middle of something are what this server is made for.
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.ledger.errors.append(error)
        loop.default_exception_handler(context)

    async def _listen(self) -> None:
        loop, engine = asyncio.get_running_loop(), self._engine
        assert engine is not None
        options: dict[str, Any] = {"ssl_shutdown_timeout": 1.0} if self._ssl is not None else {}
        self._listener = await loop.create_server(
            lambda: FrontDoor(engine), self._host, self._port, ssl=self._ssl, backlog=1024, **options
        )
        self._port = self._listener.sockets[0].getsockname()[1]
        self._state.http_url = self.http_url

    async def _shut_down(self, engine: Engine, http: web.Server) -> None:
        if self._listener is not None:
            listener, self._listener = self._listener, None
            # A connection that asyncio has accepted, but not made a transport of, is lost when its listener closes
            # (its socket stays open until it is collected): so first nothing more is accepted.
            loop = asyncio.get_running_loop()
            for listening in listener.sockets:
                with suppress(NotImplementedError):  # not every kind of loop lets go of a reader
                    loop.remove_reader(listening.fileno())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            listener.close()
        self._engine = None
        for connection in list(engine.connections):
            connection.abort()
        for transport in list(engine.waiting):
            transport.abort()
        await engine.couriers.close()
        await engine.runner.close()
        await http.shutdown(0.1)
        self._faults.stopped()
        # A connection may just have been accepted; and aborted transports tell their protocols in the loop's next step.
        # What is still being accepted is a task of asyncio's own: left alone, it would leave its transport open.
        for _ in range(3):
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others, timeout=0.2)
            await asyncio.sleep(0)
            for transport in list(engine.transports):
                if not transport.is_closing():
                    transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _call(self, action: Callable[[Engine], T]) -> T:
        engine, loop = self._engine, self._loop
        if engine is None or loop is None:
            raise RuntimeError("the local server does not run")
        if threading.current_thread() is self._thread:
            return action(engine)
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(action(engine))
            except BaseException as error:
                future.set_exception(error)

        loop.call_soon_threadsafe(run)
        return future.result(_CALL_TIMEOUT)

    def _each(self, action: Callable[[Connection], object]) -> None:
        def run(engine: Engine) -> None:
            for connection in list(engine.connections):
                action(connection)

        self._call(run)

    # Addresses.

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start with `port=0`."""
        return self._port

    @property
    def url(self) -> str:
        """The address for clients: `ws://127.0.0.1:PORT/v1`, or `wss://` with TLS."""
        return f"{'wss' if self._ssl else 'ws'}://{self._authority}/v1"

    @property
    def http_url(self) -> str:
        """The address of the HTTP side, without a path; files are served there and tasks under `/v1`."""
        return f"{'https' if self._ssl else 'http'}://{self._authority}"

    @property
    def _authority(self) -> str:
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    # Behaviour.

    @property
    def api_key(self) -> str:
        """The key that is accepted; setting it changes it for later authentications."""
        return self._key

    @api_key.setter
    def api_key(self, key: str) -> None:
        self._key = self._state.options.api_key = key

    def revoke_key(self) -> None:
        """Accept no key from now on. Open connections stay; set `api_key` to accept one again."""
        self._state.options.api_key = None

    @property
    def balance(self) -> float | None:
        """Credits left in dollars; `None`: no end. May be set."""
        units = self._state.options.balance
        return None if units is None else units / UNIT

    @balance.setter
    def balance(self, dollars: float | None) -> None:
        self._state.options.balance = None if dollars is None else round(dollars * UNIT)

    @property
    def switches(self) -> Switches:
        """The current answers to the protocol's open questions. Set them through `switch`."""
        return self._state.switches

    def configure(self, **options: Any) -> None:
        """Change the constructor's options while the server runs.

        Args:
            options: `delay`, `spread`, `result_order`, `frame_size`, `mix_tasks`, `balance`, `inactivity`,
                `resume_window` as in the constructor; and `sync_window` (seconds after which an HTTP request for a
                synchronous task gets status 504; 0: never), `webhook_timeout` (seconds a receiver may take),
                `webhook_delay` (seconds before the first repetition), `webhook_tries`.

        Raises:
            TypeError: There is no such option.
            ValueError: A value cannot work.
        """
        for name, value in options.items():
            if name == "balance":
                self.balance = value
                continue
            if name not in Options.__slots__ or name == "api_key":
                raise TypeError(f"the local server has no option {name!r}")
            if name == "result_order" and value not in ORDERS:
                raise ValueError(f"result_order is one of {', '.join(ORDERS)}, not {value!r}")
            if isinstance(value, (int, float)) and value < 0:
                raise ValueError(f"{name} cannot be negative: {value!r}")
            setattr(self._state.options, name, value)
        if "inactivity" in options and self._engine is not None:
            self._call(lambda engine: engine.inactivity_changed())

    def switch(self, values: Mapping[str, SwitchValue] | None = None, **more: SwitchValue) -> None:
        """Answer the protocol's open questions: `switch(q1="new")`, or by alias `switch(resumed_session="new")`.

        Raises:
            ValueError: There is no such switch or value; `runware.local.SWITCHES` lists them.
        """
        self._state.switches.update({**(values or {}), **more})

    def script(self, callback: Script | None) -> None:
        """Let a function answer tasks instead of the server.

        Args:
            callback: Called in the server's thread with every incoming task, authentication and pings included.
                It returns a list of frames to send (JSON values, texts, or bytes for a binary frame; an empty
                list: no answer), or `None` to have the server answer as usual. `None`: no script any more.
        """
        self._script = callback
        if self._engine is not None:
            self._engine.script = callback

    # Faults.

    def play(self, name: str, **parameters: Any) -> Fault:
        """Play a fault.

        Args:
            name: `X1` to `X24`, or a whole command line form such as `"X6:replay=rest"`.
            parameters: Of the fault; `runware.local.FAULTS` describes them. `times` (how often; `None`: always)
                and `task_type` (only for tasks of this type) are known to all.

        Returns:
            The fault, which counts how often it was played and can be stopped.

        Raises:
            ValueError: There is no such fault, parameter or value.
        """
        fault = self._faults.make(name, parameters)
        if self._engine is None:
            self._faults.add(fault)
        else:
            self._call(lambda _: self._faults.add(fault))
        return fault

    def stop_faults(self) -> None:
        """Play no fault any more."""
        self._faults.clear()

    # Holding results back.

    def hold(self, task_type: str | None = None) -> Holding:
        """Keep finished results back from now on.

        Args:
            task_type: Only those of tasks of this type. `None`: of all tasks, questions (getResponse, modelSearch,
                …) excepted.

        Returns:
            A context manager whose end lets them through.
        """
        hold = Hold(task_type)
        self._call(lambda engine: engine.runner.hold(hold))
        return Holding(lambda: self._drop_hold(hold))

    def release(self, count: int | None = None) -> None:
        """Let held results through, the oldest first.

        Args:
            count: So many results; later ones are still held. `None`: all of them, and nothing is held any more.
        """
        self._call(lambda engine: engine.runner.release(count))

    def _drop_hold(self, hold: Hold) -> None:
        if self._engine is not None:
            self._call(lambda engine: engine.runner.drop_hold(hold))

    # Connections.

    @property
    def connections(self) -> int:
        """WebSocket connections that are open now."""
        engine = self._engine
        return len(engine.connections) if engine is not None else 0

    def drop(self, how: str = "rst") -> int:
        """End every TCP connection now, plain HTTP included, without a close frame.

        Args:
            how: `rst` (reset) or `fin` (orderly end of TCP).

        Returns:
            How many WebSocket connections there were.
        """
        if how not in ("rst", "fin"):
            raise ValueError(f"a connection is dropped by 'rst' or 'fin', not {how!r}")
        return self._call(lambda engine: self._drop(engine, how))

    def _drop(self, engine: Engine, how: str) -> int:
        connections = list(engine.connections)
        for connection in connections:
            connection.end(how)
        for transport in [*engine.waiting, *engine.http_transports()]:
            reset(transport) if how == "rst" else transport.close()
        return len(connections)

    def close_connections(self, code: int = 1000, reason: str = "") -> None:
        """Close every WebSocket connection with a close frame."""
        self._each(lambda connection: connection.close(code, reason))

    def stall(self) -> None:
        """Play dead on every open connection: TCP stays up, nothing is read or written."""
        self._each(lambda connection: connection.end("stall"))

    def wake(self) -> None:
        """End a stall: read and write again."""
        self._each(lambda connection: connection.wake())

    def send(self, frame: str | bytes | dict[str, Any] | list[Any]) -> None:
        """Push a frame to every open connection: text or a JSON value as text, bytes as a binary frame."""
        self._each(lambda connection: connection.send(frame))

    def unplug(self, how: str = "rst") -> None:
        """Drop every connection and refuse new ones until `plug`."""

        def action(engine: Engine) -> None:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            self._drop(engine, how)

        self._call(action)

    def plug(self) -> None:
        """Accept connections again, on the same port."""
        loop = self._loop
        if self._listener is not None or loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._listen(), loop).result(_CALL_TIMEOUT)

    def forget(self) -> None:
        """Forget every task, file and session, and start new books."""

        def action(engine: Engine) -> None:
            self._state.jobs.clear()
            self._state.media.clear()
            engine.sessions.clear()
            self.ledger.reset()

        self._call(action)
