"""Serverless apps that are deployed, and the tasks that call their endpoints."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from runware.local.ledger import Ledger, TaskRecord

__all__ = ["AppFunction", "AppRun", "DeployedApp"]

AppFunction = Callable[[dict[str, Any]], Any]
"""An endpoint: a plain or `async` function of the payload that returns the output."""

_NAME = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_SEGMENT = re.compile(r"[a-z]([a-z0-9-]{0,62}[a-z0-9])?")


class DeployedApp:
    """An app.

    Args:
        name: Its ID.
        endpoints: Its functions by endpoint path. `_` in a path becomes `-`, as for methods of a real app.
        default: The path of its default endpoint. `None`: the only endpoint, if there is one only.
        environments: Its environments; requests without one mean the first.

    Raises:
        ValueError: A name is not allowed, or *default* is no endpoint.
    """

    def __init__(
        self, name: str, endpoints: Mapping[str, AppFunction], default: str | None, environments: Sequence[str]
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"an app is named with 6 to 30 lower-case letters, digits and hyphens; got {name!r}")
        self.name = name
        self.endpoints = {path.replace("_", "-"): function for path, function in endpoints.items()}
        for path in self.endpoints:
            if len(path) > 255 or not all(map(_SEGMENT.fullmatch, path.split("/"))):
                raise ValueError(f"an endpoint has a path such as 'run' or 'v1/chat'; got {path!r}")
        if default is None and len(self.endpoints) == 1:
            default = next(iter(self.endpoints))
        if default is not None and default.replace("_", "-") not in self.endpoints:
            raise ValueError(f"default must be one of the endpoints; got {default!r}")
        if not environments or isinstance(environments, str):
            raise ValueError(f"environments takes a list of names; got {environments!r}")
        self.default = None if default is None else default.replace("_", "-")
        self.environments = tuple(environments)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class AppRun:
    """A task: one call of an endpoint.

    Attributes:
        uuid: Its taskId.
        app: The app.
        environment: Its environment.
        endpoint: The path of the endpoint.
        payload: What the endpoint is called with.
        record: Its entry in the ledger.
        status: `pending`, `completed` or `failed`.
        output: What the function returned.
        error: Why it failed.
        created: The time of its creation.
        completed: The time of its end.
        finished: Set at its end.
        coroutine: The task of the event loop that runs an `async` function.
    """

    uuid: str
    app: DeployedApp
    environment: str
    endpoint: str
    payload: dict[str, Any]
    record: TaskRecord
    status: str = "pending"
    output: Any = None
    error: str | None = None
    created: str = field(default_factory=_now)
    completed: str | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    coroutine: asyncio.Task[None] | None = None

    def to_object(self) -> dict[str, Any]:
        """Return the object that stands for it in responses."""
        return {
            "id": self.uuid,
            "status": self.status,
            "appId": self.app.name,
            "endpointPath": self.endpoint,
            "output": self.output,
            "error": self.error,
            "createdAt": self.created,
            "completedAt": self.completed,
        }

    def start(self, loop: asyncio.AbstractEventLoop, ledger: Ledger) -> None:
        """Call the function of the endpoint: a plain one on a thread of its own, as it may block."""
        ledger.execute(self.record)
        function = self.app.endpoints[self.endpoint]
        if inspect.iscoroutinefunction(function):
            self.coroutine = loop.create_task(self._await(function, ledger))
            return

        def work() -> None:
            try:
                outcome: tuple[Any, BaseException | None] = function(self.payload), None
            except BaseException as error:  # the app's own, which is reported to the client
                outcome = None, error
            try:
                loop.call_soon_threadsafe(self._finish, *outcome, ledger)
            except RuntimeError:  # the server stopped meanwhile
                return

        threading.Thread(target=work, name="runware-local-app", daemon=True).start()

    async def _await(self, function: Callable[[dict[str, Any]], Any], ledger: Ledger) -> None:
        try:
            self._finish(await function(self.payload), None, ledger)
        except Exception as error:
            self._finish(None, error, ledger)

    def _finish(self, output: Any, error: BaseException | None, ledger: Ledger) -> None:
        try:
            json.dumps(output)
        except (TypeError, ValueError) as problem:
            error = problem
        self.completed = _now()
        if error is None:
            self.status, self.output = "completed", output
        else:
            self.status = "failed"
            self.error = f"{type(error).__name__}: {error}"
            # The output of the app so far, if its exception has one.
            self.output = getattr(error, "output", None)
        ledger.bill(self.record, 1, 0)
        self.finished.set()
