"""`LocalServer`: a Runware API server in a thread of its own, and its controls for tests."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from runware.local.access_control import is_loopback
from runware.local.active_faults import ActiveFaults, FaultNames
from runware.local.apps import AppFunction, DeployedApp
from runware.local.connection import WebSocketConnection
from runware.local.faults import Fault
from runware.local.ledger import UNIT, Ledger
from runware.local.media import MediaStore
from runware.local.model_catalogue import create_catalogue
from runware.local.options import DEFAULT_KEY, RESULT_ORDERS, Delay, ServerOptions
from runware.local.output import Frame
from runware.local.planned_answers import GivenResults, PlannedAnswer
from runware.local.recording import Recording, SessionRecorder
from runware.local.recording_relay import DEFAULT_UPSTREAM, RecordingRelay, check_upstream
from runware.local.running_server import RunningServer
from runware.local.state import ServerState
from runware.local.switches import Switches, SwitchValue
from runware.local.task_processor import Script
from runware.local.task_runner import ResultHold
from runware.local.task_types import find_task_type

__all__ = ["Holding", "LocalServer"]

T = TypeVar("T")

_START_TIMEOUT = 30.0
_CALL_TIMEOUT = 30.0


class Holding:
    """A hold on finished results, until the end of the `with` block or `release()`."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def release(self) -> None:
        """End the hold, and deliver the results that no other hold keeps back."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class LocalServer:
    """A Runware API server on this machine, in a thread and an event loop of its own.

    Args:
        port: The TCP port. 0: any free one.
        host: The IP address to listen on; one of this machine's loopback addresses.
        api_key: The API key that is accepted.
        delay: Seconds until a task's first result; or seconds by task type (others: 0); or a function of the task
            that returns seconds. Queries (getResponse, modelSearch, …) are delayed only by a mapping or a function.
        spread: Seconds between the results of one task. 0: all at once.
        result_order: The order in which one task's results finish: `as-is`, `reversed`, `shuffled`.
        frame_size: Results per frame. `None`: all that finish at the same moment.
        mix_tasks: Put results of different tasks that finish at the same moment into one frame.
        ssl_context: Serve over TLS with this context. `None`: no TLS.
        balance: Credits in dollars; a task that costs more than the balance gets `insufficientCredits`. `None`:
            unlimited.
        switches: Answers to the open questions of the protocol: names and values as in `switch`.
        faults: Faults to play from the start, each as on the command line: `"X6:replay=rest,times=2"`, or
            with its readable name.
        inactivity: Seconds without a message after which a connection is closed. 0: never.
        resume_window: Seconds for which a lost connection's session can be resumed.
        keep: The number of tasks that the server and its ledger keep at least. `None`: all.
        allowed_hosts: Names, each with or without a port, that requests may have in `Host` and `Origin` besides those
            of this machine. Other requests are denied, so that no web page can use the server through a browser: add
            `"localhost:3000"` for a page of your own there, and `"host.docker.internal"` for a container.
        replay: Answer tasks from a recorded session. A task that was not recorded gets the error `missingRecording`,
            which says what differs. Files are drawn anew.
        record: Pass all tasks on to the real service, and record them and their results in this file, without keys
            and media. The client's own key is used, and tasks are billed. Chats and apps are not passed on.
        upstream: The URL of the real service, for `record`.

    Use it as a context manager, or call `start` and `stop`. Every method may be called from any thread.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        api_key: str = DEFAULT_KEY,
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
        replay: str | os.PathLike[str] | None = None,
        record: str | os.PathLike[str] | None = None,
        upstream: str = DEFAULT_UPSTREAM,
    ) -> None:
        _check_arguments(host, allowed_hosts, replay, record)
        options = ServerOptions(
            api_key, inactivity=inactivity, resume_window=resume_window, allowed_hosts=tuple(allowed_hosts)
        )
        self.ledger = Ledger(keep)
        self._state = ServerState(options, Switches(), self.ledger, MediaStore(keep), create_catalogue(), keep=keep)
        self._state.recording = None if replay is None else Recording(replay)
        self._upstream = check_upstream(upstream)
        self._recorder = None if record is None else SessionRecorder(record)
        self._host = host
        self._port = port
        self._key = api_key
        self._ssl = ssl_context
        self._faults = ActiveFaults(self._state)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: RunningServer | None = None
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
        """Start the server, and return when it accepts connections. A stopped server starts again on the same port.

        Raises:
            RuntimeError: The server is already running.
            OSError: The port is in use.
        """
        if self._thread is not None:
            raise RuntimeError("the local server is already running")
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
        """End every connection at once and stop the server. Its ledger, tasks and files are kept for the next start."""
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
        loop.set_exception_handler(self._record_error)
        with ThreadPoolExecutor(2, thread_name_prefix="runware-local-draw") as executor:
            recorder, state = self._recorder, self._state
            relay = None if recorder is None else RecordingRelay(state, recorder, self._upstream)
            running = RunningServer(state, self._faults, loop, executor, relay)
            running.processor.script = self._script
            self._loop, self._running, self._stop = loop, running, asyncio.Event()
            try:
                await self._listen(running)
            except BaseException as error:
                ready.set_exception(error)
                self._running = None
                return
            ready.set_result(None)
            try:
                await self._stop.wait()
            finally:
                self._running = None
                await running.shut_down()

    async def _listen(self, running: RunningServer) -> None:
        self._port = await running.listen(self._host, self._port, self._ssl)
        self._state.http_url = self.http_url

    def _record_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # Tests of clients end connections at any moment; the resulting socket errors are not bugs of this server.
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.ledger.errors.append(error)
        loop.default_exception_handler(context)

    def _call(self, action: Callable[[RunningServer], T]) -> T:
        running, loop = self._running, self._loop
        if running is None or loop is None:
            raise RuntimeError("the local server is not running; call start() or use it in a with statement")
        if threading.current_thread() is self._thread:
            return action(running)
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(action(running))
            except BaseException as error:
                future.set_exception(error)

        loop.call_soon_threadsafe(run)
        return future.result(_CALL_TIMEOUT)

    def _call_each(self, action: Callable[[WebSocketConnection], object]) -> None:
        def run(running: RunningServer) -> None:
            for connection in running.open_connections:
                action(connection)

        self._call(run)

    # URLs.

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start with `port=0`."""
        return self._port

    @property
    def url(self) -> str:
        """The URL for clients: `ws://127.0.0.1:PORT/v1`, or `wss://` with TLS."""
        return f"{'wss' if self._ssl else 'ws'}://{self._authority}/v1"

    @property
    def http_url(self) -> str:
        """The base URL for HTTP, without a path. It serves files, and accepts tasks under `/v1`."""
        return f"{'https' if self._ssl else 'http'}://{self._authority}"

    @property
    def inspector_url(self) -> str:
        """The URL of a page for browsers that shows live what the server does, and switches faults on."""
        return f"{self.http_url}/inspector"

    @property
    def _authority(self) -> str:
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    # Options.

    @property
    def api_key(self) -> str:
        """The API key that is accepted. A new value applies to later authentications."""
        return self._key

    @api_key.setter
    def api_key(self, key: str) -> None:
        self._key = self._state.options.api_key = key

    def revoke_key(self) -> None:
        """Reject every API key from now on. Open connections stay; set `api_key` to accept a key again."""
        self._state.options.api_key = None

    @property
    def balance(self) -> float | None:
        """The remaining credits in dollars; `None`: unlimited. May be set."""
        units = self._state.options.balance
        return None if units is None else units / UNIT

    @balance.setter
    def balance(self, dollars: float | None) -> None:
        self._state.options.balance = None if dollars is None else round(dollars * UNIT)

    @property
    def switches(self) -> Switches:
        """The current answers to the open questions of the protocol. Set them with `switch`."""
        return self._state.switches

    def configure(self, **options: Any) -> None:
        """Change the constructor's options while the server runs.

        Args:
            options: `delay`, `spread`, `result_order`, `frame_size`, `mix_tasks`, `balance`, `inactivity`,
                `resume_window` as in the constructor; and `sync_window` (seconds after which an HTTP request for a
                synchronous task gets status 504, or 202 from a serverless app; 0: never), `webhook_timeout` (seconds
                for a receiver to respond), `webhook_delay` (seconds before the first retry) and `webhook_tries`
                (attempts per webhook).

        Raises:
            TypeError: There is no such option.
            ValueError: The value is not allowed.
        """
        for name, value in options.items():
            if name == "balance":
                self.balance = value
                continue
            if name not in ServerOptions.__slots__ or name == "api_key":
                raise TypeError(f"the local server has no option {name!r}")
            if name == "result_order" and value not in RESULT_ORDERS:
                raise ValueError(f"result_order must be one of {', '.join(RESULT_ORDERS)}; got {value!r}")
            if isinstance(value, (int, float)) and value < 0:
                raise ValueError(f"{name} must not be negative; got {value!r}")
            setattr(self._state.options, name, value)
        if "inactivity" in options and self._running is not None:
            self._call(lambda running: running.websocket.inactivity_changed())

    def switch(self, values: Mapping[str, SwitchValue] | None = None, **more: SwitchValue) -> None:
        """Set how the open questions of the protocol are answered.

        A switch has a short name and an alias: `switch(q1="new")`, `switch(resumed_session="new")`.

        Raises:
            ValueError: There is no such switch or value; `runware.local.SWITCHES` lists them.
        """
        self._state.switches.update({**(values or {}), **more})

    def script(self, callback: Script | None) -> None:
        """Set a function that answers tasks in place of the server.

        Args:
            callback: Called in the server's thread with every received task, authentication and pings included.
                It returns a list of frames to send (JSON values, strings, or bytes for a binary frame; an empty
                list: no answer), or `None` to have the server answer as usual. `None`: remove the script.
        """
        self._script = callback
        if self._running is not None:
            self._running.processor.script = callback

    def app(
        self,
        name: str,
        endpoints: Mapping[str, AppFunction],
        *,
        default: str | None = None,
        environments: Sequence[str] = ("production",),
    ) -> None:
        """Deploy a serverless app, or replace it: Python functions that clients call as its endpoints.

        Args:
            name: The ID of the app, 6 to 30 characters.
            endpoints: The functions by endpoint path. Each is called with the payload, a dict, and returns the output;
                an exception makes its task fail. Plain functions run on threads of their own, `async` ones on the
                server's event loop.
            default: The path of the default endpoint. `None`: the only one, if there is one only.
            environments: The names of its environments; the first is used by requests that name none.

        Raises:
            ValueError: A name is not allowed.
        """
        self._state.apps[name] = DeployedApp(name, endpoints, default, environments)

    # Answers of a test.

    def respond(
        self,
        task_type: str,
        results: GivenResults | None = None,
        *,
        error: str | Mapping[str, Any] | None = None,
        message: str | None = None,
        file: bytes | os.PathLike[str] | None = None,
        delay: float | None = None,
        times: int | None = 1,
    ) -> PlannedAnswer:
        """Choose the answer to the next tasks of one type.

        Fields that are not given are generated as usual: `respond("imageInference", {"seed": 7})` changes the seeds
        only.
        Answers for a number of tasks are used in the order given, and then the newest one with `times=None`.

        Args:
            task_type: The API's name of the task type, such as `imageInference`.
            results: Fields of every result, under the API's names; or a list with the fields of each result; or a
                function of the task that returns either. A `cost` is also billed.
            error: The task fails with this error code; or with this error, a dict with `code`, `message`,
                `parameter`.
            message: The message of the error.
            file: The content of the files of the results, or the path of a file with it.
            delay: Seconds until the first result. `None`: the delay of the server.
            times: The number of tasks that are answered so. `None`: all.

        Returns:
            The answer: its `requests` are the tasks that it answered; `stop()`, or the end of a `with` block, ends it.

        Raises:
            ValueError: There is no such task type, a result has a name that the API does not use, or the parameters
                exclude each other.
            TypeError: `results` is neither a dict, a list of dicts, nor a function.
        """
        spec = find_task_type(task_type)
        answer = PlannedAnswer(spec.name, results, error=error, message=message, file=file, delay=delay, times=times)
        if file is not None and not spec.media_kind:
            raise ValueError(f"file: results of {task_type} have no file")
        self._state.planned.add(answer)
        return answer

    # Faults.

    def play(self, name: str, **parameters: Any) -> Fault:
        """Play a fault.

        Args:
            name: A readable name such as `drop_between_results`, which `print(server.faults)` lists; the short name
                `X1` to `X25`, `W1` to `W6`, `A1` to `A5`; or either with parameters as on the command line:
                `"X6:replay=rest"`.
            parameters: The parameters of the fault; `runware.local.FAULTS` describes them. Every fault has `times`
                (how often it is played; `None`: always) and `task_type` (only for tasks of this type).

        Returns:
            The fault; it counts how often it was played, and can be stopped.

        Raises:
            ValueError: There is no such fault, parameter or value.
        """
        fault = self._faults.create(name, parameters)
        if self._running is None:
            self._faults.add(fault)
        else:
            self._call(lambda _: self._faults.add(fault))
        return fault

    @property
    def faults(self) -> FaultNames:
        """Every fault by its readable name. Printed, it says what each does; `playing` has those being played."""
        return FaultNames(self._faults.playing)

    def stop_faults(self) -> None:
        """Stop playing all faults."""
        self._faults.clear()

    # Holding results back.

    def hold(self, task_type: str | None = None) -> Holding:
        """Start to hold finished results back.

        Args:
            task_type: Hold only the results of tasks of this type. `None`: those of all tasks except queries
                (getResponse, modelSearch, …).

        Returns:
            A context manager that delivers them at its end.
        """
        hold = ResultHold(task_type)
        self._call(lambda running: running.runner.add_hold(hold))
        return Holding(lambda: self._remove_hold(hold))

    def release(self, count: int | None = None) -> None:
        """Deliver held results, the oldest first.

        Args:
            count: The number of results; later ones are still held. `None`: all of them; this ends every hold.
        """
        self._call(lambda running: running.runner.release(count))

    def _remove_hold(self, hold: ResultHold) -> None:
        if self._running is not None:
            self._call(lambda running: running.runner.remove_hold(hold))

    # Connections.

    @property
    def connections(self) -> int:
        """The number of open WebSocket connections."""
        running = self._running
        return len(running.open_connections) if running is not None else 0

    def drop(self, how: str = "rst") -> int:
        """End every TCP connection now, plain HTTP included, without a close frame.

        Args:
            how: `rst` (reset) or `fin` (orderly end of TCP).

        Returns:
            The number of WebSocket connections that were ended.

        Raises:
            ValueError: `how` is neither.
        """
        if how not in ("rst", "fin"):
            raise ValueError(f"how must be 'rst' or 'fin'; got {how!r}")
        return self._call(lambda running: running.drop_connections(how))

    def close_connections(self, code: int = 1000, reason: str = "") -> None:
        """Close every WebSocket connection with a close frame."""
        self._call_each(lambda connection: connection.close(code, reason))

    def stall(self) -> None:
        """Stop reading and writing on every open connection, while TCP stays up."""
        self._call_each(lambda connection: connection.end("stall"))

    def wake(self) -> None:
        """End a stall: read and write again."""
        self._call_each(lambda connection: connection.resume())

    def send(self, frame: Frame) -> None:
        """Send a frame to every open connection: a string or a JSON value as text, bytes as a binary frame."""
        self._call_each(lambda connection: connection.send(frame))

    def unplug(self, how: str = "rst") -> None:
        """Drop every connection, as `drop` does, and refuse new ones until `plug`. The port stays reserved."""
        self._call(lambda running: running.unplug(how))

    def plug(self) -> None:
        """Accept connections again, on the same port."""
        running, loop = self._running, self._loop
        if running is None or loop is None or running.listening:
            return
        asyncio.run_coroutine_threadsafe(self._listen(running), loop).result(_CALL_TIMEOUT)

    def forget_media(self) -> list[str]:
        """Forget the files that clients have stored; a task that names one is refused with `mediaNotFound`.

        Returns:
            Their UUIDs.
        """
        media = self._state.media
        forgotten = media.stored()
        self._call(lambda _: [media.remove(uuid) for uuid in forgotten])
        return forgotten

    def forget(self) -> None:
        """Forget every task, file and session, and reset the ledger."""

        def action(running: RunningServer) -> None:
            self._state.runs.clear()
            self._state.app_runs.clear()
            self._state.media.clear()
            self._state.own_airs.clear()
            running.sessions.clear()
            self.ledger.reset()

        self._call(action)


def _check_arguments(host: str, allowed_hosts: object, replay: object, record: object) -> None:
    """Raise `ValueError` or `TypeError` for arguments with which no server can start."""
    if not is_loopback(host):
        raise ValueError(f"host must be a loopback address, such as 127.0.0.1 or ::1; got {host!r}")
    if isinstance(allowed_hosts, str):
        raise TypeError(f"allowed_hosts takes a list of names: allowed_hosts=[{allowed_hosts!r}]; got a single name")
    if replay is not None and record is not None:
        raise ValueError("replay and record exclude each other")
