"""What a client knows about models, for its checks, estimates and error messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runware._support.lazy_modules import lazy_module
from runware.errors import ValidationError
from runware.options import Options
from runware.protocol.codec import loads
from runware.transport.http_client import OpenRequests

if TYPE_CHECKING:
    from runware.models import access, refusals
    from runware.models import checker as checking
    from runware.models.access import Catalogue
    from runware.models.checker import Checker
else:
    access = lazy_module("runware.models.access")
    checking = lazy_module("runware.models.checker")
    refusals = lazy_module("runware.models.refusals")

__all__ = ["Knowledge"]


class Knowledge:
    """What a client knows about models. It is loaded when it is first used, and holds no reference to the client.

    Args:
        options: The client's options.
        catalogue: The models that are known already; `None` reads them when they are first used.

    Attributes:
        requests: What is being asked about models over HTTP.
    """

    def __init__(self, options: Options, catalogue: Catalogue | None = None) -> None:
        self._options = options
        self.requests = OpenRequests()
        # Plain attributes: Python 3.11 computes a cached_property under a lock, which a fork could leave locked.
        self._catalogue = catalogue
        self._checker: Checker | None = None

    @property
    def catalogue(self) -> Catalogue:
        """The models that are known."""
        if self._catalogue is None:
            self._catalogue = access.Catalogue(self._options, requests=self.requests)
        return self._catalogue

    @property
    def checker(self) -> Checker:
        """Checks requests before they are sent."""
        if self._checker is None:
            self._checker = checking.Checker(self.catalogue, self._options.check)
        return self._checker

    def prepare(self) -> None:
        """Load it, so that a call from an event loop need not."""
        self.checker.prepare()

    def close(self) -> None:
        """End at once what is being asked of the services, also by a refresh in the background."""
        self.requests.close()

    def abandon(self) -> None:
        """Reset after a fork, in the child: the parent goes on with its requests."""
        self.requests.abandon()

    def complete(self, error: ValidationError, sent: bytes | Mapping[str, Any]) -> ValidationError:
        """Return the server's refusal of a task with what its model accepts, or with models that may have been meant.

        Args:
            error: The error.
            sent: The message with the task, or the task without its large inputs.
        """
        task = loads(sent)[0] if isinstance(sent, bytes) else sent
        if error.parameter == "task_type":
            return refusals.with_task_type(error, str(task.get("taskType")))
        name = task.get("model")
        model = self.catalogue.get(name) if isinstance(name, str) else None
        if model is not None:
            return refusals.completed(error, task, model)
        if isinstance(name, str) and error.parameter == "model":
            return refusals.with_models(error, self.catalogue.nearest(name))
        return error
