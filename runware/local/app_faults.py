"""The faults of serverless apps: A1 to A5."""

# ruff: noqa: RUF012

from __future__ import annotations

from runware.local.faults import AppFault, Fault, ReceivedAppRequest

__all__ = ["FreshTask", "LateAppAnswer", "LostAppAnswer", "PausedEnvironment", "RefusedAppRequest"]

_ON = {"on": ("invoke", "task", "any")}


class _OfApps(Fault):
    """A fault of requests to apps."""

    defaults = {"on": "invoke"}
    choices = _ON

    def _meets(self, request: ReceivedAppRequest, *, taken: bool) -> bool:
        return request.taken is taken and self.parameters["on"] in (request.kind, "any")


class LostAppAnswer(_OfApps):
    """A1: a lost answer."""

    name = "A1"
    summary = "a request to an app is executed (or not, `run=false`), and its connection is reset instead of an answer"
    defaults = {"on": "invoke", "run": True}

    def on_app_request(self, request: ReceivedAppRequest) -> AppFault | None:
        """Cut the connection, on arrival or after the call was taken."""
        if not self._meets(request, taken=self.parameters["run"]):
            return None
        self.record_use()
        return AppFault(cut=True)


class LateAppAnswer(_OfApps):
    """A2: a late answer."""

    name = "A2"
    summary = "a request to an app is answered `seconds` later"
    defaults = {"on": "invoke", "seconds": 1.0}

    def on_app_request(self, request: ReceivedAppRequest) -> AppFault | None:
        """Delay the answer."""
        if not self._meets(request, taken=True):
            return None
        self.record_use()
        return AppFault(delay=float(self.parameters["seconds"]))


class RefusedAppRequest(_OfApps):
    """A3: a refused request."""

    name = "A3"
    summary = "a request to an app is refused with `status` and, if given, `retry_after` (seconds or a date)"
    defaults = {"on": "invoke", "status": 503, "retry_after": None}

    def on_app_request(self, request: ReceivedAppRequest) -> AppFault | None:
        """Refuse the request."""
        if not self._meets(request, taken=False):
            return None
        self.record_use()
        status, after = int(self.parameters["status"]), self.parameters["retry_after"]
        headers = {} if after is None else {"Retry-After": str(after)}
        return AppFault(status=status, kind="refused", detail="Try again later.", headers=headers)


class PausedEnvironment(_OfApps):
    """A4: an environment that has used up its budget."""

    name = "A4"
    summary = "the environment of an app is paused, as its budget is used up"
    default_times = None

    def on_app_request(self, request: ReceivedAppRequest) -> AppFault | None:
        """Refuse the request."""
        if not self._meets(request, taken=False):
            return None
        self.record_use()
        return AppFault(status=429, kind="environment-paused", detail="The environment is over its monthly budget.")


class FreshTask(_OfApps):
    """A5: a new task that is not known at once."""

    name = "A5"
    summary = "the first requests for an app's task are answered with 404"
    defaults = {}
    choices = {}
    default_times = 2

    def on_app_request(self, request: ReceivedAppRequest) -> AppFault | None:
        """Deny the task."""
        if request.taken or request.kind != "task":
            return None
        self.record_use()
        return AppFault(status=404, kind="task-not-found", detail="There is no such task.")
